//! All pipelines of one process, on one set of workers.
//!
//! A [`Host`] is what they share; it adopts pipelines one by one, while others run. `headwater run`
//! gives it the fixed set of its files ([`Pipelines`]), `headwater serve` what its topic says
//! (`serve/keeper.rs`).
//!
//! Invariant: every pipeline's end is logged and counts for the exit code, also that of a task that
//! panicked.
//!
//! Next: `operators/src/pipeline/run.rs` is one pipeline's life.

use crate::exit::{Exit, Failed};
use crate::figures;
use crate::learn::Unlearned;
use crate::load::Sound;
use crate::words::plural;
use headwater_engine::clock::{Clock, SystemClock};
use headwater_engine::dataflow::workers::Workers;
use headwater_engine::spec::{Diagnostic, Plan, Role, Severity, Span};
use headwater_operators::pipeline::guarantee::streams;
use headwater_operators::pipeline::status::Status;
use headwater_operators::pipeline::{OnCommit, RunContext, RunEnd, run};
use headwater_operators::sink::kafka::{AcceptChange, WrittenTopics, instance_name};
use headwater_operators::sink::tap::Tap;
use headwater_operators::source::grpc::GrpcSource;
use headwater_operators::telemetry::{PipelineMetrics, ShardMetrics, Telemetry, forget_series};
use prometheus::{IntGaugeVec, Opts};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
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
    /// Where its records are shown.
    pub(crate) tap: Tap,
    /// Known once nothing of it must be asked any more.
    plan: Arc<OnceLock<Arc<Plan>>>,
    /// Of the shards that the file names, once its plan is known; those of a list that changes come
    /// and go.
    shards: Arc<OnceLock<Vec<ShardMetrics>>>,
    telemetry: Telemetry,
}

/// What all pipelines of a process share.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) telemetry: Telemetry,
    pub(crate) instance: String,
    workers: Arc<Workers>,
    clock: Arc<dyn Clock>,
    promises: Promises,
    /// How many may take themselves over at once, if that is bounded.
    starts: Option<Arc<Semaphore>>,
}

/// Who a process is, and where it counts.
pub(crate) struct Identity {
    /// Its name in claims.
    pub(crate) instance: String,
    pub(crate) telemetry: Telemetry,
}

/// How one pipeline is run.
#[derive(Clone, Default)]
pub(crate) struct Terms {
    /// Asks it to end.
    pub(crate) stop: CancellationToken,
    /// What to do with the position of a shard whose source has changed.
    pub(crate) accept_change: Option<AcceptChange>,
    /// Told of every commit.
    pub(crate) on_commit: Option<OnCommit>,
    /// Told of each topic when it is written to for the first time.
    pub(crate) written: Option<WrittenTopics>,
}

/// How a pipeline ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) exit: Exit,
    /// Why, unless it was asked to or all its streams were complete.
    pub(crate) reason: Option<String>,
}

/// The running pipelines.
pub(crate) struct Pipelines {
    pub(crate) watched: Vec<Watched>,
    pub(crate) telemetry: Telemetry,
    host: Host,
    tasks: JoinSet<Exit>,
}

/// What each stream is promised, as a metric: alerts can tell a weaker promise from a stronger one.
#[derive(Clone)]
struct Promises(IntGaugeVec);

/// A pipeline on its way from its file to its end.
struct Life {
    watched: Watched,
    context: RunContext,
    promises: Promises,
}

impl Pipelines {
    /// Starts all pipelines on these terms, in a process of this identity.
    pub(crate) fn start(
        files: Vec<Sound>,
        terms: &Terms,
        identity: Identity,
    ) -> Result<Self, Failed> {
        let peers = files.iter().map(|file| worker_count(file.sketch())).max().unwrap_or(1);
        let host = Host::start(peers, None, identity)?;
        log_start(files.len(), peers, &host.instance);
        let mut tasks = JoinSet::new();
        let mut watched = Vec::new();
        for file in files {
            let (watch, life) = host.adopt(file, terms.clone());
            tasks.spawn(async move { life.await.exit });
            watched.push(watch);
        }
        Ok(Pipelines { watched, telemetry: host.telemetry.clone(), host, tasks })
    }

    /// The name of this process.
    pub(crate) fn instance(&self) -> String {
        self.host.instance.clone()
    }

    /// Waits until all have ended; the gravest end counts.
    pub(crate) async fn ended(mut self) -> Exit {
        let mut exit = Exit::Done;
        while let Some(ended) = self.tasks.join_next().await {
            exit = exit.graver(match ended {
                Ok(exit) => exit,
                Err(error) => {
                    tracing::error!(event = "pipeline_panicked", "{error}");
                    Exit::Internal
                }
            });
        }
        self.host.end().await;
        exit
    }
}

impl Default for Identity {
    fn default() -> Self {
        Identity { instance: instance_name(), telemetry: Telemetry::default() }
    }
}

impl Host {
    /// Starts `peers` workers, and no pipeline yet. At most `starts` pipelines take themselves over
    /// at once, if that is bounded.
    pub(crate) fn start(
        peers: usize,
        starts: Option<usize>,
        identity: Identity,
    ) -> Result<Self, Failed> {
        let workers = Workers::start(peers).map_err(|error| Exit::Internal.because(error))?;
        let Identity { instance, telemetry } = identity;
        Ok(Host {
            promises: Promises::register(&telemetry),
            telemetry,
            instance,
            workers: Arc::new(workers),
            clock: Arc::new(SystemClock::default()),
            starts: starts.map(|starts| Arc::new(Semaphore::new(starts))),
        })
    }

    /// A pipeline of this process; it lives while the future is polled.
    pub(crate) fn adopt(
        &self,
        file: Sound,
        terms: Terms,
    ) -> (Watched, impl Future<Output = Ending> + Send + use<>) {
        let watched = Watched::new(file.sketch(), &self.telemetry, self.clock.clone());
        let Terms { stop, accept_change, on_commit, written } = terms;
        let context = RunContext {
            workers: self.workers.clone(),
            telemetry: self.telemetry.clone(),
            status: watched.status.clone(),
            stop,
            clock: self.clock.clone(),
            instance: self.instance.clone(),
            accept_change,
            on_commit,
            written,
            tap: Some(watched.tap.clone()),
            starts: self.starts.clone(),
        };
        let life = Life { watched: watched.clone(), context, promises: self.promises.clone() };
        if let Sound::Whole(plan) = &file {
            life.settle(plan);
        }
        (watched, life.watched_over(file))
    }

    /// Ends the series of a pipeline that is no more.
    pub(crate) fn forget(&self, pipeline: &str) {
        self.telemetry.forget_pipeline(pipeline);
        forget_series(&self.promises.0, pipeline);
    }

    /// Ends the workers, once no pipeline is left and nobody else holds the host.
    pub(crate) async fn end(self) {
        join(self.workers).await;
    }
}

impl Watched {
    fn new(sketch: &Plan, telemetry: &Telemetry, clock: Arc<dyn Clock>) -> Self {
        Watched {
            name: sketch.name().to_owned(),
            status: Status::new(sketch, telemetry, clock),
            metrics: telemetry.pipeline(sketch.name()),
            tap: Tap::default(),
            plan: Arc::default(),
            shards: Arc::default(),
            telemetry: telemetry.clone(),
        }
    }

    /// Its shards; none before its plan is known.
    pub(crate) fn shards(&self) -> &[ShardMetrics] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }

    /// Its plan, once nothing of it must be asked any more.
    pub(crate) fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.get()
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

impl Life {
    /// The pipeline's plan is known: its shards and promises are shown.
    fn settle(&self, plan: &Arc<Plan>) {
        let telemetry = &self.context.telemetry;
        let of_source = |node: &headwater_engine::spec::PlanNode| {
            let shards = node.config::<GrpcSource>().shards().to_vec();
            let source = node.name.clone();
            shards.into_iter().map(move |shard| telemetry.shard(plan.name(), &source, &shard.key.0))
        };
        let shards = plan.of_role(Role::Source).flat_map(of_source).collect();
        // A pipeline has one plan in its life.
        let _ = self.watched.shards.set(shards);
        let _ = self.watched.plan.set(plan.clone());
        self.promises.publish(plan);
        log_streams(plan);
    }

    /// Lives, and has the state looked after meanwhile.
    async fn watched_over(self, file: Sound) -> Ending {
        let (status, watched) = (self.watched.status.clone(), self.watched.clone());
        tokio::select! {
            ending = self.live(file) => ending,
            never = status.keep_looking() => match never {},
            never = figures::keep_telling(watched) => match never {},
        }
    }

    async fn live(self, file: Sound) -> Ending {
        let plan = match file {
            Sound::Whole(plan) => plan,
            Sound::Open(open) => {
                let status = &self.watched.status;
                let told = |reason: &str| status.note_asking(reason.to_owned());
                match open.learned(&self.context.stop, told).await {
                    Ok(plan) => {
                        self.settle(&plan);
                        plan
                    }
                    Err(unlearned) => return self.unstarted(&unlearned),
                }
            }
        };
        let end = run(plan, self.context).await;
        log_end(&self.watched.name, &end);
        Ending { exit: Exit::of(&end), reason: reason_of(&end) }
    }

    /// The end of a pipeline whose servers did not tell its types, or others than it expects.
    fn unstarted(&self, unlearned: &Unlearned) -> Ending {
        let (pipeline, status) = (&self.watched.name, &self.watched.status);
        match unlearned {
            Unlearned::Stopped => {
                status.note_unstarted(None);
                log_end(pipeline, &RunEnd::Stopped);
                Ending { exit: Exit::Done, reason: None }
            }
            Unlearned::Refused(reason) => {
                status.note_unstarted(Some(reason.clone()));
                tracing::error!(event = "pipeline_failed", pipeline, "{reason}");
                Ending { exit: Exit::Unavailable, reason: Some(reason.clone()) }
            }
            Unlearned::Mistakes(mistakes) => {
                mistakes.iter().for_each(|mistake| log_mistake(pipeline, mistake));
                let errors = plural(mistakes.errors(), "mistake");
                let reason = format!("with the types that its server tells, its file has {errors}");
                status.note_unstarted(Some(reason.clone()));
                tracing::error!(event = "pipeline_failed", pipeline, "{reason}");
                Ending { exit: Exit::Mistake, reason: Some(reason) }
            }
        }
    }
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

impl Promises {
    fn register(telemetry: &Telemetry) -> Self {
        let options = Opts::new("stream_guarantee", "What a stream is promised; always 1");
        let labels = ["pipeline", "source", "sink", "guarantee"];
        let promises = IntGaugeVec::new(options, &labels).expect("names are constants");
        let registered = telemetry.registry().register(Box::new(promises.clone()));
        registered.expect("a process starts its pipelines once");
        Promises(promises)
    }

    fn publish(&self, plan: &Plan) {
        for stream in streams(plan) {
            let guarantee = stream.guarantee.to_string();
            let values = [plan.name(), &stream.source, &stream.sink, &guarantee];
            self.0.with_label_values(&values).set(1);
        }
    }
}

/// Why it ended, if it was not asked to and has not done all its work.
fn reason_of(end: &RunEnd) -> Option<String> {
    match end {
        RunEnd::Finished | RunEnd::Stopped => None,
        RunEnd::NotDrained => Some("not everything could be committed in time".to_owned()),
        RunEnd::Broken(shards) => {
            let (key, why) = shards.first()?;
            let count = plural(shards.len(), "shard");
            Some(format!("no stream is left; {count} could not go on: {key}: {why}"))
        }
        RunEnd::Failed(reason) | RunEnd::Superseded(reason) => Some(reason.to_string()),
    }
}

fn log_start(pipelines: usize, workers: usize, instance: &str) {
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(event = "start", version, pipelines, workers, instance);
}

fn log_streams(plan: &Plan) {
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

fn log_mistake(pipeline: &str, mistake: &Diagnostic) {
    let Span { line, column, .. } = mistake.span;
    let details = mistake.details.iter().map(String::as_str);
    let hint = mistake.hint.as_ref().map(|hint| format!("hint: {hint}"));
    let all: Vec<&str> =
        std::iter::once(mistake.message.as_str()).chain(details).chain(hint.as_deref()).collect();
    let text = all.join("; ");
    match mistake.severity {
        Severity::Error => {
            tracing::error!(event = "mistake", pipeline, line, column, "{text}");
        }
        Severity::Warning => {
            tracing::warn!(event = "mistake", pipeline, line, column, "{text}");
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
