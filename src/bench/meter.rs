//! What commits are counted into: one lock per commit, one step per batch.
//!
//! Latency is that of a batch's first message, from its receipt to the acknowledgement of its
//! commit, and counts once for each record of the batch. The batch's other messages came at that
//! moment or after it, so no latency is told too low.
//!
//! Next: `src/bench/measure.rs` says from when to when.

use crate::bench::limits::LATENCY_MAX;
use hdrhistogram::Histogram;
use headwater_engine::commit::observe::Committed;
use headwater_operators::pipeline::OnCommit;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Significant digits of latencies.
const LATENCY_DIGITS: u8 = 3;

/// The meter; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Meter(Arc<Mutex<Tally>>);

/// What was committed in some time.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Receipt → durable in microseconds, by record.
    pub(super) latency_us: Histogram<u64>,
    /// The call of a commit → its acknowledgement in microseconds, by commit.
    pub(super) commit_us: Histogram<u64>,
    /// Over all sinks.
    pub(super) records: u64,
    /// Of the records' values.
    pub(super) bytes: u64,
    /// From the first receipt to the last commit.
    pub(super) span: Duration,
    first_received: Option<Duration>,
}

impl Meter {
    /// What the pipeline is to tell of each commit.
    pub(super) fn hook(&self) -> OnCommit {
        let meter = self.clone();
        Arc::new(move |committed| meter.lock().add(committed))
    }

    /// What was counted since the last call, or since the start.
    pub(super) fn take(&self) -> Tally {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().expect("counting does not panic")
    }
}

impl Default for Tally {
    fn default() -> Self {
        let max = micros(LATENCY_MAX);
        let histogram =
            || Histogram::new_with_max(max, LATENCY_DIGITS).expect("the bounds are constants");
        Tally {
            latency_us: histogram(),
            commit_us: histogram(),
            records: 0,
            bytes: 0,
            span: Duration::ZERO,
            first_received: None,
        }
    }
}

impl Tally {
    fn add(&mut self, committed: &Committed<'_>) {
        self.commit_us.saturating_record(micros(committed.took));
        let oldest = Duration::from_nanos(committed.oldest_received_ns);
        let first = *self.first_received.get_or_insert(oldest);
        self.span = committed.at.saturating_sub(first);
        for batch in committed.batches.iter().filter(|batch| batch.records > 0) {
            let received = Duration::from_nanos(batch.received_ns);
            let latency = committed.at.saturating_sub(received);
            self.latency_us.saturating_record_n(micros(latency), batch.records);
            self.records += batch.records;
            self.bytes += batch.value_bytes;
        }
    }

    /// How many commits there were.
    pub(super) fn commits(&self) -> u64 {
        self.commit_us.len()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
