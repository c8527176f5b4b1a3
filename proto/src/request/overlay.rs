//! What changes in a request when a stream is resumed: fields cleared, fields set, cursors put in.
//!
//! Invariants
//! 1. Fields are cleared first and set after, so that one may be cleared and set anew.
//! 2. A sub-message in `set` is merged into the request's; anything else replaces what was there.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value as FieldValue,
};
use serde_json::Value;

use super::value::{Checked, Cursor, set_fields};
use super::{PathSegment, RequestError, RequestTemplate, compile, scalar};
use crate::nearest::nearest;
use crate::path::{FieldPath, LeafKind};

/// Changes to a request, checked against its type.
#[derive(Clone, Debug)]
pub struct Overlay {
    clear: Vec<Vec<FieldDescriptor>>,
    set: Vec<(FieldDescriptor, Checked)>,
}

/// A cursor component that placeholders may name.
#[derive(Clone, Debug)]
pub struct CursorComponent {
    /// Its name in `${cursor.NAME}`.
    pub name: String,
    /// What sort of value it is.
    pub kind: LeafKind,
    /// Its message type, where it is a message and the type is known.
    pub message: Option<MessageDescriptor>,
}

/// A cursor's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorScalar {
    /// A signed integer or an enum's number.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A string.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// A `google.protobuf.Timestamp`.
    Timestamp {
        /// Seconds since the Unix epoch.
        seconds: i64,
        /// Nanoseconds within the second.
        nanos: i32,
    },
    /// Any message, encoded.
    Message(Bytes),
}

/// A cursor's value does not fit the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The cursor has no such component.
    #[error("cursor component \"{name}\" has no value; the request needs it for field \"{field}\"")]
    Missing {
        /// The component.
        name: String,
        /// The field it is for.
        field: String,
    },
    /// The value is of another type, or out of the field's range.
    #[error("cursor component \"{name}\" does not fit field \"{field}\": {reason}")]
    Unfit {
        /// The component.
        name: String,
        /// The field it is for.
        field: String,
        /// Why it does not fit; never the value.
        reason: String,
    },
}

impl Overlay {
    /// Checks an overlay: `set` is an object as in the request, in which a whole string value may
    /// be `${cursor.NAME}`; `clear` names fields to unset, by dotted path.
    pub fn compile(
        message: &MessageDescriptor,
        set: &Value,
        clear: &[String],
        cursors: &[(&str, LeafKind)],
    ) -> Result<Overlay, Vec<RequestError>> {
        let components: Vec<CursorComponent> = cursors
            .iter()
            .map(|(name, kind)| CursorComponent {
                name: (*name).to_owned(),
                kind: *kind,
                message: None,
            })
            .collect();
        Self::compile_with(message, set, clear, &components)
    }

    /// The same, with the types of message components known and so checked.
    pub fn compile_with(
        message: &MessageDescriptor,
        set: &Value,
        clear: &[String],
        cursors: &[CursorComponent],
    ) -> Result<Overlay, Vec<RequestError>> {
        let (clear, mut errors) = clear_paths(message, clear);
        let names = compile::Names { prefix: compile::CURSOR, components: cursors };
        let set = compile::fields(message, set, Some(names)).unwrap_or_else(|found| {
            errors.extend(found);
            Vec::new()
        });
        if errors.is_empty() { Ok(Self { clear, set }) } else { Err(errors) }
    }

    /// One that only sets these fields.
    pub(super) fn setting(set: Vec<(FieldDescriptor, Checked)>) -> Overlay {
        Self { clear: Vec::new(), set }
    }

    /// The encoded request with this overlay; `cursor` gives the component of a name.
    pub fn apply(
        &self,
        request: &RequestTemplate,
        cursor: &dyn Fn(&str) -> Option<CursorScalar>,
    ) -> Result<Bytes, OverlayError> {
        self.resolve(request, cursor).map(|message| Bytes::from(message.encode_to_vec()))
    }

    /// What a request says of the cursor, by component: the other direction of
    /// [`Overlay::apply`], for a server. Components that stand in a list or a map, or whose field
    /// is not set, are left out; so is everything of what is no message of the request's type.
    pub fn read(&self, request: &RequestTemplate, wire: &[u8]) -> BTreeMap<String, CursorScalar> {
        let mut found = BTreeMap::new();
        if let Ok(message) = DynamicMessage::decode(request.message.descriptor(), wire) {
            read_fields(&message, &self.set, &mut found);
        }
        found
    }

    /// The names of the cursor components it needs, in the order of `set`.
    pub fn cursors(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.set.iter().for_each(|(_, value)| value.cursors(&mut names));
        names
    }

    pub(super) fn resolve(
        &self,
        request: &RequestTemplate,
        cursor: Cursor<'_>,
    ) -> Result<DynamicMessage, OverlayError> {
        let mut message = request.message.clone();
        self.clear.iter().for_each(|path| clear_field(&mut message, path));
        set_fields(&mut message, &self.set, cursor)?;
        Ok(message)
    }
}

/// Resolves the dotted names to clear. An error's path is the position in the list of names.
fn clear_paths(
    message: &MessageDescriptor,
    clear: &[String],
) -> (Vec<Vec<FieldDescriptor>>, Vec<RequestError>) {
    let mut paths = Vec::with_capacity(clear.len());
    let mut errors = Vec::new();
    for (index, text) in clear.iter().enumerate() {
        match clear_path(message, text) {
            Ok(path) => paths.push(path),
            Err((message, hint)) => {
                let path = vec![PathSegment::Index(index)];
                errors.push(RequestError { path, message, hint });
            }
        }
    }
    (paths, errors)
}

/// The fields on a dotted path, all but the last of them single messages.
pub(super) fn clear_path(
    message: &MessageDescriptor,
    text: &str,
) -> Result<Vec<FieldDescriptor>, (String, Option<String>)> {
    let mut inside = Some(message.clone());
    let mut path: Vec<FieldDescriptor> = Vec::new();
    for name in text.split('.') {
        let Some(parent) = inside else {
            let before = path.last().map_or("", |field| field.name());
            let message = format!("field \"{before}\" in \"{text}\" is not a single message");
            return Err((message, Some("clear the whole field".to_owned())));
        };
        let field = parent.get_field_by_name(name).or_else(|| parent.get_field_by_json_name(name));
        let Some(field) = field else {
            let names = parent.fields().map(|field| field.name().to_owned());
            let hint = nearest(name, names).map(|near| format!("did you mean \"{near}\"?"));
            return Err((format!("message {} has no field \"{name}\"", parent.full_name()), hint));
        };
        let single = !field.is_list() && !field.is_map();
        inside = field.kind().as_message().filter(|_| single).cloned();
        path.push(field);
    }
    Ok(path)
}

fn clear_field(message: &mut DynamicMessage, path: &[FieldDescriptor]) {
    let Some((field, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        message.clear_field(field);
    } else if message.has_field(field)
        && let FieldValue::Message(inner) = message.get_field_mut(field)
    {
        clear_field(inner, rest);
    }
}

fn read_fields(
    message: &DynamicMessage,
    fields: &[(FieldDescriptor, Checked)],
    found: &mut BTreeMap<String, CursorScalar>,
) {
    for (field, checked) in fields.iter().filter(|(field, _)| message.has_field(field)) {
        match (checked, &*message.get_field(field)) {
            (Checked::Cursor(place), value) => {
                found.extend(scalar::to_cursor(value).map(|value| (place.name.clone(), value)));
            }
            (Checked::Message(_, inner), FieldValue::Message(message)) => {
                read_fields(message, inner, found);
            }
            _ => {}
        }
    }
}

impl CursorComponent {
    /// The component a field path gives.
    pub fn of_path(name: &str, path: &FieldPath) -> Self {
        Self { name: name.to_owned(), kind: path.kind(), message: path.message().cloned() }
    }
}
