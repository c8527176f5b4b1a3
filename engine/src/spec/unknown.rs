//! Where in a node, or at the top of the file, values stand that were reported.
//!
//! Why paths and not the tree: a plan keeps them when the tree is gone.
//!
//! Invariant: a path is that of a whole value. What lies above it is known only in part, what lies
//! below it is not known at all.
//!
//! Next: `engine/src/spec/view.rs`.

use std::collections::BTreeSet;

use super::tree::{Node, Value};
use super::view::Step;

/// The paths of all values that were reported. In their order a path stands right before what lies
/// below it, so that a file of many mistakes is not searched through at each question.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unknown {
    paths: BTreeSet<Path>,
}

/// Keys, and indices as text: what is a list in a file is no map as well.
type Path = Vec<String>;

impl Unknown {
    /// What is unknown of a tree.
    pub(crate) fn of(node: &Node) -> Self {
        let mut unknown = Self::default();
        unknown.collect(node, &mut Vec::new());
        unknown
    }

    /// Adds a key of the tree's root.
    pub(crate) fn add(&mut self, key: &str) {
        self.paths.insert(vec![key.to_owned()]);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether the value at a path is known with all that it holds.
    pub(crate) fn spares(&self, path: &[Step<'_>]) -> bool {
        let path: Path = path.iter().copied().map(Step::into_text).collect();
        let is_below = |found: &Path| found.starts_with(&path);
        let holds_unknown = self.paths.range(path.clone()..).next().is_some_and(is_below);
        !holds_unknown && !(0..path.len()).any(|length| self.paths.contains(&path[..length]))
    }

    fn collect(&mut self, node: &Node, path: &mut Path) {
        let mut inside = |part: String, node: &Node| {
            path.push(part);
            self.collect(node, path);
            path.pop();
        };
        match &node.value {
            Value::Scalar(_) => {}
            Value::StandIn(_) => drop(self.paths.insert(path.clone())),
            Value::List(items) => {
                items.iter().enumerate().for_each(|(index, item)| inside(index.to_string(), item));
            }
            Value::Map(entries) => {
                entries.iter().for_each(|entry| inside(entry.key.clone(), &entry.value));
            }
        }
    }
}

impl Step<'_> {
    fn into_text(self) -> String {
        match self {
            Step::Key(key) => key.to_owned(),
            Step::Index(index) => index.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_above_or_below_a_reported_value_is_not_spared() {
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Path>();
        let unknown = Unknown { paths: ["a.b", "a.bc.1", "d"].map(path).into() };
        let spares =
            |text: &str| unknown.spares(&text.split('.').map(Step::Key).collect::<Vec<_>>());
        for hidden in ["a", "a.b", "a.b.c", "a.bc", "d", "d.e.f"] {
            assert!(!spares(hidden), "{hidden}");
        }
        for known in ["b", "a.a", "a.bb", "a.bc.0", "a.bc.10", "c", "dd"] {
            assert!(spares(known), "{known}");
        }
        assert!(!unknown.spares(&[Step::Key("a"), Step::Key("bc"), Step::Index(1)]));
        assert!(Unknown::default().spares(&[]));
    }
}
