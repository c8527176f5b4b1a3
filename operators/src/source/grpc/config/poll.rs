//! What a pipeline file may say about calling a unary method again and again.
//!
//! Next: `../check/poll.rs` makes a [`PollPlan`](crate::source::grpc::poll::PollPlan) of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A unary method that is called again and again; each answer is a message, or holds messages.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct PollConfig {
    /// How long to wait between an answer and the next call, in milliseconds.
    #[serde(default = "interval_ms")]
    #[schemars(range(min = 10, max = 86_400_000))]
    pub(in crate::source::grpc) interval_ms: u64,

    /// How long an answer may take, in milliseconds; the server is told so. A server that answers
    /// when there is something new may let it run out: that counts as nothing new.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub(in crate::source::grpc) timeout_ms: u64,

    /// The path of a list of messages in the answer, for example `history.events`; each element is
    /// a message of its own. Left out: the answer is the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) items: Option<String>,

    /// The path of a field of the answer; while it is set (a text that is not empty, a number that
    /// is not 0, true), the next call follows at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) more: Option<String>,

    /// Lists that come in pages. The token is forgotten behind the last page and over a restart;
    /// one that a restart is to go on from belongs in `resume.cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) page: Option<PageConfig>,

    /// Whether an answer that is the same as the last one is passed over. After a restart the first
    /// one is passed on.
    #[serde(default)]
    pub(in crate::source::grpc) skip_unchanged: bool,

    /// With `resume`: what an answer means that has messages and no cursor.
    #[serde(default)]
    pub(in crate::source::grpc) without_cursor: WithoutCursor,
}

/// How the next page is asked for.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct PageConfig {
    /// The path of the answer's field that holds the token of the next page, for example
    /// `next_page_token`; behind the last page it is empty.
    pub(in crate::source::grpc) from: String,

    /// The request's field that takes it, by name or dotted path, for example `page_token`.
    pub(in crate::source::grpc) set: String,
}

/// What an answer means that has messages and no cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum WithoutCursor {
    /// A mistake: nobody could say where a restart goes on. The shard stops; what came before is
    /// delivered.
    #[default]
    Stop,
    /// The last page so far: it is asked for again, and as many of its messages as were taken are
    /// dropped. Right only if the server lists them in the same order and adds at the end.
    LastPage,
}

fn interval_ms() -> u64 {
    1_000
}

fn timeout_ms() -> u64 {
    60_000
}
