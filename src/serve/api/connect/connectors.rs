//! `/connectors`: the list, creation, configurations, tasks, deletion.
//!
//! A configuration is checked before anything else is looked at, as Kafka Connect does: so a
//! creation for a name that is taken says `409` only if it could have been made.

use super::body::{demand_fields, into_object, object, text, texts};
use super::shapes::{ConnectorInfo, ConnectorStatus, SOURCE, TaskId, TaskInfo, TaskStatus};
use super::status::{has_task, status};
use super::{NOT_FOUND, name, not_found, present, refused};
use crate::serve::api::answer::{Answer, Problem, empty, json};
use crate::serve::api::operation::{Call, Content, Operation, Outcome, Parameter, handler, shape};
use crate::serve::connector::{Refused, config};
use crate::serve::control::{Done, Must, Put, Refusal};
use crate::serve::entry::{Accept, Content as Held, Kind, Name, Object, Target};
use crate::serve::keeper::Present;
use crate::serve::limits::PATCH_TRIES_MAX;
use axum::http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json as of};
use std::collections::BTreeMap;

const CONFIG: &str = "The configuration: an object of texts.";
const EXPAND: Parameter = Parameter {
    name: "expand",
    summary: "`status` or `info`, or both by giving it twice: an object by name is told then.",
    values: &[],
};
const TASK_CLASS: &str = "io.conduktor.connect.grpc.GrpcSourceTask";

pub(super) fn operations() -> Vec<Operation> {
    [all(), configurations(), tasks()].into_iter().flatten().collect()
}

/// Those of all connectors, and of one as a whole.
fn all() -> Vec<Operation> {
    const ALL: &str = "/connectors";
    const ONE: &str = "/connectors/{name}";
    let info = || shape::<ConnectorInfo>("ConnectorInfo");
    let told = ("listConnectors", "Lists all connectors.");
    let list = Operation::new(Method::GET, ALL, told, handler(list))
        .asks(&[EXPAND])
        .answers("Their names, or an object by name.", Content::Other("application/json"));
    let told = ("createConnector", "Makes a connector.");
    let create = Operation::new(Method::POST, ALL, told, handler(create))
        .takes("`name`, `config` and, if wanted, `initial_state`: RUNNING, PAUSED or STOPPED.")
        .replies(StatusCode::CREATED, "It is made.", info());
    let told = ("getConnector", "Shows a connector, its configuration and its tasks.");
    let show =
        Operation::new(Method::GET, ONE, told, handler(show)).answers("The connector.", info());
    let told = ("deleteConnector", "Deletes it. Its topics and its place in its stream stay.");
    let delete = Operation::new(Method::DELETE, ONE, told, handler(remove)).replies(
        StatusCode::NO_CONTENT,
        "It is deleted.",
        Content::Nothing,
    );
    vec![list, create, show, delete]
}

fn configurations() -> Vec<Operation> {
    const CONFIGURATION: &str = "/connectors/{name}/config";
    let info = || shape::<ConnectorInfo>("ConnectorInfo");
    let told = ("getConnectorConfig", "Shows its configuration as it was put.");
    let show = Operation::new(Method::GET, CONFIGURATION, told, handler(show_config))
        .answers("The configuration.", shape::<BTreeMap<String, String>>("ConnectorConfig"));
    let told = ("putConnectorConfig", "Makes a connector, or replaces its configuration.");
    let put = Operation::new(Method::PUT, CONFIGURATION, told, handler(replace))
        .takes(CONFIG)
        .answers("It is replaced.", info())
        .replies(StatusCode::CREATED, "It is made.", info());
    let told = ("patchConnectorConfig", "Changes some of its keys; null takes one away.");
    let patch = Operation::new(Method::PATCH, CONFIGURATION, told, handler(patch))
        .takes(CONFIG)
        .answers("It is changed.", info());
    vec![show, put, patch]
}

fn tasks() -> Vec<Operation> {
    let look = |path, told, by| Operation::new(Method::GET, path, told, by);
    let told = ("getConnectorStatus", "How it and its task stand.");
    let status = look("/connectors/{name}/status", told, handler(show_status))
        .answers("Its state.", shape::<ConnectorStatus>("ConnectorStatus"));
    let told = ("listConnectorTasks", "Lists its tasks with their configurations.");
    let tasks = look("/connectors/{name}/tasks", told, handler(show_tasks))
        .answers("Its tasks.", shape::<Vec<TaskInfo>>("ConnectorTasks"));
    let told = ("getConnectorTaskStatus", "How a task stands.");
    let task = look("/connectors/{name}/tasks/{task}/status", told, handler(show_task))
        .answers("Its state.", shape::<TaskStatus>("TaskStatus"));
    vec![status, tasks, task]
}

async fn list(call: Call) -> Outcome {
    let all = call.api.control.entries(Kind::Connector)?;
    let expand: Vec<&str> =
        call.pairs.iter().filter(|(key, _)| key == "expand").map(|(_, it)| it.as_str()).collect();
    if expand.is_empty() {
        let names: Vec<&str> = all.iter().map(|it| it.view.name.as_str()).collect();
        return Ok(json(StatusCode::OK, &names));
    }
    let expanded = |present: &Present| {
        let mut object = Object::new();
        if expand.contains(&"status") {
            object.insert("status".to_owned(), of!(status(&call.api, present)));
        }
        if expand.contains(&"info") {
            object.insert("info".to_owned(), of!(info(present)));
        }
        (present.view.name.to_string(), Json::Object(object))
    };
    let all: Object = all.iter().map(expanded).collect();
    Ok(json(StatusCode::OK, &all))
}

async fn create(call: Call) -> Outcome {
    const WHAT: &str = "a creation";
    let mut body = object(&call.body)?;
    demand_fields(&body, &["name", "config", "initial_state"], WHAT)?;
    let mut field = |name| text(body.remove(name).unwrap_or_default(), name).map_err(Problem::bad);
    let (name, state) = (field("name")?, field("initial_state")?);
    let target = state.as_deref().map(target).transpose()?;
    let config = into_object(body.remove("config").unwrap_or_default(), "`config`")?;
    let config = texts(config, "`config`")?;
    let name = name.unwrap_or_default().trim().to_owned();
    let config = named(config, &name)?;
    judge(&call, &config, "").await?;
    let put = Put { must: Must::BeNew, target, accept_change: Some(Accept::Reset) };
    store(&call, &name, config, put).await
}

/// The state that a creation asks for, whatever its case.
fn target(text: &str) -> Result<Target, Problem> {
    match text.to_uppercase().as_str() {
        "RUNNING" => Ok(Target::Running),
        "PAUSED" => Ok(Target::Paused),
        "STOPPED" => Ok(Target::Stopped),
        _ => Err(Problem::bad("`initial_state` is RUNNING, PAUSED or STOPPED")),
    }
}

async fn show(call: Call) -> Outcome {
    Ok(json(StatusCode::OK, &info(&present(&call, NOT_FOUND)?)))
}

async fn remove(call: Call) -> Outcome {
    let name = name(&call, NOT_FOUND)?;
    let deleted = call.api.control.delete(Kind::Connector, &name).await;
    deleted.map_err(|refusal| refused(refusal, name.as_str(), NOT_FOUND))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn show_config(call: Call) -> Outcome {
    Ok(json(StatusCode::OK, &held(&present(&call, NOT_FOUND)?)))
}

async fn replace(call: Call) -> Outcome {
    let name = call.parts["name"].clone();
    let config = named(texts(object(&call.body)?, "the body")?, &name)?;
    judge(&call, &config, "").await?;
    let put = Put { must: Must::BeEither, target: None, accept_change: Some(Accept::Reset) };
    store(&call, &name, config, put).await
}

/// What others change meanwhile is looked at again, so that no change of theirs is lost.
async fn patch(call: Call) -> Outcome {
    /// As a worker says it here.
    const PREFIX: &str = "org.apache.kafka.connect.errors.ConnectException: ";
    let changes = texts(object(&call.body)?, "the body")?;
    for _ in 0..PATCH_TRIES_MAX {
        let present = present(&call, NOT_FOUND)?;
        let name = present.view.name.as_str();
        let mut config = held(&present);
        for (key, value) in &changes {
            match value {
                Json::Null => drop(config.remove(key)),
                value => drop(config.insert(key.clone(), value.clone())),
            }
        }
        if let Some(Json::String(other)) = config.get("name").filter(|it| *it != name) {
            return Err(other_name(other, name));
        }
        judge(&call, &config, PREFIX).await?;
        let must = Must::NotHaveChanged(present.view.config.revision);
        let put = Put { must, target: None, accept_change: Some(Accept::Reset) };
        let document = Json::Object(config).to_string();
        match call.api.control.put(Kind::Connector, &present.view.name, document, put).await {
            Ok(done) => return Ok(json(StatusCode::OK, &info(&done.present))),
            Err(Refusal::Changed(..)) => {}
            Err(refusal) => return Err(refused(refusal, name, NOT_FOUND)),
        }
    }
    let message = "Cannot complete request momentarily due to other changes at the same time";
    Err(Problem::new(StatusCode::CONFLICT, message))
}

async fn show_status(call: Call) -> Outcome {
    let present = present(&call, "No status found for connector {}")?;
    Ok(json(StatusCode::OK, &status(&call.api, &present)))
}

async fn show_tasks(call: Call) -> Outcome {
    let present = present(&call, NOT_FOUND)?;
    let task = |id| {
        let mut config = held(&present);
        config.insert("task.class".to_owned(), TASK_CLASS.into());
        TaskInfo { id, config }
    };
    let tasks: Vec<TaskInfo> = task_ids(&present).into_iter().map(task).collect();
    Ok(json(StatusCode::OK, &tasks))
}

async fn show_task(call: Call) -> Outcome {
    let task = task_id(&call)?;
    let missing = format!("No status found for task {{}}-{task}");
    let present = present(&call, &missing)?;
    let found = status(&call.api, &present).tasks.into_iter().find(|it| i64::from(it.id) == task);
    let found = found.ok_or_else(|| not_found(present.view.name.as_str(), &missing))?;
    Ok(json(StatusCode::OK, &found))
}

/// The number of a task in the path; what is none is no path.
pub(super) fn task_id(call: &Call) -> Result<i64, Problem> {
    let id = call.parts["task"].parse::<i32>();
    id.map(i64::from).map_err(|_| Problem::of_status(StatusCode::NOT_FOUND))
}

/// Tells a connector's configuration its name.
fn named(mut config: Object, name: &str) -> Result<Object, Problem> {
    match config.get("name") {
        Some(Json::String(other)) if other != name => return Err(other_name(other, name)),
        _ => {}
    }
    config.insert("name".to_owned(), name.into());
    Ok(config)
}

fn other_name(other: &str, name: &str) -> Problem {
    Problem::bad(format!(
        "Connector name configuration ({other}) doesn't match connector name in the URL ({name})"
    ))
}

/// Refuses what cannot be put; before an unknown class stands `prefix`.
async fn judge(call: &Call, object: &Object, prefix: &str) -> Result<(), Problem> {
    let judged = call.api.connectors.judgement(config(object)).await;
    judged.map_err(|refused| match &refused {
        Refused::UnknownClass(..) => Problem::bad(format!("{prefix}{refused}")),
        _ => Problem::bad(refused.to_string()),
    })
}

async fn store(call: &Call, name: &str, config: Object, put: Put) -> Outcome {
    let entry = Name::new(name).map_err(|error| Problem::bad(error.to_string()))?;
    let document = Json::Object(config).to_string();
    let done = call.api.control.put(Kind::Connector, &entry, document, put).await;
    let Done { present, is_new } = done.map_err(|refusal| refused(refusal, name, NOT_FOUND))?;
    if !is_new {
        return Ok(json(StatusCode::OK, &info(&present)));
    }
    // Tasks are made when it starts, after this answer.
    let made = ConnectorInfo { tasks: Vec::new(), ..info(&present) };
    let mut answer = json(StatusCode::CREATED, &made);
    locate(&mut answer, &call.base, name);
    Ok(answer)
}

/// What stands in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

fn locate(answer: &mut Answer, base: &str, name: &str) {
    let place = format!("{base}/connectors/{}", utf8_percent_encode(name, PATH));
    if let Ok(place) = HeaderValue::from_str(&place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
}

/// A connector as it is told.
fn info(present: &Present) -> ConnectorInfo {
    ConnectorInfo {
        name: present.view.name.to_string(),
        config: held(present),
        tasks: task_ids(present),
        role: SOURCE,
    }
}

fn task_ids(present: &Present) -> Vec<TaskId> {
    let connector = present.view.name.to_string();
    has_task(&present.view).then_some(TaskId { connector, task: 0 }).into_iter().collect()
}

/// The configuration that is kept; empty if its record cannot be read.
pub(super) fn held(present: &Present) -> Object {
    let Held::Known(known) = &present.view.config.content else { return Object::new() };
    serde_json::from_str(&known.document).unwrap_or_default()
}
