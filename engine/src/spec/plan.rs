//! A checked pipeline: what the engine builds its dataflow from.
//!
//! Why its fields are private: whoever holds a [`Plan`] may rely on every check of this module
//! having passed, because [`load`](super::load()) is the only way to one. A kind's plan check alone
//! sees plans of files with mistakes: parts, which say of themselves what is unknown.
//!
//! Invariants
//! 1. Nodes stand in topological order, sources first: a node's inputs have smaller indices.
//! 2. Node names are unique; every node but a sink is read by another one, if it is no part.
//! 3. A node's config has the type its kind's check function gave it.
//! 4. Of a plan that has been loaded everything is known.
//!
//! Next: `engine/src/dataflow/` turns it into operators.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

use super::preset::AppliedPreset;
use super::registry::{Role, StreamType};
use super::settings::Settings;
use super::unknown::Unknown;
use super::view::Step;

/// A pipeline that has passed every check.
#[derive(Debug)]
pub struct Plan {
    name: String,
    settings: Settings,
    nodes: Vec<PlanNode>,
    outputs: Vec<Vec<usize>>,
    unknown: Unknown,
}

/// One node of a plan.
#[derive(Clone)]
pub struct PlanNode {
    /// Its place in [`Plan::nodes`].
    pub index: usize,
    /// Its name in the file.
    pub name: String,
    /// The section of the file it stands in.
    pub role: Role,
    /// Its kind, as registered.
    pub kind: &'static str,
    /// The indices of the nodes it reads, in the order of `from`; empty for a source.
    pub inputs: Vec<usize>,
    /// Its checked config; see [`PlanNode::config`].
    pub config: Arc<dyn Any + Send + Sync>,
    /// The type of the records it gives; none for a sink.
    pub output: Option<StreamType>,
    /// The preset it names, and what that gave.
    pub preset: Option<Arc<AppliedPreset>>,
    pub(crate) unknown: Unknown,
}

/// What the top of a file says of its pipeline.
#[derive(Debug)]
pub(crate) struct PlanHead {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) unknown: Unknown,
}

impl Plan {
    pub(crate) fn new(head: PlanHead, nodes: Vec<PlanNode>) -> Self {
        let PlanHead { name, settings, unknown } = head;
        let mut outputs = vec![Vec::new(); nodes.len()];
        for (position, node) in nodes.iter().enumerate() {
            assert_eq!(node.index, position, "a node's index is its position");
            for &input in &node.inputs {
                assert!(input < position, "inputs stand before their reader");
                outputs[input].push(position);
            }
        }
        Self { name, settings, nodes, outputs, unknown }
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings of the whole pipeline.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the value at a path of the top level is as the file says, for example
    /// `["commit", "interval_ms"]` or `["pipeline"]`; a plan check must not rely on any other.
    pub fn knows(&self, path: &[&str]) -> bool {
        knows(&self.unknown, path)
    }

    /// All nodes in topological order, sources first.
    pub fn nodes(&self) -> &[PlanNode] {
        &self.nodes
    }

    /// The node of a name.
    pub fn node(&self, name: &str) -> Option<&PlanNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The nodes that a node reads.
    pub fn inputs(&self, node: &PlanNode) -> impl Iterator<Item = &PlanNode> {
        node.inputs.iter().map(|&index| &self.nodes[index])
    }

    /// The nodes that read a node.
    pub fn outputs(&self, node: &PlanNode) -> impl Iterator<Item = &PlanNode> {
        self.outputs[node.index].iter().map(|&index| &self.nodes[index])
    }

    /// The nodes of one section, in topological order.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &PlanNode> {
        self.nodes.iter().filter(move |node| node.role == role)
    }
}

impl PlanNode {
    /// Whether the value at a path of its keys is as the file says; a plan check must not rely on
    /// any other.
    pub fn knows(&self, path: &[&str]) -> bool {
        knows(&self.unknown, path)
    }

    /// The node's config as the type its kind's check function made.
    ///
    /// # Panics
    /// When `T` is not that type, which is a mistake in the kind's own code.
    pub fn config<T: 'static>(&self) -> &T {
        match self.config.downcast_ref() {
            Some(config) => config,
            None => panic!(
                "the check of kind `{}` gives the config type its operator reads, not {}",
                self.kind,
                type_name::<T>()
            ),
        }
    }
}

fn knows(unknown: &Unknown, path: &[&str]) -> bool {
    let steps: Vec<Step<'_>> = path.iter().map(|key| Step::Key(key)).collect();
    unknown.spares(&steps)
}

/// Leaves the config out: it may hold secrets.
impl fmt::Debug for PlanNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanNode")
            .field("index", &self.index)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("kind", &self.kind)
            .field("inputs", &self.inputs)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}
