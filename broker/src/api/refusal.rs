//! The answer to a request that is not supported: `UNSUPPORTED_VERSION` where the response has an
//! error code of its own, for any version the codec can write.
//!
//! `ApiVersions` is special by KIP-511: a client that is ahead is answered in version 0, with the
//! versions there are, and asks again.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, ApiKey, ConsumerGroupHeartbeatResponse, DescribeAclsResponse,
    DescribeClusterResponse, DescribeUserScramCredentialsResponse, EndTxnResponse, FetchResponse,
    FindCoordinatorResponse, GetTelemetrySubscriptionsResponse, HeartbeatResponse,
    InitProducerIdResponse, JoinGroupResponse, LeaveGroupResponse, ListConfigResourcesResponse,
    ListGroupsResponse, ListPartitionReassignmentsResponse, ListTransactionsResponse,
    OffsetDeleteResponse, PushTelemetryResponse, SaslAuthenticateResponse, SaslHandshakeResponse,
    ShareGroupHeartbeatResponse, SyncGroupResponse, UpdateFeaturesResponse,
};

use super::{Answer, Call, Refused, cluster};

/// Answers a request whose kind or version is not supported.
pub(super) fn unsupported(call: &Call) -> Answer {
    let error_code = ResponseError::UnsupportedVersion.code();
    let refused = || Refused::Unsupported { api: call.api, version: call.version };
    if call.api == ApiKey::ApiVersions {
        let oldest = Call { version: 0, ..call.clone() };
        return oldest.encode(&cluster::api_versions(error_code));
    }
    macro_rules! say {
        ($($api:ident => $response:ty,)*) => {
            match call.api {
                $(ApiKey::$api => {
                    let mut response = <$response>::default();
                    response.error_code = error_code;
                    call.encode(&response)
                })*
                _ => Err(refused()),
            }
        };
    }
    let answer = say! {
        AddOffsetsToTxn => AddOffsetsToTxnResponse,
        ConsumerGroupHeartbeat => ConsumerGroupHeartbeatResponse,
        DescribeAcls => DescribeAclsResponse,
        DescribeCluster => DescribeClusterResponse,
        DescribeUserScramCredentials => DescribeUserScramCredentialsResponse,
        EndTxn => EndTxnResponse,
        Fetch => FetchResponse,
        FindCoordinator => FindCoordinatorResponse,
        GetTelemetrySubscriptions => GetTelemetrySubscriptionsResponse,
        Heartbeat => HeartbeatResponse,
        InitProducerId => InitProducerIdResponse,
        JoinGroup => JoinGroupResponse,
        LeaveGroup => LeaveGroupResponse,
        ListConfigResources => ListConfigResourcesResponse,
        ListGroups => ListGroupsResponse,
        ListPartitionReassignments => ListPartitionReassignmentsResponse,
        ListTransactions => ListTransactionsResponse,
        OffsetDelete => OffsetDeleteResponse,
        PushTelemetry => PushTelemetryResponse,
        SaslAuthenticate => SaslAuthenticateResponse,
        SaslHandshake => SaslHandshakeResponse,
        ShareGroupHeartbeat => ShareGroupHeartbeatResponse,
        SyncGroup => SyncGroupResponse,
        UpdateFeatures => UpdateFeaturesResponse,
    };
    // A version the codec does not know cannot be written either.
    answer.map_err(|_| refused())
}
