//! Goal: exactly one record or dead letter for each message, in order, whatever is broken.

use super::*;
use crate::decode::column::Purpose;
use crate::sink::kafka::TimestampUnit;
use bytes::Bytes;
use headwater_engine::ids::{Sequence, Session, ShardIndex, ShardKey};
use headwater_engine::record::ReceivedAt;
use headwater_engine::shards::ShardEntry;
use headwater_proto::telemetry::Event;
use headwater_proto::{
    DescriptorInput, Descriptors, JsonStyle, MessageDescriptor, TELEMETRY_PROTO,
};
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

fn step(to: OutputFormat, on_error: OnError) -> Box<dyn Step> {
    let key = Demand { path: "device_id".to_owned(), purpose: Purpose::Key };
    let unit = TimestampUnit::Ns;
    let moment = Demand { path: "emitted_ns".to_owned(), purpose: Purpose::Timestamp(unit) };
    let factory = DecodeFactory {
        node: Arc::from("decoder"),
        decoder: ProtobufDecoder {
            message: event(),
            to,
            style: JsonStyle::default(),
            envelope: Envelope::None,
            on_error,
        },
        demands: vec![None, Some(key), Some(moment)],
        shards: ShardTable::new([ShardEntry {
            key: ShardKey("events/a".to_owned()),
            fingerprint: String::new(),
        }]),
    };
    factory.make()
}

/// `None` stands for a message that is no protobuf.
fn batch(devices: &[Option<&str>]) -> Batch {
    let wire = |device: &Option<&str>| match device {
        Some(device) => {
            let event = Event { device_id: (*device).to_owned(), ..Event::default() };
            Bytes::from(event.encode_to_vec())
        }
        None => Bytes::from_static(&[0x0a, 0xff]),
    };
    Batch {
        shard: ShardIndex(0),
        session: Session(2),
        first: Sequence(100),
        end: Sequence(100 + devices.len() as u64),
        received: ReceivedAt::default(),
        kept: None,
        values: Values::Received(Arc::new(devices.iter().map(wire).collect())),
        columns: Vec::new(),
        dead: Vec::new(),
        gaps: Vec::new(),
        position: None,
        credit_bytes: 1,
    }
}

fn records(batch: &Batch) -> Vec<(u64, Option<&[u8]>)> {
    let record = |index| (batch.sequence(index).0, batch.columns[1].bytes(index));
    (0..batch.len()).map(record).collect()
}

#[test]
fn every_message_becomes_json_with_its_key() {
    let mut batch = batch(&[Some("a"), Some("b")]);
    step(OutputFormat::Json, OnError::Stop).apply(&mut batch).expect("sound messages");
    assert_eq!(batch.values.get(1), br#"{"deviceId":"b"}"#);
    assert_eq!(batch.credit_bytes, 1 + 2 * (16 - 3), "what the JSON is longer is charged");
    assert_eq!(records(&batch), [(100, Some(&b"a"[..])), (101, Some(&b"b"[..]))]);
}

#[test]
fn a_broken_message_becomes_a_dead_letter_and_the_others_keep_their_sequence_and_key() {
    for to in [OutputFormat::Json, OutputFormat::Raw] {
        let mut batch = batch(&[Some("a"), None, Some("c"), None]);
        step(to, OnError::DeadLetter).apply(&mut batch).expect("dead letters are allowed");
        assert_eq!(records(&batch), [(100, Some(&b"a"[..])), (102, Some(&b"c"[..]))], "{to:?}");
        let dead: Vec<_> = batch.dead.iter().map(|dead| (dead.sequence.0, &dead.raw[..])).collect();
        assert_eq!(dead, [(101, &[0x0a, 0xff][..]), (103, &[0x0a, 0xff][..])]);
    }
}

#[test]
fn sequences_stay_right_where_the_source_has_left_messages_out() {
    for to in [OutputFormat::Json, OutputFormat::Raw] {
        let mut batch = batch(&[Some("a"), None, Some("c")]);
        // The source dropped the messages between them as repetitions.
        batch.kept = Some(Arc::from([0, 7, 9]));
        batch.end = Sequence(110);
        step(to, OnError::DeadLetter).apply(&mut batch).expect("dead letters are allowed");
        assert_eq!(records(&batch), [(100, Some(&b"a"[..])), (109, Some(&b"c"[..]))], "{to:?}");
        assert_eq!(batch.dead[0].sequence, Sequence(107));
    }
}

#[test]
fn a_broken_message_stops_the_pipeline_and_is_named() {
    let mut batch = batch(&[Some("a"), None]);
    let error = step(OutputFormat::Json, OnError::Stop).apply(&mut batch).expect_err("is broken");
    assert_eq!(error.recovery, Recovery::Stop);
    for part in ["events/a", "session 2", "sequence 101", "on_error: dead_letter"] {
        assert!(error.message.contains(part), "{part} in {}", error.message);
    }
}

#[test]
fn a_message_with_an_impossible_timestamp_goes_the_way_of_a_broken_one() {
    let wire = |emitted_ns| {
        let event = Event { device_id: "a".to_owned(), emitted_ns, ..Event::default() };
        Bytes::from(event.encode_to_vec())
    };
    for to in [OutputFormat::Json, OutputFormat::Raw] {
        let wires = vec![wire(5_000_000), wire(-1), wire(7_000_000)];
        let mut mixed = Batch { values: Values::Received(Arc::new(wires)), ..batch(&[None; 3]) };
        let mut strict = mixed.clone();
        step(to, OnError::DeadLetter).apply(&mut mixed).expect("dead letters are allowed");
        assert_eq!(records(&mixed), [(100, Some(&b"a"[..])), (102, Some(&b"a"[..]))], "{to:?}");
        let moments = [mixed.columns[2].unix_ms(0), mixed.columns[2].unix_ms(1)];
        assert_eq!(moments, [Some(5), Some(7)], "columns and records stay side by side");
        assert_eq!((mixed.dead[0].sequence.0, &mixed.dead[0].raw), (101, &wire(-1)));
        let reason = &mixed.dead[0].reason;
        assert!(reason.contains("`emitted_ns` is -1, before 1970"), "{reason}");
        let error = step(to, OnError::Stop).apply(&mut strict).expect_err("it is impossible");
        assert!(error.message.contains("sequence 101") && error.message.contains("emitted_ns"));
    }
}
