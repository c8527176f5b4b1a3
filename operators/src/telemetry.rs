//! What a pipeline counts, as Prometheus series.
//!
//! Handles are resolved once, when a shard or sink starts; the hot path adds to an atomic per
//! batch. Names follow the Prometheus conventions: `headwater_<part>_<what>_<unit>_total`.

use crate::pipeline::state::StateName;
use headwater_engine::position::{CursorValue, Position};
use prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};
use prometheus::proto::{Metric, MetricFamily};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use std::collections::HashMap;

/// All series of this process.
#[derive(Clone)]
pub struct Telemetry {
    registry: Registry,
    shard_counters: Vec<IntCounterVec>,
    shard_gauges: Vec<IntGaugeVec>,
    pipeline_counters: Vec<IntCounterVec>,
    pipeline_gauges: Vec<IntGaugeVec>,
    commit_seconds: HistogramVec,
    latency_seconds: HistogramVec,
    states: IntGaugeVec,
    age_seconds: GaugeVec,
    /// By [`CURSOR_GAUGES`].
    cursors: Vec<IntGaugeVec>,
    /// By [`TARGET_GAUGES`].
    targets: Vec<IntGaugeVec>,
    /// Messages and bytes of shards that have left, whose series are gone; not registered.
    departed: Vec<IntCounterVec>,
}

/// What is shown of a list of targets.
#[derive(Clone, Debug)]
pub struct TargetMetrics {
    /// Targets of the list that holds.
    pub targets: IntGauge,
    /// 1 while the newest list cannot be used.
    pub refused: IntGauge,
}

/// What one shard counts.
#[derive(Clone, Debug)]
pub struct ShardMetrics {
    /// Messages received, duplicates included.
    pub received_messages: IntCounter,
    /// Bytes of messages received.
    pub received_bytes: IntCounter,
    /// Batches handed to the dataflow.
    pub batches: IntCounter,
    /// Messages the server sent again and the source dropped.
    pub duplicates_dropped: IntCounter,
    /// Places where messages are known or suspected to be missing.
    pub gaps: IntCounter,
    /// Messages known to be missing.
    pub gap_messages: IntCounter,
    /// Calls opened, the first one included.
    pub calls: IntCounter,
    /// Messages that only said that the stream lives, and were not passed on.
    pub heartbeats: IntCounter,
    /// Messages acknowledged to the server.
    pub acks: IntCounter,
    /// Calls given up because nothing had come for too long.
    pub idle_timeouts: IntCounter,
    /// 1 while a call is open.
    pub connected: IntGauge,
    /// When the last message was received, milliseconds since 1970-01-01T00:00:00Z.
    pub last_message_unix_ms: IntGauge,
    /// Messages received and not yet durable.
    pub lag_messages: IntGauge,
}

/// What one pipeline counts.
#[derive(Clone, Debug)]
pub struct PipelineMetrics {
    /// Records made visible.
    pub committed_records: IntCounter,
    /// Dead letters made visible.
    pub dead_letters: IntCounter,
    /// Epochs that became durable.
    pub commits: IntCounter,
    /// Times an epoch had to be sent again.
    pub resends: IntCounter,
    /// Times the pipeline was built anew after a failure.
    pub rebuilds: IntCounter,
    /// Bytes received and not yet durable.
    pub credit_used_bytes: IntGauge,
    /// When the last commit was acknowledged, milliseconds since 1970-01-01T00:00:00Z.
    pub last_commit_unix_ms: IntGauge,
    /// The last epoch that became durable.
    pub epoch: IntGauge,
    /// From asking for a commit to its acknowledgement.
    pub commit_seconds: Histogram,
    /// From the receipt of an epoch's oldest record to the acknowledgement of its commit.
    pub receipt_to_commit_seconds: Histogram,
}

/// What is shown of a pipeline's state.
#[derive(Clone, Debug)]
pub struct StateMetrics {
    states: Vec<IntGauge>,
    /// How long the oldest message has waited that is received and not durable; 0 if none waits.
    pub age_seconds: Gauge,
}

/// Where one shard durably stands.
#[derive(Clone, Debug)]
pub struct PlaceMetrics {
    /// The call of the last durable message.
    session: IntGauge,
    /// The number the next message of that call gets.
    sequence: IntGauge,
    labels: [String; 3],
    cursors: Vec<IntGaugeVec>,
}

const SHARD_LABELS: [&str; 3] = ["pipeline", "source", "shard"];
const PIPELINE_LABELS: [&str; 1] = ["pipeline"];

const SHARD_COUNTERS: [(&str, &str); 10] = [
    ("source_received_messages_total", "Messages received, duplicates included"),
    ("source_received_bytes_total", "Bytes of messages received"),
    ("source_batches_total", "Batches handed to the dataflow"),
    ("source_duplicates_dropped_total", "Messages the server sent again and the source dropped"),
    ("source_gaps_total", "Places where messages are known or suspected to be missing"),
    ("source_gap_messages_total", "Messages known to be missing"),
    ("source_calls_total", "Calls opened, the first one included"),
    ("source_heartbeats_total", "Messages that only say that the stream lives, not passed on"),
    ("source_acks_total", "Messages acknowledged to the server, behind their commit"),
    ("source_idle_timeouts_total", "Calls given up because nothing had come for too long"),
];

const SHARD_GAUGES: [(&str, &str); 5] = [
    ("source_connected", "1 while a call is open"),
    ("source_last_message_timestamp_ms", "When the last message was received, Unix milliseconds"),
    (
        "source_lag_messages",
        "Messages received and not yet durable; dropped duplicates never count",
    ),
    ("source_committed_session", "The call of the last durable message"),
    ("source_committed_sequence", "The number that the next message of that call gets"),
];

/// Cursors that are numbers, and those that are moments; texts and bytes have no gauge.
const CURSOR_GAUGES: [(&str, &str); 2] = [
    ("source_committed_cursor", "The cursor behind the last durable message, where it is a number"),
    ("source_committed_cursor_timestamp_ms", "The same where it is a moment, Unix milliseconds"),
];
const CURSOR_LABELS: [&str; 4] = ["pipeline", "source", "shard", "component"];
const TARGET_GAUGES: [(&str, &str); 2] = [
    ("source_targets", "Shards of the list of targets that holds"),
    ("source_targets_refused", "1 while the newest list of targets cannot be used"),
];
const TARGET_LABELS: [&str; 2] = ["pipeline", "source"];
const STATE_LABELS: [&str; 2] = ["pipeline", "state"];

const PIPELINE_COUNTERS: [(&str, &str); 5] = [
    ("committed_records_total", "Records made visible"),
    ("dead_letters_total", "Dead letters made visible"),
    ("commits_total", "Epochs that became durable"),
    ("resends_total", "Times an epoch had to be sent again"),
    ("rebuilds_total", "Times the pipeline was built anew after a failure"),
];

const PIPELINE_GAUGES: [(&str, &str); 3] = [
    ("credit_used_bytes", "Bytes received and not yet durable"),
    ("last_commit_timestamp_ms", "When the last commit was acknowledged, Unix milliseconds"),
    ("epoch", "The last epoch that became durable"),
];

/// From 0.5 ms to 19 s, each half as large again as the one before: fine enough for percentiles.
const LATENCY_BUCKET_FIRST_SECONDS: f64 = 0.0005;
const LATENCY_BUCKET_GROWTH: f64 = 1.5;
const LATENCY_BUCKETS: usize = 27;

impl Default for Telemetry {
    fn default() -> Self {
        let registry = Registry::new_custom(Some("headwater".to_owned()), None)
            .expect("the prefix is a valid name");
        let counters = |list: &[(&str, &str)], labels: &[&str]| {
            list.iter().map(|(name, help)| counter(&registry, name, help, labels)).collect()
        };
        let gauges = |list: &[(&str, &str)], labels: &[&str]| {
            list.iter().map(|(name, help)| gauge(&registry, name, help, labels)).collect()
        };
        let commit = "From asking for a commit to its acknowledgement";
        let states = "1 for the state the pipeline is in, 0 for all others";
        let latency = "From the receipt of an epoch's oldest record to its commit";
        Telemetry {
            shard_counters: counters(&SHARD_COUNTERS, &SHARD_LABELS),
            shard_gauges: gauges(&SHARD_GAUGES, &SHARD_LABELS),
            pipeline_counters: counters(&PIPELINE_COUNTERS, &PIPELINE_LABELS),
            pipeline_gauges: gauges(&PIPELINE_GAUGES, &PIPELINE_LABELS),
            commit_seconds: histogram(&registry, "commit_seconds", commit),
            latency_seconds: histogram(&registry, "receipt_to_commit_seconds", latency),
            states: gauge(&registry, "pipeline_state", states, &STATE_LABELS),
            age_seconds: age_seconds(&registry),
            cursors: gauges(&CURSOR_GAUGES, &CURSOR_LABELS),
            targets: gauges(&TARGET_GAUGES, &TARGET_LABELS),
            departed: [0, 1].map(unregistered).into(),
            registry,
        }
    }
}

impl Telemetry {
    /// The registry, for the metrics endpoint.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The handles of one shard.
    #[must_use]
    pub fn shard(&self, pipeline: &str, source: &str, shard: &str) -> ShardMetrics {
        let labels = [pipeline, source, shard];
        let counter = |index: usize| self.shard_counters[index].with_label_values(&labels);
        let gauge = |index: usize| self.shard_gauges[index].with_label_values(&labels);
        ShardMetrics {
            received_messages: counter(0),
            received_bytes: counter(1),
            batches: counter(2),
            duplicates_dropped: counter(3),
            gaps: counter(4),
            gap_messages: counter(5),
            calls: counter(6),
            heartbeats: counter(7),
            acks: counter(8),
            idle_timeouts: counter(9),
            connected: gauge(0),
            last_message_unix_ms: gauge(1),
            lag_messages: gauge(2),
        }
    }

    /// What is shown of the list of targets of a source.
    #[must_use]
    pub fn targets(&self, pipeline: &str, source: &str) -> TargetMetrics {
        let gauge = |index: usize| self.targets[index].with_label_values(&[pipeline, source]);
        TargetMetrics { targets: gauge(0), refused: gauge(1) }
    }

    /// Ends the series of a shard that has left, given by pipeline, source and name, and by the
    /// components of its cursor. What it received still counts for [`Telemetry::received`].
    pub fn forget_shard<'c>(
        &self,
        labels: &[&str; 3],
        components: impl Iterator<Item = &'c String>,
    ) {
        for (total, counter) in self.departed.iter().zip(&self.shard_counters) {
            total.with_label_values(&labels[..1]).inc_by(counter.with_label_values(labels).get());
        }
        // An error means that there is no such series, which is what is wanted.
        let counters = self.shard_counters.iter();
        counters.for_each(|vec| drop(vec.remove_label_values(labels)));
        self.shard_gauges.iter().for_each(|vec| drop(vec.remove_label_values(labels)));
        for component in components {
            let labels = [labels[0], labels[1], labels[2], component];
            self.cursors.iter().for_each(|vec| drop(vec.remove_label_values(&labels)));
        }
    }

    /// Messages and bytes that all shards of a pipeline have received in this process, duplicates
    /// and shards that have left included.
    #[must_use]
    pub fn received(&self, pipeline: &str) -> (u64, u64) {
        let total = |index: usize| {
            let is_ours = |metric: &&Metric| {
                let mut labels = metric.get_label().iter();
                labels.any(|label| label.name() == "pipeline" && label.value() == pipeline)
            };
            let families = self.shard_counters[index].collect();
            let metrics = families.iter().flat_map(MetricFamily::get_metric).filter(is_ours);
            // Below 2^53 a counter's floating point number is exact.
            let here = metrics.map(|metric| metric.get_counter().get_value() as u64).sum::<u64>();
            here + self.departed[index].with_label_values(&[pipeline]).get()
        };
        (total(0), total(1))
    }

    /// Ends all series of a pipeline that is no more. Handles that are still held count for nobody.
    pub fn forget_pipeline(&self, pipeline: &str) {
        let counters = [&self.shard_counters, &self.pipeline_counters, &self.departed];
        counters.into_iter().flatten().for_each(|vec| forget_series(vec, pipeline));
        let gauges = [&self.shard_gauges, &self.pipeline_gauges, &self.cursors, &self.targets];
        gauges.into_iter().flatten().for_each(|vec| forget_series(vec, pipeline));
        forget_series(&self.states, pipeline);
        forget_series(&self.age_seconds, pipeline);
        forget_series(&self.commit_seconds, pipeline);
        forget_series(&self.latency_seconds, pipeline);
    }

    /// Where one shard durably stands.
    #[must_use]
    pub fn place(&self, pipeline: &str, source: &str, shard: &str) -> PlaceMetrics {
        let labels = [pipeline, source, shard];
        PlaceMetrics {
            session: self.shard_gauges[3].with_label_values(&labels),
            sequence: self.shard_gauges[4].with_label_values(&labels),
            labels: labels.map(str::to_owned),
            cursors: self.cursors.clone(),
        }
    }

    /// The state of one pipeline.
    #[must_use]
    pub fn state(&self, pipeline: &str) -> StateMetrics {
        let gauge = |name: &StateName| self.states.with_label_values(&[pipeline, name.as_str()]);
        StateMetrics {
            states: StateName::ALL.iter().map(gauge).collect(),
            age_seconds: self.age_seconds.with_label_values(&[pipeline]),
        }
    }

    /// The handles of one pipeline.
    #[must_use]
    pub fn pipeline(&self, pipeline: &str) -> PipelineMetrics {
        let labels = [pipeline];
        let counter = |index: usize| self.pipeline_counters[index].with_label_values(&labels);
        let gauge = |index: usize| self.pipeline_gauges[index].with_label_values(&labels);
        PipelineMetrics {
            committed_records: counter(0),
            dead_letters: counter(1),
            commits: counter(2),
            resends: counter(3),
            rebuilds: counter(4),
            credit_used_bytes: gauge(0),
            last_commit_unix_ms: gauge(1),
            epoch: gauge(2),
            commit_seconds: self.commit_seconds.with_label_values(&labels),
            receipt_to_commit_seconds: self.latency_seconds.with_label_values(&labels),
        }
    }
}

impl StateMetrics {
    /// The pipeline is in this state, and in no other.
    pub fn set(&self, state: StateName) {
        for (name, gauge) in StateName::ALL.iter().zip(&self.states) {
            gauge.set(i64::from(*name == state));
        }
    }
}

impl PlaceMetrics {
    /// The shard is durable up to `position`.
    pub fn set(&self, position: &Position) {
        self.session.set(i64::from(position.session.0));
        self.sequence.set(position.next_sequence.0.try_into().unwrap_or(i64::MAX));
        let values = position.cursor.iter().flat_map(|cursor| &cursor.values);
        for (component, value) in values {
            let (gauge, number) = match value {
                CursorValue::Int(value) => (0, *value),
                CursorValue::Uint(value) => (0, i64::try_from(*value).unwrap_or(i64::MAX)),
                CursorValue::Timestamp { seconds, nanos } => {
                    (1, seconds.saturating_mul(1_000).saturating_add(i64::from(nanos / 1_000_000)))
                }
                CursorValue::Text(_) | CursorValue::Opaque(_) | CursorValue::Message(_) => continue,
            };
            let [pipeline, source, shard] = &self.labels;
            let labels = [pipeline, source, shard, component];
            self.cursors[gauge].with_label_values(&labels).set(number);
        }
    }
}

/// Removes the series of `vec` whose label `pipeline` says so.
pub fn forget_series<B: MetricVecBuilder>(vec: &MetricVec<B>, pipeline: &str) {
    for metric in vec.collect().iter().flat_map(MetricFamily::get_metric) {
        let labels = metric.get_label().iter().map(|label| (label.name(), label.value()));
        let labels: HashMap<&str, &str> = labels.collect();
        if labels.get("pipeline") == Some(&pipeline) {
            // An error means that there is no such series, which is what is wanted.
            let _ = vec.remove(&labels);
        }
    }
}

fn age_seconds(registry: &Registry) -> GaugeVec {
    let help = "How long the oldest message has waited that is received and not durable";
    let options = Opts::new("open_transaction_age_seconds", help);
    let vec = GaugeVec::new(options, &PIPELINE_LABELS).expect("names are constants");
    registry.register(Box::new(vec.clone())).expect("each name is registered once");
    vec
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let vec = IntCounterVec::new(Opts::new(name, help), labels).expect("names are constants");
    registry.register(Box::new(vec.clone())).expect("each name is registered once");
    vec
}

/// A counter of what the series of [`SHARD_COUNTERS`] at this place had counted.
fn unregistered(place: usize) -> IntCounterVec {
    let (name, help) = SHARD_COUNTERS[place];
    IntCounterVec::new(Opts::new(name, help), &PIPELINE_LABELS).expect("names are constants")
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let vec = IntGaugeVec::new(Opts::new(name, help), labels).expect("names are constants");
    registry.register(Box::new(vec.clone())).expect("each name is registered once");
    vec
}

fn histogram(registry: &Registry, name: &str, help: &str) -> HistogramVec {
    let buckets = prometheus::exponential_buckets(
        LATENCY_BUCKET_FIRST_SECONDS,
        LATENCY_BUCKET_GROWTH,
        LATENCY_BUCKETS,
    )
    .expect("the bounds are constants");
    let options = HistogramOpts::new(name, help).buckets(buckets);
    let vec = HistogramVec::new(options, &PIPELINE_LABELS).expect("names are constants");
    registry.register(Box::new(vec.clone())).expect("each name is registered once");
    vec
}
