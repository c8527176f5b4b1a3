//! Reading the progress topic to its end, provably.
//!
//! "End of partition" events and watermarks mislead: transaction markers occupy offsets that no
//! reader is shown, and an empty topic may have a low watermark above zero. So the reader writes a
//! mark of its own and reads until the mark comes back: everything before it in the log has then
//! been seen. The mark is a tombstone under a key of its own, which compaction removes.

use crate::limits::{KAFKA_REQUEST_TIMEOUT, PROGRESS_READ_TIMEOUT};
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::context::Context;
use crate::sink::kafka::error::{KafkaStartError, is_denied, request_error};
use crate::sink::kafka::topics::partitions_of;
use headwater_engine::commit::progress::StoredProgress;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// Writes single records to the progress topic and reads it up to them.
pub(super) struct Mark<'a> {
    target: &'a KafkaTarget,
    pipeline: &'a str,
    topic: &'a str,
    producer: BaseProducer<Context>,
    context: Context,
}

/// Reads the whole committed progress of `pipeline`, for showing it. A pipeline that never started
/// has no topic and no progress; looking does not create it.
///
/// # Errors
/// If the topic cannot be reached, or a record of it cannot be used.
pub fn read_progress(
    target: &KafkaTarget,
    pipeline: &str,
    topic: &str,
) -> Result<StoredProgress, KafkaStartError> {
    let client: BaseConsumer<Context> = target.consumer("read_committed")?;
    if partitions_of(client.client(), target, topic)?.is_none() {
        return Ok(StoredProgress::default());
    }
    Mark::open(target, pipeline, topic)?.read("read_committed")
}

impl<'a> Mark<'a> {
    /// A producer without a transaction: claims and marks must be visible at once.
    pub(super) fn open(
        target: &'a KafkaTarget,
        pipeline: &'a str,
        topic: &'a str,
    ) -> Result<Self, KafkaStartError> {
        let context = Context::default();
        let producer = target.producer(None, context.clone())?;
        Ok(Mark { target, pipeline, topic, producer, context })
    }

    /// Appends one record and waits for its acknowledgement.
    pub(super) fn append(&self, key: &str, value: Option<&[u8]>) -> Result<(), KafkaStartError> {
        let mut record = BaseRecord::<str, [u8]>::to(self.topic).partition(0).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        let sent = self.producer.send(record).map_err(|(error, _)| error);
        sent.map_err(|error| self.unreachable(&error.to_string()))?;
        let until = Instant::now() + KAFKA_REQUEST_TIMEOUT;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > until {
                return Err(self.unreachable("no acknowledgement in time"));
            }
            self.producer.poll(Duration::from_millis(5));
        }
        match self.context.take_failed_delivery() {
            Some(failed) => Err(self.failed(Some(failed.code), failed.text)),
            None => Ok(()),
        }
    }

    /// Reads everything that was in the topic when this was called.
    pub(super) fn read(&self, isolation: &str) -> Result<StoredProgress, KafkaStartError> {
        let mark = format!("{}/mark/{:016x}", self.pipeline, rand::random::<u64>());
        self.append(&mark, None)?;
        self.read_to(isolation, &mark)
    }

    /// Reads up to the record with the key `last`, which was appended before.
    pub(super) fn read_to(
        &self,
        isolation: &str,
        last: &str,
    ) -> Result<StoredProgress, KafkaStartError> {
        let consumer = self.assigned(isolation)?;
        let mut stored = StoredProgress::default();
        let mut reason = "no error was reported".to_owned();
        let until = Instant::now() + PROGRESS_READ_TIMEOUT;
        while Instant::now() < until {
            match consumer.poll(Duration::from_millis(100)) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_denied) => {
                    return Err(self.failed(error.rdkafka_error_code(), error.to_string()));
                }
                Some(Err(error)) => reason = error.to_string(),
                Some(Ok(message)) => {
                    let key = message.key().unwrap_or_default();
                    if !is_mark(self.pipeline, key) {
                        stored.apply(self.pipeline, key, message.payload())?;
                    }
                    if key == last.as_bytes() {
                        return Ok(stored);
                    }
                }
            }
        }
        Err(KafkaStartError::ProgressUnread {
            topic: self.topic.to_owned(),
            seconds: PROGRESS_READ_TIMEOUT.as_secs(),
            reason,
        })
    }

    fn assigned(&self, isolation: &str) -> Result<BaseConsumer<Context>, KafkaStartError> {
        let consumer: BaseConsumer<Context> = self.target.consumer(isolation)?;
        let mut partitions = TopicPartitionList::new();
        // A plain offset and not "the beginning": librdkafka asks for the latter at once, finds no
        // leader yet and tries again after 500 ms. If offset 0 is gone it resets to the earliest by
        // itself.
        partitions
            .add_partition_offset(self.topic, 0, Offset::Offset(0))
            .and_then(|()| consumer.assign(&partitions))
            .map_err(|error| self.unreachable(&error.to_string()))?;
        Ok(consumer)
    }

    fn unreachable(&self, reason: &str) -> KafkaStartError {
        self.failed(None, reason.to_owned())
    }

    fn failed(&self, code: Option<RDKafkaErrorCode>, reason: String) -> KafkaStartError {
        request_error(
            &self.target.brokers,
            format!("progress topic `{}`", self.topic),
            code,
            reason,
        )
    }
}

fn is_mark(pipeline: &str, key: &[u8]) -> bool {
    let rest = key.strip_prefix(pipeline.as_bytes());
    rest.is_some_and(|rest| rest.starts_with(b"/mark/"))
}
