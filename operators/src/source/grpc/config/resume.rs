//! What a pipeline file may say about how a gRPC source resumes: the cursor, the request that goes
//! on from it, and what the stream's order promises. What it may say of a cursor that is gone is in
//! `expired.rs`, of messages about the stream itself in `control.rs`.
//!
//! Next: `../check/resume.rs` makes a [`Resume`](crate::source::grpc::resume::Resume) of it.

use super::control::{DedupeConfig, HeartbeatsConfig, LossConfig};
use super::expired::ExpiredConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// How a new call goes on where the last one ended.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct ResumeConfig {
    /// By what a new call goes on.
    #[serde(default)]
    pub(in crate::source::grpc) mode: Mode,

    /// The cursor: named components, each taken from a field of the messages. `mode: cursor` needs
    /// at least one, the other modes have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::source::grpc) cursor: BTreeMap<String, ComponentConfig>,

    /// Where the server goes on when it is given a cursor.
    #[serde(default)]
    pub(in crate::source::grpc) position: PositionKind,

    /// With `position: at`: the field that identifies a message among those that share a cursor
    /// value. Left out: they are counted, which is right only if the server repeats them in the
    /// same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) id: Option<String>,

    /// Changes to the request of a call that has no cursor yet.
    #[serde(default)]
    pub(in crate::source::grpc) start: OverlayConfig,

    /// Changes to the request of a call that goes on from a cursor; `${cursor.NAME}` stands for a
    /// component's value.
    #[serde(default)]
    pub(in crate::source::grpc) restart: OverlayConfig,

    /// What to do when the server no longer has what follows the cursor.
    #[serde(default)]
    pub(in crate::source::grpc) expired: ExpiredConfig,

    /// Whether the first message of a new call is held against the cursor.
    #[serde(default)]
    pub(in crate::source::grpc) verify: Verify,

    /// After which messages a restart may begin.
    #[serde(default)]
    pub(in crate::source::grpc) boundary: BoundaryConfig,

    /// What is known of the cursor's values from message to message.
    #[serde(default)]
    pub(in crate::source::grpc) sequence: SequenceKind,

    /// What to do when `sequence` shows that messages are missing.
    #[serde(default)]
    pub(in crate::source::grpc) on_gap: OnGap,

    /// What to do with a message whose value is lower than one before it, against what `sequence`
    /// says, or that belongs to a group which ended without it. What a new call repeats is dropped
    /// in any case. Left out: `drop`; `stop` where groups may be mixed up (`boundary: { when }` and
    /// a cursor with an order, of which `sequence` says nothing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) on_out_of_order: Option<OnOutOfOrder>,

    /// Which messages only say that the stream lives, and how far it is; of several, the first that
    /// holds counts. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) heartbeat: Option<HeartbeatsConfig>,

    /// Which messages say that others were lost. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) loss: Option<LossConfig>,

    /// Tells messages that were taken before by a key of their own. Left out: only the cursor
    /// tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) dedupe: Option<DedupeConfig>,

    /// What the server does that no key here can say, and by which messages may be lost or come
    /// twice: the stream is then called `best_effort`, with these words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub(in crate::source::grpc) caveat: Option<String>,
}

/// By what a new call goes on where the last one ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum Mode {
    /// By a cursor that the messages bear and the request takes.
    #[default]
    Cursor,
    /// By what was acknowledged to the server, once it is committed. Needs a bidirectional method.
    Ack,
    /// By counting: the server sends its whole stream, the same messages in the same order, to each
    /// call, and as many as are already there are dropped.
    ReplayAll,
    /// Not at all: what the server sends while no call is open is lost, and reported as a gap.
    None,
}

/// One component of the cursor.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct ComponentConfig {
    /// The path of the field that holds it, for example `header.revision` or
    /// `events[-1].replay_id`; with `[]`, as in `events[].vgtid`, the last element that has it. Of
    /// several paths, the first one that is there. Also
    /// `@unknown:NUMBER`, a field that the descriptors do not know; `@metadata:KEY`, of the call's
    /// response headers; `@trailer:KEY`, of what the server sends when it ends the call with OK.
    pub(in crate::source::grpc) from: OneOrMany,

    /// What its values mean. Left out: numbers are `int`, timestamps `timestamp`, other messages
    /// `message`, texts and bytes `opaque`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) kind: Option<ComponentType>,

    /// Which of the values seen counts.
    #[serde(default)]
    pub(in crate::source::grpc) reduce: Reduce,
}

/// Which of the values that messages show of a component counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum Reduce {
    /// The last one.
    #[default]
    Last,
    /// The highest one: a message with a lower value does not set it back.
    Max,
}

/// One text or a list of them.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::source::grpc) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(#[schemars(length(min = 1, max = 64))] Vec<String>),
}

/// What a cursor component's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum ComponentType {
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
pub(in crate::source::grpc) enum PositionKind {
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
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum BoundaryConfig {
    /// After each.
    #[default]
    Message,
    /// Where the cursor has changed: messages that share a value stay together, and the last group
    /// is held back until the next one begins.
    Change,
    /// After those of which this predicate holds: what comes up to one of them stays together and
    /// is held back until it is there.
    When(String),
}

/// The same without the predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::grpc) enum Boundary {
    /// After each message.
    Message,
    /// Where the cursor has changed.
    Change,
    /// After a message that says so.
    When,
}

/// Whether the first message of a new call is held against the cursor it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum Verify {
    /// It must be the one that follows (`position: at`: one that bears the cursor). One that lies
    /// further on is a gap; one that lies before stops the shard.
    Strict,
    /// The server may go on earlier than asked: what is already there is dropped.
    #[default]
    SkipOverlap,
    /// Whatever a new call brings counts as new.
    Off,
}

/// What is known of the cursor's values from message to message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum SequenceKind {
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
pub(in crate::source::grpc) enum OnGap {
    /// Count it, log it and go on.
    #[default]
    Report,
    /// Stop the shard; the messages before the gap are delivered.
    Stop,
}

/// What to do with a message whose value is lower than one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum OnOutOfOrder {
    /// Take it for a repetition: drop it and count it.
    Drop,
    /// Send it, as received and with the reason, to the sink's `dead_letter.topic`.
    DeadLetter,
    /// Stop the shard; the messages before it are delivered.
    Stop,
}

/// Changes to the request.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct OverlayConfig {
    /// Fields to set, written like `request`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(in crate::source::grpc) set: Map<String, Json>,

    /// Fields to unset, by name or dotted path, before `set` applies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::source::grpc) clear: Vec<String>,

    /// Metadata of the call beside the source's own; the same key replaces it. Where there is a
    /// cursor, `${cursor.NAME}` in a value stands for a component's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::source::grpc) metadata: BTreeMap<String, String>,
}

impl BoundaryConfig {
    /// Without the predicate.
    pub(in crate::source::grpc) fn kind(&self) -> Boundary {
        match self {
            BoundaryConfig::Message => Boundary::Message,
            BoundaryConfig::Change => Boundary::Change,
            BoundaryConfig::When(_) => Boundary::When,
        }
    }
}

impl OneOrMany {
    /// All texts.
    pub(in crate::source::grpc) fn as_slice(&self) -> &[String] {
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
