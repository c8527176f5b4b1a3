//! A reader that waits for room waits for something that comes: a call that ends meanwhile is
//! followed by another one.

use super::calls::RESUME;
use super::follow;
use super::replies::{REPLY, ping};
use super::server::{Item, Response, Server, Talk};
use crate::world::{World, broken, until};
use headwater_operators::source::ShardEnd;
use headwater_operators::source::grpc::GrpcSource;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// As many as one shard may have received and not acknowledged.
const IDS_MAX: usize = 100_000;

/// Room for all of them in the dataflow.
const CREDIT_BYTES: u64 = 256 << 20;

/// Pings on its first call as long as it can, and takes no answer; ends the others.
async fn deaf(talk: &mut Talk, is_stuck: &AtomicBool) {
    talk.hear().await;
    if talk.call > 0 {
        talk.items([1]).await;
        return;
    }
    let mut response = ping(1);
    response.ping.as_mut().expect("a ping").note = "x".repeat(4096);
    for _ in 0..20_000 {
        let said = tokio::time::timeout(Duration::from_secs(1), talk.say(&response)).await;
        if said.is_err() {
            is_stuck.store(true, SeqCst);
            std::future::pending::<()>().await;
        }
    }
    panic!("it was never stopped");
}

async fn deaf_server(age: Option<Duration>) -> (Server, Arc<AtomicBool>) {
    let is_stuck = Arc::new(AtomicBool::new(false));
    let of_calls = is_stuck.clone();
    let script = move |mut talk: Talk| {
        let is_stuck = of_calls.clone();
        async move { deaf(&mut talk, &is_stuck).await }
    };
    let server = Server::start_as(script, |_| false, age).await;
    (server, is_stuck)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_while_answers_wait_is_followed_by_another() {
    let (server, is_stuck) = deaf_server(None).await;
    let world = World::run(follow(&server.url(), REPLY), None);
    until("the reader waits until answers are taken", || is_stuck.load(SeqCst)).await;
    server.cut();
    let (end, _) = world.end().await;
    assert_eq!((end, server.calls()), (ShardEnd::Finished, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_answer_for_too_long_is_given_up() {
    let (server, is_stuck) = deaf_server(None).await;
    let keys = format!("{REPLY}\n    idle_timeout_ms: 3000");
    let world = World::run(follow(&server.url(), &keys), None);
    until("the reader waits until answers are taken", || is_stuck.load(SeqCst)).await;
    let (end, finished) = world.end().await;
    assert_eq!((end, server.calls()), (ShardEnd::Finished, 2));
    assert_eq!(finished.telemetry.shard("test", "s", "0").idle_timeouts.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_replaced_as_planned_also_while_answers_wait() {
    let (server, _) = deaf_server(None).await;
    let keys = format!("{REPLY}\n    call: {{ reopen_after_ms: 1500 }}{RESUME}");
    let (end, _) = World::run(follow(&server.url(), &keys), None).end().await;
    assert_eq!((end, server.calls()), (ShardEnd::Finished, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sends_its_clients_away_is_left_also_while_answers_wait() {
    let (server, _) = deaf_server(Some(Duration::from_millis(1500))).await;
    let keys = format!("{}{RESUME}", REPLY.replace("on_end: finish", "on_end: reconnect"));
    let world = World::run(follow(&server.url(), &keys), None);
    until("it is called again", || server.calls() >= 2).await;
    world.stop().await;
}

fn thousand(from: usize) -> Response {
    let item = |id: usize| Item { number: 7, ack_id: format!("{id}"), ..Item::default() };
    Response { items: (from..from + 1000).map(item).collect(), ..Response::default() }
}

/// Sends so many identifiers, a thousand in each response, all of one number.
async fn many(mut talk: Talk, count: usize) {
    talk.hear().await;
    if talk.call > 0 {
        talk.items([8]).await;
        return;
    }
    for from in (0..count).step_by(1000) {
        if !talk.say(&thousand(from)).await {
            return;
        }
    }
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn identifiers_that_are_long_stop_the_reader_by_their_bytes() {
    const COUNT: usize = 60;
    let is_stuck = Arc::new(AtomicBool::new(false));
    let of_calls = is_stuck.clone();
    let server = Server::start(move |mut talk| {
        let is_stuck = of_calls.clone();
        async move {
            talk.hear().await;
            let mut acked = 0;
            for number in 0..COUNT {
                let ack_id = "i".repeat(1 << 20);
                let item = Item { number: number as u64, ack_id, ..Item::default() };
                let response = Response { items: vec![item], ..Response::default() };
                let patience = Duration::from_secs(1);
                while tokio::time::timeout(patience, talk.say(&response)).await.is_err() {
                    is_stuck.store(true, SeqCst);
                    // It goes on once there is room.
                    acked += talk.hear().await.expect("an ack").ack_ids.len();
                }
            }
            assert!(is_stuck.load(SeqCst), "it was never stopped");
            while acked < COUNT {
                acked += talk.hear().await.expect("an ack of each").ack_ids.len();
            }
        }
    })
    .await;
    let keys = "request: { topic: news }
    stream: { ack: { field: ack_ids, from: \"items[].ack_id\" } }
    on_end: finish";
    let world = run(follow(&server.url(), keys));
    world.is_gate_open.store(false, SeqCst);
    until("the server is stopped", || is_stuck.load(SeqCst)).await;
    world.is_gate_open.store(true, SeqCst);
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
}

fn run(source: Arc<GrpcSource>) -> World {
    World::run_within(CREDIT_BYTES, source, vec![None])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_while_commits_are_waited_for_is_followed_by_another() {
    let server = Server::start(|talk| many(talk, 3 * IDS_MAX)).await;
    let keys = "request: { topic: news }
    stream: { ack: { field: ack_ids, from: \"items[].ack_id\" } }
    on_end: finish";
    let world = run(follow(&server.url(), keys));
    world.is_gate_open.store(false, SeqCst);
    let received = world.telemetry.shard("test", "s", "0").received_messages;
    until("so many are read", || received.get() >= IDS_MAX as u64 / 1000).await;
    assert_eq!(server.calls(), 1);
    server.cut();
    until("the server has no call", || server.open() == 0).await;
    world.is_gate_open.store(true, SeqCst);
    let (end, _) = world.end().await;
    assert_eq!((end, server.calls()), (ShardEnd::Finished, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_more_than_may_be_unacknowledged_stops_the_shard_with_its_reason() {
    let server = Server::start(|talk| many(talk, 2 * IDS_MAX)).await;
    let keys = r#"request: { topic: news }
    stream: { ack: { field: ack_ids, from: "items[].ack_id" } }
    resume:
      cursor: { number: { from: "items[-1].number" } }
      position: next
      restart: { set: { from: "${cursor.number}" } }
      sequence: monotone
      boundary: change"#;
    let (end, _) = run(follow(&server.url(), keys)).end().await;
    assert!(broken(&end).contains("stream.ack"), "{end:?}");
}
