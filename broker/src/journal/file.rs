//! The journal's file: frames out, frames in, and the cut after the last whole one.
//!
//! A process that is killed can leave a torn frame at the end only, because a frame is one write
//! behind the last. What does not check is cut off, with a warning that says how much.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Entry, Location};
use crate::limits::{FRAME_CAPACITY_KEPT, JOURNAL_FRAME_BYTES_MAX};

const MAGIC: &[u8; 8] = b"HWBROKR1";
const FRAME_HEADER_BYTES: usize = 8;
const ENTRY: u8 = 0;
pub(super) const APPENDED: u8 = 1;
pub(super) const PLACED: u8 = 2;

/// An open journal, locked against a second broker.
#[derive(Debug)]
pub(crate) struct JournalFile {
    file: File,
    path: PathBuf,
    /// Where the next frame goes.
    end: u64,
    /// The open frame, its header's place in front.
    frame: BytesMut,
    fsync: bool,
}

/// What replay finds.
#[derive(Debug)]
pub(crate) enum Item {
    /// A change.
    Entry(Entry),
    /// A batch; `is_appended` tells the end of the partition from a place by offset.
    Batch { topic: String, partition: i32, bytes: Bytes, location: Location, is_appended: bool },
}

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The system refused.
    #[error("journal {path}: {source}")]
    Io {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another broker holds it.
    #[error("journal {path} is in use by another broker; stop it or choose another file")]
    InUse {
        /// The journal.
        path: PathBuf,
    },
    /// It is some other file.
    #[error("{path} is not a broker's journal; choose another file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A whole frame holds what this version cannot read.
    #[error("journal {path} was written by another version: {reason}")]
    Unreadable {
        /// The journal.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl JournalFile {
    /// Opens or makes a journal and hands each item of each whole frame to `apply`.
    pub(crate) fn open(
        path: &Path,
        fsync: bool,
        mut apply: impl FnMut(Item),
    ) -> Result<JournalFile, JournalError> {
        let mut journal = JournalFile::create(path, fsync)?;
        let size = journal.io(journal.file.metadata())?.len();
        let mut reader = BufReader::with_capacity(1 << 20, journal.io(journal.file.try_clone())?);
        let mut magic = Vec::with_capacity(MAGIC.len());
        journal.io(reader.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic))?;
        if !MAGIC.starts_with(&magic) {
            return Err(JournalError::Foreign { path: journal.path });
        }
        if magic.len() < MAGIC.len() {
            journal.io(journal.file.write_all_at(MAGIC, 0))?;
            return Ok(journal);
        }
        while let Some(frame) = journal.io(next_frame(&mut reader, size - journal.end))? {
            journal.replay(&frame, &mut apply)?;
            journal.end += (FRAME_HEADER_BYTES + frame.len()) as u64;
        }
        if journal.end < size {
            let torn_bytes = size - journal.end;
            tracing::warn!(event = "journal_cut", path = %path.display(), torn_bytes);
            journal.io(journal.file.set_len(journal.end))?;
        }
        Ok(journal)
    }

    /// Opens a file as it is and locks it; the end is behind the magic.
    fn create(path: &Path, fsync: bool) -> Result<JournalFile, JournalError> {
        let io_error = |source| JournalError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::InUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(source)),
        }
        let frame = BytesMut::zeroed(FRAME_HEADER_BYTES);
        let end = MAGIC.len() as u64;
        Ok(JournalFile { file, path: path.to_owned(), end, frame, fsync })
    }

    /// Starts the journal that is to replace this one.
    pub(crate) fn successor(&self) -> Result<JournalFile, JournalError> {
        let path = self.path.with_added_extension("rewrite");
        let journal = JournalFile::create(&path, self.fsync)?;
        journal.io(journal.file.set_len(0))?;
        journal.io(journal.file.write_all_at(MAGIC, 0))?;
        Ok(journal)
    }

    /// Puts this journal, which is whole, in the place of `old`: one rename.
    pub(crate) fn replace(&mut self, old: &JournalFile) -> Result<(), JournalError> {
        self.seal()?;
        self.io(self.file.sync_data())?;
        self.io(std::fs::rename(&self.path, &old.path))?;
        self.path.clone_from(&old.path);
        // From here on this is the journal. If the folder cannot be synced, a power cut may bring
        // the old one back, which is whole too but older: that is worth a warning, not a stop.
        let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|it| it.sync_all());
        if let Err(error) = synced {
            tracing::warn!(event = "folder_not_synced", path = %self.path.display(), %error);
        }
        Ok(())
    }

    /// Removes a successor that is not to be.
    pub(crate) fn discard(self) {
        std::fs::remove_file(&self.path).ok();
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.end
    }

    /// Bytes waiting in the open frame.
    pub(crate) fn frame_size(&self) -> usize {
        self.frame.len() - FRAME_HEADER_BYTES
    }

    pub(super) fn record(&mut self, entry: &Entry) {
        let json = serde_json::to_vec(entry).expect("an entry has string keys only");
        self.item(ENTRY, json.len());
        self.frame.put_slice(&json);
    }

    pub(super) fn batch(
        &mut self,
        kind: u8,
        topic: &str,
        partition: i32,
        batch: &[u8],
    ) -> Location {
        self.item(kind, 1 + topic.len() + 4 + batch.len());
        self.frame.put_u8(u8::try_from(topic.len()).expect("a topic name is below 250 bytes"));
        self.frame.put_slice(topic.as_bytes());
        self.frame.put_i32(partition);
        let position = self.end + self.frame.len() as u64;
        self.frame.put_slice(batch);
        Location::File { position, size: length(batch.len()) }
    }

    fn item(&mut self, kind: u8, size: usize) {
        self.frame.put_u8(kind);
        self.frame.put_u32(length(size));
    }

    pub(super) fn read(&self, position: u64, size: usize) -> Result<Bytes, JournalError> {
        let mut bytes = BytesMut::zeroed(size);
        self.io(self.file.read_exact_at(&mut bytes, position))?;
        Ok(bytes.freeze())
    }

    pub(super) fn seal(&mut self) -> Result<(), JournalError> {
        if self.frame_size() == 0 {
            return Ok(());
        }
        let crc = crc32c::crc32c(&self.frame[FRAME_HEADER_BYTES..]);
        let size = length(self.frame_size());
        self.frame[..4].copy_from_slice(&size.to_be_bytes());
        self.frame[4..8].copy_from_slice(&crc.to_be_bytes());
        self.io(self.file.write_all_at(&self.frame, self.end))?;
        if self.fsync {
            self.io(self.file.sync_data())?;
        }
        self.end += self.frame.len() as u64;
        // One large request shall not hold its memory for ever.
        if self.frame.capacity() > FRAME_CAPACITY_KEPT {
            self.frame = BytesMut::zeroed(FRAME_HEADER_BYTES);
        }
        self.frame.truncate(FRAME_HEADER_BYTES);
        Ok(())
    }

    fn replay(&self, frame: &Bytes, apply: &mut impl FnMut(Item)) -> Result<(), JournalError> {
        let mut rest = frame.clone();
        while rest.has_remaining() {
            let position = self.end + (FRAME_HEADER_BYTES + frame.len() - rest.len()) as u64;
            let item = next_item(&mut rest, position)
                .map_err(|reason| JournalError::Unreadable { path: self.path.clone(), reason })?;
            apply(item);
        }
        Ok(())
    }

    fn io<T>(&self, result: io::Result<T>) -> Result<T, JournalError> {
        result.map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }
}

fn length(size: usize) -> u32 {
    u32::try_from(size).expect("requests are bounded far below 4 GiB")
}

/// The next whole frame, or `None` where the file ends or no longer checks.
fn next_frame(reader: &mut impl Read, left: u64) -> io::Result<Option<Bytes>> {
    if left < FRAME_HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut header = [0; FRAME_HEADER_BYTES];
    reader.read_exact(&mut header)?;
    let mut header = &header[..];
    let (size, crc) = (header.get_u32() as usize, header.get_u32());
    let whole =
        size > 0 && size <= JOURNAL_FRAME_BYTES_MAX && (FRAME_HEADER_BYTES + size) as u64 <= left;
    if !whole {
        return Ok(None);
    }
    let mut frame = BytesMut::zeroed(size);
    reader.read_exact(&mut frame)?;
    Ok((crc32c::crc32c(&frame) == crc).then(|| frame.freeze()))
}

fn next_item(rest: &mut Bytes, position: u64) -> Result<Item, String> {
    let cut = || "an item is cut".to_owned();
    let start = rest.len();
    let kind = rest.try_get_u8().map_err(|_| cut())?;
    let size = rest.try_get_u32().map_err(|_| cut())? as usize;
    if rest.len() < size {
        return Err(cut());
    }
    let mut payload = rest.split_to(size);
    match kind {
        ENTRY => serde_json::from_slice(&payload).map(Item::Entry).map_err(|it| it.to_string()),
        APPENDED | PLACED => {
            let name = usize::from(payload.try_get_u8().map_err(|_| cut())?);
            if payload.len() < name + 4 {
                return Err(cut());
            }
            let topic = String::from_utf8_lossy(&payload.split_to(name)).into_owned();
            let partition = payload.get_i32();
            let offset = start - rest.len() - payload.len();
            let location =
                Location::File { position: position + offset as u64, size: length(payload.len()) };
            let is_appended = kind == APPENDED;
            Ok(Item::Batch { topic, partition, bytes: payload, location, is_appended })
        }
        other => Err(format!("item kind {other} is not known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(next: i64) -> Entry {
        Entry::ProducerIds { next }
    }

    fn replayed(path: &Path) -> (JournalFile, Vec<i64>) {
        let mut seen = Vec::new();
        let journal = JournalFile::open(path, false, |item| match item {
            Item::Entry(Entry::ProducerIds { next }) => seen.push(next),
            other => panic!("unexpected {other:?}"),
        });
        (journal.unwrap(), seen)
    }

    /// Goal: a torn tail costs the torn frame only, wherever it is torn.
    /// Method: cut the file at every length inside its last frame.
    #[test]
    fn a_torn_tail_is_cut_and_the_frames_before_it_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = replayed(&path);
        journal.record(&entry(1));
        journal.seal().unwrap();
        let whole = journal.size();
        journal.record(&entry(2));
        journal.record(&entry(3));
        journal.seal().unwrap();
        let size = journal.size();
        drop(journal);
        let bytes = std::fs::read(&path).unwrap();
        for cut in whole..size {
            std::fs::write(&path, &bytes[..usize::try_from(cut).unwrap()]).unwrap();
            let (journal, seen) = replayed(&path);
            assert_eq!((journal.size(), seen), (whole, vec![1]), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_byte_ends_the_replay_before_its_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = replayed(&path);
        for next in 1..=2 {
            journal.record(&entry(next));
            journal.seal().unwrap();
        }
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(replayed(&path).1, [1]);
    }

    #[test]
    fn a_batch_is_where_replay_says_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = replayed(&path);
        journal.record(&entry(1));
        let written = journal.batch(APPENDED, "topic", 3, b"some bytes");
        journal.seal().unwrap();
        drop(journal);
        let mut found = None;
        let journal = JournalFile::open(&path, false, |item| {
            if let Item::Batch { location, .. } = item {
                found = Some(location);
            }
        });
        let (Location::File { position, size }, Some(Location::File { position: again, .. })) =
            (written, found)
        else {
            panic!("a journal's batches are in the file")
        };
        assert_eq!(position, again);
        let bytes = journal.unwrap().read(position, size as usize).unwrap();
        assert_eq!(bytes, b"some bytes"[..]);
    }

    #[test]
    fn a_second_broker_and_a_foreign_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let held = replayed(&path);
        let second = JournalFile::open(&path, false, |_| ());
        assert!(matches!(second, Err(JournalError::InUse { .. })));
        drop(held);
        let foreign = folder.path().join("notes.txt");
        std::fs::write(&foreign, "these are my notes").unwrap();
        let refused = JournalFile::open(&foreign, false, |_| ());
        assert!(matches!(refused, Err(JournalError::Foreign { .. })));
        assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "these are my notes");
    }
}
