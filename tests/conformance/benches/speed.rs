//! How fast a broker is under librdkafka on this machine, client and broker sharing it.
//!
//! Usage: `cargo bench -p headwater-conformance` measures the embedded broker with a journal on
//! disk; `-- HOST:PORT` measures another one. Under `cargo test` it runs at toy size. Each run
//! reads back what it wrote.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_broker::{Broker, BrokerConfig, Journal};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;
const VALUE: [u8; 1024] = [b'x'; 1024];

struct Bench {
    bootstrap: String,
    /// Divides every count.
    scale: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|it| it == "--bench");
    let scale = if is_bench { 1 } else { 100 };
    let runtime = Runtime::new()?;
    if let Some(bootstrap) = arguments.into_iter().find(|it| !it.starts_with("--")) {
        return Bench { bootstrap, scale }.run(&runtime);
    }
    let folder = tempfile::tempdir()?;
    let journal = Journal::File(folder.path().join("journal"));
    let config = BrokerConfig { journal, ..BrokerConfig::in_memory() };
    let broker = runtime.block_on(Broker::start(config))?;
    Bench { bootstrap: broker.bootstrap(), scale }.run(&runtime)?;
    runtime.block_on(broker.shutdown());
    Ok(())
}

impl Bench {
    fn run(&self, runtime: &Runtime) -> Result<()> {
        self.produce_and_consume(runtime, 200_000 / self.scale)?;
        self.single_records(runtime, 500 / self.scale)?;
        for (records, transactions) in [(1, 200usize), (100, 200), (1000, 200), (5000, 40)] {
            self.transactions(runtime, records, transactions.div_ceil(self.scale))?;
        }
        Ok(())
    }

    fn produce_and_consume(&self, runtime: &Runtime, count: usize) -> Result<()> {
        let topic = self.topic(runtime, "produce")?;
        let producer = self.producer(&[("enable.idempotence", "true"), ("linger.ms", "5")])?;
        let start = Instant::now();
        for index in 0..count {
            put(&producer, &topic, index)?;
        }
        producer.flush(PATIENCE)?;
        report_rate("idempotent produce, 1 KiB", count, start.elapsed());
        let start = Instant::now();
        self.read(&topic, count)?;
        report_rate("consume, read_committed", count, start.elapsed());
        Ok(())
    }

    fn single_records(&self, runtime: &Runtime, count: usize) -> Result<()> {
        let topic = self.topic(runtime, "single")?;
        let producer = self.producer(&[("enable.idempotence", "true"), ("linger.ms", "0")])?;
        let mut times = Vec::with_capacity(count);
        for index in 0..count {
            let start = Instant::now();
            put(&producer, &topic, index)?;
            drain(&producer);
            times.push(start.elapsed());
        }
        report_times("one record, acks=all", times);
        self.read(&topic, count)
    }

    fn transactions(&self, runtime: &Runtime, records: usize, count: usize) -> Result<()> {
        let topic = self.topic(runtime, "transactions")?;
        let producer = self.producer(&[("transactional.id", &topic), ("linger.ms", "5")])?;
        producer.init_transactions(PATIENCE)?;
        let mut times = Vec::with_capacity(count);
        let start = Instant::now();
        for _ in 0..count {
            producer.begin_transaction()?;
            for index in 0..records {
                put(&producer, &topic, index)?;
            }
            let end = Instant::now();
            drain(&producer);
            producer.commit_transaction(PATIENCE)?;
            times.push(end.elapsed());
        }
        let what = format!("transactions of {records}");
        report_rate(&what, records * count, start.elapsed());
        report_times(&format!("{what}, commit"), times);
        self.read(&topic, records * count)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn topic(&self, runtime: &Runtime, purpose: &str) -> Result<String> {
        let name = format!("{purpose}-{}", unique());
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        let made = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new()))?;
        made[0].as_ref().map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))?;
        Ok(name)
    }

    fn producer(&self, settings: &[(&str, &str)]) -> Result<BaseProducer> {
        let mut config = self.config();
        config.set("batch.size", "1000000").set("message.timeout.ms", "60000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Ok(config.create()?)
    }

    fn read(&self, topic: &str, wanted: usize) -> Result<()> {
        let mut config = self.config();
        config.set("group.id", "bench").set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        for count in 0..wanted {
            let message = consumer.poll(PATIENCE);
            message.with_context(|| format!("{count} of {wanted} records arrived"))??;
        }
        let more = consumer.poll(Duration::from_millis(100));
        ensure!(more.is_none(), "more than {wanted} records arrived");
        Ok(())
    }
}

fn put(producer: &BaseProducer, topic: &str, index: usize) -> Result<()> {
    let partition = i32::try_from(index % PARTITIONS as usize)?;
    if index.is_multiple_of(1000) {
        producer.poll(Duration::ZERO);
    }
    loop {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(&VALUE);
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

fn drain(producer: &BaseProducer) {
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
}

/// A number that no other run of this machine has.
fn unique() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |it| it.as_nanos())
}

fn report_rate(what: &str, count: usize, elapsed: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let rate = count as f64 / elapsed.as_secs_f64() / 1e3;
    println!("{what:<30} {rate:>8.1} k records/s");
}

fn report_times(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{what:<30} p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(50), at(99), at(100));
}
