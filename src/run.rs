//! `headwater run`: from plans to an exit code.
//!
//! The order is: all files, then the log, then signals and the port, then the pipelines. Whatever
//! can be wrong with what a person wrote is known before anything outside is touched; only what
//! must be checked against types that a server tells is known later, pipeline by pipeline.
//!
//! Next: `src/pipelines.rs`.

use crate::args::Run;
use crate::exit::{Exit, Failed, Outcome};
use crate::http::{Ready, Shown};
use crate::load::Sound;
use crate::otlp::Asked;
use crate::pipelines::{Identity, Pipelines, Terms};
use crate::screen::Screen;
use crate::serve::api::Readers;
use crate::serve::api::door::{Door, demand_authentication};
use crate::serve::control::Control;
use crate::signals::Signals;
use crate::{console, http, load, logs};
use headwater_engine::dataflow::workers::abort_on_worker_panic;
use headwater_operators::sink::kafka::instance_name;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Runs the pipelines of `options.files` until all have ended.
pub(crate) fn run(options: &Run) -> Outcome {
    if let Some(api) = options.api {
        demand_authentication(api, &options.access)?;
    }
    let otlp = Asked::read(&options.otlp)?;
    let files = load::files(&options.files)?;
    let screen = Screen::new(!options.quiet);
    logs::install(&options.logs, &screen)?;
    let runtime = start_runtime()?;
    let outcome = runtime.block_on(serve(files, otlp, options, &screen));
    // Threads inside librdkafka may still wait for a broker; nothing they do matters any more.
    runtime.shutdown_background();
    outcome
}

/// The I/O side, and the guard that no dead worker leaves the process half alive.
pub(crate) fn start_runtime() -> Result<Runtime, Failed> {
    abort_on_worker_panic(Exit::Internal.code().into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Exit::Internal.because(error))
}

async fn serve(files: Vec<Sound>, otlp: Asked, options: &Run, screen: &Screen) -> Outcome {
    let stop = CancellationToken::new();
    let signals = Signals::listen()?;
    let listener = http::bind(options.metrics).await?;
    let door = match options.api {
        Some(api) => Some(Door::open(api, &options.access).await?),
        None => None,
    };
    tokio::spawn(signals.obey(stop.clone(), screen.clone()));
    let instance = instance_name();
    let otlp = otlp.prepare(&instance);
    let identity = Identity { instance, telemetry: otlp.telemetry() };
    let accept_change = options.accept_change.map(Into::into);
    let pipelines =
        Pipelines::start(files, &Terms { stop, accept_change, ..Terms::default() }, identity)?;
    let watched = pipelines.watched.clone();
    let registry = pipelines.telemetry.registry().clone();
    let shown = Shown::new(registry, Box::new(move || watched.clone()), Ready::WithPipelines);
    let otlp = otlp.start(&shown);
    if let Some(listener) = listener {
        tokio::spawn(http::serve(listener, shown.clone()));
    }
    if let Some(door) = door {
        let control = Control::of_files(pipelines.instance(), pipelines.watched.clone());
        door.serve(control, shown, Readers::of_files(), CancellationToken::new());
    }
    let drawing = tokio::spawn(console::draw(pipelines.watched.clone(), screen.clone()));
    let exit = pipelines.ended().await;
    drawing.abort();
    screen.settle();
    otlp.end().await;
    tracing::info!(event = "end", exit_code = exit.code());
    Ok(exit)
}
