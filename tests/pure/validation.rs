//! Goal: a validation answers what a Kafka Connect 4.1 worker answers, word for word.
//! Method: the answers of a real worker, recorded in `tests/cases/connect`, for every call of
//! `PUT /connector-plugins/{class}/config/validate` and `GET …/config`; the documentation of keys
//! is our own, and versions are whatever they are. A few rules are spelt out besides.

use crate::expect::files;
use headwater::connect::{Config, Reference, Worker, definitions, plugins, resolved, validate};
use serde_json::{Value as Json, json};
use std::fs;

const CLASS: &str = "io.conduktor.connect.grpc.GrpcSourceConnector";
const JSON_CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";

/// So many validations at least are recorded, of answers that list keys.
const VALIDATIONS: usize = 130;

/// So many lists of plug-ins and of keys.
const LISTS: usize = 13;

/// The worker that answered.
fn worker() -> Worker {
    Worker {
        key_converter: JSON_CONVERTER.to_owned(),
        value_converter: JSON_CONVERTER.to_owned(),
        ..Worker::default()
    }
}

/// All calls that were recorded, each with the name of its case.
fn recorded() -> Vec<(String, Json)> {
    let cases = files("tests/cases/connect", "json");
    let mut calls = Vec::new();
    for path in cases {
        let text = fs::read_to_string(&path).expect("a case is readable");
        // The player of the cases puts a folder in, whose name has no braces.
        let text = text.replace("{{folder}}", "/folder");
        let case: Json = serde_json::from_str(&text).expect("a case is JSON");
        let name = path.file_stem().expect("a case has a name").to_string_lossy().into_owned();
        // Beside the cases lies a list of keys, which has no calls.
        for call in case["calls"].as_array().into_iter().flatten() {
            calls.push((name.clone(), call.clone()));
        }
    }
    calls
}

/// What the recorded worker's providers gave.
fn provided(reference: Reference<'_>) -> Result<Option<String>, String> {
    let value = match (reference.provider, reference.key) {
        ("file", "host") => Some("127.0.0.1"),
        ("file", "topic") => Some("contract-secret"),
        _ => None,
    };
    Ok(value.map(str::to_owned))
}

/// Every place where our validations differ from those of a worker, and how many were compared.
fn differences(worker: &Worker) -> (usize, Vec<String>) {
    let (mut compared, mut differences) = (0, Vec::new());
    for (case, call) in recorded() {
        let path = call["path"].as_str().unwrap_or_default();
        let (body, answer) = (&call["body"], &call["answer"]["body"]);
        if !path.ends_with("/config/validate") || !answer["configs"].is_array() {
            continue;
        }
        let config = Config::from_json(body).expect("the worker took it");
        let config = resolved(&config, &mut provided).expect("no look-up fails");
        let mut ours = json!(validate(&config, worker));
        if call["only_errors"] == json!(true) {
            // Recorded are the values with errors, without what their keys are.
            let configs = ours["configs"].as_array_mut().expect("a list");
            configs.retain(|it| it["value"]["errors"] != json!([]));
            for config in configs {
                config.as_object_mut().expect("an object").remove("definition");
            }
        }
        compare(&format!("{case} {body}"), answer, &ours, &mut differences);
        compared += 1;
    }
    (compared, differences)
}

#[test]
fn validations_are_answered_as_a_worker_answers_them() {
    let (compared, differences) = differences(&worker());
    assert!(compared >= VALIDATIONS, "{compared} validations were compared");
    let count = differences.len();
    assert!(differences.is_empty(), "{count} differ:\n{}", differences.join("\n"));
}

#[test]
fn a_worker_that_is_set_up_in_another_way_is_told_apart() {
    // Its converters are others, and so are defaults and keys.
    let (_, found) = differences(&Worker::default());
    assert!(found.iter().any(|it| it.contains("converter")), "{found:?}");
    let without_version = Worker { connector_version: String::new(), ..worker() };
    assert!(!differences(&without_version).1.is_empty());
}

#[test]
fn keys_and_plugins_are_listed_as_a_worker_lists_them() {
    let (mut compared, mut differences) = (0, Vec::new());
    for (case, call) in recorded() {
        let path = call["path"].as_str().unwrap_or_default().replace("%24", "$");
        let (answer, is_get) = (&call["answer"]["body"], call["method"] == "GET");
        if !is_get || !answer.is_array() || path.contains("version=") {
            continue;
        }
        let place = path.strip_prefix("/connector-plugins").map(|it| it.trim_start_matches('/'));
        let ours = match place {
            Some("" | "?connectorsOnly=true" | "?connectorsOnly=") => {
                json!(plugins(&worker(), true))
            }
            Some("?connectorsOnly=false") => json!(plugins(&worker(), false)),
            Some(place) if place.ends_with("/config") => {
                json!(definitions(place.trim_end_matches("/config"), &worker()))
            }
            _ => continue,
        };
        compare(&format!("{case} {path}"), answer, &ours, &mut differences);
        compared += 1;
    }
    assert!(compared >= LISTS, "{compared} lists were compared");
    let count = differences.len();
    assert!(differences.is_empty(), "{count} differ:\n{}", differences.join("\n"));
}

fn compare(at: &str, expected: &Json, actual: &Json, differences: &mut Vec<String>) {
    match (expected, actual) {
        (Json::Object(theirs), Json::Object(ours)) => {
            for (key, value) in theirs {
                compare(
                    &format!("{at} /{key}"),
                    value,
                    ours.get(key).unwrap_or(&Json::Null),
                    differences,
                );
            }
            for key in ours.keys().filter(|key| !theirs.contains_key(*key)) {
                differences.push(format!("{at} /{key} is not expected"));
            }
        }
        (Json::Array(theirs), Json::Array(ours)) if theirs.len() == ours.len() => {
            for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                compare(&format!("{at} /{index}"), theirs, ours, differences);
            }
        }
        (Json::String(text), ours) if fits(text, ours) => {}
        (theirs, ours) if theirs == ours => {}
        (theirs, ours) => differences.push(format!("{at}\n  expected {theirs}\n  actual   {ours}")),
    }
}

/// Placeholders, and the virtual machine's own words, which only begin alike.
fn fits(expected: &str, actual: &Json) -> bool {
    let Some(actual) = actual.as_str() else { return false };
    match expected.split_once("{{java}}") {
        Some((before, after)) => actual.starts_with(before) && actual.ends_with(after),
        None if expected == "{{documentation}}" => !actual.is_empty(),
        None if expected == "{{version}}" => {
            actual.starts_with(|it: char| it.is_ascii_digit()) || actual == "nonsense"
        }
        None => expected == actual,
    }
}

/// A configuration that lacks nothing.
pub(crate) fn sound() -> Config {
    [
        ("name", "v"),
        ("connector.class", CLASS),
        ("grpc.server.host", "h"),
        ("grpc.server.port", "1"),
        ("grpc.service.name", "a.B"),
        ("grpc.method.name", "C"),
        ("kafka.topic", "t"),
    ]
    .into_iter()
    .collect()
}

/// The errors of a key, of the base with one more key.
fn errors(key: &str, value: &str, of: &str) -> Vec<String> {
    let mut config = sound();
    config.set(key, Some(value.to_owned()));
    let answer = validate(&config, &worker());
    let of = answer.configs.into_iter().find(|it| it.definition.name == of);
    of.expect("the key is answered for").value.errors
}

#[test]
fn errors_have_the_words_of_connect() {
    let required = validate(&Config::default(), &worker());
    assert_eq!(required.error_count, 7, "{required:#?}");
    let missing = "Missing required configuration \"kafka.topic\" which has no default value.";
    let topic = required.configs.iter().find(|it| it.definition.name == "kafka.topic");
    assert_eq!(topic.expect("it is there").value.errors, [missing]);
    for (key, value, expected) in [
        (
            "grpc.server.port",
            "x",
            vec!["Invalid value x for configuration grpc.server.port: Not a number of type INT"],
        ),
        (
            "tasks.max",
            "0",
            vec!["Invalid value 0 for configuration tasks.max: Value must be at least 1"],
        ),
        (
            "tasks.max",
            "x",
            vec![
                "Invalid value x for configuration tasks.max: Not a number of type INT",
                "Invalid value null for configuration tasks.max: Value must be non-null",
            ],
        ),
        (
            "errors.tolerance",
            "ALL",
            vec![
                "Invalid value ALL for configuration errors.tolerance: String must be one of: none, \
                 all",
            ],
        ),
        (
            "transaction.boundary",
            "x",
            vec![
                "Invalid value x for configuration transaction.boundary: String must be one of (case \
                 insensitive): INTERVAL, POLL, CONNECTOR",
            ],
        ),
        (
            "transforms",
            "a,a",
            vec!["Invalid value [a, a] for configuration transforms: Duplicate alias provided."],
        ),
        ("grpc.tls.enabled", " true ", vec![]),
        ("grpc.server.port", "65536", vec![]),
    ] {
        assert_eq!(errors(key, value, key), expected, "{key}={value}");
    }
}

#[test]
fn unknown_keys_pass_a_validation_and_no_translation() {
    let mut config = sound();
    config.set("grpc.unknown", Some("x".to_owned()));
    assert_eq!(validate(&config, &worker()).error_count, 0);
    let mistakes = headwater::connect::translate(&config, &worker()).expect_err("it is refused");
    let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["grpc.unknown"]);
}

#[test]
fn all_keys_are_documented() {
    let all = plugins(&worker(), false);
    for plugin in all {
        for key in definitions(&plugin.class, &worker()).expect("it is listed") {
            assert!(!key.documentation.is_empty(), "{} of {}", key.name, plugin.class);
        }
    }
}
