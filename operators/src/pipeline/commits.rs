//! What is counted of each epoch, on the committer's thread.
//!
//! Why here and not in the committer: the engine knows no metrics. A handful of atomics per epoch
//! and shard that moved, nothing per record.
//!
//! Next: `sink_state.rs` judges the same events.

use crate::pipeline::epoch_spans::EpochSpans;
use crate::pipeline::roster::Roster;
use crate::pipeline::run::OnCommit;
use crate::pipeline::sink_counts::SinkCounts;
use crate::pipeline::sink_state::remedy;
use crate::pipeline::status::Status;
use crate::sink::kafka::LogLimit;
use crate::telemetry::{PipelineMetrics, unix_seconds};
use headwater_engine::clock::Clock;
use headwater_engine::commit::observe::{CommitEvent, Committed};
use headwater_engine::commit::outlet::OutletError;
use headwater_engine::dataflow::credit::Credit;
use std::sync::Arc;
use std::time::Duration;

/// Counts what the committer tells.
pub(super) struct Commits {
    pub(super) pipeline: String,
    pub(super) metrics: PipelineMetrics,
    pub(super) sinks: SinkCounts,
    pub(super) roster: Roster,
    pub(super) status: Status,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) credit: Arc<Credit>,
    pub(super) log_limit: LogLimit,
    pub(super) on_commit: Option<OnCommit>,
    pub(super) spans: Option<EpochSpans>,
}

impl Commits {
    /// Takes one event.
    pub(super) fn note(&mut self, event: &CommitEvent<'_>) {
        self.status.note(event);
        if let Some(spans) = &mut self.spans {
            spans.note(event);
        }
        match event {
            CommitEvent::Filled { .. }
            | CommitEvent::Closed { .. }
            | CommitEvent::Sealed { .. } => {}
            CommitEvent::Failed { error, attempts } => self.log(error, *attempts),
            CommitEvent::Committed(committed) => self.count(committed),
        }
    }

    fn count(&mut self, committed: &Committed<'_>) {
        let metrics = &self.metrics;
        let records = committed.positions.iter().map(|moved| moved.records).sum();
        let dead_letters = committed.positions.iter().map(|moved| moved.dead_letters).sum();
        metrics.committed_records.inc_by(records);
        metrics.dead_letters.inc_by(dead_letters);
        metrics.commits.inc();
        metrics.resends.inc_by(u64::from(committed.attempts));
        metrics.epoch.set(i64::try_from(committed.epoch.0).unwrap_or(i64::MAX));
        metrics.credit_used_bytes.set(used_bytes(&self.credit));
        metrics.last_commit_unix_seconds.set(unix_seconds());
        metrics.commit_seconds.observe(committed.took.as_secs_f64());
        let oldest = Duration::from_nanos(committed.oldest_received_ns);
        let latency = committed.at.saturating_sub(oldest);
        metrics.receipt_to_commit_seconds.observe(latency.as_secs_f64());
        self.sinks.count(committed);
        if let Some(tell) = &self.on_commit {
            tell(committed);
        }
        for moved in committed.positions {
            self.roster.moved(moved.shard, &moved.position);
        }
    }

    /// A call that failed is repaired in silence otherwise.
    fn log(&self, error: &OutletError, attempts: u32) {
        let remedy = remedy(error.repair);
        if let Some(suppressed) = self.log_limit.admit(remedy, self.clock.now()) {
            let pipeline = self.pipeline.as_str();
            let message = &error.message;
            tracing::warn!(
                event = "sink_error",
                pipeline,
                remedy,
                attempts,
                suppressed,
                "{message}"
            );
        }
    }
}

/// Bytes received and not yet durable.
pub(super) fn used_bytes(credit: &Credit) -> i64 {
    i64::try_from(credit.used_bytes()).unwrap_or(i64::MAX)
}
