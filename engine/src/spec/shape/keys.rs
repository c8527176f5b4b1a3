//! Keys that a map has too many or too few.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::super::diagnostic::Report;
use super::super::nearest::nearest;
use super::super::tree::Entry;
use super::flatten;
use super::hint::{first_sentence, known_keys};
use super::spot::Spot;
use super::walk::Walker;
use super::words::{expected, options_of, types_of};

impl Walker<'_> {
    /// Reports a key that does not exist and gives the one that was probably meant.
    pub(super) fn unknown_key(
        &self,
        entry: &Entry,
        properties: &Map<String, Json>,
        spot: &Spot,
        report: &mut Report,
    ) -> Option<String> {
        let message = format!("key {:?} is not known", spot.path_of(&entry.key));
        let finding = report.error(&entry.key_place(), message);
        if let Some(near) = nearest(&entry.key, properties.keys().map(String::as_str)) {
            finding.hint(format!("did you mean {:?}?", spot.path_of(near)));
            return Some(near.to_owned());
        }
        if let Some((outer, inner)) = self.same_key_inside(&entry.key, properties) {
            finding.hint(format!("write it inside {outer:?}: `{outer}: {{ {inner}: … }}`"));
        } else if properties.is_empty() {
            finding.hint(format!("{} takes no keys of its own", spot.name()));
        } else {
            finding.hint(known_keys(properties));
        }
        None
    }

    /// An equal key one level further in: `tls` and `ca_file` for `ca_file` or `tls.ca_file`.
    fn same_key_inside(
        &self,
        key: &str,
        properties: &Map<String, Json>,
    ) -> Option<(String, String)> {
        properties.iter().find_map(|(outer, schema)| {
            let schema = self.without_null(schema);
            let inner = schema["properties"].as_object()?;
            let is_same = |name: &&String| *name == key || format!("{outer}.{name}") == key;
            inner.keys().find(is_same).map(|name| (outer.clone(), name.clone()))
        })
    }

    pub(super) fn missing_key(&self, key: &str, schema: &Json, spot: &Spot, report: &mut Report) {
        let message = format!("key {:?} is missing", spot.path_of(key));
        let expected = expected(schema, key, self.definitions);
        let finding = report.error(&spot.key_place, message);
        finding.detail(format!("expected: {expected}"));
        if let Some(sentence) = first_sentence(schema) {
            finding.detail(format!("{key}: {sentence}"));
        }
    }

    /// The one other option of an optional value, or the types of all options of a choice.
    pub(super) fn union<'a>(&'a self, schema: &'a Json) -> Cow<'a, Json> {
        let inner = self.without_null(schema);
        let Some(options) = options_of(&inner) else {
            return inner;
        };
        let options = options.iter().map(|option| flatten(option, self.definitions));
        let types = options.flat_map(|option| {
            types_of(&option).into_iter().map(str::to_owned).collect::<Vec<String>>()
        });
        Cow::Owned(serde_json::json!({ "type": types.collect::<Vec<String>>() }))
    }

    /// The one other option of an optional value, else the schema itself.
    fn without_null<'a>(&'a self, schema: &'a Json) -> Cow<'a, Json> {
        let options = options_of(schema).into_iter().flatten();
        let mut others = options.filter(|option| option["type"] != "null");
        match (others.next(), others.next()) {
            (Some(one), None) => flatten(one, self.definitions),
            _ => flatten(schema, self.definitions),
        }
    }
}
