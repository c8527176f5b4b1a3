//! Single-message transformations → filters, steps on fields, and keys of the sink.
//!
//! The chain is walked as a record would pass it, with what is known of every record: its topic,
//! its headers, whether it still has a value, and which field of the message a field of the value
//! came from. So predicates on topics and headers are answered here, once, and keys and headers can
//! be taken from the message itself, which is where the sink takes them from.
//!
//! Next: `transform.rs` for each class, `predicate.rs`, `topic.rs`.

mod names;
mod predicate;
mod topic;
mod transform;

use super::reader::Reader;
use super::source::SourcePart;
use crate::connect::kind::trim;
use crate::connect::mistake::Mistake;
use crate::connect::plugins::{self, Role};
use names::Names;
use predicate::Verdict;
use serde_json::Value as Json;
use std::collections::BTreeMap;
pub(super) use topic::whole;

/// What the chain comes to.
pub(super) struct Chain {
    /// Behind the decoder, in this order.
    pub(super) nodes: Vec<ChainNode>,
    /// The record's key.
    pub(super) key: Key,
    /// Headers with a fixed value.
    pub(super) fixed_headers: BTreeMap<String, String>,
    /// Headers with the value of a field, by the field's path.
    pub(super) field_headers: BTreeMap<String, String>,
    /// The topic.
    pub(super) topic: String,
    /// How the topic of each record is named, if not all go to one.
    pub(super) route: Option<Route>,
}

/// A node between decoder and sink.
pub(super) enum ChainNode {
    /// Changes fields.
    Steps(Vec<Json>),
    /// Drops records without a value, or all others.
    Tombstones(&'static str),
}

/// The record's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// It has none.
    None,
    /// An object of fields, by name: the path of each.
    Object(BTreeMap<String, String>),
    /// One field.
    Field(String),
}

/// A topic for each record.
pub(super) struct Route {
    pub(super) name: String,
    pub(super) timestamp_format: String,
}

/// Where the walk is.
struct Walk<'r, 'a> {
    reader: &'r mut Reader<'a>,
    chain: Chain,
    names: Names,
    /// Whether the topic is known.
    is_topic_known: bool,
    /// Whether records may have lost their value.
    may_be_tombstone: bool,
    /// The transformation that is looked at, for mistakes.
    prefix: String,
}

impl Chain {
    /// Whether values are changed.
    pub(super) fn has_steps(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node, ChainNode::Steps(_)))
    }

    /// Whether records have headers.
    pub(super) fn has_headers(&self) -> bool {
        !self.fixed_headers.is_empty() || !self.field_headers.is_empty()
    }
}

pub(super) fn read(source: &SourcePart, reader: &mut Reader<'_>) -> Chain {
    let chain = Chain {
        nodes: Vec::new(),
        key: Key::None,
        fixed_headers: BTreeMap::new(),
        field_headers: BTreeMap::new(),
        topic: source.topic.name.clone(),
        route: None,
    };
    let message = source.known.as_ref().map(|method| method.output());
    let mut walk = Walk {
        chain,
        names: Names::new(message),
        is_topic_known: !source.topic.is_reference,
        may_be_tombstone: false,
        prefix: String::new(),
        reader,
    };
    let aliases = walk.reader.list("transforms");
    let predicates = walk.reader.list("predicates");
    for alias in &aliases {
        walk.prefix = format!("transforms.{alias}.");
        walk.transformation();
    }
    for alias in &predicates {
        walk.read_predicate(alias);
    }
    walk.reader.pass_over("transforms");
    walk.chain
}

impl Walk<'_, '_> {
    fn transformation(&mut self) {
        let kind = self.key("type");
        self.reader.pass_over(&self.key("plugin.version"));
        let Some(class) = self.class(&kind) else { return };
        let verdict = self.verdict();
        if class.ends_with(".Filter") {
            return self.filter(verdict);
        }
        match verdict {
            Verdict::Always => self.apply(class),
            Verdict::Never => {
                self.skip(class);
                let told = "is left out: its predicate holds of no record".to_owned();
                self.reader.note(&kind, told);
            }
            // What has no value passes steps on values as it is.
            Verdict::Tombstones { dropped: false } if transform::is_step(class) => {
                self.apply(class);
            }
            Verdict::Tombstones { .. } => {
                self.skip(class);
                let told = "applies to some records, by whether they have a value";
                let told = Mistake::of(&kind, told);
                self.reader
                    .mistake(told.hint("leave the predicate out, or drop tombstones before"));
            }
            Verdict::Unknown => self.skip(class),
        }
    }

    /// The class; what is wrong with it was told by the validation, unless it is a connector's own.
    fn class(&mut self, key: &str) -> Option<&'static str> {
        let name = self.reader.known(key)?;
        let class = plugins::class(trim(&name)).filter(|it| plugins::is(it, Role::Transformation));
        if class.is_none() {
            let told = Mistake::of(key, format!("the transformation {name:?} is not known"));
            let hint = match plugins::extending(trim(&name)).as_slice() {
                [] => "those of Apache Kafka are known; docs/MIGRATION.md lists what they become"
                    .to_owned(),
                those => format!("did you mean {}?", those.join(" or ")),
            };
            self.reader.mistake(told.hint(hint));
            self.skip_all();
        }
        class
    }

    /// The full name of a key of the transformation.
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.reader.text(&self.key(name))
    }

    fn list(&mut self, name: &str) -> Vec<String> {
        self.reader.list(&self.key(name))
    }

    /// Refuses the transformation for one of its keys.
    fn refuse(&mut self, name: &str, message: impl Into<String>, hint: impl Into<String>) {
        let told = Mistake::of(self.key(name), message);
        self.reader.mistake(told.hint(hint));
    }

    /// Counts the class's keys as read.
    fn skip(&mut self, class: &str) {
        for key in plugins::chain_keys(class) {
            self.reader.pass_over(&self.key(&key.name));
        }
    }

    fn skip_all(&mut self) {
        for key in self.reader.keys_from(&self.prefix) {
            self.reader.pass_over(&key);
        }
    }

    fn filter(&mut self, verdict: Verdict) {
        let kind = self.key("type");
        let everything = "drops every record";
        match verdict {
            Verdict::Never => {
                let told = "drops nothing, because its predicate holds of no record".to_owned();
                self.reader.note(&kind, told);
            }
            Verdict::Always => {
                self.refuse("type", everything, "leave the connector out, or the filter");
            }
            Verdict::Tombstones { dropped } => {
                let rule = if dropped { "drop" } else { "keep_only" };
                self.chain.nodes.push(ChainNode::Tombstones(rule));
                self.may_be_tombstone = !dropped;
            }
            Verdict::Unknown => {}
        }
    }

    /// Adds a step on the value's fields.
    fn step(&mut self, step: Json) {
        match self.chain.nodes.last_mut() {
            Some(ChainNode::Steps(steps)) => steps.push(step),
            _ => self.chain.nodes.push(ChainNode::Steps(vec![step])),
        }
    }

    /// The path, in the message, of what is a field of the value now.
    fn path(&mut self, name: &str, field: &str) -> Option<String> {
        match self.names.path(field) {
            Ok(path) => Some(path),
            Err(why) => {
                let told = format!("field {field:?} {why}");
                self.refuse(name, told, "name a field of the message, before it is changed");
                None
            }
        }
    }
}
