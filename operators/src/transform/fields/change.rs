//! Values that a step makes of others: casts and masks, as Connect's `Cast` and `MaskField` make
//! them of JSON without a schema, where whole numbers are 64 bits long and all others doubles.
//!
//! Next: `operator.rs`.

use super::program::{Constant, Program};
use super::scan::Sort;
use crate::transform::java;
use headwater_proto::print_java_double;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::Write;

/// What a value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CastType {
    /// A whole number of 8 bits; the upper bits of a longer one are cut off.
    Int8,
    /// The same of 16 bits.
    Int16,
    /// The same of 32 bits.
    Int32,
    /// The same of 64 bits.
    Int64,
    /// A number of single precision.
    Float32,
    /// A number of double precision.
    Float64,
    /// `true` for any number but zero, and for the text "true", upper or lower case.
    Boolean,
    /// A text.
    String,
}

/// What takes the place of values, by their sort.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    pub(super) null: Constant,
    text: Constant,
    integer: Option<Constant>,
    double: Option<Constant>,
    bool: Option<Constant>,
    list: Option<Constant>,
    object: Option<Constant>,
}

/// A value as Connect reads it.
enum Value<'a> {
    Int(i64),
    Double(f64),
    Bool(bool),
    Text(Cow<'a, str>),
}

impl CastType {
    /// For a reason: "which cannot be …".
    pub(super) fn words(self) -> &'static str {
        match self {
            CastType::Int8 => "cast to int8",
            CastType::Int16 => "cast to int16",
            CastType::Int32 => "cast to int32",
            CastType::Int64 => "cast to int64",
            CastType::Float32 => "cast to float32",
            CastType::Float64 => "cast to float64",
            CastType::Boolean => "cast to boolean",
            CastType::String => "cast to string",
        }
    }
}

impl Mask {
    /// Without a replacement values are masked by the zero of their sort.
    pub(super) fn new(replacement: Option<&str>, program: &mut Program) -> Mask {
        let null = program.constant(b"null");
        let Some(replacement) = replacement else {
            let mut constant = |json: &str| program.constant(json.as_bytes());
            return Mask {
                null,
                text: constant("\"\""),
                integer: Some(constant("0")),
                double: Some(constant("0.0")),
                bool: Some(constant("false")),
                list: Some(constant("[]")),
                object: Some(constant("{}")),
            };
        };
        let number = java::parse_decimal(replacement);
        let mut print = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut json = Vec::new();
            write(&mut json);
            program.constant(&json)
        };
        let integer = number.map(|(whole, _)| print(&|out| int(whole, out)));
        let double = number.map(|(_, number)| print(&|out| double(number, out)));
        let text = program.text(replacement);
        Mask { null, text, integer, double, bool: None, list: None, object: None }
    }

    /// What takes the place of a value of this sort, if it can be replaced.
    pub(super) fn of(&self, sort: Sort) -> Option<&Constant> {
        match sort {
            Sort::Null => Some(&self.null),
            Sort::Text => Some(&self.text),
            Sort::Integer => self.integer.as_ref(),
            Sort::Double => self.double.as_ref(),
            Sort::Bool => self.bool.as_ref(),
            Sort::List => self.list.as_ref(),
            Sort::Object => self.object.as_ref(),
        }
    }
}

/// Appends the value as `to`; false, with nothing appended, if that cannot be.
pub(super) fn cast(sort: Sort, json: &[u8], to: CastType, out: &mut Vec<u8>) -> bool {
    if sort == Sort::Text && to == CastType::String {
        out.extend_from_slice(json);
        return true;
    }
    read(sort, json).and_then(|value| write(&value, to, out)).is_some()
}

fn read(sort: Sort, json: &[u8]) -> Option<Value<'_>> {
    Some(match sort {
        Sort::Integer => Value::Int(whole(json)),
        Sort::Double => Value::Double(std::str::from_utf8(json).ok()?.parse().ok()?),
        Sort::Bool => Value::Bool(json == b"true"),
        Sort::Text => Value::Text(text(json.get(1..json.len() - 1)?)),
        Sort::Object | Sort::List | Sort::Null => return None,
    })
}

/// The lower 64 bits of a whole number of any length.
fn whole(json: &[u8]) -> i64 {
    let digits = json.strip_prefix(b"-").unwrap_or(json);
    let value = digits.iter().fold(0_i64, |value, digit| {
        value.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0')))
    });
    if digits.len() < json.len() { value.wrapping_neg() } else { value }
}

fn text(inner: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(inner) {
        Ok(text) if !inner.contains(&b'\\') => Cow::Borrowed(text),
        _ => Cow::Owned(unescaped(inner)),
    }
}

/// The text that a JSON text means, given without its quotes.
pub(super) fn unescaped(inner: &[u8]) -> String {
    let quoted = [b"\"", inner, b"\""].concat();
    serde_json::from_slice(&quoted).unwrap_or_else(|_| String::from_utf8_lossy(inner).into_owned())
}

fn write(value: &Value<'_>, to: CastType, out: &mut Vec<u8>) -> Option<()> {
    match to {
        CastType::Int8 => int(integer(value, |it| it as i8, |it| it as i32 as i8)?.into(), out),
        CastType::Int16 => int(integer(value, |it| it as i16, |it| it as i32 as i16)?.into(), out),
        CastType::Int32 => int(integer(value, |it| it as i32, |it| it as i32)?.into(), out),
        CastType::Int64 => int(integer(value, |it| it, |it| it as i64)?, out),
        CastType::Float32 => single(
            match value {
                Value::Int(value) => *value as f32,
                Value::Double(value) => *value as f32,
                Value::Bool(value) => f32::from(u8::from(*value)),
                Value::Text(text) => java::parse_float(text)?,
            },
            out,
        ),
        CastType::Float64 => double(
            match value {
                Value::Int(value) => *value as f64,
                Value::Double(value) => *value,
                Value::Bool(value) => f64::from(u8::from(*value)),
                Value::Text(text) => java::parse_double(text)?,
            },
            out,
        ),
        CastType::Boolean => out.extend_from_slice(match is_true(value) {
            true => b"true",
            false => b"false",
        }),
        CastType::String => print_text(value, out),
    }
    Some(())
}

/// Longer numbers lose their upper bits, as Java narrows them; a text must fit.
fn integer<T: std::str::FromStr + From<bool>>(
    value: &Value<'_>,
    of_int: impl Fn(i64) -> T,
    of_double: impl Fn(f64) -> T,
) -> Option<T> {
    match value {
        Value::Int(value) => Some(of_int(*value)),
        Value::Double(value) => Some(of_double(*value)),
        Value::Bool(value) => Some(T::from(*value)),
        Value::Text(text) => java::parse_int(text),
    }
}

fn is_true(value: &Value<'_>) -> bool {
    match value {
        Value::Int(value) => *value != 0,
        // Java looks at the whole part.
        Value::Double(value) => *value as i64 != 0,
        Value::Bool(value) => *value,
        Value::Text(text) => text.eq_ignore_ascii_case("true"),
    }
}

fn print_text(value: &Value<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    match value {
        Value::Int(value) => int(*value, out),
        Value::Double(value) => print_java_double(*value, out),
        Value::Bool(value) => write_ascii(out, value),
        Value::Text(_) => unreachable!("a text that becomes a text is copied"),
    }
    out.push(b'"');
}

/// Appends a whole number.
pub(super) fn int(value: i64, out: &mut Vec<u8>) {
    write_ascii(out, value);
}

/// Appends a whole number without a sign.
pub(super) fn uint(value: u64, out: &mut Vec<u8>) {
    write_ascii(out, value);
}

fn write_ascii(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("a Vec takes everything");
}

/// What is no finite number is a text, as in proto3 JSON and in Connect's.
fn double(value: f64, out: &mut Vec<u8>) {
    match value.is_finite() {
        true => serde_json::to_writer(out, &value).expect("a Vec takes everything"),
        false => not_finite(value, out),
    }
}

fn single(value: f32, out: &mut Vec<u8>) {
    match value.is_finite() {
        true => serde_json::to_writer(out, &value).expect("a Vec takes everything"),
        false => not_finite(value.into(), out),
    }
}

fn not_finite(value: f64, out: &mut Vec<u8>) {
    out.push(b'"');
    print_java_double(value, out);
    out.push(b'"');
}
