//! Drives the product's `Acquisition` as `operators/src/sink/kafka/acquire.rs` does: one step at a
//! time, so that anything may happen in between.
//!
//! Next: `outlet.rs` fills transactions of the producers that come out of this.

use crate::fold::{fold, id_number, ids, instance};
use crate::kafka::{Kafka, PROGRESS};
use crate::log::{Entry, Status, Who};
use crate::net::Net;
use crate::plain::Plain;
use crate::producer::{Fault, Producer};
use crate::protection::{Protection, Without};
use headwater_engine::commit::acquisition::{Acquisition, Need};
use headwater_engine::commit::progress::StoredProgress;
use headwater_engine::ids::Generation;
use std::collections::BTreeMap;

/// Why a take-over came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failed {
    Superseded,
    /// Trying again may help.
    MayHeal,
}

#[derive(Clone, Debug)]
enum Stage {
    /// What is needed was not begun.
    Idle,
    Appending,
    /// The clients that take the ids.
    Fencing(Vec<u16>),
    /// The offset of the reader's mark: everything before it has to be decided first. The mark
    /// itself is left out of the log.
    Marked(usize),
}

/// The pipeline is ours.
#[derive(Clone, Debug)]
pub struct Acquired {
    pub who: Who,
    /// By slot.
    pub ring: Vec<u16>,
    pub stored: StoredProgress,
}

#[derive(Clone, Debug)]
pub struct Takeover {
    machine: Acquisition,
    process: u8,
    ring: u8,
    without: Without,
    pub plain: Plain,
    stage: Stage,
    /// Our own ids and the clients that have them.
    own: BTreeMap<u8, u16>,
    /// What was read before anything was fenced, if that protection is off.
    early: Option<StoredProgress>,
    seen: StoredProgress,
}

/// What a step of a process works on.
pub struct Outside<'a> {
    pub net: &'a mut Net,
    /// All transactional clients of the process.
    pub clients: &'a mut BTreeMap<u16, Producer>,
    pub next_client: &'a mut u16,
    /// The highest generation that the process ever claimed.
    pub claimed: &'a mut u64,
}

impl Outside<'_> {
    pub fn client(&mut self) -> u16 {
        *self.next_client += 1;
        *self.next_client
    }
}

impl Takeover {
    pub fn start(
        outside: &mut Outside<'_>,
        process: u8,
        ring: u8,
        held: Option<Generation>,
        without: Without,
    ) -> Self {
        let client = outside.client();
        let held = held.filter(|_| !without.lacks(Protection::HeldKnown));
        let machine = Acquisition::new(instance(process), ids(ring), held);
        let claimed = if without.lacks(Protection::ClaimedOnce) { 0 } else { *outside.claimed };
        Takeover {
            machine: machine.above(Generation(claimed)),
            process,
            ring,
            without,
            plain: Plain::open(outside.net, process, client),
            stage: Stage::Idle,
            own: BTreeMap::new(),
            early: None,
            seen: StoredProgress::default(),
        }
    }

    /// Does what needs no reading of the topic; true if something moved.
    pub fn turn(&mut self, outside: &mut Outside<'_>) -> Result<bool, Failed> {
        match (&self.stage, self.machine.need().clone()) {
            (Stage::Idle, Need::Claim(generation)) => {
                *outside.claimed = generation.0;
                let entry = Entry::Claim(self.who(generation));
                self.append(outside, entry);
            }
            (Stage::Idle, Need::Withdraw(generation)) => {
                let entry = self.tombstone(generation);
                self.append(outside, entry);
            }
            (Stage::Appending, need) if self.plain.is_acknowledged() => {
                self.stage = Stage::Idle;
                match need {
                    Need::Claim(_) => self.machine.on_claimed(),
                    _ => self.withdrawn()?,
                }
            }
            (Stage::Idle, Need::Fence(ids)) if self.early.is_some() || !self.reads_early() => {
                self.fence(outside, &ids);
            }
            (Stage::Fencing(_), Need::Fence(_)) => return self.fenced(outside),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether reading the topic is what comes next, and can be done.
    pub fn can_read(&self, kafka: &Kafka) -> bool {
        match (&self.stage, self.machine.need()) {
            (Stage::Idle, Need::ReadAll | Need::ReadBack(_) | Need::ReadCommitted) => true,
            (Stage::Idle, Need::Fence(_)) => self.reads_early() && self.early.is_none(),
            (Stage::Marked(mark), _) => kafka.logs[PROGRESS].stable() >= *mark,
            _ => false,
        }
    }

    /// Reads the topic. Returns true once the committed progress is known, under which the pipeline
    /// is ours.
    pub fn read(&mut self, kafka: &Kafka) -> Result<bool, Failed> {
        match (self.machine.need().clone(), &self.stage) {
            (Need::ReadAll, _) => {
                self.seen = read_all(kafka);
                let known = self.machine.on_known(&self.seen);
                known.map_err(|_| Failed::Superseded)?;
            }
            (Need::ReadBack(generation), _) => {
                self.seen = read_to(kafka, generation, self.process);
                self.machine.on_read_back(&self.seen);
            }
            (Need::Fence(_), _) => self.early = Some(read_stable(kafka)),
            (Need::ReadCommitted, Stage::Marked(mark)) => {
                let committed = read_committed(kafka, *mark);
                return self.committed(committed);
            }
            (Need::ReadCommitted, _) if self.early.is_some() => {
                let early = self.early.take().expect("it was read");
                return self.committed(early);
            }
            (Need::ReadCommitted, _) => {
                let mark = kafka.logs[PROGRESS].kept.len();
                self.stage = Stage::Marked(mark);
                if self.can_read(kafka) {
                    return self.read(kafka);
                }
            }
            _ => unreachable!("nothing is to be read"),
        }
        Ok(false)
    }

    /// What came out, once nothing is needed any more.
    pub fn acquired(&mut self) -> Option<Acquired> {
        let Need::Nothing(generation) = *self.machine.need() else { return None };
        let ring = self.own.values().copied().collect();
        let stored = std::mem::take(&mut self.seen);
        Some(Acquired { who: self.who(generation), ring, stored })
    }

    /// Takes a claim back that came to nothing, without waiting.
    pub fn withdraw(&mut self, outside: &mut Outside<'_>) {
        if let Some(generation) = self.machine.claim() {
            let entry = self.tombstone(generation);
            self.plain.append(outside.net, entry);
        }
        let taken = match &self.stage {
            Stage::Fencing(clients) => clients.clone(),
            _ => Vec::new(),
        };
        for client in taken.iter().chain(self.own.values()) {
            if let Some(producer) = outside.clients.remove(client) {
                producer.drop_lines(outside.net);
            }
        }
    }

    /// For hashing a state: everything that decides what comes next.
    pub fn fingerprint(&self) -> String {
        let Takeover { machine, plain, stage, own, early, seen, .. } = self;
        format!("{machine:?}{plain:?}{stage:?}{own:?}{early:?}{seen:?}")
    }
}

impl Takeover {
    fn who(&self, generation: Generation) -> Who {
        Who { generation: generation.0, process: self.process, ring: self.ring }
    }

    fn tombstone(&self, generation: Generation) -> Entry {
        Entry::NoClaim { generation: generation.0, process: self.process }
    }

    fn reads_early(&self) -> bool {
        self.without.lacks(Protection::FenceBeforeRead)
    }

    fn append(&mut self, outside: &mut Outside<'_>, entry: Entry) {
        self.plain.append(outside.net, entry);
        self.stage = Stage::Appending;
    }

    fn withdrawn(&mut self) -> Result<(), Failed> {
        self.machine.on_withdrawn(&self.seen).map_err(|_| Failed::Superseded)
    }

    fn fence(&mut self, outside: &mut Outside<'_>, ids: &[String]) {
        let mut clients = Vec::new();
        for id in ids {
            let number = id_number(id);
            let is_own = number < self.ring;
            if !is_own && self.without.lacks(Protection::FenceAll) {
                continue;
            }
            let client = outside.client();
            let producer = Producer::init(outside.net, number, self.process, client, self.without);
            outside.clients.insert(client, producer);
            if is_own {
                self.own.insert(number, client);
            }
            clients.push(client);
        }
        self.stage = Stage::Fencing(clients);
    }

    /// Looks whether all ids are taken. Those that are not ours have done their work by that.
    fn fenced(&mut self, outside: &mut Outside<'_>) -> Result<bool, Failed> {
        let Stage::Fencing(clients) = &mut self.stage else { unreachable!("it is fencing") };
        let mut failed = false;
        let before = clients.len();
        clients.retain(|client| {
            let producer = outside.clients.get_mut(client).expect("a client that fences");
            match producer.done() {
                None => return true,
                Some(Err(Fault::Again)) => unreachable!("nobody gives up waiting for one id"),
                Some(Err(_)) => failed = true,
                Some(Ok(())) => {}
            }
            false
        });
        let moved = clients.len() < before;
        if failed {
            return Err(Failed::MayHeal);
        }
        if clients.is_empty() {
            self.stage = Stage::Idle;
            self.drop_foreign(outside);
            self.machine.on_fenced();
            return Ok(true);
        }
        Ok(moved)
    }

    fn drop_foreign(&self, outside: &mut Outside<'_>) {
        let is_foreign = |producer: &Producer| producer.id >= self.ring;
        let foreign = outside.clients.iter().filter(|(_, it)| is_foreign(it));
        let foreign: Vec<u16> = foreign.map(|(client, _)| *client).collect();
        for client in foreign {
            let producer = outside.clients.remove(&client).expect("it was listed");
            producer.drop_lines(outside.net);
        }
    }

    fn committed(&mut self, mut stored: StoredProgress) -> Result<bool, Failed> {
        self.stage = Stage::Idle;
        let judged = if self.without.lacks(Protection::ClaimsChecked) {
            // As if nobody else had ever claimed.
            self.machine.on_committed(&StoredProgress::default())
        } else {
            self.machine.on_committed(&stored)
        };
        judged.map_err(|_| Failed::Superseded)?;
        std::mem::swap(&mut self.seen, &mut stored);
        Ok(true)
    }
}

/// All there is, also what is not committed.
fn read_all(kafka: &Kafka) -> StoredProgress {
    fold(kafka.logs[PROGRESS].kept.iter().map(|kept| &kept.entry))
}

/// The same up to the first record under the key of a claim.
fn read_to(kafka: &Kafka, claim: Generation, process: u8) -> StoredProgress {
    let kept = &kafka.logs[PROGRESS].kept;
    let is_key = |entry: &Entry| match *entry {
        Entry::Claim(who) => (who.generation, who.process) == (claim.0, process),
        Entry::NoClaim { generation, process: of } => (generation, of) == (claim.0, process),
        _ => false,
    };
    let found = kept.iter().position(|kept| is_key(&kept.entry));
    let end = found.expect("the claim was acknowledged");
    fold(kept[..=end].iter().map(|kept| &kept.entry))
}

fn read_committed(kafka: &Kafka, end: usize) -> StoredProgress {
    let kept = kafka.logs[PROGRESS].kept[..end].iter();
    fold(kept.filter(|kept| kept.status == Status::Committed).map(|kept| &kept.entry))
}

/// What a reader sees that does not wait for open transactions.
fn read_stable(kafka: &Kafka) -> StoredProgress {
    read_committed(kafka, kafka.logs[PROGRESS].stable())
}
