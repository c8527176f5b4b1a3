//! What is asked of the process: health, metrics, the document of this API.

use super::answer::{json, typed};
use super::operation::{Call, Content, Operation, Outcome, handler, shape};
use crate::serve::control::Role;
use crate::serve::entry::Kind;
use axum::http::{Method, StatusCode};
use headwater_operators::sink::kafka::Lead;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// How this instance is.
#[derive(Serialize, JsonSchema)]
struct InstanceHealth {
    /// `healthy`; `starting` while the config topic is read, `unhealthy` while it cannot be
    /// written. This and the message are what Kafka Connect says.
    status: &'static str,
    /// The same for people.
    message: &'static str,
    version: &'static str,
    instance: String,
    /// `leader`, `standby`, `reading` (the config topic), or `files` (it runs a fixed set of them).
    role: &'static str,
    /// What is in the way, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The instance that leads, if another one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    /// Entries by their state.
    entries: BTreeMap<&'static str, usize>,
}

pub(super) fn operations() -> Vec<Operation> {
    let look = |path, told, by| Operation::new(Method::GET, path, told, by);
    let text = || Content::Other("text/plain");
    let health = || shape::<InstanceHealth>("InstanceHealth");
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    vec![
        look("/health", ("getHealth", "Whether this instance can be used."), handler(instance))
            .of_connect()
            .answers("It leads, or stands by.", health())
            .replies(unavailable, "It cannot be used now.", health()),
        look("/healthz", ("getHealthz", "Whether the process lives."), handler(alive))
            .answers("It does.", text()),
        look(
            "/readyz",
            ("getReadyz", "Whether this instance can be asked, and how pipelines stand."),
            handler(ready),
        )
        .answers("It can.", Content::Other("application/json"))
        .replies(unavailable, "It cannot.", Content::Other("application/json")),
        look("/metrics", ("getMetrics", "All series, as Prometheus reads them."), handler(metrics))
            .answers("The series.", text()),
        look("/openapi.json", ("getOpenapi", "This document."), handler(openapi))
            .answers("The document.", Content::Other("application/json")),
    ]
}

async fn instance(call: Call) -> Outcome {
    let control = &call.api.control;
    let (role, reason, leader) = match control.role() {
        Role::Files => ("files", None, None),
        Role::Of(Lead::Reading(why)) => {
            let why = why.unwrap_or_else(|| "the config topic is being read".to_owned());
            ("reading", Some(why), None)
        }
        Role::Of(Lead::Other(leader)) => ("standby", None, leader.map(|it| it.instance)),
        Role::Of(Lead::Ours(why)) => ("leader", why, None),
    };
    let mut entries = BTreeMap::new();
    for kind in [Kind::Pipeline, Kind::Connector] {
        for entry in control.entries(kind).unwrap_or_default() {
            *entries.entry(entry.view.standing.word()).or_default() += 1;
        }
    }
    let is_ok = reason.is_none();
    let (status, message) = match (is_ok, role) {
        (true, _) => ("healthy", "Worker has completed startup and is ready to handle requests."),
        (false, "reading") => ("starting", "Worker is still starting up."),
        (false, _) => ("unhealthy", "The config topic cannot be written."),
    };
    let health = InstanceHealth {
        status,
        message,
        version: env!("CARGO_PKG_VERSION"),
        instance: control.instance().to_owned(),
        role,
        reason,
        leader,
        entries,
    };
    Ok(json(if is_ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health))
}

async fn alive(_: Call) -> Outcome {
    Ok(typed(StatusCode::OK, "text/plain", "ok\n"))
}

async fn ready(call: Call) -> Outcome {
    let (is_ready, body) = call.api.shown.readiness();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(typed(status, "application/json", body))
}

async fn metrics(call: Call) -> Outcome {
    Ok(match call.api.shown.metrics() {
        Ok(text) => typed(StatusCode::OK, prometheus::TEXT_FORMAT, text),
        Err(why) => typed(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", why),
    })
}

async fn openapi(call: Call) -> Outcome {
    Ok(typed(StatusCode::OK, "application/json", call.api.openapi.clone()))
}
