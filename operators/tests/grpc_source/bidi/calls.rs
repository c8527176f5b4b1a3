//! The call itself: what opens it, what ends it, and that there is one.

use super::server::{Request, Server};
use super::{follow, numbers};
use crate::world::{World, broken, until};
use headwater_operators::source::ShardEnd;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use tokio::sync::Notify;
use tonic::Status;

pub const RESUME: &str = r#"
    resume:
      cursor: { number: { from: "items[-1].number" } }
      position: next
      restart: { set: { from: "${cursor.number}" } }
      sequence: monotone"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_request_and_what_opens_the_call_come_in_order_and_the_stream_stays_open() {
    let heard = Arc::new(Mutex::new(Vec::<Request>::new()));
    let is_committed = Arc::new(Notify::new());
    let (log, signal) = (heard.clone(), is_committed.clone());
    let server = Server::start(move |mut talk| {
        let (log, committed) = (log.clone(), signal.clone());
        async move {
            for _ in 0..3 {
                let request = talk.hear().await.expect("three requests");
                log.lock().expect("no panic").push(request);
            }
            talk.items(1..=5).await;
            committed.notified().await;
            let mut more = pin!(talk.hear());
            let is_open = poll_fn(|context| Poll::Ready(more.as_mut().poll(context).is_pending()));
            assert!(is_open.await, "neither said more nor closed");
        }
    })
    .await;
    let keys = "request: { topic: news, from: 7 }
    stream: { open: [{ topic: second }, { topic: third }] }
    on_end: finish";
    let world = World::run(follow(&server.url(), keys), None);
    until("the items are committed", || numbers(&world).len() == 5).await;
    is_committed.notify_one();
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    let heard = heard.lock().expect("no panic").clone();
    let topics: Vec<_> = heard.iter().map(|it| (it.topic.as_str(), it.from)).collect();
    assert_eq!(topics, [("news", 7), ("second", 0), ("third", 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_leaves_no_second_copy_of_the_stream_and_goes_on_where_it_was() {
    const CUTS: usize = 6;
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let of_calls = last.clone();
    let server = Server::start(move |mut talk| {
        let last = of_calls.clone();
        async move {
            let first = talk.hear().await.expect("the request").from.max(1);
            for number in first..first + 10 {
                talk.items([number]).await;
            }
            if talk.call < CUTS {
                talk.cut().await;
            } else {
                last.store(first + 9, SeqCst);
            }
            // It ends only when the client does.
            talk.hear().await;
        }
    })
    .await;
    let world = World::run(follow(&server.url(), RESUME), None);
    until("each cut was met by a new call", || server.calls() == CUTS + 1).await;
    until("all is committed", || numbers(&world).last() == Some(&last.load(SeqCst))).await;
    until("one call is left", || server.open() == 1).await;
    let last = last.load(SeqCst);
    assert_eq!(numbers(&world), (1..=last).collect::<Vec<_>>());
    assert!(last > 10, "some calls were heard");
    assert_eq!(server.calls(), CUTS + 1);
    let seen = server.seen.clone();
    let (end, _) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    until("no call is left", || seen.open.load(SeqCst) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_or_refuses_is_treated_as_with_one_request() {
    let server = Server::start(|mut talk| async move {
        let request = talk.hear().await.expect("the request");
        match talk.call {
            // An end with status OK, and a passing trouble.
            0 => drop(talk.items([1]).await),
            1 => talk.fail(Status::unavailable("later")).await,
            2 => {
                talk.items([request.from]).await;
                talk.fail(Status::invalid_argument("no such topic")).await;
            }
            _ => panic!("a refused request is not sent again"),
        }
    })
    .await;
    let world = World::run(follow(&server.url(), RESUME), None);
    let (end, finished) = world.end().await;
    assert!(broken(&end).contains("no such topic"), "{end:?}");
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    let numbers: Vec<_> = super::items(values).iter().map(|item| item.number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_only_to_a_later_message_is_waited_for() {
    let server = Server::start(|mut talk| async move {
        while let Some(request) = talk.hear().await {
            if request.topic == "go" {
                talk.items(1..=3).await;
                return;
            }
        }
    })
    .await;
    let keys =
        "request: { topic: news }\n    stream: { open: [{ topic: go }] }\n    on_end: finish";
    let world = World::run(follow(&server.url(), keys), None);
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(finished.batches.iter().map(|batch| batch.len()).sum::<usize>(), 1);
}
