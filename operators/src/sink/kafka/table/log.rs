//! The topic of a table as one reader sees it: what is committed, in order.

use crate::limits::{KAFKA_REQUEST_TIMEOUT, PROGRESS_READ_TIMEOUT};
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::context::Context;
use crate::sink::kafka::error::{KafkaStartError, is_denied, request_error};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// A record that was read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
    pub(super) offset: i64,
}

/// What a look at the topic came to.
pub(super) enum Came {
    Record(Entry),
    /// Nothing more is there now, as far as the broker has told.
    End,
    /// Nothing, for as long as was waited.
    Nothing,
    /// The cluster is away; what is missed meanwhile comes later.
    Away(String),
}

/// A reader of the topic.
pub(super) struct Log {
    brokers: String,
    topic: String,
    consumer: BaseConsumer<Context>,
    /// Where it goes on.
    next: i64,
}

impl Log {
    /// A reader that begins at `start`.
    pub(super) fn open(
        target: &KafkaTarget,
        topic: &str,
        start: i64,
    ) -> Result<Self, KafkaStartError> {
        let consumer: BaseConsumer<Context> = target.table_reader()?;
        let mut partitions = TopicPartitionList::new();
        // A plain offset and not "the beginning", for the reason given in `progress.rs`.
        let assigned = partitions
            .add_partition_offset(topic, 0, Offset::Offset(start))
            .and_then(|()| consumer.assign(&partitions));
        let brokers = target.brokers.clone();
        let log = Log { brokers, topic: topic.to_owned(), consumer, next: start };
        match assigned {
            Ok(()) => Ok(log),
            Err(error) => Err(log.failed(&error)),
        }
    }

    /// A new client in the place of this one: one that has lost its brokers for good does not find
    /// them again.
    pub(super) fn renew(&mut self, target: &KafkaTarget) -> Result<(), KafkaStartError> {
        *self = Log::open(target, &self.topic, self.next)?;
        Ok(())
    }

    /// Waits for the next record, for `step` at most.
    pub(super) fn look(&mut self, step: Duration) -> Result<Came, KafkaStartError> {
        match self.consumer.poll(step) {
            None => Ok(Came::Nothing),
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Came::End),
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_denied) => {
                Err(self.failed(&error))
            }
            Some(Err(error)) => Ok(Came::Away(error.to_string())),
            Some(Ok(message)) => {
                self.next = message.offset() + 1;
                // A key that is no text is none of ours.
                let key = std::str::from_utf8(message.key().unwrap_or_default());
                Ok(Came::Record(Entry {
                    key: key.unwrap_or_default().to_owned(),
                    value: message.payload().map(<[u8]>::to_vec),
                    offset: message.offset(),
                }))
            }
        }
    }

    /// Waits for the next record, which is known to be there.
    pub(super) fn next(&mut self) -> Result<Entry, KafkaStartError> {
        let mut reason = "no error was reported".to_owned();
        let until = Instant::now() + PROGRESS_READ_TIMEOUT;
        while Instant::now() < until {
            match self.look(READ_STEP)? {
                Came::Record(entry) => return Ok(entry),
                Came::Away(why) => reason = why,
                Came::End | Came::Nothing => {}
            }
        }
        let what = format!("reading config topic `{}`", self.topic);
        Err(request_error(&self.brokers, what, None, reason))
    }

    /// Reads what is there now with a client of its own, and goes on with that: it shows that the
    /// topic can be read. Returns the records.
    pub(super) fn confirm(&mut self, target: &KafkaTarget) -> Result<Vec<Entry>, KafkaStartError> {
        self.renew(target)?;
        let mut entries = Vec::new();
        let until = Instant::now() + KAFKA_REQUEST_TIMEOUT;
        let mut reason = "its end was not told".to_owned();
        while Instant::now() < until {
            match self.look(READ_STEP)? {
                Came::Record(entry) => entries.push(entry),
                Came::End => return Ok(entries),
                Came::Away(why) => reason = why,
                Came::Nothing => {}
            }
        }
        let what = format!("reading config topic `{}`", self.topic);
        Err(request_error(&self.brokers, what, None, reason))
    }

    fn failed(&self, error: &KafkaError) -> KafkaStartError {
        let what = format!("reading config topic `{}`", self.topic);
        request_error(&self.brokers, what, error.rdkafka_error_code(), error.to_string())
    }
}

/// How long one look for the next record takes.
const READ_STEP: Duration = Duration::from_millis(100);
