//! Goal: the cases are complete, and the comparer holds each of their answers apart from any other.
//! Method: each recorded answer, with samples for its placeholders, is compared with itself, and
//! with itself changed at one place: at every place, in the largest answers at every fifth.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::case::{Answer, Call, Case, FOLDER, PLUGIN_CONFIG, load_all, root};
use crate::compare::compare;
use crate::placeholder::{FOUND, names, sample_all};

/// What the player gives.
const GIVEN: [&str; 3] = ["closed_port", "folder", "grpc_port"];
const CASES_MIN: usize = 27;
const CALLS_MIN: usize = 750;
/// What has more places is compared as often with as many, which takes long.
const PLACES_MAX: usize = 300;

fn each(mut visit: impl FnMut(&Case, usize, &Call, &Answer)) {
    let cases = load_all(&[]).expect("the cases are readable");
    let mut calls = 0;
    for case in &cases {
        for (index, call) in case.scenario.calls.iter().enumerate() {
            let answer = call.answer.as_ref();
            let answer = answer.unwrap_or_else(|| panic!("{} {index} is not recorded", case.name));
            visit(case, index, call, answer);
            calls += 1;
        }
    }
    assert!(cases.len() >= CASES_MIN && calls >= CALLS_MIN, "{} cases, {calls} calls", cases.len());
}

fn sampled(answer: &Answer) -> Answer {
    let headers = answer.headers.iter();
    let sample = |text: &String| {
        let sampled = sample_all(&Value::from(text.as_str()));
        sampled.as_str().map_or_else(|| sampled.to_string(), str::to_owned)
    };
    Answer {
        status: answer.status,
        headers: headers.map(|(name, value)| (name.clone(), sample(value))).collect(),
        body: answer.body.as_ref().map(sample_all),
        text: answer.text.as_ref().map(sample),
    }
}

#[test]
fn every_recorded_answer_is_equal_to_itself() {
    each(|case, index, call, answer| {
        let findings = compare(call, answer, &sampled(answer));
        assert!(findings.is_empty(), "{} call {}: {findings:?}", case.name, index + 1);
    });
}

/// Without the freedom that some calls leave, which has tests of its own.
#[test]
fn every_change_of_a_recorded_answer_is_told() {
    let mut changes = 0;
    each(|case, index, call, answer| {
        let call = Call { or_refusal: false, ..call.clone() };
        for (what, changed) in changed(&sampled(answer)) {
            let is_told = !compare(&call, answer, &changed).is_empty();
            assert!(is_told, "{} call {}: {what} changed, not told", case.name, index + 1);
            changes += 1;
        }
    });
    assert!(changes > 2000, "{changes} changes");
}

/// The answer with one thing changed, for each thing.
fn changed(answer: &Answer) -> Vec<(String, Answer)> {
    let mut all =
        vec![("status".to_owned(), Answer { status: answer.status + 1, ..answer.clone() })];
    for name in answer.headers.keys() {
        let mut other = answer.clone();
        other.headers.insert(name.clone(), "other".to_owned());
        all.push((format!("header {name}"), other));
    }
    let Some(body) = &answer.body else {
        let text = Some("other".to_owned());
        all.push(("text".to_owned(), Answer { text, ..answer.clone() }));
        return all;
    };
    let pointers = pointers(body);
    let step = if pointers.len() > PLACES_MAX { 5 } else { 1 };
    for pointer in pointers.into_iter().step_by(step) {
        let mut other = answer.clone();
        let place = other.body.as_mut().and_then(|it| it.pointer_mut(&pointer));
        let place = place.expect("the pointer is of this body");
        *place = if place.is_null() { Value::from("other") } else { Value::Null };
        all.push((format!("body {pointer}"), other));
    }
    all
}

/// Every place in a body below its root that `only` and `only_errors` leave in it.
fn pointers(value: &Value) -> Vec<String> {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            let step = |key: &String| key.replace('~', "~0").replace('/', "~1");
            fields.iter().map(|(key, value)| (step(key), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, it)| (n.to_string(), it)).collect()
        }
        _ => return Vec::new(),
    };
    below
        .into_iter()
        .flat_map(|(step, value)| {
            let inner = pointers(value).into_iter().map(|it| format!("/{step}{it}"));
            std::iter::once(format!("/{step}")).chain(inner).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_placeholder_is_known_used_and_explained() {
    let readme = fs::read_to_string(root().join(FOLDER).join("README.md")).unwrap();
    let known: BTreeSet<String> =
        FOUND.iter().map(|it| it.name).chain(GIVEN).map(str::to_owned).collect();
    let used: BTreeSet<String> =
        load_all(&[]).unwrap().iter().flat_map(|it| names(&it.text().unwrap())).collect();
    assert_eq!(known, used);
    for name in known {
        assert!(readme.contains(&format!("| `{{{{{name}}}}}` |")), "{name} is not in the README");
    }
}

#[test]
fn every_case_is_written_as_the_recorder_writes_it() {
    for case in load_all(&[]).unwrap() {
        let text = fs::read_to_string(root().join(FOLDER).join(format!("{}.json", case.name)));
        assert!(text.unwrap() == case.text().unwrap(), "{}: record it again", case.name);
    }
}

#[test]
fn the_keys_of_the_connector_are_those_that_a_case_was_told() {
    let keys = fs::read_to_string(root().join(PLUGIN_CONFIG)).unwrap();
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let is_told = load_all(&["plugins".to_owned()]).unwrap().iter().any(|case| {
        let answers = case.scenario.calls.iter().filter_map(|it| it.answer.as_ref());
        answers.filter_map(|it| it.body.as_ref()).any(|it| *it == keys)
    });
    assert!(is_told, "{PLUGIN_CONFIG} is of another worker than the cases");
}

/// Texts of the Java connector are its authors'; the keys' documentation here is our own.
#[test]
fn no_documentation_is_recorded() {
    let folder = fs::read_dir(root().join(FOLDER)).unwrap();
    let paths = folder.map(|it| it.unwrap().path());
    for path in paths.filter(|it| it.extension().is_some_and(|it| it == "json")) {
        let value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for pointer in pointers(&value).iter().filter(|it| it.ends_with("/documentation")) {
            let text = value.pointer(pointer).and_then(Value::as_str);
            assert_eq!(text, Some("{{documentation}}"), "{}{pointer}", path.display());
        }
    }
}
