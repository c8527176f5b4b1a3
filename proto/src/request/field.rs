//! One field of a request, written onto the wire as often as a stream needs it.
//!
//! Why not a message built and encoded each time: what a client acknowledges comes with every
//! message. Here a value is written once, when it is received, in the form in which the request
//! will hold it; the request is then a fixed beginning and the values behind it, because joining
//! encoded messages merges them.
//!
//! Next: `reply.rs` makes a whole message out of another one.

use super::overlay::clear_path;
use super::{RequestError, RequestTemplate, scalar};
use crate::path::{Leaf, LeafKind, SpreadPath};
use crate::wire::{DEPTH_MAX, Raw, Reader};
use bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{Kind, MessageDescriptor};
use serde_json::Value;

/// A field of a request and what else that request says.
#[derive(Clone, Debug)]
pub struct FieldWriter {
    fixed: Bytes,
    /// The messages on the way to the field, by their numbers.
    parents: Vec<u32>,
    number: u32,
    kind: Kind,
    is_list: bool,
}

/// The field, or what else is said, does not fit the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterError {
    /// The field's path.
    Field {
        /// What was found and what was expected.
        message: String,
        /// The nearest name, or what to do.
        hint: Option<String>,
    },
    /// The other fields.
    Fixed(RequestError),
}

impl FieldWriter {
    /// The field at the dotted path `field` of a request that says `fixed` beside it.
    ///
    /// # Errors
    /// Every mistake.
    pub fn compile(
        request: &MessageDescriptor,
        field: &str,
        fixed: &Value,
    ) -> Result<FieldWriter, Vec<WriterError>> {
        let path = clear_path(request, field);
        let path = path.map_err(|(message, hint)| vec![WriterError::Field { message, hint }]);
        let fixed = RequestTemplate::compile(request, fixed)
            .map_err(|errors| errors.into_iter().map(WriterError::Fixed).collect::<Vec<_>>());
        let (path, fixed) = match (path, fixed) {
            (Ok(path), Ok(fixed)) => (path, fixed),
            (Err(errors), Err(more)) => return Err([errors, more].concat()),
            (Err(errors), _) | (_, Err(errors)) => return Err(errors),
        };
        let (last, parents) = path.split_last().expect("a path has a field");
        if last.is_map() || last.is_group() {
            let message = format!("field \"{field}\" is a map or a group");
            let hint = Some("expected a field that holds one value or a list".to_owned());
            return Err(vec![WriterError::Field { message, hint }]);
        }
        Ok(FieldWriter {
            fixed: fixed.encode(),
            parents: parents.iter().map(|field| field.number()).collect(),
            number: last.number(),
            kind: last.kind(),
            is_list: last.is_list(),
        })
    }

    /// Whether the field holds a list.
    pub fn is_list(&self) -> bool {
        self.is_list
    }

    /// Whether the field holds integers.
    pub fn is_integer(&self) -> bool {
        !matches!(self.kind, Kind::Enum(_)) && scalar::cursor_fits(&self.kind, LeafKind::Int, None)
    }

    /// The field's type in words, with its article.
    pub fn described(&self) -> String {
        scalar::described(&self.kind)
    }

    /// Whether values found along `path` may go into the field.
    pub fn takes(&self, path: &SpreadPath) -> bool {
        scalar::cursor_fits(&self.kind, path.kind(), path.message())
    }

    /// Writes one value behind those in `values`; false if it is out of the field's range.
    pub fn put(&self, leaf: &Leaf<'_>, values: &mut Vec<u8>) -> bool {
        match leaf {
            Leaf::Text(text) => self.put_bytes(text.as_bytes(), values),
            Leaf::Bytes(bytes) => self.put_bytes(bytes, values),
            Leaf::Message(bytes) => self.put_bytes(bytes, values),
            Leaf::Int(number) => return self.put_number((*number).into(), values),
            Leaf::Uint(number) => return self.put_number((*number).into(), values),
            Leaf::Enum(number) => return self.put_number((*number).into(), values),
            Leaf::Bool(_) | Leaf::Float(_) => return false,
        }
        true
    }

    /// The same for a number.
    pub fn put_number(&self, number: i128, values: &mut Vec<u8>) -> bool {
        let in_range = scalar::integer_range(&self.kind)
            .is_some_and(|(least, most)| (least..=most).contains(&number));
        if in_range {
            self.write_number(number, values);
        }
        in_range
    }

    /// Writes what `values` holds of another field of the same type as values of this one.
    pub fn put_again(&self, values: &[u8], into: &mut Vec<u8>) {
        let mut reader = Reader::new(values);
        while let Ok(tag) = reader.tag() {
            match reader.value(tag, DEPTH_MAX) {
                Ok(Raw::Bytes(bytes)) => self.put_bytes(bytes, into),
                Ok(Raw::Varint(bits)) => {
                    encode_key(self.number, WireType::Varint, into);
                    encode_varint(bits, into);
                }
                Ok(Raw::Fixed64(bits)) => {
                    encode_key(self.number, WireType::SixtyFourBit, into);
                    into.extend_from_slice(&bits.to_le_bytes());
                }
                Ok(Raw::Fixed32(bits)) => {
                    encode_key(self.number, WireType::ThirtyTwoBit, into);
                    into.extend_from_slice(&bits.to_le_bytes());
                }
                Ok(Raw::Group(_)) | Err(_) => return,
            }
        }
    }

    /// Whether values written for the one may be written again for the other.
    pub fn is_like(&self, other: &FieldWriter) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Message(one), Kind::Message(two)) => one == two,
            (one, two) => one == two,
        }
    }

    /// The encoded request with these values in the field.
    pub fn message(&self, values: &[u8]) -> Bytes {
        let mut inner = values.to_vec();
        for number in self.parents.iter().rev() {
            let mut outer = Vec::with_capacity(inner.len() + 12);
            encode_key(*number, WireType::LengthDelimited, &mut outer);
            encode_varint(inner.len() as u64, &mut outer);
            outer.append(&mut inner);
            inner = outer;
        }
        [&self.fixed[..], &inner].concat().into()
    }

    fn put_bytes(&self, bytes: &[u8], values: &mut Vec<u8>) {
        encode_key(self.number, WireType::LengthDelimited, values);
        encode_varint(bytes.len() as u64, values);
        values.extend_from_slice(bytes);
    }

    /// The casts cut nothing off: the number is in the field's range.
    fn write_number(&self, number: i128, values: &mut Vec<u8>) {
        let (as_i64, as_u64) = (number as i64, number as u64);
        match self.kind {
            Kind::Fixed32 | Kind::Sfixed32 => {
                encode_key(self.number, WireType::ThirtyTwoBit, values);
                values.extend_from_slice(&(as_u64 as u32).to_le_bytes());
            }
            Kind::Fixed64 | Kind::Sfixed64 => {
                encode_key(self.number, WireType::SixtyFourBit, values);
                values.extend_from_slice(&as_u64.to_le_bytes());
            }
            Kind::Sint32 | Kind::Sint64 => {
                encode_key(self.number, WireType::Varint, values);
                encode_varint(((as_i64 << 1) ^ (as_i64 >> 63)).cast_unsigned(), values);
            }
            _ => {
                encode_key(self.number, WireType::Varint, values);
                encode_varint(as_u64, values);
            }
        }
    }
}
