//! `/connectors/{name}/topics`: the topics that a connector has really written to, its dead
//! letters' among them, since it was made or they were reset. They outlive stops and restarts.

use super::not_found;
use crate::serve::api::answer::{empty, json};
use crate::serve::api::operation::{Call, Content, Operation, Outcome, handler};
use crate::serve::control::Refusal;
use crate::serve::entry::{Kind, Name};
use axum::http::{Method, StatusCode};
use serde_json::json as of;

pub(super) fn operations() -> Vec<Operation> {
    let told = ("getConnectorTopics", "The topics that it has written to.");
    let show = Operation::new(Method::GET, "/connectors/{name}/topics", told, handler(show))
        .answers("By its name.", Content::Other("application/json"));
    let told = ("resetConnectorTopics", "Forgets the topics that it has written to.");
    let reset =
        Operation::new(Method::PUT, "/connectors/{name}/topics/reset", told, handler(reset))
            .replies(StatusCode::ACCEPTED, "They are forgotten.", Content::Nothing);
    vec![show, reset]
}

/// A connector that is not there has written to none.
async fn show(call: Call) -> Outcome {
    let name = &call.parts["name"];
    let found = Name::new(name).ok().map(|name| call.api.control.entry(Kind::Connector, &name));
    let topics = match found {
        Some(Ok(present)) => present.topics,
        None | Some(Err(Refusal::Unknown(..))) => Default::default(),
        Some(Err(refusal)) => return Err(refusal.into()),
    };
    Ok(json(StatusCode::OK, &of!({ name.as_str(): { "topics": topics } })))
}

async fn reset(call: Call) -> Outcome {
    let name = &call.parts["name"];
    let name = Name::new(name).map_err(|_| not_found(name, super::NOT_FOUND))?;
    call.api.control.forget_topics(&name).await?;
    Ok(empty(StatusCode::ACCEPTED))
}
