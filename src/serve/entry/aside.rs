//! What is kept beside the entries of connectors.
//!
//! Next: `entry.rs` reads all other records.

use super::{AnyRecord, FORMAT, Name, Told, bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An offset that somebody has set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetOffset {
    pub(crate) partition: Object,
    pub(crate) offset: Object,
}

/// A JSON object.
pub(crate) type Object = serde_json::Map<String, serde_json::Value>;

/// The value of the topics' record.
#[derive(Serialize, Deserialize)]
struct TopicsRecord {
    format: u32,
    topics: BTreeSet<String>,
}

/// The value of the set offsets' record.
#[derive(Serialize, Deserialize)]
struct OffsetsRecord {
    format: u32,
    offsets: Vec<SetOffset>,
}

/// The value of a level's record.
#[derive(Serialize, Deserialize)]
struct LevelRecord {
    format: u32,
    level: String,
}

const TOPICS_PREFIX: &str = "topics-";
const OFFSETS_PREFIX: &str = "offsets-";
const LEVEL_PREFIX: &str = "level-";

/// The key of the topics that an entry has written to.
pub(crate) fn topics_key(name: &Name) -> String {
    format!("{TOPICS_PREFIX}{name}")
}

/// The value of their record.
pub(crate) fn topics_value(topics: BTreeSet<String>) -> Vec<u8> {
    bytes(&TopicsRecord { format: FORMAT, topics })
}

/// The key of the offsets that somebody has set.
pub(crate) fn offsets_key(name: &Name) -> String {
    format!("{OFFSETS_PREFIX}{name}")
}

/// The value of their record.
pub(crate) fn offsets_value(offsets: Vec<SetOffset>) -> Vec<u8> {
    bytes(&OffsetsRecord { format: FORMAT, offsets })
}

/// The key of a logger's level.
pub(crate) fn level_key(logger: &str) -> String {
    format!("{LEVEL_PREFIX}{logger}")
}

/// The value of its record.
pub(crate) fn level_value(level: String) -> Vec<u8> {
    bytes(&LevelRecord { format: FORMAT, level })
}

/// What is kept beside an entry. None of it decides what runs, so what cannot be read counts as
/// not being there.
pub(super) fn read(key: &str, value: Option<&[u8]>) -> Option<Told> {
    fn known<T: DeserializeOwned>(value: Option<&[u8]>) -> Option<T> {
        let any: AnyRecord = serde_json::from_slice(value?).ok()?;
        if any.format > FORMAT { None } else { serde_json::from_slice(value?).ok() }
    }
    if let Some(name) = key.strip_prefix(TOPICS_PREFIX) {
        let topics = known::<TopicsRecord>(value).map(|it| it.topics);
        return Some(Told::Topics(Name::new(name).ok()?, topics.unwrap_or_default()));
    }
    if let Some(name) = key.strip_prefix(OFFSETS_PREFIX) {
        let offsets = known::<OffsetsRecord>(value).map(|it| it.offsets);
        return Some(Told::Offsets(Name::new(name).ok()?, offsets.unwrap_or_default()));
    }
    let logger = key.strip_prefix(LEVEL_PREFIX)?;
    Some(Told::Level(logger.to_owned(), known::<LevelRecord>(value)?.level))
}
