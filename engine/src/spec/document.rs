//! Takes the tree apart: the pipeline's name, its settings, and a draft of every node.
//!
//! A [`Draft`] knows whether it is sound, that is, whether anything about it has been reported.
//! Later steps look only at sound drafts, so that one mistake does not speak twice.
//!
//! Next: `engine/src/spec/graph.rs`.

use serde_json::{Map, Value as Json};

use super::diagnostic::{Place, Report, Span};
use super::limits::NAME_CHARS_MAX;
use super::nearest::nearest;
use super::registry::{KindEntry, Registry, Role};
use super::settings::Settings;
use super::shape::{Spot, Walker, list_of};
use super::tree::{Entry, Node, Value};

/// A file taken apart. What is missing in it has been reported.
pub(crate) struct Document<'r> {
    pub(crate) name: Option<String>,
    pub(crate) settings: Option<Settings>,
    pub(crate) drafts: Vec<Draft<'r>>,
}

/// A node as the file writes it.
pub(crate) struct Draft<'r> {
    pub(crate) role: Role,
    /// The node's name and where it stands. The value is empty: see `config`.
    pub(crate) key: Entry,
    pub(crate) kind: Option<&'r KindEntry>,
    pub(crate) from: Vec<Reference>,
    /// The node's keys without `kind` and `from`.
    pub(crate) config: Node,
    pub(crate) is_sound: bool,
}

/// One name in a `from`.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) name: String,
    /// The name as it stands in the file, the only form that may be shown.
    pub(crate) shown: String,
    pub(crate) span: Span,
}

impl Draft<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.key.key
    }

    pub(crate) fn place(&self) -> Place {
        self.key.key_place()
    }
}

/// Reads the top level of a file; none if it is not a map at all.
pub(crate) fn read<'r>(
    mut root: Node,
    registry: &'r Registry,
    report: &mut Report,
) -> Option<Document<'r>> {
    let spot = Spot::root("the file".to_owned(), root.place());
    if !root.is_map() {
        report
            .error(&root.place(), "the file is not a map of keys")
            .hint("begin with `pipeline: NAME`, then `sources:`, `decoders:` and `sinks:`");
        return None;
    }
    let catalogue = registry.catalogue();
    let walker = Walker::new(catalogue.definitions());
    let errors_before = report.errors();
    walker.check(&mut root, &catalogue.top_level(), &spot, report);
    let is_sound = report.errors() == errors_before && root.is_resolved();
    let settings = is_sound.then(|| settings(&root, registry));
    if let Some(settings) = &settings {
        check_settings(settings, &root, report);
    }
    let name = pipeline_name(&root, report);
    let drafts = Reader {
        registry,
        walker,
        report,
    }
    .drafts(&mut root);
    Some(Document {
        name,
        settings,
        drafts,
    })
}

fn settings(root: &Node, registry: &Registry) -> Settings {
    let schema = registry.catalogue().settings();
    let is_setting = |entry: &&Entry| schema["properties"].get(&entry.key).is_some();
    let pairs = root.entries().iter().filter(is_setting);
    let object: Map<_, _> = pairs.map(|e| (e.key.clone(), e.value.to_json())).collect();
    serde_json::from_value(Json::Object(object)).expect("settings that fit their schema are read")
}

fn check_settings(settings: &Settings, root: &Node, report: &mut Report) {
    let credit = settings.memory.credit_bytes;
    let epoch = settings.commit.epoch_bytes_max;
    if credit >= epoch {
        return;
    }
    let keys = [("memory", "credit_bytes"), ("commit", "epoch_bytes_max")];
    let written = keys
        .iter()
        .find_map(|(map, key)| root.get(map)?.value.get(key));
    let place = written.map_or(root.place(), Entry::place);
    report
        .warning(
            &place,
            "\"memory.credit_bytes\" is below \"commit.epoch_bytes_max\"",
        )
        .detail("readers will stop before an epoch is full, and wait for its interval")
        .hint("let memory.credit_bytes be several times commit.epoch_bytes_max");
}

fn pipeline_name(root: &Node, report: &mut Report) -> Option<String> {
    let entry = root.get("pipeline")?;
    let scalar = entry.value.as_scalar().filter(|scalar| scalar.resolved)?;
    let name = scalar.typed.as_str()?;
    if is_name(name, |c| matches!(c, 'a'..='z' | '0'..='9')) {
        return Some(name.to_owned());
    }
    report
        .error(
            &entry.place(),
            format!("{:?} cannot be a pipeline's name", scalar.shown()),
        )
        .detail(name_rule("lower-case letters and digits"))
        .hint("the name is part of topic and transaction names");
    None
}

/// Names stand in topics, transactions, metrics and logs.
fn is_name(name: &str, is_letter: impl Fn(char) -> bool) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(&is_letter)
        && chars.all(|c| is_letter(c) || matches!(c, '.' | '_' | '-'))
        && name.chars().count() <= NAME_CHARS_MAX
}

fn name_rule(letters: &str) -> String {
    format!(
        "expected: {letters}, then also \".\", \"_\" and \"-\"; at most {NAME_CHARS_MAX} characters"
    )
}

/// Reads the sections.
struct Reader<'r, 'w> {
    registry: &'r Registry,
    walker: Walker<'r>,
    report: &'w mut Report,
}

impl<'r> Reader<'r, '_> {
    fn drafts(&mut self, root: &mut Node) -> Vec<Draft<'r>> {
        let mut drafts: Vec<Draft<'r>> = Vec::new();
        let root_place = root.place();
        for role in self.registry.catalogue().roles() {
            let section = root
                .entries()
                .iter()
                .find(|entry| entry.key == role.section())
                .cloned();
            let before = drafts.len();
            // A section of the wrong type has been reported by the walk of the top level.
            let is_readable = section
                .as_ref()
                .is_none_or(|section| section.value.is_map());
            let place = section.as_ref().map_or(root_place, Entry::key_place);
            if let Some(Node {
                value: Value::Map(entries),
                ..
            }) = section.map(|s| s.value)
            {
                for entry in entries {
                    let draft = self.draft(role, entry);
                    self.check_name(&draft, &drafts);
                    drafts.push(draft);
                }
            }
            if drafts.len() == before && is_readable {
                self.check_empty(role, &place);
            }
        }
        drafts
    }

    /// A pipeline without a source or a sink moves nothing.
    fn check_empty(&mut self, role: Role, place: &Place) {
        if role.has_inputs() && role.has_output() {
            return;
        }
        let kinds = self.registry.of_role(role).map(|entry| entry.name);
        let known = list_of(kinds);
        let section = role.section();
        self.report
            .error(place, format!("the pipeline has no {role}"))
            .detail(format!(
                "expected: a node below {section:?}, of kind {known}"
            ));
    }

    fn check_name(&mut self, draft: &Draft<'_>, earlier: &[Draft<'_>]) {
        let name = draft.name();
        if let Some(first) = earlier.iter().find(|earlier| earlier.name() == name) {
            self.report
                .error(&draft.place(), format!("the name {name:?} is taken"))
                .detail(format!(
                    "a {} in line {} has it",
                    first.role, first.key.key_span.line
                ))
                .hint("all nodes of a file share one set of names, as `from` reads by name");
        }
        if !is_name(name, |c| c.is_ascii_alphanumeric()) {
            self.report
                .error(&draft.place(), format!("{name:?} cannot be a node's name"))
                .detail(name_rule("letters and digits"));
        }
    }

    fn draft(&mut self, role: Role, mut key: Entry) -> Draft<'r> {
        let errors_before = self.report.errors();
        let empty = Node {
            span: key.value.span,
            value: Value::Map(Vec::new()),
        };
        let mut config = std::mem::replace(&mut key.value, empty);
        let is_resolved = config.is_resolved();
        let mut kind = None;
        let mut from = Vec::new();
        if config.is_map() {
            kind = self.kind(role, &key, &config);
            from = self.from(role, &key, &config);
            if let Value::Map(entries) = &mut config.value {
                entries.retain(|entry| entry.key != "kind" && entry.key != "from");
            }
            if let Some(kind) = kind {
                self.config(role, &key, kind, &mut config);
            }
        } else {
            let message = format!("{role} {:?} is not a map of keys", key.key);
            let example = if role.has_inputs() {
                "kind: …, from: …"
            } else {
                "kind: …"
            };
            self.report
                .error(&key.key_place(), message)
                .hint(format!("write {{ {example} }}"));
        }
        let is_sound = self.report.errors() == errors_before && is_resolved;
        Draft {
            role,
            key,
            kind,
            from,
            config,
            is_sound,
        }
    }

    fn config(&mut self, role: Role, key: &Entry, kind: &KindEntry, config: &mut Node) {
        let schema = &self.registry.schema(kind).config;
        let spot = Spot::root(format!("{role} {:?}", key.key), key.key_place());
        self.walker.check(config, schema, &spot, self.report);
    }

    // === kind ===

    fn kind(&mut self, role: Role, key: &Entry, node: &Node) -> Option<&'r KindEntry> {
        let known = || list_of(self.registry.of_role(role).map(|entry| entry.name));
        let Some(entry) = node.get("kind") else {
            let message = format!("{role} {:?} has no kind", key.key);
            let detail = format!("expected: key \"kind\", one of {}", known());
            self.report.error(&key.key_place(), message).detail(detail);
            return None;
        };
        let Some(scalar) = entry.value.as_scalar() else {
            let detail = format!("expected: one of {}", known());
            self.report
                .error(&entry.place(), "key \"kind\" has the wrong type")
                .detail(detail);
            return None;
        };
        if !scalar.resolved {
            return None;
        }
        let found = self.registry.get(role, &scalar.text);
        if found.is_none() {
            let message = format!("{:?} is not a kind of {role}", scalar.shown());
            let detail = format!("expected: one of {}", known());
            let hint = self.kind_hint(role, &scalar.text);
            let finding = self.report.error(&entry.place(), message);
            finding.detail(detail);
            if let (Some(hint), None) = (hint, &scalar.written) {
                finding.hint(hint);
            }
        }
        found
    }

    fn kind_hint(&self, role: Role, name: &str) -> Option<String> {
        let elsewhere = Role::ALL
            .into_iter()
            .find(|other| self.registry.get(*other, name).is_some());
        if let Some(other) = elsewhere {
            return Some(format!(
                "{name} is a {other}: move the node to {:?}",
                other.section()
            ));
        }
        self.registry
            .nearest(role, name)
            .map(|near| format!("did you mean {near:?}?"))
    }

    // === from ===

    fn from(&mut self, role: Role, key: &Entry, node: &Node) -> Vec<Reference> {
        match (node.get("from"), role.has_inputs()) {
            (None, false) => Vec::new(),
            (None, true) => {
                let message = format!(
                    "{role} {:?} reads nothing: key \"from\" is missing",
                    key.key
                );
                self.report
                    .error(&key.key_place(), message)
                    .detail("expected: the name of a node, or a list of names");
                Vec::new()
            }
            (Some(entry), false) => {
                self.report
                    .error(
                        &entry.key_place(),
                        format!("source {:?} reads a node", key.key),
                    )
                    .detail("a source receives its records from outside; it has no \"from\"")
                    .hint("leave \"from\" out, or move the node to another section");
                Vec::new()
            }
            (Some(entry), true) => self.references(entry),
        }
    }

    fn references(&mut self, entry: &Entry) -> Vec<Reference> {
        let items = match &entry.value.value {
            Value::List(items) => items.as_slice(),
            Value::Scalar(_) | Value::Map(_) => std::slice::from_ref(&entry.value),
        };
        if items.is_empty() {
            self.report
                .error(&entry.place(), "key \"from\" is an empty list")
                .detail("expected: the name of a node, or a list of names");
        }
        let mut references: Vec<Reference> = Vec::new();
        for item in items {
            let text = item.as_scalar().filter(|scalar| !scalar.typed.is_null());
            let Some(scalar) = text else {
                let is_single = std::ptr::eq(item, &raw const entry.value);
                let place = if is_single {
                    entry.place()
                } else {
                    item.place()
                };
                self.report
                    .error(&place, "key \"from\" has the wrong type")
                    .detail("expected: the name of a node, or a list of names");
                continue;
            };
            if !scalar.resolved {
                continue;
            }
            if references.iter().any(|earlier| earlier.name == scalar.text) {
                let message = format!("\"from\" names {:?} twice", scalar.shown());
                self.report
                    .error(&item.place(), message)
                    .hint("name each node once");
                continue;
            }
            references.push(Reference {
                name: scalar.text.clone(),
                shown: scalar.shown().to_owned(),
                span: item.span,
            });
        }
        references
    }
}

/// The known name nearest to a wrong one, among all drafts that can be read.
pub(crate) fn nearest_readable<'d>(name: &str, drafts: &'d [Draft<'_>]) -> Option<&'d str> {
    let readable = drafts.iter().filter(|draft| draft.role.has_output());
    nearest(name, readable.map(Draft::name))
}
