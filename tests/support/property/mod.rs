//! How the property tests of all crates run: how many cases, with which seeds, and what is told.
//!
//! Why a file that each test program includes by its path, and no crate: a test of the protobuf
//! crate must not build a Kafka client first, and a crate for sixty lines is dearer than a path.
//!
//! `HEADWATER_CASES` is the number of cases of an ordinary property; one that is cheap or dear
//! asks for a multiple or a fraction of it, so that one number scales all of them.
//!
//! Invariants
//! 1. A failure prints its smallest input and its seed; the seed goes into a file
//!    `NAME.regressions` beside the test's source, and every later run begins with it.
//! 2. Every property says how many cases it ran, for how long, and how long the slowest took.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod damage;

use std::cell::Cell;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{
    Config, FileFailurePersistence, TestCaseError, TestCaseResult, TestRunner,
};

/// Cases of an ordinary property where nothing is asked for: what everybody waits for.
const CASES: f64 = 1000.0;

/// How long a failing input is made smaller.
const SHRINK_MS_MAX: u32 = 60_000;

/// A property: where its source is, its name, and its part of the cases.
#[derive(Clone, Copy)]
pub(crate) struct Property {
    pub(crate) file: &'static str,
    pub(crate) name: &'static str,
    /// 1 is an ordinary one, 4 a cheap one, 0.01 one whose single case takes long.
    pub(crate) share: f64,
    /// The longest that one case may compute; beyond it the case fails.
    pub(crate) case_max: Duration,
}

/// `property!(name, share, seconds)`, with the file and name of the place it stands at.
macro_rules! property {
    ($name:literal, $share:expr, $seconds:expr) => {
        $crate::property::Property {
            file: file!(),
            name: $name,
            share: $share,
            case_max: std::time::Duration::from_secs($seconds),
        }
    };
}
pub(crate) use property;

/// Measures what the thread computes: a busy machine makes a case longer, and not dearer.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch {
    wall: Instant,
    computed: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), computed: computed() }
    }

    pub(crate) fn elapsed(self) -> Duration {
        match (self.computed, computed()) {
            (Some(start), Some(end)) => end.saturating_sub(start),
            _ => self.wall.elapsed(),
        }
    }
}

/// How long this thread has been on a processor; nothing where the system does not say.
fn computed() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

impl Property {
    /// Holds the property against random values.
    pub(crate) fn holds<S: Strategy>(
        self,
        strategy: &S,
        test: impl Fn(S::Value) -> Result<(), String>,
    ) {
        let slowest = Cell::new(Duration::ZERO);
        let started = Instant::now();
        let cases = cases(self.share);
        let mut runner = TestRunner::new(self.config(cases));
        let outcome = runner.run(strategy, |value| {
            let watch = Stopwatch::start();
            let judged = test(value);
            let took = watch.elapsed();
            slowest.set(slowest.get().max(took));
            self.judge(judged, took)
        });
        // One line per property, for whoever adds them up.
        println!(
            "property {}: {cases} cases in {:.1} s, slowest {:.1} ms",
            self.name,
            started.elapsed().as_secs_f64(),
            slowest.get().as_secs_f64() * 1000.0
        );
        if let Err(failure) = outcome {
            panic!("{}: {failure}", self.name);
        }
    }

    fn judge(&self, judged: Result<(), String>, took: Duration) -> TestCaseResult {
        judged.map_err(TestCaseError::fail)?;
        if took > self.case_max {
            return Err(TestCaseError::fail(format!("one case computed for {took:?}")));
        }
        Ok(())
    }

    fn config(&self, cases: u32) -> Config {
        Config {
            cases,
            max_shrink_time: SHRINK_MS_MAX,
            source_file: Some(self.file),
            test_name: Some(self.name),
            failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
            ..Config::default()
        }
    }
}

/// The number of cases for a share, at least one.
pub(crate) fn cases(share: f64) -> u32 {
    let wanted = std::env::var("HEADWATER_CASES").ok();
    let ordinary = wanted.map_or(CASES, |text| {
        text.parse().unwrap_or_else(|_| panic!("HEADWATER_CASES is {text:?}, expected a number"))
    });
    (ordinary * share).clamp(1.0, f64::from(u32::MAX)) as u32
}

/// The most memory this process has held so far, in bytes; nothing where the system does not say.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
