//! The soak: everything is killed, frozen, cut and delayed at random for as long as you like, and
//! the topics must hold every message once and in order all the while.
//!
//! ```text
//! just soak 30                                          # Apache Kafka, half an hour
//! cargo test --test soak -- --minutes 30 --seed 7       # the same; the seed repeats the plan
//! cargo test --test soak                                # seconds: shows that the soak works
//! ```
//!
//! A program of its own and no test among others: it has arguments, takes its time and reports.
//! Three pipelines of one process, each with its kind of cursor and its scripted server, write
//! through a proxy to one broker. Rounds of one or two faults follow each other ([`plan`],
//! [`inject`]); behind each round every shard must move on by itself. Readers of committed records
//! look on ([`reader`]); at the end fresh ones read all of it ([`verdict`]). Aborted copies, frames
//! that the proxy acted on and events of the log prove that the faults hit ([`report`]).
//!
//! The seed repeats what is done and when; it cannot repeat what the machine made of it. So the
//! logs of all processes are kept beside the report.

mod engines;
mod inject;
mod plan;
mod reader;
mod report;
mod stream;
mod verdict;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use plan::Plan;
use report::Report;
use verdict::Found;
use world::{Setup, World};

/// Breaks everything at random, and demands every message once and in order.
#[derive(Debug, Parser)]
struct Options {
    /// How long faults are injected; without it, for seconds and without what needs real Kafka,
    /// unless `HEADWATER_KAFKA=real` is set.
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,

    /// Repeats the plan of a run. [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// The program under test. [default: the one built with the soak]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,

    /// Where report and logs go. [default: target/tmp/soak/SEED]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Lets the engine talk to the broker directly, without faults of the network.
    #[arg(long)]
    no_proxy: bool,

    /// What `cargo test` hands to every test program.
    #[arg(long, hide = true)]
    test_threads: Option<u32>,

    /// See `test_threads`.
    #[arg(long, hide = true)]
    nocapture: bool,

    /// See `test_threads`: only tests of such names are wanted.
    #[arg(hide = true)]
    names: Vec<String>,
}

/// How long plain `cargo test` lets it run.
const TOY: Duration = Duration::from_secs(8);

/// The random decisions that the plan leaves open have a seed of their own, derived from its.
const SALT: u64 = 0x50a4;

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if !options.names.is_empty() && !options.names.iter().any(|it| "soak".contains(it.as_str())) {
        return Ok(ExitCode::SUCCESS);
    }
    let seed = options.seed.unwrap_or_else(|| rand::rng().random());
    println!("soak: --seed {seed}");
    let folder = options.folder(seed);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut world = World::start(options.setup(), StdRng::seed_from_u64(seed ^ SALT))?;
    let began = Instant::now();
    let run = run(&mut world, seed, options.lasts());
    let mut violations = world.violations();
    let found = run.unwrap_or_else(|error| {
        violations.push(format!("the run ended early: {error:#}"));
        Vec::new()
    });
    world.engines.keep(&folder)?;
    world.cluster.keep_log(&folder)?;
    if !violations.is_empty()
        && let Some(data) = world.cluster.keep_data()
    {
        println!("the broker's data: {}", data.display());
    }
    let report = Report { world: &world, seed, lasted: began.elapsed(), found, violations };
    println!("{}\nlogs and report: {}", report.write(&folder)?, folder.display());
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Rounds until the time is over, and the end of all streams.
fn run(world: &mut World, seed: u64, lasts: Duration) -> Result<Vec<Found>> {
    let began = Instant::now();
    for round in Plan::new(seed, world.targets()) {
        if began.elapsed() >= lasts {
            break;
        }
        world.round(&round)?;
    }
    let found = verdict::finish(world)?;
    let aborted: u64 = found.iter().map(|it| it.aborted).sum();
    if aborted == 0 && world.done.rounds >= ROUNDS_WITH_PROOF {
        world.done.violations.push("no fault hit an open transaction".to_owned());
    }
    Ok(found)
}

/// Behind so many rounds something must have been aborted.
const ROUNDS_WITH_PROOF: u64 = 20;

impl Options {
    fn is_toy(&self) -> bool {
        self.minutes.is_none()
    }

    fn lasts(&self) -> Duration {
        self.minutes.map_or(TOY, |it| Duration::from_secs_f64(it * 60.0))
    }

    fn folder(&self, seed: u64) -> PathBuf {
        let beside = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("soak/{seed}"));
        self.out.clone().unwrap_or_else(beside)
    }

    fn setup(&self) -> Setup {
        let is_real = std::env::var("HEADWATER_KAFKA").is_ok_and(|it| it == "real");
        let built = || PathBuf::from(env!("CARGO_BIN_EXE_headwater"));
        Setup {
            binary: self.binary.clone().unwrap_or_else(built),
            is_apache: is_real || !self.is_toy(),
            has_proxy: !self.no_proxy,
        }
    }
}
