//! Goal: what the rule says is dropped, and nothing that nobody could judge.

use super::*;
use crate::transform::FilterTransform;
use bytes::Bytes;
use headwater_engine::ids::{Sequence, Session, ShardIndex};
use headwater_engine::record::{Packed, ReceivedAt, Values};
use headwater_proto::telemetry::Event;
use headwater_proto::{DescriptorInput, Descriptors, TELEMETRY_PROTO};
use prost::Message;

fn event() -> MessageDescriptor {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("telemetry.proto");
    std::fs::write(&file, TELEMETRY_PROTO).expect("a file");
    let includes = vec![dir.path().to_owned()];
    let input = DescriptorInput::Protos { files: vec![file], includes };
    let descriptors = Descriptors::load(&input).expect("our own proto");
    descriptors.pool().get_message_by_name("bench.v1.Event").expect("the message")
}

fn messages(kept: bool, text: &str) -> Rule {
    let message = event();
    let predicate = Arc::new(Predicate::compile(text, &message).expect("a sound predicate"));
    Rule::Messages { predicate, kept, message }
}

/// The places that a filter leaves.
fn left(rule: Rule, values: Values) -> Vec<u64> {
    let factory = FilterFactory { transform: FilterTransform { rule } };
    let mut batch = Batch {
        shard: ShardIndex(0),
        session: Session(1),
        first: Sequence(0),
        end: Sequence(values.len() as u64),
        received: ReceivedAt::default(),
        kept: None,
        values,
        columns: Vec::new(),
        dead: Vec::new(),
        gaps: Vec::new(),
        position: None,
        credit_bytes: 0,
    };
    factory.make().apply(&mut batch).expect("a filter does not fail");
    assert_eq!((batch.first, batch.end.0 > 0), (Sequence(0), true));
    (0..batch.len()).map(|place| batch.sequence(place).0).collect()
}

fn events() -> Values {
    let of = |site: &str, samples: Vec<i32>| {
        let event = Event { site: site.to_owned(), samples, ..Event::default() };
        Bytes::from(event.encode_to_vec())
    };
    let broken = Bytes::from_static(&[0x22, 0xff]);
    let all = vec![of("kiel", vec![1]), of("bremen", vec![]), broken, of("kiel", vec![9])];
    Values::Received(Arc::new(all))
}

#[test]
fn messages_are_kept_or_dropped_by_their_fields_and_broken_ones_passed_on() {
    assert_eq!(left(messages(true, "site == 'kiel'"), events()), vec![0, 2, 3]);
    assert_eq!(left(messages(false, "site == 'kiel'"), events()), vec![1, 2]);
}

#[test]
fn a_question_without_an_answer_does_not_hold() {
    assert_eq!(left(messages(true, "samples[0] > 5"), events()), vec![2, 3]);
    assert_eq!(left(messages(false, "samples[0] > 5"), events()), vec![0, 1, 2]);
}

#[test]
fn tombstones_are_dropped_or_kept_alone() {
    let values = || {
        let mut packed = Packed::default();
        ["{}", "", "5", ""].iter().for_each(|value| packed.push(value.as_bytes()));
        Values::Packed(Arc::new(packed))
    };
    assert_eq!(left(Rule::Tombstones { kept: false }, values()), vec![0, 2]);
    assert_eq!(left(Rule::Tombstones { kept: true }, values()), vec![1, 3]);
}

#[test]
fn a_batch_of_which_nothing_is_left_still_covers_what_was_received() {
    let mut packed = Packed::default();
    ["{}", "5"].iter().for_each(|value| packed.push(value.as_bytes()));
    let values = Values::Packed(Arc::new(packed));
    assert_eq!(left(Rule::Tombstones { kept: true }, values), Vec::<u64>::new());
}
