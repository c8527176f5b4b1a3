//! What the progress topic says, as the program reads it.
//!
//! The model keeps records as small numbers and folds them as [`StoredProgress::apply`] does with
//! bytes, because a run reads the topic hundreds of times. That both folds agree is a test of its
//! own (`the_models_fold_is_the_programs`).

use crate::log::{Entry, Stand, Who};
use headwater_engine::commit::progress::{
    Owner, PROGRESS_FORMAT, ProgressKey, ShardProgress, StoredProgress,
};
use headwater_engine::ids::{Epoch, Generation, Sequence, Session, ShardKey};
use headwater_engine::position::Position;

pub const PIPELINE: &str = "p";

pub fn instance(process: u8) -> String {
    format!("process-{process}")
}

/// The number of a transactional id.
pub fn id_number(id: &str) -> u8 {
    id.rsplit('.').next().and_then(|text| text.parse().ok()).expect("an id of the model")
}

pub fn ids(ring: u8) -> Vec<String> {
    (0..ring).map(|slot| format!("{PIPELINE}.{slot}")).collect()
}

pub fn shard_key(shard: u8) -> ShardKey {
    ShardKey(format!("s/{shard}"))
}

pub fn owner(who: Who) -> Owner {
    Owner {
        fmt: PROGRESS_FORMAT,
        generation: Generation(who.generation),
        instance: instance(who.process),
        transactional_ids: ids(who.ring),
        at_unix_ms: 0,
    }
}

fn shard_progress(stand: &Stand) -> ShardProgress {
    let next_sequence = Sequence(u64::from(stand.next));
    ShardProgress {
        fmt: PROGRESS_FORMAT,
        generation: Generation(stand.generation),
        epoch: Epoch(stand.epoch),
        fingerprint: String::new(),
        at_unix_ms: 0,
        committed: stand.committed,
        dead_letters: 0,
        position: Position { session: Session(1), next_sequence, ..Position::default() },
    }
}

/// The topic, folded.
pub fn fold<'a>(entries: impl Iterator<Item = &'a Entry>) -> StoredProgress {
    let mut stored = StoredProgress::default();
    for entry in entries {
        match entry {
            Entry::Stand(stand) => {
                let key = shard_key(stand.shard);
                let order = (Generation(stand.generation), Epoch(stand.epoch));
                let known = stored.shards.get(&key);
                if known.is_none_or(|known| (known.generation, known.epoch) <= order) {
                    stored.shards.insert(key, shard_progress(stand));
                }
            }
            Entry::Manifest(who) => stored.manifest = Some(owner(*who)),
            Entry::Claim(who) => stored.claims.push(owner(*who)),
            Entry::NoClaim { generation, process } => {
                let (generation, instance) = (Generation(*generation), instance(*process));
                let is_other = |it: &Owner| it.generation != generation || it.instance != instance;
                stored.claims.retain(is_other);
            }
            Entry::Data { .. } | Entry::Marker { .. } => {}
        }
    }
    stored
}

/// The topic, folded from bytes by the program.
pub fn fold_bytes<'a>(entries: impl Iterator<Item = &'a Entry>) -> StoredProgress {
    let mut stored = StoredProgress::default();
    for entry in entries {
        if let Some((key, value)) = encode(entry) {
            let key = key.encode(PIPELINE);
            let applied = stored.apply(PIPELINE, key.as_bytes(), value.as_deref());
            applied.expect("the model writes what the program reads");
        }
    }
    stored
}

fn encode(entry: &Entry) -> Option<(ProgressKey, Option<Vec<u8>>)> {
    let owner_bytes = |who: &Who| serde_json::to_vec(&owner(*who)).expect("plain data");
    let claim = |generation: u64, process: u8| {
        ProgressKey::Claim(Generation(generation), instance(process))
    };
    match entry {
        Entry::Stand(stand) => {
            let value = serde_json::to_vec(&shard_progress(stand)).expect("plain data");
            Some((ProgressKey::Shard(shard_key(stand.shard)), Some(value)))
        }
        Entry::Manifest(who) => Some((ProgressKey::Manifest, Some(owner_bytes(who)))),
        Entry::Claim(who) => Some((claim(who.generation, who.process), Some(owner_bytes(who)))),
        Entry::NoClaim { generation, process } => Some((claim(*generation, *process), None)),
        Entry::Data { .. } | Entry::Marker { .. } => None,
    }
}
