//! The request message, built from the JSON-like value of a pipeline file.
//!
//! Why not prost-reflect's deserializer: it stops at the first mistake and cannot say where in
//! the file it was; here every mistake is found at once, each with its path into the value.
//!
//! Invariant: a template and an overlay that compile encode; what can fail later is only a
//! cursor's value that does not fit its field's range.
//!
//! Next: `path/mod.rs` finds the cursor in the answers to this request.

mod compile;
mod field;
mod overlay;
mod reply;
mod scalar;
mod value;

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _};
use serde_json::Value;

pub use field::{FieldWriter, WriterError};
pub use overlay::{CursorComponent, CursorScalar, Overlay, OverlayError};
pub use reply::{Reply, ReplyError};

/// A request message, checked against its type.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    message: DynamicMessage,
}

/// One step into the value a request is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSegment {
    /// A key of an object.
    Key(String),
    /// A position in a list.
    Index(usize),
}

/// One mistake in the value a request is made from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Place(path))]
pub struct RequestError {
    /// Where in the given value; empty for the value itself.
    pub path: Vec<PathSegment>,
    /// What was found and what was expected.
    pub message: String,
    /// The nearest name, or what to do.
    pub hint: Option<String>,
}

impl RequestTemplate {
    /// Builds the request by the proto3 JSON mapping; `null` stands for an empty request.
    /// Every mistake is returned, in the order of the value.
    pub fn compile(message: &MessageDescriptor, value: &Value) -> Result<Self, Vec<RequestError>> {
        compile::template(message, value).map(|message| Self { message })
    }

    /// The encoded request.
    pub fn encode(&self) -> Bytes {
        Bytes::from(self.message.encode_to_vec())
    }

    /// The request as a message.
    pub fn message(&self) -> &DynamicMessage {
        &self.message
    }

    /// The request with fields cleared and set, where no cursor is needed.
    pub fn overlay(&self, set: &Value, clear: &[String]) -> Result<Self, Vec<RequestError>> {
        let overlay = Overlay::compile(&self.message.descriptor(), set, clear, &[])?;
        let message = overlay
            .resolve(self, &|_| None)
            .expect("without cursors there is nothing that could be missing or not fit");
        Ok(Self { message })
    }
}

/// Prints a path as `a.b[2]: `, and nothing for the empty path.
struct Place<'a>(&'a [PathSegment]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                PathSegment::Key(key) if index == 0 => write!(f, "{key}")?,
                PathSegment::Key(key) => write!(f, ".{key}")?,
                PathSegment::Index(position) => write!(f, "[{position}]")?,
            }
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str(": ") }
    }
}
