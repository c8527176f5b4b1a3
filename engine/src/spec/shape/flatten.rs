//! Resolves `$ref` and lays what stands beside it over what it points to.
//!
//! schemars writes a newtype variant of a tagged enum as the tag's property beside a `$ref` to
//! the variant's struct; laid over each other they are one plain object schema.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

/// The schema with its reference, if it has one, resolved.
pub(crate) fn flatten<'s>(schema: &'s Json, definitions: &'s Map<String, Json>) -> Cow<'s, Json> {
    let Some(reference) = schema.get("$ref").and_then(Json::as_str) else {
        return Cow::Borrowed(schema);
    };
    let name = reference.rsplit('/').next().unwrap_or_default();
    let target = definitions.get(name).expect("schemars defines every name it refers to");
    let target = flatten(target, definitions);
    let beside = schema.as_object().expect("a schema with a reference is an object");
    if beside.len() == 1 {
        return target;
    }
    let mut merged = target.into_owned();
    if let Some(object) = merged.as_object_mut() {
        for (keyword, value) in beside.iter().filter(|(keyword, _)| *keyword != "$ref") {
            lay_over(object, keyword, value);
        }
    }
    Cow::Owned(merged)
}

fn lay_over(object: &mut Map<String, Json>, keyword: &str, value: &Json) {
    match (keyword, object.get_mut(keyword), value) {
        ("properties", Some(Json::Object(base)), Json::Object(more)) => base.extend(more.clone()),
        ("required", Some(Json::Array(base)), Json::Array(more)) => base.extend(more.clone()),
        _ => {
            object.insert(keyword.to_owned(), value.clone());
        }
    }
}
