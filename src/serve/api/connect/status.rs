//! How a connector and its task stand, in Kafka Connect's words.
//!
//! The connector is the entry, its one task the pipeline: the Java connector makes one task too,
//! whatever `tasks.max` says.
//!
//! | how it stands | connector | task |
//! |---|---|---|
//! | runs, calls open or tried again | `RUNNING` | `RUNNING` |
//! | takes itself over, or another instance runs it | `RUNNING` | `UNASSIGNED` |
//! | ends, to be started anew | `RUNNING` | `RESTARTING` |
//! | ends, to be paused or stopped | `RUNNING` | `RUNNING` |
//! | paused | `PAUSED` | `PAUSED`, if it ran before |
//! | stopped | `STOPPED` | none |
//! | failed | `RUNNING` or `PAUSED`, as wanted | `FAILED` with its trace |
//! | its streams are complete | `RUNNING` | `UNASSIGNED`, and the trace says so |
//! | this instance does not lead | `UNASSIGNED` | `UNASSIGNED` |
//! | its record cannot be read | `FAILED` | none |

use super::shapes::{ConnectorStatus, SOURCE, State, TaskStatus};
use super::worker_id;
use crate::serve::api::dispatch::Api;
use crate::serve::entry::{Content, Target};
use crate::serve::keeper::Present;
use crate::serve::manager::{Standing, View};
use headwater_operators::pipeline::state::StateName;

/// What is told of a connector or a task.
struct Told {
    state: &'static str,
    trace: Option<String>,
}

const COMPLETE: &str = "its streams are complete, and grpc.reconnect.enabled=false wants no other \
                        call: restart its task to begin one";

/// How a connector stands.
pub(super) fn status(api: &Api, present: &Present) -> ConnectorStatus {
    let state = |told: Told| State {
        state: told.state,
        worker_id: worker_id(api),
        version: api.connectors.worker().connector_version.clone(),
        trace: told.trace,
    };
    let task = task(present).map(|told| TaskStatus { id: 0, state: state(told) });
    ConnectorStatus {
        name: present.view.name.to_string(),
        connector: state(connector(&present.view)),
        tasks: task.into_iter().collect(),
        role: SOURCE,
    }
}

/// Whether Kafka Connect would list a task of it.
pub(super) fn has_task(view: &View) -> bool {
    let is_known = matches!(view.config.content, Content::Known(_));
    is_known && view.aim.has_tasks()
}

fn connector(view: &View) -> Told {
    let plain = |state| Told { state, trace: None };
    if let Content::Unreadable(why) = &view.config.content {
        return Told { state: FAILED, trace: Some(why.clone()) };
    }
    match (&view.standing, view.aim.target) {
        (Standing::Unassigned, _) => plain(UNASSIGNED),
        (Standing::Paused, _) | (Standing::Failed(_), Target::Paused) => plain("PAUSED"),
        (Standing::Stopped, _) => plain("STOPPED"),
        _ => plain(RUNNING),
    }
}

/// None where there is none.
fn task(present: &Present) -> Option<Told> {
    let view = &present.view;
    let plain = |state| Told { state, trace: None };
    if !has_task(view) && view.standing != Standing::Ending {
        return None;
    }
    Some(match (&view.standing, view.aim.target) {
        (Standing::Unassigned, _) => plain(UNASSIGNED),
        (Standing::Running, _) => plain(running(present)),
        (Standing::Ending, Target::Running) => plain("RESTARTING"),
        (Standing::Ending, _) => plain(RUNNING),
        (Standing::Paused | Standing::Stopped, _) => plain("PAUSED"),
        (Standing::Failed(why), _) => Told { state: FAILED, trace: Some(why.clone()) },
        (Standing::Finished, _) => Told { state: UNASSIGNED, trace: Some(COMPLETE.to_owned()) },
    })
}

/// A task counts as running once it is this instance's, whether its server answers or not.
fn running(present: &Present) -> &'static str {
    let state = present.watched.as_ref().map(|it| it.status.report().state.name);
    match state {
        None | Some(StateName::Starting | StateName::Standby | StateName::Stopped) => UNASSIGNED,
        Some(_) => RUNNING,
    }
}

pub(super) const RUNNING: &str = "RUNNING";
pub(super) const FAILED: &str = "FAILED";
const UNASSIGNED: &str = "UNASSIGNED";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::entry::{Aim, Config, Kind, Known, Name};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn told(standing: Standing, aim: Aim) -> (&'static str, Option<&'static str>) {
        let known = Known { document: String::new(), accept_change: None, at_unix_ms: 0 };
        let content = Content::Known(Arc::new(known));
        let config = Config { kind: Kind::Connector, revision: 1, content };
        let name = Name::new("a").unwrap();
        let view = View { name, config, aim, standing, running_revision: None };
        let (topics, offsets) = (BTreeSet::new(), Vec::new());
        let present = Present { view, watched: None, topics, offsets };
        (connector(&present.view).state, task(&present).map(|it| it.state))
    }

    #[test]
    fn states_are_told_in_kafka_connects_words() {
        let running = Aim::from(Target::Running);
        let (paused, stopped) = (running.then(Target::Paused), running.then(Target::Stopped));
        let never_ran = Aim::from(Target::Paused);
        let failed = || Standing::Failed("why".to_owned());
        for (standing, aim, expected) in [
            (Standing::Running, running, ("RUNNING", Some("UNASSIGNED"))),
            (Standing::Ending, running, ("RUNNING", Some("RESTARTING"))),
            (Standing::Ending, stopped, ("RUNNING", Some("RUNNING"))),
            (Standing::Paused, paused, ("PAUSED", Some("PAUSED"))),
            (Standing::Paused, never_ran, ("PAUSED", None)),
            (Standing::Stopped, stopped, ("STOPPED", None)),
            (failed(), running, ("RUNNING", Some("FAILED"))),
            (failed(), paused, ("PAUSED", Some("FAILED"))),
            (Standing::Finished, running, ("RUNNING", Some("UNASSIGNED"))),
            (Standing::Unassigned, running, ("UNASSIGNED", Some("UNASSIGNED"))),
        ] {
            assert_eq!(told(standing.clone(), aim), expected, "{standing:?}");
        }
    }
}
