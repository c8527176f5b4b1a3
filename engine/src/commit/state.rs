//! Decides what may be done next about an epoch, and nothing else.
//!
//! Why apart: a decision without I/O, clock or threads can be tried under every order of events.
//! The committer asks [`Decision::next`], obeys, and reports what came of it.
//!
//! An epoch's transaction runs through these stages:
//!
//! ```text
//!   begin          frontier passed it,         commit asked for         acknowledged
//!  ───────► Open ────────────────────► Sealed ───────────────► Committing ───────► durable
//!             records are sent         all of it, positions       │   ▲
//!                                      too, is acknowledged       └───┘ no answer: asked again
//! ```
//!
//! Two producers or more make a ring. Then the next epoch's transaction may open, on the next
//! producer, while the commit of the one before it is under way. All of an epoch is acknowledged
//! before it is committed, so no partition sees a record of the next epoch before the last of this
//! one.
//!
//! Trouble is dealt with once no commit is under way: *abort* ends every open transaction and
//! sends their epochs again from the lowest; *acquire* takes the pipeline over anew, and the stored
//! epoch tells whether the commit in doubt took place.
//!
//! Invariants
//! 1. Transactions are begun and committed in the order of their epochs. At most two are open, and
//!    only the lower one is committed: one commit at most is in doubt.
//! 2. An epoch is sealed only after the frontier has passed it, committed only after it is sealed.
//! 3. An epoch counts as durable only after a commit was acknowledged, or after the stored
//!    progress, read under new ownership, says so.
//! 4. The first commit after taking over goes through slot 0, which a rival takes first: so who
//!    was overtaken while taking over commits nothing.
//! 5. An epoch without a batch opens no transaction.
//! 6. A stopped machine never acts again.
//!
//! Next: `committer.rs` obeys it.

use crate::commit::frontier::Upper;
use crate::commit::outlet::{OutletError, Repair};
use crate::failure::Recovery;
use crate::ids::{Epoch, Slot};
use crate::limits::{COMMIT_RETRIES_MAX, EPOCH_ATTEMPTS_MAX};
use std::collections::{BTreeSet, VecDeque};

/// What the committer is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until the dataflow sends more or a commit is answered.
    Wait,
    /// Begin a transaction on this producer and stage all batches kept for this epoch.
    Begin(Slot, Epoch),
    /// Send the positions of this epoch into its transaction and wait for all acknowledgements.
    Seal(Epoch),
    /// Ask for the commit of the sealed transaction of this epoch, without waiting for the answer.
    Commit(Epoch),
    /// Abort every open transaction.
    Abort,
    /// Take ownership anew and report the stored epoch.
    Acquire,
    /// Everything below is durable: forget its batches, give back its credit.
    Release(Epoch),
    /// All inputs have ended and everything is durable.
    Finish,
    /// Give up; the reason was reported with the event that led here.
    Stop(Recovery),
}

/// How far the transaction of an epoch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It takes records.
    Open,
    /// Records and positions are acknowledged.
    Sealed,
    /// A commit was asked for and is not answered.
    Committing,
    /// A commit was asked for and its outcome is not known.
    Unanswered,
}

#[derive(Clone, Copy, Debug)]
struct Transaction {
    epoch: Epoch,
    stage: Stage,
}

/// What has to be done before anything else, once no commit is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Abort,
    Acquire,
    Stop(Recovery),
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Decision {
    /// How many producers take turns.
    ring: u32,
    /// In the order of their epochs.
    transactions: VecDeque<Transaction>,
    due: Due,
    /// Commits acknowledged since the pipeline was last taken over.
    commits: u64,
    /// Every epoch below is durable.
    lowest: Epoch,
    /// What was last released.
    released: Epoch,
    /// Epochs that hold at least one batch and are not durable.
    filled: BTreeSet<Epoch>,
    upper: Upper,
    /// How often the lowest epoch was sent again without being any wiser.
    attempts: u32,
    /// How often it was sent again because nobody answered in time.
    delays: u32,
    /// How often taking over failed since it became due.
    misses: u32,
    /// How often it was sent again, whatever for.
    resends: u32,
    /// Whether the abort that is due follows from something new about the epoch.
    is_wiser: bool,
    /// Whether what is due follows from nobody answering in time.
    is_delayed: bool,
    /// How often the current call was repeated.
    retries: u32,
}

/// What the decision is told.
impl Decision {
    /// Starts at `first`, one past the last committed epoch, with `ring` producers.
    ///
    /// # Panics
    /// Without a producer.
    #[must_use]
    pub fn new(first: Epoch, ring: u32) -> Self {
        assert!(ring > 0, "a pipeline has a producer");
        Decision {
            ring,
            transactions: VecDeque::new(),
            due: Due::Nothing,
            commits: 0,
            lowest: first,
            released: first,
            filled: BTreeSet::new(),
            upper: Upper::At(Epoch(0)),
            attempts: 0,
            delays: 0,
            misses: 0,
            resends: 0,
            is_wiser: false,
            is_delayed: false,
            retries: 0,
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

    /// The transaction that [`Action::Begin`] named is open.
    pub fn on_begun(&mut self, epoch: Epoch) {
        let before = self.transactions.back();
        assert!(before.is_none_or(|before| before.epoch < epoch), "epochs begin in their order");
        self.transactions.push_back(Transaction { epoch, stage: Stage::Open });
    }

    /// Everything of the lowest open transaction is acknowledged.
    pub fn on_sealed(&mut self) {
        self.move_head(Stage::Open, Stage::Sealed);
        self.retries = 0;
    }

    /// The commit was asked for; until it is answered nothing else is done about its epoch.
    pub fn on_commit_started(&mut self) {
        let head = self.transactions.front_mut().expect("a commit has a transaction");
        assert!(matches!(head.stage, Stage::Sealed | Stage::Unanswered), "only sealed ones commit");
        head.stage = Stage::Committing;
    }

    /// The commit was acknowledged.
    pub fn on_committed(&mut self) {
        let head = self.transactions.pop_front().expect("a commit has a transaction");
        assert_eq!(head.stage, Stage::Committing, "only a commit under way is acknowledged");
        self.commits += 1;
        self.is_durable(head.epoch);
    }

    /// The commit was answered with an error; only one that must be aborted is known to have come
    /// to nothing.
    pub fn on_commit_failed(&mut self, error: &OutletError) {
        let known = error.repair.aborts();
        let stage = if known { Stage::Sealed } else { Stage::Unanswered };
        self.move_head(Stage::Committing, stage);
        self.on_error(error);
    }

    /// Every transaction is aborted: their epochs will be sent again.
    pub fn on_aborted(&mut self) {
        assert_eq!(self.due, Due::Abort, "nothing is aborted without need");
        self.due = Due::Nothing;
        self.transactions.clear();
        self.send_again();
    }

    /// An abort failed. What cannot even be aborted is lost, so the pipeline is taken over anew.
    pub fn on_abort_failed(&mut self, error: &OutletError) {
        if error.repair.aborts() {
            let due = self.doubt();
            self.due = graver(self.due, due);
        } else {
            self.on_error(error);
        }
    }

    /// Ownership was taken anew; `stored` is the last epoch that is committed.
    pub fn on_acquired(&mut self, stored: Option<Epoch>) {
        assert_eq!(self.due, Due::Acquire, "ownership is taken only when it is in doubt");
        self.due = Due::Nothing;
        self.misses = 0;
        self.commits = 0;
        let in_doubt = self.transactions.front().map(|head| head.epoch);
        self.transactions.clear();
        match in_doubt {
            Some(epoch) if stored.is_some_and(|stored| stored >= epoch) => self.is_durable(epoch),
            Some(_) => self.send_again(),
            None if self.is_delayed => self.delay(),
            None => {}
        }
    }

    /// Taking over failed. Where that may heal it is tried for as long as it takes: nothing is
    /// learned about the epoch, and a rebuilt pipeline would wait for the same cluster, with what
    /// it had received thrown away.
    pub fn on_acquire_failed(&mut self, error: &OutletError) {
        assert_eq!(self.due, Due::Acquire, "ownership is taken only when it is in doubt");
        match error.repair {
            Repair::Acquire => self.misses = self.misses.saturating_add(1),
            _ => self.on_error(error),
        }
    }

    /// A call failed. The outlet's word on what it needs decides; a bound on repeats ends in an
    /// acquisition, a bound on acquisitions that help nothing and on aborts in a rebuilt pipeline.
    /// An epoch that is not taken in time, as by a partition with too few replicas, is sent again
    /// for as long as it takes, for the reason given at [`Decision::on_acquire_failed`].
    pub fn on_error(&mut self, error: &OutletError) {
        let due = match error.repair {
            Repair::Again => self.again(),
            Repair::Abort => Due::Abort,
            Repair::Later => {
                self.is_delayed = true;
                Due::Abort
            }
            Repair::Isolate => {
                self.is_wiser = true;
                Due::Abort
            }
            Repair::Acquire => self.doubt(),
            Repair::Renew => Due::Acquire,
            Repair::Superseded => Due::Stop(Recovery::Superseded),
            Repair::Stop => Due::Stop(Recovery::Stop),
        };
        self.due = graver(self.due, due);
    }

    /// Releases were carried out.
    pub fn on_released(&mut self, below: Epoch) {
        assert!(below >= self.lowest, "only what is durable is released");
        self.lowest = below;
        self.released = below;
    }
}

/// What the decision says.
impl Decision {
    /// The epoch whose transaction takes records now, if one does: its batches are staged on
    /// arrival.
    #[must_use]
    pub fn open(&self) -> Option<Epoch> {
        let last = self.transactions.back()?;
        (last.stage == Stage::Open && self.due == Due::Nothing).then_some(last.epoch)
    }

    /// Whether any transaction may be open.
    #[must_use]
    pub fn has_transaction(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// Every epoch below this one is durable.
    #[must_use]
    pub fn lowest(&self) -> Epoch {
        self.lowest
    }

    /// How often the lowest epoch was sent again without being any wiser, and taking over failed
    /// since; the committer backs off by it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts.saturating_add(self.delays).saturating_add(self.misses)
    }

    /// How often the lowest epoch was sent again.
    #[must_use]
    pub fn resends(&self) -> u32 {
        self.resends
    }

    /// What to do next. Asking twice without an event in between gives the same answer.
    #[must_use]
    pub fn next(&self) -> Action {
        let head = self.transactions.front();
        match (self.due, head.map(|head| head.stage)) {
            (Due::Stop(recovery), _) => Action::Stop(recovery),
            (_, Some(Stage::Committing)) => self.next_beside_commit(),
            // An unanswered commit may have taken place: it is asked again and never aborted.
            (Due::Abort, Some(Stage::Unanswered)) => self.next_of_head(Stage::Unanswered),
            (Due::Abort, _) => Action::Abort,
            (Due::Acquire, _) => Action::Acquire,
            (Due::Nothing, _) if self.released < self.lowest => Action::Release(self.lowest),
            (Due::Nothing, None) => self.next_when_idle(),
            (Due::Nothing, Some(stage)) => self.next_of_head(stage),
        }
    }

    /// While a commit is under way the next epoch may begin, if there is a producer for it.
    fn next_beside_commit(&self) -> Action {
        let has_room = self.ring > 1 && self.transactions.len() == 1;
        match self.candidate() {
            _ if self.due != Due::Nothing => Action::Wait,
            Some(epoch) if has_room => Action::Begin(self.slot(1), epoch),
            _ => Action::Wait,
        }
    }

    fn next_of_head(&self, stage: Stage) -> Action {
        let epoch = self.transactions[0].epoch;
        match stage {
            Stage::Open if self.passed(epoch) => Action::Seal(epoch),
            Stage::Open => Action::Wait,
            Stage::Sealed | Stage::Unanswered | Stage::Committing => Action::Commit(epoch),
        }
    }

    fn next_when_idle(&self) -> Action {
        if let Some(epoch) = self.candidate() {
            return Action::Begin(self.slot(0), epoch);
        }
        match (self.upper, self.filled.is_empty()) {
            // Epochs that stayed empty are durable as soon as they are passed.
            (Upper::At(upper), true) if upper > self.lowest => Action::Release(upper),
            (Upper::End, true) => Action::Finish,
            _ => Action::Wait,
        }
    }

    /// The next epoch to begin: the lowest with a batch that has no transaction yet, once nothing
    /// below it can come any more.
    fn candidate(&self) -> Option<Epoch> {
        let last = self.transactions.back().map(|last| last.epoch);
        let above = |epoch: &&Epoch| last.is_none_or(|last| **epoch > last);
        let epoch = *self.filled.iter().find(above)?;
        let is_next = epoch == last.map_or(self.lowest, Epoch::next);
        (is_next || self.upper >= Upper::At(epoch)).then_some(epoch)
    }

    /// The producer whose turn comes `ahead` of the lowest transaction.
    fn slot(&self, ahead: u64) -> Slot {
        let turn = (self.commits + ahead) % u64::from(self.ring);
        Slot(u32::try_from(turn).expect("a turn is below the ring's size"))
    }

    fn passed(&self, epoch: Epoch) -> bool {
        self.upper > Upper::At(epoch)
    }
}

/// Steps that several events share.
impl Decision {
    fn move_head(&mut self, from: Stage, to: Stage) {
        let head = self.transactions.front_mut().expect("the event names a transaction");
        assert_eq!(head.stage, from, "epoch {} cannot become {to:?}", head.epoch);
        head.stage = to;
    }

    fn again(&mut self) -> Due {
        self.retries += 1;
        if self.retries <= COMMIT_RETRIES_MAX {
            return Due::Nothing;
        }
        self.is_delayed = true;
        self.doubt()
    }

    fn doubt(&mut self) -> Due {
        self.retries = 0;
        if !self.is_delayed {
            self.attempts += 1;
        }
        if self.attempts > EPOCH_ATTEMPTS_MAX {
            return Due::Stop(Recovery::Restart);
        }
        Due::Acquire
    }

    fn is_durable(&mut self, epoch: Epoch) {
        self.filled.remove(&epoch);
        self.lowest = epoch.next();
        self.attempts = 0;
        self.delays = 0;
        self.resends = 0;
        self.retries = 0;
        self.is_delayed = false;
    }

    fn delay(&mut self) {
        self.delays = self.delays.saturating_add(1);
        self.is_delayed = false;
    }

    fn send_again(&mut self) {
        self.resends += 1;
        self.retries = 0;
        match (self.is_wiser, self.is_delayed) {
            // An attempt that gets further than the last one is no repetition of it.
            (true, _) => (self.attempts, self.delays) = (0, 0),
            (false, true) => self.delay(),
            (false, false) => self.attempts += 1,
        }
        (self.is_wiser, self.is_delayed) = (false, false);
        if self.attempts > EPOCH_ATTEMPTS_MAX {
            self.due = Due::Stop(Recovery::Restart);
        }
    }
}

/// What asks for more hides what asks for less: taking over aborts as well, and a machine that is
/// stopped stays so.
fn graver(one: Due, other: Due) -> Due {
    let gravity = |due: &Due| match due {
        Due::Nothing => 0,
        Due::Abort => 1,
        Due::Acquire => 2,
        Due::Stop(_) => 3,
    };
    if gravity(&other) > gravity(&one) { other } else { one }
}

#[cfg(test)]
mod tests;
