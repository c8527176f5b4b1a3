//! The keys of a protobuf decoder, and what they must mean.

use headwater_engine::spec::{Checked, Encoding, KindEntry, NodeView, Report, Role, StreamType};
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
    // All inputs bear the same message: the plan has compared their names.
    let (_, input) = view.inputs.first()?;
    let schema = input.schema.as_ref()?.downcast_ref::<MessageDescriptor>();
    let Some(message) = schema.cloned() else {
        let place = view.at(&["from"]);
        report.error(&place, "the input carries no protobuf messages");
        return None;
    };
    let encoding = match config.to {
        OutputFormat::Json => Encoding::Json,
        OutputFormat::Raw => Encoding::Raw,
    };
    let output = StreamType {
        encoding,
        name: message.full_name().to_owned(),
        schema: Some(Arc::new(message.clone())),
    };
    let decoder = ProtobufDecoder { message, to: config.to, on_error: config.on_error };
    Some(Checked { config: Arc::new(decoder), output: Some(output) })
}
