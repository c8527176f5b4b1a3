//! The kinds of operators a pipeline file may name, as their crates register them.
//!
//! Why functions in a table: the engine must not know gRPC or Kafka, and a kind must be
//! declared once. One [`KindEntry`] feeds the checker, the published schema and the reference.
//!
//! Invariants
//! 1. A (role, name) pair is registered once.
//! 2. A kind's schema uses only keywords that `shape` checks, so that a file that passes it is
//!    a file that serde accepts.
//! 3. A check function sees a value that fits the schema. Where the file's own value did not, a
//!    stand-in is in its place, and [`NodeView::knows`] says so.
//!
//! Next: `operators/src/registry.rs` holds the entries.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};

use super::diagnostic::Report;
use super::nearest::nearest;
use super::plan::Plan;
use super::preset::{Preset, PresetsOf};
use super::schema::{Catalogue, KindSchema};
use super::view::NodeView;

/// What a node does; each role is a section of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Receives records from outside.
    Source,
    /// Turns messages into records a sink can take.
    Decoder,
    /// Changes or drops records.
    Transform,
    /// Delivers records.
    Sink,
}

/// How the records on an edge are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Undecoded protobuf messages, as a source gives them.
    Messages,
    /// One JSON document a record.
    Json,
    /// The message's own bytes, passed on untouched.
    Raw,
}

/// The type of the records on an edge.
#[derive(Clone)]
pub struct StreamType {
    /// How the records are encoded.
    pub encoding: Encoding,
    /// The full name of the message, for example `bench.v1.Event`.
    pub name: String,
    /// What else a reader needs, for example the message's descriptor; opaque to the engine.
    pub schema: Option<Arc<dyn Any + Send + Sync>>,
}

/// What is known of the records on an edge. What a mistake before the edge hides is none, and
/// nothing may be said of it.
#[derive(Clone, Default)]
pub struct StreamFacts {
    /// How the records are encoded.
    pub encoding: Option<Encoding>,
    /// The full name of the message.
    pub name: Option<String>,
    /// What else a reader needs; opaque to the engine.
    pub schema: Option<Arc<dyn Any + Send + Sync>>,
}

/// One kind of operator.
#[derive(Clone, Copy)]
pub struct KindEntry {
    /// The section it belongs to.
    pub role: Role,
    /// Its name in the file.
    pub name: &'static str,
    /// One sentence for the reference and for hints.
    pub summary: &'static str,
    /// The schema of its config struct (without `kind` and `from`): `schema_of::<Config>`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Checks what the schema cannot say; none if a mistake leaves nothing to go by.
    pub check: fn(&NodeView<'_>, &mut Report) -> Option<Checked>,
}

/// What a kind's check function found out, with or without a mistake.
///
/// After a mistake it goes no further than the loader: what is known serves to check the nodes
/// behind this one, and the plan as a whole.
#[derive(Clone)]
pub struct Checked {
    config: Option<Arc<dyn Any + Send + Sync>>,
    output: StreamFacts,
    refused: Vec<&'static str>,
    question: Option<Arc<dyn Any + Send + Sync>>,
}

/// All kinds, built once from their entries.
#[derive(Debug)]
pub struct Registry {
    entries: Vec<KindEntry>,
    catalogue: Catalogue,
    plan_check: PlanCheck,
    presets: Vec<PresetsOf>,
}

/// Something that is wrong with a plan as a whole, although each of its nodes may be sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanProblem {
    /// The node it is reported at.
    pub node: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Finds all problems of a plan as a whole.
///
/// The plan may be one of a file with mistakes. It then lacks the nodes of which too little is
/// known, and says of the others what is unknown: [`Plan::knows`] and
/// [`PlanNode::knows`](super::PlanNode::knows). A problem must be one that no further node and no
/// other value of an unknown key could take away.
pub type PlanCheck = fn(&Plan) -> Vec<PlanProblem>;

// === impl Checked ===

impl Checked {
    /// A node that gives records, with its typed config: the plan's
    /// [`PlanNode::config`](super::PlanNode::config).
    pub fn new<T: Any + Send + Sync>(config: T, output: impl Into<StreamFacts>) -> Self {
        let output = output.into();
        Self { config: Some(Arc::new(config)), output, refused: Vec::new(), question: None }
    }

    /// A sink with its typed config.
    pub fn sink<T: Any + Send + Sync>(config: T) -> Self {
        Self::new(config, StreamFacts::default())
    }

    /// A node that a mistake leaves without a config: only what is known of its records.
    pub fn refused(output: impl Into<StreamFacts>) -> Self {
        Self { config: None, output: output.into(), refused: Vec::new(), question: None }
    }

    /// The same, but that a key holds a mistake of meaning: the config says nothing of it, and no
    /// plan check may rely on it.
    #[must_use]
    pub fn without(mut self, key: &'static str) -> Self {
        self.refused.push(key);
        self
    }

    /// The same, but that something outside must be asked before the node can be checked in full.
    /// Whoever loads the file gets the question, and loads it again with the answer put into its
    /// values.
    #[must_use]
    pub fn asking<Q: Any + Send + Sync>(self, question: Q) -> Self {
        Self { question: Some(Arc::new(question)), ..self }
    }

    pub(crate) fn question(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.question.as_ref()
    }

    pub(crate) fn refused_keys(&self) -> impl Iterator<Item = &'static str> {
        self.refused.iter().copied()
    }

    pub(crate) fn config(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.config.as_ref()
    }

    pub(crate) fn output(&self) -> &StreamFacts {
        &self.output
    }

    /// Whether it is all that the plan needs of a node of this role.
    pub(crate) fn is_whole(&self, role: Role) -> bool {
        self.config.is_some() && self.output.to_type().is_some() == role.has_output()
    }
}

impl StreamFacts {
    /// The type, if nothing of it is hidden.
    pub fn to_type(&self) -> Option<StreamType> {
        let (encoding, name) = (self.encoding?, self.name.clone()?);
        Some(StreamType { encoding, name, schema: self.schema.clone() })
    }
}

impl From<StreamType> for StreamFacts {
    fn from(stream: StreamType) -> Self {
        let StreamType { encoding, name, schema } = stream;
        Self { encoding: Some(encoding), name: Some(name), schema }
    }
}

// === impl Role ===

impl Role {
    /// All roles in the order of a record's way.
    pub const ALL: [Role; 4] = [Role::Source, Role::Decoder, Role::Transform, Role::Sink];

    /// The section of the file that holds nodes of this role.
    pub fn section(self) -> &'static str {
        match self {
            Role::Source => "sources",
            Role::Decoder => "decoders",
            Role::Transform => "transforms",
            Role::Sink => "sinks",
        }
    }

    /// The word for one node of this role.
    pub fn noun(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Decoder => "decoder",
            Role::Transform => "transform",
            Role::Sink => "sink",
        }
    }

    /// Whether its nodes read other nodes; a source does not.
    pub fn has_inputs(self) -> bool {
        self != Role::Source
    }

    /// Whether its nodes give records to other nodes; a sink does not.
    pub fn has_output(self) -> bool {
        self != Role::Sink
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun())
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Messages => "undecoded messages",
            Encoding::Json => "JSON",
            Encoding::Raw => "raw bytes",
        })
    }
}

impl fmt::Debug for StreamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamType({} of {})", self.encoding, self.name)
    }
}

impl fmt::Debug for StreamFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamFacts({:?} of {:?})", self.encoding, self.name)
    }
}

impl fmt::Debug for KindEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KindEntry({} {})", self.role, self.name)
    }
}

// === impl Registry ===

impl Registry {
    /// Builds the registry and the schemas of all its kinds.
    ///
    /// # Panics
    /// When a kind is registered twice, or its schema is not that of an object or uses a keyword
    /// that is not checked. All are mistakes in the program that any run of it shows.
    pub fn new(entries: impl IntoIterator<Item = KindEntry>) -> Self {
        let entries: Vec<KindEntry> = entries.into_iter().collect();
        for (index, entry) in entries.iter().enumerate() {
            let twice =
                entries[..index].iter().any(|e| e.role == entry.role && e.name == entry.name);
            assert!(!twice, "{entry:?} is registered once");
        }
        let (catalogue, presets) = (Catalogue::new(&entries), Vec::new());
        Self { catalogue, entries, plan_check: |_| Vec::new(), presets }
    }

    /// The same kinds, and a check of whole plans: what no node can know of the others.
    #[must_use]
    pub fn with_plan_check(self, plan_check: PlanCheck) -> Self {
        Self { plan_check, ..self }
    }

    /// The same kinds, and presets for one of them, which must have a key `preset`.
    #[must_use]
    pub fn with_presets(
        mut self,
        role: Role,
        kind: &'static str,
        presets: &'static [Preset],
    ) -> Self {
        self.presets.push(PresetsOf { role, kind, presets });
        self
    }

    /// All entries in the order of registration.
    pub fn entries(&self) -> &[KindEntry] {
        &self.entries
    }

    /// The entry of a kind.
    pub fn get(&self, role: Role, name: &str) -> Option<&KindEntry> {
        self.of_role(role).find(|entry| entry.name == name)
    }

    /// The registered name nearest to a wrong one, if one is near.
    pub fn nearest(&self, role: Role, name: &str) -> Option<&'static str> {
        nearest(name, self.of_role(role).map(|entry| entry.name))
    }

    /// The kinds of one role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &KindEntry> {
        self.entries.iter().filter(move |entry| entry.role == role)
    }

    pub(crate) fn presets(&self) -> &[PresetsOf] {
        &self.presets
    }

    pub(crate) fn plan_problems(&self, plan: &Plan) -> Vec<PlanProblem> {
        (self.plan_check)(plan)
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    pub(crate) fn schema(&self, entry: &KindEntry) -> &KindSchema {
        self.catalogue.kind(entry.role, entry.name)
    }
}
