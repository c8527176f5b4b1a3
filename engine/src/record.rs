//! What travels on the dataflow's edges: a batch of records of one shard.
//!
//! A record is one gRPC message on its way to a topic. Records never travel alone: a [`Batch`]
//! holds the run of messages that one read found ready, so that the cost of an edge, a channel or a
//! frontier is paid per batch. Inside a batch the values lie back to back ([`Values::Packed`], as a
//! decoder writes them) or are slices of the receive buffer ([`Values::Received`], as they came);
//! neither allocates per record.
//!
//! Steps that drop records do so with `remove.rs`.
//!
//! Invariants
//! 1. A batch belongs to one shard and one session; its sequences lie in `first..end` and ascend.
//! 2. `first..end` covers what was received, also when a step removed records, so that an empty
//!    batch still moves its shard's position.
//! 3. Values are immutable once made; cloning a batch for a second reader clones handles, not
//!    bytes.
//!
//! Next: `dataflow/inlet.rs` takes batches across to a worker.

mod remove;

use crate::ids::{Sequence, Session, ShardIndex};
use crate::position::{CursorValue, Position};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run of records of one shard, in order of receipt.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The shard all records come from.
    pub shard: ShardIndex,
    /// The call all records came over.
    pub session: Session,
    /// The sequence of the first message received into this batch.
    pub first: Sequence,
    /// One past the sequence of the last message received into this batch.
    pub end: Sequence,
    /// When the first message was received.
    pub received: ReceivedAt,
    /// Which of `first..end` are still records; `None` while all are.
    pub kept: Option<Arc<[u32]>>,
    /// The records' values, one per record.
    pub values: Values,
    /// Fields that a step downstream asked the decoder to take out (keys, timestamps), by column.
    pub columns: Vec<Column>,
    /// Messages that could not become records and go to the dead-letter topic instead.
    pub dead: Vec<DeadLetter>,
    /// Places between the batch's messages where others are missing, or may be.
    pub gaps: Vec<Gap>,
    /// Where the shard stands after this batch; `None` where no restart may begin.
    pub position: Option<Arc<Position>>,
    /// Bytes of credit this batch holds until its epoch is durable.
    pub credit_bytes: u64,
}

/// The moment of receipt on two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceivedAt {
    /// Nanoseconds on the process's monotonic clock, for latencies.
    pub monotonic_ns: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z, for record timestamps.
    pub unix_ms: i64,
}

/// The values of a batch's records.
#[derive(Clone, Debug)]
pub enum Values {
    /// Slices of the buffers they were received in.
    Received(Arc<Vec<Bytes>>),
    /// Back to back in one buffer, as a decoder writes them.
    Packed(Arc<Packed>),
}

/// Byte strings back to back.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// A field taken out of each record for a step downstream; `None` where the record has none.
#[derive(Clone, Debug)]
pub enum Column {
    /// Byte strings, for keys.
    Bytes(Arc<Vec<Option<std::ops::Range<usize>>>>, Arc<Vec<u8>>),
    /// Milliseconds since 1970-01-01T00:00:00Z, for timestamps.
    UnixMs(Arc<Vec<Option<i64>>>),
}

/// A message that could not become a record, kept whole.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The message's sequence in its session.
    pub sequence: Sequence,
    /// The node that refused it.
    pub node: Arc<str>,
    /// Why, for a person to read.
    pub reason: String,
    /// The message as it was received.
    pub raw: Bytes,
}

/// A place where messages are missing, or may be. It travels in the batch of the message behind
/// it, so that it becomes durable together with that message, and so exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The sequence of the message behind it.
    pub sequence: Sequence,
    /// The node that noticed.
    pub node: Arc<str>,
    /// What shows that messages are missing.
    pub reason: GapReason,
    /// The first cursor value that is missing; `None` where that is not known.
    pub from: Option<i128>,
    /// The last cursor value that is missing; `None` where that is not known.
    pub to: Option<i128>,
    /// How many messages are missing, where the server has said so.
    pub told: Option<u64>,
    /// The cursor in front of the gap, component by component, where it was lost with it.
    pub after: BTreeMap<String, CursorValue>,
}

/// What shows that messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Cursor values that follow each other were left out.
    Skipped,
    /// A new call does not go on where the last one ended: what was sent in between is not known.
    NewCall,
    /// The server no longer had what followed the cursor, and the call began elsewhere.
    CursorLost,
    /// A message of the stream says that others were lost.
    Told,
    /// The first message of a new call does not show that it goes on at the cursor it was given.
    Unverified,
}

impl Gap {
    /// How many messages are missing; `None` where that is not known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        if self.told.is_some() {
            return self.told;
        }
        let (from, to) = (self.from?, self.to?);
        Some(u64::try_from(to - from + 1).unwrap_or(u64::MAX))
    }
}

impl Batch {
    /// How many records the batch holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no record is left; the batch may still carry a position and dead letters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence of the record at `index`.
    #[must_use]
    pub fn sequence(&self, index: usize) -> Sequence {
        let offset = self.kept.as_ref().map_or(index as u64, |kept| u64::from(kept[index]));
        Sequence(self.first.0 + offset)
    }
}

impl Values {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::Received(slices) => slices.len(),
            Values::Packed(packed) => packed.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `index`, which is below [`Values::len`].
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        match self {
            Values::Received(slices) => &slices[index],
            Values::Packed(packed) => packed.get(index),
        }
    }

    /// All values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The value at `index` as a handle that outlives the batch; packed values are copied.
    #[must_use]
    pub fn to_bytes(&self, index: usize) -> Bytes {
        match self {
            Values::Received(slices) => slices[index].clone(),
            Values::Packed(packed) => Bytes::copy_from_slice(packed.get(index)),
        }
    }

    /// All bytes of all values.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Values::Received(slices) => slices.iter().map(Bytes::len).sum(),
            Values::Packed(packed) => packed.bytes.len(),
        }
    }
}

impl Packed {
    /// Room for `records` values of `bytes` bytes in all.
    #[must_use]
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Packed { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(records) }
    }

    /// Appends what `write` adds to the buffer as one value; an error takes the addition back.
    ///
    /// # Errors
    /// Whatever `write` returns; the values are then as before.
    pub fn push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.bytes.len();
        write(&mut self.bytes).inspect_err(|_| self.bytes.truncate(before))?;
        debug_assert!(self.bytes.len() >= before, "a writer appends");
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The value at `index`, which is below [`Packed::len`].
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}

impl Column {
    /// A column that nobody behind this batch reads.
    #[must_use]
    pub fn absent() -> Column {
        Column::UnixMs(Arc::default())
    }

    /// The byte string of record `index`, if this is a column of byte strings and it has one.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        match self {
            Column::Bytes(ranges, bytes) => ranges[index].clone().map(|range| &bytes[range]),
            Column::UnixMs(_) => None,
        }
    }

    /// The moment of record `index`, if this is a column of moments and it has one.
    #[must_use]
    pub fn unix_ms(&self, index: usize) -> Option<i64> {
        match self {
            Column::UnixMs(moments) => moments[index],
            Column::Bytes(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_lie_back_to_back_and_a_failed_write_leaves_no_trace() {
        let mut packed = Packed::with_capacity(3, 16);
        let write = |text: &'static str| {
            move |out: &mut Vec<u8>| {
                out.extend_from_slice(text.as_bytes());
                if text == "bad" { Err(()) } else { Ok(()) }
            }
        };
        assert_eq!(packed.push_with(write("one")), Ok(()));
        assert_eq!(packed.push_with(write("bad")), Err(()));
        assert_eq!(packed.push_with(write("")), Ok(()));
        assert_eq!(packed.push_with(write("two")), Ok(()));
        let values = Values::Packed(Arc::new(packed));
        assert_eq!(values.iter().collect::<Vec<_>>(), [&b"one"[..], b"", b"two"]);
        assert_eq!(values.size_bytes(), 6);
    }

    #[test]
    fn a_removed_record_leaves_the_others_their_sequence() {
        let batch = Batch {
            shard: ShardIndex(0),
            session: Session(1),
            first: Sequence(10),
            end: Sequence(13),
            received: ReceivedAt::default(),
            kept: Some(Arc::from([0, 2])),
            values: Values::Received(Arc::new(vec![Bytes::from_static(b"a"), Bytes::new()])),
            columns: Vec::new(),
            dead: Vec::new(),
            gaps: Vec::new(),
            position: None,
            credit_bytes: 0,
        };
        assert_eq!((batch.sequence(0), batch.sequence(1)), (Sequence(10), Sequence(12)));
    }
}
