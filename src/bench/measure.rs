//! Runs a pipeline, lets it get warm, and measures it.
//!
//! ```text
//!   start ──► first message ──► warm ─────────────► window over ──► stop, commit, end
//!                               └──── measured ────┘
//! ```
//!
//! A run that ends before it is warm, or that has no warm-up, is measured as a whole: from its
//! first message to its last commit.
//!
//! Next: `src/bench/report.rs` shows what was measured.

use crate::args::Bench;
use crate::bench::limits::FIRST_MESSAGE_MAX;
use crate::bench::meter::{Meter, Tally};
use crate::bench::usage::Usage;
use crate::console;
use crate::exit::{Exit, Failed};
use crate::load::Sound;
use crate::pipelines::{Identity, Pipelines, Terms, Watched};
use crate::screen::Screen;
use crate::signals::Signals;
use headwater_engine::spec::Plan;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long is measured if nobody says.
const DURATION_DEFAULT: Duration = Duration::from_secs(30);

/// How often it is looked for the first message.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What came of a run.
pub(super) struct Measured {
    /// What was measured; nothing if no message arrived.
    pub(super) window: Option<Window>,
    /// Of the whole run, the end included.
    pub(super) totals: Totals,
    pub(super) exit: Exit,
}

/// What was measured.
pub(super) struct Window {
    /// Whether it is the whole run.
    pub(super) is_whole: bool,
    pub(super) span: Duration,
    pub(super) received: u64,
    pub(super) received_bytes: u64,
    pub(super) cpu: Duration,
    /// At its end.
    pub(super) usage: Usage,
    pub(super) tally: Tally,
}

/// Counts of a whole run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) received: u64,
    pub(super) records: u64,
    pub(super) dead_letters: u64,
    pub(super) resends: u64,
    pub(super) rebuilds: u64,
}

/// The counters at one moment.
struct Mark {
    at: Instant,
    received: u64,
    received_bytes: u64,
    usage: Usage,
}

/// The run, for who waits for its moments.
struct Course {
    watched: Watched,
    asked: CancellationToken,
    ended: JoinHandle<Exit>,
    exit: Option<Exit>,
}

/// Runs `plan` as `options` say.
pub(super) async fn measure(
    plan: &Arc<Plan>,
    options: &Bench,
    screen: &Screen,
) -> Result<Measured, Failed> {
    let asked = CancellationToken::new();
    tokio::spawn(Signals::listen()?.obey(asked.clone(), screen.clone()));
    let (stop, meter) = (CancellationToken::new(), Meter::default());
    let on_commit = Some(meter.hook());
    let terms = Terms { stop: stop.clone(), on_commit, ..Terms::default() };
    let files = vec![Sound::Whole(plan.clone())];
    let pipelines = Pipelines::start(files, &terms, Identity::default())?;
    let drawing = tokio::spawn(console::draw(pipelines.watched.clone(), screen.clone()));
    let watched = pipelines.watched.first().expect("one plan is one pipeline").clone();
    let ended = tokio::spawn(pipelines.ended());
    let mut course = Course { watched, asked, ended, exit: None };
    let window = course.window(options, &meter).await;
    stop.cancel();
    let exit = course.end().await;
    drawing.abort();
    screen.settle();
    Ok(Measured { window: window?, totals: course.totals(), exit: exit? })
}

impl Course {
    /// From the start to the end of what is measured.
    async fn window(&mut self, options: &Bench, meter: &Meter) -> Result<Option<Window>, Failed> {
        let mut begin = self.mark()?;
        if !self.first_message().await? {
            return Ok(None);
        }
        let is_endless = options.duration.is_none() && options.generator.messages.is_some();
        let duration = options.duration.map_or(DURATION_DEFAULT, Duration::from_secs);
        let warm_up = Duration::from_secs(options.warm_up);
        let mut is_whole = true;
        if warm_up > Duration::ZERO && self.wait(Some(warm_up)).await? {
            meter.take();
            begin = self.mark()?;
            is_whole = false;
        }
        if self.goes_on() {
            self.wait((!is_endless).then_some(duration)).await?;
        }
        let (end, tally) = (self.mark()?, meter.take());
        let span = if is_whole { tally.span } else { end.at - begin.at };
        Ok(Some(Window {
            is_whole,
            span,
            received: end.received - begin.received,
            received_bytes: end.received_bytes - begin.received_bytes,
            cpu: end.usage.cpu.saturating_sub(begin.usage.cpu),
            usage: end.usage,
            tally,
        }))
    }

    /// Waits for it; false if the run is over before.
    async fn first_message(&mut self) -> Result<bool, Failed> {
        let until = Instant::now() + FIRST_MESSAGE_MAX;
        while self.watched.received() == 0 {
            if !self.wait(Some(LOOK_EVERY)).await? {
                // It may have come in between.
                return Ok(self.watched.received() > 0);
            }
            if Instant::now() > until {
                return Err(self.silent());
            }
        }
        Ok(true)
    }

    fn silent(&self) -> Failed {
        let seconds = FIRST_MESSAGE_MAX.as_secs();
        let report = self.watched.status.report();
        Exit::Unavailable.saying(format!(
            "no message arrived within {seconds} s; the pipeline is {}",
            report.state
        ))
    }

    /// Whether the run is neither over nor asked to be.
    fn goes_on(&self) -> bool {
        self.exit.is_none() && !self.asked.is_cancelled()
    }

    /// Waits so long, or for ever; false if the run is over before.
    async fn wait(&mut self, duration: Option<Duration>) -> Result<bool, Failed> {
        let elapsed = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = elapsed => Ok(true),
            () = self.asked.cancelled() => Ok(false),
            exit = &mut self.ended => {
                self.exit = Some(exit.map_err(|error| Exit::Internal.because(error))?);
                Ok(false)
            }
        }
    }

    async fn end(&mut self) -> Result<Exit, Failed> {
        match self.exit {
            Some(exit) => Ok(exit),
            None => (&mut self.ended).await.map_err(|error| Exit::Internal.because(error)),
        }
    }

    fn mark(&self) -> Result<Mark, Failed> {
        Ok(Mark {
            at: Instant::now(),
            received: self.watched.received(),
            received_bytes: self.watched.received_bytes(),
            usage: Usage::now()?,
        })
    }

    fn totals(&self) -> Totals {
        let metrics = &self.watched.metrics;
        Totals {
            received: self.watched.received(),
            records: metrics.committed_records.get(),
            dead_letters: metrics.dead_letters.get(),
            resends: metrics.resends.get(),
            rebuilds: metrics.rebuilds.get(),
        }
    }
}
