//! All pipelines of one process, on one set of workers.
//!
//! Invariant: every pipeline's end is logged and counts for the exit code, also that of a task that
//! panicked.
//!
//! Next: `operators/src/pipeline/run.rs` is one pipeline's life.

use crate::exit::{Exit, Failed};
use crate::words::plural;
use headwater_engine::clock::{Clock, SystemClock};
use headwater_engine::dataflow::workers::Workers;
use headwater_engine::spec::{Plan, Role};
use headwater_operators::pipeline::guarantee::streams;
use headwater_operators::pipeline::status::Status;
use headwater_operators::pipeline::{OnCommit, RunContext, RunEnd, run};
use headwater_operators::sink::kafka::{AcceptChange, instance_name};
use headwater_operators::source::grpc::GrpcSource;
use headwater_operators::telemetry::{PipelineMetrics, ShardMetrics, Telemetry};
use prometheus::{IntGaugeVec, Opts};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long workers may take to end once their pipelines have.
const JOIN_MAX: Duration = Duration::from_secs(2);

/// One pipeline, for those who watch.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) status: Status,
    pub(crate) metrics: PipelineMetrics,
    /// Of the shards that the file names; those of a list that changes come and go.
    pub(crate) shards: Vec<ShardMetrics>,
    telemetry: Telemetry,
}

/// The running pipelines.
pub(crate) struct Pipelines {
    pub(crate) watched: Vec<Watched>,
    pub(crate) telemetry: Telemetry,
    workers: Arc<Workers>,
    tasks: JoinSet<(String, RunEnd)>,
}

impl Pipelines {
    /// Starts all of `plans`; cancelling `stop` asks them to end.
    pub(crate) fn start(
        plans: &[Arc<Plan>],
        accept_change: Option<AcceptChange>,
        stop: &CancellationToken,
    ) -> Result<Self, Failed> {
        Self::start_told(plans, accept_change, stop, None)
    }

    /// The same; `on_commit` is told of every commit of any of them.
    pub(crate) fn start_told(
        plans: &[Arc<Plan>],
        accept_change: Option<AcceptChange>,
        stop: &CancellationToken,
        on_commit: Option<&OnCommit>,
    ) -> Result<Self, Failed> {
        let peers = plans.iter().map(|plan| worker_count(plan)).max().unwrap_or(1);
        let workers = Workers::start(peers).map_err(|error| Exit::Internal.because(error))?;
        let workers = Arc::new(workers);
        let telemetry = Telemetry::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let instance = instance_name();
        log_start(plans, peers, &instance);
        publish_promises(plans, &telemetry);
        let mut tasks = JoinSet::new();
        let mut watched = Vec::new();
        for plan in plans {
            let watch = Watched::new(plan, &telemetry, clock.clone());
            let context = RunContext {
                workers: workers.clone(),
                telemetry: telemetry.clone(),
                status: watch.status.clone(),
                stop: stop.clone(),
                clock: clock.clone(),
                instance: instance.clone(),
                accept_change,
                on_commit: on_commit.cloned(),
            };
            tasks.spawn(watch_over(watch.status.clone(), plan.clone(), context));
            watched.push(watch);
        }
        Ok(Pipelines { watched, telemetry, workers, tasks })
    }

    /// Waits until all have ended; the gravest end counts.
    pub(crate) async fn ended(mut self) -> Exit {
        let mut exit = Exit::Done;
        while let Some(ended) = self.tasks.join_next().await {
            exit = exit.graver(match ended {
                Ok((pipeline, end)) => {
                    log_end(&pipeline, &end);
                    Exit::of(&end)
                }
                Err(error) => {
                    tracing::error!(event = "pipeline_panicked", "{error}");
                    Exit::Internal
                }
            });
        }
        join(self.workers).await;
        exit
    }
}

impl Watched {
    fn new(plan: &Plan, telemetry: &Telemetry, clock: Arc<dyn Clock>) -> Self {
        let of_source = |node: &headwater_engine::spec::PlanNode| {
            let shards = node.config::<GrpcSource>().shards().to_vec();
            let source = node.name.clone();
            shards.into_iter().map(move |shard| telemetry.shard(plan.name(), &source, &shard.key.0))
        };
        Watched {
            name: plan.name().to_owned(),
            status: Status::new(plan, telemetry, clock),
            metrics: telemetry.pipeline(plan.name()),
            shards: plan.of_role(Role::Source).flat_map(of_source).collect(),
            telemetry: telemetry.clone(),
        }
    }

    /// Messages received by this process, duplicates included.
    pub(crate) fn received(&self) -> u64 {
        self.telemetry.received(&self.name).0
    }

    /// The bytes of these messages.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.telemetry.received(&self.name).1
    }
}

/// Runs a pipeline, and looks after its state meanwhile.
async fn watch_over(status: Status, plan: Arc<Plan>, context: RunContext) -> (String, RunEnd) {
    let name = plan.name().to_owned();
    let end = tokio::select! {
        end = run(plan, context) => end,
        never = status.keep_looking() => match never {},
    };
    (name, end)
}

/// How many workers a plan asks for: its own number, or one per core.
fn worker_count(plan: &Plan) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    plan.settings().workers.map_or_else(cores, usize::from)
}

/// Workers whose dataflow cannot end (the pipeline gave up draining) are left to the process's end.
async fn join(workers: Arc<Workers>) {
    let Some(workers) = Arc::into_inner(workers) else { return };
    let joined = tokio::task::spawn_blocking(move || workers.join());
    if tokio::time::timeout(JOIN_MAX, joined).await.is_err() {
        tracing::debug!(event = "workers_left", "they did not end in time");
    }
}

/// What each stream is promised, as a metric: alerts can tell a weaker promise from a stronger one.
fn publish_promises(plans: &[Arc<Plan>], telemetry: &Telemetry) {
    let options = Opts::new("stream_guarantee", "What a stream is promised; always 1");
    let labels = ["pipeline", "source", "sink", "guarantee"];
    let promises = IntGaugeVec::new(options, &labels).expect("names are constants");
    for plan in plans {
        for stream in streams(plan) {
            let guarantee = stream.guarantee.to_string();
            let values = [plan.name(), &stream.source, &stream.sink, &guarantee];
            promises.with_label_values(&values).set(1);
        }
    }
    let registered = telemetry.registry().register(Box::new(promises));
    registered.expect("a process starts its pipelines once");
}

fn log_start(plans: &[Arc<Plan>], workers: usize, instance: &str) {
    let version = env!("CARGO_PKG_VERSION");
    let pipelines = plans.len();
    tracing::info!(event = "start", version, pipelines, workers, instance);
    for plan in plans {
        for stream in streams(plan) {
            let fields: Vec<&str> =
                stream.weakened_by.iter().map(|weakness| weakness.field.as_str()).collect();
            let weakened_by = (!fields.is_empty()).then(|| fields.join(","));
            tracing::info!(
                event = "stream",
                pipeline = plan.name(),
                source = stream.source,
                sink = stream.sink,
                guarantee = %stream.guarantee,
                weakened_by,
            );
        }
    }
}

fn log_end(pipeline: &str, end: &RunEnd) {
    match end {
        RunEnd::Finished => tracing::info!(event = "pipeline_finished", pipeline),
        RunEnd::Stopped => tracing::info!(event = "pipeline_stopped", pipeline),
        RunEnd::NotDrained => tracing::warn!(
            event = "pipeline_not_drained",
            pipeline,
            "not everything could be committed in time; the next start goes on"
        ),
        RunEnd::Broken(shards) => {
            let shards = plural(shards.len(), "shard");
            tracing::error!(event = "pipeline_broken", pipeline, "{shards} could not go on");
        }
        RunEnd::Failed(reason) => {
            tracing::error!(event = "pipeline_failed", pipeline, "{reason}");
        }
        RunEnd::Superseded(reason) => {
            tracing::warn!(event = "pipeline_superseded", pipeline, "{reason}");
        }
    }
}
