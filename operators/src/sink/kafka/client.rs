//! How librdkafka is set up: one place, so that no client of ours lacks what the guarantee needs.
//!
//! Users hand properties through; those that would break the guarantee are refused with the reason
//! ([`refusal`]). Properties the sink sets itself stand under a comment that says why.

use crate::limits::KAFKA_CONNECT_TIMEOUT;
use crate::sink::kafka::config::{Delivery, KafkaConfig};
use crate::sink::kafka::context::Context;
use crate::sink::kafka::error::KafkaStartError;
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;

/// The cluster a pipeline writes to, and how: what all its Kafka sinks must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaTarget {
    /// Bootstrap servers.
    pub brokers: String,
    /// How records and progress are committed.
    pub delivery: Delivery,
    /// What transactional ids begin with.
    pub transactional_id_prefix: String,
    /// How long the broker keeps an unfinished transaction.
    pub transaction_timeout_ms: u32,
    /// The user's properties.
    pub properties: BTreeMap<String, String>,
    /// The largest batch, unless the user says otherwise.
    pub(super) batch_bytes_default: usize,
}

/// Batches without a word of the user or of a topic: below the default limit of topics.
const BATCH_BYTES: usize = 1_000_000;

/// The largest record without a word of the user. How large one may be is the topic's decision; but
/// a request beyond the broker's `socket.request.max.bytes` (100 MiB by default) is answered with a
/// cut connection, which names no record and would be tried again for ever.
const MESSAGE_BYTES_MAX: usize = 104_000_000;

impl KafkaTarget {
    /// What the sink's keys say about the cluster.
    pub(super) fn new(config: &KafkaConfig) -> Self {
        KafkaTarget {
            brokers: config.brokers.clone(),
            delivery: config.delivery,
            transactional_id_prefix: config.transactional_id_prefix.clone(),
            transaction_timeout_ms: config.transaction_timeout_ms,
            properties: config
                .properties
                .iter()
                .map(|(key, value)| (key.clone(), value.to_string()))
                .collect(),
            batch_bytes_default: BATCH_BYTES,
        }
    }

    /// The largest batch that is sent, unless one record is larger.
    pub(super) fn batch_bytes_max(&self) -> usize {
        self.number("batch.size").unwrap_or(self.batch_bytes_default)
    }

    /// The largest record that the client takes.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.number("message.max.bytes").unwrap_or(MESSAGE_BYTES_MAX)
    }

    /// Whether batches are compressed, so that their size on the way is not known.
    pub(super) fn is_compressed(&self) -> bool {
        let codecs = ["compression.type", "compression.codec"];
        let mut codecs = codecs.iter().filter_map(|key| self.properties.get(*key));
        codecs.any(|codec| codec != "none")
    }

    fn number(&self, property: &str) -> Option<usize> {
        self.properties.get(property)?.parse().ok()
    }

    /// The transactional ids of `pipeline`, by slot of its ring of producers.
    pub(super) fn transactional_ids(&self, pipeline: &str, ring: u32) -> Vec<String> {
        let id = |slot| format!("{}.{pipeline}.{slot}", self.transactional_id_prefix);
        match self.delivery {
            Delivery::ExactlyOnce => (0..ring).map(id).collect(),
            Delivery::AtLeastOnce => Vec::new(),
        }
    }

    /// A client for metadata and administration.
    pub(super) fn admin<T: FromClientConfigAndContext<Context>>(
        &self,
    ) -> Result<T, KafkaStartError> {
        create(&self.base())
    }

    /// A reader of the progress topic.
    pub(super) fn consumer<T: FromClientConfigAndContext<Context>>(
        &self,
        isolation: &str,
    ) -> Result<T, KafkaStartError> {
        let mut config = self.base();
        config
            // librdkafka demands a group although we assign by hand and commit nothing.
            .set("group.id", "headwater-progress-reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            // What comes is answered with at once; a topic where nothing comes is asked this often.
            .set("fetch.wait.max.ms", "5000")
            .set("isolation.level", isolation);
        create(&config)
    }

    /// A reader of a table's topic, which hears of the topic's end.
    pub(super) fn table_reader<T: FromClientConfigAndContext<Context>>(
        &self,
    ) -> Result<T, KafkaStartError> {
        let mut config = self.base();
        config
            .set("group.id", "headwater-table-reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        create(&config)
    }

    /// The producer of records: transactional with an id, merely idempotent without.
    pub(super) fn producer<T: FromClientConfigAndContext<Context>>(
        &self,
        transactional_id: Option<&str>,
        context: Context,
    ) -> Result<T, KafkaStartError> {
        let mut config = self.base();
        config
            // Order and no duplicates within a session of the producer.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Keys land where the Java client puts them.
            .set("partitioner", "murmur2_random");
        self.set_default(&mut config, "linger.ms", "2");
        self.set_default(&mut config, "batch.size", &self.batch_bytes_default.to_string());
        // Brokers answer NOT_ENOUGH_REPLICAS while they verify a transaction that is just ending.
        self.set_default(&mut config, "retry.backoff.ms", "10");
        self.set_default(&mut config, "retry.backoff.max.ms", "1000");
        // The credit bounds what is in flight; the client's own queue must not be the tighter one.
        self.set_default(&mut config, "queue.buffering.max.messages", "1000000");
        self.set_default(&mut config, "message.max.bytes", &MESSAGE_BYTES_MAX.to_string());
        match transactional_id {
            Some(id) => {
                let timeout_ms = self.transaction_timeout_ms.to_string();
                config.set("transactional.id", id).set("transaction.timeout.ms", &timeout_ms);
                config.set("message.timeout.ms", &timeout_ms);
            }
            // A record is given up never: the pipeline waits, and the source with it.
            None => drop(config.set("message.timeout.ms", "0")),
        }
        create_with(&config, context)
    }

    fn set_default(&self, config: &mut ClientConfig, key: &str, value: &str) {
        if !self.properties.contains_key(key) {
            config.set(key, value);
        }
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        // Looking at a topic must not create it: topics are made on request only, with their
        // settings.
        config.set("allow.auto.create.topics", "false");
        self.set_default(&mut config, "client.id", "headwater");
        // A broker that restarts is back soon; the default maximum is 10 s.
        self.set_default(&mut config, "reconnect.backoff.max.ms", "2000");
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

/// Waits until a new client has heard from the cluster. A producer asks for its id at once, finds
/// no connection yet, and asks again only after 500 ms (`rdkafka_idempotence.c`,
/// `rd_kafka_idemp_pid_timer_restart`); the first answer with metadata lets it ask at once. A
/// cluster that is away is no error here: the call that follows says so.
pub(super) fn await_cluster(client: &Client<Context>) {
    let _ = client.fetch_cluster_id(KAFKA_CONNECT_TIMEOUT);
}

/// The id of the cluster; none if it does not answer in time.
///
/// # Errors
/// If no client can be made.
pub fn cluster_id(target: &KafkaTarget) -> Result<Option<String>, KafkaStartError> {
    let client: BaseConsumer<Context> = target.consumer("read_committed")?;
    Ok(client.client().fetch_cluster_id(KAFKA_CONNECT_TIMEOUT))
}

/// What librdkafka has against one property, if anything; nothing is contacted.
pub(super) fn invalid(key: &str, value: &str) -> Option<String> {
    let outcome = ClientConfig::new().set(key, value).create_native_config();
    outcome.err().map(|error| describe_without_value(&error))
}

/// Why a property may not be set, if it may not.
pub(super) fn refusal(key: &str) -> Option<&'static str> {
    Some(match key {
        "bootstrap.servers" | "metadata.broker.list" => "the sink's key `brokers` says it",
        "transactional.id" => "the sink names its producers itself; see `transactional_id_prefix`",
        "transaction.timeout.ms" => "the sink's key `transaction_timeout_ms` says it",
        "enable.idempotence" => "without idempotence a retry may write a record twice",
        "acks" | "request.required.acks" => {
            "a record counts as written only when all replicas have it"
        }
        "message.timeout.ms" | "delivery.timeout.ms" => {
            "a record that is given up after a time would be a silent gap"
        }
        "retries" | "message.send.max.retries" => "a limit on retries would be a silent gap",
        "max.in.flight" | "max.in.flight.requests.per.connection" => {
            "idempotence decides it; another value may reorder"
        }
        "enable.gapless.guarantee" => {
            "it is experimental, and a failed record aborts the epoch anyway"
        }
        "allow.auto.create.topics" => "the sink's key `create` says it",
        "log.connection.close" | "log_level" | "log.queue" => {
            "the sink learns of broken connections from the client's log"
        }
        "partitioner" => "the sink's key `partition` says it",
        "isolation.level" | "group.id" | "enable.auto.commit" | "auto.offset.reset" => {
            "it configures readers; the sink reads only its own progress"
        }
        "dr_cb" | "dr_msg_cb" | "delivery.report.only.error" | "enabled_events" => {
            "the sink needs every delivery report"
        }
        _ => return None,
    })
}

/// Names this process for people: host, process id, start.
#[must_use]
pub fn instance_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().replace('/', "-");
    let host = if host.is_empty() { "host".to_owned() } else { host };
    format!("{host}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}

fn create<T: FromClientConfigAndContext<Context>>(
    config: &ClientConfig,
) -> Result<T, KafkaStartError> {
    create_with(config, Context::default())
}

fn create_with<T: FromClientConfigAndContext<Context>>(
    config: &ClientConfig,
    context: Context,
) -> Result<T, KafkaStartError> {
    config
        .create_with_context(context)
        .map_err(|error| KafkaStartError::Client { reason: describe_without_value(&error) })
}

/// librdkafka repeats the value it refuses, which may be a password.
fn describe_without_value(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, key, value) if !value.is_empty() => {
            format!("property `{key}`: {}", reason.replace(value.as_str(), "…"))
        }
        KafkaError::ClientConfig(_, reason, key, _) => format!("property `{key}`: {reason}"),
        other => other.to_string(),
    }
}
