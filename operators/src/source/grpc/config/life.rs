//! What a pipeline file may say about the life of a call on a real network: how long it may be
//! silent, how long it may last, how messages are packed, and which of several addresses serves it.
//!
//! Next: `../check/reach.rs` reads what needs a look at other keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a call may last.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct CallConfig {
    /// How long a call may last, in milliseconds; the server is told (`grpc-timeout`). A call that
    /// has lasted so long has failed, and another one follows after a wait. Left out: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 2_592_000_000_u64))]
    pub(in crate::source::grpc) deadline_ms: Option<u64>,

    /// After how long a call is ended as planned and another one opened, in milliseconds, give or
    /// take a tenth of it by chance. It ends between two messages, nothing has failed, and the next
    /// one follows without a wait, on a connection of its own. Needs `resume`, else what is sent in
    /// between is lost. Left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 2_592_000_000_u64))]
    pub(in crate::source::grpc) reopen_after_ms: Option<u64>,
}

/// How messages are packed on the wire.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct CompressionConfig {
    /// What the server may pack its messages with, the best first. It need not pack them.
    /// `message_bytes_max` is that of the unpacked message. An empty list: nothing.
    #[schemars(length(max = 2))]
    pub(in crate::source::grpc) accept: Vec<Packing>,

    /// What requests are packed with. The server must understand it.
    pub(in crate::source::grpc) request: RequestPacking,
}

/// A way to pack messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum Packing {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// A way to pack requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum RequestPacking {
    /// As they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Which address of several a call goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum Balance {
    /// The first one that connects, in the order given.
    #[default]
    PickFirst,
    /// The first one that connects, in an order that each shard draws by chance when it starts.
    Random,
    /// Shards begin at one address after the other, and each call of a shard goes to the next.
    RoundRobin,
}

/// Asks a server whether it is well before a call goes to it.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct HealthConfig {
    /// The service to ask about. Left out: the server as a whole.
    pub(in crate::source::grpc) service: String,

    /// How long the answer may take, in milliseconds.
    #[schemars(range(min = 100, max = 600_000))]
    pub(in crate::source::grpc) timeout_ms: u64,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self { accept: vec![Packing::Zstd, Packing::Gzip], request: RequestPacking::None }
    }
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { service: String::new(), timeout_ms: 5_000 }
    }
}

impl CallConfig {
    pub(in crate::source::grpc) fn deadline(&self) -> Option<Duration> {
        self.deadline_ms.map(Duration::from_millis)
    }

    pub(in crate::source::grpc) fn reopen_after(&self) -> Option<Duration> {
        self.reopen_after_ms.map(Duration::from_millis)
    }
}
