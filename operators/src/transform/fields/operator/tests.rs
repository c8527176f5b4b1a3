//! Goal: exactly one record or dead letter for each record, in order, whatever a value holds.

use super::*;
use crate::decode::protobuf::OnError;
use crate::transform::fields::change::CastType;
use crate::transform::fields::program::{Inserted, Op};
use headwater_engine::ids::{Sequence, Session, ShardIndex, ShardKey};
use headwater_engine::record::{Column, ReceivedAt};
use headwater_engine::shards::ShardEntry;

/// Casts `n` to a whole number and inserts where the record is from.
fn step(on_error: OnError) -> Box<dyn Step> {
    let mut program = Program::default();
    let cast = Op::Cast(vec![(program.name("n"), CastType::Int32)]);
    let from = [
        ("shard", Inserted::Shard),
        ("session", Inserted::Session),
        ("sequence", Inserted::Sequence),
        ("received", Inserted::Received),
    ];
    let inserts = from.map(|(name, from)| Op::Insert(program.name(name), from));
    program.steps = [vec![cast], inserts.into()].concat();
    let transform = FieldsTransform { program, on_error, words: Vec::new() };
    let key = ShardKey("events/\"a\"".to_owned());
    let entry = ShardEntry { key, fingerprint: String::new() };
    let factory =
        FieldsFactory { node: Arc::from("slim"), transform, shards: ShardTable::new([entry]) };
    factory.make()
}

/// Records 100, 102, 103, … with a column that holds their places.
fn batch(values: &[&str]) -> Batch {
    let mut packed = Packed::default();
    values.iter().for_each(|value| packed.push(value.as_bytes()));
    let kept = (0..values.len() as u32).map(|place| if place == 0 { 0 } else { place + 1 });
    Batch {
        shard: ShardIndex(0),
        session: Session(2),
        first: Sequence(100),
        end: Sequence(101 + values.len() as u64),
        received: ReceivedAt { monotonic_ns: 0, unix_ms: 7 },
        kept: Some(kept.collect()),
        values: Values::Packed(Arc::new(packed)),
        columns: vec![
            Column::UnixMs(Arc::new((0..values.len() as i64).map(Some).collect())),
            Column::absent(),
        ],
        dead: Vec::new(),
        gaps: Vec::new(),
        position: None,
        credit_bytes: 1_000,
    }
}

fn texts(batch: &Batch) -> Vec<String> {
    batch.values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

#[test]
fn values_change_and_records_that_cannot_are_set_aside_in_order() {
    let values = [r#"{"n":"1"}"#, r#"{"n":"x"}"#, "5", r#"{"n":3.9}"#, r#"{"n":"#, ""];
    let mut batch = batch(&values);
    step(OnError::DeadLetter).apply(&mut batch).expect("dead letters are allowed");
    let made = |n: &str, sequence: u64| {
        format!(
            "{{\"n\":{n},\"shard\":\"events/\\\"a\\\"\",\"session\":2,\"sequence\":{sequence},\
             \"received\":7}}"
        )
    };
    // What has no value stays so.
    assert_eq!(texts(&batch), [made("1", 100), made("3", 104), String::new()]);
    let kept: Vec<u64> = (0..batch.len()).map(|place| batch.sequence(place).0).collect();
    assert_eq!(kept, [100, 104, 106]);
    let moments: Vec<_> = (0..batch.len()).map(|place| batch.columns[0].unix_ms(place)).collect();
    assert_eq!(moments, [Some(0), Some(3), Some(5)]);
    let dead: Vec<(u64, &[u8])> =
        batch.dead.iter().map(|dead| (dead.sequence.0, &dead.raw[..])).collect();
    let expected = [(102, values[1]), (103, values[2]), (105, values[4])];
    assert_eq!(dead, expected.map(|(sequence, raw)| (sequence, raw.as_bytes())));
    let reason = &batch.dead[0].reason;
    assert_eq!(reason, "step 1: field `n` is a text, which cannot be cast to int32");
    assert_eq!((batch.first, batch.end), (Sequence(100), Sequence(107)));
    let grown = batch.values.size_bytes() - values.iter().map(|it| it.len()).sum::<usize>();
    assert_eq!(batch.credit_bytes, 1_000 + grown as u64);
}

#[test]
fn without_dead_letters_the_record_is_named() {
    let error = step(OnError::Stop).apply(&mut batch(&["{}", "[]"])).expect_err("no object");
    let message = error.message;
    assert!(message.contains("session 2, sequence 102"), "{message}");
    assert!(message.contains("needs an object, and the value is a list"), "{message}");
}

#[test]
fn an_empty_batch_stays_one() {
    let mut batch = batch(&[]);
    step(OnError::Stop).apply(&mut batch).expect("nothing can go wrong");
    assert!(batch.is_empty() && batch.end == Sequence(101));
}
