//! Records outside transactions.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clients::{Deadline, Isolation, PATIENCE, drain, only_offset, put};
use crate::cluster::Cluster;

const FIRST_MS: i64 = 1_700_000_000_000;

pub(crate) fn keys_headers_times_and_offsets_are_kept(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic_with("plain", 2, &[("retention.ms", "-1")])?;
    let producer = cluster.producer(&[("enable.idempotence", "false")])?;
    for index in 0..500 {
        let (key, value) = (format!("k{index}"), format!("v{index}"));
        let header = Header { key: "h", value: Some("x") };
        let record = BaseRecord::to(&topic)
            .partition(index % 2)
            .key(&key)
            .payload(&value)
            .timestamp(FIRST_MS + i64::from(index))
            .headers(OwnedHeaders::new().insert(header));
        producer.send(record).map_err(|(error, _)| error)?;
    }
    drain(&producer)?;
    let read = cluster.read(&topic, 2, Isolation::Uncommitted)?;
    ensure!(read.len() == 500, "{} of 500 records", read.len());
    for partition in 0..2 {
        let offsets = read.iter().filter(|it| it.partition == partition).map(|it| it.offset);
        ensure!(offsets.eq(0..250), "offsets of partition {partition} are not dense");
    }
    check_first(cluster, &topic)
}

fn check_first(cluster: &Cluster, topic: &str) -> Result<()> {
    let consumer = cluster.consumer("reader", Isolation::Committed)?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&assignment)?;
    let mut deadline = Deadline::new("read the first record");
    let first = loop {
        deadline.check()?;
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => break message,
            None | Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => bail!("{error}"),
        }
    };
    ensure!(first.key() == Some(&b"k0"[..]));
    let header = first.headers().context("the record has headers")?.get(0);
    ensure!(header == Header { key: "h", value: Some(&b"x"[..]) });
    ensure!(first.timestamp().to_millis() == Some(FIRST_MS));
    ensure!(consumer.fetch_watermarks(topic, 0, PATIENCE)? == (0, 250));
    for (time, wanted) in [(FIRST_MS + 100, Offset::Offset(50)), (FIRST_MS + 9_999, Offset::End)] {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, 0, Offset::Offset(time))?;
        let found = only_offset(&consumer.offsets_for_times(asked, PATIENCE)?)?;
        ensure!(found == wanted, "the offset of {time} is {found:?}, not {wanted:?}");
    }
    Ok(())
}

pub(crate) fn every_codec_is_kept(cluster: &Cluster) -> Result<()> {
    let wanted: Vec<String> = (0..200).map(|it| format!("{it}-{}", "a".repeat(200))).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = cluster.topic(codec, 1)?;
        let producer = cluster.producer(&[("compression.codec", codec)])?;
        for value in &wanted {
            put(&producer, &topic, 0, value)?;
        }
        drain(&producer)?;
        let values = cluster.values(&topic, Isolation::Committed)?;
        ensure!(values == wanted, "{codec}: {} records", values.len());
    }
    Ok(())
}

pub(crate) fn an_idempotent_producer_keeps_its_order(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("idempotent", 1)?;
    let producer = cluster.producer(&[("enable.idempotence", "true")])?;
    let wanted: Vec<String> = (0..2000).map(|it| it.to_string()).collect();
    for value in &wanted {
        put(&producer, &topic, 0, value)?;
    }
    drain(&producer)?;
    ensure!(cluster.values(&topic, Isolation::Committed)? == wanted);
    Ok(())
}
