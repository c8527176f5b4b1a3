//! Goal: a missing right stops the pipeline with the name of the ACL that grants it, and once it is
//! granted nothing is lost.
//! Method: an Apache Kafka with an authorizer; rights are taken away before a start and from a
//! running pipeline, and given back.

use anyhow::{Result, ensure};
use headwater_test_support::acl::{AUTHORIZER, Resource, allow, deny};
use headwater_test_support::grpc::{Script, ScriptedServer};
use headwater_test_support::kafka::{ApacheOptions, Cluster};

use crate::world::{Bench, PATIENCE, demand_line, endless, metric, own_kafka_with, wait_committed};

fn strict_kafka() -> Result<Option<Cluster>> {
    let settings = AUTHORIZER.map(|(key, value)| (key, value.to_owned())).to_vec();
    own_kafka_with(|| ApacheOptions { settings, via: None })
}

#[test]
fn a_right_that_is_missing_at_the_start_is_named() -> Result<()> {
    const ID: [&str; 3] = ["headwater.rights-start.0", "Write and Describe", "TransactionalId"];
    let Some(kafka) = strict_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(Script::new(500))?;
    let mut bench = Bench::on(kafka.bootstrap(), "rights-start", server.endpoint())?;
    deny(kafka.bootstrap(), Resource::TransactionalId, "headwater.rights-start")?;
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(65), "{log}");
    demand_line(&log, &["event=pipeline_failed"]);
    demand_line(&log, &ID);
    ensure!(!log.contains("event=pipeline_rebuild"), "it is not tried again and again:\n{log}");
    assert_eq!(server.calls().len(), 0, "nothing is called before the pipeline is ours");
    allow(kafka.bootstrap(), Resource::TransactionalId, "headwater.rights-start")?;
    bench.run_to_the_end()?;
    bench.demand_exact(500)
}

#[test]
fn a_right_that_is_taken_away_stops_the_pipeline_by_name_and_nothing_is_lost() -> Result<()> {
    let cases = [
        ("rights-id", Resource::TransactionalId, "headwater.rights-id", "TransactionalId"),
        ("rights-topic", Resource::Topic, "rights-topic", "on the topic"),
    ];
    let Some(kafka) = strict_kafka()? else { return Ok(()) };
    for (name, resource, of, words) in cases {
        let server = ScriptedServer::start(endless(1_000))?;
        let mut bench = Bench::on(kafka.bootstrap(), name, server.endpoint())?;
        let mut headwater = bench.start()?;
        wait_committed(&mut headwater, 500.0)?;
        deny(kafka.bootstrap(), resource, of)?;
        let status = headwater.wait_exit(PATIENCE)?;
        let log = headwater.log()?;
        assert_eq!(status.code(), Some(65), "{log}");
        demand_line(&log, &["event=pipeline_failed", words, "ACL"]);
        ensure!(!log.contains("event=pipeline_rebuild"), "no restarts:\n{log}");
        allow(kafka.bootstrap(), resource, of)?;
        let total = bench.finish(server)?;
        bench.demand_exact(total)?;
    }
    Ok(())
}

/// The letters of broken messages, which the broker does not judge, meet a topic that is closed.
#[test]
fn a_topic_of_dead_letters_without_a_right_stops_the_pipeline_and_nothing_is_lost() -> Result<()> {
    const DEAD: &str = "rights-dead.dead";
    let Some(kafka) = strict_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000).broken_every(1_000))?;
    let mut bench = Bench::on(kafka.bootstrap(), "rights-dead", server.endpoint())?;
    bench.pipeline.decoder_extra.push("on_error: dead_letter".to_owned());
    bench.pipeline.sink_extra.push(format!("dead_letter: {{ topic: {DEAD} }}"));
    kafka.create_topic(DEAD, 1)?;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 100.0)?;
    deny(kafka.bootstrap(), Resource::Topic, DEAD)?;
    assert_eq!(metric(&headwater, "headwater_dead_letters_total"), 0.0, "it was denied in time");
    let status = headwater.wait_exit(PATIENCE)?;
    let log = headwater.log()?;
    assert_eq!(status.code(), Some(65), "{log}");
    demand_line(&log, &["event=pipeline_failed", DEAD, "ACL"]);
    allow(kafka.bootstrap(), Resource::Topic, DEAD)?;
    let total = bench.finish_by(server, |script| script.broken_every(1_000))?;
    let found = bench.numbers(headwater_test_support::topic::Isolation::Committed)?;
    let whole = (1..=total).filter(|it| !it.is_multiple_of(1_000));
    ensure!(found.iter().copied().eq(whole), "{} of {total}", found.len());
    Ok(())
}
