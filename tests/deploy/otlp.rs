//! Goal: an OpenTelemetry collector gets what Prometheus would scrape, and a trace of each call,
//! start and epoch; one that is away holds nothing up.
//! Method: the real binary runs between a scripted server, the embedded broker and a collector
//! that keeps what it gets (`collector.rs`); what it got is compared with what `/metrics` serves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::{OnEnd, Pipeline};
use headwater_test_support::process::{Headwater, Launch, Metrics, free_address};
use headwater_test_support::tls::TestCa;
use headwater_test_support::wait;

use crate::collector::{Attributes, Collector, Seen, attributes, samples};
use crate::world::PATIENCE;

/// Events of each of two shards.
pub(crate) const TOTAL: u64 = 3_000;

/// A pipeline of two shards, `north` and `south`, and what it needs.
pub(crate) struct World {
    pub(crate) headwater: Headwater,
    launch: Launch,
    pipeline: Pipeline,
    _server: ScriptedServer,
    _cluster: Cluster,
}

impl World {
    /// Runs with these variables, and waits until all events are committed.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Result<World> {
        let cluster = Cluster::embedded()?;
        let script = Script::new(TOTAL).rest([Step::SendAll, Step::Stall]);
        let server = ScriptedServer::start(script)?;
        let mut pipeline = Pipeline::new(server.endpoint(), cluster.bootstrap());
        pipeline.name = "readings".to_owned();
        pipeline.commit_interval_ms = 10;
        pipeline.on_end = OnEnd::Reconnect;
        let requests = "requests: [{ name: north }, { name: south }]";
        pipeline.source_extra.push(requests.to_owned());
        let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        for (name, value) in variables {
            launch = launch.environment(name, value);
        }
        let mut headwater = launch.run(&pipeline)?;
        headwater.wait_for("all records", PATIENCE, |it| committed(it) == 2 * TOTAL)?;
        Ok(World { headwater, launch, pipeline, _server: server, _cluster: cluster })
    }

    /// Runs the same again.
    pub(crate) fn again(&mut self) -> Result<()> {
        self.headwater = self.launch.run(&self.pipeline)?;
        Ok(())
    }

    /// Asks it to end, and waits for the good end.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let (status, _) = self.headwater.stop(PATIENCE)?;
        ensure!(status.success(), "{status}: {}", self.headwater.log()?);
        Ok(())
    }
}

fn committed(headwater: &Headwater) -> u64 {
    headwater.metrics().map_or(0, |it| it.sum("headwater_committed_records_total") as u64)
}

#[test]
fn a_collector_gets_by_grpc_and_tls_what_prometheus_scrapes() -> Result<()> {
    let authority = TestCa::new()?;
    let collector = Collector::grpc(Some(&authority.server(&["localhost"])?))?;
    let endpoint = format!("https://localhost:{}", collector.address().port());
    let world = World::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority.certificate().display().to_string()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
    ])?;
    compare(&collector, &world.headwater)
}

/// The first requests are refused, and sent again.
#[test]
fn a_collector_gets_by_http_what_prometheus_scrapes() -> Result<()> {
    let collector = Collector::http()?.refusing(2);
    let endpoint = format!("http://{}/", collector.address());
    let world = World::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
    ])?;
    compare(&collector, &world.headwater)?;
    ensure!(collector.told().refused == 2, "both were refused");
    let failed = world.headwater.metrics()?.sum("headwater_otlp_failed_exports_total");
    ensure!(failed == 0.0, "{failed} requests were given up");
    Ok(())
}

/// Each series is told, no other one is, and the values are those of the moment between two
/// scrapes.
fn compare(collector: &Collector, headwater: &Headwater) -> Result<()> {
    let before = scraped(&headwater.metrics()?);
    let told = samples(&collector.next_look(PATIENCE)?);
    let after = scraped(&headwater.metrics()?);
    ensure!(told.len() > 150, "{} series", told.len());
    let keys = |of: &BTreeMap<(String, Attributes), f64>| of.keys().cloned().collect();
    let (sent, served): (BTreeSet<_>, BTreeSet<_>) = (keys(&told), keys(&after));
    let unsent: Vec<_> = served.difference(&sent).collect();
    let unserved: Vec<_> = sent.difference(&served).collect();
    ensure!(unsent.is_empty() && unserved.is_empty(), "unsent {unsent:?}, unserved {unserved:?}");
    // What a process uses goes up and down between any two looks.
    let of_pipelines = told.iter().filter(|((name, _), _)| !name.starts_with("process_"));
    for (key, value) in of_pipelines {
        let (low, high) = (before[key].min(after[key]), before[key].max(after[key]));
        ensure!((low..=high).contains(value), "{key:?}: {value}, scraped {low} and {high}");
    }
    let north = told.iter().filter(|((name, labels), _)| {
        name == "headwater_source_received_messages_total" && labels["shard"].contains("north")
    });
    ensure!(north.map(|(_, value)| *value).sum::<f64>() == TOTAL as f64);
    let resource = collector.resource();
    ensure!(resource["service.name"] == "headwater", "{resource:?}");
    ensure!(resource["service.version"] == env!("CARGO_PKG_VERSION"), "{resource:?}");
    ensure!(!resource["service.instance.id"].is_empty(), "{resource:?}");
    let tenants = &collector.told().tenants;
    ensure!(tenants.iter().all(|it| it.as_deref() == Some("a b")), "{tenants:?}");
    Ok(())
}

/// What `/metrics` served, in the same form.
fn scraped(metrics: &Metrics) -> BTreeMap<(String, Attributes), f64> {
    let one = |(name, labels, value): (&str, &[(String, String)], f64)| {
        let label = |(label, value): &(String, String)| match label.as_str() {
            "le" => (label.clone(), format!("{:?}", value.parse::<f64>().expect("a bound"))),
            _ => (label.clone(), value.clone()),
        };
        ((name.to_owned(), labels.iter().map(label).collect()), value)
    };
    metrics.iter().map(one).collect()
}

#[test]
fn each_start_call_and_epoch_is_a_trace_with_its_parts() -> Result<()> {
    let collector = Collector::grpc(None)?;
    let endpoint = format!("http://{}", collector.address());
    let mut world = World::start(&[
        // The command line and the variable of one signal are tried by this test as well.
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_SERVICE_NAME", "bridge"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=seven,team=blue"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ])?;
    let commits = world.headwater.metrics()?.sum("headwater_commits_total") as usize;
    // What is left is sent before the process ends.
    world.stop()?;
    ensure!(collector.told().metrics.is_empty(), "nobody asked for metrics");
    let resource = collector.resource();
    for (key, value) in [
        ("service.name", "bridge"),
        ("service.instance.id", "seven"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("team", "blue"),
    ] {
        ensure!(resource[key] == value, "{resource:?}");
    }
    let starts = collector.spans_named("start");
    ensure!(starts.len() == 1 && starts[0].attributes["outcome"] == "ok", "{starts:?}");
    epochs(&collector.spans(), commits)?;
    let calls = collector.spans_named("call");
    ensure!(calls.len() == 2, "{calls:?}");
    for call in &calls {
        let of = |key: &str| call.attributes.get(key).map_or("", String::as_str);
        ensure!(of("pipeline") == "readings" && of("source") == "events", "{call:?}");
        ensure!(of("rpc.service") == "bench.v1.Telemetry" && of("rpc.method") == "Subscribe");
        ensure!(of("records") == TOTAL.to_string() && of("outcome") == "ok", "{call:?}");
        ensure!(of("rpc.response.status_code") == "CANCELLED", "it was asked to stop: {call:?}");
        ensure!(of("bytes").parse::<u64>()? > TOTAL, "{call:?}");
        ensure!(call.span.events.iter().any(|it| it.name == "opened"), "{call:?}");
        ensure!(call.span.parent_span_id.is_empty(), "{call:?}");
    }
    let all = collector.spans();
    ensure!(all.iter().all(|it| it.span.end_time_unix_nano >= it.span.start_time_unix_nano));
    Ok(())
}

/// Every epoch that the series count, with all records in them, and each with its three parts.
fn epochs(all: &[Seen], commits: usize) -> Result<()> {
    let epochs: Vec<&Seen> = all.iter().filter(|it| it.span.name == "epoch").collect();
    ensure!(epochs.len() == commits, "{} of {commits} epochs", epochs.len());
    let sum = |key: &str| {
        let count = |it: &&Seen| it.attributes[key].parse::<u64>();
        epochs.iter().map(count).sum::<Result<u64, _>>()
    };
    ensure!(sum("records")? == 2 * TOTAL && sum("bytes")? > 2 * TOTAL);
    let mut of_shards: BTreeMap<String, u64> = BTreeMap::new();
    for epoch in &epochs {
        let Seen { span, attributes: of } = epoch;
        ensure!(of["outcome"] == "ok" && of["pipeline"] == "readings", "{of:?}");
        let parts: Vec<&Seen> =
            all.iter().filter(|it| it.span.parent_span_id == span.span_id).collect();
        let mut names: Vec<&str> = parts.iter().map(|it| it.span.name.as_str()).collect();
        names.sort_unstable();
        ensure!(names == ["commit", "seal", "stage"], "{names:?}");
        for part in parts {
            ensure!(part.span.trace_id == span.trace_id, "{part:?}");
            ensure!(part.span.start_time_unix_nano >= span.start_time_unix_nano, "{part:?}");
        }
        for moved in span.events.iter().filter(|it| it.name == "moved") {
            let moved = attributes(&moved.attributes);
            let shard = of_shards.entry(moved["shard"].clone()).or_default();
            *shard += moved["records"].parse::<u64>()?;
        }
    }
    ensure!(of_shards.values().copied().eq([TOTAL, TOTAL]), "{of_shards:?}");
    Ok(())
}

#[test]
fn a_pipeline_that_is_built_anew_and_an_epoch_that_it_gave_up_are_traces() -> Result<()> {
    let collector = Collector::http()?;
    let endpoint = format!("http://{}", collector.address());
    let hits = tempfile::tempdir()?;
    let mut world = World::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("HEADWATER_FAULTS", "sink.before_commit=panic@2"),
        ("HEADWATER_FAULTS_FOLDER", &hits.path().display().to_string()),
    ])?;
    world.stop()?;
    ensure!(hits.path().join("sink.before_commit").exists(), "the fault did not hit");
    let rebuilds = collector.spans_named("rebuild");
    ensure!(rebuilds.len() == 1, "{rebuilds:?}");
    let rebuild = &rebuilds[0].attributes;
    ensure!(rebuild["outcome"] == "ok" && rebuild["reason"].contains("panicked"), "{rebuild:?}");
    let outcomes: Vec<String> =
        collector.spans_named("epoch").iter().map(|it| it.attributes["outcome"].clone()).collect();
    ensure!(outcomes.iter().any(|it| it == "abandoned"), "{outcomes:?}");
    // A call of the failed attempt was given up, or had just time to end; those of the next ended.
    let calls = collector.spans_named("call");
    ensure!(calls.len() > 2, "{calls:?}");
    for shard in ["/north", "/south"] {
        let of_shard = calls.iter().filter(|it| it.attributes["shard"].ends_with(shard));
        let last = of_shard.max_by_key(|it| it.span.start_time_unix_nano);
        ensure!(last.is_some_and(|it| it.attributes["outcome"] == "ok"), "{calls:?}");
    }
    Ok(())
}

/// A sampler that wants none gets none, and metrics are sent all the same.
#[test]
fn the_sampler_of_opentelemetrys_variables_is_obeyed() -> Result<()> {
    let collector = Collector::http()?;
    let endpoint = format!("http://{}", collector.address());
    let mut world = World::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ])?;
    world.stop()?;
    ensure!(collector.told().metrics.len() == 1, "the last look, at the end");
    ensure!(collector.spans().is_empty(), "{:?}", collector.spans());
    let dropped = "headwater_otlp_dropped_spans_total";
    let told = samples(&metrics_of(&collector));
    ensure!(told.iter().filter(|((name, _), _)| name == dropped).all(|(_, value)| *value == 0.0));
    Ok(())
}

fn metrics_of(collector: &Collector) -> Vec<opentelemetry_proto::tonic::metrics::v1::Metric> {
    let told = collector.told();
    let all = told.metrics.iter().flat_map(|it| &it.resource_metrics);
    all.flat_map(|it| &it.scope_metrics).flat_map(|it| it.metrics.clone()).collect()
}

#[test]
fn a_collector_that_is_away_holds_nothing_up_and_its_drops_are_counted() -> Result<()> {
    let endpoint = format!("http://{}", free_address()?);
    let mut world = World::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ])?;
    world.headwater.wait_for("requests to be given up", PATIENCE, |it| {
        it.metrics().is_ok_and(|it| {
            let failed = |signal| {
                it.sum_where("headwater_otlp_failed_exports_total", "signal", signal) > 0.0
            };
            failed("traces") && failed("metrics") && dropped(&it, "export_failed") > 0.0
        })
    })?;
    ensure!(world.headwater.metrics()?.sum("headwater_otlp_exports_total") == 0.0);
    let log = world.headwater.log()?;
    let complaints = log.matches("event=otlp_export_failed").count();
    ensure!(complaints == 2, "one a signal, then silence for a while:\n{log}");
    world.stop()
}

/// It takes connections and says nothing: the first request of each signal never ends.
#[test]
fn a_collector_that_hangs_holds_nothing_up_and_is_not_waited_for_at_the_end() -> Result<()> {
    for protocol in ["grpc", "http/protobuf"] {
        // What nobody accepts, the kernel connects all the same.
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", silent.local_addr()?);
        let mut world = World::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
        ])?;
        let metrics = world.headwater.metrics()?;
        ensure!(dropped(&metrics, "queue_full") > 0.0, "{protocol}: nothing was dropped");
        world.stop()?;
        let log = world.headwater.log()?;
        ensure!(log.contains("event=otlp_not_flushed"), "{protocol}:\n{log}");
        ensure!(log.contains("event=end"), "{protocol}:\n{log}");
    }
    Ok(())
}

fn dropped(metrics: &Metrics, reason: &str) -> f64 {
    metrics.sum_where("headwater_otlp_dropped_spans_total", "reason", reason)
}

/// One that comes back gets everything that metrics have to tell, and the log says so.
#[test]
fn a_collector_that_comes_back_is_told_of_in_the_log() -> Result<()> {
    let collector = Collector::http()?.refusing(3);
    let endpoint = format!("http://{}", collector.address());
    let mut world = World::start(&[
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &format!("{endpoint}/v1/metrics")),
        // Too short for a second attempt.
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "150"),
    ])?;
    compare_counts(&collector, &mut world)?;
    ensure!(collector.spans().is_empty(), "nobody asked for traces");
    Ok(())
}

fn compare_counts(collector: &Collector, world: &mut World) -> Result<()> {
    let metrics = samples(&collector.next_look(PATIENCE)?);
    let committed = metrics.iter().find(|((name, _), _)| *name == "headwater_commits_total");
    committed.context("the series of commits")?;
    wait::until_ok("the log to tell of it", PATIENCE, || {
        Ok(world.headwater.log()?.contains("event=otlp_export_recovered"))
    })?;
    ensure!(world.headwater.log()?.contains("event=otlp_export_failed"));
    Ok(())
}

#[test]
fn mistakes_in_opentelemetrys_variables_are_all_told_before_anything_starts() -> Result<()> {
    let launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
    let mut launch = launch
        .argument("--otlp=localhost:4318")
        .environment("OTEL_EXPORTER_OTLP_COMPRESSION", "zip")
        .environment("OTEL_METRIC_EXPORT_INTERVAL", "soon");
    let mut headwater = launch.run(&Pipeline::new("http://127.0.0.1:1", "127.0.0.1:1"))?;
    let status = headwater.wait_exit(PATIENCE)?;
    ensure!(status.code() == Some(64), "{status}");
    let log = headwater.log()?;
    for told in [
        "error: --otlp: expected a URL",
        "error: OTEL_EXPORTER_OTLP_COMPRESSION: expected",
        "error: OTEL_METRIC_EXPORT_INTERVAL: expected",
    ] {
        ensure!(log.contains(told), "{told} in:\n{log}");
    }
    Ok(())
}
