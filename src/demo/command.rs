//! Brings the demo up, watches it, and takes it down so that the comparison at the end is fair.
//!
//! Why the order of the end matters:
//! 1. the server ends its streams, so nothing new is on its way, and keeps its connections: a
//!    client that is told to leave one may do so before it has read all;
//! 2. the reader sees all that was sent, because it is committed as ever;
//! 3. the pipeline stops, and nothing is left to commit;
//! 4. only then is counted; the server and the broker go last.

use crate::args::{Demo, LogFormat, Logs};
use crate::demo::reader::Reader;
use crate::demo::verdict::Tally;
use crate::demo::view::{View, introduction, summary};
use crate::demo::world::World;
use crate::exit::{Exit, Failed, Outcome};
use crate::load::Sound;
use crate::pipelines::{Identity, Pipelines, Terms, Watched};
use crate::screen::Screen;
use crate::signals::Signals;
use crate::{logs, output, run};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often the view is drawn.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// How long the reader may take to see what was sent, once the streams have ended.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether the reader has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The demo as it runs.
struct Show {
    world: World,
    reader: Reader,
    watched: Watched,
    view: View,
    stop: CancellationToken,
}

/// Runs the demo until Ctrl-C, or for the duration that was asked for.
pub(crate) fn demo(options: &Demo) -> Outcome {
    let screen = Screen::new(!options.plain);
    let log_level = options.log_level.clone();
    logs::install(&Logs { log_format: LogFormat::Text, log_level }, &screen)?;
    let runtime = run::start_runtime()?;
    let outcome = runtime.block_on(show(options, screen));
    runtime.shutdown_background();
    outcome
}

async fn show(options: &Demo, screen: Screen) -> Outcome {
    let signals = Signals::listen()?;
    let asked = CancellationToken::new();
    tokio::spawn(signals.obey(asked.clone(), screen.clone()));
    let world = World::start(options).await?;
    output::print(&introduction(&world, options.rate));
    let (brokers, topic) = (world.brokers.clone(), world.topic.clone());
    let reader = tokio::task::spawn_blocking(move || Reader::start(&brokers, &topic)).await;
    let reader = reader.map_err(|error| Exit::Internal.because(error))?;
    let reader = reader.map_err(|error| Exit::Unavailable.because(error))?;
    let stop = CancellationToken::new();
    let terms = Terms { stop: stop.clone(), ..Terms::default() };
    let files = vec![Sound::Whole(world.plan.clone())];
    let pipelines = Pipelines::start(files, &terms, Identity::default())?;
    let watched = pipelines.watched.first().expect("one plan is one pipeline").clone();
    let ended = tokio::spawn(pipelines.ended());
    let show = Show { world, reader, watched, view: View::new(screen), stop };
    show.run(options, asked, ended).await
}

impl Show {
    async fn run(
        mut self,
        options: &Demo,
        asked: CancellationToken,
        mut ended: tokio::task::JoinHandle<Exit>,
    ) -> Outcome {
        let started = Instant::now();
        let until = options.duration.map(Duration::from_secs);
        let mut ticks = tokio::time::interval(DRAW_EVERY);
        ticks.tick().await;
        loop {
            tokio::select! {
                exit = &mut ended => return early(exit),
                () = asked.cancelled() => break,
                () = after(until, started) => break,
                _ = ticks.tick() => {
                    self.view.tick(&self.watched, &mut self.reader.ledger());
                }
            }
        }
        self.view.settle();
        self.end(started.elapsed(), ended).await
    }

    /// Takes everything down in order, and compares.
    async fn end(mut self, ran: Duration, ended: tokio::task::JoinHandle<Exit>) -> Outcome {
        let World { server, broker, .. } = self.world;
        // The calls that come now are those of a pipeline that looks whether the server is back.
        let calls = self.watched.shards().iter().map(|shard| shard.calls.get()).sum();
        server.end_streams();
        let received = || self.watched.received();
        let counts = || self.reader.ledger().counts();
        wait(|| received() >= server.sent() && counts().distinct >= received()).await;
        self.stop.cancel();
        let exit = ended.await.map_err(|error| Exit::Internal.because(error))?;
        let committed = self.watched.metrics.committed_records.get();
        wait(|| counts().distinct >= committed).await;
        let seen = counts();
        let tally = Tally { sent: server.sent(), calls, received: received(), committed, seen };
        server.shutdown().await;
        let latencies = self.reader.ledger().latencies();
        output::print(&summary(&tally, latencies, ran));
        let reader = tokio::task::spawn_blocking(move || self.reader.end());
        reader.await.map_err(|error| Exit::Internal.because(error))?;
        if let Some(broker) = broker {
            broker.shutdown().await;
        }
        let verdict = if tally.differences().is_empty() { Exit::Done } else { Exit::Failed };
        Ok(exit.graver(verdict))
    }
}

/// The pipeline ended although nobody asked it to; its log line has said why.
fn early(exit: Result<Exit, tokio::task::JoinError>) -> Outcome {
    let exit = exit.map_err(|error| Exit::Internal.because(error))?;
    let failed: Failed = exit.graver(Exit::Failed).saying("the pipeline ended by itself");
    Err(failed)
}

async fn after(until: Option<Duration>, started: Instant) {
    match until {
        Some(until) => tokio::time::sleep_until((started + until).into()).await,
        None => std::future::pending().await,
    }
}

/// Waits until `is_so`, but not for ever: what is then missing shows in the summary. What goes on
/// as it begins is over by the first look.
async fn wait(is_so: impl Fn() -> bool) {
    let until = Instant::now() + CATCH_UP_MAX;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if is_so() || Instant::now() >= until {
            return;
        }
    }
}
