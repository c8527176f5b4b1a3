//! Goal: a pipeline can be made, watched, paused, resumed, replaced, restarted and deleted, and its
//! records are in the topic once and in order whatever was done to it.
//! Method: one endless stream lives through all of it; at the end it gets an end, and is judged.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::{Launch, free_address, request};
use headwater_test_support::wait;

use crate::served::{Json, Served, Site, pipeline, unique};
use crate::world::{PATIENCE, endless, wait_committed};

#[test]
fn a_pipeline_lives_through_all_that_can_be_asked_and_nothing_is_lost_or_repeated() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let name = unique("life");
    let mut file = pipeline(&name, server.endpoint());

    let made = served.create(&file)?;
    ensure!(made["document"] == file.yaml().as_str(), "{made}");
    served.demand("POST", "/pipelines", &file.yaml(), 409)?;
    served.wait_committed(&name, 500.0)?;
    served.wait_state(&name, "RUNNING")?;

    let records = tail(&served, &name, 5)?;
    for record in &records {
        let shard = record["shard"].as_str().unwrap_or_default();
        ensure!(record["sink"] == "out" && shard.ends_with("/shard-1"), "{record}");
        ensure!(record["value"]["sequence"].is_string(), "decoded: {record}");
    }

    let path = format!("/pipelines/{name}");
    served.demand("PUT", &format!("{path}/pause"), "", 202)?;
    served.wait_state(&name, "PAUSED")?;
    wait::until("the call to end", PATIENCE, || server.calls().iter().all(|it| it.is_over))?;
    let (calls, committed) = (server.calls().len(), served.committed(&name));
    std::thread::sleep(Duration::from_millis(300));
    ensure!(server.calls().len() == calls && served.committed(&name) == committed, "it is paused");
    served.demand("PUT", &format!("{path}/resume"), "", 202)?;
    served.wait_committed(&name, committed + 500.0)?;

    file.commit_interval_ms = 20;
    let before = served.status(&name)?["revision"].as_i64().context("a revision")?;
    ensure!(served.put(&file)?.status == 200);
    served.headwater.wait_for("the new revision to run", PATIENCE, |headwater| {
        let status = headwater.get(&format!("{path}/status"));
        let status = status.ok().and_then(|it| serde_json::from_str::<Json>(&it.body).ok());
        status.is_some_and(|it| it["running_revision"].as_i64().is_some_and(|it| it > before))
    })?;
    let committed = served.committed(&name);
    served.wait_committed(&name, committed + 500.0)?;

    served.demand("POST", &format!("{path}/restart"), "", 202)?;
    served.wait_committed(&name, committed + 1_000.0)?;

    served.demand("PUT", &format!("{path}/stop"), "", 202)?;
    served.wait_state(&name, "STOPPED")?;
    let (status, _) = served.headwater.stop(PATIENCE)?;
    ensure!(status.code() == Some(0), "{}", served.headwater.log()?);

    let mut served = site.lead()?;
    ensure!(served.status(&name)?["state"] == "STOPPED", "a stop outlives the process");
    served.demand("PUT", &format!("{path}/resume"), "", 202)?;
    served.wait_committed(&name, 500.0)?;
    let (status, _) = served.headwater.stop(PATIENCE)?;
    ensure!(status.code() == Some(0), "{}", served.headwater.log()?);

    let mut served = site.lead()?;
    served.wait_committed(&name, 500.0)?;
    let total = served.demand_exact(&name, server)?;
    println!("{total} events, each once");
    served.demand("DELETE", &path, "", 204)?;
    served.demand("GET", &path, "", 404)?;
    served.demand("DELETE", &path, "", 404)?;
    let metrics = served.headwater.get("/metrics")?.body;
    ensure!(!metrics.contains(&name), "its series are gone");
    Ok(())
}

#[test]
fn what_fails_stays_failed_with_its_reason_and_ends_nothing_else() -> Result<()> {
    let server = ScriptedServer::start(endless(500))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let (good, bad) = (unique("good"), unique("bad"));
    served.create(&pipeline(&good, server.endpoint()))?;
    // Its topic is not there, and nobody said that it may be made.
    let mut file = pipeline(&bad, server.endpoint());
    file.partitions = None;
    served.create(&file)?;
    served.wait_state(&bad, "FAILED")?;
    let status = served.status(&bad)?;
    let reason = status["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("does not exist"), "{status}");
    served.wait_committed(&good, 200.0)?;
    ensure!(served.status(&bad)?["state"] == "FAILED", "nobody asked for another try");
    served.demand("POST", &format!("/pipelines/{bad}/restart"), "", 202)?;
    served.wait_state(&bad, "FAILED")?;
    file.partitions = Some(1);
    ensure!(served.put(&file)?.status == 200);
    served.wait_committed(&bad, 200.0)?;
    served.demand_exact(&good, server)?;
    Ok(())
}

#[test]
fn a_pipeline_can_be_looked_at_from_every_side() -> Result<()> {
    let server = ScriptedServer::start(endless(500))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let name = unique("views");
    let file = pipeline(&name, server.endpoint());
    let valid = served.demand("POST", "/pipelines/validate", &file.yaml(), 200)?;
    ensure!(valid["name"] == name.as_str(), "{valid}");
    served.demand("GET", &format!("/pipelines/{name}"), "", 404)?;
    let paused = "/pipelines?initial_state=paused";
    served.demand("POST", paused, &file.yaml(), 201)?;
    ensure!(served.status(&name)?["state"] == "PAUSED");
    served.demand("GET", &format!("/pipelines/{name}/tail"), "", 409)?;

    let graph = served.demand("GET", &format!("/pipelines/{name}/graph"), "", 200)?;
    let nodes = graph["nodes"].as_array().context("nodes")?;
    let nodes: Vec<&str> = nodes.iter().filter_map(|it| it["name"].as_str()).collect();
    ensure!(nodes == ["events", "values", "out"], "{graph}");
    let drawn = served.ask("GET", &format!("/pipelines/{name}/graph?format=mermaid"), "")?;
    ensure!(drawn.body.contains("flowchart LR"), "{drawn:?}");
    let promised = served.demand("GET", &format!("/pipelines/{name}/guarantee"), "", 200)?;
    ensure!(promised["streams"][0]["guarantee"] == "exactly_once", "{promised}");

    served.demand("PUT", &format!("/pipelines/{name}/resume"), "", 202)?;
    served.wait_committed(&name, 200.0)?;
    let offsets = served.demand("GET", &format!("/pipelines/{name}/offsets"), "", 200)?;
    let committed = offsets["shards"][0]["committed"].as_u64();
    ensure!(committed.is_some_and(|it| it >= 200), "{offsets}");

    let list = served.demand("GET", "/pipelines", "", 200)?;
    ensure!(list["pipelines"][0]["name"] == name.as_str(), "{list}");
    let document = served.demand("GET", "/openapi.json", "", 200)?;
    ensure!(document["openapi"] == "3.1.0");
    for path in ["/healthz", "/readyz", "/metrics", "/health"] {
        ensure!(served.ask("GET", path, "")?.status == 200, "{path}");
    }
    Ok(())
}

/// A reader that takes nothing loses samples, and the pipeline does not notice.
#[test]
fn a_tail_that_nobody_reads_holds_nobody_up() -> Result<()> {
    let server = ScriptedServer::start(endless(5_000))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let name = unique("tail");
    served.create(&pipeline(&name, server.endpoint()))?;
    served.wait_committed(&name, 200.0)?;
    let path = format!("/pipelines/{name}/tail?rate=1000");
    let idle: Vec<TcpStream> = (0..4).map(|_| open(&served, &path)).collect::<Result<_>>()?;
    let committed = served.committed(&name);
    served.wait_committed(&name, committed + 30_000.0)?;
    // Who reads at last finds a few records, and how many passed by.
    let mut reader = BufReader::new(&idle[0]);
    let mut events = (0, false);
    while !events.1 {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the tail has ended");
        events.0 += u32::from(line.starts_with("event: record"));
        events.1 |= line.starts_with("event: skipped");
    }
    println!("{} records before the first word of those that were skipped", events.0);
    drop(idle);
    served.demand_exact(&name, server)?;
    Ok(())
}

/// The first records that a tail shows.
pub(crate) fn tail(served: &Served, name: &str, count: usize) -> Result<Vec<Json>> {
    let stream = open(served, &format!("/pipelines/{name}/tail?rate=100"))?;
    let mut records = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let record = line.strip_prefix("data: ").map(serde_json::from_str::<Json>).transpose()?;
        records.extend(record.filter(|it| it.get("value").is_some()));
        if records.len() == count {
            break;
        }
    }
    ensure!(records.len() == count, "the tail ended after {records:?}");
    Ok(records)
}

fn open(served: &Served, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(served.address())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    Ok(stream)
}

/// `headwater run --api`: what runs a fixed set of files can be looked at, and not be changed.
#[test]
fn a_program_that_runs_files_can_be_looked_at_over_the_same_api() -> Result<()> {
    let server = ScriptedServer::start(endless(500))?;
    let name = unique("file");
    let api = free_address()?;
    let launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
    let mut launch = launch.argument("--api").argument(&api.to_string());
    let mut headwater = launch.run(&pipeline(&name, server.endpoint()))?;
    wait_committed(&mut headwater, 200.0)?;
    let ask = |method: &str, path: &str| request(api, method, path, &[], b"pipeline: a");
    let status = ask("GET", &format!("/pipelines/{name}/status"))?;
    ensure!(status.status == 200 && status.body.contains("\"state\":\"RUNNING\""), "{status:?}");
    let health = ask("GET", "/health")?;
    ensure!(health.body.contains("\"role\":\"files\""), "{health:?}");
    ensure!(ask("GET", &format!("/pipelines/{name}/graph"))?.status == 200);
    ensure!(ask("GET", &format!("/pipelines/{name}/offsets"))?.status == 200);
    for (method, path) in [("DELETE", ""), ("PUT", ""), ("PUT", "/pause"), ("POST", "/restart")] {
        let refused = ask(method, &format!("/pipelines/{name}{path}"))?;
        ensure!(refused.status == 409 && refused.body.contains("headwater serve"), "{refused:?}");
    }
    let mut stream = TcpStream::connect(api)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /pipelines/{name}/tail HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let shown =
        BufReader::new(stream).lines().find(|it| it.as_ref().is_ok_and(|it| it == "event: record"));
    ensure!(shown.is_some(), "a record is shown");
    ensure!(headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", headwater.log()?);
    Ok(())
}
