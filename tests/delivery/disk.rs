//! Goal: a broker whose disk is full costs time and nothing else.
//! Method: an Apache Kafka of the test's own whose files may not grow any more, under load. It
//! gives its log folder up and ends; started again with room, the same process of the pipeline goes
//! on.

use anyhow::Result;
use headwater_test_support::grpc::ScriptedServer;

use crate::world::{Bench, COMMITTED, PATIENCE, demand_line, endless, is_in, metric, own_kafka};

/// Room for what the broker has to say about it, and less than its log of records holds by then.
const FILE_BYTES_MAX: u64 = 256 << 10;

#[test]
fn a_broker_whose_disk_is_full_loses_and_repeats_nothing() -> Result<()> {
    const TIMES: u32 = 2;
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::on(kafka.bootstrap(), "disk-full", server.endpoint())?.shards(2);
    let mut headwater = bench.start()?;
    for _ in 0..TIMES {
        let committed = metric(&headwater, COMMITTED);
        let enough = committed + 2_000.0;
        headwater.wait_for("commits", 2 * PATIENCE, |it| metric(it, COMMITTED) >= enough)?;
        kafka.fill_disk(FILE_BYTES_MAX)?;
        kafka.wait_ended(2 * PATIENCE)?;
        let said = kafka.log()?;
        demand_line(&said, &["java.io.IOException: File too large"]);
        headwater.wait_for("degraded", PATIENCE, |it| is_in(it, "degraded", 200))?;
        let lines = said.lines().filter(|line| line.contains("ERROR")).take(3);
        println!("the broker: {:#?}", lines.collect::<Vec<_>>());
        kafka.restart()?;
    }
    let committed = metric(&headwater, COMMITTED);
    headwater.wait_for("commits behind it", 2 * PATIENCE, |it| {
        metric(it, COMMITTED) >= committed + 2_000.0
    })?;
    let metrics = headwater.metrics()?;
    let (resends, rebuilds) =
        (metrics.sum("headwater_resends_total"), metrics.sum("headwater_rebuilds_total"));
    let calls = server.calls().len();
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{}", headwater.log()?);
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    println!("{TIMES} times full: {resends} resends, {rebuilds} rebuilds, {calls} calls, {total}");
    Ok(())
}
