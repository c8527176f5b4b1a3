//! Follows a path on the wire: one pass over the tags, descending only where the path leads.
//!
//! How merging is kept: a sub-message that occurs again is walked again with the same state, so
//! that what it does not say stays as the earlier one said it. What starts afresh (an element of a
//! list, an entry of a map, another member of a oneof) resets the state from its level down.
//!
//! Invariant: nothing is allocated unless a message that is itself the leaf came in pieces.

use std::borrow::Cow;

use super::compile::{Access, Key, STEPS_MAX, Scalar, Step};
use super::{Leaf, Timestamp};
use crate::wire::{DEPTH_MAX, Raw, Reader, Tag, WireError, WireFault, WireType};

/// Field number of a map entry's key.
const KEY: u32 = 1;

/// Field number of a map entry's value.
const VALUE: u32 = 2;

/// Finds the leaf.
pub(super) fn find<'a>(steps: &[Step], wire: &'a [u8]) -> Result<Option<Leaf<'a>>, WireError> {
    let mut walk = Walk::new(steps, wire, true);
    walk.message(0, wire)?;
    walk.leaf()
}

/// Whether the leaf is set: there, and not the default of a field without presence.
pub(super) fn is_set(steps: &[Step], wire: &[u8]) -> Result<bool, WireError> {
    let mut walk = Walk::new(steps, wire, false);
    walk.message(0, wire)?;
    let step = &steps[steps.len() - 1];
    let default = step.default.filter(|_| matches!(step.access, Access::Singular));
    Ok(match (walk.found, default) {
        (None, _) => false,
        (Some(Found::Scalar(bits)), Some(default)) => !step.target.is_same(bits, default),
        (Some(Found::Bytes(bytes)), Some(_)) => !bytes.is_empty(),
        (Some(_), _) => true,
    })
}

/// How many elements the list or map has that the last step names as a whole.
pub(super) fn count(steps: &[Step], wire: &[u8]) -> Result<u32, WireError> {
    let mut walk = Walk::new(steps, wire, false);
    walk.message(0, wire)?;
    Ok(walk.counts[steps.len() - 1])
}

/// Reads an encoded timestamp; the last of each field counts.
pub(super) fn timestamp(wire: &[u8]) -> Result<Timestamp, WireError> {
    let mut reader = Reader::new(wire);
    let mut timestamp = Timestamp::default();
    while !reader.is_empty() {
        let tag = reader.tag()?;
        match (tag.number, reader.value(tag, DEPTH_MAX)?) {
            (1, Raw::Varint(seconds)) => timestamp.seconds = seconds.cast_signed(),
            (2, Raw::Varint(nanos)) => timestamp.nanos = nanos as i32,
            (1 | 2, _) => {
                let offset = reader.offset();
                return Err(WireError { offset, fault: WireFault::WireTypeMismatch });
            }
            _ => {}
        }
    }
    Ok(timestamp)
}

struct Walk<'s, 'a> {
    steps: &'s [Step],
    /// The whole message, for the offsets of errors.
    wire: &'a [u8],
    /// How many of the messages on the way are there.
    reached: usize,
    /// How many elements of each step's list have been met.
    counts: [u32; STEPS_MAX],
    found: Option<Found<'a>>,
    /// Whether a message that came in pieces is wanted whole.
    joins: bool,
}

enum Found<'a> {
    Scalar(u64),
    Bytes(&'a [u8]),
    Joined(Vec<u8>),
}

impl<'s, 'a> Walk<'s, 'a> {
    fn new(steps: &'s [Step], wire: &'a [u8], joins: bool) -> Self {
        Walk { steps, wire, reached: 0, counts: [0; STEPS_MAX], found: None, joins }
    }

    /// Walks the fields of the message that holds the step at `level`.
    fn message(&mut self, level: usize, bytes: &'a [u8]) -> Result<(), WireError> {
        let step = &self.steps[level];
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let tag = reader.tag().map_err(|error| self.moved(error, bytes))?;
            let value = reader.value(tag, DEPTH_MAX).map_err(|error| self.moved(error, bytes))?;
            if tag.number == step.number {
                self.occurrence(level, tag, value, bytes, reader.offset())?;
            } else if step.rivals.contains(&tag.number) {
                self.reset(level);
            }
        }
        Ok(())
    }

    fn occurrence(
        &mut self,
        level: usize,
        tag: Tag,
        value: Raw<'a>,
        inside: &'a [u8],
        end: usize,
    ) -> Result<(), WireError> {
        let step = &self.steps[level];
        let target = step.target;
        match (&step.access, value) {
            (Access::Entry(key), Raw::Bytes(entry)) => self.entry(level, key, entry),
            (Access::Nth(_) | Access::Last | Access::All, Raw::Bytes(run)) if target.packable() => {
                self.packed(level, target, run)
            }
            (Access::Entry(_), _) => Err(self.mismatch(inside, end)),
            _ if tag.wire_type != target.written_as() => Err(self.mismatch(inside, end)),
            (Access::Singular, value) => self.enter(level, value),
            (Access::Nth(_) | Access::Last | Access::All, value) => self.element(level, value),
        }
    }

    /// An element of a list, which starts afresh.
    fn element(&mut self, level: usize, value: Raw<'a>) -> Result<(), WireError> {
        let wanted = match self.steps[level].access {
            Access::Nth(position) => self.counts[level] == position,
            Access::All => false,
            _ => true,
        };
        self.counts[level] = self.counts[level].saturating_add(1);
        if wanted {
            self.reset(level);
            self.enter(level, value)?;
        }
        Ok(())
    }

    fn packed(&mut self, level: usize, target: Scalar, run: &'a [u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(run);
        while !reader.is_empty() {
            let tag = Tag { number: self.steps[level].number, wire_type: target.written_as() };
            let value = reader.value(tag, DEPTH_MAX).map_err(|error| self.moved(error, run))?;
            self.element(level, value)?;
        }
        Ok(())
    }

    fn entry(&mut self, level: usize, key: &Key, entry: &'a [u8]) -> Result<(), WireError> {
        if !self.key_is(key, entry)? {
            return Ok(());
        }
        self.reset(level);
        let step = &self.steps[level];
        let mut reader = Reader::new(entry);
        let mut absent = true;
        while !reader.is_empty() {
            let tag = reader.tag().map_err(|error| self.moved(error, entry))?;
            let value = reader.value(tag, DEPTH_MAX).map_err(|error| self.moved(error, entry))?;
            if tag.number != VALUE {
                continue;
            }
            if tag.wire_type != step.target.written_as() {
                return Err(self.mismatch(entry, reader.offset()));
            }
            absent = false;
            self.enter(level, value)?;
        }
        match step.target.written_as() {
            _ if !absent => Ok(()),
            WireType::Bytes => self.enter(level, Raw::Bytes(&[])),
            _ => self.enter(level, Raw::Varint(step.default.unwrap_or(0))),
        }
    }

    /// Whether an entry has the key; the last key in it counts.
    fn key_is(&self, wanted: &Key, entry: &'a [u8]) -> Result<bool, WireError> {
        let mut reader = Reader::new(entry);
        let mut equal = wanted.is_default();
        while !reader.is_empty() {
            let tag = reader.tag().map_err(|error| self.moved(error, entry))?;
            let value = reader.value(tag, DEPTH_MAX).map_err(|error| self.moved(error, entry))?;
            if tag.number == KEY {
                equal = wanted
                    .is(tag.wire_type, value)
                    .ok_or_else(|| self.mismatch(entry, reader.offset()))?;
            }
        }
        Ok(equal)
    }

    /// Takes a value of the step at `level`: the leaf, or a message on the way to it.
    fn enter(&mut self, level: usize, value: Raw<'a>) -> Result<(), WireError> {
        let is_leaf = level + 1 == self.steps.len();
        match value {
            Raw::Bytes(bytes) | Raw::Group(bytes) if !is_leaf => {
                self.reached = self.reached.max(level + 1);
                return self.message(level + 1, bytes);
            }
            Raw::Bytes(bytes) | Raw::Group(bytes) => {
                let is_message = self.steps[level].target.is_message();
                self.found = Some(match self.found.take() {
                    Some(before) if is_message && self.joins => before.joined(bytes),
                    _ => Found::Bytes(bytes),
                });
            }
            Raw::Varint(bits) | Raw::Fixed64(bits) => self.found = Some(Found::Scalar(bits)),
            Raw::Fixed32(bits) => self.found = Some(Found::Scalar(bits.into())),
        }
        Ok(())
    }

    /// Forgets what was found from this level down.
    fn reset(&mut self, level: usize) {
        self.found = None;
        self.reached = self.reached.min(level);
        self.counts[level + 1..self.steps.len()].fill(0);
    }

    fn leaf(mut self) -> Result<Option<Leaf<'a>>, WireError> {
        let step = &self.steps[self.steps.len() - 1];
        let found = match (self.found.take(), step.default, &step.access) {
            (Some(found), ..) => found,
            (None, Some(_), Access::Singular) if self.reached + 1 < self.steps.len() => {
                return Ok(None);
            }
            (None, Some(bits), Access::Singular) => match step.target {
                Scalar::Text | Scalar::Bytes => Found::Bytes(&[]),
                _ => Found::Scalar(bits),
            },
            (None, ..) => return Ok(None),
        };
        self.printed(step.target, found).map(Some)
    }

    fn printed(&self, target: Scalar, found: Found<'a>) -> Result<Leaf<'a>, WireError> {
        match found {
            Found::Scalar(bits) => Ok(target.leaf(bits)),
            Found::Joined(bytes) => Ok(Leaf::Message(Cow::Owned(bytes))),
            Found::Bytes(bytes) if target.is_message() => Ok(Leaf::Message(Cow::Borrowed(bytes))),
            Found::Bytes(bytes) if target == Scalar::Bytes => Ok(Leaf::Bytes(bytes)),
            Found::Bytes(bytes) => std::str::from_utf8(bytes)
                .map(Leaf::Text)
                .map_err(|_| WireError { offset: self.offset_of(bytes), fault: WireFault::Utf8 }),
        }
    }

    /// An error inside `part`, with its offset in the whole message.
    #[cold]
    fn moved(&self, error: WireError, part: &'a [u8]) -> WireError {
        WireError { offset: self.offset_of(part) + error.offset, ..error }
    }

    #[cold]
    fn mismatch(&self, part: &'a [u8], offset: usize) -> WireError {
        self.moved(WireError { offset, fault: WireFault::WireTypeMismatch }, part)
    }

    /// Every part is a slice of the whole message, so the distance of their starts is the offset.
    fn offset_of(&self, part: &'a [u8]) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.wire.as_ptr() as usize).min(self.wire.len())
    }
}

impl<'a> Found<'a> {
    /// Merging messages and joining their bytes is the same thing.
    fn joined(self, more: &'a [u8]) -> Self {
        let mut bytes = match self {
            Self::Joined(bytes) => bytes,
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Scalar(_) => Vec::new(),
        };
        bytes.extend_from_slice(more);
        Self::Joined(bytes)
    }
}

impl Key {
    /// Whether this is the key of an entry that has none.
    fn is_default(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Scalar(_, bits) => *bits == 0,
        }
    }

    /// Whether a value on the wire is this key; nothing if it is of another type.
    fn is(&self, wire_type: WireType, value: Raw<'_>) -> Option<bool> {
        match (self, value) {
            (Self::Text(text), Raw::Bytes(bytes)) => Some(text.as_bytes() == bytes),
            (Self::Scalar(scalar, wanted), value) if wire_type == scalar.written_as() => {
                let bits = match value {
                    Raw::Varint(bits) | Raw::Fixed64(bits) => bits,
                    Raw::Fixed32(bits) => bits.into(),
                    Raw::Bytes(_) | Raw::Group(_) => return None,
                };
                Some(scalar.key_bits(bits) == *wanted)
            }
            _ => None,
        }
    }
}

impl Scalar {
    pub(super) fn written_as(self) -> WireType {
        match self {
            Self::Fixed64 | Self::Sfixed64 | Self::Double => WireType::Fixed64,
            Self::Fixed32 | Self::Sfixed32 | Self::Float => WireType::Fixed32,
            Self::Text | Self::Bytes | Self::Message => WireType::Bytes,
            Self::Group => WireType::GroupStart,
            _ => WireType::Varint,
        }
    }

    pub(super) fn packable(self) -> bool {
        !matches!(self.written_as(), WireType::Bytes | WireType::GroupStart)
    }

    fn is_message(self) -> bool {
        matches!(self, Self::Message | Self::Group)
    }

    /// Whether two values of this type, as read from the wire, are the same.
    fn is_same(self, left: u64, right: u64) -> bool {
        match (self.leaf(left), self.leaf(right)) {
            (Leaf::Float(left), Leaf::Float(right)) => left.to_bits() == right.to_bits(),
            (left, right) => left == right,
        }
    }

    /// A key in the form in which keys are compared: as 64 bits, with the sign.
    fn key_bits(self, bits: u64) -> u64 {
        match self.leaf(bits) {
            Leaf::Bool(key) => key.into(),
            Leaf::Int(key) => key.cast_unsigned(),
            Leaf::Uint(key) => key,
            _ => bits,
        }
    }

    /// The leaf of a value that is not made of bytes.
    pub(super) fn leaf(self, bits: u64) -> Leaf<'static> {
        match self {
            Self::Bool => Leaf::Bool(bits != 0),
            Self::Int32 | Self::Sfixed32 => Leaf::Int((bits as i32).into()),
            Self::Sint32 => Leaf::Int(zigzag(u64::from(bits as u32)) as i32 as i64),
            Self::Int64 | Self::Sfixed64 => Leaf::Int(bits.cast_signed()),
            Self::Sint64 => Leaf::Int(zigzag(bits)),
            Self::Uint32 | Self::Fixed32 => Leaf::Uint((bits as u32).into()),
            Self::Uint64 | Self::Fixed64 => Leaf::Uint(bits),
            Self::Float => Leaf::Float(f32::from_bits(bits as u32).into()),
            Self::Double => Leaf::Float(f64::from_bits(bits)),
            Self::Enum => Leaf::Enum(bits as i32),
            Self::Text | Self::Bytes | Self::Message | Self::Group => {
                unreachable!("a value made of bytes is never read as a scalar")
            }
        }
    }
}

fn zigzag(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -((bits & 1).cast_signed())
}
