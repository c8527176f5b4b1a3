//! The table that drives scanning and printing: descriptors, resolved to indices and bytes.
//!
//! Why: a descriptor answers by looking up names and cloning handles; per field and message that
//! is dearer than the work itself. The table answers by indexing.
//!
//! Invariants
//! 1. `fields` of a message is in the order of the JSON: fields by number, then extensions by
//!    number.
//! 2. Every index in an [`Op`] is valid in the [`Tables`] it belongs to.
//!
//! Next: `scan.rs` looks up what it meets on the wire.

use std::collections::HashMap;

use prost_reflect::{
    EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

use super::well_known::{self, Shape};
use super::{JsonNotation, JsonStyle, java, json, number, text};
use crate::wire::WireType;

/// Field numbers up to this are found by indexing, higher ones by binary search.
const DENSE_NUMBER_MAX: u32 = 1023;

/// No field.
const NONE: u32 = u32::MAX;

/// Everything one transcoder knows.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) style: JsonStyle,
    messages: Vec<MessageTable>,
    enums: Vec<EnumTable>,
    maps: Vec<MapTable>,
    /// Message tables by full name; complete for the pool if an `Any` can be reached.
    by_name: HashMap<String, u32>,
}

/// One message type.
pub(super) struct MessageTable {
    pub(super) descriptor: MessageDescriptor,
    pub(super) shape: Shape,
    pub(super) fields: Vec<Field>,
    pub(super) oneofs: u32,
    dense: Vec<u32>,
    sparse: Vec<(u32, u32)>,
}

/// One field or extension.
pub(super) struct Field {
    /// Its proto name, for errors.
    pub(super) name: String,
    pub(super) number: u32,
    /// `,"jsonName":`; the first comma of an object becomes its brace.
    pub(super) key: Vec<u8>,
    pub(super) op: Op,
    /// How a single value is written.
    pub(super) written_as: WireType,
    pub(super) list: bool,
    /// Printed whenever it occurred, even with its default.
    pub(super) presence: bool,
    /// The oneof it shares with other fields, by index in its message.
    pub(super) oneof: Option<u32>,
    /// The value a scalar without presence is not printed with, as read from the wire.
    pub(super) default: u64,
    /// What stands for the field if it is not set, `,"jsonName":0`; empty if nothing does.
    pub(super) absent: Vec<u8>,
}

/// How a value is read and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Bool,
    Int32,
    Sint32,
    Sfixed32,
    Int64,
    Sint64,
    Sfixed64,
    Uint32,
    Fixed32,
    Uint64,
    Fixed64,
    Float,
    Double,
    Enum(u32),
    String,
    Bytes,
    Message(u32),
    Group(u32),
    Map(u32),
}

/// One map field's entries.
pub(super) struct MapTable {
    pub(super) key: Op,
    pub(super) value: Field,
}

/// An enum's values, each as it is printed.
#[derive(Debug)]
pub(super) struct EnumTable {
    dense: Vec<Option<Box<[u8]>>>,
    sparse: HashMap<i32, Box<[u8]>>,
    /// `google.protobuf.NullValue` prints nothing but `null`.
    null: bool,
}

impl Tables {
    /// Compiles `message`, which becomes the first table, and all it reaches.
    pub(super) fn compile(message: &MessageDescriptor, style: JsonStyle) -> Self {
        let mut builder = Builder::default();
        builder.tables.style = style;
        builder.message(message);
        builder.run();
        if builder.reaches_any() {
            for message in message.parent_pool().all_messages() {
                if !message.is_map_entry() {
                    builder.message(&message);
                }
            }
            builder.run();
        }
        builder.tables
    }

    /// The message the transcoder was compiled for.
    pub(super) fn root(&self) -> &MessageTable {
        &self.messages[0]
    }

    #[inline]
    pub(super) fn message(&self, index: u32) -> &MessageTable {
        &self.messages[index as usize]
    }

    #[inline]
    pub(super) fn enumeration(&self, index: u32) -> &EnumTable {
        &self.enums[index as usize]
    }

    #[inline]
    pub(super) fn map(&self, index: u32) -> &MapTable {
        &self.maps[index as usize]
    }

    /// Prints a text.
    pub(super) fn text(&self, value: &str, out: &mut Vec<u8>) {
        match self.style.notation {
            JsonNotation::Plain => text::text(value, out),
            JsonNotation::Java => java::text(value, out),
        }
    }

    /// The table of a message an `Any` names.
    pub(super) fn by_name(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }
}

impl MessageTable {
    /// The position in `fields` of the field with this number.
    #[inline]
    pub(super) fn slot(&self, number: u32) -> Option<u32> {
        match self.dense.get(number as usize) {
            Some(&NONE) => None,
            Some(&slot) => Some(slot),
            None => self.sparse_slot(number),
        }
    }

    fn sparse_slot(&self, number: u32) -> Option<u32> {
        let found = self.sparse.binary_search_by_key(&number, |entry| entry.0).ok()?;
        Some(self.sparse[found].1)
    }

    fn index_fields(&mut self) {
        let highest = self.fields.iter().map(|field| field.number);
        let dense = highest.filter(|&number| number <= DENSE_NUMBER_MAX).max();
        self.dense = vec![NONE; dense.map_or(0, |number| number as usize + 1)];
        for (slot, field) in (0..).zip(&self.fields) {
            match self.dense.get_mut(field.number as usize) {
                Some(place) => *place = slot,
                None => self.sparse.push((field.number, slot)),
            }
        }
        self.sparse.sort_unstable();
    }
}

impl EnumTable {
    pub(super) fn compile(descriptor: &EnumDescriptor) -> Self {
        let mut table = Self {
            dense: Vec::new(),
            sparse: HashMap::new(),
            null: descriptor.full_name() == "google.protobuf.NullValue",
        };
        for value in descriptor.values() {
            // With aliases, the name the number answers to.
            let Some(value) = descriptor.get_value(value.number()) else {
                continue;
            };
            let mut name = Vec::new();
            text::text(value.name(), &mut name);
            table.insert(value.number(), name.into_boxed_slice());
        }
        table
    }

    fn insert(&mut self, number: i32, text: Box<[u8]>) {
        match u32::try_from(number) {
            Ok(index) if index <= DENSE_NUMBER_MAX => {
                let index = index as usize;
                if index >= self.dense.len() {
                    self.dense.resize(index + 1, None);
                }
                self.dense[index] = Some(text);
            }
            _ => {
                self.sparse.insert(number, text);
            }
        }
    }

    /// Prints the value's name, or its number if it has none.
    #[inline]
    pub(super) fn print(&self, value: i32, out: &mut Vec<u8>) {
        if self.null {
            return out.extend_from_slice(b"null");
        }
        let dense = usize::try_from(value).ok().and_then(|index| self.dense.get(index));
        match dense.and_then(Option::as_ref).or_else(|| self.sparse.get(&value)) {
            Some(text) => out.extend_from_slice(text),
            None => number::append(out, |slot| number::integer(value.into(), slot)),
        }
    }
}

impl Op {
    fn wire_type(self) -> WireType {
        match self {
            Self::Bool | Self::Int32 | Self::Sint32 | Self::Int64 | Self::Sint64 => {
                WireType::Varint
            }
            Self::Uint32 | Self::Uint64 | Self::Enum(_) => WireType::Varint,
            Self::Sfixed32 | Self::Fixed32 | Self::Float => WireType::Fixed32,
            Self::Sfixed64 | Self::Fixed64 | Self::Double => WireType::Fixed64,
            Self::String | Self::Bytes | Self::Message(_) | Self::Map(_) => WireType::Bytes,
            Self::Group(_) => WireType::GroupStart,
        }
    }

    /// Whether a list of these may be written packed.
    pub(super) fn packable(self) -> bool {
        !matches!(self.wire_type(), WireType::Bytes | WireType::GroupStart)
    }

    /// How a single value is written.
    #[inline]
    pub(super) fn written_as(self) -> WireType {
        self.wire_type()
    }

    /// The value of an absent scalar, as it would be read from the wire.
    fn default(value: &Value) -> u64 {
        match value {
            // A negative number is sign-extended on the wire.
            Value::EnumNumber(number) => i64::from(*number).cast_unsigned(),
            _ => 0,
        }
    }
}

/// Resolves types to indices; a type is entered before its fields, so that it may be recursive.
#[derive(Default)]
struct Builder {
    tables: Tables,
    enums: HashMap<String, u32>,
    pending: Vec<u32>,
}

impl Builder {
    fn message(&mut self, descriptor: &MessageDescriptor) -> u32 {
        if let Some(&index) = self.tables.by_name.get(descriptor.full_name()) {
            return index;
        }
        let index = index_of(&self.tables.messages);
        self.tables.by_name.insert(descriptor.full_name().to_owned(), index);
        self.tables.messages.push(MessageTable {
            descriptor: descriptor.clone(),
            shape: well_known::shape(descriptor, self.tables.style),
            fields: Vec::new(),
            oneofs: index_of_len(descriptor.oneofs().len()),
            dense: Vec::new(),
            sparse: Vec::new(),
        });
        self.pending.push(index);
        index
    }

    fn run(&mut self) {
        while let Some(index) = self.pending.pop() {
            let descriptor = self.tables.message(index).descriptor.clone();
            let mut fields: Vec<Field> =
                descriptor.fields().map(|field| self.field(&field)).collect();
            // To Java they are unknown fields, because nobody registers them.
            let is_known = self.tables.style.notation != JsonNotation::Java;
            let mut extensions: Vec<ExtensionDescriptor> =
                descriptor.extensions().filter(|_| is_known).collect();
            extensions.sort_by_key(ExtensionDescriptor::number);
            fields.extend(extensions.iter().map(|extension| self.extension(extension)));
            let table = &mut self.tables.messages[index as usize];
            table.fields = fields;
            table.index_fields();
        }
    }

    fn reaches_any(&self) -> bool {
        self.tables.messages.iter().any(|table| table.shape == Shape::Any)
    }

    fn field(&mut self, field: &FieldDescriptor) -> Field {
        let op = match field.kind() {
            Kind::Message(entry) if field.is_map() => self.map(&entry),
            kind => self.op(&kind, field.is_group()),
        };
        let oneof = field.containing_oneof().filter(|oneof| oneof.fields().len() > 1);
        let position = oneof
            .and_then(|wanted| field.parent_message().oneofs().position(|oneof| oneof == wanted));
        Field {
            name: field.name().to_owned(),
            number: field.number(),
            absent: self.absent(field, op),
            key: json::key(field.json_name()),
            op,
            written_as: op.written_as(),
            list: field.is_list(),
            presence: field.supports_presence(),
            oneof: position.map(index_of_len),
            default: Op::default(&field.default_value()),
        }
    }

    fn extension(&mut self, extension: &ExtensionDescriptor) -> Field {
        let op = self.op(&extension.kind(), extension.is_group());
        Field {
            name: extension.full_name().to_owned(),
            number: extension.number(),
            absent: Vec::new(),
            key: json::key(extension.json_name()),
            op,
            written_as: op.written_as(),
            list: extension.is_list(),
            presence: extension.supports_presence(),
            oneof: None,
            default: Op::default(&extension.default_value()),
        }
    }

    /// What is printed of a field that is not set.
    fn absent(&self, field: &FieldDescriptor, op: Op) -> Vec<u8> {
        let has_message = matches!(op, Op::Message(_) | Op::Group(_));
        let is_left_out = !field.is_list() && (has_message || field.containing_oneof().is_some());
        if !self.tables.style.defaults || is_left_out {
            return Vec::new();
        }
        let mut out = json::key(field.json_name());
        match (op, field.default_value()) {
            _ if field.is_map() => out.extend_from_slice(b"{}"),
            _ if field.is_list() => out.extend_from_slice(b"[]"),
            (Op::Enum(index), Value::EnumNumber(value)) => {
                self.tables.enumeration(index).print(value, &mut out);
            }
            (_, Value::String(value)) => self.tables.text(&value, &mut out),
            (_, Value::Bytes(value)) => json::base64(&value, &mut out),
            (op, value) => {
                let raw = raw(op, &value);
                let notation = self.tables.style.notation;
                number::append(&mut out, |slot| number::scalar(op, raw, notation, slot));
            }
        }
        out
    }

    fn map(&mut self, entry: &MessageDescriptor) -> Op {
        let key = self.op(&entry.map_entry_key_field().kind(), false);
        let value = self.field(&entry.map_entry_value_field());
        let index = index_of(&self.tables.maps);
        self.tables.maps.push(MapTable { key, value });
        Op::Map(index)
    }

    fn op(&mut self, kind: &Kind, group: bool) -> Op {
        match kind {
            Kind::Bool => Op::Bool,
            Kind::Int32 => Op::Int32,
            Kind::Sint32 => Op::Sint32,
            Kind::Sfixed32 => Op::Sfixed32,
            Kind::Int64 => Op::Int64,
            Kind::Sint64 => Op::Sint64,
            Kind::Sfixed64 => Op::Sfixed64,
            Kind::Uint32 => Op::Uint32,
            Kind::Fixed32 => Op::Fixed32,
            Kind::Uint64 => Op::Uint64,
            Kind::Fixed64 => Op::Fixed64,
            Kind::Float => Op::Float,
            Kind::Double => Op::Double,
            Kind::String => Op::String,
            Kind::Bytes => Op::Bytes,
            Kind::Enum(descriptor) => Op::Enum(self.enumeration(descriptor)),
            Kind::Message(message) if group => Op::Group(self.message(message)),
            Kind::Message(message) => Op::Message(self.message(message)),
        }
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> u32 {
        if let Some(&index) = self.enums.get(descriptor.full_name()) {
            return index;
        }
        let index = index_of(&self.tables.enums);
        self.enums.insert(descriptor.full_name().to_owned(), index);
        self.tables.enums.push(EnumTable::compile(descriptor));
        index
    }
}

/// A number or bool as it would be read from the wire.
fn raw(op: Op, value: &Value) -> u64 {
    let zigzag = |value: i64| ((value << 1) ^ (value >> 63)).cast_unsigned();
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I32(value) if op == Op::Sint32 => zigzag((*value).into()),
        Value::I64(value) if op == Op::Sint64 => zigzag(*value),
        Value::I32(value) => i64::from(*value).cast_unsigned(),
        Value::I64(value) => value.cast_unsigned(),
        Value::U32(value) => (*value).into(),
        Value::U64(value) => *value,
        Value::F32(value) => value.to_bits().into(),
        Value::F64(value) => value.to_bits(),
        _ => 0,
    }
}

fn index_of<T>(items: &[T]) -> u32 {
    index_of_len(items.len())
}

fn index_of_len(length: usize) -> u32 {
    u32::try_from(length).expect("a descriptor pool holds fewer than 2^32 items")
}
