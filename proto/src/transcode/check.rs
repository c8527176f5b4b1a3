//! Checks what is decoded and then not printed: values that later ones replace or unset.
//!
//! Why: prost-reflect decodes them before it drops them, so a mistake inside them is an error of
//! the whole message. What is printed needs no check of its own; printing finds the same mistakes.

use super::scan::{Frame, Occurrence};
use super::table::{Field, MessageTable, Op, Tables};
use super::{Failure, Outcome, map, scan, text};
use crate::wire::{Reader, Tag, WireError, WireFault, WireType};

/// Checks a whole message.
pub(super) fn message(frame: &Frame<'_, '_>) -> Outcome {
    let mut found = Vec::new();
    scan::scan(frame, &mut found)?;
    for occurrence in &found {
        occurrence_of(frame, occurrence)?;
    }
    Ok(())
}

fn occurrence_of(frame: &Frame<'_, '_>, found: &Occurrence) -> Outcome {
    occurrence(frame, &frame.table.fields[found.slot() as usize], found)
}

/// Checks one value of a field.
pub(super) fn occurrence(frame: &Frame<'_, '_>, field: &Field, occurrence: &Occurrence) -> Outcome {
    let base = frame.base + occurrence.start();
    let checked = match field.op {
        Op::String => text::utf8(occurrence.bytes(frame.wire))
            .map(drop)
            .map_err(|fault| Failure::new(base, fault)),
        Op::Message(child) | Op::Group(child) => {
            frame.child(child, occurrence.bytes(frame.wire), base).and_then(|f| message(&f))
        }
        Op::Map(index) => {
            map::check(frame, frame.tables.map(index), occurrence.bytes(frame.wire), base)
        }
        op if occurrence.packed() => packed(op, occurrence.bytes(frame.wire), base),
        _ => Ok(()),
    };
    checked.map_err(|failure| failure.within(&field.name))
}

fn packed(op: Op, bytes: &[u8], base: usize) -> Outcome {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        packed_element(op, &mut reader)
            .map_err(|error| Failure::new(base + error.offset, error.fault))?;
    }
    Ok(())
}

/// Reads the next element of a packed list.
#[inline]
pub(super) fn packed_element(op: Op, reader: &mut Reader<'_>) -> Result<u64, WireError> {
    match op.written_as() {
        WireType::Fixed64 => reader.fixed64(),
        WireType::Fixed32 => reader.fixed32().map(u64::from),
        _ => reader.varint(),
    }
}

impl<'t> Frame<'t, '_> {
    /// The frame of a message inside this one; an error if it would nest too deep.
    #[inline]
    pub(super) fn child<'b>(
        &self,
        table: u32,
        wire: &'b [u8],
        base: usize,
    ) -> Outcome<Frame<'t, 'b>> {
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(Failure::new(base, WireFault::Depth));
        };
        Ok(Frame { tables: self.tables, table: self.tables.message(table), wire, base, depth })
    }
}

/// Finds the end of a group whose type is known, and reads past it. The fields inside are skipped
/// as their types say, because prost-reflect reads the entries of a map whatever their tag says.
pub(super) fn skip_group(
    tables: &Tables,
    table: &MessageTable,
    reader: &mut Reader<'_>,
    number: u32,
    depth: u32,
) -> Result<usize, WireError> {
    let start = reader.offset();
    let fault = |offset, fault| Err(WireError { offset, fault });
    let Some(inside) = depth.checked_sub(1) else {
        return fault(start, WireFault::Depth);
    };
    loop {
        let end = reader.offset();
        if reader.is_empty() {
            return fault(start, WireFault::Group);
        }
        let tag = reader.tag()?;
        if tag.wire_type == WireType::GroupEnd {
            return if tag.number == number { Ok(end) } else { fault(end, WireFault::Group) };
        }
        skip_field(tables, table, reader, tag, inside)?;
    }
}

fn skip_field(
    tables: &Tables,
    table: &MessageTable,
    reader: &mut Reader<'_>,
    tag: Tag,
    depth: u32,
) -> Result<(), WireError> {
    let op = table.slot(tag.number).map(|slot| table.fields[slot as usize].op);
    match (op, tag.wire_type) {
        (Some(Op::Map(_)), _) => reader.bytes().map(drop),
        (Some(Op::Group(child)), WireType::GroupStart) => {
            skip_group(tables, tables.message(child), reader, tag.number, depth).map(drop)
        }
        _ => reader.value(tag, depth).map(drop),
    }
}
