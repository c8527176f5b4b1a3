//! The published schema and the reference say what the checker checks.

use headwater_engine::spec::{document_schema, reference_markdown};
use serde_json::json;

use crate::kinds;

#[test]
fn the_document_schema_describes_every_kind_and_setting() {
    let schema = document_schema(&kinds::registry());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["required"], json!(["pipeline", "sources", "sinks"]));
    assert_eq!(schema["properties"]["workers"]["anyOf"][0]["maximum"], 256);
    let sinks = &schema["properties"]["sinks"]["additionalProperties"]["oneOf"];
    assert_eq!(
        sinks,
        &json!([{ "$ref": "#/$defs/sink.kafka" }, { "$ref": "#/$defs/sink.discard" }])
    );
    let kafka = &schema["$defs"]["sink.kafka"];
    assert_eq!(kafka["properties"]["kind"], json!({ "const": "kafka" }));
    assert_eq!(kafka["required"], json!(["kind", "from", "topic"]));
    assert_eq!(kafka["additionalProperties"], false);
    assert!(schema["$defs"]["source.grpc"]["properties"].get("from").is_none());
}

#[test]
fn every_reference_of_the_document_schema_is_defined() {
    let schema = document_schema(&kinds::registry());
    let mut open = vec![&schema];
    let mut references = 0;
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(|reference| reference.as_str()) {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(schema.pointer(pointer).is_some(), "{reference}");
            references += 1;
        }
        open.extend(value.as_object().into_iter().flat_map(|object| object.values()));
        open.extend(value.as_array().into_iter().flatten());
    }
    assert!(references > 5, "{references}");
}

#[test]
fn the_reference_lists_every_key_with_type_default_and_meaning() {
    let reference = reference_markdown(&kinds::registry());
    for line in [
        "| `pipeline` | text | required |",
        "| `workers` | a whole number from 1 to 256 |",
        "| `commit.interval_ms` | a whole number from 1 to 60000 (milliseconds) | `50` |",
        "| `memory.credit_bytes` |",
        "### source `grpc`",
        "| `keepalive_ms` | a whole number of at least 1000 (milliseconds) | `30000` |",
        "| `tls.ca_file` | text | required | PEM file of the authorities to trust. |",
        "| `retry.mode` | one of \"fixed\", \"exponential\" | required | `fixed`: Always",
        "| required | With `mode: exponential`. The first wait, in milliseconds. |",
        "| `cursor` | a list (text or a map of keys each) |",
        "| `key` | \"none\" or a map of keys |",
        "### sink `discard`",
        "No keys of its own.",
    ] {
        assert!(reference.contains(line), "{line} is missing in\n{reference}");
    }
    assert!(reference.lines().filter(|line| line.contains("`retry.mode`")).count() == 1);
}
