//! Goal: who reads the Java connector's log lines finds those that are the same, and what is in
//! them is true.
//! Method: the program is run, stopped and run again; `docs/LOGS.md` says which lines are to be
//! there. Lines of calls that fail are in `tests/pure/health.rs`.

use anyhow::{Context, Result, ensure};

use crate::otlp::{TOTAL, World};
use crate::world::PATIENCE;

#[test]
fn figures_are_logged_for_who_asks_and_a_restart_tells_where_it_goes_on() -> Result<()> {
    let mut world = World::start(&[("HEADWATER_LOG", "info,task_metrics=debug")])?;
    let is_told = |log: &str| log.contains("event=task_metrics");
    world.headwater.wait_for("figures", PATIENCE, |it| it.log().is_ok_and(|it| is_told(&it)))?;
    let log = world.headwater.log()?;
    let figures = log.lines().find(|line| is_told(line)).context("it was there")?;
    for told in [
        "pipeline=readings",
        "status=running",
        &format!("received={}", 2 * TOTAL),
        &format!("committed={}", 2 * TOTAL),
        "queue_bytes=0",
        "calls_open=2",
        "shards=2",
    ] {
        ensure!(figures.split(' ').any(|field| field == told), "{told} in {figures}");
    }
    ensure!(!log.contains("event=offset_restored"), "there was nothing to restore:\n{log}");
    world.stop()?;
    world.again()?;
    world.headwater.wait_for("both shards to go on", PATIENCE, |it| {
        let log = it.log().unwrap_or_default();
        let restored = log.lines().filter(|line| line.contains("event=offset_restored"));
        restored.filter(|line| line.contains("session=1")).count() == 2
    })?;
    let log = world.headwater.log()?;
    let restored = log.lines().filter(|line| line.contains("event=offset_restored"));
    let sequence = format!(" sequence={TOTAL} ");
    ensure!(restored.clone().all(|line| line.contains(&sequence)), "{log}");
    Ok(())
}
