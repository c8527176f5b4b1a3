//! A batch's records as Kafka records: key, value, timestamp, headers, partition.
//!
//! Values and keys are slices of the batch; librdkafka copies them into its own queue. Headers are
//! made per record only if the sink asks for provenance; otherwise there are none, or one fixed
//! set. A record that Kafka refuses becomes a dead letter in its place; `staging.rs` knows which.
//!
//! A record's full name is (shard, generation, session, sequence). The generation is the one under
//! which this process took the pipeline over before it received anything. It is not the one under
//! which the record was sent: a repair in between raises that, and without transactions a record
//! that is sent again must bear the name of its first copy.

use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::config::{HeadersConfig, PartitionBy};
use crate::sink::kafka::error::advice;
use crate::sink::kafka::gap::GapRecord;
use crate::sink::kafka::murmur2::partition_of;
use crate::sink::kafka::producer::Record;
use crate::sink::kafka::route::{Direction, Router};
use crate::sink::kafka::rules::Facts;
use crate::sink::kafka::staging::{Fate, Halt, Staging};
use headwater_engine::commit::outlet::{OutletError, Repair};
use headwater_engine::ids::Generation;
use headwater_engine::record::{Batch, DeadLetter, Gap};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use std::time::Instant;

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

/// Header of dead letters whose value is cut: how many bytes it had.
const HEADER_BYTES: &str = "headwater-error-bytes";

/// How many headers say where a record comes from.
const ORIGIN_HEADERS: usize = 4;

/// How many more headers a dead letter has at most.
const DEAD_HEADERS: usize = 3;

/// How one sink node turns batches into records.
#[derive(Clone, Debug)]
pub(super) struct SinkWriter {
    /// The sink's name in the pipeline file.
    pub(super) node: String,
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
    /// Headers with the value of a column.
    pub(super) header_columns: Vec<(String, usize)>,
    /// Finds the topics of records, if each has its own.
    pub(super) router: Option<Router>,
    /// The column that names topics.
    pub(super) route_column: Option<usize>,
    /// Whether an empty value is none: a tombstone.
    pub(super) is_json: bool,
    /// Headers of each record.
    pub(super) headers: HeadersConfig,
    /// The generation in all records' names.
    pub(super) generation: Generation,
    /// Where dead letters go.
    pub(super) dead_letter_topic: Option<String>,
    /// What a record that Kafka refuses is cut to, so that its dead letter is not refused as well.
    pub(super) dead_letter_bytes_max: usize,
    /// The decoders and sources whose dead letters this sink writes: of several sinks behind one of
    /// them that name the same topic, one writes.
    pub(super) dead_letters_of: Vec<String>,
    /// Where gaps are written, if anywhere.
    pub(super) gap_topic: Option<String>,
    /// The sources whose gaps this sink writes; the same rule.
    pub(super) gaps_of: Vec<String>,
    /// The pipeline's name.
    pub(super) pipeline: String,
}

impl SinkWriter {
    /// The topics it writes to.
    pub(super) fn topics(&mut self, now: Instant) -> Vec<String> {
        let aside = self.dead_letter_topic.iter().chain(&self.gap_topic).cloned();
        let records: Vec<String> = match &mut self.router {
            None => vec![self.topic.clone()],
            Some(router) => router.topics(now).map(|topic| topic.to_string()).collect(),
        };
        records.into_iter().chain(aside).collect()
    }

    /// Sends the gaps of `batch`, all its records, then its dead letters.
    pub(super) fn write(
        &mut self,
        target: &KafkaTarget,
        staging: &mut Staging<'_>,
        batch: &Batch,
        shard: &str,
    ) -> Result<(), Halt> {
        let now = self.router.is_some().then(Instant::now);
        let partition = (self.partition == PartitionBy::Shard && now.is_none())
            .then(|| partition_of(shard.as_bytes(), self.partitions));
        let (generation, session) = (self.generation.to_string(), batch.session.to_string());
        let origin = Origin { shard, generation, session };
        let is_ours = |gap: &&Gap| self.gaps_of.iter().any(|it| **it == *gap.node);
        for gap in batch.gaps.iter().filter(is_ours) {
            self.write_gap(staging, batch, shard, gap)?;
            staging.advance();
        }
        for index in 0..batch.len() {
            match now {
                None => {
                    let way = Way { topic: &self.topic, partition };
                    self.write_one(staging, batch, &origin, index, way)?;
                }
                Some(now) => self.route_one(target, staging, batch, &origin, (index, now))?,
            }
            staging.advance();
        }
        let is_ours = |dead: &&DeadLetter| self.dead_letters_of.iter().any(|it| **it == *dead.node);
        for dead in batch.dead.iter().filter(is_ours) {
            self.write_dead(staging, batch, &origin, dead)?;
            staging.advance();
        }
        Ok(())
    }

    /// Sends one record to the topic that it names.
    fn route_one(
        &mut self,
        target: &KafkaTarget,
        staging: &mut Staging<'_>,
        batch: &Batch,
        origin: &Origin<'_>,
        (index, now): (usize, Instant),
    ) -> Result<(), Halt> {
        let timestamp = self.timestamp(batch, index);
        let field = self.route_column.and_then(|column| batch.columns[column].bytes(index));
        let router = self.router.as_mut().expect("only what has a router is routed");
        let direction = router.direct(target, timestamp, field, now).map_err(Halt::Error)?;
        match direction {
            Direction::Topic(topic, partitions) => {
                let is_by_shard = self.partition == PartitionBy::Shard;
                let partition =
                    is_by_shard.then(|| partition_of(origin.shard.as_bytes(), partitions));
                let way = Way { topic: &topic, partition };
                self.write_one(staging, batch, origin, index, way)
            }
            Direction::Nowhere(reason) => {
                staging.stop_at_wall()?;
                let refused = Refused { index, why: Why::NoTopic(reason) };
                self.write_refused(staging, batch, origin, &refused)
            }
        }
    }

    /// Sends one record, or what becomes of it.
    fn write_one(
        &self,
        staging: &mut Staging<'_>,
        batch: &Batch,
        origin: &Origin<'_>,
        index: usize,
        way: Way<'_>,
    ) -> Result<(), Halt> {
        let (value, timestamp) = (batch.values.get(index), self.timestamp(batch, index));
        let key = self.key_column.and_then(|column| batch.columns[column].bytes(index));
        let bytes = value.len() + key.map_or(0, <[u8]>::len);
        let facts = Facts { bytes, has_key: key.is_some(), unix_ms: Some(timestamp) };
        let refused = match staging.fate(way.topic, &facts)? {
            Fate::Delivered => return Ok(()),
            Fate::Refused(code) => Some(code),
            Fate::Send(subject) => {
                let mut record =
                    Record::with_opaque_to(way.topic, subject.opaque()).timestamp(timestamp);
                record.payload = Some(value).filter(|value| !self.is_json || !value.is_empty());
                record.partition = way.partition;
                record.key = key;
                record.headers = self.headers(origin, batch, index);
                staging.send(record)?
            }
        };
        match refused {
            Some(code) => {
                let why = Why::Kafka { topic: way.topic.to_owned(), bytes, code };
                self.write_refused(staging, batch, origin, &Refused { index, why })
            }
            None => Ok(()),
        }
    }

    fn timestamp(&self, batch: &Batch, index: usize) -> i64 {
        let column = self.timestamp_column.and_then(|column| batch.columns[column].unix_ms(index));
        column.unwrap_or(batch.received.unix_ms)
    }

    fn headers(&self, origin: &Origin<'_>, batch: &Batch, index: usize) -> Option<OwnedHeaders> {
        let HeadersConfig { provenance, fixed, .. } = &self.headers;
        let of_fields = &self.header_columns;
        if !provenance && fixed.is_empty() && of_fields.is_empty() {
            return None;
        }
        let count = fixed.len() + of_fields.len() + ORIGIN_HEADERS;
        let mut headers = OwnedHeaders::new_with_capacity(count);
        if *provenance {
            headers = origin.headers(headers, batch.sequence(index).0);
        }
        for (key, value) in fixed {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        for (key, column) in of_fields {
            let value = batch.columns[*column].bytes(index);
            headers = headers.insert(Header { key, value });
        }
        Some(headers)
    }

    /// Keyed by its shard, so that a shard's gaps lie in one partition, in order.
    fn write_gap(
        &self,
        staging: &mut Staging<'_>,
        batch: &Batch,
        shard: &str,
        gap: &Gap,
    ) -> Result<(), Halt> {
        let Some(topic) = &self.gap_topic else { return Ok(()) };
        let Some(subject) = staging.fate_of_dead_letter()? else { return Ok(()) };
        let value = GapRecord::new(&self.pipeline, shard, self.generation, batch, gap).to_json();
        let record = Record::with_opaque_to(topic, subject.opaque())
            .key(shard.as_bytes())
            .payload(&value)
            .timestamp(batch.received.unix_ms);
        staging.send_dead_letter(record)
    }

    /// A message that could not become a record, whole.
    fn write_dead(
        &self,
        staging: &mut Staging<'_>,
        batch: &Batch,
        origin: &Origin<'_>,
        dead: &DeadLetter,
    ) -> Result<(), Halt> {
        let topic = self.dead_letter_topic.as_ref();
        let topic = topic.expect("a checked plan has a dead-letter topic behind such a decoder");
        let Some(subject) = staging.fate_of_dead_letter()? else { return Ok(()) };
        let headers = origin.dead_letter(dead.sequence.0, &dead.node, &dead.reason);
        let record = Record::with_opaque_to(topic, subject.opaque())
            .payload(&dead.raw)
            .timestamp(batch.received.unix_ms)
            .headers(headers);
        staging.send_dead_letter(record)
    }

    /// A record that Kafka refuses, as a dead letter in its place; without a topic for them it
    /// stops the pipeline.
    fn write_refused(
        &self,
        staging: &mut Staging<'_>,
        batch: &Batch,
        origin: &Origin<'_>,
        refused: &Refused,
    ) -> Result<(), Halt> {
        let Some(topic) = &self.dead_letter_topic else {
            return Err(Halt::Error(self.no_place_for(batch, origin, refused)));
        };
        staging.set_aside(batch.shard);
        let Some(subject) = staging.dead_letter() else { return Ok(()) };
        let value = batch.values.get(refused.index);
        let cut = &value[..value.len().min(self.dead_letter_bytes_max)];
        let sequence = batch.sequence(refused.index).0;
        let mut headers = origin.dead_letter(sequence, &self.node, &refused.why.to_string());
        if cut.len() < value.len() {
            let bytes = value.len().to_string();
            headers = headers.insert(Header { key: HEADER_BYTES, value: Some(&bytes) });
        }
        let record = Record::with_opaque_to(topic, subject.opaque())
            .payload(cut)
            .timestamp(batch.received.unix_ms)
            .headers(headers);
        staging.send_dead_letter(record)
    }

    fn no_place_for(&self, batch: &Batch, origin: &Origin<'_>, refused: &Refused) -> OutletError {
        let sequence = batch.sequence(refused.index);
        let advice = match &refused.why {
            Why::Kafka { code, .. } => advice(Some(*code)),
            Why::NoTopic(_) => Default::default(),
        };
        let message = format!(
            "{}: shard `{}`, session {}, sequence {sequence}: {}{advice}; or give sink `{}` a \
             `dead_letter: {{ topic: … }}`, which takes such records",
            self.node, origin.shard, origin.session, refused.why, self.node,
        );
        OutletError { message, repair: Repair::Stop }
    }
}

/// A record that Kafka refuses.
struct Refused {
    /// Its place in its batch.
    index: usize,
    why: Why,
}

/// Why a record cannot be written.
#[derive(Debug, thiserror::Error)]
enum Why {
    /// Kafka does not take it; `bytes` are those of key and value.
    #[error("topic `{topic}` does not take this record of {bytes} bytes: {code}")]
    Kafka { topic: String, bytes: usize, code: RDKafkaErrorCode },
    /// There is no topic for it.
    #[error("there is no topic for this record: {0}")]
    NoTopic(String),
}

/// Where a record goes.
#[derive(Clone, Copy)]
struct Way<'a> {
    topic: &'a str,
    partition: Option<i32>,
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

    fn dead_letter(&self, sequence: u64, node: &str, reason: &str) -> OwnedHeaders {
        let room = OwnedHeaders::new_with_capacity(ORIGIN_HEADERS + DEAD_HEADERS);
        self.headers(room, sequence)
            .insert(Header { key: HEADER_NODE, value: Some(node) })
            .insert(Header { key: HEADER_REASON, value: Some(reason) })
    }
}
