//! Credit: the server sends what it was allowed, never waits in vain, and is allowed nothing while
//! the sink is slow.

use super::server::{Item, Response, Server, Talk};
use super::{follow, numbers};
use crate::world::{World, until};
use headwater_operators::source::ShardEnd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};

/// What a server that keeps to its credit has seen.
#[derive(Default)]
struct Ledger {
    granted: AtomicI64,
    sent: AtomicI64,
    /// The most that was ever allowed and not sent.
    open_max: AtomicI64,
    grants: AtomicU64,
}

impl Ledger {
    fn grant(&self, count: i32) {
        let granted = self.granted.fetch_add(count.into(), SeqCst) + i64::from(count);
        self.open_max.fetch_max(granted - self.sent.load(SeqCst), SeqCst);
        self.grants.fetch_add(1, SeqCst);
    }

    fn open(&self) -> i64 {
        self.granted.load(SeqCst) - self.sent.load(SeqCst)
    }
}

/// Sends items up to `last`, up to three in a response, and never more than it was allowed.
async fn keep_to_it(mut talk: Talk, ledger: Arc<Ledger>, last: u64, payload_bytes: usize) {
    let mut next = 1;
    while next <= last {
        while ledger.open() <= 0 {
            let Some(request) = talk.hear().await else { return };
            ledger.grant(request.num_requested);
        }
        let open = u64::try_from(ledger.open()).expect("something is allowed");
        let count = open.min(1 + next % 3).min(last + 1 - next);
        let item = |number| Item { number, payload: vec![7; payload_bytes], ..Item::default() };
        let items = (next..next + count).map(item).collect();
        ledger.sent.fetch_add(count as i64, SeqCst);
        if !talk.say(&Response { items, ..Response::default() }).await {
            return;
        }
        // An empty one uses nothing of it.
        talk.say(&Response::default()).await;
        next += count;
    }
}

async fn server(last: u64, payload_bytes: usize) -> (Server, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let of_calls = ledger.clone();
    let server =
        Server::start(move |talk| keep_to_it(talk, of_calls.clone(), last, payload_bytes)).await;
    (server, ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_never_exceeded_and_never_starves_the_server() {
    for (window, first) in [(100, "request"), (7, "message"), (1, "request")] {
        let (server, ledger) = server(2_000, 10).await;
        let keys = format!(
            "request: {{ topic: news }}
    stream: {{ credit: {{ field: num_requested, window: {window}, count: \"items[]\", \
             first: {first} }} }}
    on_end: finish"
        );
        let world = World::run(follow(&server.url(), &keys), None);
        let (end, finished) = world.end().await;
        assert_eq!(end, ShardEnd::Finished, "window {window}");
        let values: Vec<_> =
            finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
        let numbers: Vec<_> = super::items(values).iter().map(|item| item.number).collect();
        assert_eq!(numbers, (1..=2_000).collect::<Vec<_>>());
        assert!(ledger.open_max.load(SeqCst) <= window, "{}", ledger.open_max.load(SeqCst));
        let grants = ledger.grants.load(SeqCst);
        let least = 2_000 / u64::try_from(window).expect("positive");
        assert!(grants >= least, "{grants} grants");
        assert!(grants <= 2 * least + 2_000 / 50 + 2, "{grants} grants: one per half window");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sink_allows_nothing_and_the_server_stops() {
    // A window's items are a sixteenth of the memory.
    let (server, ledger) = server(1_000, 16 * 1024).await;
    let keys = "request: { topic: news }
    stream: { credit: { field: num_requested, window: 4, count: \"items[]\" } }
    on_end: finish";
    let world = World::run(follow(&server.url(), keys), None);
    until("the first is committed", || !numbers(&world).is_empty()).await;
    world.is_gate_open.store(false, SeqCst);
    until("the reader waits for credit", || world.credit_waits() > 0).await;
    until("the server has used up what it was allowed", || ledger.open() == 0).await;
    let sent = ledger.sent.load(SeqCst);
    assert!(sent < 1_000, "the server was stopped");
    // All that came is in the memory or read and waiting for it; no more is allowed.
    let committed = numbers(&world).len() as i64;
    let memory = i64::try_from(crate::world::CREDIT_BYTES).expect("small") / (16 * 1024);
    assert!(sent - committed <= memory + 2 * 4 + 3, "{sent} sent, {committed} committed");
    let granted = ledger.granted.load(SeqCst);
    world.is_gate_open.store(true, SeqCst);
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert!(ledger.granted.load(SeqCst) > granted, "it went on once there was room");
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    assert_eq!(super::items(values).len(), 1_000);
}
