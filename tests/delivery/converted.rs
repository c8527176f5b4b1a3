//! Goal: a connector's configuration, converted, brings the bytes that the connector brought.
//! Method: messages of every kind and what the Java connector wrote for them were recorded
//! (`proto/tests/cases/java`). A server sends the messages, `headwater convert` makes the pipeline
//! of a configuration, and a reader compares each value, key and order.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use headwater_test_support::grpc::RecordedServer;
use headwater_test_support::process::Launch;
use headwater_test_support::topic::{Isolation, for_each};
use rdkafka::message::{Headers as _, Message};
use serde_json::{Value as Json, json};

use crate::world::{PATIENCE, kafka};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/tests/cases/java");

/// Messages of one type, and the connector's JSON of each.
fn recorded(name: &str) -> Result<(Vec<Bytes>, Vec<String>)> {
    recorded_as(name, "txt")
}

/// The same in the form of another converter.
fn recorded_as(name: &str, ending: &str) -> Result<(Vec<Bytes>, Vec<String>)> {
    let text = fs::read_to_string(Path::new(CASES).join(format!("{name}.{ending}")))?;
    let lines: Vec<&str> = text.lines().collect();
    let (mut messages, mut values) = (Vec::new(), Vec::new());
    for pair in lines.chunks(2) {
        messages.push(unhex(pair[0])?);
        values.push(pair[1].to_owned());
    }
    ensure!(messages.len() >= 2, "{name} is recorded");
    Ok((messages, values))
}

fn unhex(text: &str) -> Result<Bytes> {
    let digits =
        text.as_bytes().chunks(2).map(|it| Ok(u8::from_str_radix(std::str::from_utf8(it)?, 16)?));
    digits.collect::<Result<Vec<u8>>>().map(Bytes::from)
}

fn config(name: &str, method: &str, server: &RecordedServer) -> Json {
    json!({ "name": name, "config": {
        "connector.class": "io.conduktor.connect.grpc.GrpcSourceConnector",
        "tasks.max": "1",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "grpc.server.host": server.address().ip().to_string(),
        "grpc.server.port": server.address().port().to_string(),
        "grpc.service.name": "recorded.Recorded",
        "grpc.method.name": method,
        "grpc.proto.descriptor": format!("{CASES}/recorded.desc"),
        "grpc.reconnect.enabled": "false",
        "kafka.topic": name,
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
    }})
}

/// Converts a configuration and runs what comes out to its end.
fn run(name: &str, config: &Json) -> Result<()> {
    let binary = env!("CARGO_BIN_EXE_headwater");
    let mut launch = Launch::new(binary)?;
    let (input, file) = (launch.folder().join("connector.json"), launch.folder().join("made.yaml"));
    fs::write(&input, config.to_string())?;
    let converted = Command::new(binary)
        .args(["convert", "--brokers", kafka()])
        .arg(&input)
        .arg("--output")
        .arg(&file)
        .output()?;
    let told = String::from_utf8_lossy(&converted.stderr).into_owned();
    ensure!(converted.status.success(), "{name}: {told}");
    ensure!(!told.contains("not on this machine"), "{name} is not sound: {told}");
    let mut headwater = launch.run_files(&[file])?;
    let status = headwater.wait_exit(PATIENCE)?;
    ensure!(status.success(), "{name}: {}", headwater.log()?);
    Ok(())
}

/// All values of a topic of one partition, in order; keys must be null.
fn values(topic: &str) -> Result<Vec<String>> {
    let mut values = Vec::new();
    for_each(kafka(), topic, Isolation::Committed, |message| {
        ensure!(message.key().is_none(), "a key");
        let value = message.payload().context("a record without a value")?;
        values.push(String::from_utf8(value.to_vec())?);
        Ok(())
    })?;
    Ok(values)
}

#[test]
fn a_converted_connector_brings_the_bytes_of_the_connector() -> Result<()> {
    for name in ["rich.Everything", "rich.Scalars", "rich2.Old", "bench.v1.Event"] {
        let (messages, expected) = recorded(name)?;
        let server = RecordedServer::start(messages)?;
        let method = name.rsplit('.').next().unwrap_or_default();
        let topic = format!("converted-{}", method.to_lowercase());
        run(&topic, &config(&topic, method, &server))?;
        let actual = values(&topic)?;
        for (place, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
            ensure!(expected == actual, "{name} {place}\n{expected}\n{actual}");
        }
        ensure!(expected.len() == actual.len(), "{name}: {} values", actual.len());
    }
    Ok(())
}

/// What Kafka Connect's JSON converter made of the connector's texts was recorded too.
#[test]
fn json_converters_wrap_the_same_text() -> Result<()> {
    for (schemas, ending) in [("false", "text"), ("true", "schema_and_text")] {
        let (messages, expected) = recorded_as("rich.Scalars", ending)?;
        let server = RecordedServer::start(messages)?;
        let topic = format!("converted-json-{schemas}");
        let mut config = config(&topic, "Scalars", &server);
        config["config"]["value.converter"] = json!("org.apache.kafka.connect.json.JsonConverter");
        config["config"]["value.converter.schemas.enable"] = json!(schemas);
        run(&topic, &config)?;
        let actual = values(&topic)?;
        ensure!(actual.len() == expected.len(), "{} values", actual.len());
        for (expected, actual) in expected.iter().zip(&actual) {
            ensure!(expected == actual, "{schemas}\n{expected}\n{actual}");
        }
    }
    Ok(())
}

/// Alias, class and keys of a transformation.
type Step = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// One of each transformation that has a counterpart, in one chain.
const CHAIN: [Step; 12] = [
    ("slim", "ReplaceField$Value", &[("include", "deviceId,sequence,site,labels,temperature")]),
    ("named", "ReplaceField$Value", &[("renames", "deviceId:device")]),
    ("stamp", "InsertField$Value", &[("static.field", "source"), ("static.value", "grpc")]),
    ("mask", "MaskField$Value", &[("fields", "site"), ("replacement", "***")]),
    ("key", "ValueToKey", &[("fields", "device")]),
    ("only", "ExtractField$Key", &[("field", "device")]),
    (
        "head",
        "HeaderFrom$Value",
        &[("fields", "temperature"), ("headers", "warmth"), ("operation", "copy")],
    ),
    ("cast", "Cast$Value", &[("spec", "temperature:string")]),
    ("made", "InsertHeader", &[("header", "made"), ("value.literal", "by hand")]),
    ("route", "RegexRouter", &[("regex", "(.*)-raw"), ("replacement", "$1-cooked")]),
    ("none", "Filter", &[("predicate", "gone")]),
    ("hoist", "HoistField$Value", &[("field", "event")]),
];

#[test]
fn transformations_of_a_connector_change_key_headers_topic_and_value() -> Result<()> {
    let (messages, _) = recorded("bench.v1.Event")?;
    let count = messages.len();
    let server = RecordedServer::start(messages)?;
    let mut made = config("converted-raw", "Event", &server);
    let keys = made["config"].as_object_mut().context("a map")?;
    // Created as brokers create topics.
    keys.retain(|key, _| !key.starts_with("topic.creation."));
    let aliases: Vec<&str> = CHAIN.iter().map(|(alias, ..)| *alias).collect();
    keys.insert("transforms".to_owned(), json!(aliases.join(",")));
    for (alias, class, options) in CHAIN {
        let class = format!("org.apache.kafka.connect.transforms.{class}");
        keys.insert(format!("transforms.{alias}.type"), json!(class));
        for (option, value) in options {
            keys.insert(format!("transforms.{alias}.{option}"), json!(value));
        }
    }
    let gone = "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone";
    keys.insert("predicates".to_owned(), json!("gone"));
    keys.insert("predicates.gone.type".to_owned(), json!(gone));
    run("converted-raw", &made)?;
    let mut seen = Vec::new();
    for_each(kafka(), "converted-cooked", Isolation::Committed, |message| {
        let text = |bytes: Option<&[u8]>| bytes.map(|it| String::from_utf8_lossy(it).into_owned());
        let headers = message.headers().context("headers")?;
        let headers: Vec<_> =
            headers.iter().map(|it| (it.key.to_owned(), text(it.value))).collect();
        seen.push((text(message.key()), headers, text(message.payload()).context("a value")?));
        Ok(())
    })?;
    ensure!(seen.len() == count, "{} of {count}", seen.len());
    // The second of the recorded messages is made by hand, and has each of these fields.
    let headers = [("made", "by hand"), ("warmth", "21.25")];
    let headers = headers.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
    let value = concat!(
        r#"{"event":{"sequence":"18446744073709551615","device":"device-7","site":"***","#,
        r#""temperature":"21.25","labels":{"rack":"r1"},"source":"grpc"}}"#,
    );
    let expected = (Some("device-7".to_owned()), headers.to_vec(), value.to_owned());
    ensure!(seen.contains(&expected), "{expected:?} is not in {seen:#?}");
    Ok(())
}
