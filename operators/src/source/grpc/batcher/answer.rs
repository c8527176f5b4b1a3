//! Messages that come in answers to a unary method, which have one cursor together.
//!
//! Invariant: the place moves behind an answer only when all of its messages are taken.

use super::super::control::Role;
use super::super::resume::Fate;
use super::{Batcher, Refused, Taken};
use bytes::Bytes;
use headwater_engine::record::ReceivedAt;

/// Whether an answer says where to go on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::grpc) enum AnswerCursor {
    /// The source does not resume.
    Undeclared,
    /// It does not.
    Missing,
    /// It does.
    There,
}

impl Batcher<'_> {
    /// Begins an answer, whose messages have one cursor together: it is asked for from the place,
    /// so what was taken behind the place comes again.
    ///
    /// # Errors
    /// [`Refused::Expired`] where it says that the cursor is gone.
    pub(in crate::source::grpc) fn open_answer(
        &mut self,
        answer: &Bytes,
    ) -> Result<AnswerCursor, Refused> {
        let Some(judge) = &mut self.judge else { return Ok(AnswerCursor::Undeclared) };
        if judge.control.is_some_and(|control| control.role(answer) == Role::Expired) {
            return Err(Refused::Expired(answer.clone()));
        }
        judge.resume.open();
        let is_readable = judge.paths.observe(answer, &mut judge.observed).is_ok();
        let is_there = judge.observed.values.iter().any(Option::is_some);
        Ok(if is_readable && is_there { AnswerCursor::There } else { AnswerCursor::Missing })
    }

    /// Takes one message of the answer; `is_counted` where nothing but their number tells those
    /// that were taken.
    pub(in crate::source::grpc) fn push_item(
        &mut self,
        item: Bytes,
        is_counted: bool,
        now: impl FnOnce() -> ReceivedAt,
    ) -> Taken {
        let sequence = self.next;
        self.next = sequence.next();
        self.counters.received += 1;
        self.open.received.get_or_insert_with(now);
        let mut fate = Fate::Keep;
        let mut identity = None;
        if let Some(judge) = &mut self.judge {
            fate = judge.resume.accept_item(is_counted, judge.paths.components.len());
            identity = judge.identity(&item, &mut fate);
        }
        if fate == Fate::Duplicate {
            self.drop_duplicate();
            return Taken::Duplicate;
        }
        self.open.keep(sequence, item);
        self.settle(identity);
        Taken::New
    }

    /// All messages of the answer are taken: a restart begins behind it.
    pub(in crate::source::grpc) fn close_answer(&mut self) {
        if let Some(judge) = &mut self.judge {
            self.has_moved |= judge.resume.advance_behind(&mut judge.observed);
        }
    }
}
