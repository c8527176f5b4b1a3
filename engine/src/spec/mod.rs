//! Pipeline files: text → tree with spans → checks that collect → [`Plan`].
//!
//! Why apart from the operators: this module knows the shape of a file and of a graph, and
//! nothing of gRPC or Kafka. Kinds are registered from outside as [`KindEntry`] values: a schema
//! (generated from the config type that serde reads), a sentence for the reference, and a
//! function that checks what a schema cannot say.
//!
//! | step | file | in → out |
//! |---|---|---|
//! | parse | `yaml` | text → `tree` |
//! | resolve | `interpolate`, `properties` | `${…}` → text, kept in `secrets` |
//! | presets | `preset` | keys that a kind ships for known APIs, under the file's own |
//! | change | `change` | for a command that runs a file in another way than it says |
//! | shape | `shape/`, `schema` | tree against the kinds' schemas; what is wrong is mended |
//! | take apart | `document`, `draft` | name, settings, a draft of every node |
//! | graph | `graph` | `from` → edges, in topological order |
//! | meaning | `typing`, `registry` | each kind's own check, with the types of its inputs |
//! | plan | `plan` | what the engine builds from |
//! | later | `recheck` | a node's check again, of a list that changes while it runs |
//!
//! Invariants
//! 1. Every step reports all it finds, and a later step runs for all that is still intact: a
//!    value that was reported is mended with a stand-in ([`NodeView::knows`]). So one run tells
//!    every mistake of a file, and no finding is only the consequence of another.
//! 2. Nothing is contacted: what a file names with `${…}` is read, no socket is opened. What only
//!    a server knows is handed out as a [`Question`].
//! 3. Only [`load()`] and its kin make a [`Plan`]; changes come before every check.
//!
//! Next: `engine/src/spec/load.rs`.

mod change;
mod diagnostic;
mod document;
mod draft;
mod graph;
mod interpolate;
mod limits;
mod load;
mod nearest;
mod plan;
mod preset;
mod properties;
mod publish;
mod recheck;
mod reference;
mod registry;
mod render;
mod schema;
mod secrets;
mod settings;
mod shape;
mod tree;
mod typing;
mod unknown;
mod variables;
mod view;
mod yaml;

pub use change::Values;
pub use diagnostic::{Diagnostic, Place, Report, Severity, Span};
pub use limits::*;
pub use load::{Loaded, Outline, Question, Source, load, load_changed, load_or_outline};
pub use plan::{Plan, PlanNode};
pub use preset::{AppliedPreset, Preset};
pub use properties::parse as parse_properties;
pub use publish::document_schema;
pub use recheck::{ListForm, Recheck};
pub use reference::reference_markdown;
pub use registry::{
    Checked, Encoding, KindEntry, PlanCheck, PlanProblem, Registry, Role, StreamFacts, StreamType,
};
pub use render::Diagnostics;
pub use schema::schema_of;
pub use settings::{
    CommitSettings, MemorySettings, ProgressMissing, Requirement, Settings, TakeoverSettings,
    WhenSuperseded,
};
pub use variables::{SystemVariables, Variables};
pub use view::{NodeView, Step};
