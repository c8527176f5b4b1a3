//! Records, offsets and the cluster, in every version.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, FetchRequest, FetchResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse, TransactionalId,
};

use super::*;

pub(super) async fn exchange_all(tried: &mut Tried) {
    produce(tried).await;
    fetch(tried).await;
    list_offsets(tried).await;
    metadata(tried).await;
    cluster(tried).await;
}

async fn produce(tried: &mut Tried) {
    let code = |it: &ProduceResponse| it.responses[0].partition_responses[0].error_code;
    let plain = |_, _| produce_request(TOPIC, build(plain(), &[(Some("key"), Some("value"))]));
    each(tried, .., plain, code, SUCCESS).await;
    let current = |_, it| produce_request(TOPIC, batch(it, 1));
    each(tried, .., current, code, SUCCESS).await;
    let fenced = |_, it| produce_request(TOPIC, batch(stale(it), 1));
    each(tried, .., fenced, code, ResponseError::InvalidProducerEpoch.code()).await;
    let unknown = |_, it| produce_request(MISSING, batch(it, 1));
    each(tried, .., unknown, code, ResponseError::UnknownTopicOrPartition.code()).await;
}

fn produce_request(topic: &str, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic =
        TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(Some(TransactionalId(text(OPEN))))
        .with_acks(-1)
        .with_topic_data(vec![topic])
}

async fn fetch(tried: &mut Tried) {
    let code = |it: &FetchResponse| it.responses[0].partitions[0].error_code;
    let aborted = |it: &FetchResponse| {
        let data = &it.responses[0].partitions[0];
        assert!(!data.records.as_ref().unwrap().is_empty());
        assert_eq!(data.aborted_transactions.as_ref().unwrap().len(), 1);
        data.error_code
    };
    each(tried, .., |_, _| fetch_request(TOPIC, 0, 1), aborted, SUCCESS).await;
    each(tried, .., |_, _| fetch_request(TOPIC, 0, 0), code, SUCCESS).await;
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    each(tried, .., |_, _| fetch_request(MISSING, 0, 1), code, unknown).await;
    let outside = ResponseError::OffsetOutOfRange.code();
    each(tried, .., |_, _| fetch_request(TOPIC, 99, 1), code, outside).await;
}

fn fetch_request(topic: &str, offset: i64, isolation_level: i8) -> FetchRequest {
    let partition =
        FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic =
        FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_isolation_level(isolation_level)
        .with_topics(vec![topic])
}

async fn list_offsets(tried: &mut Tried) {
    let code = |it: &ListOffsetsResponse| it.topics[0].partitions[0].error_code;
    for timestamp in [-1, -2, -3, 0, i64::MAX] {
        let known = |version, _| list_offsets_request(TOPIC, timestamp, version);
        each(tried, .., known, code, SUCCESS).await;
    }
    let unknown = |version, _| list_offsets_request(MISSING, -1, version);
    each(tried, .., unknown, code, ResponseError::UnknownTopicOrPartition.code()).await;
    let tiered = |version, _| list_offsets_request(TOPIC, -4, version);
    each(tried, .., tiered, code, ResponseError::UnsupportedVersion.code()).await;
    // Whoever can hear the leader's epoch does.
    let epoch = |it: &ListOffsetsResponse| {
        assert_eq!(it.topics[0].partitions[0].leader_epoch, 0);
        SUCCESS
    };
    each(tried, 4.., |version, _| list_offsets_request(TOPIC, -1, version), epoch, SUCCESS).await;
}

fn list_offsets_request(topic: &str, timestamp: i64, version: i16) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let topic =
        ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    ListOffsetsRequest::default()
        .with_isolation_level(i8::from(version >= 2))
        .with_topics(vec![topic])
}

async fn metadata(tried: &mut Tried) {
    let code = |it: &MetadataResponse| it.topics[0].error_code;
    let request = |name| {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        MetadataRequest::default().with_topics(Some(vec![topic]))
    };
    each(tried, .., |_, _| request(TOPIC), code, SUCCESS).await;
    let all = |version| MetadataRequest::default().with_topics((version == 0).then(Vec::new));
    each(tried, .., |version, _| all(version), code, SUCCESS).await;
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    each(tried, .., |_, _| request(MISSING), code, unknown).await;
}

async fn cluster(tried: &mut Tried) {
    let code = |it: &FindCoordinatorResponse| {
        it.coordinators.first().map_or(it.error_code, |it| it.error_code)
    };
    let request = |version, kind| {
        let request = FindCoordinatorRequest::default().with_key_type(kind);
        match version {
            ..4 => request.with_key(text(GROUP)),
            _ => request.with_coordinator_keys(vec![text(GROUP)]),
        }
    };
    each(tried, .., |version, _| request(version, 0), code, SUCCESS).await;
    each(tried, 1.., |version, _| request(version, 1), code, SUCCESS).await;
    let invalid = ResponseError::InvalidRequest.code();
    each(tried, 1.., |version, _| request(version, 2), code, invalid).await;
    each(tried, .., |_, _| ApiVersionsRequest::default(), |it| it.error_code, SUCCESS).await;
    each(tried, .., |_, _| DescribeClusterRequest::default(), |it| it.error_code, SUCCESS).await;
}
