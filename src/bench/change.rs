//! What is another in the file of a pipeline's double.
//!
//! Changes are made to the file's values before they are checked, so the double is a pipeline that
//! has passed every check. All else stays as it is: what is measured is the pipeline of the file.
//!
//! Invariant: every name under which a pipeline writes or is known to Kafka gets the suffix: its
//! own, those of its topics, and a prefix of transactional ids that the file gives.
//!
//! Next: `src/bench/double.rs`.

use crate::bench::generator::Served;
use crate::bench::limits::{PIPELINE_CHARS_MAX, TOPIC_CHARS_MAX};
use headwater_engine::spec::{Plan, PlanNode, Role, Values};
use headwater_operators::sink::kafka::{CreateTopic, KafkaSink};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// What a source says of the way to its server.
const AWAY: [&str; 5] = ["tls", "proxy", "metadata_files", "balance", "health"];

/// The same of what an endpoint of several may say too.
const AWAY_OF_ENDPOINT: [&str; 2] = ["addresses", "auth"];

/// What is another, and what it becomes.
pub(super) struct Change {
    /// What all names end with.
    pub(super) suffix: String,
    /// How each topic of the real pipeline is created anew, by its name there.
    pub(super) creations: BTreeMap<String, CreateTopic>,
    /// The embedded broker's address, if that is used.
    pub(super) brokers: Option<String>,
    /// Where a generator serves each source, if there is one.
    pub(super) served: Option<BTreeMap<String, Served>>,
    /// Whether the streams end by themselves.
    pub(super) is_finite: bool,
}

impl Change {
    /// Changes the values of the file that `real` was made of.
    pub(super) fn apply(&self, real: &Plan, values: &mut Values<'_>) {
        let name = renamed(real.name(), &self.suffix, PIPELINE_CHARS_MAX);
        values.set(&["pipeline"], &json!(name));
        // There is no progress of the double, and that is right.
        if values.get(&["commit", "on_progress_missing"]).is_some() {
            values.remove(&["commit", "on_progress_missing"]);
        }
        for node in real.nodes() {
            match node.kind {
                "kafka" => self.sink(node, values),
                // The report is what goes to standard output.
                "stdout" => discard(node, values),
                "grpc" => self.source(node, values),
                _ => {}
            }
        }
    }

    fn sink(&self, node: &PlanNode, values: &mut Values<'_>) {
        let sink = node.config::<KafkaSink>();
        let at = ["sinks", &node.name];
        self.topic(values, &at, &sink.topic);
        for (key, besides) in besides(sink) {
            self.topic(values, &["sinks", &node.name, key], besides);
        }
        if let Some(topic) = &sink.progress.topic {
            values.set(&["sinks", &node.name, "progress", "topic"], &json!(self.of_topic(topic)));
        }
        let prefix = ["sinks", &node.name, "transactional_id_prefix"];
        if values.get(&prefix).is_some() {
            let given = &sink.target.transactional_id_prefix;
            let max = PIPELINE_CHARS_MAX;
            values.set(&prefix, &json!(renamed(given, &self.suffix, max)));
        }
        if let Some(brokers) = &self.brokers {
            embed(node, brokers, values);
        }
    }

    /// The topic below `at`, and how it is created.
    fn topic(&self, values: &mut Values<'_>, at: &[&str], topic: &str) {
        let below = |key: &'static str| [at, &[key]].concat();
        values.set(&below("topic"), &json!(self.of_topic(topic)));
        let create = self.creations.get(topic).expect("it was found out for every topic");
        values.set(&below("create"), &creation(create));
    }

    fn of_topic(&self, topic: &str) -> String {
        renamed(topic, &self.suffix, TOPIC_CHARS_MAX)
    }

    fn source(&self, node: &PlanNode, values: &mut Values<'_>) {
        let Some(served) = &self.served else { return };
        let url = format!("http://127.0.0.1:{}", served[&node.name].port);
        let at = |key| ["sources", node.name.as_str(), key];
        if values.get(&at("endpoint")).is_some() {
            values.set(&at("endpoint"), &json!(url));
        }
        if let Some(Json::Array(endpoints)) = values.get(&at("endpoints")) {
            let all: Vec<Json> = endpoints
                .into_iter()
                .enumerate()
                .map(|(place, endpoint)| elsewhere(endpoint, &url, place))
                .collect();
            values.set(&at("endpoints"), &Json::Array(all));
        }
        match values.get(&at("targets")) {
            None => {}
            Some(Json::Array(targets)) => {
                let all = targets.into_iter().enumerate();
                let all: Vec<Json> =
                    all.map(|(place, target)| elsewhere(target, &url, place)).collect();
                values.set(&at("targets"), &Json::Array(all));
            }
            // Nothing is known of the servers but that there are some: one stands for all.
            Some(_) => {
                values.remove(&at("targets"));
                values.set(&at("endpoint"), &json!(url));
            }
        }
        // The generator is on this machine, and nobody is told who calls it.
        for key in AWAY.into_iter().chain(AWAY_OF_ENDPOINT) {
            values.remove(&at(key));
        }
        if self.is_finite {
            values.set(&at("on_end"), &json!("finish"));
        }
    }
}

/// How a topic is created, as a file says it.
fn creation(create: &CreateTopic) -> Json {
    let CreateTopic { partitions, replication, config } = create;
    let config: BTreeMap<&String, String> =
        config.iter().map(|(key, value)| (key, value.to_string())).collect();
    let mut creation = json!({ "config": config });
    for (key, count) in [("partitions", partitions), ("replication", replication)] {
        if let Some(count) = count {
            creation[key] = json!(count);
        }
    }
    creation
}

/// The topics of a sink beside that of its records, by the key they stand under.
fn besides(sink: &KafkaSink) -> impl Iterator<Item = (&'static str, &str)> {
    let dead_letter = sink.dead_letter.as_ref().map(|it| ("dead_letter", it.topic.as_str()));
    let gaps = sink.gaps.as_ref().map(|it| ("gaps", it.topic.as_str()));
    dead_letter.into_iter().chain(gaps)
}

/// The Kafka sinks of a plan.
pub(super) fn kafka_sinks(plan: &Plan) -> impl Iterator<Item = &KafkaSink> {
    let nodes = plan.of_role(Role::Sink).filter(|node| node.kind == "kafka");
    nodes.map(|node| node.config::<KafkaSink>())
}

/// The embedded broker has one node, and neither TLS nor passwords.
fn embed(node: &PlanNode, brokers: &str, values: &mut Values<'_>) {
    let at = |key| ["sinks", node.name.as_str(), key];
    values.set(&at("brokers"), &json!(brokers));
    values.set(&["sinks", &node.name, "progress", "replication"], &json!(1));
    for key in node.config::<KafkaSink>().target.properties.keys() {
        if ["security.", "sasl.", "ssl."].iter().any(|prefix| key.starts_with(prefix)) {
            values.remove(&["sinks", &node.name, "properties", key]);
        }
    }
}

fn discard(node: &PlanNode, values: &mut Values<'_>) {
    let from = values.get(&["sinks", &node.name, "from"]);
    values.set(&["sinks", &node.name], &json!({ "kind": "discard", "from": from }));
}

/// An endpoint of several, at another address. Names come from addresses where none is given, and
/// all addresses are one now.
fn elsewhere(endpoint: Json, url: &str, place: usize) -> Json {
    let mut full = match endpoint {
        Json::Object(full) => full,
        _ => serde_json::Map::new(),
    };
    for key in AWAY_OF_ENDPOINT {
        full.remove(key);
    }
    full.insert("url".to_owned(), json!(url));
    full.entry("name").or_insert_with(|| json!(format!("endpoint-{}", place + 1)));
    Json::Object(full)
}

/// A name with the suffix, cut where both together are too long.
fn renamed(name: &str, suffix: &str, chars_max: usize) -> String {
    let kept = chars_max.saturating_sub(suffix.chars().count());
    let mut out: String = name.chars().take(kept).collect();
    out.push_str(suffix);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_suffix_however_long_it_is() {
        assert_eq!(renamed("orders", "-bench-1", 100), "orders-bench-1");
        let long = renamed(&"o".repeat(100), "-bench-1", 100);
        assert_eq!((long.len(), long.ends_with("-bench-1")), (100, true));
    }

    #[test]
    fn an_endpoint_elsewhere_keeps_its_name_or_gets_one() {
        let url = "http://127.0.0.1:1";
        let expected = json!({ "url": url, "name": "endpoint-2" });
        assert_eq!(elsewhere(json!("https://a:1"), url, 1), expected);
        let auth = json!({ "bearer": { "token": "t" } });
        let (addresses, metadata) = (json!(["b:1"]), json!({ "a": "b" }));
        let full = json!({
            "url": "https://a:1", "name": "eu",
            "metadata": metadata, "auth": auth, "addresses": addresses,
        });
        let expected = json!({ "url": url, "name": "eu", "metadata": { "a": "b" } });
        assert_eq!(elsewhere(full, url, 0), expected);
    }
}
