//! The keys of a `fields` transform, as they stand in the pipeline file.

use super::change::CastType;
use crate::decode::protobuf::OnError;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Changes the fields of JSON values, step by step.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldsConfig {
    /// What is done to each value, in this order. Fields are named as in the JSON
    /// (`deviceId`, not `device_id`).
    #[schemars(length(min = 1, max = 64))]
    pub steps: Vec<StepConfig>,
    /// What happens to a value that a step cannot change: one that is no object where a step needs
    /// one, or holds what cannot be cast. Never is one skipped in silence.
    #[serde(default)]
    pub on_error: OnError,
}

/// One step.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StepConfig {
    /// Keeps these fields and no others.
    Include(#[schemars(length(min = 1))] Vec<String>),
    /// Removes these fields.
    Exclude(#[schemars(length(min = 1))] Vec<String>),
    /// Gives fields other names, all at once: `{ old: new }`.
    Rename(BTreeMap<String, String>),
    /// Adds a field, or gives one that is there another value.
    Insert(InsertConfig),
    /// Puts the zero of its type in the place of a field's value (`""`, `0`, `false`, `[]`, `{}`),
    /// or a text or number that is given.
    Mask(MaskConfig),
    /// Gives fields other types: `{ field: type }`.
    Cast(BTreeMap<String, CastType>),
    /// Gives the whole value, which is no object, another type.
    CastValue(CastType),
    /// Puts the whole value into one field of a new object.
    Hoist(String),
    /// Makes one field the whole value: `field`, or `outer.inner`; a name that holds a dot stands
    /// in backticks. Where the field is missing or null, the record has no value any more: Kafka
    /// gets a tombstone.
    Extract(String),
}

/// What is inserted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InsertConfig {
    /// The field's name.
    pub field: String,
    /// A text that is the same in every record.
    #[serde(default)]
    pub value: Option<String>,
    /// What is known of the record.
    #[serde(default)]
    pub from: Option<InsertFrom>,
}

/// What is known of a record beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum InsertFrom {
    /// When it was received, in milliseconds since 1970-01-01T00:00:00Z.
    Received,
    /// The name of its shard.
    Shard,
    /// The number of the call it came over.
    Session,
    /// Its number within that call.
    Sequence,
}

/// What is masked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaskConfig {
    /// The fields.
    #[schemars(length(min = 1))]
    pub fields: Vec<String>,
    /// Takes the place of texts and, as a number, of numbers. Other values cannot be replaced.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub replacement: Option<String>,
}
