//! Goal: where messages are missing, a reader of the gap topic learns of it once, and not before
//! the messages behind the gap are there.
//! Method: streams with known gaps and streams that cannot resume, killed at known and at random
//! moments; gap records that only an uncommitted reader sees prove that a kill hit their
//! transaction.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::topic::{Isolation, read_all};
use headwater_test_support::wait;
use serde_json::Value;
use tonic::Code;

use crate::kills::kill_rounds;
use crate::world::{Bench, PATIENCE, count, endless, metric, random, wait_committed};

/// A pipeline that writes its gaps down.
pub(crate) fn bench(name: &str, server: &ScriptedServer) -> Result<Bench> {
    let mut bench = Bench::new(name, server.endpoint())?;
    let create = "create: { partitions: 1, replication: 1 }";
    let gaps = format!("gaps: {{ topic: {}, {create} }}", gap_topic(&bench));
    bench.pipeline.sink_extra.push(gaps);
    Ok(bench)
}

fn gap_topic(bench: &Bench) -> String {
    format!("{}.gaps", bench.pipeline.topic)
}

/// The gap records a committed reader sees.
fn gaps(bench: &Bench) -> Result<Vec<Value>> {
    let records = read_all(&bench.pipeline.brokers, &gap_topic(bench), Isolation::Committed)?;
    let value = |value: Option<Vec<u8>>| Ok(serde_json::from_slice(&value.context("a value")?)?);
    records.into_iter().map(|it| value(it.value)).collect()
}

fn sent(bench: &Bench) -> u64 {
    count(&bench.pipeline.brokers, &gap_topic(bench), Isolation::Uncommitted).unwrap_or(0)
}

/// The place of a record in its pipeline: generation and session.
type Place = (u64, u64);

fn place_of_gap(gap: &Value) -> Place {
    let number = |key: &str| gap[key].as_u64().expect("a number");
    (number("generation"), number("session"))
}

#[test]
fn a_gap_is_told_once_whether_its_transaction_dies_or_not() -> Result<()> {
    // The second call begins anew, because the first one's transaction was never committed.
    let script = Script::new(600)
        .call([Step::Send(100), Step::Skip(7), Step::Send(100), Step::Stall])
        .call([Step::Send(100), Step::Skip(7), Step::Send(100), Step::Stall]);
    let server = ScriptedServer::start(script)?;
    let mut bench = bench("gap-told", &server)?;
    bench.pipeline.commit_interval_ms = 10_000;
    let mut headwater = bench.start()?;
    wait::until("the gap's record in the log", PATIENCE, || sent(&bench) > 0)?;
    headwater.kill9()?;
    assert!(gaps(&bench)?.is_empty(), "its transaction is not committed");

    bench.pipeline.commit_interval_ms = 50;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 200.0)?;
    headwater.kill9()?;
    bench.run_to_the_end()?;

    let numbers = bench.numbers(Isolation::Committed)?;
    assert_eq!(numbers, (1..=100).chain(108..=600).collect::<Vec<u64>>());
    let gaps = gaps(&bench)?;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap = &gaps[0];
    let range = [&gap["from"], &gap["to"], &gap["messages"]].map(Value::as_u64);
    assert_eq!(range, [Some(101), Some(107), Some(7)], "{gap}");
    assert_eq!((&gap["reason"], &gap["source"]), (&"skipped".into(), &"events".into()));
    assert!(sent(&bench) >= 2, "the kill hit a transaction with the gap in it");
    Ok(())
}

#[test]
fn a_lost_cursor_is_told_once_whether_its_transaction_dies_or_not() -> Result<()> {
    let lost = || [Step::End(Code::OutOfRange, "history begins at 200".to_owned())];
    let script = Script::new(600)
        .call([Step::Send(100), Step::Stall])
        .call(lost())
        .call([Step::Skip(199), Step::Send(50), Step::Stall])
        .call(lost())
        .call([Step::Skip(199), Step::SendAll]);
    let server = ScriptedServer::start(script)?;
    let mut bench = bench("cursor-lost", &server)?;
    let resume = bench.pipeline.resume.as_mut().expect("the pipeline resumes");
    resume.on_gap = "report\n      expired: { action: earliest }";
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 100.0)?;
    headwater.kill9()?;

    bench.pipeline.commit_interval_ms = 10_000;
    let mut headwater = bench.start()?;
    wait::until("the gap's record in the log", PATIENCE, || sent(&bench) > 0)?;
    headwater.kill9()?;
    assert!(gaps(&bench)?.is_empty(), "its transaction is not committed");

    bench.pipeline.commit_interval_ms = 50;
    bench.run_to_the_end()?;
    let numbers = bench.numbers(Isolation::Committed)?;
    assert_eq!(numbers, (1..=100).chain(200..=600).collect::<Vec<u64>>());
    let gaps = gaps(&bench)?;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap = &gaps[0];
    let range = [&gap["from"], &gap["to"], &gap["messages"]].map(Value::as_u64);
    assert_eq!(range, [Some(101), Some(199), Some(99)], "{gap}");
    assert_eq!(
        (&gap["reason"], &gap["after"]["sequence"]["uint"]),
        (&"cursor_lost".into(), &100.into())
    );
    Ok(())
}

/// Each call but the first begins with a gap; so every call that has a record in the topic must
/// have its gap there, and no other call may.
#[test]
fn a_source_that_cannot_resume_tells_each_lost_call_once_across_kills() -> Result<()> {
    const ROUNDS: u32 = 8;
    let mut random = random();
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = bench("gap-calls", &server)?;
    bench.pipeline.resume = None;
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    // On a busy machine all of these may come before the first record.
    for _ in 0..3 {
        let mut headwater = bench.start()?;
        headwater.wait_for("records", PATIENCE, |it| metric(it, crate::world::COMMITTED) > 0.0)?;
        headwater.kill9()?;
    }
    let gaps = demand_each_call_told(&bench)?;
    println!("{ROUNDS} kills and 3, {gaps} gaps, {} sent", sent(&bench));
    assert!(gaps > 1, "several calls left records");
    Ok(())
}

/// Demands it of a pipeline whose every call but the first begins with a gap; how many there were.
pub(crate) fn demand_each_call_told(bench: &Bench) -> Result<usize> {
    let records = read_all(&bench.pipeline.brokers, &bench.pipeline.topic, Isolation::Committed)?;
    let mut calls: BTreeSet<Place> = BTreeSet::new();
    for record in &records {
        let number =
            |name: &'static str| anyhow::Ok(record.header(name).context(name)?.parse::<u64>()?);
        calls.insert((number("headwater-generation")?, number("headwater-session")?));
    }
    let first = calls.pop_first().context("records")?;
    assert_eq!(first.1, 1);
    let gaps = gaps(bench)?;
    let told: Vec<Place> = gaps.iter().map(place_of_gap).collect();
    assert_eq!(told, calls.into_iter().collect::<Vec<_>>());
    assert!(gaps.iter().all(|it| it["reason"] == "new_call" && it["messages"].is_null()));
    Ok(gaps.len())
}
