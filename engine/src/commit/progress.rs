//! What is written down with each epoch, and what a restart reads back.
//!
//! The progress topic is compacted, has one partition and belongs to one pipeline. Four kinds of
//! record live in it, told apart by their key:
//!
//! - `<pipeline>/shard/<source>/<label>` — where a shard stands, in the transaction of its records;
//! - `<pipeline>/manifest` — who writes and with which transactional ids, in the same transactions;
//! - `<pipeline>/claim/<generation>/<instance>` — an instance's claim, outside any transaction;
//! - `<pipeline>/alive` — a sign of life of an owner that has nothing to commit.
//!
//! Values are JSON with a format number: an operator can read them with any Kafka client, and a
//! newer format is refused instead of misread. The topic is folded with [`StoredProgress::apply`].

use crate::ids::{Epoch, Generation, ShardKey};
use crate::position::{Counters, Position, Within};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The format this version writes, and the newest it reads.
pub const PROGRESS_FORMAT: u32 = 1;

/// No number that counts up gets beyond this in the life of a pipeline; a record that holds more is
/// damaged, and counting on from it would end the process.
const NUMBER_MAX: u64 = 1 << 62;

/// The same for the number of a call.
const SESSION_MAX: u32 = 1 << 31;

/// How many characters an error shows of a key, and of what a parser says.
const SHOWN_CHARS_MAX: usize = 200;

/// A key of the progress topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressKey {
    /// A shard's progress.
    Shard(ShardKey),
    /// The pipeline's manifest.
    Manifest,
    /// An instance's claim.
    Claim(Generation, String),
    /// The owner's sign of life.
    Alive,
}

/// Where a shard stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardProgress {
    /// The format number.
    pub fmt: u32,
    /// The incarnation that wrote it.
    pub generation: Generation,
    /// The epoch it was committed with.
    pub epoch: Epoch,
    /// What the source was when it was written; a different one must not resume from it unasked.
    pub fingerprint: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at_unix_ms: i64,
    /// Records committed since the shard's first start.
    pub committed: u64,
    /// Dead letters committed since the shard's first start.
    pub dead_letters: u64,
    /// The place behind the last committed record.
    pub position: Position,
}

/// Who writes, and with which producers. Its ids must be fenced by whoever takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The format number.
    pub fmt: u32,
    /// The incarnation.
    pub generation: Generation,
    /// The process: host, process id and a random part.
    pub instance: String,
    /// All transactional ids it may write with.
    pub transactional_ids: Vec<String>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at_unix_ms: i64,
}

/// A sign of life of an owner that has nothing to commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The format number.
    pub fmt: u32,
    /// The incarnation.
    pub generation: Generation,
    /// The process.
    pub instance: String,
    /// Milliseconds since 1970-01-01T00:00:00Z, for people: no decision compares clocks.
    pub at_unix_ms: i64,
}

/// A record of the progress topic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// Its key is none of ours.
    #[error(
        "progress record with key `{key}` does not belong to pipeline `{pipeline}`: give the \
         pipeline a progress topic of its own, or delete the record"
    )]
    ForeignKey {
        /// The key found.
        key: String,
        /// The pipeline that reads.
        pipeline: String,
    },
    /// Its value is not what the key promises.
    #[error(
        "progress record `{key}` cannot be read: {}; restore it, or delete it to begin there \
         afresh",
        shown(source.to_string().as_bytes())
    )]
    Malformed {
        /// The key found.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A newer Headwater wrote it.
    #[error(
        "progress record `{key}` has format {found}, this version reads up to {PROGRESS_FORMAT}: run the newer version"
    )]
    NewerFormat {
        /// The key found.
        key: String,
        /// Its format.
        found: u64,
    },
    /// It can be read, and cannot be true.
    #[error(
        "progress record `{key}` cannot be true: {what}; restore it, or delete it to begin there \
         afresh"
    )]
    Impossible {
        /// The key found.
        key: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The progress topic, folded: the last value of each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredProgress {
    /// Every shard ever committed.
    pub shards: BTreeMap<ShardKey, ShardProgress>,
    /// Who wrote last.
    pub manifest: Option<Owner>,
    /// All claims, in the order of the log.
    pub claims: Vec<Owner>,
    /// The last sign of life of an owner that had nothing to commit.
    pub alive: Option<Heartbeat>,
}

impl ProgressKey {
    /// The key as bytes for `pipeline`.
    #[must_use]
    pub fn encode(&self, pipeline: &str) -> String {
        match self {
            ProgressKey::Shard(shard) => format!("{pipeline}/shard/{shard}"),
            ProgressKey::Manifest => format!("{pipeline}/manifest"),
            ProgressKey::Claim(generation, instance) => {
                format!("{pipeline}/claim/{generation}/{instance}")
            }
            ProgressKey::Alive => format!("{pipeline}/alive"),
        }
    }

    /// Reads a key of `pipeline` back; `None` if it is none.
    #[must_use]
    pub fn decode(pipeline: &str, key: &str) -> Option<ProgressKey> {
        let rest = key.strip_prefix(pipeline)?.strip_prefix('/')?;
        if rest == "manifest" {
            return Some(ProgressKey::Manifest);
        }
        if rest == "alive" {
            return Some(ProgressKey::Alive);
        }
        let (kind, name) = rest.split_once('/')?;
        match kind {
            "shard" => Some(ProgressKey::Shard(ShardKey(name.to_owned()))),
            "claim" => {
                let (generation, instance) = name.split_once('/')?;
                let number = Generation(generation.parse().ok()?);
                // `007` or `+7` would name the record of another key.
                let is_ours = number.to_string() == generation;
                is_ours.then(|| ProgressKey::Claim(number, instance.to_owned()))
            }
            _ => None,
        }
    }
}

impl StoredProgress {
    /// Folds one record of the topic in; no value is a tombstone.
    ///
    /// # Errors
    /// [`ProgressError`] for a record that this version must not ignore.
    pub fn apply(
        &mut self,
        pipeline: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), ProgressError> {
        let known = str::from_utf8(key).ok();
        let known = known.and_then(|text| Some((text, ProgressKey::decode(pipeline, text)?)));
        let text = shown(key);
        let Some((_, key)) = known else {
            return Err(ProgressError::ForeignKey { key: text, pipeline: pipeline.to_owned() });
        };
        match (key, value) {
            (ProgressKey::Shard(shard), Some(value)) => self.apply_shard(shard, &text, value)?,
            (ProgressKey::Shard(shard), None) => drop(self.shards.remove(&shard)),
            (ProgressKey::Manifest, Some(value)) => {
                self.manifest = Some(parse_owner(&text, value)?)
            }
            (ProgressKey::Manifest, None) => self.manifest = None,
            (ProgressKey::Alive, Some(value)) => self.alive = Some(parse(&text, value)?),
            (ProgressKey::Alive, None) => self.alive = None,
            (ProgressKey::Claim(generation, instance), Some(value)) => {
                let claim = parse_owner(&text, value)?;
                if claim.generation != generation || claim.instance != instance {
                    let what = "the claim in it is not the one of its key";
                    return Err(ProgressError::Impossible { key: text, what });
                }
                self.claims.push(claim);
            }
            (ProgressKey::Claim(generation, instance), None) => self
                .claims
                .retain(|claim| claim.generation != generation || claim.instance != instance),
        }
        Ok(())
    }

    /// Without fencing (at-least-once) two instances may write at once for a moment: the record of
    /// the highest (generation, epoch) wins, whatever its place in the log.
    fn apply_shard(
        &mut self,
        shard: ShardKey,
        key: &str,
        value: &[u8],
    ) -> Result<(), ProgressError> {
        let progress: ShardProgress = parse(key, value)?;
        if !progress.is_possible() {
            return Err(too_large(key));
        }
        let order = |progress: &ShardProgress| (progress.generation, progress.epoch);
        match self.shards.get(&shard) {
            Some(known) if order(known) > order(&progress) => {}
            _ => drop(self.shards.insert(shard, progress)),
        }
        Ok(())
    }

    /// The last epoch that is committed.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.shards.values().map(|shard| shard.epoch).max()
    }

    /// The highest generation that ever claimed or wrote.
    #[must_use]
    pub fn generation(&self) -> Generation {
        let owners = self.claims.iter().chain(&self.manifest).map(|owner| owner.generation);
        let shards = self.shards.values().map(|shard| shard.generation);
        owners.chain(shards).max().unwrap_or_default()
    }

    /// Every transactional id that may still be able to write, the configured ones first.
    #[must_use]
    pub fn ids_to_fence(&self, configured: &[String]) -> Vec<String> {
        let mut ids = configured.to_vec();
        let owners = self.claims.iter().chain(&self.manifest);
        for id in owners.flat_map(|owner| &owner.transactional_ids) {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        ids
    }

    /// The claim that owns `generation`: the first of it in the log.
    #[must_use]
    pub fn owner_of(&self, generation: Generation) -> Option<&Owner> {
        self.claims.iter().find(|claim| claim.generation == generation)
    }
}

impl ShardProgress {
    fn is_possible(&self) -> bool {
        let Position { session, next_sequence, cursor, counters, seen: _ } = &self.position;
        let Counters { received, dropped_duplicates, gaps, gap_messages, heartbeats } = counters;
        let within = cursor.as_ref().map_or(0, |cursor| match &cursor.within {
            Within::Count(count) => *count,
            Within::Ids(_) => 0,
        });
        let broken = cursor.as_ref().map_or(0, |cursor| cursor.broken);
        let own = [self.generation.0, self.epoch.0, self.committed, self.dead_letters];
        let position = [next_sequence.0, within, broken];
        let counted = [*received, *dropped_duplicates, *gaps, *gap_messages, *heartbeats];
        let numbers = own.iter().chain(&position).chain(&counted);
        session.0 <= SESSION_MAX && numbers.copied().all(|number| number <= NUMBER_MAX)
    }
}

fn parse_owner(key: &str, value: &[u8]) -> Result<Owner, ProgressError> {
    let owner: Owner = parse(key, value)?;
    if owner.generation.0 > NUMBER_MAX { Err(too_large(key)) } else { Ok(owner) }
}

fn too_large(key: &str) -> ProgressError {
    let what = "a number in it is larger than any pipeline counts";
    ProgressError::Impossible { key: key.to_owned(), what }
}

/// A text from outside as it may stand in a log: one line of bounded length.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let escaped = text.chars().flat_map(|letter| {
        let is_plain = !letter.is_control();
        let (plain, escaped) =
            (is_plain.then_some(letter), (!is_plain).then(|| letter.escape_default()));
        plain.into_iter().chain(escaped.into_iter().flatten())
    });
    let mut shown: String = escaped.take(SHOWN_CHARS_MAX + 1).collect();
    if let Some((cut, _)) = shown.char_indices().nth(SHOWN_CHARS_MAX) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

fn parse<T: for<'de> Deserialize<'de>>(key: &str, value: &[u8]) -> Result<T, ProgressError> {
    #[derive(Deserialize)]
    struct Format {
        fmt: u64,
    }
    let malformed = |source| ProgressError::Malformed { key: key.to_owned(), source };
    let format: Format = serde_json::from_slice(value).map_err(malformed)?;
    if format.fmt > u64::from(PROGRESS_FORMAT) {
        return Err(ProgressError::NewerFormat { key: key.to_owned(), found: format.fmt });
    }
    serde_json::from_slice(value).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(generation: u64, instance: &str, ids: &[&str]) -> Owner {
        Owner {
            fmt: PROGRESS_FORMAT,
            generation: Generation(generation),
            instance: instance.to_owned(),
            transactional_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            at_unix_ms: 0,
        }
    }

    fn shard(generation: u64, epoch: u64) -> Vec<u8> {
        let progress = ShardProgress {
            fmt: PROGRESS_FORMAT,
            generation: Generation(generation),
            epoch: Epoch(epoch),
            fingerprint: "f".to_owned(),
            at_unix_ms: 0,
            committed: epoch,
            dead_letters: 0,
            position: Position::default(),
        };
        serde_json::to_vec(&progress).expect("plain data")
    }

    fn json(owner: &Owner) -> Vec<u8> {
        serde_json::to_vec(owner).expect("plain data")
    }

    #[test]
    fn keys_survive_the_topic_and_foreign_ones_are_refused() {
        let keys = [
            ProgressKey::Manifest,
            ProgressKey::Alive,
            ProgressKey::Shard(ShardKey("events/a/b".to_owned())),
            ProgressKey::Claim(Generation(7), "host/1".to_owned()),
        ];
        for key in keys {
            assert_eq!(ProgressKey::decode("p", &key.encode("p")), Some(key));
        }
        assert_eq!(ProgressKey::decode("p", "px/manifest"), None);
        let refused = StoredProgress::default().apply("p", b"other/manifest", None);
        assert!(matches!(refused, Err(ProgressError::ForeignKey { .. })));
    }

    #[test]
    fn the_last_epoch_and_every_id_that_may_write_are_known_after_the_fold() {
        let mut stored = StoredProgress::default();
        let mut put = |key: &str, value: &[u8]| {
            stored.apply("p", key.as_bytes(), Some(value)).expect("a record of ours");
        };
        put("p/claim/1/a", &json(&owner(1, "a", &["id-0", "id-1"])));
        put("p/shard/s/x", &shard(1, 4));
        put("p/manifest", &json(&owner(1, "a", &["id-0", "id-1"])));
        put("p/shard/s/y", &shard(1, 6));
        put("p/claim/2/b", &json(&owner(2, "b", &["id-0"])));
        assert_eq!(stored.epoch(), Some(Epoch(6)));
        assert_eq!(stored.generation(), Generation(2));
        assert_eq!(stored.ids_to_fence(&["id-0".to_owned()]), ["id-0", "id-1"]);
        assert_eq!(stored.owner_of(Generation(2)).map(|owner| owner.instance.as_str()), Some("b"));
        stored.apply("p", b"p/claim/1/a", None).expect("a tombstone");
        assert_eq!(stored.owner_of(Generation(1)), None);
    }

    #[test]
    fn an_older_incarnation_does_not_move_a_shard_back() {
        let mut stored = StoredProgress::default();
        for (generation, epoch) in [(2, 9), (1, 30)] {
            let value = shard(generation, epoch);
            stored.apply("p", b"p/shard/s/x", Some(&value)).expect("a record of ours");
        }
        assert_eq!(stored.epoch(), Some(Epoch(9)));
    }

    #[test]
    fn a_newer_format_is_refused_and_not_misread() {
        let mut stored = StoredProgress::default();
        let refused = stored.apply("p", b"p/shard/s/x", Some(br#"{"fmt":2,"else":1}"#));
        assert!(matches!(refused, Err(ProgressError::NewerFormat { found: 2, .. })));
        let refused = stored.apply("p", b"p/manifest", Some(b"\xff"));
        assert!(matches!(refused, Err(ProgressError::Malformed { .. })));
    }
}
