//! Consumer groups, alone and with transactions.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clients::{Deadline, Isolation, PATIENCE, abort, commit, drain, only_offset, put};
use crate::cluster::Cluster;

const BATCH: usize = 10;

pub(crate) fn offsets_commit_with_their_transaction_and_roll_back(cluster: &Cluster) -> Result<()> {
    let (source, target) = (cluster.topic("source", 1)?, cluster.topic("target", 1)?);
    let wanted: Vec<String> = (0..100).map(|it| it.to_string()).collect();
    let feeder = cluster.producer(&[])?;
    for value in &wanted {
        put(&feeder, &source, 0, value)?;
    }
    drain(&feeder)?;
    let producer = cluster.transactional(&cluster.name("id"))?;
    let consumer = cluster.consumer(&cluster.name("group"), Isolation::Committed)?;
    consumer.subscribe(&[&source])?;
    let mut copied = 0;
    let mut has_aborted = false;
    while copied < wanted.len() {
        let batch = take(&consumer, BATCH)?;
        let next = batch.last().context("a batch is not empty")?.0 + 1;
        producer.begin_transaction()?;
        for (_, value) in &batch {
            put(&producer, &target, 0, value)?;
        }
        let mut position = TopicPartitionList::new();
        position.add_partition_offset(&source, 0, Offset::Offset(next))?;
        let member = consumer.group_metadata().context("the consumer is in a group")?;
        producer.send_offsets_to_transaction(&position, &member, PATIENCE)?;
        if copied == 50 && !has_aborted {
            abort(&producer)?;
            has_aborted = true;
            ensure!(only_offset(&consumer.committed(PATIENCE)?)? == Offset::Offset(50));
            consumer.seek(&source, 0, Offset::Offset(50), PATIENCE)?;
        } else {
            commit(&producer)?;
            copied += batch.len();
        }
    }
    ensure!(only_offset(&consumer.committed(PATIENCE)?)? == Offset::Offset(100));
    ensure!(cluster.values(&target, Isolation::Committed)? == wanted);
    Ok(())
}

/// The next records, with their offsets.
fn take(consumer: &BaseConsumer, count: usize) -> Result<Vec<(i64, String)>> {
    let mut taken = Vec::new();
    let mut deadline = Deadline::new("read a batch");
    while taken.len() < count {
        deadline.check()?;
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let value = message.payload().context("no tombstones are written")?;
                taken.push((message.offset(), String::from_utf8(value.to_vec())?));
            }
            None | Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => bail!("{error}"),
        }
    }
    Ok(taken)
}

pub(crate) fn two_members_share_and_one_takes_over(cluster: &Cluster) -> Result<()> {
    let (topic, group) = (cluster.topic("shared", 4)?, cluster.name("group"));
    let feeder = cluster.producer(&[])?;
    for index in 0..40 {
        put(&feeder, &topic, index % 4, &index.to_string())?;
    }
    drain(&feeder)?;
    let first = cluster.consumer(&group, Isolation::Committed)?;
    first.subscribe(&[&topic])?;
    take(&first, 40)?;
    let second = cluster.consumer(&group, Isolation::Committed)?;
    second.subscribe(&[&topic])?;
    poll_until("share the partitions", &[&first, &second], &[2, 2])?;
    drop(second);
    poll_until("take over the partitions", &[&first], &[4])
}

fn poll_until(what: &'static str, members: &[&BaseConsumer], wanted: &[usize]) -> Result<()> {
    let mut deadline = Deadline::new(what);
    loop {
        deadline.check()?;
        let mut counts = Vec::new();
        for member in members {
            member.poll(Duration::from_millis(50));
            counts.push(member.assignment()?.count());
        }
        if counts == wanted {
            return Ok(());
        }
    }
}

/// KIP-447: a consumer that lost its partitions cannot commit for them through a producer.
pub(crate) fn a_stale_generation_cannot_commit(cluster: &Cluster) -> Result<()> {
    let (source, target) = (cluster.topic("source", 1)?, cluster.topic("target", 1)?);
    let group = cluster.name("group");
    let first = cluster.consumer(&group, Isolation::Committed)?;
    first.subscribe(&[&source])?;
    poll_until("get the partition", &[&first], &[1])?;
    let stale = first.group_metadata().context("the consumer is in a group")?;
    first.unsubscribe();
    drop(first);
    let second = cluster.consumer(&group, Isolation::Committed)?;
    second.subscribe(&[&source])?;
    poll_until("get the partition", &[&second], &[1])?;

    let producer = cluster.transactional(&cluster.name("id"))?;
    producer.begin_transaction()?;
    put(&producer, &target, 0, "stale")?;
    let mut position = TopicPartitionList::new();
    position.add_partition_offset(&source, 0, Offset::Offset(3))?;
    // librdkafka tries again until its time is up.
    let sent = producer.send_offsets_to_transaction(&position, &stale, Duration::from_secs(5));
    ensure!(sent.is_err(), "a stale generation committed");
    abort(&producer)?;
    let committed = second.committed(PATIENCE)?;
    ensure!(only_offset(&committed)? == Offset::Invalid, "{committed:?}");
    ensure!(cluster.values(&target, Isolation::Committed)?.is_empty());
    Ok(())
}
