//! Cilium Hubble and LND.

use crate::fake::{Fake, method};
use crate::rig::{file, number, run_by};
use headwater_operators::source::Resumability;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::Status;

const FLOWS: usize = 40;

/// Flow `number` of the ring; three at a time share a moment. Now and then some are lost, which
/// bears the time at which that was found: ahead of flows that are still to come.
fn flow(number: usize) -> Json {
    let time = format!("2026-01-01T00:00:{:02}Z", number / 3);
    if number % 10 == 9 {
        let found = format!("2026-01-01T00:00:{:02}Z", number / 3 + 5);
        let lost = json!({ "numEventsLost": number });
        return json!({ "lostEvents": lost, "nodeName": "n", "time": found });
    }
    let flow = json!({ "time": time, "uuid": format!("u-{number}"), "nodeName": "n" });
    json!({ "flow": flow, "nodeName": "n", "time": time })
}

/// Everything since a moment, which is included. What shares a moment comes in no sure order.
fn flows(request: &Json) -> Result<Vec<Json>, Status> {
    if request["follow"] != true {
        return Err(Status::invalid_argument("the stream would end"));
    }
    let since = request.get("since").and_then(Json::as_str).unwrap_or_default();
    let mut all: Vec<Json> = (0..FLOWS).map(flow).collect();
    all.retain(|it| it["time"].as_str().expect("a time") >= since);
    if !since.is_empty() {
        let is_shared = |it: &Json| it["time"] == since && it.get("flow").is_some();
        let begin = all.iter().position(is_shared).unwrap_or(0);
        let shared = all[begin..].iter().take_while(|it| is_shared(it)).count();
        all[begin..begin + shared].reverse();
    }
    Ok(all)
}

#[tokio::test]
async fn hubble_flows_tells_flows_of_one_moment_apart() {
    // The first cut stands between flows of one moment, the second behind a loss that bears a time
    // ahead of the flows that follow.
    let cuts = [5, 7, 12];
    let method = method("hubble.proto", "observer.Observer/GetFlows");
    let fake = Fake::start(method, &cuts, flows).await;
    let text = file(&fake.url, "hubble.proto", "hubble-flows", "");
    let is_flow = |it: &&Json| it.get("flow").is_some();
    let all = (0..FLOWS).map(flow).filter(|it| is_flow(&it)).count();
    let count = move |it: &[Json]| it.iter().filter(is_flow).count();
    let outcome = run_by(fake, &text, move |it| count(it) >= 15, move |it| count(it) >= all).await;
    let uuid = |it: &Json| it["flow"]["uuid"].to_string();
    let mut told: Vec<String> = outcome.committed.iter().filter(is_flow).map(uuid).collect();
    let expected = (0..FLOWS).map(flow).filter(|it| is_flow(&it));
    let mut expected: Vec<String> = expected.map(|it| uuid(&it)).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected, "each once");
    let lost = |it: &Json| number(it, &["lostEvents", "numEventsLost"]);
    let told: BTreeSet<u64> = outcome.committed.iter().filter_map(lost).collect();
    assert!(told.is_superset(&BTreeSet::from([9, 19, 29])), "what was lost is told, too: {told:?}");
    let flows = outcome.committed.iter().filter(is_flow);
    assert!(flows.map(|it| it["time"].as_str()).is_sorted(), "in order of time");
    // Several nodes are not in step, so it is not called exact.
    let Resumability::Weakened { field, .. } = outcome.resumability else { panic!("not weakened") };
    assert_eq!(field, "resume.caveat");
    let since: Vec<_> = outcome.requests.iter().map(|it| it.get("since").cloned()).collect();
    let at = |second: u64| Some(json!(format!("2026-01-01T00:00:{second:02}Z")));
    assert_eq!(since[..3], [None, at(1), at(2)]);
}

// === LND ===

const INVOICES: u64 = 24;

/// What happens to invoices, in order: number *n* is added, and settled three additions later.
fn history() -> Vec<(u64, u64)> {
    let mut history = Vec::new();
    for added in 1..=INVOICES {
        history.push((added, 0));
        if added > 3 {
            history.push((added - 3, added - 3));
        }
    }
    history
}

fn invoice((add, settle): (u64, u64)) -> Json {
    let memo = format!("{add}/{settle}");
    json!({ "memo": memo, "addIndex": add, "settleIndex": settle })
}

/// As LND does to a call at a moment of the history: first all that were added behind one index,
/// *as they are now*; then all that were settled behind the other; then what happens. To an index
/// of 0 it tells nothing of the past.
fn invoices(request: &Json, now: usize) -> Vec<Json> {
    let added = number(request, &["addIndex"]).unwrap_or(0);
    let settled = number(request, &["settleIndex"]).unwrap_or(0);
    let (past, future) = (&history()[..now], &history()[now..]);
    let settlement = |add: u64| past.iter().find(|it| it.0 == add && it.1 > 0).map_or(0, |it| it.1);
    let adds = past.iter().filter(|it| it.1 == 0 && added > 0 && it.0 > added);
    let adds = adds.map(|it| invoice((it.0, settlement(it.0))));
    let settles = past.iter().filter(|it| settled > 0 && it.1 > settled);
    adds.chain(settles.chain(future).map(|it| invoice(*it))).collect()
}

/// A server whose calls begin at these moments of the history, and are cut.
async fn lnd(moments: [usize; 4], cuts: &[usize]) -> Fake {
    let method = method("lnd.proto", "lnrpc.Lightning/SubscribeInvoices");
    let call = AtomicUsize::new(0);
    let answer = move |request: &Json| {
        let call = call.fetch_add(1, Ordering::SeqCst);
        Ok(invoices(request, moments[call.min(3)]))
    };
    Fake::start(method, cuts, answer).await
}

/// The invoices that were told as settled.
fn settled(committed: &[Json]) -> BTreeSet<u64> {
    committed.iter().filter_map(|it| number(it, &["settleIndex"])).filter(|it| *it > 0).collect()
}

#[tokio::test]
async fn lnd_invoices_go_on_behind_the_highest_of_both_indices() {
    // Each call but the first begins a few events later, and none is cut in what it is behind.
    let fake = lnd([0, 13, 22, 32], &[9, 9, 10]).await;
    let text = file(&fake.url, "lnd.proto", "lnd-invoices", "");
    let is_whole = |it: &[Json]| settled(it).len() as u64 == INVOICES - 3;
    let outcome = run_by(fake, &text, |it| it.len() >= 28, is_whole).await;
    assert_eq!(settled(&outcome.committed), (1..=INVOICES - 3).collect());
    let added: BTreeSet<_> = outcome.committed.iter().map(|it| number(it, &["addIndex"])).collect();
    assert_eq!(added, (1..=INVOICES).map(Some).collect());
}

/// Why it is not called exact: an invoice that was added and settled meanwhile comes first, with an
/// index behind which the settlements that were to follow are not sent again.
#[tokio::test]
async fn lnd_invoices_that_are_cut_in_what_they_are_behind_miss_settlements_and_say_so() {
    // The second call is six additions behind, and is cut behind the adds.
    let fake = lnd([0, 27, 27, 27], &[9, 9, 3]).await;
    let text = file(&fake.url, "lnd.proto", "lnd-invoices", "");
    let is_last = |it: &[Json]| settled(it).contains(&(INVOICES - 3));
    let outcome = run_by(fake, &text, |it| it.len() >= 21, is_last).await;
    assert_ne!(settled(&outcome.committed), (1..=INVOICES - 3).collect());
    let Resumability::Weakened { field, because } = outcome.resumability else {
        panic!("{:?}", outcome.resumability)
    };
    assert_eq!(field, "resume.caveat");
    assert!(because.contains("settle"), "{because}");
}
