//! Goal: any value of a pipeline file is a request or is refused at its place, and a request means
//! what prost-reflect makes of it; an overlay with any cursor gives a request or says why not.
//! Method: random JSON along the test types, with mistakes; the same as overlays, applied with
//! cursors of fitting and unfitting kinds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/property/mod.rs"]
mod property;
mod support;

use std::cell::Cell;

use bytes::Bytes;
use headwater_proto::{
    CursorComponent, CursorScalar, LeafKind, MessageDescriptor, Overlay, PathSegment, RequestError,
    RequestTemplate,
};
use property::property;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use support::json::Json;

const TYPES: [&str; 6] =
    ["rich.Scalars", "rich.Lists", "rich.Choice", "rich.Maps", "rich.WellKnown", "rich.Everything"];

/// What no error may show: it stands in strings only, which may have been secrets.
const SECRET: &str = support::json::SECRET;

thread_local! {
    static SUBJECTS: Vec<MessageDescriptor> = {
        let pool = support::pool();
        TYPES.iter().map(|name| pool.get_message_by_name(name).unwrap()).collect()
    };
}

fn subject(pick: usize) -> MessageDescriptor {
    SUBJECTS.with(|subjects| subjects[pick].clone())
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// An error says something, shows no string, and its path leads into the value.
fn judge(value: &Value, errors: &[RequestError]) -> Result<(), String> {
    if errors.is_empty() {
        return Err("refused without a reason".to_owned());
    }
    for error in errors {
        let told = format!("{error} {:?}", error.hint);
        if told.contains(SECRET) {
            return Err(format!("a string is shown: {told}"));
        }
        if !leads_into(value, &error.path) {
            return Err(format!("{:?} is not in {value}: {told}", error.path));
        }
    }
    Ok(())
}

fn leads_into(value: &Value, path: &[PathSegment]) -> bool {
    let mut place = Some(value);
    for segment in path {
        place = place.and_then(|value| match segment {
            PathSegment::Key(key) => value.get(key),
            PathSegment::Index(index) => value.get(index),
        });
    }
    place.is_some()
}

fn sorted(message: &DynamicMessage) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    bytes.sort_unstable();
    bytes
}

#[test]
fn any_value_is_the_request_that_prost_reflect_makes_of_it_or_is_refused_at_its_place() {
    let (taken, refused) = (Cell::new(0u32), Cell::new(0u32));
    let strategy = (0..TYPES.len(), bytes(200), any::<bool>());
    property!("request-random", 8.0, 2).holds(&strategy, |(pick, entropy, mistakes)| {
        let value = Json::new(&entropy, mistakes).message(&subject(pick), 0);
        let theirs = DynamicMessage::deserialize(subject(pick), &value);
        match (RequestTemplate::compile(&subject(pick), &value), theirs) {
            (Ok(ours), Ok(theirs)) if sorted(ours.message()) == sorted(&theirs) => {
                taken.set(taken.get() + 1);
                Ok(())
            }
            (Ok(_), Ok(_)) => Err(format!("another message from {value}")),
            // A `NullValue` is an enum to us, whose numbers are taken.
            (Ok(_), Err(error)) if error.to_string().contains("expected null") => Ok(()),
            (Ok(_), Err(error)) => Err(format!("prost-reflect says {error}: {value}")),
            (Err(errors), _) => {
                refused.set(refused.get() + 1);
                judge(&value, &errors)
            }
        }
    });
    let most = property::cases(0.5);
    assert!(taken.get() > most && refused.get() > most, "{} {}", taken.get(), refused.get());
}

#[test]
fn any_json_is_refused_at_its_place_or_taken() {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let json = leaf.prop_recursive(6, 40, 6, |inner| {
        let key = prop_oneof!["\\PC{0,6}", Just("node".to_owned()), Just("ints".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    property!("request-any", 2.0, 2).holds(&(0..TYPES.len(), json), |(pick, value)| {
        match RequestTemplate::compile(&subject(pick), &value) {
            Ok(_) => Ok(()),
            Err(errors) => judge(&value, &errors),
        }
    });
}

/// A cursor's value by one byte: all kinds, at the ends of their ranges.
fn cursor(byte: u8) -> CursorScalar {
    let numbers = [0, 1, -1, i64::MIN, i64::MAX, i64::from(i32::MAX) + 1];
    let number = numbers[usize::from(byte / 8) % numbers.len()];
    match byte % 8 {
        0 | 1 => CursorScalar::Int(number),
        2 => CursorScalar::Uint(number.cast_unsigned()),
        3 => CursorScalar::Text(SECRET.to_owned()),
        4 => CursorScalar::Bytes(Bytes::from_static(b"\xff\x00")),
        5 => CursorScalar::Timestamp { seconds: number, nanos: number as i32 },
        6 => CursorScalar::Message(Bytes::from_static(b"\x20\x01")),
        _ => CursorScalar::Message(Bytes::from(vec![byte; usize::from(byte % 7)])),
    }
}

fn components(entropy: &[u8]) -> Vec<CursorComponent> {
    let kinds = [
        LeafKind::Int,
        LeafKind::Uint,
        LeafKind::Text,
        LeafKind::Bytes,
        LeafKind::Message,
        LeafKind::Enum,
        LeafKind::Bool,
        LeafKind::Float,
    ];
    let component = |(index, byte): (usize, &u8)| CursorComponent {
        name: format!("c{index}"),
        kind: kinds[usize::from(byte % 8)],
        message: None,
    };
    entropy.iter().enumerate().take(4).map(component).collect()
}

#[test]
fn any_overlay_is_refused_at_its_place_or_gives_a_request_or_says_why_not() {
    let (given, unfit) = (Cell::new(0u32), Cell::new(0u32));
    let clear = prop_oneof![
        Just("node.child.name".to_owned()),
        Just("lists".to_owned()),
        Just("choice.number".to_owned()),
        Just("a_bool".to_owned()),
        "[a-z_.\\[\\]é]{0,12}",
    ];
    let clear = prop::collection::vec(clear, 0..2);
    let strategy = (0..TYPES.len(), bytes(120), bytes(120), bytes(5), bytes(5), clear);
    property!("overlay-random", 8.0, 2).holds(
        &strategy,
        |(pick, base, entropy, kinds, values, clear)| {
            let base = Json::new(&base, false).message(&subject(pick), 0);
            let base = RequestTemplate::compile(&subject(pick), &base)
                .or_else(|_| RequestTemplate::compile(&subject(pick), &json!({})))
                .map_err(|errors| format!("{errors:?}"))?;
            let set = Json::with_cursors(&entropy).message(&subject(pick), 0);
            let cursors = components(&kinds);
            let overlay = match Overlay::compile_with(&subject(pick), &set, &clear, &cursors) {
                Ok(overlay) => overlay,
                Err(errors) => return judge_overlay(&set, &clear, &errors),
            };
            let value = |name: &str| {
                let index: usize = name.trim_start_matches('c').parse().ok()?;
                values.get(index).map(|byte| cursor(*byte))
            };
            match overlay.apply(&base, &value) {
                Ok(wire) => {
                    given.set(given.get() + 1);
                    let decoded = DynamicMessage::decode(subject(pick), wire);
                    decoded.map(drop).map_err(|error| format!("the request is none: {error}"))
                }
                Err(error) => {
                    unfit.set(unfit.get() + 1);
                    let told = error.to_string();
                    if told.contains(SECRET) { Err(told) } else { Ok(()) }
                }
            }
        },
    );
    let least = property::cases(0.05);
    assert!(given.get() > least && unfit.get() > 0, "{} {}", given.get(), unfit.get());
}

/// An error of `clear` has its position in the list instead of a place in the value.
fn judge_overlay(set: &Value, clear: &[String], errors: &[RequestError]) -> Result<(), String> {
    let is_clear = |error: &&RequestError| match error.path[..] {
        [PathSegment::Index(index)] => index < clear.len(),
        _ => false,
    };
    let others: Vec<RequestError> =
        errors.iter().filter(|error| !is_clear(error)).cloned().collect();
    if others.is_empty() && !errors.is_empty() { Ok(()) } else { judge(set, &others) }
}
