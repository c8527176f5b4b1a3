//! The keys of a Kafka sink, as they stand in the pipeline file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Writes records to a Kafka topic, together with the progress of their sources.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Bootstrap servers, `host:port`, separated by commas.
    #[schemars(length(min = 1))]
    pub brokers: String,
    /// The topic records go to. It must exist unless `create` is given.
    #[schemars(length(min = 1))]
    pub topic: String,
    /// How records and progress are committed.
    #[serde(default)]
    pub delivery: Delivery,
    /// Sends each record to a topic of its own kind, named by its timestamp or a field, instead of
    /// to `topic`. Such topics are made with `create`, or must exist.
    #[serde(default)]
    pub route: Option<RouteConfig>,
    /// The field that becomes the record's key, as a path into the message (`device.id`,
    /// `tags[0]`). Texts and bytes are taken as they are, numbers and enums as decimal text.
    /// Without it keys are null.
    #[serde(default)]
    pub key: Option<KeyConfig>,
    /// What chooses the partition. The default is `key` where a key is given, `spread` elsewhere.
    #[serde(default)]
    pub partition: Option<PartitionBy>,
    /// The field that becomes the record's timestamp. Without it the moment of receipt is taken.
    #[serde(default)]
    pub timestamp: Option<TimestampConfig>,
    /// Headers of each record.
    #[serde(default)]
    pub headers: HeadersConfig,
    /// Creates the topic if it is missing. Without it a missing topic is an error at start.
    #[serde(default)]
    pub create: Option<CreateTopic>,
    /// Where messages go that cannot become records, if their decoder says `on_error: dead_letter`,
    /// and records that Kafka refuses for their size, their moment or their missing key. Without it
    /// such a record stops the pipeline.
    #[serde(default)]
    pub dead_letter: Option<DeadLetterConfig>,
    /// Where it is written down that messages are missing: one JSON record for each gap, in the
    /// transaction of the message behind it. Without it gaps are counted and logged only.
    #[serde(default)]
    pub gaps: Option<GapsConfig>,
    /// Where the pipeline's progress is kept.
    #[serde(default)]
    pub progress: ProgressConfig,
    /// What transactional ids begin with; the pipeline's name and a number follow. Brokers grant
    /// access by this prefix.
    #[serde(default = "default_prefix")]
    #[schemars(length(min = 1, max = 100))]
    pub transactional_id_prefix: String,
    /// How long the broker keeps a transaction open that nobody ends, in milliseconds. Readers of
    /// the topics wait that long for a process that died and was not restarted.
    #[serde(default = "default_transaction_timeout_ms")]
    #[schemars(range(min = 10_000, max = 900_000))]
    pub transaction_timeout_ms: u32,
    /// Properties handed to librdkafka unchanged: security, compression, batching. Those that would
    /// break the guarantee are refused.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

/// What a record's key is made of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum KeyConfig {
    /// The field itself.
    Field(String),
    /// JSON of fields.
    Json(JsonKey),
}

/// A key that is JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JsonKey {
    /// The field as it stands in JSON: texts in quotes.
    Json(String),
    /// An object of several fields, `{ name: path }`, in the order of the names.
    Object(BTreeMap<String, String>),
}

/// How the topic of each record is named.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The topic's name, with `{topic}` for the sink's `topic`, `{timestamp}` for the record's
    /// timestamp and `{field}` for a field of the message.
    #[serde(default = "default_route_name")]
    #[schemars(length(min = 1))]
    pub name: String,
    /// How `{timestamp}` is written, in UTC: a pattern of Java's SimpleDateFormat made of `yyyy`,
    /// `yy`, `MM`, `dd`, `DDD`, `HH`, `mm`, `ss`, `SSS`, of what may stand in a topic's name, and
    /// of text in single quotes.
    #[serde(default = "default_timestamp_format")]
    pub timestamp_format: String,
    /// The path of `{field}`: a text, a number, an enum's value or a bool.
    #[serde(default)]
    pub field: Option<String>,
    /// How many topics may be in use; one that no record went to for an hour is not. A record that
    /// would need one more goes the way of one that Kafka refuses.
    #[serde(default = "default_topics_max")]
    #[schemars(range(min = 1, max = 10_000))]
    pub topics_max: usize,
}

/// How records and progress are committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Records and progress in one Kafka transaction. Readers need
    /// `isolation.level=read_committed`.
    #[default]
    ExactlyOnce,
    /// An idempotent producer; progress is written once all records before it are acknowledged.
    /// Lower latency; a crash repeats what was not yet followed by its progress.
    AtLeastOnce,
}

/// What chooses the partition of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// The key's murmur2 hash, as the Java client does it.
    Key,
    /// The shard's murmur2 hash: all records of a shard in one partition, in order.
    Shard,
    /// Whatever spreads best; order holds within each partition.
    Spread,
}

/// Where a record's timestamp comes from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampConfig {
    /// Path to a `google.protobuf.Timestamp` or to a number. 0 counts as absent. What no Kafka
    /// timestamp can be (negative, or beyond 64 bits of milliseconds) is the decoder's `on_error`.
    pub field: String,
    /// The unit of a number, counted from 1970-01-01T00:00:00Z.
    #[serde(default)]
    pub unit: TimestampUnit,
}

/// The unit of a number that is a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    #[default]
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// Headers of each record.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadersConfig {
    /// Adds `headwater-shard`, `headwater-generation`, `headwater-session` and
    /// `headwater-sequence`: where each record came from, together its name. They cost about 90
    /// bytes and less than a microsecond a record.
    #[serde(default)]
    pub provenance: bool,
    /// Headers with a fixed value.
    #[serde(default, rename = "static")]
    pub fixed: BTreeMap<String, String>,
    /// Headers with the value of a field, `{ header: path }`: texts and bytes as they are, all else
    /// as in JSON. A field that is absent gives a header without a value.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// How a missing topic is created.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTopic {
    /// Number of partitions. Left out: the brokers' default (`num.partitions`).
    #[serde(default)]
    #[schemars(range(min = 1, max = 100_000))]
    pub partitions: Option<i32>,
    /// Copies of each partition; at most the number of brokers. Left out: the brokers' default
    /// (`default.replication.factor`).
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000))]
    pub replication: Option<i32>,
    /// Topic settings, for example `retention.ms`.
    #[serde(default)]
    pub config: BTreeMap<String, Property>,
}

/// Where messages go that cannot become records.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterConfig {
    /// The topic. Its records hold the message as received, or the value that Kafka refused, cut to
    /// what fits; headers say where it came from and why.
    #[schemars(length(min = 1))]
    pub topic: String,
    /// Creates the topic if it is missing.
    #[serde(default)]
    pub create: Option<CreateTopic>,
}

/// Where it is written down that messages are missing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GapsConfig {
    /// The topic. Its records say which messages of which shard are missing, and why; their key is
    /// the shard.
    #[schemars(length(min = 1))]
    pub topic: String,
    /// Creates the topic if it is missing.
    #[serde(default)]
    pub create: Option<CreateTopic>,
}

/// Where the pipeline's progress is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgressConfig {
    /// The compacted topic of one partition that belongs to this pipeline alone. The default is
    /// `__<pipeline>.progress`. It is created if it is missing.
    #[serde(default)]
    pub topic: Option<String>,
    /// Copies of the progress topic when it is created. The default is that of the sink's `create`,
    /// or the cluster's own.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000))]
    pub replication: Option<i32>,
}

/// A value of a property: a text, a number or a switch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Property {
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Number(i64),
    /// Any text.
    Text(String),
}

impl KeyConfig {
    /// The paths of all fields that it is made of.
    #[must_use]
    pub fn paths(&self) -> Vec<&str> {
        match self {
            KeyConfig::Field(path) | KeyConfig::Json(JsonKey::Json(path)) => vec![path],
            KeyConfig::Json(JsonKey::Object(members)) => {
                members.values().map(String::as_str).collect()
            }
        }
    }
}

impl std::fmt::Display for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Property::Switch(value) => value.fmt(f),
            Property::Number(value) => value.fmt(f),
            Property::Text(value) => value.fmt(f),
        }
    }
}

fn default_route_name() -> String {
    "{topic}-{timestamp}".to_owned()
}

fn default_timestamp_format() -> String {
    "yyyyMMdd".to_owned()
}

fn default_topics_max() -> usize {
    100
}

fn default_prefix() -> String {
    "headwater".to_owned()
}

fn default_transaction_timeout_ms() -> u32 {
    30_000
}
