//! The committer: one thread per pipeline that obeys the decision.
//!
//! Kafka's calls block for milliseconds and must not block a timely worker, so it has a thread of
//! its own, and a second one for the commit itself. It keeps every batch of an epoch until the
//! epoch is durable: an aborted transaction is repaired here, from memory, and no source is
//! rewound.
//!
//! Invariants
//! 1. Batches of the open epoch are staged on arrival, those of later epochs wait.
//! 2. A failed pipeline commits nothing more; its open transactions are aborted.
//! 3. Credit is given back only for epochs that are durable.
//!
//! Next: the outlet, `operators/src/sink/`.

use crate::commit::call::{Answer, CommitCalls};
use crate::commit::frontier::Frontier;
use crate::commit::observe::{CommitEvent, Committed, DurableBatches, Observer};
use crate::commit::outlet::{Outlet, OutletError, Repair, Sealed, ShardPosition};
use crate::commit::positions::positions;
use crate::commit::state::{Action, Decision};
use crate::dataflow::credit::Credit;
use crate::dataflow::epochs::Epochs;
use crate::dataflow::guard::panic_text;
use crate::dataflow::stage::ToCommitter;
use crate::failure::{Failure, FailureReason, Recovery};
use crate::fault::{self, Point};
use crate::ids::{Epoch, SinkIndex, Slot};
use crate::record::Batch;
use crossbeam_channel::{Receiver, select};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How often the outlet is polled while a transaction is open and nothing arrives.
const POLL_OPEN: Duration = Duration::from_millis(2);

/// How often it is polled while no transaction is open.
const POLL_IDLE: Duration = Duration::from_secs(1);

/// The wait before an epoch is sent again for the first time; doubles with each attempt.
const RESEND_BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The longest wait before an epoch is sent again.
const RESEND_BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Messages taken from the dataflow before the decision is asked again.
const RECEIVE_QUANTUM: usize = 256;

/// What a committer shares with the dataflow it serves.
pub struct CommitterPorts {
    /// Batches and frontiers of all stage operators.
    pub receiver: Receiver<ToCommitter>,
    /// How many stage operators report.
    pub inputs: usize,
    /// The pipeline's epochs.
    pub epochs: Arc<Epochs>,
    /// The pipeline's credit.
    pub credit: Arc<Credit>,
    /// The pipeline's failure.
    pub failure: Arc<Failure>,
}

/// The thread's state.
pub struct Committer {
    ports: CommitterPorts,
    outlet: Box<dyn Outlet>,
    calls: CommitCalls,
    decision: Decision,
    frontier: Frontier,
    kept: BTreeMap<Epoch, Vec<(SinkIndex, Batch)>>,
    sealed: Option<SealedEpoch>,
    last_error: Option<OutletError>,
    /// Whether the outlet may have a transaction open.
    has_transaction: bool,
    observer: Observer,
}

/// The epoch that is being committed.
struct SealedEpoch {
    epoch: Epoch,
    positions: Vec<ShardPosition>,
    /// When it was closed for good, on the process's monotonic clock.
    since: Duration,
    /// Away while the commit is under way.
    transaction: Option<Box<dyn Sealed>>,
}

impl Committer {
    /// Starts at the epoch that `ports.epochs` has open.
    #[must_use]
    pub fn new(ports: CommitterPorts, outlet: Box<dyn Outlet>, observer: Observer) -> Self {
        Committer {
            decision: Decision::new(ports.epochs.open(), outlet.ring()),
            frontier: Frontier::new(ports.inputs),
            calls: CommitCalls::start(),
            ports,
            outlet,
            kept: BTreeMap::new(),
            sealed: None,
            last_error: None,
            has_transaction: false,
            observer,
        }
    }

    /// Runs until everything is durable or the pipeline has failed. A panic fails the pipeline.
    pub fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| while self.turn() {}));
        if let Err(panic) = outcome {
            self.fail(format!("panicked: {}", panic_text(&*panic)), Recovery::Restart);
        }
    }

    /// One round: take what is there, then do what is due. False once there is nothing left to do.
    fn turn(&mut self) -> bool {
        self.receive();
        if self.ports.failure.is_set() {
            self.leave();
            return false;
        }
        match self.decision.next() {
            Action::Wait => self.wait(),
            Action::Begin(slot, epoch) => self.begin(slot, epoch),
            Action::Seal(epoch) => self.seal(epoch),
            Action::Commit(_) => self.commit(),
            Action::Abort => self.abort(),
            Action::Acquire => self.acquire(),
            Action::Release(below) => self.release(below),
            Action::Finish => return false,
            Action::Stop(recovery) => self.stop(recovery),
        }
        true
    }
}

/// What comes in.
impl Committer {
    fn receive(&mut self) {
        if let Ok(answer) = self.calls.answers().try_recv() {
            self.answered(answer);
        }
        for _ in 0..RECEIVE_QUANTUM {
            match self.ports.receiver.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
        self.outlet.poll();
    }

    fn take(&mut self, message: ToCommitter) {
        match message {
            ToCommitter::Staged { sink, epoch, batches } => {
                self.decision.on_batch(epoch);
                self.tell_filled(epoch, &batches);
                for batch in batches {
                    if self.decision.open() == Some(epoch) {
                        let staged = stage(&mut *self.outlet, sink, &batch);
                        self.note(staged);
                    }
                    self.kept.entry(epoch).or_default().push((sink, batch));
                }
            }
            ToCommitter::Passed { input, upper } => {
                self.frontier.advance(input, upper);
                self.decision.on_upper(self.frontier.upper());
            }
        }
    }

    fn wait(&mut self) {
        let is_open = self.decision.open().is_some();
        let timeout = if is_open { POLL_OPEN } else { POLL_IDLE };
        // Cloned, because what arrives is taken by `self`; a clone of a receiver is a counter.
        let (receiver, answers) = (self.ports.receiver.clone(), self.calls.answers().clone());
        select! {
            recv(receiver) -> message => match message {
                Ok(message) => self.take(message),
                // Every stage operator is gone without having reported its end: timely dropped
                // them. What they had reported was taken before.
                Err(_) => self.ended_early("the dataflow ended before its last epoch"),
            },
            recv(answers) -> answer => match answer {
                Ok(answer) => self.answered(answer),
                Err(_) => self.ended_early("a commit panicked"),
            },
            default(timeout) => {}
        }
    }

    fn ended_early(&mut self, why: &str) {
        self.fail(why.to_owned(), Recovery::Restart);
    }

    fn answered(&mut self, answer: Answer) {
        let sealed = self.sealed.as_mut().expect("only what is sealed is committed");
        if let Err(error) = answer.outcome {
            sealed.transaction = Some(answer.sealed);
            let error = self.outlet.commit_failed(error);
            self.tell_failed(&error);
            self.decision.on_commit_failed(&error);
            self.last_error = Some(error);
            return;
        }
        let sealed = self.sealed.take().expect("it was there");
        let took = self.ports.epochs.now().saturating_sub(sealed.since);
        let attempts = self.decision.resends();
        self.outlet.committed(sealed.epoch, &sealed.positions);
        self.decision.on_committed();
        self.has_transaction = self.decision.has_transaction();
        self.tell_committed(&sealed, took, attempts);
    }
}

/// What is due.
impl Committer {
    fn begin(&mut self, slot: Slot, epoch: Epoch) {
        // Beside a commit nothing was sent again, so there is nothing to wait for.
        if self.sealed.is_none() && !self.back_off() {
            return;
        }
        let begun = self.outlet.begin(slot, epoch);
        if !self.note(begun) {
            return;
        }
        self.has_transaction = true;
        self.decision.on_begun(epoch);
        fault::point(Point::SinkBegin);
        let kept = self.kept.get(&epoch).map_or(&[][..], Vec::as_slice);
        let outlet = &mut *self.outlet;
        let staged = kept.iter().try_for_each(|(sink, batch)| stage(outlet, *sink, batch));
        self.note(staged);
    }

    fn seal(&mut self, epoch: Epoch) {
        let since = self.ports.epochs.now();
        (self.observer)(&CommitEvent::Closed { epoch });
        fault::point(Point::SinkBeforeProgress);
        let kept = self.kept.get(&epoch).map_or(&[][..], Vec::as_slice);
        let positions = positions(kept, &self.outlet.set_aside(epoch));
        match self.outlet.seal(epoch, &positions) {
            Ok(transaction) => {
                let transaction = Some(transaction);
                self.sealed = Some(SealedEpoch { epoch, positions, since, transaction });
                self.decision.on_sealed();
                (self.observer)(&CommitEvent::Sealed { epoch });
            }
            Err(error) => {
                self.note(Err(error));
            }
        }
    }

    fn commit(&mut self) {
        fault::point(Point::SinkBeforeCommit);
        let sealed = self.sealed.as_mut().expect("only what is sealed is committed");
        let transaction = sealed.transaction.take().expect("no other commit is under way");
        self.decision.on_commit_started();
        self.calls.ask(transaction);
    }

    fn abort(&mut self) {
        self.sealed = None;
        match self.outlet.abort() {
            Ok(()) => {
                self.has_transaction = false;
                self.decision.on_aborted();
            }
            Err(error) => {
                self.tell_failed(&error);
                self.decision.on_abort_failed(&error);
                self.last_error = Some(error);
            }
        }
    }

    fn acquire(&mut self) {
        if !self.back_off() {
            return;
        }
        let attempts = self.decision.resends();
        match self.outlet.acquire() {
            Ok(stored) => {
                self.has_transaction = false;
                let in_doubt = self.sealed.take();
                let before = self.decision.lowest();
                self.decision.on_acquired(stored);
                if let Some(sealed) = in_doubt
                    && self.decision.lowest() > before
                {
                    self.tell_committed(&sealed, Duration::ZERO, attempts);
                }
            }
            Err(error) => {
                self.tell_failed(&error);
                self.decision.on_acquire_failed(&error);
                self.last_error = Some(error);
            }
        }
    }

    fn release(&mut self, below: Epoch) {
        self.kept = self.kept.split_off(&below);
        let bytes = self.ports.epochs.set_durable(below);
        self.ports.credit.give_back(bytes);
        self.decision.on_released(below);
    }
}

/// What is told to the observer.
impl Committer {
    /// An epoch's first batch has arrived, and is not kept yet.
    fn tell_filled(&mut self, epoch: Epoch, batches: &[Batch]) {
        if let Some(first) = batches.first()
            && !self.kept.contains_key(&epoch)
        {
            let received_ns = first.received.monotonic_ns;
            (self.observer)(&CommitEvent::Filled { epoch, received_ns });
        }
    }

    fn tell_failed(&mut self, error: &OutletError) {
        let attempts = self.decision.attempts();
        (self.observer)(&CommitEvent::Failed { error, attempts });
    }

    /// An epoch is durable; its batches are still kept.
    fn tell_committed(&mut self, sealed: &SealedEpoch, took: Duration, attempts: u32) {
        let SealedEpoch { epoch, positions, .. } = sealed;
        let kept = self.kept.get(epoch).map_or(&[][..], Vec::as_slice);
        let oldest = kept.iter().map(|(_, batch)| batch.received.monotonic_ns).min();
        (self.observer)(&CommitEvent::Committed(Committed {
            epoch: *epoch,
            positions,
            took,
            at: self.ports.epochs.now(),
            attempts,
            oldest_received_ns: oldest.unwrap_or(0),
            batches: DurableBatches::new(kept),
        }));
    }
}

/// When something fails.
impl Committer {
    fn stop(&mut self, recovery: Recovery) {
        let message = self
            .last_error
            .take()
            .map_or_else(|| "the epoch could not be committed".to_owned(), |error| error.message);
        self.fail(message, recovery);
    }

    /// Tells the decision about an error; true if there was none.
    fn note(&mut self, outcome: Result<(), OutletError>) -> bool {
        let Err(error) = outcome else { return true };
        self.tell_failed(&error);
        self.decision.on_error(&error);
        self.last_error = Some(error);
        false
    }

    /// Waits before an epoch is sent again; false if the pipeline failed meanwhile.
    fn back_off(&mut self) -> bool {
        let attempts = self.decision.attempts();
        if attempts == 0 {
            return true;
        }
        let backoff = RESEND_BACKOFF_MIN * 2u32.saturating_pow(attempts.min(16) - 1);
        let until = self.ports.epochs.now() + backoff.min(RESEND_BACKOFF_MAX);
        while self.ports.epochs.now() < until && !self.ports.failure.is_set() {
            self.outlet.poll();
            std::thread::sleep(RESEND_BACKOFF_MIN / 5);
        }
        !self.ports.failure.is_set()
    }

    /// A failed pipeline leaves no open transaction behind if it can help it: one would hide all
    /// later records of its partitions from readers until the broker gives up on it.
    fn leave(&mut self) {
        let is_committing = self.sealed.as_ref().is_some_and(|sealed| sealed.transaction.is_none());
        if is_committing {
            // What is being committed cannot be aborted; a call has a limit of its own.
            match self.calls.answers().recv() {
                Ok(answer) => self.answered(answer),
                Err(_) => return,
            }
        }
        if self.has_transaction
            && let Err(error) = self.outlet.abort()
            && error.repair == Repair::Again
        {
            let _ = self.outlet.abort();
        }
    }

    fn fail(&mut self, message: String, recovery: Recovery) {
        let place = "committer".to_owned();
        self.ports.failure.set(FailureReason { place, message, recovery });
        self.ports.epochs.wake_all();
    }
}

/// Puts a batch into the open transaction.
fn stage(outlet: &mut dyn Outlet, sink: SinkIndex, batch: &Batch) -> Result<(), OutletError> {
    outlet.stage(sink, batch)?;
    fault::point(Point::SinkMid);
    Ok(())
}
