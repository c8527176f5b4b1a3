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

    /// The guarantee every stream of the pipeline must reach. The pipeline is refused at load
    /// if one of them cannot. Left out: each stream runs with the guarantee it can reach.
    pub require: Option<Requirement>,
}

/// When an epoch, the unit of commit, ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CommitSettings {
    /// How long an epoch stays open after its first record, in milliseconds. Shorter means
    /// lower latency, longer means fewer transactions.
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
        Self { interval_ms: 50, epoch_bytes_max: 16 * 1024 * 1024, ring: 2 }
    }
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { credit_bytes: 20 * 1024 * 1024 }
    }
}
