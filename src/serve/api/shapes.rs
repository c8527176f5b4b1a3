//! The shapes of answers about pipelines.
//!
//! Their schemas are in the OpenAPI document; what stands beside a field here stands there too.

use super::limits::SHARDS_SHOWN_MAX;
use crate::graph::{carried, edges};
use crate::pipelines::Watched;
use crate::serve::document::Mistake;
use crate::serve::entry::{Accept, Content, Target};
use crate::serve::keeper::Present;
use crate::serve::manager::Standing;
use headwater_engine::spec::{Plan, PlanNode};
use headwater_operators::pipeline::guarantee::{StreamGuarantee, Weakness, streams};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a pipeline stands.
#[derive(Serialize, JsonSchema)]
pub(super) struct PipelineStatus {
    name: String,
    /// `RUNNING`, `PAUSED`, `STOPPED`, `FAILED`, `FINISHED` (its streams are complete), `ENDING`
    /// (it commits what it has received, and then something else comes), or `UNASSIGNED` (this
    /// instance does not lead, or the pipeline is about to start).
    state: &'static str,
    /// What is wanted.
    target_state: Target,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The version of the document, a number that grows.
    revision: i64,
    /// The version that runs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    running_revision: Option<i64>,
    /// When the document was written, milliseconds since 1970-01-01T00:00:00Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_unix_ms: Option<i64>,
    /// How it goes, if it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
}

/// How a pipeline that runs goes.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    /// As `/readyz` has it: `starting`, `connecting`, `running`, `degraded`, `recovering`,
    /// `draining`, `standby`, `stopped`.
    state: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether records flow, or will as soon as what is in their way has passed.
    ready: bool,
    /// How long it has been in this state.
    seconds: u64,
    /// Shards it has.
    shards: usize,
    /// Shards whose call is not open.
    shards_not_open: usize,
    /// Why, by shard, of some of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shards_why: BTreeMap<String, String>,
    /// Records made visible by this process.
    committed_records: u64,
    /// Bytes received and not yet durable.
    in_flight_bytes: i64,
    /// When the last commit was acknowledged, milliseconds since 1970-01-01T00:00:00Z; 0 before
    /// the first one.
    last_commit_unix_ms: i64,
}

/// A pipeline with its document.
#[derive(Serialize, JsonSchema)]
pub(super) struct PipelineInfo {
    #[serde(flatten)]
    status: PipelineStatus,
    /// The document as it was written, references unresolved; left out of a process that runs
    /// files.
    #[serde(skip_serializing_if = "String::is_empty")]
    document: String,
    /// What was said about positions of streams that are not what they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_change: Option<Accept>,
}

/// All pipelines.
#[derive(Serialize, JsonSchema)]
pub(super) struct PipelineList {
    pub(super) pipelines: Vec<PipelineStatus>,
}

/// A document without a mistake.
#[derive(Serialize, JsonSchema)]
pub(super) struct Validation {
    /// The pipeline's name, as the document says.
    pub(super) name: String,
    /// Sources whose types are asked of their servers when the pipeline starts; what depends on
    /// them was not checked.
    pub(super) asks_servers_for_types_of: Vec<String>,
    pub(super) warnings: Vec<Mistake>,
}

/// A pipeline's graph.
#[derive(Serialize, JsonSchema)]
pub(super) struct Graph {
    name: String,
    nodes: Vec<GraphNode>,
    edges: Vec<GraphEdge>,
}

/// A node of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct GraphNode {
    name: String,
    /// `source`, `decoder`, `transform` or `sink`.
    role: String,
    kind: String,
}

/// An edge of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct GraphEdge {
    from: String,
    to: String,
    /// The messages or the encoding that flow on it.
    carries: String,
}

/// What the streams of a pipeline are promised.
#[derive(Serialize, JsonSchema)]
pub(super) struct Guarantees {
    name: String,
    streams: Vec<Stream>,
}

/// One way from a source to a sink.
#[derive(Serialize, JsonSchema)]
pub(super) struct Stream {
    source: String,
    sink: String,
    /// `exactly_once` and weaker ones.
    guarantee: String,
    /// The fields that weaken it.
    weakened_by: Vec<Weakening>,
}

/// A field that weakens a promise, and what that costs.
#[derive(Serialize, JsonSchema)]
pub(super) struct Weakening {
    field: String,
    because: String,
}

impl PipelineStatus {
    pub(super) fn of(present: &Present) -> Self {
        let view = &present.view;
        let reason = match &view.standing {
            Standing::Failed(why) => Some(why.clone()),
            _ => None,
        };
        let known = match &view.config.content {
            Content::Known(known) => Some(known.at_unix_ms),
            Content::Unreadable(_) => None,
        };
        let is_running = matches!(view.standing, Standing::Running | Standing::Ending);
        PipelineStatus {
            name: view.name.to_string(),
            state: view.standing.word(),
            target_state: view.aim.target,
            reason,
            revision: view.config.revision,
            running_revision: view.running_revision,
            updated_unix_ms: known,
            health: present.watched.as_ref().filter(|_| is_running).map(Health::of),
        }
    }
}

impl Health {
    pub(super) fn of(watched: &Watched) -> Self {
        let report = watched.status.report();
        let metrics = &watched.metrics;
        let not_open = report.not_open.len();
        let why = report.not_open.into_iter().take(SHARDS_SHOWN_MAX);
        Health {
            state: report.state.name.as_str(),
            ready: report.state.is_ready(),
            reason: report.state.reason,
            seconds: report.lasted.as_secs(),
            shards: report.shards,
            shards_not_open: not_open,
            shards_why: why.map(|(shard, why)| (shard.0, why)).collect(),
            committed_records: metrics.committed_records.get(),
            in_flight_bytes: metrics.credit_used_bytes.get(),
            last_commit_unix_ms: (metrics.last_commit_unix_seconds.get() * 1_000.0) as i64,
        }
    }
}

impl PipelineInfo {
    pub(super) fn of(present: &Present) -> Self {
        let known = match &present.view.config.content {
            Content::Known(known) => Some(known),
            Content::Unreadable(_) => None,
        };
        PipelineInfo {
            status: PipelineStatus::of(present),
            document: known.map(|it| it.document.clone()).unwrap_or_default(),
            accept_change: known.and_then(|it| it.accept_change),
        }
    }
}

impl Graph {
    pub(super) fn of(plan: &Plan) -> Self {
        let node = |node: &PlanNode| GraphNode {
            name: node.name.clone(),
            role: node.role.noun().to_owned(),
            kind: node.kind.to_owned(),
        };
        let edge = |(from, to): (&PlanNode, &PlanNode)| GraphEdge {
            from: from.name.clone(),
            to: to.name.clone(),
            carries: carried(from),
        };
        Graph {
            name: plan.name().to_owned(),
            nodes: plan.nodes().iter().map(node).collect(),
            edges: edges(plan).map(edge).collect(),
        }
    }
}

impl Guarantees {
    pub(super) fn of(plan: &Plan) -> Self {
        let weakening = |it: Weakness| Weakening { field: it.field, because: it.because };
        let stream = |it: StreamGuarantee| Stream {
            source: it.source,
            sink: it.sink,
            guarantee: it.guarantee.to_string(),
            weakened_by: it.weakened_by.into_iter().map(weakening).collect(),
        };
        let streams = streams(plan).into_iter().map(stream).collect();
        Guarantees { name: plan.name().to_owned(), streams }
    }
}
