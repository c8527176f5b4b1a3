//! Thins compacted topics: of each key the newest record stays, and old tombstones go.
//!
//! How: the keys of what is new since the last pass are read into a map of their newest offsets;
//! then everything from the front is read again, and a record stays if the map has no newer one.
//! Aborted records and the markers of ended transactions go. Offsets never change; gaps appear.
//!
//! Invariants
//! 1. Nothing at or above the last stable offset is touched.
//! 2. The last batch below it stays as it is, so that a reader that asks for the end gets there.
//! 3. What a pass removed and what it made smaller are written in one journal frame.
//!
//! A read_committed reader needs no marker that is gone: a fetch response lists the aborted
//! transactions of exactly what it carries.

use std::collections::HashMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;

use crate::batch::{self, Header};
use crate::journal::{Entry, JournalError, Location};
use crate::limits::{COMPACTION_FRAME_BYTES_MAX, COMPACTION_KEYS_MAX, DIRTY_BYTES_MIN};
use crate::log::Partition;
use crate::records::{Records, UnreadableBatch};
use crate::settings::Settings;
use crate::state::State;

/// The newest offset of each key.
type Newest = HashMap<Bytes, i64>;

/// One pass over one partition.
struct Pass<'a> {
    state: &'a State,
    log: &'a Partition,
    settings: &'a Settings,
    newest: Newest,
}

/// What a pass leaves of a range.
struct Cleaned {
    range: Range<i64>,
    kept: Vec<i64>,
    thinned: Vec<Bytes>,
}

/// Why a partition could not be compacted.
#[derive(Debug, thiserror::Error)]
enum CompactionError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Batch(#[from] UnreadableBatch),
}

/// A compacted topic takes records with keys only (Kafka: `INVALID_RECORD`).
pub(crate) fn check_keys(header: &Header, bytes: &Bytes) -> Result<(), ResponseError> {
    let mut has_all = true;
    Records::open(header, bytes)
        .and_then(|records| records.each(|record| has_all &= record.key.is_some()))
        .map_err(|_| ResponseError::CorruptMessage)?;
    has_all.then_some(()).ok_or(ResponseError::InvalidRecord)
}

/// Compacts every partition that is due.
pub(crate) fn run(state: &mut State) -> Result<(), JournalError> {
    let names: Vec<String> = state.topics.keys().cloned().collect();
    for name in names {
        for index in 0..state.topics[&name].partitions.len() {
            compact_if_due(state, &name, index)?;
        }
    }
    Ok(())
}

fn compact_if_due(state: &mut State, name: &str, index: usize) -> Result<(), JournalError> {
    let topic = &state.topics[name];
    let (log, settings) = (&topic.partitions[index], &topic.settings);
    let Some(end) = settings.is_compacted.then(|| due(log, settings, state.now_ms)).flatten()
    else {
        return Ok(());
    };
    let mut pass = Pass { state, log, settings, newest: Newest::new() };
    match pass.run(end) {
        Ok((cleaned, first_dirty)) => write(state, name, index, cleaned, first_dirty),
        Err(CompactionError::Journal(error)) => Err(error),
        Err(error @ CompactionError::Batch(_)) => {
            // A producer's broken batch is stored as it came; the partition stays as it is.
            tracing::warn!(event = "not_compacted", topic = name, partition = index, %error);
            state.topics.get_mut(name).expect("it is there").partitions[index].first_dirty = end;
            Ok(())
        }
    }
}

/// Where the range that may be cleaned ends, if a pass is worth while.
fn due(log: &Partition, settings: &Settings, now_ms: i64) -> Option<i64> {
    let newest_ms = now_ms.saturating_sub(settings.compaction_lag_ms_min);
    let stable = log.last_stable();
    let dirty = log.first_dirty..stable;
    let young = log
        .batches_in(&dirty)
        .find(|it| settings.compaction_lag_ms_min > 0 && it.max_timestamp > newest_ms);
    let end = young.map_or(stable, |batch| batch.base);
    let range = log.first_dirty..end;
    let dirty_bytes: u64 = log.batches_in(&range).map(|it| it.location.size()).sum();
    let oldest = log.batches_in(&range).next()?;
    let is_late = now_ms.saturating_sub(oldest.max_timestamp) > settings.compaction_lag_ms_max;
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits")]
    let ratio = dirty_bytes as f64 / log.bytes().max(1) as f64;
    let is_worth = dirty_bytes >= DIRTY_BYTES_MIN && ratio >= settings.dirty_ratio_min;
    (is_late || is_worth).then_some(end)
}

fn write(
    state: &mut State,
    name: &str,
    index: usize,
    cleaned: Vec<Cleaned>,
    first_dirty: i64,
) -> Result<(), JournalError> {
    let partition = i32::try_from(index).expect("partitions are bounded");
    for Cleaned { range, kept, thinned } in cleaned {
        let (from, to) = (range.start, range.end);
        state.change(Entry::Cleaned { topic: name.to_owned(), partition, from, to, kept });
        for bytes in thinned {
            let header = Header::parse(&bytes).expect("the batch was made here");
            let location = state.store.place(name, partition, bytes);
            let log = state.partition_mut(name, partition).expect("it was compacted just now");
            log.place(&header, location);
        }
        state.store.seal()?;
    }
    let log = state.partition_mut(name, partition).expect("it was compacted just now");
    log.first_dirty = first_dirty;
    Ok(())
}

impl Pass<'_> {
    fn run(&mut self, end: i64) -> Result<(Vec<Cleaned>, i64), CompactionError> {
        let mapped = self.map_keys(self.log.first_dirty..end)?;
        let last = self.log.last_batch_below(mapped).map_or(0, |batch| batch.base);
        Ok((self.clean(self.log.log_start()..last)?, mapped))
    }

    /// Reads the newest offset of each key, and says how far the map reached.
    fn map_keys(&mut self, range: Range<i64>) -> Result<i64, CompactionError> {
        for batch in self.log.batches_in(&range) {
            if self.newest.len() >= COMPACTION_KEYS_MAX {
                return Ok(batch.base);
            }
            let (header, bytes) = self.read(&batch.location)?;
            if header.is_control() || self.is_aborted(&header) {
                continue;
            }
            Records::open(&header, &bytes)?.each(|record| {
                if let Some(key) = record.key {
                    self.newest.insert(Bytes::copy_from_slice(key), record.offset);
                }
            })?;
        }
        Ok(range.end)
    }

    /// Decides on every batch of a range, in parts of bounded size.
    fn clean(&self, range: Range<i64>) -> Result<Vec<Cleaned>, CompactionError> {
        let mut parts = Vec::new();
        let mut part = Cleaned { range: range.clone(), kept: Vec::new(), thinned: Vec::new() };
        let mut bytes_thinned = 0;
        for batch in self.log.batches_in(&range) {
            if bytes_thinned >= COMPACTION_FRAME_BYTES_MAX {
                let next = Cleaned { range: batch.base..range.end, kept: vec![], thinned: vec![] };
                let mut full = std::mem::replace(&mut part, next);
                full.range.end = batch.base;
                parts.push(full);
                bytes_thinned = 0;
            }
            let (header, bytes) = self.read(&batch.location)?;
            match self.thin(&header, &bytes)? {
                Thinned::Whole => part.kept.push(batch.base),
                Thinned::Part(bytes) => {
                    bytes_thinned += bytes.len();
                    part.thinned.push(bytes);
                }
                Thinned::Nothing => {}
            }
        }
        parts.push(part);
        Ok(parts)
    }

    fn thin(&self, header: &Header, bytes: &Bytes) -> Result<Thinned, CompactionError> {
        if header.is_control() || self.is_aborted(header) {
            return Ok(Thinned::Nothing);
        }
        let keeps_tombstones = self.state.now_ms.saturating_sub(header.max_timestamp)
            <= self.settings.delete_retention_ms;
        let mut kept = BytesMut::new();
        let mut count = 0;
        Records::open(header, bytes)?.each(|record| {
            let newest = record.key.and_then(|key| self.newest.get(key));
            let is_newest = newest.is_none_or(|newest| *newest <= record.offset);
            if is_newest && (keeps_tombstones || !record.is_tombstone) {
                kept.extend_from_slice(record.raw);
                count += 1;
            }
        })?;
        Ok(match count {
            0 => Thinned::Nothing,
            all if all == header.count => Thinned::Whole,
            some => Thinned::Part(batch::thinned(header, &kept, some)),
        })
    }

    fn is_aborted(&self, header: &Header) -> bool {
        let range = header.base_offset..header.last_offset() + 1;
        header.is_transactional()
            && self.log.aborted_in(&range).any(|it| it.producer_id == header.producer_id)
    }

    fn read(&self, location: &Location) -> Result<(Header, Bytes), CompactionError> {
        let bytes = self.state.store.read(location)?;
        let header = Header::parse(&bytes).expect("a stored batch was checked");
        Ok((header, bytes))
    }
}

/// What stays of a batch.
enum Thinned {
    Whole,
    Part(Bytes),
    Nothing,
}
