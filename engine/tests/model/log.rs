//! One partition: records, control markers, what an idempotent producer may append, and how far
//! readers see.
//!
//! Invariants
//! 1. A batch is appended once, however often its request arrives: batches of a producer are
//!    numbered, and the numbers have no holes.
//! 2. A record of a transaction is undecided until the marker of its end; nothing behind the first
//!    undecided record is shown to `read_committed`.
//!
//! Next: `kafka.rs` is the broker around it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// A producer's number, given by the broker.
pub type Pid = u32;

/// Who wrote a record, for the checker alone: process and how often it had taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    pub process: u8,
    pub term: u16,
}

/// Who owns or owned a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Who {
    pub generation: u64,
    pub process: u8,
    /// It writes with the ids 0 to `ring`.
    pub ring: u8,
}

/// Where a shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stand {
    pub shard: u8,
    pub generation: u64,
    pub epoch: u64,
    /// The number of the next message.
    pub next: u16,
    pub committed: u64,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A message of the input: its number within its shard.
    Data {
        shard: u8,
        number: u16,
        by: Writer,
    },
    Stand(Stand),
    Manifest(Who),
    Claim(Who),
    /// The tombstone of a claim.
    NoClaim {
        generation: u64,
        process: u8,
    },
    /// The end of a transaction, as the broker writes it.
    Marker {
        commit: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Undecided,
    Committed,
    Aborted,
}

#[derive(Clone, Copy, Debug, Hash)]
pub struct Kept {
    pub entry: Entry,
    pub pid: Pid,
    pub status: Status,
}

/// What the partition's leader knows of a producer.
#[derive(Clone, Copy, Debug, Hash)]
struct Known {
    epoch: u16,
    /// The number of its last batch in this epoch.
    last: Option<u16>,
    /// The first offset of its open transaction.
    open: Option<usize>,
}

/// Why a batch is not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    OldEpoch,
    OutOfOrder,
}

#[derive(Clone, Debug, Default, Hash)]
pub struct Log {
    pub kept: Vec<Kept>,
    known: BTreeMap<Pid, Known>,
}

impl Log {
    /// Whether this producer has a transaction open here.
    pub fn has_open(&self, pid: Pid) -> bool {
        self.known.get(&pid).is_some_and(|known| known.open.is_some())
    }

    /// Whether batch number `seq` of a producer is there.
    pub fn has(&self, (pid, epoch): (Pid, u16), seq: u16) -> bool {
        let known = self.known.get(&pid);
        known.is_some_and(|it| it.epoch == epoch && it.last.is_some_and(|last| last >= seq))
    }

    /// Appends batch number `seq` of a producer, unless it is there already.
    pub fn append(
        &mut self,
        (pid, epoch): (Pid, u16),
        seq: u16,
        entries: &[Entry],
        in_transaction: bool,
    ) -> Result<(), Refused> {
        let end = self.kept.len();
        let known = self.known.entry(pid).or_insert(Known { epoch, last: None, open: None });
        if epoch < known.epoch {
            return Err(Refused::OldEpoch);
        }
        let is_new = known.last.is_none() && known.epoch == epoch;
        if epoch > known.epoch {
            (known.epoch, known.last) = (epoch, None);
        }
        // A producer that nobody knows may begin anywhere, a raised epoch begins at 0.
        let expected = known.last.map_or(if is_new { seq } else { 0 }, |last| last + 1);
        if seq != expected {
            return if seq < expected { Ok(()) } else { Err(Refused::OutOfOrder) };
        }
        known.last = Some(seq);
        if in_transaction {
            known.open.get_or_insert(end);
        }
        let status = if in_transaction { Status::Undecided } else { Status::Committed };
        self.kept.extend(entries.iter().map(|entry| Kept { entry: *entry, pid, status }));
        Ok(())
    }

    /// The marker that ends a transaction.
    pub fn end(&mut self, pid: Pid, epoch: u16, commit: bool) {
        let known = self.known.entry(pid).or_insert(Known { epoch, last: None, open: None });
        if epoch > known.epoch {
            (known.epoch, known.last) = (epoch, None);
        }
        let status = if commit { Status::Committed } else { Status::Aborted };
        if let Some(first) = known.open.take() {
            let undecided = self.kept[first..].iter_mut();
            let ours = undecided.filter(|it| it.pid == pid && it.status == Status::Undecided);
            ours.for_each(|it| it.status = status);
        }
        let entry = Entry::Marker { commit };
        self.kept.push(Kept { entry, pid, status: Status::Aborted });
    }

    /// The records of a producer's open transaction.
    pub fn undecided(&self, pid: Pid) -> impl Iterator<Item = Entry> + '_ {
        let first = self.known.get(&pid).and_then(|known| known.open);
        let from = first.unwrap_or(self.kept.len());
        let ours = move |it: &&Kept| it.pid == pid && it.status == Status::Undecided;
        self.kept[from..].iter().filter(ours).map(|it| it.entry)
    }

    /// Everything below is decided: the last stable offset.
    pub fn stable(&self) -> usize {
        let open = self.known.values().filter_map(|known| known.open).min();
        open.unwrap_or(self.kept.len())
    }

    /// Two logs of the same fingerprint go on in the same way for who has read up to `read`; what
    /// is aborted matters only to readers of everything.
    pub fn fingerprint(&self, read: usize, hasher: &mut impl Hasher) {
        let from = self.kept[read.min(self.kept.len())..].iter();
        from.filter(|it| !matches!(it.entry, Entry::Marker { .. })).for_each(|it| it.hash(hasher));
        for (pid, known) in &self.known {
            (pid, known.epoch, known.last, known.open.is_some()).hash(hasher);
        }
    }
}
