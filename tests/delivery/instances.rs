//! Goal: two instances of a pipeline never write at once; the newer one owns it, the other stands
//! by and takes over from an owner that falls silent.
//! Method: start a second process while the first one is under load, idle or frozen.

use std::time::Duration;

use anyhow::Result;
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::pipeline::OnEnd;
use headwater_test_support::process::{Headwater, signal};
use headwater_test_support::wait;

use crate::world::{Bench, COMMITTED, PATIENCE, demand_line, endless, metric, wait_committed};

/// An instance that was replaced leaves.
const EXIT: &str = "takeover: { when_superseded: exit }\n";

/// It stands by, and a few seconds of silence are enough for it.
const IMPATIENT: &str = "takeover: { heartbeat_ms: 300, after_ms: 4000 }\n";

/// It stands by, for longer than any test.
const PATIENT: &str = "takeover: { after_ms: 600000 }\n";

#[test]
fn a_second_instance_takes_over_and_the_first_one_leaves() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("instances", server.endpoint())?.shards(2);
    bench.more.push_str(EXIT);
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

/// The first one was frozen when it was replaced, with a transaction open. It wakes up, stands by
/// without disturbing the second, and goes on when that is killed.
#[test]
fn an_instance_that_wakes_up_behind_its_successor_stands_by_and_takes_over() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("zombie", server.endpoint())?.shards(2);
    bench.more.push_str(IMPATIENT);
    let mut first = bench.start()?;
    wait_committed(&mut first, 500.0)?;
    signal(first.pid(), "STOP")?;
    let mut second = bench.start()?;
    wait_committed(&mut second, 500.0)?;
    signal(first.pid(), "CONT")?;
    wait_standby(&mut first)?;
    let calls = server.calls().len();
    let committed = metric(&second, COMMITTED);
    wait_committed(&mut second, committed + 3_000.0)?;
    assert_eq!(server.calls().len(), calls, "who stands by calls nobody");
    assert!(!second.log()?.contains("event=pipeline_standby"), "no ping-pong");
    let before = metric(&first, COMMITTED);
    second.kill9()?;
    wait_committed(&mut first, before + 500.0)?;
    demand_line(&first.log()?, &["event=pipeline_takeover"]);
    assert_eq!(first.stop(PATIENCE)?.0.code(), Some(0), "{}", first.log()?);
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

/// Nothing that it commits could be refused, because it commits nothing.
#[test]
fn an_idle_instance_notices_that_it_was_replaced_and_a_silent_owner_keeps_the_pipeline()
-> Result<()> {
    let server = ScriptedServer::start(Script::new(300).rest([Step::SendAll, Step::Stall]))?;
    let mut bench = Bench::new("idle", server.endpoint())?;
    bench.more.push_str(IMPATIENT);
    bench.pipeline.on_end = OnEnd::Reconnect;
    let mut first = bench.start()?;
    wait_committed(&mut first, 300.0)?;
    let mut second = bench.start()?;
    wait_standby(&mut first)?;
    // Longer than it would wait for an owner that shows no sign of life.
    std::thread::sleep(Duration::from_secs(6));
    assert!(!first.log()?.contains("event=pipeline_takeover"), "{}", first.log()?);
    assert_eq!(first.stop(PATIENCE)?.0.code(), Some(0), "{}", first.log()?);
    assert_eq!(second.stop(PATIENCE)?.0.code(), Some(0), "{}", second.log()?);
    bench.demand_exact(300)
}

#[test]
fn of_two_instances_that_start_at_once_one_goes_on() -> Result<()> {
    const ROUNDS: u32 = 8;
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("rivals", server.endpoint())?.shards(2);
    bench.more.push_str(PATIENT);
    for _ in 0..ROUNDS {
        let (mut one, mut other) = (bench.start()?, bench.start()?);
        wait::until_ok("one of two to stand by", PATIENCE, || {
            Ok(stands_by(&one)? || stands_by(&other)?)
        })?;
        if stands_by(&other)? {
            std::mem::swap(&mut one, &mut other);
        }
        let committed = metric(&other, COMMITTED);
        wait_committed(&mut other, committed + 200.0)?;
        assert!(!stands_by(&other)?, "{}", other.log()?);
        assert_eq!(other.stop(PATIENCE)?.0.code(), Some(0), "{}", other.log()?);
        assert_eq!(one.stop(PATIENCE)?.0.code(), Some(0), "{}", one.log()?);
    }
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

/// Whoever takes over fences also the producers that it would not have itself.
#[test]
fn a_smaller_ring_leaves_no_producer_of_the_larger_one() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("rings", server.endpoint())?.shards(2);
    bench.more.push_str(EXIT);
    let mut total = 0.0;
    for ring in [3, 1, 2] {
        bench.pipeline.ring = Some(ring);
        let mut headwater = bench.start()?;
        // Killed, so that each start finds open transactions of the ring before.
        wait_committed(&mut headwater, 1_000.0)?;
        total += metric(&headwater, COMMITTED);
        headwater.kill9()?;
    }
    println!("{total} records committed under the three rings");
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

fn stands_by(headwater: &Headwater) -> Result<bool> {
    Ok(headwater.log()?.contains("event=pipeline_standby"))
}

fn wait_standby(headwater: &mut Headwater) -> Result<()> {
    headwater.wait_for("it to stand by", PATIENCE, |it| stands_by(it).unwrap_or(false))
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
