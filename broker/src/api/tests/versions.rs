//! Every version that is offered is answered in a form its client can read.
//!
//! Why: the codec refuses to write a field that a version has no place for, and the connection is
//! closed. A client that speaks the newest versions never meets that, an older one always does.
//!
//! Each exchange goes through `answer` against a fresh state that has topics, an aborted and an
//! open transaction, a group with a member and committed offsets. `Tried` notes what was
//! exchanged, and the test demands that nothing offered is missing.

mod data;
mod groups;
mod topics;
mod transactions;

use std::collections::BTreeSet;
use std::ops::RangeBounds;

use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::Request;

use super::*;
use crate::journal::CommittedOffset;
use crate::state::{Joining, Producer};

const TOPIC: &str = "topic";
const MISSING: &str = "missing";
/// A group with one member, `MEMBER`, and one committed offset.
const GROUP: &str = "group";
const MEMBER: &str = "member";
const GENERATION: i32 = 1;
/// A group without members, with one committed offset.
const IDLE: &str = "idle";
/// The transactional id whose transaction is open, in its second epoch.
const OPEN: &str = "open";
/// The transactional id whose transaction was aborted.
const ABORTED: &str = "aborted";
const TIMEOUT_MS: i32 = 60_000;
const SUCCESS: i16 = 0;

/// What was exchanged, with success and with an error.
#[derive(Default)]
struct Tried {
    successes: BTreeSet<(i16, i16)>,
    errors: BTreeSet<(i16, i16)>,
}

/// What has no error to answer, whatever the request; FindCoordinator has none in version 0.
const NEVER_REFUSED: &[(ApiKey, i16)] = &[
    (ApiKey::ApiVersions, i16::MAX),
    (ApiKey::DescribeCluster, i16::MAX),
    (ApiKey::DescribeGroups, i16::MAX),
    (ApiKey::FindCoordinator, 0),
    (ApiKey::ListGroups, i16::MAX),
    (ApiKey::ListTransactions, i16::MAX),
    // Its only error is for those who ask for stable offsets, from version 7.
    (ApiKey::OffsetFetch, 6),
];

#[tokio::test]
async fn every_offered_version_answers_what_its_client_can_read() {
    let mut tried = Tried::default();
    data::exchange_all(&mut tried).await;
    groups::exchange_all(&mut tried).await;
    topics::exchange_all(&mut tried).await;
    transactions::exchange_all(&mut tried).await;
    for (api, first, last) in SUPPORTED {
        for version in *first..=*last {
            let exchange = (*api as i16, version);
            assert!(tried.successes.contains(&exchange), "{api:?} {version}: no success tried");
            let has_error = !NEVER_REFUSED.iter().any(|(it, until)| it == api && version <= *until);
            let tried_error = tried.errors.contains(&exchange);
            assert_eq!(tried_error, has_error, "{api:?} {version}: an error was tried");
        }
    }
}

/// Exchanges a request in every offered version within `versions`, each with a fresh state, and
/// demands the error code of each response.
async fn each<Q: Request>(
    tried: &mut Tried,
    versions: impl RangeBounds<i16>,
    request: impl Fn(i16, Producer) -> Q,
    code: impl Fn(&Q::Response) -> i16,
    wanted: i16,
) {
    let (api, first, last) = *SUPPORTED.iter().find(|it| it.0 as i16 == Q::KEY).unwrap();
    for version in (first..=last).filter(|it| versions.contains(it)) {
        let (core, producer) = world();
        let response = ask(&core, version, &request(version, producer)).await;
        assert_eq!(code(&response), wanted, "{api:?} version {version}");
        let kind = if wanted == SUCCESS { &mut tried.successes } else { &mut tried.errors };
        kind.insert((Q::KEY, version));
    }
}

async fn ask<Q: Request>(core: &Core, version: i16, request: &Q) -> Q::Response {
    let api = ApiKey::try_from(Q::KEY).unwrap();
    let mut written = BytesMut::new();
    request.encode(&mut written, version).unwrap_or_else(|error| {
        panic!("the test asks {api:?} version {version} for what it cannot: {error}")
    });
    let answered = answer(frame(api, version, &written), core).await;
    let response = answered
        .unwrap_or_else(|error| panic!("{error}"))
        .unwrap_or_else(|| panic!("{api:?} version {version} was not answered"));
    let mut body = body(api, version, response);
    let response = Q::Response::decode(&mut body, version)
        .unwrap_or_else(|error| panic!("{api:?} version {version}: {error}"));
    assert!(body.is_empty(), "{api:?} version {version}: {} bytes too many", body.len());
    response
}

/// A state with something of everything, and the producer of the open transaction.
fn world() -> (Core, Producer) {
    let clock = Clock::start();
    let mut state = state(clock.now_ms());
    let settings = [("retention.ms".to_owned(), "-1".to_owned())].into();
    state.change(Entry::Topic { name: TOPIC.to_owned(), partitions: 1, settings });
    for group in [GROUP, IDLE] {
        state.change(Entry::Offsets { group: group.to_owned(), offsets: vec![committed()] });
    }
    join_member(&mut state);
    let aborted = state.init_producer(Some(ABORTED), TIMEOUT_MS, None).unwrap();
    write(&mut state, ABORTED, aborted);
    state.end_transaction(ABORTED, aborted, Outcome::Abort).unwrap();
    state.init_producer(Some(OPEN), TIMEOUT_MS, None).unwrap();
    let open = state.init_producer(Some(OPEN), TIMEOUT_MS, None).unwrap();
    write(&mut state, OPEN, open);
    state.add_group(OPEN, open, IDLE).unwrap();
    state.stage_offsets(OPEN, open, IDLE, vec![committed()]).unwrap();
    (Core::start(state, clock).unwrap().0, open)
}

fn committed() -> CommittedOffset {
    let (topic, metadata) = (TOPIC.to_owned(), "metadata".to_owned());
    CommittedOffset { topic, partition: 0, offset: 1, leader_epoch: 0, metadata }
}

fn join_member(state: &mut State) {
    let now_ms = state.now_ms;
    let joining = Joining {
        member_id: String::new(),
        client_id: text("client"),
        instance: Some(text("instance")),
        session_ms: TIMEOUT_MS,
        rebalance_ms: TIMEOUT_MS,
        protocol_type: text("consumer"),
        protocols: vec![(text("range"), Bytes::from_static(b"metadata"))],
        needs_id_first: false,
    };
    let group = state.groups.get_mut(GROUP).unwrap();
    group.join(joining, MEMBER.to_owned(), now_ms).unwrap();
    let assignments = vec![(text(MEMBER), Bytes::from_static(b"assignment"))];
    group.sync(MEMBER, GENERATION, assignments, now_ms).unwrap();
    assert_eq!(group.phase_name(), "Stable");
}

/// Writes one record in a transaction, which stays open.
fn write(state: &mut State, id: &str, producer: Producer) {
    state.add_partitions(id, producer, &[(TOPIC, &[0])]).unwrap();
    state.produce(Some(id), TOPIC, 0, &batch(producer, 0)).unwrap();
}

fn batch(producer: Producer, base_sequence: i32) -> Bytes {
    let header = Header {
        attributes: 0x10,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence,
        ..plain()
    };
    build(header, &[(Some("key"), Some("value"))])
}

/// The same producer before it was fenced.
fn stale(producer: Producer) -> Producer {
    Producer { epoch: producer.epoch - 1, ..producer }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}
