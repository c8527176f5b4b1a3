//! What a pipeline file says about the pipeline as a whole, next to its nodes.
//!
//! Serde reads these types, schemars derives the published schema from them, and the reference
//! is printed from that schema: a key is documented here and nowhere else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the whole pipeline. Every key may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How many timely workers (threads) run the pipeline. Left out: one per core.
    #[schemars(range(min = 1, max = 256))]
    pub workers: Option<u16>,

    /// When records are committed.
    pub commit: CommitSettings,

    /// How much the pipeline may hold in memory.
    pub memory: MemorySettings,

    /// How several instances of the pipeline take turns.
    pub takeover: TakeoverSettings,

    /// The guarantee every stream of the pipeline must reach. The pipeline is refused at load
    /// if one of them cannot. Left out: each stream runs with the guarantee it can reach.
    pub require: Option<Requirement>,
}

/// When an epoch, the unit of commit, ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CommitSettings {
    /// How long an epoch stays open after its first record, in milliseconds. Shorter means
    /// lower latency, longer means fewer transactions. With `delivery: at_least_once` records are
    /// visible at once, whatever the interval; there a longer one repeats more after a crash.
    #[schemars(range(min = 1, max = 60_000))]
    pub interval_ms: u64,

    /// An epoch that has received this many bytes ends before its interval is over.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub epoch_bytes_max: u64,

    /// How many transactional producers take turns. With one, the next transaction waits until
    /// the broker has finished the last; with two or more it opens while the last is being
    /// committed. Without effect for `delivery: at_least_once`.
    #[schemars(range(min = 1, max = 8))]
    pub ring: u32,

    /// What to do if Kafka holds no progress of this pipeline: `fresh` starts every source as if
    /// for the first time, `fail` refuses to. Once a pipeline has run, `fail` protects against a
    /// progress topic that was deleted or renamed.
    pub on_progress_missing: ProgressMissing,
}

/// What to do if Kafka holds no progress of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressMissing {
    /// Start every source as if for the first time.
    Fresh,
    /// Refuse to start.
    Fail,
}

/// How several instances of a pipeline take turns. The one that started last runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TakeoverSettings {
    /// What an instance does when a newer one has taken the pipeline over: `standby` closes its
    /// calls and takes over again when the newer one falls silent, `exit` ends the pipeline with
    /// exit code 76.
    pub when_superseded: WhenSuperseded,

    /// How often an instance that has nothing to commit shows that it lives, in milliseconds.
    #[schemars(range(min = 100, max = 60_000))]
    pub heartbeat_ms: u64,

    /// After how long a silence of the running instance one that stands by takes over, in
    /// milliseconds. At least three times `heartbeat_ms`.
    #[schemars(range(min = 300, max = 3_600_000))]
    pub after_ms: u64,
}

/// What an instance does when a newer one has taken the pipeline over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenSuperseded {
    /// Stand by, and take over when the newer instance falls silent.
    Standby,
    /// End the pipeline.
    Exit,
}

/// How much the pipeline may hold in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySettings {
    /// Bytes received but not yet committed, over all sources. At this many the readers stop,
    /// and HTTP/2 flow control slows the servers; nothing is dropped.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub credit_bytes: u64,
}

/// What a pipeline may demand of its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// Every message is in the sink once: resumable source, transactional sink.
    ExactlyOnce,
}

impl Default for CommitSettings {
    fn default() -> Self {
        Self {
            interval_ms: 50,
            epoch_bytes_max: 4 * 1024 * 1024,
            ring: 2,
            on_progress_missing: ProgressMissing::Fresh,
        }
    }
}

impl Default for TakeoverSettings {
    fn default() -> Self {
        Self { when_superseded: WhenSuperseded::Standby, heartbeat_ms: 3_000, after_ms: 15_000 }
    }
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { credit_bytes: 12 * 1024 * 1024 }
    }
}
