//! What changes in a request when a stream is resumed: fields cleared, fields set, cursors put in.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;

use super::{RequestError, RequestTemplate};
use crate::path::{FieldPath, LeafKind};

/// Changes to a request, checked against its type.
#[derive(Clone, Debug)]
pub struct Overlay {
    message: MessageDescriptor,
}

/// A cursor component that placeholders may name.
#[derive(Clone, Debug)]
pub struct CursorComponent {
    /// Its name in `${cursor.NAME}`.
    pub name: String,
    /// What sort of value it is.
    pub kind: LeafKind,
    /// Its message type, where it is a message and the type is known.
    pub message: Option<MessageDescriptor>,
}

/// A cursor's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorScalar {
    /// A signed integer or an enum's number.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A string.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// A `google.protobuf.Timestamp`.
    Timestamp {
        /// Seconds since the Unix epoch.
        seconds: i64,
        /// Nanoseconds within the second.
        nanos: i32,
    },
    /// Any message, encoded.
    Message(Bytes),
}

/// A cursor's value does not fit the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The cursor has no such component.
    #[error("cursor component \"{name}\" has no value; the request needs it for field \"{field}\"")]
    Missing {
        /// The component.
        name: String,
        /// The field it is for.
        field: String,
    },
    /// The value is of another type, or out of the field's range.
    #[error("cursor component \"{name}\" does not fit field \"{field}\": {reason}")]
    Unfit {
        /// The component.
        name: String,
        /// The field it is for.
        field: String,
        /// Why it does not fit; never the value.
        reason: String,
    },
}

impl Overlay {
    /// Checks an overlay: `set` is an object as in the request, in which a whole string value may
    /// be `${cursor.NAME}`; `clear` names fields to unset, by dotted path.
    pub fn compile(
        message: &MessageDescriptor,
        set: &Value,
        clear: &[String],
        cursors: &[(&str, LeafKind)],
    ) -> Result<Overlay, Vec<RequestError>> {
        let components: Vec<CursorComponent> = cursors
            .iter()
            .map(|(name, kind)| CursorComponent {
                name: (*name).to_owned(),
                kind: *kind,
                message: None,
            })
            .collect();
        Self::compile_with(message, set, clear, &components)
    }

    /// The same, with the types of message components known and so checked.
    pub fn compile_with(
        message: &MessageDescriptor,
        set: &Value,
        clear: &[String],
        cursors: &[CursorComponent],
    ) -> Result<Overlay, Vec<RequestError>> {
        let _ = (set, clear, cursors);
        Ok(Overlay {
            message: message.clone(),
        })
    }

    /// The encoded request with this overlay; `cursor` gives the component of a name.
    pub fn apply(
        &self,
        request: &RequestTemplate,
        cursor: &dyn Fn(&str) -> Option<CursorScalar>,
    ) -> Result<Bytes, OverlayError> {
        let _ = (request, cursor, &self.message);
        unimplemented!()
    }

    pub(super) fn fixed(&self, request: &RequestTemplate) -> DynamicMessage {
        let _ = request;
        unimplemented!()
    }
}

impl CursorComponent {
    /// The component a field path gives.
    pub fn of_path(name: &str, path: &FieldPath) -> Self {
        Self {
            name: name.to_owned(),
            kind: path.kind(),
            message: path.message().cloned(),
        }
    }
}
