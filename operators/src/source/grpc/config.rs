//! What a pipeline file may say about a gRPC source.
//!
//! Serde reads these types, schemars derives the published schema and the reference from them: a
//! key is documented here and nowhere else. What a schema cannot say (that a field exists, that two
//! keys exclude each other) is checked in `check.rs`.
//!
//! Invariant: no type here has a `Debug` form; metadata and descriptors may hold secrets.
//!
//! Next: `check.rs` makes a [`GrpcSource`](super::GrpcSource) of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A gRPC source: calls a server-streaming method and takes its messages as they are.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The server, as `http://HOST:PORT` or, with TLS, `https://HOST:PORT`. Use `endpoints` for
    /// several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<String>,

    /// Several servers; each is a shard of its own with a cursor of its own. Shards are dealt out
    /// over the workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub(super) endpoints: Option<Vec<EndpointEntry>>,

    /// The method to call, as `package.Service/Method`. It must be server-streaming: one request,
    /// a stream of answers.
    #[schemars(length(min = 3))]
    pub(super) method: String,

    /// Where the method's types come from.
    pub(super) descriptors: DescriptorsConfig,

    /// The request message, written by the proto3 JSON mapping. Left out: an empty message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Map<String, Json>>,

    /// Several requests to each endpoint; each is a shard of its own. Excludes `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub(super) requests: Option<Vec<RequestEntry>>,

    /// Metadata (headers) sent with each call. The value of a key that ends in `-bin` is base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,

    /// TLS settings for `https://` endpoints. Left out: the system's certificate authorities, no
    /// client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<TlsConfig>,

    /// How long connecting to the server, the TLS handshake included, may take, in milliseconds.
    #[serde(default = "defaults::connect_timeout_ms")]
    #[schemars(range(min = 100, max = 600_000))]
    pub(super) connect_timeout_ms: u64,

    /// How a silent connection is told from a dead one.
    #[serde(default)]
    pub(super) keepalive: KeepaliveConfig,

    /// The largest message that is accepted, in bytes. A larger one stops the shard: it could not
    /// be passed over without losing it.
    #[serde(default = "defaults::message_bytes_max")]
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub(super) message_bytes_max: u64,

    /// HTTP/2 flow control: how much the server may send ahead.
    #[serde(default)]
    pub(super) http2: Http2Config,

    /// What happens when the connection or the call is lost.
    #[serde(default)]
    pub(super) reconnect: ReconnectConfig,

    /// What happens when the server ends the stream with status OK.
    #[serde(default)]
    pub(super) on_end: OnEnd,

    /// How a new call goes on where the last one ended. Left out: it does not, and what the server
    /// sends while no call is open is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resume: Option<ResumeConfig>,
}

/// One server of several.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum EndpointEntry {
    /// Just its URL.
    Url(String),
    /// Its URL and what is special about it.
    Full(FullEndpoint),
}

/// One server and what is special about it.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FullEndpoint {
    /// The server, as `http://HOST:PORT` or `https://HOST:PORT`.
    pub(super) url: String,

    /// The shard's lasting name; its progress is kept under it. Left out: host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub(super) name: Option<String>,

    /// The request for this server instead of the source's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Map<String, Json>>,

    /// Metadata for this server beside the source's own; the same key replaces it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
}

/// One request of several.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestEntry {
    /// The shard's lasting name; its progress is kept under it. Left out: a digest of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub(super) name: Option<String>,

    /// The request message, written by the proto3 JSON mapping.
    #[serde(default)]
    pub(super) request: Map<String, Json>,
}

/// Where message types come from: exactly one of `file`, `base64` and `protos`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DescriptorsConfig {
    /// A descriptor set, as `protoc --include_imports --descriptor_set_out=FILE` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<PathBuf>,

    /// A descriptor set as base64 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) base64: Option<String>,

    /// `.proto` sources; they are compiled when the pipeline file is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(super) protos: Option<Vec<PathBuf>>,

    /// Folders in which the imports of `protos` are looked for. Left out: the folder of each
    /// source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) includes: Vec<PathBuf>,
}

/// TLS settings; all files are PEM and are read when the pipeline file is.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsConfig {
    /// Certificate authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,

    /// This client's certificate, with its chain; needs `key_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_file: Option<PathBuf>,

    /// The private key of `certificate_file`, unencrypted PKCS#8, PKCS#1 or SEC1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_file: Option<PathBuf>,

    /// The name the server's certificate must bear, if it is not the host of the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(super) server_name: Option<String>,
}

/// HTTP/2 pings that tell a silent connection from a dead one.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeepaliveConfig {
    /// How long a connection may be silent before it is pinged, in milliseconds. Servers may cut
    /// off clients that ping too often.
    #[schemars(range(min = 1000, max = 86_400_000))]
    pub(super) interval_ms: u64,

    /// How long the answer to a ping may take before the connection counts as dead, in
    /// milliseconds.
    #[schemars(range(min = 100, max = 600_000))]
    pub(super) timeout_ms: u64,

    /// Whether pings go on while no call is open on the connection.
    pub(super) while_idle: bool,
}

/// HTTP/2 flow control.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http2Config {
    /// How many bytes the server may send ahead on the call.
    #[schemars(range(min = 65_535, max = 2_147_483_647))]
    pub(super) stream_window_bytes: u32,

    /// How many bytes the server may send ahead on the connection; at least the stream's window.
    #[schemars(range(min = 65_535, max = 2_147_483_647))]
    pub(super) connection_window_bytes: u32,

    /// Lets the windows grow and shrink with the measured delay; the two sizes are then ignored.
    pub(super) adaptive_window: bool,
}

/// Reconnecting: each wait is twice the last one, give or take a quarter of it by chance. A
/// received message starts anew.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReconnectConfig {
    /// The first wait, in milliseconds.
    #[schemars(range(min = 10, max = 3_600_000))]
    pub(super) backoff_min_ms: u64,

    /// The longest wait, in milliseconds.
    #[schemars(range(min = 10, max = 3_600_000))]
    pub(super) backoff_max_ms: u64,

    /// Attempts without a message in between after which the shard stops. Left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub(super) attempts_max: Option<u32>,
}

/// What to do when the server ends the stream with status OK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnEnd {
    /// Call again: the stream has no real end.
    #[default]
    Reconnect,
    /// The shard is complete; once all are, the pipeline ends.
    Finish,
}

/// How a new call goes on where the last one ended.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeConfig {
    /// The cursor: named components, each taken from a field of the messages.
    pub(super) cursor: BTreeMap<String, ComponentConfig>,

    /// Where the server goes on when it is given a cursor.
    #[serde(default)]
    pub(super) position: PositionKind,

    /// With `position: at`: the field that identifies a message among those that share a cursor
    /// value. Left out: they are counted, which is right only if the server repeats them in the
    /// same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,

    /// Changes to the request of a call that has no cursor yet.
    #[serde(default)]
    pub(super) start: OverlayConfig,

    /// Changes to the request of a call that goes on from a cursor; `${cursor.NAME}` stands for a
    /// component's value.
    #[serde(default)]
    pub(super) restart: OverlayConfig,

    /// Changes to the request of a call that begins at the server's newest message; needed for
    /// `on_cursor_lost: latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) latest: Option<OverlayConfig>,

    /// What to do when the server no longer has what follows the cursor. It says so by ending a
    /// call that was given the cursor with one of `cursor_lost_codes`, before any new message.
    #[serde(default)]
    pub(super) on_cursor_lost: OnCursorLost,

    /// The statuses by which this server says so.
    #[serde(default = "defaults::cursor_lost_codes")]
    #[schemars(length(min = 1, max = 7))]
    pub(super) cursor_lost_codes: Vec<LostCode>,

    /// After which messages a restart may begin.
    #[serde(default)]
    pub(super) boundary: Boundary,

    /// What is known of the cursor's values from message to message.
    #[serde(default)]
    pub(super) sequence: SequenceKind,

    /// What to do when `sequence` shows that messages are missing.
    #[serde(default)]
    pub(super) on_gap: OnGap,

    /// What to do with a message whose value is lower than one before it, against what `sequence`
    /// says. What a new call repeats is dropped in any case.
    #[serde(default)]
    pub(super) on_out_of_order: OnOutOfOrder,
}

/// One component of the cursor.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComponentConfig {
    /// The path of the field that holds it, for example `header.revision` or
    /// `events[-1].replay_id`; of several paths, the first one that is there.
    pub(super) from: OneOrMany,

    /// What its values mean. Left out: numbers are `int`, timestamps `timestamp`, other messages
    /// `message`, texts and bytes `opaque`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<ComponentType>,
}

/// One text or a list of them.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(#[schemars(length(min = 1, max = 64))] Vec<String>),
}

/// What a cursor component's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ComponentType {
    /// A number: values have an order and a next one.
    Int,
    /// A `google.protobuf.Timestamp`: values have an order; the next one is a nanosecond later.
    Timestamp,
    /// A value only the server understands: it is equal to another one or it is not.
    Opaque,
    /// A whole message only the server understands.
    Message,
}

/// Where the server goes on when it is given a cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PositionKind {
    /// Behind the cursor: what it names is not sent again.
    #[default]
    After,
    /// At the cursor: the messages that bear it are sent again, and what is already there of them
    /// is dropped.
    At,
    /// At the cursor, and it is given the value that follows the last one: `${cursor.NAME}` is
    /// then the last value plus one (plus a nanosecond for a timestamp).
    Next,
}

/// After which messages a restart may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Boundary {
    /// After each.
    #[default]
    Message,
    /// Where the cursor has changed: messages that share a value stay together, and the last group
    /// is held back until the next one begins.
    Change,
}

/// What is known of the cursor's values from message to message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SequenceKind {
    /// Each is one more than the last: a jump is a gap, a step back a repetition.
    Contiguous,
    /// They never fall: a step back is a repetition.
    Monotone,
    /// Nothing: only what a new call repeats is recognised. Of values that have an order, lower
    /// ones count as repeated then, so such a source is not called exact.
    #[default]
    None,
}

/// What to do about a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnGap {
    /// Count it, log it and go on.
    #[default]
    Report,
    /// Stop the shard; the messages before the gap are delivered.
    Stop,
}

/// What to do with a message whose value is lower than one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnOutOfOrder {
    /// Take it for a repetition: drop it and count it.
    #[default]
    Drop,
    /// Send it, as received and with the reason, to the sink's `dead_letter.topic`.
    DeadLetter,
    /// Stop the shard; the messages before it are delivered.
    Stop,
}

/// What to do when the server no longer has what follows the cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnCursorLost {
    /// Stop the shard: where to go on is a person's decision.
    #[default]
    Stop,
    /// Call as at the very first start (`start`), and report a gap. Whatever the server then sends
    /// counts as new.
    Earliest,
    /// Call with the request that `latest` makes, and report a gap. Whatever the server then sends
    /// counts as new.
    Latest,
}

/// A status by which a server may say that it no longer has what follows a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum LostCode {
    /// The cursor cannot be read.
    InvalidArgument,
    /// What the cursor names is not there.
    NotFound,
    /// The server's state does not allow to go on there.
    FailedPrecondition,
    /// The stream was given up.
    Aborted,
    /// What the cursor names is no longer, or not yet, there.
    OutOfRange,
    /// An error of the server.
    Internal,
    /// The server has lost data.
    DataLoss,
}

/// Changes to the request.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OverlayConfig {
    /// Fields to set, written like `request`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) set: Map<String, Json>,

    /// Fields to unset, by name or dotted path, before `set` applies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) clear: Vec<String>,
}

// === defaults ===

mod defaults {
    pub(super) fn connect_timeout_ms() -> u64 {
        10_000
    }

    pub(super) fn cursor_lost_codes() -> Vec<super::LostCode> {
        vec![super::LostCode::OutOfRange, super::LostCode::NotFound]
    }

    pub(super) fn message_bytes_max() -> u64 {
        4 * 1024 * 1024
    }
}

impl Default for KeepaliveConfig {
    fn default() -> Self {
        Self { interval_ms: 30_000, timeout_ms: 10_000, while_idle: true }
    }
}

impl Default for Http2Config {
    fn default() -> Self {
        Self {
            stream_window_bytes: 4 * 1024 * 1024,
            connection_window_bytes: 8 * 1024 * 1024,
            adaptive_window: false,
        }
    }
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self { backoff_min_ms: 200, backoff_max_ms: 30_000, attempts_max: None }
    }
}

// === impl Config ===

impl Config {
    /// The bound of a connection attempt.
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

impl OneOrMany {
    /// All texts.
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::One(text) => std::slice::from_ref(text),
            OneOrMany::Many(texts) => texts,
        }
    }
}

impl std::fmt::Display for PositionKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PositionKind::After => "after",
            PositionKind::At => "at",
            PositionKind::Next => "next",
        })
    }
}

impl std::fmt::Display for SequenceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SequenceKind::Contiguous => "contiguous",
            SequenceKind::Monotone => "monotone",
            SequenceKind::None => "none",
        })
    }
}
