//! Prints a scanned message as JSON.
//!
//! Invariants
//! 1. Every value on the wire is either printed or checked, so that what cannot be decoded is
//!    always found.
//! 2. The scratch space is a stack: a message takes its occurrences off before it returns.
//!
//! Next: `map.rs` and `well_known.rs` print what is special.

use std::ops::Range;

use super::map::Entry;
use super::number;
use super::scan::{Frame, Occurrence, scan};
use super::table::{Field, Op, Tables};
use super::well_known::Shape;
use super::{Failure, JsonNotation, Outcome, check, java, json, text};
use crate::wire::{Reader, WireError, WireFault};

/// Space that is kept from message to message.
pub(super) struct Scratch {
    pub(super) found: Vec<Occurrence>,
    pub(super) entries: Vec<Entry>,
    pub(super) order: Vec<u32>,
}

/// More than this is not kept: one huge message must not hold memory for ever.
const KEPT_MAX: usize = 16 * 1024;

impl Scratch {
    pub(super) const fn new() -> Self {
        Self { found: Vec::new(), entries: Vec::new(), order: Vec::new() }
    }

    /// Empties the space, which an error leaves as it was, and brings it to a bounded size.
    #[inline]
    pub(super) fn tidy(&mut self) {
        tidy(&mut self.found);
        tidy(&mut self.entries);
        tidy(&mut self.order);
    }
}

#[inline]
fn tidy<T>(items: &mut Vec<T>) {
    items.clear();
    if items.capacity() > KEPT_MAX {
        items.shrink_to(KEPT_MAX);
    }
}

/// How much of a packed list is printed at once.
const BATCH_BYTES: usize = 512;

/// Prints one record.
pub(super) struct Emitter<'t, 'o> {
    pub(super) tables: &'t Tables,
    pub(super) scratch: &'o mut Scratch,
    pub(super) out: &'o mut Vec<u8>,
    /// How many `Any` we are inside of.
    pub(super) any_depth: u32,
}

impl<'t, 'o> Emitter<'t, 'o> {
    pub(super) fn new(tables: &'t Tables, scratch: &'o mut Scratch, out: &'o mut Vec<u8>) -> Self {
        Self { tables, scratch, out, any_depth: 0 }
    }

    /// Prints the record's outermost message.
    pub(super) fn root(&mut self, wire: &[u8], depth: u32) -> Outcome {
        let table = self.tables.root();
        self.message(&Frame { tables: self.tables, table, wire, base: 0, depth })
    }

    /// Prints a message in the form of its type.
    pub(super) fn message(&mut self, frame: &Frame<'t, '_>) -> Outcome {
        if frame.table.shape != Shape::Plain {
            return self.well_known(frame);
        }
        let open = self.out.len();
        self.fields(frame)?;
        self.close_object(open);
        Ok(())
    }

    /// Turns the first comma after `open` into the brace it stands for.
    #[inline]
    pub(super) fn close_object(&mut self, open: usize) {
        match self.out.get_mut(open) {
            Some(comma) => *comma = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }

    /// Prints the fields of a message, each with a comma before it.
    pub(super) fn fields(&mut self, frame: &Frame<'t, '_>) -> Outcome {
        let from = self.scratch.found.len();
        scan(frame, &mut self.scratch.found)?;
        let to = self.scratch.found.len();
        let mut at = from;
        let mut next_slot = 0;
        while at < to {
            let slot = self.scratch.found[at].slot();
            let rest = &self.scratch.found[at + 1..to];
            let next = rest.iter().position(|other| other.slot() != slot);
            let end = next.map_or(to, |count| at + 1 + count);
            self.absent_fields(&frame.table.fields[next_slot..slot as usize]);
            next_slot = slot as usize + 1;
            let field = &frame.table.fields[slot as usize];
            let printed = self.field(frame, field, at..end);
            printed.map_err(|failure| failure.within(&field.name))?;
            at = end;
        }
        self.absent_fields(&frame.table.fields[next_slot..]);
        self.scratch.found.truncate(from);
        Ok(())
    }

    /// Prints what stands for fields that are not set.
    #[inline]
    pub(super) fn absent_fields(&mut self, fields: &[Field]) {
        if self.tables.style.defaults {
            for field in fields {
                self.out.extend_from_slice(&field.absent);
            }
        }
    }

    /// Whether a value that is its field's default is left out.
    #[inline]
    fn leaves_out(&self, field: &Field, found: &Occurrence, wire: &[u8]) -> bool {
        !field.presence && !self.tables.style.defaults && is_default(field, found, wire)
    }

    #[inline]
    fn field(&mut self, frame: &Frame<'t, '_>, field: &Field, found: Range<usize>) -> Outcome {
        match field.op {
            Op::Map(index) => self.map(frame, field, index, found),
            _ if field.list => self.list(frame, field, found),
            _ => self.singular(frame, field, found),
        }
    }

    /// Prints a field of which the last value counts, or all of them merged if it is a message.
    fn singular(&mut self, frame: &Frame<'t, '_>, field: &Field, found: Range<usize>) -> Outcome {
        let last = self.scratch.found[found.end - 1];
        if found.len() > 1 {
            return self.singular_again(frame, field, found);
        }
        if self.leaves_out(field, &last, frame.wire) {
            return Ok(());
        }
        self.out.extend_from_slice(&field.key);
        self.value(frame, field.op, &last)
    }

    #[cold]
    fn singular_again(
        &mut self,
        frame: &Frame<'t, '_>,
        field: &Field,
        found: Range<usize>,
    ) -> Outcome {
        let pieces = self.scratch.found[found].to_vec();
        for piece in &pieces {
            check::occurrence(frame, field, piece)?;
        }
        let last = pieces[pieces.len() - 1];
        if self.leaves_out(field, &last, frame.wire) {
            return Ok(());
        }
        self.out.extend_from_slice(&field.key);
        match field.op {
            Op::Message(child) | Op::Group(child) => self.merged(frame, child, &pieces),
            op => self.value(frame, op, &last),
        }
    }

    /// Prints a sub-message that came in pieces. Merging messages and joining their bytes is the
    /// same thing, so long as each piece is a message by itself, which has been checked.
    pub(super) fn merged(
        &mut self,
        frame: &Frame<'t, '_>,
        child: u32,
        pieces: &[Occurrence],
    ) -> Outcome {
        let joined: Vec<u8> =
            pieces.iter().flat_map(|piece| piece.bytes(frame.wire)).copied().collect();
        let base = frame.base + pieces[0].start();
        self.message(&frame.child(child, &joined, base)?)
    }

    fn list(&mut self, frame: &Frame<'t, '_>, field: &Field, found: Range<usize>) -> Outcome {
        let before = self.out.len();
        self.out.extend_from_slice(&field.key);
        self.out.push(b'[');
        let empty = self.out.len();
        for at in found {
            let occurrence = self.scratch.found[at];
            if occurrence.packed() {
                let base = frame.base + occurrence.start();
                self.packed(field.op, occurrence.bytes(frame.wire), base)?;
            } else {
                self.value(frame, field.op, &occurrence)?;
                self.out.push(b',');
            }
        }
        if self.out.len() == empty {
            self.out.truncate(before);
            self.out.extend_from_slice(&field.absent);
        } else {
            self.out.pop();
            self.out.push(b']');
        }
        Ok(())
    }

    /// Prints a packed run. The common types are matched once for the run and not for each
    /// element.
    fn packed(&mut self, op: Op, bytes: &[u8], base: usize) -> Outcome {
        let mut reader = Reader::new(bytes);
        let printed = match op {
            Op::Enum(index) => self.enums(index, &mut reader),
            Op::Int32 => self.run(Op::Int32, &mut reader, Reader::varint),
            Op::Uint32 => self.run(Op::Uint32, &mut reader, Reader::varint),
            Op::Int64 => self.run(Op::Int64, &mut reader, Reader::varint),
            Op::Uint64 => self.run(Op::Uint64, &mut reader, Reader::varint),
            Op::Double => self.run(Op::Double, &mut reader, Reader::fixed64),
            Op::Float => self.run(Op::Float, &mut reader, |it| it.fixed32().map(u64::from)),
            op => self.run(op, &mut reader, |it| check::packed_element(op, it)),
        };
        printed.map_err(|error| Failure::new(base + error.offset, error.fault))
    }

    #[inline(always)]
    fn run<'w>(
        &mut self,
        op: Op,
        reader: &mut Reader<'w>,
        read: impl Fn(&mut Reader<'w>) -> Result<u64, WireError>,
    ) -> Result<(), WireError> {
        let notation = self.tables.style.notation;
        let mut batch = [0; BATCH_BYTES];
        let mut at = 0;
        while !reader.is_empty() {
            let Some(slot) = batch[at..].first_chunk_mut() else {
                self.out.extend_from_slice(&batch[..at]);
                at = 0;
                continue;
            };
            let length = number::scalar(op, read(reader)?, notation, slot);
            slot[length] = b',';
            at += length + 1;
        }
        self.out.extend_from_slice(&batch[..at]);
        Ok(())
    }

    fn enums(&mut self, index: u32, reader: &mut Reader<'_>) -> Result<(), WireError> {
        while !reader.is_empty() {
            let value = reader.varint()? as i32;
            self.tables.enumeration(index).print(value, self.out);
            self.out.push(b',');
        }
        Ok(())
    }

    /// Prints one value.
    #[inline]
    pub(super) fn value(&mut self, frame: &Frame<'t, '_>, op: Op, found: &Occurrence) -> Outcome {
        match op {
            Op::String => self
                .string(found.bytes(frame.wire))
                .map_err(|fault| Failure::new(frame.base + found.start(), fault)),
            Op::Bytes => {
                json::base64(found.bytes(frame.wire), self.out);
                Ok(())
            }
            Op::Message(child) | Op::Group(child) => {
                let base = frame.base + found.start();
                self.message(&frame.child(child, found.bytes(frame.wire), base)?)
            }
            _ => {
                self.scalar(op, found.value);
                Ok(())
            }
        }
    }

    /// Prints a value that is not made of bytes.
    #[inline]
    pub(super) fn scalar(&mut self, op: Op, raw: u64) {
        match op {
            Op::Enum(index) => self.tables.enumeration(index).print(raw as i32, self.out),
            op => {
                let notation = self.tables.style.notation;
                number::append(self.out, |slot| number::scalar(op, raw, notation, slot));
            }
        }
    }

    /// Prints a text from the wire.
    #[inline]
    pub(super) fn string(&mut self, bytes: &[u8]) -> Result<(), WireFault> {
        match self.tables.style.notation {
            JsonNotation::Plain => text::string(bytes, self.out),
            JsonNotation::Java => java::string(bytes, self.out),
        }
    }
}

/// Whether a value is its field's default, as prost-reflect compares: minus zero is zero.
#[inline]
fn is_default(field: &Field, found: &Occurrence, wire: &[u8]) -> bool {
    match field.op {
        Op::String | Op::Bytes => found.bytes(wire).is_empty(),
        Op::Message(_) | Op::Group(_) | Op::Map(_) => false,
        Op::Float => f32::from_bits(found.value as u32) == 0.0,
        Op::Double => f64::from_bits(found.value) == 0.0,
        Op::Bool => found.value == 0,
        Op::Enum(_) => found.value as i32 == field.default as i32,
        Op::Int64 | Op::Sint64 | Op::Sfixed64 | Op::Uint64 | Op::Fixed64 => found.value == 0,
        _ => found.value as u32 == 0,
    }
}
