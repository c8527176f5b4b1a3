//! What the committer tells of each epoch to those who count and watch.
//!
//! Told where it happens, on the committer's thread, a handful of times per epoch and never per
//! record. Whoever listens must be quick: the next commit waits for it.
//!
//! Per epoch, in this order: [`CommitEvent::Filled`] once, [`CommitEvent::Closed`] and
//! [`CommitEvent::Sealed`] at least once, [`CommitEvent::Committed`] once; any number of
//! [`CommitEvent::Failed`] in between. A pipeline that fails leaves the list where it is.
//!
//! Next: `operators/src/pipeline/commits.rs` listens.

use crate::commit::outlet::{OutletError, ShardPosition};
use crate::ids::{Epoch, ShardIndex, SinkIndex};
use crate::record::Batch;
use std::fmt;
use std::time::Duration;

/// Something became of an epoch.
#[derive(Debug)]
pub enum CommitEvent<'a> {
    /// The epoch got its first batch: from now on something waits to be committed.
    Filled {
        /// The epoch.
        epoch: Epoch,
        /// When the batch's first message was received, on the process's monotonic clock.
        received_ns: u64,
    },
    /// Nothing more can come into the epoch: its commit begins, or begins again.
    Closed {
        /// The epoch.
        epoch: Epoch,
    },
    /// All records of the epoch and its positions are with the sink: the commit is called next.
    Sealed {
        /// The epoch.
        epoch: Epoch,
    },
    /// A call of the outlet failed; the repair it names follows.
    Failed {
        /// The error, with its repair.
        error: &'a OutletError,
        /// Times the lowest epoch had to be sent again so far.
        attempts: u32,
    },
    /// The epoch is durable.
    Committed(Committed<'a>),
}

/// An epoch that became durable.
#[derive(Debug)]
pub struct Committed<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// Every shard that moved, and how far.
    pub positions: &'a [ShardPosition],
    /// From the call of commit to its acknowledgement.
    pub took: Duration,
    /// When it was known to be durable, on the process's monotonic clock.
    pub at: Duration,
    /// Times the epoch had to be sent again.
    pub attempts: u32,
    /// When the oldest record of the epoch was received, on the process's monotonic clock.
    pub oldest_received_ns: u64,
    /// Its batches, for who wants to know more than the oldest.
    pub batches: DurableBatches<'a>,
}

/// The batches of an epoch that became durable; nothing is paid for them until they are asked for.
/// A batch that several sinks have written comes once for each.
#[derive(Clone, Copy, Default)]
pub struct DurableBatches<'a>(&'a [(SinkIndex, Batch)]);

/// What is told of one durable batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurableBatch {
    /// The sink that wrote it.
    pub sink: SinkIndex,
    /// The shard it came from.
    pub shard: ShardIndex,
    /// When its first message was received, on the process's monotonic clock.
    pub received_ns: u64,
    /// How many records it holds.
    pub records: u64,
    /// The bytes of their values.
    pub value_bytes: u64,
}

impl<'a> DurableBatches<'a> {
    pub(super) fn new(kept: &'a [(SinkIndex, Batch)]) -> Self {
        DurableBatches(kept)
    }

    /// All of them, in the order in which they were staged.
    pub fn iter(self) -> impl Iterator<Item = DurableBatch> + 'a {
        self.0.iter().map(|(sink, batch)| DurableBatch {
            sink: *sink,
            shard: batch.shard,
            received_ns: batch.received.monotonic_ns,
            records: batch.len() as u64,
            value_bytes: batch.values.size_bytes() as u64,
        })
    }
}

/// Tells how many there are: the records themselves are nobody's business.
impl fmt::Debug for DurableBatches<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableBatches").field("batches", &self.0.len()).finish()
    }
}

/// Told of every event; called on the committer's thread.
pub type Observer = Box<dyn FnMut(&CommitEvent<'_>) + Send>;

/// An observer for whom nothing is of interest.
#[must_use]
pub fn unobserved() -> Observer {
    Box::new(|_| {})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Sequence, Session};
    use crate::record::{ReceivedAt, Values};
    use bytes::Bytes;
    use std::sync::Arc;

    fn batch(received_ns: u64, values: &[&'static [u8]]) -> Batch {
        let values = values.iter().map(|value| Bytes::from_static(value)).collect();
        Batch {
            shard: ShardIndex(0),
            session: Session(1),
            first: Sequence(0),
            end: Sequence(9),
            received: ReceivedAt { monotonic_ns: received_ns, unix_ms: 0 },
            kept: None,
            values: Values::Received(Arc::new(values)),
            columns: Vec::new(),
            dead: Vec::new(),
            gaps: Vec::new(),
            position: None,
            credit_bytes: 0,
        }
    }

    #[test]
    fn a_batch_is_told_once_for_each_sink_that_wrote_it() {
        let (one, two) = (batch(7, &[b"a", b"bcd"]), batch(9, &[]));
        let kept = [(SinkIndex(0), one.clone()), (SinkIndex(1), one), (SinkIndex(0), two)];
        let told: Vec<_> = DurableBatches::new(&kept)
            .iter()
            .map(|it| (it.received_ns, it.records, it.value_bytes))
            .collect();
        assert_eq!(told, [(7, 2, 4), (7, 2, 4), (9, 0, 0)]);
    }
}
