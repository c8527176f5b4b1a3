//! A real etcd, watched: killed, restarted and compacted, with messages cut into fragments.

use crate::fake::{Fake, Talk, method};
use crate::rig::{file, messages, number, source};
use crate::world::{World, broken, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_engine::position::{CursorValue, Position};
use headwater_operators::source::Resumability;
use headwater_operators::source::grpc::GrpcSource;
use headwater_test_support::etcd::Etcd;
use serde_json::Value as Json;
use std::sync::Arc;

/// Does what blocks on a thread that may.
async fn block<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// What is done to etcd, which is handed back.
async fn with(etcd: Etcd, work: impl FnOnce(&mut Etcd) + Send + 'static) -> Etcd {
    block(move || {
        let mut etcd = etcd;
        work(&mut etcd);
        etcd
    })
    .await
}

async fn start() -> Option<Etcd> {
    block(|| Etcd::start().expect("etcd starts")).await
}

/// Watches all keys that begin with `k/`.
fn watch(etcd: &Etcd, more: &str) -> Arc<GrpcSource> {
    let [key, end] = ["k/", "k0"].map(|text| STANDARD.encode(text));
    let keys = format!("request: {{ create_request: {{ key: {key}, range_end: {end} }} }}{more}");
    source(&file(&etcd.url(), "etcd.proto", "etcd-watch", &keys))
}

fn told(batches: &[headwater_engine::record::Batch]) -> Vec<Json> {
    messages(&method("etcd.proto", "etcdserverpb.Watch/Watch").output(), batches)
}

/// Revision, kind and key of each event.
fn events(batches: &[headwater_engine::record::Batch]) -> Vec<(u64, bool, String)> {
    let all = told(batches).into_iter().flat_map(|it| it["events"].as_array().cloned());
    let event = |it: Json| {
        let key = STANDARD.decode(it["kv"]["key"].as_str().expect("a key")).expect("base64");
        let revision = number(&it, &["kv", "modRevision"]).expect("a revision");
        (revision, it["type"] == "DELETE", String::from_utf8(key).expect("text"))
    };
    all.flatten().map(event).collect()
}

async fn committed(world: &World, count: usize) {
    until("the events are committed", || events(&world.batches()).len() >= count).await;
}

/// Behind the last event that is committed.
fn last(world: &World) -> Option<Position> {
    world.batches().last().and_then(|batch| batch.position.as_deref().cloned())
}

fn revision(position: &Position) -> i64 {
    match position.cursor.as_ref().and_then(|cursor| cursor.values.get("revision")) {
        Some(CursorValue::Int(revision)) => *revision,
        other => panic!("no revision: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_over_restarts_of_etcd_and_of_the_process() {
    let Some(mut etcd) = start().await else { return };
    let source = watch(&etcd, "");
    assert_eq!(source.resumability(), Resumability::Exact);
    let world = World::run(source.clone(), None);
    let opened = world.telemetry.shard("test", "s", "0").heartbeats;
    until("the watch is created", || opened.get() > 0).await;
    etcd = with(etcd, |etcd| {
        for number in 0..20 {
            etcd.put(&format!("k/{number:02}"), b"v").expect("put");
            etcd.put("other", b"v").expect("put");
        }
        let together: Vec<String> = (0..10).map(|number| format!("k/t{number}")).collect();
        etcd.put_all(&together, b"v").expect("transaction");
        etcd.delete("k/00").expect("delete");
    })
    .await;
    committed(&world, 31).await;
    etcd = with(etcd, |etcd| {
        etcd.kill9().expect("killed");
        etcd.restart().expect("restarted");
        for number in 20..40 {
            etcd.put(&format!("k/{number:02}"), b"v").expect("put");
        }
    })
    .await;
    committed(&world, 51).await;
    let position = last(&world);
    let mut all = events(&world.batches());
    world.stop().await;
    etcd = with(etcd, |etcd| {
        for number in 40..60 {
            etcd.put(&format!("k/{number:02}"), b"v").expect("put");
        }
    })
    .await;
    let world = World::run(source, position);
    committed(&world, 20).await;
    all.extend(events(&world.batches()));
    let (_, ended) = world.stop().await;
    assert_eq!(ended.telemetry.shard("test", "s", "0").gaps.get(), 0);
    let keys: Vec<&str> = all.iter().map(|it| it.2.as_str()).collect();
    let mut expected: Vec<String> = (0..20).map(|number| format!("k/{number:02}")).collect();
    expected.extend((0..10).map(|number| format!("k/t{number}")));
    expected.push("k/00".to_owned());
    expected.extend((20..60).map(|number| format!("k/{number:02}")));
    assert_eq!(keys, expected, "each once, in order");
    assert!(all.is_sorted_by_key(|it| it.0), "{all:?}");
    assert_eq!(all.iter().filter(|it| it.1).count(), 1);
    assert!(told(&ended.batches).iter().all(|it| it.get("events").is_some()), "no empty message");
    drop(etcd);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_into_fragments_is_committed_together() {
    let Some(mut etcd) = start().await else { return };
    const KEYS: usize = 200;
    // One revision that is too large for a message, after many that are sent in one.
    etcd = with(etcd, |etcd| {
        for number in 0..KEYS {
            etcd.put(&format!("k/{number:03}"), &[7; 60_000]).expect("put");
        }
    })
    .await;
    let source =
        watch(&etcd, "\n    resume: { start: { set: { create_request: { start_revision: 1 } } } }");
    let mut all = Vec::new();
    let mut fragments = 0;
    let mut position = None;
    // Each process is stopped as soon as it has committed something.
    while all.len() < KEYS {
        // A server gives all it has in one message, in fragments, and that is held back whole.
        let world = World::run_within(64 << 20, source.clone(), vec![position.clone()]);
        until("something is committed", || !events(&world.batches()).is_empty()).await;
        let (_, ended) = world.stop().await;
        for batch in &ended.batches {
            let messages = told(std::slice::from_ref(batch));
            fragments += messages.iter().filter(|it| it["fragment"] == true).count();
            let ends = messages.last().is_none_or(|it| it.get("fragment").is_none());
            assert!(ends, "a batch ends in the middle of a message");
        }
        position = ended.batches.last().and_then(|batch| batch.position.as_deref().cloned());
        all.extend(events(&ended.batches));
    }
    assert!(fragments > 2, "{fragments} fragments");
    let keys: Vec<String> = all.into_iter().map(|it| it.2).collect();
    let expected: Vec<String> = (0..KEYS).map(|number| format!("k/{number:03}")).collect();
    assert_eq!(keys, expected, "each once, in order");
    drop(etcd);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compacted_stops_the_watch_or_is_a_gap() {
    let Some(mut etcd) = start().await else { return };
    let world = World::run(watch(&etcd, ""), None);
    let opened = world.telemetry.shard("test", "s", "0").heartbeats;
    until("the watch is created", || opened.get() > 0).await;
    etcd = with(etcd, |etcd| {
        etcd.put("k/a", b"1").expect("put");
    })
    .await;
    committed(&world, 1).await;
    let (_, ended) = world.stop().await;
    let position = ended.position();
    etcd = with(etcd, |etcd| {
        etcd.put("k/a", b"2").expect("put");
        etcd.put("k/a", b"3").expect("put");
        let last = etcd.put("k/a", b"4").expect("put");
        etcd.compact(last).expect("compacted");
    })
    .await;
    let (end, ended) = World::run(watch(&etcd, ""), Some(position.clone())).end().await;
    assert!(broken(&end).contains("no longer has what follows the cursor"), "{end:?}");
    assert!(ended.batches.is_empty(), "nothing is passed on");
    let more = "\n    resume: { expired: { action: { from: compact_revision } } }";
    let world = World::run(watch(&etcd, more), Some(position.clone()));
    committed(&world, 1).await;
    let (_, ended) = world.stop().await;
    let all = events(&ended.batches);
    let behind = u64::try_from(revision(&position)).expect("positive") + 3;
    assert_eq!(all, [(behind, false, "k/a".to_owned())], "what is left");
    assert_eq!(ended.telemetry.shard("test", "s", "0").gaps.get(), 1);
    drop(etcd);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_quiet_keys_stays_ahead_of_compaction() {
    let Some(mut etcd) = start().await else { return };
    let world = World::run(watch(&etcd, ""), None);
    let opened = world.telemetry.shard("test", "s", "0").heartbeats;
    until("the watch is created", || opened.get() > 0).await;
    etcd = with(etcd, |etcd| {
        etcd.put("k/a", b"1").expect("put");
    })
    .await;
    committed(&world, 1).await;
    let first = revision(&last(&world).expect("a position"));
    let newest = {
        let (handed, newest) = block(move || {
            let mut newest = 0;
            for _ in 0..50 {
                newest = etcd.put("other", b"v").expect("put");
            }
            (etcd, newest)
        })
        .await;
        etcd = handed;
        newest
    };
    until("a notification has moved the place", || {
        revision(&last(&world).expect("a position")) >= newest
    })
    .await;
    let (_, ended) = world.stop().await;
    let position = ended.position();
    assert!(revision(&position) > first);
    etcd = with(etcd, move |etcd| {
        etcd.compact(newest).expect("compacted");
        etcd.put("k/b", b"1").expect("put");
    })
    .await;
    let world = World::run(watch(&etcd, ""), Some(position));
    committed(&world, 1).await;
    let (_, ended) = world.stop().await;
    let keys: Vec<String> = events(&ended.batches).into_iter().map(|it| it.2).collect();
    assert_eq!(keys, ["k/b"]);
    assert_eq!(ended.telemetry.shard("test", "s", "0").gaps.get(), 0, "and nothing is missing");
    drop(etcd);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_canceled_for_another_reason_stops_the_shard() {
    let Some(etcd) = start().await else { return };
    // The end of the range lies before its beginning.
    let [key, end] = ["k/", "a"].map(|text| STANDARD.encode(text));
    let keys = format!("request: {{ create_request: {{ key: {key}, range_end: {end} }} }}");
    let source = source(&file(&etcd.url(), "etcd.proto", "etcd-watch", &keys));
    let (end, ended) = World::run(source, None).end().await;
    assert!(broken(&end).contains("lost"), "{end:?}");
    assert!(ended.batches.is_empty());
}

/// A member that has lost its leader ends only the calls that ask it to.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_leader_is_left_for_another_call() {
    let script = |mut talk: Talk, _: Json| async move {
        if talk.call == 0 {
            return talk.fail(tonic::Status::unavailable("etcdserver: no leader")).await;
        }
        talk.say(serde_json::json!({ "header": { "revision": 4 }, "created": true })).await;
        while talk.hear().await.is_some() {}
    };
    let fake = Fake::converse(method("etcd.proto", "etcdserverpb.Watch/Watch"), script).await;
    let keys = "metadata: { x-team: orders }";
    let world = World::run(source(&file(&fake.url, "etcd.proto", "etcd-watch", keys)), None);
    let opened = world.telemetry.shard("test", "s", "0").heartbeats;
    until("the watch is created", || opened.get() > 0).await;
    world.stop().await;
    let metadata = fake.metadata.lock().expect("no panic while locked").clone();
    assert_eq!(metadata.len(), 2);
    assert!(metadata.iter().all(|it| it["hasleader"] == "true" && it["x-team"] == "orders"));
}
