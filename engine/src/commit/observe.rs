//! What the committer tells of each epoch to those who count and watch.
//!
//! Told where it happens, on the committer's thread, a handful of times per epoch and never per
//! record. Whoever listens must be quick: the next commit waits for it.
//!
//! Per epoch, in this order: [`CommitEvent::Filled`] once, [`CommitEvent::Closed`] at least once,
//! [`CommitEvent::Committed`] once; any number of [`CommitEvent::Failed`] in between. A pipeline
//! that fails leaves the list where it is.
//!
//! Next: `operators/src/pipeline/commits.rs` listens.

use crate::commit::outlet::{OutletError, ShardPosition};
use crate::ids::Epoch;
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
    /// Times the epoch had to be sent again.
    pub attempts: u32,
    /// When the oldest record of the epoch was received, on the process's monotonic clock.
    pub oldest_received_ns: u64,
}

/// Told of every event; called on the committer's thread.
pub type Observer = Box<dyn FnMut(&CommitEvent<'_>) + Send>;

/// An observer for whom nothing is of interest.
#[must_use]
pub fn unobserved() -> Observer {
    Box::new(|_| {})
}
