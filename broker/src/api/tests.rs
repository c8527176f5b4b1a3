//! The protocol's edges: what is offered, refused and malformed.

mod versions;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, TopicName};

use super::*;
use crate::Journal;
use crate::batch::{Header, Outcome};
use crate::core::Clock;
use crate::journal::Entry;
use crate::records::tests::{build, plain};
use crate::state::Node;

fn state(now_ms: i64) -> State {
    let node = Node { host: "127.0.0.1".to_owned(), port: 1 };
    State::open(node, &Journal::Memory, false, now_ms).unwrap()
}

fn core() -> Core {
    let clock = Clock::start();
    Core::start(state(clock.now_ms()), clock).unwrap().0
}

fn frame(api: ApiKey, version: i16, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(text("client")));
    header.encode(&mut frame, api.request_header_version(version)).unwrap();
    frame.put_slice(body);
    frame.freeze()
}

/// A response without its size and header.
fn body(api: ApiKey, version: i16, mut response: Bytes) -> Bytes {
    assert_eq!(response.get_i32() as usize, response.len());
    let header = ResponseHeader::decode(&mut response, api.response_header_version(version));
    assert_eq!(header.unwrap().correlation_id, 7);
    response
}

#[test]
fn what_is_offered_can_be_decoded() {
    for (api, first, last) in SUPPORTED {
        let known = api.valid_versions();
        assert!(known.min <= *first && first <= last && *last <= known.max, "{api:?}");
    }
}

/// Goal: nothing is offered that `route` does not know. Method: an empty body either decodes and
/// is answered, or is malformed; it is never unsupported.
#[tokio::test]
async fn what_is_offered_is_answered() {
    let core = core();
    for (api, first, last) in SUPPORTED {
        for version in *first..=*last {
            // JoinGroup, SyncGroup and Fetch may wait only once they decode.
            let answered = answer(frame(*api, version, &[]), &core).await;
            let is_unknown = matches!(answered, Err(Refused::Unsupported { .. }));
            assert!(!is_unknown, "{api:?} version {version}: {answered:?}");
        }
    }
}

/// A marker is later than all records, but it is no record of a client.
#[test]
fn the_newest_time_is_a_records_and_not_a_markers() {
    let mut state = state(1_000_000);
    state.change(Entry::Topic { name: "t".to_owned(), partitions: 1, settings: [].into() });
    let producer = state.init_producer(Some("id"), 1_000, None).unwrap();
    state.add_partitions("id", producer, &[("t", &[0])]).unwrap();
    let header = Header {
        attributes: 0x10,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: 0,
        ..plain()
    };
    let batch = build(header, &[(Some("k"), Some("v"))]);
    state.produce(Some("id"), "t", 0, &batch).unwrap();
    for (ended, wanted) in [(false, (-1, -1)), (true, (0, header.max_timestamp))] {
        if ended {
            state.end_transaction("id", producer, Outcome::Commit).unwrap();
        }
        let asked = ListOffsetsPartition::default().with_timestamp(-3);
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(text("t")))
            .with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default()
            .with_isolation_level(fetch::READ_COMMITTED)
            .with_topics(vec![topic]);
        let call = Call {
            api: ApiKey::ListOffsets,
            version: 7,
            correlation_id: 7,
            client_id: StrBytes::default(),
        };
        let response = offsets::list_offsets(&mut state, &call, request);
        let found = &response.topics[0].partitions[0];
        assert_eq!((found.offset, found.timestamp), wanted);
    }
}

#[tokio::test]
async fn a_client_that_is_ahead_is_told_the_versions() {
    let response = answer(frame(ApiKey::ApiVersions, 99, &[]), &core()).await.unwrap();
    let mut body = body(ApiKey::ApiVersions, 0, response.unwrap());
    assert_eq!(body.get_i16(), ResponseError::UnsupportedVersion.code());
    assert_eq!(body.get_i32() as usize, SUPPORTED.len());
    assert_eq!(body.len(), SUPPORTED.len() * 6, "three numbers each");
}

#[tokio::test]
async fn an_unsupported_version_is_refused_by_code_where_there_is_room() {
    let response = answer(frame(ApiKey::EndTxn, 5, &[]), &core()).await.unwrap();
    let mut body = body(ApiKey::EndTxn, 5, response.unwrap());
    assert_eq!(body.get_i32(), 0, "not throttled");
    assert_eq!(body.get_i16(), ResponseError::UnsupportedVersion.code());
    let refused = answer(frame(ApiKey::Produce, 13, &[]), &core()).await;
    assert!(matches!(refused, Err(Refused::Unsupported { version: 13, .. })), "{refused:?}");
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_the_broker_lives_on() {
    let core = core();
    let short = answer(Bytes::from_static(b"\0\0\0\x03"), &core).await;
    assert!(matches!(short, Err(Refused::Short { size: 4 })), "{short:?}");
    let unknown = answer(Bytes::from_static(b"\x7f\xff\0\0\0\0\0\0"), &core).await;
    assert!(matches!(unknown, Err(Refused::UnknownApi { api_key: 0x7fff })), "{unknown:?}");
    // FetchRequest version 11: replica, waits and sizes, isolation, session, one topic "t" with
    // partition 0 at offset 0, nothing forgotten, no rack.
    let mut whole = BytesMut::new();
    for number in [-1, 0, 1, 1000] {
        whole.put_i32(number);
    }
    whole.put_i8(0);
    for number in [0, -1, 1] {
        whole.put_i32(number);
    }
    whole.put_slice(&[0, 1, b't']);
    for number in [1, 0, -1] {
        whole.put_i32(number);
    }
    whole.put_i64(0);
    whole.put_i64(-1);
    for number in [1000, 0] {
        whole.put_i32(number);
    }
    whole.put_i16(0);
    for cut in 0..whole.len() {
        let refused = answer(frame(ApiKey::Fetch, 11, &whole[..cut]), &core).await;
        assert!(matches!(refused, Err(Refused::Malformed { .. })), "cut at {cut}: {refused:?}");
    }
    assert!(answer(frame(ApiKey::Fetch, 11, &whole), &core).await.unwrap().is_some());
}
