//! What requests bring: JSON whose values are texts.
//!
//! Kafka Connect answers what it cannot read with 500 and words of its JSON library; here it is 400
//! with where and why.

use crate::serve::api::answer::Problem;
use crate::serve::entry::Object;
use serde_json::Value as Json;

/// A body that is a JSON object.
pub(super) fn object(body: &[u8]) -> Result<Object, Problem> {
    if body.is_empty() {
        return Err(Problem::bad("the body is empty: a JSON object is expected"));
    }
    let json = serde_json::from_slice::<Json>(body);
    let json = json.map_err(|error| Problem::bad(format!("the body is no JSON: {error}")))?;
    into_object(json, "the body")
}

/// A value that is an object.
pub(super) fn into_object(json: Json, what: &str) -> Result<Object, Problem> {
    match json {
        Json::Object(object) => Ok(object),
        other => {
            Err(Problem::bad(format!("{what} is {}: a JSON object is expected", kind(&other))))
        }
    }
}

/// An object whose values are texts: numbers and booleans are taken as their text, null stays.
pub(super) fn texts(object: Object, what: &str) -> Result<Object, Problem> {
    let pair = |(key, value): (String, Json)| {
        let value = text(value, &key)?;
        Ok((key, value.map_or(Json::Null, Json::String)))
    };
    let texts = object.into_iter().map(pair).collect::<Result<Object, String>>();
    texts.map_err(|why| Problem::bad(format!("{what}: {why}")))
}

/// The text of a value; none if it is null.
pub(super) fn text(value: Json, name: &str) -> Result<Option<String>, String> {
    match value {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text)),
        Json::Bool(_) | Json::Number(_) => Ok(Some(value.to_string())),
        Json::Array(_) | Json::Object(_) => {
            Err(format!("`{name}` is {}: a text is expected", kind(&value)))
        }
    }
}

/// Refuses fields that are none of these.
pub(super) fn demand_fields(object: &Object, known: &[&str], what: &str) -> Result<(), Problem> {
    let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) else {
        return Ok(());
    };
    let known = known.join(", ");
    Err(Problem::bad(format!("{what} has no field `{unknown}`: its fields are {known}")))
}

/// What a value is, for people.
pub(super) fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_texts() {
        let object = object(br#"{"a": 1.5, "b": true, "c": "d", "e": null}"#).unwrap();
        let texts = texts(object, "it").unwrap();
        assert_eq!(Json::from(texts).to_string(), r#"{"a":"1.5","b":"true","c":"d","e":null}"#);
    }

    #[test]
    fn what_is_no_object_of_texts_is_refused() {
        let deep = "[".repeat(100_000);
        for wrong in ["", "null", "[]", "1", "{", r#"{"a":1} x"#, "\0", &deep, "\u{feff}{}"] {
            assert!(object(wrong.as_bytes()).is_err(), "{wrong:.20}");
        }
        assert!(object(b"\xff\xfe").is_err());
        for wrong in [r#"{"a":{}}"#, r#"{"a":["b"]}"#] {
            assert!(texts(object(wrong.as_bytes()).unwrap(), "it").is_err());
        }
    }
}
