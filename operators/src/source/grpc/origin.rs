//! Where a cursor's component comes from: a field, one that the descriptors do not know, or the
//! headers and trailers of the call.
//!
//! Next: `cursor.rs` makes values of what is found.

use super::cursor::Value;
use bytes::Bytes;
use headwater_proto::wire::{DEPTH_MAX, Raw, Reader, WireError};
use headwater_proto::{FieldPath, LeafKind, MessageDescriptor, SpreadPath};
use std::fmt;
use tonic::metadata::MetadataMap;

/// Where a component's value comes from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A field of each message.
    Field(FieldPath),
    /// Of all that a path through lists leads to, the last one.
    Newest(SpreadPath),
    /// A field that the descriptors do not know, by its number.
    Unknown(UnknownField),
    /// A response header of the call.
    Header(String),
    /// A trailer of a call that ends with status OK.
    Trailer(String),
}

/// A field that the descriptors do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownField {
    /// Its number.
    pub(super) number: u32,
    /// Whether it is a number on the wire; bytes otherwise.
    pub(super) is_number: bool,
}

impl Origin {
    /// What sort of value it gives.
    pub(super) fn leaf_kind(&self) -> LeafKind {
        match self {
            Origin::Field(path) => path.kind(),
            Origin::Newest(path) => path.kind(),
            Origin::Unknown(field) if field.is_number => LeafKind::Uint,
            Origin::Unknown(_) => LeafKind::Bytes,
            Origin::Header(key) | Origin::Trailer(key) if key.ends_with("-bin") => LeafKind::Bytes,
            Origin::Header(_) | Origin::Trailer(_) => LeafKind::Text,
        }
    }

    /// The message type it gives, if it gives messages.
    pub(super) fn message(&self) -> Option<&MessageDescriptor> {
        match self {
            Origin::Field(path) => path.message(),
            Origin::Newest(path) => path.message(),
            _ => None,
        }
    }

    /// Whether a default may stand for a value that was never set.
    pub(super) fn may_be_unset(&self) -> bool {
        matches!(self, Origin::Field(path) if path.may_be_unset())
    }

    pub(super) fn is_timestamp(&self) -> bool {
        self.message().is_some_and(|message| message.full_name() == "google.protobuf.Timestamp")
    }

    /// Whether messages show it, and not the call.
    pub(super) fn is_of_messages(&self) -> bool {
        !matches!(self, Origin::Header(_) | Origin::Trailer(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Field(path) => path.fmt(f),
            Origin::Newest(path) => write!(f, "the last of {path}"),
            Origin::Unknown(field) => write!(f, "@unknown:{}", field.number),
            Origin::Header(key) => write!(f, "@metadata:{key}"),
            Origin::Trailer(key) => write!(f, "@trailer:{key}"),
        }
    }
}

/// The last value that a path through lists leads to; what has none on the way is passed over.
pub(super) fn newest(
    path: &SpreadPath,
    is_timestamp: bool,
    message: &Bytes,
) -> Result<Option<Value>, WireError> {
    let (mut found, mut broken) = (None, None);
    path.each(message, &mut |leaf| match Value::of_leaf(leaf, is_timestamp, message) {
        Ok(value) => found = value.or(found.take()),
        Err(error) => broken = Some(error),
    })?;
    broken.map_or(Ok(found), Err)
}

impl UnknownField {
    /// The last one in the message; one that is written otherwise is not this field.
    pub(super) fn find(self, message: &Bytes) -> Result<Option<Value>, WireError> {
        let mut reader = Reader::new(message);
        let mut found = None;
        while !reader.is_empty() {
            let tag = reader.tag()?;
            let value = reader.value(tag, DEPTH_MAX)?;
            if tag.number != self.number {
                continue;
            }
            found = match value {
                Raw::Varint(value) if self.is_number => Some(Value::Uint(value)),
                Raw::Fixed64(value) if self.is_number => Some(Value::Uint(value)),
                Raw::Fixed32(value) if self.is_number => Some(Value::Uint(value.into())),
                Raw::Bytes(bytes) if !self.is_number && !bytes.is_empty() => {
                    Some(Value::Opaque(message.slice_ref(bytes)))
                }
                _ => found,
            };
        }
        Ok(found)
    }
}

/// The value of a key, if it is there and not empty.
pub(super) fn of_metadata(metadata: &MetadataMap, key: &str) -> Option<Value> {
    let value = if key.ends_with("-bin") {
        Value::Opaque(metadata.get_bin(key)?.to_bytes().ok()?)
    } else {
        Value::Text(Bytes::copy_from_slice(metadata.get(key)?.to_str().ok()?.as_bytes()))
    };
    Some(value).filter(|value| !matches!(value, Value::Text(b) | Value::Opaque(b) if b.is_empty()))
}
