//! The one thread that owns the state.
//!
//! Why a thread: the journal's writes block, which a tokio thread must not, and a state with one
//! owner needs no lock. Connections send it closures and wait for what they return.
//!
//! Invariants
//! 1. A closure's answer leaves only after the journal has taken what it changed.
//! 2. If the journal fails, nothing is answered any more: the state in memory is then ahead of
//!    the file, and a restart tells the truth.
//!
//! Next: `state/mod.rs`.

use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};

use crate::journal::JournalError;
use crate::limits::JOBS_MAX;
use crate::state::State;

/// A handle to the core thread; the thread ends when the last one is gone.
#[derive(Debug, Clone)]
pub(crate) struct Core {
    jobs: mpsc::Sender<Job>,
    news: watch::Receiver<()>,
}

/// The core thread no longer answers.
#[derive(Debug, thiserror::Error)]
#[error("the broker has stopped")]
pub(crate) struct Stopped;

type Job = Box<dyn FnOnce(&mut State) -> Result<(), JournalError> + Send>;

/// A clock that never goes back, in milliseconds since 1970.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    origin_ms: i64,
}

impl Core {
    /// Gives the state a thread. The receiver hears when the thread has ended.
    pub(crate) fn start(state: State, clock: Clock) -> io::Result<(Core, oneshot::Receiver<()>)> {
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let (news_sender, news) = watch::channel(());
        let (ended_sender, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("headwater-broker".to_owned());
        thread.spawn(move || {
            serve(state, &clock, queue, &news_sender);
            ended_sender.send(()).ok();
        })?;
        Ok((Core { jobs, news }, ended))
    }

    /// Runs `work` on the core thread.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |state| {
            let answer = work(state);
            state.store.seal()?;
            // Nobody waits any more if the client has gone.
            sender.send(answer).ok();
            Ok(())
        });
        self.jobs.send(job).await.map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }

    /// Hears of every change that may give a fetch more to read.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.clone()
    }
}

impl Clock {
    /// Starts from the system's time.
    pub(crate) fn start() -> Clock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { origin: Instant::now(), origin_ms: millis(since_1970.as_millis()) }
    }

    /// The time now.
    pub(crate) fn now_ms(&self) -> i64 {
        self.origin_ms + millis(self.origin.elapsed().as_millis())
    }
}

fn serve(
    mut state: State,
    clock: &Clock,
    mut queue: mpsc::Receiver<Job>,
    news: &watch::Sender<()>,
) {
    while let Some(job) = queue.blocking_recv() {
        state.now_ms = clock.now_ms();
        if let Err(error) = job(&mut state) {
            tracing::error!(event = "broker_stopped", %error);
            return;
        }
        if state.take_news() {
            news.send_replace(());
        }
    }
}

fn millis(value: u128) -> i64 {
    i64::try_from(value).expect("the time is before the year 292 million")
}
