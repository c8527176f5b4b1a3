//! How many messages a second go from a gRPC stream into Kafka, and what that costs.
//!
//! Method: for each case a fresh topic, a fresh `headwater` process, and a stream of a known
//! length, as fast as flow control lets it through. Time runs from the first event's departure to
//! the last change of the topic's end; CPU and memory are those of the `headwater` process alone,
//! over its whole life. A case counts only if a fresh `read_committed` reader then finds every
//! sequence once, in order per partition.
//!
//! ```text
//! cargo bench --bench throughput                         # Apache Kafka, 2,000,000 messages a case
//! cargo bench --bench throughput -- --only json/exactly_once --messages 5000000 --json out.json
//! cargo bench --bench throughput -- --toy                # seconds, embedded broker
//! ```

mod support;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use clap::Parser;
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::{Delivery, Pipeline, Values};
use headwater_test_support::process::{Headwater, Launch, Usage};
use headwater_test_support::topic::{self, Isolation};
use serde_json::json;
use support::generator::{self, Generator};
use support::options::Common;
use support::table::{markdown, mib, thousands};
use support::{PARTITIONS, machine};

/// Measures throughput: generator → headwater → Kafka.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    /// Messages per case. [default: 2000000; toy: 20000]
    #[arg(long, value_name = "N")]
    messages: Option<u64>,

    /// How often a pipeline commits.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    commit_interval_ms: u64,

    /// What a pipeline may hold in memory. [default: that of a pipeline file]
    #[arg(long, value_name = "N")]
    credit_bytes: Option<u64>,
}

/// One combination of what a pipeline can be told.
#[derive(Debug, Clone, Copy)]
struct Case {
    values: Values,
    delivery: Delivery,
    workers: u32,
}

/// What a case came to.
struct Outcome {
    name: String,
    messages_per_second: f64,
    cpu_us_per_message: f64,
    rss_bytes_max: u64,
    value_bytes: f64,
    seconds: f64,
}

/// What was seen of a run from outside.
struct Watched {
    last_change: SystemTime,
    usage: Usage,
}

const MESSAGES: u64 = 2_000_000;
const MESSAGES_TOY: u64 = 20_000;
const LOOK: Duration = Duration::from_millis(20);
/// A topic that does not grow for so long belongs to a pipeline that hangs.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    if generator::serve_if_asked()? {
        return Ok(());
    }
    let options = Options::parse();
    let default = if options.common.is_toy() { MESSAGES_TOY } else { MESSAGES };
    let messages = options.messages.unwrap_or(default);
    let (cluster, generator) = (options.common.cluster()?, Generator::start()?);
    let machine = machine::describe();
    println!("{messages} messages a case; {}; {machine}\n", cluster.name());
    let mut outcomes = Vec::new();
    for case in Case::all().filter(|it| options.common.wants(&it.name())) {
        let outcome = case.run(&options, messages, &cluster, &generator)?;
        eprintln!("{}: {} messages/s", outcome.name, thousands(outcome.messages_per_second));
        outcomes.push(outcome);
    }
    ensure!(!outcomes.is_empty(), "no case has a name with that in it");
    println!("{}", report(&outcomes));
    let results: Vec<_> = outcomes.iter().map(Outcome::json).collect();
    options.common.write_json(&json!({
        "bench": "throughput", "messages": messages, "machine": machine,
        "broker": cluster.name(), "results": results,
    }))
}

impl Case {
    fn all() -> impl Iterator<Item = Case> {
        [Values::Json, Values::Raw].into_iter().flat_map(|values| {
            [Delivery::ExactlyOnce, Delivery::AtLeastOnce]
                .into_iter()
                .flat_map(move |delivery| [1, 2].map(|workers| Case { values, delivery, workers }))
        })
    }

    fn name(self) -> String {
        let values = match self.values {
            Values::Json => "json",
            Values::Raw => "raw",
        };
        let delivery = match self.delivery {
            Delivery::ExactlyOnce => "exactly_once",
            Delivery::AtLeastOnce => "at_least_once",
        };
        format!("{values}/{delivery}/{}", self.workers)
    }

    fn pipeline(self, options: &Options, endpoint: &str, brokers: &str) -> Pipeline {
        // Nothing may be left of an earlier run against the same cluster.
        let name = format!("throughput-{}-{}", self.name().replace('/', "-"), std::process::id());
        Pipeline {
            name: name.clone(),
            topic: name,
            workers: self.workers,
            values: self.values,
            delivery: self.delivery,
            commit_interval_ms: options.commit_interval_ms,
            credit_bytes: options.credit_bytes,
            partitions: None,
            ..Pipeline::new(endpoint, brokers)
        }
    }

    fn run(
        self,
        options: &Options,
        messages: u64,
        cluster: &Cluster,
        generator: &Generator,
    ) -> Result<Outcome> {
        let pipeline = self.pipeline(options, generator.endpoint(), cluster.bootstrap());
        let pipeline = pipeline.request("count", messages);
        cluster.create_topic(&pipeline.topic, PARTITIONS)?;
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let mut headwater = launch.run(&pipeline)?;
        let watched = watch(&mut headwater, cluster, &pipeline.topic, messages)?;
        let status = headwater.wait_exit(STANDSTILL_MAX)?;
        ensure!(status.success(), "headwater ended with {status}:\n{}", headwater.log()?);
        let arrived = support::check(cluster, &pipeline.topic, Some(messages))?;
        let start = UNIX_EPOCH + Duration::from_nanos(arrived.first_emitted_ns.unsigned_abs());
        let seconds = watched.last_change.duration_since(start)?.as_secs_f64();
        Ok(Outcome {
            name: self.name(),
            messages_per_second: messages as f64 / seconds,
            cpu_us_per_message: watched.usage.cpu.as_secs_f64() * 1e6 / messages as f64,
            rss_bytes_max: watched.usage.rss_bytes_max,
            value_bytes: arrived.value_bytes,
            seconds,
        })
    }
}

/// Watches the topic grow until the process has ended; its usage is the last that could be seen.
fn watch(
    headwater: &mut Headwater,
    cluster: &Cluster,
    topic: &str,
    messages: u64,
) -> Result<Watched> {
    let consumer = topic::consumer(cluster.bootstrap(), topic, Isolation::Committed)?;
    let (mut end, mut changed) = (0, Instant::now());
    let mut last_change = SystemTime::now();
    let mut usage = headwater.usage()?;
    while !headwater.has_ended()? {
        usage = headwater.usage().unwrap_or(usage);
        let now = topic::end_offsets(&consumer, topic)?;
        if now != end {
            (end, changed, last_change) = (now, Instant::now(), SystemTime::now());
        }
        let standstill = changed.elapsed();
        if standstill > STANDSTILL_MAX {
            let log = headwater.log()?;
            anyhow::bail!("{topic} stands at {end} of {messages} for {standstill:?}:\n{log}");
        }
        std::thread::sleep(LOOK);
    }
    if topic::end_offsets(&consumer, topic)? != end {
        last_change = SystemTime::now();
    }
    Ok(Watched { last_change, usage })
}

impl Outcome {
    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            thousands(self.messages_per_second),
            format!("{:.2}", self.cpu_us_per_message),
            mib(self.rss_bytes_max),
            format!("{:.0}", self.value_bytes),
            format!("{:.1}", self.seconds),
        ]
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "case": self.name,
            "messages_per_second": self.messages_per_second,
            "cpu_us_per_message": self.cpu_us_per_message,
            "rss_bytes_max": self.rss_bytes_max,
            "value_bytes": self.value_bytes,
            "seconds": self.seconds,
        })
    }
}

fn report(outcomes: &[Outcome]) -> String {
    let head =
        ["values/delivery/workers", "messages/s", "CPU µs/message", "peak MiB", "bytes", "s"];
    markdown(&head, &outcomes.iter().map(Outcome::row).collect::<Vec<_>>())
}
