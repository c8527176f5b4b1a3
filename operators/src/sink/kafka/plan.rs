//! What a Kafka outlet is made of: the pipeline's sinks and shards, and what this process knows of
//! its own ownership.
//!
//! Invariant: a [`HeldGeneration`] is never taken back by an attempt that failed; only who starts
//! anew releases it.
//!
//! Next: `acquire.rs` takes the pipeline over, `outlet.rs` fills its transactions.

use crate::sink::kafka::KafkaSink;
use crate::sink::kafka::written::WrittenTopics;
use headwater_engine::ids::Generation;
pub use headwater_engine::shards::ShardEntry;
use headwater_engine::shards::ShardTable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A Kafka sink in its pipeline.
#[derive(Clone, Debug)]
pub struct SinkEntry {
    /// Its name in the pipeline file.
    pub node: String,
    /// The checked sink.
    pub sink: KafkaSink,
    /// The column that holds its keys.
    pub key_column: Option<usize>,
    /// The column that holds its timestamps.
    pub timestamp_column: Option<usize>,
    /// Its headers that have the value of a column.
    pub header_columns: Vec<(String, usize)>,
    /// The column that names topics.
    pub route_column: Option<usize>,
    /// The decoders whose dead letters it writes.
    pub dead_letters_of: Vec<String>,
    /// The sources whose gaps it writes.
    pub gaps_of: Vec<String>,
}

/// Everything a Kafka outlet is made of.
#[derive(Clone, Debug)]
pub struct OutletPlan {
    /// The pipeline's name.
    pub pipeline: String,
    /// This process.
    pub instance: String,
    /// All Kafka sinks, in the order of the pipeline file.
    pub sinks: Vec<SinkEntry>,
    /// What a `ShardIndex` means. At the start it holds the shards that the file names; those of a
    /// list that changes enter it when they join.
    pub shards: ShardTable,
    /// The generation this process holds or held.
    pub held: HeldGeneration,
    /// How many transactional producers take turns.
    pub ring: u32,
    /// The largest message that a source hands over.
    pub message_bytes_max: usize,
    /// Whether a pipeline without any progress is refused.
    pub needs_progress: bool,
    /// What to do with the position of a shard whose source has changed, instead of refusing it.
    pub accept_change: Option<AcceptChange>,
    /// Who hears of the topics that are written to, if anybody wants to.
    pub written: Option<WrittenTopics>,
}

/// What to do with the stored position of a shard whose source is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptChange {
    /// Go on from it: it still means the same place.
    Resume,
    /// Forget it: the shard starts as if for the first time.
    Reset,
}

/// The generation that a process holds or held of a pipeline, and the highest it ever claimed; 0
/// before the first. It outlives an attempt, so that a pipeline which is built anew notices that
/// somebody else took it meanwhile, and claims no generation twice.
#[derive(Clone, Debug, Default)]
pub struct HeldGeneration(Arc<Generations>);

#[derive(Debug, Default)]
struct Generations {
    held: AtomicU64,
    claimed: AtomicU64,
}

impl HeldGeneration {
    /// As for a new start: nothing is held, and what was claimed stays known.
    #[must_use]
    pub fn released(&self) -> Self {
        let claimed = AtomicU64::new(self.claimed().0);
        HeldGeneration(Arc::new(Generations { held: AtomicU64::new(0), claimed }))
    }

    pub(super) fn get(&self) -> Option<Generation> {
        let generation = self.0.held.load(Ordering::Acquire);
        (generation > 0).then_some(Generation(generation))
    }

    pub(super) fn claimed(&self) -> Generation {
        Generation(self.0.claimed.load(Ordering::Acquire))
    }

    /// This generation is about to be claimed.
    pub(super) fn claim(&self, generation: Generation) {
        self.0.claimed.fetch_max(generation.0, Ordering::AcqRel);
    }

    pub(super) fn set(&self, generation: Generation) {
        self.0.held.store(generation.0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lost_the_pipeline_knows_what_it_claimed() {
        let held = HeldGeneration::default();
        assert_eq!((held.get(), held.claimed()), (None, Generation(0)));
        held.claim(Generation(3));
        held.claim(Generation(2));
        held.set(Generation(3));
        assert_eq!(held.clone().get(), Some(Generation(3)));
        let anew = held.released();
        assert_eq!((anew.get(), anew.claimed()), (None, Generation(3)));
    }
}
