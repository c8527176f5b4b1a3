//! A gap as a record: what is missing, for a reader that wants to know.
//!
//! It is sent in front of the records behind it and in their transaction, so a reader learns of a
//! gap once, when it sees what follows. Everything in it is known from the batch alone: a batch
//! that is sent again says the same.

use headwater_engine::ids::{Generation, Session};
use headwater_engine::position::CursorValue;
use headwater_engine::record::{Batch, Gap, GapReason};
use serde::Serialize;
use std::collections::BTreeMap;

/// The value of a gap record, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct GapRecord<'a> {
    pipeline: &'a str,
    source: &'a str,
    shard: &'a str,
    generation: Generation,
    session: Session,
    /// The sequence of the message behind the gap.
    sequence: u64,
    reason: GapReason,
    /// The first missing cursor value; null where it is not known.
    from: Option<i128>,
    /// The last missing cursor value; null where it is not known.
    to: Option<i128>,
    /// How many messages are missing; null where that is not known.
    messages: Option<u64>,
    /// The cursor that was lost, component by component.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    after: &'a BTreeMap<String, CursorValue>,
    /// When the batch of the message behind it was received.
    at_unix_ms: i64,
}

impl<'a> GapRecord<'a> {
    /// `gap` of `batch`, in the words of `pipeline`.
    pub(super) fn new(
        pipeline: &'a str,
        shard: &'a str,
        generation: Generation,
        batch: &Batch,
        gap: &'a Gap,
    ) -> Self {
        GapRecord {
            pipeline,
            source: &gap.node,
            shard,
            generation,
            session: batch.session,
            sequence: gap.sequence.0,
            reason: gap.reason,
            from: gap.from,
            to: gap.to,
            messages: gap.size(),
            after: &gap.after,
            at_unix_ms: batch.received.unix_ms,
        }
    }

    /// The record's value.
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a gap is plain data")
    }
}
