//! Keys that a map has too many or too few.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::super::diagnostic::Report;
use super::super::nearest::nearest;
use super::super::tree::{Entry, Node, Value};
use super::flatten;
use super::hint::{first_sentence, known_keys};
use super::spot::Spot;
use super::walk::Walker;
use super::words::{expected, options_of, types_of};

/// What an unknown key was probably meant to be.
enum Meant {
    /// This key.
    Key(String),
    /// A key inside this one.
    Inside(String),
    Nothing,
}

impl Walker<'_> {
    /// Reports keys that do not exist. Each gets the name of the key that was probably meant, if
    /// that one is not given as well, and is left out otherwise.
    pub(super) fn check_keys(
        &self,
        entries: &mut Vec<Entry>,
        properties: &Map<String, Json>,
        spot: &Spot,
        report: &mut Report,
    ) {
        let is_known = |entry: &Entry| properties.contains_key(&entry.key);
        let (mut known, unknown): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(entries).into_iter().partition(is_known);
        for mut entry in unknown {
            let is_free = |known: &[Entry], key: &str| known.iter().all(|entry| entry.key != key);
            match self.unknown_key(&entry, properties, spot, report) {
                Meant::Key(key) if is_free(&known, &key) => {
                    entry.key.clone_from(&key);
                    self.check_meant(&mut entry, &properties[&key], spot, report);
                    known.push(entry);
                }
                Meant::Inside(outer) if is_free(&known, &outer) => {
                    known.push(self.absent(&outer, &properties[&outer], spot));
                }
                Meant::Key(_) | Meant::Inside(_) | Meant::Nothing => {}
            }
        }
        *entries = known;
    }

    /// A value of another type speaks against the guess, so nothing is said of it.
    pub(super) fn check_meant(
        &self,
        entry: &mut Entry,
        schema: &Json,
        spot: &Spot,
        report: &mut Report,
    ) {
        let mut found = Report::new();
        let spot = spot.entry(entry);
        if self.check(&mut entry.value, schema, &spot, &mut found) {
            report.append(found);
        }
    }

    /// Reports a key that does not exist.
    fn unknown_key(
        &self,
        entry: &Entry,
        properties: &Map<String, Json>,
        spot: &Spot,
        report: &mut Report,
    ) -> Meant {
        let message = format!("key {:?} is not known", spot.path_of(&entry.key));
        let finding = report.error(&entry.key_place(), message);
        if let Some(near) = nearest(&entry.key, properties.keys().map(String::as_str)) {
            finding.hint(format!("did you mean {:?}?", spot.path_of(near)));
            return Meant::Key(near.to_owned());
        }
        if let Some((outer, inner)) = self.same_key_inside(&entry.key, properties) {
            finding.hint(format!("write it inside {outer:?}: `{outer}: {{ {inner}: … }}`"));
            return Meant::Inside(outer);
        }
        finding.hint(match properties.is_empty() {
            true => format!("{} takes no keys of its own", spot.name()),
            false => known_keys(properties),
        });
        Meant::Nothing
    }

    /// Stands for a key that is not there, at the map that lacks it.
    pub(super) fn absent(&self, key: &str, schema: &Json, spot: &Spot) -> Entry {
        let span = spot.key_place.span();
        let value = Node { span, value: Value::StandIn(self.fill(schema)) };
        Entry { key: key.to_owned(), key_span: span, value }
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
