//! Goal: many connectors live in one process, and those that come and go leave the others alone.
//! Method: a busy pipeline from the first moment to the last, judged record by record; beside it
//! two hundred connectors, or one pipeline or connector after the other that is made, runs and is
//! deleted: forty, or a thousand with `HEADWATER_MANY=1`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::pipeline::{OnEnd, Pipeline};
use headwater_test_support::topic::{Isolation, read_all};
use headwater_test_support::wait;
use serde_json::json;

use crate::connector::Connector;
use crate::served::{Json, Served, Site, pipeline, unique};
use crate::world::{PATIENCE, endless, kafka};

/// What each of the many commits.
const EVENTS: u64 = 20;

/// Both take all of a small machine.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes; a broker that is too busy to answer in time has changed nothing, and is asked again.
fn delete(served: &mut Served, path: &str) -> Result<()> {
    wait::until_ok(&format!("{path} to be deleted"), PATIENCE, || {
        let answer = served.ask("DELETE", path, "")?;
        ensure!(matches!(answer.status, 204 | 503), "{answer:?}");
        Ok(answer.status == 204)
    })
}

/// One of many. It shares its topic with its like: most of what this makes is kept by the broker.
enum Small {
    Pipeline(Box<Pipeline>),
    Connector(Connector),
}

impl Small {
    fn pipeline(name: &str, server: &ScriptedServer, topic: &str) -> Small {
        let mut small = pipeline(name, server.endpoint());
        small.topic = topic.to_owned();
        small.on_end = OnEnd::Reconnect;
        small.ring = Some(1);
        Small::Pipeline(Box::new(small))
    }

    fn connector(site: &Site, name: &str, server: &ScriptedServer, topic: &str) -> Result<Small> {
        let mut small = Connector::new(site, name, server.address().port())?;
        small.config["kafka.topic"] = json!(topic);
        Ok(Small::Connector(small))
    }

    fn path(&self) -> String {
        match self {
            Small::Pipeline(it) => format!("/pipelines/{}", it.name),
            Small::Connector(it) => it.path(""),
        }
    }

    fn create(&self, served: &Served) -> Result<()> {
        match self {
            Small::Pipeline(it) => served.create(it)?,
            Small::Connector(it) => served.json("POST", "/connectors", &it.body(), 201)?,
        };
        Ok(())
    }

    fn wait_running(&self, served: &mut Served) -> Result<()> {
        match self {
            Small::Pipeline(it) => served.wait_state(&it.name, "RUNNING"),
            Small::Connector(it) => served.wait_connector(it, "RUNNING", Some("RUNNING")),
        }
    }
}

#[test]
fn two_hundred_connectors_live_in_one_process() -> Result<()> {
    const CONNECTORS: usize = 200;
    let _alone = alone();
    let busy_server = ScriptedServer::start(endless(1_000))?;
    let server = ScriptedServer::start(Script::new(EVENTS).rest([Step::SendAll, Step::Stall]))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let (busy, topic) = (unique("busy"), unique("shared"));
    served.create(&pipeline(&busy, busy_server.endpoint()))?;
    served.wait_committed(&busy, 200.0)?;
    print_cost(&served, "the busy one alone")?;
    let began = Instant::now();
    for number in 0..CONNECTORS {
        let name = format!("{topic}-{number}");
        Small::connector(&site, &name, &server, &topic)?.create(&served)?;
    }
    println!("{CONNECTORS} connectors made after {:?}", began.elapsed());
    // Each of them shows its events once; so many take their time on a small machine.
    wait::until_ok("all of them to commit", PATIENCE * 5, || {
        ensure!(!served.headwater.has_ended()?, "{}", served.headwater.log()?);
        // Two hundred that start leave little of a small machine to who asks.
        let Ok(metrics) = served.headwater.metrics() else { return Ok(false) };
        let all = metrics.sum("headwater_committed_records_total")
            - metrics.sum_where("headwater_committed_records_total", "pipeline", &busy);
        Ok(all >= (EVENTS * CONNECTORS as u64) as f64)
    })?;
    println!("all have committed after {:?}; {:?}", began.elapsed(), served.headwater.usage()?);
    let records = read_all(kafka(), &topic, Isolation::Committed)?;
    ensure!(records.len() as u64 == EVENTS * CONNECTORS as u64, "{} records", records.len());
    demand_all_run(&served, CONNECTORS)?;
    print_cost(&served, "all of them")?;
    let committed = served.committed(&busy);
    served.wait_committed(&busy, committed + 500.0)?;

    let began = Instant::now();
    let (status, _) = served.headwater.stop(PATIENCE * 2)?;
    ensure!(status.code() == Some(0), "{}", served.headwater.log()?);
    println!("all have ended after {:?}", began.elapsed());
    let mut served = site.lead()?;
    served.wait_committed(&busy, 500.0)?;
    let names = served.demand("GET", "/connectors", "", 200)?;
    ensure!(names.as_array().is_some_and(|it| it.len() == CONNECTORS), "{names}");
    served.demand_exact(&busy, busy_server)?;
    Ok(())
}

/// What it costs to have them while nobody asks: a figure for who reads the test's output.
fn print_cost(served: &Served, what: &str) -> Result<()> {
    const SPAN: Duration = Duration::from_secs(5);
    let before = served.headwater.usage()?.cpu;
    std::thread::sleep(SPAN);
    let usage = served.headwater.usage()?;
    println!("{what}: {:?} of CPU in {SPAN:?}; {usage:?}", usage.cpu.saturating_sub(before));
    Ok(())
}

/// Demands that there are so many connectors, and that each of them and its task runs.
fn demand_all_run(served: &Served, count: usize) -> Result<()> {
    let all = served.demand("GET", "/connectors?expand=status", "", 200)?;
    let all = all.as_object().context("an object")?;
    ensure!(all.len() == count, "{} connectors", all.len());
    for (name, about) in all {
        let status = &about["status"];
        let states = (&status["connector"]["state"], &status["tasks"][0]["state"]);
        ensure!(states.0 == "RUNNING" && states.1 == "RUNNING", "{name}: {status}");
    }
    Ok(())
}

#[test]
fn those_that_come_and_go_leave_a_busy_one_alone() -> Result<()> {
    let rounds = if std::env::var_os("HEADWATER_MANY").is_some() { 1_000 } else { 40 };
    let _alone = alone();
    let busy_server = ScriptedServer::start(endless(2_000))?;
    let server = ScriptedServer::start(Script::new(EVENTS).rest([Step::SendAll, Step::Stall]))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let (busy, topic) = (unique("busy"), unique("shared"));
    served.create(&pipeline(&busy, busy_server.endpoint()))?;
    served.wait_committed(&busy, 500.0)?;
    let before = served.headwater.usage()?.rss_bytes;
    for round in 0..rounds {
        let name = format!("{topic}-{round}");
        let small = match round % 2 {
            0 => Small::pipeline(&name, &server, &topic),
            _ => Small::connector(&site, &name, &server, &topic)?,
        };
        small.create(&served)?;
        // Deleted as it starts, as it runs, and when it has committed.
        match round % 3 {
            0 => {}
            1 => small.wait_running(&mut served)?,
            _ => served.wait_committed(&name, EVENTS as f64)?,
        }
        delete(&mut served, &small.path())?;
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
