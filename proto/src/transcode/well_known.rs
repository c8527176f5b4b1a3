//! The well-known types that have a JSON form of their own.
//!
//! Timestamps, durations, wrappers and the empty message are printed here; `Any` in `any.rs`.
//! Structs, values, lists and field masks are left to prost-reflect for their part of the message:
//! they are trees without a fixed shape, and rare on streams that are worth being fast.
//!
//! Invariant: a type is printed here only if its descriptor has exactly the fields it should have;
//! one that was redefined is left to prost-reflect.

use prost_reflect::{Cardinality, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};

use super::emit::Emitter;
use super::scan::{Frame, Occurrence, scan};
use super::table::Op;
use super::{DecodeReason, Failure, JsonNotation, JsonStyle, Outcome, check, json, number};
use crate::wire::WireFault;

/// The first and last second a timestamp may name: years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The most seconds a duration may have, either way.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;

/// The most nanoseconds a duration may have beside its seconds, either way.
const DURATION_NANOS_MAX: u32 = 999_999_999;

/// What form a message type has in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object of its fields.
    Plain,
    /// An RFC 3339 string.
    Timestamp,
    /// Seconds with an `s`.
    Duration,
    /// The wrapped value alone.
    Wrapper,
    /// `{}`.
    Empty,
    /// The object or value inside, with its type.
    Any,
    /// An object of what its one map holds.
    Struct,
    /// The member that is set.
    Value,
    /// The elements of its one list.
    List,
    /// Paths in lower camel case, joined by commas.
    Mask,
    /// Whatever prost-reflect prints.
    Reflected,
}

/// Whether prost-reflect gives the type of this name a form of its own.
pub(crate) fn is_well_known(full_name: &str) -> bool {
    let Some(name) = full_name.strip_prefix("google.protobuf.") else {
        return false;
    };
    wrapped(name).is_some()
        || matches!(
            name,
            "Any"
                | "Timestamp"
                | "Duration"
                | "Struct"
                | "FieldMask"
                | "ListValue"
                | "Value"
                | "Empty"
        )
}

/// The form of a message type.
pub(super) fn shape(descriptor: &MessageDescriptor, style: JsonStyle) -> Shape {
    let Some(name) = descriptor.full_name().strip_prefix("google.protobuf.") else {
        return Shape::Plain;
    };
    if let (JsonNotation::Java, Some(shape)) = (style.notation, java_shape(descriptor, name)) {
        return shape;
    }
    let (shape, fields) = match name {
        "Timestamp" => (Shape::Timestamp, vec![Kind::Int64, Kind::Int32]),
        "Duration" => (Shape::Duration, vec![Kind::Int64, Kind::Int32]),
        "Any" => (Shape::Any, vec![Kind::String, Kind::Bytes]),
        "Empty" => (Shape::Empty, vec![]),
        _ => match wrapped(name) {
            Some(kind) => (Shape::Wrapper, vec![kind]),
            None if is_well_known(descriptor.full_name()) => return Shape::Reflected,
            None => return Shape::Plain,
        },
    };
    if has_fields(descriptor, &fields) { shape } else { Shape::Reflected }
}

/// Trees are printed here where prost-reflect's notation is not wanted, if their types are what
/// they should be.
fn java_shape(descriptor: &MessageDescriptor, name: &str) -> Option<Shape> {
    let fields = descriptor.fields().len();
    let first = descriptor.get_field(1)?;
    match name {
        "Struct" if fields == 1 && first.is_map() => Some(Shape::Struct),
        "ListValue" if fields == 1 && first.is_list() => Some(Shape::List),
        "FieldMask" if fields == 1 && first.is_list() && first.kind() == Kind::String => {
            Some(Shape::Mask)
        }
        "Value" if fields == 6 && descriptor.oneofs().len() == 1 => Some(Shape::Value),
        _ => None,
    }
}

fn wrapped(name: &str) -> Option<Kind> {
    Some(match name {
        "FloatValue" => Kind::Float,
        "DoubleValue" => Kind::Double,
        "Int32Value" => Kind::Int32,
        "Int64Value" => Kind::Int64,
        "UInt32Value" => Kind::Uint32,
        "UInt64Value" => Kind::Uint64,
        "BoolValue" => Kind::Bool,
        "StringValue" => Kind::String,
        "BytesValue" => Kind::Bytes,
        _ => return None,
    })
}

/// Whether a type has just these fields, numbered from 1, singular and without presence.
fn has_fields(descriptor: &MessageDescriptor, kinds: &[Kind]) -> bool {
    descriptor.extensions().len() == 0
        && descriptor.fields().len() == kinds.len()
        && descriptor.fields().zip((1..).zip(kinds)).all(|(field, (number, kind))| {
            field.number() == number
                && field.kind() == *kind
                && field.cardinality() == Cardinality::Optional
                && !field.supports_presence()
        })
}

impl<'t> Emitter<'t, '_> {
    /// Prints a message whose type has a form of its own.
    pub(super) fn well_known(&mut self, frame: &Frame<'t, '_>) -> Outcome {
        let from = self.scratch.found.len();
        let noticed = scan(frame, &mut self.scratch.found)?;
        let shape = match noticed.unknown_group {
            // prost-reflect reads these types twice, and the second time counts groups
            // differently; where there are any, let it.
            true if self.tables.style.notation == JsonNotation::Plain => Shape::Reflected,
            _ => frame.table.shape,
        };
        let printed = match shape {
            Shape::Timestamp => self.timestamp(frame, from),
            Shape::Duration => self.duration(frame, from),
            Shape::Wrapper => self.wrapper(frame, from),
            Shape::Any => self.any(frame, from),
            Shape::Struct => self.structure(frame, from),
            Shape::Value => self.any_value(frame, from),
            Shape::List => self.values(frame, from),
            Shape::Mask => self.mask(frame, from),
            Shape::Empty => {
                self.out.extend_from_slice(b"{}");
                Ok(())
            }
            Shape::Plain | Shape::Reflected => self.reflected(frame),
        };
        self.scratch.found.truncate(from);
        printed
    }

    /// The last occurrence of the field in this slot.
    pub(super) fn last(&self, from: usize, slot: u32) -> Option<Occurrence> {
        self.scratch.found[from..].iter().rev().find(|found| found.slot() == slot).copied()
    }

    fn seconds_and_nanos(&self, from: usize) -> (i64, i32) {
        let scalar = |slot| self.last(from, slot).map_or(0, |found| found.value);
        (scalar(0).cast_signed(), scalar(1) as i32)
    }

    fn timestamp(&mut self, frame: &Frame<'t, '_>, from: usize) -> Outcome {
        let (seconds, nanos) = self.seconds_and_nanos(from);
        if !TIMESTAMP_SECONDS.contains(&seconds) {
            return Err(unprintable(frame, "timestamp out of range"));
        }
        json::timestamp(seconds, nanos, self.out);
        Ok(())
    }

    fn duration(&mut self, frame: &Frame<'t, '_>, from: usize) -> Outcome {
        let (seconds, nanos) = self.seconds_and_nanos(from);
        if seconds.unsigned_abs() > DURATION_SECONDS_MAX
            || nanos.unsigned_abs() > DURATION_NANOS_MAX
        {
            return Err(unprintable(frame, "duration out of range"));
        }
        json::displayed(prost_types::Duration { seconds, nanos }, self.out);
        Ok(())
    }

    fn wrapper(&mut self, frame: &Frame<'t, '_>, from: usize) -> Outcome {
        for at in from..self.scratch.found.len() {
            let found = self.scratch.found[at];
            check::occurrence(frame, &frame.table.fields[0], &found)?;
        }
        let op = frame.table.fields[0].op;
        match (op, self.last(from, 0)) {
            (Op::String | Op::Bytes, None) => self.out.extend_from_slice(b"\"\""),
            (Op::Float | Op::Double, found) => {
                self.wrapped_number(op, found.map_or(0, |found| found.value));
            }
            (op, None) => self.scalar(op, 0),
            (op, Some(found)) => return self.value(frame, op, &found),
        }
        Ok(())
    }

    /// Unlike a field, a wrapped number that is not finite is `null`, and minus zero, being
    /// equal to the default, is lost.
    fn wrapped_number(&mut self, op: Op, raw: u64) {
        if self.tables.style.notation == JsonNotation::Java {
            self.scalar(op, raw);
        } else if op == Op::Float {
            let value = f32::from_bits(raw as u32);
            let value = if value == 0.0 { 0.0 } else { value };
            number::append(self.out, |slot| number::number(value, slot));
        } else {
            let value = f64::from_bits(raw);
            let value = if value == 0.0 { 0.0 } else { value };
            number::append(self.out, |slot| number::number(value, slot));
        }
    }

    /// Lets prost-reflect print this message. It counts depth from here on, so what nests too
    /// deep in the whole record is found before.
    fn reflected(&mut self, frame: &Frame<'t, '_>) -> Outcome {
        check::message(frame)?;
        let refused = |reason: DecodeReason| Failure::new(frame.base, reason);
        let descriptor = frame.table.descriptor.clone();
        let message = DynamicMessage::decode(descriptor, frame.wire)
            .map_err(|_| refused(WireFault::Truncated.into()))?;
        let mut serializer = serde_json::Serializer::new(&mut *self.out);
        message
            .serialize_with_options(&mut serializer, &SerializeOptions::default())
            .map_err(|_| refused(DecodeReason::Unprintable(unprintable_as(frame))))
    }
}

fn unprintable_as(frame: &Frame<'_, '_>) -> &'static str {
    match frame.table.descriptor.name() {
        "Struct" | "Value" | "ListValue" => {
            "value has no JSON form: not a finite number, or nested too deep"
        }
        "FieldMask" => "field mask has a path without a JSON name",
        _ => "well-known type has no JSON form",
    }
}

#[cold]
pub(super) fn unprintable(frame: &Frame<'_, '_>, reason: &'static str) -> Box<Failure> {
    Failure::new(frame.base, DecodeReason::Unprintable(reason))
}
