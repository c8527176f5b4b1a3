//! What is said before a call is accepted, and before it is left: what counts as acknowledged was
//! heard.

use super::follow;
use super::server::{Item, Request, Response, Server, Talk};
use crate::world::{World, until};
use headwater_operators::source::ShardEnd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What the server heard on one call.
#[derive(Clone, Default)]
struct Heard {
    acked: Vec<String>,
    extended: Vec<String>,
    /// Whether the client closed its side on purpose, once it is closed.
    is_closed_well: Option<bool>,
}

/// By call.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Heard>>>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.0.lock().expect("no panic")
    }

    fn call(&self, call: usize) -> Heard {
        self.lock().get(call).cloned().unwrap_or_default()
    }

    fn note(&self, call: usize, request: Request) {
        let mut calls = self.lock();
        if calls.len() <= call {
            calls.resize(call + 1, Heard::default());
        }
        calls[call].acked.extend(request.ack_ids);
        calls[call].extended.extend(request.deadline_ids);
    }

    /// Hears all that is said on a call, until `is_enough` of it or its end.
    async fn hear(&self, talk: &mut Talk, is_enough: impl Fn(&Heard) -> bool) {
        let call = talk.call;
        while !is_enough(&self.call(call)) {
            let Some(request) = talk.hear().await else { break };
            self.note(call, request);
        }
    }

    /// Hears all that is said on a call until the client ends it.
    async fn hear_out(&self, talk: &mut Talk) {
        let call = talk.call;
        let is_closed_well = loop {
            match talk.hear_or_end().await {
                Ok(Some(request)) => self.note(call, request),
                Ok(None) => break true,
                Err(()) => break false,
            }
        };
        self.note(call, Request::default());
        self.lock()[call].is_closed_well = Some(is_closed_well);
    }
}

fn ids(call: usize) -> Vec<String> {
    (1..=5).map(|number| format!("{call}-{number}")).collect()
}

fn keys(ack: &str, rest: &str) -> String {
    format!(
        "request: {{ topic: news }}
    stream: {{ ack: {{ field: ack_ids, from: \"items[].ack_id\"{ack} }} }}
    {rest}"
    )
}

/// Sends five items on its first call; keeps the headers of the others back until `is_enough` was
/// heard, or until the client has closed its side.
async fn quiet(log: Log, is_enough: fn(&Heard) -> bool) -> Server {
    let script = move |mut talk: Talk| {
        let log = log.clone();
        async move {
            talk.hear().await;
            if talk.call == 0 {
                talk.items(1..=5).await;
                return std::future::pending().await;
            }
            log.hear(&mut talk, is_enough).await;
            if !is_enough(&Heard::default()) {
                return;
            }
            log.hear_out(&mut talk).await;
        }
    };
    Server::start_as(script, |call| call > 0, None).await
}

/// Cuts the first call before anything of it is committed; done when the next one is asked for.
async fn cut_before_commit(world: &World, server: &Server) {
    let received = world.telemetry.shard("test", "s", "0").received_messages;
    until("all is received", || received.get() == 1).await;
    server.cut();
    until("the next call is asked for", || server.calls() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_are_said_before_the_server_accepts_the_call() {
    let log = Log::default();
    let server = quiet(log.clone(), |heard| heard.acked.len() == 5).await;
    let world = World::run(follow(&server.url(), &keys("", "on_end: finish")), None);
    world.is_gate_open.store(false, SeqCst);
    cut_before_commit(&world, &server).await;
    world.is_gate_open.store(true, SeqCst);
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    assert_eq!(log.call(1).acked, ids(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_time_is_asked_for_as_soon_as_a_call_follows_a_lost_one() {
    let log = Log::default();
    let server = quiet(log.clone(), |heard| heard.extended.len() == 5).await;
    // So rarely that it would not be asked for while the test lasts.
    let extend = ", extend: { field: deadline_ids, seconds_field: deadline_seconds, seconds: 3600, \
                  interval_ms: 600000 }";
    let world = World::run(follow(&server.url(), &keys(extend, "on_end: finish")), None);
    world.is_gate_open.store(false, SeqCst);
    cut_before_commit(&world, &server).await;
    until("it is asked for", || log.call(1).extended == ids(0)).await;
    world.is_gate_open.store(true, SeqCst);
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_stops_before_its_call_is_accepted_acknowledges_and_closes_its_side() {
    let log = Log::default();
    let server = quiet(log.clone(), |_| true).await;
    let world = World::run(follow(&server.url(), &keys("", "")), None);
    world.is_gate_open.store(false, SeqCst);
    cut_before_commit(&world, &server).await;
    let gate = world.is_gate_open.clone();
    world.stop.cancel();
    gate.store(true, SeqCst);
    let (end, finished) = world.end().await;
    assert_eq!(end, ShardEnd::Stopped);
    until("the call is over", || log.call(1).is_closed_well.is_some()).await;
    assert_eq!(log.call(1).acked, ids(0));
    assert_eq!(log.call(1).is_closed_well, Some(true));
    assert_eq!(finished.telemetry.shard("test", "s", "0").acks.get(), 5);
}

/// Sends five items on its first call and hears each to its end; what it leaves open after `age`
/// is sent away.
async fn patient(log: Log, age: Option<Duration>) -> Server {
    let script = move |mut talk: Talk| {
        let log = log.clone();
        async move {
            talk.hear().await;
            let acked = log.call(0).acked.len();
            talk.items((1..=5).skip(acked)).await;
            log.hear_out(&mut talk).await;
        }
    };
    Server::start_as(script, |_| false, age).await
}

/// Lets commits through when the call's time is over, and demands that nothing comes of that.
async fn demand_a_leave_without_loss(world: World, server: &Server, log: &Log) {
    world.is_gate_open.store(false, SeqCst);
    let received = world.telemetry.shard("test", "s", "0").received_messages;
    until("all is received", || received.get() == 1).await;
    let begun = Instant::now();
    until("the call's time is over", || begun.elapsed() > Duration::from_millis(1_500)).await;
    world.is_gate_open.store(true, SeqCst);
    until("the next call is open", || server.calls() >= 2).await;
    until("the first is over", || log.call(0).is_closed_well.is_some()).await;
    let (_, finished) = world.stop().await;
    assert_eq!(log.call(0).acked, ids(0));
    assert_eq!(log.call(0).is_closed_well, Some(true));
    assert_eq!(finished.telemetry.shard("test", "s", "0").acks.get(), 5);
    let values: Vec<_> = finished.batches.iter().flat_map(|batch| batch.values.iter()).collect();
    assert_eq!(super::items(values).len(), 5, "none came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_replaced_as_planned_acknowledges_first() {
    let log = Log::default();
    let server = patient(log.clone(), None).await;
    let rest = "call: { reopen_after_ms: 1000 }\n    resume: { mode: ack }";
    let source = follow(&server.url(), &keys(", across_calls: false", rest));
    demand_a_leave_without_loss(World::run(source, None), &server, &log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sends_its_clients_away_is_told_first_what_is_committed() {
    let log = Log::default();
    let server = patient(log.clone(), Some(Duration::from_millis(1_000))).await;
    let source = follow(&server.url(), &keys(", across_calls: false", ""));
    demand_a_leave_without_loss(World::run(source, None), &server, &log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_as_acknowledged_when_a_shard_stops_is_heard() {
    // More than a server takes without hearing it, and less than one request holds.
    const COUNT: u64 = 100;
    let (log, may_hear) = (Log::default(), Arc::new(Notify::new()));
    let (of_calls, signal) = (log.clone(), may_hear.clone());
    let server = Server::start(move |mut talk| {
        let (log, signal) = (of_calls.clone(), signal.clone());
        async move {
            talk.hear().await;
            let ack_id = |number| format!("{number}-{}", "x".repeat(2_000));
            let item = |number| Item { number, ack_id: ack_id(number), ..Item::default() };
            let items = (1..=COUNT).map(item).collect();
            talk.say(&Response { items, ..Response::default() }).await;
            signal.notified().await;
            log.hear_out(&mut talk).await;
        }
    })
    .await;
    let world = World::run(follow(&server.url(), &keys("", "")), None);
    let acks = world.telemetry.shard("test", "s", "0").acks;
    until("all counts as acknowledged", || acks.get() == COUNT).await;
    world.stop.cancel();
    let ending = tokio::spawn(world.end());
    let begun = Instant::now();
    until("it has stopped reading", || begun.elapsed() > Duration::from_millis(500)).await;
    may_hear.notify_one();
    // The process may exit as soon as its shards have ended.
    assert_eq!(ending.await.expect("no panic").0, ShardEnd::Stopped);
    assert_eq!(log.call(0).acked.len() as u64, COUNT, "the server heard what counts");
    assert_eq!(log.call(0).is_closed_well, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_stops_answers_until_all_is_acknowledged() {
    let (log, may_ping) = (Log::default(), Arc::new(Notify::new()));
    let is_answered = Arc::new(AtomicBool::new(false));
    let (of_calls, signal, flag) = (log.clone(), may_ping.clone(), is_answered.clone());
    let server = Server::start(move |mut talk| {
        let (log, signal, flag) = (of_calls.clone(), signal.clone(), flag.clone());
        async move {
            talk.hear().await;
            talk.items(1..=5).await;
            signal.notified().await;
            talk.say(&super::replies::ping(7)).await;
            let answer = talk.hear().await.expect("an answer");
            assert_eq!(answer.pong.map(|pong| pong.id), Some(7));
            flag.store(true, SeqCst);
            log.hear_out(&mut talk).await;
        }
    })
    .await;
    let reply = "reply: [{ when: has(ping), send: { pong: { id: \"${message.ping.id}\" } } }]";
    let keys = keys("", "").replace("stream: {", &format!("stream: {{ {reply},"));
    let world = World::run(follow(&server.url(), &keys), None);
    world.is_gate_open.store(false, SeqCst);
    let received = world.telemetry.shard("test", "s", "0").received_messages;
    until("all is received", || received.get() == 1).await;
    let gate = world.is_gate_open.clone();
    world.stop.cancel();
    let ending = tokio::spawn(world.end());
    may_ping.notify_one();
    until("it was answered", || is_answered.load(SeqCst)).await;
    gate.store(true, SeqCst);
    assert_eq!(ending.await.expect("no panic").0, ShardEnd::Stopped);
    until("the call is over", || log.call(0).is_closed_well.is_some()).await;
    assert_eq!((log.call(0).acked, log.call(0).is_closed_well), (ids(0), Some(true)));
}
