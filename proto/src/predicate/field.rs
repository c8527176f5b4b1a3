//! A field that a predicate names, as the text of a path and with its places in the predicate.
//!
//! Next: `compile.rs` compiles the path.

use super::PredicateError;
use super::parse::{Name, Segment};
use crate::path::PathError;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// A field of the message, by its path.
pub(super) struct Field<'e> {
    /// As the path's text.
    pub(super) text: String,
    /// Byte offsets in that text, and where they are in the predicate.
    pub(super) columns: Vec<(usize, usize)>,
    /// How much of the text leads up to and with the last element of a list or a map on the way.
    pub(super) element: Option<usize>,
    /// Whether it ends in such an element.
    pub(super) is_element: bool,
    pub(super) last: &'e Name,
}

impl<'e> Field<'e> {
    pub(super) fn of(segments: &'e [Segment], message: &MessageDescriptor) -> Self {
        let mut field = Field {
            text: String::new(),
            columns: Vec::new(),
            element: None,
            is_element: false,
            last: segments.first().expect("a path has a segment").name(),
        };
        let (mut inside, mut found) = (Some(message.clone()), None);
        for segment in segments {
            let name = segment.name();
            field.is_element = matches!(segment, Segment::Index(_));
            if field.is_element {
                field.columns.push((field.text.len(), name.column));
                let is_plain_key = found.as_ref().is_some_and(has_plain_keys);
                let quote = if is_plain_key && !name.text.starts_with('"') { "\"" } else { "" };
                field.text += &format!("[{quote}{}{quote}]", name.text);
                field.element = Some(field.text.len());
            } else {
                field.text += if field.text.is_empty() { "" } else { "." };
                field.columns.push((field.text.len(), name.column));
                field.text += &name.text;
                field.last = name;
                found = inside.and_then(|inside| field_of(&inside, &name.text));
                inside = found.as_ref().and_then(message_of);
            }
        }
        field
    }

    /// A mistake of the path, at its place in the predicate.
    pub(super) fn error(&self, error: PathError) -> PredicateError {
        let before = self.columns.iter().rev().find(|(offset, _)| *offset <= error.column);
        let column = before.map_or(0, |(_, column)| *column);
        PredicateError { column, message: error.message, hint: error.hint }
    }
}

/// A field by its proto or JSON name.
pub(super) fn field_of(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

/// The message that a field, an element of it or its map's values are.
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            entry.map_entry_value_field().kind().as_message().cloned()
        }
        kind => kind.as_message().cloned(),
    }
}

/// Whether a field is a map whose keys CEL writes without quotes.
fn has_plain_keys(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            entry.map_entry_key_field().kind() != Kind::String
        }
        _ => false,
    }
}

impl Segment {
    pub(super) fn name(&self) -> &Name {
        match self {
            Segment::Field(name) | Segment::Index(name) => name,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.name().text
    }
}
