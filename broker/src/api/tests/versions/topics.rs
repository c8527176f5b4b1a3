//! Topics, in every version.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeConfigsRequest, DescribeConfigsResponse,
};

use super::*;

const UNKNOWN: ResponseError = ResponseError::UnknownTopicOrPartition;

pub(super) async fn exchange_all(tried: &mut Tried) {
    create(tried).await;
    grow(tried).await;
    configs(tried).await;
    delete(tried).await;
    delete_records(tried).await;
}

async fn create(tried: &mut Tried) {
    let code = |it: &CreateTopicsResponse| it.topics[0].error_code;
    let request = |name, replicas| {
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(1)
            .with_replication_factor(replicas);
        CreateTopicsRequest::default().with_topics(vec![topic])
    };
    each(tried, .., |_, _| request("new", 1), code, SUCCESS).await;
    let exists = ResponseError::TopicAlreadyExists.code();
    each(tried, .., |_, _| request(TOPIC, 1), code, exists).await;
    let replicas = ResponseError::InvalidReplicationFactor.code();
    each(tried, .., |_, _| request("new", 3), code, replicas).await;
}

async fn grow(tried: &mut Tried) {
    let code = |it: &CreatePartitionsResponse| it.results[0].error_code;
    let request = |name, count| {
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(count)
            .with_assignments(None);
        CreatePartitionsRequest::default().with_topics(vec![topic])
    };
    each(tried, .., |_, _| request(TOPIC, 2), code, SUCCESS).await;
    each(tried, .., |_, _| request(MISSING, 2), code, UNKNOWN.code()).await;
    let fewer = ResponseError::InvalidPartitions.code();
    each(tried, .., |_, _| request(TOPIC, 1), code, fewer).await;
}

async fn configs(tried: &mut Tried) {
    let code = |it: &DescribeConfigsResponse| it.results[0].error_code;
    let request = |kind, name| {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(None);
        DescribeConfigsRequest::default().with_resources(vec![resource])
    };
    each(tried, .., |_, _| request(2, TOPIC), code, SUCCESS).await;
    each(tried, .., |_, _| request(2, MISSING), code, UNKNOWN.code()).await;
    let invalid = ResponseError::InvalidRequest.code();
    each(tried, .., |_, _| request(4, "1"), code, invalid).await;
}

async fn delete(tried: &mut Tried) {
    let code = |it: &DeleteTopicsResponse| it.responses[0].error_code;
    let request = |name| DeleteTopicsRequest::default().with_topic_names(vec![topic_name(name)]);
    each(tried, .., |_, _| request(TOPIC), code, SUCCESS).await;
    each(tried, .., |_, _| request(MISSING), code, UNKNOWN.code()).await;
}

async fn delete_records(tried: &mut Tried) {
    let code = |it: &DeleteRecordsResponse| it.topics[0].partitions[0].error_code;
    let request = |name, offset| {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(topic_name(name))
            .with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![topic])
    };
    each(tried, .., |_, _| request(TOPIC, 1), code, SUCCESS).await;
    each(tried, .., |_, _| request(MISSING, 1), code, UNKNOWN.code()).await;
    let outside = ResponseError::OffsetOutOfRange.code();
    each(tried, .., |_, _| request(TOPIC, 99), code, outside).await;
}
