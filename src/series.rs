//! `headwater reference metrics`: every series of the program, printed from what makes them.
//!
//! `tests/deploy/metrics.rs` compares the list with what a running program serves, in both
//! directions.

use crate::exit::{Exit, Outcome};
use crate::otlp::names::{Named, named};
use crate::output;
use headwater_operators::telemetry::{Family, Kind, PREFIX, Telemetry};
use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricType;
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Metrics

<!-- Printed by `headwater reference metrics`; `just update-expected` writes it anew. -->

Served at `/metrics` in Prometheus' text format, on `127.0.0.1:9464` unless `--metrics HOST:PORT`
says otherwise. Names follow the conventions of Prometheus and OpenTelemetry: base units (seconds,
bytes), the unit last, `_total` for what only grows. Counters begin at 0 with each start of the
process; moments are Unix time in seconds, and 0 where there has been none. What is counted is
counted per batch or per commit, never per record.

`pipeline`, `source`, `operator` (a decoder or transform) and `sink` are the names of the pipeline
file, `shard` is the name of one call as `headwater offsets show` prints it, `component` a part of a
cursor. A histogram's series end in `_bucket`, `_sum` and `_count`.

Which of them are worth an alert, and what to do then:
[`deploy/prometheus/alerts.yaml`](../deploy/prometheus/alerts.yaml) and [RUNBOOK.md](RUNBOOK.md).
A dashboard: [`deploy/grafana/headwater.json`](../deploy/grafana/headwater.json).
";

const OTLP: &str = "
## By OTLP

With `--otlp URL` the same series go to an OpenTelemetry collector ([GUIDE.md](GUIDE.md), *Traces
and metrics for a collector*), under names that follow from these: the unit and `_total` are no part
of a name there, and the part of the program is a namespace. A Prometheus that receives them by OTLP
makes the same names of them again, so that rules and the dashboard hold; what is told of the
process has the names of OpenTelemetry's conventions. Labels are attributes of the same names,
values are cumulative.

| series | name by OTLP | kind and unit |
|---|---|---|
";

const MOVING: &str = "
## From the Java connector's figures

The Java connector shows thirteen attributes of `io.conduktor.connect.grpc:type=GrpcConnector` by
JMX. Each has a counterpart; where Headwater's is another thing, the last column says so. The
connector's `name` is the label `pipeline` here, its `server` a part of the label `shard`.

| attribute | in Prometheus' words | what is different |
|---|---|---|
";

const AFTER_MOVING: &str = "
The operation `resetCounters` has no counterpart: nobody resets a counter that others read. Ask for
`increase(…[1h])` instead.
";

/// The attributes of the Java connector, what to ask for instead, and what is different.
const ATTRIBUTES: [[&str; 3]; 13] = [
    ["MessagesReceived", "headwater_source_received_messages_total", "per shard"],
    [
        "MessagesDropped",
        "headwater_source_gap_messages_total",
        "Headwater drops nothing: a full queue slows the server. This counts messages that the \
         *server* left out, as far as cursors show it",
    ],
    [
        "RecordsProduced",
        "headwater_committed_records_total",
        "counted when the transaction is committed, not when the record is handed on",
    ],
    [
        "QueueSize",
        "headwater_credit_used_bytes",
        "in bytes, of the whole pipeline; in messages, per shard, it is `LagCount`",
    ],
    ["QueueCapacity", "headwater_credit_capacity_bytes", "in bytes: `memory.credit_bytes`"],
    [
        "QueueUtilizationPercent",
        "100 * headwater_credit_used_bytes / headwater_credit_capacity_bytes",
        "may pass 100 by what decoding adds, and by groups that `boundary: change` holds back",
    ],
    ["IsConnected", "headwater_source_connected", "per shard"],
    [
        "MillisSinceLastMessage",
        "1000 * (time() - (headwater_source_last_message_timestamp_seconds > 0))",
        "no value before the first message",
    ],
    [
        "UptimeMillis",
        "1000 * (time() - headwater_pipeline_start_time_seconds)",
        "of the pipeline; of the process it is `process_start_time_seconds`",
    ],
    [
        "TotalReconnects",
        "headwater_source_reconnects_total",
        "attempts; `headwater_source_calls_total` counts the calls that were opened",
    ],
    [
        "LagCount",
        "headwater_source_lag_messages",
        "received and not yet durable, where the connector counts gaps of its own numbering; \
         gaps are `headwater_source_gaps_total`",
    ],
    [
        "DropRate",
        "rate(headwater_source_waiting_seconds_total[5m])",
        "a rate of drops would be 0 always. What grows instead when Kafka is the slower side is \
         the share of time in which nothing is read",
    ],
    [
        "ConnectorName",
        "headwater_pipeline_start_time_seconds",
        "the label `pipeline` of this and of every other series",
    ],
];

/// A part of the list: its heading, and what the names of its series begin with.
const PARTS: [(&str, &[&str]); 7] = [
    ("Sources", &["source_"]),
    ("Decoders and transforms", &["operator_"]),
    ("Sinks", &["sink_", "batch_latency_"]),
    ("`headwater serve`", &["serve_"]),
    ("What is sent to a collector", &["otlp_"]),
    ("Pipelines", &[]),
    ("Process", &[]),
];

/// Prints the list in Markdown.
pub(crate) fn print() -> Outcome {
    output::print(&markdown());
    Ok(Exit::Done)
}

fn markdown() -> String {
    let mut families = Telemetry::default().families().to_vec();
    families.push(promise());
    families.extend(process());
    families.sort_by(|one, other| one.name.cmp(&other.name));
    let mut out = INTRODUCTION.to_owned();
    for (place, (heading, _)) in PARTS.iter().enumerate() {
        let _ = writeln!(out, "\n## {heading}\n");
        out.push_str("| series | kind | labels | meaning |\n|---|---|---|---|\n");
        families.iter().filter(|it| part(&it.name) == place).for_each(|it| row(&mut out, it));
    }
    write_otlp(&mut out, &families);
    out.push_str(MOVING);
    for [attribute, expression, different] in ATTRIBUTES {
        let _ = writeln!(out, "| `{attribute}` | `{expression}` | {different} |");
    }
    out.push_str(AFTER_MOVING);
    out
}

/// What each series is called where it is sent by OTLP.
fn write_otlp(out: &mut String, families: &[Family]) {
    out.push_str(OTLP);
    for Family { name, kind, .. } in families {
        let Named { name: otlp, unit, is_sum } = named(name);
        let kind = match (kind, is_sum) {
            (Kind::Histogram, _) => "histogram",
            (Kind::Counter, _) => "sum, monotonic",
            (Kind::Gauge, true) => "sum",
            (Kind::Gauge, false) => "gauge",
        };
        let _ = writeln!(out, "| `{name}` | `{otlp}` | {kind}{} |", unit_words(unit));
    }
}

fn unit_words(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(", `{unit}`") }
}

/// Which part of the list a series belongs to.
fn part(name: &str) -> usize {
    let Some(name) = name.strip_prefix(PREFIX).and_then(|it| it.strip_prefix('_')) else {
        return PARTS.len() - 1;
    };
    let begins = |(_, starts): &(&str, &[&str])| starts.iter().any(|start| name.starts_with(start));
    PARTS.iter().position(begins).unwrap_or(PARTS.len() - 2)
}

fn row(out: &mut String, family: &Family) {
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let Family { name, kind, help, .. } = family;
    let _ = writeln!(out, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
}

/// What `pipelines.rs` shows of each stream.
fn promise() -> Family {
    Family {
        name: format!("{PREFIX}_stream_guarantee"),
        kind: Kind::Gauge,
        labels: ["pipeline", "source", "sink", "guarantee"].map(str::to_owned).into(),
        help: "What a stream is promised; always 1".to_owned(),
    }
}

/// What Prometheus' own collector tells of the process.
fn process() -> impl Iterator<Item = Family> {
    ProcessCollector::for_self().collect().into_iter().map(|family| Family {
        name: family.name().to_owned(),
        kind: match family.get_field_type() {
            MetricType::COUNTER => Kind::Counter,
            _ => Kind::Gauge,
        },
        labels: Vec::new(),
        help: family.help().trim_end_matches('.').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_unit_and_counters_that_they_are() {
        for Family { name, kind, .. } in Telemetry::default().families() {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(name.starts_with("headwater_"), "{name}");
            let scaled = ["_ms", "_millis", "_micros", "_ns", "_kb", "_mb", "_percent", "_minutes"];
            assert!(!scaled.iter().any(|it| name.contains(it)), "{name} is not in a base unit");
            if *kind == Kind::Histogram {
                assert!(name.ends_with("_seconds"), "{name}");
            }
        }
    }

    #[test]
    fn each_attribute_of_the_connector_is_asked_for_by_series_that_exist() {
        let telemetry = Telemetry::default();
        for [attribute, expression, _] in ATTRIBUTES {
            let names = expression.split(|it: char| !it.is_alphanumeric() && it != '_');
            let names: Vec<&str> = names.filter(|it| it.starts_with(PREFIX)).collect();
            assert!(!names.is_empty(), "{attribute}");
            for name in names {
                let exists = telemetry.families().iter().any(|it| it.name == name);
                assert!(exists, "{attribute}: {name}");
            }
        }
    }
}
