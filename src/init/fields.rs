//! The fields of a request as comments: how each is written, its type, and what its author says.

use headwater_proto::print::{field_comment, field_type};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// How deep messages within the request are spelt out.
const DEPTH_MAX: usize = 3;

/// Fields that are spelt out at most.
const FIELDS_MAX: usize = 100;

/// Where the comments behind fields begin.
const COMMENT_COLUMN: usize = 34;

/// How much of an author's words is repeated.
const WORDS_CHARS_MAX: usize = 100;

/// The fields of `request`, a line each, indented as YAML.
pub(super) fn lines(request: &MessageDescriptor) -> Vec<String> {
    let mut lines = Vec::new();
    let mut above = vec![request.full_name().to_owned()];
    write(request, 0, &mut above, &mut lines);
    lines
}

fn write(
    message: &MessageDescriptor,
    depth: usize,
    above: &mut Vec<String>,
    lines: &mut Vec<String>,
) {
    for field in message.fields() {
        if lines.len() == FIELDS_MAX {
            lines.push("…".to_owned());
        }
        if lines.len() > FIELDS_MAX {
            return;
        }
        let inner = spelt_out(&field)
            .filter(|it| depth + 1 < DEPTH_MAX && !above.contains(&it.full_name().to_owned()));
        let value = if inner.is_some() { String::new() } else { format!(" {}", example(&field)) };
        let written = format!("{}{}:{value}", "  ".repeat(depth), field.name());
        let told = told(&field, message);
        lines.push(format!("{written:<COMMENT_COLUMN$} # {told}"));
        if let Some(inner) = inner {
            above.push(inner.full_name().to_owned());
            write(&inner, depth + 1, above, lines);
            above.pop();
        }
    }
}

/// The message whose fields follow, where the field holds one.
fn spelt_out(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message)
            if !field.is_list()
                && !field.is_map()
                && !message.full_name().starts_with("google.protobuf.")
                && message.fields().len() > 0 =>
        {
            Some(message)
        }
        _ => None,
    }
}

/// A value of the field's type.
fn example(field: &FieldDescriptor) -> String {
    if field.is_map() {
        return "{}".to_owned();
    }
    if field.is_list() {
        return "[]".to_owned();
    }
    match field.kind() {
        Kind::Bool => "false".to_owned(),
        Kind::Double | Kind::Float => "0.0".to_owned(),
        Kind::String | Kind::Bytes => "\"\"".to_owned(),
        Kind::Enum(values) => {
            values.values().next().map_or_else(|| "0".to_owned(), |it| it.name().to_owned())
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "\"2026-01-01T00:00:00Z\"".to_owned(),
            "google.protobuf.Duration" => "\"1s\"".to_owned(),
            "google.protobuf.FieldMask" => "\"a,b\"".to_owned(),
            _ => "{}".to_owned(),
        },
        _ => "0".to_owned(),
    }
}

/// Type, `oneof` and the author's words.
fn told(field: &FieldDescriptor, message: &MessageDescriptor) -> String {
    let mut told = field_type(field, message.package_name());
    if matches!(field.kind(), Kind::Bytes) {
        told.push_str(", as base64");
    }
    if let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
        told.push_str(&format!(", at most one of `{}`", oneof.name()));
    }
    let words = field_comment(field).join(" ");
    if words.is_empty() {
        return told;
    }
    format!("{told}: {}", crate::words::cut(words.trim(), WORDS_CHARS_MAX))
}
