//! Expressions, fitted to a message type: names become compiled paths or numbers of enum values,
//! and what cannot be compared is refused.
//!
//! Next: `evaluate.rs` answers what comes out.

use super::PredicateError;
use super::evaluate::{Constant, Guard, Has, Operand, Read, Size, Test, TextTest};
use super::field::{Field, field_of};
use super::parse::{Expression, Form, Literal, Name, Relation, Segment};
use crate::nearest::nearest;
use crate::path::{FieldPath, LeafKind, ListPath, SpreadPath};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};
use regex::{Regex, RegexBuilder};

/// The most memory a compiled regular expression may take, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// The functions, for hints.
const FUNCTIONS: [&str; 6] = ["has", "size", "startsWith", "endsWith", "contains", "matches"];

/// What an operand is.
#[derive(Clone, Debug)]
enum Type {
    Bool,
    Number,
    Enum(EnumDescriptor),
    Text,
    Bytes,
}

type Typed = (Operand, Type);

/// Compiles a predicate.
pub(super) fn compile(
    expression: &Expression,
    message: &MessageDescriptor,
) -> Result<Test, PredicateError> {
    Compiler { message }.test(expression)
}

struct Compiler<'d> {
    message: &'d MessageDescriptor,
}

impl Compiler<'_> {
    /// An expression that answers yes or no.
    fn test(&self, expression: &Expression) -> Result<Test, PredicateError> {
        match self.operand(expression)? {
            (Operand::Test(test), _) => Ok(*test),
            (Operand::Field(read), Type::Bool) => Ok(Test::Field(read)),
            (Operand::Literal(Constant::Bool(answer)), _) => Ok(Test::Always(answer)),
            (_, found) => {
                let message = format!("expected yes or no, found {}", found.name());
                Err(PredicateError::new(expression.column, message)
                    .hint("compare it, for example with ==, or ask has(FIELD)"))
            }
        }
    }

    fn tests(&self, expressions: &[Expression]) -> Result<Box<[Test]>, PredicateError> {
        expressions.iter().map(|expression| self.test(expression)).collect()
    }

    fn operand(&self, expression: &Expression) -> Result<Typed, PredicateError> {
        let test = match &expression.form {
            Form::Literal(literal) => return Ok(constant(literal)),
            Form::Path(segments) => return self.read(segments),
            Form::Call(name, arguments) if name.text == "size" => {
                return self.size(name, arguments);
            }
            Form::Method(receiver, name, arguments) if name.text == "size" => {
                nothing_in(name, arguments)?;
                return self.size_of(receiver);
            }
            Form::List(_) => {
                return Err(PredicateError::new(
                    expression.column,
                    "a list stands behind `in` only",
                ));
            }
            Form::Call(name, arguments) => self.call(name, arguments)?,
            Form::Method(receiver, name, arguments) => self.method(receiver, name, arguments)?,
            Form::Not(inner) => Test::Not(Box::new(self.test(inner)?)),
            Form::All(operands) => Test::All(self.tests(operands)?),
            Form::Any(operands) => Test::Any(self.tests(operands)?),
            Form::Compare(left, relation, right) => self.compare(left, *relation, right)?,
            Form::In(left, right) => self.among(left, right)?,
        };
        Ok((Operand::Test(Box::new(test)), Type::Bool))
    }

    // --- comparisons ---

    fn compare(
        &self,
        left: &Expression,
        relation: Relation,
        right: &Expression,
    ) -> Result<Test, PredicateError> {
        let ((left, _), (right, _)) = self.pair(left, right)?;
        Ok(Test::Compare(left, relation, right))
    }

    /// Two operands of which one may be the name of the other's enum value.
    fn pair(
        &self,
        left: &Expression,
        right: &Expression,
    ) -> Result<(Typed, Typed), PredicateError> {
        let (left_typed, right_typed) = match (self.bare_name(left), self.bare_name(right)) {
            (Some(name), _) => {
                let right_typed = self.operand(right)?;
                (self.enum_value(name, left, &right_typed.1)?, right_typed)
            }
            (None, Some(name)) => {
                let left_typed = self.operand(left)?;
                let right_typed = self.enum_value(name, right, &left_typed.1)?;
                (left_typed, right_typed)
            }
            (None, None) => (self.operand(left)?, self.operand(right)?),
        };
        if left_typed.1.compares_with(&right_typed.1) {
            return Ok((left_typed, right_typed));
        }
        let (left_name, right_name) = (left_typed.1.name(), right_typed.1.name());
        let message = format!("{left_name} cannot be compared with {right_name}");
        let error = PredicateError::new(right.column, message);
        Err(match (&left_typed.1, &right_typed.1) {
            (Type::Enum(of), Type::Text) | (Type::Text, Type::Enum(of)) => {
                error.hint(format!("write the value's name without quotes, one of {}", listed(of)))
            }
            (Type::Bytes, Type::Text) => error.hint("write bytes as b\"…\""),
            _ => error,
        })
    }

    fn among(&self, left: &Expression, right: &Expression) -> Result<Test, PredicateError> {
        match &right.form {
            Form::List(items) => {
                if items.is_empty() {
                    return Err(PredicateError::new(right.column, "the list is empty"));
                }
                let (operand, _) = self.operand(left)?;
                let item = |item| self.pair(left, item).map(|(_, (operand, _))| operand);
                Ok(Test::In(operand, items.iter().map(item).collect::<Result<_, _>>()?))
            }
            Form::Path(segments) => match self.elements(segments) {
                Some((list, element)) => self.element_of(left, list, &element),
                None => self.key_in(left, segments),
            },
            _ => Err(PredicateError::new(right.column, "expected a list such as [1, 2], or a map")),
        }
    }

    /// The elements of a repeated field, and what they are; none of messages.
    fn elements(&self, list: &[Segment]) -> Option<(SpreadPath, Type)> {
        let field = Field::of(list, self.message);
        let path = SpreadPath::compile(self.message, &format!("{}[]", field.text)).ok()?;
        let kind = match path.kind() {
            LeafKind::Bool => Type::Bool,
            LeafKind::Int | LeafKind::Uint | LeafKind::Float => Type::Number,
            LeafKind::Text => Type::Text,
            LeafKind::Bytes => Type::Bytes,
            LeafKind::Enum | LeafKind::Message => return None,
        };
        Some((path, kind))
    }

    /// `value in list`
    fn element_of(
        &self,
        left: &Expression,
        list: SpreadPath,
        element: &Type,
    ) -> Result<Test, PredicateError> {
        let (operand, found) = self.operand(left)?;
        if found.compares_with(element) {
            return Ok(Test::Element(operand, list));
        }
        let message = format!("{} cannot be compared with {}", found.name(), element.name());
        Err(PredicateError::new(left.column, message))
    }

    /// `"key" in map`
    fn key_in(&self, left: &Expression, map: &[Segment]) -> Result<Test, PredicateError> {
        let field = Field::of(map, self.message);
        ListPath::compile(self.message, &field.text).map_err(|error| field.error(error))?;
        let key = match &left.form {
            Form::Literal(Literal::Text(key)) => {
                format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Form::Literal(Literal::Int(key)) => format!("\"{key}\""),
            Form::Literal(Literal::Uint(key)) => format!("\"{key}\""),
            Form::Literal(Literal::Bool(key)) => format!("\"{key}\""),
            _ => return Err(PredicateError::new(left.column, "expected a map's key, as a value")),
        };
        let text = format!("{}[{key}]", field.text);
        let path = FieldPath::compile(self.message, &text).map_err(|error| {
            let is_key = error.column > field.text.len();
            let column = if is_key { left.column } else { field.last.column };
            PredicateError { column, message: error.message, hint: None }
        })?;
        Ok(Test::Has(Has::Key(path)))
    }

    /// The last part of a name that is no field of the message.
    fn bare_name<'e>(&self, expression: &'e Expression) -> Option<&'e Name> {
        let Form::Path(segments) = &expression.form else { return None };
        let (Segment::Field(first), Segment::Field(last)) = (segments.first()?, segments.last()?)
        else {
            return None;
        };
        field_of(self.message, &first.text).is_none().then_some(last)
    }

    /// A name that is no field, as a value of the enum it is compared with.
    fn enum_value(
        &self,
        name: &Name,
        whole: &Expression,
        wanted: &Type,
    ) -> Result<Typed, PredicateError> {
        let Type::Enum(of) = wanted else { return self.operand(whole) };
        let Form::Path(segments) = &whole.form else { unreachable!("a bare name is a path") };
        let parts: Vec<&str> = segments.iter().map(|segment| segment.text()).collect();
        let qualifier = parts[..parts.len() - 1].join(".");
        let full = of.full_name();
        let parent = full.rsplit_once('.').map_or("", |(parent, _)| parent);
        let is_meant = |name: &str| {
            qualifier.is_empty() || name == qualifier || name.ends_with(&format!(".{qualifier}"))
        };
        let value = of.get_value_by_name(&name.text);
        match value.filter(|_| is_meant(full) || is_meant(parent)) {
            Some(value) => {
                let number = i64::from(value.number());
                Ok((Operand::Literal(Constant::Int(number)), wanted.clone()))
            }
            None => {
                let known = of.values().map(|value| value.name().to_owned());
                let hint = match nearest(&name.text, known) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("its values are {}", listed(of)),
                };
                let message = format!(
                    "{} is neither a field of {} nor a value of enum {full}",
                    parts.join("."),
                    self.message.full_name(),
                );
                Err(PredicateError::new(whole.column, message).hint(hint))
            }
        }
    }

    // --- functions ---

    fn call(&self, name: &Name, arguments: &[Expression]) -> Result<Test, PredicateError> {
        match name.text.as_str() {
            "has" => self.has(name, only(name, arguments)?),
            "startsWith" | "endsWith" | "contains" | "matches" => {
                let message = format!("{} is asked of a text", name.text);
                Err(PredicateError::new(name.column, message)
                    .hint(format!("write FIELD.{}(\"…\")", name.text)))
            }
            _ => Err(no_function(name)),
        }
    }

    fn method(
        &self,
        receiver: &Expression,
        name: &Name,
        arguments: &[Expression],
    ) -> Result<Test, PredicateError> {
        if name.text == "has" || !FUNCTIONS.contains(&name.text.as_str()) {
            return Err(no_function(name));
        }
        let argument = only(name, arguments)?;
        let text = self.text(receiver)?;
        let test = match name.text.as_str() {
            "startsWith" => TextTest::StartsWith(self.text(argument)?),
            "endsWith" => TextTest::EndsWith(self.text(argument)?),
            "contains" => TextTest::Contains(self.text(argument)?),
            _ => TextTest::Matches(regex(argument)?),
        };
        Ok(Test::Text(text, test))
    }

    fn text(&self, expression: &Expression) -> Result<Operand, PredicateError> {
        match self.operand(expression)? {
            (operand, Type::Text) => Ok(operand),
            (_, found) => {
                let message = format!("expected a string, found {}", found.name());
                Err(PredicateError::new(expression.column, message))
            }
        }
    }

    fn has(&self, name: &Name, argument: &Expression) -> Result<Test, PredicateError> {
        let Form::Path(segments) = &argument.form else {
            let message = "has() asks for a field, as in has(FIELD)";
            return Err(PredicateError::new(argument.column, message));
        };
        let field = Field::of(segments, self.message);
        if field.is_element {
            return Err(PredicateError::new(name.column, "has() cannot ask for an element")
                .hint("ask for the number of elements with size(FIELD), or `KEY in MAP`"));
        }
        let guard = self.guard(&field)?;
        if let Ok(list) = ListPath::compile(self.message, &field.text) {
            return Ok(Test::Has(Has::List(list, guard)));
        }
        let path = FieldPath::compile(self.message, &field.text);
        let path = path.map_err(|error| field.error(error))?;
        Ok(Test::Has(Has::Value(path, guard)))
    }

    fn size(&self, name: &Name, arguments: &[Expression]) -> Result<Typed, PredicateError> {
        self.size_of(only(name, arguments)?)
    }

    fn size_of(&self, argument: &Expression) -> Result<Typed, PredicateError> {
        let wrong = |found: &str| {
            let message =
                format!("expected a repeated field, a map, a string or bytes, found {found}");
            Err(PredicateError::new(argument.column, message))
        };
        let Form::Path(segments) = &argument.form else { return wrong("no field") };
        let field = Field::of(segments, self.message);
        let size = match ListPath::compile(self.message, &field.text) {
            Ok(list) => Size::List(list, self.guard(&field)?),
            Err(_) => match self.read(segments)? {
                (Operand::Field(read), Type::Text | Type::Bytes) => Size::Value(read),
                (_, found) => return wrong(found.name()),
            },
        };
        Ok((Operand::Size(size), Type::Number))
    }

    // --- fields ---

    fn read(&self, segments: &[Segment]) -> Result<Typed, PredicateError> {
        let field = Field::of(segments, self.message);
        let (path, descriptor) = FieldPath::compile_with_field(self.message, &field.text)
            .map_err(|error| field.error(error))?;
        let kind = match descriptor.kind() {
            Kind::Message(entry) if descriptor.is_map() => entry.map_entry_value_field().kind(),
            kind => kind,
        };
        let type_of = Type::of(&kind).ok_or_else(|| {
            let message = format!("field {} is a message", field.text);
            PredicateError::new(field.last.column, message)
                .hint(format!("ask has({0}), or compare a field of it, {0}.FIELD", field.text))
        })?;
        let default = default(&descriptor, &kind);
        let guard = self.guard(&field)?;
        Ok((Operand::Field(Read { path, default, guard }), type_of))
    }

    fn guard(&self, field: &Field<'_>) -> Result<Guard, PredicateError> {
        let Some(length) = field.element else { return Ok(Guard::None) };
        let path = FieldPath::compile(self.message, &field.text[..length]);
        path.map(Guard::Element).map_err(|error| field.error(error))
    }
}

impl Type {
    /// `None` for messages.
    fn of(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Bool => Type::Bool,
            Kind::Enum(descriptor) => Type::Enum(descriptor.clone()),
            Kind::String => Type::Text,
            Kind::Bytes => Type::Bytes,
            Kind::Message(_) => return None,
            _ => Type::Number,
        })
    }

    fn compares_with(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Enum(left), Type::Enum(right)) => left == right,
            (Type::Number | Type::Enum(_), Type::Number | Type::Enum(_)) => true,
            (Type::Bool, Type::Bool) | (Type::Text, Type::Text) | (Type::Bytes, Type::Bytes) => {
                true
            }
            _ => false,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Type::Bool => "a bool",
            Type::Number => "a number",
            Type::Enum(_) => "an enum",
            Type::Text => "a string",
            Type::Bytes => "bytes",
        }
    }
}

/// What a field has that is not there.
fn default(field: &FieldDescriptor, kind: &Kind) -> Constant {
    // An element that is not there has no default; its guard sees to that.
    let value = match field.is_list() || field.is_map() {
        true => kind.default_value(),
        false => field.default_value(),
    };
    match value {
        Value::Bool(value) => Constant::Bool(value),
        Value::I32(value) | Value::EnumNumber(value) => Constant::Int(value.into()),
        Value::I64(value) => Constant::Int(value),
        Value::U32(value) => Constant::Uint(value.into()),
        Value::U64(value) => Constant::Uint(value),
        Value::F32(value) => Constant::Double(value.into()),
        Value::F64(value) => Constant::Double(value),
        Value::String(text) => Constant::Text(text.into()),
        Value::Bytes(bytes) => Constant::Bytes(bytes.to_vec().into()),
        Value::Message(_) | Value::List(_) | Value::Map(_) => {
            unreachable!("a message is refused before, and elements have no default")
        }
    }
}

fn constant(literal: &Literal) -> Typed {
    let (constant, type_of) = match literal {
        Literal::Bool(value) => (Constant::Bool(*value), Type::Bool),
        Literal::Int(value) => (Constant::Int(*value), Type::Number),
        Literal::Uint(value) => (Constant::Uint(*value), Type::Number),
        Literal::Double(value) => (Constant::Double(*value), Type::Number),
        Literal::Text(text) => (Constant::Text(text.as_str().into()), Type::Text),
        Literal::Bytes(bytes) => (Constant::Bytes(bytes.as_slice().into()), Type::Bytes),
    };
    (Operand::Literal(constant), type_of)
}

fn regex(argument: &Expression) -> Result<Regex, PredicateError> {
    let Form::Literal(Literal::Text(text)) = &argument.form else {
        let message = "expected the regular expression itself, in quotes";
        return Err(PredicateError::new(argument.column, message));
    };
    RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build().map_err(|error| {
        // The crate draws the place over several lines; its last line says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!("the regular expression cannot be used: {reason}");
        PredicateError::new(argument.column, message)
    })
}

fn only<'e>(name: &Name, arguments: &'e [Expression]) -> Result<&'e Expression, PredicateError> {
    match arguments {
        [argument] => Ok(argument),
        _ => {
            let count = arguments.len();
            let message = format!("{}() takes one argument, found {count}", name.text);
            Err(PredicateError::new(name.column, message))
        }
    }
}

fn nothing_in(name: &Name, arguments: &[Expression]) -> Result<(), PredicateError> {
    match arguments {
        [] => Ok(()),
        _ => Err(PredicateError::new(name.column, format!("{}() takes no argument", name.text))),
    }
}

fn no_function(name: &Name) -> PredicateError {
    let hint = match nearest(&name.text, FUNCTIONS) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("the functions are {}", FUNCTIONS.join(", ")),
    };
    PredicateError::new(name.column, format!("there is no function {}", name.text)).hint(hint)
}

/// Some of an enum's values.
fn listed(of: &EnumDescriptor) -> String {
    const LISTED_MAX: usize = 12;
    let names: Vec<String> =
        of.values().take(LISTED_MAX).map(|value| value.name().to_owned()).collect();
    let more = if of.values().len() > LISTED_MAX { ", …" } else { "" };
    names.join(", ") + more
}
