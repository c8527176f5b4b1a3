//! Prints a map: each key once, with the last value it was given, where it first appeared.
//!
//! Why our own order: prost-reflect keeps maps in a `HashMap`, whose order differs from run to
//! run. A record that is sent again after a restart should be the same bytes, so ours is fixed.
//!
//! Invariant: an entry whose value is replaced by a later one is checked all the same.

use std::ops::Range;

use super::emit::Emitter;
use super::scan::{Frame, Occurrence};
use super::table::{Field, MapTable, Op};
use super::well_known::Shape;
use super::{Failure, Outcome, check, number, text};
use crate::wire::{Reader, Tag, WireError, WireFault, WireType};

/// Field number of an entry's key.
const KEY: u32 = 1;

/// Field number of an entry's value.
const VALUE: u32 = 2;

/// Maps up to this size are searched for equal keys by comparing all pairs.
const PAIRWISE_MAX: usize = 12;

/// One entry, by its places in the message that holds the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    key: Part,
    value: Part,
    /// Where the entry's bytes are, for values that came in pieces.
    start: u32,
    end: u32,
    /// How often the value occurred within the entry.
    values: u32,
    /// A later entry has the same key and gave its value to the first one.
    replaced: bool,
}

/// A key or value: a scalar's bits, or the place of its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    start: u32,
    value: u64,
}

impl Part {
    fn occurrence(self) -> Occurrence {
        Occurrence::new(0, self.start, self.value)
    }
}

/// Checks the bytes of one entry without printing it.
pub(super) fn check(frame: &Frame<'_, '_>, map: &MapTable, bytes: &[u8], base: usize) -> Outcome {
    let start = base - frame.base;
    let mut entry = Entry::at(start, start + bytes.len());
    entry.parse(frame, map)?;
    check_value(frame, map, &entry)
}

impl<'t> Emitter<'t, '_> {
    /// Prints a map field from its entries' occurrences.
    pub(super) fn map(
        &mut self,
        frame: &Frame<'t, '_>,
        field: &Field,
        index: u32,
        found: Range<usize>,
    ) -> Outcome {
        self.out.extend_from_slice(&field.key);
        self.object(frame, index, found)
    }

    /// Prints the entries.
    pub(super) fn object(
        &mut self,
        frame: &Frame<'t, '_>,
        index: u32,
        found: Range<usize>,
    ) -> Outcome {
        let map = self.tables.map(index);
        let from = self.scratch.entries.len();
        for at in found {
            let place = self.scratch.found[at];
            self.scratch.entries.push(Entry::at(place.start(), place.value as usize));
            let entry = self.scratch.entries.last_mut().expect("an entry was pushed just now");
            entry.parse(frame, map)?;
        }
        self.replace_equal_keys(frame, map, from)?;
        let open = self.out.len();
        for at in from..self.scratch.entries.len() {
            let entry = self.scratch.entries[at];
            if !entry.replaced {
                self.entry(frame, map, &entry)?;
            }
        }
        self.close_object(open);
        self.scratch.entries.truncate(from);
        Ok(())
    }

    fn entry(&mut self, frame: &Frame<'t, '_>, map: &'t MapTable, entry: &Entry) -> Outcome {
        self.out.push(b',');
        self.key(frame, map.key, entry.key)?;
        self.out.push(b':');
        if entry.values == 0 {
            return self.absent_value(frame, &map.value, entry);
        }
        let last = entry.value.occurrence();
        if entry.values == 1 {
            return self.value(frame, map.value.op, &last);
        }
        let values = values(frame, map, entry)?;
        for value in &values {
            check::occurrence(frame, &map.value, value)?;
        }
        match map.value.op {
            Op::Message(child) => self.merged(frame, child, &values),
            op => self.value(frame, op, &last),
        }
    }

    fn key(&mut self, frame: &Frame<'t, '_>, op: Op, key: Part) -> Outcome {
        if op == Op::String {
            let bytes = key.occurrence();
            return self
                .string(bytes.bytes(frame.wire))
                .map_err(|fault| Failure::new(frame.base + key.start as usize, fault));
        }
        number::append(self.out, |slot| number::key(op, key.value, slot));
        Ok(())
    }

    /// Prints the default of a value that an entry does not have.
    fn absent_value(&mut self, frame: &Frame<'t, '_>, value: &Field, entry: &Entry) -> Outcome {
        match value.op {
            Op::String | Op::Bytes => self.out.extend_from_slice(b"\"\""),
            Op::Message(child) => return self.absent_message(frame, child, entry),
            op => self.scalar(op, value.default),
        }
        Ok(())
    }

    /// An absent message is an empty one. It does not nest on the wire, so it may be printed even
    /// where a message on the wire would nest too deep.
    fn absent_message(&mut self, frame: &Frame<'t, '_>, child: u32, entry: &Entry) -> Outcome {
        let table = self.tables.message(child);
        if table.shape == Shape::Plain {
            let open = self.out.len();
            self.absent_fields(&table.fields);
            self.close_object(open);
            return Ok(());
        }
        let base = frame.base + entry.start as usize;
        self.message(&Frame { tables: self.tables, table, wire: &[], base, depth: frame.depth })
    }

    /// Gives the last value of each key to the first entry that has the key.
    fn replace_equal_keys(
        &mut self,
        frame: &Frame<'t, '_>,
        map: &'t MapTable,
        from: usize,
    ) -> Outcome {
        let entries = &mut self.scratch.entries[from..];
        if entries.len() <= PAIRWISE_MAX {
            for later in 1..entries.len() {
                let equal = |entry: &Entry| {
                    !entry.replaced && same_key(frame, map, entry.key, entries[later].key)
                };
                if let Some(first) = entries[..later].iter().position(equal) {
                    replace(frame, map, entries, first, later)?;
                }
            }
            return Ok(());
        }
        let order = &mut self.scratch.order;
        order.clear();
        order.extend((0..entries.len()).map(|index| index as u32));
        order.sort_unstable_by(|&left, &right| {
            let keys = |index: u32| sort_key(frame, map, entries[index as usize].key);
            keys(left).cmp(&keys(right)).then(left.cmp(&right))
        });
        let mut first = 0;
        for at in 1..order.len() {
            let (one, other) = (order[first] as usize, order[at] as usize);
            if same_key(frame, map, entries[one].key, entries[other].key) {
                replace(frame, map, entries, one, other)?;
            } else {
                first = at;
            }
        }
        Ok(())
    }
}

fn replace(
    frame: &Frame<'_, '_>,
    map: &MapTable,
    entries: &mut [Entry],
    first: usize,
    later: usize,
) -> Outcome {
    check_value(frame, map, &entries[first])?;
    let key = entries[first].key;
    entries[first] = Entry { key, ..entries[later] };
    entries[later].replaced = true;
    Ok(())
}

/// What keys are sorted and compared by.
fn sort_key<'a>(frame: &Frame<'_, 'a>, map: &MapTable, key: Part) -> (u64, &'a [u8]) {
    match map.key {
        Op::String => (0, key.occurrence().bytes(frame.wire)),
        Op::Bool => (u64::from(key.value != 0), &[]),
        Op::Int32 | Op::Sfixed32 | Op::Sint32 | Op::Uint32 | Op::Fixed32 => {
            (u64::from(key.value as u32), &[])
        }
        _ => (key.value, &[]),
    }
}

fn same_key(frame: &Frame<'_, '_>, map: &MapTable, left: Part, right: Part) -> bool {
    sort_key(frame, map, left) == sort_key(frame, map, right)
}

impl Entry {
    fn at(start: usize, end: usize) -> Self {
        Self {
            key: Part::default(),
            value: Part::default(),
            start: start as u32,
            end: end as u32,
            values: 0,
            replaced: false,
        }
    }

    /// Finds the key and value; the last of each counts. Keys are checked here, values not.
    #[inline]
    fn parse(&mut self, frame: &Frame<'_, '_>, map: &MapTable) -> Outcome {
        let place = self.start as usize..self.end as usize;
        walk(frame, map, place, |number, part| {
            if number == VALUE {
                self.value = part;
                self.values += 1;
                return Ok(());
            }
            self.key = part;
            match map.key {
                Op::String => text::check(part.occurrence().bytes(frame.wire)),
                _ => Ok(()),
            }
        })
    }
}

/// Every occurrence of an entry's value.
fn values(frame: &Frame<'_, '_>, map: &MapTable, entry: &Entry) -> Outcome<Vec<Occurrence>> {
    let mut values = Vec::new();
    let place = entry.start as usize..entry.end as usize;
    walk(frame, map, place, |number, part| {
        if number == VALUE {
            values.push(part.occurrence());
        }
        Ok(())
    })?;
    Ok(values)
}

fn check_value(frame: &Frame<'_, '_>, map: &MapTable, entry: &Entry) -> Outcome {
    for value in &values(frame, map, entry)? {
        check::occurrence(frame, &map.value, value)?;
    }
    Ok(())
}

/// Calls `part` for each key and value of an entry.
#[inline(always)]
fn walk(
    frame: &Frame<'_, '_>,
    map: &MapTable,
    place: Range<usize>,
    mut part: impl FnMut(u32, Part) -> Result<(), WireFault>,
) -> Outcome {
    let start = place.start;
    let mut reader = Reader::new(&frame.wire[place]);
    let failed = |error: WireError| Failure::new(frame.base + start + error.offset, error.fault);
    while !reader.is_empty() {
        let tag = reader.tag().map_err(failed)?;
        let op = match tag.number {
            KEY => map.key,
            VALUE => map.value.op,
            _ => {
                skip(&mut reader, tag, frame.depth).map_err(failed)?;
                continue;
            }
        };
        let offset = reader.offset();
        let found = read(&mut reader, tag, op, start).map_err(failed)?;
        part(tag.number, found).map_err(|fault| failed(WireError { offset, fault }))?;
    }
    Ok(())
}

#[inline(always)]
fn read(reader: &mut Reader<'_>, tag: Tag, op: Op, base: usize) -> Result<Part, WireError> {
    if tag.wire_type != op.written_as() {
        let offset = reader.offset();
        return Err(WireError { offset, fault: WireFault::WireTypeMismatch });
    }
    let start = (base + reader.offset()) as u32;
    match tag.wire_type {
        WireType::Fixed64 => Ok(Part { start, value: reader.fixed64()? }),
        WireType::Fixed32 => Ok(Part { start, value: reader.fixed32()?.into() }),
        WireType::Bytes => {
            let length = reader.bytes()?.len();
            let end = base + reader.offset();
            Ok(Part { start: (end - length) as u32, value: end as u64 })
        }
        _ => Ok(Part { start, value: reader.varint()? }),
    }
}

/// Skips an unknown field of an entry. prost counts each such field, even a scalar, as a level.
fn skip(reader: &mut Reader<'_>, tag: Tag, depth: u32) -> Result<(), WireError> {
    let offset = reader.offset();
    let Some(inside) = depth.checked_sub(1) else {
        return Err(WireError { offset, fault: WireFault::Depth });
    };
    if tag.wire_type != WireType::GroupStart {
        return reader.value(tag, depth).map(drop);
    }
    loop {
        if reader.is_empty() {
            return Err(WireError { offset, fault: WireFault::Group });
        }
        let at = reader.offset();
        let inner = reader.tag()?;
        match inner.wire_type {
            WireType::GroupEnd if inner.number == tag.number => return Ok(()),
            WireType::GroupEnd => {
                return Err(WireError { offset: at, fault: WireFault::Group });
            }
            _ => skip(reader, inner, inside)?,
        }
    }
}
