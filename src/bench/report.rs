//! What a bench prints: what runs and where it writes, and at the end what was measured.
//!
//! The JSON has the same numbers without rounding; its keys end with their unit.

use crate::args::{Bench, BenchBroker};
use crate::bench::double::Double;
use crate::bench::measure::{Measured, Totals, Window};
use crate::words::{bytes, count};
use hdrhistogram::Histogram;
use headwater_engine::spec::Role;
use headwater_operators::source::grpc::GrpcSource;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::time::Duration;

/// The percentiles that are told.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What stands before the first message.
pub(super) fn introduction(double: &Double, options: &Bench, real: &str) -> String {
    let name = double.plan.name();
    let mut out = format!("headwater bench: pipeline {real}, as {name}\n\n");
    let mut line = |key: &str, text: &str| {
        let _ = writeln!(out, "  {key:<9} {text}");
    };
    for node in double.plan.of_role(Role::Source) {
        let message = node.config::<GrpcSource>().message().full_name().to_owned();
        let from = match double.served.as_ref().and_then(|served| served.get(&node.name)) {
            None => "from the file's servers".to_owned(),
            Some(served) => format!("generated, {} bytes each", count(served.message_bytes)),
        };
        line("source", &format!("{}: {message}, {from}", node.name));
    }
    match (&double.embedded, double.target()) {
        (Some(address), _) => line("broker", &format!("{address}, embedded, in memory")),
        (None, Some(target)) => line("broker", &format!("{}, that of the file", target.brokers)),
        (None, None) => line("broker", "none: the pipeline has no Kafka sink"),
    }
    let end = match (options.broker, options.keep) {
        (BenchBroker::Embedded, _) => "end with the broker",
        (BenchBroker::File, true) => "stay (--keep)",
        (BenchBroker::File, false) => "are deleted at the end",
    };
    let topics: Vec<String> = double.topics().into_iter().collect();
    if !topics.is_empty() {
        line("topics", &format!("{}; they {end}", topics.join(", ")));
    }
    out.push('\n');
    out
}

/// What was measured, for people.
pub(super) fn text(measured: &Measured) -> String {
    let Measured { window, totals, .. } = measured;
    let mut out = match window {
        None => "nothing was measured: no message arrived\n".to_owned(),
        Some(window) => window_text(window),
    };
    let Totals { received, records, dead_letters, resends, rebuilds } = *totals;
    let _ = writeln!(
        out,
        "\nin all {} messages received, {} records committed, {} dead letters",
        count(received),
        count(records),
        count(dead_letters)
    );
    if resends + rebuilds > 0 {
        let (resends, rebuilds) = (count(resends), count(rebuilds));
        let _ = writeln!(out, "epochs sent again: {resends}; built anew: {rebuilds}");
    }
    out
}

fn window_text(window: &Window) -> String {
    let Window { is_whole, tally, usage, .. } = window;
    let which = if *is_whole { "the whole run, " } else { "" };
    let mut out = format!("measured: {which}{:.1} s\n\n", window.span.as_secs_f64());
    let mut rates = |what: &str, number: u64, volume: u64| {
        let per_second = count(window.per_second(number) as u64);
        let volume = bytes(window.per_second(volume) as u64);
        let _ = writeln!(out, "  {what:<10} {per_second:>11}/s  {volume:>10}/s  {}", count(number));
    };
    rates("received", window.received, window.received_bytes);
    rates("committed", tally.records, tally.bytes);
    let _ = writeln!(
        out,
        "  {:<10} {:.2} µs a message, {:.0} % of a core",
        "CPU",
        window.cpu_us_per_message(),
        window.cpu_percent()
    );
    let (now, most) = (bytes(usage.resident_bytes), bytes(usage.resident_bytes_max));
    let _ = writeln!(out, "  {:<10} {now} resident, {most} at most", "memory");
    let _ = writeln!(
        out,
        "  {:<10} {:.1}/s, {} records each, {} at p50, {} at p99",
        "commits",
        window.per_second(tally.commits()),
        count(tally.records.checked_div(tally.commits()).unwrap_or(0)),
        ms(tally.commit_us.value_at_quantile(0.5)),
        ms(tally.commit_us.value_at_quantile(0.99)),
    );
    out.push_str("\n  receipt → durable, by record\n");
    for (name, quantile) in QUANTILES {
        let _ =
            writeln!(out, "  {name:<10} {:>11}", ms(tally.latency_us.value_at_quantile(quantile)));
    }
    let _ = writeln!(out, "  {:<10} {:>11}", "max", ms(tally.latency_us.max()));
    out
}

/// The same for machines.
pub(super) fn json(measured: &Measured, double: &Double, real: &str) -> Json {
    let Totals { received, records, dead_letters, resends, rebuilds } = measured.totals;
    json!({
        "pipeline": real,
        "ran_as": double.plan.name(),
        "topics": double.topics(),
        "broker": if double.embedded.is_some() { "embedded" } else { "file" },
        "generated": double.served,
        "exit_code": measured.exit.code(),
        "measured": measured.window.as_ref().map(window_json),
        "total": {
            "received_messages": received,
            "committed_records": records,
            "dead_letters": dead_letters,
            "resends": resends,
            "rebuilds": rebuilds,
        },
    })
}

fn window_json(window: &Window) -> Json {
    let tally = &window.tally;
    json!({
        "whole_run": window.is_whole,
        "seconds": window.span.as_secs_f64(),
        "received_messages": window.received,
        "received_messages_per_second": window.per_second(window.received),
        "received_bytes_per_second": window.per_second(window.received_bytes),
        "committed_records": tally.records,
        "committed_records_per_second": window.per_second(tally.records),
        "committed_bytes_per_second": window.per_second(tally.bytes),
        "cpu_us_per_message": window.cpu_us_per_message(),
        "cpu_percent_of_a_core": window.cpu_percent(),
        "resident_bytes": window.usage.resident_bytes,
        "resident_bytes_max": window.usage.resident_bytes_max,
        "commits": tally.commits(),
        "commits_per_second": window.per_second(tally.commits()),
        "records_per_commit": ratio(tally.records as f64, tally.commits() as f64),
        "commit_us": quantiles(&tally.commit_us),
        "latency_us": quantiles(&tally.latency_us),
    })
}

impl Window {
    fn per_second(&self, number: u64) -> f64 {
        ratio(number as f64, self.span.as_secs_f64())
    }

    fn cpu_us_per_message(&self) -> f64 {
        ratio(self.cpu.as_secs_f64() * 1e6, self.received as f64)
    }

    fn cpu_percent(&self) -> f64 {
        100.0 * ratio(self.cpu.as_secs_f64(), self.span.as_secs_f64())
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Json {
    let told = QUANTILES.iter().map(|(name, quantile)| {
        ((*name).to_owned(), json!(histogram.value_at_quantile(*quantile)))
    });
    told.chain([("max".to_owned(), json!(histogram.max()))]).collect()
}

/// 0 where there is nothing to divide by.
fn ratio(number: f64, by: f64) -> f64 {
    if by > 0.0 { number / by } else { 0.0 }
}

fn ms(us: u64) -> String {
    format!("{:.1} ms", Duration::from_micros(us).as_secs_f64() * 1e3)
}
