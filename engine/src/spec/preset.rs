//! Presets: blocks of keys that a kind ships for known APIs, merged under a node's own keys.
//!
//! A preset is what a person could have written; nothing works with it that would not work without.
//! It is merged before anything is checked, so what comes out of it passes every check.
//!
//! The rule: a key that the node gives stays as it is; maps are merged key by key, anything else is
//! taken whole. A key that the node gives as null takes what the preset has out. A node that names
//! several requests, in a list or with its endpoints, gets the preset's `request` under each.
//!
//! Invariants
//! 1. What a preset gives stands where its name stands, so that a mistake in it has a place.
//! 2. What it gave is remembered ([`AppliedPreset`]), so that nobody wonders where a key is from.
//!
//! Next: `engine/src/spec/document.rs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::diagnostic::{Report, Span};
use super::nearest::nearest;
use super::registry::{Registry, Role};
use super::tree::{Entry, Node, Value};
use super::yaml;

/// The key that names one.
const KEY: &str = "preset";

/// What begins the comment that says what a preset needs.
const NEEDS: &str = "# Needs:";

/// The key of a preset that belongs to each element of [`LISTS`] that has it, too.
const SHARED: &str = "request";

/// Lists whose elements may have a request of their own; one of the first takes the place of the
/// node's.
const LISTS: [&str; 2] = ["requests", "endpoints"];

/// A block of keys for one API.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name in the file.
    pub name: &'static str,
    /// Its keys as YAML, with comments for people; the first line says what it is for.
    pub text: &'static str,
}

/// What a preset gave a node.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedPreset {
    /// Its name.
    pub name: &'static str,
    /// The keys that the node left to it.
    pub given: Json,
}

/// The presets of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresetsOf {
    pub(crate) role: Role,
    pub(crate) kind: &'static str,
    pub(crate) presets: &'static [Preset],
}

impl Preset {
    /// What it is for: its first line.
    pub fn summary(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches('#').trim()
    }

    /// What it cannot give and the API demands: paths of keys, from a comment `# Needs: …`.
    pub fn needs(&self) -> Vec<&'static str> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix(NEEDS));
        lines.flat_map(|line| line.split(',')).map(str::trim).collect()
    }

    /// Its keys.
    ///
    /// # Panics
    /// If its text is not a map, which any test that applies it shows.
    pub fn keys(&self) -> Json {
        self.tree().to_json()
    }

    fn tree(&self) -> Node {
        let mut report = Report::new();
        let tree = yaml::parse(self.text, &mut report).filter(Node::is_map);
        assert!(!report.has_errors(), "preset {} is sound YAML", self.name);
        tree.expect("a preset is a map of keys")
    }
}

/// Merges the presets that the nodes name under their keys; what each node got, by its name.
pub(crate) fn apply(
    root: &mut Node,
    registry: &Registry,
    report: &mut Report,
) -> BTreeMap<String, AppliedPreset> {
    let mut applied = BTreeMap::new();
    for of in registry.presets() {
        let sections = root.entries_mut().iter_mut().filter(|it| it.key == of.role.section());
        for node in sections.flat_map(|section| section.value.entries_mut()) {
            let is_kind =
                |entry: &Entry| entry.value.as_scalar().is_some_and(|it| it.text == of.kind);
            if !node.value.get("kind").is_some_and(is_kind) {
                continue;
            }
            if let Some((preset, span)) = named(&node.value, of, report) {
                let given = merge_all(&mut node.value, &preset.tree(), span);
                warn_of_needs(node, preset, report);
                applied.insert(node.key.clone(), AppliedPreset { name: preset.name, given });
            }
        }
    }
    applied
}

/// Tells what the preset needs and nothing gives; of several requests each is asked.
fn warn_of_needs(node: &Entry, preset: &Preset, report: &mut Report) {
    let Some(place) = node.value.get(KEY).map(Entry::place) else { return };
    let lists = LISTS.iter().filter_map(|list| node.value.get(list));
    let mut holders: Vec<&Node> = lists.flat_map(requests_of).collect();
    if holders.is_empty() {
        holders.push(&node.value);
    }
    for need in preset.needs() {
        if holders.iter().all(|holder| has(holder, need)) {
            continue;
        }
        let message = format!("preset {} needs `{need}`, which nothing gives", preset.name);
        let finding = report.warning(&place, message);
        finding.hint(format!("`headwater presets {}` says what it is", preset.name));
    }
}

/// The elements of a list that have a request of their own.
fn requests_of(list: &Entry) -> Vec<&Node> {
    match &list.value.value {
        Value::List(items) => items.iter().filter(|item| item.get(SHARED).is_some()).collect(),
        _ => Vec::new(),
    }
}

/// Whether a node has a value at a path of keys, in proto or JSON spelling.
fn has(node: &Node, path: &str) -> bool {
    let found = path.split('.').try_fold(node, |node, key| {
        let entry = node.get(key).or_else(|| node.get(&json_name(key)))?;
        Some(&entry.value)
    });
    found.is_some()
}

/// `topic_name` as `topicName`.
fn json_name(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &first.into_iter().chain(letters).collect::<String>()
    })
}

/// The preset that a node names, and where. A name that is near to one is told, and taken for it.
fn named(node: &Node, of: &PresetsOf, report: &mut Report) -> Option<(&'static Preset, Span)> {
    let entry = node.get(KEY)?;
    let scalar = entry.value.as_scalar().filter(|scalar| scalar.resolved)?;
    let find = |name: &str| of.presets.iter().find(|preset| preset.name == name);
    if let Some(preset) = find(&scalar.text) {
        return Some((preset, entry.value.span));
    }
    let message = format!("{:?} is not a preset of kind {}", scalar.shown(), of.kind);
    let finding = report.error(&entry.place(), message);
    let names: Vec<&str> = of.presets.iter().map(|preset| preset.name).collect();
    finding.detail(format!("expected: one of {}", names.join(", ")));
    let near = nearest(&scalar.text, names.iter().copied()).filter(|_| scalar.written.is_none());
    if let Some(near) = near {
        finding.hint(format!("did you mean {near:?}?"));
    }
    near.and_then(find).map(|preset| (preset, entry.value.span))
}

/// Adds what `node` lacks, and what its own requests lack, at `span`; what was added.
fn merge_all(node: &mut Node, preset: &Node, span: Span) -> Json {
    let Some(shared) = preset.get(SHARED).filter(|_| !is_null(node, SHARED)) else {
        return merge(node, preset, span);
    };
    let mut is_listed = false;
    for list in node.entries_mut().iter_mut().filter(|it| LISTS.contains(&it.key.as_str())) {
        let Value::List(items) = &mut list.value.value else { continue };
        is_listed |= list.key == LISTS[0];
        let own = items.iter_mut().flat_map(|item| item.entries_mut());
        for request in own.filter(|it| it.key == SHARED) {
            merge(&mut request.value, &shared.value, span);
        }
    }
    if !is_listed || node.get(SHARED).is_some() {
        return merge(node, preset, span);
    }
    let rest = preset.entries().iter().filter(|entry| entry.key != SHARED).cloned().collect();
    let mut given = merge(node, &Node { value: Value::Map(rest), ..preset.clone() }, span);
    given[SHARED] = shared.value.to_json();
    given
}

/// Whether the node gives the key as null.
fn is_null(node: &Node, key: &str) -> bool {
    let scalar = node.get(key).and_then(|entry| entry.value.as_scalar());
    scalar.is_some_and(|scalar| scalar.typed.is_null())
}

/// Adds what `node` lacks, at `span`; what was added.
fn merge(node: &mut Node, preset: &Node, span: Span) -> Json {
    let mut given = Map::new();
    let Value::Map(entries) = &mut node.value else { return Json::Object(given) };
    for entry in preset.entries() {
        let Some(place) = entries.iter().position(|own| own.key == entry.key) else {
            given.insert(entry.key.clone(), entry.value.to_json());
            let value = placed(&entry.value, span);
            entries.push(Entry { key: entry.key.clone(), key_span: span, value });
            continue;
        };
        let own = &mut entries[place].value;
        let is_null = own.as_scalar().is_some_and(|scalar| scalar.typed.is_null());
        if is_null {
            entries.remove(place);
        } else if own.is_map() && entry.value.is_map() {
            let inner = merge(own, &entry.value, span);
            if inner.as_object().is_some_and(|inner| !inner.is_empty()) {
                given.insert(entry.key.clone(), inner);
            }
        }
    }
    Json::Object(given)
}

/// The same value, at another place.
fn placed(node: &Node, span: Span) -> Node {
    let value = match &node.value {
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|entry| Entry {
                    key: entry.key.clone(),
                    key_span: span,
                    value: placed(&entry.value, span),
                })
                .collect(),
        ),
        Value::List(items) => Value::List(items.iter().map(|item| placed(item, span)).collect()),
        other => other.clone(),
    };
    Node { span, value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(own: &str, preset: &str) -> (Json, Json) {
        let tree = |text: &str| yaml::parse(text, &mut Report::new()).expect("sound YAML");
        let mut node = tree(own);
        let given = merge_all(&mut node, &tree(preset), Span::default());
        (node.to_json(), given)
    }

    #[test]
    fn what_a_preset_needs_is_found_in_either_spelling() {
        let preset =
            Preset { name: "p", text: "# For p.\n# Needs: a.topic_name, b\na: { c: 1 }\n" };
        assert_eq!(preset.needs(), ["a.topic_name", "b"]);
        let node = yaml::parse("{ a: { topicName: x }, c: ~ }", &mut Report::new()).expect("sound");
        assert!(has(&node, "a.topic_name") && has(&node, "c"));
        assert!(!has(&node, "b") && !has(&node, "a.topic_name.x"));
    }

    #[test]
    fn each_of_several_requests_gets_the_presets() {
        let preset = "{ request: { a: 1, b: { c: 1 } }, f: 1 }";
        let requests = "requests: [{ name: x, request: { b: { d: 2 } } }, { request: { a: 7 } }]";
        let (found, given) = merged(&format!("{{ {requests} }}"), preset);
        let expected = json!({
            "requests": [
                { "name": "x", "request": { "a": 1, "b": { "c": 1, "d": 2 } } },
                { "request": { "a": 7, "b": { "c": 1 } } },
            ],
            "f": 1,
        });
        assert_eq!(found, expected);
        assert_eq!(given, json!({ "f": 1, "request": { "a": 1, "b": { "c": 1 } } }));
        // One that is given as null is taken out, as any key.
        let (found, _) = merged(&format!("{{ request: ~, {requests} }}"), preset);
        assert_eq!(found["requests"][1], json!({ "request": { "a": 7 } }));
        let (found, _) =
            merged("{ endpoints: [{ url: u, request: { a: 7 } }, { url: v }] }", preset);
        assert_eq!(found["endpoints"][0]["request"], json!({ "a": 7, "b": { "c": 1 } }));
        assert_eq!(found["endpoints"][1], json!({ "url": "v" }));
        assert_eq!(found["request"], json!({ "a": 1, "b": { "c": 1 } }));
    }

    #[test]
    fn own_keys_stay_maps_are_merged_and_null_takes_out() {
        let preset = "{ a: { b: 1, c: [1, 2], d: { e: 1 } }, f: 1, g: { h: 1 }, i: 1 }";
        let own = "{ a: { b: 7, c: [9] }, g: ~, i: { x: 1 }, z: 0 }";
        let (merged, given) = merged(own, preset);
        let expected = json!({
            "a": { "b": 7, "c": [9], "d": { "e": 1 } }, "i": { "x": 1 }, "z": 0, "f": 1
        });
        assert_eq!(merged, expected);
        assert_eq!(given, json!({ "a": { "d": { "e": 1 } }, "f": 1 }));
    }
}
