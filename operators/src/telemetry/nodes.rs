//! What decoders, transforms and sinks count: per batch, never per record.

use super::catalogue::Catalogue;
use super::forget_series;
use prometheus::{Counter, CounterVec, Histogram, HistogramVec, IntCounter, IntCounterVec};

/// The series of all decoders, transforms and sinks of a process.
#[derive(Clone)]
pub(super) struct Nodes {
    /// By [`OPERATOR_COUNTERS`].
    operators: Vec<IntCounterVec>,
    busy_seconds: CounterVec,
    /// By [`SINK_COUNTERS`].
    sinks: Vec<IntCounterVec>,
    latency_seconds: HistogramVec,
}

/// What one decoder or transform counts, over all workers.
#[derive(Clone, Debug)]
pub struct OperatorMetrics {
    /// Batches that went through.
    pub batches: IntCounter,
    /// Records that came in.
    pub received_records: IntCounter,
    /// Bytes of their values.
    pub received_bytes: IntCounter,
    /// Records that went on.
    pub emitted_records: IntCounter,
    /// Bytes of their values.
    pub emitted_bytes: IntCounter,
    /// Records that were set aside.
    pub dead_letters: IntCounter,
    /// Time spent, over all workers.
    pub busy_seconds: Counter,
}

/// What one sink counts when an epoch is durable.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    /// Batches.
    pub batches: IntCounter,
    /// Records.
    pub records: IntCounter,
    /// Bytes of their values.
    pub bytes: IntCounter,
}

const OPERATOR_LABELS: [&str; 2] = ["pipeline", "operator"];
const OPERATOR_COUNTERS: [(&str, &str); 6] = [
    ("operator_batches_total", "Batches that went through a decoder or transform"),
    ("operator_received_records_total", "Records that came to a decoder or transform"),
    ("operator_received_bytes_total", "Bytes of their values"),
    ("operator_emitted_records_total", "Records that a decoder or transform passed on"),
    ("operator_emitted_bytes_total", "Bytes of their values"),
    ("operator_dead_letters_total", "Records that a decoder or transform set aside"),
];

const SINK_LABELS: [&str; 2] = ["pipeline", "sink"];
const SINK_COUNTERS: [(&str, &str); 3] = [
    ("sink_batches_total", "Batches of a sink that became durable"),
    (
        "sink_records_total",
        "Records of these batches, those included that the sink itself made dead letters",
    ),
    ("sink_bytes_total", "Bytes of their values, before headers and compression"),
];
const LATENCY_LABELS: [&str; 3] = ["pipeline", "source", "sink"];

impl Nodes {
    /// Removes what belongs to a pipeline that is gone.
    pub(super) fn forget(&self, pipeline: &str) {
        let counters = self.operators.iter().chain(&self.sinks);
        counters.for_each(|vec| forget_series(vec, pipeline));
        forget_series(&self.busy_seconds, pipeline);
        forget_series(&self.latency_seconds, pipeline);
    }

    pub(super) fn new(catalogue: &mut Catalogue) -> Self {
        let busy = "Time that a decoder or transform worked, over all workers";
        let latency = "From the receipt of a batch's first message to the commit that made it \
                       visible; one value per batch and sink";
        Nodes {
            operators: catalogue.counters(&OPERATOR_COUNTERS, &OPERATOR_LABELS),
            busy_seconds: catalogue.amount("operator_busy_seconds_total", busy, &OPERATOR_LABELS),
            sinks: catalogue.counters(&SINK_COUNTERS, &SINK_LABELS),
            latency_seconds: catalogue.histogram("batch_latency_seconds", latency, &LATENCY_LABELS),
        }
    }

    pub(super) fn operator(&self, pipeline: &str, operator: &str) -> OperatorMetrics {
        let labels = [pipeline, operator];
        let counter = |index: usize| self.operators[index].with_label_values(&labels);
        OperatorMetrics {
            batches: counter(0),
            received_records: counter(1),
            received_bytes: counter(2),
            emitted_records: counter(3),
            emitted_bytes: counter(4),
            dead_letters: counter(5),
            busy_seconds: self.busy_seconds.with_label_values(&labels),
        }
    }

    pub(super) fn sink(&self, pipeline: &str, sink: &str) -> SinkMetrics {
        let counter = |index: usize| self.sinks[index].with_label_values(&[pipeline, sink]);
        SinkMetrics { batches: counter(0), records: counter(1), bytes: counter(2) }
    }

    pub(super) fn latency(&self, pipeline: &str, source: &str, sink: &str) -> Histogram {
        self.latency_seconds.with_label_values(&[pipeline, source, sink])
    }
}
