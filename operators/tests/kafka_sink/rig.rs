//! A fresh broker per test, a sink made from a pipeline file, and readers of what became visible.

use bytes::Bytes;
use headwater_broker::{Broker, BrokerConfig};
use headwater_engine::commit::outlet::{OutletError, ShardPosition};
use headwater_engine::commit::progress::StoredProgress;
use headwater_engine::ids::{Epoch, Sequence, Session, ShardIndex, ShardKey};
use headwater_engine::position::Position;
use headwater_engine::record::{Batch, ReceivedAt, Values};
use headwater_engine::shards::ShardTable;
use headwater_engine::spec::{
    Checked, Encoding, KindEntry, Registry, Role, Source, StreamType, SystemVariables, load,
    schema_of,
};
use headwater_operators::sink::kafka::{
    HeldGeneration, KafkaOutlet, KafkaSink, KafkaStartError, KafkaTarget, OutletPlan, ShardEntry,
    SinkEntry, entry, instance_name, read_progress,
};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long a reader may take to the end of a topic.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A record's value and headers.
pub type Record = (Option<String>, Vec<(String, Option<String>)>);

pub struct Rig {
    runtime: Runtime,
    broker: Broker,
}

/// A pipeline file with one Kafka sink; `more` is added to the sink's keys.
pub fn sink_file(rig: &Rig, more: &str) -> String {
    let brokers = rig.broker.bootstrap();
    format!(
        "pipeline: p\nsources:\n  events: {{ kind: test }}\ndecoders:\n  json: {{ kind: test, from: \
         events }}\nsinks:\n  out:\n    kind: kafka\n    from: json\n    brokers: \
         {brokers}\n    topic: events\n    {more}\n"
    )
}

/// A batch of one shard whose first record has sequence `first`.
pub fn batch(first: u64, values: &[&str]) -> Batch {
    let bytes = |value: &&str| Bytes::copy_from_slice(value.as_bytes());
    Batch {
        shard: ShardIndex(0),
        session: Session(1),
        first: Sequence(first),
        end: Sequence(first + values.len() as u64),
        received: ReceivedAt { monotonic_ns: 0, unix_ms: 1_700_000_000_000 },
        kept: None,
        values: Values::Received(Arc::new(values.iter().map(bytes).collect())),
        columns: Vec::new(),
        dead: Vec::new(),
        gaps: Vec::new(),
        position: None,
        credit_bytes: 0,
    }
}

/// Adds the positions and commits, as the committer does.
pub fn commit(
    outlet: &mut KafkaOutlet,
    epoch: u64,
    positions: &[ShardPosition],
) -> Result<(), OutletError> {
    let committed = outlet.seal(Epoch(epoch), positions)?.commit();
    committed.map_err(|error| outlet.commit_failed(error))?;
    outlet.committed(positions);
    Ok(())
}

/// The position of one shard, with the number of records the epoch adds to it.
pub fn positions(shard: u32, next_sequence: u64, records: u64) -> Vec<ShardPosition> {
    let next_sequence = Sequence(next_sequence);
    let position = Position { session: Session(1), next_sequence, ..Position::default() };
    let shard = ShardIndex(shard);
    vec![ShardPosition { shard, position: Arc::new(position), records, dead_letters: 0 }]
}

impl Rig {
    pub fn start() -> Rig {
        let runtime = Runtime::new().expect("a runtime");
        let broker = runtime.block_on(Broker::start(BrokerConfig::in_memory()));
        let rig = Rig { runtime, broker: broker.expect("the broker starts") };
        rig.create_topic("events", 1, &[]);
        rig
    }

    pub fn outlet(&self, file: &str) -> Result<(KafkaOutlet, StoredProgress), KafkaStartError> {
        self.outlet_of(file, "fingerprint")
    }

    pub fn outlet_of(
        &self,
        file: &str,
        fingerprint: &str,
    ) -> Result<(KafkaOutlet, StoredProgress), KafkaStartError> {
        KafkaOutlet::start(self.plan(file, fingerprint))
    }

    /// What is started, to be changed before it is.
    pub fn plan(&self, file: &str, fingerprint: &str) -> OutletPlan {
        let key = ShardKey("events/one".to_owned());
        OutletPlan {
            pipeline: "p".to_owned(),
            instance: instance_name(),
            sinks: vec![SinkEntry {
                node: "out".to_owned(),
                sink: self.sink(file),
                key_column: None,
                timestamp_column: None,
                header_columns: Vec::new(),
                route_column: None,
                dead_letters_of: Vec::new(),
                gaps_of: vec!["events".to_owned()],
            }],
            held: HeldGeneration::default(),
            ring: 2,
            message_bytes_max: 4 << 20,
            needs_progress: false,
            accept_change: None,
            written: None,
            shards: ShardTable::new([ShardEntry { key, fingerprint: fingerprint.to_owned() }]),
        }
    }

    pub fn target(&self, file: &str) -> KafkaTarget {
        self.sink(file).target
    }

    fn sink(&self, file: &str) -> KafkaSink {
        let source = Source { name: "test.yaml", text: file, base_dir: Path::new(".") };
        let loaded = load(&source, &registry(), &SystemVariables);
        let (plan, _) = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        plan.node("out").expect("the sink").config::<KafkaSink>().clone()
    }

    pub fn progress(&self) -> StoredProgress {
        let target = self.target(&sink_file(self, ""));
        read_progress(&target, "p", "__p.progress").expect("the progress topic")
    }

    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let created = self.runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()));
        created.expect("an answer").remove(0).expect("the topic is new");
    }

    pub fn committed(&self, topic: &str) -> Vec<String> {
        values(&self.read(topic, "read_committed"))
    }

    pub fn uncommitted(&self, topic: &str) -> Vec<String> {
        values(&self.read(topic, "read_uncommitted"))
    }

    /// Waits until the log holds `count` records, whether or not a reader may see them.
    pub fn wait_until_sent(&self, topic: &str, count: usize, mut poll: impl FnMut()) {
        let until = Instant::now() + READ_TIMEOUT;
        while self.uncommitted(topic).len() < count {
            assert!(Instant::now() < until, "{count} records did not reach {topic}");
            poll();
        }
    }

    pub fn headers_of_first(&self, topic: &str) -> Vec<(String, String)> {
        self.headers(topic).remove(0)
    }

    /// The headers of each record, names and values.
    pub fn headers(&self, topic: &str) -> Vec<Vec<(String, String)>> {
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.expect("a value")).into();
        let of = |message: &OwnedMessage| {
            let headers = message.headers().expect("headers").iter();
            headers.map(|header| (header.key.to_owned(), text(header.value))).collect()
        };
        self.read(topic, "read_committed").iter().map(of).collect()
    }

    /// The value and the headers of each record; what has no value has none.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let of = |message: &OwnedMessage| {
            let headers = message.headers().expect("headers").iter();
            let headers = headers.map(|it| (it.key.to_owned(), it.value.map(text)));
            (message.payload().map(text), headers.collect())
        };
        self.read(topic, "read_committed").iter().map(of).collect()
    }

    fn read(&self, topic: &str, isolation: &str) -> Vec<OwnedMessage> {
        let mut config = self.client();
        config.set("group.id", "reader").set("isolation.level", isolation);
        config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "20");
        let consumer: BaseConsumer = config.create().expect("a client");
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
        consumer.assign(&partitions).expect("assigned");
        let mut messages = Vec::new();
        let until = Instant::now() + READ_TIMEOUT;
        while Instant::now() < until {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => messages.push(message.detach()),
                Some(Err(KafkaError::PartitionEOF(_))) => return messages,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
        panic!("topic {topic} has no end after {} records", messages.len());
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.bootstrap());
        config
    }
}

fn values(messages: &[OwnedMessage]) -> Vec<String> {
    let text = |message: &OwnedMessage| {
        String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned()
    };
    messages.iter().map(text).collect()
}

/// The real sink behind a source and a decoder that only have a type.
fn registry() -> Registry {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let kind = |role, check| KindEntry {
        role,
        name: "test",
        summary: "Stands for a node before the sink.",
        schema: schema_of::<Nothing>,
        check,
    };
    Registry::new([
        kind(Role::Source, |_, _| gives(Encoding::Messages)),
        kind(Role::Decoder, |_, _| gives(Encoding::Json)),
        entry(),
    ])
}

fn gives(encoding: Encoding) -> Option<Checked> {
    let output = StreamType { encoding, name: "m".to_owned(), schema: None };
    Some(Checked::new((), output))
}
