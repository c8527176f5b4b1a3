//! Goal: whatever stands in a progress topic is read as it was written or refused by name, and
//! never leads to a wrong place or a number that cannot be counted on.
//! Method: random records written and read back; the same damaged, cut and of a newer format;
//! random keys and values; named cases for each way a record can be wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/property/mod.rs"]
mod property;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use headwater_engine::commit::progress::{
    Owner, PROGRESS_FORMAT, ProgressError, ProgressKey, ShardProgress, StoredProgress,
};
use headwater_engine::ids::{Epoch, Generation, Sequence, Session, ShardKey};
use headwater_engine::position::{Counters, Cursor, CursorValue, Position, Seen, Within};
use property::damage::{damaged, damages};
use property::property;
use proptest::prelude::*;

const PIPELINE: &str = "orders-1.eu";

/// A number that counts up, also one at the end of what is believed.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0..10u64, 0..=1u64 << 62, Just(1 << 62)]
}

fn cursor_value() -> impl Strategy<Value = CursorValue> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    prop_oneof![
        any::<i64>().prop_map(CursorValue::Int),
        any::<u64>().prop_map(CursorValue::Uint),
        any::<String>().prop_map(CursorValue::Text),
        bytes().prop_map(CursorValue::Opaque),
        (any::<i64>(), any::<i32>())
            .prop_map(|(seconds, nanos)| CursorValue::Timestamp { seconds, nanos }),
        bytes().prop_map(CursorValue::Message),
    ]
}

fn cursor() -> impl Strategy<Value = Cursor> {
    let within = prop_oneof![
        count().prop_map(Within::Count),
        prop::collection::vec(any::<u128>(), 0..5).prop_map(Within::Ids),
    ];
    let values = prop::collection::btree_map("[a-z_\"é]{0,8}", cursor_value(), 0..4);
    (values, within, count()).prop_map(|(values, within, broken)| Cursor { values, within, broken })
}

fn position() -> impl Strategy<Value = Position> {
    let counters = (count(), count(), count(), count(), count());
    let seen =
        prop::collection::vec(any::<u128>(), 1..5).prop_map(|hashes| Seen(vec![Arc::from(hashes)]));
    let seen = prop::option::of(seen);
    (0..=1u32 << 31, count(), prop::option::of(cursor()), counters, seen).prop_map(
        |(session, next, cursor, counted, seen)| {
            let (received, dropped_duplicates, gaps, gap_messages, heartbeats) = counted;
            Position {
                session: Session(session),
                next_sequence: Sequence(next),
                cursor,
                counters: Counters { received, dropped_duplicates, gaps, gap_messages, heartbeats },
                seen,
            }
        },
    )
}

fn shard() -> impl Strategy<Value = ShardProgress> {
    let numbers = (count(), count(), count(), count());
    (numbers, any::<String>(), any::<i64>(), position()).prop_map(
        |((generation, epoch, committed, dead_letters), fingerprint, at_unix_ms, position)| {
            ShardProgress {
                fmt: PROGRESS_FORMAT,
                generation: Generation(generation),
                epoch: Epoch(epoch),
                fingerprint,
                at_unix_ms,
                committed,
                dead_letters,
                position,
            }
        },
    )
}

fn owner() -> impl Strategy<Value = Owner> {
    let ids = prop::collection::vec(any::<String>(), 0..4);
    (count(), "\\PC{0,12}", ids, any::<i64>()).prop_map(
        |(generation, instance, transactional_ids, at_unix_ms)| Owner {
            fmt: PROGRESS_FORMAT,
            generation: Generation(generation),
            instance,
            transactional_ids,
            at_unix_ms,
        },
    )
}

/// A record as it stands in the topic.
type Record = (String, Vec<u8>);

fn record() -> impl Strategy<Value = Record> {
    let key = |key: ProgressKey| key.encode(PIPELINE);
    prop_oneof![
        ("\\PC{0,20}", shard()).prop_map(move |(name, shard)| {
            (key(ProgressKey::Shard(ShardKey(name))), serde_json::to_vec(&shard).unwrap())
        }),
        owner().prop_map(move |owner| {
            (key(ProgressKey::Manifest), serde_json::to_vec(&owner).unwrap())
        }),
        owner().prop_map(move |owner| {
            let name = ProgressKey::Claim(owner.generation, owner.instance.clone());
            (key(name), serde_json::to_vec(&owner).unwrap())
        }),
    ]
}

fn apply(key: &[u8], value: Option<&[u8]>) -> Result<StoredProgress, ProgressError> {
    let mut stored = StoredProgress::default();
    stored.apply(PIPELINE, key, value).map(|()| stored)
}

/// Every error names the record and says what to do, on one line of bounded length.
fn judge(error: &ProgressError) -> Result<(), String> {
    let told = error.to_string();
    let advises = ["delete", "restore", "run the newer version"].iter().any(|it| told.contains(it));
    let is_line = !told.contains(char::is_control) && told.chars().count() < 1000;
    if advises && is_line && told.contains('`') { Ok(()) } else { Err(format!("told: {told:?}")) }
}

/// What was folded can be gone on from: the next number of each kind exists.
fn can_go_on(stored: &StoredProgress) {
    let _ = (stored.generation().next(), stored.epoch().map(Epoch::next));
    for shard in stored.shards.values() {
        let _ = (shard.position.session.next(), shard.position.next_sequence.next());
    }
}

#[test]
fn keys_read_back_as_they_were_written() {
    let name = || prop_oneof!["\\PC{0,20}", "[/a]{0,6}"];
    let key = prop_oneof![
        Just(ProgressKey::Manifest),
        name().prop_map(|name| ProgressKey::Shard(ShardKey(name))),
        (any::<u64>(), name())
            .prop_map(|(number, name)| { ProgressKey::Claim(Generation(number), name) }),
    ];
    property!("progress-keys", 8.0, 1).holds(&key, |key| {
        let text = key.encode(PIPELINE);
        match ProgressKey::decode(PIPELINE, &text) {
            Some(read) if read == key => Ok(()),
            read => Err(format!("{key:?} became {text:?} and then {read:?}")),
        }
    });
}

#[test]
fn a_text_is_the_key_of_one_thing_only() {
    let piece = prop::sample::select(
        &[PIPELINE, "/", "claim", "shard", "manifest", "alive", "0", "7", "+7", "-1", "é", ""][..],
    );
    let text = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    property!("progress-key-text", 8.0, 1).holds(&text, |text| {
        match ProgressKey::decode(PIPELINE, &text) {
            Some(key) if key.encode(PIPELINE) != text => {
                Err(format!("{text:?} is read as {key:?}, whose key is another"))
            }
            _ => Ok(()),
        }
    });
}

#[test]
fn records_read_back_as_they_were_written() {
    property!("progress-round-trip", 4.0, 1).holds(&record(), |(key, value)| {
        let stored = apply(key.as_bytes(), Some(&value)).map_err(|error| error.to_string())?;
        can_go_on(&stored);
        let again = match (stored.shards.values().next(), &stored.manifest, &stored.claims[..]) {
            (Some(shard), ..) => serde_json::to_vec(shard),
            (_, Some(owner), _) | (_, _, [owner]) => serde_json::to_vec(owner),
            _ => return Err("nothing was stored".to_owned()),
        };
        if again.unwrap() != value {
            return Err(format!("{} became {stored:?}", String::from_utf8_lossy(&value)));
        }
        let mut gone = stored;
        gone.apply(PIPELINE, key.as_bytes(), None).map_err(|error| error.to_string())?;
        match gone == StoredProgress::default() {
            true => Ok(()),
            false => Err(format!("a tombstone of {key:?} left {gone:?}")),
        }
    });
}

#[test]
fn damaged_records_are_refused_by_name_or_can_be_gone_on_from() {
    let strategy = (record(), damages(3), damages(3));
    property!("progress-damaged", 8.0, 1).holds(&strategy, |((key, value), on_key, on_value)| {
        let on_key = &on_key[..on_key.len() / 2];
        let key = damaged(key.as_bytes(), on_key);
        match apply(&key, Some(&damaged(&value, &on_value))) {
            Ok(stored) => can_go_on(&stored),
            Err(error) => judge(&error)?,
        }
        Ok(())
    });
}

#[test]
fn random_keys_and_values_are_refused_by_name() {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let key = prop_oneof![
        bytes(600),
        "\\PC{0,30}".prop_map(String::into_bytes),
        bytes(20).prop_map(|tail| [PIPELINE.as_bytes(), b"/claim/", &tail].concat()),
        Just(b"orders-1.eu/shard/a/b".to_vec()),
    ];
    let json = prop_oneof![
        bytes(60),
        Just(b"[".repeat(100_000)),
        Just(br#"{"fmt":1e999}"#.to_vec()),
        Just(br#"{"fmt":99999999999999999999999999}"#.to_vec()),
        Just(br#"{"fmt":-1,"fmt":1}"#.to_vec()),
    ];
    property!("progress-random", 4.0, 1).holds(&(key, json), |(key, value)| {
        match apply(&key, Some(&value)) {
            Ok(stored) => Err(format!("taken: {stored:?}")),
            Err(error) => judge(&error),
        }
    });
}

#[test]
fn a_newer_format_is_always_told_as_one() {
    let newer = prop_oneof![2..100u64, Just(u64::from(u32::MAX) + 1), Just(u64::MAX)];
    property!("progress-newer", 2.0, 1).holds(&(record(), newer), |((key, value), newer)| {
        let mut value: serde_json::Value = serde_json::from_slice(&value).unwrap();
        value["fmt"] = newer.into();
        value["something"] = "new".into();
        match apply(key.as_bytes(), Some(&serde_json::to_vec(&value).unwrap())) {
            Err(ProgressError::NewerFormat { found, .. }) if found == newer => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// The plus of a number is one that Rust reads and no key of ours has.
#[test]
fn each_way_of_being_wrong_is_told_with_key_and_advice() {
    let owner = |generation: u64| {
        format!(
            r#"{{"fmt":1,"generation":{generation},"instance":"a","transactional_ids":[],"at_unix_ms":0}}"#
        )
    };
    let shard = |epoch: u64| {
        format!(
            r#"{{"fmt":1,"generation":1,"epoch":{epoch},"fingerprint":"","at_unix_ms":0,"committed":0,"dead_letters":0,"position":{{"session":1,"next_sequence":1}}}}"#
        )
    };
    let cases: BTreeMap<&str, (String, &str)> = BTreeMap::from([
        ("p/shard/s", ("{\"fmt\":1".to_owned(), "`p/shard/s` cannot be read: EOF")),
        ("p/shard/t", (shard(u64::MAX), "`p/shard/t` cannot be true: a number in it")),
        ("p/manifest", (owner(u64::MAX), "`p/manifest` cannot be true: a number in it")),
        ("p/claim/7/a", (owner(8), "`p/claim/7/a` cannot be true: the claim in it is not the")),
        ("p/claim/+8/a", (owner(8), "key `p/claim/+8/a` does not belong to pipeline `p`")),
        ("q/manifest", (owner(1), "key `q/manifest` does not belong to pipeline `p`: give")),
        ("p/\u{7}", (owner(1), "key `p/\\u{7}` does not belong")),
    ]);
    for (key, (value, expected)) in cases {
        let mut stored = StoredProgress::default();
        let error = stored.apply("p", key.as_bytes(), Some(value.as_bytes())).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        judge(&error).unwrap();
    }
}
