//! A pipeline's whole life: start, watch, and after a failure build it anew from committed
//! progress.
//!
//! One attempt is in `attempt.rs`. What follows a failure is decided by its type: a restart may
//! heal it (back off, then try again, for as long as nobody says stop), a person must (end and say
//! why), or a newer instance took over (stand by until it falls silent, or end quietly).

use crate::limits::{REBUILD_BACKOFF_MAX, REBUILD_BACKOFF_MIN};
use crate::pipeline::assemble::Incarnation;
use crate::pipeline::attempt::{Attempt, AttemptEnd};
use crate::pipeline::standby::{Verdict, stand_by};
use crate::pipeline::state::Phase;
use crate::pipeline::status::Status;
use crate::sink::kafka::{AcceptChange, HeldGeneration, WrittenTopics};
use crate::sink::tap::Tap;
use crate::telemetry::{OpenSpan, PipelineMetrics, Telemetry, brief, unix_seconds};
use headwater_engine::clock::Clock;
use headwater_engine::commit::observe::Committed;
use headwater_engine::dataflow::workers::Workers;
use headwater_engine::failure::{FailureReason, Recovery};
use headwater_engine::ids::ShardKey;
use headwater_engine::spec::Plan;
use opentelemetry::trace::SpanKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What a pipeline needs from the process it runs in.
#[derive(Clone)]
pub struct RunContext {
    /// The dataflow workers.
    pub workers: Arc<Workers>,
    /// Where to count.
    pub telemetry: Telemetry,
    /// Where to say how it goes.
    pub status: Status,
    /// Asks the pipeline to commit what it has and end.
    pub stop: CancellationToken,
    /// The process's monotonic clock.
    pub clock: Arc<dyn Clock>,
    /// Names this process in claims.
    pub instance: String,
    /// What to do with the position of a shard whose source has changed; left out, a change
    /// refuses to start.
    pub accept_change: Option<AcceptChange>,
    /// Told of every commit, if somebody wants to know more of it than metrics say.
    pub on_commit: Option<OnCommit>,
    /// Told of each topic when it is written to for the first time, if somebody wants to know.
    pub written: Option<WrittenTopics>,
    /// Where records are shown on their way, if somebody may want to look.
    pub tap: Option<Tap>,
    /// How many pipelines of this process may take themselves over at once, if that is bounded.
    pub starts: Option<Arc<Semaphore>>,
}

/// Told of every commit, on the committer's thread: the next commit waits for it.
pub type OnCommit = Arc<dyn Fn(&Committed<'_>) + Send + Sync>;

impl RunContext {
    /// This process before it held any generation.
    pub(super) fn incarnation(&self) -> Incarnation {
        Incarnation {
            instance: self.instance.clone(),
            held: HeldGeneration::default(),
            accept_change: self.accept_change,
            written: self.written.clone(),
        }
    }
}

/// How a pipeline ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All streams ended as the pipeline file expects; everything is committed.
    Finished,
    /// It was asked to stop; everything received is committed.
    Stopped,
    /// It was asked to stop and could not commit everything in time. Nothing is lost: the next
    /// start goes on behind the last commit.
    NotDrained,
    /// No stream is left, and these could not go on; everything received is committed.
    Broken(Vec<(ShardKey, String)>),
    /// It cannot go on without a person.
    Failed(FailureReason),
    /// A newer instance owns the pipeline.
    Superseded(FailureReason),
}

/// Runs `plan` until it ends or is asked to.
pub async fn run(plan: Arc<Plan>, context: RunContext) -> RunEnd {
    let metrics = context.telemetry.pipeline(plan.name());
    metrics.start_unix_seconds.set(unix_seconds());
    let credit_bytes = plan.settings().memory.credit_bytes;
    metrics.credit_capacity_bytes.set(i64::try_from(credit_bytes).unwrap_or(i64::MAX));
    let mut backoff = Backoff::default();
    let mut incarnation = context.incarnation();
    // Whether an attempt failed with records that were received and not committed.
    let mut has_dropped = false;
    let mut start = open(&context, &plan, "start");
    let end = loop {
        let commits_before = metrics.commits.get();
        let attempt = Attempt {
            plan: plan.clone(),
            context: context.clone(),
            metrics: metrics.clone(),
            incarnation: incarnation.clone(),
        };
        let reason = match attempt.run(&mut start).await {
            AttemptEnd::Ended(end) => break end,
            AttemptEnd::NotStarted(None) => break stopped_early(has_dropped),
            AttemptEnd::NotStarted(Some(reason)) => {
                start.fail(&reason.to_string());
                reason
            }
            AttemptEnd::Failed(reason) => {
                has_dropped = true;
                reason
            }
        };
        match reason.recovery {
            Recovery::Stop => break RunEnd::Failed(reason),
            Recovery::Superseded => match stand_by(&plan, &context, &reason).await {
                Verdict::TakeOver => {
                    // As a new start: whoever is there, the newest claim is ours.
                    let held = incarnation.held.released();
                    incarnation = Incarnation { held, ..context.incarnation() };
                    backoff = Backoff::default();
                    start = open(&context, &plan, "takeover");
                    continue;
                }
                // What this instance had received is the other one's business now.
                Verdict::Stopped => break RunEnd::Stopped,
                Verdict::Exit => break RunEnd::Superseded(reason),
            },
            Recovery::Restart => {}
        }
        if metrics.commits.get() > commits_before {
            backoff = Backoff::default();
        }
        start = open(&context, &plan, "rebuild");
        start.set("reason", brief(&reason.to_string()));
        if !back_off(&plan, &context, &metrics, &reason, backoff.next()).await {
            break stopped_early(has_dropped);
        }
    };
    let reason = match &end {
        RunEnd::Finished | RunEnd::Stopped => None,
        RunEnd::NotDrained => Some("not everything could be committed in time".to_owned()),
        RunEnd::Broken(_) => Some("no stream is left".to_owned()),
        RunEnd::Failed(reason) | RunEnd::Superseded(reason) => Some(reason.to_string()),
    };
    context.status.set(Phase::Stopped(reason));
    end
}

/// A span from the wish that messages flow to the moment they may.
fn open(context: &RunContext, plan: &Plan, name: &'static str) -> OpenSpan {
    context.telemetry.spans(plan.name()).open(name, SpanKind::Internal)
}

/// Asked to stop while nothing ran: clean only if nothing was dropped before.
fn stopped_early(has_dropped: bool) -> RunEnd {
    if has_dropped { RunEnd::NotDrained } else { RunEnd::Stopped }
}

/// Waits before the next attempt; false if the pipeline was asked to stop meanwhile.
async fn back_off(
    plan: &Plan,
    context: &RunContext,
    metrics: &PipelineMetrics,
    reason: &FailureReason,
    delay: Duration,
) -> bool {
    metrics.rebuilds.inc();
    context.status.set(Phase::Recovering(reason.to_string()));
    tracing::warn!(
        event = "pipeline_rebuild",
        pipeline = plan.name(),
        delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        "{reason}"
    );
    tokio::select! {
        () = tokio::time::sleep(delay) => true,
        () = context.stop.cancelled() => false,
    }
}

/// Doubles up to its maximum.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    fn next(&mut self) -> Duration {
        let delay = REBUILD_BACKOFF_MIN * 2u32.saturating_pow(self.0.min(16));
        self.0 += 1;
        delay.min(REBUILD_BACKOFF_MAX)
    }
}
