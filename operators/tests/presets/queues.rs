//! What is fetched by credit or acknowledged: Salesforce Pub/Sub, Google Pub/Sub; and gNMI.

use crate::fake::{Fake, Talk, method};
use crate::rig::{file, messages, run_by, source};
use crate::world::{World, broken, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_operators::source::Resumability;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

// === Salesforce ===

const EVENTS: u64 = 700;

/// What the server allows itself at most.
const WINDOW: i64 = 100;

/// Ids have gaps, and only the server knows their order.
fn replay_id(number: u64) -> String {
    STANDARD.encode((number * 3 + 1_000).to_be_bytes())
}

fn number_of(replay_id: &str) -> u64 {
    let bytes = STANDARD.decode(replay_id).expect("base64");
    (u64::from_be_bytes(bytes.try_into().expect("one of ours")) - 1_000) / 3
}

fn event(number: u64) -> Json {
    let event = json!({ "id": format!("e-{number}"), "schemaId": "s", "payload": "AAEC" });
    json!({ "event": event, "replayId": replay_id(number) })
}

fn ids(messages: &[Json]) -> Vec<String> {
    let events =
        messages.iter().flat_map(|it| it["events"].as_array().cloned().unwrap_or_default());
    events.map(|it| it["event"]["id"].as_str().expect("an id").to_owned()).collect()
}

/// Takes a request for more; the allowance that is open then.
fn allow(open: &mut i64, request: &Json, is_first: bool) {
    let more = request["numRequested"].as_i64().expect("each asks for some");
    assert!(more > 0 && more <= WINDOW, "{request}");
    if !is_first {
        assert_eq!(request.as_object().map(|it| it.len()), Some(1), "nothing else: {request}");
    }
    *open += more;
    assert!(*open <= WINDOW, "{open} events are allowed at once");
}

#[tokio::test]
async fn salesforce_is_read_by_credit_and_goes_on_behind_its_replay_id() {
    let script = |mut talk: Talk, first: Json| async move {
        assert_eq!(first["topicName"], "/event/Order__e");
        let mut open = 0;
        allow(&mut open, &first, true);
        let mut next = match first["replayPreset"].as_str() {
            Some("EARLIEST") => 1,
            Some("CUSTOM") => number_of(first["replayId"].as_str().expect("an id")) + 1,
            other => panic!("{other:?}"),
        };
        let last = if talk.call < 2 { next + 150 } else { EVENTS };
        while next <= last.min(EVENTS) {
            while open == 0 {
                let Some(request) = talk.hear().await else { return };
                allow(&mut open, &request, false);
            }
            let count =
                (1 + next % 4).min(u64::try_from(open).expect("positive")).min(EVENTS + 1 - next);
            let events: Vec<Json> = (next..next + count).map(event).collect();
            next += count;
            open -= i64::try_from(count).expect("small");
            let latest = replay_id(next - 1);
            let mut answer = json!({ "events": events, "latestReplayId": latest });
            answer["pendingNumRequested"] = json!(open);
            if !talk.say(answer).await {
                return;
            }
        }
        if talk.call < 2 {
            return talk.restart().await;
        }
        talk.say(json!({ "latestReplayId": replay_id(EVENTS + 50) })).await;
        while talk.hear().await.is_some() {}
    };
    let method = method("salesforce.proto", "eventbus.v1.PubSub/Subscribe");
    let fake = Fake::converse(method, script).await;
    let keys = "request: { topic_name: /event/Order__e }";
    let text = file(&fake.url, "salesforce.proto", "salesforce-pubsub", keys);
    let all = usize::try_from(EVENTS).expect("small");
    let outcome =
        run_by(fake, &text, move |it| ids(it).len() > all / 2, move |it| ids(it).len() >= all)
            .await;
    let expected: Vec<String> = (1..=EVENTS).map(|number| format!("e-{number}")).collect();
    assert_eq!(ids(&outcome.committed), expected, "each once, in order");
    assert!(outcome.committed.iter().all(|it| it.get("events").is_some()), "no empty message");
    assert_eq!(outcome.resumability, Resumability::Exact);
    let presets: Vec<_> = outcome.requests.iter().map(|it| it["replayPreset"].clone()).collect();
    assert_eq!(presets[0], "EARLIEST");
    assert!(presets[1..].iter().all(|it| it == "CUSTOM"), "{presets:?}");
}

#[tokio::test]
async fn salesforce_moves_with_empty_messages_and_stops_where_its_replay_id_is_refused() {
    let script = |talk: Talk, first: Json| async move {
        match first["replayPreset"].as_str() {
            Some("EARLIEST") => {
                talk.say(json!({ "events": [event(1)], "latestReplayId": replay_id(1) })).await;
                talk.say(json!({ "latestReplayId": replay_id(40) })).await;
                talk.restart().await;
            }
            _ => {
                assert_eq!(number_of(first["replayId"].as_str().expect("an id")), 40);
                let mut trailers = MetadataMap::new();
                let code = "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.corrupted";
                trailers.insert("error-code", code.parse().expect("ASCII"));
                let status =
                    Status::with_metadata(Code::InvalidArgument, "replay id is broken", trailers);
                talk.fail(status).await;
            }
        }
    };
    let method = method("salesforce.proto", "eventbus.v1.PubSub/Subscribe");
    let fake = Fake::converse(method, script).await;
    let text =
        file(&fake.url, "salesforce.proto", "salesforce-pubsub", "request: { topic_name: t }");
    let (end, ended) = World::run(source(&text), None).end().await;
    assert!(broken(&end).contains("no longer has what follows the cursor"), "{end:?}");
    assert_eq!(ids(&messages(&fake.method.output(), &ended.batches)), ["e-1"]);
    assert_eq!(fake.requests().len(), 2);
}

// === Google ===

const MESSAGES: u64 = 300;

/// A subscription: what is out, and what is acknowledged.
#[derive(Default)]
struct Subscription {
    acked: Mutex<BTreeSet<u64>>,
    /// How often each message was delivered.
    delivered: Mutex<BTreeMap<u64, u32>>,
    /// How often more time was asked for.
    extended: Mutex<u32>,
}

impl Subscription {
    fn acked(&self) -> usize {
        self.acked.lock().expect("no panic").len()
    }

    /// Takes a request that is not the first.
    fn take(&self, request: &Json) {
        assert!(request.get("subscription").is_none(), "only the first names it: {request}");
        let list = |key: &str| request[key].as_array().cloned().unwrap_or_default();
        for id in list("ackIds") {
            let (_, number) = id.as_str().and_then(|id| id.split_once('.')).expect("an id of ours");
            self.acked.lock().expect("no panic").insert(number.parse().expect("a number"));
        }
        let (ids, seconds) = (list("modifyDeadlineAckIds"), list("modifyDeadlineSeconds"));
        assert_eq!(ids.len(), seconds.len(), "{request}");
        assert!(seconds.iter().all(|it| it == 60), "{request}");
        *self.extended.lock().expect("no panic") += u32::from(!ids.is_empty());
    }

    /// What of the backlog is not acknowledged, in lists of other lengths than before.
    fn lists(&self, call: usize) -> Vec<Json> {
        let acked = self.acked.lock().expect("no panic").clone();
        let open: Vec<u64> = (1..=MESSAGES).filter(|number| !acked.contains(number)).collect();
        let list = |numbers: &[u64]| {
            let message = |number: &u64| {
                *self.delivered.lock().expect("no panic").entry(*number).or_default() += 1;
                let message = json!({ "data": "AA==", "messageId": number.to_string() });
                json!({ "ackId": format!("{call}.{number}"), "message": message })
            };
            json!({ "receivedMessages": numbers.iter().map(message).collect::<Vec<Json>>() })
        };
        open.chunks(3 + call * 2).map(list).collect()
    }
}

fn message_ids(messages: &[Json]) -> BTreeMap<u64, u32> {
    let mut found = BTreeMap::new();
    for message in messages.iter().filter_map(|it| it["receivedMessages"].as_array()).flatten() {
        let id = message["message"]["messageId"].as_str().expect("an id");
        *found.entry(id.parse().expect("a number")).or_default() += 1;
    }
    found
}

#[tokio::test]
async fn google_pubsub_acknowledges_what_is_committed_and_loses_nothing() {
    let subscription = Arc::new(Subscription::default());
    let of_calls = subscription.clone();
    let script = move |mut talk: Talk, first: Json| {
        let subscription = of_calls.clone();
        async move {
            assert_eq!(first["subscription"], "projects/p/subscriptions/s");
            assert!(first["streamAckDeadlineSeconds"].as_i64().is_some_and(|it| it >= 10));
            let call = talk.call;
            for (count, list) in subscription.lists(call).into_iter().enumerate() {
                if call < 2 && count == 20 {
                    return talk.restart().await;
                }
                if !talk.say(list).await {
                    return;
                }
            }
            while let Some(request) = talk.hear().await {
                subscription.take(&request);
            }
        }
    };
    let method = method("google_pubsub.proto", "google.pubsub.v1.Subscriber/StreamingPull");
    let fake = Fake::converse(method, script).await;
    let keys = "request: { subscription: projects/p/subscriptions/s }";
    let text = file(&fake.url, "google_pubsub.proto", "google-pubsub", keys);
    let all = usize::try_from(MESSAGES).expect("small");
    let (of_first, of_all) = (subscription.clone(), subscription.clone());
    let outcome = run_by(
        fake,
        &text,
        move |it| message_ids(it).len() == all && of_first.acked() > 0,
        move |_| of_all.acked() == all,
    )
    .await;
    let found = message_ids(&outcome.committed);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (1..=MESSAGES).collect::<Vec<_>>());
    let delivered = subscription.delivered.lock().expect("no panic").clone();
    let is_bounded = |(number, times): (&u64, &u32)| *times <= delivered[number];
    assert!(found.iter().all(is_bounded), "nothing that was not delivered is written");
    assert!(found.values().any(|times| *times > 1), "at least once, and this is why it says so");
    assert_eq!(outcome.resumability, Resumability::Acknowledged { window: None });
}

#[tokio::test]
async fn google_pubsub_is_asked_for_more_time_while_the_sink_is_slow() {
    let subscription = Arc::new(Subscription::default());
    let of_calls = subscription.clone();
    let script = move |mut talk: Talk, _: Json| {
        let subscription = of_calls.clone();
        async move {
            for list in subscription.lists(talk.call) {
                talk.say(list).await;
            }
            while let Some(request) = talk.hear().await {
                subscription.take(&request);
            }
        }
    };
    let method = method("google_pubsub.proto", "google.pubsub.v1.Subscriber/StreamingPull");
    let fake = Fake::converse(method, script).await;
    let keys = "request: { subscription: projects/p/subscriptions/s }\n    \
                stream: { ack: { extend: { interval_ms: 100 } } }";
    let text = file(&fake.url, "google_pubsub.proto", "google-pubsub", keys);
    let world = World::run(source(&text), None);
    world.is_gate_open.store(false, SeqCst);
    until("more time was asked for, and again", || *subscription.extended.lock().expect("ok") > 1)
        .await;
    assert_eq!(subscription.acked(), 0, "nothing is committed");
    world.is_gate_open.store(true, SeqCst);
    until("all is acknowledged", || subscription.acked() as u64 == MESSAGES).await;
    world.stop().await;
}

// === gNMI ===

/// A value of a path, as a device tells it.
fn update(value: i64) -> Json {
    let update = json!({ "path": { "elem": [{ "name": "counter" }] }, "val": { "intVal": value } });
    json!({ "update": { "timestamp": "1", "update": [update] } })
}

#[tokio::test]
async fn gnmi_reads_state_and_changes_and_reports_what_a_lost_call_may_have_missed() {
    let script = |talk: Talk, first: Json| async move {
        assert_eq!(first["subscribe"]["subscription"][0]["path"]["elem"][0]["name"], "interfaces");
        let call = i64::try_from(talk.call).expect("small");
        talk.say(update(call * 100)).await;
        talk.say(json!({ "syncResponse": true })).await;
        talk.say(update(call * 100 + 1)).await;
        if call == 0 {
            return talk.restart().await;
        }
        let mut talk = talk;
        while talk.hear().await.is_some() {}
    };
    let fake = Fake::converse(method("gnmi.proto", "gnmi.gNMI/Subscribe"), script).await;
    let keys =
        "request: { subscribe: { subscription: [{ path: { elem: [{ name: interfaces }] } }] } }";
    let source = source(&file(&fake.url, "gnmi.proto", "gnmi", keys));
    assert_eq!(source.resumability(), Resumability::None);
    let world = World::run(source, None);
    until("both calls are committed", || {
        world.batches().iter().map(|batch| batch.len()).sum::<usize>() == 4
    })
    .await;
    let (_, ended) = world.stop().await;
    let told = messages(&fake.method.output(), &ended.batches);
    let value = |it: &Json| it["update"]["update"][0]["val"]["intVal"].clone();
    let values: Vec<Json> = told.iter().map(value).collect();
    let values: Vec<&str> = values.iter().filter_map(Json::as_str).collect();
    assert_eq!(values, ["0", "1", "100", "101"], "no sync_response among them");
    assert_eq!(ended.telemetry.shard("test", "s", "0").gaps.get(), 1);
}
