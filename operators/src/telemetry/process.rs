//! What a process shows of itself, beside its pipelines: whether it leads (`headwater serve`), and
//! what became of the telemetry that it sends.

use super::catalogue::Catalogue;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The series of a process. Those that no part of it asks for are not served.
#[derive(Clone)]
pub(super) struct OfProcess {
    leads: IntGaugeVec,
    entries: IntGaugeVec,
    exports: IntCounterVec,
    failures: IntCounterVec,
    refused: IntCounterVec,
    dropped: IntCounterVec,
}

/// What is shown of all entries of a config topic together.
#[derive(Clone, Debug)]
pub struct ServeMetrics {
    /// 1 while this instance runs them.
    pub leads: IntGauge,
    /// How many there are in each state.
    pub entries: IntGaugeVec,
}

/// What became of one signal that is sent to a collector.
#[derive(Clone, Debug)]
pub struct ExportMetrics {
    /// Requests that the collector has taken.
    pub exports: IntCounter,
    /// Requests that were given up.
    pub failures: IntCounter,
    /// Spans or values that the collector did not want, of requests that it has taken.
    pub refused: IntCounter,
}

/// What became of spans that were not sent.
#[derive(Clone, Debug)]
pub struct DroppedSpans {
    /// The queue was full.
    pub no_room: IntCounter,
    /// The request that held them was given up.
    pub not_sent: IntCounter,
}

impl OfProcess {
    pub(super) fn new(series: &mut Catalogue) -> Self {
        let leads = "1 while this instance runs the entries of the config topic";
        let entries = "Pipelines and connectors of the config topic, by their state";
        let exports = "Requests that the OpenTelemetry collector has taken";
        let failures = "Requests to the OpenTelemetry collector that were given up";
        let refused = "Spans or values that the collector left out of requests it has taken";
        let dropped = "Spans that were not sent: the queue was full, or their request given up";
        let signal = ["signal"];
        OfProcess {
            leads: series.gauge("serve_leads", leads, &[]),
            entries: series.gauge("serve_entries", entries, &["state"]),
            exports: series.counter("otlp_exports_total", exports, &signal),
            failures: series.counter("otlp_failed_exports_total", failures, &signal),
            refused: series.counter("otlp_refused_items_total", refused, &signal),
            dropped: series.counter("otlp_dropped_spans_total", dropped, &["reason"]),
        }
    }

    pub(super) fn serve(&self) -> ServeMetrics {
        let leads = self.leads.with_label_values::<&str>(&[]);
        ServeMetrics { leads, entries: self.entries.clone() }
    }

    pub(super) fn export(&self, signal: &str) -> ExportMetrics {
        ExportMetrics {
            exports: self.exports.with_label_values(&[signal]),
            failures: self.failures.with_label_values(&[signal]),
            refused: self.refused.with_label_values(&[signal]),
        }
    }

    pub(super) fn dropped_spans(&self) -> DroppedSpans {
        DroppedSpans {
            no_room: self.dropped.with_label_values(&["queue_full"]),
            not_sent: self.dropped.with_label_values(&["export_failed"]),
        }
    }
}
