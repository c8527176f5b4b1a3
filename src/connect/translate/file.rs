//! The text of the pipeline file.
//!
//! Comments say what is kept, what is stronger now, and what is still missing for exactly once.

use super::chain::{ChainNode, Key};
use super::source::{Reconnect, SourcePart};
use super::{Parts, Worker};
use crate::init::file::{component, position_words, reasons, set};
use crate::page::{Page, flow, quoted};
use headwater_proto::guess;
use serde_json::{Value as Json, json};

/// The names of the file's nodes.
const SOURCE: &str = "grpc";
const DECODER: &str = "json";
const SINK: &str = "kafka";

pub(super) fn text(parts: &Parts, worker: &Worker) -> String {
    let mut page = Page::default();
    head(parts, &mut page);
    page.line(0, format!("pipeline: {}", quoted(&parts.pipeline)));
    commit(parts, &mut page);
    page.line(0, "");
    source(&parts.source, &mut page);
    page.line(0, "");
    decoder(parts, &mut page);
    let last = nodes(parts, &mut page);
    page.line(0, "");
    sink(parts, &last, worker, &mut page);
    page.into_text()
}

fn head(parts: &Parts, page: &mut Page) {
    let name = &parts.connector;
    page.comment(0, format!("The connector {name:?}, made a pipeline by `headwater convert`."));
    page.comment(0, "Next: `headwater explain FILE`, then `headwater run FILE`.");
    page.comment(0, "");
    page.comment(0, "Stronger than before:");
    page.comment(
        0,
        "  - nothing that was received is dropped: where Kafka is slow, so is the server",
    );
    page.comment(
        0,
        "  - records and progress are one transaction: what was received is written once",
    );
    page.comment(0, "  - a message that cannot become a record is never lost in silence");
    page.comment(0, "Not yet: see `resume` below.");
}

fn commit(parts: &Parts, page: &mut Page) {
    if let Some(interval) = &parts.policy.interval_ms {
        page.line(0, "commit:");
        page.line(2, format!("interval_ms: {}", interval.written()));
    }
}

fn source(source: &SourcePart, page: &mut Page) {
    page.line(0, "sources:");
    page.line(2, format!("{SOURCE}:"));
    page.line(4, "kind: grpc");
    page.line(4, format!("endpoint: {}", quoted(&source.endpoint)));
    page.line(4, format!("method: {}", quoted(&source.method)));
    if source.descriptors.get("reflection").is_some() {
        page.comment(4, "The server tells its types whenever the pipeline starts.");
    }
    page.key(4, "descriptors", &source.descriptors);
    if let Some(request) = &source.request {
        page.key(4, "request", request);
    }
    if !source.tls.is_empty() {
        page.key(4, "tls", &Json::Object(source.tls.clone()));
    }
    metadata(source, page);
    page.line(4, format!("connect_timeout_ms: {}", source.connect_timeout_ms.written()));
    if let Some((interval, timeout)) = &source.keepalive {
        page.line(4, "keepalive:");
        page.line(6, format!("interval_ms: {}", interval.written()));
        page.line(6, format!("timeout_ms: {}", timeout.written()));
    }
    page.line(4, format!("message_bytes_max: {}", source.message_bytes_max.written()));
    reconnect(&source.reconnect, page);
    resume(source, page);
}

fn metadata(source: &SourcePart, page: &mut Page) {
    if source.metadata.is_empty() {
        return;
    }
    page.line(4, "metadata:");
    for (key, value) in &source.metadata {
        page.line(6, format!("{}: {}", quoted(key), quoted(value)));
    }
}

fn reconnect(reconnect: &Reconnect, page: &mut Page) {
    match reconnect {
        Reconnect::Never => {
            page.comment(4, "A call that is lost or ends is the last one.");
            page.line(4, "reconnect: { attempts_max: 0 }");
            page.line(4, "on_end: finish");
        }
        Reconnect::After { min_ms, max_ms, attempts_max } => {
            page.comment(4, "Waits begin anew after each message; before, they only grew.");
            page.line(4, "reconnect:");
            page.line(6, format!("backoff_min_ms: {}", min_ms.written()));
            page.line(6, format!("backoff_max_ms: {}", max_ms.written()));
            if let Some(attempts) = attempts_max {
                page.line(6, format!("attempts_max: {}", attempts.written()));
            }
        }
    }
}

/// The connector's keys say nothing of resuming. What looks like a cursor is shown as a comment,
/// because only a person knows what the server does with it.
fn resume(source: &SourcePart, page: &mut Page) {
    page.line(0, "");
    page.comment(
        4,
        "The connector could not resume: what the server sends while no call is open is",
    );
    page.comment(
        4,
        "lost, now as before. A cursor by which a request can go on makes it exactly once.",
    );
    let guesses = source.known.as_ref().map(guess::cursors).unwrap_or_default();
    let best = guesses.iter().find(|guess| !guess.to.is_empty());
    if let Some(best) = best {
        page.comment(4, format!("`{}` may be one: {}.", best.from, reasons(best)));
        page.comment(4, position_words(best.position));
    }
    let (name, from, position, set) = match best {
        Some(best) => (component(best), best.from.clone(), best.position, set(best)),
        None => {
            let set = json!({ "FIELD_OF_THE_REQUEST": "${cursor.at}" });
            ("at".to_owned(), "FIELD".to_owned(), "after", set)
        }
    };
    page.comment(4, "resume:");
    page.comment(4, format!("  cursor: {{ {name}: {{ from: {} }} }}", quoted(&from)));
    page.comment(4, "  sequence: monotone      # if its values never fall; else leave it out");
    page.comment(4, format!("  position: {position}"));
    page.comment(4, format!("  restart: {{ set: {} }}", flow(&set)));
}

fn decoder(parts: &Parts, page: &mut Page) {
    page.comment(
        0,
        "The JSON is what the connector wrote, byte by byte: fields that are not set are",
    );
    page.comment(0, "written too, numbers and texts look as Java writes them.");
    if parts.chain.has_steps() {
        page.comment(
            0,
            "Transformations then work on its fields; the connector's values were texts.",
        );
    }
    page.line(0, "decoders:");
    page.line(2, format!("{DECODER}:"));
    page.line(4, "kind: protobuf");
    page.line(4, format!("from: {SOURCE}"));
    page.line(4, "to: json");
    page.line(4, "defaults: true");
    page.line(4, "notation: java");
    if parts.values.envelope != "none" {
        page.comment(4, "The value is that JSON as a text, as JsonConverter writes texts.");
        page.line(4, format!("envelope: {}", parts.values.envelope));
    }
    on_error(parts, page);
}

fn on_error(parts: &Parts, page: &mut Page) {
    if parts.policy.dead_letters.is_some() {
        page.line(4, "on_error: dead_letter");
    }
}

/// The nodes between decoder and sink; gives the name of the last one.
fn nodes(parts: &Parts, page: &mut Page) -> String {
    let mut last = DECODER.to_owned();
    if !parts.chain.nodes.is_empty() {
        page.line(0, "");
        page.line(0, "transforms:");
    }
    for (node, number) in parts.chain.nodes.iter().zip(1..) {
        let name = match node {
            ChainNode::Steps(_) => format!("fields{number}"),
            ChainNode::Tombstones(_) => format!("filter{number}"),
        };
        page.line(2, format!("{name}:"));
        match node {
            ChainNode::Steps(steps) => {
                page.line(4, "kind: fields");
                page.line(4, format!("from: {last}"));
                page.line(4, "steps:");
                steps.iter().for_each(|step| page.line(6, format!("- {}", flow(step))));
                on_error(parts, page);
            }
            ChainNode::Tombstones(rule) => {
                page.line(4, "kind: filter");
                page.line(4, format!("from: {last}"));
                page.line(4, format!("tombstones: {rule}"));
            }
        }
        last = name;
    }
    last
}

fn sink(parts: &Parts, from: &str, worker: &Worker, page: &mut Page) {
    let sink = &parts.sink;
    page.line(0, "sinks:");
    page.line(2, format!("{SINK}:"));
    page.line(4, "kind: kafka");
    page.line(4, format!("from: {from}"));
    match &sink.brokers {
        Some(brokers) => page.line(4, format!("brokers: {}", quoted(brokers))),
        None => {
            page.comment(4, "Nobody said where Kafka is; --brokers HOST:PORT does.");
            page.line(4, "brokers: localhost:9092");
        }
    }
    page.line(4, format!("topic: {}", quoted(&parts.chain.topic)));
    if let Some(route) = &parts.chain.route {
        let route = json!({ "name": route.name, "timestamp_format": route.timestamp_format });
        page.key(4, "route", &route);
    }
    match &sink.key {
        Some(key) => {
            page.comment(4, "Keys are taken from the message itself.");
            page.key(4, "key", key);
        }
        None => debug_assert!(matches!(parts.chain.key, Key::None), "a key is written"),
    }
    headers(parts, page);
    create(parts, worker, page);
    dead_letters(parts, worker, page);
    client(parts, page);
}

fn headers(parts: &Parts, page: &mut Page) {
    if !parts.chain.has_headers() {
        return;
    }
    page.line(4, "headers:");
    if !parts.chain.fixed_headers.is_empty() {
        page.key(6, "static", &json!(parts.chain.fixed_headers));
    }
    if !parts.chain.field_headers.is_empty() {
        page.key(6, "fields", &json!(parts.chain.field_headers));
    }
}

fn create(parts: &Parts, worker: &Worker, page: &mut Page) {
    let Some(create) = &parts.sink.create else {
        debug_assert!(!worker.creates_topics, "else it says how");
        let told = "The worker makes no topics (topic.creation.enable), so this one must be there.";
        return page.comment(4, told);
    };
    if create.partitions.is_none() && create.replication.is_none() && create.config.is_empty() {
        page.comment(
            4,
            "A missing topic is created with the brokers' defaults, as brokers do that",
        );
        page.comment(
            4,
            "create topics by themselves. Without `create` it is an error at the start.",
        );
        return page.line(4, "create: {}");
    }
    page.line(4, "create:");
    let counts = [("partitions", &create.partitions), ("replication", &create.replication)];
    for (key, count) in counts {
        if let Some(count) = count {
            page.line(6, format!("{key}: {}", count.written()));
        }
    }
    if !create.config.is_empty() {
        page.key(6, "config", &Json::Object(create.config.clone()));
    }
}

fn dead_letters(parts: &Parts, worker: &Worker, page: &mut Page) {
    let Some(dead) = &parts.policy.dead_letters else { return };
    page.comment(
        4,
        "Messages that cannot become records, and records that Kafka refuses, with the",
    );
    page.comment(4, "reason in their headers, in the transaction of their neighbours.");
    page.line(4, "dead_letter:");
    page.line(6, format!("topic: {}", quoted(&dead.topic)));
    if worker.creates_topics {
        page.line(6, "create:");
        page.line(8, "partitions: 1");
        if let Some(copies) = &dead.replication {
            page.line(8, format!("replication: {}", copies.written()));
        }
    }
}

fn client(parts: &Parts, page: &mut Page) {
    let client = &parts.sink.client;
    if let Some(ms) = &client.transaction_timeout_ms {
        page.line(4, format!("transaction_timeout_ms: {ms}"));
    }
    if client.properties.is_empty() {
        return;
    }
    page.line(4, "properties:");
    for (key, value) in &client.properties {
        page.line(6, format!("{}: {}", quoted(key), quoted(value)));
    }
}
