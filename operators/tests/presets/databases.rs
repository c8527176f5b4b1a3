//! KurrentDB and SpiceDB.

use crate::fake::{Fake, method};
use crate::rig::{file, number, run, run_by, source};
use crate::world::{World, broken};
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

/// Link `number` of a stream of links, which begin at revision 0; what it points to stands far
/// ahead in a stream of its own.
fn link(number: u64) -> Json {
    let recorded = |name: &str, revision: u64| {
        let stream = json!({ "streamName": name });
        json!({ "streamIdentifier": stream, "streamRevision": revision })
    };
    let (link, event) = (recorded("bGlua3M=", number), recorded("b3JkZXJz", 57 - number));
    json!({ "event": { "event": event, "link": link, "noPosition": {} } })
}

fn read_links(request: &Json) -> Result<Vec<Json>, Status> {
    let options = &request["options"];
    if options["resolveLinks"] != true {
        return Err(Status::invalid_argument("links were to be resolved"));
    }
    let behind = options["stream"]
        .get("revision")
        .map(|_| number(&options["stream"], &["revision"]).expect("a number"));
    Ok((behind.map_or(0, |revision| revision + 1)..EVENTS).map(link).collect())
}

/// The revision of the first link is 0, and counts before the event's.
#[tokio::test]
async fn kurrentdb_stream_goes_on_behind_the_link_and_not_behind_what_it_points_to() {
    let fake = Fake::start(method("kurrentdb.proto", READ), &[1, 1, 9], read_links).await;
    let keys = "request: { options: { resolve_links: true, stream: { stream_identifier: { \
                stream_name: bGlua3M= } } } }";
    let text = file(&fake.url, "kurrentdb.proto", "kurrentdb-stream", keys);
    let outcome = run(fake, &text, 11, EVENTS as usize).await;
    let revision = |it: &Json| number(it, &["event", "link", "streamRevision"]).unwrap_or(0);
    assert!(outcome.committed.iter().map(revision).eq(0..EVENTS), "{:?}", outcome.committed);
    let revisions: Vec<_> = (outcome.requests.iter())
        .map(|it| number(it, &["options", "stream", "revision"]))
        .collect();
    assert_eq!(revisions, [None, Some(0), Some(1), Some(10)]);
}

// === SpiceDB ===

const WATCH: &str = "authzed.api.v1.WatchService/Watch";

/// Revisions are named by tokens that nobody but the server can read.
fn token(revision: u64) -> String {
    format!("t{}", revision * 7919)
}

/// Whether the request wants messages of a kind; without a word it wants relationships alone.
fn wants(request: &Json, kind: &str) -> bool {
    let kinds = request["optionalUpdateKinds"].as_array();
    let is_named = kinds.is_some_and(|kinds| kinds.iter().any(|it| it == kind));
    is_named || (kinds.is_none_or(Vec::is_empty) && kind == RELATIONSHIPS)
}

/// One revision is up to three messages with one token, in this order.
fn watch(request: &Json) -> Result<Vec<Json>, Status> {
    let behind = match request.get("optionalStartCursor") {
        // The head is where this test begins.
        None => 0,
        Some(cursor) => {
            let found = (1..=EVENTS).find(|revision| cursor["token"] == token(*revision));
            found.ok_or_else(|| Status::out_of_range("the revision has expired"))?
        }
    };
    let mut messages = Vec::new();
    for revision in behind + 1..=EVENTS {
        let through = json!({ "token": token(revision) });
        // Of each third revision nothing passes the filter.
        if !revision.is_multiple_of(3) && wants(request, RELATIONSHIPS) {
            let updates = [json!({ "operation": "OPERATION_TOUCH" })];
            messages.push(json!({ "updates": updates, "changesThrough": through }));
        }
        if revision.is_multiple_of(2) && wants(request, "WATCH_KIND_INCLUDE_SCHEMA_UPDATES") {
            messages.push(json!({ "schemaUpdated": true, "changesThrough": through }));
        }
        if revision.is_multiple_of(5) && wants(request, "WATCH_KIND_INCLUDE_CHECKPOINTS") {
            messages.push(json!({ "isCheckpoint": true, "changesThrough": through }));
        }
    }
    Ok(messages)
}

const RELATIONSHIPS: &str = "WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES";

/// The revision and the kind of each message that is passed on.
fn changes(committed: &[Json]) -> Vec<(Json, bool)> {
    let change = |it: &Json| (it["changesThrough"]["token"].clone(), it["schemaUpdated"] == true);
    committed.iter().map(change).collect()
}

#[tokio::test]
async fn spicedb_watch_goes_on_behind_the_token() {
    let fake = Fake::start(method("spicedb.proto", WATCH), &[6, 3, 5], watch).await;
    let text = file(&fake.url, "spicedb.proto", "spicedb-watch", "");
    let expected: Vec<_> = (1..=EVENTS).filter(|revision| !revision.is_multiple_of(3)).collect();
    // Revision 5 ended with a checkpoint; the last one of each call is held back, as more may come
    // of it.
    let outcome = run(fake, &text, 9, expected.len()).await;
    let expected: Vec<_> = expected.into_iter().map(|it| (json!(token(it)), false)).collect();
    assert_eq!(changes(&outcome.committed), expected);
    assert_eq!(outcome.resumability, Resumability::Exact);
    let behind: Vec<_> =
        outcome.requests.iter().map(|it| it["optionalStartCursor"]["token"].clone()).collect();
    assert_eq!(behind[0], Json::Null);
    assert_eq!(behind[1..], [5, 8, 13].map(|it| json!(token(it))));
}

/// A cut between the messages of one revision, which have one token.
#[tokio::test]
async fn spicedb_watch_commits_the_messages_of_one_revision_together() {
    // Relationships of revision 2 have come, and its schema has not; the same of revision 4.
    let fake = Fake::start(method("spicedb.proto", WATCH), &[2, 3, 9], watch).await;
    let keys = "request: { optional_update_kinds: [WATCH_KIND_INCLUDE_RELATIONSHIP_UPDATES, \
                WATCH_KIND_INCLUDE_SCHEMA_UPDATES, WATCH_KIND_INCLUDE_CHECKPOINTS] }";
    let text = file(&fake.url, "spicedb.proto", "spicedb-watch", keys);
    let mut expected = Vec::new();
    for revision in 1..=EVENTS {
        let is_relation = !revision.is_multiple_of(3);
        expected.extend(is_relation.then(|| (json!(token(revision)), false)));
        let is_schema = revision.is_multiple_of(2);
        expected.extend(is_schema.then(|| (json!(token(revision)), true)));
    }
    let first = |committed: &[Json]| committed.len() >= 5;
    let all = expected.len();
    let outcome = run_by(fake, &text, first, move |it| it.len() >= all).await;
    assert_eq!(changes(&outcome.committed), expected, "each once, in order");
    assert_eq!(outcome.resumability, Resumability::Exact);
}

/// What CockroachDB says of a revision whose garbage is collected, before the watch begins.
#[tokio::test]
async fn spicedb_watch_stops_where_the_revision_is_collected() {
    for status in [
        Status::out_of_range("the revision has expired"),
        Status::internal(
            "failed to read schema: batch timestamp 1.0,0 must be after replica GC threshold 2.0,0",
        ),
    ] {
        let answer = move |request: &Json| match request.get("optionalStartCursor") {
            None => watch(request),
            Some(_) => Err(status.clone()),
        };
        let fake = Fake::start(method("spicedb.proto", WATCH), &[6, 1, 1], answer).await;
        let text = file(&fake.url, "spicedb.proto", "spicedb-watch", "");
        let (end, _) = World::run(source(&text), None).end().await;
        assert!(broken(&end).contains("no longer has what follows the cursor"), "{end:?}");
        assert_eq!(fake.requests().len(), 2, "it is asked once");
    }
}
