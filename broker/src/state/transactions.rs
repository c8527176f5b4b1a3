//! The transaction coordinator: who may write under a transactional id, and what belongs to the
//! open transaction (KIP-98, KIP-360, KIP-447).
//!
//! ```text
//!   Empty ──add partition or group──► Ongoing ──EndTxn──► Committed | Aborted ──add──► Ongoing
//!     ▲                                  └──time-out, newer producer──► Aborted
//!     └───────────────────── InitProducerId, from any of them ─────────────────┘
//! ```
//!
//! Invariants
//! 1. One epoch per id is valid; every call of an older one is refused.
//! 2. Markers, offsets and the new phase are one journal frame: on one node there is no
//!    half-ended transaction, so Kafka's prepare states have no place here.
//! 3. Only what was added to the open transaction may be written under it.
//!
//! Next: `api/transactions.rs` speaks the protocol.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};

use super::State;
use crate::batch::{self, Header, Outcome};
use crate::journal::{CommittedOffset, Entry};
use crate::limits::TRANSACTION_MS_MAX;

/// How one transactional id stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) producer: Producer,
    /// The epoch before a producer's own bump, so that its repeated request finds its answer.
    last_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) phase: Phase,
    pub(crate) started_ms: i64,
    /// What the open transaction writes to.
    pub(crate) partitions: BTreeMap<String, BTreeSet<i32>>,
    /// The groups whose offsets it may commit, with the offsets staged so far.
    groups: BTreeMap<String, Vec<CommittedOffset>>,
}

/// A producer's id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// Where a transactional id is in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Nothing since the producer started.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// The last one was committed.
    Committed,
    /// The last one was aborted.
    Aborted,
}

/// No epoch.
const NO_EPOCH: i16 = -1;
/// The last epoch is kept for the broker's own fencing.
const EPOCH_MAX: i16 = i16::MAX - 1;

impl Transaction {
    fn new(producer: Producer, timeout_ms: i32) -> Transaction {
        Transaction {
            producer,
            last_epoch: NO_EPOCH,
            timeout_ms,
            phase: Phase::Empty,
            started_ms: 0,
            partitions: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// Whether an offset of a group waits for this transaction's end.
    pub(crate) fn has_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        let waits = |it: &CommittedOffset| it.topic == topic && it.partition == partition;
        self.groups.get(group).is_some_and(|offsets| offsets.iter().any(waits))
    }

    fn begin(&mut self, now_ms: i64) {
        if self.phase != Phase::Ongoing {
            self.phase = Phase::Ongoing;
            self.started_ms = now_ms;
        }
    }

    fn is_overdue(&self, now_ms: i64) -> bool {
        self.phase == Phase::Ongoing && now_ms - self.started_ms > i64::from(self.timeout_ms)
    }
}

impl State {
    /// Gives a producer its id and epoch, and fences whoever held them (`InitProducerId`).
    ///
    /// `expected` is what a producer that recovers believes it has (KIP-360).
    pub(crate) fn init_producer(
        &mut self,
        id: Option<&str>,
        timeout_ms: i32,
        expected: Option<Producer>,
    ) -> Result<Producer, ResponseError> {
        let Some(id) = id else {
            return Ok(Producer { id: self.take_producer_id(), epoch: 0 });
        };
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if !(1..=TRANSACTION_MS_MAX).contains(&timeout_ms) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let Some(known) = self.transactions.get(id) else {
            let producer = Producer { id: self.take_producer_id(), epoch: 0 };
            self.set(id, Transaction::new(producer, timeout_ms));
            return Ok(producer);
        };
        let current = known.producer;
        if let Some(expected) = expected.filter(|it| *it != current) {
            let repeated = expected.id == current.id && expected.epoch == known.last_epoch;
            return repeated.then_some(current).ok_or(ResponseError::ProducerFenced);
        }
        let last_epoch = expected.map_or(NO_EPOCH, |it| it.epoch);
        Ok(self.next_producer(id, timeout_ms, last_epoch))
    }

    fn next_producer(&mut self, id: &str, timeout_ms: i32, last_epoch: i16) -> Producer {
        if self.transactions[id].phase == Phase::Ongoing {
            self.fence(id);
        } else {
            self.update(id, |it| it.producer.epoch += 1);
        }
        let mut producer = self.transactions[id].producer;
        if producer.epoch >= EPOCH_MAX {
            producer = Producer { id: self.take_producer_id(), epoch: 0 };
        }
        self.set(id, Transaction { last_epoch, ..Transaction::new(producer, timeout_ms) });
        producer
    }

    /// Adds partitions to the open transaction, opening one if there is none.
    pub(crate) fn add_partitions(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: &[(&str, &[i32])],
    ) -> Result<(), ResponseError> {
        self.check_producer(id, producer)?;
        let now_ms = self.now_ms;
        self.update(id, |it| {
            it.begin(now_ms);
            for (topic, added) in partitions {
                it.partitions.entry((*topic).to_owned()).or_default().extend(*added);
            }
        });
        Ok(())
    }

    /// Lets the open transaction commit offsets of a group.
    pub(crate) fn add_group(
        &mut self,
        id: &str,
        producer: Producer,
        group: &str,
    ) -> Result<(), ResponseError> {
        self.check_producer(id, producer)?;
        let now_ms = self.now_ms;
        self.update(id, |it| {
            it.begin(now_ms);
            it.groups.entry(group.to_owned()).or_default();
        });
        Ok(())
    }

    /// Stages offsets of a group until the transaction ends.
    pub(crate) fn stage_offsets(
        &mut self,
        id: &str,
        producer: Producer,
        group: &str,
        offsets: Vec<CommittedOffset>,
    ) -> Result<(), ResponseError> {
        self.check_producer(id, producer)?;
        let known = &self.transactions[id];
        if known.phase != Phase::Ongoing || !known.groups.contains_key(group) {
            return Err(ResponseError::InvalidTxnState);
        }
        self.update(id, |it| {
            let staged = it.groups.entry(group.to_owned()).or_default();
            staged.retain(|old| {
                !offsets.iter().any(|it| (&it.topic, it.partition) == (&old.topic, old.partition))
            });
            staged.extend(offsets);
        });
        Ok(())
    }

    /// Ends the open transaction as its producer wishes; a repeated wish is granted again.
    pub(crate) fn end_transaction(
        &mut self,
        id: &str,
        producer: Producer,
        outcome: Outcome,
    ) -> Result<(), ResponseError> {
        self.check_producer(id, producer)?;
        match (self.transactions[id].phase, outcome) {
            (Phase::Ongoing, _) => self.finish(id, outcome),
            (Phase::Committed, Outcome::Commit) | (Phase::Aborted, Outcome::Abort) => {}
            _ => return Err(ResponseError::InvalidTxnState),
        }
        Ok(())
    }

    /// Whether a transactional batch may be written.
    pub(crate) fn check_transactional(
        &self,
        id: Option<&str>,
        header: &Header,
        topic: &str,
        partition: i32,
    ) -> Result<(), ResponseError> {
        let id = id.ok_or(ResponseError::InvalidTxnState)?;
        let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
        self.check_producer(id, producer).map_err(|error| match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            other => other,
        })?;
        let known = &self.transactions[id];
        let is_added = known.partitions.get(topic).is_some_and(|it| it.contains(&partition));
        let may_write = known.phase == Phase::Ongoing && is_added;
        may_write.then_some(()).ok_or(ResponseError::InvalidTxnState)
    }

    /// Aborts what has been open for longer than its producer allowed, and fences the producer.
    pub(super) fn expire_transactions(&mut self) {
        let now_ms = self.now_ms;
        let overdue = self.transactions.iter().filter(|(_, it)| it.is_overdue(now_ms));
        let overdue: Vec<String> = overdue.map(|(id, _)| id.clone()).collect();
        for id in overdue {
            tracing::info!(event = "transaction_timed_out", transactional_id = id);
            self.fence(&id);
        }
    }

    fn check_producer(&self, id: &str, producer: Producer) -> Result<(), ResponseError> {
        let known = self.transactions.get(id).filter(|it| it.producer.id == producer.id);
        let known = known.ok_or(ResponseError::InvalidProducerIdMapping)?;
        let is_current = known.producer.epoch == producer.epoch;
        is_current.then_some(()).ok_or(ResponseError::ProducerFenced)
    }

    /// Aborts the open transaction under a newer epoch, which shuts its producer out.
    fn fence(&mut self, id: &str) {
        self.update(id, |it| {
            it.producer.epoch += 1;
            it.last_epoch = NO_EPOCH;
        });
        self.finish(id, Outcome::Abort);
    }

    fn finish(&mut self, id: &str, outcome: Outcome) {
        let ended = self.transactions[id].clone();
        let Producer { id: producer_id, epoch } = ended.producer;
        for (topic, partitions) in &ended.partitions {
            for &partition in partitions {
                // A topic that was deleted meanwhile needs no marker.
                if self.partition(topic, partition).is_some() {
                    let marker = batch::marker(producer_id, epoch, outcome, self.now_ms);
                    self.append(topic, partition, marker);
                }
            }
        }
        let phase = match outcome {
            Outcome::Commit => Phase::Committed,
            Outcome::Abort => Phase::Aborted,
        };
        self.update(id, |it| {
            it.phase = phase;
            it.partitions.clear();
            it.groups.clear();
        });
        if outcome == Outcome::Commit {
            for (group, offsets) in ended.groups {
                self.change(Entry::Offsets { group, offsets });
            }
        }
    }

    fn update(&mut self, id: &str, change: impl FnOnce(&mut Transaction)) {
        let mut transaction = self.transactions[id].clone();
        change(&mut transaction);
        self.set(id, transaction);
    }

    fn set(&mut self, id: &str, transaction: Transaction) {
        let transaction = Box::new(transaction);
        self.change(Entry::Transaction { id: id.to_owned(), transaction });
    }
}
