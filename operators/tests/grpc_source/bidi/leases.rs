//! More time is asked for what is received and not committed, and for nothing else.

use super::follow;
use super::server::Server;
use crate::world::{World, until};
use headwater_operators::source::ShardEnd;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Leases {
    /// How often more time was asked for, by identifier.
    extended: Mutex<BTreeMap<String, u32>>,
    acked: Mutex<Vec<String>>,
    /// Whether the test lets commits through.
    may_ack: AtomicBool,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_for_its_commit_gets_more_time_and_its_ack_afterwards() {
    let leases = Arc::new(Leases::default());
    let of_calls = leases.clone();
    let server = Server::start(move |mut talk| {
        let leases = of_calls.clone();
        async move {
            talk.hear().await;
            talk.items(1..=3).await;
            talk.items(4..=5).await;
            while let Some(request) = talk.hear().await {
                assert_eq!(request.deadline_ids.len(), request.deadline_seconds.len());
                assert!(request.deadline_seconds.iter().all(|seconds| *seconds == 30));
                let mut extended = leases.extended.lock().expect("no panic");
                for id in request.deadline_ids {
                    *extended.entry(id).or_default() += 1;
                }
                if !request.ack_ids.is_empty() {
                    assert!(leases.may_ack.load(SeqCst), "an ack before the commit");
                }
                let mut acked = leases.acked.lock().expect("no panic");
                acked.extend(request.ack_ids);
                if acked.len() == 5 {
                    return;
                }
            }
        }
    })
    .await;
    let keys = "request: { topic: news }
    stream:
      ack:
        field: ack_ids
        from: \"items[].ack_id\"
        batch_max: 2
        extend:
          field: deadline_ids
          seconds_field: deadline_seconds
          seconds: 30
          interval_ms: 100
    on_end: finish";
    let world = World::run(follow(&server.url(), keys), None);
    world.is_gate_open.store(false, SeqCst);
    // Whatever was said before these would have come before them.
    until("each got more time, and again", || {
        let extended = leases.extended.lock().expect("no panic");
        extended.len() == 5 && extended.values().all(|times| *times >= 2)
    })
    .await;
    let waiting = world.telemetry.shard("test", "s", "0").unacknowledged;
    until("they are shown", || waiting.get() == 5).await;
    leases.may_ack.store(true, SeqCst);
    world.is_gate_open.store(true, SeqCst);
    let (end, _) = world.end().await;
    assert_eq!(end, ShardEnd::Finished);
    let mut acked = leases.acked.lock().expect("no panic").clone();
    assert_eq!(waiting.get(), 0, "nothing waits any more");
    acked.sort();
    assert_eq!(acked, ["0-1", "0-2", "0-3", "0-4", "0-5"]);
}
