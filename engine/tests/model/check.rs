//! What must hold after every step.
//!
//! - *Set*: what a `read_committed` reader sees of each shard is a prefix of its input, each
//!   message once and in order; and unless markers are on their way, the stored place is right
//!   behind it.
//! - Each transaction that is decided to be committed continues the one before it and holds the
//!   places behind its own messages.
//! - Nobody commits after somebody else committed behind his back, that is, after he read the
//!   progress and before.
//! - The rules of the protocol within one process: see the calls of [`Checker::rule`].

use crate::kafka::{DATA_PARTITIONS, Kafka, PROGRESS};
use crate::log::{Entry, Pid, Status, Writer};
use crate::source::SHARDS;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A reader sees a message again, or behind one that follows it.
    Duplicate { shard: u8, number: u16 },
    /// A reader misses a message.
    Missing { shard: u8, number: u16 },
    /// A transaction does not continue the one before, or its places are not behind it.
    Torn { shard: u8 },
    /// The stored place is not right behind what is seen.
    Misplaced { shard: u8 },
    /// Two owners.
    Rival { committed: Writer, between: Writer },
    /// A rule within one process.
    Rule(&'static str),
    /// Nothing moves any more, and not everything is visible.
    Stuck,
}

impl Violation {
    /// Whether a reader of the data is harmed, or would wait for ever.
    pub fn harms_readers(&self) -> bool {
        self.is_wrong_data() || matches!(self, Violation::Stuck)
    }

    /// Whether a reader of the data sees something else than the input.
    pub fn is_wrong_data(&self) -> bool {
        matches!(self, Violation::Duplicate { .. } | Violation::Missing { .. })
    }
}

#[derive(Clone, Debug, Default, Hash)]
pub struct Checker {
    /// Messages of each shard that readers see.
    pub visible: [u16; SHARDS],
    /// How far each partition was read.
    read: [usize; DATA_PARTITIONS + 1],
    stored: [u16; SHARDS],
    decided: [u16; SHARDS],
    /// Writers in the order of their decided commits.
    pub commits: Vec<Writer>,
    /// How many commits were decided when a writer read the progress.
    reads: BTreeMap<Writer, usize>,
    pub violations: Vec<Violation>,
    pub takeovers: usize,
}

impl Checker {
    pub fn rule(&mut self, holds: bool, rule: &'static str) {
        if !holds {
            self.violations.push(Violation::Rule(rule));
        }
    }

    pub fn note_read(&mut self, by: Writer) {
        self.takeovers += 1;
        // Whatever it wrote before is decided by now.
        self.reads.retain(|known, _| known.process != by.process);
        self.reads.insert(by, self.commits.len());
    }

    /// For telling worlds apart.
    pub fn fingerprint(&self, hasher: &mut impl Hasher) {
        (self.visible, self.stored, self.decided).hash(hasher);
        for (writer, since) in &self.reads {
            (writer, &self.commits[*since..]).hash(hasher);
        }
    }

    pub fn read_to(&self) -> &[usize] {
        &self.read
    }

    /// After a request was handled, and before anything follows from it.
    pub fn judge_decided(&mut self, kafka: &mut Kafka) {
        for pid in std::mem::take(&mut kafka.decided) {
            self.judge_commit(kafka, pid);
        }
    }

    /// After a step.
    pub fn look(&mut self, kafka: &Kafka) {
        for partition in 0..=DATA_PARTITIONS {
            self.read_on(kafka, partition);
        }
        if kafka.markers_due().next().is_none() {
            for shard in 0..SHARDS {
                if self.visible[shard] != self.stored[shard] {
                    let shard = u8::try_from(shard).expect("few shards");
                    self.violations.push(Violation::Misplaced { shard });
                }
            }
        }
    }

    fn judge_commit(&mut self, kafka: &Kafka, pid: Pid) {
        let mut next = self.decided;
        let mut places = self.decided;
        let mut writer = None;
        for entry in kafka.logs.iter().flat_map(|log| log.undecided(pid)) {
            match entry {
                Entry::Data { shard, number, by } => {
                    let place = &mut next[usize::from(shard)];
                    if *place != number {
                        self.violations.push(Violation::Torn { shard });
                    }
                    *place = number + 1;
                    writer = Some(by);
                }
                Entry::Stand(stand) => places[usize::from(stand.shard)] = stand.next,
                _ => {}
            }
        }
        for shard in (0..SHARDS).filter(|shard| next[*shard] != places[*shard]) {
            let shard = u8::try_from(shard).expect("few shards");
            self.violations.push(Violation::Torn { shard });
        }
        self.decided = next;
        if let Some(writer) = writer {
            self.judge_owner(writer);
        }
    }

    fn judge_owner(&mut self, committed: Writer) {
        let since = self.reads.get(&committed).copied().unwrap_or_default();
        let others = self.commits[since..].iter().find(|it| **it != committed);
        if let Some(&between) = others {
            self.violations.push(Violation::Rival { committed, between });
        }
        self.commits.push(committed);
    }

    /// Reads one partition as far as a `read_committed` reader sees.
    fn read_on(&mut self, kafka: &Kafka, partition: usize) {
        let log = &kafka.logs[partition];
        let stable = log.stable();
        for at in self.read[partition]..stable {
            let kept = log.kept[at];
            match kept.entry {
                Entry::Data { shard, number, .. } if kept.status == Status::Committed => {
                    self.see(shard, number);
                }
                Entry::Stand(stand) if kept.status == Status::Committed => {
                    self.stored[usize::from(stand.shard)] = stand.next;
                }
                _ => {}
            }
        }
        self.read[partition] = stable.max(self.read[partition]);
    }

    fn see(&mut self, shard: u8, number: u16) {
        let next = &mut self.visible[usize::from(shard)];
        if number < *next {
            self.violations.push(Violation::Duplicate { shard, number });
        } else if number > *next {
            self.violations.push(Violation::Missing { shard, number: *next });
        }
        *next = (*next).max(number + 1);
    }

    /// At the end everything is there, and everything is decided.
    pub fn is_complete(&self, kafka: &Kafka, length: u16) -> bool {
        let is_decided = kafka.logs.iter().all(|log| log.stable() == log.kept.len());
        let all = [length; SHARDS];
        is_decided && self.visible == all && self.stored == all
    }

    /// Aborted copies that only a `read_uncommitted` reader sees: proof that faults hit.
    pub fn aborted_copies(kafka: &Kafka) -> usize {
        let kept = kafka.logs[..PROGRESS].iter().flat_map(|log| &log.kept);
        let is_copy = |it: &&crate::log::Kept| {
            it.status == Status::Aborted && matches!(it.entry, Entry::Data { .. })
        };
        kept.filter(is_copy).count()
    }
}
