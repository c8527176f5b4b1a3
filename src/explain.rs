//! `headwater explain`: what a pipeline file comes to, and what each stream is promised.
//!
//! Invariant: of metadata, properties and static headers only names are shown, never values.

use crate::args::File;
use crate::exit::{Exit, Outcome};
use crate::words::{bytes, plural};
use crate::{learn, output};
use headwater_engine::spec::{Plan, PlanNode, Role};
use headwater_operators::decode::protobuf::{OnError, ProtobufDecoder};
use headwater_operators::pipeline::guarantee::{Guarantee, StreamGuarantee, streams};
use headwater_operators::sink::kafka::{
    CreateTopic, JsonKey, KafkaSink, KeyConfig, PartitionBy, Route, TimestampUnit,
};
use headwater_operators::source::grpc::GrpcSource;
use headwater_operators::transform::{FieldsTransform, FilterTransform};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// The width of the column of keys.
const KEY_CHARS: usize = 14;

/// Explains one file.
pub(crate) fn explain(options: &File) -> Outcome {
    let (plan, learned) = learn::plan(&options.file, options.online.is_asked)?;
    output::print(&text(&plan));
    if !learned.is_empty() {
        let mut page = Page("\n".to_owned());
        learned.iter().for_each(|it| page.line("types", it.summary()));
        output::print(&page.0);
    }
    Ok(Exit::Done)
}

/// The whole explanation.
fn text(plan: &Plan) -> String {
    let mut page = Page::default();
    page.heading(&format!("pipeline {}", plan.name()));
    describe_settings(plan, &mut page);
    for node in plan.nodes() {
        page.heading(&heading(plan, node));
        describe(plan, node, &mut page);
    }
    page.heading("streams");
    for stream in streams(plan) {
        describe_stream(&stream, &mut page);
    }
    page.0
}

/// Headings and lines of `key text`.
#[derive(Default)]
struct Page(String);

impl Page {
    fn heading(&mut self, text: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}{text}");
    }

    fn line(&mut self, key: &str, text: impl AsRef<str>) {
        let _ = writeln!(self.0, "  {key:<KEY_CHARS$} {}", text.as_ref());
    }
}

fn heading(plan: &Plan, node: &PlanNode) -> String {
    let inputs: Vec<&str> = plan.inputs(node).map(|input| input.name.as_str()).collect();
    let from = match inputs.as_slice() {
        [] => String::new(),
        inputs => format!(", from {}", inputs.join(", ")),
    };
    format!("{} {} ({}){from}", node.role, node.name, node.kind)
}

fn describe_settings(plan: &Plan, page: &mut Page) {
    let settings = plan.settings();
    let workers = settings.workers.map(|workers| workers.to_string());
    page.line("workers", workers.as_deref().unwrap_or("one per core"));
    let commit = &settings.commit;
    page.line(
        "commit",
        format!("every {} ms, or after {}", commit.interval_ms, bytes(commit.epoch_bytes_max)),
    );
    page.line(
        "memory",
        format!("{} received and not yet committed", bytes(settings.memory.credit_bytes)),
    );
    if settings.require.is_some() {
        page.line("require", Guarantee::ExactlyOnce.to_string());
    }
}

fn describe(plan: &Plan, node: &PlanNode, page: &mut Page) {
    match (node.role, node.kind) {
        (Role::Source, _) => describe_source(node, page),
        (Role::Decoder, _) => describe_decoder(node, page),
        (Role::Transform, "filter") => page.line("rule", node.config::<FilterTransform>().words()),
        (Role::Transform, "fields") => describe_fields(node.config::<FieldsTransform>(), page),
        (Role::Sink, "kafka") => describe_kafka(plan, node.config::<KafkaSink>(), page),
        (Role::Sink, "stdout") => page.line("to", "standard output, one line a record"),
        (Role::Sink, "discard") => page.line("to", "nowhere: records are counted"),
        _ => {}
    }
}

fn describe_source(node: &PlanNode, page: &mut Page) {
    let source = node.config::<GrpcSource>();
    page.line("shards", plural(source.shard_count(), "shard"));
    for (key, text) in source.describe() {
        page.line(&key, text);
    }
    if let Some(preset) = &node.preset {
        page.line("preset", format!("{}, which gives:", preset.name));
        for (path, value) in leaves(&preset.given) {
            page.line("", format!("  {path}: {value}"));
        }
    }
}

/// What a preset gives, one value a line. It is no secret: nobody wrote it into the file.
fn leaves(given: &Json) -> Vec<(String, String)> {
    match given {
        Json::Object(map) if !map.is_empty() => {
            let below = |(key, value): (&String, &Json)| {
                let join = |(path, value): (String, String)| match path.as_str() {
                    "" => (key.clone(), value),
                    path => (format!("{key}.{path}"), value),
                };
                leaves(value).into_iter().map(join).collect::<Vec<_>>()
            };
            map.iter().flat_map(below).collect()
        }
        Json::String(text) => vec![(String::new(), text.clone())],
        other => vec![(String::new(), other.to_string())],
    }
}

fn describe_decoder(node: &PlanNode, page: &mut Page) {
    let decoder = node.config::<ProtobufDecoder>();
    page.line("message", decoder.message.full_name());
    if let Some(output) = &node.output {
        page.line("to", output.encoding.to_string());
    }
    let on_error = match decoder.on_error {
        OnError::Stop => "stop the pipeline and name the message",
        OnError::DeadLetter => "set the message aside, to the sink's dead_letter.topic",
    };
    page.line("on error", on_error);
}

fn describe_fields(transform: &FieldsTransform, page: &mut Page) {
    for (place, words) in transform.words.iter().enumerate() {
        page.line(if place == 0 { "steps" } else { "" }, words);
    }
    let on_error = match transform.on_error {
        OnError::Stop => "stop the pipeline and name the record",
        OnError::DeadLetter => "set the record aside, to the sink's dead_letter.topic",
    };
    page.line("on error", on_error);
}

fn describe_kafka(plan: &Plan, sink: &KafkaSink, page: &mut Page) {
    page.line("brokers", &sink.target.brokers);
    match &sink.route {
        None => page.line("topic", topic(&sink.topic, sink.create.as_ref())),
        Some(route) => describe_route(sink, route, page),
    }
    let delivery = match sink.is_transactional() {
        true => "exactly_once: records and progress in one transaction",
        false => "at_least_once: progress follows its records",
    };
    page.line("delivery", delivery);
    page.line("key", key(sink.key.as_ref()));
    page.line("partition", partition(sink.partition));
    if let Some((path, unit)) = &sink.timestamp {
        page.line("timestamp", format!("{path}{}", timestamp_unit(*unit)));
    }
    if sink.headers.provenance {
        let names = "headwater-shard, headwater-generation, headwater-session, headwater-sequence";
        page.line("headers", names);
    }
    if !sink.headers.fixed.is_empty() {
        page.line("static headers", names(sink.headers.fixed.keys()));
    }
    for (header, path) in &sink.headers.fields {
        page.line("header", format!("{header}: {path}"));
    }
    if let Some(dead_letter) = &sink.dead_letter {
        page.line("dead letters", topic(&dead_letter.topic, dead_letter.create.as_ref()));
    }
    if let Some(gaps) = &sink.gaps {
        page.line("gaps", topic(&gaps.topic, gaps.create.as_ref()));
    }
    page.line("progress", format!("topic {}", sink.progress_topic(plan.name())));
    if !sink.target.properties.is_empty() {
        page.line("properties", names(sink.target.properties.keys()));
    }
}

fn describe_route(sink: &KafkaSink, route: &Route, page: &mut Page) {
    let named = route.name.replace("{topic}", &sink.topic);
    page.line("topics", topic(&named, sink.create.as_ref()));
    if let Some(field) = &route.field {
        page.line("", format!("{{field}}: {field}"));
    }
    page.line("", format!("at most {} in use", route.topics_max));
}

fn key(key: Option<&KeyConfig>) -> String {
    match key {
        None => "none".to_owned(),
        Some(KeyConfig::Field(path)) => path.clone(),
        Some(KeyConfig::Json(JsonKey::Json(path))) => format!("{path}, as JSON"),
        Some(KeyConfig::Json(JsonKey::Object(members))) => {
            let member = |(name, path): (&String, &String)| format!("{name}: {path}");
            let members: Vec<String> = members.iter().map(member).collect();
            format!("JSON {{ {} }}", members.join(", "))
        }
    }
}

fn topic(name: &str, create: Option<&CreateTopic>) -> String {
    match create {
        None => format!("{name} (must exist)"),
        Some(CreateTopic { partitions: None, replication: None, .. }) => {
            format!("{name} (created if missing, with the brokers' defaults)")
        }
        Some(create) => format!(
            "{name} (created if missing: {}, replication {})",
            counted(create.partitions, |count| plural(count, "partition")),
            counted(create.replication, |count| count.to_string())
        ),
    }
}

/// A count, or whose it is to say.
fn counted(count: Option<i32>, words: impl Fn(usize) -> String) -> String {
    match count {
        Some(count) => words(usize::try_from(count).unwrap_or(0)),
        None => "the brokers' default".to_owned(),
    }
}

fn partition(by: PartitionBy) -> &'static str {
    match by {
        PartitionBy::Key => "by key (murmur2)",
        PartitionBy::Shard => "by shard: each shard's records in one partition, in order",
        PartitionBy::Spread => "spread: order holds within each partition",
    }
}

/// Timestamps of messages have no unit; numbers without one are milliseconds.
fn timestamp_unit(unit: TimestampUnit) -> &'static str {
    match unit {
        TimestampUnit::S => " in seconds",
        TimestampUnit::Ms => "",
        TimestampUnit::Us => " in microseconds",
        TimestampUnit::Ns => " in nanoseconds",
    }
}

fn names<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    format!("{} (values not shown)", keys.join(", "))
}

fn describe_stream(stream: &StreamGuarantee, page: &mut Page) {
    let StreamGuarantee { source, sink, guarantee, weakened_by } = stream;
    let _ = writeln!(page.0, "  {source} → {sink}: {guarantee}, {}", meaning(*guarantee));
    for weakness in weakened_by {
        let _ = writeln!(page.0, "    weakened by {weakness}");
    }
}

/// What a reader of the sink may rely on.
fn meaning(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::ExactlyOnce => {
            "every message once, in order within a partition, for read_committed readers"
        }
        Guarantee::ExactlyOnceWithinWindow => {
            "no loss; what the server sends again is dropped if it was among the newest messages"
        }
        Guarantee::AtLeastOnce => {
            "no loss; a crash repeats what was not yet followed by its progress"
        }
        Guarantee::NoDuplicatesWithReportedGaps => {
            "no duplicates; what is sent while nobody listens is lost and reported"
        }
        Guarantee::BestEffort => "exact, except in the case named below, which nothing reports",
        Guarantee::None => "nothing outlives the process",
    }
}
