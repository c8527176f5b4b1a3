//! What the committer drives: everything outside this process that an epoch changes.
//!
//! The engine knows the protocol's verbs and nothing of Kafka. An outlet groups all sinks of a
//! pipeline, because they must change together: either all records of an epoch and the positions
//! behind them are visible, or none is.

use crate::ids::{Epoch, ShardIndex, SinkIndex, Slot};
use crate::position::Position;
use crate::record::Batch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The sinks of a pipeline as transactions, one per epoch.
///
/// The calls of an epoch come in this order, from one thread: `begin`, `stage`*, `seal`, the commit
/// of what `seal` returned (on a thread of its own, because it blocks), `committed`. `stage` goes
/// to the transaction that was begun last. Instead of going on, `abort` ends all that are open;
/// `acquire` comes whenever ownership is in doubt; `poll` between any two.
pub trait Outlet: Send {
    /// How many transactions may be open at once, on producers that take turns; at least 1.
    fn ring(&self) -> u32;

    /// Opens the transaction of `epoch` on the producer `slot`. Local: no round trip is needed.
    ///
    /// # Errors
    /// The repair that is due.
    fn begin(&mut self, slot: Slot, epoch: Epoch) -> Result<(), OutletError>;

    /// Sends the records of `batch` into the open transaction, in order, without waiting for their
    /// acknowledgement. Waits for room when the client's own queue is full.
    ///
    /// # Errors
    /// The repair that is due.
    fn stage(&mut self, sink: SinkIndex, batch: &Batch) -> Result<(), OutletError>;

    /// Records of `epoch` that became dead letters when they were staged, because they could never
    /// be written; by shard. Asked when all of the epoch is staged.
    fn set_aside(&self, _epoch: Epoch) -> BTreeMap<ShardIndex, u64> {
        BTreeMap::new()
    }

    /// Adds the positions to the lowest open transaction and waits until all of it is acknowledged.
    /// An outlet without transactions leaves both to the commit.
    ///
    /// # Errors
    /// The repair that is due; after [`Repair::Again`] the call is made again with the same values.
    fn seal(
        &mut self,
        epoch: Epoch,
        positions: &[ShardPosition],
    ) -> Result<Box<dyn Sealed>, OutletError>;

    /// The commit of the lowest open transaction was answered with `error`. Returns what is really
    /// due: the outlet may know more of what failed than the thread that waited for the answer.
    fn commit_failed(&mut self, error: OutletError) -> OutletError {
        error
    }

    /// The commit of `epoch` was acknowledged, with these positions.
    fn committed(&mut self, epoch: Epoch, positions: &[ShardPosition]);

    /// Aborts every open transaction: nothing of them will ever be visible.
    ///
    /// # Errors
    /// The repair that is due.
    fn abort(&mut self) -> Result<(), OutletError>;

    /// Takes ownership anew (claim, fence, read progress) after an outcome that is not known.
    /// Returns the last epoch that is committed.
    ///
    /// # Errors
    /// The repair that is due.
    fn acquire(&mut self) -> Result<Option<Epoch>, OutletError>;

    /// Serves the client's events; called often while a transaction is open and now and then while
    /// not.
    fn poll(&mut self);
}

/// An epoch that only waits for its commit: a transaction that holds all it should, every record
/// of it acknowledged.
pub trait Sealed: Send {
    /// Commits and waits for the answer. `Ok` means that every reader may see the epoch.
    ///
    /// # Errors
    /// The repair that is due; only those that abort say for sure that nothing was committed.
    fn commit(&mut self) -> Result<(), OutletError>;
}

/// Where one shard stands at the end of an epoch.
#[derive(Clone, Debug)]
pub struct ShardPosition {
    /// The shard.
    pub shard: ShardIndex,
    /// The place behind its last record of the epoch.
    pub position: Arc<Position>,
    /// Records of this shard that the epoch makes visible, over all sinks.
    pub records: u64,
    /// Dead letters of this shard in this epoch.
    pub dead_letters: u64,
}

impl Repair {
    /// Whether the transaction is to be aborted, which is known to be possible.
    #[must_use]
    pub fn aborts(self) -> bool {
        matches!(self, Repair::Abort | Repair::Later | Repair::Isolate)
    }
}

/// A call of the outlet did not do what it should.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct OutletError {
    /// What happened, for a person to read.
    pub message: String,
    /// What has to be done about it.
    pub repair: Repair,
}

/// What the committer does about an error. The client library decides the class, the type carries
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Make the same call again: its outcome is not known yet, and repeating it is safe.
    Again,
    /// Abort the transaction and send the epoch again.
    Abort,
    /// As [`Repair::Abort`], because the records were not taken in time: nothing is wrong with the
    /// epoch, so such an attempt counts towards no bound.
    Later,
    /// As [`Repair::Abort`], and the outlet has just learnt something of why the epoch was refused,
    /// so that the next attempt gets further. It must be able to say so finitely often per epoch
    /// only: such an attempt counts towards no bound.
    Isolate,
    /// The producer is lost or the outcome unknown: acquire, then compare the stored epoch.
    Acquire,
    /// The producers have seen trouble whose effect may come later, and may not begin another
    /// transaction: acquire once no commit is under way. Nothing has failed.
    Renew,
    /// A newer instance owns the pipeline.
    Superseded,
    /// Nothing here can heal it.
    Stop,
}
