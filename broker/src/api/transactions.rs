//! Transactions as the protocol has them; `state/transactions.rs` decides.
//!
//! Producers before KIP-588 know no `PRODUCER_FENCED`; they get `INVALID_PRODUCER_EPOCH`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_transactions_response::TopicData;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TopicName, TransactionalId,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, describe_transactions_response,
    list_transactions_response,
};

use super::{Call, code, text};
use crate::batch::Outcome;
use crate::journal::CommittedOffset;
use crate::state::{Phase, Producer, State, Transaction};

pub(super) fn init_producer_id(
    state: &mut State,
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let id = request.transactional_id.as_ref().map(|id| id.as_str());
    // A producer that recovers names what it had (KIP-360); -1 is a new one.
    let expected = producer(request.producer_id, request.producer_epoch);
    let expected = (expected.id >= 0).then_some(expected);
    let made = state.init_producer(id, request.transaction_timeout_ms, expected);
    let made = made.map_err(|error| for_version(error, call.version >= 4));
    let response = InitProducerIdResponse::default().with_error_code(code(&made));
    let Producer { id, epoch } = made.unwrap_or(Producer { id: -1, epoch: -1 });
    response.with_producer_id(ProducerId(id)).with_producer_epoch(epoch)
}

pub(super) fn add_partitions(
    state: &mut State,
    call: &Call,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let topics = &request.v3_and_below_topics;
    let is_known = |topic: &TopicName, partition: i32| state.partition(topic, partition).is_some();
    let all_known = topics.iter().all(|it| it.partitions.iter().all(|p| is_known(&it.name, *p)));
    // One unknown partition spoils all: nothing is added, and only it is to blame.
    let blame: Vec<Vec<i16>> = topics
        .iter()
        .map(|it| {
            let codes =
                it.partitions.iter().map(|partition| match is_known(&it.name, *partition) {
                    true => ResponseError::OperationNotAttempted.code(),
                    false => ResponseError::UnknownTopicOrPartition.code(),
                });
            codes.collect()
        })
        .collect();
    let added = all_known.then(|| {
        let wanted: Vec<_> =
            topics.iter().map(|it| (it.name.as_str(), &it.partitions[..])).collect();
        let id = request.v3_and_below_transactional_id.as_str();
        let producer =
            producer(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
        let added = state.add_partitions(id, producer, &wanted);
        code(&added.map_err(|error| for_version(error, call.version >= 2)))
    });
    let results = topics.iter().zip(blame).map(|(topic, blame)| {
        let partitions = topic.partitions.iter().zip(blame).map(|(partition, blame)| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(added.unwrap_or(blame))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

pub(super) fn add_offsets(
    state: &mut State,
    call: &Call,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let producer = producer(request.producer_id, request.producer_epoch);
    let added = state.add_group(&request.transactional_id, producer, &request.group_id);
    let added = added.map_err(|error| for_version(error, call.version >= 2));
    AddOffsetsToTxnResponse::default().with_error_code(code(&added))
}

pub(super) fn end(state: &mut State, call: &Call, request: EndTxnRequest) -> EndTxnResponse {
    let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
    let producer = producer(request.producer_id, request.producer_epoch);
    let ended = state.end_transaction(&request.transactional_id, producer, outcome);
    let ended = ended.map_err(|error| for_version(error, call.version >= 2));
    EndTxnResponse::default().with_error_code(code(&ended))
}

pub(super) fn offset_commit(
    state: &mut State,
    _call: &Call,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let error_code = code(&stage(state, &request).map_err(|error| for_version(error, false)));
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|it| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(it.partition_index)
                .with_error_code(error_code)
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn stage(state: &mut State, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
    // A producer that knows its consumer's generation is refused with a stale one (KIP-447).
    let names_member = request.generation_id >= 0 || !request.member_id.is_empty();
    if names_member {
        let now_ms = state.now_ms;
        let group = state.groups.get_mut(request.group_id.as_str());
        let group = group.ok_or(ResponseError::UnknownMemberId)?;
        group.check_commit(&request.member_id, request.generation_id, now_ms)?;
    }
    let offsets = request.topics.iter().flat_map(offsets_of).collect();
    let producer = producer(request.producer_id, request.producer_epoch);
    state.stage_offsets(&request.transactional_id, producer, &request.group_id, offsets)
}

fn offsets_of(topic: &TxnOffsetCommitRequestTopic) -> impl Iterator<Item = CommittedOffset> {
    topic.partitions.iter().map(|it| CommittedOffset {
        topic: topic.name.to_string(),
        partition: it.partition_index,
        offset: it.committed_offset,
        leader_epoch: it.committed_leader_epoch,
        metadata: it.committed_metadata.as_deref().unwrap_or_default().to_owned(),
    })
}

pub(super) fn describe(
    state: &mut State,
    _call: &Call,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.into_iter().map(|id| {
        let known = state.transactions.get(id.as_str());
        let response =
            describe_transactions_response::TransactionState::default().with_transactional_id(id);
        let Some(known) = known else {
            return response.with_error_code(ResponseError::TransactionalIdNotFound.code());
        };
        let is_open = known.phase == Phase::Ongoing;
        response
            .with_transaction_state(text(phase_name(known)))
            .with_transaction_timeout_ms(known.timeout_ms)
            .with_transaction_start_time_ms(if is_open { known.started_ms } else { -1 })
            .with_producer_id(ProducerId(known.producer.id))
            .with_producer_epoch(known.producer.epoch)
            .with_topics(known.partitions.iter().map(topic_data).collect())
    });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn topic_data((name, partitions): (&String, &std::collections::BTreeSet<i32>)) -> TopicData {
    let partitions = partitions.iter().copied().collect();
    TopicData::default().with_topic(TopicName(text(name))).with_partitions(partitions)
}

pub(super) fn list(
    state: &mut State,
    _call: &Call,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let now_ms = state.now_ms;
    let is_wanted = |it: &Transaction| {
        let (states, ids) = (&request.state_filters, &request.producer_id_filters);
        let is_long = request.duration_filter < 0
            || (it.phase == Phase::Ongoing && now_ms - it.started_ms > request.duration_filter);
        (states.is_empty() || states.iter().any(|name| name.as_str() == phase_name(it)))
            && (ids.is_empty() || ids.contains(&ProducerId(it.producer.id)))
            && is_long
    };
    let wanted = state.transactions.iter().filter(|(_, it)| is_wanted(it));
    let states = wanted.map(|(id, it)| {
        list_transactions_response::TransactionState::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(ProducerId(it.producer.id))
            .with_transaction_state(text(phase_name(it)))
    });
    ListTransactionsResponse::default().with_transaction_states(states.collect())
}

/// Kafka's names (`TransactionState`).
fn phase_name(transaction: &Transaction) -> &'static str {
    match transaction.phase {
        Phase::Empty => "Empty",
        Phase::Ongoing => "Ongoing",
        Phase::Committed => "CompleteCommit",
        Phase::Aborted => "CompleteAbort",
    }
}

fn producer(id: ProducerId, epoch: i16) -> Producer {
    Producer { id: id.0, epoch }
}

fn for_version(error: ResponseError, knows_fenced: bool) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if !knows_fenced => ResponseError::InvalidProducerEpoch,
        other => other,
    }
}
