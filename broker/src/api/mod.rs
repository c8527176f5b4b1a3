//! What clients may ask, version by version, and the way of one request to its answer.
//!
//! Each family of requests has a file; each request is one function from the state and the
//! decoded request to the response. What is not in `SUPPORTED` is not advertised (`ApiVersions`),
//! so a client that asks first never meets a refusal.
//!
//! Next: `api/produce.rs` and `api/fetch.rs` carry the data.

mod cluster;
mod commits;
mod fetch;
mod groups;
mod guard;
mod offsets;
mod produce;
mod refusal;
mod topics;
mod transactions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use crate::core::{Core, Stopped};
use crate::state::State;

/// The requests that are answered, with their first and last version.
///
/// Versions end where the next one needs what one node of this kind has not: topic ids
/// (Metadata 10, Fetch 13, DeleteTopics 6), implicit transaction partitions (KIP-890: Produce 12,
/// EndTxn 5), batched coordinators' requests.
const SUPPORTED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 9),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 1, 7),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::JoinGroup, 0, 7),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 4),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 5),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 5),
    (ApiKey::DeleteTopics, 1, 5),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 3),
    (ApiKey::EndTxn, 0, 3),
    (ApiKey::TxnOffsetCommit, 0, 3),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::DescribeCluster, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
];

/// One request beside its body.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: StrBytes,
}

/// A request that cannot be answered; its connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a frame of {size} bytes is too short for a request")]
    Short { size: usize },
    #[error("request kind {api_key} is not known")]
    UnknownApi { api_key: i16 },
    #[error("{api:?} version {version} is not supported, and its response has no place to say so")]
    Unsupported { api: ApiKey, version: i16 },
    #[error("{api:?} version {version} does not decode: {reason}")]
    Malformed { api: ApiKey, version: i16, reason: String },
    #[error("the response to {api:?} version {version} does not encode: {reason}")]
    Unwritable { api: ApiKey, version: i16, reason: String },
    #[error("the journal cannot be read")]
    Journal,
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A response ready to be sent, or none where the request wants none.
type Answer = Result<Option<Bytes>, Refused>;

/// Answers one frame.
pub(crate) async fn answer(frame: Bytes, core: &Core) -> Answer {
    let size = frame.len();
    let (api_key, version, correlation_id) = {
        let mut head = frame.get(..8).ok_or(Refused::Short { size })?;
        (head.get_i16(), head.get_i16(), head.get_i32())
    };
    let api = ApiKey::try_from(api_key).map_err(|()| Refused::UnknownApi { api_key })?;
    let mut call = Call { api, version, correlation_id, client_id: StrBytes::default() };
    if !is_supported(api, version) {
        tracing::warn!(event = "unsupported_request", ?api, version);
        return refusal::unsupported(&call);
    }
    let mut body = frame;
    let header = RequestHeader::decode(&mut body, api.request_header_version(version))
        .map_err(|error| call.malformed(&error))?;
    call.client_id = header.client_id.unwrap_or_default();
    route(call, body, core).await
}

async fn route(call: Call, body: Bytes, core: &Core) -> Answer {
    match call.api {
        ApiKey::Produce => produce::produce(call, body, core).await,
        ApiKey::Fetch => fetch::fetch(call, body, core).await,
        ApiKey::ListOffsets => exchange(call, body, core, offsets::list_offsets).await,
        ApiKey::Metadata => exchange(call, body, core, cluster::metadata).await,
        ApiKey::OffsetCommit => exchange(call, body, core, commits::offset_commit).await,
        ApiKey::OffsetFetch => exchange(call, body, core, commits::offset_fetch).await,
        ApiKey::FindCoordinator => exchange(call, body, core, cluster::find_coordinator).await,
        ApiKey::JoinGroup => groups::join(call, body, core).await,
        ApiKey::Heartbeat => exchange(call, body, core, groups::heartbeat).await,
        ApiKey::LeaveGroup => exchange(call, body, core, groups::leave).await,
        ApiKey::SyncGroup => groups::sync(call, body, core).await,
        ApiKey::DescribeGroups => exchange(call, body, core, groups::describe).await,
        ApiKey::ListGroups => exchange(call, body, core, groups::list).await,
        ApiKey::ApiVersions => call.encode(&cluster::api_versions(0)),
        ApiKey::CreateTopics => exchange(call, body, core, topics::create).await,
        ApiKey::DeleteTopics => exchange(call, body, core, topics::delete).await,
        ApiKey::DeleteRecords => exchange(call, body, core, topics::delete_records).await,
        ApiKey::CreatePartitions => exchange(call, body, core, topics::create_partitions).await,
        ApiKey::DescribeConfigs => exchange(call, body, core, topics::describe_configs).await,
        ApiKey::DeleteGroups => exchange(call, body, core, groups::delete).await,
        ApiKey::DescribeCluster => exchange(call, body, core, cluster::describe_cluster).await,
        _ => route_transactions(call, body, core).await,
    }
}

async fn route_transactions(call: Call, body: Bytes, core: &Core) -> Answer {
    use transactions as txn;
    match call.api {
        ApiKey::InitProducerId => exchange(call, body, core, txn::init_producer_id).await,
        ApiKey::AddPartitionsToTxn => exchange(call, body, core, txn::add_partitions).await,
        ApiKey::AddOffsetsToTxn => exchange(call, body, core, txn::add_offsets).await,
        ApiKey::EndTxn => exchange(call, body, core, txn::end).await,
        ApiKey::TxnOffsetCommit => exchange(call, body, core, txn::offset_commit).await,
        ApiKey::DescribeTransactions => exchange(call, body, core, txn::describe).await,
        ApiKey::ListTransactions => exchange(call, body, core, txn::list).await,
        // A test holds this function against `SUPPORTED`.
        api => Err(Refused::Unsupported { api, version: call.version }),
    }
}

/// Decodes a request, has it handled on the core thread, and encodes the response.
async fn exchange<Q, R>(
    call: Call,
    body: Bytes,
    core: &Core,
    handle: fn(&mut State, &Call, Q) -> R,
) -> Answer
where
    Q: Decodable + Send + 'static,
    R: Encodable + Send + 'static,
{
    let request: Q = call.decode(body)?;
    let call = Arc::new(call);
    let shared = Arc::clone(&call);
    let response = core.run(move |state| handle(state, &shared, request)).await?;
    call.encode(&response)
}

impl Call {
    fn decode<Q: Decodable>(&self, body: Bytes) -> Result<Q, Refused> {
        guard::decode(self.api, self.version, body).map_err(|error| self.malformed(&error))
    }

    fn encode<R: Encodable>(&self, response: &R) -> Answer {
        let mut out = BytesMut::new();
        out.put_i32(0);
        let header = ResponseHeader::default().with_correlation_id(self.correlation_id);
        header
            .encode(&mut out, self.api.response_header_version(self.version))
            .and_then(|()| response.encode(&mut out, self.version))
            .map_err(|error| self.unwritable(&error))?;
        let size = i32::try_from(out.len() - 4).expect("a response is bounded by FETCH_BYTES_MAX");
        out[..4].copy_from_slice(&size.to_be_bytes());
        Ok(Some(out.freeze()))
    }

    fn malformed(&self, reason: &dyn std::fmt::Display) -> Refused {
        Refused::Malformed { api: self.api, version: self.version, reason: format!("{reason:#}") }
    }

    /// A mistake of the broker's own: a field is set that this version has no place for.
    fn unwritable(&self, reason: &dyn std::fmt::Display) -> Refused {
        Refused::Unwritable { api: self.api, version: self.version, reason: format!("{reason:#}") }
    }
}

fn is_supported(api: ApiKey, version: i16) -> bool {
    SUPPORTED.iter().any(|(it, first, last)| *it == api && (*first..=*last).contains(&version))
}

/// The error code of a result; 0 is success.
fn code<T>(result: &Result<T, kafka_protocol::ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, kafka_protocol::ResponseError::code)
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
