//! Doubles of topics: made like another topic, and taken away again.
//!
//! A bench writes what a pipeline writes, but into topics of its own. What it measures is only true
//! if they are like the pipeline's: as many partitions and copies, the same settings.
//!
//! Next: `topics.rs` creates them, as any topic with `create`.

use crate::limits::KAFKA_REQUEST_TIMEOUT;
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::config::{CreateTopic, Property};
use crate::sink::kafka::context::Context;
use crate::sink::kafka::error::{KafkaStartError, request_error};
use crate::sink::kafka::topics::{block_on, partitions_of};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, ConfigSource, ResourceSpecifier};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;

/// A topic that was not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeleted {
    /// The topic.
    pub topic: String,
    /// What the broker says.
    pub reason: String,
}

/// How a topic would be created that is like `topic`; `None` if there is no such topic. Settings
/// that cannot be read are left to the cluster.
///
/// # Errors
/// If the cluster cannot be asked.
pub fn like_topic(
    target: &KafkaTarget,
    topic: &str,
) -> Result<Option<CreateTopic>, KafkaStartError> {
    let admin: AdminClient<Context> = target.admin()?;
    let Some(partitions) = partitions_of(admin.inner(), target, topic)? else { return Ok(None) };
    let metadata = admin.inner().fetch_metadata(Some(topic), KAFKA_REQUEST_TIMEOUT);
    let metadata = metadata.map_err(|error| {
        let what = format!("metadata of topic `{topic}`");
        request_error(&target.brokers, what, error.rdkafka_error_code(), error.to_string())
    })?;
    let first = metadata.topics().first().and_then(|found| found.partitions().first());
    let replicas = first.map_or(1, |first| first.replicas().len());
    let replication = i32::try_from(replicas).unwrap_or(i32::MAX);
    let (partitions, replication) = (Some(partitions), Some(replication));
    Ok(Some(CreateTopic { partitions, replication, config: own_settings(&admin, topic) }))
}

/// Deletes topics; those that are not there count as deleted. Returns those that stay.
///
/// # Errors
/// If the cluster cannot be asked.
pub fn delete_topics(
    target: &KafkaTarget,
    topics: &[String],
) -> Result<Vec<Undeleted>, KafkaStartError> {
    let admin: AdminClient<Context> = target.admin()?;
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(KAFKA_REQUEST_TIMEOUT))
        .request_timeout(Some(KAFKA_REQUEST_TIMEOUT));
    let outcomes = block_on(admin.delete_topics(&names, &options)).map_err(|error| {
        let what = "the deletion of topics".to_owned();
        request_error(&target.brokers, what, error.rdkafka_error_code(), error.to_string())
    })?;
    let is_gone = |code: &RDKafkaErrorCode| {
        matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
    };
    let refused = outcomes.into_iter().filter_map(Result::err).filter(|(_, code)| !is_gone(code));
    Ok(refused.map(|(topic, code)| Undeleted { topic, reason: code.to_string() }).collect())
}

/// What was set for this topic itself; the rest is the cluster's, and so is that of its double.
fn own_settings(admin: &AdminClient<Context>, topic: &str) -> BTreeMap<String, Property> {
    let options = AdminOptions::new().request_timeout(Some(KAFKA_REQUEST_TIMEOUT));
    let described = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
    let described = described.ok().and_then(|all| all.into_iter().next()?.ok());
    let is_own = |entry: &ConfigEntry| entry.source == ConfigSource::DynamicTopic;
    let own = described.into_iter().flat_map(|it| it.entries).filter(is_own);
    own.filter_map(|entry| Some((entry.name, Property::Text(entry.value?)))).collect()
}
