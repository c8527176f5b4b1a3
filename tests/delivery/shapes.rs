//! Goal: the promise does not depend on the pipeline's shape.
//! Method: both deliveries, one source to two topics, more shards than cores.

use anyhow::{Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer};
use headwater_test_support::pipeline::Delivery;
use headwater_test_support::topic::Isolation;
use headwater_test_support::wait;

use crate::kills::kill_rounds;
use crate::world::{Bench, PATIENCE, count, demand_line, endless, judge, random};

#[test]
fn both_deliveries_bring_every_message_where_nothing_goes_wrong() -> Result<()> {
    let deliveries = [
        ("exactly", Delivery::ExactlyOnce, "exactly_once"),
        ("atleast", Delivery::AtLeastOnce, "at_least_once"),
    ];
    for (name, delivery, guarantee) in deliveries {
        let server = ScriptedServer::start(Script::new(5_000))?;
        let mut bench = Bench::new(name, server.endpoint())?.shards(2);
        bench.pipeline.delivery = delivery;
        let (code, log) = bench.run()?;
        assert_eq!(code, Some(0), "{log}");
        demand_line(&log, &["event=stream", &format!("guarantee={guarantee}")]);
        bench.demand_exact(5_000)?;
    }
    Ok(())
}

#[test]
fn fifty_shards_on_two_workers_are_exact_across_kills() -> Result<()> {
    let mut random = random();
    let server = ScriptedServer::start(endless(60))?;
    let mut bench = Bench::new("fifty", server.endpoint())?.shards(50);
    kill_rounds(&mut bench, &server, 4, &mut random)?;
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    let aborted = bench.aborted()?;
    println!("50 shards, {total} events each, {aborted} aborted copies");
    assert!(aborted > 0, "no kill hit an open transaction");
    Ok(())
}

/// Both topics are one transaction: after any kill they hold the same part of the stream.
#[test]
fn two_topics_of_one_source_are_exact_and_move_together() -> Result<()> {
    const ROUNDS: u32 = 6;
    let mut random = random();
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("fan", server.endpoint())?.shards(2);
    bench.more = format!(
        "  copy:\n    kind: kafka\n    from: values\n    brokers: {}\n    topic: fan.copy\n    \
         partition: shard\n    headers: {{ provenance: true }}\n    \
         create: {{ partitions: 2, replication: 1 }}\n",
        bench.pipeline.brokers
    );
    let brokers = bench.pipeline.brokers.clone();
    let mut seen = 0;
    for _ in 0..ROUNDS {
        kill_rounds(&mut bench, &server, 1, &mut random)?;
        // Markers come one after the other, but no new transaction does any more.
        wait::until_ok("as many records in both topics", PATIENCE, || {
            let records = count(&brokers, "fan", Isolation::Committed)?;
            let is_same = records == count(&brokers, "fan.copy", Isolation::Committed)?;
            ensure!(records >= seen, "records are gone: {records} after {seen}");
            seen = records;
            Ok(is_same)
        })?;
    }
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    judge(&brokers, "fan.copy", bench.shard_names(), total)??;
    let aborted = bench.aborted()?;
    println!("{ROUNDS} kills, {total} events a shard, {aborted} aborted copies");
    assert!(aborted > 0, "no kill hit an open transaction");
    Ok(())
}
