//! What a pipeline file may say of messages that are about the stream itself: heartbeats, news of a
//! loss, and the key by which a message that was taken before is known again.
//!
//! Next: `../check/control.rs` compiles the predicates.

use super::resume::OneOrMany;
use crate::limits::{DEDUPE_WINDOW, DEDUPE_WINDOW_MAX};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One sort of messages that only say that the stream lives, or a list of them.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::source::grpc) enum HeartbeatsConfig {
    /// One.
    One(HeartbeatConfig),
    /// Several.
    Many(#[schemars(length(min = 1, max = 16))] Vec<HeartbeatConfig>),
}

/// Messages that only say that the stream lives.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct HeartbeatConfig {
    /// The predicate that holds of them.
    pub(in crate::source::grpc) when: String,

    /// Whether they are passed on like other messages.
    #[serde(default)]
    pub(in crate::source::grpc) emit: bool,

    /// Whether the cursor that one bears counts: a restart then begins behind it. Right only if the
    /// server sends it when everything before it was sent.
    #[serde(default = "yes")]
    pub(in crate::source::grpc) advance: bool,
}

/// Messages that say that others were lost.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct LossConfig {
    /// The predicate that holds of them.
    pub(in crate::source::grpc) when: String,

    /// The path of the field that says how many were lost. Left out: that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) messages: Option<String>,

    /// What to do.
    #[serde(default)]
    pub(in crate::source::grpc) action: OnLoss,
}

/// What to do with a message that says that others were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum OnLoss {
    /// Report a gap and pass it on like other messages.
    Count,
    /// Report a gap and send the message, as received and with the reason, to the sink's
    /// `dead_letter.topic`.
    DeadLetter,
    /// Stop the shard; the messages before it are delivered.
    #[default]
    Fail,
}

/// The key by which a message that was taken before is known again.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct DedupeConfig {
    /// The path of the field that identifies a message, several that do so together, or
    /// `@payload`: the whole message. One that lacks all of them is identified as a whole.
    pub(in crate::source::grpc) key: OneOrMany,

    /// How many of the newest messages are remembered. Each takes 22 bytes of the shard's progress
    /// record.
    #[serde(default = "window")]
    #[schemars(range(min = 1, max = 32_768))]
    pub(in crate::source::grpc) window: usize,

    /// Whose messages are known again.
    #[serde(default)]
    pub(in crate::source::grpc) scope: DedupeScope,
}

/// Whose messages are known again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum DedupeScope {
    /// Those of the shard itself.
    #[default]
    Shard,
    /// Those of all endpoints: they deliver the same feed, and of messages with one key the first
    /// to arrive is passed on. Each endpoint has a cursor of its own, so none is relied upon. One
    /// that is further behind than the window delivers a second copy.
    Upstreams,
}

impl HeartbeatsConfig {
    /// All of them.
    pub(in crate::source::grpc) fn as_slice(&self) -> &[HeartbeatConfig] {
        match self {
            HeartbeatsConfig::One(one) => std::slice::from_ref(one),
            HeartbeatsConfig::Many(several) => several,
        }
    }
}

fn yes() -> bool {
    true
}

fn window() -> usize {
    DEDUPE_WINDOW
}

const _: () = assert!(DEDUPE_WINDOW_MAX == 32_768, "the schema says so");
