//! Cilium Hubble and LND.

use crate::fake::{Fake, method};
use crate::rig::{file, number, run};
use headwater_operators::source::Resumability;
use serde_json::{Value as Json, json};
use tonic::Status;

const FLOWS: usize = 40;

/// Flow `number` of the ring; three at a time share a moment, and now and then some are lost.
fn flow(number: usize) -> Json {
    let time = format!("2026-01-01T00:00:{:02}Z", number / 3);
    if number % 10 == 9 {
        return json!({ "lostEvents": { "numEventsLost": number }, "nodeName": "n", "time": time });
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
        let shared = all.iter().take_while(|it| it["time"] == since).count();
        all[..shared].reverse();
    }
    Ok(all)
}

#[tokio::test]
async fn hubble_flows_tells_flows_of_one_moment_apart() {
    // Both cuts stand between flows of one moment.
    let fake = Fake::start(method("hubble.proto", "observer.Observer/GetFlows"), &[4, 5, 9], flows);
    let fake = fake.await;
    let text = file(&fake.url, "hubble.proto", "hubble-flows", "");
    let outcome = run(fake, &text, 15, FLOWS).await;
    let key = |it: &Json| match it.get("flow") {
        Some(flow) => flow["uuid"].to_string(),
        None => format!("{:?}", number(it, &["lostEvents", "numEventsLost"])),
    };
    let mut told: Vec<String> = outcome.committed.iter().map(key).collect();
    let mut expected: Vec<String> = (0..FLOWS).map(|it| key(&flow(it))).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected, "each once");
    let times: Vec<&Json> = outcome.committed.iter().map(|it| &it["time"]).collect();
    assert!(times.is_sorted_by_key(|time| time.as_str().expect("a time")), "in order of time");
    // Several nodes are not in step, so it is not called exact.
    let Resumability::Weakened { field, .. } = outcome.resumability else { panic!("not weakened") };
    assert_eq!(field, "resume.sequence");
    let since: Vec<_> = outcome.requests.iter().map(|it| it.get("since").cloned()).collect();
    let at = |second: u64| Some(json!(format!("2026-01-01T00:00:{second:02}Z")));
    assert_eq!(since, [None, at(1), at(2), at(4)]);
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

/// As LND does: what was added behind one index, what was settled behind the other; and to a
/// settle index of 0 no earlier settlements. The order of the history stays.
fn invoices(request: &Json) -> Result<Vec<Json>, Status> {
    let added = number(request, &["addIndex"]).unwrap_or(0);
    let settled = number(request, &["settleIndex"]).unwrap_or(0);
    let is_new = |(add, settle): &(u64, u64)| match settle {
        0 => *add > added,
        settle => *settle > settled,
    };
    let invoice = |(add, settle): (u64, u64)| {
        let memo = format!("{add}/{settle}");
        json!({ "memo": memo, "addIndex": add, "settleIndex": settle })
    };
    Ok(history().into_iter().filter(is_new).map(invoice).collect())
}

#[tokio::test]
async fn lnd_invoices_go_on_behind_the_highest_of_both_indices() {
    // Both cuts stand behind a settlement, whose invoice is older than the newest one.
    let method = method("lnd.proto", "lnrpc.Lightning/SubscribeInvoices");
    let fake = Fake::start(method, &[9, 4, 5], invoices).await;
    let text = file(&fake.url, "lnd.proto", "lnd-invoices", "");
    let outcome = run(fake, &text, 18, history().len()).await;
    let told = outcome.committed.iter().map(|it| it["memo"].clone());
    let expected = history().into_iter().map(|(add, settle)| json!(format!("{add}/{settle}")));
    assert!(told.eq(expected), "{:?}", outcome.committed);
    assert_eq!(outcome.resumability, Resumability::Exact);
    let asked: Vec<_> = (outcome.requests.iter())
        .map(|it| (number(it, &["addIndex"]), number(it, &["settleIndex"])))
        .collect();
    let of = |added, settled| (Some(added), Some(settled));
    assert_eq!(asked, [(None, None), of(6, 3), of(8, 5), of(11, 7)]);
}
