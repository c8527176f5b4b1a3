//! Goal: two instances of a pipeline never write at once; the newer one owns it.
//! Method: start a second process while the first one is under load.

use std::time::Duration;

use anyhow::Result;
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::signal;
use headwater_test_support::wait;

use crate::world::{Bench, COMMITTED, PATIENCE, demand_line, endless, metric, wait_committed};

#[test]
fn a_second_instance_takes_over_and_the_first_one_leaves() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("instances", server.endpoint())?.shards(2);
    let mut first = bench.start()?;
    wait_committed(&mut first, 500.0)?;
    let mut second = bench.start()?;
    let status = first.wait_exit(PATIENCE)?;
    assert_eq!(status.code(), Some(76), "{}", first.log()?);
    demand_line(&first.log()?, &["event=pipeline_superseded", "superseded by instance"]);
    let committed = metric(&second, COMMITTED);
    wait_committed(&mut second, committed + 500.0)?;
    assert_eq!(second.stop(PATIENCE)?.0.code(), Some(0));
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

/// The first one was frozen when it was replaced, with a transaction open, and wakes up later.
#[test]
fn an_instance_that_wakes_up_behind_its_successor_writes_nothing() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("zombie", server.endpoint())?.shards(2);
    let mut first = bench.start()?;
    wait_committed(&mut first, 500.0)?;
    signal(first.pid(), "STOP")?;
    let mut second = bench.start()?;
    wait_committed(&mut second, 500.0)?;
    signal(first.pid(), "CONT")?;
    let status = first.wait_exit(PATIENCE)?;
    assert_eq!(status.code(), Some(76), "{}", first.log()?);
    assert_eq!(second.stop(PATIENCE)?.0.code(), Some(0));
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

#[test]
fn of_two_instances_that_start_at_once_one_goes_on() -> Result<()> {
    const ROUNDS: u32 = 4;
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("rivals", server.endpoint())?.shards(2);
    for _ in 0..ROUNDS {
        let (mut one, mut other) = (bench.start()?, bench.start()?);
        let mut loser = None;
        wait::until_ok("one of two to leave", PATIENCE, || {
            loser = if one.has_ended()? { Some(true) } else { other.has_ended()?.then_some(false) };
            Ok(loser.is_some())
        })?;
        if loser == Some(false) {
            std::mem::swap(&mut one, &mut other);
        }
        assert_eq!(one.wait_exit(PATIENCE)?.code(), Some(76), "{}", one.log()?);
        let committed = metric(&other, COMMITTED);
        wait_committed(&mut other, committed + 200.0)?;
        assert_eq!(other.stop(PATIENCE)?.0.code(), Some(0), "{}", other.log()?);
    }
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

/// The broker gave the transaction up meanwhile: that is no newer instance, and what was in it is
/// sent again from memory, without a new call to the server.
#[test]
fn an_instance_that_sleeps_past_its_transaction_goes_on_by_itself() -> Result<()> {
    const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("sleeper", server.endpoint())?.shards(2);
    let timeout = format!("transaction_timeout_ms: {}", TRANSACTION_TIMEOUT.as_millis());
    bench.pipeline.sink_extra.push(timeout);
    // So long that the freeze, a quarter of a second behind a commit, falls into an open
    // transaction and not into the next commit, however busy the machine is.
    bench.pipeline.commit_interval_ms = 3_000;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 1_000.0)?;
    std::thread::sleep(Duration::from_millis(250));
    signal(headwater.pid(), "STOP")?;
    std::thread::sleep(TRANSACTION_TIMEOUT + Duration::from_secs(5));
    signal(headwater.pid(), "CONT")?;
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 2_000.0)?;
    let metrics = headwater.metrics()?;
    let again = ["headwater_resends_total", "headwater_rebuilds_total"].map(|it| metrics.sum(it));
    let calls = server.calls().len();
    let (status, _) = headwater.stop(PATIENCE)?;
    assert_eq!(status.code(), Some(0), "{}", headwater.log()?);
    let aborted = bench.aborted()?;
    println!("{aborted} aborted copies; resends and rebuilds: {again:?}; {calls} calls");
    assert!(aborted > 0, "the freeze hit no open transaction");
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    assert_eq!((again[1], calls), (0.0, 2), "repaired from memory");
    assert!(again[0] > 0.0);
    Ok(())
}
