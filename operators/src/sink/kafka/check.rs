//! What a Kafka sink's keys must mean, beyond their shape: paths that exist in the message,
//! properties that librdkafka knows and the guarantee survives. Nothing is contacted.

use crate::sink::kafka::client::{KafkaTarget, invalid, refusal};
use crate::sink::kafka::config::{
    CreateTopic, DeadLetterConfig, Delivery, GapsConfig, HeadersConfig, JsonKey, KafkaConfig,
    KeyConfig, PartitionBy, ProgressConfig, RouteConfig, TimestampConfig, TimestampUnit,
};
use crate::sink::kafka::moment::PatternError;
use crate::sink::kafka::route::{Route, RouteError};
use headwater_engine::spec::{Checked, Encoding, KindEntry, NodeView, Report, Role, Step};
use headwater_proto::{FieldPath, LeafKind, MessageDescriptor};
use schemars::JsonSchema;

/// Kafka's own limit on the length of a topic's name.
const TOPIC_NAME_CHARS_MAX: usize = 249;

/// A checked Kafka sink.
#[derive(Clone, Debug)]
pub struct KafkaSink {
    /// The cluster, and how it is written to.
    pub target: KafkaTarget,
    /// The topic of records.
    pub topic: String,
    /// How it is created, if it may be.
    pub create: Option<CreateTopic>,
    /// How records find topics of their own instead.
    pub route: Option<Route>,
    /// What keys are made of.
    pub key: Option<KeyConfig>,
    /// What chooses the partition.
    pub partition: PartitionBy,
    /// Path and unit of the timestamp field.
    pub timestamp: Option<(String, TimestampUnit)>,
    /// Headers of each record.
    pub headers: HeadersConfig,
    /// Where dead letters go.
    pub dead_letter: Option<DeadLetterConfig>,
    /// Where gaps are written.
    pub gaps: Option<GapsConfig>,
    /// Where progress is kept.
    pub progress: ProgressConfig,
    /// Whether values are JSON, of which an empty one is a tombstone.
    pub is_json: bool,
}

/// The kind's entry.
#[must_use]
pub fn entry() -> KindEntry {
    KindEntry {
        role: Role::Sink,
        name: "kafka",
        summary: "Writes records and the progress of their sources to Kafka, in one transaction.",
        schema: |generator| KafkaConfig::json_schema(generator),
        check,
    }
}

fn check(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: KafkaConfig = view.parse(report)?;
    check_topics(view, &config, report);
    check_paths(view, &config, report);
    check_empty_key(view, &config, report);
    check_properties(view, &config, report);
    let partition = check_partition(view, &config, report);
    let route = config.route.as_ref().map(|route| check_route(view, &config, route, report));
    let sink = KafkaSink {
        target: KafkaTarget::new(&config),
        topic: config.topic,
        create: config.create,
        route: route.flatten(),
        key: config.key,
        partition,
        timestamp: config.timestamp.map(|TimestampConfig { field, unit }| (field, unit)),
        headers: config.headers,
        dead_letter: config.dead_letter,
        gaps: config.gaps,
        progress: config.progress,
        is_json: view.inputs.iter().any(|(_, input)| input.encoding == Some(Encoding::Json)),
    };
    let is_route_known = sink.route.is_some() == config.route.is_some();
    let checked = Checked::sink(sink);
    Some(if is_route_known { checked } else { checked.without("route") })
}

/// None after a mistake.
fn check_route(
    view: &NodeView<'_>,
    config: &KafkaConfig,
    route: &RouteConfig,
    report: &mut Report,
) -> Option<Route> {
    let RouteConfig { name, timestamp_format, field, topics_max } = route;
    let compiled =
        Route::compile(name, &config.topic, timestamp_format, field.as_deref(), *topics_max);
    let compiled = match compiled {
        Ok(compiled) => compiled,
        Err(error) => {
            refuse_route(view, &error, report);
            return None;
        }
    };
    let is_given = view.value["route"].get("field").is_some();
    if view.knows(&["route", "name"]) && compiled.names_field() != is_given {
        let (key, message, hint) = match is_given {
            false => ("name", "`{field}` stands for no field", "add `field: PATH` beside it"),
            true => (
                "field",
                "the topic's name holds no `{field}`",
                "write it into `name`, or leave `field` out",
            ),
        };
        report.error(&view.at(&["route", key]), message).hint(hint);
        return None;
    }
    Some(compiled)
}

fn refuse_route(view: &NodeView<'_>, error: &RouteError, report: &mut Report) {
    let (key, hint) = match error {
        RouteError::Moment(PatternError { hint, .. }) => ("timestamp_format", *hint),
        RouteError::Unknown(_) => ("name", Some("use `{topic}`, `{timestamp}` and `{field}`")),
        RouteError::Open => ("name", None),
        RouteError::Character(_) => ("name", Some("use letters, digits, `.`, `_` and `-`")),
        RouteError::Constant => {
            ("name", Some("put `{timestamp}` or `{field}` into it, or leave `route` out"))
        }
    };
    let reads: &[&[&str]] = match error {
        RouteError::Moment(_) => &[&["route", "timestamp_format"]],
        // What stands in the pattern or in `topic` may be at fault as well.
        RouteError::Character(_) => {
            &[&["route", "name"], &["route", "timestamp_format"], &["topic"]]
        }
        RouteError::Unknown(_) | RouteError::Open | RouteError::Constant => &[&["route", "name"]],
    };
    if !reads.iter().all(|path| view.knows(path)) {
        return;
    }
    let finding = report.error(&view.at(&["route", key]), error.to_string());
    if let Some(hint) = hint {
        finding.hint(hint);
    }
}

fn check_topics(view: &NodeView<'_>, config: &KafkaConfig, report: &mut Report) {
    check_topic(view, &["topic"], &config.topic, report);
    let is_topic_known = view.knows(&["topic"]);
    if let Some(dead_letter) = &config.dead_letter {
        check_topic(view, &["dead_letter", "topic"], &dead_letter.topic, report);
        if is_topic_known && dead_letter.topic == config.topic {
            report
                .error(
                    &view.at(&["dead_letter", "topic"]),
                    "dead letters go to the records' own topic",
                )
                .hint("give them a topic of their own: readers expect decoded records there");
        }
    }
    if let Some(gaps) = &config.gaps {
        check_topic(view, &["gaps", "topic"], &gaps.topic, report);
        if is_topic_known && gaps.topic == config.topic {
            report
                .error(&view.at(&["gaps", "topic"]), "gaps go to the records' own topic")
                .hint("give them a topic of their own: readers expect decoded records there");
        }
    }
    if let Some(topic) = &config.progress.topic {
        check_topic(view, &["progress", "topic"], topic, report);
        if is_topic_known && *topic == config.topic {
            report
                .error(&view.at(&["progress", "topic"]), "progress goes to the records' own topic")
                .hint("leave the key out: the pipeline then keeps a topic of its own");
        }
    }
}

fn check_topic(view: &NodeView<'_>, path: &[&str], name: &str, report: &mut Report) {
    if topic_fault(name).is_some() {
        report
            .error(&view.at(path), "this is no name of a Kafka topic")
            .hint(format!("use 1 to {TOPIC_NAME_CHARS_MAX} letters, digits, `.`, `_` or `-`"));
    }
}

/// Why no Kafka topic can have this name.
pub(super) fn topic_fault(name: &str) -> Option<&'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name {
        "" => Some("and a topic has a name"),
        "." | ".." => Some("which Kafka refuses"),
        name if name.len() > TOPIC_NAME_CHARS_MAX => Some("which is longer than 249 characters"),
        name if !name.chars().all(is_allowed) => Some("which holds what no topic's name may hold"),
        _ => None,
    }
}

fn check_paths(view: &NodeView<'_>, config: &KafkaConfig, report: &mut Report) {
    for (input, stream) in view.inputs {
        let schema = stream.schema.as_ref();
        let message = schema.and_then(|schema| schema.downcast_ref::<MessageDescriptor>());
        let Some(message) = message else { continue };
        match &config.key {
            Some(KeyConfig::Field(key)) => check_key(view, message, input, key, report),
            Some(KeyConfig::Json(JsonKey::Json(path))) => {
                check_field(view, message, &[Step::Key("key"), Step::Key("json")], path, report);
            }
            Some(KeyConfig::Json(JsonKey::Object(members))) => {
                for (name, path) in members {
                    let at = [Step::Key("key"), Step::Key("object"), Step::Key(name)];
                    check_field(view, message, &at, path, report);
                }
            }
            None => {}
        }
        for (name, path) in &config.headers.fields {
            let at = [Step::Key("headers"), Step::Key("fields"), Step::Key(name)];
            check_field(view, message, &at, path, report);
        }
        if let Some(path) = config.route.as_ref().and_then(|route| route.field.as_ref()) {
            check_routing_field(view, message, path, report);
        }
        if let Some(timestamp) = &config.timestamp {
            check_timestamp(view, message, timestamp, report);
        }
    }
}

/// A field of any type.
fn check_field(
    view: &NodeView<'_>,
    message: &MessageDescriptor,
    at: &[Step<'_>],
    path: &str,
    report: &mut Report,
) -> Option<FieldPath> {
    match FieldPath::compile(message, path) {
        Ok(path) => Some(path),
        Err(error) => {
            let finding = report.error(&view.at(at), "the path does not fit");
            finding.detail(error.to_string());
            if let Some(hint) = error.hint {
                finding.hint(hint);
            }
            None
        }
    }
}

fn check_routing_field(
    view: &NodeView<'_>,
    message: &MessageDescriptor,
    path: &str,
    report: &mut Report,
) {
    let at = [Step::Key("route"), Step::Key("field")];
    let field = check_field(view, message, &at, path, report);
    let names_nothing = [LeafKind::Message, LeafKind::Float, LeafKind::Bytes];
    if field.is_some_and(|field| names_nothing.contains(&field.kind())) {
        report
            .error(&view.at(&at), format!("`{path}` can name no topic"))
            .hint("name a text, a whole number, an enum or a bool");
    }
}

fn check_key(
    view: &NodeView<'_>,
    message: &MessageDescriptor,
    input: &str,
    key: &str,
    report: &mut Report,
) {
    let place = view.at(&["key"]);
    match FieldPath::compile(message, key) {
        Err(error) => drop(
            report
                .error(&place, format!("the key's path does not fit input `{input}`"))
                .detail(error.to_string()),
        ),
        Ok(path) if path.kind() == LeafKind::Message => drop(
            report
                .error(&place, format!("`{key}` is a whole message"))
                .hint("name one of its fields: equal messages may be encoded differently"),
        ),
        Ok(path) if path.kind() == LeafKind::Float => drop(
            report
                .error(&place, format!("`{key}` is a floating-point number"))
                .hint("key by a text, bytes, an integer, an enum or a bool"),
        ),
        Ok(_) => {}
    }
}

fn check_timestamp(
    view: &NodeView<'_>,
    message: &MessageDescriptor,
    timestamp: &TimestampConfig,
    report: &mut Report,
) {
    let place = view.at(&["timestamp", "field"]);
    match FieldPath::compile(message, &timestamp.field) {
        Err(error) => drop(
            report.error(&place, "the timestamp's path does not fit").detail(error.to_string()),
        ),
        Ok(path) if path.is_timestamp() => {}
        Ok(path) if matches!(path.kind(), LeafKind::Int | LeafKind::Uint) => {}
        Ok(_) => drop(
            report
                .error(&place, format!("`{}` is no moment", timestamp.field))
                .detail("expected: a google.protobuf.Timestamp or a whole number"),
        ),
    }
}

fn check_properties(view: &NodeView<'_>, config: &KafkaConfig, report: &mut Report) {
    for (key, value) in &config.properties {
        let path = ["properties", key.as_str()];
        if let Some(reason) = refusal(key) {
            report
                .error(&view.at_key(&path), format!("property `{key}` may not be set here"))
                .detail(reason)
                .hint("leave it out");
        } else if !view.knows(&path) {
            // The key may be set; of its value nothing is known.
        } else if let Some(reason) = invalid(key, &value.to_string()) {
            report
                .error(&view.at_key(&path), format!("librdkafka refuses property `{key}`"))
                .detail(reason);
        }
    }
}

fn check_empty_key(view: &NodeView<'_>, config: &KafkaConfig, report: &mut Report) {
    if let Some(KeyConfig::Json(JsonKey::Object(members))) = &config.key
        && members.is_empty()
        && view.knows(&["key"])
    {
        report
            .error(&view.at(&["key", "object"]), "the key has no fields")
            .hint("write `NAME: PATH` for each");
    }
}

fn check_partition(view: &NodeView<'_>, config: &KafkaConfig, report: &mut Report) -> PartitionBy {
    let default = if config.key.is_some() { PartitionBy::Key } else { PartitionBy::Spread };
    let partition = config.partition.unwrap_or(default);
    if partition == PartitionBy::Key && config.key.is_none() {
        report
            .error(&view.at(&["partition"]), "records have no key to choose a partition by")
            .hint("add `key: <field>`, or use `shard` or `spread`");
    }
    if partition == PartitionBy::Spread && config.key.is_some() {
        report
            .error(&view.at(&["partition"]), "records with a key are placed by it")
            .hint("leave `partition` out, or use `shard`");
    }
    partition
}

impl KafkaSink {
    /// Whether the sink's records and progress are one transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.target.delivery == Delivery::ExactlyOnce
    }

    /// The topics it writes records and dead letters to, as far as they are known at start.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        let records = self.route.is_none().then_some(self.topic.as_str());
        let dead_letters = self.dead_letter.as_ref().map(|it| it.topic.as_str());
        records.into_iter().chain(dead_letters)
    }

    /// The progress topic of `pipeline`.
    #[must_use]
    pub fn progress_topic(&self, pipeline: &str) -> String {
        let default = || format!("__{pipeline}.progress");
        self.progress.topic.clone().unwrap_or_else(default)
    }
}
