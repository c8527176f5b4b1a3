//! All values that a path with `[]` leads to: every element of each list on its way.
//!
//! Why beside [`FieldPath`]: that one has exactly one value per message, which a cursor needs; what
//! a client acknowledges or counts is every element of a list.
//!
//! Invariant: nothing is allocated but where a message on the way came in pieces.

use super::compile::Scalar;
use super::parse::parse;
use super::{FieldPath, Leaf, LeafKind, PathError};
use crate::wire::{DEPTH_MAX, Raw, Reader, Tag, WireError, WireFault};
use prost_reflect::{FieldDescriptor, MessageDescriptor};
use std::borrow::Cow;
use std::fmt;

/// What stands for every element.
const EACH: &str = "[]";

/// A path to any number of values, compiled against a message type.
///
/// `received_messages[].ack_id`, `events[]`; without `[]` it is a [`FieldPath`] that leads to one
/// value or none.
#[derive(Clone)]
pub struct SpreadPath {
    text: String,
    hops: Vec<Hop>,
    /// What is taken of each element of the last list; `None`: the element itself.
    leaf: Option<FieldPath>,
    kind: LeafKind,
    message: Option<MessageDescriptor>,
}

/// One list on the way.
#[derive(Clone, Debug)]
struct Hop {
    /// To the message that holds the list; `None`: it is the one at hand.
    parent: Option<FieldPath>,
    number: u32,
    target: Scalar,
}

/// Takes the values one by one.
type Give<'g> = &'g mut dyn FnMut(Leaf<'_>);

impl SpreadPath {
    /// Compiles `text` against `message`.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn compile(message: &MessageDescriptor, text: &str) -> Result<SpreadPath, PathError> {
        let pieces = pieces(text);
        let (last, lists) = pieces.split_last().expect("a split has a piece");
        let mut inside = Some(message.clone());
        let mut hops = Vec::new();
        let mut kind = LeafKind::Message;
        for piece in lists {
            let (hop, element) = hop(&holder(inside, piece)?, piece)?;
            kind = hop.target.leaf_kind();
            hops.push(hop);
            inside = element;
        }
        let leaf = match last.text {
            "" if !hops.is_empty() => None,
            rest => {
                let path = FieldPath::compile(&holder(inside.clone(), last)?, rest);
                Some(path.map_err(|error| last.moved(error))?)
            }
        };
        let (kind, message) = match &leaf {
            Some(path) => (path.kind(), path.message().cloned()),
            None => (kind, inside),
        };
        Ok(SpreadPath { text: text.to_owned(), hops, leaf, kind, message })
    }

    /// What sort of values the path leads to.
    pub fn kind(&self) -> LeafKind {
        self.kind
    }

    /// Their message type, if they are messages.
    pub fn message(&self) -> Option<&MessageDescriptor> {
        self.message.as_ref()
    }

    /// Whether a message may hold several values.
    pub fn is_list(&self) -> bool {
        !self.hops.is_empty()
    }

    /// Gives every value of an encoded message, in its order.
    ///
    /// # Errors
    /// [`WireError`] if the message is broken on the way; what stood before was given.
    pub fn each(&self, wire: &[u8], give: Give<'_>) -> Result<(), WireError> {
        self.hop(0, wire, give)
    }

    /// How many values there are; up to where the message is broken on the way, if it is.
    pub fn count(&self, wire: &[u8]) -> u64 {
        let mut count = 0;
        let _ = self.each(wire, &mut |_| count += 1);
        count
    }

    fn hop(&self, level: usize, wire: &[u8], give: Give<'_>) -> Result<(), WireError> {
        let Some(hop) = self.hops.get(level) else {
            let leaf = self.leaf.as_ref().map(|path| path.find(wire)).transpose()?;
            leaf.flatten().into_iter().for_each(give);
            return Ok(());
        };
        let Some(inside) = hop.holder(wire)? else { return Ok(()) };
        let mut reader = Reader::new(&inside);
        while !reader.is_empty() {
            let tag = reader.tag()?;
            let value = reader.value(tag, DEPTH_MAX)?;
            if tag.number != hop.number {
                continue;
            }
            match value {
                Raw::Bytes(run) if hop.target.packable() => hop.packed(run, give)?,
                _ if tag.wire_type != hop.target.written_as() => {
                    return Err(mismatch(reader.offset()));
                }
                value => self.element(level, value, give)?,
            }
        }
        Ok(())
    }

    fn element(&self, level: usize, value: Raw<'_>, give: Give<'_>) -> Result<(), WireError> {
        let is_last = level + 1 == self.hops.len() && self.leaf.is_none();
        match value {
            Raw::Bytes(bytes) | Raw::Group(bytes) if !is_last => self.hop(level + 1, bytes, give),
            value => self.hops[level].leaf(value).map(give),
        }
    }
}

impl Hop {
    fn holder<'a>(&self, wire: &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, WireError> {
        let Some(parent) = &self.parent else { return Ok(Some(Cow::Borrowed(wire))) };
        Ok(match parent.find(wire)? {
            Some(Leaf::Message(message)) => Some(message),
            _ => None,
        })
    }

    fn packed(&self, run: &[u8], give: Give<'_>) -> Result<(), WireError> {
        let mut reader = Reader::new(run);
        while !reader.is_empty() {
            let tag = Tag { number: self.number, wire_type: self.target.written_as() };
            give(self.leaf(reader.value(tag, DEPTH_MAX)?)?);
        }
        Ok(())
    }

    fn leaf<'a>(&self, value: Raw<'a>) -> Result<Leaf<'a>, WireError> {
        Ok(match (value, self.target) {
            (Raw::Varint(bits) | Raw::Fixed64(bits), target) => target.leaf(bits),
            (Raw::Fixed32(bits), target) => target.leaf(bits.into()),
            (Raw::Bytes(bytes), Scalar::Bytes) => Leaf::Bytes(bytes),
            (Raw::Bytes(bytes), Scalar::Text) => Leaf::Text(
                std::str::from_utf8(bytes)
                    .map_err(|_| WireError { offset: 0, fault: WireFault::Utf8 })?,
            ),
            (Raw::Bytes(bytes) | Raw::Group(bytes), _) => Leaf::Message(Cow::Borrowed(bytes)),
        })
    }
}

/// A part of the path between two `[]`.
struct Piece<'t> {
    text: &'t str,
    /// Byte offset in the whole path.
    column: usize,
}

impl Piece<'_> {
    /// An error inside the piece, with its place in the whole path.
    fn moved(&self, error: PathError) -> PathError {
        PathError { column: self.column + error.column, ..error }
    }

    fn refused(&self, column: usize, message: String, hint: Option<&str>) -> PathError {
        self.moved(PathError { column, message, hint: hint.map(str::to_owned) })
    }
}

/// Cuts the path behind each `[]`, but for those in a map's key. What follows one begins with a
/// dot, which is left out.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, found) in text.char_indices() {
        is_quoted ^= found == '"' && !is_escaped;
        is_escaped = is_quoted && found == '\\' && !is_escaped;
        if !is_quoted && at >= start && text[at..].starts_with(EACH) {
            pieces.push(Piece { text: &text[start..at], column: start });
            start = at + EACH.len();
            let is_dotted = text[start..].starts_with('.') && text.len() > start + 1;
            start += usize::from(is_dotted);
        }
    }
    pieces.push(Piece { text: &text[start..], column: start });
    pieces
}

/// The message in which a piece is looked up.
fn holder(
    inside: Option<MessageDescriptor>,
    piece: &Piece<'_>,
) -> Result<MessageDescriptor, PathError> {
    inside.ok_or_else(|| {
        let message = "the elements are not messages, expected the path to end at []".to_owned();
        piece.refused(0, message, None)
    })
}

/// The list that a piece ends in, and what its elements are if they are messages.
fn hop(
    inside: &MessageDescriptor,
    piece: &Piece<'_>,
) -> Result<(Hop, Option<MessageDescriptor>), PathError> {
    let segments = parse(piece.text).map_err(|error| piece.moved(error))?;
    let last = segments.last().expect("a path has a segment");
    let parent = match last.column {
        0 => None,
        column => Some(parent(inside, piece, column - 1)?),
    };
    let message = parent.as_ref().and_then(FieldPath::message).unwrap_or(inside);
    let field =
        message.get_field_by_name(last.name).or_else(|| message.get_field_by_json_name(last.name));
    let Some(field) = field.filter(|_| last.index.is_none()) else {
        // The one-value path says best what is wrong with the name.
        let error = FieldPath::compile(inside, piece.text).err();
        let both = || piece.refused(last.index_column, "two indexes in a row".to_owned(), None);
        return Err(error.map_or_else(both, |error| piece.moved(error)));
    };
    let element = element(&field).map_err(|hint| {
        let message = format!("field \"{}\" is not a list, expected no [] after it", last.name);
        piece.refused(last.column, message, hint)
    })?;
    let target = Scalar::of(&field.kind(), field.is_group());
    Ok((Hop { parent, number: field.number(), target }, element))
}

fn parent(
    inside: &MessageDescriptor,
    piece: &Piece<'_>,
    end: usize,
) -> Result<FieldPath, PathError> {
    let path =
        FieldPath::compile(inside, &piece.text[..end]).map_err(|error| piece.moved(error))?;
    if path.message().is_none() {
        let message = format!("field \"{path}\" is not a message");
        return Err(piece.refused(0, message, Some("expected the path to end there")));
    }
    Ok(path)
}

fn element(field: &FieldDescriptor) -> Result<Option<MessageDescriptor>, Option<&'static str>> {
    if field.is_map() {
        return Err(Some("the entries of a map cannot be walked through"));
    }
    if !field.is_list() {
        return Err(Some("leave the brackets out"));
    }
    Ok(field.kind().as_message().cloned())
}

fn mismatch(offset: usize) -> WireError {
    WireError { offset, fault: WireFault::WireTypeMismatch }
}

impl fmt::Display for SpreadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpreadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpreadPath({:?}, {:?})", self.text, self.kind)
    }
}
