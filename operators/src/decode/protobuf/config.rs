//! The keys of a protobuf decoder, and what they must mean.

use crate::stand_in;
use headwater_engine::spec::{Checked, Encoding, KindEntry, NodeView, Report, Role, StreamFacts};
use headwater_proto::{JsonNotation, JsonStyle, MessageDescriptor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Turns protobuf messages into records.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtobufConfig {
    /// What a record's value is.
    pub to: OutputFormat,
    /// With `to: json`: whether fields without presence are written if they are not set: numbers
    /// as 0, texts and bytes empty, enums with their first value, lists as `[]`, maps as `{}`.
    #[serde(default)]
    pub defaults: bool,
    /// With `to: json`: how numbers and texts are written.
    #[serde(default)]
    pub notation: Notation,
    /// With `to: json`: what the JSON is put into.
    #[serde(default)]
    pub envelope: Envelope,
    /// What happens to a message that cannot become a record: it cannot be decoded, or the field
    /// of the sink's `timestamp` holds what no Kafka timestamp can be. Never is one skipped in
    /// silence.
    #[serde(default)]
    pub on_error: OnError,
}

/// What a record's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// The message in the proto3 JSON mapping.
    Json,
    /// The message's own bytes, untouched.
    Raw,
}

/// How numbers and texts are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Notation {
    /// As most programs do: `1e16`, `0.00001`.
    #[default]
    Plain,
    /// As protobuf's JsonFormat for Java does: `1.0E16`, `1.0E-5`.
    Java,
}

/// What a message's JSON is put into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// Nothing: the value is the object itself.
    #[default]
    None,
    /// A JSON text, as Kafka Connect's JsonConverter makes of a text: `"{\"a\":1}"`.
    Text,
    /// The same with its schema, as the JsonConverter does with `schemas.enable`:
    /// `{"schema":{"type":"string","optional":false},"payload":"{\"a\":1}"}`.
    SchemaAndText,
}

/// What happens to a message that cannot become a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The pipeline stops and names the message.
    #[default]
    Stop,
    /// The message goes, as received and with the reason, to the sink's `dead_letter.topic`, in the
    /// same transaction as its neighbours.
    DeadLetter,
}

/// A checked protobuf decoder.
#[derive(Clone, Debug)]
pub struct ProtobufDecoder {
    /// The messages it decodes.
    pub message: MessageDescriptor,
    /// What a record's value is.
    pub to: OutputFormat,
    /// How its JSON is written.
    pub style: JsonStyle,
    /// What its JSON is put into.
    pub envelope: Envelope,
    /// What happens to a message that cannot become a record.
    pub on_error: OnError,
}

/// The kind's entry.
#[must_use]
pub fn entry() -> KindEntry {
    KindEntry {
        role: Role::Decoder,
        name: "protobuf",
        summary: "Turns protobuf messages into JSON records, or passes their bytes untouched.",
        schema: |generator| ProtobufConfig::json_schema(generator),
        check,
    }
}

fn check(view: &NodeView<'_>, report: &mut Report) -> Option<Checked> {
    let config: ProtobufConfig = view.parse(report)?;
    let encoding = match config.to {
        OutputFormat::Json => Encoding::Json,
        OutputFormat::Raw => Encoding::Raw,
    };
    let message = message(view, report);
    let output = StreamFacts {
        encoding: view.knows(&["to"]).then_some(encoding),
        name: message.as_ref().map(|message| message.full_name().to_owned()),
        schema: message.clone().map(|message| Arc::new(message) as _),
    };
    let message = message.unwrap_or_else(stand_in::message);
    check_json_keys(view, &config, report);
    let style = JsonStyle {
        defaults: config.defaults,
        notation: match config.notation {
            Notation::Plain => JsonNotation::Plain,
            Notation::Java => JsonNotation::Java,
        },
    };
    let (to, envelope, on_error) = (config.to, config.envelope, config.on_error);
    let decoder = ProtobufDecoder { message, to, style, envelope, on_error };
    Some(Checked::new(decoder, output))
}

/// Keys about JSON mean nothing where there is none.
fn check_json_keys(view: &NodeView<'_>, config: &ProtobufConfig, report: &mut Report) {
    if config.to == OutputFormat::Json || !view.knows(&["to"]) {
        return;
    }
    let given = [
        ("defaults", config.defaults),
        ("notation", config.notation != Notation::Plain),
        ("envelope", config.envelope != Envelope::None),
    ];
    for (key, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
        report
            .error(&view.at_key(&[key]), format!("`{key}` is about JSON, and `to` is raw"))
            .hint("leave it out, or write `to: json`");
    }
}

/// The type of the messages. All inputs bear the same: the engine compares their names.
fn message(view: &NodeView<'_>, report: &mut Report) -> Option<MessageDescriptor> {
    let (_, input) = view.inputs.iter().find(|(_, input)| input.name.is_some())?;
    let schema = input.schema.as_ref();
    let message = schema.and_then(|schema| schema.downcast_ref::<MessageDescriptor>());
    if message.is_none() {
        report.error(&view.at(&["from"]), "the input carries no protobuf messages");
    }
    message.cloned()
}
