//! What to do about a value of the wrong type, as far as it can be told.

use serde_json::{Map, Value as Json};

use super::super::tree::Node;
use super::words::{list_of, types_of};

pub(super) fn type_hint(node: &Node, schema: &Json) -> Option<String> {
    let types = types_of(schema);
    let takes = |name: &str| types.contains(&name);
    let scalar = node.as_scalar()?;
    if takes("array") && !takes("string") && !scalar.typed.is_null() {
        return Some(format!("write a list: [{}]", scalar.shown()));
    }
    if let (true, Some(properties)) = (takes("object"), schema["properties"].as_object()) {
        return Some(known_keys(properties));
    }
    match &scalar.typed {
        Json::Number(_) | Json::Bool(_) if takes("string") => {
            Some(format!("put it in quotes: \"{}\"", scalar.shown()))
        }
        Json::String(text) if takes("boolean") => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" => Some("write true without quotes".to_owned()),
            "no" | "off" | "false" => Some("write false without quotes".to_owned()),
            _ => None,
        },
        Json::String(text) if takes("integer") || takes("number") => {
            let is_number = text.parse::<f64>().is_ok();
            (is_number && !scalar.plain).then(|| "leave out the quotes".to_owned())
        }
        _ => None,
    }
}

pub(super) fn default_hint(schema: &Json) -> Option<String> {
    match schema.get("default")? {
        Json::Null | Json::Array(_) | Json::Object(_) => None,
        default => Some(format!("leave the key out for {default}")),
    }
}

pub(super) fn known_keys(properties: &Map<String, Json>) -> String {
    format!("known keys are {}", list_of(properties.keys().map(String::as_str)))
}

/// The first sentence of a schema's description, on one line and without its full stop.
pub(super) fn first_sentence(schema: &Json) -> Option<String> {
    let description = schema.get("description")?.as_str()?.replace('\n', " ");
    let end = description.find(". ").unwrap_or(description.len());
    let sentence = description[..end].trim().trim_end_matches('.');
    (!sentence.is_empty()).then(|| sentence.to_owned())
}
