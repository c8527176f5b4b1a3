//! ListOffsets: the first, the last, or the offset of a time.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::Call;
use super::fetch::READ_COMMITTED;
use crate::batch::Header;
use crate::log::{Batch, Partition};
use crate::records::Records;
use crate::state::State;

/// The special times of `ListOffsetsRequest`.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// No offset has the time, or no time is meant.
const NONE: i64 = -1;
/// The only leader never changes.
const LEADER_EPOCH: i32 = 0;
/// No epoch is said.
const NONE_EPOCH: i32 = -1;

/// An offset and its record's time.
type Found = (i64, i64);

pub(super) fn list_offsets(
    state: &mut State,
    call: &Call,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let level = request.isolation_level;
    // The leader's epoch came with version 4; the versions before have no place for one.
    let epoch = if call.version >= 4 { LEADER_EPOCH } else { NONE_EPOCH };
    let list = |topic| list_topic(state, level, epoch, topic);
    let topics = request.topics.into_iter().map(list);
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn list_topic(
    state: &State,
    level: i8,
    epoch: i32,
    topic: ListOffsetsTopic,
) -> ListOffsetsTopicResponse {
    let partitions = topic.partitions.iter().map(|asked| {
        let response =
            ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
        match list_partition(state, level, &topic.name, asked) {
            Ok((offset, timestamp)) => {
                response.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(epoch)
            }
            Err(error) => response.with_error_code(error.code()).with_offset(NONE),
        }
    });
    let partitions = partitions.collect();
    ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
}

fn list_partition(
    state: &State,
    level: i8,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<Found, ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let log = state.partition(topic, asked.partition_index).ok_or(unknown)?;
    let limit = if level == READ_COMMITTED { log.last_stable() } else { log.end() };
    match asked.timestamp {
        LATEST => Ok((limit, NONE)),
        EARLIEST => Ok((log.log_start(), NONE)),
        MAX_TIMESTAMP => newest(state, log, limit),
        time if time >= 0 => first_at(state, log, limit, time),
        // Tiered storage's times (-4, -5) have no meaning here.
        _ => Err(ResponseError::UnsupportedVersion),
    }
}

fn newest(state: &State, log: &Partition, limit: i64) -> Result<Found, ResponseError> {
    let data = log.batches_in(&(0..limit)).filter(|batch| !batch.is_control);
    let newest = data.map(|batch| batch.max_timestamp).max();
    newest.map_or(Ok((NONE, NONE)), |time| first_at(state, log, limit, time))
}

/// The first record at or after a time.
fn first_at(state: &State, log: &Partition, limit: i64, time: i64) -> Result<Found, ResponseError> {
    let range = log.log_start()..limit;
    for batch in log.batches_from(range.start).take_while(|it| it.base < range.end) {
        if !batch.is_control
            && batch.max_timestamp >= time
            && let Some(found) = first_in(state, batch, time)?
            && range.contains(&found.0)
        {
            return Ok(found);
        }
    }
    Ok((NONE, NONE))
}

fn first_in(state: &State, batch: &Batch, time: i64) -> Result<Option<Found>, ResponseError> {
    let bytes = state.store.read(&batch.location).map_err(|error| {
        tracing::error!(event = "lookup_failed", %error);
        ResponseError::KafkaStorageError
    })?;
    let header = Header::parse(&bytes).ok_or(ResponseError::CorruptMessage)?;
    let mut found = None;
    Records::open(&header, &bytes)
        .and_then(|records| {
            records.each(|record| {
                if found.is_none() && record.timestamp >= time {
                    found = Some((record.offset, record.timestamp));
                }
            })
        })
        .map_err(|_| ResponseError::CorruptMessage)?;
    Ok(found)
}
