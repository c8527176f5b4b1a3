//! Consumer groups as the protocol has them; `state/groups.rs` decides.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Call, code, text};
use crate::core::{Core, Stopped};
use crate::state::{Group, Joining, Reply, State};

/// What a dead group is called (`GroupState`).
const DEAD: &str = "Dead";
/// The only type of group here (KIP-848).
const CLASSIC: &str = "classic";

pub(super) async fn join(call: Call, body: bytes::Bytes, core: &Core) -> Answer {
    let request: JoinGroupRequest = call.decode(body)?;
    let shared = call.clone();
    let reply = core.run(move |state| start_join(state, &shared, request)).await?;
    let mut response = wait(reply).await?;
    if call.version < 7 {
        // The type came with version 7, and a null name only then (KIP-559).
        response.protocol_type = None;
        response.protocol_name.get_or_insert_default();
    }
    call.encode(&response)
}

fn start_join(
    state: &mut State,
    call: &Call,
    request: JoinGroupRequest,
) -> Reply<JoinGroupResponse> {
    let refused = |(error, member_id): (ResponseError, String)| {
        let response = JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_member_id(StrBytes::from_string(member_id));
        Reply::Now(response)
    };
    if request.group_id.is_empty() {
        return refused((ResponseError::InvalidGroupId, request.member_id.to_string()));
    }
    let joining = Joining {
        member_id: request.member_id.to_string(),
        client_id: call.client_id.clone(),
        instance: request.group_instance_id,
        session_ms: request.session_timeout_ms,
        rebalance_ms: request.rebalance_timeout_ms,
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(|it| (it.name, it.metadata)).collect(),
        needs_id_first: call.version >= 4,
    };
    let fresh_id = state.name_member(&call.client_id);
    let now_ms = state.now_ms;
    let group = state.groups.entry(request.group_id.to_string()).or_default();
    group.join(joining, fresh_id, now_ms).unwrap_or_else(refused)
}

pub(super) async fn sync(call: Call, body: bytes::Bytes, core: &Core) -> Answer {
    let request: SyncGroupRequest = call.decode(body)?;
    let reply = core.run(move |state| start_sync(state, request)).await?;
    let mut response = wait(reply).await?;
    if call.version < 5 {
        response.protocol_type = None;
        response.protocol_name = None;
    }
    call.encode(&response)
}

fn start_sync(state: &mut State, request: SyncGroupRequest) -> Reply<SyncGroupResponse> {
    let now_ms = state.now_ms;
    let assignments = request.assignments.into_iter().map(|it| (it.member_id, it.assignment));
    let synced = known(state, &request.group_id).and_then(|group| {
        let assignments = assignments.collect();
        group.sync(&request.member_id, request.generation_id, assignments, now_ms)
    });
    synced.unwrap_or_else(|error| {
        Reply::Now(SyncGroupResponse::default().with_error_code(error.code()))
    })
}

/// Waits for the group; a broker that stops leaves the connection without an answer.
async fn wait<T>(reply: Reply<T>) -> Result<T, Stopped> {
    match reply {
        Reply::Now(response) => Ok(response),
        Reply::Later(response) => response.await.map_err(|_| Stopped),
    }
}

pub(super) fn heartbeat(
    state: &mut State,
    _call: &Call,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let now_ms = state.now_ms;
    let beat = known(state, &request.group_id)
        .and_then(|group| group.heartbeat(&request.member_id, request.generation_id, now_ms));
    HeartbeatResponse::default().with_error_code(code(&beat))
}

pub(super) fn leave(
    state: &mut State,
    call: &Call,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let now_ms = state.now_ms;
    if call.version < 3 {
        let left = known(state, &request.group_id)
            .and_then(|group| group.leave(&request.member_id, None, now_ms));
        return LeaveGroupResponse::default().with_error_code(code(&left));
    }
    let members = request.members.into_iter().map(|it| {
        let instance = it.group_instance_id.as_ref();
        let left = known(state, &request.group_id)
            .and_then(|group| group.leave(&it.member_id, instance, now_ms));
        MemberResponse::default()
            .with_error_code(code(&left))
            .with_member_id(it.member_id)
            .with_group_instance_id(it.group_instance_id)
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

pub(super) fn list(
    state: &mut State,
    _call: &Call,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let (states, types) = (&request.states_filter, &request.types_filter);
    let allows = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|it| it.eq_ignore_ascii_case(value))
    };
    let is_wanted = |it: &Group| allows(states, it.phase_name()) && allows(types, CLASSIC);
    let wanted = state.groups.iter().filter(|(_, it)| is_wanted(it));
    let groups = wanted.map(|(id, it)| {
        ListedGroup::default()
            .with_group_id(GroupId(text(id)))
            .with_protocol_type(it.protocol_type.clone())
            .with_group_state(StrBytes::from_static_str(it.phase_name()))
            .with_group_type(StrBytes::from_static_str(CLASSIC))
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

pub(super) fn describe(
    state: &mut State,
    _call: &Call,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|id| {
        let group = state.groups.get(id.as_str());
        let response = DescribedGroup::default().with_group_id(id);
        let Some(group) = group else {
            // Kafka calls a group it does not know dead, without an error.
            return response.with_group_state(StrBytes::from_static_str(DEAD));
        };
        response
            .with_group_state(StrBytes::from_static_str(group.phase_name()))
            .with_protocol_type(group.protocol_type.clone())
            .with_protocol_data(group.protocol.clone())
            .with_members(members(group))
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn members(group: &Group) -> Vec<DescribedGroupMember> {
    let members = group.members.iter().map(|(id, it)| {
        DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(it.instance.clone())
            .with_client_id(it.client_id.clone())
            .with_client_host(StrBytes::from_static_str("/127.0.0.1"))
            .with_member_metadata(it.metadata(&group.protocol).cloned().unwrap_or_default())
            .with_member_assignment(it.assignment.clone())
    });
    members.collect()
}

pub(super) fn delete(
    state: &mut State,
    _call: &Call,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|id| {
        let deleted = delete_one(state, &id);
        DeletableGroupResult::default().with_error_code(code(&deleted)).with_group_id(id)
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

fn delete_one(state: &mut State, id: &GroupId) -> Result<(), ResponseError> {
    let group = state.groups.get(id.as_str()).ok_or(ResponseError::GroupIdNotFound)?;
    if !group.members.is_empty() {
        return Err(ResponseError::NonEmptyGroup);
    }
    state.change(crate::journal::Entry::GroupDeleted { group: id.to_string() });
    Ok(())
}

fn known<'a>(state: &'a mut State, id: &GroupId) -> Result<&'a mut Group, ResponseError> {
    state.groups.get_mut(id.as_str()).ok_or(ResponseError::UnknownMemberId)
}
