//! An open loop: messages are due at fixed moments, whatever the subject does.
//!
//! The generator stamps each event with the time it was due, so that a stall anywhere shows in
//! every event behind it. A reader subtracts that time from the clock when it gets the record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use headwater_telemetry::pace::unix_ns;
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::{Delivery, Pipeline};
use headwater_test_support::process::{self, Headwater, Launch, Metrics, Usage};
use headwater_test_support::topic::{self, Isolation, event};
use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use serde_json::json;

use super::generator::Generator;
use super::options::Common;
use super::straight::{Line, LineValues, Straight};
use super::table::{mib, thousands};
use super::{PARTITIONS, SETTLE_MAX};

/// What goes by before anything is measured.
pub const WARM_UP: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(50);
const LATENCY_US_MAX: u64 = 600_000_000;
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// What every case is measured with.
pub struct OpenLoop {
    /// The broker.
    pub cluster: Cluster,
    /// How long each case is measured.
    pub window: Duration,
    generator: Generator,
    sink_extra: Vec<String>,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Messages a second.
    pub rate: u64,
    /// How the sink delivers.
    pub delivery: Delivery,
    /// How often it commits.
    pub commit_interval_ms: u64,
    /// How many producers take turns; none leaves it to the program.
    pub ring: Option<u32>,
}

/// What an open loop came to.
pub struct Outcome {
    /// The case.
    pub name: String,
    /// From due to visible, in microseconds.
    pub visible: Histogram<u64>,
    /// What headwater's own histograms gained in the window.
    receipt_to_commit: process::Histogram,
    /// From asking for a commit to its acknowledgement.
    pub commit: process::Histogram,
    /// The mean.
    pub records_per_commit: f64,
    /// How many there were in the window.
    pub commits: f64,
    /// CPU of the process in the window.
    pub cpu_us_per_message: f64,
    /// The largest resident size of the process since its start.
    pub rss_bytes_max: u64,
}

/// The process at one moment. The straight line has no metrics of its own.
struct Look {
    metrics: Metrics,
    usage: Usage,
}

impl Look {
    fn at(headwater: &Headwater) -> Result<Look> {
        Ok(Look { metrics: headwater.metrics()?, usage: headwater.usage()? })
    }

    fn at_line(line: &Straight) -> Result<Look> {
        Ok(Look { metrics: Metrics::parse(""), usage: line.usage()? })
    }
}

impl OpenLoop {
    /// Starts the generator beside the cluster that the options ask for.
    pub fn start(options: &Common, window: Duration) -> Result<OpenLoop> {
        let (cluster, generator) = (options.cluster()?, Generator::start()?);
        Ok(OpenLoop { cluster, window, generator, sink_extra: options.sink_extra() })
    }

    /// Measures one case.
    pub fn run(&self, name: &str, case: &Case) -> Result<Outcome> {
        let Case { rate, delivery, commit_interval_ms, ring } = *case;
        let mut pipeline = self.pipeline(name)?.request("rate", rate);
        pipeline.delivery = delivery;
        pipeline.commit_interval_ms = commit_interval_ms;
        pipeline.ring = ring;
        let consumer =
            topic::consumer(self.cluster.bootstrap(), &pipeline.topic, Isolation::Committed)?;
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let mut headwater = launch.run(&pipeline)?;
        headwater.wait_for("a first commit", SETTLE_MAX, |it| {
            it.metrics().is_ok_and(|it| it.sum("headwater_committed_records_total") > 0.0)
        })?;
        let (visible, before, after) = self.measure(&consumer, || Look::at(&headwater))?;
        stop(&mut headwater)?;
        let arrived = super::check(&self.cluster, &pipeline.topic, None)?;
        ensure!(arrived.count >= visible.len(), "{name}: records were read that are not there");
        self.outcome(name, rate, visible, [before, after])
    }

    /// Measures the straight line without transactions: what the machine, Kafka and the reader add
    /// to the latency of any program.
    pub fn run_line(&self, name: &str, rate: u64) -> Result<Outcome> {
        let Pipeline { topic, .. } = self.pipeline(name)?;
        let consumer = topic::consumer(self.cluster.bootstrap(), &topic, Isolation::Committed)?;
        let line = Straight::start(&Line {
            endpoint: self.generator.endpoint().to_owned(),
            brokers: self.cluster.bootstrap().to_owned(),
            topic,
            values: LineValues::Json,
            commit_interval_ms: None,
            shards: 1,
            count: 0,
            rate,
        })?;
        let (visible, before, after) = self.measure(&consumer, || Look::at_line(&line))?;
        self.outcome(name, rate, visible, [before, after])
    }

    fn outcome(
        &self,
        name: &str,
        rate: u64,
        visible: Histogram<u64>,
        [before, after]: [Look; 2],
    ) -> Result<Outcome> {
        ensure!(!visible.is_empty(), "{name}: nothing became visible in the window");
        // Fewer than were due: the backlog grows, and the latencies say how long the window was.
        let is_saturated = visible.len() < rate * self.window.as_secs() * 9 / 10;
        let name = if is_saturated { format!("{name} (saturated)") } else { name.to_owned() };
        let outcome = Outcome::new(name, visible, &before, &after);
        eprintln!("{}: p50 {} ms", outcome.name, outcome.visible_ms(0.5));
        Ok(outcome)
    }

    /// Reads for as long as the case lasts, and looks at the process at both ends.
    fn measure(
        &self,
        consumer: &BaseConsumer,
        look: impl Fn() -> Result<Look>,
    ) -> Result<(Histogram<u64>, Look, Look)> {
        let (is_measured, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| read(consumer, &is_measured, &is_over));
            let watched = self.watch(look, &is_measured);
            is_over.store(true, Ordering::Relaxed);
            let visible = reading.join().expect("the reader does not panic")?;
            let (before, after) = watched?;
            Ok((visible, before, after))
        })
    }

    fn watch(
        &self,
        look: impl Fn() -> Result<Look>,
        is_measured: &AtomicBool,
    ) -> Result<(Look, Look)> {
        std::thread::sleep(WARM_UP);
        let before = look()?;
        is_measured.store(true, Ordering::Relaxed);
        std::thread::sleep(self.window);
        Ok((before, look()?))
    }

    /// A pipeline of its own, with its topic made.
    pub fn pipeline(&self, case: &str) -> Result<Pipeline> {
        let word = case.replace(|it: char| !it.is_ascii_alphanumeric(), "-");
        let name = format!("bench-{word}-{}", std::process::id());
        self.cluster.create_topic(&name, PARTITIONS)?;
        Ok(Pipeline {
            name: name.clone(),
            topic: name,
            partitions: None,
            sink_extra: self.sink_extra.clone(),
            ..Pipeline::new(self.generator.endpoint(), self.cluster.bootstrap())
        })
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

/// Asks the process to end, and demands that all it received is committed.
pub fn stop(headwater: &mut Headwater) -> Result<()> {
    let (status, _) = headwater.stop(SETTLE_MAX)?;
    ensure!(status.success(), "headwater ended with {status}:\n{}", headwater.log()?);
    Ok(())
}

impl Outcome {
    fn new(
        name: String,
        visible: Histogram<u64>,
        Look { metrics: before, usage: usage_before }: &Look,
        Look { metrics: after, usage }: &Look,
    ) -> Outcome {
        let cpu = usage.cpu.saturating_sub(usage_before.cpu);
        let gained = |name| after.histogram(name).since(&before.histogram(name));
        let counted = |name| after.sum(name) - before.sum(name);
        let commits = counted("headwater_commits_total").max(1.0);
        let committed = counted("headwater_committed_records_total");
        let messages = if committed > 0.0 { committed } else { visible.len() as f64 };
        Outcome {
            name,
            visible,
            receipt_to_commit: gained("headwater_receipt_to_commit_seconds"),
            commit: gained("headwater_commit_seconds"),
            records_per_commit: committed / commits,
            commits,
            cpu_us_per_message: cpu.as_secs_f64() * 1e6 / messages,
            rss_bytes_max: usage.rss_bytes_max,
        }
    }

    /// A quantile from due to visible, in milliseconds.
    pub fn visible_ms(&self, quantile: f64) -> String {
        format!("{:.1}", self.visible.value_at_quantile(quantile) as f64 / 1000.0)
    }

    /// The columns of a table of latencies.
    pub fn row(&self) -> Vec<String> {
        let mut cells = vec![self.name.clone()];
        cells.extend(QUANTILES.map(|it| self.visible_ms(it)));
        cells.push(format!("{:.1}", self.visible.max() as f64 / 1000.0));
        cells.push(milliseconds(self.receipt_to_commit.quantile(0.5)));
        cells.push(milliseconds(self.receipt_to_commit.quantile(0.99)));
        cells.push(format!("{:.1}", self.cpu_us_per_message));
        cells.push(mib(self.rss_bytes_max));
        cells.push(thousands(self.visible.len() as f64));
        cells
    }

    /// All of it, for machines.
    pub fn json(&self) -> serde_json::Value {
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
            "commits": self.commits,
            "cpu_us_per_message": self.cpu_us_per_message,
            "rss_bytes_max": self.rss_bytes_max,
        })
    }
}

/// A quantile of headwater's own histogram, which may end in its last bucket or be empty.
pub fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |it| format!("{:.1}", it * 1000.0))
}
