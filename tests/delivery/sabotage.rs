//! Goal: the judge turns red when one protection of the program is taken away, and stays green in
//! the same scene with all of them.
//! Method: sabotages of the program under test (`engine/src/fault/sabotage.rs`), armed by its
//! environment, in a scene that is made for each: by fail points, by a frozen process, by a proxy.
//! Each sabotage finds its hit written down, or its test fails.

use anyhow::{Context, Result, ensure};
use headwater_engine::fault::{Point, Sabotage};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::signal;
use headwater_test_support::topic::{Isolation, check::Faults};

use crate::faults::Armed;
use crate::proxied::{World, delay_commit};
use crate::world::{Bench, COMMITTED, PATIENCE, endless, metric, wait_committed};

/// Events a second on each shard.
const RATE: u64 = 1_000;

/// Nobody notices a newer owner but by a refused commit.
const QUIET: &str = "takeover: { when_superseded: exit, heartbeat_ms: 60000, after_ms: 180000 }\n";

/// What the judge finds, with a sabotage and without.
type Verdict = Result<u64, Box<Faults>>;

/// Plays a scene twice: with the sabotage, which must hit, and without, which must be exact.
fn red_and_green(
    sabotage: Sabotage,
    play: impl Fn(&str, Option<Sabotage>) -> Result<Verdict>,
) -> Result<Box<Faults>> {
    let name = sabotage.name().replace(['.', '_'], "-");
    let faults = play(&name, Some(sabotage))?.err().context("the judge has found nothing")?;
    println!("{name}: {faults}");
    play(&format!("{name}-not"), None)?.with_context(|| format!("{name} without sabotage"))?;
    Ok(faults)
}

/// Arms a fault and, where the scene has one, the sabotage beside it.
fn arm(bench: &mut Bench, fault: &str, sabotage: Option<Sabotage>) -> Result<Armed> {
    let sabotage = sabotage.map(|it| format!("; {}=on", it.name())).unwrap_or_default();
    Armed::next(bench, &format!("{fault}{sabotage}"))
}

/// Holds a process at a point, so that it can be frozen there.
fn pause(point: Point, hit: u32) -> String {
    format!("{}=sleep(1000)@{hit}", point.name())
}

fn demand_hit(armed: &Armed, sabotage: Option<Sabotage>) -> Result<()> {
    let hits = sabotage.map(|sabotage| armed.hits(sabotage.name()));
    ensure!(hits != Some(0), "the sabotage was not done");
    Ok(())
}

/// Kills the program at `fault`, and starts it once more; each start may be sabotaged.
fn kill_and_finish(
    name: &str,
    fault: Point,
    first: Option<Sabotage>,
    second: Option<Sabotage>,
) -> Result<(Bench, u64)> {
    let server = ScriptedServer::start(endless(RATE))?;
    let mut bench = Bench::new(name, server.endpoint())?.shards(2);
    let armed = arm(&mut bench, &format!("{}=kill@10", fault.name()), first)?;
    let mut headwater = bench.start()?;
    let status = headwater.wait_exit(PATIENCE)?;
    ensure!(status.code().is_none(), "{status}: {}", headwater.log()?);
    ensure!(armed.hits(fault.name()) == 1, "the kill did not hit");
    demand_hit(&armed, first)?;
    if second.is_some() {
        let armed = arm(&mut bench, "", second)?;
        let mut headwater = bench.start()?;
        wait_committed(&mut headwater, 200.0)?;
        ensure!(headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", headwater.log()?);
        demand_hit(&armed, second)?;
    }
    let total = bench.finish(server)?;
    Ok((bench, total))
}

/// The positions are there, the records before them are not.
#[test]
fn positions_outside_of_the_transaction_are_found_as_a_loss() -> Result<()> {
    let faults = red_and_green(Sabotage::ProgressOutside, |name, sabotage| {
        let (bench, total) = kill_and_finish(name, Point::SinkBeforeCommit, sabotage, None)?;
        bench.judge(total)
    })?;
    assert!(faults.missing.count > 0, "{faults}");
    assert_eq!((faults.duplicates.count, faults.unexpected.count), (0, 0), "{faults}");
    Ok(())
}

/// The same, of positions that were written and then aborted.
#[test]
fn progress_that_was_never_committed_is_found_as_a_loss() -> Result<()> {
    let faults = red_and_green(Sabotage::ReadUncommitted, |name, sabotage| {
        let (bench, total) = kill_and_finish(name, Point::SinkBeforeCommit, None, sabotage)?;
        bench.judge(total)
    })?;
    assert!(faults.missing.count > 0, "{faults}");
    assert_eq!((faults.duplicates.count, faults.unexpected.count), (0, 0), "{faults}");
    Ok(())
}

#[test]
fn a_reader_of_what_was_never_committed_finds_duplicates() -> Result<()> {
    let (bench, total) = kill_and_finish("uncommitted", Point::SinkBeforeCommit, None, None)?;
    bench.demand_exact(total)?;
    let faults = bench.judge_as(Isolation::Uncommitted, total)?;
    let faults = faults.expect_err("what was aborted was sent again");
    println!("{faults}");
    assert!(faults.duplicates.count > 0, "{faults}");
    assert_eq!((faults.missing.count, faults.unexpected.count), (0, 0), "{faults}");
    Ok(())
}

/// The earlier owner commits between the two, and what it commits is written again.
#[test]
fn progress_that_is_read_before_the_fence_is_found_as_duplicates() -> Result<()> {
    let faults = red_and_green(Sabotage::ReadBeforeFence, |name, sabotage| {
        let server = ScriptedServer::start(endless(RATE))?;
        let mut bench = Bench::new(name, server.endpoint())?.shards(2);
        bench.more.push_str(QUIET);
        let mut first = bench.start()?;
        wait_committed(&mut first, 200.0)?;
        let armed = arm(&mut bench, &pause(Point::RecoverClaimed, 1), sabotage)?;
        let mut second = bench.start()?;
        armed.wait(&mut second, Point::RecoverClaimed.name())?;
        signal(second.pid(), "STOP")?;
        // All of this is behind what the second instance has read of its claim.
        let committed = metric(&first, COMMITTED);
        wait_committed(&mut first, committed + 200.0)?;
        signal(second.pid(), "CONT")?;
        ensure!(first.wait_exit(PATIENCE)?.code() == Some(76), "{}", first.log()?);
        wait_committed(&mut second, 200.0)?;
        ensure!(second.stop(PATIENCE)?.0.code() == Some(0), "{}", second.log()?);
        demand_hit(&armed, sabotage)?;
        let total = bench.finish(server)?;
        bench.judge(total)
    })?;
    assert!(faults.duplicates.count > 0, "{faults}");
    assert_eq!((faults.missing.count, faults.unexpected.count), (0, 0), "{faults}");
    Ok(())
}

/// The earlier owner is frozen with records in the transaction of slot 1. It wakes up when its
/// successor has committed the same records, and commits them, too.
#[test]
fn a_slot_that_is_not_fenced_is_found_as_duplicates() -> Result<()> {
    let faults = red_and_green(Sabotage::SlotUnfenced, |name, sabotage| {
        let server = ScriptedServer::start(endless(RATE))?;
        let mut bench = Bench::new(name, server.endpoint())?.shards(2);
        bench.more.push_str(QUIET);
        // Producers take turns, so each second epoch is on slot 1. Its positions are not sent: with
        // them in the log a reader of committed progress would wait for the transaction's end.
        let paused = Armed::next(&mut bench, &pause(Point::SinkBeforeProgress, 10))?;
        let mut first = bench.start()?;
        paused.wait(&mut first, Point::SinkBeforeProgress.name())?;
        signal(first.pid(), "STOP")?;
        let armed = arm(&mut bench, "", sabotage)?;
        let mut second = bench.start()?;
        wait_committed(&mut second, 1_000.0)?;
        demand_hit(&armed, sabotage)?;
        signal(first.pid(), "CONT")?;
        ensure!(first.wait_exit(PATIENCE)?.code() == Some(76), "{}", first.log()?);
        ensure!(second.stop(PATIENCE)?.0.code() == Some(0), "{}", second.log()?);
        let total = bench.finish(server)?;
        bench.judge(total)
    })?;
    assert!(faults.duplicates.count > 0, "{faults}");
    assert_eq!((faults.missing.count, faults.unexpected.count), (0, 0), "{faults}");
    Ok(())
}

/// A late request to commit ends the next transaction of its producer, half-filled. The scene
/// without sabotage is `a_commit_that_comes_late_does_not_end_the_next_transaction`.
#[test]
fn a_producer_that_goes_on_after_trouble_is_found_as_duplicates() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(RATE))?;
    let mut bench = world.bench("late-sabotaged", &server)?;
    bench.pipeline.commit_interval_ms = 3_000;
    let armed = arm(&mut bench, "", Some(Sabotage::TaintIgnored))?;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 1_000.0)?;
    let late = delay_commit(&world.proxy)?;
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 5_000.0)?;
    ensure!(headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", headwater.log()?);
    demand_hit(&armed, Some(Sabotage::TaintIgnored))?;
    assert_eq!(late, 0, "the late request is taken for one of the open transaction");
    let total = bench.finish(server)?;
    let faults = bench.judge(total)?.expect_err("half a transaction is committed and sent again");
    println!("{faults}");
    assert!(faults.duplicates.count > 0, "{faults}");
    assert_eq!((faults.missing.count, faults.unexpected.count), (0, 0), "{faults}");
    Ok(())
}
