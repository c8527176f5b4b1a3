//! The cursor: where its components stand in a message, and what their values are.
//!
//! Paths are compiled when the pipeline file is read; per message they are looked up on the wire. A
//! value that is a text, bytes or a message is a slice of the message it came from, so that taking
//! it costs a reference count and no allocation. It is copied out once per batch, when the batch's
//! position is made ([`Value::detach`]); a slice would keep the whole receive buffer alive.
//!
//! A component may also come from the call itself, its response headers or trailers. Messages then
//! say nothing of it: its value is handed in when the call has it.
//!
//! Invariant: an empty text, bytes or message value counts as absent. It is proto3's default, and
//! no server can go on from it.
//!
//! Next: `resume.rs` judges each message by these values.

use super::config::ComponentType;
use super::origin::{Origin, newest, of_metadata};
use bytes::Bytes;
use headwater_engine::position::CursorValue;
use headwater_proto::wire::WireError;
use headwater_proto::{CursorComponent, CursorScalar, FieldPath, Leaf, LeafKind, Timestamp};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use tonic::metadata::MetadataMap;

const NANOS_PER_SECOND: i32 = 1_000_000_000;

/// All components of a source's cursor, in the order of their names.
#[derive(Clone, Debug)]
pub(super) struct CursorPaths {
    /// The components; none where the cursor is a count of messages, or where there is none.
    pub(super) components: Vec<Component>,
    /// What identifies a message among those with equal cursor values, where that matters.
    pub(super) id: Option<FieldPath>,
}

/// One component of the cursor.
#[derive(Clone, Debug)]
pub(super) struct Component {
    /// Its name in the pipeline file and in the progress record.
    pub(super) name: String,
    /// Where it comes from; of several, the first that is there. At least one.
    pub(super) origins: Vec<Origin>,
    /// What its values mean.
    pub(super) kind: ComponentType,
    /// Whether the highest value counts, and not the last.
    pub(super) is_max: bool,
}

/// A component's value in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A moment.
    Timestamp(Timestamp),
    /// A text; the bytes are UTF-8.
    Text(Bytes),
    /// Bytes.
    Opaque(Bytes),
    /// An encoded message.
    Message(Bytes),
}

/// What one message says about the cursor. Reused from message to message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// One entry per component; `None` where the message does not have it.
    pub(super) values: Vec<Option<Value>>,
    /// The message's identity, where the rules ask for it.
    pub(super) id: u128,
    /// Whether the message is broken on the way to a component.
    pub(super) is_broken: bool,
    /// Whether the message ends a group (`boundary: { when }`).
    pub(super) is_boundary: bool,
}

/// The stored value is not of the component's type: the pipeline file has changed its meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored value of cursor component {name:?} is not what its field holds now")]
pub(super) struct ForeignValue {
    pub(super) name: String,
}

/// There is no value behind the last one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor component {name:?} has reached the end of its range, so no next value exists")]
pub(super) struct NoNextValue {
    pub(super) name: String,
}

// === impl CursorPaths ===

impl CursorPaths {
    /// Reads `message` into `observed`.
    ///
    /// # Errors
    /// [`WireError`] if the message is broken on the way to a component; it then counts as a
    /// message without a cursor.
    pub(super) fn observe(
        &self,
        message: &Bytes,
        observed: &mut Observed,
    ) -> Result<(), WireError> {
        (observed.is_broken, observed.is_boundary) = (false, false);
        observed.values.clear();
        observed.values.resize(self.components.len(), None);
        observed.id = self.id.as_ref().map_or(0, |path| identity(path, message));
        for (slot, component) in observed.values.iter_mut().zip(&self.components) {
            match component.find(message) {
                Ok(value) => *slot = value,
                Err(error) => {
                    observed.is_broken = true;
                    observed.values.fill(None);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

// === impl Component ===

impl Component {
    /// Whether values of this component can be compared.
    pub(super) fn is_ordered(&self) -> bool {
        matches!(self.kind, ComponentType::Int | ComponentType::Timestamp)
    }

    /// Whether its values are numbers, so that it can be said which lie between two of them.
    pub(super) fn is_number(&self) -> bool {
        self.kind == ComponentType::Int
    }

    /// Whether its values are moments, which several messages may share.
    pub(super) fn is_moment(&self) -> bool {
        self.kind == ComponentType::Timestamp
    }

    /// Whether messages show it, and not the call.
    pub(super) fn is_of_messages(&self) -> bool {
        self.origins.iter().any(Origin::is_of_messages)
    }

    /// Whether a call's trailers show it.
    pub(super) fn is_of_trailers(&self) -> bool {
        self.origins.iter().any(|origin| matches!(origin, Origin::Trailer(_)))
    }

    /// The component as a request's placeholders know it.
    pub(super) fn placeholder(&self) -> CursorComponent {
        let first = self.first();
        let message = first.message().cloned();
        CursorComponent { name: self.name.clone(), kind: first.leaf_kind(), message }
    }

    /// Its value in a call's headers, or its trailers.
    pub(super) fn of_call(&self, metadata: &MetadataMap, is_end: bool) -> Option<Value> {
        self.origins.iter().find_map(|origin| match origin {
            Origin::Header(key) if !is_end => of_metadata(metadata, key),
            Origin::Trailer(key) if is_end => of_metadata(metadata, key),
            _ => None,
        })
    }

    fn first(&self) -> &Origin {
        self.origins.first().expect("a component has an origin")
    }

    /// The component's value in `message`.
    ///
    /// Of several paths the first one that is there wins. A field of the message itself that has no
    /// presence is always there, as 0, and must not hide the next path; within a message that was
    /// sent, 0 is the value.
    pub(super) fn find(&self, message: &Bytes) -> Result<Option<Value>, WireError> {
        let mut fallback = None;
        for origin in &self.origins {
            let value = match origin {
                Origin::Field(path) => match path.find(message)? {
                    Some(leaf) => Value::of_leaf(leaf, path.is_timestamp(), message)?,
                    None => None,
                },
                Origin::Newest(path) => newest(path, origin.is_timestamp(), message)?,
                Origin::Unknown(field) => field.find(message)?,
                Origin::Header(_) | Origin::Trailer(_) => None,
            };
            match value {
                Some(value) if origin.may_be_unset() && value.is_default() => {
                    fallback = fallback.or(Some(value));
                }
                Some(value) => return Ok(Some(value)),
                None => {}
            }
        }
        Ok(fallback)
    }

    /// A stored value as this component's.
    ///
    /// # Errors
    /// [`ForeignValue`] if it is of another type.
    pub(super) fn restore(&self, stored: &CursorValue) -> Result<Value, ForeignValue> {
        let first = self.first();
        let value = match (stored, first.leaf_kind()) {
            (CursorValue::Int(value), LeafKind::Int | LeafKind::Enum) => Value::Int(*value),
            (CursorValue::Uint(value), LeafKind::Uint) => Value::Uint(*value),
            (CursorValue::Text(text), LeafKind::Text) => Value::Text(text.clone().into()),
            (CursorValue::Opaque(bytes), LeafKind::Bytes) => Value::Opaque(bytes.clone()),
            (CursorValue::Timestamp { seconds, nanos }, LeafKind::Message)
                if first.is_timestamp() =>
            {
                Value::Timestamp(Timestamp { seconds: *seconds, nanos: *nanos })
            }
            (CursorValue::Message(bytes), LeafKind::Message) if !first.is_timestamp() => {
                Value::Message(bytes.clone())
            }
            _ => return Err(ForeignValue { name: self.name.clone() }),
        };
        Ok(value)
    }

    /// What a request is given for a component that no message has shown yet: its type's default,
    /// which a proto3 server cannot tell from an unset field.
    pub(super) fn default_scalar(&self) -> CursorScalar {
        let first = self.first();
        match first.leaf_kind() {
            LeafKind::Uint => CursorScalar::Uint(0),
            LeafKind::Text => CursorScalar::Text(String::new()),
            LeafKind::Bytes => CursorScalar::Bytes(Bytes::new()),
            LeafKind::Message if first.is_timestamp() => {
                CursorScalar::Timestamp { seconds: 0, nanos: 0 }
            }
            LeafKind::Message => CursorScalar::Message(Bytes::new()),
            LeafKind::Int | LeafKind::Enum | LeafKind::Bool | LeafKind::Float => {
                CursorScalar::Int(0)
            }
        }
    }
}

// === impl Value ===

impl Value {
    /// The value that a path has led to, as a slice of its message; none for what is empty.
    pub(super) fn of_leaf(
        leaf: Leaf<'_>,
        is_timestamp: bool,
        message: &Bytes,
    ) -> Result<Option<Value>, WireError> {
        let value = match leaf {
            Leaf::Int(value) => Value::Int(value),
            Leaf::Enum(value) => Value::Int(value.into()),
            Leaf::Uint(value) => Value::Uint(value),
            Leaf::Text("") | Leaf::Bytes([]) => return Ok(None),
            Leaf::Text(text) => Value::Text(message.slice_ref(text.as_bytes())),
            Leaf::Bytes(bytes) => Value::Opaque(message.slice_ref(bytes)),
            Leaf::Message(wire) if is_timestamp => Value::Timestamp(Timestamp::decode(&wire)?),
            Leaf::Message(wire) if wire.is_empty() => return Ok(None),
            Leaf::Message(Cow::Borrowed(wire)) => Value::Message(message.slice_ref(wire)),
            Leaf::Message(Cow::Owned(wire)) => Value::Message(wire.into()),
            // The check of the pipeline file refuses such fields.
            Leaf::Bool(_) | Leaf::Float(_) => return Ok(None),
        };
        Ok(Some(value))
    }

    fn is_default(&self) -> bool {
        match self {
            Value::Int(value) => *value == 0,
            Value::Uint(value) => *value == 0,
            Value::Timestamp(moment) => *moment == Timestamp::default(),
            Value::Text(_) | Value::Opaque(_) | Value::Message(_) => false,
        }
    }

    /// Its place in the order of all values of its component; `None` for values without an order.
    pub(super) fn rank(&self) -> Option<i128> {
        match self {
            Value::Int(value) => Some((*value).into()),
            Value::Uint(value) => Some((*value).into()),
            Value::Timestamp(moment) => {
                let seconds = i128::from(moment.seconds) * i128::from(NANOS_PER_SECOND);
                Some(seconds + i128::from(moment.nanos))
            }
            Value::Text(_) | Value::Opaque(_) | Value::Message(_) => None,
        }
    }

    /// Lets go of the message the value came from.
    pub(super) fn detach(&mut self) {
        if let Value::Text(bytes) | Value::Opaque(bytes) | Value::Message(bytes) = self {
            *bytes = Bytes::copy_from_slice(bytes);
        }
    }

    /// The value as a progress record holds it.
    pub(super) fn to_stored(&self) -> CursorValue {
        match self {
            Value::Int(value) => CursorValue::Int(*value),
            Value::Uint(value) => CursorValue::Uint(*value),
            Value::Timestamp(Timestamp { seconds, nanos }) => {
                CursorValue::Timestamp { seconds: *seconds, nanos: *nanos }
            }
            Value::Text(bytes) => CursorValue::Text(String::from_utf8_lossy(bytes).into_owned()),
            Value::Opaque(bytes) => CursorValue::Opaque(bytes.clone()),
            Value::Message(bytes) => CursorValue::Message(bytes.clone()),
        }
    }

    /// The value as a request takes it.
    pub(super) fn to_scalar(&self) -> CursorScalar {
        match self.to_stored() {
            CursorValue::Int(value) => CursorScalar::Int(value),
            CursorValue::Uint(value) => CursorScalar::Uint(value),
            CursorValue::Text(text) => CursorScalar::Text(text),
            CursorValue::Opaque(bytes) => CursorScalar::Bytes(bytes),
            CursorValue::Timestamp { seconds, nanos } => CursorScalar::Timestamp { seconds, nanos },
            CursorValue::Message(bytes) => CursorScalar::Message(bytes),
        }
    }

    /// The value that follows this one; `None` at the end of the range or without an order.
    pub(super) fn next(&self) -> Option<Value> {
        match self {
            Value::Int(value) => value.checked_add(1).map(Value::Int),
            Value::Uint(value) => value.checked_add(1).map(Value::Uint),
            Value::Timestamp(Timestamp { seconds, nanos }) if *nanos < NANOS_PER_SECOND - 1 => {
                Some(Value::Timestamp(Timestamp { seconds: *seconds, nanos: nanos + 1 }))
            }
            Value::Timestamp(Timestamp { seconds, .. }) => seconds
                .checked_add(1)
                .map(|seconds| Value::Timestamp(Timestamp { seconds, nanos: 0 })),
            Value::Text(_) | Value::Opaque(_) | Value::Message(_) => None,
        }
    }
}

/// 128 bits of SHA-256 over the identifying field; over the whole message where it is absent,
/// which is still the same for a message that is repeated as it was.
fn identity(path: &FieldPath, message: &[u8]) -> u128 {
    let mut hash = Sha256::new();
    if !add_leaf(path, message, &mut hash) {
        hash.update(message);
    }
    half(hash)
}

/// Adds the field's value to the hash; false where there is none.
pub(super) fn add_leaf(path: &FieldPath, message: &[u8], hash: &mut Sha256) -> bool {
    match path.find(message) {
        Ok(Some(Leaf::Bool(value))) => hash.update([value.into()]),
        Ok(Some(Leaf::Int(value))) => hash.update(value.to_le_bytes()),
        Ok(Some(Leaf::Uint(value))) => hash.update(value.to_le_bytes()),
        Ok(Some(Leaf::Enum(value))) => hash.update(value.to_le_bytes()),
        Ok(Some(Leaf::Float(value))) => hash.update(value.to_le_bytes()),
        Ok(Some(Leaf::Text(text))) => hash.update(text),
        Ok(Some(Leaf::Bytes(bytes))) => hash.update(bytes),
        Ok(Some(Leaf::Message(wire))) => hash.update(wire),
        Ok(None) | Err(_) => return false,
    }
    true
}

/// As much of a hash as identifiers keep.
pub(super) fn half(hash: Sha256) -> u128 {
    let digest = hash.finalize();
    let half = digest.first_chunk().expect("SHA-256 has 32 bytes");
    u128::from_le_bytes(*half)
}
