//! What a reader has seen of a numbered stream: how much, what is missing, what came twice, how
//! late.
//!
//! Why a set of ranges: numbers arrive interleaved over partitions, but nearly in order, so the set
//! stays a handful of ranges however long the demo runs.

use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};

/// Newest records kept for showing.
pub(super) const SAMPLES: usize = 3;

/// The longest latency that is told apart: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Significant digits of latencies.
const LATENCY_DIGITS: u8 = 3;

/// What was seen so far.
pub(super) struct Ledger {
    ranges: BTreeMap<u64, u64>,
    last_of_partition: BTreeMap<i32, u64>,
    counts: Counts,
    latency_us: Histogram<u64>,
    recent_us: Histogram<u64>,
    samples: VecDeque<String>,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Distinct records.
    pub(super) distinct: u64,
    /// Records that had been seen before.
    pub(super) duplicates: u64,
    /// Numbers between the lowest and the highest that were not seen.
    pub(super) missing: u64,
    /// Records behind a higher number in their partition.
    pub(super) out_of_order: u64,
    /// Records that hold no number.
    pub(super) unreadable: u64,
}

/// One record as it was read.
pub(super) struct Arrival {
    pub(super) partition: i32,
    pub(super) sequence: u64,
    pub(super) latency_us: u64,
}

/// A few points of a distribution of latencies, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latencies {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_max(LATENCY_US_MAX, LATENCY_DIGITS)
                .expect("the bounds are constants")
        };
        Ledger {
            ranges: BTreeMap::new(),
            last_of_partition: BTreeMap::new(),
            counts: Counts::default(),
            latency_us: histogram(),
            recent_us: histogram(),
            samples: VecDeque::new(),
        }
    }
}

impl Ledger {
    /// Takes one record down.
    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        let last = self.last_of_partition.entry(arrival.partition).or_default();
        if *last > arrival.sequence {
            self.counts.out_of_order += 1;
        }
        *last = (*last).max(arrival.sequence);
        if self.insert(arrival.sequence) {
            self.counts.distinct += 1;
        } else {
            self.counts.duplicates += 1;
        }
        self.latency_us.saturating_record(arrival.latency_us);
        self.recent_us.saturating_record(arrival.latency_us);
    }

    /// Takes down a record that holds no number.
    pub(super) fn unreadable(&mut self) {
        self.counts.unreadable += 1;
    }

    /// Keeps a record for showing.
    pub(super) fn sample(&mut self, text: String) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(text);
    }

    /// The newest records kept, oldest first.
    pub(super) fn samples(&self) -> Vec<String> {
        self.samples.iter().cloned().collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let first = self.ranges.first_key_value().map_or(0, |(first, _)| *first);
        let last = self.ranges.last_key_value().map_or(0, |(_, last)| *last);
        let span = if self.ranges.is_empty() { 0 } else { last - first + 1 };
        Counts { missing: span - self.counts.distinct, ..self.counts }
    }

    /// Latencies of everything seen.
    pub(super) fn latencies(&self) -> Latencies {
        Latencies::of(&self.latency_us)
    }

    /// Latencies since the last call.
    pub(super) fn take_recent(&mut self) -> Latencies {
        let recent = Latencies::of(&self.recent_us);
        self.recent_us.reset();
        recent
    }

    /// Adds a number to the ranges; false if it was there.
    fn insert(&mut self, number: u64) -> bool {
        let below = self.ranges.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if below.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let above = number.checked_add(1).and_then(|next| self.ranges.remove(&next));
        let last = above.unwrap_or(number);
        let first = below.filter(|(_, last)| last + 1 == number).map_or(number, |(first, _)| first);
        self.ranges.insert(first, last);
        true
    }
}

impl Latencies {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Latencies {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(arrivals: &[(i32, u64)]) -> Counts {
        let mut ledger = Ledger::default();
        for &(partition, sequence) in arrivals {
            ledger.arrived(&Arrival { partition, sequence, latency_us: 1 });
        }
        ledger.counts()
    }

    #[test]
    fn interleaved_partitions_are_whole_and_in_order() {
        let counts = after(&[(0, 5), (1, 4), (0, 7), (1, 6), (2, 8)]);
        assert_eq!(counts, Counts { distinct: 5, ..Counts::default() });
    }

    #[test]
    fn a_hole_is_missing_until_it_is_filled() {
        assert_eq!(after(&[(0, 1), (0, 4)]).missing, 2);
        assert_eq!(after(&[(0, 1), (0, 4), (1, 2), (1, 3)]).missing, 0);
    }

    #[test]
    fn a_number_that_comes_again_is_a_duplicate() {
        let counts = after(&[(0, 1), (0, 2), (0, 3), (0, 2)]);
        assert_eq!((counts.distinct, counts.duplicates, counts.out_of_order), (3, 1, 1));
        assert_eq!(after(&[(0, 1), (1, 1)]).duplicates, 1);
    }

    #[test]
    fn nothing_seen_is_nothing_missing() {
        assert_eq!(after(&[]), Counts::default());
    }
}
