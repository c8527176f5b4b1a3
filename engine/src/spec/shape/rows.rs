//! Lists the keys of a schema one by one, nested ones with dots, for the reference.

use serde_json::{Map, Value as Json};

use super::choice::{single_keys, tag_of};
use super::flatten;
use super::words::{expected, named_values, options_of, value_words};

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
    let mut lister = Lister { definitions, rows: Vec::new() };
    lister.object(schema, "", &Outer::default());
    lister.rows
}

struct Lister<'s> {
    definitions: &'s Map<String, Json>,
    rows: Vec<Row>,
}

/// What an object's keys take over from where it stands.
#[derive(Clone, Copy)]
struct Outer<'a> {
    defaults: &'a Json,
    depth: usize,
    /// Goes before the meaning of every key.
    note: &'a str,
    /// Only one of several keys is given, so none is required.
    is_alternative: bool,
}

impl Default for Outer<'_> {
    fn default() -> Self {
        Self { defaults: &Json::Null, depth: 0, note: "", is_alternative: false }
    }
}

impl Lister<'_> {
    /// Defaults of a nested key are taken from the default of the map it stands in, as that is
    /// what serde uses when the map is left out.
    fn object(&mut self, schema: &Json, prefix: &str, outer: &Outer<'_>) {
        let schema = flatten(schema, self.definitions).into_owned();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let key = format!("{prefix}{name}");
            let property = flatten(property, self.definitions).into_owned();
            let is_required = !outer.is_alternative && required.iter().any(|key| key == name);
            let inherited = outer.defaults.get(name).unwrap_or(&Json::Null);
            let default = property.get("default").unwrap_or(inherited);
            self.push(&key, &property, default_words(default, is_required), outer.note);
            self.nested(&property, &key, default, outer.depth + 1);
        }
    }

    fn push(&mut self, key: &str, schema: &Json, default: String, note: &str) {
        // The options of a choice repeat the keys they share.
        if self.rows.iter().any(|row| row.key == key) {
            return;
        }
        let meaning = schema["description"].as_str().unwrap_or_default();
        let meaning = format!("{note}{meaning}");
        let value = expected(schema, key, self.definitions);
        self.rows.push(Row { key: key.to_owned(), value, default, meaning });
    }

    fn nested(&mut self, schema: &Json, key: &str, default: &Json, depth: usize) {
        if depth > NESTING_MAX {
            return;
        }
        if let Some(options) = options_of(schema) {
            self.choice(options, key, default, depth);
        } else if schema.get("properties").is_some() {
            let outer = Outer { defaults: default, depth, ..Outer::default() };
            self.object(schema, &format!("{key}."), &outer);
        } else if let Some(items) = schema.get("items") {
            let items = flatten(items, self.definitions).into_owned();
            self.nested(&items, &format!("{key}[]"), &Json::Null, depth);
        } else if let Some(values) = schema.get("additionalProperties") {
            let values = flatten(values, self.definitions).into_owned();
            self.nested(&values, &format!("{key}.NAME"), &Json::Null, depth);
        }
    }

    fn choice(&mut self, options: &[Json], key: &str, default: &Json, depth: usize) {
        let all = options.iter().map(|option| flatten(option, self.definitions).into_owned());
        let options: Vec<Json> = all.filter(|option| option["type"] != "null").collect();
        let borrowed: Vec<&Json> = options.iter().collect();
        self.describe_values(&options, key);
        if let [only] = options.as_slice() {
            self.nested(only, key, default, depth);
        } else if let Some(tag) = tag_of(&borrowed) {
            self.tagged(&options, tag, key, depth);
        } else {
            let is_alternative = single_keys(&borrowed).is_some();
            for option in &options {
                if let Some(inner) = options_of(option) {
                    self.choice(inner, key, default, depth);
                    continue;
                }
                let outer = Outer { depth, is_alternative, ..Outer::default() };
                self.object(option, &format!("{key}."), &outer);
                if is_alternative {
                    self.explain(option, key);
                }
            }
        }
    }

    /// One line for the tag, then the keys of each option with the tag they belong to.
    fn tagged(&mut self, options: &[Json], tag: &str, key: &str, depth: usize) {
        let values = |option: &Json| named_values(&option["properties"][tag]).unwrap_or_default();
        let all: Vec<String> = options.iter().flat_map(values).collect();
        let key_of_tag = format!("{key}.{tag}");
        self.rows.push(Row {
            key: key_of_tag.clone(),
            value: value_words(&all),
            default: "required".to_owned(),
            meaning: String::new(),
        });
        for option in options {
            let name = values(option).concat();
            let note = format!("With `{tag}: {name}`. ");
            self.describe(&key_of_tag, &name, option);
            let outer = Outer { depth, note: &note, ..Outer::default() };
            self.object(option, &format!("{key}."), &outer);
        }
    }

    /// What is said of an option that is one key is said of that key.
    fn explain(&mut self, option: &Json, key: &str) {
        let name = option["properties"].as_object().and_then(|it| it.keys().next());
        let key = name.map(|name| format!("{key}.{name}"));
        let row = self.rows.iter_mut().find(|row| Some(&row.key) == key.as_ref());
        if let (Some(row), Some(meaning)) = (row, option["description"].as_str()) {
            row.meaning = meaning.to_owned();
        }
    }

    fn describe_values(&mut self, options: &[Json], key: &str) {
        for option in options {
            if let [name] = named_values(option).unwrap_or_default().as_slice() {
                self.describe(key, name, option);
            }
        }
    }

    /// Adds what one value of a key means to the key's own line.
    fn describe(&mut self, key: &str, name: &str, option: &Json) {
        let row = self.rows.iter_mut().find(|row| row.key == key);
        if let (Some(row), Some(meaning)) = (row, option["description"].as_str()) {
            row.meaning.push_str(&format!(" `{name}`: {meaning}"));
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
