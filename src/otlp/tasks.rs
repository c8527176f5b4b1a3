//! The two tasks that send: one takes spans out of their queue, one looks at the series from time
//! to time.
//!
//! Each has one request on its way at most. While a collector is away the queue fills and spans are
//! dropped and counted; of metrics nothing waits, for the next look tells all that the last one
//! did. The log tells that it is away, now and then that it still is, and that it is back.
//!
//! Invariant: nothing that a pipeline does waits for either of them.

use super::limits::{COMPLAINT_EVERY, SPANS_PER_REQUEST_MAX};
use super::metrics::Conversion;
use super::send::{Exported, Sender};
use super::settings::Signal;
use crate::http::Shown;
use headwater_operators::telemetry::{DroppedSpans, ExportMetrics};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;

/// A sender that counts and complains.
pub(crate) struct Exporter {
    signal: Signal,
    sender: Sender,
    counts: ExportMetrics,
    /// Requests given up since the last one that was taken.
    failures: u64,
    complained: Option<Instant>,
}

/// Sends spans.
pub(crate) struct SpanTask {
    pub(crate) exporter: Exporter,
    pub(crate) queue: mpsc::Receiver<SpanData>,
    pub(crate) resource: ResourceAttributesWithSchema,
    pub(crate) dropped: DroppedSpans,
    pub(crate) delay: Duration,
}

/// Sends metrics.
pub(crate) struct MetricsTask {
    pub(crate) exporter: Exporter,
    pub(crate) shown: Arc<Shown>,
    pub(crate) conversion: Conversion,
    pub(crate) interval: Duration,
}

impl Exporter {
    pub(crate) fn new(signal: Signal, sender: Sender, counts: ExportMetrics) -> Self {
        Exporter { signal, sender, counts, failures: 0, complained: None }
    }

    /// Sends a request; false if it was given up.
    async fn send<E: Exported>(&mut self, request: E) -> bool {
        match self.sender.send(request).await {
            Ok(refused) => {
                self.counts.exports.inc();
                self.taken(refused);
                true
            }
            Err(error) => {
                self.counts.failures.inc();
                self.failures += 1;
                self.complain(&error.to_string());
                false
            }
        }
    }

    fn taken(&mut self, refused: u64) {
        let signal = self.signal.word();
        if self.failures > 0 {
            tracing::info!(event = "otlp_export_recovered", signal, failures = self.failures);
            (self.failures, self.complained) = (0, None);
        }
        if refused > 0 {
            self.counts.refused.inc_by(refused);
            tracing::debug!(event = "otlp_items_refused", signal, refused);
        }
    }

    fn complain(&mut self, error: &str) {
        if self.complained.is_some_and(|at| at.elapsed() < COMPLAINT_EVERY) {
            return;
        }
        self.complained = Some(Instant::now());
        let (signal, failures) = (self.signal.word(), self.failures);
        let endpoint = self.sender.shown();
        tracing::warn!(event = "otlp_export_failed", signal, endpoint, failures, "{error}");
    }
}

impl SpanTask {
    /// Sends until `stop`, and then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(SPANS_PER_REQUEST_MAX);
        while self.gather(&mut batch, &stop).await {
            self.send(std::mem::take(&mut batch)).await;
        }
    }

    /// Takes spans until there are enough for a request or the first of them has waited long
    /// enough; false once there is none and none will come.
    async fn gather(&mut self, batch: &mut Vec<SpanData>, stop: &CancellationToken) -> bool {
        let mut due = None;
        while batch.len() < SPANS_PER_REQUEST_MAX {
            let room = SPANS_PER_REQUEST_MAX - batch.len();
            let is_due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                () = is_due => break,
                count = self.queue.recv_many(batch, room) => {
                    if count == 0 {
                        break;
                    }
                    due = due.or(Some(Instant::now() + self.delay));
                }
            }
        }
        !batch.is_empty()
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        if !self.exporter.send(ExportTraceServiceRequest { resource_spans }).await {
            self.dropped.not_sent.inc_by(count);
        }
    }
}

impl MetricsTask {
    /// Sends at each interval until `stop`, and then once more.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            let is_last = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                _ = ticks.tick() => false,
            };
            self.send().await;
            if is_last {
                return;
            }
        }
    }

    async fn send(&mut self) {
        let families = self.shown.families();
        for request in self.conversion.requests(&families, unix_ns()) {
            // Where one does not arrive the next ones would not either.
            if !self.exporter.send(request).await {
                return;
            }
        }
    }
}

/// This moment, Unix time.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
