//! Where an epoch leaves each shard.
//!
//! Next: the outlet writes what this returns as progress records.

use crate::commit::outlet::ShardPosition;
use crate::ids::{ShardIndex, SinkIndex};
use crate::position::Position;
use crate::record::{Batch, DeadLetter};
use std::collections::{BTreeMap, BTreeSet};

/// The newest position of each shard, and what the epoch makes visible of it. A batch that several
/// sinks read comes once per sink; its records count for each, its dead letters once.
pub(super) fn positions(kept: &[(SinkIndex, Batch)]) -> Vec<ShardPosition> {
    let mut newest: BTreeMap<ShardIndex, ShardPosition> = BTreeMap::new();
    let mut dead = BTreeSet::new();
    for (_, batch) in kept {
        let Some(position) = &batch.position else {
            continue;
        };
        let entry = newest.entry(batch.shard).or_insert_with(|| ShardPosition {
            shard: batch.shard,
            position: position.clone(),
            records: 0,
            dead_letters: 0,
        });
        let order = |position: &Position| (position.session, position.next_sequence);
        if order(position) > order(&entry.position) {
            entry.position = position.clone();
        }
        entry.records += batch.len() as u64;
        let is_new = |letter: &&DeadLetter| {
            dead.insert((batch.shard, batch.session, letter.sequence, letter.node.clone()))
        };
        entry.dead_letters += batch.dead.iter().filter(is_new).count() as u64;
    }
    newest.into_values().collect()
}
