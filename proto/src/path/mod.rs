//! One field of a message, named by a path and found on the wire.
//!
//! Why compiled: a resume cursor and a Kafka key are read from every message, so the path is
//! checked against the descriptor once and reading is one pass that skips what it does not need.
//!
//! Next: `transcode/mod.rs` turns the whole message into JSON.

mod compile;
mod find;
mod items;
mod parse;
mod spread;

use std::borrow::Cow;
use std::fmt;

use prost_reflect::{FieldDescriptor, MessageDescriptor};

use crate::wire::WireError;
use compile::{Access, Step};
pub use items::ItemsPath;
pub use spread::SpreadPath;

/// A path to one field, compiled against a message type.
///
/// `a.b`, `events[-1].replay_id`, `items[3]`, `labels["site"].x`: names are proto or JSON names,
/// and a member of a oneof is named like any other field.
#[derive(Clone)]
pub struct FieldPath {
    text: String,
    steps: Vec<Step>,
    kind: LeafKind,
    message: Option<MessageDescriptor>,
}

/// A path to a whole list or map, whose elements are counted.
#[derive(Clone)]
pub(crate) struct ListPath {
    text: String,
    steps: Vec<Step>,
}

/// What sort of value a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeafKind {
    /// A bool.
    Bool,
    /// Any signed integer.
    Int,
    /// Any unsigned integer.
    Uint,
    /// A float or double.
    Float,
    /// A string.
    Text,
    /// Bytes.
    Bytes,
    /// An enum value.
    Enum,
    /// A message, encoded.
    Message,
}

/// A value found on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaf<'a> {
    /// A bool.
    Bool(bool),
    /// Any signed integer.
    Int(i64),
    /// Any unsigned integer.
    Uint(u64),
    /// A float or double.
    Float(f64),
    /// A string.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An enum value's number.
    Enum(i32),
    /// A message, encoded; owned only where several occurrences had to be merged.
    Message(Cow<'a, [u8]>),
}

/// A `google.protobuf.Timestamp`, as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: i32,
}

/// A path does not fit its message type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PathError {
    /// Byte offset in the path's text, from 0, where it goes wrong.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
    /// The nearest field name, or what to do.
    pub hint: Option<String>,
}

impl FieldPath {
    /// Compiles `text` against `message`.
    pub fn compile(message: &MessageDescriptor, text: &str) -> Result<FieldPath, PathError> {
        Self::compile_with_field(message, text).map(|(path, _)| path)
    }

    /// The same, with the field the path ends in.
    pub(crate) fn compile_with_field(
        message: &MessageDescriptor,
        text: &str,
    ) -> Result<(FieldPath, FieldDescriptor), PathError> {
        compile::compile(message, text)
    }

    /// What sort of value the path leads to.
    pub fn kind(&self) -> LeafKind {
        self.kind
    }

    /// Whether the path leads to a `google.protobuf.Timestamp`.
    pub fn is_timestamp(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.full_name() == TIMESTAMP)
    }

    /// The message type the path leads to, if it leads to a message.
    pub fn message(&self) -> Option<&MessageDescriptor> {
        self.message.as_ref()
    }

    /// Whether a default that [`FieldPath::find`] gives may stand for a field that was never set:
    /// one of the message itself, without presence. Deeper, a parent that is on the wire says that
    /// its field has this value; without one nothing is found.
    pub fn may_be_unset(&self) -> bool {
        matches!(self.steps.as_slice(), [only] if only.default.is_some())
    }

    /// The numbers of the fields on the way, for who writes a message in which the path finds
    /// something. `None` where one element of each list does not suffice for that: the path names
    /// a later one, or a map's entry.
    pub fn numbers(&self) -> Option<Vec<u32>> {
        let number = |step: &Step| match step.access {
            Access::Singular | Access::Last | Access::Nth(0) => Some(step.number),
            Access::Nth(_) | Access::Entry(_) | Access::All => None,
        };
        self.steps.iter().map(number).collect()
    }

    /// Finds the value in an encoded message. `None` where the field, an element or a parent on
    /// the way is absent; a field without presence has its default instead, if its parents are
    /// there.
    ///
    /// Only what lies on the way is checked: a message that is broken elsewhere may still give
    /// its leaf.
    pub fn find<'a>(&self, wire: &'a [u8]) -> Result<Option<Leaf<'a>>, WireError> {
        find::find(&self.steps, wire)
    }

    /// Whether the value is set: it is there, and not the default of a field without presence.
    /// Nothing is allocated.
    pub(crate) fn is_set(&self, wire: &[u8]) -> Result<bool, WireError> {
        find::is_set(&self.steps, wire)
    }
}

impl ListPath {
    /// Compiles `text`, which ends in a repeated field or a map without brackets.
    pub(crate) fn compile(message: &MessageDescriptor, text: &str) -> Result<Self, PathError> {
        compile::compile_list(message, text)
    }

    /// How many elements there are. Entries of a map are counted as they were sent: one whose key
    /// is sent twice counts twice, which no sender does.
    pub(crate) fn count(&self, wire: &[u8]) -> Result<u32, WireError> {
        find::count(&self.steps, wire)
    }
}

/// The full name of the timestamp type.
pub(crate) const TIMESTAMP: &str = "google.protobuf.Timestamp";

impl Timestamp {
    /// Reads an encoded `google.protobuf.Timestamp`.
    pub fn decode(wire: &[u8]) -> Result<Self, WireError> {
        find::timestamp(wire)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ListPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListPath({:?})", self.text)
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldPath({:?}, {:?})", self.text, self.kind)
    }
}

impl fmt::Display for LeafKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "signed integer",
            Self::Uint => "unsigned integer",
            Self::Float => "float",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::Enum => "enum",
            Self::Message => "message",
        })
    }
}
