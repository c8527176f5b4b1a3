//! What the messages of one read mean for the request stream: their answers, what identifies them,
//! and how much of the server's credit they used.
//!
//! Identifiers are written at once in the form in which an ack bears them, one behind the other, so
//! that a message costs no allocation of its own and keeps no receive buffer alive.
//!
//! Next: `outbox.rs` takes it after the read.

use super::{AckPlan, StreamPlan};
use crate::limits::{ACK_BYTES_MAX, REPLIES_QUEUED_BYTES_MAX, REPLIES_QUEUED_MAX};
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

/// Identifiers, and bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::source::grpc) struct IdsRoom {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// What was read since the outbox was told.
#[derive(Debug, Default)]
pub(in crate::source::grpc) struct Heard {
    pub(super) replies: Vec<Bytes>,
    /// Bytes of `replies`.
    replies_bytes: usize,
    pub(super) ids: Vec<Ids>,
    /// Identifiers in `ids`, and their bytes.
    ids_size: IdsRoom,
    /// How much that may be before no more is read.
    ids_room: IdsRoom,
    /// Of the server's credit.
    pub(super) units: u64,
    /// Whether an identifier did not fit its field; what it stands for is never acknowledged.
    has_unfit: bool,
    /// Whether a message was broken where an identifier stands, with the same consequence.
    has_broken: bool,
    /// Whether a message held nothing where its one identifier stands, with the same consequence.
    has_absent: bool,
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
    /// A read begins that may bring so many identifiers.
    pub(in crate::source::grpc) fn begin(&mut self, ids_room: IdsRoom) {
        (self.ids_size, self.ids_room) = (IdsRoom::default(), ids_room);
        self.replies_bytes = 0;
    }

    /// Takes one message that came: it is answered, and used of the server's credit, whatever
    /// becomes of it.
    pub(in crate::source::grpc) fn answer(&mut self, plan: &StreamPlan, message: &[u8]) {
        for reply in plan.replies.iter().filter(|reply| reply.when.holds(message)) {
            match reply.send.fill(message) {
                Ok(answer) => {
                    self.replies_bytes += answer.len();
                    self.replies.push(answer);
                }
                Err(error) => self.unanswered = Some(error),
            }
        }
        if let Some(credit) = &plan.credit {
            self.units += credit.count.as_ref().map_or(1, |path| path.count(message));
        }
    }

    /// Whether there is so much that no more should be read.
    pub(in crate::source::grpc) fn is_full(&self) -> bool {
        self.replies.len() >= REPLIES_QUEUED_MAX
            || self.replies_bytes >= REPLIES_QUEUED_BYTES_MAX
            || self.ids_size.count >= self.ids_room.count
            || self.ids_size.bytes >= self.ids_room.bytes
    }

    /// Why an answer could not be made since this was asked last.
    pub(in crate::source::grpc) fn unanswered(&mut self) -> Option<ReplyError> {
        self.unanswered.take()
    }

    /// Whether an identifier did not fit.
    pub(in crate::source::grpc) fn has_unfit(&self) -> bool {
        self.has_unfit
    }

    /// Whether a message was broken where an identifier stands.
    pub(in crate::source::grpc) fn has_broken(&self) -> bool {
        self.has_broken
    }

    /// Whether a message held nothing where its one identifier stands.
    pub(in crate::source::grpc) fn has_absent(&self) -> bool {
        self.has_absent
    }

    /// Takes what identifies a message that was not refused.
    pub(in crate::source::grpc) fn identify(&mut self, ack: &AckPlan, message: &[u8]) {
        let Heard { ids, ids_size, has_unfit, .. } = self;
        // A list may well be empty.
        let mut is_absent = !ack.from.is_list();
        let read = ack.from.each(message, &mut |leaf| {
            is_absent = false;
            if ack.take == AckTake::Newest {
                ids.clear();
                *ids_size = IdsRoom::default();
            }
            let is_full =
                |last: &Ids| last.count >= ack.batch_max || last.values.len() >= ACK_BYTES_MAX;
            if ids.last().is_none_or(is_full) {
                ids.push(Ids::default());
            }
            let last = ids.last_mut().expect("there is one now");
            let before = last.values.len();
            if ack.write.put(&leaf, &mut last.values) {
                last.count += 1;
                ids_size.count += 1;
                ids_size.bytes += (last.values.len() - before) as u64;
            } else {
                *has_unfit = true;
                ids.pop_if(|last| last.count == 0);
            }
        });
        // What cannot be read cannot be acknowledged: the server sends it again.
        self.has_broken |= read.is_err();
        self.has_absent |= is_absent && read.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_proto::{FieldWriter, SpreadPath};
    use prost_reflect::DescriptorPool;
    use serde_json::json;

    /// Acks of the paths of a field mask by the text in a value, or by those in a list of them.
    fn plan(what: &str, from: &str) -> AckPlan {
        let message = |name: &str| {
            let name = format!("google.protobuf.{name}");
            DescriptorPool::global().get_message_by_name(&name).expect("it is well known")
        };
        AckPlan {
            write: FieldWriter::compile(&message("FieldMask"), "paths", &json!({})).expect("sound"),
            from: SpreadPath::compile(&message(what), from).expect("sound"),
            take: AckTake::Each,
            batch_max: 10,
            across_calls: true,
            extend: None,
        }
    }

    #[test]
    fn a_message_with_nothing_to_name_is_noticed_and_an_empty_list_is_none() {
        const TEXT: &[u8] = b"\x1a\x01a";
        const NUMBER: &[u8] = b"\x11\0\0\0\0\0\0\xf0\x3f";
        let single = plan("Value", "string_value");
        let mut heard = Heard::default();
        heard.identify(&single, TEXT);
        assert!(!heard.has_absent() && heard.ids[0].count == 1);
        heard.identify(&single, NUMBER);
        assert!(heard.has_absent() && !heard.has_broken() && heard.ids[0].count == 1);
        let list = plan("ListValue", "values[].string_value");
        let mut heard = Heard::default();
        heard.identify(&list, b"");
        assert!(!heard.has_absent());
        heard.identify(&single, b"\x1a\x05a");
        assert!(heard.has_broken() && !heard.has_absent());
    }
}
