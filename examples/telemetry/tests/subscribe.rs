//! Goal: the sample server keeps its word on resume, length, pace, filter and shutdown.
//! Method: a plain tonic client against the real server on loopback.

mod client;

use std::time::Duration;

use client::Client;
use headwater_proto::telemetry::{Event, SubscribeRequest};
use headwater_telemetry::TelemetryServer;
use tokio::time::{Instant, timeout};
use tonic::Code;

async fn started() -> TelemetryServer {
    TelemetryServer::start(([127, 0, 0, 1], 0).into()).await.expect("a free port on loopback")
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|it| it.sequence).collect()
}

#[tokio::test]
async fn a_stream_starts_at_one_and_ends_after_count() {
    let server = started().await;
    for from_sequence in [0, 1] {
        let request = SubscribeRequest { count: 1_000, from_sequence, ..Default::default() };
        let events = Client::events(server.endpoint(), request).await.unwrap();
        assert_eq!(sequences(&events), (1..=1_000).collect::<Vec<_>>());
    }
    assert_eq!(server.sent(), 2_000);
    server.shutdown().await;
}

#[tokio::test]
async fn a_resumed_stream_repeats_the_same_events_and_ends_at_the_same_place() {
    let server = started().await;
    let whole = SubscribeRequest { count: 500, payload_bytes: 10, ..Default::default() };
    let rest = SubscribeRequest { from_sequence: 321, ..whole.clone() };
    let timeless = |events: Vec<Event>| -> Vec<Event> {
        events.into_iter().map(|it| Event { emitted_ns: 0, ..it }).collect()
    };
    let whole = timeless(Client::events(server.endpoint(), whole).await.unwrap());
    let rest = timeless(Client::events(server.endpoint(), rest).await.unwrap());
    assert_eq!(whole[320..], rest);

    let past = SubscribeRequest { count: 500, from_sequence: 501, ..Default::default() };
    assert!(Client::events(server.endpoint(), past).await.unwrap().is_empty());
    server.shutdown().await;
}

#[tokio::test]
async fn a_paced_stream_carries_its_due_times_and_does_not_run_ahead() {
    let server = started().await;
    let start = Instant::now();
    let request = SubscribeRequest { count: 201, rate: 1_000, ..Default::default() };
    let events = Client::events(server.endpoint(), request).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
    for pair in events.windows(2) {
        assert_eq!(pair[1].emitted_ns - pair[0].emitted_ns, 1_000_000);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_site_is_a_subset_in_order() {
    let server = started().await;
    let request =
        SubscribeRequest { count: 2_000, filter: "delft".to_owned(), ..Default::default() };
    let events = Client::events(server.endpoint(), request).await.unwrap();
    assert!(events.len() > 100 && events.len() < 500, "{} of one site in eight", events.len());
    assert!(events.iter().all(|it| it.site == "delft"));
    assert!(events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_request_cannot_mean_is_refused_with_the_reason() {
    let server = started().await;
    let unknown = SubscribeRequest { filter: "atlantis".to_owned(), ..Default::default() };
    let refused = Client::events(server.endpoint(), unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("atlantis") && refused.message().contains("delft"));

    let large = SubscribeRequest { payload_bytes: u32::MAX, ..Default::default() };
    assert_eq!(
        Client::events(server.endpoint(), large).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    server.shutdown().await;
}

#[tokio::test]
async fn an_idle_stream_stays_open_and_ends_with_the_server() {
    let server = started().await;
    let idle = SubscribeRequest { filter: "idle".to_owned(), ..Default::default() };
    let mut client = Client::open(server.endpoint(), idle).await.unwrap();
    assert!(timeout(Duration::from_millis(200), client.next()).await.is_err(), "nothing is sent");
    let ended = tokio::spawn(async move { client.next().await });
    server.shutdown().await;
    assert_eq!(ended.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_client_that_reads_nothing() {
    let server = started().await;
    let address = server.local_addr();
    let unread = Client::open(server.endpoint(), SubscribeRequest::default()).await.unwrap();
    timeout(Duration::from_secs(5), server.shutdown()).await.expect("the end is bounded");
    tokio::net::TcpListener::bind(address).await.expect("the port is free again");
    drop(unread);
}

/// All that was counted as sent arrives, and a later call gets nothing.
#[tokio::test]
async fn streams_that_are_ended_deliver_what_was_sent() {
    let server = started().await;
    let request = SubscribeRequest { rate: 20_000, ..Default::default() };
    let mut client = Client::open(server.endpoint(), request.clone()).await.unwrap();
    let mut received = 0;
    let ended = loop {
        match client.next().await {
            Ok(event) => received += u64::from(event.is_some()),
            Err(ended) => break ended,
        }
        if received == 500 {
            server.end_streams();
        }
    };
    assert_eq!((ended.code(), server.sent()), (Code::Unavailable, received));
    let later = Client::events(server.endpoint(), request).await.unwrap_err();
    assert_eq!((later.code(), server.sent()), (Code::Unavailable, received));
    server.shutdown().await;
}
