//! The shapes of answers about connectors, as Kafka Connect has them.

use crate::serve::entry::Object;
use schemars::JsonSchema;
use serde::Serialize;

/// A connector with its configuration.
#[derive(Serialize, JsonSchema)]
pub(super) struct ConnectorInfo {
    pub(super) name: String,
    /// The configuration as it was put, references unresolved.
    pub(super) config: Object,
    pub(super) tasks: Vec<TaskId>,
    /// `source`.
    #[serde(rename = "type")]
    pub(super) role: &'static str,
}

/// Which task it is.
#[derive(Serialize, JsonSchema)]
pub(super) struct TaskId {
    pub(super) connector: String,
    pub(super) task: u32,
}

/// A task with its configuration.
#[derive(Serialize, JsonSchema)]
pub(super) struct TaskInfo {
    pub(super) id: TaskId,
    pub(super) config: Object,
}

/// How a connector stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct ConnectorStatus {
    pub(super) name: String,
    pub(super) connector: State,
    pub(super) tasks: Vec<TaskStatus>,
    /// `source`.
    #[serde(rename = "type")]
    pub(super) role: &'static str,
}

/// How a task stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct TaskStatus {
    pub(super) id: u32,
    #[serde(flatten)]
    pub(super) state: State,
}

/// A state, and where it is so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct State {
    /// `RUNNING`, `PAUSED`, `STOPPED` (connectors only), `FAILED`, `RESTARTING` or `UNASSIGNED`.
    pub(super) state: &'static str,
    /// `host:port` of the instance that runs it.
    pub(super) worker_id: String,
    /// Of the connector's class.
    pub(super) version: String,
    /// What has failed, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
}

/// What an operation did, in words.
#[derive(Serialize, JsonSchema)]
pub(super) struct Message {
    pub(super) message: &'static str,
}

/// The one kind of connector that there is.
pub(super) const SOURCE: &str = "source";
