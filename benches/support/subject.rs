//! What is measured: a process that takes a stream of known length into a topic, and ends.

use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::Pipeline;
use headwater_test_support::process::{Headwater, Launch, Usage};
use headwater_test_support::topic::{self, Isolation};

use super::SETTLE_MAX;
use super::straight::{Line, Straight};

/// A running subject. Dropping it kills it.
pub enum Subject {
    /// The product, with the folder it lives in.
    Headwater(Headwater, Launch),
    /// What it is measured against.
    StraightLine(Straight),
}

/// What one run came to.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// From the first event's departure to the last change of the topic's end.
    pub seconds: f64,
    /// CPU of the process, over its whole life.
    pub cpu: Duration,
    /// Its largest resident size.
    pub rss_bytes_max: u64,
    /// The mean size of a value.
    pub value_bytes: f64,
}

/// What was seen of a run from outside.
struct Watched {
    last_change: SystemTime,
    usage: Usage,
}

const LOOK: Duration = Duration::from_millis(20);
/// A topic that does not grow for so long belongs to a subject that hangs.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

impl Subject {
    /// Starts Headwater with a pipeline.
    pub fn headwater(pipeline: &Pipeline) -> Result<Subject> {
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        Ok(Subject::Headwater(launch.run(pipeline)?, launch))
    }

    /// Starts the straight line.
    pub fn straight_line(line: &Line) -> Result<Subject> {
        Ok(Subject::StraightLine(Straight::start(line)?))
    }

    /// Runs it to its end: `count` messages into `topic`, each once and in order.
    pub fn measure(mut self, cluster: &Cluster, topic: &str, count: u64) -> Result<Measured> {
        let watched = self.watch(cluster, topic, count)?;
        self.ended_well()?;
        let arrived = super::check(cluster, topic, Some(count))?;
        let start = UNIX_EPOCH + Duration::from_nanos(arrived.first_emitted_ns.unsigned_abs());
        Ok(Measured {
            seconds: watched.last_change.duration_since(start)?.as_secs_f64(),
            cpu: watched.usage.cpu,
            rss_bytes_max: watched.usage.rss_bytes_max,
            value_bytes: arrived.value_bytes,
        })
    }

    /// Watches the topic grow until the process has ended; its usage is the last that could be
    /// seen.
    fn watch(&mut self, cluster: &Cluster, topic: &str, count: u64) -> Result<Watched> {
        let consumer = topic::consumer(cluster.bootstrap(), topic, Isolation::Committed)?;
        let (mut end, mut changed) = (0, Instant::now());
        let mut last_change = SystemTime::now();
        let mut usage = self.usage()?;
        while !self.has_ended()? {
            usage = self.usage().unwrap_or(usage);
            let now = topic::end_offsets(&consumer, topic)?;
            if now != end {
                (end, changed, last_change) = (now, Instant::now(), SystemTime::now());
            }
            let standstill = changed.elapsed();
            if standstill > STANDSTILL_MAX {
                let log = self.log()?;
                bail!("{topic} stands at {end} of {count} for {standstill:?}:\n{log}");
            }
            std::thread::sleep(LOOK);
        }
        if topic::end_offsets(&consumer, topic)? != end {
            last_change = SystemTime::now();
        }
        Ok(Watched { last_change, usage })
    }

    fn has_ended(&mut self) -> Result<bool> {
        match self {
            Subject::Headwater(headwater, _) => headwater.has_ended(),
            Subject::StraightLine(line) => line.has_ended(),
        }
    }

    fn usage(&self) -> Result<Usage> {
        match self {
            Subject::Headwater(headwater, _) => headwater.usage(),
            Subject::StraightLine(line) => line.usage(),
        }
    }

    fn log(&self) -> Result<String> {
        match self {
            Subject::Headwater(headwater, _) => headwater.log(),
            Subject::StraightLine(_) => Ok(String::new()),
        }
    }

    fn ended_well(&mut self) -> Result<()> {
        let status: ExitStatus = match self {
            Subject::Headwater(headwater, _) => headwater.wait_exit(SETTLE_MAX)?,
            Subject::StraightLine(line) => line.wait().context("it was started")?,
        };
        ensure!(status.success(), "it ended with {status}:\n{}", self.log()?);
        Ok(())
    }
}
