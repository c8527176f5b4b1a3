//! Transactions, in every version: of the producer that holds the id, and of the one it fenced.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::*;

/// What a fenced producer hears since KIP-588, and before.
const FENCED: ResponseError = ResponseError::ProducerFenced;
const OLD_EPOCH: ResponseError = ResponseError::InvalidProducerEpoch;

pub(super) async fn exchange_all(tried: &mut Tried) {
    init(tried).await;
    add_partitions(tried).await;
    add_offsets(tried).await;
    commit_offsets(tried).await;
    end(tried).await;
    look(tried).await;
}

async fn init(tried: &mut Tried) {
    let code = |it: &InitProducerIdResponse| it.error_code;
    let request = |id: Option<&str>, timeout_ms| {
        InitProducerIdRequest::default()
            .with_transactional_id(id.map(|id| TransactionalId(text(id))))
            .with_transaction_timeout_ms(timeout_ms)
    };
    for id in [None, Some("new"), Some(OPEN), Some(ABORTED)] {
        each(tried, .., |_, _| request(id, TIMEOUT_MS), code, SUCCESS).await;
    }
    let timeout = ResponseError::InvalidTransactionTimeout.code();
    each(tried, .., |_, _| request(Some(OPEN), 0), code, timeout).await;
    let fenced = |_, it: Producer| {
        request(Some(OPEN), TIMEOUT_MS)
            .with_producer_id(ProducerId(it.id))
            .with_producer_epoch(stale(it).epoch)
    };
    each(tried, 3..4, fenced, code, OLD_EPOCH.code()).await;
    each(tried, 4.., fenced, code, FENCED.code()).await;
}

async fn add_partitions(tried: &mut Tried) {
    let code = |it: &AddPartitionsToTxnResponse| {
        let topic = &it.results_by_topic_v3_and_below[0];
        topic.results_by_partition[0].partition_error_code
    };
    let request = |name, it: Producer| {
        let topic =
            AddPartitionsToTxnTopic::default().with_name(topic_name(name)).with_partitions(vec![0]);
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(OPEN)))
            .with_v3_and_below_producer_id(ProducerId(it.id))
            .with_v3_and_below_producer_epoch(it.epoch)
            .with_v3_and_below_topics(vec![topic])
    };
    each(tried, .., |_, it| request(TOPIC, it), code, SUCCESS).await;
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    each(tried, .., |_, it| request(MISSING, it), code, unknown).await;
    each(tried, ..2, |_, it| request(TOPIC, stale(it)), code, OLD_EPOCH.code()).await;
    each(tried, 2.., |_, it| request(TOPIC, stale(it)), code, FENCED.code()).await;
}

async fn add_offsets(tried: &mut Tried) {
    let code = |it: &AddOffsetsToTxnResponse| it.error_code;
    let request = |id, it: Producer| {
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(ProducerId(it.id))
            .with_producer_epoch(it.epoch)
            .with_group_id(group_id(GROUP))
    };
    each(tried, .., |_, it| request(OPEN, it), code, SUCCESS).await;
    let unknown = ResponseError::InvalidProducerIdMapping.code();
    each(tried, .., |_, it| request(MISSING, it), code, unknown).await;
    each(tried, ..2, |_, it| request(OPEN, stale(it)), code, OLD_EPOCH.code()).await;
    each(tried, 2.., |_, it| request(OPEN, stale(it)), code, FENCED.code()).await;
}

async fn commit_offsets(tried: &mut Tried) {
    let code = |it: &TxnOffsetCommitResponse| it.topics[0].partitions[0].error_code;
    let request = |group, it: Producer| {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(2);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name(TOPIC))
            .with_partitions(vec![partition]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(OPEN)))
            .with_group_id(group_id(group))
            .with_producer_id(ProducerId(it.id))
            .with_producer_epoch(it.epoch)
            .with_topics(vec![topic])
    };
    each(tried, .., |_, it| request(IDLE, it), code, SUCCESS).await;
    let not_added = ResponseError::InvalidTxnState.code();
    each(tried, .., |_, it| request(MISSING, it), code, not_added).await;
    each(tried, .., |_, it| request(IDLE, stale(it)), code, OLD_EPOCH.code()).await;
    let behind = |_, it| request(GROUP, it).with_member_id(text(MEMBER)).with_generation_id(0);
    each(tried, 3.., behind, code, ResponseError::IllegalGeneration.code()).await;
}

async fn end(tried: &mut Tried) {
    let code = |it: &EndTxnResponse| it.error_code;
    let request = |id, it: Producer| {
        EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(ProducerId(it.id))
            .with_producer_epoch(it.epoch)
            .with_committed(true)
    };
    each(tried, .., |_, it| request(OPEN, it), code, SUCCESS).await;
    let unknown = ResponseError::InvalidProducerIdMapping.code();
    each(tried, .., |_, it| request(MISSING, it), code, unknown).await;
    each(tried, ..2, |_, it| request(OPEN, stale(it)), code, OLD_EPOCH.code()).await;
    each(tried, 2.., |_, it| request(OPEN, stale(it)), code, FENCED.code()).await;
}

async fn look(tried: &mut Tried) {
    let code = |it: &DescribeTransactionsResponse| it.transaction_states[0].error_code;
    let describe = |id| {
        let ids = vec![TransactionalId(text(id))];
        DescribeTransactionsRequest::default().with_transactional_ids(ids)
    };
    each(tried, .., |_, _| describe(OPEN), code, SUCCESS).await;
    each(tried, .., |_, _| describe(ABORTED), code, SUCCESS).await;
    let unknown = ResponseError::TransactionalIdNotFound.code();
    each(tried, .., |_, _| describe(MISSING), code, unknown).await;
    let listed = |it: &ListTransactionsResponse| {
        assert_eq!(it.transaction_states.len(), 2);
        it.error_code
    };
    each(tried, .., |_, _| ListTransactionsRequest::default(), listed, SUCCESS).await;
}
