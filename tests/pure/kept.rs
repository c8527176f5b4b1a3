//! Goal: `headwater offsets` shows and forgets what is kept; `headwater demo` proves its promise.
//! Method: the built-in broker, in this process or in the program's own.

use crate::program::{headwater, run, write_pipeline};
use headwater_broker::{Broker, BrokerConfig};
use headwater_telemetry::TelemetryServer;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Everything a pipeline into Kafka needs.
struct Bench {
    _runtime: Runtime,
    _server: TelemetryServer,
    _broker: Broker,
    _folder: TempDir,
    file: String,
}

impl Bench {
    fn new(request: &str) -> Bench {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(TelemetryServer::start(([127, 0, 0, 1], 0).into()));
        let server = server.expect("a free port");
        let broker = runtime.block_on(Broker::start(BrokerConfig::in_memory()));
        let broker = broker.expect("a free port");
        let folder = TempDir::new().expect("a temporary folder");
        let sink = format!(
            "kind: kafka, brokers: \"{}\", topic: kept, key: device_id, \
             create: {{ partitions: 2, replication: 1 }}",
            broker.bootstrap()
        );
        let file = write_pipeline(folder.path(), &server.endpoint(), request, &sink);
        Bench { _runtime: runtime, _server: server, _broker: broker, _folder: folder, file }
    }

    fn show(&self) -> Json {
        let ran = run(&mut headwater(&["offsets", "show", &self.file, "--json"])).succeeded();
        serde_json::from_str(&ran.stdout).expect("JSON was asked for")
    }
}

#[test]
fn offsets_are_shown_and_forgotten_only_when_asked_twice() {
    let bench = Bench::new("count: 300");
    assert_eq!(bench.show()["shards"], Json::Array(Vec::new()), "nothing is kept before a start");
    run(&mut headwater(&["run", &bench.file, "--metrics", "off"])).succeeded();
    let shown = bench.show();
    let shard = &shown["shards"][0];
    assert_eq!(shard["committed"], 300, "{shown:#}");
    assert_eq!(shard["position"]["cursor"]["values"]["sequence"]["uint"], 300, "{shown:#}");
    let text = run(&mut headwater(&["offsets", "show", &bench.file])).succeeded().stdout;
    assert!(text.contains("cursor       sequence=300"), "{text}");

    let asked = run(&mut headwater(&["offsets", "reset", &bench.file]));
    assert_eq!(asked.code, 64, "{asked:#?}");
    assert!(asked.stdout.contains("300 committed"), "it says what it would forget: {asked:#?}");
    assert_eq!(bench.show()["shards"][0]["committed"], 300, "nothing was forgotten");

    let unknown = ["offsets", "reset", &bench.file, "--shard", "feed/other", "--yes"];
    assert_eq!(run(&mut headwater(&unknown)).code, 64);
    let key = shard["shard"].as_str().expect("a shard has a name").to_owned();
    run(&mut headwater(&["offsets", "reset", &bench.file, "--shard", &key, "--yes"])).succeeded();
    assert_eq!(bench.show()["shards"], Json::Array(Vec::new()));
}

#[test]
fn a_restart_goes_on_behind_the_last_commit() {
    let bench = Bench::new("count: 200");
    for _ in 0..2 {
        run(&mut headwater(&["run", &bench.file, "--metrics", "off"])).succeeded();
    }
    let shown = bench.show();
    assert_eq!(shown["generation"], 2, "{shown:#}");
    assert_eq!(shown["shards"][0]["committed"], 200, "the second run had nothing to add");
}

#[test]
fn progress_of_a_running_instance_is_not_forgotten() {
    let bench = Bench::new("rate: 200");
    let mut command = headwater(&["run", &bench.file, "--metrics", "off"]);
    let mut running = crate::program::Running::start(&mut command, std::process::Stdio::null());
    running.logged(&["event=call_opened"]);
    crate::program::eventually("it commits", || !bench.show()["shards"][0].is_null());
    let ran = run(&mut headwater(&["offsets", "reset", &bench.file, "--yes"]));
    assert_eq!(ran.code, 64, "{ran:#?}");
    assert!(ran.stderr.contains("runs on this machine"), "{ran:#?}");
    running.signal("TERM");
    assert_eq!(running.ended().0, Some(0));
    run(&mut headwater(&["offsets", "reset", &bench.file, "--yes"])).succeeded();
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
