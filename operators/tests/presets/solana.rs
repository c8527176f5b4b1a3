//! Yellowstone.

use crate::fake::{Fake, Talk, method};
use crate::rig::{file, number, run_by, source};
use crate::world::{World, broken, until};
use headwater_operators::source::{Resumability, ShardEnd};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use tonic::Status;

const SLOTS: u64 = 12;

/// Transactions of a slot.
const UPDATES: u64 = 3;

/// How many updates pass between two pings.
const PING_EVERY: usize = 7;

/// The filters of a request, by their kinds.
struct Filters(Json);

impl Filters {
    /// The names of the filters of a kind, of those a test lets through.
    fn names(&self, kind: &str, passes: impl Fn(&Json) -> bool) -> Vec<String> {
        let filters = self.0[kind].as_object();
        let passing = filters.into_iter().flatten().filter(|(_, filter)| passes(filter));
        passing.map(|(name, _)| name.clone()).collect()
    }

    fn update(&self, kind: &str, filters: &[String], update: Json) -> Option<Json> {
        (!filters.is_empty()).then(|| json!({ kind: update, "filters": filters }))
    }

    /// What the server sends of a slot, in its order: data, the block and its summary in either
    /// order, as versions differ, and last the status. The statuses of other commitments, which are
    /// sent to all, are for filters that take any.
    fn slot(&self, slot: u64, is_summary_first: bool) -> Vec<Json> {
        let any = |_: &Json| true;
        let status = |slot: u64, status: &str, names: &[String]| {
            self.update("slot", names, json!({ "slot": slot, "status": status }))
        };
        let all_statuses = self.names("slots", |it| it["filterByCommitment"] != true);
        let mut updates = vec![status(slot + 1, "SLOT_PROCESSED", &all_statuses)];
        let data = self.names("transactions", any);
        updates.extend((0..UPDATES).map(|index| {
            let update = json!({ "slot": slot, "transaction": { "index": index } });
            self.update("transaction", &data, update)
        }));
        let hash = format!("b{slot}");
        let whole = |kind: &str, filters: &[String]| {
            self.update(kind, filters, json!({ "slot": slot, "blockhash": hash }))
        };
        let block = whole("block", &self.names("blocks", any));
        let summary = whole("blockMeta", &self.names("blocksMeta", any));
        updates.extend(if is_summary_first { [summary, block] } else { [block, summary] });
        updates.push(status(slot, "SLOT_CONFIRMED", &self.names("slots", any)));
        updates.into_iter().flatten().collect()
    }

    /// The updates from a slot on, as they are sent live: the first one of the next slot comes
    /// before the end of a slot.
    fn updates(&self, from: u64, is_summary_first: bool) -> Vec<Json> {
        let mut updates = Vec::new();
        for slot in from.max(1)..=SLOTS {
            updates.extend(self.slot(slot, is_summary_first));
        }
        for at in 1..updates.len() {
            let is_end = kind(&updates[at - 1]) == "slot" && kind(&updates[at]) == "transaction";
            if is_end && index(&updates[at]) == Some(0) {
                updates.swap(at - 1, at);
            }
        }
        updates
    }
}

fn kind(update: &Json) -> &'static str {
    let kinds = ["transaction", "block", "blockMeta", "slot"];
    kinds.into_iter().find(|kind| update.get(kind).is_some()).expect("each is of a kind")
}

fn index(update: &Json) -> Option<u64> {
    let index = |it: &Json| number(it, &["index"]).unwrap_or(0);
    update.get("transaction").map(|it| index(&it["transaction"]))
}

/// Slot, kind and place in it.
fn key(update: &Json) -> (u64, &'static str, u64) {
    let kind = kind(update);
    let slot = number(update, &[kind, "slot"]).expect("each has one");
    (slot, kind, index(update).unwrap_or(0))
}

/// Pings, and demands an answer before it goes on.
async fn ping(talk: &mut Talk) -> bool {
    talk.say(json!({ "ping": {} })).await;
    let Some(answer) = talk.hear().await else { return false };
    assert_eq!(answer["ping"]["id"], 1, "{answer}");
    assert_eq!(answer.as_object().map(|it| it.len()), Some(1), "no filter is changed: {answer}");
    talk.say(json!({ "pong": { "id": 1 } })).await
}

/// Transactions and whole blocks; the preset brings summaries and the ends of slots.
const FILTERS: &str =
    "request: { transactions: { t: { vote: false } }, blocks: { b: { account_include: [] } } }";

fn all_filters() -> Filters {
    Filters(json!({
        "transactions": { "t": {} }, "blocks": { "b": {} }, "blocksMeta": { "all": {} },
        "slots": { "ends": { "filterByCommitment": true } },
    }))
}

/// In the middle of a slot, between the end of one and the rest of the next; and where the server
/// comes to what is live, it repeats the rest of the last slot that it had kept.
async fn whole_slots_are_committed_once(is_summary_first: bool) {
    let pings = Arc::new(AtomicU64::new(0));
    let of_calls = pings.clone();
    let script = move |mut talk: Talk, first: Json| {
        let pings = of_calls.clone();
        async move {
            assert_eq!(first["commitment"], "CONFIRMED");
            let from = number(&first, &["fromSlot"]);
            let filters = Filters(first);
            let cut = [17, 9].get(talk.call).copied();
            let mut updates = filters.updates(from.unwrap_or(0), is_summary_first);
            let newest = from.map(|from| from + 3);
            let is_newest = |it: &&Json| Some(key(it).0) == newest && kind(it) != "transaction";
            let rest: Vec<Json> = updates.iter().filter(is_newest).cloned().collect();
            if let Some(at) = updates.iter().rposition(|it| is_newest(&it)) {
                updates.splice(at + 1..at + 1, rest);
            }
            for (count, update) in updates.into_iter().enumerate() {
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
    let text = file(&fake.url, "yellowstone.proto", "yellowstone", FILTERS);
    let expected = all_filters().updates(0, is_summary_first);
    let all = expected.len();
    let outcome =
        run_by(fake, &text, move |it| it.len() >= all / 2, move |it| it.len() >= all).await;
    let mut told: Vec<_> = outcome.committed.iter().map(key).collect();
    let ends: Vec<u64> = told.iter().filter(|it| it.1 == "slot").map(|it| it.0).collect();
    assert!(ends.is_sorted(), "slots end in their order: {ends:?}");
    told.sort_unstable();
    let mut expected: Vec<_> = expected.iter().map(key).collect();
    expected.sort_unstable();
    assert_eq!(told, expected, "each once, with the status of each slot, and no ping among them");
    assert_eq!(outcome.resumability, Resumability::Exact);
    assert!(pings.load(SeqCst) > 3);
    let from: Vec<_> = outcome.requests.iter().map(|it| number(it, &["fromSlot"])).collect();
    assert_eq!(from[0], None);
    assert!(from[1..].iter().all(Option::is_some), "{from:?}");
}

#[tokio::test]
async fn yellowstone_commits_whole_slots_and_answers_pings() {
    whole_slots_are_committed_once(false).await;
}

#[tokio::test]
async fn yellowstone_commits_whole_slots_whose_summary_comes_before_the_block() {
    whole_slots_are_committed_once(true).await;
}

/// Says the updates of all slots, changed by `change`, and waits.
async fn run_changed(
    keys: &str,
    change: impl Fn(&mut Vec<Json>) + Send + Sync + Clone + 'static,
) -> (World, Fake) {
    let script = move |mut talk: Talk, first: Json| {
        let change = change.clone();
        async move {
            let mut updates = Filters(first).updates(0, false);
            change(&mut updates);
            for update in updates {
                if !talk.say(update).await {
                    return;
                }
            }
            while talk.hear().await.is_some() {}
        }
    };
    let fake = Fake::converse(method("yellowstone.proto", "geyser.Geyser/Subscribe"), script).await;
    let text = file(&fake.url, "yellowstone.proto", "yellowstone", keys);
    (World::run(source(&text), None), fake)
}

/// A status of another commitment is part of its slot, whoever asked for it.
#[tokio::test]
async fn a_slots_filter_of_ones_own_ends_no_slot() {
    let keys = "request: { transactions: { t: {} }, slots: { mine: {} } }";
    let (world, _fake) = run_changed(keys, |_| {}).await;
    // The last status of all is of a slot that never ends.
    let count = SLOTS * (1 + UPDATES + 1 + 1) - 1;
    until("all slots are committed", || {
        world.batches().iter().map(|batch| batch.len() as u64).sum::<u64>() == count
    })
    .await;
    assert_eq!(world.stop().await.0, ShardEnd::Stopped);
}

/// What comes behind the end of its slot is not taken for a repetition.
#[tokio::test]
async fn yellowstone_stops_where_a_slot_goes_on_behind_its_end() {
    let late = |updates: &mut Vec<Json>| {
        let status = json!({ "slot": 3, "status": "SLOT_FINALIZED" });
        let at = updates.iter().position(|it| key(it) == (5, "slot", 0)).expect("it ends");
        updates.insert(at + 1, json!({ "slot": status, "filters": ["mine"] }));
    };
    let (world, _fake) = run_changed(FILTERS, late).await;
    let (end, ended) = world.end().await;
    assert!(broken(&end).contains("behind the end of its group"), "{end:?}");
    let committed = ended.batches.iter().map(|it| it.len() as u64).sum::<u64>();
    assert_eq!(committed, 5 * (UPDATES + 3), "what came before it is delivered");
}

/// A slot that is confirmed behind a later one: its data is no repetition.
#[tokio::test]
async fn yellowstone_stops_where_a_slot_ends_behind_a_later_one() {
    let late = |updates: &mut Vec<Json>| {
        let (mut skipped, rest): (Vec<Json>, Vec<Json>) =
            std::mem::take(updates).into_iter().partition(|it| key(it).0 == 3);
        *updates = rest;
        let at = updates.iter().position(|it| key(it) == (4, "slot", 0)).expect("it ends");
        let after = updates.split_off(at + 1);
        updates.append(&mut skipped);
        updates.extend(after);
    };
    let (world, _fake) = run_changed(FILTERS, late).await;
    let (end, _) = world.end().await;
    assert!(broken(&end).contains("on_out_of_order"), "{end:?}");
}

/// A server that goes on at its newest slot, whatever it was asked.
#[tokio::test]
async fn yellowstone_reports_a_gap_where_a_call_begins_further_on() {
    let script = |mut talk: Talk, first: Json| async move {
        let from = number(&first, &["fromSlot"]);
        let filters = Filters(first);
        let slots = if from.is_none() { 1..=4 } else { 8..=SLOTS };
        for update in slots.flat_map(|slot| filters.slot(slot, false)) {
            talk.say(update).await;
        }
        if from.is_none() {
            return talk.restart().await;
        }
        while talk.hear().await.is_some() {}
    };
    let fake = Fake::converse(method("yellowstone.proto", "geyser.Geyser/Subscribe"), script).await;
    let text = file(&fake.url, "yellowstone.proto", "yellowstone", FILTERS);
    let world = World::run(source(&text), None);
    let count = 9 * (UPDATES + 3);
    until("all that is sent is committed", || {
        world.batches().iter().map(|batch| batch.len() as u64).sum::<u64>() == count
    })
    .await;
    let (_, ended) = world.stop().await;
    assert_eq!(ended.telemetry.shard("test", "s", "0").gaps.get(), 1);
}

#[tokio::test]
async fn yellowstone_stops_where_the_slot_is_gone() {
    let script = |talk: Talk, first: Json| async move {
        match first.get("fromSlot") {
            None => {
                for update in Filters(first).updates(0, false) {
                    talk.say(update).await;
                }
                talk.restart().await;
            }
            Some(_) => talk.fail(Status::out_of_range("broadcast from 12 is not available")).await,
        }
    };
    let fake = Fake::converse(method("yellowstone.proto", "geyser.Geyser/Subscribe"), script).await;
    let text = file(&fake.url, "yellowstone.proto", "yellowstone", FILTERS);
    let (end, ended) = World::run(source(&text), None).end().await;
    assert!(broken(&end).contains("not available"), "{end:?}");
    let all = all_filters().updates(0, false).len();
    assert_eq!(ended.batches.iter().map(|it| it.len()).sum::<usize>(), all);
    assert_eq!(fake.requests().len(), 2, "it is asked once");
}
