//! Groups and their committed offsets, in every version.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::*;

pub(super) async fn exchange_all(tried: &mut Tried) {
    join(tried).await;
    sync(tried).await;
    heartbeat(tried).await;
    leave(tried).await;
    look(tried).await;
    delete(tried).await;
    commit(tried).await;
    fetch(tried).await;
}

async fn join(tried: &mut Tried) {
    let code = |it: &JoinGroupResponse| it.error_code;
    let new = |_, _| join_request("new", "");
    each(tried, ..4, new, code, SUCCESS).await;
    each(tried, 4.., new, code, ResponseError::MemberIdRequired.code()).await;
    // An instance id stands in for the id that others need first.
    let instance = |_, _| join_request("new", "").with_group_instance_id(Some(text("new")));
    each(tried, 6.., instance, code, SUCCESS).await;
    each(tried, .., |_, _| join_request(GROUP, MEMBER), code, SUCCESS).await;
    let unknown = ResponseError::UnknownMemberId.code();
    each(tried, .., |_, _| join_request(GROUP, "stranger"), code, unknown).await;
    let foreign = |_, _| join_request(GROUP, MEMBER).with_protocols(vec![]);
    each(tried, .., foreign, code, ResponseError::InconsistentGroupProtocol.code()).await;
}

fn join_request(group: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"metadata"));
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_session_timeout_ms(TIMEOUT_MS)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

async fn sync(tried: &mut Tried) {
    let code = |it: &SyncGroupResponse| it.error_code;
    let request = |group, generation| {
        SyncGroupRequest::default()
            .with_group_id(group_id(group))
            .with_member_id(text(MEMBER))
            .with_generation_id(generation)
    };
    let assigned = |it: &SyncGroupResponse| {
        assert_eq!(&it.assignment[..], b"assignment");
        it.error_code
    };
    each(tried, .., |_, _| request(GROUP, GENERATION), assigned, SUCCESS).await;
    let unknown = ResponseError::UnknownMemberId.code();
    each(tried, .., |_, _| request(MISSING, GENERATION), code, unknown).await;
    let illegal = ResponseError::IllegalGeneration.code();
    each(tried, .., |_, _| request(GROUP, GENERATION - 1), code, illegal).await;
}

async fn heartbeat(tried: &mut Tried) {
    let request = |group, generation| {
        HeartbeatRequest::default()
            .with_group_id(group_id(group))
            .with_member_id(text(MEMBER))
            .with_generation_id(generation)
    };
    each(tried, .., |_, _| request(GROUP, GENERATION), |it| it.error_code, SUCCESS).await;
    let unknown = ResponseError::UnknownMemberId.code();
    each(tried, .., |_, _| request(MISSING, GENERATION), |it| it.error_code, unknown).await;
    let illegal = ResponseError::IllegalGeneration.code();
    each(tried, .., |_, _| request(GROUP, GENERATION - 1), |it| it.error_code, illegal).await;
}

async fn leave(tried: &mut Tried) {
    let code =
        |it: &LeaveGroupResponse| it.members.first().map_or(it.error_code, |it| it.error_code);
    let request = |version, group| {
        let request = LeaveGroupRequest::default().with_group_id(group_id(group));
        match version {
            ..3 => request.with_member_id(text(MEMBER)),
            _ => request.with_members(vec![MemberIdentity::default().with_member_id(text(MEMBER))]),
        }
    };
    each(tried, .., |version, _| request(version, GROUP), code, SUCCESS).await;
    let unknown = ResponseError::UnknownMemberId.code();
    each(tried, .., |version, _| request(version, MISSING), code, unknown).await;
}

async fn look(tried: &mut Tried) {
    let described = |it: &DescribeGroupsResponse| {
        let states = it.groups.iter().map(|it| it.group_state.as_str());
        assert_eq!(states.collect::<Vec<_>>(), ["Stable", "Empty", "Dead"]);
        assert_eq!(&it.groups[0].members[0].member_assignment[..], b"assignment");
        it.groups[0].error_code
    };
    let groups = || [GROUP, IDLE, MISSING].map(group_id).to_vec();
    let describe = |_, _| DescribeGroupsRequest::default().with_groups(groups());
    each(tried, .., describe, described, SUCCESS).await;
    let listed = |it: &ListGroupsResponse| {
        assert_eq!(it.groups.len(), 2);
        it.error_code
    };
    each(tried, .., |_, _| ListGroupsRequest::default(), listed, SUCCESS).await;
}

async fn delete(tried: &mut Tried) {
    let code = |it: &DeleteGroupsResponse| it.results[0].error_code;
    let request = |id| DeleteGroupsRequest::default().with_groups_names(vec![group_id(id)]);
    each(tried, .., |_, _| request(IDLE), code, SUCCESS).await;
    let (used, unknown) = (ResponseError::NonEmptyGroup, ResponseError::GroupIdNotFound);
    each(tried, .., |_, _| request(GROUP), code, used.code()).await;
    each(tried, .., |_, _| request(MISSING), code, unknown.code()).await;
}

async fn commit(tried: &mut Tried) {
    let code = |it: &OffsetCommitResponse| it.topics[0].partitions[0].error_code;
    let request = |group, generation| {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(2);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name(TOPIC))
            .with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_member_id(text(MEMBER))
            .with_generation_id_or_member_epoch(generation)
            .with_topics(vec![topic])
    };
    each(tried, .., |_, _| request(GROUP, GENERATION), code, SUCCESS).await;
    let unknown = ResponseError::UnknownMemberId.code();
    each(tried, .., |_, _| request(MISSING, GENERATION), code, unknown).await;
    let illegal = ResponseError::IllegalGeneration.code();
    each(tried, .., |_, _| request(GROUP, GENERATION - 1), code, illegal).await;
}

async fn fetch(tried: &mut Tried) {
    let offset = |it: &OffsetFetchResponse, wanted: i64| {
        let partition = &it.topics[0].partitions[0];
        assert_eq!(partition.committed_offset, wanted);
        partition.error_code
    };
    let topics = |name| {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(topic_name(name))
            .with_partition_indexes(vec![0]);
        Some(vec![topic])
    };
    let request = |group| OffsetFetchRequest::default().with_group_id(group_id(group));
    let known = |_, _| request(GROUP).with_topics(topics(TOPIC));
    each(tried, .., known, |it| offset(it, 1), SUCCESS).await;
    let all = |_, _| request(GROUP).with_topics(None);
    each(tried, 2.., all, |it| offset(it, 1), SUCCESS).await;
    for (group, topic) in [(MISSING, TOPIC), (GROUP, MISSING)] {
        let unknown = |_, _| request(group).with_topics(topics(topic));
        each(tried, .., unknown, |it| offset(it, -1), SUCCESS).await;
    }
    let stable = |_, _| request(IDLE).with_topics(topics(TOPIC)).with_require_stable(true);
    let unstable = ResponseError::UnstableOffsetCommit.code();
    each(tried, 7.., stable, |it| offset(it, -1), unstable).await;
}
