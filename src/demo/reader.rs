//! The demo's reader: an ordinary Kafka client with `isolation.level=read_committed`.
//!
//! It is no part of the pipeline and is told nothing by it: what it has seen is what any reader of
//! the topic would have seen. On a cluster where the topic holds older records, it begins behind
//! them.

use crate::demo::ledger::{Arrival, Ledger};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a metadata or watermark request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one poll waits; also how soon the reader notices that it should end.
const POLL: Duration = Duration::from_millis(50);

/// How often a record is kept for showing.
const SAMPLE_EVERY: Duration = Duration::from_millis(300);

/// The running reader.
pub(super) struct Reader {
    ledger: Arc<Mutex<Ledger>>,
    is_ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Where the reader begins.
struct Start {
    consumer: BaseConsumer,
    topic: String,
    /// Partitions and their ends, if the topic is there already.
    ends: Option<Vec<(i32, i64)>>,
}

/// What the reader needs of a record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    sequence: &'a str,
    #[serde(borrow)]
    emitted_ns: &'a str,
}

impl Reader {
    /// Notes where the topic ends now, then reads what comes.
    pub(super) fn start(brokers: &str, topic: &str) -> anyhow::Result<Self> {
        let start = Start::new(brokers, topic)?;
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let is_ending = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("demo-reader".to_owned());
        let (to, until) = (ledger.clone(), is_ending.clone());
        let thread = thread.spawn(move || start.read(&to, &until))?;
        Ok(Reader { ledger, is_ending, thread })
    }

    /// What it has seen.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Ends the thread and waits for it.
    pub(super) fn end(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        while !self.thread.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Start {
    fn new(brokers: &str, topic: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            // librdkafka demands a group although partitions are assigned by hand.
            .set("group.id", "headwater-demo-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            // Latency is what the demo shows; the default waits half a second for a full answer.
            .set("fetch.wait.max.ms", "10")
            .create()?;
        let ends = ends(&consumer, topic).map_err(|error| {
            anyhow::anyhow!(
                "no answer from Kafka at {brokers}: {error}; is a broker listening there?"
            )
        })?;
        Ok(Start { consumer, topic: topic.to_owned(), ends })
    }

    fn read(self, ledger: &Mutex<Ledger>, is_ending: &AtomicBool) {
        let Some(assigned) = self.assignment(is_ending) else { return };
        if let Err(error) = self.consumer.assign(&assigned) {
            tracing::error!(event = "demo_reader_failed", %error);
            return;
        }
        let mut sampled = Instant::now() - SAMPLE_EVERY;
        while !is_ending.load(Ordering::Relaxed) {
            match self.consumer.poll(POLL) {
                None => {}
                Some(Err(error)) => tracing::debug!(event = "demo_reader", %error),
                Some(Ok(message)) => {
                    let payload = message.payload().unwrap_or_default();
                    let mut ledger = lock(ledger);
                    note(&mut ledger, message.partition(), payload);
                    if sampled.elapsed() >= SAMPLE_EVERY {
                        sampled = Instant::now();
                        ledger.sample(String::from_utf8_lossy(payload).into_owned());
                    }
                }
            }
        }
    }

    /// Waits for the topic if the pipeline has yet to create it: then all of it is new.
    fn assignment(&self, is_ending: &AtomicBool) -> Option<TopicPartitionList> {
        let mut assigned = TopicPartitionList::new();
        let mut ends_now = self.ends.clone();
        while ends_now.is_none() {
            if is_ending.load(Ordering::Relaxed) {
                return None;
            }
            std::thread::sleep(POLL);
            let fresh = ends(&self.consumer, &self.topic).ok().flatten();
            ends_now = fresh.map(|all| all.into_iter().map(|(it, _)| (it, 0)).collect());
        }
        for (partition, offset) in ends_now? {
            let added =
                assigned.add_partition_offset(&self.topic, partition, Offset::Offset(offset));
            added.expect("an offset that Kafka gave is valid");
        }
        Some(assigned)
    }
}

/// The partitions of a topic and where they end; none if there is no such topic.
fn ends(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Option<Vec<(i32, i64)>>> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found.filter(|found| !found.partitions().is_empty()) else { return Ok(None) };
    let mut all = Vec::new();
    for partition in found.partitions().iter().map(|partition| partition.id()) {
        let (_, end) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        all.push((partition, end));
    }
    Ok(Some(all))
}

fn note(ledger: &mut Ledger, partition: i32, payload: &[u8]) {
    let event: Option<Event<'_>> = serde_json::from_slice(payload).ok();
    let numbers = event.and_then(|event| {
        Some((event.sequence.parse().ok()?, event.emitted_ns.parse::<u64>().ok()?))
    });
    match numbers {
        Some((sequence, emitted_ns)) => {
            let latency_us = unix_ns().saturating_sub(emitted_ns) / 1_000;
            ledger.arrived(&Arrival { partition, sequence, latency_us });
        }
        None => ledger.unreadable(),
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().expect("taking a record down does not panic")
}
