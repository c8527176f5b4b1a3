//! Goal: with defaults and in Java's notation, the JSON is byte for byte what Conduktor's Kafka
//! Connect gRPC source connector writes, by protobuf's `JsonFormat`.
//! Method: messages were streamed to the connector's own task, and what it gave to its converter
//! was written down (`scripts/connect-json`). Left out of the record is what it cannot write (an
//! `Any`) and what is no JSON (keys given twice, names with quotes). Numbers are those of Java 25.

mod messages;

use std::fs;
use std::path::{Path, PathBuf};

use headwater_proto::{DescriptorInput, Descriptors, JsonNotation, JsonStyle, JsonTranscoder};
use proptest::strategy::{Strategy as _, ValueTree as _};
use prost_reflect::DescriptorPool;

use crate::support::{Maker, message};
use messages::chosen;

/// The types that are streamed, each by a method of its own name without the package.
const TYPES: [&str; 4] = ["rich.Everything", "rich.Scalars", "rich2.Old", "bench.v1.Event"];

const STYLE: JsonStyle = JsonStyle { defaults: true, notation: JsonNotation::Java };

fn folder() -> PathBuf {
    match std::env::var_os("HEADWATER_JAVA_CASES") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/java"),
    }
}

/// The test descriptors without the field whose name Java does not escape, and with a service.
fn pool(space: &Path) -> DescriptorPool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = |name: &str| fs::read_to_string(root.join("tests/protos").join(name)).unwrap();
    let odd = |line: &&str| !line.contains("odd_name");
    let rich3: Vec<_> = source("rich3.proto").lines().filter(odd).map(str::to_owned).collect();
    fs::write(space.join("rich3.proto"), rich3.join("\n")).unwrap();
    fs::write(space.join("rich2.proto"), source("rich2.proto")).unwrap();
    let telemetry = root.join("protos/telemetry.proto");
    fs::copy(telemetry, space.join("telemetry.proto")).unwrap();
    let method = |name: &&str| {
        let short = name.rsplit('.').next().unwrap();
        format!("  rpc {short} (bench.v1.SubscribeRequest) returns (stream {name});\n")
    };
    let methods: String = TYPES.iter().map(method).collect();
    let service = format!(
        "syntax = \"proto3\"; package recorded;\nimport \"rich3.proto\"; import \"rich2.proto\"; \
         import \"telemetry.proto\";\nservice Recorded {{\n{methods}}}\n"
    );
    fs::write(space.join("recorded.proto"), service).unwrap();
    let files = vec![space.join("recorded.proto")];
    let input = DescriptorInput::Protos { files, includes: vec![space.to_owned()] };
    Descriptors::load(&input).unwrap().pool().clone()
}

#[test]
fn json_is_what_the_connector_writes() {
    let types = DescriptorInput::File(folder().join("recorded.desc"));
    let types = Descriptors::load(&types).unwrap();
    for name in TYPES {
        let message = types.pool().get_message_by_name(name).unwrap();
        let transcoder = JsonTranscoder::compile_as(&message, STYLE);
        let text = fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() >= 2 && lines.len().is_multiple_of(2), "{name}");
        for pair in lines.chunks(2) {
            let mut out = Vec::new();
            transcoder.transcode(&unhex(pair[0]), &mut out).unwrap();
            let ours = String::from_utf8(out).unwrap();
            assert_eq!(ours, pair[1], "{name} {}", pair[0]);
        }
    }
}

#[test]
fn nothing_is_left_out_that_has_a_default() {
    let event = message("bench.v1.Event");
    let mut out = Vec::new();
    let style = JsonStyle { defaults: true, ..JsonStyle::default() };
    JsonTranscoder::compile_as(&event, style).transcode(&[], &mut out).unwrap();
    let expected = [
        r#"{"sequence":"0","emittedNs":"0","deviceId":"","site":"","temperature":0.0,"#,
        r#""humidity":0.0,"alarm":false,"status":"STATUS_UNSPECIFIED","labels":{},"#,
        r#""samples":[],"payload":""}"#,
    ];
    assert_eq!(String::from_utf8(out).unwrap(), expected.concat());
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap()).collect()
}

fn hex(wire: &[u8]) -> String {
    wire.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes what `scripts/connect-json` streams: descriptors and messages.
#[test]
#[ignore = "writes what is to be recorded"]
fn messages_to_record() {
    let out = PathBuf::from(std::env::var_os("HEADWATER_RECORD").expect("a folder"));
    let count = std::env::var("HEADWATER_RECORD_RANDOM").map_or(60, |it| it.parse().unwrap());
    let pool = pool(&out);
    fs::write(out.join("recorded.desc"), pool.encode_to_vec()).unwrap();
    for name in TYPES {
        let message = pool.get_message_by_name(name).unwrap();
        let mut messages = chosen(name);
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let entropy = proptest::collection::vec(proptest::num::u8::ANY, 20..300);
        for _ in 0..if name == "rich2.Old" { 0 } else { count } {
            let entropy = entropy.new_tree(&mut runner).unwrap().current();
            messages.push(Maker::new(&entropy, false).message(&message, 0));
        }
        let lines: Vec<String> = messages.iter().map(|wire| hex(wire)).collect();
        fs::write(out.join(format!("{name}.hex")), lines.join("\n") + "\n").unwrap();
    }
}
