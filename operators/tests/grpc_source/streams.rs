//! Streams that are not cut: order, sizes, flow control, stop.

use crate::server::{Server, Step, event, events};
use crate::world::{CREDIT_BYTES, FAST, RESUME, World, broken, source, until};
use headwater_engine::ids::Session;
use headwater_engine::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use headwater_operators::source::ShardEnd;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_in_order_and_an_ok_end_finishes_the_shard() {
    let server = Server::start(|_, _| events(1, 5_000)).await;
    let world = World::run(source(&server.url(), &format!("on_end: finish{RESUME}")), None);
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(finished.values(), (1..=5_000).collect::<Vec<_>>());
    let position = finished.position();
    assert_eq!((position.session, position.next_sequence.0), (Session(1), 5_000));
    assert_eq!(position.cursor.expect("declared").to_string(), "seq=5000");
    assert_eq!(position.counters.received, 5_000);
    for batch in &finished.batches {
        assert!(batch.len() <= BATCH_RECORDS_MAX);
        assert!(batch.received.unix_ms > 1_600_000_000_000 && batch.credit_bytes > 0);
    }
    let metrics = finished.telemetry.shard("test", "s", "0");
    assert_eq!(metrics.received_messages.get(), 5_000);
    assert_eq!(metrics.batches.get(), finished.batches.len() as u64);
    assert_eq!((metrics.calls.get(), metrics.connected.get()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_carries_start_overlay_and_metadata() {
    let server = Server::start(|_, _| Vec::new()).await;
    let keys = r#"on_end: finish
    request: { filter: north, count: 7 }
    metadata: { authorization: "Bearer t", trace-bin: "AAE=" }
    resume:
      cursor: { seq: { from: sequence } }
      start: { set: { from_sequence: 9 }, clear: [count] }
      restart: { set: { from_sequence: "${cursor.seq}" } }"#;
    let (end, _) = World::run(source(&server.url(), keys), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    let requests = server.seen.requests.lock().expect("no panic while locked");
    let (request, metadata) = &requests[0];
    assert_eq!((request.filter.as_str(), request.count, request.from_sequence), ("north", 0, 9));
    assert_eq!(metadata.get("authorization").expect("sent"), "Bearer t");
    assert_eq!(
        &metadata.get_bin("trace-bin").expect("sent").to_bytes().expect("base64")[..],
        [0, 1]
    );
    let agent = metadata.get("user-agent").expect("sent").to_str().expect("ASCII");
    assert!(agent.starts_with("headwater/"), "{agent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_stalls_the_server_and_nothing_is_dropped() {
    let server = Server::start(|_, _| vec![Step::Flood { payload_bytes: 1_000 }]).await;
    let windows = "http2: { stream_window_bytes: 65535, connection_window_bytes: 65535 }";
    let keys = format!("{windows}{RESUME}");
    let world = World::run(source(&server.url(), &keys), None);
    world.is_gate_open.store(false, Ordering::SeqCst);
    // The server stalls: it sends nothing more for a while.
    let sent = || server.seen.sent.load(Ordering::SeqCst);
    let mut last = (sent(), std::time::Instant::now());
    until("the server stalls", || {
        if sent() != last.0 {
            last = (sent(), std::time::Instant::now());
        }
        last.0 > 500 && last.1.elapsed() > Duration::from_millis(300)
    })
    .await;
    let stalled_bytes = sent() * 1_000;
    let bound = CREDIT_BYTES + 4 * BATCH_BYTES_MAX as u64 + 1024 * 1024;
    assert!(stalled_bytes < bound, "{stalled_bytes} bytes were sent, expected less than {bound}");
    assert!(world.credit_peak_bytes() <= CREDIT_BYTES + 2 * BATCH_BYTES_MAX as u64);
    world.is_gate_open.store(true, Ordering::SeqCst);
    world.committed(5_000).await;
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    let values = finished.values();
    assert_eq!(values, (1..=values.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_64_mib_passes_where_the_limit_allows_it() {
    let script = |_: usize, _: &_| {
        let mut large = event(1);
        large.payload = vec![1; 64 * 1024 * 1024];
        vec![Step::Send(large), Step::Send(event(2))]
    };
    let server = Server::start(script).await;
    let keys = format!("on_end: finish\n    message_bytes_max: 68000000{RESUME}");
    let (end, finished) = World::run(source(&server.url(), &keys), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(finished.values(), [1, 2]);
    assert!(finished.batches[0].values.size_bytes() > 64 * 1024 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_above_the_limit_breaks_the_shard_and_names_size_and_key() {
    let script = |_: usize, _: &_| {
        let mut large = event(2);
        large.payload = vec![1; 5 * 1024 * 1024];
        vec![Step::Send(event(1)), Step::Send(large)]
    };
    let server = Server::start(script).await;
    let (end, finished) = World::run(source(&server.url(), RESUME.trim_start()), None).end().await;
    let reason = broken(&end);
    assert!(reason.contains("message_bytes_max"), "{reason}");
    assert!(reason.contains("52428") && reason.contains("4194304 bytes"), "{reason}");
    assert_eq!(finished.values(), [1], "what came before is delivered");
    assert_eq!(server.calls(), 1, "calling again cannot help");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_hands_over_what_was_received_and_closes_the_call() {
    let server = Server::start(|_, _| {
        let mut steps = events(1, 100);
        steps.push(Step::Hang);
        steps
    })
    .await;
    let world = World::run(source(&server.url(), &format!("{FAST}{RESUME}")), None);
    world.committed(100).await;
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    assert_eq!(finished.values().len(), 100);
    assert_eq!(server.calls(), 1);
}
