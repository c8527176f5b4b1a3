//! A judge that knows of each shard only where it stands, for a reader that looks on all the while.
//!
//! All records of a shard are in one partition, so each number must be one more than the last: a
//! smaller one is a duplicate, or an aborted copy that became visible; a larger one is a loss. The
//! fingerprint is over every (partition, offset, number): of two readers of the same records both
//! have the same, so what was shown once and is gone later is found.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use rdkafka::message::{BorrowedMessage, Message};

use super::identity;

/// What was seen of a topic so far.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    /// The last number of each shard.
    pub last: BTreeMap<String, u64>,
    /// How many records there were.
    pub records: u64,
    /// Of which records; the order does not matter.
    pub fingerprint: u64,
    /// What was wrong, as far as it is kept.
    pub violations: Vec<String>,
}

const VIOLATIONS_KEPT_MAX: usize = 20;

impl Follower {
    /// Takes the next record of a topic; of each partition they come in offset order.
    pub fn take(&mut self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        match identity(message) {
            Ok((shard, number)) => self.observe(&shard, partition, offset, number),
            Err(error) => self.violation(format!("{partition}@{offset}: {error:#}")),
        }
    }

    /// The same, of a record that is already known.
    pub fn observe(&mut self, shard: &str, partition: i32, offset: i64, number: u64) {
        let mut hasher = DefaultHasher::new();
        (partition, offset, number).hash(&mut hasher);
        self.fingerprint = self.fingerprint.wrapping_add(hasher.finish());
        self.records += 1;
        if !self.last.contains_key(shard) {
            self.last.insert(shard.to_owned(), 0);
        }
        let last = self.last.get_mut(shard).expect("the shard was just entered");
        let was = *last;
        *last = number.max(was);
        if number != was + 1 {
            self.violation(format!("{shard}: {number} after {was} at {partition}@{offset}"));
        }
    }

    fn violation(&mut self, text: String) {
        if self.violations.len() < VIOLATIONS_KEPT_MAX {
            self.violations.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two shards of a partition, in turns.
    fn follow(numbers: &[u64]) -> Follower {
        let mut follower = Follower::default();
        for (offset, number) in numbers.iter().enumerate() {
            let offset = 2 * offset as i64;
            follower.observe("a", 0, offset, *number);
            follower.observe("b", 0, offset + 1, offset as u64 / 2 + 1);
        }
        follower
    }

    #[test]
    fn numbers_without_a_gap_are_right() {
        let follower = follow(&[1, 2, 3]);
        assert_eq!(follower.violations, [""; 0]);
        assert_eq!((follower.records, follower.last["a"], follower.last["b"]), (6, 3, 3));
    }

    #[test]
    fn a_loss_a_duplicate_and_a_swap_are_found() {
        for (numbers, word) in [
            (&[2][..], "a: 2 after 0 at 0@0"),
            (&[1, 3], "a: 3 after 1 at 0@2"),
            (&[1, 2, 2], "a: 2 after 2 at 0@4"),
            (&[1, 2, 3, 2], "a: 2 after 3 at 0@6"),
            (&[1, 3, 2, 4], "a: 3 after 1 at 0@2"),
        ] {
            assert_eq!(follow(numbers).violations[0], word, "{numbers:?}");
        }
    }

    #[test]
    fn the_fingerprint_tells_other_records_and_not_another_order() {
        let mut other = Follower::default();
        for (shard, offset, number) in [("a", 0, 1), ("a", 2, 2), ("b", 1, 1), ("b", 3, 2)] {
            other.observe(shard, 0, offset, number);
        }
        assert_eq!(other.fingerprint, follow(&[1, 2]).fingerprint);
        let mut moved = Follower::default();
        for (shard, offset, number) in [("a", 0, 1), ("a", 2, 2), ("b", 1, 1), ("b", 4, 2)] {
            moved.observe(shard, 0, offset, number);
        }
        assert_ne!(moved.fingerprint, other.fingerprint, "at another offset: a copy");
    }
}
