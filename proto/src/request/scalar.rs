//! Single values: from JSON by the proto3 mapping, and from cursors.
//!
//! Invariant: an error never shows what is in a string, for it may have been a secret that was
//! put in from the environment. Whoever prints the error shows the line of the file beside it.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use serde_json::Value as Json;

use super::overlay::CursorScalar;
use crate::nearest::nearest;
use crate::path::{LeafKind, TIMESTAMP};

/// Padding may be left out, as the mapping allows.
const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// What is wrong with a value, and what may help.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// A value that is no message.
pub(super) fn of_json(kind: &Kind, json: &Json) -> Result<Value, Misfit> {
    match kind {
        Kind::Bool => json.as_bool().map(Value::Bool).ok_or_else(|| expected(kind, json)),
        Kind::String => match json {
            Json::String(text) => Ok(Value::String(text.clone())),
            Json::Number(_) | Json::Bool(_) => {
                Err(Misfit { hint: Some("put it in quotes".to_owned()), ..expected(kind, json) })
            }
            _ => Err(expected(kind, json)),
        },
        Kind::Bytes => bytes(kind, json),
        Kind::Float => float(kind, json).map(Value::F32),
        Kind::Double => double(kind, json).map(Value::F64),
        Kind::Enum(descriptor) => enumeration(descriptor, json),
        _ => integer(kind, json),
    }
}

/// A map's key from the text of an object's key.
pub(super) fn of_key(kind: &Kind, text: &str) -> Result<MapKey, Misfit> {
    let key = match kind {
        Kind::String => Some(MapKey::String(text.to_owned())),
        Kind::Bool => text.parse().ok().map(MapKey::Bool),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse().ok().map(MapKey::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text.parse().ok().map(MapKey::I64),
        Kind::Uint32 | Kind::Fixed32 => text.parse().ok().map(MapKey::U32),
        _ => text.parse().ok().map(MapKey::U64),
    };
    key.ok_or_else(|| Misfit {
        message: format!("key \"{text}\" is not {}", described(kind)),
        hint: None,
    })
}

/// Whether a component of this kind may go into a field of that kind.
pub(super) fn cursor_fits(
    kind: &Kind,
    component: LeafKind,
    message: Option<&MessageDescriptor>,
) -> bool {
    match (kind, component) {
        (Kind::Message(wanted), LeafKind::Message) => {
            message.is_none_or(|given| given.full_name() == wanted.full_name())
        }
        (Kind::Enum(_), LeafKind::Enum | LeafKind::Int) => true,
        (Kind::String, LeafKind::Text) | (Kind::Bytes, LeafKind::Bytes) => true,
        (kind, LeafKind::Int | LeafKind::Uint | LeafKind::Enum) => integer_range(kind).is_some(),
        _ => false,
    }
}

/// The value of a cursor's component for a field, or why it does not fit.
pub(super) fn of_cursor(kind: &Kind, cursor: CursorScalar) -> Result<Value, String> {
    match (kind, cursor) {
        (Kind::String, CursorScalar::Text(text)) => Ok(Value::String(text)),
        (Kind::Bytes, CursorScalar::Bytes(bytes)) => Ok(Value::Bytes(bytes)),
        (Kind::Message(wanted), CursorScalar::Message(bytes)) => message(wanted, &bytes),
        (Kind::Message(wanted), CursorScalar::Timestamp { seconds, nanos }) => {
            timestamp(wanted, seconds, nanos)
        }
        (kind, CursorScalar::Int(number)) => number_of_cursor(kind, number.into()),
        (kind, CursorScalar::Uint(number)) => number_of_cursor(kind, number.into()),
        (kind, cursor) => {
            Err(format!("the component is {}, the field {}", cursor.described(), described(kind)))
        }
    }
}

/// A field's value as a cursor's component, if it can be one.
pub(super) fn to_cursor(value: &Value) -> Option<CursorScalar> {
    Some(match value {
        Value::I32(number) | Value::EnumNumber(number) => CursorScalar::Int((*number).into()),
        Value::I64(number) => CursorScalar::Int(*number),
        Value::U32(number) => CursorScalar::Uint((*number).into()),
        Value::U64(number) => CursorScalar::Uint(*number),
        Value::String(text) => CursorScalar::Text(text.clone()),
        Value::Bytes(bytes) => CursorScalar::Bytes(bytes.clone()),
        Value::Message(message) if message.descriptor().full_name() == TIMESTAMP => {
            let timestamp: prost_types::Timestamp = message.transcode_to().ok()?;
            CursorScalar::Timestamp { seconds: timestamp.seconds, nanos: timestamp.nanos }
        }
        Value::Message(message) => CursorScalar::Message(message.encode_to_vec().into()),
        _ => return None,
    })
}

fn message(wanted: &MessageDescriptor, bytes: &Bytes) -> Result<Value, String> {
    DynamicMessage::decode(wanted.clone(), bytes.clone())
        .map(Value::Message)
        .map_err(|error| format!("it is not a {}: {error}", wanted.full_name()))
}

fn timestamp(wanted: &MessageDescriptor, seconds: i64, nanos: i32) -> Result<Value, String> {
    if wanted.full_name() != TIMESTAMP {
        return Err(format!("the component is a timestamp, the field a {}", wanted.full_name()));
    }
    let mut message = DynamicMessage::new(wanted.clone());
    message
        .transcode_from(&prost_types::Timestamp { seconds, nanos })
        .map_err(|error| format!("the timestamp type was redefined: {error}"))?;
    debug_assert_eq!(message.descriptor().full_name(), TIMESTAMP);
    Ok(Value::Message(message))
}

fn number_of_cursor(kind: &Kind, number: i128) -> Result<Value, String> {
    match integer_value(kind, number) {
        Some(value) => Ok(value),
        None if integer_range(kind).is_some() => {
            Err(format!("the number is out of the range of {}", described(kind)))
        }
        None => Err(format!("the component is an integer, the field {}", described(kind))),
    }
}

/// The range of an integer or enum type.
pub(super) fn integer_range(kind: &Kind) -> Option<(i128, i128)> {
    Some(match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => {
            (i32::MIN.into(), i32::MAX.into())
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
        Kind::Uint32 | Kind::Fixed32 => (0, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn integer_value(kind: &Kind, number: i128) -> Option<Value> {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => number.try_into().ok().map(Value::I32),
        Kind::Enum(_) => number.try_into().ok().map(Value::EnumNumber),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => number.try_into().ok().map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => number.try_into().ok().map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => number.try_into().ok().map(Value::U64),
        _ => None,
    }
}

fn integer(kind: &Kind, json: &Json) -> Result<Value, Misfit> {
    let number = match json {
        Json::String(text) => text.parse().ok(),
        Json::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| number.as_f64().and_then(whole)),
        _ => None,
    };
    let number = number.ok_or_else(|| expected(kind, json))?;
    integer_value(kind, number).ok_or_else(|| {
        let (least, most) = integer_range(kind).unwrap_or_default();
        Misfit {
            message: format!("{number} is out of range, expected {least} to {most}"),
            hint: None,
        }
    })
}

/// A float that stands for an integer, as `1e3` does.
fn whole(number: f64) -> Option<i128> {
    // Beyond 2^64 nothing fits any field, and the cast stays exact.
    (number.fract() == 0.0 && number.abs() <= 18_446_744_073_709_551_616.0)
        .then_some(number as i128)
}

fn double(kind: &Kind, json: &Json) -> Result<f64, Misfit> {
    let number = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok().filter(|number: &f64| number.is_finite()),
        },
        _ => None,
    };
    number.ok_or_else(|| expected(kind, json))
}

fn float(kind: &Kind, json: &Json) -> Result<f32, Misfit> {
    let number = double(kind, json)?;
    if number.is_finite() && number.abs() > f64::from(f32::MAX) {
        return Err(Misfit {
            message: format!("{number:e} is out of the range of {}", described(kind)),
            hint: None,
        });
    }
    Ok(number as f32)
}

fn bytes(kind: &Kind, json: &Json) -> Result<Value, Misfit> {
    let text = json.as_str().ok_or_else(|| expected(kind, json))?;
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.map(|bytes| Value::Bytes(bytes.into())).map_err(|_| Misfit {
        message: "the string is not base64".to_owned(),
        hint: Some("bytes are written in base64".to_owned()),
    })
}

fn enumeration(descriptor: &EnumDescriptor, json: &Json) -> Result<Value, Misfit> {
    if descriptor.full_name() == "google.protobuf.NullValue" && json.is_null() {
        return Ok(Value::EnumNumber(0));
    }
    if json.is_number() {
        return integer(&Kind::Enum(descriptor.clone()), json);
    }
    let Some(name) = json.as_str() else {
        return Err(expected(&Kind::Enum(descriptor.clone()), json));
    };
    if let Some(value) = descriptor.get_value_by_name(name) {
        return Ok(Value::EnumNumber(value.number()));
    }
    let names: Vec<String> = descriptor.values().map(|value| value.name().to_owned()).collect();
    let hint = match nearest(name, &names) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("its values are {}", names.join(", ")),
    };
    Err(Misfit {
        message: format!("the string is not a value of enum {}", descriptor.full_name()),
        hint: Some(hint),
    })
}

pub(super) fn expected(kind: &Kind, json: &Json) -> Misfit {
    Misfit { message: format!("expected {}, found {}", described(kind), shown(json)), hint: None }
}

/// A type in words, with its article.
pub(super) fn described(kind: &Kind) -> String {
    match kind {
        Kind::Int32 | Kind::Int64 => format!("an {kind:?}"),
        Kind::Enum(descriptor) => format!("a value of enum {}", descriptor.full_name()),
        Kind::Message(descriptor) => format!("a {}", descriptor.full_name()),
        Kind::Bytes => "bytes in base64".to_owned(),
        _ => format!("a {kind:?}"),
    }
}

/// A wrong value, in words; a string's contents are not shown.
pub(super) fn shown(json: &Json) -> String {
    match json {
        Json::Object(_) => "an object".to_owned(),
        Json::Array(_) => "a list".to_owned(),
        Json::String(_) => "a string".to_owned(),
        other => other.to_string(),
    }
}

impl CursorScalar {
    fn described(&self) -> &'static str {
        match self {
            Self::Int(_) | Self::Uint(_) => "an integer",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp { .. } => "a timestamp",
            Self::Message(_) => "a message",
        }
    }
}
