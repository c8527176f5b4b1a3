//! What the benchmarks share: the processes around the one that is measured, and the reports.
//!
//! What is measured is the `headwater` binary alone, from outside: Linux tells its CPU and memory,
//! Kafka tells what arrived. The generator and the broker are processes of their own.

#![allow(dead_code, unreachable_pub, reason = "each benchmark uses its part")]

pub mod generator;
pub mod machine;
pub mod open_loop;
pub mod options;
pub mod ratios;
pub mod straight;
pub mod subject;
pub mod table;

use std::time::Duration;

use anyhow::{Context, Result};
use headwater_proto::{DescriptorInput, Descriptors, MessageDescriptor};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::topic::{self, Isolation, Sequences, event};

/// Starting a process, or ending one, takes at most so long.
pub const SETTLE_MAX: Duration = Duration::from_secs(60);

/// Partitions of every topic that is written to.
pub const PARTITIONS: i32 = 4;

/// What a fresh reader found in a topic that is right.
pub struct Arrived {
    /// How many records.
    pub count: u64,
    /// When the first event left the generator, or was due.
    pub first_emitted_ns: i64,
    /// The mean size of a value.
    pub value_bytes: f64,
}

/// Reads the whole topic: every sequence from 1 to `count` once, in order per partition. Without a
/// count, up to the highest that came.
pub fn check(cluster: &Cluster, name: &str, count: Option<u64>) -> Result<Arrived> {
    let count = match count {
        Some(count) => count,
        None => highest(cluster, name)?,
    };
    let mut sequences = Sequences::expect(1..=count);
    let (mut first_emitted_ns, mut bytes) = (i64::MAX, 0);
    topic::for_each(cluster.bootstrap(), name, Isolation::Committed, |message| {
        let value = payload(message)?;
        let emitted_ns = event::emitted_ns(value).context("a value without a time")?;
        let sequence = event::sequence(value).context("a value without a sequence")?;
        sequences.observe("", rdkafka::Message::partition(message), sequence);
        first_emitted_ns = first_emitted_ns.min(emitted_ns);
        bytes += value.len();
        Ok(())
    })?;
    let count = sequences.finish().with_context(|| format!("topic {name}"))?;
    let value_bytes = bytes as f64 / count.max(1) as f64;
    Ok(Arrived { count, first_emitted_ns, value_bytes })
}

/// The type of the events.
pub fn event_descriptor() -> Result<MessageDescriptor> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("telemetry.proto");
    std::fs::write(&file, headwater_proto::TELEMETRY_PROTO)?;
    let includes = vec![folder.path().to_owned()];
    let descriptors = Descriptors::load(&DescriptorInput::Protos { files: vec![file], includes })?;
    descriptors.pool().get_message_by_name("bench.v1.Event").context("our own message")
}

fn highest(cluster: &Cluster, name: &str) -> Result<u64> {
    let mut highest = 0;
    topic::for_each(cluster.bootstrap(), name, Isolation::Committed, |message| {
        let sequence = event::sequence(payload(message)?).context("a value without a sequence")?;
        highest = highest.max(sequence);
        Ok(())
    })?;
    Ok(highest)
}

fn payload<'a>(message: &'a rdkafka::message::BorrowedMessage<'_>) -> Result<&'a [u8]> {
    rdkafka::Message::payload(message).context("a record without a value")
}
