//! Judges an answer by the recorded one, and tells every place where they differ.
//!
//! The order of an object's fields means nothing, that of a list does unless the case says
//! otherwise. A field that is absent differs from one that is null. Headers count by [`HEADERS`].
//!
//! Two freedoms: a worker that stumbled (`or_refusal`) need not be imitated in that; and an error
//! that the worker sent without a type may be sent as `application/json`, which it is.

use std::fmt;

use serde_json::{Map, Value};

use crate::case::{Answer, Call, HEADERS};
use crate::placeholder::fits;

/// One place in an answer where it is another one than the recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// `status`, `header NAME` or `body` with a JSON pointer.
    pub place: String,
    pub expected: Option<Value>,
    pub actual: Option<Value>,
}

/// Compares bodies; findings are collected, so that all are told at once.
struct Comparison<'a> {
    unordered: Vec<Vec<&'a str>>,
    /// Where we are: the steps of a JSON pointer.
    at: Vec<String>,
    findings: Vec<Finding>,
}

/// No longer text of a value is told; the whole of it is in the case.
const TOLD_MAX: usize = 600;

/// All differences between what a case expects of a call and an answer. Both have been filled with
/// what the player gives.
pub fn compare(call: &Call, expected: &Answer, actual: &Answer) -> Vec<Finding> {
    if call.or_refusal && is_refusal(actual) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if expected.status != actual.status {
        let (expected, actual) = (expected.status.into(), actual.status.into());
        findings.push(Finding::new("status", Some(expected), Some(actual)));
    }
    findings.extend(HEADERS.iter().filter_map(|name| header(name, expected, actual)));
    let text = |answer: &Answer| answer.text.clone().map(Value::from);
    let body =
        |answer: &Answer| answer.body.as_ref().map(|it| looked_at(call, it)).or(text(answer));
    match (body(expected), body(actual)) {
        (Some(expected), Some(actual)) => {
            findings.extend(compare_bodies(&expected, &actual, &call.unordered));
        }
        (None, None) => {}
        (expected, actual) => findings.push(Finding::new("body", expected, actual)),
    }
    findings
}

/// As [`compare`], for bodies alone.
pub fn compare_bodies(expected: &Value, actual: &Value, unordered: &[String]) -> Vec<Finding> {
    let unordered = unordered.iter().map(|it| it.split('/').skip(1).collect()).collect();
    let mut comparison = Comparison { unordered, at: Vec::new(), findings: Vec::new() };
    comparison.value(expected, actual);
    comparison.findings
}

/// The part of a body that a call is about.
pub fn looked_at(call: &Call, body: &Value) -> Value {
    let mut body = body.clone();
    if let (Some(fields), false) = (body.as_object_mut(), call.only.is_empty()) {
        fields.retain(|key, _| call.only.contains(key));
    }
    if let (Some(Value::Array(configs)), true) = (body.get_mut("configs"), call.only_errors) {
        let has_errors =
            |it: &Value| it["value"]["errors"].as_array().is_some_and(|it| !it.is_empty());
        configs.retain(has_errors);
        for fields in configs.iter_mut().filter_map(Value::as_object_mut) {
            fields.remove("definition");
        }
    }
    body
}

/// 4xx with a body as Connect's errors have it.
fn is_refusal(answer: &Answer) -> bool {
    let status = answer.status;
    let body = answer.body.as_ref();
    (400..500).contains(&status)
        && body.is_some_and(|it| it["error_code"] == status && it["message"].as_str().is_some())
}

fn header(name: &str, expected: &Answer, actual: &Answer) -> Option<Finding> {
    let (expected, actual) = (expected.headers.get(name), actual.headers.get(name));
    let is_same = match (expected, actual) {
        (Some(expected), Some(actual)) if name == "allow" => methods(expected) == methods(actual),
        (Some(expected), Some(actual)) => fits(expected, &Value::from(actual.as_str())),
        (None, Some(actual)) => name == "content-type" && actual == "application/json",
        (expected, actual) => expected.is_none() && actual.is_none(),
    };
    let value = |it: Option<&String>| it.map(|it| Value::from(it.as_str()));
    let place = format!("header {name}");
    (!is_same).then(|| Finding::new(&place, value(expected), value(actual)))
}

fn methods(list: &str) -> Vec<&str> {
    let mut methods: Vec<&str> = list.split(',').map(str::trim).collect();
    methods.sort_unstable();
    methods
}

impl Comparison<'_> {
    fn value(&mut self, expected: &Value, actual: &Value) {
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => self.object(expected, actual),
            (Value::Array(expected), Value::Array(actual)) if self.is_unordered() => {
                self.set(expected, actual);
            }
            (Value::Array(expected), Value::Array(actual)) => self.list(expected, actual),
            (Value::String(expected), actual) if fits(expected, actual) => {}
            (expected, actual) if expected == actual => {}
            (expected, actual) => self.found(Some(expected), Some(actual)),
        }
    }

    fn object(&mut self, expected: &Map<String, Value>, actual: &Map<String, Value>) {
        for (key, value) in expected {
            self.step(key, Some(value), actual.get(key));
        }
        for (key, value) in actual.iter().filter(|(key, _)| !expected.contains_key(*key)) {
            self.step(key, None, Some(value));
        }
    }

    fn list(&mut self, expected: &[Value], actual: &[Value]) {
        for index in 0..expected.len().max(actual.len()) {
            self.step(&index.to_string(), expected.get(index), actual.get(index));
        }
    }

    /// Each expected element takes the first that fits it; what is left over is told.
    fn set(&mut self, expected: &[Value], actual: &[Value]) {
        let mut left: Vec<(usize, &Value)> = actual.iter().enumerate().collect();
        let mut missed = Vec::new();
        for (index, value) in expected.iter().enumerate() {
            match left.iter().position(|(_, it)| self.is_same(index, value, it)) {
                Some(place) => drop(left.remove(place)),
                None => missed.push((index, value)),
            }
        }
        // Two of one name are most likely the same with a difference inside.
        for (index, value) in missed {
            let named =
                left.iter().position(|(_, it)| name(it).is_some() && name(it) == name(value));
            let actual = named.map(|place| left.remove(place).1);
            self.step(&index.to_string(), Some(value), actual);
        }
        for (index, value) in left {
            self.step(&index.to_string(), None, Some(value));
        }
    }

    fn is_same(&self, index: usize, expected: &Value, actual: &Value) -> bool {
        let (unordered, mut at) = (self.unordered.clone(), self.at.clone());
        at.push(index.to_string());
        let mut inner = Comparison { unordered, at, findings: Vec::new() };
        inner.value(expected, actual);
        inner.findings.is_empty()
    }

    fn step(&mut self, step: &str, expected: Option<&Value>, actual: Option<&Value>) {
        self.at.push(step.to_owned());
        match (expected, actual) {
            (Some(expected), Some(actual)) => self.value(expected, actual),
            (expected, actual) => self.found(expected, actual),
        }
        self.at.pop();
    }

    fn is_unordered(&self) -> bool {
        self.unordered.iter().any(|steps| {
            let fits = |(step, at): (&&str, &String)| *step == "*" || *step == at.as_str();
            steps.len() == self.at.len() && steps.iter().zip(&self.at).all(fits)
        })
    }

    fn found(&mut self, expected: Option<&Value>, actual: Option<&Value>) {
        let steps =
            self.at.iter().map(|it| format!("/{}", it.replace('~', "~0").replace('/', "~1")));
        let place = format!("body {}", steps.collect::<String>());
        self.findings.push(Finding::new(place.trim_end(), expected.cloned(), actual.cloned()));
    }
}

/// What an element of a list is called: its own name, or that of what it holds.
fn name(value: &Value) -> Option<&str> {
    let own = value.get("name").or_else(|| value.get("class"));
    own.or_else(|| value.get("definition")?.get("name"))?.as_str()
}

impl Finding {
    fn new(place: &str, expected: Option<Value>, actual: Option<Value>) -> Finding {
        Finding { place: place.to_owned(), expected, actual }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "  {}", self.place)?;
        writeln!(out, "    - {}", told(self.expected.as_ref()))?;
        write!(out, "    + {}", told(self.actual.as_ref()))
    }
}

fn told(value: Option<&Value>) -> String {
    let Some(value) = value else { return "(absent)".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(TOLD_MAX) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
