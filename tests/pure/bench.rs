//! Goal: `headwater bench` counts what arrives, tells how late it was, and leaves the real pipeline
//! and its topics as they were.
//! Method: the built-in broker, in this process or in a child of the program; generated messages
//! or the sample server.

use crate::kept::World;
use crate::program::{Ran, Running, eventually, headwater, run};
use headwater_test_support::topic::{self, Isolation, Read};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// A run that is measured from its first message to its last commit.
const WHOLE: [&str; 4] = ["--warm-up", "0", "--log-level", "info"];

fn bench(file: &str, arguments: &[&str]) -> Ran {
    let all: Vec<&str> = ["bench", file].iter().chain(&WHOLE).chain(arguments).copied().collect();
    run(&mut headwater(&all))
}

fn report(path: &Path) -> Json {
    let text = std::fs::read_to_string(path).expect("the report was written");
    serde_json::from_str(&text).expect("it is JSON")
}

impl World {
    fn topics(&self) -> BTreeSet<String> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.brokers())
            .create()
            .expect("a sound configuration");
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(30));
        let metadata = metadata.expect("the broker answers");
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    fn read(&self, topic: &str) -> Vec<Read> {
        topic::read_all(&self.brokers(), topic, Isolation::Committed).expect("the topic is there")
    }

    fn path(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }
}

#[test]
fn what_is_reported_is_what_arrived_in_the_topics() {
    let world = World::new("rate: 1");
    let [json, hgrm, svg] = ["report.json", "it.hgrm", "it.svg"].map(|name| world.path(name));
    let files = ["--json", &json, "--histogram", &hgrm, "--plot", &svg];
    let wanted = [&["--generate", "--messages", "3000", "--keep"][..], &files].concat();
    let ran = bench(&world.file, &wanted).succeeded();
    let report = report(Path::new(&json));
    let topic = report["topics"].as_array().expect("topics").iter().filter_map(Json::as_str);
    let topic = topic.filter(|name| name.starts_with("kept-bench-")).collect::<Vec<&str>>()[0];
    let records = world.read(topic);
    let numbers: BTreeSet<u64> = records.iter().map(sequence).collect();
    assert_eq!((records.len(), numbers.len()), (3000, 3000), "each message once");
    assert_eq!(numbers.last(), Some(&3000));
    for counted in ["/total/committed_records", "/measured/committed_records"] {
        assert_eq!(report.pointer(counted), Some(&3000.into()), "{counted}: {report:#}");
    }
    assert_eq!(report["measured"]["received_messages"], 3000, "{report:#}");
    assert_eq!(last_row(&hgrm)[2], 3000.0, "the histogram counts records");
    let svg = std::fs::read_to_string(svg).expect("the plot was written");
    assert!(svg.starts_with("<svg") && svg.matches("<polyline").count() == 1, "{svg}");
    assert!(ran.stdout.contains("3,000 records committed"), "{}", ran.stdout);
}

/// The last row of percentile text: value, quantile, count.
fn last_row(path: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(path).expect("the histogram was written");
    let head: Vec<&str> = text.lines().next().expect("a heading").split_whitespace().collect();
    assert_eq!(head, ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
    let rows = text.lines().skip(2).filter(|line| !line.starts_with('#'));
    let numbers = |row: &str| row.split_whitespace().map(|it| it.parse().expect(row)).collect();
    rows.map(numbers).last().expect("there are rows")
}

fn sequence(record: &Read) -> u64 {
    let value: Json =
        serde_json::from_slice(record.value.as_ref().expect("a value")).expect("JSON");
    let text = value["sequence"].as_str().expect("64-bit numbers are texts");
    text.parse().expect("a number")
}

#[test]
fn the_real_pipeline_runs_on_beside_a_bench_of_it() {
    let world = World::new("rate: 500");
    let mut command = headwater(&["run", &world.file, "--metrics", "off"]);
    let mut running = Running::start(&mut command, Stdio::null());
    running.logged(&["event=streaming_started"]);
    eventually("it commits", || !world.show()["shards"][0].is_null());
    let committed = || world.show()["shards"][0]["committed"].as_u64().expect("a number");
    let ran = bench(&world.file, &["--duration", "1"]).succeeded();
    assert!(ran.stdout.contains("receipt → durable"), "{}", ran.stdout);
    let before = committed();
    eventually("it still commits", || committed() > before);
    running.signal("TERM");
    let (code, log) = running.ended();
    assert_eq!(code, Some(0), "{log}");
    for trouble in ["sink_error", "pipeline_rebuild", "pipeline_superseded", "pipeline_standby"] {
        assert!(!log.contains(trouble), "{log}");
    }
    let shown = world.show();
    assert_eq!(shown["generation"], 1, "nobody else has claimed it: {shown:#}");
}

#[test]
fn topics_and_progress_are_as_before_and_no_topic_is_left() {
    let world = World::new("count: 400");
    run(&mut headwater(&["run", &world.file, "--metrics", "off"])).succeeded();
    let before = (world.show()["shards"].clone(), world.read("kept"), world.topics());
    let ran = bench(&world.file, &[]).succeeded();
    assert!(ran.stdout.contains("400 records committed"), "from the beginning: {}", ran.stdout);
    let mut after = (world.show()["shards"].clone(), world.read("kept"), world.topics());
    // How long ago the last commit was is all that may differ.
    after.0[0]["age_ms"] = before.0[0]["age_ms"].clone();
    assert_eq!(after, before);
}

#[test]
fn a_pipeline_that_fails_is_told_as_with_run_and_leaves_no_topic() {
    let world = World::new("count: 100");
    let proto = world.folder().join("telemetry.proto");
    let wrong = headwater_proto::TELEMETRY_PROTO.replace("bool alarm = 7", "string alarm = 7");
    std::fs::write(proto, wrong).expect("the folder is writable");
    let ran = bench(&world.file, &[]);
    assert_eq!(ran.code, 65, "{ran:#?}");
    assert!(ran.stderr.contains("event=pipeline_failed"), "{ran:#?}");
    assert!(ran.stderr.contains("alarm"), "the reason is told: {ran:#?}");
    assert_eq!(world.topics(), BTreeSet::new());
}

#[test]
fn ctrl_c_ends_early_and_the_report_is_printed() {
    let world = World::new("rate: 1");
    let arguments = ["--generate", "--rate", "1000", "--duration", "3600"];
    let all = [&["bench", &world.file, "--quiet"][..], &WHOLE, &arguments].concat();
    let mut running = Running::start(&mut headwater(&all), Stdio::piped());
    let mut stdout = BufReader::new(running.take_stdout());
    running.logged(&["event=streaming_started"]);
    let topics = stdout.by_ref().lines().map_while(Result::ok);
    let topics = topics.into_iter().find(|line| line.contains(" topics ")).expect("topics");
    let topic = topics.split([' ', ',', ';']).find(|word| word.starts_with("kept-bench-"));
    let topic = topic.expect("the topic of records").to_owned();
    let consumer = topic::consumer(&world.brokers(), &topic, Isolation::Committed);
    let consumer = consumer.expect("the topic is there before the first call");
    eventually("records arrive", || topic::end_offsets(&consumer, &topic).is_ok_and(|it| it > 0));
    running.signal("INT");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("receipt → durable") && rest.contains("records committed"), "{rest}");
    let (code, log) = running.ended();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(world.topics(), BTreeSet::new());
}

/// A service whose messages have every shape, and a cursor two messages deep.
const RICH: &str = r#"
syntax = "proto3";
package shapes;
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
enum Side { NONE = 0; BUY = 1; SELL = 2; }
message Place { string venue = 1; double price = 2; Side side = 3; Place next = 4; }
message Stamp { string by = 1; uint32 revision = 2; }
message Header { Stamp stamp = 1; bool last = 2; }
message Order {
  Header header = 1;
  string symbol = 2;
  repeated Place places = 3;
  map<string, Place> by_venue = 4;
  map<int32, string> notes = 5;
  repeated sint64 deltas = 6;
  oneof size { fixed32 lots = 7; string words = 8; }
  google.protobuf.Timestamp created = 9;
  google.protobuf.Struct extra = 10;
  bytes signature = 11;
  int64 at_ms = 12;
}
message Ask { uint32 after = 1; }
service Orders { rpc Watch(Ask) returns (stream Order); }
"#;

/// A pipeline of such messages; `sink` is its sink, `more` stands in its source.
fn write_rich(folder: &Path, sink: &str, more: &str) -> String {
    let text = format!(
        r#"
pipeline: shapes
sources:
  orders:
    kind: grpc
    endpoints: ["https://a.invalid", {{ url: "https://b.invalid", name: b }}]
    tls: {{ server_name: elsewhere.invalid }}
    method: shapes.Orders/Watch
    descriptors: {{ protos: [shapes.proto] }}
    resume:
      {more}
decoders:
  json: {{ kind: protobuf, from: orders, to: json }}
sinks:
  out: {{ from: json, kind: kafka, {sink} }}
  shown: {{ from: json, kind: stdout }}
"#
    );
    std::fs::write(folder.join("shapes.proto"), RICH).expect("the folder is writable");
    let file = folder.join("shapes.yaml");
    std::fs::write(&file, text).expect("the folder is writable");
    file.display().to_string()
}

const CURSOR: &str = r#"{ cursor: { r: { from: header.stamp.revision } }, sequence: contiguous,
        restart: { set: { after: "${cursor.r}" } } }"#;

#[test]
fn generated_messages_of_every_shape_decode_and_ascend_in_their_cursor() {
    let world = World::new("rate: 1");
    let sink = format!(
        "brokers: \"{}\", topic: shapes, key: symbol, timestamp: {{ field: at_ms }}, \
         create: {{ partitions: 2, replication: 1 }}, transactional_id_prefix: mine",
        world.brokers()
    );
    let file = write_rich(world.folder(), &sink, CURSOR);
    let json = world.path("report.json");
    let wanted = ["--generate", "--messages", "700", "--message-bytes", "2000", "--keep"];
    let ran = bench(&file, &[&wanted[..], &["--json", &json]].concat()).succeeded();
    assert!(!ran.stdout.contains("\"symbol\""), "records are not printed: {}", ran.stdout);
    let report = report(Path::new(&json));
    let bytes = report["generated"]["orders"]["message_bytes"].as_u64().expect("a number");
    assert!((1900..2400).contains(&bytes), "{report:#}");
    let topics = world.topics();
    let topic = topics.iter().find(|name| name.starts_with("shapes-bench-")).expect("its topic");
    let records = world.read(topic);
    assert_eq!(records.len(), 2 * 700, "of two shards");
    for record in &records {
        check_shape(record);
    }
    let revision = |record: &Read| value(record)["header"]["stamp"]["revision"].as_u64();
    let revisions: BTreeSet<Option<u64>> = records.iter().map(revision).collect();
    assert_eq!(revisions, (1..=700).map(Some).collect());
    assert!(!ran.stderr.contains("event=sequence_gap_detected"), "{}", ran.stderr);
}

fn value(record: &Read) -> Json {
    serde_json::from_slice(record.value.as_ref().expect("a value")).expect("JSON")
}

fn check_shape(record: &Read) {
    let value = value(record);
    assert_eq!(value["places"].as_array().map(Vec::len), Some(3), "{value:#}");
    assert_eq!(value["deltas"].as_array().map(Vec::len), Some(3), "{value:#}");
    for key in ["byVenue", "notes", "extra"] {
        assert!(value[key].as_object().is_some_and(|map| !map.is_empty()), "{key}: {value:#}");
    }
    assert!(value["lots"].is_number() != value["words"].is_string(), "one of them: {value:#}");
    assert!(value["header"]["stamp"]["by"].is_string(), "beside the cursor: {value:#}");
    assert!(value["created"].is_string() && value["signature"].is_string(), "{value:#}");
    let at_ms = value["atMs"].as_str().and_then(|text| text.parse().ok());
    assert_eq!(record.timestamp_ms, at_ms, "the record bears the message's time");
    assert!(at_ms > Some(1_500_000_000_000), "which is about now: {value:#}");
}

#[test]
fn a_bench_needs_neither_the_servers_nor_the_broker_of_the_file() {
    let folder = TempDir::new().expect("a temporary folder");
    let sink = "brokers: \"broker.invalid:9092\", topic: shapes, delivery: at_least_once, \
                properties: { security.protocol: SSL, linger.ms: 1 }";
    let file = write_rich(folder.path(), sink, CURSOR);
    let wanted = ["--generate", "--broker", "embedded", "--messages", "500"];
    let ran = bench(&file, &wanted).succeeded();
    // Two shards, and two sinks that take each message.
    assert!(ran.stdout.contains("2,000 records committed"), "{}", ran.stdout);
    assert!(ran.stdout.contains("embedded, in memory"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_contacted() {
    let folder = TempDir::new().expect("a temporary folder");
    let sink = "brokers: \"broker.invalid:9092\", topic: shapes";
    let cursor = r#"{ cursor: { p: { from: "by_venue[\"a\"].venue" } } }"#;
    let file = write_rich(folder.path(), sink, cursor);
    let nowhere = folder.path().join("no/such/folder/it.json").display().to_string();
    let cases: [(&[&str], &str); 5] = [
        (&["--rate", "5"], "--generate"),
        (&["--generate"], "whose cursor `p` ascends in `by_venue[\"a\"].venue`"),
        (&["--broker", "embedded", "--keep"], "end with it"),
        (&["--json", &nowhere], "No such file"),
        (&["--duration", "0"], "1..=86400"),
    ];
    for (arguments, told) in cases {
        let ran = bench(&file, arguments);
        assert_eq!(ran.code, 64, "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:#?}");
    }
    let sound = write_rich(folder.path(), sink, CURSOR);
    let large = ["--generate", "--message-bytes", "9000000"];
    let ran = bench(&sound, &large);
    assert_eq!((ran.code, ran.stderr.contains("at most 4194304")), (64, true), "{ran:#?}");
}

#[test]
fn a_topic_of_which_nothing_is_known_is_no_measure() {
    let world = World::with_topic("count: 1", "delivery: exactly_once");
    let ran = bench(&world.file, &["--generate"]);
    assert_eq!(ran.code, 65, "{ran:#?}");
    assert!(ran.stderr.contains("topic `kept` does not exist"), "{ran:#?}");
    assert_eq!(world.topics(), BTreeSet::new());
}
