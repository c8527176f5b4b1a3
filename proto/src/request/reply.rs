//! A message that answers another one: written like a request, with `${message.PATH}` where a value
//! of the message goes that is answered.
//!
//! A value that the message does not bear is its type's default, which a proto3 server cannot tell
//! from an unset field.

use super::overlay::{CursorComponent, CursorScalar, Overlay, OverlayError};
use super::{PathSegment, RequestError, RequestTemplate, compile};
use crate::path::{FieldPath, Leaf, LeafKind};
use crate::wire::WireError;
use bytes::Bytes;
use prost_reflect::MessageDescriptor;
use serde_json::Value;

/// What a placeholder begins with.
pub(super) const PLACEHOLDER: &str = "${message.";

/// An answer, checked against the types of both messages.
#[derive(Clone, Debug)]
pub struct Reply {
    empty: RequestTemplate,
    answer: Overlay,
    paths: Vec<FieldPath>,
}

/// No answer can be made from a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It is broken on the way to a value.
    #[error("the message is broken where the answer needs it: {0}")]
    Broken(#[from] WireError),
    /// A value does not fit its field of the answer.
    #[error(transparent)]
    Unfit(#[from] OverlayError),
}

impl Reply {
    /// Checks `send`, an object as a request is written, for messages of type `answered`.
    ///
    /// # Errors
    /// Every mistake, in the order of the value, those of paths first.
    pub fn compile(
        request: &MessageDescriptor,
        answered: &MessageDescriptor,
        send: &Value,
    ) -> Result<Reply, Vec<RequestError>> {
        let mut scan = Scan { answered, at: Vec::new(), paths: Vec::new(), errors: Vec::new() };
        scan.value(send);
        let components: Vec<CursorComponent> = (scan.paths.iter())
            .map(|path| CursorComponent::of_path(&path.to_string(), path))
            .collect();
        let names = compile::Names { prefix: PLACEHOLDER, components: &components };
        let mut errors = scan.errors;
        let set = compile::fields(request, send, Some(names)).unwrap_or_else(|found| {
            // A path that is wrong was found before.
            let more = found.into_iter().filter(|it| errors.iter().all(|at| at.path != it.path));
            let more: Vec<RequestError> = more.collect();
            errors.extend(more);
            Vec::new()
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let empty = RequestTemplate::compile(request, &Value::Null)?;
        Ok(Reply { empty, answer: Overlay::setting(set), paths: scan.paths })
    }

    /// The encoded answer to `message`.
    ///
    /// # Errors
    /// [`ReplyError`].
    pub fn fill(&self, message: &[u8]) -> Result<Bytes, ReplyError> {
        let mut values = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let value = path.find(message)?.map(scalar_of);
            values.push((path.to_string(), value.unwrap_or_else(|| default_of(path.kind()))));
        }
        let value = |name: &str| {
            values.iter().find(|(path, _)| path == name).map(|(_, value)| value.clone())
        };
        Ok(self.answer.apply(&self.empty, &value)?)
    }
}

/// Looks for placeholders.
struct Scan<'m> {
    answered: &'m MessageDescriptor,
    at: Vec<PathSegment>,
    paths: Vec<FieldPath>,
    errors: Vec<RequestError>,
}

impl Scan<'_> {
    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                let inner = text.strip_prefix(PLACEHOLDER).and_then(|it| it.strip_suffix('}'));
                inner.into_iter().for_each(|path| self.path(path));
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.inside(PathSegment::Index(index), item);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    self.inside(PathSegment::Key(key.clone()), item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn inside(&mut self, segment: PathSegment, value: &Value) {
        self.at.push(segment);
        self.value(value);
        self.at.pop();
    }

    fn path(&mut self, text: &str) {
        match FieldPath::compile(self.answered, text) {
            Ok(path) => self.paths.push(path),
            Err(error) => self.errors.push(RequestError {
                path: self.at.clone(),
                message: format!("in \"{PLACEHOLDER}{text}}}\": {}", error.message),
                hint: error.hint,
            }),
        }
    }
}

fn scalar_of(leaf: Leaf<'_>) -> CursorScalar {
    match leaf {
        Leaf::Int(number) => CursorScalar::Int(number),
        Leaf::Enum(number) => CursorScalar::Int(number.into()),
        Leaf::Uint(number) => CursorScalar::Uint(number),
        Leaf::Text(text) => CursorScalar::Text(text.to_owned()),
        Leaf::Bytes(bytes) => CursorScalar::Bytes(Bytes::copy_from_slice(bytes)),
        Leaf::Message(wire) => CursorScalar::Message(Bytes::copy_from_slice(&wire)),
        Leaf::Bool(_) | Leaf::Float(_) => unreachable!("no field takes such a placeholder"),
    }
}

fn default_of(kind: LeafKind) -> CursorScalar {
    match kind {
        LeafKind::Uint => CursorScalar::Uint(0),
        LeafKind::Text => CursorScalar::Text(String::new()),
        LeafKind::Bytes => CursorScalar::Bytes(Bytes::new()),
        LeafKind::Message => CursorScalar::Message(Bytes::new()),
        LeafKind::Int | LeafKind::Enum | LeafKind::Bool | LeafKind::Float => CursorScalar::Int(0),
    }
}
