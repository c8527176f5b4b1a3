//! Streams that are cut, end, repeat, skip or are refused.

use crate::server::{Server, Step, event, events};
use crate::world::{FAST, RESUME, World, broken, source};
use headwater_engine::ids::Session;
use headwater_operators::source::{Resumability, ShardEnd};
use std::net::TcpListener;
use tonic::Status;

fn then(mut steps: Vec<Step>, last: Step) -> Vec<Step> {
    steps.push(last);
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_stream_resumes_after_its_cursor() {
    let server = Server::start(|call, request| {
        let from = request.from_sequence.max(1);
        match call {
            0..4 => then(events(from, from + 49), Step::Cut),
            _ => then(events(from, 500), Step::Hang),
        }
    })
    .await;
    let world = World::run(source(&server.url(), &format!("{FAST}{RESUME}")), None);
    world.committed(500).await;
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    assert_eq!(finished.values(), (1..=500).collect::<Vec<_>>());
    assert_eq!(finished.position().session, Session(5));
    assert_eq!(finished.position().counters.gaps, 0);
    assert_eq!(server.calls(), 5);
    // A cut may take everything of a call with it; what came over any call is counted from 0.
    let mut calls = finished.batches.clone();
    calls.dedup_by_key(|batch| batch.session);
    assert!(calls.iter().all(|batch| batch.first.0 == 0), "each call counts from 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_from_the_committed_position() {
    let script = |_: usize, request: &headwater_proto::telemetry::SubscribeRequest| {
        let from = request.from_sequence.max(1);
        then(events(from, from + 9), Step::Hang)
    };
    let server = Server::start(script).await;
    let keys = format!("{FAST}{RESUME}");
    let first = World::run(source(&server.url(), &keys), None);
    first.committed(10).await;
    let (_, first) = first.stop().await;
    let second = World::run(source(&server.url(), &keys), Some(first.position()));
    second.committed(10).await;
    let (_, second) = second.stop().await;
    assert_eq!(second.values(), (11..=20).collect::<Vec<_>>());
    let position = second.position();
    assert_eq!(position.session, Session(2));
    assert_eq!(position.counters.received, 20, "counters go on");
    assert_eq!(server.requests()[1].from_sequence, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inclusive_cursors_overlap_is_dropped_exactly() {
    // Three messages share each value; the server begins at the value it is given.
    let server = Server::start(|call, request| {
        let from = request.from_sequence.max(1);
        let all = (from..=40).flat_map(|value| (0..3).map(move |_| Step::Send(event(value))));
        match call {
            0..3 => then(all.take(25).collect(), Step::Fail(Status::unavailable("restart"))),
            _ => then(all.collect(), Step::Hang),
        }
    })
    .await;
    let keys = format!(
        r#"{FAST}
    resume:
      cursor: {{ seq: {{ from: sequence }} }}
      position: at
      restart: {{ set: {{ from_sequence: "${{cursor.seq}}" }} }}"#
    );
    let source = source(&server.url(), &keys);
    assert!(matches!(source.resumability(), Resumability::Weakened { field: "resume.id", .. }));
    let world = World::run(source, None);
    world.committed(120).await;
    let (_, finished) = world.stop().await;
    let expected: Vec<u64> = (1..=40).flat_map(|value| [value; 3]).collect();
    assert_eq!(finished.values(), expected);
    assert!(finished.position().counters.dropped_duplicates >= 3);
    let dropped = finished.telemetry.shard("test", "s", "0").duplicates_dropped.get();
    assert_eq!(dropped, finished.position().counters.dropped_duplicates);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_repeats_earlier_messages_duplicates_nothing() {
    let server = Server::start(|call, _| match call {
        0 => then(events(1, 30), Step::Fail(Status::internal("oops"))),
        _ => then(events(1, 60), Step::Hang),
    })
    .await;
    let world = World::run(source(&server.url(), &format!("{FAST}{RESUME}")), None);
    world.committed(60).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=60).collect::<Vec<_>>());
    assert_eq!(finished.position().counters.dropped_duplicates, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_reported_and_passed_or_stops_the_shard() {
    let script = |_: usize, _: &_| {
        let mut steps = events(1, 5);
        steps.extend(events(9, 10));
        steps
    };
    let server = Server::start(script).await;
    let keys = format!("on_end: finish{RESUME}");
    let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(finished.values(), [1, 2, 3, 4, 5, 9, 10]);
    let counters = finished.position().counters;
    assert_eq!((counters.gaps, counters.gap_messages), (1, 3));

    let keys = format!("{keys}\n      on_gap: stop");
    let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
    assert!(broken(&end).contains("6 to 8"), "{end:?}");
    assert_eq!(finished.values(), [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cursor_each_new_call_is_a_gap_of_unknown_size() {
    let server = Server::start(|call, _| match call {
        0..2 => events(1, 3),
        _ => then(events(1, 3), Step::Hang),
    })
    .await;
    let source = source(&server.url(), FAST);
    assert_eq!(source.resumability(), Resumability::None);
    let world = World::run(source, None);
    world.committed(9).await;
    let (_, finished) = world.stop().await;
    let position = finished.position();
    assert_eq!(position.cursor, None);
    assert_eq!((position.counters.gaps, position.counters.gap_messages), (2, 0));
    assert_eq!(finished.telemetry.shard("test", "s", "0").gaps.get(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_cannot_heal_breaks_the_shard_after_delivering_what_came() {
    let server = Server::start(|_, _| {
        then(events(1, 3), Step::Fail(Status::out_of_range("history\nbegins at 900")))
    })
    .await;
    let (end, finished) =
        World::run(source(&server.url(), &format!("{FAST}{RESUME}")), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("OUT_OF_RANGE: history\\nbegins at 900"), "{reason}");
    assert!(reason.contains("offsets reset"), "{reason}");
    assert_eq!(finished.values(), [1, 2, 3]);
    assert_eq!(server.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_are_limited_and_only_a_message_starts_them_anew() {
    let server = Server::start(|call, request| match call {
        0 | 1 | 3 | 4 => vec![Step::Fail(Status::unavailable("busy"))],
        2 => then(events(request.from_sequence.max(1), 1), Step::Fail(Status::unavailable("busy"))),
        _ => vec![Step::Fail(Status::unavailable("still busy"))],
    })
    .await;
    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 3 }";
    let (end, _) =
        World::run(source(&server.url(), &format!("{limited}{RESUME}")), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("still busy") && reason.contains("3 attempts"), "{reason}");
    assert_eq!(server.calls(), 6, "two, one with a message, three more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_is_called_again_and_then_named() {
    let unused = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = unused.local_addr().expect("bound");
    drop(unused);
    let limited = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 20, attempts_max: 2 }";
    let (end, _) = World::run(source(&format!("http://{address}"), limited), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("refused") && reason.contains(&address.to_string()), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_group_is_forgotten_at_a_cut_and_kept_at_the_end() {
    // Values 1, 1, 2, 2, 3, 3; the first call is cut inside the second group.
    let server = Server::start(|call, request| {
        let from = request.from_sequence.max(1);
        let all = (from..=3).flat_map(|value| (0..2).map(move |_| Step::Send(event(value))));
        match call {
            0 => then(all.take(3).collect(), Step::Fail(Status::unavailable("restart"))),
            _ => all.collect(),
        }
    })
    .await;
    let keys = format!(
        r#"{FAST}
    on_end: finish
    resume:
      cursor: {{ seq: {{ from: sequence }} }}
      position: next
      boundary: change
      restart: {{ set: {{ from_sequence: "${{cursor.seq}}" }} }}"#
    );
    let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(finished.values(), [1, 1, 2, 2, 3, 3]);
    assert_eq!(server.requests()[1].from_sequence, 2);
}
