//! A path, checked against a message type and resolved to field numbers.
//!
//! Invariant: every step but the last leads to a message; the last leads to the leaf.
//!
//! Next: `find.rs` follows the steps on the wire.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

use super::parse::{Index, Segment, parse};
use super::{FieldPath, LeafKind, ListPath, PathError};
use crate::nearest::nearest;

/// The longest path; each step has a counter on the stack while a message is read.
pub(super) const STEPS_MAX: usize = 32;

/// One field on the way.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) number: u32,
    /// The other members of its oneof: each unsets it.
    pub(super) rivals: Box<[u32]>,
    pub(super) access: Access,
    pub(super) target: Scalar,
    /// The value of an absent field that has no presence, as read from the wire.
    pub(super) default: Option<u64>,
}

/// Which occurrences of the field count.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// A field that is not repeated: the last, or all of them merged.
    Singular,
    /// One element of a list.
    Nth(u32),
    /// The last element of a list.
    Last,
    /// The value of a map's entry.
    Entry(Key),
    /// All elements of a list or entries of a map: they are counted, and none is the leaf.
    All,
}

/// A map's key, compared as read from the wire.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Text(Box<str>),
    Scalar(Scalar, u64),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool,
    Int32,
    Sint32,
    Sfixed32,
    Int64,
    Sint64,
    Sfixed64,
    Uint32,
    Fixed32,
    Uint64,
    Fixed64,
    Float,
    Double,
    Enum,
    Text,
    Bytes,
    Message,
    Group,
}

/// What the last segment of a path may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// One value.
    Value,
    /// A whole list or map.
    Whole,
}

/// Compiles a path to one value; with the field it ends in.
pub(super) fn compile(
    message: &MessageDescriptor,
    text: &str,
) -> Result<(FieldPath, FieldDescriptor), PathError> {
    let Way { steps, message, field } = way(message, text, Ending::Value)?;
    let kind = steps[steps.len() - 1].target.leaf_kind();
    Ok((FieldPath { text: text.to_owned(), steps, kind, message }, field))
}

/// Compiles a path to a whole list or map.
pub(super) fn compile_list(message: &MessageDescriptor, text: &str) -> Result<ListPath, PathError> {
    let Way { steps, .. } = way(message, text, Ending::Whole)?;
    Ok(ListPath { text: text.to_owned(), steps })
}

/// A path's steps and where they lead.
struct Way {
    steps: Vec<Step>,
    message: Option<MessageDescriptor>,
    field: FieldDescriptor,
}

fn way(message: &MessageDescriptor, text: &str, ending: Ending) -> Result<Way, PathError> {
    let segments = parse(text)?;
    if segments.len() > STEPS_MAX {
        return Err(PathError {
            column: segments[STEPS_MAX].column,
            message: format!("a path has at most {STEPS_MAX} fields"),
            hint: None,
        });
    }
    let mut steps = Vec::with_capacity(segments.len());
    let mut parent = Some(message.clone());
    let mut last = None;
    for (position, segment) in segments.iter().enumerate() {
        let Some(inside) = &parent else {
            return Err(no_fields(&segments[position - 1]));
        };
        let field = inside
            .get_field_by_name(segment.name)
            .or_else(|| inside.get_field_by_json_name(segment.name))
            .ok_or_else(|| unknown(inside, segment))?;
        let is_last = position + 1 == segments.len();
        let access = match ending {
            Ending::Whole if is_last => whole(&field, segment)?,
            _ => access(&field, segment)?,
        };
        let (step, kind) = step(&field, access);
        parent = kind.as_message().cloned();
        steps.push(step);
        last = Some(field);
    }
    Ok(Way { steps, message: parent, field: last.expect("a path has a segment") })
}

fn step(field: &FieldDescriptor, access: Access) -> (Step, Kind) {
    let is_whole = matches!(access, Access::All);
    let (kind, group) = match field.kind() {
        Kind::Message(entry) if field.is_map() && !is_whole => {
            (entry.map_entry_value_field().kind(), false)
        }
        kind => (kind, field.is_group()),
    };
    let rivals = field.containing_oneof().map_or_else(Box::default, |oneof| {
        let others = oneof.fields().filter(|other| other != field);
        others.map(|other| other.number()).collect()
    });
    let defaulted = match &access {
        Access::Singular => (!field.supports_presence()).then(|| field.default_value()),
        // An entry without a value has the value's default, a message too.
        Access::Entry(_) => Some(kind.default_value()),
        Access::Nth(_) | Access::Last | Access::All => None,
    };
    let step = Step {
        number: field.number(),
        rivals,
        access,
        target: Scalar::of(&kind, group),
        default: defaulted.as_ref().map(default_bits),
    };
    (step, kind)
}

/// Every default but an enum's is zero or empty where there is no presence.
fn default_bits(value: &Value) -> u64 {
    value.as_enum_number().map_or(0, |number| i64::from(number).cast_unsigned())
}

/// The last segment of a path to a whole list or map.
fn whole(field: &FieldDescriptor, segment: &Segment<'_>) -> Result<Access, PathError> {
    let name = segment.name;
    let refused = |column, message| Err(PathError { column, message, hint: None });
    if segment.index.is_some() {
        let message = format!("expected the whole of field \"{name}\", without brackets");
        return refused(segment.index_column, message);
    }
    if !field.is_list() && !field.is_map() {
        let message = format!("field \"{name}\" is neither repeated nor a map");
        return refused(segment.column, message);
    }
    Ok(Access::All)
}

fn access(field: &FieldDescriptor, segment: &Segment<'_>) -> Result<Access, PathError> {
    let refused = |column, message: String, hint: &str| {
        Err(PathError { column, message, hint: Some(hint.to_owned()) })
    };
    let name = segment.name;
    match &segment.index {
        None if field.is_map() => refused(
            segment.column,
            format!("field \"{name}\" is a map, expected a key after it"),
            &format!("write {name}[\"key\"]"),
        ),
        None if field.is_list() => refused(
            segment.column,
            format!("field \"{name}\" is repeated, expected a position after it"),
            &format!("write {name}[0] for the first or {name}[-1] for the last"),
        ),
        None => Ok(Access::Singular),
        Some(Index::Key(text)) if field.is_map() => key(field, segment, text).map(Access::Entry),
        Some(Index::Nth(position)) if field.is_list() => Ok(Access::Nth(*position)),
        Some(Index::Last) if field.is_list() => Ok(Access::Last),
        Some(_) if field.is_map() => refused(
            segment.index_column,
            format!("field \"{name}\" is a map, expected a key in quotes"),
            &format!("write {name}[\"key\"]"),
        ),
        Some(_) if field.is_list() => refused(
            segment.index_column,
            format!("field \"{name}\" is a list and not a map, expected a position"),
            &format!("write {name}[0] for the first or {name}[-1] for the last"),
        ),
        Some(_) => refused(
            segment.index_column,
            format!("field \"{name}\" is neither repeated nor a map, expected no index"),
            "leave the brackets out",
        ),
    }
}

/// The key in the form it has on the wire.
fn key(field: &FieldDescriptor, segment: &Segment<'_>, text: &str) -> Result<Key, PathError> {
    let kind = match field.kind() {
        Kind::Message(entry) => entry.map_entry_key_field().kind(),
        kind => kind,
    };
    let scalar = Scalar::of(&kind, false);
    let bits = match scalar {
        Scalar::Text => return Ok(Key::Text(text.into())),
        Scalar::Bool => text.parse::<bool>().ok().map(u64::from),
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => {
            text.parse::<i32>().ok().map(|key| i64::from(key).cast_unsigned())
        }
        Scalar::Uint32 | Scalar::Fixed32 => text.parse::<u32>().ok().map(u64::from),
        Scalar::Uint64 | Scalar::Fixed64 => text.parse::<u64>().ok(),
        _ => text.parse::<i64>().ok().map(i64::cast_unsigned),
    };
    bits.map(|bits| Key::Scalar(scalar, bits)).ok_or_else(|| PathError {
        column: segment.index_column + 1,
        message: format!(
            "\"{text}\" is not a key of field \"{}\", expected {kind:?} in quotes",
            segment.name
        ),
        hint: None,
    })
}

pub(super) fn unknown(inside: &MessageDescriptor, segment: &Segment<'_>) -> PathError {
    let names = inside.fields().map(|field| field.name().to_owned());
    let hint = match nearest(segment.name, names) {
        Some(name) => Some(format!("did you mean \"{name}\"?")),
        None => listed(inside),
    };
    PathError {
        column: segment.column,
        message: format!("message {} has no field \"{}\"", inside.full_name(), segment.name),
        hint,
    }
}

/// All the fields of a message, if they are few.
fn listed(inside: &MessageDescriptor) -> Option<String> {
    const LISTED_MAX: usize = 12;
    if inside.fields().len() > LISTED_MAX || inside.fields().len() == 0 {
        return None;
    }
    let names: Vec<String> = inside.fields().map(|field| field.name().to_owned()).collect();
    Some(format!("its fields are {}", names.join(", ")))
}

pub(super) fn no_fields(leaf: &Segment<'_>) -> PathError {
    PathError {
        column: leaf.column,
        message: format!("field \"{}\" is not a message, expected the path to end here", leaf.name),
        hint: None,
    }
}

impl Scalar {
    pub(super) fn of(kind: &Kind, group: bool) -> Self {
        match kind {
            Kind::Bool => Self::Bool,
            Kind::Int32 => Self::Int32,
            Kind::Sint32 => Self::Sint32,
            Kind::Sfixed32 => Self::Sfixed32,
            Kind::Int64 => Self::Int64,
            Kind::Sint64 => Self::Sint64,
            Kind::Sfixed64 => Self::Sfixed64,
            Kind::Uint32 => Self::Uint32,
            Kind::Fixed32 => Self::Fixed32,
            Kind::Uint64 => Self::Uint64,
            Kind::Fixed64 => Self::Fixed64,
            Kind::Float => Self::Float,
            Kind::Double => Self::Double,
            Kind::Enum(_) => Self::Enum,
            Kind::String => Self::Text,
            Kind::Bytes => Self::Bytes,
            Kind::Message(_) if group => Self::Group,
            Kind::Message(_) => Self::Message,
        }
    }

    pub(super) fn leaf_kind(self) -> LeafKind {
        match self {
            Self::Bool => LeafKind::Bool,
            Self::Int32 | Self::Sint32 | Self::Sfixed32 => LeafKind::Int,
            Self::Int64 | Self::Sint64 | Self::Sfixed64 => LeafKind::Int,
            Self::Uint32 | Self::Fixed32 | Self::Uint64 | Self::Fixed64 => LeafKind::Uint,
            Self::Float | Self::Double => LeafKind::Float,
            Self::Enum => LeafKind::Enum,
            Self::Text => LeafKind::Text,
            Self::Bytes => LeafKind::Bytes,
            Self::Message | Self::Group => LeafKind::Message,
        }
    }
}
