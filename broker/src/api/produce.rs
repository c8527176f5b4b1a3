//! Produce: batches in.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Call};
use crate::core::Core;
use crate::state::State;

/// A producer that wants no acknowledgement gets no response at all.
pub(super) async fn produce(call: Call, body: Bytes, core: &Core) -> Answer {
    let request: ProduceRequest = call.decode(body)?;
    let wants_response = request.acks != 0;
    let response = core.run(move |state| take(state, request)).await?;
    if wants_response { call.encode(&response) } else { Ok(None) }
}

fn take(state: &mut State, request: ProduceRequest) -> ProduceResponse {
    let ProduceRequest { transactional_id, acks, topic_data, .. } = request;
    let id = transactional_id.as_ref().map(|id| id.as_str());
    let mut responses = Vec::with_capacity(topic_data.len());
    for TopicProduceData { name, partition_data, .. } in topic_data {
        let mut partitions = Vec::with_capacity(partition_data.len());
        for data in partition_data {
            partitions.push(take_one(state, id, acks, &name, data));
        }
        responses.push(
            TopicProduceResponse::default().with_name(name).with_partition_responses(partitions),
        );
    }
    ProduceResponse::default().with_responses(responses)
}

fn take_one(
    state: &mut State,
    id: Option<&str>,
    acks: i16,
    topic: &TopicName,
    data: PartitionProduceData,
) -> PartitionProduceResponse {
    let records = data.records.unwrap_or_default();
    let taken = if matches!(acks, -1..=1) {
        state.produce(id, topic, data.index, &records)
    } else {
        Err(ResponseError::InvalidRequiredAcks)
    };
    let log_start = state.partition(topic, data.index).map_or(-1, |log| log.log_start());
    let response = PartitionProduceResponse::default()
        .with_index(data.index)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(log_start);
    match taken {
        Ok(base_offset) => response.with_base_offset(base_offset),
        Err(error) => response
            .with_error_code(error.code())
            .with_base_offset(-1)
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    }
}
