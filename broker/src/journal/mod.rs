//! Where the broker's state is kept: one append-only file, or nowhere.
//!
//! Every request that changes something writes one frame. A frame counts whole or not at all, so
//! a transaction's markers, offsets and state never part company, whenever the process dies.
//!
//! ```text
//! file  := "HWBROKR1" frame*
//! frame := length:u32 crc32c:u32 item*
//! item  := kind:u8 length:u32 payload
//!          kind 0  entry     JSON of an `Entry`
//!          kind 1  appended  a batch taken at the end of its partition
//!          kind 2  placed    a batch put where its offset says (compaction, rewriting)
//! ```
//!
//! Invariants
//! 1. What is answered has been written (with `fsync`: is on disk) before the answer leaves.
//! 2. The state is changed by what is written and nothing else, so replay repeats it.
//! 3. A rewritten journal replaces the old one by one rename.
//!
//! Next: `journal/file.rs` holds the file; `state/mod.rs` applies what is read.

mod entry;
mod file;

pub(crate) use entry::{CommittedOffset, Entry};
pub(crate) use file::{Item, JournalError, JournalFile};

use bytes::{Bytes, BytesMut};

/// Where the bytes of one batch are.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    /// Here.
    Memory(Bytes),
    /// In the journal.
    File {
        /// The first byte's place in the file.
        position: u64,
        /// Bytes of the batch.
        size: u32,
    },
}

/// The journal, or what stands in for it in memory mode.
#[derive(Debug)]
pub(crate) enum Store {
    /// Nothing outlives the process.
    Memory,
    /// Everything does.
    File(JournalFile),
}

impl Location {
    /// Bytes of the batch.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Location::Memory(bytes) => bytes.len() as u64,
            Location::File { size, .. } => u64::from(*size),
        }
    }
}

impl Store {
    /// Adds an entry to the open frame.
    pub(crate) fn record(&mut self, entry: &Entry) {
        if let Store::File(file) = self {
            file.record(entry);
        }
    }

    /// Adds a batch to the open frame and says where it will be.
    pub(crate) fn append(&mut self, topic: &str, partition: i32, batch: BytesMut) -> Location {
        match self {
            Store::Memory => Location::Memory(batch.freeze()),
            Store::File(file) => file.batch(file::APPENDED, topic, partition, &batch),
        }
    }

    /// Adds a batch that takes its place by its offset.
    pub(crate) fn place(&mut self, topic: &str, partition: i32, batch: Bytes) -> Location {
        match self {
            Store::Memory => Location::Memory(batch),
            Store::File(file) => file.batch(file::PLACED, topic, partition, &batch),
        }
    }

    /// The bytes of a batch whose frame is closed.
    pub(crate) fn read(&self, location: &Location) -> Result<Bytes, JournalError> {
        match (location, self) {
            (Location::Memory(bytes), _) => Ok(bytes.clone()),
            (Location::File { position, size }, Store::File(file)) => {
                file.read(*position, *size as usize)
            }
            (Location::File { .. }, Store::Memory) => {
                unreachable!("memory mode never hands out a place in a file")
            }
        }
    }

    /// Writes the open frame, if anything is in it.
    pub(crate) fn seal(&mut self) -> Result<(), JournalError> {
        match self {
            Store::Memory => Ok(()),
            Store::File(file) => file.seal(),
        }
    }
}
