//! The cases that Kafka Connect's own classes have answered.

use crate::rig;
use headwater_operators::decode::column::{ColumnReader, Demand, Purpose};
use headwater_operators::transform::java::route_topic;
use headwater_proto::{DescriptorInput, Descriptors, MessageDescriptor};
use prost::Message;
use prost_reflect::DynamicMessage;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    steps: Json,
    #[serde(default)]
    input: Option<String>,
    #[serde(default)]
    topic: String,
    #[serde(default)]
    regex: String,
    #[serde(default)]
    replacement: String,
    expected: Expected,
}

#[derive(Debug, Deserialize)]
struct Expected {
    #[serde(default)]
    refused: bool,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    key_json: Option<String>,
    #[serde(default)]
    key_text: Option<String>,
    #[serde(default)]
    headers: Vec<(String, Option<String>)>,
}

/// The message whose JSON is the input of the cases of keys and headers.
const PROTO: &str = "
syntax = \"proto3\";
package p;
message M {
  string deviceId = 1;
  int32 count = 2;
  bool on = 3;
  double temp = 4;
  Location location = 5;
  optional string none = 6;
  optional string nope = 7;
}
message Location { double lat = 1; }
";

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transforms/cases").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn demand_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Numbers are the same if they are in single precision, which is how the oracle prints some.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            let (a, b) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            let is_whole = |it: &serde_json::Number| !it.is_f64();
            let is_one_sort = is_whole(one) == is_whole(other);
            is_one_sort && (one == other || a == b || a as f32 == b as f32)
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            let has = |(key, value): (&String, &Json)| {
                other.get(key).is_some_and(|other| is_same(value, other))
            };
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

fn difference(case: &Case) -> Option<String> {
    let mut step = rig::step(&case.steps);
    let input = case.input.as_deref().unwrap_or_default();
    let ours = rig::outcome(&mut *step, input);
    let expected = &case.expected;
    let is_right = match (&ours, &expected.value) {
        (Err(_), _) => expected.refused,
        (Ok(None), theirs) => !expected.refused && theirs.is_none(),
        (Ok(Some(ours)), Some(theirs)) => {
            let parse = |text: &str| serde_json::from_str::<Json>(text).unwrap();
            is_same(&parse(ours), &parse(theirs))
        }
        (Ok(Some(_)), None) => false,
    };
    (!is_right).then(|| format!("{}: {ours:?}, and Connect: {expected:?}", case.name))
}

#[test]
fn steps_make_of_a_value_what_connect_makes_of_it() {
    let cases = cases("fields.json");
    assert!(cases.len() > 500, "the cases are there: {}", cases.len());
    demand_none(&cases.iter().filter_map(difference).collect::<Vec<_>>());
}

#[test]
fn topics_are_renamed_as_by_connects_router() {
    let differs = |case: &Case| {
        let ours = route_topic(&case.topic, &case.regex, &case.replacement).ok();
        let theirs = &case.expected.topic;
        (ours != *theirs).then(|| format!("{}: {ours:?}, and Connect: {theirs:?}", case.name))
    };
    let cases = cases("regex_router.json");
    assert!(cases.len() > 15, "the cases are there: {}", cases.len());
    demand_none(&cases.iter().filter_map(differs).collect::<Vec<_>>());
}

fn message() -> (MessageDescriptor, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.proto");
    fs::write(&file, PROTO).unwrap();
    let includes = vec![folder.path().to_owned()];
    let input = DescriptorInput::Protos { files: vec![file], includes };
    let message = Descriptors::load(&input).unwrap();
    let message = message.pool().get_message_by_name("p.M").unwrap();
    let json = json!({
        "deviceId": "sensor \"1\"", "count": 3, "on": true, "temp": 1.5, "location": { "lat": 1.5 },
    });
    let wire = DynamicMessage::deserialize(message.clone(), json).unwrap().encode_to_vec();
    (message, wire)
}

fn column(path: &str, purpose: Purpose) -> Option<String> {
    let (message, wire) = message();
    let mut reader = ColumnReader::new(&message, &Demand { path: path.to_owned(), purpose });
    reader.push(&wire).unwrap();
    reader.take().bytes(0).map(|it| String::from_utf8(it.to_vec()).unwrap())
}

#[test]
fn keys_and_headers_of_fields_are_connects() {
    let cases = cases("keys_and_headers.json");
    let expected = |name: &str| &cases.iter().find(|case| case.name == name).unwrap().expected;
    for field in ["deviceId", "count", "on", "temp", "location"] {
        let theirs = expected(&format!("one_{field}"));
        assert_eq!(column(field, Purpose::Json), theirs.key_json, "{field}");
        // Connect prints a map in a form of Java's own.
        if field != "location" {
            assert_eq!(column(field, Purpose::Key), theirs.key_text, "{field}");
        }
        let theirs = &expected(&format!("header_{field}")).headers;
        assert_eq!(*theirs, [("h".to_owned(), column(field, Purpose::Text))], "{field}");
    }
    for field in ["none", "nope"] {
        // A key of nothing is null to Connect; in JSON that is a word.
        assert_eq!(expected(&format!("one_{field}")).key_json, None);
        assert_eq!(column(field, Purpose::Json).as_deref(), Some("null"));
        let theirs = &expected(&format!("header_{field}")).headers;
        assert_eq!(*theirs, [("h".to_owned(), column(field, Purpose::Text))], "{field}");
    }
    let members = |members: &[&str]| {
        Purpose::Object(members.iter().map(|it| ((*it).to_owned(), (*it).to_owned())).collect())
    };
    for (name, fields) in [("object_of_two", &["count", "deviceId"][..]), ("absent", &["nope"])] {
        let theirs = expected(name).key_json.as_deref().unwrap();
        let ours = column("", members(fields)).unwrap();
        let parse = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        assert_eq!(parse(&ours), parse(theirs), "{name}");
    }
}
