//! What the cluster is: one node, its versions and its topics.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, DescribeClusterRequest, DescribeClusterResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, SUPPORTED, text};
use crate::state::State;

/// The only node.
const NODE: BrokerId = BrokerId(1);
const CLUSTER_ID: &str = "headwater-development";

pub(super) fn api_versions(error_code: i16) -> ApiVersionsResponse {
    let keys = SUPPORTED.iter().map(|(api, first, last)| {
        ApiVersion::default()
            .with_api_key(*api as i16)
            .with_min_version(*first)
            .with_max_version(*last)
    });
    ApiVersionsResponse::default().with_error_code(error_code).with_api_keys(keys.collect())
}

pub(super) fn metadata(
    state: &mut State,
    call: &Call,
    request: MetadataRequest,
) -> MetadataResponse {
    let everything = || state.topics.keys().map(|name| text(name)).collect();
    let names: Vec<StrBytes> = match request.topics {
        // Version 0 has no null; an empty list asks for all.
        Some(topics) if !(topics.is_empty() && call.version == 0) => {
            topics.into_iter().filter_map(|it| it.name.map(|name| name.0)).collect()
        }
        _ => everything(),
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE)
        .with_host(text(&state.node.host))
        .with_port(i32::from(state.node.port));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(StrBytes::from_static_str(CLUSTER_ID)))
        .with_controller_id(NODE)
        .with_topics(names.into_iter().map(|name| describe(state, name)).collect())
}

/// Topics are never made by asking for them.
fn describe(state: &State, name: StrBytes) -> MetadataResponseTopic {
    let topic = state.topics.get(name.as_str());
    let response = MetadataResponseTopic::default().with_name(Some(TopicName(name)));
    let Some(topic) = topic else {
        return response.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    let partitions = (0..topic.count()).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    });
    response.with_partitions(partitions.collect())
}

pub(super) fn find_coordinator(
    state: &mut State,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let (host, port) = (text(&state.node.host), i32::from(state.node.port));
    // Kinds: 0 group, 1 transaction (KIP-98); 2 share group (KIP-932) is not here.
    let is_known = matches!(request.key_type, 0 | 1);
    let error_code = if is_known { 0 } else { ResponseError::InvalidRequest.code() };
    let response = FindCoordinatorResponse::default();
    if call.version < 4 {
        return response
            .with_error_code(error_code)
            .with_node_id(NODE)
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id(NODE)
            .with_host(host.clone())
            .with_port(port)
            .with_error_code(error_code)
    });
    response.with_coordinators(coordinators.collect())
}

pub(super) fn describe_cluster(
    state: &mut State,
    _call: &Call,
    _request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(NODE)
        .with_host(text(&state.node.host))
        .with_port(i32::from(state.node.port));
    DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_static_str(CLUSTER_ID))
        .with_controller_id(NODE)
        .with_brokers(vec![broker])
}
