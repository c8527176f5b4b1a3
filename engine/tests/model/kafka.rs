//! The broker: a transaction coordinator per transactional id, as version 1 of Kafka's protocol has
//! it, and three partitions.
//!
//! What matters of version 1: a request to end a transaction says whose it is, not which one it
//! means. It is answered once the decision is logged; the markers that make the decision seen are
//! written later, partition by partition.
//!
//! A leader asks the coordinator before it lets a record open a transaction on its partition, as
//! Kafka does from 3.6 on.
//!
//! Next: `net.rs` carries requests here.

use crate::log::{Entry, Log, Pid, Refused};
use crate::protection::{Protection, Without};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// Shard 0 goes to partition 0, shard 1 to partition 1.
pub const DATA_PARTITIONS: usize = 2;

/// The progress topic's only partition.
pub const PROGRESS: usize = 2;

/// Why the broker refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// CONCURRENT_TRANSACTIONS: ask again.
    Concurrent,
    /// PRODUCER_FENCED or INVALID_PRODUCER_EPOCH.
    Fenced,
    /// INVALID_TXN_STATE.
    InvalidState,
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    OutOfOrder,
    /// The leader found no such transaction at the coordinator.
    NotInTransaction,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// `current` is what a producer that wants its epoch raised has now.
    Init {
        id: u8,
        current: Option<(Pid, u16)>,
    },
    Add {
        id: u8,
        who: (Pid, u16),
        partitions: u8,
    },
    End {
        id: u8,
        who: (Pid, u16),
        commit: bool,
    },
    Produce {
        id: u8,
        who: (Pid, u16),
        partition: usize,
        seq: u16,
        entries: Vec<Entry>,
    },
    /// A record for the progress topic outside any transaction.
    Plain {
        pid: Pid,
        seq: u16,
        entry: Entry,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Taken((Pid, u16)),
    Done,
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Empty,
    Ongoing,
    Prepare { commit: bool },
    Complete { commit: bool },
}

/// What the coordinator knows of a transactional id.
#[derive(Clone, Debug, Hash)]
pub struct Coordinated {
    pub pid: Pid,
    pub epoch: u16,
    /// The epoch before the last raise that a producer asked for itself.
    before: Option<u16>,
    pub state: State,
    /// Partitions of the transaction, as bits; while it is prepared, those without their marker.
    pub partitions: u8,
}

#[derive(Clone, Debug, Hash)]
pub struct Kafka {
    pub ids: BTreeMap<u8, Coordinated>,
    pub logs: [Log; DATA_PARTITIONS + 1],
    /// Producers whose transaction was just decided to be committed, for the checker.
    pub decided: Vec<Pid>,
    without: Without,
}

impl Kafka {
    pub fn new(without: Without) -> Self {
        let logs = std::array::from_fn(|_| Log::default());
        Kafka { ids: BTreeMap::new(), logs, decided: Vec::new(), without }
    }

    pub fn handle(&mut self, request: &Request) -> Answer {
        let answer = match request {
            Request::Init { id, current } => self.init(*id, *current),
            Request::Add { id, who, partitions } => self.add(*id, *who, *partitions),
            Request::End { id, who, commit } => self.end(*id, *who, *commit),
            Request::Produce { id, who, partition, seq, entries } => {
                self.produce((*id, *who), *partition, *seq, entries)
            }
            Request::Plain { pid, seq, entry } => {
                let appended = self.logs[PROGRESS].append((*pid, 0), *seq, &[*entry], false);
                appended.map(|()| Answer::Done).map_err(refusal)
            }
        };
        answer.unwrap_or_else(Answer::Refused)
    }

    fn init(&mut self, id: u8, current: Option<(Pid, u16)>) -> Result<Answer, Refusal> {
        let Some(known) = self.ids.get_mut(&id) else {
            // Its own number, so that it does not matter who was first.
            let pid = Pid::from(id);
            let state = State::Empty;
            let fresh = Coordinated { pid, epoch: 0, before: None, state, partitions: 0 };
            self.ids.insert(id, fresh);
            return Ok(Answer::Taken((pid, 0)));
        };
        match known.state {
            State::Prepare { .. } => return Err(Refusal::Concurrent),
            // Also for a request that is refused once this abort is complete.
            State::Ongoing => {
                known.prepare_abort();
                return Err(Refusal::Concurrent);
            }
            _ => {}
        }
        match current {
            None => known.before = None,
            Some((pid, epoch)) if (pid, epoch) == (known.pid, known.epoch) => {
                known.before = Some(epoch);
            }
            // The request is a repetition: the raise was made already.
            Some((pid, epoch)) if pid == known.pid && Some(epoch) == known.before => {
                return Ok(Answer::Taken((known.pid, known.epoch)));
            }
            Some(_) => return Err(Refusal::Fenced),
        }
        known.epoch += 1;
        known.state = State::Empty;
        Ok(Answer::Taken((known.pid, known.epoch)))
    }

    fn add(&mut self, id: u8, who: (Pid, u16), partitions: u8) -> Result<Answer, Refusal> {
        let known = self.owned(id, who)?;
        if matches!(known.state, State::Prepare { .. }) {
            return Err(Refusal::Concurrent);
        }
        if known.state != State::Ongoing {
            (known.state, known.partitions) = (State::Ongoing, 0);
        }
        known.partitions |= partitions;
        Ok(Answer::Done)
    }

    fn end(&mut self, id: u8, who: (Pid, u16), commit: bool) -> Result<Answer, Refusal> {
        let known = self.owned(id, who)?;
        match known.state {
            State::Ongoing => {
                known.state = State::Prepare { commit };
                if commit {
                    self.decided.push(who.0);
                }
                Ok(Answer::Done)
            }
            State::Complete { commit: was } if was == commit => Ok(Answer::Done),
            State::Prepare { commit: was } if was == commit => Err(Refusal::Concurrent),
            _ => Err(Refusal::InvalidState),
        }
    }

    fn owned(&mut self, id: u8, (pid, epoch): (Pid, u16)) -> Result<&mut Coordinated, Refusal> {
        let known = self.ids.get_mut(&id).ok_or(Refusal::Fenced)?;
        if (known.pid, known.epoch) == (pid, epoch) { Ok(known) } else { Err(Refusal::Fenced) }
    }

    fn produce(
        &mut self,
        (id, who): (u8, (Pid, u16)),
        partition: usize,
        seq: u16,
        entries: &[Entry],
    ) -> Result<Answer, Refusal> {
        let opens = !self.logs[partition].has_open(who.0);
        let log = &mut self.logs[partition];
        // What is there already is acknowledged without asking anybody.
        if opens && !log.has(who, seq) && !self.without.lacks(Protection::Verification) {
            let known = self.ids.get(&id).filter(|it| (it.pid, it.epoch) == who);
            let known = known.ok_or(Refusal::Fenced)?;
            let is_in = known.partitions & (1 << partition) != 0;
            if known.state != State::Ongoing || !is_in {
                return Err(Refusal::NotInTransaction);
            }
        }
        log.append(who, seq, entries, true).map_err(refusal)?;
        Ok(Answer::Done)
    }
}

/// What the broker does by itself.
impl Kafka {
    /// Ids with a decided transaction, and a partition that has no marker of it yet.
    pub fn markers_due(&self) -> impl Iterator<Item = (u8, usize)> + '_ {
        let due = self.ids.iter().filter(|(_, it)| matches!(it.state, State::Prepare { .. }));
        due.flat_map(|(id, known)| {
            let is_due = |partition: &usize| known.partitions & (1 << partition) != 0;
            (0..=DATA_PARTITIONS).filter(is_due).map(|partition| (*id, partition))
        })
    }

    pub fn write_marker(&mut self, id: u8, partition: usize) {
        let known = self.ids.get_mut(&id).expect("a marker is due");
        let State::Prepare { commit } = known.state else { panic!("a marker is due") };
        self.logs[partition].end(known.pid, known.epoch, commit);
        known.partitions &= !(1 << partition);
        if known.partitions == 0 {
            known.state = State::Complete { commit };
        }
    }

    /// As [`Log::fingerprint`]; `read` says how far the data was read.
    pub fn fingerprint(&self, read: &[usize], hasher: &mut impl Hasher) {
        self.ids.hash(hasher);
        for (partition, log) in self.logs.iter().enumerate() {
            log.fingerprint(if partition == PROGRESS { 0 } else { read[partition] }, hasher);
        }
    }

    pub fn open_ids(&self) -> impl Iterator<Item = u8> + '_ {
        self.ids.iter().filter(|(_, it)| it.state == State::Ongoing).map(|(id, _)| *id)
    }

    /// A transaction is older than its timeout.
    pub fn expire(&mut self, id: u8) {
        self.ids.get_mut(&id).expect("a transaction is open").prepare_abort();
    }
}

impl Coordinated {
    /// Aborts for somebody else than the producer: its epoch is raised, so it is refused from now.
    fn prepare_abort(&mut self) {
        self.epoch += 1;
        self.before = None;
        self.state = State::Prepare { commit: false };
    }
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::OldEpoch => Refusal::Fenced,
        Refused::OutOfOrder => Refusal::OutOfOrder,
    }
}
