//! A pipeline's transactions as an operator of the cluster sees them: which ids may hold one open,
//! where readers are held back, and how to end it.
//!
//! An open transaction holds back every `read_committed` reader of its partitions until it ends or
//! the broker gives it up. A partition is held back if its last stable offset is behind its high
//! watermark. Kafka's client library cannot say whose transaction it is; of the progress topic only
//! this pipeline writes, other topics may have other writers.
//!
//! Ending a transaction means taking its id: that aborts what is open and fences the producer. An
//! owner that lives notices, finds no newer claim, takes the pipeline over again and sends the
//! epoch again from memory.

use crate::limits::KAFKA_REQUEST_TIMEOUT;
use crate::sink::kafka::acquire::take_id;
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::context::Context;
use crate::sink::kafka::error::{KafkaStartError, request_error};
use crate::sink::kafka::topics::partitions_of;
use headwater_engine::commit::progress::StoredProgress;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// A partition whose readers are held back by an open transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Up to where a `read_committed` reader sees.
    pub stable_offset: i64,
    /// The end of the log.
    pub end_offset: i64,
}

/// Every transactional id that may write for `pipeline`: those the file configures for `ring`
/// producers, then those of all earlier owners that are not fenced for sure.
#[must_use]
pub fn transactional_ids(
    target: &KafkaTarget,
    pipeline: &str,
    ring: u32,
    stored: &StoredProgress,
) -> Vec<String> {
    stored.ids_to_fence(&target.transactional_ids(pipeline, ring))
}

/// The partitions of `topics` whose readers are held back. A topic that does not exist holds
/// nobody.
///
/// # Errors
/// If the cluster cannot be asked.
pub fn held_back(
    target: &KafkaTarget,
    topics: &[String],
) -> Result<Vec<HeldBack>, KafkaStartError> {
    let stable: BaseConsumer<Context> = target.consumer("read_committed")?;
    let all: BaseConsumer<Context> = target.consumer("read_uncommitted")?;
    let end = |client: &BaseConsumer<Context>, topic: &str, partition| {
        let marks = client.fetch_watermarks(topic, partition, KAFKA_REQUEST_TIMEOUT);
        marks.map(|(_, end)| end).map_err(|error| {
            let what = format!("the offsets of {topic}[{partition}]");
            request_error(&target.brokers, what, error.rdkafka_error_code(), error.to_string())
        })
    };
    let mut held = Vec::new();
    for topic in topics {
        let partitions = partitions_of(all.client(), target, topic)?.unwrap_or(0);
        for partition in 0..partitions {
            // The end first: what is committed in between must not look held back.
            let end_offset = end(&all, topic, partition)?;
            let stable_offset = end(&stable, topic, partition)?;
            if stable_offset < end_offset {
                held.push(HeldBack { topic: topic.clone(), partition, stable_offset, end_offset });
            }
        }
    }
    Ok(held)
}

/// Ends whatever the producer of `id` has open, and fences it.
///
/// # Errors
/// If the cluster refuses, or does not answer.
pub fn abort_transaction(target: &KafkaTarget, id: &str) -> Result<(), KafkaStartError> {
    take_id(target, id).map(drop)
}
