//! Fetch: batches out, waiting for them if the client allows it.
//!
//! Invariant: what is sent and the list of aborted transactions beside it are read in one call on
//! the core thread, so they always belong together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId};
use tokio::time::{Instant, timeout_at};

use super::{Answer, Call, Refused};
use crate::core::Core;
use crate::journal::{JournalError, Location};
use crate::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MAX};
use crate::log::Partition;
use crate::state::State;

/// The isolation level of a reader that skips what is not committed (KIP-98).
pub(super) const READ_COMMITTED: i8 = 1;

/// What one partition answers, before its bytes are read.
struct Found {
    data: PartitionData,
    locations: Vec<Location>,
    bytes: u64,
}

/// What a fetch may still take.
struct Budget {
    bytes: u64,
    is_untouched: bool,
}

pub(super) async fn fetch(call: Call, body: Bytes, core: &Core) -> Answer {
    let request: Arc<FetchRequest> = Arc::new(call.decode(body)?);
    let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_millis(wait_ms).min(FETCH_WAIT_MAX);
    let mut news = core.news();
    loop {
        // Marked before the look, so that news during the look ends the wait below.
        news.mark_unchanged();
        let must_answer = Instant::now() >= deadline;
        let asked = Arc::clone(&request);
        let look = core.run(move |state| collect(state, &asked, must_answer)).await?;
        let found = look.map_err(|error| {
            tracing::error!(event = "fetch_failed", %error);
            Refused::Journal
        })?;
        if let Some(response) = found {
            return call.encode(&response);
        }
        // Whether news or the deadline ended the wait shows in the next look.
        timeout_at(deadline, news.changed()).await.ok();
    }
}

/// The response, or `None` if there is less than the client waits for.
fn collect(
    state: &State,
    request: &FetchRequest,
    must_answer: bool,
) -> Result<Option<FetchResponse>, JournalError> {
    let bytes = u64::try_from(request.max_bytes).unwrap_or_default();
    let mut budget = Budget { bytes: bytes.min(FETCH_BYTES_MAX as u64), is_untouched: true };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter();
        let found = partitions.map(|asked| {
            let log = state.partition(&topic.topic, asked.partition);
            find(log, asked, request.isolation_level, &mut budget)
        });
        topics.push((topic, found.collect::<Vec<_>>()));
    }
    let all = || topics.iter().flat_map(|(_, found)| found);
    let found_bytes: u64 = all().map(|it| it.bytes).sum();
    let has_error = all().any(|it| it.data.error_code != 0);
    let wanted_bytes = u64::try_from(request.min_bytes).unwrap_or_default().max(1);
    if found_bytes < wanted_bytes && !has_error && !must_answer {
        return Ok(None);
    }
    let mut responses = Vec::with_capacity(topics.len());
    for (topic, found) in topics {
        let read = found.into_iter().map(|it| it.read(state)).collect::<Result<Vec<_>, _>>()?;
        let response = FetchableTopicResponse::default().with_topic(topic.topic.clone());
        responses.push(response.with_partitions(read));
    }
    Ok(Some(FetchResponse::default().with_responses(responses)))
}

fn find(
    log: Option<&Partition>,
    asked: &FetchPartition,
    isolation_level: i8,
    budget: &mut Budget,
) -> Found {
    let data = PartitionData::default()
        .with_partition_index(asked.partition)
        .with_preferred_read_replica(BrokerId(-1));
    let Some(log) = log else {
        let code = ResponseError::UnknownTopicOrPartition.code();
        return Found::nothing(data.with_error_code(code).with_high_watermark(-1));
    };
    let data = data
        .with_high_watermark(log.end())
        .with_last_stable_offset(log.last_stable())
        .with_log_start_offset(log.log_start());
    if !(log.log_start()..=log.end()).contains(&asked.fetch_offset) {
        return Found::nothing(data.with_error_code(ResponseError::OffsetOutOfRange.code()));
    }
    let is_committed = isolation_level == READ_COMMITTED;
    let limit = if is_committed { log.last_stable() } else { log.end() };
    let mut found = Found::nothing(data);
    let mut end = asked.fetch_offset;
    let partition_bytes = u64::try_from(asked.partition_max_bytes).unwrap_or_default();
    for batch in log.batches_from(asked.fetch_offset).take_while(|it| it.base < limit) {
        let size = batch.location.size();
        // The first batch goes whatever its size, or a reader would never get past it.
        let is_over = size > budget.bytes || found.bytes + size > partition_bytes;
        if is_over && !(budget.is_untouched && found.bytes == 0) {
            break;
        }
        budget.bytes = budget.bytes.saturating_sub(size);
        budget.is_untouched = false;
        found.bytes += size;
        found.locations.push(batch.location.clone());
        end = batch.last + 1;
    }
    if is_committed {
        let aborted = log.aborted_in(&(asked.fetch_offset..end)).map(|it| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(it.producer_id))
                .with_first_offset(it.first)
        });
        found.data.aborted_transactions = Some(aborted.collect());
    }
    found
}

impl Found {
    fn nothing(data: PartitionData) -> Found {
        Found { data, locations: Vec::new(), bytes: 0 }
    }

    fn read(self, state: &State) -> Result<PartitionData, JournalError> {
        let records = match &self.locations[..] {
            [] => Bytes::new(),
            [one] => state.store.read(one)?,
            many => {
                let size = usize::try_from(self.bytes).expect("a fetch is bounded");
                let mut records = BytesMut::with_capacity(size);
                for location in many {
                    records.extend_from_slice(&state.store.read(location)?);
                }
                records.freeze()
            }
        };
        Ok(self.data.with_records(Some(records)))
    }
}
