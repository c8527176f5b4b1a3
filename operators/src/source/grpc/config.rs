//! What a pipeline file may say about a gRPC source.
//!
//! Serde reads these types, schemars derives the published schema and the reference from them: a
//! key is documented here and nowhere else. What a schema cannot say (that a field exists, that two
//! keys exclude each other) is checked in `check.rs`.
//!
//! Invariant: no type here has a `Debug` form; metadata and descriptors may hold secrets.
//!
//! Next: `check.rs` makes a [`GrpcSource`](super::GrpcSource) of it.

mod auth;
mod control;
mod expired;
mod life;
mod poll;
mod resume;
mod stream;
mod targets;

use crate::limits::{
    STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES_MIN, STREAM_WINDOWS_BYTES_MAX, WINDOW_BYTES_MAX,
};
pub(super) use auth::{
    ApiKeyConfig, AuthConfig, BasicConfig, BearerConfig, ClientAuth, OAuth2Config,
};
pub(super) use control::{DedupeConfig, DedupeScope, HeartbeatsConfig, OnLoss};
pub(super) use expired::{ExpiredAction, ExpiredConfig, ExpiredMatch, StatusCode, UnaryConfig};
pub(super) use life::{
    Balance, CallConfig, CompressionConfig, HealthConfig, Packing, RequestPacking,
};
pub(super) use poll::{PageConfig, PollConfig, WithoutCursor};
pub(super) use resume::{
    Boundary, BoundaryConfig, ComponentConfig, ComponentType, Mode, OnGap, OnOutOfOrder,
    OverlayConfig, PositionKind, Reduce, ResumeConfig, SequenceKind, Verify,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
pub(super) use stream::{
    AckConfig, AckTake, CreditConfig, ExtendConfig, FirstCredit, ReplyConfig, StreamConfig,
};
pub(super) use targets::{OnEmpty, SchemeName, TargetsConfig, WatchedConfig};

/// A gRPC source: calls a method that answers with a stream and takes its messages as they are.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The server, as `http://HOST:PORT`, with TLS as `https://HOST:PORT`, or as `unix:///PATH`.
    /// Use `endpoints` for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<String>,

    /// Where `endpoint` is reached, if not at its own host: `HOST`, `HOST:PORT` or `unix:///PATH`
    /// each. All serve the same feed: a call goes to one of them, and to another one if that fails.
    /// Names and certificates stay those of `endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(super) addresses: Option<Vec<String>>,

    /// Which address a call goes to, of `addresses` or of those that DNS gives for the host, each
    /// tried by itself. Left out: the first one of `addresses` that connects; a host is connected
    /// to as the system does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) balance: Option<Balance>,

    /// Asks a server whether it is well (`grpc.health.v1.Health/Check`) before a call goes to it;
    /// if it is not, the next address is tried. Left out: it is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) health: Option<HealthConfig>,

    /// Several servers; each is a shard of its own with a cursor of its own. Shards are dealt out
    /// over the workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub(super) endpoints: Option<Vec<EndpointEntry>>,

    /// A fleet of servers: a list as in `endpoints`, where a server may be written as HOST:PORT; or
    /// a file or DNS name that is looked at while the pipeline runs, so that servers join and
    /// leave. Excludes `endpoint` and `endpoints`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) targets: Option<TargetsConfig>,

    /// A preset for a known API: keys that are merged under those given here, so that a key of this
    /// source counts before the preset's, and one that is null takes the preset's out.
    /// `headwater presets` lists them, `headwater explain` shows what one gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) preset: Option<String>,

    /// The method to call, as `package.Service/Method`. It must answer with a stream, and may take
    /// one request (server-streaming) or a stream of them (bidirectional); with `poll` it must be
    /// unary: one request, one answer.
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

    /// Metadata whose values stand in files, by key. The files are read anew for each call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata_files: BTreeMap<String, PathBuf>,

    /// Who the caller is. Left out: what `metadata` and `tls` say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auth: Option<AuthConfig>,

    /// TLS settings for `https://` endpoints. Left out: the system's certificate authorities, no
    /// client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<TlsConfig>,

    /// The HTTP proxy through which servers are reached (CONNECT), as
    /// `http://HOST:PORT` or `http://USER:PASSWORD@HOST:PORT`; `none` for none, `environment` for
    /// that of `HTTPS_PROXY`, for `https://` endpoints which `NO_PROXY` does not except and which
    /// are not this machine. Left out: `environment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(super) proxy: Option<String>,

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

    /// How messages are packed on the wire.
    #[serde(default)]
    pub(super) compression: CompressionConfig,

    /// How long an open call may be silent before it is given up and opened anew, in milliseconds.
    /// For servers that stay connected and send nothing any more; they must send something, such
    /// as a heartbeat, more often than this. Left out: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 2_592_000_000_u64))]
    pub(super) idle_timeout_ms: Option<u64>,

    /// How long a call may last.
    #[serde(default)]
    pub(super) call: CallConfig,

    /// HTTP/2 flow control: how much the server may send ahead.
    #[serde(default)]
    pub(super) http2: Http2Config,

    /// What happens when the connection or the call is lost.
    #[serde(default)]
    pub(super) reconnect: ReconnectConfig,

    /// What happens when the server ends the stream with status OK; with `poll`, when an answer
    /// says that there is no more (`poll.more`, `poll.page`).
    #[serde(default)]
    pub(super) on_end: OnEnd,

    /// Calls a unary method again and again instead of a stream once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) poll: Option<PollConfig>,

    /// How a new call goes on where the last one ended. Left out: it does not, and what the server
    /// sends while no call is open is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resume: Option<ResumeConfig>,

    /// What is said on the request stream of a bidirectional method behind the request. Left out:
    /// nothing, and the request stream stays open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<StreamConfig>,
}

/// One server of several.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum EndpointEntry {
    /// Just its URL.
    Url(String),
    /// Its URL and what is special about it.
    Full(Box<FullEndpoint>),
}

/// One server and what is special about it.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FullEndpoint {
    /// The server, as `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`.
    pub(super) url: String,

    /// Where this server is reached instead of its own host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(super) addresses: Option<Vec<String>>,

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

    /// Who the caller is for this server, instead of the source's `auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auth: Option<AuthConfig>,
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

/// Where message types come from: exactly one of `file`, `base64`, `protos` and `reflection`.
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

    /// Asks the server for them when the pipeline starts, by gRPC server reflection (v1, else
    /// v1alpha). Of several endpoints the first that answers is asked; while none does, the start
    /// waits as `reconnect` says. What needs the types is checked then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) reflection: bool,

    /// Further descriptor sets, for types that the method does not name: what a
    /// `google.protobuf.Any` may hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) extra: Vec<PathBuf>,
}

/// TLS settings; all files are PEM. They are read when the pipeline file is, and a connection that
/// is made after they changed uses what they hold then. Files that cannot be used change nothing.
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
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http2Config {
    /// How many bytes the server may send ahead on the call. Left out: 4194304, or with more than
    /// 16 shards a shard's share of 67108864, but never less than 65535: so that many shards cannot
    /// fill the memory with what nobody has read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65_535, max = 2_147_483_647))]
    pub(super) stream_window_bytes: Option<u32>,

    /// How many bytes the server may send ahead on the connection; at least the stream's window.
    /// Left out: twice the stream's window.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65_535, max = 2_147_483_647))]
    pub(super) connection_window_bytes: Option<u32>,

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

    /// Attempts without a message in between after which the shard stops; 0: it stops when a call
    /// is lost. Left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(super) attempts_max: Option<u32>,

    /// Statuses that pass with this server, though by their meaning they speak of the request: the
    /// shard calls again. By default `INVALID_ARGUMENT`, `NOT_FOUND`, `FAILED_PRECONDITION`,
    /// `OUT_OF_RANGE` and `DATA_LOSS` stop it. What `resume.expired` matches counts before this.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub(super) also_after: Vec<StatusCode>,
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

// === defaults ===

mod defaults {
    pub(super) fn connect_timeout_ms() -> u64 {
        10_000
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

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            backoff_min_ms: 200,
            backoff_max_ms: 30_000,
            attempts_max: None,
            also_after: Vec::new(),
        }
    }
}

impl ReconnectConfig {
    /// Whether a status that the server sent is said to pass.
    pub(super) fn passes(&self, code: tonic::Code) -> bool {
        self.also_after.iter().any(|it| it.code() == code)
    }
}

// === impl Http2Config ===

/// How many bytes a server may send ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// On a call.
    pub(super) stream_bytes: u32,
    /// On its connection.
    pub(super) connection_bytes: u32,
}

impl Http2Config {
    /// The windows of each of `shards` calls.
    pub(super) fn windows(&self, shards: usize) -> Windows {
        let share = STREAM_WINDOWS_BYTES_MAX / u32::try_from(shards.max(1)).unwrap_or(u32::MAX);
        let share = share.clamp(STREAM_WINDOW_BYTES_MIN, STREAM_WINDOW_BYTES);
        // A stream cannot use more than its connection lets through.
        let share = share.min(self.connection_window_bytes.unwrap_or(WINDOW_BYTES_MAX));
        let stream_bytes = self.stream_window_bytes.unwrap_or(share);
        let connection_bytes =
            self.connection_window_bytes.unwrap_or_else(|| stream_bytes.saturating_mul(2));
        Windows { stream_bytes, connection_bytes: connection_bytes.min(WINDOW_BYTES_MAX) }
    }
}

// === impl Config ===

impl Config {
    /// The bound of a connection attempt.
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_shards_share_what_may_be_sent_ahead_and_a_given_window_stays() {
        let default = Http2Config::default();
        let stream_bytes = |shards| default.windows(shards).stream_bytes;
        assert_eq!(
            default.windows(1),
            Windows { stream_bytes: 4 << 20, connection_bytes: 8 << 20 }
        );
        assert_eq!([stream_bytes(16), stream_bytes(17)], [4 << 20, (64 << 20) / 17]);
        assert_eq!([stream_bytes(1_000), stream_bytes(100_000)], [67_108, 65_535]);
        let given = Http2Config { stream_window_bytes: Some(1 << 20), ..Http2Config::default() };
        let windows = Windows { stream_bytes: 1 << 20, connection_bytes: 2 << 20 };
        assert_eq!(given.windows(1_000), windows);
        let narrow =
            Http2Config { connection_window_bytes: Some(1 << 20), ..Http2Config::default() };
        let windows = Windows { stream_bytes: 1 << 20, connection_bytes: 1 << 20 };
        assert_eq!(narrow.windows(1), windows, "a window that is left out can fill");
    }
}
