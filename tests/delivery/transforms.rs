//! Goal: what a filter leaves is in the topics that timestamps name, once and in order, whatever
//! dies; what it drops moves the position all the same.
//! Method: a filter before the decoder, steps behind it and a topic per hour, killed at random
//! moments. The fleet tells which events had to stay; the judge counts those alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use headwater_telemetry::Fleet;
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::topic::{Isolation, Sequences, for_each, identity};
use rdkafka::message::Message;
use serde_json::Value as Json;

use crate::kills::kill_rounds;
use crate::world::{Bench, count, endless, metric, random, wait_committed};

/// Events of an hour, as the pipeline takes their numbers for seconds.
const EVENTS_AN_HOUR: u64 = 3_600;

/// The site whose events are dropped.
const DROPPED: &str = "delft";

/// An event's number among those that stay.
fn ranks(total: u64) -> BTreeMap<u64, u64> {
    let fleet = Fleet::default();
    let stays = |number: &u64| fleet.event(*number, 0, &Bytes::new()).site != DROPPED;
    (1..=total).filter(stays).zip(1..).collect()
}

fn bench(name: &str, server: &ScriptedServer) -> Result<Bench> {
    let mut bench = Bench::new(name, server.endpoint())?.shards(2);
    bench.more = format!(
        "\
transforms:
  wanted: {{ kind: filter, from: events, drop: \"site == '{DROPPED}'\" }}
  slim:
    kind: fields
    from: values
    steps:
      - rename: {{ deviceId: device }}
      - exclude: [payload]
      - insert: {{ field: env, value: test }}
"
    );
    bench.pipeline.decoder_from = "wanted".to_owned();
    bench.pipeline.sink_from = "slim".to_owned();
    bench.pipeline.partitions = None;
    // By the moments that their numbers stand for, records are older than a broker keeps them.
    bench.pipeline.sink_extra.push(
        "timestamp: { field: sequence, unit: s }\nroute: { timestamp_format: yyyyMMddHH }\n\
         create: { partitions: 4, replication: 1, config: { retention.ms: -1 } }"
            .to_owned(),
    );
    Ok(bench)
}

/// The topics of so many events.
fn topics(name: &str, total: u64) -> Vec<String> {
    let hours = 0..=total / EVENTS_AN_HOUR;
    hours.map(|hour| format!("{name}-197001{:02}{:02}", 1 + hour / 24, hour % 24)).collect()
}

#[test]
fn filtered_and_routed_records_are_exact_across_kills() -> Result<()> {
    const NAME: &str = "routed";
    const ROUNDS: u32 = 10;
    let mut random = random();
    let server = ScriptedServer::start(endless(2_000))?;
    let mut bench = bench(NAME, &server)?;
    let mut headwater = bench.start()?;
    // Nearly an hour of each shard, so that the kills come where the topic changes.
    wait_committed(&mut headwater, 6_000.0)?;
    // Nothing is set aside, so only the filter emits less than it receives.
    let of_all = |what| metric(&headwater, &format!("headwater_operator_{what}_records_total"));
    assert!(of_all("emitted") < of_all("received"), "the filter drops records");
    headwater.kill9()?;
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    let total = bench.finish(server)?;

    let ranks = ranks(total);
    assert!(ranks.len() < total as usize, "the filter has something to drop");
    let stay = ranks.len() as u64;
    let shards = bench.shard_names().iter().map(|shard| (shard.clone(), 1..=stay));
    let mut sequences = Sequences::expect_shards(shards);
    let brokers = bench.pipeline.brokers.clone();
    let topics = topics(NAME, total);
    let mut aborted = 0;
    for (hour, topic) in (0..).zip(&topics) {
        let committed = for_each(&brokers, topic, Isolation::Committed, |message| {
            let (shard, number) = identity(message)?;
            ensure!(number / EVENTS_AN_HOUR == hour, "event {number} is in topic {topic}");
            let value: Json = serde_json::from_slice(message.payload().context("a value")?)?;
            let is_changed = value.get("device").is_some() && value["env"] == "test";
            let is_rid = value.get("deviceId").is_none() && value.get("payload").is_none();
            ensure!(is_changed && is_rid, "a record is not as the steps make it: {value}");
            let rank = ranks.get(&number).with_context(|| format!("event {number} was to go"))?;
            sequences.observe(&shard, message.partition(), *rank);
            Ok(())
        })?;
        aborted += count(&brokers, topic, Isolation::Uncommitted)? - committed;
    }
    let records = sequences.finish()?;
    assert_eq!(records, stay * 2);
    println!(
        "{ROUNDS} kills, {total} events a shard of which {stay} stay, {} topics, {aborted} aborted \
         copies",
        topics.len()
    );
    assert!(aborted > 0, "no kill hit an open transaction");
    assert!(topics.len() > 1, "records went to several topics");
    Ok(())
}
