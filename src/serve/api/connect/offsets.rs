//! `/connectors/{name}/offsets`: where a connector stands in its stream.
//!
//! What is told of the connector's own partition is the pipeline's progress: the last message of
//! the last commit, by its number within its call. The Java connector tells the same under the
//! same names, and like there it is nothing that a stream can be resumed by.
//!
//! A change is made to the progress records: what was stored of the partition is forgotten. What a
//! person sets in its place, and what they set of any other partition, is kept in the config topic
//! and told until the connector commits again or the offset is taken away; Kafka Connect keeps such
//! offsets too, and the Java connector takes all of them.
//!
//! Invariant: while a change is made, nobody starts the connector.

use super::body::{demand_fields, into_object, kind, object};
use super::connectors::held;
use super::shapes::Message;
use super::{NOT_FOUND, name, present, refused};
use crate::serve::api::answer::{Problem, json};
use crate::serve::api::operation::{Call, Content, Operation, Outcome, handler, shape};
use crate::serve::entry::{Content as Held, Name, Object, SetOffset};
use crate::serve::keeper::Present;
use crate::serve::limits::SET_OFFSETS_MAX;
use crate::serve::manager::Standing;
use crate::subject::Subject;
use axum::http::{Method, StatusCode};
use headwater_engine::commit::progress::{ShardProgress, StoredProgress};
use serde_json::{Value as Json, json as of};

/// A change to the offset of one partition.
struct Change {
    partition: Object,
    /// None takes it away.
    offset: Option<Object>,
}

const ALTERED: &str = "The Connect framework-managed offsets for this connector have been altered \
    successfully. However, if this connector manages offsets externally, they will need to be \
    manually altered in the system that the connector uses.";
const RESET: &str = "The Connect framework-managed offsets for this connector have been reset \
    successfully. However, if this connector manages offsets externally, they will need to be \
    manually reset in the system that the connector uses.";
const NONE: &str = "Partitions / offsets need to be provided for an alter offsets request";

pub(super) fn operations() -> Vec<Operation> {
    const PATH: &str = "/connectors/{name}/offsets";
    let message = || shape::<Message>("Message");
    let told = ("getConnectorOffsets", "Where it stands in its stream.");
    let show = Operation::new(Method::GET, PATH, told, handler(show))
        .answers("Its offsets by partition.", Content::Other("application/json"));
    let told = ("alterConnectorOffsets", "Changes offsets of a connector that is stopped.");
    let alter = Operation::new(Method::PATCH, PATH, told, handler(alter))
        .takes("`offsets`: a list of `partition` and `offset`, which is null to take one away.")
        .answers("They are changed.", message());
    let told = ("resetConnectorOffsets", "Forgets all offsets of a connector that is stopped.");
    let reset = Operation::new(Method::DELETE, PATH, told, handler(reset))
        .answers("They are forgotten.", message());
    vec![show, alter, reset]
}

async fn show(call: Call) -> Outcome {
    let present = present(&call, NOT_FOUND)?;
    let own = own_partition(&present);
    let subject = subject(&call, &present).await?;
    let stored = kafka(&call, subject, |subject| subject.read()).await?;
    let stored = stored.and_then(|stored| own_offset(&stored));
    let has_own = stored.is_some();
    let set = present.offsets.iter().filter(|it| !(has_own && it.partition == own));
    let stored = stored.map(|offset| SetOffset { partition: own.clone(), offset });
    let all: Vec<&SetOffset> = stored.iter().chain(set).collect();
    Ok(json(StatusCode::OK, &of!({ "offsets": all })))
}

async fn alter(call: Call) -> Outcome {
    let name = name(&call, NOT_FOUND)?;
    // Who is not there is told so first.
    present(&call, NOT_FOUND)?;
    let changes = changes(&call.body)?;
    change(&call, &name, |own, mut offsets| {
        let mut forgets = false;
        for Change { partition, offset } in &changes {
            forgets |= partition == own;
            offsets.retain(|it| it.partition != *partition);
            let set = |offset: &Object| SetOffset {
                partition: partition.clone(),
                offset: offset.clone(),
            };
            offsets.extend(offset.as_ref().map(set));
        }
        (forgets, offsets)
    })
    .await?;
    Ok(json(StatusCode::OK, &Message { message: ALTERED }))
}

async fn reset(call: Call) -> Outcome {
    let name = name(&call, NOT_FOUND)?;
    change(&call, &name, |_, _| (true, Vec::new())).await?;
    Ok(json(StatusCode::OK, &Message { message: RESET }))
}

/// Changes offsets of a connector that is stopped: `decide` is given its own partition and the
/// offsets that are set, and says whether progress is forgotten and what is set then.
async fn change(
    call: &Call,
    name: &Name,
    decide: impl Fn(&Object, Vec<SetOffset>) -> (bool, Vec<SetOffset>),
) -> Result<(), Problem> {
    let told = |refusal| refused(refusal, name.as_str(), NOT_FOUND);
    let alone = call.api.control.alone().await.map_err(told)?;
    let present = alone.connector(name).map_err(told)?;
    if present.view.standing != Standing::Stopped {
        return Err(Problem::bad(format!(
            "Connectors must be in the STOPPED state before their offsets can be modified. This \
             can be done for the specified connector by issuing a 'PUT' request to the \
             '/connectors/{name}/stop' endpoint"
        )));
    }
    let (forgets, offsets) = decide(&own_partition(&present), present.offsets.clone());
    if offsets.len() > SET_OFFSETS_MAX {
        return Err(Problem::bad(format!("at most {SET_OFFSETS_MAX} offsets are kept")));
    }
    if forgets {
        let subject = subject(call, &present).await?;
        kafka(call, subject, forget).await?;
    }
    if offsets != present.offsets {
        alone.set_offsets(name, offsets).await.map_err(told)?;
    }
    Ok(())
}

/// A pipeline that has never committed has nothing to forget, and perhaps no topic for it.
fn forget(subject: &Subject) -> Result<(), crate::exit::Failed> {
    if subject.read()?.shards.is_empty() {
        return Ok(());
    }
    subject.forget(&[]).map(drop)
}

/// Where Kafka keeps what it keeps of the connector.
async fn subject(call: &Call, present: &Present) -> Result<Option<Subject>, Problem> {
    let Held::Known(known) = &present.view.config.content else {
        return Err(Problem::new(StatusCode::CONFLICT, "its configuration cannot be read"));
    };
    let (name, document) = (present.view.name.clone(), known.document.clone());
    let subject = call.api.connectors.stored(name, document).await;
    subject.map_err(|refused| Problem::new(StatusCode::CONFLICT, refused.to_string()))
}

/// Asks Kafka on a thread that may wait; nothing is asked without a subject.
async fn kafka<T: Send + 'static>(
    call: &Call,
    subject: Option<Subject>,
    question: impl FnOnce(&Subject) -> Result<T, crate::exit::Failed> + Send + 'static,
) -> Result<Option<T>, Problem> {
    let Some(subject) = subject else { return Ok(None) };
    let turn = call.api.kafka_turns.clone().acquire_owned().await.expect("it is never closed");
    let asked = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let answer = question(&subject);
        answer.map_err(|failed| failed.error.map(|error| format!("{error:#}")).unwrap_or_default())
    });
    match asked.await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(why)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
        Err(error) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// The partition that the connector's offsets are told for, as its configuration names it:
/// references unresolved.
fn own_partition(present: &Present) -> Object {
    let config = held(present);
    let text = |key: &str| config.get(key).and_then(Json::as_str).unwrap_or_default().trim();
    let server = format!("{}:{}", text("grpc.server.host"), text("grpc.server.port"));
    let method = format!("{}/{}", text("grpc.service.name"), text("grpc.method.name"));
    let pairs = [("grpc_server", server), ("grpc_method", method)];
    pairs.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect()
}

/// The last message that is committed; none if none is. A connector has one call.
fn own_offset(stored: &StoredProgress) -> Option<Object> {
    let is_begun = |shard: &&ShardProgress| shard.position.next_sequence.0 > 0;
    let shard =
        stored.shards.values().filter(is_begun).max_by_key(|it| (it.generation, it.epoch))?;
    let session = format!("{}-{}", shard.generation, shard.position.session);
    let sequence = shard.position.next_sequence.0 - 1;
    let pairs = [("session_id", Json::from(session)), ("sequence", Json::from(sequence))];
    Some(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The changes that a body asks for.
fn changes(body: &[u8]) -> Result<Vec<Change>, Problem> {
    let mut body = object(body)?;
    demand_fields(&body, &["offsets"], "a change of offsets")?;
    let list = match body.remove("offsets") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(list)) => list,
        Some(other) => {
            let kind = kind(&other);
            return Err(Problem::bad(format!("`offsets` is {kind}: a list is expected")));
        }
    };
    match list.is_empty() {
        true => Err(Problem::bad(NONE)),
        false => list.into_iter().map(one_change).collect(),
    }
}

fn one_change(json: Json) -> Result<Change, Problem> {
    let mut object = into_object(json, "an element of `offsets`")?;
    demand_fields(&object, &["partition", "offset"], "an element of `offsets`")?;
    let partition = into_object(object.remove("partition").unwrap_or_default(), "`partition`")?;
    if partition.is_empty() {
        return Err(Problem::bad("`partition` is empty: it names nothing"));
    }
    let offset = match object.remove("offset") {
        None | Some(Json::Null) => None,
        Some(offset) => Some(into_object(offset, "`offset`")?),
    };
    for (field, value) in partition.iter().chain(offset.iter().flatten()) {
        if value.is_array() || value.is_object() {
            return Err(Problem::bad(format!(
                "Offsets may only contain primitive types as values, but field {field} contains {}",
                if value.is_array() { "ARRAY" } else { "MAP" }
            )));
        }
    }
    Ok(Change { partition, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_or_refused() {
        let read = |text: &str| changes(text.as_bytes()).map(|it| it.len()).map_err(|_| ());
        let good = r#"{"offsets": [{"partition": {"a": 1}, "offset": null},
                                   {"partition": {"b": "c"}, "offset": {"d": 1.5, "e": null}}]}"#;
        assert_eq!(read(good), Ok(2));
        for wrong in [
            "{}",
            r#"{"offsets": []}"#,
            r#"{"offsets": {}}"#,
            r#"{"offsets": [null]}"#,
            r#"{"offsets": [{}]}"#,
            r#"{"offsets": [{"partition": {}, "offset": {}}]}"#,
            r#"{"offsets": [{"partition": {"a": {"b": 1}}, "offset": {}}]}"#,
            r#"{"offsets": [{"partition": {"a": 1}, "offset": {"b": [1]}}]}"#,
            r#"{"offsets": [{"partition": {"a": 1}, "offset": {}, "c": 1}]}"#,
            r#"{"offset": []}"#,
        ] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }
}
