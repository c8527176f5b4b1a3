//! Topics: made, grown, shown, cut and deleted.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeConfigsRequest, DescribeConfigsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, code, text};
use crate::journal::Entry;
use crate::limits::PARTITIONS_MAX;
use crate::settings::Settings;
use crate::state::State;

/// The resource type of topics in `DescribeConfigs` (`ConfigResource`).
const TOPIC: i8 = 2;
/// Where a setting's value comes from (`DescribeConfigsResponse.configSource`).
const FROM_TOPIC: i8 = 1;
const FROM_DEFAULT: i8 = 5;
/// In `DeleteRecords`: up to the end of the log.
const TO_THE_END: i64 = -1;
/// In `CreateTopics`: the broker's default.
const DEFAULT: i32 = -1;
const NAME_BYTES_MAX: usize = 249;

/// An error code with the sentence beside it.
type Complaint = (ResponseError, String);

pub(super) fn create(
    state: &mut State,
    _call: &Call,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let is_dry_run = request.validate_only;
    let results = request.topics.into_iter().map(|topic| {
        let response = CreatableTopicResult::default().with_name(topic.name.clone());
        match create_one(state, topic, is_dry_run) {
            Ok((partitions, settings)) => response
                .with_num_partitions(partitions)
                .with_replication_factor(1)
                .with_configs(Some(shown(&settings))),
            Err((error, message)) => response
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create_one(
    state: &mut State,
    topic: CreatableTopic,
    is_dry_run: bool,
) -> Result<(i32, Settings), Complaint> {
    let name = topic.name.to_string();
    check_name(&name)?;
    if state.topics.contains_key(&name) {
        let message = format!("topic {name} exists already");
        return Err((ResponseError::TopicAlreadyExists, message));
    }
    let partitions = match (topic.assignments.len(), topic.num_partitions) {
        (0, DEFAULT) => 1,
        (0, count) => count,
        (count, _) => i32::try_from(count).unwrap_or(i32::MAX),
    };
    check_count(partitions)?;
    if !matches!(topic.replication_factor, 1 | -1) {
        let message = "the development broker is one node; the replication factor is 1".to_owned();
        return Err((ResponseError::InvalidReplicationFactor, message));
    }
    let written = topic.configs.into_iter();
    let written: BTreeMap<String, String> = written
        .filter_map(|it| it.value.map(|value| (it.name.to_string(), value.to_string())))
        .collect();
    let settings = Settings::new(written.clone())
        .map_err(|error| (ResponseError::InvalidConfig, error.to_string()))?;
    if !is_dry_run {
        state.change(Entry::Topic { name, partitions, settings: written });
    }
    Ok((partitions, settings))
}

/// Kafka's rule for names (`Topic.validate`).
fn check_name(name: &str) -> Result<(), Complaint> {
    let is_legal = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && !matches!(name, "." | "..");
    if fits && name.bytes().all(is_legal) {
        return Ok(());
    }
    let message = format!(
        "topic name {name:?} must be 1 to {NAME_BYTES_MAX} letters, digits, '.', '_' or '-'"
    );
    Err((ResponseError::InvalidTopicException, message))
}

fn check_count(partitions: i32) -> Result<(), Complaint> {
    if (1..=PARTITIONS_MAX).contains(&partitions) {
        return Ok(());
    }
    let message = format!("{partitions} partitions; a topic has 1 to {PARTITIONS_MAX}");
    Err((ResponseError::InvalidPartitions, message))
}

fn shown(settings: &Settings) -> Vec<CreatableTopicConfigs> {
    let all = settings.all().map(|(key, value, is_set)| {
        CreatableTopicConfigs::default()
            .with_name(text(key))
            .with_value(Some(text(value)))
            .with_config_source(source(is_set))
    });
    all.collect()
}

fn source(is_set: bool) -> i8 {
    if is_set { FROM_TOPIC } else { FROM_DEFAULT }
}

pub(super) fn create_partitions(
    state: &mut State,
    _call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let grown = grow(state, &topic, request.validate_only);
        let response = CreatePartitionsTopicResult::default().with_name(topic.name);
        match grown {
            Ok(()) => response,
            Err((error, message)) => response
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message))),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(
    state: &mut State,
    wanted: &CreatePartitionsTopic,
    is_dry_run: bool,
) -> Result<(), Complaint> {
    let name = wanted.name.to_string();
    let Some(topic) = state.topics.get(&name) else {
        let message = format!("topic {name} does not exist");
        return Err((ResponseError::UnknownTopicOrPartition, message));
    };
    let (count, partitions) = (topic.count(), wanted.count);
    if partitions <= count {
        let message = format!("topic {name} has {count} partitions; it can only get more");
        return Err((ResponseError::InvalidPartitions, message));
    }
    check_count(partitions)?;
    if !is_dry_run {
        let settings = topic.settings.explicit().clone();
        state.change(Entry::Topic { name, partitions, settings });
    }
    Ok(())
}

pub(super) fn delete(
    state: &mut State,
    _call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let results = request.topic_names.into_iter().map(|name| {
        let deleted = delete_one(state, &name);
        DeletableTopicResult::default().with_error_code(code(&deleted)).with_name(Some(name))
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

fn delete_one(state: &mut State, name: &TopicName) -> Result<(), ResponseError> {
    if !state.topics.contains_key(name.as_str()) {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    state.change(Entry::TopicDeleted { name: name.to_string() });
    Ok(())
}

pub(super) fn delete_records(
    state: &mut State,
    _call: &Call,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|it| {
            let cut = cut(state, &topic.name, it.partition_index, it.offset);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(it.partition_index)
                .with_error_code(code(&cut))
                .with_low_watermark(cut.unwrap_or(-1))
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(results.collect())
}

fn cut(
    state: &mut State,
    topic: &TopicName,
    partition: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let log = state.partition(topic, partition).ok_or(unknown)?;
    let offset = if offset == TO_THE_END { log.end() } else { offset };
    if !(0..=log.end()).contains(&offset) {
        return Err(ResponseError::OffsetOutOfRange);
    }
    // What belongs to an open transaction stays until it ends.
    let offset = offset.min(log.last_stable()).max(log.log_start());
    state.change(Entry::LogStart { topic: topic.to_string(), partition, offset });
    Ok(offset)
}

pub(super) fn describe_configs(
    state: &mut State,
    _call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|it| describe_one(state, it));
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_one(state: &State, resource: DescribeConfigsResource) -> DescribeConfigsResult {
    let DescribeConfigsResource { resource_type, resource_name, configuration_keys, .. } = resource;
    let topic = state.topics.get(resource_name.as_str());
    let response = DescribeConfigsResult::default()
        .with_resource_type(resource_type)
        .with_resource_name(resource_name);
    if resource_type != TOPIC {
        let message = "the development broker has settings of topics only";
        return response
            .with_error_code(ResponseError::InvalidRequest.code())
            .with_error_message(Some(text(message)));
    }
    let Some(topic) = topic else {
        return response.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    let is_asked = |key: &str| {
        configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|it| it.as_str() == key))
    };
    let asked = topic.settings.all().filter(|(key, ..)| is_asked(key));
    let configs = asked.map(|(key, value, is_set)| {
        DescribeConfigsResourceResult::default()
            .with_name(text(key))
            .with_value(Some(text(value)))
            .with_config_source(source(is_set))
    });
    response.with_configs(configs.collect())
}
