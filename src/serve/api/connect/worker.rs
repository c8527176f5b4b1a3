//! `/`: what this program says of itself, in place of a worker of Kafka Connect.

use crate::serve::api::answer::{Problem, json};
use crate::serve::api::operation::{Call, Operation, Outcome, handler, shape};
use axum::http::{Method, StatusCode};
use headwater_operators::sink::kafka::cluster_id;
use schemars::JsonSchema;
use serde::Serialize;

/// Which version of Kafka Connect's API this is, over which cluster.
#[derive(Serialize, JsonSchema)]
struct WorkerInfo {
    /// Of Kafka Connect, whose API this is.
    version: String,
    /// `unknown`: it is no build of Kafka Connect.
    commit: &'static str,
    /// The id of the cluster of the config topic; null for a process that runs files.
    kafka_cluster_id: Option<String>,
}

pub(super) fn operations() -> Vec<Operation> {
    let told = ("getWorker", "Which version of Kafka Connect's API this is.");
    let info = Operation::new(Method::GET, "/", told, handler(info))
        .answers("The version.", shape::<WorkerInfo>("WorkerInfo"));
    vec![info]
}

async fn info(call: Call) -> Outcome {
    let version = call.api.connectors.worker().connect_version.clone();
    let kafka_cluster_id = match call.api.control.target() {
        None => None,
        Some(_) => Some(call.api.cluster_id.get_or_try_init(|| ask(&call)).await?.clone()),
    };
    Ok(json(StatusCode::OK, &WorkerInfo { version, commit: "unknown", kafka_cluster_id }))
}

/// A cluster keeps its id, so it is asked once.
async fn ask(call: &Call) -> Result<String, Problem> {
    let gone = |why: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let target = call.api.control.target().cloned();
    let target = target.ok_or_else(|| gone("there is no cluster".to_owned()))?;
    let turn = call.api.kafka_turns.clone().acquire_owned().await.expect("it is never closed");
    let asked = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        cluster_id(&target)
    });
    match asked.await {
        Ok(Ok(Some(id))) => Ok(id),
        Ok(Ok(None)) => Err(gone("Kafka does not answer".to_owned())),
        Ok(Err(error)) => Err(gone(error.to_string())),
        Err(error) => Err(gone(error.to_string())),
    }
}
