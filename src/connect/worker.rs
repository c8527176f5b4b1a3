//! What a connector's configuration leaves to the worker it runs on: converters, versions, brokers.
//!
//! Kafka Connect reads these from the worker's properties. [`Worker::from_properties`] reads the
//! same file, so that a converted connector finds the brokers and converters that it has today.
//!
//! Next: `definition/framework.rs` makes defaults of it, `translate/sink.rs` the sink's client.

use super::definition::connector;
use super::mistake::Mistake;
use super::plugins;
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
            producer: BTreeMap::new(),
            creates_topics: true,
            converters_known: false,
        }
    }
}

/// Security settings that a worker's clients share; the worker's own keys have no prefix.
const SHARED: [&str; 3] = ["security.", "sasl.", "ssl."];

impl Worker {
    /// Reads a worker's properties file.
    ///
    /// # Errors
    /// What cannot be read, or names a converter that is not known.
    pub fn from_properties(text: &str) -> Result<Self, Vec<Mistake>> {
        let all: BTreeMap<String, String> = parse_properties(text).into_iter().collect();
        let mut worker = Worker::default();
        let mut mistakes = Vec::new();
        for (what, place) in [
            ("key.converter", &mut worker.key_converter),
            ("value.converter", &mut worker.value_converter),
            ("header.converter", &mut worker.header_converter),
        ] {
            let Some(name) = all.get(what) else { continue };
            match plugins::class(name.trim()) {
                Some(class) => *place = class.to_owned(),
                None => mistakes.push(
                    Mistake::of(what, format!("the worker's class {name:?} is not known"))
                        .hint("StringConverter, JsonConverter and ByteArrayConverter are"),
                ),
            }
        }
        worker.converters_known = all.contains_key("value.converter");
        worker.key_converter_options = below(&all, "key.converter.");
        worker.value_converter_options = below(&all, "value.converter.");
        worker.brokers = all.get("bootstrap.servers").cloned();
        worker.producer = shared(&all);
        worker.producer.extend(below(&all, "producer."));
        worker.creates_topics = all.get("topic.creation.enable").is_none_or(|it| it != "false");
        worker.exactly_once =
            all.get("exactly.once.source.support").is_some_and(|it| it.trim() == "enabled");
        if mistakes.is_empty() { Ok(worker) } else { Err(mistakes) }
    }
}

fn below(all: &BTreeMap<String, String>, prefix: &str) -> BTreeMap<String, String> {
    let inner = |(key, value): (&String, &String)| {
        Some((key.strip_prefix(prefix)?.to_owned(), value.clone()))
    };
    all.iter().filter_map(inner).collect()
}

fn shared(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_shared = |key: &&String| SHARED.iter().any(|prefix| key.starts_with(prefix));
    let pairs = all.iter().filter(|(key, _)| is_shared(key));
    pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
}
