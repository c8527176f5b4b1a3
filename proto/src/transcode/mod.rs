//! Wire to proto3 JSON in one pass, driven by a table compiled from the descriptor.
//!
//! Why not decode and serialize: a `DynamicMessage` allocates for every field, and at the rates we
//! aim for that costs several times the printing itself. Here a message is scanned once, its
//! values noted by their places, and printed straight from the wire.
//!
//! ```text
//!   wire ──scan──► occurrences, in the order of the JSON ──emit──► JSON
//! ```
//!
//! Invariants
//! 1. The JSON is byte for byte what prost-reflect prints, for every message it can decode. Where
//!    prost-reflect itself has no order, the entries of a map, ours is that of first appearance.
//! 2. What prost-reflect cannot decode or print is an error here too, and leaves `out` as it was.
//! 3. No allocation per message once the scratch space has grown, but for what is rare: merged
//!    sub-messages, and the few well-known types that are left to prost-reflect.
//!
//! [`JsonStyle`] chooses what else can be printed: fields that are not set, and the notation of
//! Java's `JsonFormat`. There the measure is what that prints, recorded
//! (`proto/tests/cases/java/`).
//!
//! Reading order: `table`, `scan`, `emit`, then `map`, `well_known`, `structs`, `any`, `check`, and
//! for the tokens `number`, `java`, `text`, `json`; `field` prints a single field.
//!
//! Next: `operators/` puts the JSON into the batch that goes to Kafka.

mod any;
mod check;
mod emit;
mod field;
mod java;
mod json;
mod map;
mod number;
mod scan;
mod structs;
mod table;
mod text;
mod well_known;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use prost_reflect::MessageDescriptor;

use crate::wire::{DEPTH_MAX, MESSAGE_BYTES_MAX, WireFault};
use emit::{Emitter, Scratch};
pub use field::{FieldError, JsonField};
pub use java::print_double as print_java_double;
use table::Tables;
pub(crate) use well_known::is_well_known as has_own_form;

/// How messages are printed, where proto3 JSON leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonStyle {
    /// Whether fields without presence are printed if they are not set: numbers as 0, texts and
    /// bytes empty, enums with their first value, lists as `[]`, maps as `{}`.
    pub defaults: bool,
    /// How numbers and texts are written.
    pub notation: JsonNotation,
}

/// How numbers and texts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonNotation {
    /// As serde_json does: `1e16`, `0.00001`.
    #[default]
    Plain,
    /// As protobuf's `JsonFormat` for Java does: `1.0E16`, `1.0E-5`, `\u2028`; extensions, which
    /// it does not know, are left out.
    Java,
}

/// Turns encoded messages of one type into JSON. Cheap to clone, and shared between threads.
#[derive(Clone)]
pub struct JsonTranscoder {
    tables: Arc<Tables>,
}

/// A message could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Byte offset in the message where it went wrong. Inside a sub-message that came in several
    /// pieces it counts from where the first piece starts.
    pub offset: usize,
    /// The field it went wrong in, as dotted proto names; empty for the message itself.
    pub path: String,
    /// What is wrong; never the payload.
    pub reason: DecodeReason,
}

/// Why a message could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeReason {
    /// The bytes are not a message of the type.
    #[error(transparent)]
    Wire(#[from] WireFault),
    /// A value of a well-known type has no JSON form.
    #[error("{0}")]
    Unprintable(&'static str),
}

thread_local! {
    /// Each thread's scratch space; transcoding calls nothing that could transcode again.
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

impl JsonTranscoder {
    /// Compiles the table of `message` and of every type it reaches.
    pub fn compile(message: &MessageDescriptor) -> Self {
        Self::compile_as(message, JsonStyle::default())
    }

    /// The same, for JSON in a style.
    pub fn compile_as(message: &MessageDescriptor, style: JsonStyle) -> Self {
        Self { tables: Arc::new(Tables::compile(message, style)) }
    }

    /// Appends the JSON of one encoded message to `out`; on error `out` is as it was.
    pub fn transcode(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if wire.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError {
                offset: 0,
                path: String::new(),
                reason: WireFault::TooLong.into(),
            });
        }
        let length = out.len();
        let outcome = SCRATCH.with_borrow_mut(|scratch| {
            let outcome = Emitter::new(&self.tables, scratch, out).root(wire, DEPTH_MAX);
            scratch.tidy();
            outcome
        });
        outcome.map_err(|failure| {
            out.truncate(length);
            failure.into_error()
        })
    }
}

impl fmt::Debug for JsonTranscoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonTranscoder({})", self.tables.root().descriptor.full_name())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{} at byte {}", self.reason, self.offset),
            path => write!(f, "{} in field \"{path}\" at byte {}", self.reason, self.offset),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A failure on its way up: each message it passes adds the field it came through.
#[derive(Debug)]
struct Failure {
    offset: usize,
    reason: DecodeReason,
    /// From the innermost field outwards.
    fields: Vec<String>,
}

/// Boxed, so that the hot path returns one word.
type Outcome<T = ()> = Result<T, Box<Failure>>;

impl Failure {
    #[cold]
    fn new(offset: usize, reason: impl Into<DecodeReason>) -> Box<Self> {
        Box::new(Self { offset, reason: reason.into(), fields: Vec::new() })
    }

    #[cold]
    fn within(mut self: Box<Self>, field: &str) -> Box<Self> {
        self.fields.push(field.to_owned());
        self
    }

    fn into_error(mut self) -> DecodeError {
        self.fields.reverse();
        DecodeError { offset: self.offset, path: self.fields.join("."), reason: self.reason }
    }
}
