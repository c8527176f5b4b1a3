//! A batch's records as Kafka records: key, value, timestamp, headers, partition.
//!
//! Values and keys are slices of the batch; librdkafka copies them into its own queue. Headers are
//! made per record only if the sink asks for provenance; otherwise there are none, or one fixed
//! set.
//!
//! A record's full name is (shard, generation, session, sequence). The generation is the one under
//! which this process took the pipeline over before it received anything. It is not the one under
//! which the record was sent: a repair in between raises that, and without transactions a record
//! that is sent again must bear the name of its first copy.

use crate::sink::kafka::config::{HeadersConfig, PartitionBy};
use crate::sink::kafka::murmur2::partition_of;
use crate::sink::kafka::producer::{Record, SinkProducer};
use headwater_engine::commit::outlet::OutletError;
use headwater_engine::ids::Generation;
use headwater_engine::record::{Batch, DeadLetter};
use rdkafka::message::{Header, OwnedHeaders};

/// Header: the record's shard.
const HEADER_SHARD: &str = "headwater-shard";
/// Header: the generation under which its process took the pipeline over.
const HEADER_GENERATION: &str = "headwater-generation";
/// Header: the session of its shard.
const HEADER_SESSION: &str = "headwater-session";
/// Header: its number within the session.
const HEADER_SEQUENCE: &str = "headwater-sequence";
/// Header of dead letters: the node that refused the message.
const HEADER_NODE: &str = "headwater-error-node";
/// Header of dead letters: why.
const HEADER_REASON: &str = "headwater-error";

/// How many headers say where a record comes from.
const ORIGIN_HEADERS: usize = 4;

/// How one sink node turns batches into records.
#[derive(Clone, Debug)]
pub(super) struct SinkWriter {
    /// The topic of records.
    pub(super) topic: String,
    /// Its number of partitions at start.
    pub(super) partitions: i32,
    /// What chooses a partition.
    pub(super) partition: PartitionBy,
    /// The column that holds keys.
    pub(super) key_column: Option<usize>,
    /// The column that holds timestamps.
    pub(super) timestamp_column: Option<usize>,
    /// Headers of each record.
    pub(super) headers: HeadersConfig,
    /// The generation in all records' names.
    pub(super) generation: Generation,
    /// Where dead letters go.
    pub(super) dead_letter_topic: Option<String>,
    /// The decoders whose dead letters this sink writes: of several sinks behind one decoder that
    /// name the same topic, one writes.
    pub(super) dead_letters_of: Vec<String>,
}

impl SinkWriter {
    /// Sends all records of `batch`, then its dead letters.
    pub(super) fn write(
        &self,
        producer: &SinkProducer,
        batch: &Batch,
        shard: &str,
    ) -> Result<(), OutletError> {
        let partition = (self.partition == PartitionBy::Shard)
            .then(|| partition_of(shard.as_bytes(), self.partitions));
        let (generation, session) = (self.generation.to_string(), batch.session.to_string());
        let origin = Origin { shard, generation, session };
        for index in 0..batch.len() {
            let mut record = Record::to(&self.topic)
                .payload(batch.values.get(index))
                .timestamp(self.timestamp(batch, index));
            record.partition = partition;
            record.key = self.key_column.and_then(|column| batch.columns[column].bytes(index));
            record.headers = self.headers(&origin, batch, index);
            producer.send(record)?;
        }
        let is_ours = |dead: &&DeadLetter| self.dead_letters_of.iter().any(|it| **it == *dead.node);
        let mut dead = batch.dead.iter().filter(is_ours);
        dead.try_for_each(|dead| self.write_dead(producer, batch, &origin, dead))
    }

    fn timestamp(&self, batch: &Batch, index: usize) -> i64 {
        let column = self.timestamp_column.and_then(|column| batch.columns[column].unix_ms(index));
        column.unwrap_or(batch.received.unix_ms)
    }

    fn headers(&self, origin: &Origin<'_>, batch: &Batch, index: usize) -> Option<OwnedHeaders> {
        let HeadersConfig { provenance, fixed } = &self.headers;
        if !provenance && fixed.is_empty() {
            return None;
        }
        let mut headers = OwnedHeaders::new_with_capacity(fixed.len() + ORIGIN_HEADERS);
        if *provenance {
            headers = origin.headers(headers, batch.sequence(index).0);
        }
        for (key, value) in fixed {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        Some(headers)
    }

    fn write_dead(
        &self,
        producer: &SinkProducer,
        batch: &Batch,
        origin: &Origin<'_>,
        dead: &DeadLetter,
    ) -> Result<(), OutletError> {
        let topic = self.dead_letter_topic.as_ref();
        let topic = topic.expect("a checked plan has a dead-letter topic behind such a decoder");
        let headers = origin
            .headers(OwnedHeaders::new_with_capacity(ORIGIN_HEADERS + 2), dead.sequence.0)
            .insert(Header { key: HEADER_NODE, value: Some(&*dead.node) })
            .insert(Header { key: HEADER_REASON, value: Some(&dead.reason) });
        let record =
            Record::to(topic).payload(&dead.raw).timestamp(batch.received.unix_ms).headers(headers);
        producer.send(record)
    }
}

/// Where a batch came from, as header values.
struct Origin<'a> {
    shard: &'a str,
    generation: String,
    session: String,
}

impl Origin<'_> {
    fn headers(&self, headers: OwnedHeaders, sequence: u64) -> OwnedHeaders {
        headers
            .insert(Header { key: HEADER_SHARD, value: Some(self.shard) })
            .insert(Header { key: HEADER_GENERATION, value: Some(&self.generation) })
            .insert(Header { key: HEADER_SESSION, value: Some(&self.session) })
            .insert(Header { key: HEADER_SEQUENCE, value: Some(&sequence.to_string()) })
    }
}
