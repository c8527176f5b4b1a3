//! What a transaction costs, and what a ring of producers brings.
//!
//! Method: the open loop of `support/open_loop.rs`, for rings of one, two and three producers and
//! for commit intervals from 5 to 50 ms, at a fixed rate. Per case: how long a commit takes, how
//! many were made, from due to visible, and CPU per message. The first case is a transaction of
//! about 1,000 records.
//!
//! ```text
//! cargo bench --bench commit                             # Apache Kafka, 10 s a case
//! cargo bench --bench commit -- --only "10 ms" --rate 10000
//! cargo bench --bench commit -- --toy                    # seconds, embedded broker
//! ```

mod support;

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use headwater_test_support::pipeline::Delivery;
use serde_json::json;
use support::open_loop::{Case, OpenLoop, Outcome, milliseconds};
use support::options::Common;
use support::table::markdown;
use support::{generator, machine};

/// Measures commits: rings of producers by commit intervals.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,

    /// How long each case is measured. [default: 10; toy: 1]
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,

    /// Messages a second.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rate: u64,
}

const RINGS: [u32; 3] = [1, 2, 3];
const INTERVALS_MS: [u64; 4] = [5, 10, 20, 50];
const RATE_TOY: u64 = 500;

/// 20,000 a second, every 50 ms: 1,000 in each.
const THOUSAND: (&str, u64, u64) = ("1,000 records", 20_000, 50);

fn main() -> Result<()> {
    if generator::serve_if_asked()? {
        return Ok(());
    }
    let options = Options::parse();
    let is_toy = options.common.is_toy();
    let seconds = options.seconds.unwrap_or(if is_toy { 1 } else { 10 });
    let open_loop = OpenLoop::start(&options.common, Duration::from_secs(seconds))?;
    let machine = machine::describe();
    println!("{seconds} s a case; {}; {machine}\n", open_loop.cluster.name());
    let mut outcomes = Vec::new();
    for (name, case) in cases(&options) {
        if options.common.wants(&name) {
            outcomes.push(open_loop.run(&name, &case)?);
        }
    }
    println!("{}", report(&outcomes));
    let results: Vec<_> = outcomes.iter().map(Outcome::json).collect();
    options.common.write_json(&json!({
        "bench": "commit", "seconds": seconds, "machine": machine,
        "broker": open_loop.cluster.name(), "results": results,
    }))
}

fn cases(options: &Options) -> Vec<(String, Case)> {
    let case = |rate, commit_interval_ms, ring| Case {
        rate,
        delivery: Delivery::ExactlyOnce,
        commit_interval_ms,
        ring: Some(ring),
    };
    if options.common.is_toy() {
        return RINGS.map(|ring| (format!("ring {ring}"), case(RATE_TOY, 50, ring))).to_vec();
    }
    let (name, rate, interval_ms) = THOUSAND;
    let thousand =
        RINGS.map(|ring| (format!("{name}, ring {ring}"), case(rate, interval_ms, ring)));
    let sweep = INTERVALS_MS.into_iter().flat_map(|interval_ms| {
        RINGS.map(|ring| {
            (format!("{interval_ms} ms, ring {ring}"), case(options.rate, interval_ms, ring))
        })
    });
    thousand.into_iter().chain(sweep).collect()
}

fn report(outcomes: &[Outcome]) -> String {
    let head = [
        "case",
        "commits",
        "records a commit",
        "commit p50, ms",
        "p99",
        "due → visible p50, ms",
        "p99",
        "CPU µs a message",
    ];
    let row = |it: &Outcome| {
        vec![
            it.name.clone(),
            format!("{:.0}", it.commits),
            format!("{:.0}", it.records_per_commit),
            milliseconds(it.commit.quantile(0.5)),
            milliseconds(it.commit.quantile(0.99)),
            it.visible_ms(0.5),
            it.visible_ms(0.99),
            format!("{:.2}", it.cpu_us_per_message),
        ]
    };
    markdown(&head, &outcomes.iter().map(row).collect::<Vec<_>>())
}
