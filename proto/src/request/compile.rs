//! A JSON-like value, checked against a message type: every mistake, each with its place.
//!
//! Invariant: the walk goes on after a mistake, and reports each mistake once.

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, Value,
};
use serde_json::{Map, Value as Json};

use super::overlay::CursorComponent;
use super::reply::PLACEHOLDER;
use super::scalar::{self, Misfit};
use super::value::{Checked, Placeholder, set_fields};
use super::{PathSegment, RequestError};
use crate::nearest::nearest;

/// How deep a request may nest; the encoder's receiver would refuse more.
const DEPTH_MAX: usize = 100;

/// What a cursor's placeholder begins with.
pub(super) const CURSOR: &str = "${cursor.";

/// What may be asked for by a placeholder.
#[derive(Clone, Copy)]
pub(super) struct Names<'c> {
    /// What a placeholder begins with.
    pub(super) prefix: &'static str,
    pub(super) components: &'c [CursorComponent],
}

/// Builds a message that needs no cursor.
pub(super) fn template(
    message: &MessageDescriptor,
    value: &Json,
) -> Result<DynamicMessage, Vec<RequestError>> {
    let fields = fields(message, value, None)?;
    let mut built = DynamicMessage::new(message.clone());
    set_fields(&mut built, &fields, &|_| None)
        .expect("without cursors there is nothing that could be missing or not fit");
    Ok(built)
}

/// Checks the fields of an object; placeholders are allowed where `names` are given.
pub(super) fn fields(
    message: &MessageDescriptor,
    value: &Json,
    names: Option<Names<'_>>,
) -> Result<Vec<(FieldDescriptor, Checked)>, Vec<RequestError>> {
    let mut checker = Checker { names, path: Vec::new(), errors: Vec::new() };
    let fields = match value {
        Json::Null => Vec::new(),
        Json::Object(object) => checker.object(message, object),
        other => {
            let kind = Kind::Message(message.clone());
            checker.misfit(scalar::expected(&kind, other));
            Vec::new()
        }
    };
    if checker.errors.is_empty() { Ok(fields) } else { Err(checker.errors) }
}

struct Checker<'c> {
    names: Option<Names<'c>>,
    path: Vec<PathSegment>,
    errors: Vec<RequestError>,
}

impl Checker<'_> {
    fn misfit(&mut self, misfit: Misfit) {
        let Misfit { message, hint } = misfit;
        self.errors.push(RequestError { path: self.path.clone(), message, hint });
    }

    /// Goes one step into the value.
    fn inside<T>(&mut self, segment: PathSegment, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let result = work(self);
        self.path.pop();
        result
    }

    fn object(
        &mut self,
        message: &MessageDescriptor,
        object: &Map<String, Json>,
    ) -> Vec<(FieldDescriptor, Checked)> {
        let mut seen: Vec<(FieldDescriptor, &str)> = Vec::new();
        let mut fields = Vec::new();
        for (key, value) in object {
            self.inside(PathSegment::Key(key.clone()), |checker| {
                let Some(field) = checker.field(message, key) else {
                    return;
                };
                if checker.is_unset(&field, value) || checker.conflicts(&field, &seen) {
                    return;
                }
                if let Some(checked) = checker.value(&field, value) {
                    fields.push((field.clone(), checked));
                }
                seen.push((field, key));
            });
        }
        fields
    }

    fn field(&mut self, message: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
        let found = message.get_field_by_json_name(key);
        let found = found.or_else(|| message.get_field_by_name(key));
        if found.is_none() {
            self.misfit(unknown_field(message, key));
        }
        found
    }

    /// `null` leaves a field unset, but for the types that have a null of their own.
    fn is_unset(&self, field: &FieldDescriptor, value: &Json) -> bool {
        let has_null = match field.kind() {
            Kind::Message(message) => message.full_name() == "google.protobuf.Value",
            Kind::Enum(descriptor) => descriptor.full_name() == "google.protobuf.NullValue",
            _ => false,
        };
        value.is_null() && !(has_null && !field.is_list() && !field.is_map())
    }

    /// Whether a field was given before by its other name, or another member of its oneof was.
    fn conflicts(&mut self, field: &FieldDescriptor, seen: &[(FieldDescriptor, &str)]) -> bool {
        let oneof = field.containing_oneof();
        let clash = seen.iter().find(|(other, _)| {
            other == field || (oneof.is_some() && other.containing_oneof() == oneof)
        });
        let Some((other, key)) = clash else {
            return false;
        };
        let message = match oneof {
            Some(oneof) if other != field => one_of(&oneof, key),
            _ => format!("the field was given before as \"{key}\""),
        };
        self.misfit(Misfit { message, hint: Some("keep one of the two".to_owned()) });
        true
    }

    fn value(&mut self, field: &FieldDescriptor, value: &Json) -> Option<Checked> {
        if field.is_map() {
            return self.map(field, value);
        }
        if field.is_list() {
            return self.list(field, value);
        }
        self.single(field, value)
    }

    fn list(&mut self, field: &FieldDescriptor, value: &Json) -> Option<Checked> {
        let Json::Array(elements) = value else {
            let message = format!("expected a list, found {}", scalar::shown(value));
            self.misfit(Misfit { message, hint: Some("write [value]".to_owned()) });
            return None;
        };
        let mut checked = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let element =
                self.inside(PathSegment::Index(index), |checker| checker.single(field, element));
            checked.extend(element);
        }
        Some(settled(Checked::List(checked)))
    }

    fn map(&mut self, field: &FieldDescriptor, value: &Json) -> Option<Checked> {
        let Json::Object(object) = value else {
            let message = format!("expected an object, found {}", scalar::shown(value));
            self.misfit(Misfit { message, hint: None });
            return None;
        };
        let Kind::Message(entry) = field.kind() else {
            return None;
        };
        let (key_kind, value_field) =
            (entry.map_entry_key_field().kind(), entry.map_entry_value_field());
        let mut checked = Vec::with_capacity(object.len());
        for (key, value) in object {
            self.inside(PathSegment::Key(key.clone()), |checker| {
                let key = scalar::of_key(&key_kind, key).map_err(|misfit| checker.misfit(misfit));
                let value = checker.single(&value_field, value);
                if let (Ok(key), Some(value)) = (key, value) {
                    checked.push((key, value));
                }
            });
        }
        Some(settled(Checked::Map(checked)))
    }

    /// One value: not a list, not a map.
    fn single(&mut self, field: &FieldDescriptor, value: &Json) -> Option<Checked> {
        if let Some((prefix, name)) = placeholder(value) {
            return self.named(field, prefix, name);
        }
        let kind = field.kind();
        let result = match (&kind, value) {
            (Kind::Message(message), Json::Object(object)) if !has_own_form(message) => {
                if self.path.len() > DEPTH_MAX {
                    let message = format!("the value nests deeper than {DEPTH_MAX}");
                    self.misfit(Misfit { message, hint: None });
                    return None;
                }
                return Some(Checked::Message(message.clone(), self.object(message, object)));
            }
            (Kind::Message(message), value) => well_known(message, value),
            (kind, value) => scalar::of_json(kind, value),
        };
        result.map(Checked::Fixed).map_err(|misfit| self.misfit(misfit)).ok()
    }

    fn named(&mut self, field: &FieldDescriptor, prefix: &str, name: &str) -> Option<Checked> {
        let Some(names) = self.names.filter(|names| names.prefix == prefix) else {
            self.misfit(misplaced(prefix, name));
            return None;
        };
        let components = names.components;
        let Some(component) = components.iter().find(|component| component.name == name) else {
            self.misfit(unknown_cursor(components, name));
            return None;
        };
        let kind = field.kind();
        if !scalar::cursor_fits(&kind, component.kind, component.message.as_ref()) {
            let given = component.message.as_ref().map_or_else(
                || component.kind.to_string(),
                |message| message.full_name().to_owned(),
            );
            let wanted = scalar::described(&kind);
            self.misfit(Misfit {
                message: format!(
                    "{} \"{name}\" is of type {given}, expected {wanted}",
                    what(prefix)
                ),
                hint: None,
            });
            return None;
        }
        Some(Checked::Cursor(Placeholder { name: name.to_owned(), field: field.clone() }))
    }
}

/// A list or map without cursors is one fixed value.
fn settled(checked: Checked) -> Checked {
    if !checked.is_fixed() {
        return checked;
    }
    match checked.resolve(&|_| None) {
        Ok(value) => Checked::Fixed(value),
        Err(_) => checked,
    }
}

/// The kind and the name in a string that is a placeholder as a whole.
fn placeholder(value: &Json) -> Option<(&'static str, &str)> {
    let inner = value.as_str()?.strip_suffix('}')?;
    [CURSOR, PLACEHOLDER]
        .into_iter()
        .find_map(|prefix| inner.strip_prefix(prefix).map(|name| (prefix, name)))
}

/// What a placeholder stands for.
fn what(prefix: &str) -> &'static str {
    if prefix == CURSOR { "cursor" } else { "field" }
}

fn misplaced(prefix: &str, name: &str) -> Misfit {
    let (known, hint) = match prefix {
        CURSOR => ("cursor", "cursors belong under resume, into restart.set"),
        _ => ("message", "fields of messages belong under stream, into a reply's send"),
    };
    Misfit {
        message: format!("\"{prefix}{name}}}\" stands here, where no {known} is known"),
        hint: Some(hint.to_owned()),
    }
}

/// Whether a message is written in another way than as an object of its fields.
fn has_own_form(message: &MessageDescriptor) -> bool {
    crate::transcode::has_own_form(message.full_name())
}

/// Messages with a form of their own are read by prost-reflect. Its reason may quote the value,
/// which may be a secret, so it is not passed on.
fn well_known(message: &MessageDescriptor, value: &Json) -> Result<Value, Misfit> {
    let misfit = || scalar::expected(&Kind::Message(message.clone()), value);
    if !has_own_form(message) {
        return Err(misfit());
    }
    DynamicMessage::deserialize(message.clone(), value)
        .map(Value::Message)
        .map_err(|_| Misfit { hint: form(message.name()).map(str::to_owned), ..misfit() })
}

fn form(name: &str) -> Option<&'static str> {
    Some(match name {
        "Timestamp" => "write it like \"2024-05-01T12:00:00Z\"",
        "Duration" => "write it like \"1.5s\"",
        "FieldMask" => "write it like \"fieldOne,fieldTwo.inner\"",
        "Any" => "write an object with \"@type\", naming a type in the descriptors, and its fields",
        "Empty" => "write {}",
        "StringValue" => "write the string itself",
        "BytesValue" => "write the bytes in base64",
        "BoolValue" => "write true or false",
        name if name.ends_with("Value") && name != "Value" && name != "ListValue" => {
            "write the number itself, within the range of its type"
        }
        _ => return None,
    })
}

fn unknown_field(message: &MessageDescriptor, key: &str) -> Misfit {
    let names: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
    let hint = match nearest(key, &names) {
        Some(name) => Some(format!("did you mean \"{name}\"?")),
        None if names.is_empty() => Some("the message has no fields".to_owned()),
        None => Some(format!("its fields are {}", names.join(", "))),
    };
    Misfit { message: format!("message {} has no field \"{key}\"", message.full_name()), hint }
}

fn unknown_cursor(cursors: &[CursorComponent], name: &str) -> Misfit {
    let names: Vec<&str> = cursors.iter().map(|component| component.name.as_str()).collect();
    let hint = match nearest(name, &names) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => "declare it under resume.cursor".to_owned(),
        None => format!("the components are {}", names.join(", ")),
    };
    Misfit { message: format!("no cursor component is named \"{name}\""), hint: Some(hint) }
}

fn one_of(oneof: &OneofDescriptor, key: &str) -> String {
    format!("oneof \"{}\" was set before by \"{key}\"", oneof.name())
}
