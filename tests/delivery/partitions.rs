//! Goal: partitions that are added to a topic under a pipeline lose and repeat nothing, and are
//! used.
//! Method: the topic grows while events are written; then a fresh reader looks where they lie.
//!
//! What takes them up differs. The partition of a shard is our own choice, made of the number of
//! partitions at the start or take-over; that of a key is librdkafka's, which asks for the number
//! every `topic.metadata.refresh.interval.ms`, five minutes unless told otherwise.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::kafka::Cluster;
use headwater_test_support::topic::{Isolation, for_each};
use rdkafka::message::Message;

use crate::world::{
    Bench, COMMITTED, PATIENCE, demand_line, endless, identity, is_real_kafka, kafka, metric,
    wait_committed,
};

const BEFORE: i32 = 2;
const AFTER: i32 = 8;
const SHARDS: u32 = 6;

/// The numbers that each partition holds of each shard, in the order of the log.
type Lie = BTreeMap<String, BTreeMap<i32, Vec<u64>>>;

fn lie(bench: &Bench) -> Result<Lie> {
    let mut lie = Lie::new();
    for_each(&bench.pipeline.brokers, &bench.pipeline.topic, Isolation::Committed, |message| {
        let (shard, number) = identity(message)?;
        let numbers = lie.entry(shard).or_default().entry(message.partition()).or_default();
        numbers.push(number);
        Ok(())
    })?;
    Ok(lie)
}

/// How many records lie in partitions that were added.
fn in_new_ones(lie: &Lie) -> usize {
    let new = lie.values().flat_map(|it| it.range(BEFORE..));
    new.map(|(_, numbers)| numbers.len()).sum()
}

/// A pipeline into a topic of few partitions; none unless real Kafka is wanted.
fn bench(name: &str, server: &ScriptedServer) -> Result<Option<Bench>> {
    if !is_real_kafka() {
        return Ok(None);
    }
    let mut bench = Bench::new(name, server.endpoint())?.shards(SHARDS);
    bench.pipeline.partitions = Some(BEFORE as u32);
    Ok(Some(bench))
}

fn add_partitions(bench: &Bench) -> Result<()> {
    Cluster::given(kafka()).add_partitions(&bench.pipeline.topic, AFTER as usize)
}

/// A shard lies in one partition up to a number, and in another from the next one on.
#[test]
fn the_next_start_takes_up_added_partitions_and_a_shard_moves_once() -> Result<()> {
    let server = ScriptedServer::start(endless(500))?;
    let Some(mut bench) = bench("grown-shards", &server)? else { return Ok(()) };
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 2_000.0)?;
    add_partitions(&bench)?;
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 2_000.0)?;
    println!("{} records in new partitions while running", in_new_ones(&lie(&bench)?));
    // A kill leaves an epoch open that was meant for the old partitions.
    headwater.kill9()?;
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    let lie = lie(&bench)?;
    assert!(in_new_ones(&lie) > 0, "the restart takes them up");
    for (shard, partitions) in &lie {
        ensure!(partitions.len() <= 2, "{shard} lies in {:?}", partitions.keys());
        let mut runs: Vec<&Vec<u64>> = partitions.values().collect();
        runs.sort_by_key(|numbers| numbers[0]);
        ensure!(runs.into_iter().flatten().copied().eq(1..=total), "{shard} moved more than once");
    }
    let moved = lie.values().filter(|it| it.len() == 2).count();
    println!("{moved} of {SHARDS} shards moved, {total} events each");
    Ok(())
}

/// Of a key the records behind the move may be read before those in front of it.
#[test]
fn a_running_pipeline_writes_keys_to_added_partitions_once_its_client_has_heard_of_them()
-> Result<()> {
    let server = ScriptedServer::start(endless(500))?;
    let Some(mut bench) = bench("grown-keys", &server)? else { return Ok(()) };
    let by = bench.pipeline.sink_extra.last_mut().context("the sink's keys")?;
    *by = by.replace("partition: shard", "key: device_id");
    let soon = "properties: { topic.metadata.refresh.interval.ms: 500 }";
    bench.pipeline.sink_extra.push(soon.to_owned());
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 2_000.0)?;
    add_partitions(&bench)?;
    headwater.wait_for("records in new partitions", PATIENCE, |_| {
        lie(&bench).is_ok_and(|it| in_new_ones(&it) > 0)
    })?;
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 2_000.0)?;
    let (metrics, log) = (headwater.metrics()?, headwater.log()?);
    demand_line(&log, &["event=pipeline_acquired", "generation=1"]);
    let rebuilds = metrics.sum("headwater_rebuilds_total");
    println!("{rebuilds} rebuilds, {} take-overs", log.matches("=pipeline_acquired").count());
    headwater.kill9()?;
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}
