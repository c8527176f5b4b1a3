//! What machines ask for: `/metrics`, `/healthz`, `/readyz`.
//!
//! Healthy means the process lives; ready means that records flow on every shard of every pipeline,
//! or will as soon as what is in their way has passed. Why a degraded pipeline is still ready is in
//! `docs/design/0008-degraded-is-ready.md`.
//!
//! Nothing here can change anything, and nothing is secret: names of shards and numbers are shown,
//! no message and no value of the pipeline file is.

use crate::args::Metrics;
use crate::exit::{Exit, Failed};
use crate::pipelines::Watched;
use crate::words::unix_ms;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use headwater_engine::ids::ShardKey;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where metrics are served if nobody says: the port Prometheus reserves for OpenTelemetry's
/// exporter.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// Shards whose call is not open that `/readyz` names; it counts all of them.
const SHARDS_SHOWN_MAX: usize = 100;

/// The pipelines that are shown, as they are when somebody asks.
pub(crate) type Watch = Box<dyn Fn() -> Vec<Watched> + Send + Sync>;

/// What requests are answered from.
pub(crate) struct Shown {
    pipelines: Registry,
    process: Registry,
    watched: Watch,
    ready: Ready,
}

/// When a process is ready.
pub(crate) enum Ready {
    /// When all its pipelines are.
    WithPipelines,
    /// When this says so: a process that runs what it is told over an API is ready when it can be
    /// told, and most of all when a pipeline is not.
    When(Box<dyn Fn() -> bool + Send + Sync>),
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    pipelines: Vec<PipelineReadiness>,
}

#[derive(Serialize)]
struct PipelineReadiness {
    pipeline: String,
    ready: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How long it has been in this state, and since when.
    seconds: u64,
    since_unix_ms: i64,
    shards: ShardReadiness,
}

#[derive(Serialize)]
struct ShardReadiness {
    all: usize,
    not_open: usize,
    /// Why, of [`SHARDS_SHOWN_MAX`] of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    why: BTreeMap<String, String>,
}

/// Opens the port, before any pipeline starts. The default port may be taken; one that was asked
/// for may not.
pub(crate) async fn bind(wanted: Option<Metrics>) -> Result<Option<TcpListener>, Failed> {
    let listen = match wanted {
        Some(Metrics::Off) => return Ok(None),
        Some(Metrics::At(listen)) => listen,
        None => LISTEN_DEFAULT,
    };
    match TcpListener::bind(listen).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if wanted.is_none() => {
            tracing::warn!(event = "metrics_off", %listen, %error, "name another with --metrics");
            Ok(None)
        }
        Err(error) => {
            let hint = "choose another address, port 0 for a free one, or `off`";
            Err(Exit::Mistake.saying(format!("--metrics {listen}: {error}; {hint}")))
        }
    }
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, shown: Arc<Shown>) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(event = "metrics_listen", %address, paths = "/metrics /healthz /readyz");
    }
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .with_state(shown);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(event = "metrics_failed", %error);
    }
}

impl Shown {
    pub(crate) fn new(pipelines: Registry, watched: Watch, ready: Ready) -> Arc<Self> {
        let process = Registry::new();
        // The names are prometheus' own and the registry is new.
        let _ = process.register(Box::new(ProcessCollector::for_self()));
        Arc::new(Shown { pipelines, process, watched, ready })
    }

    /// All series, as Prometheus reads them; else why there are none.
    pub(crate) fn metrics(&self) -> Result<String, String> {
        let text = TextEncoder::new().encode_to_string(&self.families());
        text.map_err(|error| error.to_string())
    }

    /// All series as they are now.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        // What is derived is derived now.
        (self.watched)().iter().for_each(|one| one.status.look());
        let mut families = self.pipelines.gather();
        families.extend(self.process.gather());
        families
    }

    /// Whether the process is ready, and how each pipeline stands, as JSON.
    pub(crate) fn readiness(&self) -> (bool, String) {
        let pipelines: Vec<_> = (self.watched)().iter().map(readiness_of).collect();
        let ready = match &self.ready {
            Ready::WithPipelines => pipelines.iter().all(|pipeline| pipeline.ready),
            Ready::When(is_ready) => is_ready(),
        };
        let readiness = Readiness { ready, pipelines };
        let mut body = serde_json::to_string(&readiness).expect("texts and numbers are plain data");
        body.push('\n');
        (ready, body)
    }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let content_type = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    match shown.metrics() {
        Ok(text) => (StatusCode::OK, content_type, text),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, content_type, format!("{why}\n")),
    }
}

async fn readiness(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let (ready, body) = shown.readiness();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, [(header::CONTENT_TYPE, "application/json")], body)
}

fn readiness_of(one: &Watched) -> PipelineReadiness {
    let report = one.status.report();
    let why = |(shard, why): (ShardKey, String)| (shard.0, why);
    PipelineReadiness {
        pipeline: one.name.clone(),
        ready: report.state.is_ready(),
        state: report.state.name.as_str(),
        reason: report.state.reason,
        seconds: report.lasted.as_secs(),
        since_unix_ms: unix_ms() - i64::try_from(report.lasted.as_millis()).unwrap_or(0),
        shards: ShardReadiness {
            all: report.shards,
            not_open: report.not_open.len(),
            why: report.not_open.into_iter().take(SHARDS_SHOWN_MAX).map(why).collect(),
        },
    }
}
