//! How long a message takes from the moment it was due to the moment a reader can see it.
//!
//! Method: an open loop. The generator sends at a fixed rate and stamps each event with the time it
//! was due, so that a stall anywhere shows in every event behind it. A `read_committed` reader
//! subtracts that time from the clock when it gets the record. The way from receipt to the
//! acknowledged commit comes from headwater's own histogram. After each case the process is asked
//! to end, and what it left behind is checked for count and order.
//!
//! Two cases measure other things: `commit` the time of one transaction of about 1,000 records, and
//! `idle` the CPU of a pipeline whose stream is open and silent.
//!
//! ```text
//! cargo bench --bench latency                            # Apache Kafka, 20 s a case
//! cargo bench --bench latency -- --only 10000/s --seconds 60 --commit-interval-ms 10
//! cargo bench --bench latency -- --toy                   # seconds, embedded broker
//! ```

mod support;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use hdrhistogram::Histogram;
use headwater_telemetry::{IDLE, pace::unix_ns};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::{Delivery, Pipeline};
use headwater_test_support::process::{self, Headwater, Launch, Metrics};
use headwater_test_support::topic::{self, Isolation, event};
use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use serde_json::json;
use support::generator::{self, Generator};
use support::options::{Common, write};
use support::plot::{Series, percentiles};
use support::table::{markdown, thousands};
use support::{PARTITIONS, SETTLE_MAX, machine};

/// Measures latency: due at the generator → visible in Kafka.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    /// How long each case is measured. [default: 20; toy: 2]
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,

    /// How often a pipeline commits; the `commit` case has its own.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    commit_interval_ms: u64,

    /// Where the plot goes. [default: docs/benchmarks/latency.svg; toy: nowhere]
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What every case is measured with.
struct Bench {
    options: Options,
    cluster: Cluster,
    generator: Generator,
    window: Duration,
}

/// What an open loop came to.
struct Outcome {
    name: String,
    /// From due to visible, in microseconds.
    visible: Histogram<u64>,
    /// What headwater's own histograms gained in the window.
    receipt_to_commit: process::Histogram,
    commit: process::Histogram,
    records_per_commit: f64,
}

const RATES: [u64; 3] = [1_000, 10_000, 50_000];
const RATE_TOY: u64 = 1_000;
/// 20,000 a second, every 50 ms: 1,000 in each.
const COMMIT_CASE: (&str, u64, u64) = ("commit/1000 records", 20_000, 50);
const WARM_UP: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);
const LATENCY_US_MAX: u64 = 600_000_000;
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

fn main() -> Result<()> {
    if generator::serve_if_asked()? {
        return Ok(());
    }
    let options = Options::parse();
    let window = options.seconds.unwrap_or(if options.common.is_toy() { 2 } else { 20 });
    let bench = Bench {
        cluster: options.common.cluster()?,
        generator: Generator::start()?,
        window: Duration::from_secs(window),
        options,
    };
    let machine = machine::describe();
    println!("{window} s a case; {}; {machine}\n", bench.cluster.name());
    let outcomes = bench.open_loops()?;
    let commit = bench.commit()?;
    let idle_percent = bench.idle()?;
    let results: Vec<_> = outcomes.iter().chain(&commit).map(Outcome::json).collect();
    bench.options.common.write_json(&json!({
        "bench": "latency", "seconds": window, "machine": machine,
        "broker": bench.cluster.name(), "results": results, "idle_cpu_percent": idle_percent,
    }))
}

impl Bench {
    fn open_loops(&self) -> Result<Vec<Outcome>> {
        let is_toy = self.options.common.is_toy();
        let rates = if is_toy { &[RATE_TOY][..] } else { &RATES };
        let mut outcomes = Vec::new();
        for (delivery, word) in
            [(Delivery::ExactlyOnce, "exactly_once"), (Delivery::AtLeastOnce, "at_least_once")]
        {
            for rate in rates {
                let name = format!("{word} {rate}/s");
                if self.options.common.wants(&name) {
                    let interval_ms = self.options.commit_interval_ms;
                    outcomes.push(self.open_loop(&name, *rate, delivery, interval_ms)?);
                }
            }
        }
        if !outcomes.is_empty() {
            println!("{}\n", report(&outcomes));
            self.plot(&outcomes)?;
        }
        Ok(outcomes)
    }

    fn commit(&self) -> Result<Option<Outcome>> {
        let (name, rate, interval_ms) = COMMIT_CASE;
        if !self.options.common.wants(name) {
            return Ok(None);
        }
        let rate = if self.options.common.is_toy() { RATE_TOY } else { rate };
        let outcome = self.open_loop(name, rate, Delivery::ExactlyOnce, interval_ms)?;
        let quantile = |it| milliseconds(outcome.commit.quantile(it));
        println!(
            "a transaction of {:.0} records commits in p50 {} ms, p99 {} ms ({} commits)\n",
            outcome.records_per_commit,
            quantile(0.5),
            quantile(0.99),
            outcome.commit.count(),
        );
        Ok(Some(outcome))
    }

    /// The CPU of an idle pipeline, in percent of a core.
    fn idle(&self) -> Result<Option<f64>> {
        if !self.options.common.wants("idle") {
            return Ok(None);
        }
        let pipeline = self.pipeline("idle", 50)?.request("filter", IDLE);
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let mut headwater = launch.run(&pipeline)?;
        headwater.wait_for("an open stream", SETTLE_MAX, |it| {
            it.metrics().is_ok_and(|it| it.sum("headwater_source_connected") == 1.0)
        })?;
        std::thread::sleep(WARM_UP);
        let before = headwater.usage()?;
        std::thread::sleep(self.window);
        let after = headwater.usage()?;
        let received = headwater.metrics()?.sum("headwater_source_received_messages_total");
        ensure!(received == 0.0, "an idle stream brought {received} messages");
        stop(&mut headwater)?;
        let percent = 100.0 * (after.cpu - before.cpu).as_secs_f64() / self.window.as_secs_f64();
        let rss_mib = after.rss_bytes as f64 / f64::from(1 << 20);
        println!("idle: {percent:.2} % of a core, {rss_mib:.0} MiB resident");
        Ok(Some(percent))
    }

    fn open_loop(
        &self,
        name: &str,
        rate: u64,
        delivery: Delivery,
        interval_ms: u64,
    ) -> Result<Outcome> {
        let mut pipeline = self.pipeline(name, interval_ms)?.request("rate", rate);
        pipeline.delivery = delivery;
        let consumer =
            topic::consumer(self.cluster.bootstrap(), &pipeline.topic, Isolation::Committed)?;
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let mut headwater = launch.run(&pipeline)?;
        headwater.wait_for("a first commit", SETTLE_MAX, |it| {
            it.metrics().is_ok_and(|it| it.sum("headwater_committed_records_total") > 0.0)
        })?;
        let (visible, before, after) = self.measure(&consumer, &headwater)?;
        stop(&mut headwater)?;
        let arrived = support::check(&self.cluster, &pipeline.topic, None)?;
        ensure!(!visible.is_empty(), "{name}: nothing became visible in the window");
        ensure!(arrived.count >= visible.len(), "{name}: records were read that are not there");
        // Fewer than were due: the backlog grows, and the latencies say how long the window was.
        let is_saturated = visible.len() < rate * self.window.as_secs() * 9 / 10;
        let name = if is_saturated { format!("{name} (saturated)") } else { name.to_owned() };
        let outcome = Outcome::new(name, visible, &before, &after);
        eprintln!("{}: p50 {} ms", outcome.name, outcome.visible_ms(0.5));
        Ok(outcome)
    }

    /// Reads for as long as the case lasts, and takes headwater's metrics at both ends.
    fn measure(
        &self,
        consumer: &BaseConsumer,
        headwater: &Headwater,
    ) -> Result<(Histogram<u64>, Metrics, Metrics)> {
        let (is_measured, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| read(consumer, &is_measured, &is_over));
            let watched = self.watch(headwater, &is_measured);
            is_over.store(true, Ordering::Relaxed);
            let visible = reading.join().expect("the reader does not panic")?;
            let (before, after) = watched?;
            Ok((visible, before, after))
        })
    }

    fn watch(&self, headwater: &Headwater, is_measured: &AtomicBool) -> Result<(Metrics, Metrics)> {
        std::thread::sleep(WARM_UP);
        let before = headwater.metrics()?;
        is_measured.store(true, Ordering::Relaxed);
        std::thread::sleep(self.window);
        Ok((before, headwater.metrics()?))
    }

    /// A pipeline of its own, with its topic made.
    fn pipeline(&self, case: &str, commit_interval_ms: u64) -> Result<Pipeline> {
        let word = case.replace(|it: char| !it.is_ascii_alphanumeric(), "-");
        let name = format!("latency-{word}-{}", std::process::id());
        self.cluster.create_topic(&name, PARTITIONS)?;
        Ok(Pipeline {
            name: name.clone(),
            topic: name,
            partitions: None,
            commit_interval_ms,
            ..Pipeline::new(self.generator.endpoint(), self.cluster.bootstrap())
        })
    }

    fn plot(&self, outcomes: &[Outcome]) -> Result<()> {
        let series: Vec<Series<'_>> = outcomes
            .iter()
            .map(|it| Series { name: it.name.clone(), histogram: &it.visible })
            .collect();
        let svg = percentiles("From due at the generator to visible in Kafka", &series);
        ensure!(svg.matches("<polyline").count() == series.len(), "a line for each case");
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks/latency.svg");
        match &self.options.plot {
            Some(path) => write(path, &svg),
            None if self.options.common.is_toy() => Ok(()),
            None => write(default.as_ref(), &svg),
        }
    }
}

/// Reads until it is over; counts what becomes visible while it is measured.
fn read(
    consumer: &BaseConsumer,
    is_measured: &AtomicBool,
    is_over: &AtomicBool,
) -> Result<Histogram<u64>> {
    let mut latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
    while !is_over.load(Ordering::Relaxed) {
        let message = match consumer.poll(POLL) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => continue,
            Some(Err(error)) if topic::is_passing(&error) => continue,
            Some(message) => message?,
        };
        if is_measured.load(Ordering::Relaxed) {
            let value = message.payload().context("a record without a value")?;
            let due_ns = event::emitted_ns(value).context("a value without a time")?;
            let latency_us = (unix_ns() - due_ns).max(1000) / 1000;
            latencies.record(latency_us.unsigned_abs())?;
        }
    }
    Ok(latencies)
}

fn stop(headwater: &mut Headwater) -> Result<()> {
    let (status, _) = headwater.stop(SETTLE_MAX)?;
    ensure!(status.success(), "headwater ended with {status}:\n{}", headwater.log()?);
    Ok(())
}

impl Outcome {
    fn new(name: String, visible: Histogram<u64>, before: &Metrics, after: &Metrics) -> Outcome {
        let gained = |name| after.histogram(name).since(&before.histogram(name));
        let counted = |name| after.sum(name) - before.sum(name);
        let commits = counted("headwater_commits_total").max(1.0);
        Outcome {
            name,
            visible,
            receipt_to_commit: gained("headwater_receipt_to_commit_seconds"),
            commit: gained("headwater_commit_seconds"),
            records_per_commit: counted("headwater_committed_records_total") / commits,
        }
    }

    fn visible_ms(&self, quantile: f64) -> String {
        format!("{:.1}", self.visible.value_at_quantile(quantile) as f64 / 1000.0)
    }

    fn row(&self) -> Vec<String> {
        let mut cells = vec![self.name.clone()];
        cells.extend(QUANTILES.map(|it| self.visible_ms(it)));
        cells.push(format!("{:.1}", self.visible.max() as f64 / 1000.0));
        cells.push(milliseconds(self.receipt_to_commit.quantile(0.5)));
        cells.push(milliseconds(self.receipt_to_commit.quantile(0.99)));
        cells.push(thousands(self.visible.len() as f64));
        cells
    }

    fn json(&self) -> serde_json::Value {
        let visible_us = |it| self.visible.value_at_quantile(it);
        json!({
            "case": self.name,
            "count": self.visible.len(),
            "visible_us": {
                "p50": visible_us(0.5), "p90": visible_us(0.9), "p99": visible_us(0.99),
                "p99.9": visible_us(0.999), "max": self.visible.max(),
            },
            "receipt_to_commit_seconds": {
                "p50": self.receipt_to_commit.quantile(0.5),
                "p99": self.receipt_to_commit.quantile(0.99),
            },
            "commit_seconds": {
                "p50": self.commit.quantile(0.5), "p99": self.commit.quantile(0.99),
            },
            "records_per_commit": self.records_per_commit,
        })
    }
}

/// A quantile of headwater's own histogram, which may end in its last bucket or be empty.
fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |it| format!("{:.1}", it * 1000.0))
}

fn report(outcomes: &[Outcome]) -> String {
    let head = [
        "due → visible, ms",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "receipt → ack p50",
        "p99",
        "records",
    ];
    markdown(&head, &outcomes.iter().map(Outcome::row).collect::<Vec<_>>())
}
