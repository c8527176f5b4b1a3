//! A transactional producer as librdkafka has it, under the calls of the Kafka sink's own wrapper.
//!
//! - Records wait until their partition is in the transaction (`AddPartitionsToTxn`).
//! - What a broken connection left unanswered is sent again on the next one, silently.
//! - Of what the broker refuses, a retriable refusal is asked again, a record that is given up
//!   makes the transaction one to abort, and all else costs the producer.
//! - Calls may be given up by their caller and go on in the background; the next call resumes them.
//!
//! Next: `outlet.rs` has a ring of them.

use crate::kafka::{Answer, DATA_PARTITIONS, Refusal, Request};
use crate::log::{Entry, Pid};
use crate::net::{Address, Line, Net, Side};
use crate::protection::{Protection, Without};
use headwater_engine::commit::outlet::Repair;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Initialising,
    /// The caller has not been told yet; so with the other two below.
    Taken,
    Ready,
    Open,
    Committing,
    Committed,
    Aborting,
    Aborted,
    /// The abort left records undelivered: the numbering begins anew in a raised epoch.
    Raising,
    /// A fatal error.
    Lost,
}

#[derive(Clone, Debug, Hash)]
pub struct Producer {
    pub id: u8,
    pub state: State,
    pub is_tainted: bool,
    /// The wrapper's own note that a transaction is neither committed nor aborted.
    pub is_open: bool,
    coordinator: Line,
    leader: Line,
    of: Address,
    who: (Pid, u16),
    /// Partitions of the open transaction, those asked for and those still to be asked for.
    added: u8,
    asked: u8,
    queues: [VecDeque<Vec<Entry>>; DATA_PARTITIONS + 1],
    next_seq: [u16; DATA_PARTITIONS + 1],
    /// A record was given up.
    has_failed: bool,
    /// A record may or may not be in the log.
    has_hole: bool,
    /// What the call that is under way came to.
    done: Option<Result<(), Fault>>,
    without: Without,
}

/// An error's class, as `Repair`, which cannot be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    Again,
    Abort,
    Later,
    Acquire,
    Renew,
}

impl Fault {
    pub fn repair(self) -> Repair {
        match self {
            Fault::Again => Repair::Again,
            Fault::Abort => Repair::Abort,
            Fault::Later => Repair::Later,
            Fault::Acquire => Repair::Acquire,
            Fault::Renew => Repair::Renew,
        }
    }
}

/// The calls.
impl Producer {
    /// Begins to take `id`; the outcome comes by [`Producer::done`].
    pub fn init(net: &mut Net, id: u8, process: u8, client: u16, without: Without) -> Self {
        let of = Address { process, client, side: Side::Coordinator };
        let leader = Line::open(net, Address { side: Side::Leader, ..of });
        let mut coordinator = Line::open(net, of);
        coordinator.send(net, Request::Init { id, current: None });
        Producer {
            id,
            state: State::Initialising,
            is_tainted: false,
            is_open: false,
            coordinator,
            leader,
            of,
            who: (0, 0),
            added: 0,
            asked: 0,
            queues: Default::default(),
            next_seq: [0; DATA_PARTITIONS + 1],
            has_failed: false,
            has_hole: false,
            done: None,
            without,
        }
    }

    pub fn begin(&mut self) -> Result<(), Fault> {
        if self.is_tainted && !self.without.lacks(Protection::Taint) {
            return Err(Fault::Renew);
        }
        if self.state != State::Ready {
            return Err(Fault::Acquire);
        }
        (self.state, self.is_open) = (State::Open, true);
        (self.added, self.asked) = (0, 0);
        Ok(())
    }

    pub fn send(
        &mut self,
        net: &mut Net,
        partition: usize,
        entries: Vec<Entry>,
    ) -> Result<(), Fault> {
        if self.state != State::Open {
            return Err(Fault::Acquire);
        }
        self.queues[partition].push_back(entries);
        self.push(net);
        Ok(())
    }

    /// Whether nothing is in flight.
    pub fn is_drained(&self) -> bool {
        self.leader.is_idle() && self.queues.iter().all(VecDeque::is_empty)
    }

    /// Nothing is in flight: whether all of it arrived.
    pub fn judge_drained(&self) -> Result<(), Fault> {
        match (self.state, self.has_failed) {
            (State::Lost, _) => Err(Fault::Acquire),
            // Records are given up for their time alone.
            (_, true) => Err(Fault::Later),
            _ => Ok(()),
        }
    }

    /// Asks for the commit, or goes on waiting for the one asked for. What is known at once is
    /// returned, the rest comes by [`Producer::done`].
    pub fn commit(&mut self, net: &mut Net) -> Option<Result<(), Fault>> {
        match self.state {
            State::Open if self.has_failed => return Some(Err(Fault::Abort)),
            State::Open => {
                self.state = State::Committing;
                self.end(net, true);
            }
            // It goes on, or was answered meanwhile.
            State::Committing | State::Committed => {}
            _ => return Some(Err(Fault::Acquire)),
        }
        None
    }

    /// Asks for the abort, or goes on waiting for the one asked for; as [`Producer::commit`].
    pub fn abort(&mut self, net: &mut Net) -> Option<Result<(), Fault>> {
        if !self.is_open {
            return Some(Ok(()));
        }
        self.purge();
        let may_abort = self.without.lacks(Protection::ClientConflict);
        match self.state {
            State::Committing | State::Committed if !may_abort => return Some(Err(Fault::Again)),
            State::Open | State::Committing => {
                self.state = State::Aborting;
                if self.added | self.asked == 0 {
                    self.ended(net);
                } else {
                    self.end(net, false);
                }
            }
            State::Aborting | State::Raising | State::Aborted => {}
            _ => return Some(Err(Fault::Acquire)),
        }
        None
    }

    /// The outcome of the call that is under way, once.
    pub fn done(&mut self) -> Option<Result<(), Fault>> {
        let done = self.done.take()?;
        if matches!(self.state, State::Committed | State::Aborted | State::Taken) {
            self.state = State::Ready;
            self.is_open = false;
        }
        Some(done)
    }

    /// The caller waits no longer; the call goes on.
    pub fn give_up_waiting(&mut self) -> Fault {
        self.is_tainted = true;
        Fault::Again
    }

    /// The client gives every record up that is not acknowledged.
    pub fn give_up_records(&mut self) {
        if !self.is_drained() {
            self.purge();
            self.has_failed = true;
        }
    }

    /// The lines go with the process.
    pub fn drop_lines(&self, net: &mut Net) {
        net.cut(self.coordinator.conn);
        net.cut(self.leader.conn);
    }
}

/// What comes from the net.
impl Producer {
    pub fn cut(&mut self, net: &mut Net, side: Side) {
        self.is_tainted = true;
        let of = Address { side, ..self.of };
        match side {
            Side::Coordinator => self.coordinator.reconnect(net, of),
            Side::Leader => self.leader.reconnect(net, of),
        }
    }

    pub fn answer(&mut self, net: &mut Net, side: Side, answer: Answer) {
        let line = match side {
            Side::Coordinator => &mut self.coordinator,
            Side::Leader => &mut self.leader,
        };
        let waiting = line.answered();
        if waiting.is_purged || self.state == State::Lost {
            return;
        }
        if answer == Answer::Refused(Refusal::Concurrent) {
            line.send(net, waiting.request);
            return;
        }
        match (waiting.request, answer) {
            (Request::Init { .. }, Answer::Taken(who)) => self.taken(who),
            (Request::Add { partitions, .. }, Answer::Done) => self.has_added(net, partitions),
            (Request::End { commit, .. }, Answer::Done) => {
                // The answer to a request of a call that was overtaken tells nothing.
                if commit == (self.state == State::Committing) {
                    self.ended(net);
                }
            }
            (Request::Produce { .. }, Answer::Done) => {}
            (
                Request::Produce { .. },
                Answer::Refused(Refusal::OutOfOrder | Refusal::NotInTransaction),
            ) => {
                self.purge();
                self.has_failed = true;
            }
            _ => self.lose(),
        }
    }

    fn taken(&mut self, who: (Pid, u16)) {
        self.who = who;
        self.next_seq = [0; DATA_PARTITIONS + 1];
        let was_init = self.state == State::Initialising;
        self.state = if was_init { State::Taken } else { State::Aborted };
        self.has_hole = false;
        self.done = Some(Ok(()));
    }

    fn has_added(&mut self, net: &mut Net, partitions: u8) {
        if self.state == State::Open {
            self.asked &= !partitions;
            self.added |= partitions;
            self.push(net);
        }
    }

    fn ended(&mut self, net: &mut Net) {
        self.has_failed = false;
        if self.state == State::Aborting && self.has_hole {
            self.state = State::Raising;
            let request = Request::Init { id: self.id, current: Some(self.who) };
            self.coordinator.send(net, request);
        } else {
            let commits = self.state == State::Committing;
            self.state = if commits { State::Committed } else { State::Aborted };
            self.done = Some(Ok(()));
        }
    }

    fn lose(&mut self) {
        self.purge();
        self.coordinator.purge();
        self.state = State::Lost;
        self.done = Some(Err(Fault::Acquire));
    }
}

impl Producer {
    /// Sends what may be sent, and asks for the partitions that are missing.
    fn push(&mut self, net: &mut Net) {
        let mut missing = 0;
        for partition in 0..self.queues.len() {
            let bit = 1 << partition;
            if self.queues[partition].is_empty() {
                continue;
            }
            if self.added & bit == 0 {
                missing |= bit;
                continue;
            }
            while let Some(entries) = self.queues[partition].pop_front() {
                let seq = self.next_seq[partition];
                self.next_seq[partition] += 1;
                let (id, who) = (self.id, self.who);
                self.leader.send(net, Request::Produce { id, who, partition, seq, entries });
            }
        }
        if missing != 0 && self.asked == 0 {
            self.asked = missing;
            let request = Request::Add { id: self.id, who: self.who, partitions: missing };
            self.coordinator.send(net, request);
        }
    }

    fn end(&mut self, net: &mut Net, commit: bool) {
        self.coordinator.send(net, Request::End { id: self.id, who: self.who, commit });
    }

    /// Forgets all records; what is in flight may yet arrive.
    fn purge(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.has_hole |= !self.leader.is_idle();
        self.leader.purge();
    }
}
