//! KurrentDB and SpiceDB.

use crate::fake::{Fake, method};
use crate::rig::{file, number, run};
use headwater_operators::source::Resumability;
use serde_json::{Value as Json, json};
use tonic::Status;

// === KurrentDB ===

const READ: &str = "event_store.client.streams.Streams/Read";

/// Event `number` of the database; its positions are spread, and it is in stream `orders` or not.
fn event(number: u64) -> Json {
    let recorded = json!({
        "streamIdentifier": { "streamName": "b3JkZXJz" },
        "streamRevision": number * 2,
        "commitPosition": number * 100,
        "preparePosition": number * 100 - 7,
        "data": "e30=",
    });
    json!({ "event": { "event": recorded, "commitPosition": number * 100 } })
}

/// What the server sends to a subscription: a confirmation, what is behind the position, and that
/// it has caught up.
fn read(request: &Json) -> Result<Vec<Json>, Status> {
    let options = &request["options"];
    if options.get("subscription").is_none() || options.get("noFilter").is_none() {
        return Err(Status::invalid_argument("a subscription without a filter was expected"));
    }
    let behind = match (options.get("all"), options.get("stream")) {
        (Some(all), None) if all.get("start").is_some() => 0,
        (Some(all), None) => {
            let position = |key| number(all, &["position", key]);
            let (commit, prepare) = (position("commitPosition"), position("preparePosition"));
            match (commit, prepare) {
                (Some(commit), Some(prepare)) if prepare + 7 == commit => commit / 100,
                _ => return Err(Status::invalid_argument("no such position")),
            }
        }
        (None, Some(stream)) => {
            if stream["streamIdentifier"]["streamName"] != "b3JkZXJz" {
                return Err(Status::invalid_argument("no stream is named"));
            }
            match (stream.get("start"), number(stream, &["revision"])) {
                (Some(_), None) => 0,
                (None, Some(revision)) => revision / 2,
                _ => return Err(Status::invalid_argument("no revision")),
            }
        }
        _ => return Err(Status::invalid_argument("either $all or a stream")),
    };
    let confirmation = json!({ "confirmation": { "subscriptionId": "s" } });
    // A checkpoint ahead of what follows, as a filtering server sends it.
    let checkpoint = json!({ "checkpoint": { "commitPosition": 9000, "preparePosition": 9000 } });
    let caught_up = json!({ "caughtUp": {} });
    let events = (behind + 1..=EVENTS).map(event);
    Ok([confirmation, checkpoint].into_iter().chain(events).chain([caught_up]).collect())
}

const EVENTS: u64 = 40;

/// The numbers of the events among the messages.
fn events(committed: &[Json]) -> Vec<u64> {
    let revision = |it: &Json| number(it, &["event", "event", "streamRevision"]);
    committed.iter().filter_map(revision).map(|revision| revision / 2).collect()
}

#[tokio::test]
async fn kurrentdb_goes_on_behind_the_pair_of_positions() {
    let fake = Fake::start(method("kurrentdb.proto", READ), &[7, 5, 9], read).await;
    let text = file(&fake.url, "kurrentdb.proto", "kurrentdb", "");
    // Each call brings a confirmation and a checkpoint, which are not passed on.
    let outcome = run(fake, &text, 15, EVENTS as usize).await;
    assert!(events(&outcome.committed).into_iter().eq(1..=EVENTS), "{:?}", outcome.committed);
    assert_eq!(outcome.committed.len() as u64, EVENTS, "{:?}", outcome.committed);
    assert_eq!(outcome.resumability, Resumability::Exact);
    let commits: Vec<_> = (outcome.requests.iter())
        .map(|it| number(it, &["options", "all", "position", "commitPosition"]))
        .collect();
    assert_eq!(commits, [None, Some(500), Some(800), Some(1500)]);
    assert!(outcome.requests[1]["options"]["all"].get("start").is_none(), "the oneof moved on");
}

#[tokio::test]
async fn kurrentdb_stream_goes_on_behind_the_revision() {
    let fake = Fake::start(method("kurrentdb.proto", READ), &[7, 5, 9], read).await;
    let keys = "request: { options: { stream: { stream_identifier: { stream_name: b3JkZXJz } } } }";
    let text = file(&fake.url, "kurrentdb.proto", "kurrentdb-stream", keys);
    let outcome = run(fake, &text, 15, EVENTS as usize).await;
    assert!(events(&outcome.committed).into_iter().eq(1..=EVENTS), "{:?}", outcome.committed);
    assert_eq!(outcome.resumability, Resumability::Exact);
    let revisions: Vec<_> = (outcome.requests.iter())
        .map(|it| number(it, &["options", "stream", "revision"]))
        .collect();
    assert_eq!(revisions, [None, Some(10), Some(16), Some(30)]);
}

// === SpiceDB ===

const WATCH: &str = "authzed.api.v1.WatchService/Watch";

/// Revisions are named by tokens that nobody but the server can read.
fn token(revision: u64) -> String {
    format!("t{}", revision * 7919)
}

fn watch(request: &Json) -> Result<Vec<Json>, Status> {
    let behind = match request.get("optionalStartCursor") {
        // The head is where this test begins.
        None => 0,
        Some(cursor) => {
            let found = (1..=EVENTS).find(|revision| cursor["token"] == token(*revision));
            found.ok_or_else(|| Status::out_of_range("the revision has expired"))?
        }
    };
    let change = |revision: u64| {
        // Each third message is a checkpoint.
        let updates = vec![json!({ "operation": "OPERATION_TOUCH" }); (revision % 3) as usize];
        json!({
            "updates": updates,
            "changesThrough": { "token": token(revision) },
            "isCheckpoint": revision.is_multiple_of(3),
        })
    };
    Ok((behind + 1..=EVENTS).map(change).collect())
}

#[tokio::test]
async fn spicedb_watch_goes_on_behind_the_token() {
    let fake = Fake::start(method("spicedb.proto", WATCH), &[6, 3, 5], watch).await;
    let text = file(&fake.url, "spicedb.proto", "spicedb-watch", "");
    let changes = (1..=EVENTS).filter(|revision| !revision.is_multiple_of(3));
    let outcome = run(fake, &text, 10, changes.clone().count()).await;
    let tokens = outcome.committed.iter().map(|it| it["changesThrough"]["token"].clone());
    assert!(tokens.eq(changes.map(|it| json!(token(it)))), "{:?}", outcome.committed);
    assert_eq!(outcome.resumability, Resumability::Exact);
    // The first call ended with a checkpoint, which is where the next one begins.
    assert_eq!(outcome.requests[1]["optionalStartCursor"]["token"], token(6));
    assert_eq!(outcome.requests[2]["optionalStartCursor"]["token"], token(9));
    assert_eq!(outcome.requests[3]["optionalStartCursor"]["token"], token(14));
}
