//! Goal: a server says in its own way that a cursor is gone, by a status' text, a trailer or a
//! message, and the stream goes on where that is declared, behind one gap, and never in a hot loop.

use crate::server::{Server, Step, event, events};
use crate::world::{FAST, RESUME, World, broken, source};
use headwater_engine::record::GapReason;
use headwater_operators::source::ShardEnd;
use headwater_proto::telemetry::{Event, SubscribeRequest};
use std::sync::atomic::Ordering;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

fn keys(expired: &str) -> String {
    format!("{FAST}{RESUME}\n      expired: {expired}")
}

fn unavailable() -> Step {
    Step::Fail(Status::unavailable("bye"))
}

/// Events 1 to 10 in the first call. Then what is asked for below 21 is answered by `refusal`, and
/// the rest is served up to 30.
fn compacted(
    refusal: impl Fn() -> Step + Send + Sync + 'static,
) -> impl Fn(usize, &SubscribeRequest) -> Vec<Step> + Send + Sync {
    move |call, request| match (call, request.from_sequence) {
        (0, _) => events(1, 10).into_iter().chain([unavailable()]).collect(),
        (_, from) if from < 21 => vec![refusal(), Step::Hang],
        (_, from) => events(from, 30).into_iter().chain([Step::Hang]).collect(),
    }
}

/// The stream goes on at 21 behind one gap.
async fn demand_goes_on(server: &Server, keys: &str) {
    let world = World::run(source(&server.url(), keys), None);
    world.committed(20).await;
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    assert_eq!(finished.values(), (1..=10).chain(21..=30).collect::<Vec<u64>>());
    let gaps: Vec<_> = finished.batches.iter().flat_map(|batch| &batch.gaps).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].reason, GapReason::CursorLost);
    assert_eq!((gaps[0].from, gaps[0].to), (Some(11), Some(20)));
}

/// As etcd does it: the stream itself says that the revision was compacted, and to which one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_says_that_the_cursor_is_gone_and_where_to_go_on() {
    let told = || Event { sequence: 21, alarm: true, ..Event::default() };
    let server = Server::start(compacted(move || Step::Send(told()))).await;
    let keys = keys("{ match: [ { when: alarm && sequence > 0u } ], action: { from: sequence } }");
    demand_goes_on(&server, &keys).await;
    let asked: Vec<u64> = server.requests().iter().map(|it| it.from_sequence).collect();
    assert_eq!(asked, [0, 11, 21], "at the value as it is, and not behind it");
}

/// As Yellowstone does it: a status, and another method that knows where the history begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_method_says_where_to_go_on() {
    let server = Server::start(compacted(|| Step::Fail(Status::out_of_range("gone")))).await;
    // The first answer is already outdated when the stream is asked for it.
    let answers = [Err(Status::unavailable("busy")), Ok(event(20)), Ok(event(21))];
    *server.seen.oldest.lock().expect("no panic while locked") = answers.into();
    let keys = keys(
        "{ action: { unary: { method: bench.v1.History/Oldest, request: { filter: all }, path: sequence } } }",
    );
    demand_goes_on(&server, &keys).await;
    assert_eq!(server.seen.asked.load(Ordering::SeqCst), 3);
    let asked: Vec<u64> = server.requests().iter().map(|it| it.from_sequence).collect();
    assert_eq!(asked, [0, 11, 20, 21]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trailer_or_a_status_text_says_it() {
    let with_trailer = || {
        let mut trailers = MetadataMap::new();
        let value = "fetch.replayid.corrupted".parse().expect("a trailer's value");
        trailers.insert("error-code", value);
        Step::Fail(Status::with_metadata(Code::InvalidArgument, "no", trailers))
    };
    let with_text = || Step::Fail(Status::unknown("log 0017 was purged"));
    let earliest = "restart: { set: { from_sequence: 21 } }, action: earliest";
    let by_trailer =
        format!("{{ match: [ {{ trailer: error-code, like: '*replayid*' }} ], {earliest} }}");
    demand_goes_on(&Server::start(compacted(with_trailer)).await, &keys(&by_trailer)).await;
    let by_text = format!("{{ match: [ {{ code: UNKNOWN, like: '*purged' }} ], {earliest} }}");
    demand_goes_on(&Server::start(compacted(with_text)).await, &keys(&by_text)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_says_it_stops_the_shard_where_nothing_else_is_declared() {
    let told = || Event { alarm: true, ..Event::default() };
    let server = Server::start(compacted(move || Step::Send(told()))).await;
    let keys = keys("{ match: [ { when: alarm } ] }");
    let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("cursor is gone") && reason.contains("offsets reset"), "{reason}");
    assert_eq!(finished.values(), (1..=10).collect::<Vec<u64>>(), "it is not passed on");
}

/// A stream that says it after messages is called for the newest cursor first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_brought_messages_is_followed_by_one_for_the_newest_cursor() {
    let told = || Step::Send(Event { sequence: 99, alarm: true, ..Event::default() });
    let server = Server::start(move |call, request| match call {
        0 => events(1, 5).into_iter().chain([told(), Step::Hang]).collect(),
        _ => events(request.from_sequence, 10).into_iter().chain([Step::Hang]).collect(),
    })
    .await;
    let keys = keys("{ match: [ { when: alarm } ], action: { from: sequence } }");
    let world = World::run(source(&server.url(), &keys), None);
    world.committed(10).await;
    let (_, finished) = world.stop().await;
    assert_eq!(finished.values(), (1..=10).collect::<Vec<u64>>());
    assert_eq!(finished.position().counters.gaps, 0);
}

/// The attempts are counted, and each waits longer than the one before: `attempts_max` counts the
/// waits since a message came, and a shard that began them anew would never get there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_for_which_every_cursor_is_gone_is_asked_so_often_and_no_more() {
    let unary = "action: { unary: { method: bench.v1.History/Oldest, path: sequence } }";
    let script = |call: usize, _: &SubscribeRequest| match call {
        0 => events(1, 3).into_iter().chain([unavailable()]).collect(),
        _ => vec![Step::Fail(Status::out_of_range("gone"))],
    };
    let server = Server::start(script).await;
    *server.seen.oldest.lock().expect("no panic while locked") = vec![Ok(event(7))];
    let bounded = keys(&format!("{{ {unary}, max_attempts: 3 }}"));
    let (end, _) = World::run(source(&server.url(), &bounded), None).end().await;
    assert!(broken(&end).contains("as for 3 cursors before it"), "{end:?}");
    assert_eq!(server.calls(), 1 + 4, "the received cursor, and three that were asked for");
    assert_eq!(server.seen.asked.load(Ordering::SeqCst), 3);

    let server = Server::start(script).await;
    *server.seen.oldest.lock().expect("no panic while locked") = vec![Ok(event(7))];
    let waits = "reconnect: { backoff_min_ms: 10, backoff_max_ms: 50, attempts_max: 4 }";
    let bounded = keys(&format!("{{ {unary}, max_attempts: 1000 }}")).replace(FAST, waits);
    let (end, _) = World::run(source(&server.url(), &bounded), None).end().await;
    assert!(broken(&end).contains("gave up after 4 attempts"), "{end:?}");
    assert_eq!(server.calls(), 1 + 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_the_value_to_go_on_at_stops_the_shard() {
    let told = || Event { alarm: true, ..Event::default() };
    let server = Server::start(compacted(move || Step::Send(told()))).await;
    let keys = keys("{ match: [ { when: alarm } ], action: { from: payload } }")
        .replace("seq: { from: sequence }", "seq: { from: payload }")
        .replace("position: next", "position: after")
        .replace("sequence: contiguous", "sequence: none")
        .replace("from_sequence: \"${cursor.seq}\"", "filter: x");
    let (end, _) = World::run(source(&server.url(), &keys), None).end().await;
    assert!(broken(&end).contains("does not say where to go on"), "{end:?}");
}
