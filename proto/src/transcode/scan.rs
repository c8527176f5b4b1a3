//! One pass over a message's tags: where each value is, in the order of the JSON.
//!
//! Why first scan, then emit: the JSON is ordered by field and each field printed once, while the
//! wire may bring fields in any order and several times. Most senders write in order, and then
//! nothing is moved.
//!
//! Invariants
//! 1. Wire types, group balance and the depth of unknown groups are checked here.
//! 2. What a later member of a oneof has unset is checked and dropped here.
//! 3. Afterwards the occurrences are sorted by field, those of one field in the order of the wire.
//!
//! Next: `emit.rs` prints them.

use super::check;
use super::table::{Field, MessageTable, Op, Tables};
use super::{Failure, Outcome};
use crate::wire::{Reader, Tag, WireError, WireFault, WireType};

/// The slot of an occurrence that counts no more; sorts last.
const DROPPED: u32 = u32::MAX >> 1;

/// One value of one field, by its place in the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occurrence {
    /// From the top: slot, 31 bits, which field numbers cannot exceed; start, 32 bits; packed,
    /// one. In one word, because occurrences are sorted by it.
    place: u64,
    /// The scalar's bits as read, or where the bytes end.
    pub(super) value: u64,
}

impl Occurrence {
    /// A value of the field in this slot, at this place of the message.
    #[inline]
    pub(super) fn new(slot: u32, start: u32, value: u64) -> Self {
        Self { place: u64::from(slot) << 33 | u64::from(start) << 1, value }
    }

    /// Index in the message's `fields`.
    #[inline]
    pub(super) fn slot(&self) -> u32 {
        (self.place >> 33) as u32
    }

    /// Where the value starts, after its length if it has one.
    #[inline]
    pub(super) fn start(&self) -> usize {
        (self.place >> 1) as u32 as usize
    }

    /// Whether these are the bytes of a packed list.
    #[inline]
    pub(super) fn packed(&self) -> bool {
        self.place & 1 != 0
    }

    /// Moves it behind all that count.
    fn drop(&mut self) {
        self.place |= u64::from(DROPPED) << 33;
    }

    /// The bytes of a string, bytes, message or packed list.
    #[inline]
    pub(super) fn bytes<'a>(&self, wire: &'a [u8]) -> &'a [u8] {
        &wire[self.start()..self.value as usize]
    }
}

/// One message to scan.
#[derive(Clone, Copy)]
pub(super) struct Frame<'t, 'a> {
    pub(super) tables: &'t Tables,
    pub(super) table: &'t MessageTable,
    pub(super) wire: &'a [u8],
    /// Where the message starts in the whole record, for errors.
    pub(super) base: usize,
    /// How many levels may still nest inside this message.
    pub(super) depth: u32,
}

/// What the scan noticed on its way.
#[derive(Clone, Copy, Default)]
pub(super) struct Noticed {
    /// A group that no field stands for.
    pub(super) unknown_group: bool,
    disordered: bool,
    oneof_again: bool,
}

/// Appends the message's occurrences to `found`.
pub(super) fn scan(frame: &Frame<'_, '_>, found: &mut Vec<Occurrence>) -> Outcome<Noticed> {
    let from = found.len();
    let noticed = collect(frame, found)?;
    if noticed.oneof_again {
        drop_unset(frame, &mut found[from..])?;
    }
    if noticed.oneof_again || noticed.disordered {
        found[from..].sort_unstable_by_key(|occurrence| occurrence.place);
        while found.len() > from && found.last().is_some_and(|last| last.slot() == DROPPED) {
            found.pop();
        }
    }
    Ok(noticed)
}

fn collect(frame: &Frame<'_, '_>, found: &mut Vec<Occurrence>) -> Outcome<Noticed> {
    let mut reader = Reader::new(frame.wire);
    let mut noticed = Noticed::default();
    let mut oneofs_seen = 0_u64;
    let mut last_slot = 0;
    while !reader.is_empty() {
        let tag = reader.tag().map_err(|error| frame.failure(error))?;
        let Some(slot) = frame.table.slot(tag.number) else {
            noticed.unknown_group |= tag.wire_type == WireType::GroupStart;
            reader.value(tag, frame.depth).map_err(|error| frame.failure(error))?;
            continue;
        };
        let field = &frame.table.fields[slot as usize];
        loop {
            let value = frame.value(field, tag, &mut reader);
            found.push(value.map_err(|error| frame.failure(error).within(&field.name))?.at(slot));
            if !field.list || !reader.again(tag) {
                break;
            }
        }
        noticed.disordered |= slot < last_slot;
        last_slot = slot;
        if let Some(oneof) = field.oneof {
            // More than 64 oneofs share bits; then the slower way is taken without need.
            let bit = 1_u64 << (oneof & 63);
            noticed.oneof_again |= oneofs_seen & bit != 0;
            oneofs_seen |= bit;
        }
    }
    Ok(noticed)
}

/// A value whose field is not noted yet.
struct Found {
    start: usize,
    value: u64,
    packed: bool,
}

impl Found {
    /// The place of bytes that the reader has just read.
    #[inline]
    fn bytes(bytes: &[u8], reader: &Reader<'_>, packed: bool) -> Self {
        let end = reader.offset();
        Self { start: end - bytes.len(), value: end as u64, packed }
    }

    #[inline]
    fn at(self, slot: u32) -> Occurrence {
        // The transcoder refuses messages that 32 bits cannot address.
        let mut found = Occurrence::new(slot, self.start as u32, self.value);
        found.place |= u64::from(self.packed);
        found
    }
}

impl Frame<'_, '_> {
    /// The failure of a wire error in this message.
    #[cold]
    pub(super) fn failure(&self, error: WireError) -> Box<Failure> {
        Failure::new(self.base + error.offset, error.fault)
    }

    /// Reads a value that is written as most are; all others are read by `other`.
    #[inline(always)]
    fn value(&self, field: &Field, tag: Tag, reader: &mut Reader<'_>) -> Result<Found, WireError> {
        if tag.wire_type != field.written_as {
            return self.other(field, tag, reader);
        }
        let start = reader.offset();
        let value = match tag.wire_type {
            WireType::Varint => reader.varint()?,
            WireType::Fixed64 => reader.fixed64()?,
            WireType::Fixed32 => reader.fixed32()?.into(),
            WireType::Bytes => {
                return reader.bytes().map(|bytes| Found::bytes(bytes, reader, false));
            }
            WireType::GroupStart | WireType::GroupEnd => return self.other(field, tag, reader),
        };
        Ok(Found { start, value, packed: false })
    }

    /// Reads a packed list, a group or a map's entry with an odd tag. Kept out of the loop of the
    /// scan, whose registers it would take.
    #[inline(never)]
    fn other(&self, field: &Field, tag: Tag, reader: &mut Reader<'_>) -> Result<Found, WireError> {
        match field.op {
            // prost-reflect reads a map entry's length whatever the tag says, and so must we.
            Op::Map(_) => reader.bytes().map(|entry| Found::bytes(entry, reader, false)),
            Op::Group(child) if tag.wire_type == WireType::GroupStart => {
                let child = self.tables.message(child);
                let start = reader.offset();
                let end = check::skip_group(self.tables, child, reader, tag.number, self.depth)?;
                Ok(Found { start, value: end as u64, packed: false })
            }
            op if field.list && op.packable() && tag.wire_type == WireType::Bytes => {
                reader.bytes().map(|run| Found::bytes(run, reader, true))
            }
            _ => Err(WireError { offset: reader.offset(), fault: WireFault::WireTypeMismatch }),
        }
    }
}

/// Drops what later members of a oneof have unset. Going backwards, the first member met is the
/// one that is set; its own occurrences count until another member is met.
#[cold]
fn drop_unset(frame: &Frame<'_, '_>, found: &mut [Occurrence]) -> Outcome {
    let mut set = vec![(None, false); frame.table.oneofs as usize];
    for occurrence in found.iter_mut().rev() {
        let field = &frame.table.fields[occurrence.slot() as usize];
        let Some(oneof) = field.oneof else { continue };
        let (winner, closed) = &mut set[oneof as usize];
        *closed |= *winner.get_or_insert(occurrence.slot()) != occurrence.slot();
        if *closed {
            check::occurrence(frame, field, occurrence)?;
            occurrence.drop();
        }
    }
    Ok(())
}
