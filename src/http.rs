//! What machines ask for: `/metrics`, `/healthz`, `/readyz`.
//!
//! Healthy means the process lives; ready means that records flow on every shard of every pipeline.
//! Nothing here can change anything, and nothing is secret: shard names are shown, values are not.

use crate::args::Metrics;
use crate::exit::{Exit, Failed};
use crate::pipelines::Watched;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use headwater_operators::pipeline::status::Phase;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where metrics are served if nobody says: the port Prometheus reserves for OpenTelemetry's
/// exporter.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// What requests are answered from.
struct Shown {
    pipelines: Registry,
    process: Registry,
    watched: Vec<Watched>,
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
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    broken: BTreeMap<String, String>,
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
pub(crate) async fn serve(listener: TcpListener, pipelines: Registry, watched: Vec<Watched>) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(event = "metrics_listen", %address, paths = "/metrics /healthz /readyz");
    }
    let process = Registry::new();
    // The names are prometheus' own and the registry is new.
    let _ = process.register(Box::new(ProcessCollector::for_self()));
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .with_state(Arc::new(Shown { pipelines, process, watched }));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(event = "metrics_failed", %error);
    }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let mut families = shown.pipelines.gather();
    families.extend(shown.process.gather());
    let content_type = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    match TextEncoder::new().encode_to_string(&families) {
        Ok(text) => (StatusCode::OK, content_type, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, content_type, format!("{error}\n")),
    }
}

async fn readiness(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let pipelines: Vec<PipelineReadiness> = shown.watched.iter().map(readiness_of).collect();
    let ready = pipelines.iter().all(|pipeline| pipeline.ready);
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = serde_json::to_string(&Readiness { ready, pipelines })
        .expect("texts and booleans are plain data");
    body.push('\n');
    (code, [(header::CONTENT_TYPE, "application/json")], body)
}

fn readiness_of(one: &Watched) -> PipelineReadiness {
    let (phase, reason) = match one.status.phase() {
        Phase::Starting => ("starting", None),
        Phase::Running => ("running", None),
        Phase::Recovering(reason) => ("recovering", Some(reason)),
        Phase::Draining => ("draining", None),
        Phase::Stopped(reason) => ("stopped", reason),
    };
    PipelineReadiness {
        pipeline: one.name.clone(),
        ready: one.status.is_ready(),
        phase,
        reason,
        broken: one.status.broken().into_iter().map(|(shard, why)| (shard.0, why)).collect(),
    }
}
