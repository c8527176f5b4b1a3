//! Goal: `headwater offsets` shows and forgets what is kept; `headwater demo` proves its promise.
//! Method: the built-in broker, in this process or in the program's own.

use crate::program::{Running, eventually, headwater, run, write_pipeline};
use headwater_broker::{Broker, BrokerConfig};
use headwater_telemetry::TelemetryServer;
use serde_json::Value as Json;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Everything a pipeline into Kafka needs.
pub(crate) struct World {
    _runtime: Runtime,
    _server: TelemetryServer,
    broker: Broker,
    folder: TempDir,
    pub(crate) file: String,
}

impl World {
    pub(crate) fn new(request: &str) -> World {
        World::with_topic(request, "create: { partitions: 2, replication: 1 }")
    }

    /// `create` is the sink's key of that name, or another one.
    pub(crate) fn with_topic(request: &str, create: &str) -> World {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(TelemetryServer::start(([127, 0, 0, 1], 0).into()));
        let server = server.expect("a free port");
        let broker = runtime.block_on(Broker::start(BrokerConfig::in_memory()));
        let broker = broker.expect("a free port");
        let folder = TempDir::new().expect("a temporary folder");
        let sink = format!(
            "kind: kafka, brokers: \"{}\", topic: kept, key: device_id, {create}",
            broker.bootstrap()
        );
        let file = write_pipeline(folder.path(), &server.endpoint(), request, &sink);
        World { _runtime: runtime, _server: server, broker, folder, file }
    }

    pub(crate) fn brokers(&self) -> String {
        self.broker.bootstrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What Kafka remembers of the pipeline.
    pub(crate) fn show(&self) -> Json {
        let ran = run(&mut headwater(&["offsets", "show", &self.file, "--json"])).succeeded();
        serde_json::from_str(&ran.stdout).expect("JSON was asked for")
    }
}

#[test]
fn offsets_are_shown_and_forgotten_only_when_asked_twice() {
    let world = World::new("count: 300");
    assert_eq!(world.show()["shards"], Json::Array(Vec::new()), "nothing is kept before a start");
    run(&mut headwater(&["run", &world.file, "--metrics", "off"])).succeeded();
    let shown = world.show();
    let shard = &shown["shards"][0];
    assert_eq!(shard["committed"], 300, "{shown:#}");
    assert_eq!(shard["position"]["cursor"]["values"]["sequence"]["uint"], 300, "{shown:#}");
    let text = run(&mut headwater(&["offsets", "show", &world.file])).succeeded().stdout;
    assert!(text.contains("cursor       sequence=300"), "{text}");

    let asked = run(&mut headwater(&["offsets", "reset", &world.file]));
    assert_eq!(asked.code, 64, "{asked:#?}");
    assert!(asked.stdout.contains("300 committed"), "it says what it would forget: {asked:#?}");
    assert_eq!(world.show()["shards"][0]["committed"], 300, "nothing was forgotten");

    let unknown = ["offsets", "reset", &world.file, "--shard", "feed/other", "--yes"];
    assert_eq!(run(&mut headwater(&unknown)).code, 64);
    let key = shard["shard"].as_str().expect("a shard has a name").to_owned();
    run(&mut headwater(&["offsets", "reset", &world.file, "--shard", &key, "--yes"])).succeeded();
    assert_eq!(world.show()["shards"], Json::Array(Vec::new()));
}

#[test]
fn a_restart_goes_on_behind_the_last_commit() {
    let world = World::new("count: 200");
    for _ in 0..2 {
        run(&mut headwater(&["run", &world.file, "--metrics", "off"])).succeeded();
    }
    let shown = world.show();
    assert_eq!(shown["generation"], 2, "{shown:#}");
    assert_eq!(shown["shards"][0]["committed"], 200, "the second run had nothing to add");
}

#[test]
fn progress_of_a_running_instance_is_not_forgotten() {
    let world = World::new("rate: 200");
    let mut command = headwater(&["run", &world.file, "--metrics", "off"]);
    let mut running = Running::start(&mut command, Stdio::null());
    running.logged(&["event=streaming_started"]);
    eventually("it commits", || !world.show()["shards"][0].is_null());
    let ran = run(&mut headwater(&["offsets", "reset", &world.file, "--yes"]));
    assert_eq!(ran.code, 64, "{ran:#?}");
    assert!(ran.stderr.contains("runs on this machine"), "{ran:#?}");
    running.signal("TERM");
    assert_eq!(running.ended().0, Some(0));
    run(&mut headwater(&["offsets", "reset", &world.file, "--yes"])).succeeded();
}

#[test]
fn a_topic_that_is_missing_needs_a_person() {
    let world = World::with_topic("count: 1", "delivery: exactly_once");
    let ran = run(&mut headwater(&["run", &world.file, "--metrics", "off"]));
    assert_eq!(ran.code, 65, "{ran:#?}");
    assert!(ran.stderr.contains("topic `kept` does not exist"), "{ran:#?}");
}

#[test]
fn a_newer_instance_takes_over_and_the_older_one_ends_with_76_if_it_shall() {
    let world = World::new("rate: 200");
    let text = std::fs::read_to_string(&world.file).expect("the pipeline file");
    let text = format!("{text}\ntakeover: {{ when_superseded: exit }}\n");
    std::fs::write(&world.file, text).expect("the pipeline file");
    let start = || {
        let mut command = headwater(&["run", &world.file, "--metrics", "off"]);
        let mut running = Running::start(&mut command, Stdio::null());
        running.logged(&["event=streaming_started"]);
        running
    };
    let older = start();
    eventually("it commits", || !world.show()["shards"][0].is_null());
    let newer = start();
    let (code, log) = older.ended();
    assert_eq!(code, Some(76), "{log}");
    newer.signal("TERM");
    assert_eq!(newer.ended().0, Some(0));
}

#[test]
fn ctrl_c_ends_the_demo_with_its_comparison() {
    let mut command = headwater(&["demo", "--port", "0", "--plain"]);
    let mut running = Running::start(&mut command, Stdio::piped());
    let mut lines = BufReader::new(running.take_stdout()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("newest record")), "records arrive");
    running.signal("INT");
    assert!(lines.any(|line| line.contains("every event arrived exactly once")));
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn the_demo_shows_that_every_event_arrived_exactly_once() {
    let arguments = ["demo", "--rate", "2000", "--duration", "5", "--port", "0", "--plain"];
    let ran = run(&mut headwater(&arguments)).succeeded();
    assert!(ran.stdout.contains("every event arrived exactly once"), "{}", ran.stdout);
    assert!(ran.stdout.contains("telemetry → topic: exactly_once"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\"deviceId\":"), "a record is shown: {}", ran.stdout);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
}
