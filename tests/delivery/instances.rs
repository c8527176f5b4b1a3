//! Goal: two instances of a pipeline never write at once; the newer one owns it.
//! Method: start a second process while the first one is under load.

use anyhow::Result;
use headwater_test_support::grpc::ScriptedServer;

use crate::world::{Bench, COMMITTED, PATIENCE, demand_line, endless, metric, wait_committed};

#[test]
fn a_second_instance_takes_over_and_the_first_one_leaves() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("instances", server.endpoint())?.shards(2);
    let mut first = bench.start()?;
    wait_committed(&mut first, 500.0)?;
    let mut second = bench.start()?;
    let status = first.wait_exit(PATIENCE)?;
    assert_eq!(status.code(), Some(76), "{}", first.log()?);
    demand_line(&first.log()?, &["event=pipeline_superseded", "superseded by instance"]);
    let committed = metric(&second, COMMITTED);
    wait_committed(&mut second, committed + 500.0)?;
    assert_eq!(second.stop(PATIENCE)?.0.code(), Some(0));
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

/// The first one was frozen when it was replaced, with a transaction open, and wakes up later.
#[test]
fn an_instance_that_wakes_up_behind_its_successor_writes_nothing() -> Result<()> {
    use headwater_test_support::process::signal;
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("zombie", server.endpoint())?.shards(2);
    let mut first = bench.start()?;
    wait_committed(&mut first, 500.0)?;
    signal(first.pid(), "STOP")?;
    let mut second = bench.start()?;
    wait_committed(&mut second, 500.0)?;
    signal(first.pid(), "CONT")?;
    let status = first.wait_exit(PATIENCE)?;
    assert_eq!(status.code(), Some(76), "{}", first.log()?);
    assert_eq!(second.stop(PATIENCE)?.0.code(), Some(0));
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}
