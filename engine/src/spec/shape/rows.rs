//! Lists the keys of a schema one by one, nested ones with dots, for the reference.

use serde_json::{Map, Value as Json};

use super::flatten;
use super::words::{expected, named_values, options_of};

/// Deeper keys of a type that holds itself would never end.
const NESTING_MAX: usize = 6;

/// One line of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: String,
    /// What it takes, in plain words.
    pub(crate) value: String,
    /// Its default, or `required`; empty if leaving it out has a meaning of its own.
    pub(crate) default: String,
    pub(crate) meaning: String,
}

/// The keys of an object schema in their order.
pub(crate) fn rows(schema: &Json, definitions: &Map<String, Json>) -> Vec<Row> {
    let mut lister = Lister {
        definitions,
        rows: Vec::new(),
    };
    lister.object(schema, "", &Json::Null, 0);
    lister.rows
}

struct Lister<'s> {
    definitions: &'s Map<String, Json>,
    rows: Vec<Row>,
}

impl Lister<'_> {
    /// Defaults of a nested key are taken from the default of the map it stands in, as that is
    /// what serde uses when the map is left out.
    fn object(&mut self, schema: &Json, prefix: &str, defaults: &Json, depth: usize) {
        let schema = flatten(schema, self.definitions).into_owned();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let key = format!("{prefix}{name}");
            let property = flatten(property, self.definitions).into_owned();
            let is_required = required.iter().any(|required| required == name);
            let inherited = defaults.get(name).unwrap_or(&Json::Null);
            let default = property.get("default").unwrap_or(inherited);
            self.push(&key, &property, default_words(default, is_required));
            let default = default.clone();
            self.nested(&property, &key, &default, depth + 1);
        }
    }

    fn push(&mut self, key: &str, schema: &Json, default: String) {
        let meaning = schema["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let value = expected(schema, key, self.definitions);
        // The options of a choice repeat the keys they share.
        let is_new = self.rows.iter().all(|row| row.key != key);
        if is_new {
            self.rows.push(Row {
                key: key.to_owned(),
                value,
                default,
                meaning,
            });
        }
    }

    fn nested(&mut self, schema: &Json, key: &str, default: &Json, depth: usize) {
        if depth > NESTING_MAX {
            return;
        }
        if let Some(options) = options_of(schema) {
            self.values(options, key);
            for option in options {
                let option = flatten(option, self.definitions).into_owned();
                self.nested(&option, key, default, depth);
            }
        } else if schema.get("properties").is_some() {
            self.object(schema, &format!("{key}."), default, depth);
        } else if let Some(items) = schema.get("items") {
            let items = flatten(items, self.definitions).into_owned();
            self.nested(&items, &format!("{key}[]"), &Json::Null, depth);
        }
    }

    /// Adds what the documented values of a choice mean to the choice's own line.
    fn values(&mut self, options: &[Json], key: &str) {
        let Some(row) = self.rows.iter_mut().find(|row| row.key == key) else {
            return;
        };
        for option in options {
            let names = named_values(option).unwrap_or_default();
            if let ([name], Some(meaning)) = (names.as_slice(), option["description"].as_str()) {
                row.meaning.push_str(&format!(" `{name}`: {meaning}"));
            }
        }
    }
}

fn default_words(default: &Json, is_required: bool) -> String {
    match default {
        _ if is_required => "required".to_owned(),
        Json::Null | Json::Object(_) => String::new(),
        Json::Array(items) if items.is_empty() => String::new(),
        Json::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
