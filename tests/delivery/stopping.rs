//! Goal: a stop commits what was received, so that the next start repeats nothing.
//! Method: SIGTERM under load; the next call's request tells what the program believes to have.

use std::time::Duration;

use anyhow::{Context, Result};
use headwater_test_support::grpc::{Call, Script, ScriptedServer};
use headwater_test_support::topic::{Isolation, read_all};

use crate::world::{Bench, PATIENCE, asked, count, endless, server_at, wait_committed};

/// A drain commits one epoch; the rest is patience with a busy machine.
const DRAIN_MAX: Duration = Duration::from_secs(10);

#[test]
fn a_stop_commits_all_that_was_received_and_the_next_start_repeats_nothing() -> Result<()> {
    const TOTAL: u64 = 10_000;
    let server = ScriptedServer::start(endless(2_000))?;
    let mut bench = Bench::new("stopped", server.endpoint())?.shards(2);
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 1_000.0)?;
    let (status, took) = headwater.stop(PATIENCE)?;
    let log = headwater.log()?;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(took < DRAIN_MAX, "{took:?}");

    let (brokers, topic) = (bench.pipeline.brokers.clone(), bench.pipeline.topic.clone());
    let committed = count(&brokers, &topic, Isolation::Committed)?;
    assert_eq!(received(&log)?, committed, "all that was received is committed");
    assert_eq!(bench.aborted()?, 0, "nothing was given up");
    let next = read_all(&brokers, &topic, Isolation::Committed)?;
    let next = bench.shard_names().iter().map(|name| {
        let of_shard = |it: &&headwater_test_support::topic::Read| {
            it.header("headwater-shard").is_some_and(|key| key.ends_with(name))
        };
        next.iter().filter(of_shard).count() as u64 + 1
    });
    let next = next.collect();

    let address = server.address();
    server.stop();
    let server = server_at(address, Script::new(TOTAL))?;
    bench.run_to_the_end()?;
    let calls = server.calls();
    assert_eq!(asked(&calls), next, "each shard goes on behind its last record");
    assert_eq!(calls.iter().map(Call::sent_count).sum::<u64>(), 2 * TOTAL - committed);
    println!("drained in {took:?}: {committed} records");
    bench.demand_exact(TOTAL)
}

/// How many messages the calls of a run brought, by its log.
fn received(log: &str) -> Result<u64> {
    let ended = log.lines().filter(|line| line.contains("event=call_ended"));
    ended
        .map(|line| {
            let count = line.split(" messages=").nth(1).and_then(|it| it.split(' ').next());
            count.context("a line with its count")?.parse::<u64>().context("a count")
        })
        .sum()
}
