//! `oneOf` and `anyOf`: finds the option that was meant, so that one list of mistakes comes out
//! and not one per option.
//!
//! serde's enums come in four shapes, tried in this order:
//!
//! 1. *optional*: one option and null;
//! 2. *named values*: every option is a fixed text;
//! 3. *tagged*: a key whose fixed text names the option (`{position: at, …}`), or a single key
//!    that is the option's name (`{field: user.id}`), perhaps beside plain texts;
//! 4. *untagged*: the options that have the value's type; if several, the one with the fewest
//!    mistakes.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::super::diagnostic::Report;
use super::super::nearest::nearest;
use super::super::tree::{Entry, Node, Scalar, Value};
use super::flatten;
use super::spot::Spot;
use super::walk::{Walker, becomes_text, fits};
use super::words::{expected, named_values, one_of, options_of, value_words};

impl Walker<'_> {
    pub(super) fn check_choice(
        &self,
        node: &mut Node,
        schema: &Json,
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        let all = options_of(schema).into_iter().flatten();
        let all: Vec<_> = all.map(|option| flatten(option, self.definitions)).collect();
        let is_null = node.as_scalar().is_some_and(|scalar| scalar.typed.is_null());
        if is_null && all.iter().any(|option| fits(node, option)) {
            return true;
        }
        let options: Vec<&Json> =
            all.iter().map(Cow::as_ref).filter(|option| option["type"] != "null").collect();
        if let [only] = options.as_slice() {
            self.check(node, only, spot, report)
        } else if let Some(values) = all_named(&options) {
            self.check_values(node, schema, &values, spot, report)
        } else if let (Some(tag), true) = (tag_of(&options), node.is_map()) {
            self.check_tagged(node, &options, tag, spot, report)
        } else if let (Some(keys), true) = (single_keys(&options), node.is_map()) {
            self.check_single_key(node, &keys, spot, report)
        } else {
            self.check_untagged(node, schema, &options, spot, report)
        }
    }

    fn check_values(
        &self,
        node: &mut Node,
        schema: &Json,
        values: &[String],
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        let text = serde_json::json!({ "type": "string" });
        if !becomes_text(node, &text) && !fits(node, &text) {
            self.wrong_type(node, schema, spot, report);
            return false;
        }
        if let Value::Scalar(scalar) = &node.value
            && !values.contains(&scalar.text)
        {
            self.unknown_value(scalar, values, &value_words(values), spot, report);
            self.mend(node, schema);
        }
        true
    }

    /// Of a map whose tag says nothing, nothing can be said: it is mended as a whole.
    fn check_tagged(
        &self,
        node: &mut Node,
        options: &[&Json],
        tag: &str,
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        let named = |option: &Json| named_values(&option["properties"][tag]).unwrap_or_default();
        let values: Vec<String> = options.iter().flat_map(|option| named(option)).collect();
        let tag_of_node = match node.get(tag) {
            Some(entry) => self.tag(entry, &values, spot, report),
            None => {
                report
                    .error(&spot.place, format!("key {:?} is missing", spot.path_of(tag)))
                    .detail(format!("expected: {}", value_words(&values)));
                None
            }
        };
        let option = tag_of_node.and_then(|tag_of_node| {
            let option = options.iter().find(|option| named(option).contains(&tag_of_node))?;
            let entry = node.entries_mut().iter_mut().find(|entry| entry.key == tag)?;
            if entry.value.as_scalar().is_some_and(|scalar| scalar.text != tag_of_node) {
                entry.value.value = Value::Scalar(Scalar::quoted(tag_of_node));
            }
            Some(option)
        });
        match option {
            Some(option) => drop(self.check(node, option, spot, report)),
            None => self.mend(node, options[0]),
        }
        true
    }

    /// The value of a tag, or the one that was probably meant.
    fn tag(
        &self,
        entry: &Entry,
        values: &[String],
        spot: &Spot,
        report: &mut Report,
    ) -> Option<String> {
        let Some(scalar) = entry.value.as_scalar() else {
            report
                .error(
                    &entry.place(),
                    format!("key {:?} has the wrong type", spot.path_of(&entry.key)),
                )
                .detail(format!("expected: {}", value_words(values)));
            return None;
        };
        if !scalar.resolved || values.contains(&scalar.text) {
            return Some(scalar.text.clone()).filter(|_| scalar.resolved);
        }
        self.unknown_value(scalar, values, &value_words(values), &spot.entry(entry), report)
    }

    fn check_single_key(
        &self,
        node: &mut Node,
        keys: &[(&str, &Json)],
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        let names = || keys.iter().map(|(name, _)| *name);
        let option_of = |key: &str| keys.iter().find(|(name, _)| *name == key);
        let (_, first) = keys[0];
        let [entry] = node.entries_mut() else {
            report
                .error(&spot.place, format!("{} takes a single key", spot.name()))
                .detail(format!("expected: {}", one_of(names())))
                .detail(format!("found: {} keys", node.entries().len()));
            self.mend(node, first);
            return true;
        };
        if option_of(&entry.key).is_none() {
            let message = format!("key {:?} is not known", spot.path_of(&entry.key));
            let finding = report.error(&entry.key_place(), message);
            finding.detail(format!("expected: {}", one_of(names())));
            if let Some(near) = nearest(&entry.key, names()) {
                finding.hint(format!("did you mean {:?}?", spot.path_of(near)));
                entry.key = near.to_owned();
                let option = option_of(near).map_or(first, |(_, option)| *option);
                self.check_meant(entry, &option["properties"][near], spot, report);
            }
        }
        match option_of(&entry.key) {
            Some((_, option)) => drop(self.check(node, option, spot, report)),
            None => self.mend(node, first),
        }
        true
    }

    fn check_untagged(
        &self,
        node: &mut Node,
        schema: &Json,
        options: &[&Json],
        spot: &Spot,
        report: &mut Report,
    ) -> bool {
        let free_text = |option: &&&Json| named_values(option).is_none();
        for option in options.iter().filter(free_text) {
            becomes_text(node, option);
        }
        if let (Value::Scalar(scalar), Some(values)) = (&node.value, only_texts(options))
            && scalar.typed.is_string()
            && !values.contains(&scalar.text)
        {
            let expected = expected(schema, &spot.path, self.definitions);
            self.unknown_value(scalar, &values, &expected, spot, report);
            self.mend(node, schema);
            return true;
        }
        let mut best: Option<(Node, Report)> = None;
        for option in options {
            let mut copy = node.clone();
            let is_choice = options_of(option).is_some();
            if !is_choice && !fits(&copy, option) {
                continue;
            }
            let mut found = Report::new();
            self.check(&mut copy, option, spot, &mut found);
            let is_better = |(_, best): &(Node, Report)| found.errors() < best.errors();
            if best.as_ref().is_none_or(is_better) {
                best = Some((copy, found));
            }
        }
        let Some((copy, found)) = best else {
            self.wrong_type(node, schema, spot, report);
            return false;
        };
        *node = copy;
        report.append(found);
        true
    }
}

/// The texts of options that are nothing but texts.
fn all_named(options: &[&Json]) -> Option<Vec<String>> {
    let values: Option<Vec<_>> = options.iter().map(|option| named_values(option)).collect();
    values.map(|values| values.concat())
}

/// The fixed texts among the options, if no option takes any other text.
fn only_texts(options: &[&Json]) -> Option<Vec<String>> {
    let mut values = Vec::new();
    for option in options {
        match named_values(option) {
            Some(named) => values.extend(named),
            None if option["type"] == "object" || option["type"] == "array" => {}
            None => return None,
        }
    }
    (!values.is_empty()).then_some(values)
}

/// The key whose fixed text tells the options apart.
pub(super) fn tag_of<'o>(options: &[&'o Json]) -> Option<&'o str> {
    let (first, rest) = options.split_first()?;
    let properties = first["properties"].as_object()?;
    let is_fixed = |option: &Json, key: &str| named_values(&option["properties"][key]).is_some();
    let mut keys = properties.keys().map(String::as_str);
    keys.find(|key| is_fixed(first, key) && rest.iter().all(|option| is_fixed(option, key)))
}

/// The names of options that are maps of one key each; plain texts may stand beside them.
pub(super) fn single_keys<'o>(options: &[&'o Json]) -> Option<Vec<(&'o str, &'o Json)>> {
    let mut keys = Vec::new();
    for option in options {
        if named_values(option).is_some() {
            continue;
        }
        let properties = option["properties"].as_object()?;
        let (name, _) = properties.iter().next()?;
        if properties.len() != 1 || option["additionalProperties"] != Json::Bool(false) {
            return None;
        }
        keys.push((name.as_str(), *option));
    }
    (!keys.is_empty()).then_some(keys)
}
