//! Says in plain words what a schema expects.

use serde_json::{Map, Value as Json};

use super::super::limits::LISTED_MAX;
use super::super::tree::{Node, Value};
use super::flatten;

/// The least and the greatest number a schema takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) least: Option<f64>,
    pub(super) greatest: Option<f64>,
}

impl Bounds {
    /// Takes the width of Rust's integers from `format`, where schemars leaves a bound to it.
    pub(super) fn of(schema: &Json) -> Self {
        let bound = |keyword: &str| schema.get(keyword).and_then(Json::as_f64);
        let step = if schema["type"] == "integer" { 1.0 } else { 0.0 };
        let least = bound("minimum").or(bound("exclusiveMinimum").map(|least| least + step));
        let greatest = bound("maximum").or(bound("exclusiveMaximum").map(|bound| bound - step));
        let width = match schema.get("format").and_then(Json::as_str) {
            Some("uint32") => Some((0.0, f64::from(u32::MAX))),
            Some("int32") => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
            Some("uint64" | "uint") => Some((0.0, u64::MAX as f64)),
            _ => None,
        };
        Self {
            least: least.or(width.map(|(least, _)| least)),
            greatest: greatest.or(width.map(|(_, greatest)| greatest)),
        }
    }

    /// The number between the bounds that is nearest to zero.
    pub(super) fn nearest_to_zero(self) -> f64 {
        let least = self.least.map_or(0.0, |least| least.max(0.0));
        self.greatest.map_or(least, |greatest| least.min(greatest))
    }

    /// A bound that only a type's width sets is not worth telling.
    fn told(self) -> Self {
        let greatest = self.greatest.filter(|greatest| *greatest < u64::MAX as f64);
        Self { greatest, ..self }
    }
}

/// What a schema without any demand expects.
const ANYTHING: &str = "a value";

/// What a value of the schema is, for example `a whole number from 1 to 60000 (milliseconds)`.
pub(crate) fn expected(schema: &Json, key: &str, definitions: &Map<String, Json>) -> String {
    let schema = flatten(schema, definitions);
    if let Some(options) = options_of(&schema) {
        return choice_words(options, key, definitions);
    }
    if let Some(values) = named_values(&schema) {
        return value_words(&values);
    }
    let types = types_of(&schema).into_iter().filter(|name| *name != "null");
    let words: Vec<String> =
        types.map(|name| type_words(name, &schema, key, definitions)).collect();
    if words.is_empty() { ANYTHING.to_owned() } else { words.join(" or ") }
}

/// Named values first, then what else there is to choose from.
fn choice_words(options: &[Json], key: &str, definitions: &Map<String, Json>) -> String {
    let options: Vec<_> = options.iter().map(|option| flatten(option, definitions)).collect();
    let named: Vec<String> = options.iter().filter_map(|o| named_values(o)).flatten().collect();
    let mut words = Vec::new();
    if !named.is_empty() {
        words.push(value_words(&named));
    }
    for option in options.iter().filter(|option| named_values(option).is_none()) {
        let word = expected(option, key, definitions);
        if option["type"] != "null" && !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" or ")
}

pub(super) fn value_words(values: &[String]) -> String {
    one_of(values.iter().map(String::as_str))
}

/// Names what there is to choose from.
pub(crate) fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [only] => format!("{only:?}"),
        _ => format!("one of {}", list_of(names.into_iter())),
    }
}

fn type_words(name: &str, schema: &Json, key: &str, definitions: &Map<String, Json>) -> String {
    let inner = |keyword: &str| {
        let inner = schema.get(keyword).filter(|inner| inner.is_object())?;
        Some(expected(inner, key, definitions)).filter(|words| words != ANYTHING)
    };
    match name {
        "integer" => format!("a whole number{}{}", range_words(schema), unit_words(key)),
        "number" => format!("a number{}{}", range_words(schema), unit_words(key)),
        "string" => text_words(schema["minLength"].as_u64(), schema["maxLength"].as_u64()),
        "boolean" => "true or false".to_owned(),
        "array" => match inner("items") {
            Some(item) => format!("a list ({item} each)"),
            None => "a list".to_owned(),
        },
        "object" => match inner("additionalProperties") {
            Some(value) => format!("a map of keys ({value} each)"),
            None => "a map of keys".to_owned(),
        },
        other => other.to_owned(),
    }
}

fn text_words(least: Option<u64>, greatest: Option<u64>) -> String {
    match (least.filter(|least| *least > 0), greatest) {
        (Some(1), None) => "text that is not empty".to_owned(),
        (Some(least), None) => format!("text of at least {least} characters"),
        (Some(least), Some(greatest)) => format!("text of {least} to {greatest} characters"),
        (None, Some(greatest)) => format!("text of at most {greatest} characters"),
        (None, None) => "text".to_owned(),
    }
}

fn range_words(schema: &Json) -> String {
    let Bounds { least, greatest } = Bounds::of(schema).told();
    match (least, greatest) {
        (Some(least), Some(greatest)) => format!(" from {least} to {greatest}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(greatest)) => format!(" of at most {greatest}"),
        (None, None) => String::new(),
    }
}

/// Keys carry their unit last, or before the bound they name (`epoch_bytes_max`).
fn unit_words(key: &str) -> &'static str {
    let name = key.trim_end_matches("_max").trim_end_matches("_min");
    let unit = name.rsplit(['_', '.']).next().unwrap_or_default();
    match unit {
        "ms" => " (milliseconds)",
        "s" | "seconds" => " (seconds)",
        "bytes" => " (bytes)",
        _ => "",
    }
}

/// What stands in the file; of an interpolated value only its `${…}` and its kind of value.
pub(super) fn found(node: &Node) -> String {
    let scalar = match &node.value {
        Value::List(_) => return "a list".to_owned(),
        Value::Map(_) => return "a map of keys".to_owned(),
        Value::StandIn(_) => return "a value reported before".to_owned(),
        Value::Scalar(scalar) => scalar,
    };
    let what = match &scalar.typed {
        Json::Null => return "nothing".to_owned(),
        Json::Number(_) => "the number",
        Json::Bool(_) => "the truth value",
        _ => "the text",
    };
    if scalar.written.is_some() {
        return format!("{what} that {} stands for", short(scalar.shown()));
    }
    match &scalar.typed {
        Json::String(text) => format!("{what} {:?}", short(text)),
        _ => format!("{what} {}", short(&scalar.text)),
    }
}

/// Quotes names, and says how many were left out of a long list.
pub(crate) fn list_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    let shown = names.len().min(LISTED_MAX);
    let mut text = names[..shown].join(", ");
    if names.len() > shown {
        text.push_str(&format!(" and {} more", names.len() - shown));
    }
    text
}

fn short(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The options of a schema that is a choice.
pub(crate) fn options_of(schema: &Json) -> Option<&Vec<Json>> {
    schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array)
}

/// The texts a schema takes, if it takes only some.
pub(crate) fn named_values(schema: &Json) -> Option<Vec<String>> {
    let text = |value: &Json| value.as_str().map(str::to_owned);
    if let Some(value) = schema.get("const") {
        return text(value).map(|value| vec![value]);
    }
    let values = schema.get("enum")?.as_array()?;
    Some(values.iter().filter_map(text).collect())
}

/// The types a schema takes by JSON Schema's names; none means any.
pub(crate) fn types_of(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

/// How many items a list, or keys a map, may have.
pub(super) fn count_words(least: Option<u64>, greatest: Option<u64>) -> String {
    match (least, greatest) {
        (Some(least), Some(greatest)) if least == greatest => format!("{least}"),
        (Some(least), Some(greatest)) => format!("{least} to {greatest}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(greatest)) => format!("at most {greatest}"),
        (None, None) => "any number of".to_owned(),
    }
}
