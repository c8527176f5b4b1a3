//! Yellowstone.

use crate::fake::{Fake, Talk, method};
use crate::rig::{file, number, run_by, source};
use crate::world::{World, broken};
use headwater_operators::source::Resumability;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use tonic::Status;

const SLOTS: u64 = 12;

/// Updates of a slot before its end.
const UPDATES: u64 = 3;

/// How many updates pass between two pings.
const PING_EVERY: usize = 7;

/// The updates from a slot on. The first one of the next slot comes before the end of a slot, as
/// slots overlap; nothing of a slot comes behind its end.
fn updates(from: u64) -> Vec<Json> {
    let transaction = |slot: u64, index: u64| {
        let transaction = json!({ "slot": slot, "transaction": { "index": index } });
        json!({ "transaction": transaction, "filters": ["t"] })
    };
    let mut updates = Vec::new();
    for slot in 1..=SLOTS {
        let early = u64::from(slot > 1);
        updates.extend((early..UPDATES).map(|index| transaction(slot, index)));
        updates.extend((slot < SLOTS).then(|| transaction(slot + 1, 0)));
        updates.push(json!({ "blockMeta": { "slot": slot, "blockhash": format!("b{slot}") } }));
    }
    updates.retain(|it| slot_of(it) >= from);
    updates
}

fn slot_of(update: &Json) -> u64 {
    let of = |kind: &str| number(update, &[kind, "slot"]);
    of("transaction").or_else(|| of("blockMeta")).expect("each has one")
}

/// Slot and place in it; the end comes last.
fn key(update: &Json) -> (u64, u64) {
    let index = number(update, &["transaction", "transaction", "index"]);
    let is_end = update.get("blockMeta").is_some();
    (slot_of(update), if is_end { UPDATES } else { index.unwrap_or(0) })
}

/// Pings, and demands an answer before it goes on.
async fn ping(talk: &mut Talk) -> bool {
    talk.say(json!({ "ping": {} })).await;
    let Some(answer) = talk.hear().await else { return false };
    assert_eq!(answer["ping"]["id"], 1, "{answer}");
    assert_eq!(answer.as_object().map(|it| it.len()), Some(1), "no filter is changed: {answer}");
    talk.say(json!({ "pong": { "id": 1 } })).await
}

#[tokio::test]
async fn yellowstone_commits_whole_slots_and_answers_pings() {
    let pings = Arc::new(AtomicU64::new(0));
    let of_calls = pings.clone();
    let script = move |mut talk: Talk, first: Json| {
        let pings = of_calls.clone();
        async move {
            assert_eq!(first["commitment"], "CONFIRMED");
            assert!(first["blocksMeta"].get("all").is_some() && first["transactions"].is_object());
            // In the middle of a slot, between the end of one and the rest of the next.
            let cut = [11, 6].get(talk.call).copied();
            for (count, update) in
                updates(number(&first, &["fromSlot"]).unwrap_or(0)).into_iter().enumerate()
            {
                if Some(count) == cut {
                    return talk.restart().await;
                }
                if count % PING_EVERY == 3 {
                    if !ping(&mut talk).await {
                        return;
                    }
                    pings.fetch_add(1, SeqCst);
                }
                if !talk.say(update).await {
                    return;
                }
            }
            while talk.hear().await.is_some() {}
        }
    };
    let fake = Fake::converse(method("yellowstone.proto", "geyser.Geyser/Subscribe"), script).await;
    let keys = "request: { transactions: { t: { vote: false } } }";
    let text = file(&fake.url, "yellowstone.proto", "yellowstone", keys);
    let all = updates(0).len();
    let outcome =
        run_by(fake, &text, move |it| it.len() >= all / 2, move |it| it.len() >= all).await;
    let mut told: Vec<_> = outcome.committed.iter().map(key).collect();
    let ends: Vec<u64> = told.iter().filter(|it| it.1 == UPDATES).map(|it| it.0).collect();
    assert!(ends.is_sorted(), "slots end in their order: {ends:?}");
    told.sort_unstable();
    let mut expected: Vec<_> = updates(0).iter().map(key).collect();
    expected.sort_unstable();
    assert_eq!(told, expected, "each once, and no ping among them");
    assert_eq!(outcome.resumability, Resumability::Exact);
    assert!(pings.load(SeqCst) > 3);
    let from: Vec<_> = outcome.requests.iter().map(|it| number(it, &["fromSlot"])).collect();
    assert_eq!(from[0], None);
    assert!(from[1..].iter().all(Option::is_some), "{from:?}");
}

#[tokio::test]
async fn yellowstone_stops_where_the_slot_is_gone() {
    let script = |talk: Talk, first: Json| async move {
        match first.get("fromSlot") {
            None => {
                for update in updates(0) {
                    talk.say(update).await;
                }
                talk.restart().await;
            }
            Some(_) => talk.fail(Status::out_of_range("broadcast from 12 is not available")).await,
        }
    };
    let fake = Fake::converse(method("yellowstone.proto", "geyser.Geyser/Subscribe"), script).await;
    let text = file(&fake.url, "yellowstone.proto", "yellowstone", "");
    let (end, ended) = World::run(source(&text), None).end().await;
    assert!(broken(&end).contains("not available"), "{end:?}");
    assert_eq!(ended.batches.iter().map(|it| it.len()).sum::<usize>(), updates(0).len());
    assert_eq!(fake.requests().len(), 2, "it is asked once");
}
