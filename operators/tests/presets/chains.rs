//! Aptos, Firehose, Substreams and Flow.

use crate::fake::{Fake, method};
use crate::rig::{file, number, run, source};
use crate::world::{World, broken, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_operators::source::{Resumability, ShardEnd};
use serde_json::{Value as Json, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::Status;

const BLOCKS: u64 = 40;

// === Aptos ===

/// Batches of three versions; a filter leaves the middle of every other batch out, and all of each
/// fifth.
fn transactions(request: &Json) -> Result<Vec<Json>, Status> {
    let first = number(request, &["startingVersion"]);
    let first = first.ok_or_else(|| Status::aborted("starting version is required"))?;
    let batch = |place: u64| {
        let versions = first + place * 3..first + place * 3 + 3;
        let is_kept = |version: &u64| version % 15 >= 3 && version % 6 != 4;
        let kept = versions.clone().filter(is_kept).map(|version| json!({ "version": version }));
        let range = json!({ "firstVersion": versions.start, "lastVersion": versions.end - 1 });
        json!({
            "chainId": 1, "transactions": kept.collect::<Vec<_>>(), "processedRange": range,
        })
    };
    let count = (VERSIONS - first).div_ceil(3);
    Ok((0..count).map(batch).collect())
}

const VERSIONS: u64 = 120;

#[tokio::test]
async fn aptos_goes_on_at_the_version_that_follows_the_range() {
    let aptos = method("aptos.proto", "aptos.indexer.v1.RawData/GetTransactions");
    let fake = Fake::start(aptos, &[6, 1, 4], transactions).await;
    let text = file(&fake.url, "aptos.proto", "aptos", "request: { starting_version: 30 }");
    // Each fifth batch is empty, and the first call ended with one.
    let batches = (30..VERSIONS).step_by(3).filter(|first| first % 15 >= 3);
    let outcome = run(fake, &text, 8, batches.clone().count()).await;
    let ranges = outcome.committed.iter().map(|it| number(it, &["processedRange", "firstVersion"]));
    assert!(ranges.eq(batches.map(Some)), "{:?}", outcome.committed);
    assert_eq!(outcome.resumability, Resumability::Exact);
    let asked: Vec<_> =
        outcome.requests.iter().map(|it| number(it, &["startingVersion"])).collect();
    assert_eq!(asked, [Some(30), Some(48), Some(51), Some(63)]);
}

// === Firehose ===

/// Steps of a chain that changed its mind about block 12. A cursor names a step, not a block.
fn steps() -> Vec<(u64, &'static str)> {
    let mut steps: Vec<_> = (1..=12).map(|number| (number, "STEP_NEW")).collect();
    steps.push((12, "STEP_UNDO"));
    steps.extend((12..=BLOCKS).map(|number| (number, "STEP_NEW")));
    steps
}

fn blocks(request: &Json) -> Result<Vec<Json>, Status> {
    let cursor = |place: usize| STANDARD.encode(format!("step {place}"));
    let behind = match request.get("cursor") {
        None => 0,
        Some(given) => {
            let found = (1..=steps().len()).find(|place| *given == cursor(*place));
            found.ok_or_else(|| Status::invalid_argument("invalid cursor"))?
        }
    };
    let response = |(place, (number, step)): (usize, (u64, &str))| {
        json!({
            "step": step, "cursor": cursor(place + 1),
            "metadata": { "num": number, "id": format!("{number:x}") },
        })
    };
    Ok(steps().into_iter().enumerate().skip(behind).map(response).collect())
}

#[tokio::test]
async fn firehose_goes_on_behind_a_step_also_within_a_reorganisation() {
    let method = method("firehose.proto", "sf.firehose.v2.Stream/Blocks");
    // The second cut stands between the undo of a block and its successor.
    let fake = Fake::start(method, &[12, 1, 7], blocks).await;
    let text = file(&fake.url, "firehose.proto", "firehose", "");
    let outcome = run(fake, &text, 20, steps().len()).await;
    let told = outcome.committed.iter().map(|it| {
        let step = it["step"].as_str().expect("a step").to_owned();
        (number(it, &["metadata", "num"]).expect("a number"), step)
    });
    assert!(told.eq(steps().into_iter().map(|(number, step)| (number, step.to_owned()))));
    assert_eq!(outcome.resumability, Resumability::Exact);
    let cursors: Vec<_> = outcome.requests.iter().map(|it| it.get("cursor").cloned()).collect();
    let of = |place: usize| Some(json!(STANDARD.encode(format!("step {place}"))));
    assert_eq!(cursors, [None, of(12), of(13), of(20)]);
}

#[tokio::test]
async fn firehose_stops_where_the_cursor_is_refused() {
    let answer = |request: &Json| match request.get("cursor") {
        None => blocks(request),
        Some(_) => Err(Status::invalid_argument("invalid cursor")),
    };
    let fake =
        Fake::start(method("firehose.proto", "sf.firehose.v2.Stream/Blocks"), &[3, 1], answer);
    let fake = fake.await;
    let text = file(&fake.url, "firehose.proto", "firehose", "");
    let (end, _) = World::run(source(&text), None).end().await;
    assert!(broken(&end).contains("no longer has what follows the cursor"), "{end:?}");
    assert_eq!(fake.requests().len(), 2, "it is asked once");
}

// === Substreams ===

/// Blocks 1 to 12, then the chain leaves 11 and 12 for others of the same heights.
fn heads() -> Vec<String> {
    let old = (1..=12).map(|number| format!("{number}a"));
    old.chain((11..=BLOCKS).map(|number| format!("{number}b"))).collect()
}

/// As the server: a session, progress, then data behind the cursor, or first an undo where the
/// cursor's block was left.
fn outputs(request: &Json) -> Result<Vec<Json>, Status> {
    if request["productionMode"] != true {
        return Err(Status::invalid_argument("production mode was to be asked for"));
    }
    let heads = heads();
    let place = |cursor: &str| heads.iter().position(|head| *head == cursor);
    let behind = match request["startCursor"].as_str() {
        None => None,
        Some(cursor) => {
            Some(place(cursor).ok_or_else(|| Status::invalid_argument("invalid cursor"))?)
        }
    };
    let data = |head: &String| {
        let data = json!({ "output": { "name": head }, "cursor": head });
        json!({ "blockScopedData": data })
    };
    let undo = || json!({ "blockUndoSignal": { "lastValidCursor": "10a" } });
    let mut told = vec![json!({ "session": { "traceId": "t" } }), json!({ "progress": {} })];
    let is_left = |place: usize| (10..12).contains(&place);
    match behind {
        // It has just sent the undo, or was cut behind the last block that holds.
        Some(9) if request["startCursor"] == "10a" => told.extend(heads[12..].iter().map(data)),
        Some(place) if is_left(place) => {
            told.push(undo());
            told.extend(heads[12..].iter().map(data));
        }
        Some(place) if place >= 12 => told.extend(heads[place + 1..].iter().map(data)),
        behind => {
            told.extend(heads[behind.map_or(0, |place| place + 1)..12].iter().map(data));
            told.push(undo());
            told.extend(heads[12..].iter().map(data));
        }
    }
    Ok(told)
}

#[tokio::test]
async fn substreams_go_on_behind_data_and_behind_an_undo() {
    let method = method("substreams.proto", "sf.substreams.rpc.v2.Stream/Blocks");
    // Cut behind block 12, which is left then; behind the undo; and later.
    let fake = Fake::start(method, &[14, 3, 9], outputs).await;
    let text = file(&fake.url, "substreams.proto", "substreams", "");
    let outcome = run(fake, &text, 20, heads().len() + 1).await;
    let told = outcome.committed.iter().map(|it| match it.get("blockUndoSignal") {
        Some(_) => "undo".to_owned(),
        None => it["blockScopedData"]["cursor"].as_str().expect("data").to_owned(),
    });
    let mut expected = heads();
    expected.insert(12, "undo".to_owned());
    assert!(told.eq(expected), "{:?}", outcome.committed);
    assert_eq!(outcome.resumability, Resumability::Exact);
    let cursors: Vec<_> =
        outcome.requests.iter().map(|it| it.get("startCursor").cloned()).collect();
    assert_eq!(cursors, [None, Some(json!("12a")), Some(json!("10a")), Some(json!("17b"))]);
}

// === Flow ===

/// Blocks with events at even heights, a heartbeat at each tenth; a start beyond the newest block
/// is not found.
fn flow_events(request: &Json) -> Result<Vec<Json>, Status> {
    if request.get("startBlockId").is_some() && request.get("startBlockHeight").is_some() {
        return Err(Status::invalid_argument("only one start may be given"));
    }
    let first = number(request, &["startBlockHeight"]).unwrap_or(1000);
    if first > 1000 + BLOCKS {
        return Err(Status::not_found("the start block is not available"));
    }
    let block = |height: u64| {
        let id = STANDARD.encode(format!("block {height}"));
        let events =
            vec![json!({ "type": "A.01.C.E", "eventIndex": 1 }); (height % 10 / 2) as usize];
        json!({ "blockId": id, "blockHeight": height, "events": events })
    };
    Ok((first..=1000 + BLOCKS).filter(|height| height % 2 == 0).map(block).collect())
}

#[tokio::test]
async fn flow_events_asks_for_the_last_block_again_and_drops_it() {
    let path = "flow.executiondata.ExecutionDataAPI/SubscribeEvents";
    // The second call is cut when nothing but the repetition has come.
    let fake = Fake::start(method("flow.proto", path), &[6, 1, 5], flow_events).await;
    let keys = "request: { start_block_id: YmxvY2sgMTAwMA== }";
    let text = file(&fake.url, "flow.proto", "flow-events", keys);
    // Each tenth height is a heartbeat, and the first call ended with one.
    let heights = (1000..=1000 + BLOCKS).filter(|height| height % 2 == 0 && height % 10 != 0);
    let outcome = run(fake, &text, 8, heights.clone().count()).await;
    let told = outcome.committed.iter().filter_map(|it| number(it, &["blockHeight"]));
    assert!(told.eq(heights), "{:?}", outcome.committed);
    assert_eq!(outcome.resumability, Resumability::Exact);
    let asked: Vec<_> =
        outcome.requests.iter().map(|it| number(it, &["startBlockHeight"])).collect();
    assert_eq!(asked, [None, Some(1010), Some(1010), Some(1018)]);
    assert!(outcome.requests[1].get("startBlockId").is_none(), "the other start is cleared");
    assert_eq!(number(&outcome.requests[1], &["heartbeatInterval"]), Some(100));
}

/// At the head of the chain there is nothing to ask for but the last block.
#[tokio::test]
async fn flow_events_at_the_head_asks_for_no_block_that_is_not_there() {
    let path = "flow.executiondata.ExecutionDataAPI/SubscribeEvents";
    let fake = Fake::start(method("flow.proto", path), &[21, 1, 1], flow_events).await;
    let text = file(&fake.url, "flow.proto", "flow-events", "");
    let world = World::run(source(&text), None);
    until("it has called three times", || fake.requests().len() == 3).await;
    let (end, ended) = world.stop().await;
    assert_eq!(end, ShardEnd::Stopped, "no call was refused");
    assert_eq!(ended.batches.iter().map(|batch| batch.len()).sum::<usize>(), 16);
    let asked = fake.requests();
    let asked: Vec<_> = asked.iter().map(|it| number(it, &["startBlockHeight"])).collect();
    assert_eq!(asked, [None, Some(1000 + BLOCKS), Some(1000 + BLOCKS)]);
}

/// What passes is waited out; what is gone stops the shard, which asks once.
#[tokio::test]
async fn flow_events_waits_for_a_node_that_is_behind_and_stops_below_the_root() {
    let path = "flow.executiondata.ExecutionDataAPI/SubscribeEvents";
    let calls = AtomicUsize::new(0);
    let answer = move |request: &Json| match (calls.fetch_add(1, Ordering::SeqCst), request) {
        (1, _) => Err(Status::not_found("could not get header: key not found")),
        (2, _) => Err(Status::failed_precondition("index not ready")),
        (_, request) => flow_events(request),
    };
    let fake = Fake::start(method("flow.proto", path), &[6, 1, 1, 9, 1], answer).await;
    let text = file(&fake.url, "flow.proto", "flow-events", "");
    let world = World::run(source(&text), None);
    until("it has called a fifth time", || fake.requests().len() == 5).await;
    assert_eq!(world.stop().await.0, ShardEnd::Stopped, "neither status has ended it");
    for text in [
        "start height 1010 must be greater than or equal to the root height 2000",
        "start height 1010 is lower than lowest indexed height 2000",
    ] {
        let answer = move |request: &Json| match request.get("startBlockHeight") {
            None => flow_events(request),
            Some(_) => Err(Status::invalid_argument(text)),
        };
        let fake = Fake::start(method("flow.proto", path), &[6, 1, 1], answer).await;
        let text = file(&fake.url, "flow.proto", "flow-events", "");
        let (end, _) = World::run(source(&text), None).end().await;
        assert!(broken(&end).contains("no longer has what follows the cursor"), "{end:?}");
        assert_eq!(fake.requests().len(), 2, "it is asked once");
    }
}
