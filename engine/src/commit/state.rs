//! Decides what may be done next about an epoch, and nothing else.
//!
//! Why apart: a decision without I/O, clock or threads can be tried under every order of events.
//! The committer asks [`Decision::next`], obeys, and reports what came of it.
//!
//! ```text
//!            batch of the lowest epoch          frontier passed it
//!   Idle ─────────────────────────────► Open ─────────────────────► Committing ──done──► Idle
//!    ▲                                   │ ▲                            │   │
//!    │                       must abort  │ │ aborted, sent again        │   └─ outcome unknown
//!    │                                   ▼ │                            ▼               │
//!    │                                 Aborting ◄────── must abort ─────┘               │
//!    │                                   │ lost                                         ▼
//!    └──── stored epoch says committed ──┴────────────────────────────────────────► Acquiring
//!          (else: open again, and send it all again)
//!
//!   any state ──superseded, or no repair is left──► Stopped (refuses everything)
//! ```
//!
//! Invariants
//! 1. At most one transaction is open, and it holds the lowest epoch that is not durable.
//! 2. An epoch is committed only after the frontier has passed it.
//! 3. An epoch counts as durable only after a commit was acknowledged, or after the stored
//!    progress, read under new ownership, says so.
//! 4. An epoch without a batch opens no transaction.
//! 5. A stopped machine never acts again.
//!
//! Next: `committer.rs` obeys it.

use crate::commit::frontier::Upper;
use crate::commit::outlet::{OutletError, Repair};
use crate::failure::Recovery;
use crate::ids::Epoch;
use crate::limits::{COMMIT_RETRIES_MAX, EPOCH_ATTEMPTS_MAX};
use std::collections::BTreeSet;

/// What the committer is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until the dataflow sends more.
    Wait,
    /// Begin a transaction and stage all batches kept for this epoch.
    Begin(Epoch),
    /// Commit the open transaction, which holds this epoch.
    Commit(Epoch),
    /// Abort the open transaction.
    Abort(Epoch),
    /// Take ownership anew and report the stored epoch.
    Acquire,
    /// Everything below is durable: forget its batches, give back its credit.
    Release(Epoch),
    /// All inputs have ended and everything is durable.
    Finish,
    /// Give up; the reason was reported with the event that led here.
    Stop(Recovery),
}

/// Where the machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No transaction is open.
    Idle,
    /// The transaction of `lowest` is open and takes records.
    Open,
    /// The commit of `lowest` was asked for and is not acknowledged.
    Committing,
    /// The transaction of `lowest` must be aborted.
    Aborting,
    /// It is not known who owns the pipeline, or whether `lowest` is committed.
    Acquiring,
    /// Nothing more will be done.
    Stopped(Recovery),
}

/// The machine.
#[derive(Debug)]
pub struct Decision {
    state: State,
    /// Every epoch below is durable.
    lowest: Epoch,
    /// What was last released.
    released: Epoch,
    /// Epochs that hold at least one batch and are not durable.
    filled: BTreeSet<Epoch>,
    upper: Upper,
    /// How often `lowest` was sent again.
    attempts: u32,
    /// How often the current call was repeated.
    retries: u32,
}

impl Decision {
    /// Starts at `first`, one past the last committed epoch.
    #[must_use]
    pub fn new(first: Epoch) -> Self {
        Decision {
            state: State::Idle,
            lowest: first,
            released: first,
            filled: BTreeSet::new(),
            upper: Upper::At(Epoch(0)),
            attempts: 0,
            retries: 0,
        }
    }

    /// The epoch whose transaction takes records now, if one does: its batches are staged on
    /// arrival.
    #[must_use]
    pub fn open(&self) -> Option<Epoch> {
        (self.state == State::Open).then_some(self.lowest)
    }

    /// Every epoch below this one is durable.
    #[must_use]
    pub fn lowest(&self) -> Epoch {
        self.lowest
    }

    /// How often the lowest epoch was sent again; the committer backs off by it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What to do next. Asking twice without an event in between gives the same answer.
    #[must_use]
    pub fn next(&self) -> Action {
        match self.state {
            State::Stopped(recovery) => Action::Stop(recovery),
            State::Acquiring => Action::Acquire,
            State::Aborting => Action::Abort(self.lowest),
            State::Committing => Action::Commit(self.lowest),
            _ if self.released < self.lowest => Action::Release(self.lowest),
            State::Open if self.passed(self.lowest) => Action::Commit(self.lowest),
            State::Open => Action::Wait,
            State::Idle => self.next_when_idle(),
        }
    }

    fn next_when_idle(&self) -> Action {
        match self.filled.first() {
            Some(epoch) if *epoch == self.lowest => Action::Begin(*epoch),
            // A gap of empty epochs below the next filled one is durable as soon as it is passed.
            Some(_) | None if self.empty_below() > self.lowest => {
                Action::Release(self.empty_below())
            }
            None if self.upper == Upper::End => Action::Finish,
            _ => Action::Wait,
        }
    }

    /// The epoch up to which nothing is filled and everything is passed.
    fn empty_below(&self) -> Epoch {
        let first_filled = self.filled.first().copied();
        match (self.upper, first_filled) {
            (Upper::At(upper), Some(filled)) => upper.min(filled),
            (Upper::At(upper), None) => upper,
            (Upper::End, Some(filled)) => filled,
            (Upper::End, None) => self.lowest,
        }
    }

    fn passed(&self, epoch: Epoch) -> bool {
        match self.upper {
            Upper::At(upper) => upper > epoch,
            Upper::End => true,
        }
    }

    /// A batch of `epoch` arrived.
    ///
    /// # Panics
    /// If the frontier had passed the epoch: timely promises that it has not.
    pub fn on_batch(&mut self, epoch: Epoch) {
        assert!(!self.passed(epoch), "a batch of epoch {epoch} came behind the frontier");
        assert!(epoch >= self.lowest, "a batch of epoch {epoch} came after its commit");
        self.filled.insert(epoch);
    }

    /// The frontier over all inputs moved.
    pub fn on_upper(&mut self, upper: Upper) {
        debug_assert!(upper >= self.upper, "the frontier only advances");
        self.upper = upper;
    }

    /// The transaction of the lowest epoch is open.
    pub fn on_begun(&mut self) {
        assert_eq!(self.state, State::Idle, "one transaction at a time");
        self.state = State::Open;
    }

    /// The commit was asked for; until its outcome is known nothing else may be done.
    pub fn on_commit_started(&mut self) {
        assert!(matches!(self.state, State::Open | State::Committing), "only an open one commits");
        assert!(self.passed(self.lowest), "only what the frontier has passed is committed");
        self.state = State::Committing;
    }

    /// The commit was acknowledged.
    pub fn on_committed(&mut self) {
        assert_eq!(self.state, State::Committing, "only a commit in progress is acknowledged");
        self.lowest_is_durable();
    }

    /// The abort was acknowledged: the epoch will be sent again.
    pub fn on_aborted(&mut self) {
        assert_eq!(self.state, State::Aborting, "only an abort in progress is acknowledged");
        self.send_again();
    }

    /// Ownership was taken anew; `stored` is the last epoch that is committed.
    pub fn on_acquired(&mut self, stored: Option<Epoch>) {
        assert_eq!(self.state, State::Acquiring, "ownership is taken only when it is in doubt");
        let committed = stored.is_some_and(|stored| stored >= self.lowest);
        if committed && self.filled.contains(&self.lowest) {
            self.lowest_is_durable();
        } else {
            self.send_again();
        }
    }

    /// A call failed. The outlet's word on what it needs decides; a bound on repeats ends in an
    /// acquisition, a bound on acquisitions and aborts in a rebuilt pipeline.
    pub fn on_error(&mut self, error: &OutletError) {
        self.state = match (error.repair, self.state) {
            (_, State::Stopped(recovery)) => State::Stopped(recovery),
            (Repair::Stop, _) => State::Stopped(Recovery::Stop),
            (Repair::Superseded, _) => State::Stopped(Recovery::Superseded),
            (Repair::Again, state) => {
                self.retries += 1;
                if self.retries > COMMIT_RETRIES_MAX { self.doubt() } else { state }
            }
            (Repair::Abort, State::Open | State::Committing) => State::Aborting,
            (Repair::Abort | Repair::Acquire, _) => self.doubt(),
        };
    }

    /// Releases were carried out.
    pub fn on_released(&mut self, below: Epoch) {
        assert!(below >= self.lowest, "only what is durable is released");
        self.lowest = below;
        self.released = below;
    }

    fn doubt(&mut self) -> State {
        self.retries = 0;
        self.attempts += 1;
        if self.attempts > EPOCH_ATTEMPTS_MAX {
            return State::Stopped(Recovery::Restart);
        }
        State::Acquiring
    }

    fn lowest_is_durable(&mut self) {
        self.filled.remove(&self.lowest);
        self.lowest = self.lowest.next();
        self.attempts = 0;
        self.retries = 0;
        self.state = State::Idle;
    }

    fn send_again(&mut self) {
        self.attempts += 1;
        self.retries = 0;
        self.state = if self.attempts > EPOCH_ATTEMPTS_MAX {
            State::Stopped(Recovery::Restart)
        } else {
            State::Idle
        };
    }
}

#[cfg(test)]
mod tests;
