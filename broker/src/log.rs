//! One partition: where its batches are, what is stable, and who wrote last.
//!
//! Invariants
//! 1. Batches are in offset order and do not overlap; compaction leaves gaps between them.
//! 2. The last stable offset is the first offset of the oldest open transaction, else the end.
//! 3. An aborted transaction is listed as long as a record of it may still be read.
//!
//! Next: `journal/` keeps the bytes; `compaction.rs` thins a partition.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};

use crate::batch::{Header, Outcome};
use crate::journal::Location;
use crate::producers::{ProducerState, Verdict};

/// One partition of a topic.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    batches: VecDeque<Batch>,
    /// Bytes of all batches together.
    bytes: u64,
    facts: Facts,
    /// What compaction has not yet looked at begins here.
    pub(crate) first_dirty: i64,
}

/// What of a partition cannot be read back from its batches once some of them are gone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    log_start: i64,
    end: i64,
    /// Open transactions: the producer and its first offset.
    open: BTreeMap<i64, i64>,
    aborted: Vec<Aborted>,
    producers: HashMap<i64, ProducerState>,
}

/// One batch and where its bytes are.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) base: i64,
    pub(crate) last: i64,
    pub(crate) max_timestamp: i64,
    /// A marker has a time, but no record of a client.
    pub(crate) is_control: bool,
    pub(crate) location: Location,
}

/// A transaction whose data in this partition is to be skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    /// The first offset of its data.
    pub(crate) first: i64,
    /// The offset of its marker.
    pub(crate) marker: i64,
}

impl Partition {
    /// The offset the next record gets (Kafka's high watermark: one node has no other).
    pub(crate) fn end(&self) -> i64 {
        self.facts.end
    }

    /// The first offset that may still be read.
    pub(crate) fn log_start(&self) -> i64 {
        self.facts.log_start
    }

    /// Everything below it belongs to ended transactions or to none.
    pub(crate) fn last_stable(&self) -> i64 {
        self.facts.open.values().min().copied().unwrap_or(self.facts.end)
    }

    /// Bytes of all batches together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The facts beside the batches, for the journal's rewriting.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Takes the facts from a rewritten journal.
    pub(crate) fn restore(&mut self, facts: Facts) {
        self.facts = facts;
    }

    /// Judges a producer's batch by what the producer wrote before.
    pub(crate) fn judge(&self, header: &Header) -> Result<Verdict, ResponseError> {
        let known = self.facts.producers.get(&header.producer_id);
        known.map_or(Ok(Verdict::Append), |producer| producer.judge(header))
    }

    /// Takes a batch at the end. A control batch says by `outcome` what it ends.
    pub(crate) fn append(&mut self, header: &Header, outcome: Option<Outcome>, location: Location) {
        debug_assert!(header.base_offset >= self.facts.end, "offsets are never given twice");
        self.place(header, location);
        self.facts.end = header.last_offset() + 1;
        if header.producer_id < 0 {
            return;
        }
        let new = || ProducerState::new(header.producer_epoch);
        let producer = self.facts.producers.entry(header.producer_id).or_insert_with(new);
        if header.is_control() {
            producer.advance(header.producer_epoch, header.max_timestamp);
            self.close(header, outcome);
        } else {
            producer.append(header);
            if header.is_transactional() {
                self.facts.open.entry(header.producer_id).or_insert(header.base_offset);
            }
        }
    }

    fn close(&mut self, header: &Header, outcome: Option<Outcome>) {
        let Some(first) = self.facts.open.remove(&header.producer_id) else {
            return;
        };
        if outcome == Some(Outcome::Abort) {
            self.facts.aborted.push(Aborted {
                producer_id: header.producer_id,
                first,
                marker: header.base_offset,
            });
        }
    }

    /// Puts a batch where it belongs by its offset, and changes nothing else.
    pub(crate) fn place(&mut self, header: &Header, location: Location) {
        let batch = Batch {
            base: header.base_offset,
            last: header.last_offset(),
            max_timestamp: header.max_timestamp,
            is_control: header.is_control(),
            location,
        };
        self.bytes += batch.location.size();
        let index = self.batches.partition_point(|other| other.base < batch.base);
        self.batches.insert(index, batch);
    }

    /// The batches that hold `offset` or come after it.
    pub(crate) fn batches_from(&self, offset: i64) -> impl Iterator<Item = &Batch> {
        self.batches.range(self.batches.partition_point(|batch| batch.last < offset)..)
    }

    /// The batches that begin in a range of offsets.
    pub(crate) fn batches_in<'a>(
        &'a self,
        range: &Range<i64>,
    ) -> impl Iterator<Item = &'a Batch> + use<'a> {
        let index = |offset| self.batches.partition_point(|batch| batch.base < offset);
        self.batches.range(index(range.start)..index(range.end).max(index(range.start)))
    }

    /// All batches, so that the journal's rewriting can give them their new places.
    pub(crate) fn batches_mut(&mut self) -> impl Iterator<Item = &mut Batch> {
        self.batches.iter_mut()
    }

    /// Where the last batch below `offset` begins.
    pub(crate) fn last_batch_below(&self, offset: i64) -> Option<&Batch> {
        let index = self.batches.partition_point(|batch| batch.base < offset);
        index.checked_sub(1).and_then(|index| self.batches.get(index))
    }

    /// The aborted transactions with data in a range of offsets.
    pub(crate) fn aborted_in<'a>(
        &'a self,
        range: &Range<i64>,
    ) -> impl Iterator<Item = &'a Aborted> + use<'a> {
        let Range { start, end } = *range;
        let hits = move |it: &&Aborted| it.marker >= start && it.first < end;
        self.facts.aborted.iter().filter(hits)
    }

    /// Keeps of a range only the batches that begin at `kept`, which is sorted.
    pub(crate) fn keep_only(&mut self, range: &Range<i64>, kept: &[i64]) {
        self.batches.retain(|batch| {
            !range.contains(&batch.base) || kept.binary_search(&batch.base).is_ok()
        });
        self.recount();
    }

    /// Forgets everything below `offset`; a batch that reaches over it stays whole.
    pub(crate) fn truncate_front(&mut self, offset: i64) {
        self.facts.log_start = self.facts.log_start.max(offset.min(self.facts.end));
        let start = self.facts.log_start;
        self.batches.retain(|batch| batch.last >= start);
        self.facts.aborted.retain(|aborted| aborted.marker >= start);
        self.recount();
    }

    /// Forgets aborted transactions whose data and marker are all below `offset`, once compaction
    /// has removed them from there.
    pub(crate) fn forget_aborted_below(&mut self, offset: i64) {
        self.facts.aborted.retain(|aborted| aborted.marker >= offset);
    }

    /// Forgets producers that wrote nothing since `since_ms` and have nothing open.
    pub(crate) fn forget_producers(&mut self, since_ms: i64) {
        let open = &self.facts.open;
        self.facts.producers.retain(|id, it| it.last_ms >= since_ms || open.contains_key(id));
    }

    fn recount(&mut self) {
        self.bytes = self.batches.iter().map(|batch| batch.location.size()).sum();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::batch;
    use crate::records::tests::{build, plain};

    /// Appends a transactional batch of two records.
    fn data(log: &mut Partition, producer_id: i64) {
        let header = Header { producer_id, producer_epoch: 0, base_sequence: 0, ..plain() };
        let bytes = build(
            Header { attributes: 0x10, base_offset: log.end(), ..header },
            &[(Some("k"), Some("v")), (Some("k"), Some("w"))],
        );
        put(log, bytes, None);
    }

    fn end(log: &mut Partition, producer_id: i64, outcome: Outcome) {
        let mut marker = batch::marker(producer_id, 0, outcome, 1_000);
        batch::place(&mut marker, log.end());
        put(log, marker.freeze(), Some(outcome));
    }

    fn put(log: &mut Partition, bytes: Bytes, outcome: Option<Outcome>) {
        log.append(&Header::parse(&bytes).unwrap(), outcome, Location::Memory(bytes));
    }

    #[test]
    fn the_oldest_open_transaction_holds_the_stable_offset() {
        let mut log = Partition::default();
        data(&mut log, 1);
        data(&mut log, 2);
        assert_eq!((log.last_stable(), log.end()), (0, 4));
        end(&mut log, 1, Outcome::Commit);
        assert_eq!((log.last_stable(), log.end()), (2, 5));
        end(&mut log, 2, Outcome::Abort);
        assert_eq!((log.last_stable(), log.end()), (6, 6));
    }

    #[test]
    fn an_aborted_transaction_is_listed_where_its_data_may_be_read() {
        let mut log = Partition::default();
        data(&mut log, 1);
        end(&mut log, 1, Outcome::Abort);
        data(&mut log, 2);
        end(&mut log, 2, Outcome::Commit);
        let aborted = Aborted { producer_id: 1, first: 0, marker: 2 };
        assert_eq!(log.aborted_in(&(0..6)).collect::<Vec<_>>(), [&aborted]);
        assert_eq!(log.aborted_in(&(1..2)).count(), 1);
        assert_eq!(log.aborted_in(&(3..6)).count(), 0);
    }

    #[test]
    fn a_front_cut_keeps_the_batch_that_reaches_over_it() {
        let mut log = Partition::default();
        data(&mut log, 1);
        end(&mut log, 1, Outcome::Abort);
        let whole = log.bytes();
        log.truncate_front(1);
        assert_eq!((log.log_start(), log.bytes()), (1, whole));
        log.truncate_front(99);
        assert_eq!((log.log_start(), log.end(), log.bytes()), (3, 3, 0));
    }

    #[test]
    fn batches_are_found_by_offset_across_gaps() {
        let mut log = Partition::default();
        for producer in 1..=3 {
            data(&mut log, producer);
        }
        log.keep_only(&(0..4), &[0]);
        assert_eq!(log.batches_from(2).map(|it| it.base).collect::<Vec<_>>(), [4]);
        assert_eq!(log.last_batch_below(4).map(|it| it.base), Some(0));
        assert_eq!(log.batches_in(&(1..9)).map(|it| it.base).collect::<Vec<_>>(), [4]);
    }
}
