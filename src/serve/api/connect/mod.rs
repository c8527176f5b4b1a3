//! The paths of Kafka Connect's REST API.
//!
//! Paths, bodies, status codes and messages are those of Kafka Connect 4.1, because clients go by
//! them; `tests/cases/connect` holds what a real worker answered to 799 calls, and what is wanted
//! otherwise here stands in `tests/connect/deviations.json`, each with its reason.
//!
//! - `body` what requests bring: JSON, with values as texts;
//! - `connectors` the list, creation, configurations, deletion;
//! - `targets` pause, resume, stop, restart;
//! - `status` how a connector and its task stand;
//! - `offsets` where it stands in its stream, `topics` where it has written to;
//! - `plugins` what can be used, and validations;
//! - `loggers` levels of logs, `worker` what this program says of itself.
//!
//! Next: `connectors.rs`.

mod body;
mod connectors;
mod loggers;
mod offsets;
mod plugins;
mod shapes;
mod status;
mod targets;
mod topics;
mod worker;

use super::answer::Problem;
use super::dispatch::Api;
use super::forward::Origin;
use super::operation::{Call, Operation};
use crate::serve::control::Refusal;
use crate::serve::entry::{Kind, Name};
use crate::serve::keeper::Present;
use axum::http::StatusCode;

/// All operations of Kafka Connect.
pub(super) fn operations() -> Vec<Operation> {
    let of_connectors = [
        connectors::operations(),
        targets::operations(),
        offsets::operations(),
        topics::operations(),
    ];
    let of_connectors = of_connectors.into_iter().flatten().map(Operation::by_leader);
    let of_worker = [worker::operations(), plugins::operations(), loggers::operations()];
    of_connectors.chain(of_worker.into_iter().flatten()).map(Operation::of_connect).collect()
}

/// The connector in the path; `missing` is said if there is none, with its name in place of `{}`.
fn present(call: &Call, missing: &str) -> Result<Present, Problem> {
    let text = &call.parts["name"];
    let found = Name::new(text).ok().map(|name| call.api.control.entry(Kind::Connector, &name));
    match found {
        Some(Ok(present)) => Ok(present),
        None | Some(Err(Refusal::Unknown(..))) => Err(not_found(text, missing)),
        Some(Err(refusal)) => Err(refusal.into()),
    }
}

/// What was refused, in Kafka Connect's words where it has some; `missing` as in [`present`].
fn refused(refusal: Refusal, name: &str, missing: &str) -> Problem {
    match refusal {
        Refusal::Unknown(..) => not_found(name, missing),
        Refusal::Exists(Kind::Connector, name) => {
            Problem::new(StatusCode::CONFLICT, format!("Connector {name} already exists"))
        }
        other => other.into(),
    }
}

fn not_found(name: &str, missing: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, missing.replace("{}", name))
}

/// The name in the path, of a connector that may not be there.
fn name(call: &Call, missing: &str) -> Result<Name, Problem> {
    let text = &call.parts["name"];
    Name::new(text).map_err(|_| not_found(text, missing))
}

const NOT_FOUND: &str = "Connector {} not found";

/// A parameter that is true or false; whatever is neither is false, as in Java.
fn flag(call: &Call, name: &str) -> Option<bool> {
    let value = call.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    value.filter(|value| !value.is_empty()).map(|value| value.eq_ignore_ascii_case("true"))
}

/// `host:port` of the instance that runs everything, as far as that is known.
fn worker_id(api: &Api) -> String {
    use crate::serve::control::Role;
    use headwater_operators::sink::kafka::Lead;
    let leader = match api.control.role() {
        Role::Of(Lead::Other(Some(leader))) => leader.address,
        _ => None,
    };
    let leader = leader.and_then(|url| Origin::read(&url));
    leader.map_or_else(|| api.authority.clone(), |it| it.authority())
}
