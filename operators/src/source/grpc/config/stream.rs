//! What a pipeline file may say about the request stream of a bidirectional method: what follows
//! the request, and what the messages of the server are answered with.
//!
//! Next: `../check/stream.rs` makes a [`StreamPlan`](crate::source::grpc::outgoing::StreamPlan).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// What is said on the request stream of a bidirectional method after the request itself. The
/// request stream stays open as long as the call.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct StreamConfig {
    /// Messages to send right behind the request, in this order, at each call; written like
    /// `request`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub(in crate::source::grpc) open: Vec<Map<String, Json>>,

    /// Answers to messages of the server, such as its pings. They are given at once, also while the
    /// sink is slow, as far as messages are read then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub(in crate::source::grpc) reply: Vec<ReplyConfig>,

    /// Tells the server how much it may send: it sends no more than that, and is given more as the
    /// pipeline takes what came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) credit: Option<CreditConfig>,

    /// Tells the server which messages are committed, so that it does not send them again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) ack: Option<AckConfig>,
}

/// An answer to some of the server's messages.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct ReplyConfig {
    /// Which messages are answered, as a predicate, for example `has(ping)`.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) when: String,

    /// The answer, written like `request`; `${message.PATH}` stands for a value of the message.
    #[serde(default)]
    pub(in crate::source::grpc) send: Map<String, Json>,
}

/// How much the server may send.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct CreditConfig {
    /// The field of the request that bears how much more the server may send, by name or dotted
    /// path; an integer.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) field: String,

    /// How much the server may have been allowed and not yet have sent.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::source::grpc) window: u32,

    /// What counts as one: each element of this list of a message, for example `events[]`. Left
    /// out: each message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) count: Option<String>,

    /// Where the first of it goes.
    #[serde(default)]
    pub(in crate::source::grpc) first: FirstCredit,

    /// What else a message says that allows more; written like `request`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(in crate::source::grpc) set: Map<String, Json>,
}

/// Where the first credit of a call goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum FirstCredit {
    /// Into the request itself.
    #[default]
    Request,
    /// Into a message of its own, behind those of `open`.
    Message,
}

/// How messages are acknowledged once they are committed.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct AckConfig {
    /// The field of the request that bears what is acknowledged, by name or dotted path. A list
    /// takes many at once, any other field one per request.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) field: String,

    /// What identifies a message to the server; `[]` stands for each element of a list, for example
    /// `received_messages[].ack_id`.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) from: String,

    /// Which of what is committed is acknowledged.
    #[serde(default)]
    pub(in crate::source::grpc) take: AckTake,

    /// How many one request bears at most, where its field is a list.
    #[serde(default = "batch_max")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::source::grpc) batch_max: u32,

    /// What the server says in one call may be acknowledged in the next one. If not, what a lost
    /// call leaves unacknowledged is left to the server to send again.
    #[serde(default = "across_calls")]
    pub(in crate::source::grpc) across_calls: bool,

    /// What else a request says that acknowledges; written like `request`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(in crate::source::grpc) set: Map<String, Json>,

    /// Asks the server for more time for what is received and not yet committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) extend: Option<ExtendConfig>,
}

/// Which of what is committed is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum AckTake {
    /// Each.
    #[default]
    Each,
    /// The newest: the server takes it for all before it.
    Newest,
}

/// How the server is asked for more time.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct ExtendConfig {
    /// The list of the request that bears what more time is asked for, by name or dotted path.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) field: String,

    /// The field of the request that bears how much time, in seconds from then on. A list bears it
    /// once for each that it is asked for.
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) seconds_field: String,

    /// How much time is asked for, in seconds.
    #[schemars(range(min = 2, max = 86_400))]
    pub(in crate::source::grpc) seconds: u32,

    /// How often, in milliseconds; well below the time that is asked for.
    #[schemars(range(min = 100, max = 43_200_000))]
    pub(in crate::source::grpc) interval_ms: u64,

    /// What else such a request says; written like `request`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(in crate::source::grpc) set: Map<String, Json>,
}

fn batch_max() -> u32 {
    1000
}

fn across_calls() -> bool {
    true
}
