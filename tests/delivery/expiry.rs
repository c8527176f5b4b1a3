//! Goal: a pause longer than the broker keeps transactional ids changes nothing: progress is in the
//! progress topic, and whoever comes back gets new producer ids.
//! Method: an Apache Kafka of the test's own that forgets ids and producers after seconds instead
//! of days; that they are gone is asked of the broker itself. The pipeline is stopped, killed, idle
//! or frozen meanwhile.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::kafka::{ApacheOptions, Cluster};
use headwater_test_support::process::signal;
use headwater_test_support::transactional::transactional_ids;
use headwater_test_support::wait;

use crate::world::{
    Bench, COMMITTED, PATIENCE, demand_line, endless, metric, own_kafka_with, wait_committed,
};

/// So long an id may be unused; under load a pipeline commits many times a second.
const KEPT_MS: &str = "4000";

/// Of a killed owner; the broker forgets no id whose transaction is open.
const TRANSACTION_TIMEOUT: &str = "transaction_timeout_ms: 10000";

/// A Kafka that forgets soon; none unless real Kafka is wanted.
fn forgetful_kafka() -> Result<Option<Cluster>> {
    let settings = [
        ("transactional.id.expiration.ms", KEPT_MS),
        ("transaction.remove.expired.transaction.cleanup.interval.ms", "500"),
        // What the partitions know of producers, which is kept for a day otherwise.
        ("producer.id.expiration.ms", KEPT_MS),
        ("producer.id.expiration.check.interval.ms", "500"),
    ];
    let settings = settings.map(|(key, value)| (key, value.to_owned())).to_vec();
    own_kafka_with(|| ApacheOptions { settings, via: None })
}

fn bench(kafka: &Cluster, name: &str, server: &ScriptedServer) -> Result<Bench> {
    let mut bench = Bench::on(kafka.bootstrap(), name, server.endpoint())?;
    bench.pipeline.sink_extra.push(TRANSACTION_TIMEOUT.to_owned());
    Ok(bench)
}

/// The ids that the broker knows, once they are those of a ring of two.
fn known(kafka: &Cluster) -> Result<BTreeMap<String, i64>> {
    let mut ids = BTreeMap::new();
    wait::until_ok("two transactional ids", PATIENCE, || {
        ids = transactional_ids(kafka.bootstrap())?;
        Ok(ids.len() == 2)
    })?;
    Ok(ids)
}

fn wait_forgotten(kafka: &Cluster) -> Result<()> {
    wait::until_ok("the broker to forget all transactional ids", 2 * PATIENCE, || {
        Ok(transactional_ids(kafka.bootstrap())?.is_empty())
    })
}

#[test]
fn a_start_after_the_broker_has_forgotten_all_ids_goes_on_with_new_producers() -> Result<()> {
    let Some(kafka) = forgetful_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = bench(&kafka, "long-pause", &server)?.shards(2);
    let mut producers: Vec<i64> = Vec::new();
    for is_killed in [false, true, false] {
        let mut headwater = bench.start()?;
        wait_committed(&mut headwater, 2_000.0)?;
        producers.extend(known(&kafka)?.values());
        if is_killed {
            headwater.kill9()?;
        } else {
            assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{}", headwater.log()?);
        }
        wait_forgotten(&kafka)?;
    }
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    println!("producer ids {producers:?}, {total} events a shard");
    producers.sort_unstable();
    producers.dedup();
    assert_eq!(producers.len(), 6, "each start has got new ones: {producers:?}");
    Ok(())
}

#[test]
fn an_idle_pipeline_goes_on_by_itself_after_the_broker_has_forgotten_its_ids() -> Result<()> {
    const ROUNDS: u64 = 4;
    const EVENTS: u64 = 500;
    let Some(kafka) = forgetful_kafka()? else { return Ok(()) };
    let round = [Step::Send(EVENTS), Step::Stall];
    let steps: Vec<Step> = round.iter().cloned().cycle().take(2 * ROUNDS as usize).collect();
    let server = ScriptedServer::start(Script::new(ROUNDS * EVENTS).rest(steps))?;
    let mut bench = bench(&kafka, "long-idle", &server)?;
    let mut headwater = bench.start()?;
    for round in 1..=ROUNDS {
        wait_committed(&mut headwater, (round * EVENTS) as f64)
            .with_context(|| format!("round {round}"))?;
        wait_forgotten(&kafka)?;
        server.release();
    }
    ensure!(headwater.wait_exit(PATIENCE)?.code() == Some(0), "{}", headwater.log()?);
    let log = headwater.log()?;
    demand_line(&log, &["facility=TXNERR", "INVALID_PRODUCER_ID_MAPPING"]);
    assert_eq!(server.calls().len(), 1, "repaired from memory");
    println!("{ROUNDS} rounds, {} take-overs", log.matches("=pipeline_acquired").count());
    bench.demand_exact(ROUNDS * EVENTS)
}

/// It was frozen with a transaction open, another instance went on and was stopped, and the broker
/// knows neither of them any more when it wakes up: nothing that it asks for is refused as fenced.
#[test]
fn an_instance_that_wakes_up_when_its_successor_is_forgotten_sends_nothing_again() -> Result<()> {
    let Some(kafka) = forgetful_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = bench(&kafka, "long-frozen", &server)?.shards(2);
    bench.more.push_str("takeover: { heartbeat_ms: 300, after_ms: 4000 }\n");
    let mut first = bench.start()?;
    wait_committed(&mut first, 1_000.0)?;
    signal(first.pid(), "STOP")?;
    let mut second = bench.start()?;
    wait_committed(&mut second, 2_000.0)?;
    assert_eq!(second.stop(PATIENCE)?.0.code(), Some(0), "{}", second.log()?);
    wait_forgotten(&kafka)?;
    signal(first.pid(), "CONT")?;
    let committed = metric(&first, COMMITTED);
    wait_committed(&mut first, committed + 2_000.0)?;
    let log = first.log()?;
    assert_eq!(first.stop(PATIENCE)?.0.code(), Some(0), "{}", first.log()?);
    let total = bench.finish(server)?;
    bench.demand_exact(total).with_context(|| log.clone())?;
    demand_line(&log, &["event=pipeline_standby", "superseded"]);
    Ok(())
}
