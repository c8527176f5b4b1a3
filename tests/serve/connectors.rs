//! Goal: a connector can be driven by Kafka Connect's paths through its whole life, and each
//! message that it receives is in the topic once, whatever was done to it.
//! Method: the real binary, a scripted gRPC server without an end, real status and offsets; the
//! topic is judged by the runs that calls leave in it (`connector.rs`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::topic::{Isolation, for_each};
use headwater_test_support::wait;
use rdkafka::message::Message;
use serde_json::json;

use crate::connector::{Connector, demand_runs};
use crate::instances::OUT_OF_REACH;
use crate::served::{Served, Site, unique};
use crate::world::{PATIENCE, endless, kafka};

const RUNNING: Option<&str> = Some("RUNNING");

/// Waits for so many more committed records of a connector than there are now.
fn more(served: &mut Served, connector: &Connector, count: f64) -> Result<()> {
    let now = served.committed(&connector.name);
    served.wait_committed(&connector.name, now + count)
}

#[test]
fn a_connector_lives_through_all_that_can_be_asked_and_nothing_is_lost_or_repeated() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let connector = Connector::new(&site, &unique("drop-in"), server.address().port())?;
    let path = |more: &str| connector.path(more);
    served.json("POST", "/connectors", &connector.body(), 201)?;
    served.json("POST", "/connectors", &connector.body(), 409)?;
    served.wait_connector(&connector, "RUNNING", RUNNING)?;
    more(&mut served, &connector, 300.0)?;

    served.json("PUT", &path("/pause"), "", 202)?;
    served.wait_connector(&connector, "PAUSED", Some("PAUSED"))?;
    wait::until("the call to end", PATIENCE, || server.calls().iter().all(|it| it.is_over))?;
    served.json("PUT", &path("/resume"), "", 202)?;
    served.wait_connector(&connector, "RUNNING", RUNNING)?;
    more(&mut served, &connector, 300.0)?;

    let calls = server.calls().len();
    let change = json!({ "grpc.metadata": "stage:two" }).to_string();
    let changed = served.json("PATCH", &path("/config"), &change, 200)?;
    ensure!(changed["config"]["grpc.metadata"] == "stage:two", "{changed}");
    wait::until("a call with the new metadata", PATIENCE, || {
        server.calls().iter().any(|it| it.metadata.contains_key("stage"))
    })?;
    ensure!(server.calls().len() > calls, "it calls anew");
    more(&mut served, &connector, 300.0)?;

    let calls = server.calls().len();
    let restarted = served.json("POST", &path("/restart?includeTasks=true"), "", 202)?;
    ensure!(restarted["tasks"][0]["state"] == "RESTARTING", "{restarted}");
    wait::until("a new call", PATIENCE, || server.calls().len() > calls)?;
    more(&mut served, &connector, 300.0)?;

    served.json("PUT", &path("/stop"), "", 204)?;
    served.wait_connector(&connector, "STOPPED", None)?;
    let committed = served.committed(&connector.name);
    let topics = served.json("GET", &path("/topics"), "", 200)?;
    ensure!(topics == json!({ &*connector.name: { "topics": [connector.name] } }), "{topics}");
    let offsets = served.json("GET", &path("/offsets"), "", 200)?;
    ensure!(offsets["offsets"][0]["offset"]["sequence"].is_u64(), "{offsets}");
    let (status, _) = served.headwater.stop(PATIENCE)?;
    ensure!(status.code() == Some(0), "{}", served.headwater.log()?);

    // All of it is in Kafka: another process knows it.
    let mut served = site.lead()?;
    served.wait_connector(&connector, "STOPPED", None)?;
    ensure!(served.json("GET", &path("/topics"), "", 200)? == topics, "they outlive a process");
    ensure!(served.json("GET", &path("/offsets"), "", 200)? == offsets, "so does its place");
    let config = served.json("GET", &path("/config"), "", 200)?;
    ensure!(config["grpc.metadata"] == "stage:two", "{config}");
    served.json("PUT", &path("/resume"), "", 202)?;
    served.wait_connector(&connector, "RUNNING", RUNNING)?;
    more(&mut served, &connector, 300.0)?;
    served.json("PUT", &path("/pause"), "", 202)?;
    served.wait_connector(&connector, "PAUSED", Some("PAUSED"))?;
    let committed = committed + served.committed(&connector.name);
    demand_runs(&connector.name, &server, Some(committed as u64))?;

    served.json("DELETE", &path(""), "", 204)?;
    served.json("GET", &path(""), "", 404)?;
    let list = served.json("GET", "/connectors", "", 200)?;
    ensure!(list == json!([]), "{list}");
    served.headwater.wait_for("its series to end", PATIENCE, |headwater| {
        headwater.get("/metrics").is_ok_and(|it| !it.body.contains(&connector.name))
    })?;
    Ok(())
}

/// What a reset takes away is the progress record itself, and what is set is told until it commits.
#[test]
fn offsets_of_a_stopped_connector_are_really_changed() -> Result<()> {
    let server = ScriptedServer::start(endless(500))?;
    let mut site = Site::new()?;
    let mut served = site.lead()?;
    let connector = Connector::new(&site, &unique("offsets"), server.address().port())?;
    let path = connector.path("/offsets");
    served.json("POST", "/connectors", &connector.body(), 201)?;
    more(&mut served, &connector, 200.0)?;
    served.json("DELETE", &path, "", 400)?;
    served.json("PUT", &connector.path("/stop"), "", 204)?;
    served.wait_connector(&connector, "STOPPED", None)?;
    let kept = served.json("GET", &path, "", 200)?;
    let sequence = kept["offsets"][0]["offset"]["sequence"].as_u64().context("a sequence")?;
    let run = crate::connector::runs(&connector.name)?;
    ensure!(run == [sequence + 1], "the last of {run:?} is {sequence}");
    ensure!(stored_shards(&connector.name)? == 1, "it is stored");

    let partition = kept["offsets"][0]["partition"].clone();
    let set = json!({ "session_id": "mine", "sequence": 7 });
    let set = json!({ "offsets": [{ "partition": partition, "offset": set }] });
    served.json("PATCH", &path, &set.to_string(), 200)?;
    ensure!(served.json("GET", &path, "", 200)? == set, "what was set is told");
    ensure!(stored_shards(&connector.name)? == 0, "what it takes the place of is gone");
    served.json("PUT", &connector.path("/resume"), "", 202)?;
    served.wait_connector(&connector, "RUNNING", RUNNING)?;
    wait::until_ok("an offset of its own", PATIENCE, || {
        let offsets = served.json("GET", &path, "", 200)?;
        ensure!(offsets["offsets"].as_array().is_some_and(|it| it.len() == 1), "{offsets}");
        Ok(offsets != set)
    })?;
    served.json("PUT", &connector.path("/stop"), "", 204)?;
    served.wait_connector(&connector, "STOPPED", None)?;
    served.json("DELETE", &path, "", 200)?;
    let none = served.json("GET", &path, "", 200)?;
    ensure!(none == json!({ "offsets": [] }), "{none}");
    ensure!(stored_shards(&connector.name)? == 0, "nothing is stored");
    Ok(())
}

/// How many shards the progress topic of a pipeline knows.
fn stored_shards(pipeline: &str) -> Result<usize> {
    let mut known = std::collections::BTreeSet::new();
    let topic = format!("__{pipeline}.progress");
    for_each(kafka(), &topic, Isolation::Committed, |message| {
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        match message.payload() {
            _ if !key.contains("/shard/") => {}
            Some(_) => drop(known.insert(key)),
            None => drop(known.remove(&key)),
        }
        Ok(())
    })?;
    Ok(known.len())
}

/// Of changes at the same time each is made on top of the others.
#[test]
fn changes_at_the_same_time_lose_nothing_of_each_other() -> Result<()> {
    const MANY: usize = 6;
    let mut site = Site::new()?;
    let served = site.lead()?;
    let mut connector = Connector::new(&site, &unique("patched"), 1)?;
    connector.config["grpc.metadata"] = json!("a:b");
    served.json("PUT", &connector.path("/config"), &connector.config.to_string(), 201)?;
    served.json("PUT", &connector.path("/stop"), "", 204)?;
    let refused = AtomicU64::new(0);
    thread::scope(|scope| -> Result<()> {
        let patch = |number: usize| {
            let key = format!("grpc.metadata.k{number}");
            let change = json!({ key: number.to_string() }).to_string();
            wait::until_ok("the change to be made", PATIENCE, || {
                match served.json("PATCH", &connector.path("/config"), &change, 200) {
                    Ok(_) => Ok(true),
                    // Others were faster every time: it is said, and asked again.
                    Err(error) if error.to_string().contains("status: 409") => {
                        refused.fetch_add(1, Ordering::Relaxed);
                        Ok(false)
                    }
                    Err(error) => Err(error),
                }
            })
        };
        let threads: Vec<_> = (0..MANY).map(|number| scope.spawn(move || patch(number))).collect();
        threads.into_iter().try_for_each(|it| it.join().expect("it does not panic"))
    })?;
    let config = served.json("GET", &connector.path("/config"), "", 200)?;
    for number in 0..MANY {
        let value = config[format!("grpc.metadata.k{number}")].as_str();
        ensure!(value == Some(number.to_string().as_str()), "{config}");
    }
    println!("{} were asked again", refused.load(Ordering::Relaxed));
    Ok(())
}

/// A level that is set is the log's, here and with `scope=cluster` in every instance.
#[test]
fn a_logger_tells_more_when_its_level_says_so() -> Result<()> {
    // Requests that only look are told to who wants to know.
    const MARK: &str = "method=GET path=/connectors ";
    let mut site = Site::new()?;
    let mut first = site.lead()?;
    let mut second = site.start()?;
    second.wait_role("standby")?;
    first.json("GET", "/connectors", "", 200)?;
    ensure!(!first.headwater.log()?.contains(MARK), "nobody asked for it");
    let debug = json!({ "level": "DEBUG" }).to_string();
    let path = "/admin/loggers/org.apache.kafka.connect";
    let changed = first.json("PUT", path, &debug, 200)?;
    ensure!(changed == json!(["org.apache.kafka.connect"]), "{changed}");
    let shows = |served: &Served| {
        served.json("GET", "/connectors", "", 200)?;
        Ok(served.headwater.log()?.contains(MARK))
    };
    wait::until_ok("the log to tell more", PATIENCE, || shows(&first))?;
    ensure!(!shows(&second)?, "only the instance that was asked");
    first.json("PUT", &format!("{path}?scope=cluster"), &debug, 204)?;
    wait::until_ok("the other log to tell more", PATIENCE, || shows(&second))?;
    let level = second.json("GET", path, "", 200)?;
    ensure!(level["level"] == "DEBUG", "{level}");
    let list = second.json("GET", "/admin/loggers", "", 200)?;
    ensure!(list["root"]["level"] == "INFO", "{list}");
    second.json("PUT", &format!("{path}?scope=cluster"), &debug, 503)?;
    ensure!(first.headwater.stop(PATIENCE)?.0.code() == Some(0));
    ensure!(second.headwater.stop(PATIENCE)?.0.code() == Some(0));
    Ok(())
}

#[test]
fn beside_a_leader_out_of_reach_an_instance_answers_for_connectors_and_changes_none() -> Result<()>
{
    let server = ScriptedServer::start(endless(200))?;
    let mut site = Site::new()?;
    site.arguments.extend(["--advertise", OUT_OF_REACH].map(str::to_owned));
    let mut first = site.lead()?;
    let mut second = site.start()?;
    second.wait_role("standby")?;
    let connector = Connector::new(&site, &unique("pair"), server.address().port())?;
    first.json("POST", "/connectors", &connector.body(), 201)?;
    more(&mut first, &connector, 100.0)?;
    second.wait_connector(&connector, "UNASSIGNED", Some("UNASSIGNED"))?;
    let status = second.json("GET", &connector.path("/status"), "", 200)?;
    ensure!(status["connector"]["worker_id"] == "127.0.0.1:1", "{status}");
    let config = second.json("GET", &connector.path("/config"), "", 200)?;
    ensure!(config["kafka.topic"] == connector.name.as_str(), "{config}");
    let refused = second.json("DELETE", &connector.path(""), "", 503)?;
    ensure!(refused["leader"] == OUT_OF_REACH, "{refused}");
    second.json(
        "PATCH",
        &connector.path("/offsets"),
        r#"{"offsets":[{"partition":{"a":1}}]}"#,
        503,
    )?;
    // The topics that it has written to are known there too.
    wait::until_ok("the topic to be known", PATIENCE, || {
        let topics = second.json("GET", &connector.path("/topics"), "", 200)?;
        Ok(topics[&connector.name]["topics"][0] == connector.name.as_str())
    })?;
    first.headwater.stop(PATIENCE)?;
    second.wait_connector(&connector, "RUNNING", RUNNING)?;
    more(&mut second, &connector, 100.0)?;
    second.json("PUT", &connector.path("/stop"), "", 204)?;
    second.wait_connector(&connector, "STOPPED", None)?;
    demand_runs(&connector.name, &server, None)?;
    Ok(())
}

/// A native pipeline and a connector have one space of names.
#[test]
fn a_name_belongs_to_one_entry_whatever_its_kind() -> Result<()> {
    let mut site = Site::new()?;
    let served = site.lead()?;
    let connector = Connector::new(&site, &unique("name"), 1)?;
    let pipeline = crate::served::pipeline(&connector.name, "http://127.0.0.1:1");
    served.json("POST", "/connectors", &connector.body(), 201)?;
    let taken = served.demand("POST", "/pipelines?initial_state=paused", &pipeline.yaml(), 409)?;
    ensure!(taken["message"].as_str().is_some_and(|it| it.contains("connector")), "{taken}");
    served.demand("GET", &format!("/pipelines/{}", connector.name), "", 404)?;
    served.json("DELETE", &connector.path(""), "", 204)?;
    served.demand("POST", "/pipelines?initial_state=paused", &pipeline.yaml(), 201)?;
    let taken = served.json("POST", "/connectors", &connector.body(), 409)?;
    ensure!(taken["message"].as_str().is_some_and(|it| it.contains("pipeline")), "{taken}");
    served.json("GET", &connector.path("/status"), "", 404)?;
    Ok(())
}
