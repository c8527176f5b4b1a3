//! `{{name}}` in a case stands for what is another one on each machine or in each run.
//!
//! There are two kinds. What the player gives ([`Given`]) it puts into requests, and expects in the
//! answers. What the server finds ([`FOUND`]) must only look as told here.
//!
//! [`scrub`] is the way back, for recording: it puts placeholders where the values stood.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

/// Where a version stands in what is told of a key `….plugin.version`.
const VERSION_FIELDS: [&str; 3] = ["default_value", "value", "recommended_values"];

/// A value that a server finds for itself.
pub struct Found {
    pub name: &'static str,
    /// What its text has to look like; a number is looked at as text.
    pattern: &'static str,
    /// A number in JSON, and no text.
    is_number: bool,
    /// Something that fits, for tests.
    pub sample: &'static str,
}

/// A value that the player gives: name and value.
pub type Given = (&'static str, String);

/// All of the first kind; `tests/cases/connect/README.md` says what they mean.
pub static FOUND: [Found; 13] = [
    text("worker_id", r"[^\s:/]+:[0-9]{1,5}", "10.1.2.3:8083"),
    text("kafka_cluster_id", r"[A-Za-z0-9_-]+", "MkU3OEVBNTcwNTJENDM2Qg"),
    text("version", r"[0-9]+(\.[0-9]+)+.*", "4.1.0"),
    text("commit", r"[0-9a-zA-Z]+", "13f70256db3c994c"),
    text("trace", r"(?s).+", "a.b.SomeException: what\n\tat a.b.C(D.java:1)\n"),
    text("documentation", r"(?s).+", "What the key means."),
    text("session_id", r"[^\s]+", "2f9a9e5e-5b9f-4a39-b2a5-0d1c8c1a4f52"),
    text("java", r"(?s).+", "Cannot invoke \"a.b.C.d()\" because \"e\" is null"),
    text("config", r".+", "name=x, tasks.max=1"),
    text("plugins", r".+", "PluginDesc{klass=class a.B}"),
    text("html", r"(?s)<html>.*", "<html><body>Bad Request</body></html>"),
    number("sequence", "42"),
    number("timestamp", "1700000000000"),
];

/// Words of an answer that no other server, or no other run, can say.
const WORDS: [(&str, &str); 5] = [
    // The virtual machine's own words, and its library's.
    (r#"(?s)Cannot invoke ".*"#, "{{java}}"),
    ("(?s)Invalid regex: .*", "Invalid regex: {{java}}"),
    // The page of an HTTP server, with its name and version.
    ("(?s)^<html>.*", "{{html}}"),
    // In the order of a hash.
    (r"Connector config \{.+\} contains", "Connector config {{{config}}} contains"),
    ("available connectors are: .*", "available connectors are: {{plugins}}"),
];

const fn text(name: &'static str, pattern: &'static str, sample: &'static str) -> Found {
    Found { name, pattern, is_number: false, sample }
}

const fn number(name: &'static str, sample: &'static str) -> Found {
    Found { name, pattern: "[0-9]+", is_number: true, sample }
}

/// Fields whose text is a placeholder by their key alone.
const BY_KEY: [(&str, &str); 7] = [
    ("worker_id", "worker_id"),
    ("kafka_cluster_id", "kafka_cluster_id"),
    ("version", "version"),
    ("commit", "commit"),
    ("trace", "trace"),
    ("documentation", "documentation"),
    ("session_id", "session_id"),
];
/// The same for numbers.
const NUMBER_BY_KEY: [(&str, &str); 2] = [("sequence", "sequence"), ("last_modified", "timestamp")];

/// Whether a value is what a text with placeholders of the second kind says.
pub fn fits(expected: &str, actual: &Value) -> bool {
    if actual.as_str().is_some_and(|it| it == expected) {
        return true;
    }
    match (expected.contains("{{"), whole(expected)) {
        (false, _) => false,
        (true, Some(found)) if found.is_number => {
            actual.is_number() && is_like(found, &actual.to_string())
        }
        (true, Some(found)) => actual.as_str().is_some_and(|it| is_like(found, it)),
        (true, None) => actual.as_str().is_some_and(|it| matches(&pattern(expected), it)),
    }
}

/// The text with what the player gives.
pub fn fill(text: &str, given: &[Given]) -> String {
    given.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&mark(name), value))
}

/// As [`fill`], for all texts and keys of a value.
pub fn fill_all(value: &Value, given: &[Given]) -> Value {
    map(value, &|text| Value::from(fill(text, given)))
}

/// The value with samples for what a server finds.
pub fn sample_all(value: &Value) -> Value {
    map(value, &|text| match whole(text).filter(|it| it.is_number) {
        Some(found) => serde_json::from_str(found.sample).expect("a sample number is one"),
        None => Value::from(
            FOUND
                .iter()
                .fold(text.to_owned(), |text, found| text.replace(&mark(found.name), found.sample)),
        ),
    })
}

/// The names of all placeholders in a text.
pub fn names(text: &str) -> Vec<String> {
    let mark = Regex::new(r"\{\{([a-z0-9_]+)\}\}").expect("the expression is sound");
    mark.captures_iter(text).map(|it| it[1].to_owned()).collect()
}

/// The value with placeholders where the values stood.
pub fn scrub(value: &Value, given: &[Given]) -> Value {
    match value {
        Value::Object(fields) => scrub_fields(fields, given),
        Value::Array(items) => items.iter().map(|it| scrub(it, given)).collect(),
        Value::String(text) => scrub_text(text, given).into(),
        other => other.clone(),
    }
}

/// The text with the names of what the player gave; a port is one only where it stands alone or
/// behind a host.
pub fn scrub_text(text: &str, given: &[Given]) -> String {
    let text = WORDS.iter().fold(text.to_owned(), |text, (expression, replacement)| {
        let expression = Regex::new(expression).expect("the expression is sound");
        expression.replace(&text, *replacement).into_owned()
    });
    given.iter().fold(text, |text, (name, value)| {
        let is_port = value.len() < 6;
        match is_port {
            _ if text == *value => mark(name),
            true => {
                let host = "127.0.0.1:";
                text.replace(&format!("{host}{value}"), &format!("{host}{}", mark(name)))
            }
            false => text.replace(value, &mark(name)),
        }
    })
}

fn scrub_fields(fields: &Map<String, Value>, given: &[Given]) -> Value {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_version = text("name").ends_with("plugin.version");
    // An offset that a case has set itself is told as it is.
    let is_set = fields.contains_key("session_id") && !is_uuid(text("session_id"));
    let one = |(key, value): (&String, &Value)| {
        let scrubbed = match key.as_str() {
            "session_id" | "sequence" if is_set => value.clone(),
            key if is_version && VERSION_FIELDS.contains(&key) => map(value, &version),
            key => scrub_field(key, value, given),
        };
        (key.clone(), scrubbed)
    };
    Value::Object(fields.iter().map(one).collect())
}

fn scrub_field(key: &str, value: &Value, given: &[Given]) -> Value {
    let known = |table: &[(&str, &'static str)]| {
        table.iter().find(|(it, _)| *it == key).map(|(_, name)| Value::from(mark(name)))
    };
    let replaced = match value {
        Value::String(_) => known(&BY_KEY),
        Value::Number(_) => known(&NUMBER_BY_KEY),
        _ => None,
    };
    replaced.unwrap_or_else(|| scrub(value, given))
}

/// A version that a worker knows; what a case has made up is told as it is.
fn version(text: &str) -> Value {
    let found = whole("{{version}}").expect("there is one for versions");
    if is_like(found, text) { mark("version").into() } else { text.into() }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|it| it == '-' || it.is_ascii_hexdigit())
}

/// The placeholder of the second kind that is all of a text.
fn whole(text: &str) -> Option<&'static Found> {
    FOUND.iter().find(|it| mark(it.name) == text)
}

/// Texts with placeholders as an expression.
fn pattern(expected: &str) -> String {
    let escaped = regex::escape(expected);
    FOUND.iter().filter(|it| !it.is_number).fold(escaped, |text, found| {
        text.replace(&regex::escape(&mark(found.name)), &format!("(?:{})", found.pattern))
    })
}

fn matches(pattern: &str, text: &str) -> bool {
    expression(pattern).is_match(text)
}

fn is_like(found: &Found, text: &str) -> bool {
    static ALL: LazyLock<Vec<Regex>> =
        LazyLock::new(|| FOUND.iter().map(|it| expression(it.pattern)).collect());
    let place = FOUND.iter().position(|it| it.name == found.name).expect("it is one of them");
    ALL[place].is_match(text)
}

/// Of a text as a whole.
fn expression(pattern: &str) -> Regex {
    Regex::new(&format!("^(?:{pattern})$")).expect("a pattern is an expression")
}

fn mark(name: &str) -> String {
    format!("{{{{{name}}}}}")
}

fn map(value: &Value, change: &impl Fn(&str) -> Value) -> Value {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter().map(|it| map(it, change)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), map(value, change)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_sample_fits_its_placeholder_and_nothing_else_does() {
        for found in &FOUND {
            let expected = Value::from(mark(found.name));
            assert!(fits(&mark(found.name), &sample_all(&expected)), "{}", found.name);
            assert!(!fits(&mark(found.name), &Value::Null), "{}", found.name);
            assert!(!fits(&mark(found.name), &json!("")), "{}", found.name);
        }
        assert!(!fits("{{sequence}}", &json!("42")), "a number in quotes is none");
        assert!(!fits("{{worker_id}}", &json!("127.0.0.1")), "without a port");
    }

    #[test]
    fn a_placeholder_within_a_text_leaves_the_rest_as_it_is() {
        let expected = "worker {{worker_id}} is (gone).";
        assert!(fits(expected, &json!("worker a:1 is (gone).")));
        assert!(!fits(expected, &json!("worker a:1 is (gone)!")));
        assert!(!fits(expected, &json!("a worker a:1 is (gone).")));
    }

    #[test]
    fn what_is_scrubbed_is_filled_again() {
        let given = [("folder", "/tmp/abc".to_owned()), ("grpc_port", "4711".to_owned())];
        let value = json!({
            "path": "/tmp/abc/x.desc", "port": "4711", "at": "127.0.0.1:4711", "other": "14711x"
        });
        let scrubbed = scrub(&value, &given);
        assert_eq!(
            scrubbed,
            json!({"path": "{{folder}}/x.desc", "port": "{{grpc_port}}",
                   "at": "127.0.0.1:{{grpc_port}}", "other": "14711x"})
        );
        assert_eq!(fill_all(&scrubbed, &given), value);
    }

    #[test]
    fn an_offset_that_was_set_is_kept() {
        let set = json!({"session_id": "mine", "sequence": 7});
        assert_eq!(scrub(&set, &[]), set);
        let found = json!({"session_id": FOUND[6].sample, "sequence": 7});
        let expected = json!({"session_id": "{{session_id}}", "sequence": "{{sequence}}"});
        assert_eq!(scrub(&found, &[]), expected);
    }

    #[test]
    fn what_differs_from_run_to_run_is_scrubbed_by_its_key() {
        let value = json!({"worker_id": "a:1", "trace": "x", "sequence": 7, "last_modified": null,
            "message": "oh: Cannot invoke \"a.b()\" because\nof c",
            "name": "key.converter.plugin.version", "recommended_values": ["4.1.0"], "value": "none"});
        assert_eq!(
            scrub(&value, &[]),
            json!({"worker_id": "{{worker_id}}", "trace": "{{trace}}", "sequence": "{{sequence}}",
                "last_modified": null, "message": "oh: {{java}}", "name": "key.converter.plugin.version",
                "recommended_values": ["{{version}}"], "value": "none"})
        );
    }
}
