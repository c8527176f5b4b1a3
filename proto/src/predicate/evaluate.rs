//! A compiled predicate, answered on the wire: each field it names is one pass over the tags.
//!
//! An answer is `None` where the question cannot be answered: see `mod.rs`.
//!
//! Invariant: nothing here allocates (but the regex crate's own cache).

use super::parse::Relation;
use crate::path::{FieldPath, Leaf, ListPath, SpreadPath};
use regex::Regex;
use std::cmp::Ordering;

/// A question with yes or no for an answer.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// The answer does not depend on the message.
    Always(bool),
    /// A bool field.
    Field(Read),
    /// Whether a field is set.
    Has(Has),
    Not(Box<Test>),
    All(Box<[Test]>),
    Any(Box<[Test]>),
    Compare(Operand, Relation, Operand),
    /// Whether the value is one of several.
    In(Operand, Box<[Operand]>),
    /// Whether the value is an element of a list.
    Element(Operand, SpreadPath),
    Text(Operand, TextTest),
}

/// What is asked of a text.
#[derive(Clone, Debug)]
pub(super) enum TextTest {
    StartsWith(Operand),
    EndsWith(Operand),
    Contains(Operand),
    Matches(Regex),
}

/// A value to compare.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Literal(Constant),
    Field(Read),
    Size(Size),
    Test(Box<Test>),
}

/// A field's value.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) path: FieldPath,
    pub(super) default: Constant,
    pub(super) guard: Guard,
}

/// What must be there before a missing field counts as its default.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    /// Nothing.
    None,
    /// The list's element or map's entry that the path goes through.
    Element(FieldPath),
}

/// Whether a field is set.
#[derive(Clone, Debug)]
pub(super) enum Has {
    Value(FieldPath, Guard),
    List(ListPath, Guard),
    /// Whether a map has the key.
    Key(FieldPath),
}

/// How long something is.
#[derive(Clone, Debug)]
pub(super) enum Size {
    /// Elements of a list, or entries of a map.
    List(ListPath, Guard),
    /// Letters of a text or number of bytes.
    Value(Read),
}

/// A value of the predicate's own.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
}

/// A value while it is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

// === impl Test ===

impl Test {
    /// Asks an encoded message.
    pub(super) fn answer(&self, wire: &[u8]) -> Option<bool> {
        match self {
            Test::Always(answer) => Some(*answer),
            Test::Field(read) => match read.value(wire)? {
                Value::Bool(value) => Some(value),
                _ => None,
            },
            Test::Has(has) => has.answer(wire),
            Test::Not(inner) => inner.answer(wire).map(|answer| !answer),
            Test::All(tests) => decided(tests, false, wire),
            Test::Any(tests) => decided(tests, true, wire),
            Test::Compare(left, relation, right) => {
                let order = compare(left.value(wire)?, right.value(wire)?);
                Some(relation.holds(order))
            }
            Test::In(operand, among) => {
                let value = operand.value(wire)?;
                let is_same = |other: &Operand| {
                    let other = other.value(wire)?;
                    Some(compare(value, other) == Some(Ordering::Equal))
                };
                any(among.iter().map(is_same))
            }
            Test::Element(operand, list) => {
                let value = operand.value(wire)?;
                let mut is_there = false;
                let each = list.each(wire, &mut |leaf| {
                    let other = Value::of_leaf(leaf);
                    is_there |= other.is_some_and(|it| compare(value, it) == Some(Ordering::Equal));
                });
                (is_there || each.is_ok()).then_some(is_there)
            }
            Test::Text(operand, test) => match operand.value(wire)? {
                Value::Text(text) => test.answer(text, wire),
                _ => None,
            },
        }
    }
}

/// The answer that one of `tests` decides by giving it; else the other one.
fn decided(tests: &[Test], deciding: bool, wire: &[u8]) -> Option<bool> {
    let found = any(tests.iter().map(|test| Some(test.answer(wire)? == deciding)))?;
    Some(found == deciding)
}

/// Whether any answer is true; those that are missing count only where none is.
fn any(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(false);
    for answer in answers {
        match answer {
            Some(true) => return Some(true),
            Some(false) => {}
            None => result = None,
        }
    }
    result
}

impl TextTest {
    fn answer(&self, text: &str, wire: &[u8]) -> Option<bool> {
        let other = |operand: &Operand, test: fn(&str, &str) -> bool| match operand.value(wire)? {
            Value::Text(other) => Some(test(text, other)),
            _ => None,
        };
        match self {
            TextTest::StartsWith(operand) => other(operand, |text, other| text.starts_with(other)),
            TextTest::EndsWith(operand) => other(operand, |text, other| text.ends_with(other)),
            TextTest::Contains(operand) => other(operand, |text, other| text.contains(other)),
            TextTest::Matches(regex) => Some(regex.is_match(text)),
        }
    }
}

impl Has {
    fn answer(&self, wire: &[u8]) -> Option<bool> {
        match self {
            Has::Value(path, guard) => {
                let is_set = path.is_set(wire).ok()?;
                (is_set || guard.lets_default(wire)?).then_some(is_set)
            }
            Has::List(path, guard) => {
                let has_any = path.count(wire).ok()? > 0;
                (has_any || guard.lets_default(wire)?).then_some(has_any)
            }
            Has::Key(path) => path.is_set(wire).ok(),
        }
    }
}

// === impl Operand ===

impl Operand {
    fn value<'a>(&'a self, wire: &'a [u8]) -> Option<Value<'a>> {
        match self {
            Operand::Literal(constant) => Some(constant.value()),
            Operand::Field(read) => read.value(wire),
            Operand::Size(size) => size.value(wire),
            Operand::Test(test) => test.answer(wire).map(Value::Bool),
        }
    }
}

impl Read {
    fn value<'a>(&'a self, wire: &'a [u8]) -> Option<Value<'a>> {
        match self.path.find(wire).ok()? {
            Some(leaf) => Value::of_leaf(leaf),
            None if self.guard.lets_default(wire)? => Some(self.default.value()),
            None => None,
        }
    }
}

impl Guard {
    /// Whether a missing field counts as its default.
    fn lets_default(&self, wire: &[u8]) -> Option<bool> {
        match self {
            Guard::None => Some(true),
            Guard::Element(path) => path.is_set(wire).ok(),
        }
    }
}

impl Size {
    fn value<'a>(&'a self, wire: &'a [u8]) -> Option<Value<'a>> {
        match self {
            Size::List(path, guard) => {
                let count = path.count(wire).ok()?;
                (count > 0 || guard.lets_default(wire)?).then_some(Value::Int(count.into()))
            }
            Size::Value(read) => match read.value(wire)? {
                Value::Text(text) => length(text.chars().count()),
                Value::Bytes(bytes) => length(bytes.len()),
                _ => None,
            },
        }
    }
}

fn length<'a>(length: usize) -> Option<Value<'a>> {
    i64::try_from(length).ok().map(Value::Int)
}

// === values ===

impl Constant {
    fn value(&self) -> Value<'_> {
        match self {
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Int(value) => Value::Int(*value),
            Constant::Uint(value) => Value::Uint(*value),
            Constant::Double(value) => Value::Double(*value),
            Constant::Text(text) => Value::Text(text),
            Constant::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

impl<'a> Value<'a> {
    fn of_leaf(leaf: Leaf<'a>) -> Option<Self> {
        Some(match leaf {
            Leaf::Bool(value) => Value::Bool(value),
            Leaf::Int(value) => Value::Int(value),
            Leaf::Uint(value) => Value::Uint(value),
            Leaf::Enum(number) => Value::Int(number.into()),
            Leaf::Float(value) => Value::Double(value),
            Leaf::Text(text) => Value::Text(text),
            Leaf::Bytes(bytes) => Value::Bytes(bytes),
            // The compiler lets no message be compared.
            Leaf::Message(_) => return None,
        })
    }
}

impl Relation {
    /// `order` is `None` where one of the two is not a number (NaN).
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Relation::Equal => order == Some(Ordering::Equal),
            Relation::Unequal => order != Some(Ordering::Equal),
            Relation::Below => order == Some(Ordering::Less),
            Relation::AtMost => order.is_some_and(Ordering::is_le),
            Relation::Above => order == Some(Ordering::Greater),
            Relation::AtLeast => order.is_some_and(Ordering::is_ge),
        }
    }
}

/// Numbers of all types stand on one line, as in CEL. The compiler lets nothing else be compared
/// with what it is not.
fn compare(left: Value<'_>, right: Value<'_>) -> Option<Ordering> {
    use Value::{Bool, Bytes, Double, Text};
    match (left, right) {
        (Bool(left), Bool(right)) => Some(left.cmp(&right)),
        (Text(left), Text(right)) => Some(left.cmp(right)),
        (Bytes(left), Bytes(right)) => Some(left.cmp(right)),
        (Double(left), Double(right)) => left.partial_cmp(&right),
        (Double(left), right) => compare_double(left, whole(right)?),
        (left, Double(right)) => compare_double(right, whole(left)?).map(Ordering::reverse),
        (left, right) => Some(whole(left)?.cmp(&whole(right)?)),
    }
}

fn whole(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(value.into()),
        Value::Uint(value) => Some(value.into()),
        _ => None,
    }
}

/// Exact: the whole part as an integer, then what is behind the point.
fn compare_double(left: f64, right: i128) -> Option<Ordering> {
    if left.is_nan() {
        return None;
    }
    // Casting saturates, far beyond what 64 bits hold.
    let behind = left.fract().partial_cmp(&0.0).unwrap_or(Ordering::Equal);
    Some((left.trunc() as i128).cmp(&right).then(behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_types_stand_on_one_line() {
        use Value::{Double, Int, Uint};
        let ascending = [
            Double(f64::NEG_INFINITY),
            Int(i64::MIN),
            Double(-1.5),
            Int(-1),
            Double(-0.5),
            Uint(0),
            Double(0.5),
            Int(1),
            Double(9_007_199_254_740_992.0),
            Int(9_007_199_254_740_993),
            Int(i64::MAX),
            Double(9_223_372_036_854_775_808.0),
            Uint(9_223_372_036_854_775_809),
            Uint(u64::MAX),
            Double(18_446_744_073_709_551_616.0),
            Double(f64::INFINITY),
        ];
        for (place, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(*left, *right), Some(place.cmp(&other)), "{left:?} {right:?}");
            }
            assert_eq!(compare(*left, Double(f64::NAN)), None);
            assert_eq!(compare(Double(f64::NAN), *left), None);
        }
        assert_eq!(compare(Double(-0.0), Int(0)), Some(Ordering::Equal));
    }
}
