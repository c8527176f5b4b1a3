//! The keys of the sink: brokers, key, headers, how topics are created, the client.
//!
//! Next: `client.rs` for the client's properties, `file.rs` writes all of it.

use super::chain::{Chain, Key, whole};
use super::client::{self, Client};
use super::reader::{Number, Reader};
use super::values::{self, Form};
use crate::connect::mistake::Mistake;
use serde_json::{Map, Value as Json, json};

/// The sink of the pipeline.
pub(super) struct SinkPart {
    /// Bootstrap servers, if anybody said which.
    pub(super) brokers: Option<String>,
    /// The sink's `key`.
    pub(super) key: Option<Json>,
    /// How the topic is created.
    pub(super) create: Option<Create>,
    pub(super) client: Client,
}

/// How topics are created.
#[derive(Default)]
pub(super) struct Create {
    pub(super) partitions: Option<Number>,
    pub(super) replication: Option<Number>,
    pub(super) config: Map<String, Json>,
}

const PREFIX: &str = "topic.creation.";

/// The group for topics that are in no other.
const DEFAULT: &str = "default";

pub(super) fn read(chain: &Chain, reader: &mut Reader<'_>) -> SinkPart {
    let key = key(chain, reader);
    values::headers(chain.has_headers(), reader);
    let client = client::read(reader);
    let brokers = brokers(&client, reader);
    if brokers.is_none() {
        let told = "are not given: localhost:9092 is written; --brokers HOST:PORT says others";
        reader.note("bootstrap.servers", told.to_owned());
    }
    SinkPart { brokers, key, create: create(chain, reader), client }
}

/// Those of the connector's producer count before the worker's, unless the worker's were asked for.
fn brokers(client: &Client, reader: &mut Reader<'_>) -> Option<String> {
    let worker = reader.worker;
    if worker.brokers_first && client.brokers.is_some() {
        let told = "of the producer are not taken: others were asked for".to_owned();
        reader.note("bootstrap.servers", told);
        return worker.brokers.clone();
    }
    client.brokers.clone().or_else(|| worker.brokers.clone())
}

/// What the converter makes of the key, of which there is none without `ValueToKey`.
fn key(chain: &Chain, reader: &mut Reader<'_>) -> Option<Json> {
    let form = values::form("key", chain.key != Key::None, reader);
    let refused = |told: &str, hint: &str| {
        Err(Mistake::of("key.converter", told.to_owned()).hint(hint.to_owned()))
    };
    let json_hint = "use JsonConverter with key.converter.schemas.enable=false";
    let written = match (&chain.key, form) {
        (Key::None, _) => return None,
        (Key::Object(fields), Form::Json) => Ok(json!({ "object": fields })),
        (Key::Object(_), _) => refused("cannot write the object that ValueToKey makes", json_hint),
        (Key::Field(path), Form::Plain) => Ok(json!(path)),
        (Key::Field(path), Form::Json) => Ok(json!({ "json": path })),
        (Key::Field(_), Form::JsonWithSchema) => {
            refused("writes a schema that is not known here", json_hint)
        }
        (Key::Field(_), Form::Other) => refused(
            "writes numbers of a fixed size, which is not done here",
            "use StringConverter, or JsonConverter without schemas",
        ),
    };
    written.map_err(|told| reader.mistake(told)).ok()
}

/// The group that the topic is in says how it is created.
fn create(chain: &Chain, reader: &mut Reader<'_>) -> Option<Create> {
    const GROUPS: &str = "topic.creation.groups";
    let groups = reader.list(GROUPS);
    let named: Vec<&String> = groups.iter().filter(|name| *name != DEFAULT).collect();
    if !named.is_empty() && (chain.route.is_some() || chain.topic.contains("${")) {
        let told = Mistake::of(GROUPS, "the topic's name is not known where the file is written");
        reader.mistake(told.hint("leave groups out: topic.creation.default.* counts for all"));
    }
    let of_topic: Vec<bool> = named.iter().map(|name| takes(name, &chain.topic, reader)).collect();
    let group = named.into_iter().zip(of_topic).find(|(_, takes)| *takes);
    let group = group.map_or(DEFAULT, |(name, _)| name).to_owned();
    check_default(reader);
    if !reader.worker.creates_topics && !reader.keys_from(PREFIX).is_empty() {
        let told = "have no effect, as before: the worker has topic.creation.enable=false";
        reader.note("topic.creation.*", told.to_owned());
    }
    let create = creation(&group, reader);
    let mut known: Vec<String> = groups;
    known.push(DEFAULT.to_owned());
    for key in reader.keys_from(PREFIX) {
        let group = key[PREFIX.len()..].split('.').next().unwrap_or_default().to_owned();
        if known.contains(&group) {
            reader.pass_over(&key);
        }
    }
    if reader.worker.creates_topics { Some(create) } else { None }
}

/// Whether a group takes a topic: its patterns are regular expressions of whole names.
fn takes(group: &str, topic: &str, reader: &mut Reader<'_>) -> bool {
    let include = format!("{PREFIX}{group}.include");
    if !reader.config.has(&include) {
        let told = Mistake::of(&include, "is missing: it says which topics the group is for");
        reader.mistake(told.hint("expected regular expressions of whole names, as in orders-.*"));
    }
    let mut matches = |key: &str| {
        let patterns = reader.list(key);
        let regexes: Vec<_> = patterns.iter().map(|pattern| whole(pattern)).collect();
        let mut is_match = false;
        for regex in regexes {
            match regex {
                Ok(regex) => is_match |= regex.is_match(topic),
                Err(why) => {
                    let told = Mistake::of(key, why);
                    reader.mistake(told.hint("expected regular expressions of whole names"));
                }
            }
        }
        is_match
    };
    let is_included = matches(&include);
    let is_excluded = matches(&format!("{PREFIX}{group}.exclude"));
    is_included && !is_excluded
}

/// Kafka Connect creates topics for a connector that has both.
fn check_default(reader: &mut Reader<'_>) {
    let keys = ["partitions", "replication.factor"].map(|key| format!("{PREFIX}{DEFAULT}.{key}"));
    let is_used = reader.config.keys().any(|key| key.starts_with(PREFIX));
    for key in keys {
        if is_used && !reader.config.has(&key) {
            let told = Mistake::of(&key, "is missing, and other keys say how topics are created");
            reader.mistake(
                told.hint("give both partitions and replication.factor; -1: the brokers' default"),
            );
        }
    }
}

fn creation(group: &str, reader: &mut Reader<'_>) -> Create {
    let prefix = format!("{PREFIX}{group}.");
    let mut create = Create {
        partitions: count(group, "partitions", 100_000, reader),
        replication: count(group, "replication.factor", 1_000, reader),
        config: Map::new(),
    };
    if group != DEFAULT {
        // Mistakes in it are told as well.
        count(DEFAULT, "partitions", 100_000, reader);
        count(DEFAULT, "replication.factor", 1_000, reader);
    }
    for key in ["include", "exclude"] {
        reader.pass_over(&format!("{prefix}{key}"));
    }
    for key in reader.keys_from(&prefix) {
        if let Some(value) = reader.text(&key) {
            create.config.insert(key[prefix.len()..].to_owned(), json!(value));
        }
    }
    create
}

/// A number of partitions or copies; -1 leaves it to the brokers. What a group does not say, the
/// default group says.
fn count(group: &str, what: &str, max: i64, reader: &mut Reader<'_>) -> Option<Number> {
    let own = format!("{PREFIX}{group}.{what}");
    let key = match reader.config.has(&own) {
        true => own,
        false => format!("{PREFIX}{DEFAULT}.{what}"),
    };
    let given = reader.config.get(&key).is_some();
    match reader.number(&key) {
        Some(Number::Known(-1)) => None,
        Some(Number::Known(count)) if (1..=max).contains(&count) => Some(Number::Known(count)),
        Some(reference @ Number::Reference(_)) => Some(reference),
        None if !given => None,
        _ => {
            let told = Mistake::of(&key, "is not a count that is possible");
            reader.mistake(told.hint("expected 1 or more, or -1 for the brokers' default"));
            None
        }
    }
}
