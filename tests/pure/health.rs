//! Goal: `/readyz`, `/metrics` and the log say how a pipeline stands, and when it changes.
//! Method: the real process between the sample server and a sink that keeps nothing; the server is
//! taken away and brought back.

use crate::program::{Running, eventually, get, headwater, write_pipeline};
use headwater_telemetry::TelemetryServer;
use serde_json::Value as Json;
use std::convert::Infallible;
use std::future::{Pending, pending};
use std::net::SocketAddr;
use std::process::Stdio;
use std::task::{Context, Poll};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// A running program between a server that comes and goes and a discarding sink.
struct Bench {
    runtime: Runtime,
    address: SocketAddr,
    server: Option<TelemetryServer>,
    folder: TempDir,
}

/// What `/readyz` said.
struct Ready {
    status: u16,
    body: Json,
}

impl Bench {
    /// An address at which nobody listens yet.
    fn new() -> Bench {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let folder = TempDir::new().expect("a temporary folder");
        Bench { runtime, address, server: None, folder }
    }

    fn raise(&mut self) {
        let server = self.runtime.block_on(TelemetryServer::start(self.address));
        self.server = Some(server.expect("the address is still free"));
    }

    fn fell(&mut self) {
        let server = self.server.take().expect("it was raised");
        self.runtime.block_on(server.shutdown());
    }

    /// Writes a pipeline file; `more` are keys of the source, which may hold the requests.
    fn pipeline(&self, request: &str, more: &str) -> String {
        let endpoint = format!("http://{}", self.address);
        let file = write_pipeline(self.folder.path(), &endpoint, request, "kind: discard");
        let text = std::fs::read_to_string(&file).expect("it was just written");
        let text = text.replace("    on_end: finish\n", &format!("    on_end: finish\n{more}"));
        let text = text.replace("    request: {  }\n", "");
        std::fs::write(&file, text).expect("the folder is writable");
        file
    }

    /// Runs the pipeline with a short back-off.
    fn run(&self, request: &str) -> (Running, SocketAddr) {
        let more = "    reconnect: { backoff_min_ms: 20, backoff_max_ms: 200 }\n";
        start(&[&self.pipeline(request, more)])
    }
}

impl Ready {
    fn of(address: SocketAddr) -> Ready {
        let (status, body) = get(address, "/readyz");
        Ready { status, body: serde_json::from_str(&body).expect("the answer is JSON") }
    }

    fn state(&self) -> &str {
        self.pipeline("tried")["state"].as_str().expect("a pipeline has a state")
    }

    fn reason(&self) -> &str {
        self.pipeline("tried")["reason"].as_str().unwrap_or_default()
    }

    fn pipeline(&self, name: &str) -> &Json {
        let pipelines = self.body["pipelines"].as_array().expect("a list");
        pipelines.iter().find(|it| it["pipeline"] == name).expect("it is listed")
    }
}

fn start(files: &[&str]) -> (Running, SocketAddr) {
    let arguments: Vec<&str> = ["run"].iter().chain(files).copied().collect();
    let mut command = headwater(&arguments);
    let command = command.args(["--metrics", "127.0.0.1:0"]);
    let mut running = Running::start(command, Stdio::null());
    let address = running.metrics_address();
    (running, address)
}

/// Waits until the pipeline is in `state`, and demands that the status code is the one for it.
fn eventually_in(address: SocketAddr, state: &str, status: u16) -> Ready {
    eventually(&format!("it is {state}"), || Ready::of(address).state() == state);
    let ready = Ready::of(address);
    assert_eq!((ready.state(), ready.status), (state, status), "{}", ready.body);
    assert_eq!(ready.body["ready"], status == 200);
    demand_state_metric(address, state);
    ready
}

/// Exactly the gauge of this state is 1.
fn demand_state_metric(address: SocketAddr, state: &str) {
    let (_, text) = get(address, "/metrics");
    let states = text.lines().filter(|line| line.starts_with("headwater_pipeline_state{"));
    let ones: Vec<&str> = states.filter(|line| line.ends_with(" 1")).collect();
    let expected = format!("headwater_pipeline_state{{pipeline=\"tried\",state=\"{state}\"}} 1");
    assert_eq!(ones, [expected], "{text}");
}

/// The value of the one series of `name` with all of `labels`.
fn gauge(address: SocketAddr, name: &str, labels: &[&str]) -> Option<f64> {
    let (_, text) = get(address, "/metrics");
    let start = format!("headwater_{name}{{");
    let mut series = text.lines().filter(|line| line.starts_with(&start));
    let line = series.find(|line| labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_pipeline_is_ready_once_its_calls_were_open_and_degrades_while_one_is_away() {
    let mut bench = Bench::new();
    let (running, address) = bench.run("rate: 500");
    let ready = eventually_in(address, "connecting", 503);
    eventually("the reason is told", || Ready::of(address).reason().contains("refused"));
    assert!(ready.reason().starts_with("1 of 1 calls not open yet: feed/"), "{}", ready.body);
    assert_eq!(get(address, "/healthz").0, 200, "no restart brings a server back");

    bench.raise();
    let ready = eventually_in(address, "running", 200);
    assert_eq!(ready.reason(), "");
    assert_eq!(ready.pipeline("tried")["shards"]["not_open"], 0);

    bench.fell();
    eventually("the call is away", || Ready::of(address).body.to_string().contains("not_open\":1"));
    let ready = eventually_in(address, "degraded", 200);
    assert!(ready.reason().starts_with("1 of 1 calls away: feed/"), "{}", ready.body);
    assert!(ready.pipeline("tried")["seconds"].as_u64().is_some_and(|it| it < 30));
    let shards = &ready.pipeline("tried")["shards"]["why"];
    assert_eq!(shards.as_object().map(serde_json::Map::len), Some(1), "{}", ready.body);

    bench.raise();
    eventually_in(address, "running", 200);
    running.signal("TERM");
    let (code, log) = running.ended();
    assert_eq!(code, Some(0));
    let mut lines = log.lines().filter(|line| line.contains("event=pipeline_state"));
    for (state, was) in [
        ("connecting", "starting"),
        ("running", "connecting"),
        ("degraded", "running"),
        ("running", "degraded"),
        ("draining", "running"),
        ("stopped", "draining"),
    ] {
        let told = format!("pipeline=tried state={state} was={was}");
        assert!(lines.any(|line| line.contains(&told)), "{told}:\n{log}");
    }
}

#[test]
fn an_absence_that_is_over_soon_is_no_news() {
    let mut bench = Bench::new();
    bench.raise();
    let (mut running, address) = bench.run("rate: 500");
    eventually_in(address, "running", 200);
    bench.fell();
    running.logged(&["event=stream_error", "session=1"]);
    running.logged(&["event=reconnect_scheduled"]);
    running.logged(&["event=reconnect_executing", "attempt=1"]);
    bench.raise();
    // The first attempt may find nobody yet.
    running.logged(&["event=streaming_started"]);
    eventually_in(address, "running", 200);
    running.signal("TERM");
    let (code, log) = running.ended();
    assert_eq!(code, Some(0));
    assert!(!log.contains("state=degraded"), "{log}");
}

#[test]
fn a_shard_that_cannot_go_on_is_degraded_and_not_ready_while_the_others_flow() {
    let mut bench = Bench::new();
    bench.raise();
    let requests = "    requests:\n      - { name: sound, request: { rate: 100 } }\n      \
                    - { name: lost, request: { filter: nowhere } }\n";
    let file = bench.pipeline("", requests);
    let (running, address) = start(&[&file]);
    let ready = eventually_in(address, "degraded", 503);
    let reason = ready.reason();
    assert!(reason.starts_with("1 of 2 shards cannot go on: feed/"), "{reason}");
    assert!(reason.contains("/lost: ") && reason.contains("INVALID_ARGUMENT"), "{reason}");
    let flows = || gauge(address, "committed_records_total", &["tried"]).unwrap_or(0.0) > 10.0;
    eventually("the other shard flows", flows);
    running.signal("TERM");
    assert_eq!(running.ended().0, Some(0), "it was asked to");
}

#[test]
fn a_pipeline_that_has_stopped_says_why_while_another_runs() {
    let mut bench = Bench::new();
    bench.raise();
    let tried = bench.pipeline("filter: nowhere", "");
    let other = Bench { server: None, ..Bench::new() };
    let endless = write_pipeline(
        other.folder.path(),
        &format!("http://{}", bench.address),
        "rate: 100",
        "kind: discard",
    );
    let text = std::fs::read_to_string(&endless).expect("it was just written");
    let text = text.replace("pipeline: tried", "pipeline: other");
    std::fs::write(&endless, text).expect("the folder is writable");
    let (running, address) = start(&[&tried, &endless]);
    eventually("one has stopped and one runs", || {
        let ready = Ready::of(address);
        ready.state() == "stopped" && ready.pipeline("other")["state"] == "running"
    });
    let ready = Ready::of(address);
    assert_eq!((ready.status, ready.reason()), (503, "no stream is left"));
    assert_eq!(ready.pipeline("other")["ready"], true);
    running.signal("TERM");
    assert_eq!(running.ended().0, Some(69));
}

/// Many servers send their headers together with the first message.
#[test]
fn a_server_that_has_nothing_to_say_yet_counts_as_connected_after_a_while() {
    let bench = Bench::new();
    let server = Server::builder().add_service(Silent);
    let serving = {
        let _inside = bench.runtime.enter();
        let incoming = TcpIncoming::bind(bench.address).expect("the address is still free");
        server.serve_with_incoming(incoming)
    };
    bench.runtime.spawn(serving);
    let (mut running, address) = bench.run("rate: 500");
    eventually_in(address, "connecting", 503);
    eventually_in(address, "running", 200);
    let connected = gauge(address, "source_connected", &[]);
    assert_eq!(connected, Some(0.0), "the metric says what is known for sure");
    running.signal("TERM");
    running.logged(&["event=pipeline_state", "state=running", "was=connecting"]);
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn what_is_durable_and_what_waits_is_shown_as_numbers() {
    let mut bench = Bench::new();
    bench.raise();
    let (running, address) = bench.run("rate: 1000");
    let place = ["pipeline=\"tried\"", "shard=\"feed/", "source=\"feed\""];
    let cursor = || gauge(address, "source_committed_cursor", &["component=\"sequence\""]);
    eventually("the cursor moves", || cursor().is_some_and(|it| it > 500.0));
    assert_eq!(gauge(address, "source_committed_session", &place), Some(1.0));
    // The server numbers from 1 and the shard from 0: the next sequence is the last cursor. Both
    // move between two looks.
    let before = cursor();
    let sequence = gauge(address, "source_committed_sequence", &place);
    assert!(before <= sequence && sequence <= cursor(), "{before:?} {sequence:?}");
    assert!(gauge(address, "source_lag_messages", &place).is_some_and(|it| it < 1_000.0));
    let age = gauge(address, "open_transaction_age_seconds", &["tried"]);
    assert!(age.is_some_and(|it| (0.0..5.0).contains(&it)), "{age:?}");
    running.signal("TERM");
    assert_eq!(running.ended().0, Some(0));
}

/// Takes every call and answers none.
#[derive(Clone)]
struct Silent;

impl NamedService for Silent {
    const NAME: &'static str = "bench.v1.Telemetry";
}

impl Service<http::Request<tonic::body::Body>> for Silent {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<tonic::body::Body>) -> Self::Future {
        pending()
    }
}
