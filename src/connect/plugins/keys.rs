//! The keys of converters, transformations and predicates.
//!
//! Names, types, defaults and rules are those of Apache Kafka 4.1.

use super::{JSON_CONVERTER, SIMPLE_HEADER_CONVERTER, STRING_CONVERTER, TRANSFORMS};
use crate::connect::key::Importance::{High, Low, Medium};
use crate::connect::key::{Key, Width};
use crate::connect::kind::Kind::{Boolean, Int, List, String};
use crate::connect::rule::Rule;

/// The keys of a converter, in the order in which it defines them.
pub(in crate::connect) fn converter_keys(class: &str) -> Vec<Key> {
    let kind = Key::plain("converter.type", String, Low)
        .required()
        .rule(Rule::OneOf(&["key", "value", "header"]))
        .says("What is converted. It follows from the key that names the converter.");
    match class {
        JSON_CONVERTER => [vec![kind], json_converter()].concat(),
        STRING_CONVERTER => {
            let mut encoding = Key::plain("converter.encoding", String, High)
                .default("UTF-8")
                .says("The character set. Headwater writes UTF-8.");
            (encoding.width, encoding.display_name) = (Width::Medium, "Encoding".into());
            vec![kind, encoding]
        }
        SIMPLE_HEADER_CONVERTER => Vec::new(),
        _ => vec![kind],
    }
}

fn json_converter() -> Vec<Key> {
    vec![
        Key::plain("schemas.enable", Boolean, High)
            .default("true")
            .shown("Schemas", 0, Width::Medium, "Enable Schemas")
            .says("Whether each value is wrapped in an object that has its schema beside it."),
        Key::plain("schemas.cache.size", Int, High)
            .default("1000")
            .shown("Schemas", 1, Width::Medium, "Schema Cache Size")
            .says("Without effect: there is one schema, and it is not kept anew for each value."),
        Key::plain("decimal.format", String, Low)
            .default("BASE64")
            .rule(Rule::OneOfAnyCase(&["NUMERIC", "BASE64"]))
            .shown("Serialization", 0, Width::Medium, "Decimal Format")
            .says("How decimals are written. Messages have none."),
        Key::plain("replace.null.with.default", Boolean, Low)
            .default("true")
            .shown("Serialization", 1, Width::Medium, "Replace null with default")
            .says("What a schema's default does. The schema of a text has none."),
    ]
}

/// The order in which a validation tells a converter's keys: that of the map they were in.
pub(in crate::connect) fn converter_keys_validated(class: &str) -> Vec<Key> {
    let mut keys = converter_keys(class);
    if class == JSON_CONVERTER {
        let order = ["decimal.format", "converter.type", "schemas.cache.size"];
        let order = [&order[..], &["replace.null.with.default", "schemas.enable"]].concat();
        keys.sort_by_key(|key| order.iter().position(|name| *name == key.name));
    }
    keys
}

/// The keys of a transformation or predicate, in the order in which it defines them.
pub(in crate::connect) fn chain_keys(class: &str) -> Vec<Key> {
    let name = class.strip_prefix(TRANSFORMS).unwrap_or(class);
    let name = name.split('$').next().unwrap_or(name);
    match name {
        "Cast" | "ExtractField" | "Flatten" | "HoistField" | "InsertField" | "MaskField"
        | "ReplaceField" | "TimestampConverter" => of_fields(name),
        "DropHeaders" | "HeaderFrom" | "InsertHeader" | "ValueToKey" | "SetSchemaMetadata" => {
            of_records(name)
        }
        other => rest(other),
    }
}

/// Those of transformations that change fields.
fn of_fields(name: &str) -> Vec<Key> {
    match name {
        "Cast" => vec![
            Key::plain("spec", List, High)
                .required()
                .rule(Rule::CastSpec)
                .says("Fields and their new types as field:type, or one type for the whole value."),
            nulls(),
        ],
        "ExtractField" => vec![
            text("field", "The field that becomes the whole value.").required(),
            nulls(),
            Key::plain("field.syntax.version", String, High)
                .default("V1")
                .rule(Rule::OneOfAnyCase(&["V1", "V2"]))
                .says("V1: a field of the outermost object. V2: a path, as in outer.inner."),
        ],
        "Flatten" => vec![text("delimiter", "What joins the names of nested fields.").default(".")],
        "HoistField" => {
            vec![text("field", "The field that the whole value is put into.").required()]
        }
        "InsertField" => insert_field(),
        "MaskField" => vec![
            names_of("fields", "Fields to mask."),
            Key::plain("replacement", String, Low)
                .rule(Rule::NotEmpty)
                .says("What takes the place of texts and numbers. Left out: the type's zero."),
            nulls(),
        ],
        "ReplaceField" => vec![
            Key::plain("exclude", List, Medium).default("").says("Fields to remove."),
            Key::plain("include", List, Medium).default("").says("Fields to keep, and no others."),
            Key::plain("renames", List, Medium)
                .default("")
                .rule(Rule::Renames)
                .says("New names of fields, as old:new."),
            nulls(),
        ],
        _ => timestamp_converter(),
    }
}

/// Those of transformations that change keys and headers.
fn of_records(name: &str) -> Vec<Key> {
    match name {
        "DropHeaders" => vec![names_of("headers", "Headers to remove.")],
        "HeaderFrom" => vec![
            names_of("fields", "Fields that become headers."),
            names_of("headers", "The headers' names, in the order of the fields."),
            Key::plain("operation", String, High)
                .required()
                .rule(Rule::OneOf(&["move", "copy"]))
                .says("move: the fields are removed from the value. copy: they stay."),
            nulls(),
        ],
        "InsertHeader" => vec![
            Key::plain("header", String, High)
                .required()
                .rule(Rule::There)
                .says("The header's name."),
            Key::plain("value.literal", String, High)
                .required()
                .rule(Rule::There)
                .says("The header's value."),
        ],
        "SetSchemaMetadata" => vec![
            Key::plain("schema.name", String, High).says("The schema's new name."),
            Key::plain("schema.version", Int, High).says("The schema's new version."),
            nulls(),
        ],
        "ValueToKey" => {
            vec![names_of("fields", "Fields of the value that make up the key."), nulls()]
        }
        _ => Vec::new(),
    }
}

fn rest(name: &str) -> Vec<Key> {
    match name {
        "RegexRouter" => vec![
            Key::plain("regex", String, High)
                .required()
                .rule(Rule::Regex)
                .says("What a topic's whole name must match to be replaced."),
            Key::plain("replacement", String, High)
                .required()
                .says("The topic's new name; $1 stands for the first group."),
        ],
        "TimestampRouter" => vec![
            Key::plain("topic.format", String, High)
                .default("${topic}-${timestamp}")
                .says("The topic's new name."),
            Key::plain("timestamp.format", String, High)
                .default("yyyyMMdd")
                .says("How the timestamp is written, in the letters of Java's SimpleDateFormat."),
        ],
        "predicates.HasHeaderKey" => vec![
            Key::plain("name", String, Medium)
                .required()
                .rule(Rule::NotEmpty)
                .says("The header's name."),
        ],
        "predicates.TopicNameMatches" => vec![
            Key::plain("pattern", String, Medium)
                .required()
                .rule(Rule::NotEmptyRegex)
                .says("What a topic's whole name must match."),
        ],
        _ => Vec::new(),
    }
}

fn insert_field() -> Vec<Key> {
    let says =
        |what: &str| format!("The field that takes {what}; with ! behind it a required one.");
    vec![
        text("topic.field", says("the topic's name")),
        text("partition.field", says("the partition's number")),
        text("offset.field", says("the offset, which sources do not know")),
        text("timestamp.field", says("the record's timestamp")),
        text("static.field", says("the fixed value")),
        text("static.value", "The fixed value."),
        nulls(),
    ]
}

fn timestamp_converter() -> Vec<Key> {
    let precisions = &["nanoseconds", "microseconds", "milliseconds", "seconds"];
    vec![
        Key::plain("field", String, High).default("").says("The field; empty: the whole value."),
        Key::plain("target.type", String, High)
            .required()
            .rule(Rule::OneOf(&["string", "unix", "Date", "Time", "Timestamp"]))
            .says("What the timestamp becomes."),
        Key::plain("format", String, Medium).default("").says("How it is written as text."),
        Key::plain("unix.precision", String, Low)
            .default("milliseconds")
            .rule(Rule::OneOf(precisions))
            .says("What a number counts."),
        nulls(),
    ]
}

fn text(name: &'static str, says: impl Into<std::borrow::Cow<'static, str>>) -> Key {
    Key::plain(name, String, Medium).says(says)
}

fn names_of(name: &'static str, says: &'static str) -> Key {
    Key::plain(name, List, High).required().rule(Rule::NotEmptyList).says(says)
}

fn nulls() -> Key {
    Key::plain("replace.null.with.default", Boolean, Medium)
        .default("true")
        .says("What a schema's default does. Values without a schema have none.")
}
