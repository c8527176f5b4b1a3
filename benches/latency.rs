//! How long a message takes from the moment it was due to the moment a reader can see it.
//!
//! Method: an open loop. The generator sends at a fixed rate and stamps each event with the time it
//! was due, so that a stall anywhere shows in every event behind it. A `read_committed` reader
//! subtracts that time from the clock when it gets the record. The way from receipt to the
//! acknowledged commit comes from headwater's own histogram. After each case the process is asked
//! to end, and what it left behind is checked for count and order.
//!
//! The cases `straight line` show what the machine, Kafka and the reader add to the latency of any
//! program: it produces at once, without transactions, and keeps no progress.
//!
//! The cases `idle` measure something else: the CPU of a pipeline whose streams, one and a hundred,
//! are open and silent.
//!
//! ```text
//! cargo bench --bench latency                            # Apache Kafka, 20 s a case
//! cargo bench --bench latency -- --only 10000/s --seconds 60 --commit-interval-ms 10
//! cargo bench --bench latency -- --toy                   # seconds, embedded broker
//! ```

mod support;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use headwater::plot::{Series, percentiles};
use headwater_telemetry::IDLE;
use headwater_test_support::pipeline::Delivery;
use headwater_test_support::process::Launch;
use serde_json::json;
use support::open_loop::{Case, OpenLoop, Outcome, WARM_UP, stop};
use support::options::{Common, write};
use support::table::{markdown, mib};
use support::{SETTLE_MAX, generator, machine, straight};

/// Measures latency: due at the generator → visible in Kafka.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    /// How long each case is measured. [default: 20; toy: 2]
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,

    /// How often a pipeline commits.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    commit_interval_ms: u64,

    /// How many producers take turns. [default: the program's]
    #[arg(long, value_name = "N")]
    ring: Option<u32>,

    /// Where the plot goes. [default: docs/benchmarks/latency.svg; toy: nowhere]
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What every case is measured with.
struct Bench {
    options: Options,
    open_loop: OpenLoop,
}

const RATES: [u64; 4] = [1_000, 10_000, 50_000, 100_000];
const RATE_TOY: u64 = 1_000;

/// How many streams are open and silent.
const IDLE_STREAMS: [u64; 2] = [1, 100];

/// The first heartbeat, after 3 s without a commit, makes its clients; that happens once.
const IDLE_WARM_UP: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    if generator::serve_if_asked()? || straight::run_if_asked()? {
        return Ok(());
    }
    let options = Options::parse();
    let window = options.seconds.unwrap_or(if options.common.is_toy() { 2 } else { 20 });
    let window_seconds = Duration::from_secs(window);
    let open_loop = OpenLoop::start(&options.common, window_seconds)?;
    let bench = Bench { options, open_loop };
    let machine = machine::describe();
    println!("{window} s a case; {}; {machine}\n", bench.open_loop.cluster.name());
    let outcomes = bench.open_loops()?;
    let idle = bench.idle()?;
    let results: Vec<_> = outcomes.iter().map(Outcome::json).collect();
    bench.options.common.write_json(&json!({
        "bench": "latency", "seconds": window, "machine": machine,
        "broker": bench.open_loop.cluster.name(), "results": results,
        "idle": idle.iter().map(|(streams, percent)| json!({
            "streams": streams, "cpu_percent": percent,
        })).collect::<Vec<_>>(),
    }))
}

impl Bench {
    fn open_loops(&self) -> Result<Vec<Outcome>> {
        let is_toy = self.options.common.is_toy();
        let rates = if is_toy { &[RATE_TOY][..] } else { &RATES };
        let mut outcomes = Vec::new();
        for rate in rates {
            let name = format!("straight line {rate}/s");
            if self.options.common.wants(&name) {
                outcomes.push(self.open_loop.run_line(&name, *rate)?);
            }
        }
        for (delivery, word) in
            [(Delivery::ExactlyOnce, "exactly_once"), (Delivery::AtLeastOnce, "at_least_once")]
        {
            for rate in rates {
                let name = format!("{word} {rate}/s");
                if self.options.common.wants(&name) {
                    let commit_interval_ms = self.options.commit_interval_ms;
                    let ring = self.options.ring;
                    let case = Case { rate: *rate, delivery, commit_interval_ms, ring };
                    outcomes.push(self.open_loop.run(&name, &case)?);
                }
            }
        }
        if !outcomes.is_empty() {
            println!("{}\n", report(&outcomes));
            self.plot(&outcomes)?;
        }
        Ok(outcomes)
    }

    /// The CPU of idle pipelines, in percent of a core, by the number of their streams.
    fn idle(&self) -> Result<Vec<(u64, f64)>> {
        let counts =
            IDLE_STREAMS.iter().filter(|count| self.options.common.wants(&format!("idle {count}")));
        counts.map(|count| Ok((*count, self.idle_streams(*count)?))).collect()
    }

    fn idle_streams(&self, count: u64) -> Result<f64> {
        let mut pipeline = self.open_loop.pipeline(&format!("idle {count}"))?;
        let silent = || vec![("filter".to_owned(), IDLE.to_owned())];
        pipeline.requests = (0..count).map(|shard| (format!("s{shard}"), silent())).collect();
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let mut headwater = launch.run(&pipeline)?;
        headwater.wait_for("open streams", SETTLE_MAX, |it| {
            let metrics = it.metrics();
            metrics.is_ok_and(|it| it.sum("headwater_source_connected") == count as f64)
        })?;
        std::thread::sleep(if self.options.common.is_toy() { WARM_UP } else { IDLE_WARM_UP });
        let before = headwater.usage()?;
        std::thread::sleep(self.open_loop.window);
        let after = headwater.usage()?;
        let received = headwater.metrics()?.sum("headwater_source_received_messages_total");
        ensure!(received == 0.0, "idle streams brought {received} messages");
        stop(&mut headwater)?;
        let percent =
            100.0 * (after.cpu - before.cpu).as_secs_f64() / self.open_loop.window.as_secs_f64();
        let memory = mib(after.rss_bytes);
        println!("idle, {count} open: {percent:.2} % of a core, {memory} MiB resident");
        Ok(percent)
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
        "CPU µs a message",
        "peak MiB",
        "records",
    ];
    markdown(&head, &outcomes.iter().map(Outcome::row).collect::<Vec<_>>())
}
