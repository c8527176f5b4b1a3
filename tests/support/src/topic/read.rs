//! Reads a topic from its start to its end, in a bounded time.
//!
//! Why a fresh reader each time: only what a reader sees that knows nothing of the writer counts.
//! The end of a partition is where the broker says it is for this isolation: the high watermark,
//! or, for `read_committed`, the last stable offset. A commit is acknowledged before its markers
//! are in the logs, so such a reader first waits until what was written before it is stable.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Timestamp};

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Only those of committed transactions.
    Committed,
    /// All, also those of aborted and open transactions.
    Uncommitted,
}

/// A record, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}

/// A reader that gets nothing for so long has met a broker that hangs.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// How long a reader waits for markers, which a broker on a busy machine writes seconds behind the
/// commit. What is still open then belongs to a transaction that nobody ends, and no reader of
/// committed records may see it.
const MARKERS_MAX: Duration = Duration::from_secs(30);

/// A wait that is worth a word.
const MARKERS_LATE: Duration = Duration::from_secs(1);

/// A reader of the whole topic, standing at its start.
pub fn consumer(bootstrap: &str, topic: &str, isolation: Isolation) -> Result<BaseConsumer> {
    consumer_at(bootstrap, topic, isolation, &BTreeMap::new())
}

/// A reader of the whole topic that stands at these offsets, by partition, and else at the start.
/// It is assigned once: one that was assigned again may still bring records of its first place.
pub fn consumer_at(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    places: &BTreeMap<i32, i64>,
) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    let config = config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "headwater-test-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .set("isolation.level", isolation.setting());
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in partitions(&consumer, topic)? {
        let place = places.get(&partition).map_or(Offset::Beginning, |at| Offset::Offset(*at));
        assignment.add_partition_offset(topic, partition, place)?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

/// Reads the topic from its start to its present end; returns how many records there were.
pub fn for_each(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    mut visit: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
) -> Result<u64> {
    let consumer = consumer(bootstrap, topic, isolation)?;
    if isolation == Isolation::Committed {
        await_markers(bootstrap, topic, &consumer)?;
    }
    let mut open: BTreeSet<i32> = partitions(&consumer, topic)?.into_iter().collect();
    let (mut count, mut heard) = (0, Instant::now());
    while !open.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                visit(&message)?;
                count += 1;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) if !is_passing(&error) => {
                return Err(error).with_context(|| format!("reading {topic}"));
            }
            None | Some(Err(_)) if heard.elapsed() > SILENCE_MAX => {
                bail!("{topic}: nothing for {SILENCE_MAX:?}; partitions {open:?} have no end");
            }
            None | Some(Err(_)) => continue,
        }
        heard = Instant::now();
    }
    Ok(count)
}

/// Waits until everything that is in the logs now is committed or aborted.
fn await_markers(bootstrap: &str, topic: &str, committed: &BaseConsumer) -> Result<()> {
    let all = consumer(bootstrap, topic, Isolation::Uncommitted)?;
    let (end, asked) = (end_offsets(&all, topic)?, Instant::now());
    let mut stable = end_offsets(committed, topic)?;
    while stable < end && asked.elapsed() < MARKERS_MAX {
        std::thread::sleep(Duration::from_millis(10));
        stable = end_offsets(committed, topic)?;
    }
    let waited = asked.elapsed();
    if stable < end {
        let held = end - stable;
        println!("{topic}: {held} offsets are held back by an open transaction after {waited:?}");
    } else if waited > MARKERS_LATE {
        println!("{topic}: the last markers came after {waited:?}");
    }
    Ok(())
}

/// Whether librdkafka only says that it has lost the broker, and goes on trying by itself.
pub fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    let code = error.rdkafka_error_code();
    matches!(code, Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut))
}

/// Every record of the topic, partition by partition, in offset order.
pub fn read_all(bootstrap: &str, topic: &str, isolation: Isolation) -> Result<Vec<Read>> {
    let mut records = Vec::new();
    for_each(bootstrap, topic, isolation, |message| {
        records.push(Read::new(message));
        Ok(())
    })?;
    records.sort_by_key(|it| (it.partition, it.offset));
    Ok(records)
}

/// The sum of the partitions' end offsets, as far as the reader's isolation lets it see: counts
/// records, and also markers of transactions.
pub fn end_offsets(consumer: &BaseConsumer, topic: &str) -> Result<i64> {
    let mut sum = 0;
    for partition in partitions(consumer, topic)? {
        sum += consumer.fetch_watermarks(topic, partition, SILENCE_MAX)?.1;
    }
    Ok(sum)
}

impl Isolation {
    fn setting(self) -> &'static str {
        match self {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        }
    }
}

impl Read {
    fn new(message: &BorrowedMessage<'_>) -> Read {
        let headers = message.headers().map(|it| {
            let header = |it: rdkafka::message::Header<'_, &[u8]>| {
                (it.key.to_owned(), it.value.unwrap_or_default().to_vec())
            };
            it.iter().map(header).collect()
        });
        Read {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            timestamp_ms: match message.timestamp() {
                Timestamp::NotAvailable => None,
                Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => Some(ms),
            },
        }
    }

    /// The header `name` as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), SILENCE_MAX)?;
    let found = metadata.topics().iter().find(|it| it.name() == topic);
    let partitions: Vec<i32> =
        found.into_iter().flat_map(|it| it.partitions()).map(|it| it.id()).collect();
    if partitions.is_empty() {
        bail!("topic {topic} does not exist");
    }
    Ok(partitions)
}
