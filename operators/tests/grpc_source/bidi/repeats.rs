//! A repetition is acknowledged when what it repeats is durable, whoever handed that over.

use super::server::{Item, Ping, Response, Server, Talk};
use super::{follow, items, numbers, pipeline, source_of};
use crate::world::{World, until};
use headwater_operators::source::ShardEnd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use tokio::sync::Notify;

fn stream(scope: &str) -> String {
    format!(
        "request: {{ topic: news }}
    stream:
      reply: [{{ when: has(ping), send: {{ pong: {{ id: \"${{message.ping.id}}\" }} }} }}]
      ack: {{ field: ack_ids, from: \"items[0].ack_id\" }}
    resume: {{ mode: ack, dedupe: {{ key: \"items[0].number\", window: 100{scope} }} }}
    on_end: finish"
    )
}

async fn deliver(talk: &Talk, number: u64, ack_id: &str) {
    let item = Item { number, ack_id: ack_id.to_owned(), ..Item::default() };
    assert!(talk.say(&Response { items: vec![item], ..Response::default() }).await);
}

/// Hears twice that a message behind all before it was read: what was to be acknowledged by then
/// would have been.
async fn demand_no_ack(talk: &mut Talk) {
    for id in 1..=2 {
        let ping = Some(Ping { id, ..Ping::default() });
        assert!(talk.say(&Response { ping, ..Response::default() }).await);
        loop {
            let request = talk.hear().await.expect("an answer");
            assert!(request.ack_ids.is_empty(), "{:?} before its commit", request.ack_ids);
            if request.pong.is_some() {
                break;
            }
        }
    }
}

async fn demand_ack(talk: &mut Talk, ack_id: &str) {
    let request = talk.hear().await.expect("an ack");
    assert_eq!(request.ack_ids, [ack_id]);
}

/// What a test and its servers tell each other: each step is taken when the other side asks.
#[derive(Clone, Default)]
struct Steps {
    go: Arc<Notify>,
    is_repeated: Arc<AtomicBool>,
}

/// Repeats a message whose original is committed, and then one whose original is not.
async fn repeat(talk: &mut Talk, steps: &Steps) {
    deliver(talk, 1, "r1").await;
    demand_ack(talk, "r1").await;
    steps.is_repeated.store(true, SeqCst);
    steps.go.notified().await;
    steps.is_repeated.store(false, SeqCst);
    deliver(talk, 2, "r2").await;
    // A read of its own, without anything that is new.
    steps.go.notified().await;
    demand_no_ack(talk).await;
    steps.is_repeated.store(true, SeqCst);
    demand_ack(talk, "r2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_upstreams_the_one_that_repeats_waits_for_the_others_commit() {
    let (first_steps, steps) = (Steps::default(), Steps::default());
    let signal = first_steps.go.clone();
    let first = Server::start(move |mut talk| {
        let signal = signal.clone();
        async move {
            talk.hear().await;
            for (number, ack_id) in [(1, "a1"), (2, "a2")] {
                signal.notified().await;
                deliver(&talk, number, ack_id).await;
                demand_ack(&mut talk, ack_id).await;
            }
        }
    })
    .await;
    let of_calls = steps.clone();
    let second = Server::start(move |mut talk| {
        let steps = of_calls.clone();
        async move {
            talk.hear().await;
            steps.go.notified().await;
            repeat(&mut talk, &steps).await;
        }
    })
    .await;
    let text = pipeline("none", "Follow", &stream(", scope: upstreams"));
    let endpoints = format!("endpoints: [\"{}\", \"{}\"]", first.url(), second.url());
    let source = source_of(&text.replace("endpoint: none", &endpoints));
    let world = World::run_shards(source, 2, None);
    let received = world.telemetry.shard("test", "s", "0").received_messages;
    first_steps.go.notify_one();
    until("the first original is committed", || numbers(&world) == [1]).await;
    steps.go.notify_one();
    until("its repetition is acknowledged", || steps.is_repeated.load(SeqCst)).await;
    world.is_gate_open.store(false, SeqCst);
    first_steps.go.notify_one();
    until("the second original is handed over", || received.get() == 2).await;
    steps.go.notify_one();
    let dropped = world.telemetry.shard("test", "s", "1").duplicates_dropped;
    until("it is repeated", || dropped.get() == 2).await;
    steps.go.notify_one();
    until("nothing was acknowledged", || steps.is_repeated.load(SeqCst)).await;
    world.is_gate_open.store(true, SeqCst);
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    assert_eq!(items(values).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_begins_anew_relies_on_no_commit_before_it() {
    let steps = Steps::default();
    let of_calls = steps.clone();
    let server = Server::start(move |mut talk| {
        let steps = of_calls.clone();
        async move {
            talk.hear().await;
            if talk.call == 0 {
                deliver(&talk, 1, "a1").await;
                deliver(&talk, 2, "a2").await;
                return std::future::pending().await;
            }
            repeat(&mut talk, &steps).await;
        }
    })
    .await;
    let source = follow(&server.url(), &stream(""));
    let world = World::run(source.clone(), None);
    until("both are there", || numbers(&world) == [1, 2]).await;
    let place = world.batches().pop().expect("a batch").position.as_deref().cloned();
    drop(world);
    // Where a shard goes on that left and came back: what it had handed over may not be committed.
    let world = World::run(source, place);
    until("a repetition is acknowledged", || steps.is_repeated.load(SeqCst)).await;
    world.is_gate_open.store(false, SeqCst);
    steps.go.notify_one();
    let dropped = world.telemetry.shard("test", "s", "0").duplicates_dropped;
    until("it is repeated", || dropped.get() == 2).await;
    steps.go.notify_one();
    until("nothing was acknowledged", || steps.is_repeated.load(SeqCst)).await;
    world.is_gate_open.store(true, SeqCst);
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn repetitions_are_acknowledged_also_where_nothing_new_comes() {
    let server = Server::start(move |mut talk| async move {
        talk.hear().await;
        for ack_id in ["a", "b", "c", "d"] {
            deliver(&talk, 1, ack_id).await;
            demand_ack(&mut talk, ack_id).await;
        }
    })
    .await;
    let (end, finished) = World::run(follow(&server.url(), &stream("")), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    let metrics = finished.telemetry.shard("test", "s", "0");
    assert_eq!((metrics.duplicates_dropped.get(), metrics.acks.get()), (3, 4));
}
