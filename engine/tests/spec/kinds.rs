//! A small registry and a table of variables: enough kinds to reach every check.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use headwater_engine::spec::{
    Checked, Diagnostic, Diagnostics, Encoding, KindEntry, NodeView, Plan, Registry, Report, Role,
    Source, Step, StreamFacts, Values, Variables, load, load_changed, schema_of,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What no rendering may ever hold.
pub(crate) const SECRET: &str = "hunter2-and-more";

/// A gRPC call, without the gRPC.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallConfig {
    /// The server's address. It begins with `http://` or `https://`.
    #[schemars(length(min = 1))]
    pub(crate) endpoint: String,
    /// The type of the messages.
    #[serde(default = "event")]
    pub(crate) message: String,
    /// How often an idle connection is probed, in milliseconds.
    #[serde(default = "keepalive")]
    #[schemars(range(min = 1000))]
    pub(crate) keepalive_ms: u64,
    /// The server's port.
    #[serde(default)]
    pub(crate) port: Option<u16>,
    /// The request by the JSON mapping.
    #[serde(default)]
    pub(crate) request: Map<String, Value>,
    /// Static metadata.
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    /// Transport security; left out: none.
    #[serde(default)]
    pub(crate) tls: Option<Tls>,
    /// What an end of the stream means.
    #[serde(default)]
    pub(crate) on_end: OnEnd,
    /// How long to wait before the next attempt.
    #[serde(default)]
    pub(crate) retry: Retry,
    /// Field paths of the cursor.
    #[serde(default)]
    #[schemars(length(max = 2))]
    pub(crate) cursor: Vec<Component>,
    /// The share of messages that is traced.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) traced: f64,
}

/// Certificates.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM file of the authorities to trust.
    pub(crate) ca_file: String,
    /// Whether the server's name is compared with its certificate.
    #[serde(default)]
    pub(crate) verify_name: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnEnd {
    /// Opens a new call.
    #[default]
    Reconnect,
    /// Ends the source.
    Finish,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Retry {
    /// Always the same wait.
    Fixed { delay_ms: u32 },
    /// A growing wait.
    Exponential(Growing),
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct Growing {
    /// The first wait, in milliseconds.
    pub(crate) first_ms: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self::Fixed { delay_ms: 1000 }
    }
}

/// A path, or a path with a name.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Component {
    Path(String),
    Named(NamedPath),
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedPath {
    pub(crate) name: String,
    pub(crate) path: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecoderConfig {
    /// What comes out.
    pub(crate) to: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Json,
    Raw,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicConfig {
    /// The topic to write to.
    pub(crate) topic: String,
    /// The records' key.
    #[serde(default)]
    pub(crate) key: Key,
    /// Properties passed on.
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, Property>,
}

/// A value of a property.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Property {
    Switch(bool),
    Number(i64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Key {
    /// No key.
    #[default]
    None,
    /// The value of a field.
    Field(String),
    /// A fixed text.
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiscardConfig {}

fn event() -> String {
    "bench.v1.Event".to_owned()
}

fn keepalive() -> u64 {
    30_000
}

pub(crate) fn registry() -> Registry {
    let entry =
        |role, name, summary, schema, check| KindEntry { role, name, summary, schema, check };
    Registry::new([
        entry(Role::Source, "grpc", "Calls a server.", schema_of::<CallConfig>, check_call),
        entry(Role::Decoder, "protobuf", "Decodes.", schema_of::<DecoderConfig>, check_decoder),
        entry(Role::Sink, "kafka", "Writes to a topic.", schema_of::<TopicConfig>, check_topic),
        entry(Role::Sink, "discard", "Counts.", schema_of::<DiscardConfig>, check_discard),
    ])
}

fn stream(encoding: Option<Encoding>, name: Option<String>) -> StreamFacts {
    StreamFacts { encoding, name, schema: None }
}

fn check_call(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: CallConfig = view.parse(report)?;
    if !config.endpoint.starts_with("http") {
        let message = format!("endpoint {:?} is not a URL", config.endpoint);
        report.error(&view.at(&["endpoint"]), message).hint("write http://HOST:PORT");
    }
    for (index, component) in config.cursor.iter().enumerate() {
        if matches!(component, Component::Path(path) if path.contains(' ')) {
            let place = view.at(&[Step::Key("cursor"), Step::Index(index)]);
            report.error(&place, "a field path holds no space");
        }
    }
    if config.request.contains_key("nonsense") {
        report.warning(&view.at_key(&["request", "nonsense"]), "the field is deprecated");
    }
    let message = view.knows(&["message"]).then(|| config.message.clone());
    let output = stream(Some(Encoding::Messages), message);
    if report.has_errors() {
        return Some(Checked::refused(output));
    }
    Some(Checked::new(config, output))
}

fn check_decoder(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: DecoderConfig = view.parse(report)?;
    let encoding = match config.to {
        Format::Json => Encoding::Json,
        Format::Raw => Encoding::Raw,
    };
    let name = view.inputs.iter().find_map(|(_, input)| input.name.clone());
    let encoding = view.knows(&["to"]).then_some(encoding);
    Some(Checked::new(config, stream(encoding, name)))
}

fn check_topic(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: TopicConfig = view.parse(report)?;
    if config.topic.contains(' ') {
        report
            .error(&view.at(&["topic"]), format!("topic {:?} holds a space", config.topic))
            .detail(format!("the whole config was {config:?}"));
        return None;
    }
    if let Some(value) = config.properties.get("transactional.id") {
        report
            .error(&view.at_key(&["properties", "transactional.id"]), "the engine sets this")
            .detail(format!("found: {value:?}"));
        return None;
    }
    Some(Checked::sink(config))
}

fn check_discard(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: DiscardConfig = view.parse(report)?;
    Some(Checked::sink(config))
}

/// Variables and files as the cases use them.
pub(crate) struct Table;

impl Variables for Table {
    fn env(&self, name: &str) -> Option<String> {
        let value = match name {
            "SECRET" => SECRET,
            "HOST" => "telemetry.example",
            "PORT" => "7443",
            "DIGITS" => "0012345",
            "SMALL" => "5",
            "SPACED" => "hunter2-and-more and more",
            "RECURSIVE" => "${env:SECRET}",
            "EMPTY" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("/run/secrets/token") => Ok(format!("{SECRET}\n")),
            Some("/etc/headwater/kafka.properties") => {
                Ok(format!("# credentials\nuser=reader\npassword = {SECRET}\n"))
            }
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        }
    }
}

pub(crate) fn source(text: &str) -> Source<'_> {
    Source { name: "pipeline.yaml", text, base_dir: Path::new("/etc/headwater") }
}

pub(crate) fn read(text: &str) -> Result<(Plan, Vec<Diagnostic>), Diagnostics> {
    load(&source(text), &REGISTRY, &Table)
}

pub(crate) fn read_changed(
    text: &str,
    change: &dyn Fn(&mut Values<'_>),
) -> Result<(Plan, Vec<Diagnostic>), Diagnostics> {
    load_changed(&source(text), &REGISTRY, &Table, change)
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(registry);
