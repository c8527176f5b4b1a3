//! Goal: a topic exists because somebody asked for it, never because the program looked at it.
//! Method: an Apache Kafka that makes every topic a client names, as many clusters do; a plain
//! client proves that it does.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer};
use headwater_test_support::kafka::{ApacheOptions, Cluster};
use headwater_test_support::pipeline::Delivery;
use headwater_test_support::wait;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::world::{Bench, PATIENCE, demand_line, own_kafka_with};

/// A broker that makes topics, shown to do so.
fn eager_kafka() -> Result<Option<Cluster>> {
    let settings = vec![("auto.create.topics.enable", "true".to_owned())];
    let Some(kafka) = own_kafka_with(|| ApacheOptions { settings, via: None })? else {
        return Ok(None);
    };
    let mut config = ClientConfig::new();
    let config = config.set("bootstrap.servers", kafka.bootstrap());
    let plain: BaseProducer = config.set("allow.auto.create.topics", "true").create()?;
    wait::until_ok("the broker to make a topic that is named", PATIENCE, || {
        plain.client().fetch_metadata(Some("named"), PATIENCE)?;
        Ok(kafka.topics()?.contains(&"named".to_owned()))
    })?;
    Ok(Some(kafka))
}

fn demand_absent(kafka: &Cluster, topic: &str) -> Result<()> {
    let topics = kafka.topics()?;
    ensure!(!topics.iter().any(|it| it == topic), "{topic} was made: {topics:?}");
    Ok(())
}

#[test]
fn a_missing_topic_is_told_and_not_made() -> Result<()> {
    let Some(kafka) = eager_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(Script::new(10))?;
    let deliveries = [("once", Delivery::ExactlyOnce), ("least", Delivery::AtLeastOnce)];
    for (name, delivery) in deliveries {
        let mut bench = Bench::on(kafka.bootstrap(), name, server.endpoint())?;
        bench.pipeline.delivery = delivery;
        bench.pipeline.partitions = None;
        let (code, log) = bench.run()?;
        assert_eq!(code, Some(65), "{log}");
        let told = format!("topic `{name}` does not exist: create it, or let the sink do it");
        demand_line(&log, &[&told, "`create`"]);
        demand_absent(&kafka, name)?;
    }
    assert_eq!(server.calls().len(), 0, "no call is opened before the topics are there");
    Ok(())
}

#[test]
fn a_missing_topic_of_dead_letters_is_told_and_not_made() -> Result<()> {
    let Some(kafka) = eager_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(Script::new(10))?;
    let mut bench = Bench::on(kafka.bootstrap(), "lettered", server.endpoint())?;
    bench.pipeline.decoder_extra.push("on_error: dead_letter".to_owned());
    bench.pipeline.sink_extra.push("dead_letter: { topic: letters }".to_owned());
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(65), "{log}");
    demand_line(&log, &["topic `letters` does not exist", "`dead_letter.create`"]);
    demand_absent(&kafka, "letters")?;
    assert_eq!(server.calls().len(), 0);
    Ok(())
}

#[test]
fn asking_for_progress_that_is_not_there_makes_no_topic() -> Result<()> {
    let Some(kafka) = eager_kafka()? else { return Ok(()) };
    let bench = Bench::on(kafka.bootstrap(), "unstarted", "http://127.0.0.1:1")?;
    let file = bench.pipeline.write(bench.launch.folder())?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    let shown = command.args(["offsets", "show"]).arg(file).output();
    let shown = shown.context("headwater offsets show")?;
    ensure!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    demand_absent(&kafka, "__unstarted.progress")?;
    demand_absent(&kafka, "unstarted")
}
