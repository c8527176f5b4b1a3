//! The judge of exactly once: every number of a range once, in order per shard and partition.
//!
//! It must turn red on each fault alone: one record missing, one twice, two swapped. A checker
//! that cannot fail proves nothing, so its own tests come first.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeInclusive;

/// Judges what a reader saw, record by record.
#[derive(Debug)]
pub struct Sequences {
    shards: BTreeMap<String, Shard>,
    /// The last sequence of each shard in each partition.
    last: HashMap<(String, i32), u64>,
    reordered: Examples<Reordered>,
    unexpected: Examples<Seen>,
    count: u64,
}

/// One shard: what is expected of it, and how often each number came.
#[derive(Debug)]
struct Shard {
    expected: RangeInclusive<u64>,
    times_seen: Vec<u32>,
}

/// What was wrong, in a text a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// How many records were read.
    pub count: u64,
    /// Numbers that never came.
    pub missing: Examples<Seen>,
    /// Numbers that came more than once.
    pub duplicates: Examples<Seen>,
    /// Numbers that came after a higher one of their shard and partition.
    pub reordered: Examples<Reordered>,
    /// Numbers or shards that nobody sent.
    pub unexpected: Examples<Seen>,
}

/// A number of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The shard; empty when there is only one.
    pub shard: String,
    /// The number.
    pub sequence: u64,
}

/// Two numbers of a shard in the wrong order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reordered {
    /// The number that came late.
    pub late: Seen,
    /// The number before it.
    pub after: u64,
    /// Where.
    pub partition: i32,
}

/// How often something was seen, and the first few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examples<T> {
    /// How often.
    pub count: u64,
    /// The first few.
    pub first: Vec<T>,
}

const EXAMPLES_MAX: usize = 5;

impl Sequences {
    /// One shard without a name.
    pub fn expect(expected: RangeInclusive<u64>) -> Sequences {
        Sequences::expect_shards([(String::new(), expected)])
    }

    /// Several shards, each with its range.
    pub fn expect_shards(
        shards: impl IntoIterator<Item = (String, RangeInclusive<u64>)>,
    ) -> Sequences {
        let shards = shards.into_iter().map(|(name, expected)| (name, Shard::new(expected)));
        Sequences {
            shards: shards.collect(),
            last: HashMap::new(),
            reordered: Examples::default(),
            unexpected: Examples::default(),
            count: 0,
        }
    }

    /// Takes the next record of a partition, in offset order.
    pub fn observe(&mut self, shard: &str, partition: i32, sequence: u64) {
        self.count += 1;
        let seen = || Seen { shard: shard.to_owned(), sequence };
        match self.shards.get_mut(shard).and_then(|it| it.times_seen(sequence)) {
            Some(times) => *times += 1,
            None => return self.unexpected.add(seen()),
        }
        let last = self.last.entry((shard.to_owned(), partition)).or_insert(0);
        if sequence < *last {
            let after = *last;
            self.reordered.add(Reordered { late: seen(), after, partition });
        }
        *last = (*last).max(sequence);
    }

    /// The verdict: how many records there were, or all that was wrong.
    pub fn finish(self) -> Result<u64, Box<Faults>> {
        let (mut missing, mut duplicates) = (Examples::default(), Examples::default());
        for (name, shard) in &self.shards {
            for (sequence, times) in shard.expected.clone().zip(&shard.times_seen) {
                let shard = || name.clone();
                match times {
                    1 => {}
                    0 => missing.add(Seen { shard: shard(), sequence }),
                    _ => duplicates.add(Seen { shard: shard(), sequence }),
                }
            }
        }
        let faults = Faults {
            count: self.count,
            missing,
            duplicates,
            reordered: self.reordered,
            unexpected: self.unexpected,
        };
        if faults.is_none() { Ok(self.count) } else { Err(Box::new(faults)) }
    }
}

impl Shard {
    fn new(expected: RangeInclusive<u64>) -> Shard {
        let length = (expected.end() + 1).saturating_sub(*expected.start());
        let length = usize::try_from(length).expect("a test's range fits in memory");
        Shard { expected, times_seen: vec![0; length] }
    }

    fn times_seen(&mut self, sequence: u64) -> Option<&mut u32> {
        let at = sequence.checked_sub(*self.expected.start())?;
        self.times_seen.get_mut(usize::try_from(at).ok()?)
    }
}

impl Faults {
    fn is_none(&self) -> bool {
        let counts = [
            self.missing.count,
            self.duplicates.count,
            self.reordered.count,
            self.unexpected.count,
        ];
        counts.iter().all(|it| *it == 0)
    }
}

impl<T> Default for Examples<T> {
    fn default() -> Self {
        Examples { count: 0, first: Vec::new() }
    }
}

impl<T> Examples<T> {
    fn add(&mut self, example: T) {
        self.count += 1;
        if self.first.len() < EXAMPLES_MAX {
            self.first.push(example);
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} records read", self.count)?;
        write!(out, "; missing: {}", self.missing)?;
        write!(out, "; duplicates: {}", self.duplicates)?;
        write!(out, "; out of order: {}", self.reordered)?;
        write!(out, "; unexpected: {}", self.unexpected)
    }
}

impl<T: fmt::Display> fmt::Display for Examples<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<String> = self.first.iter().map(T::to_string).collect();
        match self.count {
            0 => write!(out, "none"),
            count if count as usize > first.len() => {
                write!(out, "{count} (first: {}, …)", first.join(", "))
            }
            count => write!(out, "{count} ({})", first.join(", ")),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shard.as_str() {
            "" => write!(out, "{}", self.sequence),
            shard => write!(out, "{shard}/{}", self.sequence),
        }
    }
}

impl fmt::Display for Reordered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} after {} in partition {}", self.late, self.after, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything in order, dealt out over three partitions.
    fn clean() -> Vec<(i32, u64)> {
        (1..=30).map(|it| ((it % 3) as i32, it)).collect()
    }

    fn judge(records: &[(i32, u64)]) -> Result<u64, Box<Faults>> {
        let mut sequences = Sequences::expect(1..=30);
        for (partition, sequence) in records {
            sequences.observe("", *partition, *sequence);
        }
        sequences.finish()
    }

    #[test]
    fn every_number_once_and_in_order_is_right() {
        assert_eq!(judge(&clean()), Ok(30));
    }

    #[test]
    fn order_is_asked_for_within_a_partition_only() {
        let mut records = clean();
        records.sort();
        assert_eq!(judge(&records), Ok(30));
    }

    #[test]
    fn each_missing_number_is_found() {
        for at in 0..30 {
            let mut records = clean();
            let (_, gone) = records.remove(at);
            let faults = judge(&records).unwrap_err();
            assert_eq!((faults.missing.count, faults.missing.first[0].sequence), (1, gone));
            assert_eq!((faults.duplicates.count, faults.reordered.count), (0, 0));
        }
    }

    #[test]
    fn each_number_that_comes_twice_is_found() {
        for at in 0..30 {
            let mut records = clean();
            let twice = records[at];
            records.insert(at + 1, twice);
            let faults = judge(&records).unwrap_err();
            assert_eq!(
                (faults.duplicates.count, faults.duplicates.first[0].sequence),
                (1, twice.1)
            );
            assert_eq!((faults.missing.count, faults.reordered.count), (0, 0));
        }
    }

    #[test]
    fn a_copy_in_another_partition_is_found() {
        let mut records = clean();
        records.push((7, 30));
        assert_eq!(judge(&records).unwrap_err().duplicates.count, 1);
    }

    #[test]
    fn each_swap_within_a_partition_is_found() {
        for at in 0..27 {
            let mut records = clean();
            let (one, other) = (records[at].1, records[at + 3].1);
            (records[at].1, records[at + 3].1) = (other, one);
            let faults = judge(&records).unwrap_err();
            let late = &faults.reordered.first[0];
            assert_eq!((late.late.sequence, late.after), (one, other));
            assert_eq!((faults.missing.count, faults.duplicates.count), (0, 0));
        }
    }

    #[test]
    fn what_nobody_sent_is_found() {
        for stranger in [0, 31] {
            let mut records = clean();
            records.push((0, stranger));
            assert_eq!(judge(&records).unwrap_err().unexpected.count, 1);
        }
        let mut sequences = Sequences::expect(1..=1);
        sequences.observe("", 0, 1);
        sequences.observe("other", 0, 1);
        assert_eq!(sequences.finish().unwrap_err().unexpected.first[0].shard, "other");
    }

    #[test]
    fn shards_are_judged_apart() {
        let shards = [("a".to_owned(), 1..=2), ("b".to_owned(), 5..=6)];
        let mut sequences = Sequences::expect_shards(shards);
        for (shard, sequence) in [("b", 5), ("a", 1), ("b", 6), ("a", 2)] {
            sequences.observe(shard, 0, sequence);
        }
        assert_eq!(sequences.finish(), Ok(4));
    }

    #[test]
    fn the_report_names_examples_and_counts_the_rest() {
        let text = judge(&clean()[..20]).unwrap_err().to_string();
        assert!(text.contains("20 records read"), "{text}");
        assert!(text.contains("missing: 10 (first: 21, 22, 23, 24, 25, …)"), "{text}");
        assert!(text.contains("duplicates: none"), "{text}");
    }
}
