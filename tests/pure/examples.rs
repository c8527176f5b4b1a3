//! Goal: every file under `examples/pipelines` works as it stands.
//! Method: all are validated, in a copy of the folder with the secrets that `secure.yaml` names;
//! those without a Kafka sink run to their end against the sample server.

use crate::expect::{files, root};
use crate::program::{headwater, run};
use headwater_telemetry::TelemetryServer;
use headwater_test_support::tls::TestCa;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Where the examples expect the sample server.
const ENDPOINT: &str = "http://127.0.0.1:50051";

fn with_variables(command: &mut Command) -> &mut Command {
    command
        .env("HEADWATER_DEMO_SERVER", ENDPOINT)
        .env("HEADWATER_DEMO_KAFKA", "127.0.0.1:9092")
        .env("HEADWATER_DEMO_RATE", "1000")
        .env("TELEMETRY_TOKEN", "a-token")
}

/// The folder of examples, beside the files that `secure.yaml` reads.
fn copied() -> (TempDir, Vec<PathBuf>) {
    let folder = TempDir::with_prefix("headwater-examples-").expect("a temporary folder");
    let kinds = ["yaml", "proto", "txt"];
    for file in kinds.iter().flat_map(|kind| files("examples/pipelines", kind)) {
        let name = file.file_name().expect("a file has a name");
        fs::copy(&file, folder.path().join(name)).expect("files can be copied");
    }
    write_secrets(&folder.path().join("secure"));
    let entries = fs::read_dir(folder.path()).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    (folder, yaml)
}

fn write_secrets(folder: &Path) {
    fs::create_dir(folder).expect("the folder is new");
    let ca = TestCa::new().expect("an authority");
    let client = ca.client("headwater").expect("a certificate");
    let copies = [
        (ca.certificate(), "ca.pem"),
        (client.certificate, "client.pem"),
        (client.key, "client.key.pem"),
    ];
    for (from, to) in copies {
        fs::copy(from, folder.join(to)).expect("files can be copied");
    }
    fs::write(folder.join("kafka.properties"), "user=writer\npassword=a-password\n")
        .expect("the folder is writable");
}

#[test]
fn every_example_is_sound_and_explained() {
    let (_folder, yaml) = copied();
    assert!(yaml.len() >= 8, "the examples are there: {}", yaml.len());
    for file in yaml {
        let file = file.display().to_string();
        for command in ["validate", "explain", "graph"] {
            let ran = run(with_variables(&mut headwater(&[command, &file]))).succeeded();
            assert!(ran.stderr.is_empty(), "{file} has warnings: {}", ran.stderr);
            assert!(!ran.stdout.contains("a-password"), "{command} {file} shows a secret");
        }
    }
}

#[test]
fn examples_without_kafka_run_to_their_end() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(TelemetryServer::start(([127, 0, 0, 1], 0).into()));
    let server = server.expect("a free port");
    let (_folder, yaml) = copied();
    let mut count = 0;
    for file in yaml {
        let text = fs::read_to_string(&file).expect("an example is readable");
        if text.contains("kind: kafka") {
            continue;
        }
        assert!(text.contains(ENDPOINT), "{} names the sample server", file.display());
        fs::write(&file, text.replace(ENDPOINT, &server.endpoint())).expect("it is writable");
        let file = file.display().to_string();
        let ran = run(&mut headwater(&["run", &file, "--metrics", "off"])).succeeded();
        assert!(ran.stderr.contains("event=pipeline_finished"), "{file}: {}", ran.stderr);
        count += 1;
    }
    assert!(count >= 2, "some examples need no Kafka");
    assert_eq!(
        server.sent(),
        10 + 100_000,
        "minimal.yaml and measure.yaml took all they asked for"
    );
}

#[test]
fn the_examples_proto_is_that_of_the_sample_server() {
    let copy = fs::read_to_string(root().join("examples/pipelines/telemetry.proto"));
    assert_eq!(copy.expect("it is there"), headwater_proto::TELEMETRY_PROTO);
}

/// The parts of the schema whose keys `docs/RESUME.md` shows.
const RESUME_TYPES: [&str; 9] = [
    "ResumeConfig",
    "ComponentConfig",
    "OverlayConfig",
    "ExpiredConfig",
    "ExpiredMatch",
    "UnaryConfig",
    "HeartbeatConfig",
    "LossConfig",
    "DedupeConfig",
];

/// The blocks of a page in one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(&fence).skip(1);
    parts.map(|part| part.split("```").next().expect("a split has a part").to_owned()).collect()
}

fn pipeline_with(resume: &str) -> String {
    let indented: String = resume.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "pipeline: page\nsources:\n  feed:\n    kind: grpc\n    endpoint: http://127.0.0.1:50051\n    \
         method: feed.v1.Feed/Watch\n    descriptors: {{ protos: [feed.proto] }}\n{indented}\
         decoders:\n  json: {{ kind: protobuf, from: feed, to: json }}\n\
         sinks:\n  topic:\n    kind: kafka\n    from: json\n    brokers: 127.0.0.1:9092\n    \
         topic: updates\n    dead_letter: {{ topic: updates.dead }}\n    \
         gaps: {{ topic: updates.gaps }}\n"
    )
}

#[test]
fn the_page_about_resuming_shows_every_key_in_blocks_that_are_sound() {
    let page = fs::read_to_string(root().join("docs/RESUME.md")).expect("the page is there");
    let folder = TempDir::with_prefix("headwater-resume-").expect("a temporary folder");
    let protos = blocks(&page, "proto");
    fs::write(folder.path().join("feed.proto"), &protos[0]).expect("the folder is writable");
    let shown = blocks(&page, "yaml");
    assert!(shown.len() >= 15, "the blocks are there: {}", shown.len());
    let file = folder.path().join("page.yaml");
    for block in &shown {
        fs::write(&file, pipeline_with(block)).expect("the folder is writable");
        for command in ["validate", "explain"] {
            let ran = run(&mut headwater(&[command, &file.display().to_string()])).succeeded();
            assert!(ran.stderr.is_empty(), "{block} has warnings: {}", ran.stderr);
        }
    }
    let schema = fs::read_to_string(root().join("schema/pipeline.schema.json"));
    let schema: serde_json::Value =
        serde_json::from_str(&schema.expect("it is there")).expect("it is JSON");
    let all = shown.concat();
    for name in RESUME_TYPES {
        let keys = schema["$defs"][name]["properties"].as_object();
        for key in keys.unwrap_or_else(|| panic!("the schema has {name}")).keys() {
            assert!(all.contains(&format!("{key}:")), "no block shows {key} of {name}");
        }
    }
}
