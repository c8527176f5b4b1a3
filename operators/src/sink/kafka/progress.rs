//! Reading the progress topic to its end, provably.
//!
//! "End of partition" events and watermarks mislead: transaction markers occupy offsets that no
//! reader is shown, and an empty topic may have a low watermark above zero. So the reader writes a
//! mark of its own and reads until the mark comes back: everything before it in the log has then
//! been seen. The mark is a tombstone under a key of its own, which compaction removes.

use crate::limits::{KAFKA_REQUEST_TIMEOUT, PROGRESS_READ_TIMEOUT};
use crate::sink::kafka::client::{KafkaTarget, await_cluster};
use crate::sink::kafka::context::{Context, Lane, Subject};
use crate::sink::kafka::error::{KafkaStartError, is_denied, request_error};
use crate::sink::kafka::reports::ReportWait;
use crate::sink::kafka::topics::partitions_of;
use headwater_engine::commit::progress::StoredProgress;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How long one look for the next record takes.
const READ_STEP: Duration = Duration::from_millis(100);

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
        let producer: BaseProducer<Context> = target.producer(None, context.clone())?;
        await_cluster(producer.client());
        Ok(Mark { target, pipeline, topic, producer, context })
    }

    /// Appends one record and waits for its acknowledgement.
    pub(super) fn append(&self, key: &str, value: Option<&[u8]>) -> Result<(), KafkaStartError> {
        let none = Subject::None.opaque();
        let mut record = BaseRecord::with_opaque_to(self.topic, none).partition(0).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        let sent = self.producer.send(record).map_err(|(error, _)| error);
        sent.map_err(|error| self.unreachable(&error.to_string()))?;
        let until = Instant::now() + KAFKA_REQUEST_TIMEOUT;
        let mut wait = ReportWait::begin();
        let in_flight = || self.producer.in_flight_count().unsigned_abs().into();
        while in_flight() > 0 {
            if Instant::now() > until {
                return Err(self.unreachable("no acknowledgement in time"));
            }
            wait.serve(in_flight, || self.producer.poll(Duration::ZERO));
        }
        match self.context.take_failed_deliveries(Lane::default()).first() {
            Some(failed) => Err(self.failed(Some(failed.code), failed.text())),
            None => Ok(()),
        }
    }

    /// Reads everything that was in the topic when this was called.
    pub(super) fn read(&self, isolation: &str) -> Result<StoredProgress, KafkaStartError> {
        let mark = self.leave()?;
        self.read_to(isolation, &mark)
    }

    /// Appends a mark and returns its key: who has read up to it has read what was there before.
    pub(super) fn leave(&self) -> Result<String, KafkaStartError> {
        let mark = format!("{}/mark/{:016x}", self.pipeline, rand::random::<u64>());
        self.append(&mark, None)?;
        Ok(mark)
    }

    /// Reads up to the record with the key `last`, which was appended before.
    pub(super) fn read_to(
        &self,
        isolation: &str,
        last: &str,
    ) -> Result<StoredProgress, KafkaStartError> {
        // A plain offset and not "the beginning": librdkafka asks for the latter at once, finds no
        // leader yet and tries again after 500 ms. If offset 0 is gone it resets to the earliest by
        // itself.
        let start = Offset::Offset(0);
        let mut tail = Tail::open(self.target, self.pipeline, self.topic, isolation, start)?;
        tail.read_to(|key, _| key == last.as_bytes())?;
        Ok(tail.seen)
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

/// A reader that stays where it is, and what it has seen so far.
pub(super) struct Tail<'a> {
    target: &'a KafkaTarget,
    pipeline: &'a str,
    topic: &'a str,
    consumer: BaseConsumer<Context>,
    /// Everything it has read, folded.
    pub(super) seen: StoredProgress,
    /// Where it goes on.
    pub(super) next: Offset,
    /// How many it has read that were no marks.
    pub(super) records: u64,
}

/// What a [`Tail`] came upon.
pub(super) enum Came {
    /// Nothing, for as long as was waited.
    Nothing,
    /// A record of a pipeline's owner, or of one that wants to be.
    Record,
    /// The mark of some reader.
    Mark,
    /// The cluster is away; what is missed meanwhile comes later.
    Away(String),
}

impl<'a> Tail<'a> {
    pub(super) fn open(
        target: &'a KafkaTarget,
        pipeline: &'a str,
        topic: &'a str,
        isolation: &str,
        start: Offset,
    ) -> Result<Self, KafkaStartError> {
        let consumer: BaseConsumer<Context> = target.consumer(isolation)?;
        let seen = StoredProgress::default();
        let mut partitions = TopicPartitionList::new();
        let assigned = partitions
            .add_partition_offset(topic, 0, start)
            .and_then(|()| consumer.assign(&partitions));
        let tail = Tail { target, pipeline, topic, consumer, seen, next: start, records: 0 };
        match assigned {
            Ok(()) => Ok(tail),
            Err(error) => Err(tail.failed(None, error.to_string())),
        }
    }

    /// Reads on up to the record that `is_last` knows, which was appended before.
    pub(super) fn read_to(
        &mut self,
        is_last: impl Fn(&[u8], Option<&[u8]>) -> bool,
    ) -> Result<(), KafkaStartError> {
        let mut reason = "no error was reported".to_owned();
        let until = Instant::now() + PROGRESS_READ_TIMEOUT;
        while Instant::now() < until {
            let mut is_done = false;
            let came = self.next(|key, value| is_done = is_last(key, value))?;
            if is_done {
                return Ok(());
            }
            if let Came::Away(why) = came {
                reason = why;
            }
        }
        Err(KafkaStartError::ProgressUnread {
            topic: self.topic.to_owned(),
            seconds: PROGRESS_READ_TIMEOUT.as_secs(),
            reason,
        })
    }

    /// Waits a moment for the next record, folds it in and shows it to `look`.
    pub(super) fn next(
        &mut self,
        mut look: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<Came, KafkaStartError> {
        match self.consumer.poll(READ_STEP) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => Ok(Came::Nothing),
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_denied) => {
                Err(self.failed(error.rdkafka_error_code(), error.to_string()))
            }
            Some(Err(error)) => Ok(Came::Away(error.to_string())),
            Some(Ok(message)) => {
                self.next = Offset::Offset(message.offset() + 1);
                let (key, value) = (message.key().unwrap_or_default(), message.payload());
                look(key, value);
                if is_mark(self.pipeline, key) {
                    return Ok(Came::Mark);
                }
                self.records += 1;
                self.seen.apply(self.pipeline, key, value)?;
                Ok(Came::Record)
            }
        }
    }

    fn failed(&self, code: Option<RDKafkaErrorCode>, reason: String) -> KafkaStartError {
        let what = format!("progress topic `{}`", self.topic);
        request_error(&self.target.brokers, what, code, reason)
    }
}

fn is_mark(pipeline: &str, key: &[u8]) -> bool {
    let rest = key.strip_prefix(pipeline.as_bytes());
    rest.is_some_and(|rest| rest.starts_with(b"/mark/"))
}
