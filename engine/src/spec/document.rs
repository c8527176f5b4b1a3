//! Takes the tree apart: the pipeline's name, its settings, and a draft of every node.
//!
//! Next: `engine/src/spec/draft.rs`.

use serde_json::{Map, Value as Json};

use super::diagnostic::Report;
use super::draft::{Draft, Lost, Reader};
use super::limits::NAME_CHARS_MAX;
use super::plan::PlanHead;
use super::registry::Registry;
use super::settings::Settings;
use super::shape::{Spot, Walker};
use super::tree::{Entry, Node};
use super::unknown::Unknown;
use super::view::Step;

/// The keys that [`check_settings`] compares.
const CREDIT_AND_EPOCH: [(&str, &str); 2] =
    [("memory", "credit_bytes"), ("commit", "epoch_bytes_max")];

/// A file taken apart. What is wrong in it has been reported and mended.
pub(crate) struct Document<'r> {
    pub(crate) head: PlanHead,
    pub(crate) drafts: Vec<Draft<'r>>,
    pub(crate) lost: Lost,
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
    walker.check(&mut root, &catalogue.top_level(), &spot, report);
    let head = head(&root, registry, report);
    let mut reader = Reader { registry, walker, report, lost: Lost::default() };
    let drafts = reader.drafts(&root);
    Some(Document { head, drafts, lost: reader.lost })
}

fn head(root: &Node, registry: &Registry, report: &mut Report) -> PlanHead {
    let mut unknown = Unknown::of(root);
    let settings = settings(root, registry);
    let compared = CREDIT_AND_EPOCH.map(|(map, key)| [Step::Key(map), Step::Key(key)]);
    if compared.iter().all(|path| unknown.spares(path)) {
        check_settings(&settings, root, report);
    }
    let name = pipeline_name(root, report).unwrap_or_else(|| {
        unknown.add("pipeline");
        String::new()
    });
    PlanHead { name, settings, unknown }
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
    let written = CREDIT_AND_EPOCH.iter().find_map(|(map, key)| root.get(map)?.value.get(key));
    let place = written.map_or(root.place(), Entry::place);
    report
        .warning(&place, "\"memory.credit_bytes\" is below \"commit.epoch_bytes_max\"")
        .detail("readers will stop before an epoch is full, and wait for its interval")
        .hint("let memory.credit_bytes be several times commit.epoch_bytes_max");
}

fn pipeline_name(root: &Node, report: &mut Report) -> Option<String> {
    let entry = root.get("pipeline")?;
    let scalar = entry.value.as_scalar()?;
    let name = scalar.typed.as_str()?;
    if is_name(name, |c| matches!(c, 'a'..='z' | '0'..='9')) {
        return Some(name.to_owned());
    }
    report
        .error(&entry.place(), format!("{:?} cannot be a pipeline's name", scalar.shown()))
        .detail(name_rule("lower-case letters and digits"))
        .hint("the name is part of topic and transaction names");
    None
}

/// Names stand in topics, transactions, metrics and logs.
pub(super) fn is_name(name: &str, is_letter: impl Fn(char) -> bool) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(&is_letter)
        && chars.all(|c| is_letter(c) || matches!(c, '.' | '_' | '-'))
        && name.chars().count() <= NAME_CHARS_MAX
}

pub(super) fn name_rule(letters: &str) -> String {
    format!(
        "expected: {letters}, then also \".\", \"_\" and \"-\"; at most {NAME_CHARS_MAX} characters"
    )
}
