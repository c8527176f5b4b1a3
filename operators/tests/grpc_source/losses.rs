//! Goal: a cursor that the server has lost stops the shard with advice, or the shard goes on behind
//! a gap that says what is missing; never in a loop.

use crate::server::{Server, Step, events};
use crate::world::{FAST, RESUME, World, broken, source};
use headwater_engine::record::GapReason;
use headwater_operators::source::ShardEnd;
use headwater_proto::telemetry::SubscribeRequest;
use tonic::Status;

/// A server with events 1 to 30 whose history begins at 21 from the second call on; what it is
/// asked for below that it refuses. `from_latest` gets what is newer than 25.
fn forgetful(call: usize, request: &SubscribeRequest) -> Vec<Step> {
    let oldest = if call == 0 { 1 } else { 21 };
    let refusal = || Step::Fail(Status::out_of_range("history begins at 21"));
    match (call, request.from_sequence) {
        (0, _) => {
            events(1, 10).into_iter().chain([Step::Fail(Status::unavailable("bye"))]).collect()
        }
        (_, 0) if request.count == 1 => events(26, 30).into_iter().chain([Step::Hang]).collect(),
        (_, 0) => events(oldest, 30).into_iter().chain([Step::Hang]).collect(),
        (_, from) if from < oldest => vec![refusal()],
        (_, from) => events(from, 30).into_iter().chain([Step::Hang]).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_cursor_stops_the_shard_with_advice() {
    let server = Server::start(forgetful).await;
    let (end, finished) =
        World::run(source(&server.url(), &format!("{FAST}{RESUME}")), None).end().await;
    let reason = broken(&end);
    for words in ["history begins at 21", "offsets reset", "resume.expired.action"] {
        assert!(reason.contains(words), "{words} in {reason}");
    }
    assert_eq!(finished.values(), (1..=10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_goes_on_at_the_oldest_or_newest_message_behind_a_gap() {
    for (keys, first) in [
        ("expired: { action: earliest }", 21),
        ("expired: { action: latest, restart: { set: { count: 1 } } }", 26),
    ] {
        let server = Server::start(forgetful).await;
        let keys = format!("{FAST}{RESUME}\n      {keys}");
        let world = World::run(source(&server.url(), &keys), None);
        world.committed(10 + 31 - first).await;
        let (end, finished) = world.stop().await;
        assert_eq!(end, ShardEnd::Stopped);
        let expected: Vec<u64> = (1..=10).chain(first as u64..=30).collect();
        assert_eq!(finished.values(), expected);
        let gaps: Vec<_> = finished.batches.iter().flat_map(|batch| &batch.gaps).collect();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!(gaps[0].reason, GapReason::CursorLost);
        assert_eq!((gaps[0].from, gaps[0].to), (Some(11), Some(first as i128 - 1)));
        assert_eq!(finished.position().counters.gap_messages, first as u64 - 11);
        assert_eq!(finished.telemetry.shard("test", "s", "0").gaps.get(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_cursor_that_was_lost_while_nobody_ran_is_a_gap_as_well() {
    let server = Server::start(forgetful).await;
    let world = World::run(source(&server.url(), &format!("{FAST}{RESUME}")), None);
    world.committed(10).await;
    let (_, first) = world.end().await;
    let keys = format!("{FAST}{RESUME}\n      expired: {{ action: earliest }}");
    let world = World::run(source(&server.url(), &keys), Some(first.position()));
    world.committed(10).await;
    let (_, second) = world.stop().await;
    assert_eq!(second.values(), (21..=30).collect::<Vec<_>>());
    let gap = &second.batches[0].gaps[0];
    assert_eq!((gap.from, gap.to), (Some(11), Some(20)));
    assert_eq!(gap.after.values().map(ToString::to_string).collect::<Vec<_>>(), ["10"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_every_cursor_is_not_read_from_its_start_for_ever() {
    let server = Server::start(|_, request| match request.from_sequence {
        0 => events(1, 3).into_iter().chain([Step::Fail(Status::unavailable("bye"))]).collect(),
        _ => vec![Step::Fail(Status::not_found("no such cursor"))],
    })
    .await;
    let keys = format!("{FAST}{RESUME}\n      expired: {{ action: earliest }}");
    let (end, _) = World::run(source(&server.url(), &keys), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("no such cursor") && reason.contains("5 cursors before"), "{reason}");
    assert_eq!(server.calls(), 12, "a call from the start and one from a cursor, six times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_was_not_declared_is_no_lost_cursor() {
    let script = |call: usize, _: &SubscribeRequest| match call {
        0 => events(1, 3).into_iter().chain([Step::Fail(Status::unavailable("bye"))]).collect(),
        _ => vec![Step::Fail(Status::failed_precondition("compacted"))],
    };
    let keys = format!("{FAST}{RESUME}\n      expired: {{ action: earliest }}");
    let server = Server::start(script).await;
    let (end, _) = World::run(source(&server.url(), &keys), None).end().await;
    assert!(broken(&end).contains("compacted"), "{end:?}");
    assert_eq!(server.calls(), 2);
    let lost = "expired: { match: [ { code: FAILED_PRECONDITION } ], action: earliest }";
    let keys = format!("{FAST}{RESUME}\n      {lost}");
    let server = Server::start(script).await;
    let (end, _) = World::run(source(&server.url(), &keys), None).end().await;
    // The second call begins without a cursor and is refused as well: that is no lost cursor.
    assert!(broken(&end).contains("compacted"), "{end:?}");
    assert_eq!(server.calls(), 3);
}
