//! What a pipeline file may say of a cursor that is gone: how the server says so, and where the
//! stream goes on then.
//!
//! Next: `../expired.rs` judges by it.

use super::resume::OverlayConfig;
use crate::limits::EXPIRED_ATTEMPTS;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// What to do when the server no longer has what follows the cursor.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct ExpiredConfig {
    /// How the server says so; any of these does. A status counts if the call was given a cursor
    /// and brought no new message, one of `when` counts in any call.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 32))]
    pub(in crate::source::grpc) matches: Vec<ExpiredMatch>,

    /// Where the stream goes on then. All but `fail` report a gap.
    pub(in crate::source::grpc) action: ExpiredAction,

    /// Changes to the request of the call that goes on. Left out: those of `start` for `earliest`,
    /// those of `restart` for `from` and `unary`; `latest` needs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) restart: Option<OverlayConfig>,

    /// How many cursors in a row may be gone before the shard stops: more show that the server
    /// refuses every cursor it gives. A call that goes on from a cursor, or lasts a minute, ends
    /// the row.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::source::grpc) max_attempts: u32,
}

/// One way in which a server says that a cursor is gone; what is given must all be so.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::source::grpc) struct ExpiredMatch {
    /// It ends the call with this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::source::grpc) code: Option<StatusCode>,

    /// It ends the call with this trailer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) trailer: Option<String>,

    /// The trailer's value, or without `trailer` the status' text, is like this; `*` stands for any
    /// text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) like: Option<String>,

    /// It sends a message of which this predicate holds. The message is not passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::source::grpc) when: Option<String>,
}

/// Where the stream goes on when a cursor is gone.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::grpc) enum ExpiredAction {
    /// Nowhere: the shard stops, because where to go on is a person's decision.
    #[default]
    Fail,
    /// As at the very first start. Whatever the server then sends counts as new.
    Earliest,
    /// Where the request that `expired.restart` makes begins. Whatever the server then sends counts
    /// as new.
    Latest,
    /// At the value of this field of the message that `when` has found; it takes the cursor's place
    /// as it is.
    From(String),
    /// At a value that another method of the server gives; it takes the cursor's place as it is.
    Unary(UnaryConfig),
}

/// A call that says where to go on.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::source::grpc) struct UnaryConfig {
    /// The method, as `package.Service/Method`. It must be unary.
    #[schemars(length(min = 3))]
    pub(in crate::source::grpc) method: String,

    /// Its request, written like `request`. Left out: an empty message.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(in crate::source::grpc) request: Map<String, Json>,

    /// The path of the field of its answer that holds the value.
    pub(in crate::source::grpc) path: String,
}

/// A status by which a server may say that a cursor is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in crate::source::grpc) enum StatusCode {
    /// Anything the server did not sort.
    Unknown,
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

impl Default for ExpiredConfig {
    fn default() -> Self {
        let of = |code| ExpiredMatch { code: Some(code), ..ExpiredMatch::default() };
        ExpiredConfig {
            matches: vec![of(StatusCode::OutOfRange), of(StatusCode::NotFound)],
            action: ExpiredAction::default(),
            restart: None,
            max_attempts: EXPIRED_ATTEMPTS,
        }
    }
}
