//! What a kind's check function sees of its node: typed config, inputs, and places to point at.
//!
//! Invariants
//! 1. The config fits its kind's schema. What the file says in another way was reported, and is a
//!    stand-in here: [`NodeView::knows`].
//! 2. A finding at a value that was reported is not shown. So a check needs to ask only where a
//!    finding at one key depends on the value of another.

use std::any::type_name;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::diagnostic::{Place, Report};
use super::registry::{Role, StreamFacts};
use super::tree::{Entry, Node, Value};
use super::unknown::Unknown;

/// One step of a path into a node's config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The value of a key.
    Key(&'a str),
    /// An item of a list, counted from 0.
    Index(usize),
}

/// What a check function sees of its node.
pub struct NodeView<'a> {
    /// The node's name in the file.
    pub name: &'a str,
    /// The section it stands in.
    pub role: Role,
    /// Its kind.
    pub kind: &'static str,
    /// The nodes it reads and what is known of their records, in the order of `from`; fewer where
    /// `from` holds a mistake.
    pub inputs: &'a [(String, StreamFacts)],
    /// Its resolved config without `kind` and `from`. May hold secrets: see
    /// [`NodeView::is_secret`].
    pub value: &'a Json,
    pub(crate) key: &'a Entry,
    pub(crate) tree: &'a Node,
    pub(crate) unknown: &'a Unknown,
    pub(crate) base_dir: &'a Path,
}

impl<'a> NodeView<'a> {
    /// The config as its type.
    ///
    /// The value fits the type's schema, so this fails only where the type demands more than its
    /// schema says; the reason then becomes a diagnostic at the node.
    pub fn parse<T: DeserializeOwned>(&self, report: &mut Report) -> Option<T> {
        match serde_json::from_value(self.value.clone()) {
            Ok(config) => Some(config),
            Err(error) => {
                let subject = format!("{} {:?} cannot be read", self.role, self.name);
                let expected = type_name::<T>().rsplit("::").next().unwrap_or_default();
                // A stand-in may be what it demands more of.
                let place = match self.unknown.is_empty() {
                    true => self.place(),
                    false => self.place().reported(),
                };
                report
                    .error(&place, subject)
                    .detail(format!("expected: the keys of {expected}: {error}"));
                None
            }
        }
    }

    /// Whether the value at the path is as the file says, with all that it holds. If not, it was
    /// reported, and a stand-in was read: no finding at another key may depend on it. That the
    /// key is given is known all the same, unless it is one that must be.
    pub fn knows<'p, P: Copy + Into<Step<'p>>>(&self, path: &[P]) -> bool {
        let steps: Vec<Step<'p>> = path.iter().map(|step| (*step).into()).collect();
        self.unknown.spares(&steps)
    }

    /// The place of the node itself: its name in the file.
    pub fn place(&self) -> Place {
        self.key.key_place()
    }

    /// A place inside the node's config: the value at the path, or its key if the value spreads
    /// over lines. Where the path leaves the config, the place of the nearest parent.
    ///
    /// `view.at(&["tls", "ca_file"])`, or with [`Step`]s where a list is crossed. An index may
    /// also be written as a text of digits.
    pub fn at<'p, P: Copy + Into<Step<'p>>>(&self, path: &[P]) -> Place {
        let mut place = self.place();
        let mut node = self.tree;
        for step in path {
            let Some((next_node, next_place)) = descend(node, (*step).into()) else {
                break;
            };
            (node, place) = (next_node, next_place);
        }
        place
    }

    /// The place of a key; where the path leaves the config, of the nearest parent's key.
    pub fn at_key<'p, P: Copy + Into<Step<'p>>>(&self, path: &[P]) -> Place {
        let mut place = self.place();
        let mut node = self.tree;
        for step in path {
            // A key stands, whatever was reported of its value; what it holds does not.
            if node.is_stand_in() {
                return place.reported();
            }
            let step = (*step).into();
            let Some((next_node, next_place)) = descend(node, step) else {
                break;
            };
            place = match step {
                Step::Key(key) => node.get(key).map_or(next_place, Entry::key_place),
                Step::Index(_) => next_place,
            };
            node = next_node;
        }
        place
    }

    /// The folder of the pipeline file: relative paths in the file are relative to it.
    pub fn base_dir(&self) -> &'a Path {
        self.base_dir
    }

    /// Whether the value at the path, or anything in it, came from an interpolation. Such a
    /// value must not be shown.
    pub fn is_secret<'p, P: Copy + Into<Step<'p>>>(&self, path: &[P]) -> bool {
        let mut node = self.tree;
        for step in path {
            match descend(node, (*step).into()) {
                Some((next, _)) => node = next,
                None => return false,
            }
        }
        node.is_secret()
    }
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Step::Key(key)
    }
}

impl<'a> From<&'a String> for Step<'a> {
    fn from(key: &'a String) -> Self {
        Step::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Step::Index(index)
    }
}

fn descend<'t>(node: &'t Node, step: Step<'_>) -> Option<(&'t Node, Place)> {
    let (next, place) = child(node, step)?;
    Some((next, if next.is_stand_in() { place.reported() } else { place }))
}

fn child<'t>(node: &'t Node, step: Step<'_>) -> Option<(&'t Node, Place)> {
    match (&node.value, step) {
        (Value::Map(_), Step::Key(key)) => node.get(key).map(|entry| (&entry.value, entry.place())),
        (Value::List(items), Step::Index(index)) => items.get(index).map(|i| (i, i.place())),
        (Value::List(items), Step::Key(key)) => {
            let item = key.parse::<usize>().ok().and_then(|index| items.get(index));
            item.map(|item| (item, item.place()))
        }
        (Value::Map(_), Step::Index(_)) | (Value::Scalar(_) | Value::StandIn(_), _) => None,
    }
}
