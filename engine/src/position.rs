//! Where a shard stands: what a restart needs in order to go on exactly behind the last commit.
//!
//! A [`Position`] travels with each batch and names the place *after* the batch's last record. It
//! is committed in the same Kafka transaction as the records before it, so either both are there or
//! neither is.
//!
//! The cursor is the server's own: declared in the pipeline file, taken from the messages, given
//! back in the request of the next call. Several messages may share one cursor value, and a server
//! that resumes *at* a value sends them all again; [`Within`] says which of them are already
//! committed.
//!
//! Next: `record.rs` carries it, `commit/progress.rs` writes it down.

use crate::ids::{Sequence, Session};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One component of a cursor, as the server typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorValue {
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A text the server alone understands.
    Text(String),
    /// Bytes the server alone understands.
    Opaque(Bytes),
    /// `google.protobuf.Timestamp`.
    Timestamp {
        /// Seconds since 1970-01-01T00:00:00Z.
        seconds: i64,
        /// Nanoseconds within the second, 0 to 999,999,999.
        nanos: i32,
    },
    /// A whole message in its wire form.
    Message(Bytes),
}

/// The messages that share the newest cursor value and are already taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Within {
    /// So many of them; right where the server repeats them in the same order.
    Count(u64),
    /// The 128-bit hashes of their identifiers, in order of receipt.
    Ids(Vec<u128>),
}

impl Default for Within {
    fn default() -> Self {
        Within::Count(0)
    }
}

/// What the server needs in order to go on: named components, in the order of the pipeline file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Component name to its last value.
    pub values: BTreeMap<String, CursorValue>,
    /// What is already taken of the messages at exactly these values.
    #[serde(default)]
    pub within: Within,
    /// How many messages behind these values are already taken whose own cursor could not be read:
    /// broken ones, which the server repeats after a restart in the order it first sent them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub broken: u64,
}

/// What happened on a shard since its first start; kept in the progress record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages received, duplicates included.
    pub received: u64,
    /// Messages the server sent again and the source dropped, because they were already taken.
    pub dropped_duplicates: u64,
    /// Places where messages are known or suspected to be missing.
    pub gaps: u64,
    /// Messages known to be missing; a gap of unknown size adds nothing here.
    pub gap_messages: u64,
    /// Messages that only said that the stream lives, and were not passed on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heartbeats: u64,
}

/// The place behind a shard's last record: session and sequence are ours, the cursor is the
/// server's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The call the record came from.
    pub session: Session,
    /// The sequence number the next message of this session will get.
    pub next_sequence: Sequence,
    /// The server's cursor, if the source declares one and has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// What happened on the shard up to here.
    #[serde(default)]
    pub counters: Counters,
    /// The newest messages, where the source knows those that were taken by what identifies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// 128-bit hashes of what identifies the newest messages, oldest first, in pieces that positions
/// share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(pub Vec<Arc<[u128]>>);

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Hashes in JSON: base64 of their bytes, lowest first; a third of what numbers take.
mod seen_json {
    use super::Seen;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::sync::Arc;

    impl Serialize for Seen {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let hashes = self.0.iter().flat_map(|piece| piece.iter());
            let bytes: Vec<u8> = hashes.flat_map(|hash| hash.to_le_bytes()).collect();
            STANDARD.encode(bytes).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Seen {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
            let (hashes, rest) = bytes.as_chunks::<16>();
            if !rest.is_empty() {
                return Err(D::Error::custom("hashes have 16 bytes each"));
            }
            let hashes: Arc<[u128]> =
                hashes.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect();
            Ok(Seen(if hashes.is_empty() { Vec::new() } else { vec![hashes] }))
        }
    }
}

/// Cursor values in JSON: `{"int": 7}`, `{"opaque": "base64"}`: readable in the progress topic.
mod cursor_json {
    use super::CursorValue;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Plain {
        Int(i64),
        Uint(u64),
        Text(String),
        Opaque(String),
        Timestamp { seconds: i64, nanos: i32 },
        Message(String),
    }

    impl Serialize for CursorValue {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let plain = match self {
                CursorValue::Int(value) => Plain::Int(*value),
                CursorValue::Uint(value) => Plain::Uint(*value),
                CursorValue::Text(text) => Plain::Text(text.clone()),
                CursorValue::Opaque(bytes) => Plain::Opaque(STANDARD.encode(bytes)),
                CursorValue::Timestamp { seconds, nanos } => {
                    Plain::Timestamp { seconds: *seconds, nanos: *nanos }
                }
                CursorValue::Message(bytes) => Plain::Message(STANDARD.encode(bytes)),
            };
            plain.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for CursorValue {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let bytes =
                |text: String| STANDARD.decode(text).map(Into::into).map_err(D::Error::custom);
            Ok(match Plain::deserialize(deserializer)? {
                Plain::Int(value) => CursorValue::Int(value),
                Plain::Uint(value) => CursorValue::Uint(value),
                Plain::Text(text) => CursorValue::Text(text),
                Plain::Opaque(text) => CursorValue::Opaque(bytes(text)?),
                Plain::Timestamp { seconds, nanos } => CursorValue::Timestamp { seconds, nanos },
                Plain::Message(text) => CursorValue::Message(bytes(text)?),
            })
        }
    }
}

impl std::fmt::Display for CursorValue {
    /// For logs and `offsets show`: numbers and texts as they are, bytes in hex, cut at 32 bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CursorValue::Int(value) => value.fmt(f),
            CursorValue::Uint(value) => value.fmt(f),
            CursorValue::Text(text) => text.fmt(f),
            CursorValue::Timestamp { seconds, nanos } => write!(f, "{seconds}.{nanos:09}s"),
            CursorValue::Opaque(bytes) | CursorValue::Message(bytes) => {
                bytes.iter().take(32).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                if bytes.len() > 32 { f.write_str("…") } else { Ok(()) }
            }
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.values.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_the_progress_record() {
        let values = [
            ("a", CursorValue::Int(-7)),
            ("b", CursorValue::Uint(u64::MAX)),
            ("c", CursorValue::Text("x\"y".into())),
            ("d", CursorValue::Opaque(Bytes::from_static(&[0, 255, 1]))),
            ("e", CursorValue::Timestamp { seconds: -1, nanos: 999_999_999 }),
            ("f", CursorValue::Message(Bytes::from_static(&[8, 1]))),
        ];
        let cursor = Cursor {
            values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            within: Within::Ids(vec![0, u128::MAX]),
            broken: 2,
        };
        let position = Position {
            session: Session(3),
            next_sequence: Sequence(u64::MAX),
            cursor: Some(cursor),
            counters: Counters { received: 9, ..Counters::default() },
            seen: Some(Seen(vec![Arc::from([0, u128::MAX, 7])])),
        };
        let json = serde_json::to_string(&position).expect("positions are plain data");
        assert_eq!(serde_json::from_str::<Position>(&json).expect("what we wrote"), position);
    }
}
