//! Where the durable progress of each shard is shown, by its index.
//!
//! Why apart from the shard table: who commits asks this once per shard and epoch, and a shard that
//! has left is shown no more although its last epoch is still to be committed.
//!
//! Next: `commits.rs` asks it.

use crate::source::link::Link;
use crate::telemetry::PlaceMetrics;
use headwater_engine::ids::ShardIndex;
use headwater_engine::position::Position;
use std::sync::{Arc, RwLock};

/// The roster; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Roster(Arc<RwLock<Vec<Option<CommittedShard>>>>);

/// Where a shard's durable progress is shown.
pub(super) struct CommittedShard {
    pub(super) link: Link,
    pub(super) place: PlaceMetrics,
}

impl Roster {
    /// The shard of `index` is shown here from now on, as being at `position` if that is known.
    pub(super) fn enter(
        &self,
        index: ShardIndex,
        shard: CommittedShard,
        position: Option<&Position>,
    ) {
        if let Some(position) = position {
            shard.moved(position);
        }
        let mut shards = self.0.write().expect("no code panics while it holds the roster");
        let place = index.0 as usize;
        if shards.len() <= place {
            shards.resize_with(place + 1, || None);
        }
        shards[place] = Some(shard);
    }

    /// The shard of `index` has left.
    pub(super) fn retire(&self, index: ShardIndex) {
        let mut shards = self.0.write().expect("no code panics while it holds the roster");
        shards[index.0 as usize] = None;
    }

    /// The shard of `index` is durable up to `position`.
    pub(super) fn moved(&self, index: ShardIndex, position: &Position) {
        let shards = self.0.read().expect("no code panics while it holds the roster");
        if let Some(Some(shard)) = shards.get(index.0 as usize) {
            shard.moved(position);
        }
    }
}

impl CommittedShard {
    fn moved(&self, position: &Position) {
        self.link.committed(position);
        self.place.set(position);
    }
}
