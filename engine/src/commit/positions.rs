//! Where an epoch leaves each shard.
//!
//! Next: the outlet writes what this returns as progress records.

use crate::commit::outlet::ShardPosition;
use crate::ids::{ShardIndex, SinkIndex};
use crate::position::Position;
use crate::record::{Batch, DeadLetter};
use std::collections::{BTreeMap, BTreeSet};

/// The newest position of each shard, and what the epoch makes visible of it. A batch that several
/// sinks read comes once per sink; its records count for each, its dead letters once. Records that
/// the outlet has `set_aside` became dead letters on the way.
pub(super) fn positions(
    kept: &[(SinkIndex, Batch)],
    set_aside: &BTreeMap<ShardIndex, u64>,
) -> Vec<ShardPosition> {
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
    for (shard, records) in set_aside {
        if let Some(entry) = newest.get_mut(shard) {
            entry.records = entry.records.saturating_sub(*records);
            entry.dead_letters += records;
        }
    }
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Sequence, Session};
    use crate::record::{ReceivedAt, Values};
    use bytes::Bytes;
    use std::sync::Arc;

    fn batch(shard: u32, next_sequence: u64, records: usize) -> Batch {
        let session = Session(1);
        let next_sequence = Sequence(next_sequence);
        let position = Position { session, next_sequence, ..Position::default() };
        Batch {
            shard: ShardIndex(shard),
            session,
            first: Sequence(0),
            end: next_sequence,
            received: ReceivedAt::default(),
            kept: None,
            values: Values::Received(Arc::new(vec![Bytes::new(); records])),
            columns: Vec::new(),
            gaps: Vec::new(),
            dead: Vec::new(),
            position: Some(Arc::new(position)),
            credit_bytes: 0,
        }
    }

    #[test]
    fn a_record_that_was_set_aside_counts_as_a_dead_letter_of_its_shard() {
        let sink = SinkIndex(0);
        let kept = [(sink, batch(0, 3, 3)), (sink, batch(1, 2, 2)), (sink, batch(0, 5, 2))];
        let counts = |set_aside: &[(ShardIndex, u64)]| {
            let moved = positions(&kept, &set_aside.iter().copied().collect());
            moved.iter().map(|it| (it.records, it.dead_letters)).collect::<Vec<_>>()
        };
        assert_eq!(counts(&[]), [(5, 0), (2, 0)]);
        assert_eq!(counts(&[(ShardIndex(0), 2)]), [(3, 2), (2, 0)]);
    }
}
