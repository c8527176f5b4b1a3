//! Checks a node again with a list that stands outside the pipeline file.
//!
//! A node may name a file, or another place, whose content is a list that belongs to the node and
//! changes while it runs. Such a list is held to the same rules as one in the pipeline file, and
//! its mistakes are told in the same way, with the line they stand in: it is read into a tree of
//! its own, compared with the schema of its items, and put in the place of one of the node's keys;
//! the node's own check then sees it there.
//!
//! Three forms are understood:
//!
//! - YAML, of which JSON is a part: a list of items;
//! - the same as a list of groups, `[{targets: [ITEM, …], labels: {…}}]`, as Prometheus'
//!   `file_sd_configs` reads it; what else a group says is passed over;
//! - plain lines: an item a line, `#` begins a comment.
//!
//! Invariants
//! 1. Places that a check gets for the key lie in the list; places of other keys are not shown
//!    ([`Place::is_reported`](super::Place::is_reported)), for they are right and stand elsewhere.
//! 2. Nothing in a list is interpolated: who writes it need not be who may read secrets.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

use super::diagnostic::{Place, Report, Span};
use super::load::Source;
use super::registry::{Role, StreamFacts};
use super::render::Diagnostics;
use super::schema::schema_of;
use super::shape::{Spot, Walker};
use super::tree::{Entry, Node, Scalar, Value};
use super::unknown::Unknown;
use super::view::NodeView;
use super::yaml;

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    /// YAML or JSON.
    Yaml,
    /// An item a line.
    Lines,
}

/// What a check saw of its node, kept.
pub struct Recheck {
    name: String,
    role: Role,
    kind: &'static str,
    inputs: Vec<(String, StreamFacts)>,
    key: Entry,
    tree: Node,
    base_dir: PathBuf,
}

impl NodeView<'_> {
    /// Keeps what this view shows, for lists that come later.
    #[must_use]
    pub fn keep(&self) -> Recheck {
        Recheck {
            name: self.name.to_owned(),
            role: self.role,
            kind: self.kind,
            inputs: self.inputs.to_vec(),
            key: self.key.clone(),
            tree: self.tree.clone(),
            base_dir: self.base_dir.to_path_buf(),
        }
    }
}

impl Recheck {
    /// The folder of the pipeline file.
    #[must_use]
    pub fn base_dir(&self) -> &Path {
        &self.base_dir
    }

    /// Reads the list in `source` and lets `check` see it as the value of `key`.
    ///
    /// # Errors
    /// All mistakes of the list.
    pub fn list<I, T>(
        &self,
        key: &str,
        source: &Source<'_>,
        form: ListForm,
        check: impl FnOnce(Vec<I>, &NodeView<'_>, &mut Report) -> Option<T>,
    ) -> Result<T, Diagnostics>
    where
        I: DeserializeOwned + JsonSchema,
    {
        let mut report = Report::new();
        let checked = read(source.text, form, &mut report).and_then(|mut list| {
            let items = typed::<I>(&mut list, &mut report);
            self.with(key, list, |view| check(items, view, &mut report))
        });
        match checked {
            Some(checked) if !report.has_errors() => Ok(checked),
            _ => {
                assert!(report.has_errors(), "a list that is refused has an error that says why");
                Err(Diagnostics::new(source, report.into_findings()))
            }
        }
    }

    fn with<T>(&self, key: &str, list: Node, see: impl FnOnce(&NodeView<'_>) -> T) -> T {
        let mut tree = elsewhere(&self.tree);
        let mut at = self.key.clone();
        at.key_span = list.span;
        if let Value::Map(entries) = &mut tree.value {
            entries.retain(|entry| entry.key != key);
            entries.push(Entry { key: key.to_owned(), key_span: list.span, value: list });
        }
        let unknown = Unknown::default();
        let value = tree.to_json();
        see(&NodeView {
            name: &self.name,
            role: self.role,
            kind: self.kind,
            inputs: &self.inputs,
            value: &value,
            key: &at,
            tree: &tree,
            unknown: &unknown,
            base_dir: &self.base_dir,
        })
    }
}

/// The list as a tree; none if it cannot be read further.
fn read(text: &str, form: ListForm, report: &mut Report) -> Option<Node> {
    let whole = Span { start: 0, end: text.len().min(1), line: 1, column: 1 };
    if form == ListForm::Lines {
        return Some(Node { span: whole, value: Value::List(lines(text)) });
    }
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_comment) {
        return Some(Node { span: whole, value: Value::List(Vec::new()) });
    }
    let node = yaml::parse(text, report)?;
    let Value::List(items) = node.value else {
        report
            .error(&Place::new(node.span), "the file is not a list")
            .hint("write an item a line, each behind `- `");
        return None;
    };
    let items = items.into_iter().flat_map(ungrouped).collect();
    Some(Node { span: node.span, value: Value::List(items) })
}

fn lines(text: &str) -> Vec<Node> {
    let mut items = Vec::new();
    let mut start = 0;
    for (number, line) in text.split('\n').enumerate() {
        let item = line.split('#').next().unwrap_or_default();
        let before = item.len() - item.trim_start().len();
        let item = item.trim();
        if !item.is_empty() {
            let column = line[..before].chars().count() + 1;
            let from = start + before;
            let span = Span { start: from, end: from + item.len(), line: number + 1, column };
            items.push(Node { span, value: Value::Scalar(Scalar::quoted(item.to_owned())) });
        }
        start += line.len() + 1;
    }
    items
}

/// The items of a group, or the item itself.
fn ungrouped(item: Node) -> Vec<Node> {
    let is_group = item.get("targets").is_some_and(|it| matches!(it.value.value, Value::List(_)));
    if !is_group {
        return vec![item];
    }
    let Value::Map(entries) = item.value else { return Vec::new() };
    let group = entries.into_iter().find(|entry| entry.key == "targets");
    match group.map(|group| group.value.value) {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    }
}

/// The items as their type; what does not fit is reported and mended.
fn typed<I: DeserializeOwned + JsonSchema>(list: &mut Node, report: &mut Report) -> Vec<I> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = schema_of::<Vec<I>>(&mut generator).to_value();
    let definitions = generator.take_definitions(true);
    let spot = Spot::root("the list".to_owned(), list.place());
    Walker::new(&definitions).check(list, &schema, &spot, report);
    match serde_json::from_value(list.to_json()) {
        Ok(items) => items,
        Err(error) => {
            report.error(&list.place(), format!("the list cannot be read: {error}"));
            Vec::new()
        }
    }
}

/// The same values, whose places lie in another text.
fn elsewhere(node: &Node) -> Node {
    match &node.value {
        Value::Map(entries) => {
            let entry = |entry: &Entry| {
                let value = Node { value: Value::StandIn(entry.value.to_json()), ..entry.value };
                Entry { key: entry.key.clone(), key_span: entry.key_span, value }
            };
            Node { span: node.span, value: Value::Map(entries.iter().map(entry).collect()) }
        }
        _ => node.clone(),
    }
}

#[cfg(test)]
mod tests;
