//! librdkafka clients as the checks use them.
//!
//! Traps that are handled here once: `flush` and `commit_transaction` wait in steps of 100 ms
//! unless nothing is in flight (`drain`), and an abort needs an empty queue.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;

/// The longest any one step may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A producer whose delivery reports are polled here.
pub(crate) type TestProducer = BaseProducer<DefaultProducerContext>;

/// What a reader is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Isolation {
    Committed,
    Uncommitted,
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// `None` is a tombstone.
    pub(crate) value: Option<String>,
    pub(crate) key: Option<String>,
}

impl Cluster {
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Errors that the checks provoke are not news; what matters comes back as a result.
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "0");
        config.set("reconnect.backoff.max.ms", "500");
        config
    }

    pub(crate) fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.config().create()?)
    }

    /// Makes a topic with a fresh name.
    pub(crate) fn topic(&self, purpose: &str, partitions: i32) -> Result<String> {
        self.topic_with(purpose, partitions, &[])
    }

    pub(crate) fn topic_with(
        &self,
        purpose: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<String> {
        let name = self.name(purpose);
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        for made in wait(self.admin()?.create_topics(&[topic], &options()))?? {
            made.map_err(|(name, code)| anyhow::anyhow!("topic {name} was not made: {code}"))?;
        }
        Ok(name)
    }

    pub(crate) fn producer(&self, settings: &[(&str, &str)]) -> Result<TestProducer> {
        let mut config = self.config();
        config.set("linger.ms", "2").set("message.timeout.ms", "15000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Ok(config.create()?)
    }

    /// A producer that has taken over its transactional id.
    pub(crate) fn transactional(&self, id: &str) -> Result<TestProducer> {
        self.transactional_with(id, &[])
    }

    pub(crate) fn transactional_with(
        &self,
        id: &str,
        settings: &[(&str, &str)],
    ) -> Result<TestProducer> {
        let mut all = vec![("transactional.id", id), ("transaction.timeout.ms", "15000")];
        all.extend_from_slice(settings);
        let producer = self.producer(&all)?;
        producer.init_transactions(PATIENCE)?;
        Ok(producer)
    }

    pub(crate) fn consumer(&self, group: &str, isolation: Isolation) -> Result<BaseConsumer> {
        let isolation = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        let mut config = self.config();
        config
            .set("group.id", group)
            .set("isolation.level", isolation)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "50")
            .set("session.timeout.ms", "6000");
        Ok(config.create()?)
    }

    /// Reads all partitions of a topic to their ends.
    pub(crate) fn read(
        &self,
        topic: &str,
        partitions: i32,
        isolation: Isolation,
    ) -> Result<Vec<Read>> {
        let consumer = self.consumer("reader", isolation)?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let mut read = Vec::new();
        let mut at_end = HashSet::new();
        let mut deadline = Deadline::new("read to the end");
        while at_end.len() < partitions as usize {
            deadline.check()?;
            match consumer.poll(Duration::from_millis(200)) {
                None => {}
                Some(Ok(message)) => read.push(Read {
                    partition: message.partition(),
                    offset: message.offset(),
                    value: message.payload().map(lossy),
                    key: message.key().map(lossy),
                }),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    at_end.insert(partition);
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => bail!("reading {topic}: {error}"),
            }
        }
        Ok(read)
    }

    /// The values of a topic of one partition.
    pub(crate) fn values(&self, topic: &str, isolation: Isolation) -> Result<Vec<String>> {
        let read = self.read(topic, 1, isolation)?;
        Ok(read.into_iter().filter_map(|it| it.value).collect())
    }
}

/// Puts a record under way, polling while the queue is full.
pub(crate) fn put(producer: &TestProducer, topic: &str, partition: i32, value: &str) -> Result<()> {
    put_keyed(producer, topic, partition, "key", Some(value))
}

pub(crate) fn put_keyed(
    producer: &TestProducer,
    topic: &str,
    partition: i32,
    key: &str,
    value: Option<&str>,
) -> Result<()> {
    loop {
        let mut record = BaseRecord::<str, str>::to(topic).partition(partition).key(key);
        record.payload = value;
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Waits until the broker has answered for everything.
pub(crate) fn drain(producer: &TestProducer) -> Result<()> {
    let mut deadline = Deadline::new("drain the producer");
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
        deadline.check()?;
    }
    Ok(())
}

/// Drains and commits.
pub(crate) fn commit(producer: &TestProducer) -> Result<()> {
    drain(producer)?;
    Ok(producer.commit_transaction(PATIENCE)?)
}

/// Drains and aborts.
pub(crate) fn abort(producer: &TestProducer) -> Result<()> {
    drain(producer)?;
    Ok(producer.abort_transaction(PATIENCE)?)
}

/// One transaction of one record.
pub(crate) fn transact(producer: &TestProducer, topic: &str, value: &str) -> Result<()> {
    producer.begin_transaction()?;
    put(producer, topic, 0, value)?;
    commit(producer)
}

/// Runs an admin client's call.
pub(crate) fn wait<T>(call: impl Future<Output = T>) -> Result<T> {
    Ok(Runtime::new()?.block_on(call))
}

pub(crate) fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

/// Repeats a look until it sees what is wanted.
pub(crate) fn eventually<T>(
    what: &'static str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let mut deadline = Deadline::new(what);
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        deadline.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The end of patience with one step.
pub(crate) struct Deadline {
    what: &'static str,
    end: Instant,
}

impl Deadline {
    pub(crate) fn new(what: &'static str) -> Deadline {
        Deadline::within(what, PATIENCE)
    }

    pub(crate) fn within(what: &'static str, limit: Duration) -> Deadline {
        Deadline { what, end: Instant::now() + limit }
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        ensure!(Instant::now() < self.end, "it took too long to {}", self.what);
        Ok(())
    }
}

/// The offset of the only partition in a list.
pub(crate) fn only_offset(list: &TopicPartitionList) -> Result<Offset> {
    Ok(list.elements().first().context("the list has one partition")?.offset())
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, Resolve};
    matches!(
        error,
        KafkaError::MessageConsumption(BrokerTransportFailure | AllBrokersDown | Resolve)
    )
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
