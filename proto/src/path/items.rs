//! The elements of a list of messages, found on the wire as slices of it.
//!
//! Why not a [`FieldPath`](super::FieldPath): such a path leads to one value, here there are many,
//! and each is handed on as a message of its own.
//!
//! Next: whoever calls a method that answers with a list takes the elements one by one.

use super::PathError;
use super::compile::{no_fields, unknown};
use super::parse::parse;
use crate::wire::{DEPTH_MAX, Raw, Reader, WireError};
use prost_reflect::{Kind, MessageDescriptor};
use std::fmt;

/// A path to a list of messages, compiled against a message type: `a.b.items`.
#[derive(Clone, Debug)]
pub struct ItemsPath {
    text: String,
    numbers: Vec<u32>,
    message: MessageDescriptor,
}

impl ItemsPath {
    /// Compiles `text` against `message`.
    ///
    /// # Errors
    /// [`PathError`] unless the path leads through single messages to a list of messages.
    pub fn compile(message: &MessageDescriptor, text: &str) -> Result<ItemsPath, PathError> {
        let segments = parse(text)?;
        let mut inside = message.clone();
        let mut numbers = Vec::with_capacity(segments.len());
        for (position, segment) in segments.iter().enumerate() {
            let is_last = position + 1 == segments.len();
            let field = inside
                .get_field_by_name(segment.name)
                .or_else(|| inside.get_field_by_json_name(segment.name))
                .ok_or_else(|| unknown(&inside, segment))?;
            if segment.index.is_some() {
                return Err(refused(
                    segment.index_column,
                    "all elements are taken",
                    "leave it out",
                ));
            }
            let of_messages = matches!(field.kind(), Kind::Message(_)) && !field.is_group();
            if is_last && !(field.is_list() && of_messages) {
                let message = format!("field \"{}\" is not a list of messages", segment.name);
                return Err(PathError { column: segment.column, message, hint: None });
            }
            if !is_last && (field.is_list() || field.is_map()) {
                let message = format!("field \"{}\" is a list", segment.name);
                return Err(refused(segment.column, &message, "only the last field may be one"));
            }
            numbers.push(field.number());
            inside = field.kind().as_message().cloned().ok_or_else(|| no_fields(segment))?;
        }
        Ok(ItemsPath { text: text.to_owned(), numbers, message: inside })
    }

    /// The type of the elements.
    #[must_use]
    pub fn message(&self) -> &MessageDescriptor {
        &self.message
    }

    /// The elements in `wire`, in their order.
    ///
    /// # Errors
    /// [`WireError`] where `wire` is not a message.
    pub fn find<'a>(&self, wire: &'a [u8]) -> Result<Vec<&'a [u8]>, WireError> {
        let mut found = Vec::new();
        collect(&self.numbers, wire, &mut found)?;
        Ok(found)
    }
}

impl fmt::Display for ItemsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A single message that is sent in pieces is their sum, so its lists are, too.
fn collect<'a>(
    numbers: &[u32],
    wire: &'a [u8],
    found: &mut Vec<&'a [u8]>,
) -> Result<(), WireError> {
    let (wanted, rest) = numbers.split_first().expect("a path has a field");
    let mut reader = Reader::new(wire);
    while !reader.is_empty() {
        let tag = reader.tag()?;
        let value = reader.value(tag, DEPTH_MAX)?;
        match value {
            Raw::Bytes(bytes) if tag.number == *wanted && rest.is_empty() => found.push(bytes),
            Raw::Bytes(bytes) if tag.number == *wanted => collect(rest, bytes, found)?,
            _ => {}
        }
    }
    Ok(())
}

fn refused(column: usize, message: &str, hint: &str) -> PathError {
    PathError { column, message: message.to_owned(), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::{DescriptorInput, Descriptors};
    use prost::Message as _;
    use prost_reflect::DynamicMessage;

    const PROTO: &str = "syntax = \"proto3\"; package t;
        message Answer { string token = 1; History history = 2; repeated int64 numbers = 3;
          map<string, Item> named = 4; repeated Item items = 5; }
        message History { repeated Item events = 1; }
        message Item { int64 id = 1; }";

    fn answer() -> MessageDescriptor {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("t.proto");
        std::fs::write(&file, PROTO).expect("a file");
        let includes = vec![dir.path().to_owned()];
        let input = DescriptorInput::Protos { files: vec![file], includes };
        let descriptors = Descriptors::load(&input).expect("it compiles");
        descriptors.pool().get_message_by_name("t.Answer").expect("it is there")
    }

    #[test]
    fn the_elements_are_found_in_order_wherever_their_parent_is_cut() {
        let path = ItemsPath::compile(&answer(), "history.events").expect("a list");
        assert_eq!(path.message().full_name(), "t.Item");
        let json = |ids: &[i64]| {
            let events: Vec<_> =
                ids.iter().map(|id| serde_json::json!({ "id": id.to_string() })).collect();
            let json = serde_json::json!({ "token": "x", "history": { "events": events } });
            DynamicMessage::deserialize(answer(), json).expect("it fits").encode_to_vec()
        };
        let wire = [json(&[1, 2]), json(&[]), json(&[3])].concat();
        let found = path.find(&wire).expect("a message");
        let ids: Vec<_> = found.iter().map(|item| item.last().copied()).collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3)]);
        assert!(path.find(&[]).expect("an empty message").is_empty());
        assert!(path.find(&wire[..wire.len() - 1]).is_err());
    }

    #[test]
    fn what_is_no_list_of_messages_is_refused() {
        let cases = [
            ("token", "is not a list of messages"),
            ("numbers", "is not a list of messages"),
            ("named", "is not a list of messages"),
            ("history", "is not a list of messages"),
            ("items.id", "is a list"),
            ("history.event", "has no field"),
            ("items[0]", "all elements are taken"),
        ];
        for (text, words) in cases {
            let error = ItemsPath::compile(&answer(), text).expect_err(text);
            assert!(error.message.contains(words), "{text}: {error}");
        }
    }
}
