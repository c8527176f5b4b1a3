//! `headwater serve`: pipelines that are made, changed and deleted while the process runs.
//!
//! ```text
//!                 REST                          config topic (Kafka, compacted)
//!                  │                                 ▲            │
//!   api/ ──────────┤                                 │ changes    │ records, who leads
//!                  ▼                                 │            ▼
//!             control.rs ── a change: check, write, read back ── store.rs
//!                  │ reads                                        │ events
//!                  ▼                                              ▼
//!             keeper.rs ◄── actions: start, end, forget ── manager.rs
//!                  │ tasks                                 (decides; no I/O)
//!                  ▼
//!        pipelines.rs: one set of workers for all
//! ```
//!
//! - [`entry`] what the topic holds; [`document`] and [`connector`] what a document means;
//! - [`manager`] what is to be done; [`keeper`] does it;
//! - [`store`] and [`control`] the topic, read and changed;
//! - [`api`] REST; [`kafka`] where the topic is.
//!
//! Nothing is kept on this machine's disk. Several instances may name the same topic: one leads and
//! runs everything, the others read along and wait (`docs/design/0016-…`).
//!
//! Next: `entry.rs`.

pub(crate) mod api;
pub(crate) mod connector;
pub(crate) mod control;
pub(crate) mod document;
pub(crate) mod entry;
mod kafka;
pub(crate) mod keeper;
pub(crate) mod limits;
pub(crate) mod manager;
mod store;

use crate::args::{Metrics, Serve};
use crate::connect::Worker;
use crate::exit::{Exit, Outcome};
use crate::http::{self, Ready, Shown};
use crate::logs;
use crate::offsets::has_left;
use crate::otlp::Asked;
use crate::pipelines::{Host, Identity};
use crate::run::start_runtime;
use crate::screen::Screen;
use crate::signals::Signals;
use api::Readers;
use api::door::{Door, demand_authentication};
use connector::ConnectorFiles;
use control::{Control, Role};
use document::{Documents, PipelineFiles, Reader};
use entry::Kind;
use headwater_operators::sink::kafka::{KafkaTarget, Lead, Table, TableOptions, instance_name};
use keeper::Keeper;
use limits::{END_MAX, RESIGN_MAX, STARTS_MAX};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Serves until it is asked to stop, or cannot go on.
pub(crate) fn serve(options: &Serve) -> Outcome {
    let target = kafka::target(options)?;
    demand_authentication(options.api, &options.access)?;
    let worker = connector::worker(options, &target)?;
    let otlp = Asked::read(&options.otlp)?;
    let screen = Screen::new(false);
    logs::install(&options.logs, &screen)?;
    let runtime = start_runtime()?;
    let outcome = runtime.block_on(live(target, worker, otlp, options, &screen));
    runtime.shutdown_background();
    outcome
}

async fn live(
    target: KafkaTarget,
    worker: Worker,
    otlp: Asked,
    options: &Serve,
    screen: &Screen,
) -> Outcome {
    let stop = CancellationToken::new();
    let signals = Signals::listen()?;
    let door = Door::open(options.api, &options.access).await?;
    let door = door.advertised(options.advertise.as_deref());
    let metrics = match options.metrics {
        None | Some(Metrics::Off) => None,
        wanted => http::bind(wanted).await?,
    };
    tokio::spawn(signals.obey(stop.clone(), screen.clone()));
    let workers = options.workers.map_or_else(cores, usize::from);
    let instance = instance_name();
    let otlp = otlp.prepare(&instance);
    let identity = Identity { instance, telemetry: otlp.telemetry() };
    let host = Host::start(workers, Some(STARTS_MAX), identity)?;
    log_start(options, workers, &host.instance);
    let (documents, files, connectors) = documents(options, worker);
    let keeper = Keeper::new(host.clone(), documents);
    let (fatal, failed) = oneshot::channel();
    let (store, lead) = Store::new(keeper.clone(), fatal);
    let table = Table::start(table_options(target.clone(), options, &host.instance), store);
    let control = Control::new(keeper.clone(), (table, target), lead);
    let keeping = control.clone();
    tokio::spawn(async move { keeping.keep_topics().await });
    let shown = shown(&keeper, &control);
    let otlp = otlp.start(&shown);
    if let Some(metrics) = metrics {
        tokio::spawn(http::serve(metrics, shown.clone()));
    }
    let closing = CancellationToken::new();
    door.serve(control.clone(), shown, Readers { files, connectors }, closing.clone());
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        why = failed => why.ok(),
    };
    let exit = end(&keeper, &control).await;
    closing.cancel();
    otlp.end().await;
    // Whoever lets go of the workers last waits for them; one whose dataflow cannot end is left to
    // the end of the process.
    std::mem::forget(host);
    tracing::info!(event = "end", exit_code = exit.code());
    match failed {
        None => Ok(exit),
        Some((why, true)) => Err(Exit::Unavailable.saying(why)),
        Some((why, false)) => Err(Exit::Failed.saying(why)),
    }
}

/// What reads the documents of each kind; pipeline files and connectors once more, for requests.
fn documents(
    options: &Serve,
    worker: Worker,
) -> (Documents, Arc<PipelineFiles>, Arc<ConnectorFiles>) {
    let files = Arc::new(PipelineFiles { base_dir: options.base_dir.clone() });
    let connectors = Arc::new(ConnectorFiles::new(options.base_dir.clone(), worker));
    let readers: [(Kind, Arc<dyn Reader>); 2] =
        [(Kind::Pipeline, files.clone()), (Kind::Connector, connectors.clone())];
    (Documents::new(readers), files, connectors)
}

/// Ends all pipelines, and only then leaves the lead to others: they find everything committed.
async fn end(keeper: &Arc<Keeper>, control: &Control) -> Exit {
    let has_ended = keeper.end_all(END_MAX).await;
    if tokio::time::timeout(RESIGN_MAX, control.resign()).await.is_err() {
        tracing::warn!(event = "lead_not_resigned", "Kafka did not answer in time");
    }
    match has_ended && keeper.has_drained() {
        true => Exit::Done,
        false => Exit::Unfinished,
    }
}

fn shown(keeper: &Arc<Keeper>, control: &Control) -> Arc<Shown> {
    let keeper = keeper.clone();
    let registry = keeper.host().telemetry.registry().clone();
    let control = control.clone();
    let ready =
        Ready::When(Box::new(move || !matches!(control.role(), Role::Of(Lead::Reading(_)))));
    Shown::new(registry, Box::new(move || keeper.watched()), ready)
}

fn table_options(target: KafkaTarget, options: &Serve, instance: &str) -> TableOptions {
    let takeover_after = Duration::from_secs(options.takeover_after);
    TableOptions {
        target,
        topic: options.config_topic.clone(),
        replication: options.config_replication.map(i32::from),
        instance: instance.to_owned(),
        address: options.advertise.clone(),
        // Several may be late before the leader counts as silent.
        heartbeat: takeover_after / 5,
        takeover_after,
        is_gone: Box::new(has_left),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn log_start(options: &Serve, workers: usize, instance: &str) {
    let version = env!("CARGO_PKG_VERSION");
    let config_topic = options.config_topic.as_str();
    tracing::info!(event = "start", version, workers, instance, config_topic);
}
