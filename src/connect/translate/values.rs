//! What a record's value is: the converter's keys.
//!
//! The connector hands its JSON over as a text, and the converter writes that text: as it is, as a
//! JSON text, or as one with its schema. Where transformations work on fields the value is an
//! object, which is what they are for; Kafka Connect would refuse them on a text.
//!
//! Next: `chain.rs`.

use super::chain::Chain;
use super::reader::Reader;
use crate::connect::kind::trim;
use crate::connect::mistake::Mistake;
use crate::connect::plugins::{self, BYTES_CONVERTER, JSON_CONVERTER, STRING_CONVERTER};
use std::collections::BTreeMap;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValuesPart {
    /// The decoder's `envelope`.
    pub(super) envelope: &'static str,
}

/// What a converter writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Texts and bytes as they are.
    Plain,
    /// JSON without a schema.
    Json,
    /// JSON beside its schema.
    JsonWithSchema,
    /// Numbers or booleans of a fixed size.
    Other,
}

pub(super) fn read(chain: &Chain, reader: &mut Reader<'_>) -> ValuesPart {
    let envelope = match form("value", true, reader) {
        Form::Plain => "none",
        Form::Json if chain.has_steps() => "none",
        Form::Json => "text",
        Form::JsonWithSchema if chain.has_steps() => {
            let told = Mistake::of(
                "value.converter.schemas.enable",
                "objects that transformations make have no schema here",
            );
            reader.mistake(told.hint("set it to false; readers then get the object itself"));
            "none"
        }
        Form::JsonWithSchema => "schema_and_text",
        Form::Other => {
            let told = Mistake::of("value.converter", "cannot write the connector's texts");
            reader.mistake(told.hint("use StringConverter, JsonConverter or ByteArrayConverter"));
            "none"
        }
    };
    ValuesPart { envelope }
}

/// What the converter of keys or values writes: the configuration's, or the worker's, which must be
/// known if it is used.
pub(super) fn form(what: &str, is_used: bool, reader: &mut Reader<'_>) -> Form {
    let key = format!("{what}.converter");
    reader.pass_over(&format!("{key}.plugin.version"));
    let own = reader.known(&key);
    let worker = reader.worker;
    let (class, options) = match &own {
        Some(name) => (plugins::class(name), own_options(&key, reader)),
        None => {
            unused(&key, reader);
            let is_key = what == "key";
            let class = if is_key { &worker.key_converter } else { &worker.value_converter };
            let options = if is_key {
                &worker.key_converter_options
            } else {
                &worker.value_converter_options
            };
            if is_used && plugins::class(class).is_none() {
                return foreign(&key, class, reader);
            }
            (plugins::class(class), options.clone())
        }
    };
    let class = class.unwrap_or_default();
    if what == "value" && own.is_none() && !worker.converters_known {
        let told =
            "is not given, and the worker's is not known: taken as StringConverter; --worker \
                    FILE tells it"
                .to_owned();
        reader.note(&key, told);
    }
    if what == "value" && class == BYTES_CONVERTER {
        let told = "the connector's task would fail with it, because its values are texts; here \
                    their bytes are written"
            .to_owned();
        reader.note(&key, told);
    }
    check_options(&key, class, &options, reader);
    match class {
        STRING_CONVERTER | BYTES_CONVERTER => Form::Plain,
        JSON_CONVERTER => json_form(&key, &options, reader),
        _ => Form::Other,
    }
}

fn json_form(key: &str, options: &BTreeMap<String, String>, reader: &mut Reader<'_>) -> Form {
    match options.get("schemas.enable").map(|text| trim(text).to_lowercase()).as_deref() {
        Some("false") => Form::Json,
        None | Some("true") => Form::JsonWithSchema,
        Some(_) => {
            let told = Mistake::of(format!("{key}.schemas.enable"), "is neither true nor false");
            reader.mistake(told.hint("the file looks different for each: write one of them"));
            Form::JsonWithSchema
        }
    }
}

/// The worker's converter is one that nobody here knows.
fn foreign(key: &str, class: &str, reader: &mut Reader<'_>) -> Form {
    let told = Mistake::of(key, format!("is not given, and the worker's {class:?} is not known"));
    reader.mistake(told.hint(
        "give the connector one of its own: StringConverter, JsonConverter or ByteArrayConverter",
    ));
    Form::Plain
}

fn own_options(key: &str, reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let prefix = format!("{key}.");
    let mut options = BTreeMap::new();
    for given in reader.keys_from(&prefix) {
        if let Some(value) = reader.known(&given) {
            options.insert(given[prefix.len()..].to_owned(), value);
        }
    }
    options
}

/// Without a converter of its own, a connector's keys for it are not looked at.
fn unused(key: &str, reader: &mut Reader<'_>) {
    for given in reader.keys_from(&format!("{key}.")) {
        reader.pass_over(&given);
        reader.note(&given, format!("has no effect, as before: {key} is not given beside it"));
    }
}

fn check_options(
    key: &str,
    class: &str,
    options: &BTreeMap<String, String>,
    reader: &mut Reader<'_>,
) {
    if class.is_empty() {
        // What an unknown class reads is unknown.
        return;
    }
    let known = plugins::converter_keys(class);
    for (option, value) in options {
        let name = format!("{key}.{option}");
        if !known.iter().any(|known| known.name == *option) {
            if reader.config.has(&name) {
                let told = Mistake::of(&name, "the converter has no such key");
                reader.mistake(told.hint("leave it out"));
            }
            continue;
        }
        let is_utf8 = matches!(trim(value).to_lowercase().as_str(), "utf-8" | "utf8");
        if option == "converter.encoding" && !is_utf8 {
            let told = Mistake::of(&name, "only UTF-8 is written");
            reader.mistake(told.hint("leave it out, and let readers expect UTF-8"));
        }
    }
}

/// The header converter, which says how headers are written.
pub(super) fn headers(has_headers: bool, reader: &mut Reader<'_>) {
    const KEY: &str = "header.converter";
    reader.pass_over("header.converter.plugin.version");
    let own = reader.known(KEY);
    let class = own.as_deref().and_then(plugins::class);
    let class = class.unwrap_or(match own {
        Some(_) => "",
        None => plugins::class(&reader.worker.header_converter).unwrap_or_default(),
    });
    let options = match own {
        Some(_) => own_options(KEY, reader),
        None => {
            unused(KEY, reader);
            BTreeMap::new()
        }
    };
    check_options(KEY, class, &options, reader);
    let is_plain = [plugins::SIMPLE_HEADER_CONVERTER, STRING_CONVERTER].contains(&class);
    if has_headers && !is_plain {
        let told = Mistake::of(KEY, "headers are written as plain texts");
        reader.mistake(told.hint("use SimpleHeaderConverter or StringConverter"));
    }
}
