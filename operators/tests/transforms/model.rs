//! Steps on bytes against a plain model on trees, for random values and random steps; and batches
//! with holes, dead letters and nothing in them.

use crate::property::property;
use crate::rig;
use headwater_engine::dataflow::step::Step;
use headwater_engine::record::Batch;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// Names that steps and values share, so that they meet.
const NAMES: [&str; 8] = ["a", "b", "c", "größe", "a.b", "quote\"", "tab\t", ""];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&NAMES[..]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        // Exact in few digits, which serde_json alone reads back as they were.
        any::<i32>().prop_map(|it| Json::from(f64::from(it) / 64.0)),
        ".{0,8}".prop_map(Json::from),
        prop::sample::select(vec!["1", "-3", "true", "x\"\\{}[],:"]).prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((name(), inner), 0..5)
                .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(name(), 1..4)
}

fn a_step() -> impl Strategy<Value = Json> {
    let types = prop::sample::select(vec!["int32", "int64", "boolean", "string"]);
    prop_oneof![
        names().prop_map(|names| json!({ "include": names })),
        names().prop_map(|names| json!({ "exclude": names })),
        (name(), "[a-z]{1,3}").prop_map(|(old, new)| json!({ "rename": { old: new } })),
        (name(), "[ a-z\"\\\\äß]{0,6}")
            .prop_map(|(field, value)| json!({ "insert": { "field": field, "value": value } })),
        names().prop_map(|names| json!({ "mask": { "fields": names } })),
        (name(), types.clone()).prop_map(|(field, to)| json!({ "cast": { field: to } })),
        types.prop_map(|to| json!({ "cast_value": to })),
        name().prop_map(|name| json!({ "hoist": name })),
        prop::sample::select(vec!["a", "b", "c", "größe", "`a.b`"])
            .prop_map(|name| json!({ "extract": name })),
    ]
}

/// What a step makes of a value; none is a tombstone, an error a dead letter.
fn model(step: &Json, value: Option<Json>) -> Result<Option<Json>, ()> {
    let (kind, with) = step.as_object().unwrap().iter().next().unwrap();
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    let list = |json: &Json| json.as_array().unwrap().iter().map(text).collect::<Vec<String>>();
    match kind.as_str() {
        "hoist" => return Ok(Some(json!({ text(with): value }))),
        "mask" if value.is_none() => return Err(()),
        "cast_value" => {
            let Some(value) = value else { return Ok(None) };
            return cast(&value, with.as_str().unwrap()).map(Some);
        }
        _ => {}
    }
    let Some(value) = value else { return Ok(None) };
    let Json::Object(mut fields) = value else { return Err(()) };
    match kind.as_str() {
        "include" => fields.retain(|name, _| list(with).contains(name)),
        "exclude" => fields.retain(|name, _| !list(with).contains(name)),
        "rename" => {
            let (old, new) = with.as_object().unwrap().iter().next().unwrap();
            fields = renamed(fields, old, new.as_str().unwrap());
        }
        "insert" => drop(fields.insert(text(&with["field"]), with["value"].clone())),
        "mask" => {
            for name in list(&with["fields"]) {
                let masked = fields.get(&name).map_or(Json::Null, zero);
                fields.insert(name, masked);
            }
        }
        "cast" => {
            let (name, to) = with.as_object().unwrap().iter().next().unwrap();
            let before = fields.get(name).cloned().unwrap_or_default();
            let after = match before {
                Json::Null => Json::Null,
                before => cast(&before, to.as_str().unwrap())?,
            };
            fields.insert(name.clone(), after);
        }
        "extract" => {
            let name = text(with).trim_matches('`').to_owned();
            return Ok(fields.remove(&name).filter(|value| !value.is_null()));
        }
        other => panic!("{other}"),
    }
    Ok(Some(Json::Object(fields)))
}

/// The later of two fields with one name stays, where it is.
fn renamed(fields: Map<String, Json>, old: &str, new: &str) -> Map<String, Json> {
    let name = |it: &str| if it == old { new.to_owned() } else { it.to_owned() };
    let is_there = fields.contains_key(old);
    let all: Vec<(String, Json)> =
        fields.iter().map(|(it, json)| (name(it), json.clone())).collect();
    let is_last = |place: usize| all[place + 1..].iter().all(|(it, _)| *it != all[place].0);
    let stays = |place: &usize| !is_there || is_last(*place);
    (0..all.len()).filter(stays).map(|place| all[place].clone()).collect()
}

fn zero(value: &Json) -> Json {
    match value {
        Json::Null => Json::Null,
        Json::Bool(_) => json!(false),
        Json::Number(number) if number.is_f64() => json!(0.0),
        Json::Number(_) => json!(0),
        Json::String(_) => json!(""),
        Json::Array(_) => json!([]),
        Json::Object(_) => json!({}),
    }
}

fn cast(value: &Json, to: &str) -> Result<Json, ()> {
    let whole = |value: i64| match to {
        "int32" => json!(value as i32),
        _ => json!(value),
    };
    Ok(match (value, to) {
        (Json::Array(_) | Json::Object(_) | Json::Null, _) => return Err(()),
        (Json::String(text), "string") => json!(text),
        (Json::String(text), "boolean") => json!(text.eq_ignore_ascii_case("true")),
        (Json::String(text), "int32") => json!(text.parse::<i32>().map_err(drop)?),
        (Json::String(text), _) => json!(text.parse::<i64>().map_err(drop)?),
        (Json::Bool(value), "string") => json!(value.to_string()),
        (Json::Bool(value), "boolean") => json!(value),
        (Json::Bool(value), _) => whole((*value).into()),
        (Json::Number(number), "boolean") => {
            json!(number.as_i64().unwrap_or_else(|| number.as_f64().unwrap() as i64) != 0)
        }
        (Json::Number(number), "string") if number.is_f64() => {
            // The digits are Java's own affair: see the cases, and `settled`.
            json!(format!("{:?}", number.as_f64().unwrap()))
        }
        (Json::Number(number), "string") => json!(number.to_string()),
        (Json::Number(number), "int32") if number.is_f64() => {
            json!(number.as_f64().unwrap() as i32)
        }
        (Json::Number(number), _) => {
            whole(number.as_i64().unwrap_or_else(|| number.as_f64().unwrap() as i64))
        }
    })
}

/// Texts that are doubles, as the doubles they are: there the model does not know the digits.
fn settled(json: Json) -> Json {
    match json {
        Json::String(text) if text.contains('.') => {
            text.parse::<f64>().map_or(Json::String(text), Json::from)
        }
        Json::Array(items) => items.into_iter().map(settled).collect(),
        Json::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, settled(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

/// The steps; none if they speak of fields that can never be there, which is a mistake of the file.
fn sound(steps: &[Json]) -> Result<Option<Box<dyn Step>>, String> {
    let mistakes = ["can be in the value here", "no object any more", "there is a field"];
    match rig::sound_step(&json!(steps)) {
        Ok(step) => Ok(Some(step)),
        Err(told) if mistakes.iter().any(|words| told.contains(words)) => Ok(None),
        Err(told) => Err(told),
    }
}

fn compare(value: &Json, steps: &[Json]) -> Result<(), String> {
    let first = Some(value.clone()).filter(|value| !value.is_null());
    let expected = steps.iter().try_fold(first, |value, step| model(step, value));
    let Some(mut step) = sound(steps)? else { return Ok(()) };
    let ours = rig::outcome(&mut *step, &value.to_string());
    match (&ours, &expected) {
        (Err(_), Err(())) | (Ok(None), Ok(None)) => Ok(()),
        (Ok(Some(text)), Ok(Some(expected))) => {
            let parsed: Json = serde_json::from_str(text).map_err(|it| format!("{it}: {text}"))?;
            // As texts, so that the order of fields counts.
            let (parsed, expected) = (settled(parsed), settled(expected.clone()));
            let (found, wanted) = (parsed.to_string(), expected.to_string());
            let is_same = found == wanted;
            is_same.then_some(()).ok_or_else(|| format!("{parsed}, and the model: {expected}"))
        }
        _ => Err(format!("{ours:?}, and the model: {expected:?}")),
    }
}

#[test]
fn steps_on_bytes_are_steps_on_trees() {
    let strategy = (value(), prop::collection::vec(a_step(), 1..5));
    property!("transform-model", 4.0, 20)
        .holds(&strategy, |(value, steps)| compare(&value, &steps));
}

#[test]
fn any_bytes_end_in_a_record_or_a_dead_letter() {
    let value = prop_oneof![
        ".{0,24}".boxed(),
        "[\\[\\]{}\",:\\\\a0 ]{0,24}".boxed(),
        value()
            .prop_map(|value| {
                let text = value.to_string();
                let end = text.char_indices().nth(text.chars().count() / 2).map_or(0, |it| it.0);
                text[..end].to_owned()
            })
            .boxed(),
    ];
    let strategy = (value, prop::collection::vec(a_step(), 1..4));
    property!("transform-hostile", 2.0, 20).holds(&strategy, |(value, steps)| {
        if let Some(mut step) = sound(&steps)? {
            drop(rig::outcome(&mut *step, &value));
        }
        Ok(())
    });
}

/// A batch from which a step before has taken records, some of which the next cannot change.
#[test]
fn records_that_stay_keep_their_sequence_and_every_record_is_accounted_for() {
    let strategy = prop::collection::vec((any::<bool>(), any::<bool>()), 0..12);
    property!("transform-batch", 2.0, 20).holds(&strategy, |records| {
        let values: Vec<&str> = records
            .iter()
            .filter(|(is_kept, _)| *is_kept)
            .map(|(_, is_sound)| if *is_sound { "{\"a\":\"7\"}" } else { "{\"a\":\"x\"}" })
            .collect();
        let kept = (0..).zip(&records).filter(|(_, (is_kept, _))| *is_kept).map(|(place, _)| place);
        let kept: Arc<[u32]> = kept.collect();
        let mut batch = Batch { kept: Some(kept), ..rig::batch(&values) };
        batch.end.0 = records.len() as u64;
        rig::step(&json!([{ "cast": { "a": "int8" } }])).apply(&mut batch).unwrap();
        let of = |is_sound: bool| {
            let all = (0..).zip(&records);
            let chosen = all.filter(move |(_, it)| **it == (true, is_sound));
            chosen.map(|(place, _)| place).collect::<Vec<u64>>()
        };
        let left: Vec<u64> = (0..batch.len()).map(|place| batch.sequence(place).0).collect();
        let dead: Vec<u64> = batch.dead.iter().map(|dead| dead.sequence.0).collect();
        let is_right = left == of(true) && dead == of(false);
        let changed = batch.values.iter().all(|value| value == b"{\"a\":7}");
        (is_right && changed).then_some(()).ok_or_else(|| format!("{left:?} {dead:?} {records:?}"))
    });
}
