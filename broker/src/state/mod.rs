//! What the broker knows, and the one way to change it.
//!
//! The state has no sockets, threads or clock of its own: `core.rs` owns it on one thread and
//! tells it the time, and tests call it directly.
//!
//! Invariants
//! 1. Whatever outlives the process is changed by `change` or `append` alone, which write what
//!    they do, so that replay does the same.
//! 2. One call from `core.rs` is one journal frame.
//!
//! Next: `state/transactions.rs`, then `api/` for what the clients ask.

mod groups;
mod transactions;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;

pub(crate) use groups::{Group, Joining, Reply};
pub(crate) use transactions::{Phase, Producer, Transaction};

use crate::batch::{self, Header, Outcome};
use crate::journal::{Entry, Item, JournalError, JournalFile, Store};
use crate::limits::{CLEAN_INTERVAL_MS, RETENTION_INTERVAL_MS};
use crate::log::Partition;
use crate::producers::Verdict;
use crate::settings::Settings;
use crate::{Journal, compaction, retention, rewrite};

/// Everything the broker knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) node: Node,
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) transactions: HashMap<String, Transaction>,
    pub(crate) groups: HashMap<String, Group>,
    pub(crate) store: Store,
    /// Milliseconds since 1970, told by the owner; it never goes back.
    pub(crate) now_ms: i64,
    next_producer_id: i64,
    /// Members named so far; with the start's time it makes a member id unique.
    members_named: u64,
    started_ms: i64,
    clean_at_ms: i64,
    retain_at_ms: i64,
    /// Whether a waiting fetch may now find more.
    has_news: bool,
}

/// How clients reach the broker.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) settings: Settings,
    pub(crate) partitions: Vec<Partition>,
}

impl State {
    /// Opens the journal, repeats what it holds, and is ready.
    pub(crate) fn open(
        node: Node,
        journal: &Journal,
        fsync: bool,
        now_ms: i64,
    ) -> Result<State, JournalError> {
        let mut state = State {
            node,
            topics: BTreeMap::new(),
            transactions: HashMap::new(),
            groups: HashMap::new(),
            store: Store::Memory,
            now_ms,
            next_producer_id: 1,
            members_named: 0,
            started_ms: now_ms,
            clean_at_ms: now_ms + CLEAN_INTERVAL_MS,
            retain_at_ms: now_ms + RETENTION_INTERVAL_MS,
            has_news: false,
        };
        if let Journal::File(path) = journal {
            let file = JournalFile::open(path, fsync, |item| state.replay(item))?;
            state.store = Store::File(file);
        }
        Ok(state)
    }

    /// Follows the clock: sessions and transactions that ran out end, and logs are cleaned.
    pub(crate) fn tick(&mut self) -> Result<(), JournalError> {
        self.expire_transactions();
        self.expire_members();
        // What is read below must have been written.
        self.store.seal()?;
        if self.now_ms >= self.retain_at_ms {
            self.retain_at_ms = self.now_ms + RETENTION_INTERVAL_MS;
            retention::enforce(self);
        }
        if self.now_ms >= self.clean_at_ms {
            self.clean_at_ms = self.now_ms + CLEAN_INTERVAL_MS;
            retention::enforce_memory(self);
            compaction::run(self)?;
            self.store.seal()?;
            rewrite::run(self);
        }
        Ok(())
    }

    /// Changes the state by an entry, which is written too.
    pub(crate) fn change(&mut self, entry: Entry) {
        self.store.record(&entry);
        self.apply(entry);
    }

    /// Whether a waiting fetch may find more than before the last call.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    /// Takes a producer's batch and says where it stands in the log.
    pub(crate) fn produce(
        &mut self,
        transactional_id: Option<&str>,
        topic: &str,
        partition: i32,
        bytes: &Bytes,
    ) -> Result<i64, ResponseError> {
        let unknown = ResponseError::UnknownTopicOrPartition;
        let log = self.partition(topic, partition).ok_or(unknown)?;
        let settings = &self.topics[topic].settings;
        if bytes.len() > settings.message_bytes_max {
            return Err(ResponseError::MessageTooLarge);
        }
        let header = Header::check(bytes)?;
        if settings.is_compacted {
            compaction::check_keys(&header, bytes)?;
        }
        if header.is_transactional() {
            self.check_transactional(transactional_id, &header, topic, partition)?;
        }
        if header.producer_id >= 0
            && let Verdict::Duplicate(base_offset) = log.judge(&header)?
        {
            return Ok(base_offset);
        }
        Ok(self.append(topic, partition, BytesMut::from(&bytes[..])))
    }

    /// Takes a batch at the end of a partition, which must exist.
    fn append(&mut self, topic: &str, partition: i32, mut bytes: BytesMut) -> i64 {
        let log = self.partition(topic, partition).expect("the caller has looked it up");
        let base_offset = log.end();
        batch::place(&mut bytes, base_offset);
        let header = Header::parse(&bytes).expect("the batch was checked or made here");
        let outcome = control(&header, &bytes);
        let location = self.store.append(topic, partition, bytes);
        let log = self.partition_mut(topic, partition).expect("it was there just now");
        log.append(&header, outcome, location);
        self.has_news = true;
        base_offset
    }

    /// Everything beside the logs, as entries that say it anew.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        let ids = std::iter::once(Entry::ProducerIds { next: self.next_producer_id });
        let topics = self.topics.iter().map(|(name, topic)| Entry::Topic {
            name: name.clone(),
            partitions: topic.count(),
            settings: topic.settings.explicit().clone(),
        });
        let transactions = self.transactions.iter().map(|(id, it)| Entry::Transaction {
            id: id.clone(),
            transaction: Box::new(it.clone()),
        });
        let groups = self.groups.iter().filter(|(_, it)| !it.offsets.is_empty());
        let offsets = groups.map(|(group, it)| Entry::Offsets {
            group: group.clone(),
            offsets: it.offsets.values().cloned().collect(),
        });
        ids.chain(topics).chain(transactions).chain(offsets)
    }

    fn replay(&mut self, item: Item) {
        match item {
            Item::Entry(entry) => self.apply(entry),
            Item::Batch { topic, partition, bytes, location, is_appended } => {
                let header = Header::parse(&bytes);
                let log = self.partition_mut(&topic, partition);
                let (Some(log), Some(header)) = (log, header) else {
                    return;
                };
                if is_appended {
                    log.append(&header, control(&header, &bytes), location);
                } else {
                    log.place(&header, location);
                }
            }
        }
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Topic { name, partitions, settings } => {
                self.apply_topic(name, partitions, settings);
            }
            Entry::TopicDeleted { name } => self.apply_topic_deleted(&name),
            Entry::Transaction { id, transaction } => {
                let next = transaction.producer.id + 1;
                self.next_producer_id = self.next_producer_id.max(next);
                self.transactions.insert(id, *transaction);
            }
            Entry::ProducerIds { next } => self.next_producer_id = next,
            Entry::Offsets { group, offsets } => {
                let group = self.groups.entry(group).or_default();
                for it in offsets {
                    group.offsets.insert((it.topic.clone(), it.partition), it);
                }
            }
            Entry::GroupDeleted { group } => {
                self.groups.remove(&group);
            }
            Entry::LogStart { topic, partition, offset } => {
                if let Some(log) = self.partition_mut(&topic, partition) {
                    log.truncate_front(offset);
                }
            }
            Entry::Cleaned { topic, partition, from, to, kept } => {
                if let Some(log) = self.partition_mut(&topic, partition) {
                    log.keep_only(&(from..to), &kept);
                    log.forget_aborted_below(to);
                }
            }
            Entry::Facts { topic, partition, facts } => {
                if let Some(log) = self.partition_mut(&topic, partition) {
                    log.restore(*facts);
                }
            }
        }
    }

    fn apply_topic(&mut self, name: String, partitions: i32, settings: BTreeMap<String, String>) {
        let settings = Settings::new(settings).expect("settings are checked before they are kept");
        let topic = self
            .topics
            .entry(name)
            .or_insert_with(|| Topic { settings: settings.clone(), partitions: Vec::new() });
        topic.settings = settings;
        let wanted = usize::try_from(partitions).unwrap_or_default();
        while topic.partitions.len() < wanted {
            topic.partitions.push(Partition::default());
        }
    }

    fn apply_topic_deleted(&mut self, name: &str) {
        self.topics.remove(name);
        for transaction in self.transactions.values_mut() {
            transaction.partitions.remove(name);
        }
        for group in self.groups.values_mut() {
            group.offsets.retain(|(topic, _), _| topic != name);
        }
    }

    fn take_producer_id(&mut self) -> i64 {
        let id = self.next_producer_id;
        self.change(Entry::ProducerIds { next: id + 1 });
        id
    }
}

impl Topic {
    /// How many partitions it has.
    pub(crate) fn count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("the number of partitions is bounded")
    }
}

fn control(header: &Header, bytes: &[u8]) -> Option<Outcome> {
    header.is_control().then(|| batch::outcome(bytes)).flatten()
}
