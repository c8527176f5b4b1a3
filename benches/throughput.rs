//! How many messages a second go from a gRPC stream into Kafka, and what that costs.
//!
//! Method: for each case a fresh topic, a fresh process, and a stream of a known length, as fast as
//! flow control lets it through. Time runs from the first event's departure to the last change of
//! the topic's end; CPU and memory are those of the process alone, over its whole life. A case
//! counts only if a fresh `read_committed` reader then finds every sequence once, in order per
//! partition.
//!
//! Beside Headwater runs the straight line (`support/straight.rs`), which does the same work and
//! guarantees nothing. All cases take turns over several rounds, so that a noisy minute hits each
//! of them; what counts is the median of the rounds, and of the ratios within a round.
//!
//! `--check` compares CPU per message with the straight line's and fails if the ratio is above the
//! one stored in `ratios.json`: a ratio holds on another machine, a time does not.
//!
//! ```text
//! cargo bench --bench throughput                         # Apache Kafka, 3 rounds
//! cargo bench --bench throughput -- --only json/exactly_once --messages 5000000 --json out.json
//! cargo bench --bench throughput -- --check              # red if a message became dearer
//! cargo bench --bench throughput -- --toy                # seconds, embedded broker
//! ```

mod support;

use anyhow::{Result, ensure};
use clap::Parser;
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::{Delivery, Pipeline, Values};
use serde_json::json;
use support::generator::{self, Generator};
use support::options::Common;
use support::straight::{self, Line, LineValues};
use support::subject::{Measured, Subject};
use support::table::{markdown, median, mib, percent, thousands};
use support::{PARTITIONS, machine, ratios};

/// Measures throughput: generator → subject → Kafka.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    /// Messages per case. [default: 2000000; toy: 20000]
    #[arg(long, value_name = "N")]
    messages: Option<u64>,

    /// How often all cases take their turn. [default: 3; toy: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// How often a pipeline commits.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    commit_interval_ms: u64,

    /// What a pipeline may hold in memory. [default: that of a pipeline file]
    #[arg(long, value_name = "N")]
    credit_bytes: Option<u64>,

    /// Fail if CPU per message, against the straight line's, is above the stored ratio.
    #[arg(long)]
    check: bool,
}

/// One combination of what a pipeline can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    values: Values,
    delivery: Delivery,
    who: Who,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Headwater, on so many timely workers.
    Headwater(u32),
    StraightLine,
}

/// What a case came to, round by round.
struct Outcome {
    case: Case,
    rounds: Vec<Measured>,
}

/// Everything a run needs.
struct Bench {
    options: Options,
    messages: u64,
    cluster: Cluster,
    generator: Generator,
}

const MESSAGES: u64 = 2_000_000;
const MESSAGES_TOY: u64 = 20_000;
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    if generator::serve_if_asked()? || straight::run_if_asked()? {
        return Ok(());
    }
    let options = Options::parse();
    let is_toy = options.common.is_toy();
    ensure!(!(options.check && is_toy), "--check needs a measurement, and --toy measures nothing");
    let messages = options.messages.unwrap_or(if is_toy { MESSAGES_TOY } else { MESSAGES });
    let rounds = options.rounds.unwrap_or(if is_toy { 1 } else { ROUNDS });
    let (cluster, generator) = (options.common.cluster()?, Generator::start()?);
    let bench = Bench { options, messages, cluster, generator };
    let machine = machine::describe();
    println!("{messages} messages a case, {rounds} rounds; {}; {machine}\n", bench.cluster.name());
    let outcomes = bench.run(rounds)?;
    println!("{}", report(&outcomes, messages));
    let results: Vec<_> = outcomes.iter().map(|it| it.json(&outcomes, messages)).collect();
    bench.options.common.write_json(&json!({
        "bench": "throughput", "messages": messages, "rounds": rounds, "machine": machine,
        "broker": bench.cluster.name(), "results": results,
    }))?;
    if bench.options.check {
        let dearness = |it: &Outcome| Some((it.case.name(), it.against(&outcomes, cpu)?));
        ratios::check("throughput", &outcomes.iter().filter_map(dearness).collect())?;
    }
    Ok(())
}

impl Bench {
    fn run(&self, rounds: usize) -> Result<Vec<Outcome>> {
        let wanted = Case::all().filter(|case| self.options.common.wants(&case.name()));
        let mut outcomes: Vec<_> = wanted.map(|case| Outcome { case, rounds: vec![] }).collect();
        ensure!(!outcomes.is_empty(), "no case has a name with that in it");
        for round in 0..rounds {
            for outcome in &mut outcomes {
                let measured = self.measure(outcome.case, round)?;
                let rate = thousands(self.messages as f64 / measured.seconds);
                let cpu = measured.cpu.as_secs_f64() * 1e6 / self.messages as f64;
                eprintln!("{}: {rate} messages/s, {cpu:.2} CPU µs each", outcome.case.name());
                outcome.rounds.push(measured);
            }
        }
        Ok(outcomes)
    }

    fn measure(&self, case: Case, round: usize) -> Result<Measured> {
        // Nothing may be left of an earlier run against the same cluster.
        let word = case.name().replace('/', "-");
        let topic = format!("throughput-{word}-{round}-{}", std::process::id());
        self.cluster.create_topic(&topic, PARTITIONS)?;
        let subject = match case.who {
            Who::Headwater(workers) => Subject::headwater(&self.pipeline(case, workers, &topic))?,
            Who::StraightLine => Subject::straight_line(&self.line(case, &topic))?,
        };
        subject.measure(&self.cluster, &topic, self.messages)
    }

    fn pipeline(&self, case: Case, workers: u32, topic: &str) -> Pipeline {
        Pipeline {
            name: topic.to_owned(),
            topic: topic.to_owned(),
            workers,
            values: case.values,
            delivery: case.delivery,
            commit_interval_ms: self.options.commit_interval_ms,
            credit_bytes: self.options.credit_bytes,
            partitions: None,
            sink_extra: self.options.common.sink_extra(),
            ..Pipeline::new(self.generator.endpoint(), self.cluster.bootstrap())
        }
        .request("count", self.messages)
    }

    fn line(&self, case: Case, topic: &str) -> Line {
        let interval = self.options.commit_interval_ms;
        Line {
            endpoint: self.generator.endpoint().to_owned(),
            brokers: self.cluster.bootstrap().to_owned(),
            topic: topic.to_owned(),
            values: match case.values {
                Values::Json => LineValues::Json,
                Values::Raw => LineValues::Raw,
            },
            commit_interval_ms: (case.delivery == Delivery::ExactlyOnce).then_some(interval),
            shards: 1,
            count: self.messages,
            rate: 0,
        }
    }
}

impl Case {
    /// The straight line comes first, so that it is there to be compared with.
    fn all() -> impl Iterator<Item = Case> {
        [Values::Json, Values::Raw].into_iter().flat_map(|values| {
            [Delivery::ExactlyOnce, Delivery::AtLeastOnce].into_iter().flat_map(move |delivery| {
                [Who::StraightLine, Who::Headwater(1), Who::Headwater(2)].map(|who| Case {
                    values,
                    delivery,
                    who,
                })
            })
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
        match self.who {
            Who::Headwater(workers) => format!("{values}/{delivery}/{workers}"),
            Who::StraightLine => format!("{values}/{delivery}/straight_line"),
        }
    }
}

/// Seconds of a run, for a rate.
fn seconds(measured: &Measured) -> f64 {
    measured.seconds
}

/// Seconds of CPU of a run.
fn cpu(measured: &Measured) -> f64 {
    measured.cpu.as_secs_f64()
}

impl Outcome {
    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    /// A figure as a multiple of the straight line's, round by round; none for the line itself.
    fn against(&self, all: &[Outcome], of: impl Fn(&Measured) -> f64) -> Option<f64> {
        let case = Case { who: Who::StraightLine, ..self.case };
        let line = all.iter().find(|it| it.case == case && it.case != self.case)?;
        let pairs = self.rounds.iter().zip(&line.rounds);
        Some(median(pairs.map(|(ours, line)| of(ours) / of(line))))
    }

    fn rss_bytes_max(&self) -> u64 {
        self.rounds.iter().map(|it| it.rss_bytes_max).max().unwrap_or(0)
    }

    fn row(&self, all: &[Outcome], messages: u64) -> Vec<String> {
        let or_dash = |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), percent);
        vec![
            self.case.name(),
            thousands(messages as f64 / self.median(seconds)),
            or_dash(self.against(all, seconds).map(f64::recip)),
            format!("{:.2}", self.median(cpu) * 1e6 / messages as f64),
            or_dash(self.against(all, cpu)),
            mib(self.rss_bytes_max()),
            format!("{:.0}", self.median(|it| it.value_bytes)),
        ]
    }

    fn json(&self, all: &[Outcome], messages: u64) -> serde_json::Value {
        json!({
            "case": self.case.name(),
            "messages_per_second": messages as f64 / self.median(seconds),
            "of_straight_line": self.against(all, seconds).map(f64::recip),
            "cpu_us_per_message": self.median(cpu) * 1e6 / messages as f64,
            "cpu_of_straight_line": self.against(all, cpu),
            "rss_bytes_max": self.rss_bytes_max(),
            "value_bytes": self.median(|it| it.value_bytes),
            "rounds": self.rounds.iter().map(|it| json!({
                "messages_per_second": messages as f64 / it.seconds,
                "cpu_us_per_message": it.cpu.as_secs_f64() * 1e6 / messages as f64,
            })).collect::<Vec<_>>(),
        })
    }
}

fn report(outcomes: &[Outcome], messages: u64) -> String {
    let head = [
        "values/delivery/workers",
        "messages/s",
        "of the line",
        "CPU µs/message",
        "of the line",
        "peak MiB",
        "bytes",
    ];
    let rows: Vec<_> = outcomes.iter().map(|it| it.row(outcomes, messages)).collect();
    let table = markdown(&head, &rows);
    match exactly_once_against_at_least_once(outcomes) {
        Some(ratio) => format!("{table}\n\nexactly once, of at least once: {}", percent(ratio)),
        None => table,
    }
}

/// JSON with one worker, round by round.
fn exactly_once_against_at_least_once(outcomes: &[Outcome]) -> Option<f64> {
    let case = |delivery| Case { values: Values::Json, delivery, who: Who::Headwater(1) };
    let find = |case| outcomes.iter().find(|it| it.case == case);
    let exactly = find(case(Delivery::ExactlyOnce))?;
    let least = find(case(Delivery::AtLeastOnce))?;
    let pairs = exactly.rounds.iter().zip(&least.rounds);
    Some(median(pairs.map(|(exactly, least)| least.seconds / exactly.seconds)))
}
