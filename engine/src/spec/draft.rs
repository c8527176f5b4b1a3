//! Reads the nodes of a file: name, kind, `from`, and the keys of the kind.
//!
//! A [`Draft`] knows what of it was reported: a value (`unknown`), its kind, its `from`. Later
//! steps read the rest, so that one mistake neither hides another one nor speaks twice.
//!
//! Next: `engine/src/spec/graph.rs`.

use super::diagnostic::{Diagnostic, Place, Report, Span};
use super::document::{is_name, name_rule};
use super::nearest::nearest;
use super::registry::{KindEntry, Registry, Role};
use super::shape::{Spot, Walker, one_of};
use super::tree::{Entry, Node, Value};
use super::unknown::Unknown;

/// A node as the file writes it.
pub(crate) struct Draft<'r> {
    pub(crate) role: Role,
    /// The node's name and where it stands. The value is empty: see `config`.
    pub(crate) key: Entry,
    /// Its kind, or the one that a misspelt name was probably meant to be.
    pub(crate) kind: Option<&'r KindEntry>,
    pub(crate) from: Vec<Reference>,
    /// Whether `from` names all that the node reads.
    pub(crate) is_from_whole: bool,
    /// The node's keys without `kind` and `from`, mended.
    pub(crate) config: Node,
    /// What of the keys was reported.
    pub(crate) unknown: Unknown,
    /// Another draft has the same name, so whoever reads the name means one or the other.
    pub(crate) is_name_shared: bool,
}

/// One name in a `from`.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) name: String,
    /// The name as it stands in the file, the only form that may be shown.
    pub(crate) shown: String,
    pub(crate) span: Span,
}

impl Lost {
    pub(crate) fn roles(&self) -> impl Iterator<Item = Role> {
        self.empty.iter().chain(&self.hidden).copied()
    }
}

impl Draft<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.key.key
    }

    pub(crate) fn place(&self) -> Place {
        self.key.key_place()
    }
}

/// Reads the sections.
pub(crate) struct Reader<'r, 'w> {
    pub(crate) registry: &'r Registry,
    pub(crate) walker: Walker<'r>,
    pub(crate) report: &'w mut Report,
    pub(crate) lost: Lost,
}

/// Sections that gave no draft.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// Missing or empty, although they must hold a node.
    pub(crate) empty: Vec<Role>,
    /// They may hold nodes, but nobody can read them.
    pub(crate) hidden: Vec<Role>,
}

impl<'r> Reader<'r, '_> {
    /// The drafts of all nodes, in the order of the roles and of the file.
    pub(crate) fn drafts(&mut self, root: &Node) -> Vec<Draft<'r>> {
        let mut drafts: Vec<Draft<'r>> = Vec::new();
        let root_place = root.place();
        for role in self.registry.catalogue().roles() {
            let section = root.entries().iter().find(|entry| entry.key == role.section()).cloned();
            let before = drafts.len();
            // A section of the wrong type has been reported by the walk of the top level.
            let is_readable = section.as_ref().is_none_or(|section| section.value.is_map());
            if !is_readable {
                self.lost.hidden.push(role);
            }
            let place = section.as_ref().map_or(root_place, Entry::key_place);
            if let Some(Node { value: Value::Map(entries), .. }) = section.map(|s| s.value) {
                for entry in entries {
                    let mut draft = self.draft(role, entry);
                    self.check_name(&mut draft, &mut drafts);
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
        self.lost.empty.push(role);
        let known = one_of(self.registry.of_role(role).map(|entry| entry.name));
        let section = role.section();
        self.report
            .error(place, format!("the pipeline has no {role}"))
            .detail(format!("expected: a node below {section:?}; its kind is {known}"));
    }

    fn check_name(&mut self, draft: &mut Draft<'_>, earlier: &mut [Draft<'_>]) {
        let name = draft.name();
        if !is_name(name, |c| c.is_ascii_alphanumeric()) {
            self.report
                .error(&draft.place(), format!("{name:?} cannot be a node's name"))
                .detail(name_rule("letters and digits"));
        }
        if let Some(first) = earlier.iter_mut().find(|earlier| earlier.name() == name) {
            self.report
                .error(&draft.place(), format!("the name {name:?} is taken"))
                .detail(format!("a {} in line {} has it", first.role, first.key.key_span.line))
                .hint("all nodes of a file share one set of names, as `from` reads by name");
            first.is_name_shared = true;
            draft.is_name_shared = true;
        }
    }

    fn draft(&mut self, role: Role, mut key: Entry) -> Draft<'r> {
        let empty = Node { span: key.value.span, value: Value::Map(Vec::new()) };
        let mut config = std::mem::replace(&mut key.value, empty);
        let mut kind = None;
        let mut from = From::default();
        if config.is_map() {
            self.name_key("kind", role, None, &mut config);
            kind = self.kind(role, &key, &config);
            self.name_key("from", role, kind, &mut config);
            from = self.from(role, &key, &config);
            if let Value::Map(entries) = &mut config.value {
                entries.retain(|entry| entry.key != "kind" && entry.key != "from");
            }
            if let Some(kind) = kind {
                let spot = Spot::root(format!("{role} {:?}", key.key), key.key_place());
                let schema = &self.registry.schema(kind).config;
                self.walker.check(&mut config, schema, &spot, self.report);
            }
        } else {
            let message = format!("{role} {:?} is not a map of keys", key.key);
            let example = if role.has_inputs() { "kind: …, from: …" } else { "kind: …" };
            self.report.error(&key.key_place(), message).hint(format!("write {{ {example} }}"));
        }
        let unknown = Unknown::of(&config);
        let From { references: from, is_whole: is_from_whole } = from;
        Draft { role, key, kind, from, is_from_whole, config, unknown, is_name_shared: false }
    }

    /// Reports an unknown key that was probably meant to be this one, and gives it its name.
    fn name_key(&mut self, name: &str, role: Role, kind: Option<&KindEntry>, node: &mut Node) {
        let is_wanted = name == "kind" || role.has_inputs();
        if !is_wanted || node.get(name).is_some() {
            return;
        }
        let kinds = self.registry.of_role(role);
        let kinds = kinds.filter(|entry| kind.is_none_or(|kind| kind.name == entry.name));
        let keys =
            kinds.filter_map(|kind| self.registry.schema(kind).config["properties"].as_object());
        let mut known: Vec<&str> = keys.flat_map(|keys| keys.keys()).map(String::as_str).collect();
        known.extend(["kind", "from"]);
        let is_meant = |entry: &&mut Entry| {
            !known.contains(&entry.key.as_str())
                && nearest(&entry.key, known.iter().copied()) == Some(name)
        };
        if let Some(entry) = node.entries_mut().iter_mut().find(is_meant) {
            self.report
                .error(&entry.key_place(), format!("key {:?} is not known", entry.key))
                .hint(format!("did you mean {name:?}?"));
            entry.key = name.to_owned();
        }
    }

    // === kind ===

    fn kind(&mut self, role: Role, key: &Entry, node: &Node) -> Option<&'r KindEntry> {
        let known = one_of(self.registry.of_role(role).map(|entry| entry.name));
        let Some(entry) = node.get("kind") else {
            let message = format!("{role} {:?} has no kind", key.key);
            let detail = format!("expected: key \"kind\" with the value {known}");
            self.report.error(&key.key_place(), message).detail(detail);
            return None;
        };
        let Some(scalar) = entry.value.as_scalar() else {
            let message = "key \"kind\" has the wrong type";
            self.report.error(&entry.place(), message).detail(format!("expected: {known}"));
            return None;
        };
        match self.registry.get(role, &scalar.text) {
            _ if !scalar.resolved => None,
            Some(kind) => Some(kind),
            None => {
                let message = format!("{:?} is not a kind of {role}", scalar.shown());
                let finding = self.report.error(&entry.place(), message);
                finding.detail(format!("expected: {known}"));
                match scalar.written {
                    Some(_) => None,
                    None => meant_kind(self.registry, role, &scalar.text, finding),
                }
            }
        }
    }

    // === from ===

    fn from(&mut self, role: Role, key: &Entry, node: &Node) -> From {
        match (node.get("from"), role.has_inputs()) {
            (None, false) => From { references: Vec::new(), is_whole: true },
            (None, true) => {
                let message =
                    format!("{role} {:?} reads nothing: key \"from\" is missing", key.key);
                self.report
                    .error(&key.key_place(), message)
                    .detail("expected: the name of a node, or a list of names");
                From::default()
            }
            (Some(entry), false) => {
                self.report
                    .error(&entry.key_place(), format!("source {:?} reads a node", key.key))
                    .detail("a source receives its records from outside; it has no \"from\"")
                    .hint("leave \"from\" out, or move the node to another section");
                From { references: Vec::new(), is_whole: true }
            }
            (Some(entry), true) => self.references(entry),
        }
    }

    fn references(&mut self, entry: &Entry) -> From {
        let items = match &entry.value.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.value),
        };
        if items.is_empty() {
            self.report
                .error(&entry.place(), "key \"from\" is an empty list")
                .detail("expected: the name of a node, or a list of names");
        }
        let mut references: Vec<Reference> = Vec::new();
        let mut is_whole = !items.is_empty();
        for item in items {
            let text = item.as_scalar().filter(|scalar| !scalar.typed.is_null());
            let Some(scalar) = text else {
                let is_single = std::ptr::eq(item, &raw const entry.value);
                let place = if is_single { entry.place() } else { item.place() };
                self.report
                    .error(&place, "key \"from\" has the wrong type")
                    .detail("expected: the name of a node, or a list of names");
                is_whole = false;
                continue;
            };
            if !scalar.resolved {
                is_whole = false;
                continue;
            }
            if references.iter().any(|earlier| earlier.name == scalar.text) {
                let message = format!("\"from\" names {:?} twice", scalar.shown());
                self.report.error(&item.place(), message).hint("name each node once");
                continue;
            }
            references.push(Reference {
                name: scalar.text.clone(),
                shown: scalar.shown().to_owned(),
                span: item.span,
            });
        }
        From { references, is_whole }
    }
}

/// What a node reads; nothing is known of it by default.
#[derive(Default)]
struct From {
    references: Vec<Reference>,
    is_whole: bool,
}

/// The kind whose name is near to a wrong one; the node is checked as if it were right.
fn meant_kind<'r>(
    registry: &'r Registry,
    role: Role,
    name: &str,
    finding: &mut Diagnostic,
) -> Option<&'r KindEntry> {
    let has_kind = |other: &Role| registry.get(*other, name).is_some();
    if let Some(other) = Role::ALL.into_iter().find(has_kind) {
        let section = other.section();
        finding.hint(format!("{name} is a {other}: move the node to {section:?}"));
        return None;
    }
    let near = registry.nearest(role, name).and_then(|near| registry.get(role, near))?;
    finding.hint(format!("did you mean {:?}?", near.name));
    Some(near)
}

/// The draft whose name is nearest to a wrong one, among all that can be read.
pub(crate) fn nearest_readable(name: &str, drafts: &[Draft<'_>]) -> Option<usize> {
    let readable = || drafts.iter().filter(|draft| draft.role.has_output());
    let near = nearest(name, readable().map(Draft::name))?;
    drafts.iter().position(|draft| draft.role.has_output() && draft.name() == near)
}
