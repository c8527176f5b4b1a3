//! The Java connector that Headwater replaces, and Headwater, on the same work, side by side.
//!
//! Why: "faster than" is worth something only where anyone can repeat it, with the other's own
//! program, on one machine, in one run. The connector and Kafka Connect are given by their paths;
//! nothing of them is kept here. `README.md` beside this file says how to get them.
//!
//! Method: one Kafka, one generator. Each case gives both the same stream, each in a fresh process
//! and into a fresh topic of its own, and they take turns round by round, so that a noise of the
//! machine hits both. What is measured is seen from outside: the topic's end, and what Linux tells
//! of the one process. What arrived is read back and counted, number by number: Headwater must
//! have every one once and in order, and what the connector has lost is said beside its speed.
//!
//! ```text
//! cargo bench --bench peer -- --connect-libs kafka/libs --connector-jar grpc-connector.jar
//! cargo bench --bench peer -- … --rounds 3 --rates 5000,10000 --json out.json
//! ```
//!
//! Next: `load.rs` says what there is to do, `subject.rs` who does it, `measure.rs` how it is seen.

#[path = "../support/mod.rs"]
mod support;

mod arrived;
mod connect;
mod headwater;
mod load;
mod measure;
mod report;
mod subject;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::json;

use connect::{Connector, Place};
use headwater::Headwater;
use load::{Load, Span};
use measure::{Bench, Outcome};
use subject::Subject;
use support::generator::{self, Generator};
use support::machine;
use support::options::Common;

/// Measures the Java connector and Headwater on the same work.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    place: Place,

    /// Messages of the case as fast as flow control allows. [default: 2000000; toy: 20000]
    #[arg(long, value_name = "N")]
    messages: Option<u64>,

    /// Messages a second of the cases with a pace. [default: 10000; toy: 1000]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    rates: Option<Vec<u64>>,

    /// How long a case with a pace, or without messages, is measured. [default: 20; toy: 2]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// How often each case is run by each. [default: 2; toy: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
}

const MISSING: &str = "\
the Java connector is not here: --connect-libs DIR names the jars of Kafka Connect (libs/ of \
Apache Kafka's binary distribution), --connector-jar PATH the connector's jar, or a folder of its \
jars; benches/peer/README.md says how to get both";

fn main() -> Result<()> {
    if generator::serve_if_asked()? {
        return Ok(());
    }
    let options = Options::parse();
    let connector = Connector::find(&options.place)?;
    ensure!(connector.is_some() || options.common.is_toy(), MISSING);
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    match connector {
        Some(connector) => subjects.push(Box::new(connector)),
        None => println!("{MISSING}. Headwater alone, at toy size:"),
    }
    subjects.push(Box::new(Headwater));
    run(&options, &subjects)
}

fn run(options: &Options, subjects: &[Box<dyn Subject>]) -> Result<()> {
    let (cluster, generator) = (options.common.cluster()?, Generator::start()?);
    let machine = machine::describe();
    let mut bench = Bench { cluster, generator };
    println!("{}; {machine}\n", bench.cluster.name());
    let outcomes = options.rounds(&mut bench, subjects)?;
    println!("{}", report::table(&outcomes));
    let results: Vec<_> = outcomes.iter().map(Outcome::json).collect();
    options.common.write_json(&json!({
        "bench": "peer", "machine": machine, "broker": bench.cluster.name(), "results": results,
    }))
}

impl Options {
    /// The cases, each by all subjects before the next.
    fn rounds(&self, bench: &mut Bench, subjects: &[Box<dyn Subject>]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for round in 1..=self.rounds.unwrap_or(if self.common.is_toy() { 1 } else { 2 }) {
            for load in self.loads().iter().filter(|it| self.common.wants(&it.name())) {
                for subject in subjects {
                    let outcome = bench.run(subject.as_ref(), load, round)?;
                    eprintln!("round {round}, {outcome}");
                    outcomes.push(outcome);
                }
            }
        }
        ensure!(!outcomes.is_empty(), "no case has a name with that in it");
        Ok(outcomes)
    }

    fn loads(&self) -> Vec<Load> {
        let is_toy = self.common.is_toy();
        let messages = self.messages.unwrap_or(if is_toy { 20_000 } else { 2_000_000 });
        let measured = Duration::from_secs(self.seconds.unwrap_or(if is_toy { 2 } else { 20 }));
        let span = Span { warm_up: Duration::from_secs(if is_toy { 1 } else { 10 }), measured };
        let rates = self.rates.clone();
        let rates = rates.unwrap_or_else(|| vec![if is_toy { 1_000 } else { 10_000 }]);
        let mut loads = vec![Load::Unlimited { messages }];
        loads.extend(rates.into_iter().map(|rate| Load::Paced { rate, span }));
        loads.push(Load::Idle { span });
        loads
    }
}
