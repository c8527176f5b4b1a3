//! Goal: a request is built as the proto3 JSON mapping says, and every mistake is told at once.
//! Method: mistakes as files (`cases/request/NAME.json` with `NAME.expected`, rewritten when
//! `UPDATE_EXPECTED` is set), overlays as named cases, and random messages that go through JSON.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/property/mod.rs"]
mod property;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use headwater_proto::{
    CursorComponent, CursorScalar, LeafKind, MessageDescriptor, Overlay, OverlayError,
    RequestError, RequestTemplate,
};
use property::property;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use support::{Maker, message};

fn case_type(name: &str) -> MessageDescriptor {
    support::pool().get_message_by_name(name).unwrap_or_else(|| panic!("no type {name}"))
}

/// What a case's mistakes look like, one paragraph each.
fn told(errors: &[RequestError]) -> String {
    let mut text = String::new();
    for error in errors {
        writeln!(text, "{error}").unwrap();
        if let Some(hint) = &error.hint {
            writeln!(text, "  hint: {hint}").unwrap();
        }
    }
    text
}

fn components(cursors: &Value) -> Vec<CursorComponent> {
    let component = |(name, kind): (&String, &Value)| {
        let kind_name = kind.as_str().unwrap();
        let (kind, message) = match kind_name {
            "int" => (LeafKind::Int, None),
            "uint" => (LeafKind::Uint, None),
            "bytes" => (LeafKind::Bytes, None),
            "text" => (LeafKind::Text, None),
            "message" => (LeafKind::Message, None),
            name => (LeafKind::Message, Some(case_type(name))),
        };
        CursorComponent { name: name.clone(), kind, message }
    };
    cursors.as_object().unwrap().iter().map(component).collect()
}

fn run(case: &Value) -> String {
    let descriptor = case_type(case["message"].as_str().unwrap());
    let errors = match case.get("cursors") {
        None => RequestTemplate::compile(&descriptor, &case["value"]).map(drop),
        Some(cursors) => {
            let clear: Vec<String> = case
                .get("clear")
                .map(|clear| serde_json::from_value(clear.clone()).unwrap())
                .unwrap_or_default();
            let cursors = components(cursors);
            Overlay::compile_with(&descriptor, &case["value"], &clear, &cursors).map(drop)
        }
    };
    told(&errors.expect_err("the case has mistakes"))
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/request");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        count += 1;
        let case: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let told = run(&case);
        let expected = file.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &told).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(told, wanted, "{}", file.display());
    }
    assert!(count >= 10, "the folder of cases was not found");
}

#[test]
fn names_may_be_proto_or_json_names() {
    let descriptor = message("bench.v1.SubscribeRequest");
    let by_proto = json!({ "filter": "plant", "from_sequence": "18446744073709551615" });
    let by_json = json!({ "filter": "plant", "fromSequence": u64::MAX });
    let encode = |value: &Value| RequestTemplate::compile(&descriptor, value).unwrap().encode();
    assert_eq!(encode(&by_proto), encode(&by_json));
    assert_eq!(encode(&json!({})), Bytes::new());
    assert_eq!(encode(&Value::Null), Bytes::new());
}

#[test]
fn mistakes_carry_keys_and_positions() {
    use headwater_proto::PathSegment::{Index, Key};
    let value = json!({ "nodes": [{}, { "nam": "x" }] });
    let errors = RequestTemplate::compile(&message("rich.Lists"), &value).unwrap_err();
    let path = vec![Key("nodes".into()), Index(1), Key("nam".into())];
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].path, path);
    assert_eq!(errors[0].hint.as_deref(), Some("did you mean \"name\"?"));
}

fn everything(value: &Value) -> RequestTemplate {
    RequestTemplate::compile(&message("rich.Everything"), value).unwrap()
}

fn as_json(wire: &Bytes) -> Value {
    let decoded = DynamicMessage::decode(message("rich.Everything"), wire.clone()).unwrap();
    serde_json::to_value(&decoded).unwrap()
}

fn overlay(set: &Value, clear: &[&str], cursors: &[(&str, LeafKind)]) -> Overlay {
    let clear: Vec<String> = clear.iter().map(|name| (*name).to_owned()).collect();
    Overlay::compile(&message("rich.Everything"), set, &clear, cursors).unwrap()
}

#[test]
fn cursors_of_every_kind_go_into_their_fields() {
    let kinds = [
        ("int", LeafKind::Int),
        ("uint", LeafKind::Uint),
        ("text", LeafKind::Text),
        ("bytes", LeafKind::Bytes),
        ("time", LeafKind::Message),
        ("node", LeafKind::Message),
    ];
    let set = json!({
        "scalars": {
            "anInt64": "${cursor.int}", "aUint32": "${cursor.uint}", "aSint32": "${cursor.uint}",
            "aString": "${cursor.text}", "someBytes": "${cursor.bytes}",
            "aColour": "${cursor.uint}",
        },
        "wellKnown": { "time": "${cursor.time}" },
        "lists": {
            "ints": [1, "${cursor.int}"],
            "nodes": ["${cursor.node}", { "name": "${cursor.text}" }],
        },
        "maps": { "texts": { "k": "${cursor.text}", "fixed": "plain ${cursor.text}" } },
    });
    let overlay = overlay(&set, &[], &kinds);
    let names = overlay.cursors();
    assert!(kinds.iter().all(|(name, _)| names.contains(name)), "{names:?}");
    let node = RequestTemplate::compile(&message("rich.Node"), &json!({ "weight": 4 })).unwrap();
    let cursor = |name: &str| {
        Some(match name {
            "int" => CursorScalar::Int(-7),
            "uint" => CursorScalar::Uint(1),
            "text" => CursorScalar::Text("t".into()),
            "bytes" => CursorScalar::Bytes(Bytes::from_static(b"b")),
            "time" => CursorScalar::Timestamp { seconds: 5, nanos: 6 },
            _ => CursorScalar::Message(node.encode()),
        })
    };
    let wire = overlay.apply(&everything(&json!({})), &cursor).unwrap();
    let expected = json!({
        "scalars": {
            "anInt64": "-7", "aUint32": 1, "aSint32": 1, "aString": "t", "someBytes": "Yg==",
            "aColour": "RED",
        },
        "wellKnown": { "time": "1970-01-01T00:00:05.000000006Z" },
        "lists": { "ints": [1, -7], "nodes": [{ "weight": 4 }, { "name": "t" }] },
        "maps": { "texts": { "k": "t", "fixed": "plain ${cursor.text}" } },
    });
    assert_eq!(as_json(&wire), expected);

    let read = overlay.read(&everything(&json!({})), &wire);
    let names: Vec<&str> = read.keys().map(String::as_str).collect();
    assert_eq!(names, ["bytes", "int", "text", "time", "uint"], "what stands in lists is left out");
    for (name, value) in &read {
        // A field that holds any integer does not say whether it was a signed one.
        let is_same = |it: CursorScalar| it == *value || *value == CursorScalar::Int(1);
        assert!(cursor(name).is_some_and(is_same), "{name}: {value:?}");
    }
    assert!(overlay.read(&everything(&json!({})), b"\xff").is_empty(), "this is no message");
    assert!(overlay.read(&everything(&json!({})), b"").is_empty(), "no field is set");
}

#[test]
fn fields_are_cleared_then_set_and_messages_merged() {
    let request = everything(&json!({
        "node": { "name": "kept", "weight": 1, "child": { "name": "gone", "weight": 2 } },
        "lists": { "ints": [1, 2] },
        "choice": { "number": 5, "before": 1 },
    }));
    let set = json!({
        "node": { "weight": 9 },
        "lists": { "ints": [3] },
        "choice": { "text": "instead" },
    });
    let overlay = overlay(&set, &["node.child.name", "scalars.a_bool", "node.weight"], &[]);
    let wire = overlay.apply(&request, &|_| None).unwrap();
    let expected = json!({
        "node": { "name": "kept", "weight": 9, "child": { "weight": 2 } },
        "lists": { "ints": [3] },
        "choice": { "before": 1, "text": "instead" },
    });
    assert_eq!(as_json(&wire), expected);
    let clear = ["node".to_owned(), "lists".to_owned(), "choice.number".to_owned()];
    let cleared = request.overlay(&json!({}), &clear).unwrap();
    assert_eq!(as_json(&cleared.encode()), json!({ "choice": { "before": 1 } }));
    assert_eq!(
        as_json(&request.encode())["lists"]["ints"],
        json!([1, 2]),
        "the template is as it was"
    );
}

#[test]
fn a_cursor_that_does_not_fit_is_refused_and_not_shown() {
    let set = json!({ "scalars": { "anInt32": "${cursor.at}" } });
    let overlay = overlay(&set, &[], &[("at", LeafKind::Uint)]);
    let apply = |value: Option<CursorScalar>| {
        overlay.apply(&everything(&json!({})), &|_| value.clone()).unwrap_err()
    };
    let missing = apply(None);
    assert!(matches!(&missing, OverlayError::Missing { name, .. } if name == "at"));
    let too_large = apply(Some(CursorScalar::Uint(3_000_000_000)));
    assert_eq!(
        too_large.to_string(),
        "cursor component \"at\" does not fit field \"rich.Scalars.an_int32\": \
         the number is out of the range of an int32"
    );
    let foreign = apply(Some(CursorScalar::Text("secret".into()))).to_string();
    assert!(foreign.ends_with("the component is a string, the field an int32"), "{foreign}");
}

#[test]
fn a_message_cursor_must_decode() {
    let set = json!({ "node": "${cursor.at}" });
    let overlay = overlay(&set, &[], &[("at", LeafKind::Message)]);
    let broken = CursorScalar::Message(Bytes::from_static(b"\x1a\xff"));
    let error = overlay.apply(&everything(&json!({})), &|_| Some(broken.clone())).unwrap_err();
    assert!(error.to_string().contains("it is not a rich.Node"), "{error}");
}

#[test]
fn a_value_that_nests_too_deep_is_refused() {
    let deep = (0..150).fold(json!({}), |inner, _| json!({ "child": inner }));
    let errors = RequestTemplate::compile(&message("rich.Node"), &deep).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].message, "the value nests deeper than 100");
}

const TYPES: [&str; 6] =
    ["rich.Scalars", "rich.Lists", "rich.Choice", "rich.Maps", "rich.WellKnown", "rich.Everything"];

fn sorted(message: &DynamicMessage) -> Vec<u8> {
    // Sorted, because the order of a map's entries is random.
    let mut bytes = message.encode_to_vec();
    bytes.sort_unstable();
    bytes
}

thread_local! {
    static SUBJECTS: Vec<MessageDescriptor> = {
        let pool = support::pool();
        TYPES.iter().map(|name| pool.get_message_by_name(name).unwrap()).collect()
    };
}

/// Builds a random message from its own JSON, by us and by prost-reflect.
fn compare(pick: usize, entropy: &[u8]) -> Result<bool, String> {
    let descriptor = SUBJECTS.with(|subjects| subjects[pick].clone());
    let wire = Maker::new(entropy, false).message(&descriptor, 0);
    let Ok(message) = DynamicMessage::decode(descriptor.clone(), &wire[..]) else {
        return Ok(false);
    };
    let Ok(value) = serde_json::to_value(&message) else { return Ok(false) };
    let theirs = DynamicMessage::deserialize(descriptor.clone(), &value);
    let ours = RequestTemplate::compile(&descriptor, &value);
    match (ours, theirs) {
        (Err(_), Err(_)) => Ok(false),
        (Ok(ours), Ok(theirs)) if sorted(ours.message()) == sorted(&theirs) => Ok(true),
        (Ok(_), Ok(_)) => Err(format!("another message from {value}")),
        (Ok(_), Err(error)) => Err(format!("refused by prost-reflect, {error}: {value}")),
        (Err(errors), Ok(_)) => Err(format!("refused by us, {}: {value}", told(&errors))),
    }
}

#[test]
fn random_messages_come_back_from_their_json() {
    let strategy = (0..TYPES.len(), prop::collection::vec(any::<u8>(), 0..300));
    property!("request-json", 3.0, 2)
        .holds(&strategy, |(pick, entropy)| compare(pick, &entropy).map(drop));
}
