//! Where a walk stands, for messages and for their places.

use super::super::diagnostic::Place;
use super::super::tree::{Entry, Node};

/// Where the walk stands: the keys that led here, for messages, and a place.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    /// The path of keys from the node or the top of the file; empty at its root.
    pub(super) path: String,
    /// What the root is called in messages, for example `source "events"`.
    subject: String,
    pub(super) place: Place,
    pub(super) key_place: Place,
}

impl Spot {
    /// The root of a walk.
    pub(crate) fn root(subject: String, place: Place) -> Self {
        Self { path: String::new(), subject, place, key_place: place }
    }

    /// The spot of a key's value.
    pub(crate) fn entry(&self, entry: &Entry) -> Self {
        Self {
            path: self.path_of(&entry.key),
            subject: self.subject.clone(),
            place: entry.place(),
            key_place: entry.key_place(),
        }
    }

    pub(super) fn item(&self, index: usize, item: &Node) -> Self {
        let path = format!("{}[{index}]", self.path);
        let place = item.place();
        Self { path, subject: self.subject.clone(), place, key_place: place }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What a message calls the value.
    pub(super) fn name(&self) -> String {
        if self.path.is_empty() { self.subject.clone() } else { format!("key {:?}", self.path) }
    }
}
