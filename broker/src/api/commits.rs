//! Committed offsets: written by members or by clients that assign themselves, and read back.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, code, text};
use crate::journal::{CommittedOffset, Entry};
use crate::state::State;

pub(super) fn offset_commit(
    state: &mut State,
    _call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let error_code = code(&commit(state, &request));
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|it| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(it.partition_index)
                .with_error_code(error_code)
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn commit(state: &mut State, request: &OffsetCommitRequest) -> Result<(), ResponseError> {
    let now_ms = state.now_ms;
    let generation = request.generation_id_or_member_epoch;
    match state.groups.get_mut(request.group_id.as_str()) {
        Some(group) => group.check_commit(&request.member_id, generation, now_ms)?,
        None if generation < 0 && request.member_id.is_empty() => {}
        None => return Err(ResponseError::UnknownMemberId),
    }
    let offsets = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|it| CommittedOffset {
            topic: topic.name.to_string(),
            partition: it.partition_index,
            offset: it.committed_offset,
            leader_epoch: it.committed_leader_epoch,
            metadata: it.committed_metadata.as_deref().unwrap_or_default().to_owned(),
        })
    });
    let (group, offsets) = (request.group_id.to_string(), offsets.collect());
    state.change(Entry::Offsets { group, offsets });
    Ok(())
}

pub(super) fn offset_fetch(
    state: &mut State,
    _call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let id = request.group_id.as_str();
    let asked: Vec<(TopicName, Vec<i32>)> = match request.topics {
        Some(topics) => topics.into_iter().map(|it| (it.name, it.partition_indexes)).collect(),
        None => everything(state, id),
    };
    let topics = asked.into_iter().map(|(name, partitions)| {
        let partitions = partitions
            .into_iter()
            .map(|it| fetch_one(state, id, &name, it, request.require_stable));
        let partitions = partitions.collect();
        OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn everything(state: &State, group: &str) -> Vec<(TopicName, Vec<i32>)> {
    let mut topics: Vec<(TopicName, Vec<i32>)> = Vec::new();
    let offsets = state.groups.get(group).into_iter().flat_map(|it| it.offsets.keys());
    for (topic, partition) in offsets {
        match topics.last_mut() {
            Some((name, partitions)) if name.as_str() == topic => partitions.push(*partition),
            _ => topics.push((TopicName(text(topic)), vec![*partition])),
        }
    }
    topics
}

fn fetch_one(
    state: &State,
    group: &str,
    topic: &TopicName,
    partition: i32,
    require_stable: bool,
) -> OffsetFetchResponsePartition {
    let response = OffsetFetchResponsePartition::default().with_partition_index(partition);
    let is_pending = || {
        let mut transactions = state.transactions.values();
        transactions.any(|it| it.has_pending(group, topic, partition))
    };
    // An offset that an open transaction may yet change is not answered (KIP-447).
    if require_stable && is_pending() {
        let code = ResponseError::UnstableOffsetCommit.code();
        return response.with_committed_offset(-1).with_error_code(code);
    }
    let offsets = state.groups.get(group).map(|it| &it.offsets);
    match offsets.and_then(|it| it.get(&(topic.to_string(), partition))) {
        Some(it) => response
            .with_committed_offset(it.offset)
            .with_committed_leader_epoch(it.leader_epoch)
            .with_metadata(Some(text(&it.metadata))),
        None => response
            .with_committed_offset(-1)
            .with_committed_leader_epoch(-1)
            .with_metadata(Some(StrBytes::default())),
    }
}
