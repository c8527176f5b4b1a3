//! `/admin/loggers`: levels of logs, changed while the process runs.
//!
//! `scope=cluster` tells all instances, through the config topic; it is not remembered, as in Kafka
//! Connect.

use super::body::{object, texts};
use crate::logs::{BadLevel, Level, Levels};
use crate::serve::api::answer::{Problem, empty, json};
use crate::serve::api::operation::{Call, Content, Operation, Outcome, Parameter, handler, shape};
use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

const SCOPE: Parameter = Parameter {
    name: "scope",
    summary: "`cluster` tells all instances; anything else only this one.",
    values: &[],
};

/// Bytes of a logger's name.
const LOGGER_BYTES_MAX: usize = 512;

/// A logger's level.
#[derive(Serialize, JsonSchema)]
struct LoggerLevel {
    /// `OFF`, `FATAL`, `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE` or `ALL`.
    level: &'static str,
    /// When it was changed, milliseconds since 1970-01-01T00:00:00Z; null if it never was.
    last_modified: Option<i64>,
}

pub(super) fn operations() -> Vec<Operation> {
    const ONE: &str = "/admin/loggers/{logger}";
    let told = ("listLoggers", "Lists loggers and their levels.");
    let list = Operation::new(Method::GET, "/admin/loggers", told, handler(list))
        .answers("By name.", shape::<BTreeMap<String, LoggerLevel>>("LoggerLevels"));
    let told = ("getLogger", "Shows the level of a logger.");
    let show = Operation::new(Method::GET, ONE, told, handler(show))
        .answers("Its level.", shape::<LoggerLevel>("LoggerLevel"));
    let told = ("putLogger", "Changes the level of a logger and of those below it.");
    let put = Operation::new(Method::PUT, ONE, told, handler(put))
        .takes("An object with `level`.")
        .asks(&[SCOPE])
        .by_leader_if("scope", "cluster")
        .answers("The loggers that have changed.", shape::<Vec<String>>("ChangedLoggers"))
        .replies(StatusCode::NO_CONTENT, "All instances are told.", Content::Nothing);
    vec![list, show, put]
}

fn levels() -> Result<&'static Levels, Problem> {
    let gone = || Problem::new(StatusCode::CONFLICT, "this process has no log");
    Levels::get().ok_or_else(gone)
}

fn shown(level: Level) -> LoggerLevel {
    LoggerLevel { level: level.name, last_modified: level.set_unix_ms }
}

async fn list(_: Call) -> Outcome {
    let all = levels()?.all().into_iter().map(|(name, level)| (name, shown(level)));
    Ok(json(StatusCode::OK, &all.collect::<BTreeMap<_, _>>()))
}

async fn show(call: Call) -> Outcome {
    let name = &call.parts["logger"];
    let found = levels()?
        .one(name)
        .map(shown)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("Logger {name} not found.")))?;
    Ok(json(StatusCode::OK, &found))
}

async fn put(call: Call) -> Outcome {
    let name = &call.parts["logger"];
    if name.len() > LOGGER_BYTES_MAX {
        return Err(Problem::bad(format!("a logger's name has at most {LOGGER_BYTES_MAX} bytes")));
    }
    let body = texts(object(&call.body)?, "the body")?;
    let Some(Json::String(level)) = body.get("level") else {
        return Err(Problem::bad("Desired 'level' parameter was not specified in request."));
    };
    if Level::named(level).is_none() {
        let message = format!("invalid log level '{level}'.");
        return Err(Problem::new(StatusCode::NOT_FOUND, message));
    }
    let is_of_cluster = call.pairs.iter().any(|(key, value)| key == "scope" && value == "cluster");
    if is_of_cluster {
        call.api.control.tell_level(name, level).await?;
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let changed = levels()?.set(name, level).map_err(|error| match error {
        BadLevel::Unknown => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
        BadLevel::Full => Problem::new(StatusCode::CONFLICT, error.to_string()),
    })?;
    tracing::info!(event = "level_set", logger = name, level);
    Ok(json(StatusCode::OK, &changed))
}
