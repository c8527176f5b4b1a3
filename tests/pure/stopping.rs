//! Goal: `headwater run` starts, answers for its health and leaves as promised.
//! Method: the real process, real signals, its own log lines as the clock.

use crate::program::{Running, eventually, get, headwater, run, write_pipeline};
use headwater_telemetry::TelemetryServer;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Longer than what counts as the same request to stop.
const ANOTHER_REQUEST: Duration = Duration::from_millis(300);

/// A sample server and a folder for one pipeline file.
struct Bench {
    runtime: Runtime,
    server: TelemetryServer,
    folder: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(TelemetryServer::start(([127, 0, 0, 1], 0).into()));
        let folder = TempDir::new().expect("a temporary folder");
        Bench { runtime, server: server.expect("a free port"), folder }
    }

    fn pipeline(&self, request: &str, sink: &str) -> String {
        write_pipeline(self.folder.path(), &self.server.endpoint(), request, sink)
    }
}

#[test]
fn a_finished_stream_ends_the_program_with_every_record_printed() {
    let bench = Bench::new();
    let file = bench.pipeline("count: 500", "kind: stdout");
    let ran = run(&mut headwater(&["run", &file, "--metrics", "off"])).succeeded();
    let sequences: Vec<u64> = ran.stdout.lines().map(sequence).collect();
    assert_eq!(sequences, (1..=500).collect::<Vec<u64>>());
    let log = &ran.stderr;
    let completed = log.lines().find(|line| line.contains("event=stream_completed"));
    assert!(completed.is_some_and(|it| it.contains("code=OK messages=500")), "{log}");
}

/// `timeout` and other wrappers send their signal to the process and to its group.
#[test]
fn the_same_signal_twice_in_a_moment_is_one_request() {
    let bench = Bench::new();
    let file = bench.pipeline("rate: 1000", "kind: discard");
    let mut command = headwater(&["run", &file, "--metrics", "off"]);
    let mut running = Running::start(&mut command, Stdio::null());
    running.logged(&["event=streaming_started"]);
    running.signal("TERM");
    running.signal("TERM");
    let (code, log) = running.ended();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn sigterm_and_ctrl_c_stop_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let bench = Bench::new();
        let file = bench.pipeline("rate: 1000", "kind: discard");
        let mut command = headwater(&["run", &file, "--metrics", "off"]);
        let mut running = Running::start(&mut command, Stdio::null());
        running.logged(&["event=streaming_started", "pipeline=tried", "source=feed", "session=1"]);
        running.signal(signal);
        let (code, log) = running.ended();
        assert_eq!(code, Some(0), "SIG{signal}: {log}");
        assert!(log.contains("event=pipeline_stopped"), "{log}");
    }
}

/// The drain cannot end, because nobody reads the pipe that standard output is.
#[test]
fn a_second_signal_leaves_at_once() {
    let bench = Bench::new();
    let file = bench.pipeline("payload_bytes: 10000", "kind: stdout");
    let mut command = headwater(&["run", &file, "--metrics", "127.0.0.1:0"]);
    let mut running = Running::start(&mut command, Stdio::piped());
    let address = running.metrics_address();
    let received =
        || metric(&get(address, "/metrics").1, "headwater_source_received_messages_total");
    eventually("more is received than the pipe holds", || received() > 100.0);
    running.signal("TERM");
    running.logged(&["event=stop_requested"]);
    eventually("it drains", || get(address, "/readyz").1.contains("draining"));
    std::thread::sleep(ANOTHER_REQUEST);
    let since = Instant::now();
    running.signal("TERM");
    let (code, log) = running.ended();
    assert_eq!(code, Some(130), "{log}");
    assert!(since.elapsed() < Duration::from_secs(2), "at once: {:?}", since.elapsed());
}

#[test]
fn health_and_metrics_follow_the_pipeline() {
    let bench = Bench::new();
    let file = bench.pipeline("rate: 100", "kind: discard");
    let mut command = headwater(&["run", &file, "--metrics", "127.0.0.1:0"]);
    let mut running = Running::start(&mut command, Stdio::null());
    let address = running.metrics_address();
    assert_eq!(get(address, "/healthz").0, 200);
    eventually("it is ready", || get(address, "/readyz").0 == 200);
    eventually("records are counted", || {
        metric(&get(address, "/metrics").1, "headwater_committed_records_total") > 10.0
    });
    let (_, text) = get(address, "/metrics");
    let promise =
        r#"stream_guarantee{guarantee="none",pipeline="tried",sink="out",source="feed"} 1"#;
    assert!(text.contains(promise), "the promise is missing:\n{text}");
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes"] {
        let line = format!("\n{name} ");
        assert!(text.contains(&line), "{name} is missing:\n{text}");
    }
    running.signal("TERM");
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn a_pipeline_whose_broker_is_away_is_not_ready_and_still_stops() {
    let bench = Bench::new();
    let file = bench.pipeline("rate: 1", "kind: kafka, brokers: \"127.0.0.1:9\", topic: t");
    let mut command = headwater(&["run", &file, "--metrics", "127.0.0.1:0"]);
    let mut running = Running::start(&mut command, Stdio::null());
    let address = running.metrics_address();
    let (status, body) = get(address, "/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("\"pipeline\":\"tried\"") && body.contains("starting"), "{body}");
    assert_eq!(get(address, "/healthz").0, 200);
    running.signal("TERM");
    let (code, log) = running.ended();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_stream_that_cannot_go_on_ends_the_program_with_69() {
    let bench = Bench::new();
    let file = bench.pipeline("filter: nowhere", "kind: discard");
    let ran = run(&mut headwater(&["run", &file, "--metrics", "off"]));
    assert_eq!(ran.code, 69, "{ran:#?}");
    assert!(ran.stderr.contains("event=shard_broken"), "{}", ran.stderr);
}

#[test]
fn json_logs_are_one_object_a_line() {
    let bench = Bench::new();
    let file = bench.pipeline("count: 1", "kind: discard");
    let arguments = ["run", &file, "--metrics", "off", "--log-format", "json"];
    let ran = run(&mut headwater(&arguments)).succeeded();
    for line in ran.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        assert!(line["event"].is_string(), "every line has an event: {line}");
        if line["event"] == "streaming_started" {
            assert_eq!(line["span"]["pipeline"], "tried", "{line}");
            assert_eq!(line["shard"].as_str().map(|it| it.starts_with("feed/")), Some(true));
        }
    }
    assert!(ran.stderr.contains("\"guarantee\":\"none\""), "{}", ran.stderr);
}

#[test]
fn a_metrics_port_that_is_taken_is_a_mistake_only_if_it_was_asked_for() {
    let bench = Bench::new();
    let file = bench.pipeline("count: 1", "kind: discard");
    let taken = bench.server.local_addr().to_string();
    let ran = run(&mut headwater(&["run", &file, "--metrics", &taken]));
    assert_eq!(ran.code, 64, "{ran:#?}");
    assert_eq!(bench.server.sent(), 0, "nothing was started");
    run(&mut headwater(&["run", &file])).succeeded();
}

#[test]
fn a_server_that_goes_away_is_called_again() {
    let bench = Bench::new();
    let file = bench.pipeline("rate: 500", "kind: stdout");
    let mut command = headwater(&["run", &file, "--metrics", "off"]);
    let mut running = Running::start(&mut command, Stdio::piped());
    let printed = running.take_stdout();
    running.logged(&["event=streaming_started", "session=1"]);
    let address = bench.server.local_addr();
    bench.runtime.block_on(bench.server.shutdown());
    let again = bench.runtime.block_on(TelemetryServer::start(address)).expect("its old port");
    running.logged(&["event=streaming_started", "session=2"]);
    eventually("the second server sends", || again.sent() > 100);
    running.signal("TERM");
    let reader = std::thread::spawn(move || {
        BufReader::new(printed).lines().map_while(Result::ok).map(|it| sequence(&it)).collect()
    });
    assert_eq!(running.ended().0, Some(0));
    let sequences: Vec<u64> = reader.join().expect("reading does not panic");
    let last = *sequences.last().expect("something was printed");
    assert_eq!(sequences, (1..=last).collect::<Vec<u64>>(), "nothing missing, nothing twice");
}

fn sequence(line: &str) -> u64 {
    let record: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
    record["sequence"].as_str().and_then(|it| it.parse().ok()).expect("a record has its number")
}

/// The sum of a metric's series.
fn metric(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
