//! Goal: what cannot be decoded is never passed over: it is kept once, or it stops the pipeline.
//! Method: broken messages at known places of the stream, and kills around them.

use anyhow::{Context, Result};
use headwater_test_support::grpc::{Script, ScriptedServer, Step, broken_event};
use headwater_test_support::topic::{Isolation, Read, read_all};

use crate::kills::kill_rounds;
use crate::world::{Bench, COMMITTED, PATIENCE, count, demand_line, endless, metric, random};

const DEAD_LETTERS: &str = "headwater_dead_letters_total";

/// Which messages are broken: so many of a second's worth that each kill comes near one.
const NTH: u64 = 10;

/// A pipeline that puts broken messages aside.
fn bench(name: &str, server: &ScriptedServer) -> Result<Bench> {
    let mut bench = Bench::new(name, server.endpoint())?;
    bench.pipeline.decoder_extra.push("on_error: dead_letter".to_owned());
    let topic = dead_topic(&bench);
    let dead =
        format!("dead_letter: {{ topic: {topic}, create: {{ partitions: 1, replication: 1 }} }}");
    bench.pipeline.sink_extra.push(dead);
    Ok(bench)
}

fn dead_topic(bench: &Bench) -> String {
    format!("{}.dead", bench.pipeline.topic)
}

fn dead(bench: &Bench) -> Result<Vec<Read>> {
    read_all(&bench.pipeline.brokers, &dead_topic(bench), Isolation::Committed)
}

#[test]
fn broken_messages_are_kept_once_across_kills() -> Result<()> {
    const ROUNDS: u32 = 8;
    let mut random = random();
    let server = ScriptedServer::start(endless(1_000).broken_every(NTH))?;
    let mut bench = bench("dead-letters", &server)?;
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    let total = bench.finish_by(server, |script| script.broken_every(NTH))?;

    let whole: Vec<u64> = (1..=total).filter(|it| !it.is_multiple_of(NTH)).collect();
    assert_eq!(bench.numbers(Isolation::Committed)?, whole);
    let dead = dead(&bench)?;
    let raw: Vec<Vec<u8>> = dead.iter().filter_map(|it| it.value.clone()).collect();
    let expected: Vec<Vec<u8>> =
        (1..=total).filter(|it| it.is_multiple_of(NTH)).map(broken_event).collect();
    assert_eq!(raw, expected, "each once, in order, as it was received");
    for letter in &dead {
        assert_eq!(letter.header("headwater-error-node"), Some("values"));
        let reason = letter.header("headwater-error").context("a reason")?;
        assert!(reason.contains("UTF-8") || reason.contains("utf-8"), "{reason}");
    }
    let (brokers, topic) = (&bench.pipeline.brokers, dead_topic(&bench));
    let aborted = count(brokers, &topic, Isolation::Uncommitted)? - dead.len() as u64;
    println!("{ROUNDS} kills, {} dead letters, {aborted} aborted copies of them", dead.len());
    assert!(aborted > 0, "no kill hit a transaction with a dead letter in it");
    Ok(())
}

/// A message without a readable cursor moves no cursor, so the server sends it again.
#[test]
fn a_broken_message_without_a_cursor_is_kept_once_across_a_kill() -> Result<()> {
    let script = Script::new(600)
        .call([Step::Send(300), Step::Garbage, Step::Garbage, Step::Stall])
        .call([Step::Garbage, Step::Garbage, Step::SendAll]);
    let server = ScriptedServer::start(script)?;
    let mut bench = bench("dead-unreadable", &server)?;
    let mut headwater = bench.start()?;
    headwater.wait_for("dead letters", PATIENCE, |it| metric(it, DEAD_LETTERS) >= 2.0)?;
    headwater.kill9()?;
    bench.run_to_the_end()?;
    let numbers = bench.numbers(Isolation::Committed)?;
    assert_eq!(numbers, (1..=300).chain(303..=600).collect::<Vec<u64>>());
    let calls = server.calls();
    assert_eq!(calls[1].request.from_sequence, 301);
    assert_eq!(dead(&bench)?.len(), 2);
    Ok(())
}

#[test]
fn a_message_out_of_order_is_kept_once_across_a_kill() -> Result<()> {
    let script = Script::new(600).call([Step::Send(100), Step::Swap, Step::Send(98), Step::Stall]);
    let server = ScriptedServer::start(script)?;
    let mut bench = bench("dead-order", &server)?;
    let resume = bench.pipeline.resume.as_mut().expect("the pipeline resumes");
    resume.on_gap = "report\n      on_out_of_order: dead_letter";
    let mut headwater = bench.start()?;
    headwater.wait_for("records", PATIENCE, |it| metric(it, COMMITTED) >= 199.0)?;
    headwater.kill9()?;
    bench.run_to_the_end()?;
    // 102 came first, behind a gap; 101 came too late.
    let numbers = bench.numbers(Isolation::Committed)?;
    assert_eq!(numbers, (1..=100).chain(102..=600).collect::<Vec<u64>>());
    let dead = dead(&bench)?;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].header("headwater-error-node"), Some("events"));
    assert_eq!(dead[0].header("headwater-error"), Some("its cursor value 101 came behind 102"));
    Ok(())
}

#[test]
fn a_broken_message_stops_the_pipeline_by_name() -> Result<()> {
    let script = Script::new(600).broken_every(301);
    let server = ScriptedServer::start(script)?;
    let mut bench = Bench::new("broken-stops", server.endpoint())?;
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(65), "{log}");
    let words =
        ["event=pipeline_failed", "/shard-1", "session 1", "sequence 300", "on_error: dead_letter"];
    demand_line(&log, &words);
    let numbers = bench.numbers(Isolation::Committed)?;
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "a clean start of the stream");
    assert!(numbers.len() <= 300);
    Ok(())
}
