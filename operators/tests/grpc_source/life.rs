//! How long calls live: silent ones are given up, long ones are replaced, and nothing is lost or
//! repeated by either.

use crate::server::{Options, RELEASED, Server, Step, event, events};
use crate::world::{FAST, RESUME, World, source, until};
use headwater_operators::source::ShardEnd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tonic::Status;

/// Any wait between two calls would be longer than a test has patience.
const NO_WAIT: &str = "reconnect: { backoff_min_ms: 600000, backoff_max_ms: 600000 }";

fn then(mut steps: Vec<Step>, last: Step) -> Vec<Step> {
    steps.push(last);
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_open_and_silent_is_given_up_counted_and_resumed() {
    let server = Server::start(|call, request| match call {
        0 => then(events(1, 5), Step::Hang),
        // Not even the answer's beginning.
        1 => vec![Step::Withhold, Step::Hang],
        _ => then(events(request.from_sequence, 10), Step::Hang),
    })
    .await;
    let keys = format!("{FAST}\n    idle_timeout_ms: 1000{RESUME}");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(10).await;
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    assert_eq!(finished.values(), (1..=10).collect::<Vec<_>>());
    assert_eq!(finished.telemetry.shard("test", "s", "0").idle_timeouts.get(), 2);
    let from: Vec<u64> = server.requests().iter().map(|request| request.from_sequence).collect();
    assert_eq!(from[..3], [0, 6, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_waits_for_the_sink_is_not_silent() {
    let server = Server::start(|_, _| {
        let large = |sequence| {
            let mut event = event(sequence);
            event.payload = vec![7; 1_000];
            Step::Send(event)
        };
        then((1..=5_000).map(large).collect(), Step::Hang)
    })
    .await;
    let keys = format!("{FAST}\n    idle_timeout_ms: 1000{RESUME}");
    let world = World::run(source(&server.url(), &keys), None);
    world.is_gate_open.store(false, Ordering::SeqCst);
    until("a reader waits for credit", || world.credit_waits() > 0).await;
    let waited = Instant::now();
    until("it would have counted as silent", || waited.elapsed() > Duration::from_millis(1_500))
        .await;
    assert_eq!(server.calls(), 1);
    world.is_gate_open.store(true, Ordering::SeqCst);
    until("it is counted again", || server.calls() >= 2).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=5_000).collect::<Vec<_>>(), "it was read to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_told_to_the_server_and_kept_without_it() {
    let server = Server::start(|_, request| {
        let from = request.from_sequence.max(1);
        then(events(from, from + 4), Step::Hang)
    })
    .await;
    let keys = format!("{FAST}\n    call: {{ deadline_ms: 1000 }}{RESUME}");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(10).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values()[..10], (1..=10).collect::<Vec<_>>());
    let requests = server.seen.requests.lock().expect("no panic while locked");
    let timeout = requests[0].1.get("grpc-timeout").expect("sent").to_str().expect("ASCII");
    assert!(timeout.starts_with("1000"), "{timeout}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_end_opens_the_next_call_at_once_and_is_no_failure() {
    let server = Server::start(|_, request| {
        let from = request.from_sequence.max(1);
        then(events(from, from + 9), Step::Hang)
    })
    .await;
    let keys = format!("{NO_WAIT}\n    call: {{ reopen_after_ms: 1000 }}{RESUME}");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(30).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values()[..30], (1..=30).collect::<Vec<_>>());
    let counters = finished.position().counters;
    assert_eq!((counters.gaps, counters.dropped_duplicates), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_never_pauses_is_replaced_between_two_messages() {
    let server =
        Server::start(|_, request| vec![Step::Stream { from: request.from_sequence.max(1) }]).await;
    let keys = format!("{NO_WAIT}\n    call: {{ reopen_after_ms: 1000 }}{RESUME}");
    let world = World::run(source(&server.url(), &keys), None);
    until("it is replaced twice", || server.calls() >= 3).await;
    let (_, finished) = world.stop().await;
    let values = finished.values();
    assert_eq!(values, (1..=values.len() as u64).collect::<Vec<_>>());
    assert_eq!(finished.position().counters.gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_takes_longer_than_calls_are_to_last_comes_whole() {
    let server = Server::start(|_, request| {
        let mut steps = Vec::new();
        for value in request.from_sequence.max(1)..=2 {
            for _ in 0..3 {
                steps.push(Step::Send(event(value)));
                steps.push(Step::Pause(Duration::from_millis(700)));
            }
        }
        steps.extend([Step::Send(event(3)), Step::Hang]);
        steps
    })
    .await;
    let keys = format!(
        r#"{NO_WAIT}
    call: {{ reopen_after_ms: 1000 }}
    resume:
      cursor: {{ seq: {{ from: sequence }} }}
      position: next
      sequence: monotone
      boundary: change
      restart: {{ set: {{ from_sequence: "${{cursor.seq}}" }} }}"#
    );
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(6).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), [1, 1, 1, 2, 2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_whom_the_server_disconnects_loses_and_repeats_nothing() {
    // The server gives a client that does not keep up a while, then a status, then a cut.
    let server = Server::start_as(Options::default(), |call, request| {
        let from = request.from_sequence.max(1);
        let some = events(from, from + 19_999);
        match call {
            0 => then(
                then(some, Step::Await { sent: RELEASED }),
                Step::Fail(Status::resource_exhausted("slow consumer")),
            ),
            1 => then(then(some, Step::Await { sent: RELEASED }), Step::Cut),
            _ => then(some, Step::Hang),
        }
    })
    .await;
    let world = World::run(source(&server.url(), &format!("{FAST}{RESUME}")), None);
    world.hold_until_a_reader_waits().await;
    server.release();
    until("it was disconnected twice", || server.calls() >= 3).await;
    world.committed(20_000).await;
    let (_, finished) = world.stop().await;
    let values = finished.values();
    assert_eq!(values, (1..=values.len() as u64).collect::<Vec<_>>());
}
