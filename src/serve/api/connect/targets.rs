//! What is wanted of a connector: pause, resume, stop, restart.
//!
//! A restart of the connector alone restarts nothing here that runs, as it does not touch tasks in
//! Kafka Connect: its task is the pipeline, and that is restarted where tasks are asked for.

use super::connectors::task_id;
use super::shapes::ConnectorStatus;
use super::status::{FAILED, has_task, status};
use super::{flag, name, not_found, present, refused};
use crate::serve::api::answer::{Problem, empty, json};
use crate::serve::api::operation::{Call, Content, Operation, Outcome, Parameter, handler, shape};
use crate::serve::entry::{Kind, Target};
use axum::http::{Method, StatusCode};

const INCLUDE_TASKS: Parameter = Parameter {
    name: "includeTasks",
    summary: "Whether its task is restarted too; `false` if left out.",
    values: &[],
};
const ONLY_FAILED: Parameter = Parameter {
    name: "onlyFailed",
    summary: "Whether only what has failed is restarted; `false` if left out.",
    values: &[],
};
const UNKNOWN: &str = "Unknown connector {}";
const UNKNOWN_TO_RESTART: &str = "Unknown connector: {}";
const RESTARTING: &str = "RESTARTING";

pub(super) fn operations() -> Vec<Operation> {
    let nothing = |operation: Operation, status| {
        operation.replies(status, "It is known, and follows soon.", Content::Nothing)
    };
    let told = ("pauseConnector", "Has it commit what it has received and end its call.");
    let by = handler(|call| aim(call, Target::Paused, StatusCode::ACCEPTED));
    let pause = Operation::new(Method::PUT, "/connectors/{name}/pause", told, by);
    let told = ("resumeConnector", "Has it go on behind its last commit.");
    let by = handler(|call| aim(call, Target::Running, StatusCode::ACCEPTED));
    let resume = Operation::new(Method::PUT, "/connectors/{name}/resume", told, by);
    let told = ("stopConnector", "As a pause; it has no task then, and a failure is forgotten.");
    let by = handler(|call| aim(call, Target::Stopped, StatusCode::NO_CONTENT));
    let stop = Operation::new(Method::PUT, "/connectors/{name}/stop", told, by);
    let told = ("restartConnector", "Restarts it, and its task if that is asked for.");
    let restart =
        Operation::new(Method::POST, "/connectors/{name}/restart", told, handler(restart))
            .asks(&[INCLUDE_TASKS, ONLY_FAILED])
            .replies(
                StatusCode::ACCEPTED,
                "What is restarted.",
                shape::<ConnectorStatus>("ConnectorStatus"),
            );
    let told = ("restartConnectorTask", "Has it commit, end and start anew.");
    let path = "/connectors/{name}/tasks/{task}/restart";
    let task = Operation::new(Method::POST, path, told, handler(restart_task));
    vec![
        nothing(pause, StatusCode::ACCEPTED),
        nothing(resume, StatusCode::ACCEPTED),
        nothing(stop, StatusCode::NO_CONTENT),
        nothing(restart, StatusCode::NO_CONTENT),
        nothing(task, StatusCode::NO_CONTENT),
    ]
}

async fn aim(call: Call, target: Target, done: StatusCode) -> Outcome {
    let name = name(&call, UNKNOWN)?;
    let aimed = call.api.control.aim(Kind::Connector, &name, target).await;
    aimed.map_err(|refusal| refused(refusal, name.as_str(), UNKNOWN))?;
    Ok(empty(done))
}

async fn restart(call: Call) -> Outcome {
    let present = present(&call, UNKNOWN_TO_RESTART)?;
    let includes_tasks = flag(&call, "includeTasks").unwrap_or(false);
    let only_failed = flag(&call, "onlyFailed").unwrap_or(false);
    let mut status = status(&call.api, &present);
    if !only_failed || status.connector.state == FAILED {
        status.connector.state = RESTARTING;
    }
    let is_due = |state: &str| includes_tasks && (!only_failed || state == FAILED);
    let mut restarts = false;
    for task in status.tasks.iter_mut().filter(|it| is_due(it.state.state)) {
        task.state.state = RESTARTING;
        restarts = true;
    }
    if restarts {
        again(&call, &present.view.name).await?;
    }
    match includes_tasks || only_failed {
        true => Ok(json(StatusCode::ACCEPTED, &status)),
        false => Ok(empty(StatusCode::NO_CONTENT)),
    }
}

async fn restart_task(call: Call) -> Outcome {
    let task = task_id(&call)?;
    let present = present(&call, UNKNOWN_TO_RESTART)?;
    let name = present.view.name.clone();
    if !has_task(&present.view) {
        let message = format!("Connector {name} has no tasks now: resume it first");
        return Err(Problem::new(StatusCode::CONFLICT, message));
    }
    if task != 0 {
        return Err(not_found(name.as_str(), &format!("Unknown task: {{}}-{task}")));
    }
    again(&call, &name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn again(call: &Call, name: &crate::serve::entry::Name) -> Result<(), Problem> {
    let restarted = call.api.control.restart(Kind::Connector, name).await;
    restarted.map(drop).map_err(|it| refused(it, name.as_str(), UNKNOWN_TO_RESTART))
}
