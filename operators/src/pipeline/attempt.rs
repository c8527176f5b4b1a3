//! One attempt at a pipeline: acquire, build, feed, and see it to its end.
//!
//! The order is the protocol's: the outlet is acquired (claim, fence, read) before any call is
//! opened, so every shard starts exactly behind what is committed.
//!
//! The end comes in one of three ways, and always the same steps follow: the shard tasks end and
//! drop their inlets, the sources see it, the frontier runs out, the committer makes the last epoch
//! durable, and each worker reports that its part is gone.

use crate::limits::DRAIN_TIMEOUT;
use crate::pipeline::assemble::{Assembly, Incarnation, assemble};
use crate::pipeline::commits::{Commits, used_bytes};
use crate::pipeline::epoch_spans::EpochSpans;
use crate::pipeline::measured::measure;
use crate::pipeline::members::{Common, Members, Tasks, TooManyStored};
use crate::pipeline::roster::Roster;
use crate::pipeline::run::{RunContext, RunEnd};
use crate::pipeline::sink_counts::SinkCounts;
use crate::pipeline::state::Phase;
use crate::sink::kafka::{Beat, KafkaOutlet, KafkaStartError, LogLimit, OutletPlan, Place, Pulse};
use crate::sink::outlet::PipelineOutlet;
use crate::telemetry::{OpenSpan, PipelineMetrics, outcome};
use headwater_engine::commit::observe::Observer;
use headwater_engine::commit::progress::StoredProgress;
use headwater_engine::dataflow::build::{Running, Shared, launch};
use headwater_engine::dataflow::credit::Credit;
use headwater_engine::dataflow::epochs::{EpochBounds, Epochs};
use headwater_engine::dataflow::guard::panic_text;
use headwater_engine::failure::{Failure, FailureReason, Recovery};
use headwater_engine::ids::Epoch;
use headwater_engine::shards::ShardTable;
use headwater_engine::spec::Plan;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// The epoch of a pipeline's very first commit.
const FIRST_EPOCH: Epoch = Epoch(1);

/// How often the bytes in flight are counted beside each commit.
const CREDIT_LOOK: Duration = Duration::from_secs(1);

/// How an attempt ended.
pub(super) enum AttemptEnd {
    /// It ran, and is over.
    Ended(RunEnd),
    /// It ran, and what it had received and not committed is dropped.
    Failed(FailureReason),
    /// It never received anything: it was asked to stop before, or it could not start.
    NotStarted(Option<FailureReason>),
}

/// What an attempt works with.
pub(super) struct Attempt {
    pub(super) plan: Arc<Plan>,
    pub(super) context: RunContext,
    pub(super) metrics: PipelineMetrics,
    pub(super) incarnation: Incarnation,
}

/// Why the shards were asked to end.
enum Cause {
    AllEnded,
    StopRequested,
    Failed,
}

impl Attempt {
    /// `start` ends when messages may flow.
    pub(super) async fn run(self, start: &mut OpenSpan) -> AttemptEnd {
        self.context.status.attempt();
        let assembly = assemble(&self.plan, &self.incarnation);
        let started = tokio::select! {
            started = self.start_outlet(assembly.outlet.clone()) => started,
            () = self.context.stop.cancelled() => return AttemptEnd::NotStarted(None),
        };
        let (kafka, stored) = match started {
            Ok(started) => started,
            Err(error) => return AttemptEnd::NotStarted(Some(start_failure(&error))),
        };
        let shared = self.shared(&stored);
        let Assembly { shards, table, mut blueprint, parts, outlet } = assembly;
        measure(&mut blueprint, &self.context);
        let place = outlet.as_ref().map(Place::of);
        let tap = self.context.tap.clone().map(|tap| (tap, table.clone()));
        let outlet = Box::new(PipelineOutlet::new(kafka, parts).tapped(tap));
        let roster = Roster::default();
        let observer = self.observer(roster.clone(), &table, &shared);
        let workers = &self.context.workers;
        let mut running = match launch(workers, blueprint, &shared, outlet, observer) {
            Ok(running) => running,
            Err(error) => {
                let reason = failure("workers", error.to_string());
                return AttemptEnd::NotStarted(Some(reason));
            }
        };
        let _pulse = place.map(|place| self.pulse(place, &shared));
        let common = Common {
            plan: self.plan.clone(),
            context: self.context.clone(),
            table,
            roster,
            failure: shared.failure.clone(),
            inlets: std::mem::take(&mut running.inlets),
            stop: CancellationToken::new(),
        };
        let stop = common.stop.clone();
        let mut members = match Members::new(common, &self.incarnation, stored) {
            Ok(members) => members,
            Err(error) => return self.give_up(&error, &shared),
        };
        members.start(shards);
        start.end(outcome::OK);
        self.watch(members, stop, shared, running).await
    }

    /// Takes the pipeline over, when its turn has come: the clients of many at once would be in
    /// each other's way.
    async fn start_outlet(
        &self,
        plan: Option<OutletPlan>,
    ) -> Result<(Option<KafkaOutlet>, StoredProgress), KafkaStartError> {
        let _turn = match &self.context.starts {
            Some(starts) if plan.is_some() => Some(starts.acquire().await),
            _ => None,
        };
        start_outlet(plan).await
    }

    /// What is stored cannot be used; the dataflow, which has no inlet any more, ends by itself.
    fn give_up(&self, error: &TooManyStored, shared: &Shared) -> AttemptEnd {
        let recovery = Recovery::Stop;
        let reason = FailureReason { recovery, ..failure("start", error.to_string()) };
        shared.failure.set(reason.clone());
        AttemptEnd::NotStarted(Some(reason))
    }

    fn shared(&self, stored: &StoredProgress) -> Shared {
        let settings = self.plan.settings();
        let bounds = EpochBounds {
            interval: Duration::from_millis(settings.commit.interval_ms),
            bytes_max: settings.commit.epoch_bytes_max,
            // One is being committed while the next is complete.
            closed_max: u64::from(settings.commit.ring.min(2)),
        };
        let first = stored.epoch().map_or(FIRST_EPOCH, Epoch::next);
        Shared {
            epochs: Arc::new(Epochs::new(first, bounds, self.context.clock.clone())),
            credit: Arc::new(Credit::new(settings.memory.credit_bytes)),
            failure: Arc::new(Failure::default()),
        }
    }

    /// Shows that this instance lives while it has nothing to commit.
    fn pulse(&self, place: Place, shared: &Shared) -> Pulse {
        let interval = Duration::from_millis(self.plan.settings().takeover.heartbeat_ms);
        let commits = self.metrics.commits.clone();
        let status = self.context.status.clone();
        let told = move |beat: &Beat<'_>| status.note_beat(beat);
        Pulse::start(place, interval, move || commits.get(), told, shared.failure.clone())
    }

    /// Counts what becomes of each epoch; runs on the committer's thread.
    fn observer(&self, roster: Roster, table: &ShardTable, shared: &Shared) -> Observer {
        let mut commits = Commits {
            pipeline: self.plan.name().to_owned(),
            metrics: self.metrics.clone(),
            sinks: SinkCounts::new(&self.plan, &self.context.telemetry, table),
            roster,
            status: self.context.status.clone(),
            clock: self.context.clock.clone(),
            credit: shared.credit.clone(),
            log_limit: LogLimit::default(),
            on_commit: self.context.on_commit.clone(),
            spans: EpochSpans::new(
                self.context.telemetry.spans(self.plan.name()),
                table,
                self.context.clock.clone(),
            ),
        };
        Box::new(move |event| commits.note(event))
    }

    /// Feeds the dataflow until the shards end, the pipeline fails or is asked to stop; then sees
    /// everything out.
    async fn watch(
        &self,
        mut members: Members,
        stop: CancellationToken,
        shared: Shared,
        running: Running,
    ) -> AttemptEnd {
        let failed = Arc::new(Notify::new());
        let on_failure = failed.clone();
        shared.failure.on_set(move || on_failure.notify_one());
        let mut look = tokio::time::interval(CREDIT_LOOK);
        let cause = loop {
            tokio::select! {
                () = failed.notified() => break Cause::Failed,
                () = self.context.stop.cancelled() => break Cause::StopRequested,
                // A sink that hangs commits nothing, and just then people look at this number.
                _ = look.tick() => self.metrics.credit_used_bytes.set(used_bytes(&shared.credit)),
                goes_on = members.turn() => if !goes_on { break Cause::AllEnded },
            }
        };
        let (tasks, broken) = members.close();
        match shared.failure.get() {
            Some(reason) => self.context.status.fail(reason),
            None => self.context.status.set(Phase::Draining),
        }
        stop.cancel();
        let seen_out = see_out(tasks, running, &shared.failure, &failed);
        let drained = self.within_limits(seen_out, &cause).await;
        match (shared.failure.get(), cause) {
            (Some(reason), _) => AttemptEnd::Failed(reason.clone()),
            (None, _) if !drained => AttemptEnd::Ended(RunEnd::NotDrained),
            (None, Cause::StopRequested) => AttemptEnd::Ended(RunEnd::Stopped),
            (None, _) if broken.is_empty() => AttemptEnd::Ended(RunEnd::Finished),
            (None, _) => AttemptEnd::Ended(RunEnd::Broken(broken)),
        }
    }

    /// Waits for `seen_out`; false if it took too long. Streams that ended by themselves have no
    /// limit: a broker that is away comes back, and only who asks to stop is in a hurry.
    async fn within_limits(&self, seen_out: impl Future<Output = ()>, cause: &Cause) -> bool {
        let mut seen_out = std::pin::pin!(seen_out);
        if matches!(cause, Cause::AllEnded) {
            tokio::select! {
                () = &mut seen_out => return true,
                () = self.context.stop.cancelled() => {}
            }
        }
        tokio::time::timeout(DRAIN_TIMEOUT, seen_out).await.is_ok()
    }
}

/// Waits until the shards have ended, the dataflow is gone and the last epoch is durable. The
/// shards of a failed pipeline are not waited for: they may wait for credit that nobody will give
/// back.
async fn see_out(mut tasks: Tasks, running: Running, failure: &Failure, failed: &Notify) {
    loop {
        if failure.is_set() {
            tasks.abort_all();
        }
        tokio::select! {
            ended = tasks.join_next() => if ended.is_none() { break },
            () = failed.notified() => {}
        }
    }
    let Running { gone, committer, .. } = running;
    let waited = tokio::task::spawn_blocking(move || {
        // The committer ends after the last commit; the workers' parts go when they see it durable.
        let _ = committer.join();
        while gone.recv().is_ok() {}
    });
    let _ = waited.await;
}

/// Acquires on a thread of its own: librdkafka blocks, and a stop must not wait for it. A panic
/// there costs this attempt and no more.
async fn start_outlet(
    plan: Option<OutletPlan>,
) -> Result<(Option<KafkaOutlet>, StoredProgress), KafkaStartError> {
    let Some(plan) = plan else { return Ok((None, StoredProgress::default())) };
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("acquire:{}", plan.pipeline));
    let spawned = thread.spawn(move || {
        let started = catch_unwind(AssertUnwindSafe(|| KafkaOutlet::start(plan)));
        let panicked = |panic: Box<dyn Any + Send>| {
            Err(KafkaStartError::Panicked { message: panic_text(&*panic) })
        };
        let _ = sender.send(started.unwrap_or_else(panicked));
    });
    let started = match spawned {
        Ok(_) => receiver.await.ok(),
        Err(_) => None,
    };
    let lost = || KafkaStartError::Panicked { message: "there is no thread for it".to_owned() };
    let (outlet, stored) = started.ok_or_else(lost)??;
    Ok((Some(outlet), stored))
}

fn start_failure(error: &KafkaStartError) -> FailureReason {
    let recovery = match error {
        KafkaStartError::Superseded { .. } => Recovery::Superseded,
        error if error.may_heal() => Recovery::Restart,
        _ => Recovery::Stop,
    };
    FailureReason { place: "start".to_owned(), message: error.to_string(), recovery }
}

pub(super) fn failure(place: &str, message: String) -> FailureReason {
    FailureReason { place: place.to_owned(), message, recovery: Recovery::Restart }
}
