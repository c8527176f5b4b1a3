//! The keys of a protobuf decoder, and what they must mean.

use crate::stand_in;
use headwater_engine::spec::{Checked, Encoding, KindEntry, NodeView, Report, Role, StreamFacts};
use headwater_proto::MessageDescriptor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Turns protobuf messages into records.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtobufConfig {
    /// What a record's value is.
    pub to: OutputFormat,
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
    let decoder = ProtobufDecoder { message, to: config.to, on_error: config.on_error };
    Some(Checked::new(decoder, output))
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
