//! One case: starts the subject, watches the topic's end and the process, and counts what arrived.
//!
//! The window: from the first change of the topic's end, or the last one of the warm-up, to the
//! last of all. What a process does before its first record is written, such as the start of a JVM,
//! is no part of it, nor is what it does after the last. Speed and CPU are those of the messages
//! that were *written* in the window: what is dropped does not count, though the CPU that went into
//! it does. An idle stream has no such moments; the clock alone bounds its window.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::process::Usage;
use headwater_test_support::topic::{self, Isolation};
use serde_json::json;

use crate::arrived::Arrived;
use crate::load::{Load, Span};
use crate::subject::{Run, Seen, Subject, Work};
use crate::support::PARTITIONS;
use crate::support::generator::Generator;
use crate::support::table::{mib, thousands};

/// What both work with.
pub struct Bench {
    pub cluster: Cluster,
    pub generator: Generator,
}

/// What a case came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub subject: &'static str,
    pub load: String,
    pub round: u32,
    /// Written in the window; none when it has no length.
    pub messages_per_second: Option<f64>,
    pub cpu_us_per_message: Option<f64>,
    /// CPU of the window in percent of one core.
    pub core_percent: Option<f64>,
    pub rss_bytes_max: u64,
    pub arrived: Arrived,
}

/// The topic's end and the process, at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    end: i64,
    usage: Usage,
}

/// What is measured of a case.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// The first change of the topic's end.
    begun: Option<Instant>,
    first: Moment,
    last: Moment,
}

const LOOK: Duration = Duration::from_millis(20);
/// A topic that does not grow for so long belongs to a subject that hangs; a JVM that starts on a
/// busy machine takes its time.
const STANDSTILL_MAX: Duration = Duration::from_secs(120);

impl Bench {
    /// Runs one case by one subject.
    pub fn run(&mut self, subject: &dyn Subject, load: &Load, round: u32) -> Result<Outcome> {
        let word = load.name().replace('/', "-");
        let name = format!("peer-{}-{word}-{round}-{}", subject.name(), std::process::id());
        self.cluster.create_topic(&name, PARTITIONS)?;
        let before = self.generator.sent()?;
        let (endpoint, brokers) = (self.generator.endpoint().to_owned(), self.cluster.bootstrap());
        let work = Work { name: &name, load, endpoint: &endpoint, brokers };
        let mut run = subject.start(&work)?;
        let window = match load {
            Load::Idle { span } => idle(run.as_mut(), span)?,
            _ => watch(run.as_mut(), &work, &mut self.generator, before)?,
        };
        drop(run);
        // A stream that was resumed is numbered as one that was not.
        let sent = (self.generator.sent()? - before).min(load.messages());
        let arrived = Arrived::read(self.cluster.bootstrap(), &name, sent)?;
        let is_right = arrived.is_exact() || !subject.is_exactly_once();
        ensure!(is_right, "{name}: not exactly once: {arrived:?}");
        Ok(Outcome { load: load.name(), round, ..Outcome::new(subject.name(), window, arrived) })
    }
}

/// Looks at the topic until the subject is done; its usage is the last that could be seen.
fn watch(
    run: &mut dyn Run,
    work: &Work<'_>,
    generator: &mut Generator,
    sent_before: u64,
) -> Result<Window> {
    let consumer = topic::consumer(work.brokers, work.name, Isolation::Committed)?;
    let mut window = Window::starting(run.usage()?);
    loop {
        // Asked before the end is looked at: a subject that is done then writes no more.
        let is_sent = generator.sent()? - sent_before >= work.load.messages();
        let quiet = window.last.at.elapsed();
        let is_done = run.is_done(Seen { is_sent, quiet })?;
        let usage = run.usage().unwrap_or(window.last.usage);
        // A broker that is late to answer is asked again, for as long as it may stand still.
        if let Ok(end) = topic::end_offsets(&consumer, work.name) {
            window.see(end, usage, work.load.warm_up());
            if is_done {
                ensure!(window.last.end > 0, "{}: nothing was written", work.name);
                return Ok(window);
            }
        }
        if quiet > STANDSTILL_MAX {
            let (end, log) = (window.last.end, run.log_end());
            bail!("{} stands at {end} for {STANDSTILL_MAX:?}:\n{log}", work.name);
        }
        std::thread::sleep(LOOK);
    }
}

fn idle(run: &mut dyn Run, span: &Span) -> Result<Window> {
    run.wait_open()?;
    std::thread::sleep(span.warm_up);
    let first = Moment::now(0, run.usage()?);
    std::thread::sleep(span.measured);
    Ok(Window { begun: None, first, last: Moment::now(0, run.usage()?) })
}

impl Window {
    fn starting(usage: Usage) -> Window {
        let now = Moment::now(0, usage);
        Window { begun: None, first: now, last: now }
    }

    /// Takes a look at the topic's end.
    fn see(&mut self, end: i64, usage: Usage, warm_up: Duration) {
        if end == self.last.end {
            return;
        }
        self.last = Moment::now(end, usage);
        let begun = *self.begun.get_or_insert(self.last.at);
        if self.last.at - begun <= warm_up {
            self.first = self.last;
        }
    }

    /// The share of what is in the topic that came in the window.
    fn share(&self) -> f64 {
        (self.last.end - self.first.end) as f64 / self.last.end.max(1) as f64
    }
}

impl Moment {
    fn now(end: i64, usage: Usage) -> Moment {
        Moment { at: Instant::now(), end, usage }
    }
}

impl Outcome {
    fn new(subject: &'static str, window: Window, arrived: Arrived) -> Outcome {
        // Of the records, for markers of transactions are in the end, too.
        let written = arrived.records as f64 * window.share();
        let Window { first, last, .. } = window;
        let seconds = (last.at - first.at).as_secs_f64();
        let cpu = last.usage.cpu.saturating_sub(first.usage.cpu).as_secs_f64();
        let has_messages = written > 0.0 && seconds > 0.0;
        Outcome {
            subject,
            load: String::new(),
            round: 0,
            messages_per_second: has_messages.then(|| written / seconds),
            cpu_us_per_message: has_messages.then(|| cpu * 1e6 / written),
            core_percent: (seconds > 0.0).then(|| 100.0 * cpu / seconds),
            rss_bytes_max: last.usage.rss_bytes_max,
            arrived,
        }
    }

    /// All of it, for machines.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "subject": self.subject,
            "load": self.load,
            "round": self.round,
            "messages_per_second": self.messages_per_second,
            "cpu_us_per_message": self.cpu_us_per_message,
            "core_percent": self.core_percent,
            "rss_bytes_max": self.rss_bytes_max,
            "arrived": self.arrived.json(),
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {}: ", self.load, self.subject)?;
        if let Some(rate) = self.messages_per_second {
            write!(out, "{} messages/s, ", thousands(rate))?;
        }
        if let Some(percent) = self.core_percent {
            write!(out, "{percent:.1} % of a core, ")?;
        }
        write!(out, "{} MiB, ", mib(self.rss_bytes_max))?;
        let Arrived { sent, missing, .. } = self.arrived;
        write!(out, "{} of {} missing", thousands(missing as f64), thousands(sent as f64))
    }
}
