//! Goal: groups that many shards hold back stay within the memory bound, and no shard waits for
//! another for ever. Method: groups which together are larger than all that may be held, with
//! servers that go on and with servers that fall silent in the middle of a group.

use crate::server::{Server, Step, event};
use crate::world::{CREDIT_BYTES, FAST, World, broken, source};
use headwater_engine::limits::BATCH_BYTES_MAX;
use headwater_operators::source::ShardEnd;
use headwater_proto::telemetry::SubscribeRequest;
use std::collections::BTreeMap;

const MESSAGE_BYTES: usize = 64 * 1024;
const SHARDS: u32 = 3;

/// Groups of the values 1 to 3, each of `messages` messages, and the message that ends the last.
fn groups(messages: usize, request: &SubscribeRequest) -> Vec<Step> {
    let large = |value| {
        let mut event = event(value);
        event.payload = vec![7; MESSAGE_BYTES];
        Step::Send(event)
    };
    let mut steps = Vec::new();
    for value in request.from_sequence.max(1)..=3 {
        steps.extend((0..messages).map(|_| large(value)));
    }
    steps.extend([Step::Send(event(4)), Step::Hang]);
    steps
}

fn keys(shards: u32) -> String {
    let requests: Vec<String> = (0..shards).map(|it| format!("{{ name: s{it} }}")).collect();
    format!(
        r#"{FAST}
    requests: [{}]
    resume:
      cursor: {{ seq: {{ from: sequence }} }}
      position: next
      sequence: monotone
      boundary: change
      restart: {{ set: {{ from_sequence: "${{cursor.seq}}" }} }}"#,
        requests.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_whose_groups_do_not_fit_together_all_come_through() {
    // Each group fits, two do not: the shards fill the room together and none could go on.
    let messages = CREDIT_BYTES as usize / MESSAGE_BYTES - 1;
    let server = Server::start(move |_, request| groups(messages, request)).await;
    let world = World::run_shards(source(&server.url(), &keys(SHARDS)), SHARDS, None);
    world.hold_until_a_reader_waits().await;
    world.committed(3 * messages * SHARDS as usize).await;
    assert_eq!(server.calls(), SHARDS as usize, "no group was read twice");
    // What is handed over, what is held, and the group of the one that may go beyond.
    let bound = 3 * CREDIT_BYTES + (BATCH_BYTES_MAX + MESSAGE_BYTES) as u64 * u64::from(SHARDS);
    assert!(world.credit_peak_bytes() <= bound, "{} bytes", world.credit_peak_bytes());
    let (end, finished) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped);
    let mut counts: BTreeMap<(u32, u64), usize> = BTreeMap::new();
    for batch in &finished.batches {
        let value = batch.position.as_ref().expect("a place").cursor.as_ref().expect("a cursor");
        let value = value.values["seq"].to_string().parse().expect("a number");
        *counts.entry((batch.shard.0, value)).or_default() += batch.len();
    }
    assert_eq!(counts.values().sum::<usize>(), 3 * messages * SHARDS as usize, "{counts:?}");
    assert_eq!(finished.values().len(), 3 * messages * SHARDS as usize);
    assert!((0..SHARDS).all(|shard| counts.keys().any(|(of, _)| *of == shard)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_does_not_wait_for_ever_for_one_whose_server_is_silent() {
    // Two calls fill the room and what is beyond it, and fall silent; the third finds no room until
    // it gives up, and is then served small groups, which need none.
    let messages = CREDIT_BYTES as usize / MESSAGE_BYTES - 1;
    let server = Server::start(move |call, request| match call {
        0..=2 => {
            // The third comes when the others have filled the room: of two that wait for the same
            // room both may give up.
            let others = if call == 2 { 2 * (messages as u64 - 1) } else { 0 };
            let mut steps = groups(messages, request);
            steps.truncate(messages - 1);
            steps.insert(0, Step::Await { sent: others });
            steps.push(Step::Hang);
            steps
        }
        _ => vec![Step::Send(event(1)), Step::Send(event(2)), Step::Hang],
    })
    .await;
    let world = World::run_shards(source(&server.url(), &keys(SHARDS)), SHARDS, None);
    world.committed(1).await;
    assert_eq!(server.calls(), SHARDS as usize + 1, "one gave up, and no more");
    assert!(world.credit_waits() > 0);
    let (end, finished) = world.stop().await;
    assert_eq!((end, finished.values()), (ShardEnd::Stopped, vec![1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_larger_than_all_that_may_be_held_is_refused_by_the_key_to_raise() {
    let messages = CREDIT_BYTES as usize / MESSAGE_BYTES + 1;
    let server = Server::start(move |_, request| groups(messages, request)).await;
    let world = World::run_shards(source(&server.url(), &keys(1)), 1, None);
    let (end, finished) = world.end().await;
    assert!(broken(&end).contains("`memory.credit_bytes`"), "{end:?}");
    assert!(finished.batches.is_empty());
}
