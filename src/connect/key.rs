//! One key of a configuration: its type, default, rule, and what clients show of it.
//!
//! The documentation is in our own words; all else is as Kafka Connect 4.1 and the connector
//! define it, because clients draw forms of it.
//!
//! Next: `definition/` lists the keys, `validate.rs` asks them.

use super::kind::Kind;
use super::rule::Rule;
use serde::Serialize;
use std::borrow::Cow;

/// How much a key matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Importance {
    /// Most users set it.
    High,
    /// Some do.
    Medium,
    /// Few do.
    Low,
}

/// How wide a form's field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Width {
    /// Nobody said.
    None,
    /// A few letters.
    Short,
    /// A word or two.
    Medium,
    /// A line.
    Long,
}

/// What a key is when nobody sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// It must be set.
    Required,
    /// Nothing.
    Null,
    /// This.
    Text(Cow<'static, str>),
}

/// One key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) default: Default,
    pub(super) rule: Rule,
    pub(super) importance: Importance,
    pub(super) group: Option<Cow<'static, str>>,
    pub(super) order: i32,
    pub(super) width: Width,
    pub(super) display_name: Cow<'static, str>,
    pub(super) documentation: Cow<'static, str>,
    /// What may be chosen, where that is a list.
    pub(super) recommended: Vec<String>,
}

/// A key as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it has no default.
    pub required: bool,
    /// Its default as text.
    pub default_value: Option<String>,
    /// How much it matters.
    pub importance: Importance,
    /// What it does.
    pub documentation: String,
    /// The part of a form it stands in.
    pub group: Option<String>,
    /// How wide its field is.
    pub width: Width,
    /// What a form calls it.
    pub display_name: String,
    /// Keys that depend on it; none of ours do.
    pub dependents: Vec<String>,
    /// Its place within the group.
    pub order: i32,
}

impl Key {
    /// A key without a group, as connectors and transformations define most of theirs.
    pub(super) fn plain(name: &'static str, kind: Kind, importance: Importance) -> Self {
        Key {
            name: name.into(),
            kind,
            default: Default::Null,
            rule: Rule::None,
            importance,
            group: None,
            order: -1,
            width: Width::None,
            display_name: name.into(),
            documentation: "".into(),
            recommended: Vec::new(),
        }
    }

    pub(super) fn required(mut self) -> Self {
        self.default = Default::Required;
        self
    }

    pub(super) fn default(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.default = Default::Text(text.into());
        self
    }

    pub(super) fn rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    pub(super) fn says(mut self, documentation: impl Into<Cow<'static, str>>) -> Self {
        self.documentation = documentation.into();
        self
    }

    /// Where it stands in a form.
    pub(super) fn shown(
        mut self,
        group: impl Into<Cow<'static, str>>,
        order: i32,
        width: Width,
        display_name: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.group = Some(group.into());
        self.order = order;
        self.width = width;
        self.display_name = display_name.into();
        self
    }

    pub(super) fn recommended(mut self, values: Vec<String>) -> Self {
        self.recommended = values;
        self
    }

    /// As clients see it.
    pub(super) fn info(&self) -> KeyInfo {
        let default_value = match &self.default {
            Default::Text(text) => Some(text.to_string()),
            _ => None,
        };
        KeyInfo {
            name: self.name.to_string(),
            kind: self.kind,
            required: self.default == Default::Required,
            default_value,
            importance: self.importance,
            documentation: self.documentation.to_string(),
            group: self.group.as_ref().map(ToString::to_string),
            width: self.width,
            display_name: self.display_name.to_string(),
            dependents: Vec::new(),
            order: self.order,
        }
    }
}

/// The order in which Connect takes the keys of a plug-in into a connector's own.
pub(super) fn sorted(mut keys: Vec<Key>) -> Vec<Key> {
    let mut groups: Vec<String> = Vec::new();
    for group in keys.iter().filter_map(|key| key.group.as_ref()) {
        if !groups.contains(&group.to_string()) {
            groups.push(group.to_string());
        }
    }
    let place =
        |key: &Key| key.group.as_ref().map(|group| groups.iter().position(|it| it == group));
    keys.sort_by(|one, other| {
        let has_default = |key: &Key| key.default != Default::Required;
        (place(one).cmp(&place(other)))
            .then_with(|| one.order.cmp(&other.order))
            .then_with(|| has_default(one).cmp(&has_default(other)))
            .then_with(|| one.importance.cmp(&other.importance))
            .then_with(|| one.name.cmp(&other.name))
    });
    keys
}
