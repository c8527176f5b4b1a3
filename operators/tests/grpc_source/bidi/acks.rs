//! Acks: of what is committed and of nothing else; what is lost before its ack comes again.

use super::server::{Request, Server, Talk};
use super::{follow, numbers};
use crate::world::{World, until};
use headwater_operators::source::{Resumability, ShardEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ACK: &str = "request: { topic: news }
    stream: { ack: { field: ack_ids, from: \"items[].ack_id\" } }";

/// A server that keeps each item until it is acknowledged, and sends it again to the next call.
#[derive(Default)]
struct Subscription {
    /// Of each acknowledged item the identifiers by which it was.
    acked: Mutex<BTreeMap<u64, Vec<String>>>,
    /// Items sent, by call.
    sent: Mutex<Vec<Vec<u64>>>,
    /// How calls were closed on the client's side.
    closed_well: Mutex<Vec<bool>>,
}

impl Subscription {
    fn note(&self, request: &Request) {
        let mut acked = self.acked.lock().expect("no panic");
        for id in &request.ack_ids {
            let (_, number) = id.split_once('-').expect("an identifier of ours");
            let number = number.parse().expect("a number");
            acked.entry(number).or_default().push(id.clone());
        }
    }

    fn acked(&self) -> BTreeSet<u64> {
        self.acked.lock().expect("no panic").keys().copied().collect()
    }

    fn sent(&self, call: usize) -> Vec<u64> {
        self.sent.lock().expect("no panic").get(call).cloned().unwrap_or_default()
    }

    /// Sends what of `1..=last` is not acknowledged.
    async fn deliver(&self, talk: &Talk, last: u64) {
        let acked = self.acked();
        let open: Vec<u64> = (1..=last).filter(|number| !acked.contains(number)).collect();
        self.sent.lock().expect("no panic").push(open.clone());
        for number in open {
            talk.items([number]).await;
        }
    }

    /// A server of items up to `last`. Each call gets all that are not acknowledged, without a look
    /// at what is acknowledged meanwhile, and ends when all are.
    async fn serve(last: u64) -> (Arc<Subscription>, Server) {
        let subscription = Arc::new(Subscription::default());
        let of_calls = subscription.clone();
        let server = Server::start(move |mut talk| {
            let subscription = of_calls.clone();
            async move {
                talk.hear().await;
                subscription.deliver(&talk, last).await;
                subscription.hear(&mut talk, last).await;
            }
        });
        (subscription, server.await)
    }

    /// Hears acks until all of `1..=last` is acknowledged or the client is gone.
    async fn hear(&self, talk: &mut Talk, last: u64) {
        while self.acked().len() < usize::try_from(last).expect("small") {
            match talk.hear().await {
                Some(request) => self.note(&request),
                None => return,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_acknowledged_once_and_in_large_requests() {
    const LAST: u64 = 3_000;
    let (subscription, server) = Subscription::serve(LAST).await;
    let source = follow(&server.url(), &format!("{ACK}\n    on_end: finish"));
    assert_eq!(source.resumability(), Resumability::Acknowledged { window: None });
    let world = World::run(source, None);
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished, "the server ended when all was acknowledged");
    let acked = subscription.acked.lock().expect("no panic").clone();
    assert_eq!(acked.len() as u64, LAST);
    assert!(acked.values().all(|ids| ids.len() == 1), "each once");
    let metrics = finished.telemetry.shard("test", "s", "0");
    assert_eq!((metrics.acks.get(), metrics.gaps.get()), (LAST, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_between_receipt_and_commit_is_not_acknowledged_before_it() {
    let (subscription, server) = Subscription::serve(5).await;
    let world = World::run(follow(&server.url(), ACK), None);
    world.is_gate_open.store(false, SeqCst);
    let received = world.telemetry.shard("test", "s", "0").received_messages;
    until("all is received", || received.get() == 5).await;
    assert_eq!(subscription.acked(), BTreeSet::new(), "nothing is committed");
    server.cut();
    until("it is sent again", || received.get() == 10).await;
    assert_eq!(subscription.sent(1), [1, 2, 3, 4, 5]);
    assert_eq!(subscription.acked(), BTreeSet::new(), "still nothing is committed");
    world.is_gate_open.store(true, SeqCst);
    until("all is acknowledged", || subscription.acked().len() == 5).await;
    until("all is committed", || numbers(&world).len() == 10).await;
    assert_eq!(numbers(&world), [1, 2, 3, 4, 5, 1, 2, 3, 4, 5], "twice, as it was received");
    assert_eq!(world.telemetry.shard("test", "s", "0").gaps.get(), 0, "nothing can be missing");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_call_leaves_unacknowledged_goes_to_the_next_one_if_it_may() {
    for across_calls in [true, false] {
        let subscription = Arc::new(Subscription::default());
        let of_calls = subscription.clone();
        let server = Server::start(move |mut talk| {
            let subscription = of_calls.clone();
            async move {
                talk.hear().await;
                subscription.deliver(&talk, 5).await;
                if talk.call == 0 {
                    // It hears no ack before the connection is cut.
                    std::future::pending().await
                } else {
                    subscription.hear(&mut talk, 5).await;
                }
            }
        })
        .await;
        let keys = format!(
            "request: {{ topic: news }}
    stream: {{ ack: {{ field: ack_ids, from: \"items[].ack_id\", batch_max: 1, \
             across_calls: {across_calls} }} }}
    on_end: finish"
        );
        let world = World::run(follow(&server.url(), &keys), None);
        world.is_gate_open.store(false, SeqCst);
        let received = world.telemetry.shard("test", "s", "0").received_messages;
        until("all is received", || received.get() == 5).await;
        server.cut();
        until("the next call is open", || received.get() > 5).await;
        world.is_gate_open.store(true, SeqCst);
        let (end, finished) = world.end().await;
        assert_eq!(end, ShardEnd::Finished);
        let acked = subscription.acked.lock().expect("no panic").clone();
        let by_call =
            |call: &str| acked.values().flatten().filter(|id| id.starts_with(call)).count();
        assert_eq!(by_call("0-"), if across_calls { 5 } else { 0 }, "across: {across_calls}");
        let values: Vec<_> =
            finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
        assert_eq!(super::items(values).len(), 10, "sent again, as nothing was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_between_commit_and_ack_repeats_what_the_server_did_not_hear() {
    let subscription = Arc::new(Subscription::default());
    let of_calls = subscription.clone();
    let server = Server::start(move |mut talk| {
        let subscription = of_calls.clone();
        async move {
            talk.hear().await;
            subscription.deliver(&talk, 5).await;
            match talk.call {
                0 => std::future::pending().await,
                _ => subscription.hear(&mut talk, 5).await,
            }
        }
    })
    .await;
    let world = World::run(follow(&server.url(), &format!("{ACK}\n    on_end: finish")), None);
    let acks = world.telemetry.shard("test", "s", "0").acks;
    until("all is committed and acknowledged", || acks.get() == 5).await;
    assert_eq!(numbers(&world), [1, 2, 3, 4, 5]);
    server.cut();
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    assert_eq!(super::items(values).len(), 10, "the server heard none of it");
    let acked = subscription.acked.lock().expect("no panic").clone();
    assert!(acked.values().flatten().all(|id| id.starts_with("1-")), "{acked:?}");
}

/// One item per message, known again by its number.
const WINDOW: &str = "request: { topic: news }
    stream: { ack: { field: ack_ids, from: \"items[0].ack_id\" } }
    resume: { mode: ack, dedupe: { key: \"items[0].number\", window: 100 } }";

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_within_the_window_is_dropped_and_acknowledged_behind_its_original() {
    let (subscription, server) = Subscription::serve(5).await;
    let source = follow(&server.url(), &format!("{WINDOW}\n    on_end: finish"));
    assert_eq!(source.resumability(), Resumability::Acknowledged { window: Some(100) });
    let world = World::run(source, None);
    world.is_gate_open.store(false, SeqCst);
    let metrics = world.telemetry.shard("test", "s", "0");
    until("all is received", || metrics.received_messages.get() == 5).await;
    server.cut();
    until("it is sent again and dropped", || metrics.duplicates_dropped.get() == 5).await;
    assert_eq!(subscription.acked(), BTreeSet::new(), "what it repeats is not committed");
    world.is_gate_open.store(true, SeqCst);
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished, "all was acknowledged");
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    let numbers: Vec<_> = super::items(values).iter().map(|item| item.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_ack_repeats_nothing_within_the_window() {
    let subscription = Arc::new(Subscription::default());
    let of_calls = subscription.clone();
    let server = Server::start(move |mut talk| {
        let subscription = of_calls.clone();
        async move {
            talk.hear().await;
            subscription.deliver(&talk, if talk.call == 0 { 5 } else { 8 }).await;
            match talk.call {
                0 => std::future::pending().await,
                _ => subscription.hear(&mut talk, 8).await,
            }
        }
    })
    .await;
    let source = follow(&server.url(), &format!("{WINDOW}\n    on_end: finish"));
    let world = World::run(source.clone(), None);
    until("all is committed", || numbers(&world).len() == 5).await;
    let last = world.batches().pop().expect("a batch").position.as_deref().cloned();
    // The process dies: no ack was heard.
    drop(world);
    let (end, finished) = World::run(source, last).end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(subscription.sent(1), [1, 2, 3, 4, 5, 6, 7, 8]);
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    let numbers: Vec<_> = super::items(values).iter().map(|item| item.number).collect();
    assert_eq!(numbers, [6, 7, 8]);
    assert_eq!(subscription.acked().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_stops_acknowledges_what_it_has_received_and_closes_its_side() {
    let subscription = Arc::new(Subscription::default());
    let of_calls = subscription.clone();
    let server = Server::start(move |mut talk| {
        let subscription = of_calls.clone();
        async move {
            talk.hear().await;
            subscription.deliver(&talk, 20).await;
            subscription.hear(&mut talk, 20).await;
            let closed_well = talk.is_closed_well().await;
            subscription.closed_well.lock().expect("no panic").push(closed_well);
        }
    })
    .await;
    let world = World::run(follow(&server.url(), ACK), None);
    world.is_gate_open.store(false, SeqCst);
    let received = world.telemetry.shard("test", "s", "0").received_messages;
    until("all is received", || received.get() == 20).await;
    let gate = world.is_gate_open.clone();
    let stopping = tokio::spawn(world.stop());
    assert_eq!(subscription.acked(), BTreeSet::new());
    gate.store(true, SeqCst);
    let (end, _) = stopping.await.expect("no panic");
    assert_eq!(end, ShardEnd::Stopped);
    assert_eq!(subscription.acked().len(), 20);
    until("the server saw the end", || !subscription.closed_well.lock().expect("ok").is_empty())
        .await;
    assert_eq!(*subscription.closed_well.lock().expect("no panic"), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_stands_for_all_where_the_server_keeps_one_place() {
    const LAST: u64 = 500;
    let commits = Arc::new(Mutex::new(Vec::new()));
    let log = commits.clone();
    let server = Server::start(move |mut talk| {
        let log = log.clone();
        async move {
            let first = talk.hear().await.expect("the request");
            assert_eq!(first.commit, None);
            for number in 1..=LAST {
                talk.items([number]).await;
            }
            while let Some(request) = talk.hear().await {
                assert_eq!(request.topic, "news", "what else each ack says");
                let number = request.commit.expect("nothing else is said").number;
                log.lock().expect("no panic").push(number);
                if number == LAST {
                    return;
                }
            }
        }
    })
    .await;
    let keys = "request: { topic: news }
    stream: { ack: { field: commit.number, from: \"items[].number\", take: newest,
                     set: { topic: news } } }
    on_end: finish";
    let world = World::run(follow(&server.url(), keys), None);
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    let commits = commits.lock().expect("no panic").clone();
    assert!(commits.is_sorted(), "{commits:?}");
    assert_eq!(commits.last(), Some(&LAST));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_no_list_takes_one_ack_per_request() {
    let server = Server::start(move |mut talk| async move {
        talk.hear().await;
        talk.items(1..=7).await;
        for number in 8..=20 {
            talk.items([number]).await;
        }
        let mut numbers = Vec::new();
        while numbers.len() < 20 {
            let request = talk.hear().await.expect("an ack of each");
            numbers.extend(request.commit.map(|commit| commit.number));
        }
        assert_eq!(numbers, (1..=20).collect::<Vec<_>>(), "each once, whatever came with it");
    })
    .await;
    let keys = "request: { topic: news }
    stream: { ack: { field: commit.number, from: \"items[].number\" } }
    on_end: finish";
    let (end, _) = World::run(follow(&server.url(), keys), None).end().await;
    assert_eq!(end, ShardEnd::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_in_flight_than_the_window_knows_again() {
    const LAST: u64 = 2_000;
    let (_, server) = Subscription::serve(LAST).await;
    let source = follow(&server.url(), &format!("{WINDOW}\n    on_end: finish"));
    let world = World::run(source, None);
    world.is_gate_open.store(false, SeqCst);
    let received = world.telemetry.shard("test", "s", "0").received_messages;
    until("all of the window is received", || received.get() >= 100).await;
    let (mut count, mut since) = (0, Instant::now());
    until("no more is read", || {
        if std::mem::replace(&mut count, received.get()) != received.get() {
            since = Instant::now();
        }
        since.elapsed() > Duration::from_millis(500)
    })
    .await;
    server.cut();
    until("it is called again", || server.calls() == 2).await;
    world.is_gate_open.store(true, SeqCst);
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished, "all was acknowledged");
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    let mut numbers: Vec<_> = super::items(values).iter().map(|item| item.number).collect();
    let written = numbers.len() as u64;
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((written, numbers.len() as u64), (LAST, LAST), "each is there once");
}
