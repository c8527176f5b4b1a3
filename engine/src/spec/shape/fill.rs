//! What stands in for a value that was reported.
//!
//! Invariant: a stand-in fits its schema, so that serde reads a mended tree like a sound one.
//! It is the default where there is one, else the least value: whoever forgets to ask whether a
//! value is known meets the most ordinary one.

use serde_json::{Map, Value as Json, json};

use super::super::tree::{Node, Value};
use super::flatten;
use super::walk::Walker;
use super::words::{Bounds, named_values, options_of, types_of};

impl Walker<'_> {
    /// Puts a stand-in where a reported value stands.
    pub(super) fn mend(&self, node: &mut Node, schema: &Json) {
        node.value = Value::StandIn(self.fill(schema));
    }

    /// A value that fits a schema.
    pub(super) fn fill(&self, schema: &Json) -> Json {
        let schema = &*flatten(schema, self.definitions);
        if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
            return default.clone();
        }
        if let Some(value) = named_values(schema).and_then(|values| values.into_iter().next()) {
            return Json::String(value);
        }
        if let Some(options) = options_of(schema) {
            let option = options.iter().find(|option| option["type"] != "null");
            return option.map_or(Json::Null, |option| self.fill(option));
        }
        let least = |keyword: &str| schema[keyword].as_u64().unwrap_or(0) as usize;
        match types_of(schema).into_iter().find(|name| *name != "null") {
            Some("object") => self.fill_map(schema),
            Some("array") => vec![self.fill(&schema["items"]); least("minItems")].into(),
            Some("string") => "x".repeat(least("minLength")).into(),
            Some("boolean") => false.into(),
            Some("integer") => json!(Bounds::of(schema).nearest_to_zero() as i64),
            Some("number") => json!(Bounds::of(schema).nearest_to_zero()),
            _ => Json::Null,
        }
    }

    fn fill_map(&self, schema: &Json) -> Json {
        let required = schema["required"].as_array().into_iter().flatten();
        let keys = required.filter_map(Json::as_str);
        let pairs = keys.map(|key| (key.to_owned(), self.fill(&schema["properties"][key])));
        Json::Object(pairs.collect::<Map<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_the_default_or_the_least_value_that_fits() {
        let definitions = Map::new();
        let walker = Walker::new(&definitions);
        let cases = [
            (json!({ "type": "integer", "default": 7, "minimum": 1 }), json!(7)),
            (json!({ "type": "integer", "minimum": 3 }), json!(3)),
            (json!({ "type": "integer", "maximum": -2 }), json!(-2)),
            (json!({ "type": ["integer", "null"], "default": null, "minimum": 1 }), json!(1)),
            (json!({ "type": "string", "minLength": 2 }), json!("xx")),
            (json!({ "enum": ["a", "b"] }), json!("a")),
            (json!({ "anyOf": [{ "type": "null" }, { "const": "c" }] }), json!("c")),
            (json!({ "type": "array", "items": { "type": "boolean" } }), json!([])),
            (json!({ "type": "array", "items": { "const": "i" }, "minItems": 1 }), json!(["i"])),
            (json!(true), Json::Null),
            (
                json!({
                    "type": "object",
                    "properties": { "a": { "type": "string" }, "b": { "type": "string" } },
                    "required": ["a"],
                }),
                json!({ "a": "" }),
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(walker.fill(&schema), expected, "{schema}");
        }
    }
}
