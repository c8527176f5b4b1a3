//! Goal: many pipelines live in one process, and those that come and go leave the others alone.
//! Method: a busy pipeline from the first moment to the last, judged record by record; beside it
//! two hundred others, or one after the other that is made, runs and is deleted: forty, or
//! a thousand with `HEADWATER_MANY=1`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::pipeline::{OnEnd, Pipeline};
use headwater_test_support::wait;

use crate::served::{Json, Served, Site, pipeline, unique};
use crate::world::{PATIENCE, endless};

/// Both take all of a small machine.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes; a broker that is too busy to answer in time has changed nothing, and is asked again.
fn delete(served: &mut Served, name: &str) -> Result<()> {
    wait::until_ok(&format!("{name} to be deleted"), PATIENCE, || {
        let answer = served.ask("DELETE", &format!("/pipelines/{name}"), "")?;
        ensure!(matches!(answer.status, 204 | 503), "{answer:?}");
        Ok(answer.status == 204)
    })
}

/// A pipeline that shares its topic with its like: most of what this makes is kept by the broker.
fn small(name: &str, endpoint: String, topic: &str) -> Pipeline {
    let mut small = pipeline(name, endpoint);
    small.topic = topic.to_owned();
    small.on_end = OnEnd::Reconnect;
    small.ring = Some(1);
    small
}

#[test]
fn two_hundred_pipelines_live_in_one_process() -> Result<()> {
    const PIPELINES: usize = 200;
    let _alone = alone();
    let busy_server = ScriptedServer::start(endless(1_000))?;
    let server = ScriptedServer::start(Script::new(20).rest([Step::SendAll, Step::Stall]))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let (busy, topic) = (unique("busy"), unique("shared"));
    served.create(&pipeline(&busy, busy_server.endpoint()))?;
    served.wait_committed(&busy, 200.0)?;
    let names: Vec<String> = (0..PIPELINES).map(|number| format!("{topic}-{number}")).collect();
    let began = Instant::now();
    for name in &names {
        served.create(&small(name, server.endpoint(), &topic))?;
    }
    println!("{PIPELINES} pipelines made after {:?}", began.elapsed());
    // Each of them shows its twenty records once; so many take their time on a small machine.
    wait::until_ok("all of them to commit", PATIENCE * 5, || {
        ensure!(!served.headwater.has_ended()?, "{}", served.headwater.log()?);
        // Two hundred that start leave little of a small machine to who asks.
        let Ok(metrics) = served.headwater.metrics() else { return Ok(false) };
        let all = metrics.sum("headwater_committed_records_total")
            - metrics.sum_where("headwater_committed_records_total", "pipeline", &busy);
        Ok(all >= 20.0 * PIPELINES as f64)
    })?;
    println!("all have committed after {:?}; {:?}", began.elapsed(), served.headwater.usage()?);
    let list = served.demand("GET", "/pipelines", "", 200)?;
    ensure!(list["pipelines"].as_array().is_some_and(|it| it.len() == PIPELINES + 1));
    let committed = served.committed(&busy);
    served.wait_committed(&busy, committed + 500.0)?;

    let began = Instant::now();
    let (status, _) = served.headwater.stop(PATIENCE * 2)?;
    ensure!(status.code() == Some(0), "{}", served.headwater.log()?);
    println!("all have ended after {:?}", began.elapsed());
    let mut served = site.lead()?;
    served.wait_committed(&busy, 500.0)?;
    served.demand_exact(&busy, busy_server)?;
    Ok(())
}

#[test]
fn pipelines_that_come_and_go_leave_a_busy_one_alone() -> Result<()> {
    let rounds = if std::env::var_os("HEADWATER_MANY").is_some() { 1_000 } else { 40 };
    let _alone = alone();
    let busy_server = ScriptedServer::start(endless(2_000))?;
    let server = ScriptedServer::start(Script::new(20).rest([Step::SendAll, Step::Stall]))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let (busy, topic) = (unique("busy"), unique("shared"));
    served.create(&pipeline(&busy, busy_server.endpoint()))?;
    served.wait_committed(&busy, 500.0)?;
    let before = served.headwater.usage()?.rss_bytes;
    for round in 0..rounds {
        let name = format!("{topic}-{round}");
        served.create(&small(&name, server.endpoint(), &topic))?;
        // Deleted as it starts, as it runs, and when it has committed.
        match round % 3 {
            0 => {}
            1 => served.wait_state(&name, "RUNNING")?,
            _ => served.wait_committed(&name, 20.0)?,
        }
        delete(&mut served, &name)?;
        ensure!(served.status(&busy)?["state"] == "RUNNING", "{}", served.headwater.log()?);
    }
    wait_gone(&mut served, &topic)?;
    let usage = served.headwater.usage()?;
    let grown = usage.rss_bytes.saturating_sub(before) >> 20;
    println!("{rounds} came and went; {grown} MiB more than before, {usage:?}");
    ensure!(!served.headwater.get("/metrics")?.body.contains(&topic), "no series is left");
    ensure!(busy_server.calls().len() == 1, "the busy one was never disturbed");
    served.demand_exact(&busy, busy_server)?;
    Ok(())
}

/// Waits until no pipeline of these is there any more, and none is on its way out.
fn wait_gone(served: &mut Served, prefix: &str) -> Result<()> {
    served.headwater.wait_for("all of them to be gone", PATIENCE, |headwater| {
        let readiness = headwater.get("/readyz").map(|it| it.body).unwrap_or_default();
        let readiness = serde_json::from_str::<Json>(&readiness).unwrap_or_default();
        let pipelines = readiness["pipelines"].as_array().cloned().unwrap_or_default();
        let is_theirs =
            |it: &Json| it["pipeline"].as_str().is_some_and(|it| it.starts_with(prefix));
        !pipelines.is_empty() && !pipelines.iter().any(is_theirs)
    })
}
