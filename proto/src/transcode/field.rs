//! One field of a message as JSON, found on the wire: what a record's key and headers are made of
//! where they shall look as the field does in the record's JSON.
//!
//! Next: `operators/src/decode/column.rs` fills columns with it.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::table::{EnumTable, Op};
use super::{DecodeError, JsonNotation, JsonTranscoder, json, number, text};
use crate::path::{FieldPath, Leaf, PathError};
use crate::wire::WireError;

/// A path to one field, and how its value is printed. A field without presence that is not set has
/// its default, as for [`FieldPath::find`].
#[derive(Debug)]
pub struct JsonField {
    path: FieldPath,
    form: Form,
}

/// How a value is printed that its leaf alone does not tell.
#[derive(Debug)]
enum Form {
    Plain,
    /// A number of 32 bits, or one of single precision.
    Short,
    Enum(EnumTable),
    Message(JsonTranscoder),
}

/// The message is broken on the way to the field, or in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// On the way.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// In the message that is the field's value.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl JsonField {
    /// Compiles `text` against `message`.
    ///
    /// # Errors
    /// If the path does not fit.
    pub fn compile(message: &MessageDescriptor, text: &str) -> Result<Self, PathError> {
        let (path, field) = FieldPath::compile_with_field(message, text)?;
        let form = Form::of(&value_kind(&field));
        Ok(JsonField { path, form })
    }

    /// Appends the value's JSON; false if there is none.
    ///
    /// # Errors
    /// If the message is broken; nothing is appended then.
    pub fn write_json(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<bool, FieldError> {
        let Some(leaf) = self.path.find(wire)? else { return Ok(false) };
        match (&leaf, &self.form) {
            (Leaf::Text(value), _) => text::text(value, out),
            (Leaf::Bytes(value), _) => json::base64(value, out),
            (Leaf::Enum(value), Form::Enum(table)) => table.print(*value, out),
            (Leaf::Message(value), Form::Message(transcoder)) => {
                transcoder.transcode(value, out)?
            }
            (leaf, form) => {
                let (op, raw) = printable(leaf, matches!(form, Form::Short));
                number::append(out, |slot| number::scalar(op, raw, JsonNotation::Plain, slot));
            }
        }
        Ok(true)
    }

    /// Appends the value as a text: texts and bytes as they are, everything else as its JSON,
    /// without quotes. False if there is none.
    ///
    /// # Errors
    /// If the message is broken; nothing is appended then.
    pub fn write_text(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<bool, FieldError> {
        match self.path.find(wire)? {
            Some(Leaf::Text(value)) => out.extend_from_slice(value.as_bytes()),
            Some(Leaf::Bytes(value)) => out.extend_from_slice(value),
            Some(_) => {
                let start = out.len();
                self.write_json(wire, out)?;
                if out[start] == b'"' {
                    // Only numbers and names of enums' values come here, which have no escapes.
                    out.pop();
                    out.remove(start);
                }
            }
            None => return Ok(false),
        }
        Ok(true)
    }
}

impl Form {
    fn of(kind: &Kind) -> Form {
        match kind {
            Kind::Enum(descriptor) => Form::Enum(EnumTable::compile(descriptor)),
            Kind::Message(message) => Form::Message(JsonTranscoder::compile(message)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Form::Short,
            Kind::Uint32 | Kind::Fixed32 | Kind::Float => Form::Short,
            _ => Form::Plain,
        }
    }
}

/// The kind of the value that a path through `field` leads to.
fn value_kind(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    }
}

/// A number or bool as if it had just been read from the wire.
fn printable(leaf: &Leaf<'_>, is_short: bool) -> (Op, u64) {
    match (leaf, is_short) {
        (Leaf::Bool(value), _) => (Op::Bool, (*value).into()),
        (Leaf::Int(value), true) => (Op::Int32, value.cast_unsigned()),
        (Leaf::Int(value), false) => (Op::Int64, value.cast_unsigned()),
        (Leaf::Uint(value), true) => (Op::Uint32, *value),
        (Leaf::Uint(value), false) => (Op::Uint64, *value),
        (Leaf::Float(value), true) => (Op::Float, (*value as f32).to_bits().into()),
        (Leaf::Float(value), false) => (Op::Double, value.to_bits()),
        (Leaf::Enum(value), _) => (Op::Int32, i64::from(*value).cast_unsigned()),
        (Leaf::Text(_) | Leaf::Bytes(_) | Leaf::Message(_), _) => {
            unreachable!("what is made of bytes has a form of its own")
        }
    }
}
