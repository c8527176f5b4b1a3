//! `event=task_metrics`: a line of figures for each pipeline, now and then.
//!
//! The Java connector writes such a line every 30 seconds, and there are dashboards that read it.
//! Whoever has `/metrics` needs none, so it is written only if it is asked for by its target:
//! `--log-level info,task_metrics=debug`.

use crate::pipelines::Watched;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often the line is written.
const EVERY: Duration = Duration::from_secs(30);

/// Writes the line again and again, for as long as it is polled.
pub(crate) async fn keep_telling(watched: Watched) -> Infallible {
    let begun = Instant::now();
    let mut ticks = interval_at(begun + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // What it costs to add up is not paid for a line that nobody reads.
        if tracing::enabled!(target: "task_metrics", tracing::Level::DEBUG) {
            tell(&watched, begun.elapsed());
        }
    }
}

fn tell(watched: &Watched, lasted: Duration) {
    let metrics = &watched.metrics;
    let report = watched.status.report();
    tracing::debug!(
        target: "task_metrics",
        event = "task_metrics",
        pipeline = watched.name,
        status = report.state.name.as_str(),
        reason = report.state.reason,
        uptime_s = lasted.as_secs(),
        received = watched.received(),
        received_bytes = watched.received_bytes(),
        committed = metrics.committed_records.get(),
        dead_letters = metrics.dead_letters.get(),
        queue_bytes = metrics.credit_used_bytes.get(),
        queue_capacity_bytes = metrics.credit_capacity_bytes.get(),
        epoch = metrics.epoch.get(),
        calls_open = report.shards - report.not_open.len(),
        shards = report.shards,
    );
}
