//! What a connector's configuration leaves to the worker it runs on: converters, versions, brokers.
//!
//! Kafka Connect reads these from the worker's properties. [`Worker::from_properties`] reads the
//! same file, so that a converted connector finds the brokers and converters that it has today.
//!
//! Next: `definition/framework.rs` makes defaults of it, `translate/sink.rs` the sink's client.

use super::definition::connector;
use super::kind::trim;
use super::mistake::Mistake;
use super::plugins;
use super::references::converted;
use headwater_engine::spec::parse_properties;
use std::collections::BTreeMap;

/// The version of Kafka Connect whose answers are given.
const CONNECT_VERSION: &str = "4.1.0";

/// What the worker says.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The class of the key converter.
    pub key_converter: String,
    /// Its keys, without the prefix `key.converter.`.
    pub key_converter_options: BTreeMap<String, String>,
    /// The class of the value converter.
    pub value_converter: String,
    /// Its keys, without the prefix `value.converter.`.
    pub value_converter_options: BTreeMap<String, String>,
    /// The class of the header converter.
    pub header_converter: String,
    /// The version of the connector.
    pub connector_version: String,
    /// The version of Kafka Connect.
    pub connect_version: String,
    /// Whether the worker has exactly-once sources enabled, for the preflight check of a
    /// validation.
    pub exactly_once: bool,
    /// Bootstrap servers, if they are known.
    pub brokers: Option<String>,
    /// Whether they count before those that a connector has for itself.
    pub brokers_first: bool,
    /// Properties of the producer: security, compression, batching.
    pub producer: BTreeMap<String, String>,
    /// Whether topics may be created.
    pub creates_topics: bool,
    /// Whether converters were named, or are this program's guess.
    pub converters_known: bool,
}

impl Default for Worker {
    /// As the connector's own examples set up their worker: texts for keys and values.
    fn default() -> Self {
        Worker {
            key_converter: plugins::STRING_CONVERTER.to_owned(),
            key_converter_options: BTreeMap::new(),
            value_converter: plugins::STRING_CONVERTER.to_owned(),
            value_converter_options: BTreeMap::new(),
            header_converter: plugins::SIMPLE_HEADER_CONVERTER.to_owned(),
            connector_version: connector::VERSION.to_owned(),
            connect_version: CONNECT_VERSION.to_owned(),
            exactly_once: false,
            brokers: None,
            brokers_first: false,
            producer: BTreeMap::new(),
            creates_topics: true,
            converters_known: false,
        }
    }
}

/// Security settings of the worker's own clients, which have no prefix.
const SECURITY: [&str; 3] = ["security.", "sasl.", "ssl."];

impl Worker {
    /// Reads a worker's properties file.
    ///
    /// # Errors
    /// What cannot be read. Converters that are not known are told where one is used: a connector
    /// may have its own.
    pub fn from_properties(text: &str) -> Result<Self, Vec<Mistake>> {
        let pairs = parse_properties(text).into_iter();
        let all: BTreeMap<String, String> =
            pairs.map(|(key, value)| (key, trim(&value).to_owned())).collect();
        let mut worker = Worker::default();
        let mut mistakes = Vec::new();
        for (what, place) in [
            ("key.converter", &mut worker.key_converter),
            ("value.converter", &mut worker.value_converter),
            ("header.converter", &mut worker.header_converter),
        ] {
            if let Some(name) = all.get(what) {
                *place = plugins::class(name).unwrap_or(name).to_owned();
            }
        }
        worker.converters_known = all.contains_key("value.converter");
        worker.key_converter_options = below(&all, "key.converter.");
        worker.value_converter_options = below(&all, "value.converter.");
        match all.get("bootstrap.servers").map(|brokers| converted(brokers)).transpose() {
            Ok(brokers) => worker.brokers = brokers,
            Err(told) => mistakes.push(Mistake { key: "bootstrap.servers".to_owned(), ..told }),
        }
        worker.producer = producer(&all);
        let is =
            |key: &str, text: &str| all.get(key).is_some_and(|it| it.eq_ignore_ascii_case(text));
        worker.creates_topics = !is("topic.creation.enable", "false");
        worker.exactly_once = is("exactly.once.source.support", "enabled");
        if mistakes.is_empty() { Ok(worker) } else { Err(mistakes) }
    }
}

fn below(all: &BTreeMap<String, String>, prefix: &str) -> BTreeMap<String, String> {
    let inner = |(key, value): (&String, &String)| {
        Some((key.strip_prefix(prefix)?.to_owned(), value.clone()))
    };
    all.iter().filter_map(inner).collect()
}

/// The keys of producers. Where none of them is about security and the worker's own clients have a
/// protocol, theirs are taken: the same brokers will hardly be reached without.
fn producer(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_security = |key: &str| SECURITY.iter().any(|prefix| key.starts_with(prefix));
    let mut producer = below(all, "producer.");
    if all.contains_key("security.protocol") && !producer.keys().any(|key| is_security(key)) {
        let shared = all.iter().filter(|(key, _)| is_security(key));
        producer.extend(shared.map(|(key, value)| (key.clone(), value.clone())));
    }
    producer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(text: &str) -> Worker {
        Worker::from_properties(text).expect("it is sound")
    }

    #[test]
    fn values_are_read_as_a_worker_reads_them() {
        let worker =
            worker("bootstrap.servers=${dir:/run:brokers} \ntopic.creation.enable = FALSE \n");
        assert_eq!(worker.brokers.as_deref(), Some("${file:/run/brokers}"));
        assert!(!worker.creates_topics);
        let mistakes = Worker::from_properties("bootstrap.servers=${vault:/run:brokers}");
        assert_eq!(mistakes.expect_err("it is refused")[0].key, "bootstrap.servers");
    }

    #[test]
    fn security_is_the_producers_own_or_else_that_of_the_worker() {
        let keys = |text: &str| worker(text).producer.into_keys().collect::<Vec<_>>();
        let own = "security.protocol=SSL\nssl.client.auth=required\n";
        assert_eq!(keys(own), ["security.protocol", "ssl.client.auth"]);
        let both = format!("{own}producer.security.protocol=SSL\nproducer.linger.ms=5\n");
        assert_eq!(keys(&both), ["linger.ms", "security.protocol"]);
        // Without a protocol they are for the worker's own REST interface.
        assert!(keys("ssl.keystore.location=/rest.jks\n").is_empty());
    }
}
