//! What a pipeline counts, as Prometheus series.
//!
//! Handles are resolved once, when a shard or sink starts; the hot path adds to an atomic per
//! batch. Names follow the conventions of Prometheus and OpenTelemetry:
//! `headwater_<part>_<what>_<unit>_total`, in seconds and bytes. `docs/METRICS.md` is their list.

mod catalogue;
mod nodes;
mod process;
mod spans;

pub use catalogue::{Family, Kind, PREFIX};
pub use nodes::{OperatorMetrics, SinkMetrics};
pub use process::{DroppedSpans, ExportMetrics, ServeMetrics};
pub(crate) use spans::{OpenSpan, brief, outcome};
pub use spans::{Spans, Tracing};

use crate::pipeline::state::StateName;
use catalogue::Catalogue;
use headwater_engine::position::{CursorValue, Position};
use nodes::Nodes;
use process::OfProcess;
use prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};
use prometheus::proto::{Metric, MetricFamily};
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// All series of this process.
#[derive(Clone)]
pub struct Telemetry {
    registry: Registry,
    families: Arc<[Family]>,
    shard_counters: Vec<IntCounterVec>,
    shard_gauges: Vec<IntGaugeVec>,
    waiting_seconds: CounterVec,
    last_message_seconds: GaugeVec,
    pipeline_counters: Vec<IntCounterVec>,
    pipeline_gauges: Vec<IntGaugeVec>,
    /// By [`PIPELINE_MOMENTS`].
    pipeline_moments: Vec<GaugeVec>,
    commit_seconds: HistogramVec,
    latency_seconds: HistogramVec,
    states: IntGaugeVec,
    age_seconds: GaugeVec,
    nodes: Nodes,
    cursors: Cursors,
    /// By [`TARGET_GAUGES`].
    targets: Vec<IntGaugeVec>,
    /// Messages and bytes of shards that have left, whose series are gone; not registered.
    departed: Vec<IntCounterVec>,
    of_process: OfProcess,
    tracing: Tracing,
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
    /// Calls planned because one ended or did not come about.
    pub reconnects: IntCounter,
    /// Time in which nothing was read because what was read before had no room yet.
    pub waiting_seconds: Counter,
    /// 1 while a call is open.
    pub connected: IntGauge,
    /// When the last message was received, seconds since 1970-01-01T00:00:00Z.
    pub last_message_unix_seconds: Gauge,
    /// Messages received and not yet durable.
    pub lag_messages: IntGauge,
    /// Messages received and not yet acknowledged to the server.
    pub unacknowledged: IntGauge,
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
    /// As many bytes as that may be.
    pub credit_capacity_bytes: IntGauge,
    /// When the last commit was acknowledged, seconds since 1970-01-01T00:00:00Z.
    pub last_commit_unix_seconds: Gauge,
    /// When the pipeline was started in this process, seconds since 1970-01-01T00:00:00Z.
    pub start_unix_seconds: Gauge,
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
    cursors: Cursors,
}

/// Cursors that are numbers, and those that are moments; texts and bytes have no gauge.
#[derive(Clone, Debug)]
struct Cursors {
    numbers: IntGaugeVec,
    moments: GaugeVec,
}

const SHARD_LABELS: [&str; 3] = ["pipeline", "source", "shard"];
const PIPELINE_LABELS: [&str; 1] = ["pipeline"];

const SHARD_COUNTERS: [(&str, &str); 11] = [
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
    ("source_reconnects_total", "Calls planned because one ended or did not come about"),
];

const SHARD_GAUGES: [(&str, &str); 5] = [
    ("source_connected", "1 while a call is open"),
    (
        "source_lag_messages",
        "Messages received and not yet durable; dropped duplicates never count",
    ),
    ("source_committed_session", "The call of the last durable message"),
    ("source_committed_sequence", "The number that the next message of that call gets"),
    ("source_unacknowledged_messages", "Messages received and not yet acknowledged to the server"),
];

const WAITING_SECONDS: (&str, &str) = (
    "source_waiting_seconds_total",
    "Time in which nothing was read because credit or room was lacking; the server is slowed then",
);
const LAST_MESSAGE_SECONDS: (&str, &str) =
    ("source_last_message_timestamp_seconds", "When the last message was received, Unix time");

const CURSOR_NUMBERS: (&str, &str) =
    ("source_committed_cursor", "The cursor behind the last durable message, where it is a number");
const CURSOR_MOMENTS: (&str, &str) =
    ("source_committed_cursor_timestamp_seconds", "The same where it is a moment, Unix time");
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
    ("credit_capacity_bytes", "Bytes received and not yet durable that the pipeline may hold"),
    ("epoch", "The last epoch that became durable"),
];

const PIPELINE_MOMENTS: [(&str, &str); 2] = [
    ("last_commit_timestamp_seconds", "When the last commit was acknowledged, Unix time"),
    ("pipeline_start_time_seconds", "When the pipeline was started in this process, Unix time"),
];
const AGE_SECONDS: (&str, &str) = (
    "open_transaction_age_seconds",
    "How long the oldest message has waited that is received and not durable",
);

impl Default for Telemetry {
    fn default() -> Self {
        let mut series = Catalogue::new();
        let commit = "From asking for a commit to its acknowledgement";
        let states = "1 for the state the pipeline is in, 0 for all others";
        let latency = "From the receipt of an epoch's oldest record to its commit";
        let build = series.gauge("build_info", "The program's version; always 1", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let moment = |series: &mut Catalogue, (name, help): (&str, &str), labels: &[&str]| {
            series.seconds(name, help, labels)
        };
        let telemetry = Telemetry {
            shard_counters: series.counters(&SHARD_COUNTERS, &SHARD_LABELS),
            shard_gauges: series.gauges(&SHARD_GAUGES, &SHARD_LABELS),
            waiting_seconds: series.amount(WAITING_SECONDS.0, WAITING_SECONDS.1, &SHARD_LABELS),
            last_message_seconds: moment(&mut series, LAST_MESSAGE_SECONDS, &SHARD_LABELS),
            pipeline_counters: series.counters(&PIPELINE_COUNTERS, &PIPELINE_LABELS),
            pipeline_gauges: series.gauges(&PIPELINE_GAUGES, &PIPELINE_LABELS),
            pipeline_moments: PIPELINE_MOMENTS
                .iter()
                .map(|what| moment(&mut series, *what, &PIPELINE_LABELS))
                .collect(),
            commit_seconds: series.histogram("commit_seconds", commit, &PIPELINE_LABELS),
            latency_seconds: series.histogram(
                "receipt_to_commit_seconds",
                latency,
                &PIPELINE_LABELS,
            ),
            states: series.gauge("pipeline_state", states, &STATE_LABELS),
            age_seconds: moment(&mut series, AGE_SECONDS, &PIPELINE_LABELS),
            nodes: Nodes::new(&mut series),
            cursors: Cursors {
                numbers: series.gauge(CURSOR_NUMBERS.0, CURSOR_NUMBERS.1, &CURSOR_LABELS),
                moments: moment(&mut series, CURSOR_MOMENTS, &CURSOR_LABELS),
            },
            targets: series.gauges(&TARGET_GAUGES, &TARGET_LABELS),
            departed: [0, 1].map(unregistered).into(),
            of_process: OfProcess::new(&mut series),
            tracing: Tracing::default(),
            registry: Registry::new(),
            families: Arc::default(),
        };
        let (registry, families) = series.finish();
        Telemetry { registry, families: families.into(), ..telemetry }
    }
}

impl Telemetry {
    /// The same, for a process whose calls, starts and epochs are traced.
    #[must_use]
    pub fn traced(self, tracing: Tracing) -> Self {
        Telemetry { tracing, ..self }
    }

    /// What makes the spans of one pipeline.
    #[must_use]
    pub fn spans(&self, pipeline: &str) -> Spans {
        self.tracing.of_pipeline(pipeline)
    }

    /// What is shown of the entries of a config topic.
    #[must_use]
    pub fn serve(&self) -> ServeMetrics {
        self.of_process.serve()
    }

    /// The handles of one signal that is sent to a collector.
    #[must_use]
    pub fn export(&self, signal: &str) -> ExportMetrics {
        self.of_process.export(signal)
    }

    /// Counts spans that are not sent.
    #[must_use]
    pub fn dropped_spans(&self) -> DroppedSpans {
        self.of_process.dropped_spans()
    }

    /// The registry, for the metrics endpoint.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What each series is, those included that no pipeline of this process has.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The handles of one decoder or transform.
    #[must_use]
    pub fn operator(&self, pipeline: &str, operator: &str) -> OperatorMetrics {
        self.nodes.operator(pipeline, operator)
    }

    /// The handles of one sink.
    #[must_use]
    pub fn sink(&self, pipeline: &str, sink: &str) -> SinkMetrics {
        self.nodes.sink(pipeline, sink)
    }

    /// From the receipt of a batch to its commit, on the way from `source` to `sink`.
    #[must_use]
    pub fn latency(&self, pipeline: &str, source: &str, sink: &str) -> Histogram {
        self.nodes.latency(pipeline, source, sink)
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
            reconnects: counter(10),
            waiting_seconds: self.waiting_seconds.with_label_values(&labels),
            connected: gauge(0),
            last_message_unix_seconds: self.last_message_seconds.with_label_values(&labels),
            lag_messages: gauge(1),
            unacknowledged: gauge(4),
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
        drop(self.waiting_seconds.remove_label_values(labels));
        drop(self.last_message_seconds.remove_label_values(labels));
        for component in components {
            let labels = [labels[0], labels[1], labels[2], component];
            drop(self.cursors.numbers.remove_label_values(&labels));
            drop(self.cursors.moments.remove_label_values(&labels));
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
        let gauges = [&self.shard_gauges, &self.pipeline_gauges, &self.targets];
        gauges.into_iter().flatten().for_each(|vec| forget_series(vec, pipeline));
        forget_series(&self.waiting_seconds, pipeline);
        let moments = [&self.age_seconds, &self.last_message_seconds, &self.cursors.moments];
        moments.into_iter().for_each(|vec| forget_series(vec, pipeline));
        self.pipeline_moments.iter().for_each(|vec| forget_series(vec, pipeline));
        forget_series(&self.cursors.numbers, pipeline);
        forget_series(&self.states, pipeline);
        forget_series(&self.commit_seconds, pipeline);
        forget_series(&self.latency_seconds, pipeline);
        self.nodes.forget(pipeline);
    }

    /// Where one shard durably stands.
    #[must_use]
    pub fn place(&self, pipeline: &str, source: &str, shard: &str) -> PlaceMetrics {
        let labels = [pipeline, source, shard];
        PlaceMetrics {
            session: self.shard_gauges[2].with_label_values(&labels),
            sequence: self.shard_gauges[3].with_label_values(&labels),
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
            credit_capacity_bytes: gauge(1),
            last_commit_unix_seconds: self.pipeline_moments[0].with_label_values(&labels),
            start_unix_seconds: self.pipeline_moments[1].with_label_values(&labels),
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
        let [pipeline, source, shard] = &self.labels;
        for (component, value) in values {
            let labels = [pipeline, source, shard, component];
            let number = |value| self.cursors.numbers.with_label_values(&labels).set(value);
            match value {
                CursorValue::Int(value) => number(*value),
                CursorValue::Uint(value) => number(i64::try_from(*value).unwrap_or(i64::MAX)),
                CursorValue::Timestamp { seconds, nanos } => {
                    let moment = *seconds as f64 + f64::from(*nanos) / 1e9;
                    self.cursors.moments.with_label_values(&labels).set(moment);
                }
                CursorValue::Text(_) | CursorValue::Opaque(_) | CursorValue::Message(_) => {}
            }
        }
    }
}

/// The moment, as Prometheus tells time: seconds since 1970-01-01T00:00:00Z.
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
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

/// A counter of what the series of [`SHARD_COUNTERS`] at this place had counted.
fn unregistered(place: usize) -> IntCounterVec {
    let (name, help) = SHARD_COUNTERS[place];
    IntCounterVec::new(Opts::new(name, help), &PIPELINE_LABELS).expect("names are constants")
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::position::Cursor;
    use std::collections::BTreeMap;

    fn value(telemetry: &Telemetry, name: &str) -> Option<f64> {
        let families = telemetry.registry().gather();
        let family = families.iter().find(|family| family.name() == name)?;
        family.get_metric().first().map(|metric| metric.get_gauge().get_value())
    }

    #[test]
    fn a_cursor_that_is_a_moment_is_shown_in_seconds_and_goes_with_its_shard() {
        let telemetry = Telemetry::default();
        let moment = CursorValue::Timestamp { seconds: 1_700_000_000, nanos: 250_000_000 };
        let values = BTreeMap::from([("at".to_owned(), moment)]);
        let cursor = Some(Cursor { values, ..Cursor::default() });
        telemetry.place("p", "s", "s/a").set(&Position { cursor, ..Position::default() });
        let name = "headwater_source_committed_cursor_timestamp_seconds";
        assert_eq!(value(&telemetry, name), Some(1_700_000_000.25));
        telemetry.forget_shard(&["p", "s", "s/a"], [&"at".to_owned()].into_iter());
        assert_eq!(value(&telemetry, name), None);
    }

    #[test]
    fn each_series_is_listed_under_the_name_it_is_served_by() {
        let telemetry = Telemetry::default();
        let _ = (telemetry.shard("p", "s", "s/a"), telemetry.pipeline("p"));
        let _ = (telemetry.operator("p", "o"), telemetry.sink("p", "k"));
        let listed = |name: &str| telemetry.families().iter().any(|family| family.name == name);
        for family in telemetry.registry().gather() {
            assert!(listed(family.name()), "{}", family.name());
        }
    }
}
