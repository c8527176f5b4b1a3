//! Several upstreams of one feed: the first copy to arrive is passed on, and none is lost or
//! doubled whatever becomes of one of them.

use crate::server::{Server, Step, event, events};
use crate::world::{FAST, World, broken, pipeline, read, until};
use headwater_engine::ids::ShardIndex;
use headwater_engine::position::{CursorValue, Position};
use headwater_engine::record::Batch;
use headwater_operators::source::grpc::GrpcSource;
use headwater_operators::source::{Resumability, ShardEnd};
use headwater_proto::telemetry::Event;
use prost::Message;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use tonic::Status;

/// Numbers that ascend and are the key; each upstream has a cursor of its own.
const FEED: &str = r#"
    resume:
      cursor: { seq: { from: sequence } }
      position: next
      restart: { set: { from_sequence: "${cursor.seq}" } }
      sequence: monotone
      dedupe: { key: sequence, window: 10000, scope: upstreams }"#;

fn text(servers: &[&Server], keys: &str) -> String {
    let endpoints: Vec<String> = servers.iter().map(|server| server.url()).collect();
    let text = pipeline("none", &format!("{FAST}{keys}"));
    text.replace("endpoint: none", &format!("endpoints: [\"{}\"]", endpoints.join("\", \"")))
}

fn source(servers: &[&Server], keys: &str) -> Arc<GrpcSource> {
    match read(&text(servers, keys), Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok((source, _)) => source,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

fn run(servers: &[&Server]) -> World {
    let starts = vec![None; servers.len()];
    World::run_from(source(servers, &format!("{FEED}\n    on_end: finish")), starts)
}

fn sorted(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    values
}

/// A position says that its upstream's messages are done: each must be in a batch before it, or in
/// the same one.
fn demand_no_position_ahead_of_a_copy(batches: &[Batch]) {
    let mut passed_on = HashSet::new();
    for batch in batches {
        let decode = |value: &[u8]| Event::decode(value).expect("what was sent").sequence;
        passed_on.extend(batch.values.iter().map(decode));
        let cursor = batch.position.as_ref().and_then(|position| position.cursor.as_ref());
        let Some(CursorValue::Uint(done)) = cursor.and_then(|it| it.values.get("seq")) else {
            panic!("a batch has a position")
        };
        let ahead: Vec<u64> = (1..=*done).filter(|value| !passed_on.contains(value)).collect();
        assert!(ahead.is_empty(), "shard {} is done with {ahead:?}", batch.shard);
    }
}

/// The last position of each upstream.
fn positions(batches: &[Batch], count: u32) -> Vec<Option<Position>> {
    let mut last: BTreeMap<ShardIndex, Position> = BTreeMap::new();
    for batch in batches {
        let position = batch.position.as_deref().expect("a batch has a position");
        last.insert(batch.shard, position.clone());
    }
    (0..count).map(|index| last.get(&ShardIndex(index)).cloned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_copies_the_first_to_arrive_is_passed_on_whoever_brings_it() {
    let script = |_: usize, _: &_| events(1, 5_000);
    let (a, b, c) =
        (Server::start(script).await, Server::start(script).await, Server::start(script).await);
    let (end, finished) = run(&[&a, &b, &c]).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(sorted(finished.values()), (1..=5_000).collect::<Vec<_>>());
    demand_no_position_ahead_of_a_copy(&finished.batches);
    let received: u64 = (0..3)
        .map(|shard: u32| {
            let metrics = finished.telemetry.shard("test", "s", &shard.to_string());
            metrics.received_messages.get()
        })
        .sum();
    assert_eq!(received, 15_000, "each upstream brought all of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_upstream_is_cut_again_and_again_the_other_misses_nothing() {
    let cut = Server::start(|call, request| {
        let first = request.from_sequence.max(1);
        let mut steps = events(first, (first + 99).min(2_000));
        if first + 99 < 2_000 {
            steps.push(if call % 2 == 0 { Step::Cut } else { Step::Fail(Status::unavailable("")) });
        }
        steps
    })
    .await;
    let steady = Server::start(|_, _| events(1, 2_000)).await;
    let (end, finished) = run(&[&cut, &steady]).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(sorted(finished.values()), (1..=2_000).collect::<Vec<_>>());
    assert!(cut.calls() > 5, "it was cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_upstream_leaves_out_comes_from_the_other() {
    let holed =
        Server::start(|_, _| [events(1, 100), events(151, 300)].into_iter().flatten().collect());
    let late = Server::start(|_, _| events(1, 300));
    let (holed, late) = (holed.await, late.await);
    let (_, finished) = run(&[&holed, &late]).end().await;
    assert_eq!(sorted(finished.values()), (1..=300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_cannot_go_on_leaves_the_feed_to_the_other() {
    let refusing = Server::start(|_, _| {
        vec![Step::Send(event(1)), Step::Fail(Status::permission_denied("no"))]
    });
    let steady = Server::start(|_, _| {
        let mut steps = events(1, 500);
        steps.push(Step::Hang);
        steps
    });
    let (refusing, steady) = (refusing.await, steady.await);
    let world = run(&[&refusing, &steady]);
    world.committed(500).await;
    until("one of them has ended", || world.ended() == 1).await;
    let (end, finished) = world.stop().await;
    assert!(broken(&end).contains("PERMISSION_DENIED"));
    assert_eq!(sorted(finished.values()), (1..=500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_knows_what_either_upstream_had_passed_on() {
    let fast = Server::start(|_, request| {
        let mut steps = events(request.from_sequence.max(1), 800);
        steps.push(Step::Hang);
        steps
    })
    .await;
    // It brings a part, and stays behind.
    let slow = Server::start(|call, request| {
        let first = request.from_sequence.max(1);
        let mut steps = events(first, if call == 0 { 300 } else { 900 });
        steps.push(Step::Hang);
        steps
    })
    .await;
    let source = source(&[&fast, &slow], FEED);
    let world = World::run_from(source.clone(), vec![None, None]);
    world.committed(800).await;
    until("the slow one stands", || {
        let metrics = world.telemetry.shard("test", "s", "1");
        metrics.received_messages.get() == 300
    })
    .await;
    let (_, finished) = world.stop().await;
    assert_eq!(sorted(finished.values()), (1..=800).collect::<Vec<_>>());
    let starts = positions(&finished.batches, 2);
    let passed_on = |start: &Option<Position>| {
        let seen = start.as_ref().and_then(|start| start.seen.as_ref());
        seen.map_or(0, |seen| seen.0.iter().map(|piece| piece.len()).sum::<usize>())
    };
    assert_eq!(starts.iter().map(passed_on).sum::<usize>(), 800, "each writes its own");
    // The slow one goes on behind its own place, and repeats what the fast one had passed on.
    let world = World::run_from(source, starts);
    world.committed(100).await;
    let (_, finished) = world.stop().await;
    assert_eq!(sorted(finished.values()), (801..=900).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_lets_no_position_pass_the_copy_it_relies_on() {
    let script = |_: usize, _: &_| {
        let large = |mut event: Event| {
            event.payload = vec![7; 2_000];
            Step::Send(event)
        };
        (1..=3_000).map(|sequence| large(event(sequence))).collect()
    };
    let (a, b) = (Server::start(script).await, Server::start(script).await);
    let world = run(&[&a, &b]);
    world.hold_until_a_reader_waits().await;
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(sorted(finished.values()), (1..=3_000).collect::<Vec<_>>());
    demand_no_position_ahead_of_a_copy(&finished.batches);
}

/// What the weakened guarantee says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_further_behind_than_the_window_brings_second_copies() {
    let fast = Server::start(|_, _| events(1, 3_000)).await;
    let slow = Server::start(|_, _| {
        let mut steps = vec![Step::Await { sent: 1 }];
        steps.extend(events(1, 3_000));
        steps
    })
    .await;
    let narrow = FEED.replace("window: 10000", "window: 100");
    let source = source(&[&fast, &slow], &format!("{narrow}\n    on_end: finish"));
    let world = World::run_from(source, vec![None, None]);
    world.committed(3_000).await;
    slow.seen.sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let (_, finished) = world.end().await;
    let values = sorted(finished.values());
    let mut different = values.clone();
    different.dedup();
    assert_eq!(different, (1..=3_000).collect::<Vec<_>>(), "nothing is lost");
    assert!(values.len() > 5_000, "{}", values.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_upstreams_promise_and_what_does_not_go_with_them() {
    let server = Server::start(|_, _| Vec::new()).await;
    let source = source(&[&server, &server_named(&server)], FEED);
    let weakened = source.resumability();
    assert!(matches!(weakened, Resumability::Weakened { field: "resume.dedupe.window", .. }));
    let shown = source.describe();
    assert!(shown.iter().any(|(_, text)| text.contains("the first to arrive is passed on")));
    let told = |keys: &str| {
        let text = pipeline(&server.url(), &format!("{FAST}{keys}"));
        let read = read(&text, Path::new(env!("CARGO_MANIFEST_DIR")));
        read.err().map(|it| it.to_string()).unwrap_or_default()
    };
    assert!(told(FEED).contains("one endpoint is no several upstreams"));
    let grouped = format!("{FEED}\n      boundary: change");
    assert!(told(&grouped).contains("groups do not go with `dedupe.scope: upstreams`"));
}

/// The same server under another name of the host.
fn server_named(server: &Server) -> Server {
    Server { address: ([127, 0, 0, 2], server.address.port()).into(), seen: server.seen.clone() }
}
