//! What the journal says beside batches: one entry for each kind of change.
//!
//! Entries are JSON: they are few against the batches, and a journal can be read by eye.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::log::Facts;
use crate::state::Transaction;

/// One change of the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A topic came, grew or was set anew.
    Topic { name: String, partitions: i32, settings: BTreeMap<String, String> },
    /// A topic went.
    TopicDeleted { name: String },
    /// A transactional id stands so from now on.
    Transaction { id: String, transaction: Box<Transaction> },
    /// Producer ids below this one are taken.
    ProducerIds { next: i64 },
    /// A group committed offsets.
    Offsets { group: String, offsets: Vec<CommittedOffset> },
    /// A group and its offsets went.
    GroupDeleted { group: String },
    /// What is below the offset may no longer be read.
    LogStart { topic: String, partition: i32, offset: i64 },
    /// Compaction left of the batches that begin in a range only the kept ones; what it made
    /// smaller follows as placed batches.
    Cleaned { topic: String, partition: i32, from: i64, to: i64, kept: Vec<i64> },
    /// A partition's facts in a rewritten journal; its batches follow as placed ones.
    Facts { topic: String, partition: i32, facts: Box<Facts> },
}

/// One offset that a group committed, at once or when its transaction commits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommittedOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}
