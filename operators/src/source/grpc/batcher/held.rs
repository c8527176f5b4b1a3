//! Messages that are held back until their group is complete, and what is remembered of those that
//! are handed over.
//!
//! Invariant: what is held is forgotten as a whole or handed over in the order of its numbers.

use super::super::config::OnLoss;
use super::super::control::LossRule;
use super::super::resume::{Closes, Verdict};
use super::{Batcher, Refused, Tag};
use bytes::Bytes;
use headwater_engine::ids::Sequence;
use headwater_engine::limits::RECORD_OVERHEAD_BYTES;
use headwater_engine::record::{Gap, GapReason};

/// What else is known of a message that is kept.
#[derive(Clone, Copy)]
pub(super) struct Extra<'r> {
    /// The rule that found in it that others were lost.
    pub(super) loss: Option<&'r LossRule>,
    /// What identifies it for `dedupe`.
    pub(super) identity: Option<u128>,
}

impl Batcher<'_> {
    /// Counts a message that is held back.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Refused> {
        self.held_bytes += bytes as u64 + RECORD_OVERHEAD_BYTES;
        if self.held_bytes > self.held_bytes_max {
            return Err(Refused::GroupTooLarge(self.held_bytes_max));
        }
        Ok(())
    }

    /// Puts a message into the batch or the held group, and hands over what it completes.
    pub(super) fn keep(
        &mut self,
        sequence: Sequence,
        message: Bytes,
        verdict: Verdict,
        extra: Extra<'_>,
    ) -> Result<(), Refused> {
        if verdict.closes == Closes::Earlier {
            self.release(None);
        }
        if let Some(loss) = extra.loss {
            let told = loss.count(&message);
            self.gaps.push(Gap { told, ..self.gap(sequence, GapReason::Told, None) });
            if loss.action == OnLoss::DeadLetter {
                return self.set_loss_aside(sequence, message, verdict, extra);
            }
        }
        let is_holding = self.judge.as_ref().is_some_and(|judge| judge.resume.is_holding());
        if !is_holding {
            self.open.keep(sequence, message);
            self.settle(extra.identity);
            return Ok(());
        }
        let bytes = message.len();
        self.held.push((sequence, message));
        self.tag(extra);
        self.hold(bytes)?;
        if verdict.closes != Closes::Earlier {
            self.complete(verdict.closes);
        }
        Ok(())
    }

    /// It is no record, and so not remembered as one.
    pub(super) fn set_loss_aside(
        &mut self,
        sequence: Sequence,
        message: Bytes,
        verdict: Verdict,
        extra: Extra<'_>,
    ) -> Result<(), Refused> {
        if let Some(window) = self.judge.as_mut().and_then(|judge| judge.window.as_mut())
            && let Some(identity) = extra.identity
        {
            window.forget(identity);
        }
        self.set_aside(sequence, message, "it says that messages were lost".to_owned())?;
        self.complete(verdict.closes);
        Ok(())
    }

    /// Notes what is needed of a message that was held just now.
    pub(super) fn tag(&mut self, extra: Extra<'_>) {
        let Some(judge) = &mut self.judge else { return };
        let is_mixed = judge.resume.is_mixed();
        if is_mixed || judge.window.is_some() {
            let rank = judge.rank.take().filter(|_| is_mixed);
            self.tags.push(Tag { rank, identity: extra.identity.unwrap_or_default() });
        }
    }

    /// Remembers a message that is handed over.
    pub(super) fn settle(&mut self, identity: Option<u128>) {
        if let Some(window) = self.judge.as_mut().and_then(|judge| judge.window.as_mut())
            && let Some(identity) = identity
        {
            window.settle(identity);
        }
    }

    /// Hands over the held messages that are complete.
    pub(super) fn complete(&mut self, closes: Closes) {
        match closes {
            Closes::Nothing => {}
            Closes::Earlier | Closes::All => self.release(None),
            Closes::UpTo(limit) => self.release(Some(limit)),
        }
    }

    /// Hands over what is held, up to a value where groups are mixed.
    pub(super) fn release(&mut self, limit: Option<i128>) {
        let Some(limit) = limit else {
            self.held_bytes = 0;
            for (sequence, message) in self.held.drain(..) {
                self.open.keep(sequence, message);
            }
            let tags = std::mem::take(&mut self.tags);
            tags.iter().for_each(|tag| self.settle(Some(tag.identity)));
            return;
        };
        let numbers: Vec<Sequence> = self.held.iter().map(|(sequence, _)| *sequence).collect();
        let mut numbers = numbers.into_iter();
        let tags = std::mem::take(&mut self.tags);
        let (mut messages, mut later) = (Vec::new(), Vec::new());
        for ((_, message), tag) in self.held.drain(..).zip(tags) {
            if tag.rank.is_none_or(|rank| rank <= limit) {
                self.held_bytes -= message.len() as u64 + RECORD_OVERHEAD_BYTES;
                messages.push((message, tag.identity));
            } else {
                later.push((message, tag));
            }
        }
        for ((message, identity), sequence) in messages.into_iter().zip(&mut numbers) {
            self.open.keep(sequence, message);
            self.settle(Some(identity));
        }
        for ((message, tag), sequence) in later.into_iter().zip(numbers) {
            self.held.push((sequence, message));
            self.tags.push(tag);
        }
    }
}
