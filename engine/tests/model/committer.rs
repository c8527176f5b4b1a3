//! The committer's loop, step by step as `engine/src/commit/committer.rs` runs it: take what is
//! there, ask the product's `Decision`, obey.
//!
//! A call that blocks the real thread is kept in [`Call`], so that anything may happen before its
//! end. A commit blocks nobody: it has a thread of its own.
//!
//! Next: `process.rs` is the program around it.

use crate::check::Checker;
use crate::log::Writer;
use crate::outlet::{Outlet, producer};
use crate::producer::{Fault, Producer, State};
use crate::protection::{Protection, Without};
use crate::source::{Message, Run, SHARDS, Source};
use crate::takeover::{Acquired, Failed, Outside, Takeover};
use headwater_engine::commit::frontier::Frontier;
use headwater_engine::commit::outlet::{OutletError, Repair};
use headwater_engine::commit::progress::StoredProgress;
use headwater_engine::commit::state::{Action, Decision};
use headwater_engine::failure::Recovery;
use headwater_engine::ids::{Epoch, Generation};
use std::collections::BTreeMap;

/// What the committer's thread is blocked on.
#[derive(Clone, Debug)]
pub enum Call {
    None,
    Seal(u64),
    /// Ends the open transactions, the newest first; whether the newest was asked.
    Abort(bool),
    /// Takes one id anew and alone, if that mistake is made.
    Replace(u16),
    Acquire(Box<Takeover>),
}

/// A turn's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Moved,
    Blocked,
    Finished,
    Stopped(Recovery),
}

#[derive(Clone, Debug)]
pub struct Committer {
    pub decision: Decision,
    pub frontier: Frontier,
    pub kept: BTreeMap<u64, Vec<Run>>,
    pub outlet: Outlet,
    pub call: Call,
    /// The epoch that was sealed, and whether its commit is under way.
    pub sealed: Option<(u64, bool)>,
    /// The client of the next epoch, whose commit goes ahead, if that protection is off; and
    /// whether it was asked for.
    pub ahead: Option<(u16, bool)>,
    pub source: Source,
    pub process: u8,
    pub ring: u8,
    pub held: Generation,
    pub term: u16,
    without: Without,
}

impl Committer {
    pub fn new(acquired: &Acquired, by: Writer, length: u16, without: Without) -> Self {
        let stored = &acquired.stored;
        let first = stored.epoch().map_or(Epoch(1), Epoch::next);
        let Acquired { who, .. } = acquired;
        Committer {
            decision: Decision::new(first, u32::from(who.ring)),
            frontier: Frontier::new(SHARDS),
            kept: BTreeMap::new(),
            outlet: Outlet::new(acquired, by, without),
            call: Call::None,
            sealed: None,
            ahead: None,
            source: Source::new(places(stored), length, first, who.ring),
            process: who.process,
            ring: who.ring,
            held: Generation(who.generation),
            term: by.term,
            without,
        }
    }

    pub fn turn(&mut self, outside: &mut Outside<'_>, checker: &mut Checker) -> Turn {
        let moved = match &self.call {
            Call::None => return self.decide(outside, checker),
            Call::Seal(epoch) => self.sealing(outside, *epoch),
            Call::Abort(is_asked) => self.aborting(outside, checker, *is_asked),
            Call::Replace(client) => self.replacing(outside, *client),
            Call::Acquire(_) => self.acquiring(outside),
        };
        if moved { Turn::Moved } else { Turn::Blocked }
    }

    fn decide(&mut self, outside: &mut Outside<'_>, checker: &mut Checker) -> Turn {
        if self.receive(outside) {
            return Turn::Moved;
        }
        match self.decision.next() {
            Action::Wait => return self.go_ahead(outside),
            Action::Begin(slot, epoch) => self.begin(outside, checker, slot.0 as usize, epoch.0),
            Action::Seal(epoch) => self.seal(outside, epoch.0),
            Action::Commit(_) => self.commit(outside, checker),
            Action::Abort => {
                self.sealed = None;
                self.ahead = None;
                self.outlet.forget_sent();
                self.call = Call::Abort(false);
            }
            Action::Acquire => self.acquire(outside),
            Action::Release(below) => {
                self.kept = self.kept.split_off(&below.0);
                self.source.set_durable(below);
                self.decision.on_released(below);
            }
            Action::Finish => return Turn::Finished,
            Action::Stop(recovery) => return Turn::Stopped(recovery),
        }
        Turn::Moved
    }
}

/// What comes in.
impl Committer {
    fn receive(&mut self, outside: &mut Outside<'_>) -> bool {
        if let Some((epoch, true)) = self.sealed {
            let head = self.outlet.head();
            if let Some(done) = producer(outside, head).done() {
                self.answered(epoch, done);
                return true;
            }
        }
        let Some(message) = self.source.sent.pop_front() else { return false };
        self.take(outside, message);
        true
    }

    fn take(&mut self, outside: &mut Outside<'_>, message: Message) {
        match message {
            Message::Staged(epoch, run) => {
                self.decision.on_batch(Epoch(epoch));
                if self.decision.open() == Some(Epoch(epoch)) {
                    let staged = self.outlet.stage(outside, run);
                    self.note(staged);
                }
                self.kept.entry(epoch).or_default().push(run);
            }
            Message::Passed(input, upper) => {
                self.frontier.advance(usize::from(input), upper.map(Epoch));
                self.decision.on_upper(self.frontier.upper());
            }
        }
    }

    /// A commit was answered.
    pub fn answered(&mut self, epoch: u64, outcome: Result<(), Fault>) {
        if let Err(fault) = outcome {
            self.sealed = Some((epoch, false));
            let is_rash = self.without.lacks(Protection::NoAbortInDoubt)
                || self.without.lacks(Protection::SettledByStored);
            let is_doubt = fault == Fault::Again;
            let fault = if is_doubt && is_rash { Fault::Abort } else { fault };
            self.decision.on_commit_failed(&error(fault.repair()));
            return;
        }
        self.sealed = None;
        self.outlet.committed(&self.kept[&epoch]);
        self.decision.on_committed();
    }
}

/// What is due.
impl Committer {
    fn begin(&mut self, outside: &mut Outside<'_>, checker: &mut Checker, slot: usize, epoch: u64) {
        let begun = self.outlet.begin(outside, checker, slot, epoch);
        if !self.note(begun) {
            return;
        }
        self.decision.on_begun(Epoch(epoch));
        let kept = self.kept.get(&epoch).cloned().unwrap_or_default();
        let staged = kept.iter().try_for_each(|run| self.outlet.stage(outside, *run));
        self.note(staged);
    }

    fn seal(&mut self, outside: &mut Outside<'_>, epoch: u64) {
        if self.ahead.is_some() {
            self.call = Call::Seal(epoch);
            return;
        }
        let sent = self.outlet.send_positions(outside, 0, &self.kept[&epoch]);
        if self.note(sent) {
            self.call = Call::Seal(epoch);
        }
    }

    fn sealing(&mut self, outside: &mut Outside<'_>, epoch: u64) -> bool {
        let head = producer(outside, self.outlet.head());
        if !head.is_drained() {
            return false;
        }
        let went_ahead = self.ahead.take();
        let outcome = if went_ahead.is_some() { Ok(()) } else { head.judge_drained() };
        self.call = Call::None;
        if self.note(outcome) {
            self.sealed = Some((epoch, false));
            self.decision.on_sealed();
        }
        true
    }

    fn commit(&mut self, outside: &mut Outside<'_>, checker: &mut Checker) {
        let (epoch, _) = self.sealed.expect("only what is sealed is committed");
        checker.rule(self.kept.contains_key(&epoch), "an epoch is kept until it is durable");
        self.outlet.check_commit(outside, checker);
        self.decision.on_commit_started();
        self.sealed = Some((epoch, true));
        let Outside { net, clients, .. } = outside;
        let head = clients.get_mut(&self.outlet.head()).expect("a client of the ring");
        if let Some(outcome) = head.commit(net) {
            self.answered(epoch, outcome);
        }
    }

    /// The mistake of asking for a commit before the one in front of it is answered.
    fn go_ahead(&mut self, outside: &mut Outside<'_>) -> Turn {
        let is_off = self.without.lacks(Protection::OneInDoubt);
        let Some(&(slot, epoch)) = self.outlet.open.get(1).filter(|_| is_off) else {
            return Turn::Blocked;
        };
        let has_passed =
            self.frontier.upper() > headwater_engine::commit::frontier::Upper::At(Epoch(epoch));
        let client = self.outlet.ring[slot];
        match self.ahead {
            None if has_passed => {
                let sent = self.outlet.send_positions(outside, 1, &self.kept[&epoch]);
                self.note(sent);
                self.ahead = Some((client, false));
            }
            Some((_, false)) if outside.clients[&client].is_drained() => {
                let Outside { net, clients, .. } = outside;
                clients.get_mut(&client).expect("a client of the ring").commit(net);
                self.ahead = Some((client, true));
            }
            _ => return Turn::Blocked,
        }
        Turn::Moved
    }

    fn aborting(
        &mut self,
        outside: &mut Outside<'_>,
        checker: &mut Checker,
        is_asked: bool,
    ) -> bool {
        let Some(&(slot, _)) = self.outlet.open.back() else {
            self.call = Call::None;
            self.decision.on_aborted();
            let is_open = |client: &u16| outside.clients[client].state == State::Open;
            let any = self.outlet.ring.iter().any(is_open);
            checker.rule(!any, "if an epoch aborts, all that are open do");
            return true;
        };
        let client = self.outlet.ring[slot];
        let Outside { net, clients, .. } = outside;
        let newest = clients.get_mut(&client).expect("a client of the ring");
        let is_rash = self.without.lacks(Protection::SettledByStored);
        if is_rash && matches!(newest.state, State::Committing | State::Committed) {
            self.replace(outside, slot);
            return true;
        }
        let outcome = if is_asked { None } else { newest.abort(net) };
        let Some(outcome) = outcome.or_else(|| newest.done()) else {
            self.call = Call::Abort(true);
            return !is_asked;
        };
        self.aborted(outcome);
        true
    }

    /// The newest open transaction is aborted, or not.
    pub fn aborted(&mut self, outcome: Result<(), Fault>) {
        match outcome {
            Ok(()) => {
                self.outlet.open.pop_back();
                self.call = Call::Abort(false);
            }
            Err(fault) => {
                self.call = Call::None;
                self.decision.on_abort_failed(&error(fault.repair()));
            }
        }
    }

    /// The mistake of taking an id anew, alone, and reading nothing.
    fn replace(&mut self, outside: &mut Outside<'_>, slot: usize) {
        let old = outside.clients.remove(&self.outlet.ring[slot]).expect("a client of the ring");
        old.drop_lines(outside.net);
        let client = outside.client();
        let fresh = Producer::init(outside.net, old.id, self.process, client, self.without);
        outside.clients.insert(client, fresh);
        self.outlet.ring[slot] = client;
        self.call = Call::Replace(client);
    }

    fn replacing(&mut self, outside: &mut Outside<'_>, client: u16) -> bool {
        let done = producer(outside, client).done();
        if let Some(outcome) = done {
            self.aborted(outcome);
        }
        done.is_some()
    }
}

/// Taking over again.
impl Committer {
    fn acquire(&mut self, outside: &mut Outside<'_>) {
        self.outlet.forget_sent();
        self.outlet.open.clear();
        self.ahead = None;
        let held = Some(self.held);
        let takeover = Takeover::start(outside, self.process, self.ring, held, self.without);
        self.call = Call::Acquire(Box::new(takeover));
    }

    fn acquiring(&mut self, outside: &mut Outside<'_>) -> bool {
        let Call::Acquire(takeover) = &mut self.call else { unreachable!("it is acquiring") };
        match takeover.turn(outside) {
            Ok(moved) => moved,
            Err(failed) => {
                self.not_acquired(outside, failed);
                true
            }
        }
    }

    pub fn not_acquired(&mut self, outside: &mut Outside<'_>, failed: Failed) {
        let call = std::mem::replace(&mut self.call, Call::None);
        let Call::Acquire(mut takeover) = call else { unreachable!("it is acquiring") };
        takeover.withdraw(outside);
        takeover.plain.drop_line(outside.net);
        let repair = match failed {
            Failed::Superseded => Repair::Superseded,
            Failed::MayHeal => Repair::Acquire,
        };
        self.decision.on_acquire_failed(&error(repair));
    }

    /// The pipeline is ours again: what was not committed is sent again.
    pub fn reacquired(&mut self, outside: &mut Outside<'_>, acquired: &Acquired, by: Writer) {
        let call = std::mem::replace(&mut self.call, Call::None);
        let Call::Acquire(takeover) = call else { unreachable!("it is acquiring") };
        takeover.plain.drop_line(outside.net);
        for client in &self.outlet.ring {
            if let Some(old) = outside.clients.remove(client) {
                old.drop_lines(outside.net);
            }
        }
        let plain = self.outlet.plain.take();
        self.outlet = Outlet::new(acquired, by, self.without);
        self.outlet.plain = plain;
        self.held = Generation(acquired.who.generation);
        self.term = by.term;
        self.sealed = None;
        self.decision.on_acquired(acquired.stored.epoch());
    }

    /// Tells the decision about an error; true if there was none.
    fn note(&mut self, outcome: Result<(), Fault>) -> bool {
        let Err(fault) = outcome else { return true };
        self.decision.on_error(&error(fault.repair()));
        false
    }
}

fn error(repair: Repair) -> OutletError {
    OutletError { message: String::new(), repair }
}

/// Where each shard goes on.
fn places(stored: &StoredProgress) -> [u16; SHARDS] {
    std::array::from_fn(|index| {
        let shard = u8::try_from(index).expect("few shards");
        let known = stored.shards.get(&crate::fold::shard_key(shard));
        let next = known.map_or(0, |known| known.position.next_sequence.0);
        u16::try_from(next).expect("a short input")
    })
}

impl Committer {
    /// For telling states apart: everything that decides what comes next.
    pub fn fingerprint(&self) -> String {
        let Committer { decision, frontier, kept, outlet, sealed, ahead, source, .. } = self;
        let call = match &self.call {
            Call::Acquire(takeover) => takeover.fingerprint(),
            other => format!("{other:?}"),
        };
        format!("{decision:?}{frontier:?}{kept:?}{outlet:?}{call}{sealed:?}{ahead:?}{source:?}")
    }
}
