//! What the messages of one read mean for the request stream: their answers, what identifies them,
//! and how much of the server's credit they used.
//!
//! Identifiers are written at once in the form in which an ack bears them, one behind the other, so
//! that a message costs no allocation of its own and keeps no receive buffer alive.
//!
//! Next: `outbox.rs` takes it after the read.

use super::{AckPlan, StreamPlan};
use crate::limits::{ACK_BYTES_MAX, REPLIES_QUEUED_MAX};
use crate::source::grpc::config::AckTake;
use bytes::Bytes;
use headwater_proto::ReplyError;

/// Identifiers that go into one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    /// As the ack's field holds them.
    pub(super) values: Vec<u8>,
    /// How many.
    pub(super) count: u32,
}

/// What was read since the outbox was told.
#[derive(Debug, Default)]
pub(in crate::source::grpc) struct Heard {
    pub(super) replies: Vec<Bytes>,
    pub(super) ids: Vec<Ids>,
    /// Of the server's credit.
    pub(super) units: u64,
    /// Whether an identifier did not fit its field; what it stands for is never acknowledged.
    has_unfit: bool,
    /// Why an answer could not be made.
    unanswered: Option<ReplyError>,
}

impl Ids {
    /// Those of `more` behind these.
    pub(super) fn append(&mut self, more: &Ids) {
        self.values.extend_from_slice(&more.values);
        self.count += more.count;
    }
}

impl Heard {
    /// Takes one message.
    pub(in crate::source::grpc) fn hear(&mut self, plan: &StreamPlan, message: &[u8]) {
        for reply in plan.replies.iter().filter(|reply| reply.when.holds(message)) {
            match reply.send.fill(message) {
                Ok(answer) => self.replies.push(answer),
                Err(error) => self.unanswered = Some(error),
            }
        }
        if let Some(credit) = &plan.credit {
            self.units += credit.count.as_ref().map_or(1, |path| path.count(message));
        }
        if let Some(ack) = &plan.ack {
            self.identify(ack, message);
        }
    }

    /// Whether there are so many answers that no more should be read.
    pub(in crate::source::grpc) fn is_full(&self) -> bool {
        self.replies.len() >= REPLIES_QUEUED_MAX
    }

    /// Why an answer could not be made since this was asked last.
    pub(in crate::source::grpc) fn unanswered(&mut self) -> Option<ReplyError> {
        self.unanswered.take()
    }

    /// Whether an identifier did not fit.
    pub(in crate::source::grpc) fn has_unfit(&self) -> bool {
        self.has_unfit
    }

    fn identify(&mut self, ack: &AckPlan, message: &[u8]) {
        let (ids, has_unfit) = (&mut self.ids, &mut self.has_unfit);
        // What cannot be read cannot be acknowledged: the server sends it again.
        let _ = ack.from.each(message, &mut |leaf| {
            if ack.take == AckTake::Newest {
                ids.clear();
            }
            let is_full =
                |last: &Ids| last.count >= ack.batch_max || last.values.len() >= ACK_BYTES_MAX;
            if ids.last().is_none_or(is_full) {
                ids.push(Ids::default());
            }
            let last = ids.last_mut().expect("there is one now");
            if ack.write.put(&leaf, &mut last.values) {
                last.count += 1;
            } else {
                *has_unfit = true;
            }
        });
        ids.retain(|ids| ids.count > 0);
    }
}
