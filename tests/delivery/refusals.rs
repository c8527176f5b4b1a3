//! Goal: what Kafka refuses goes aside once, all else is written once and in order; and where
//! nothing can go aside, the pipeline stops by name and loses nothing.
//! Method: odd events at known places of the stream, topics that do not take them, and kills around
//! them. Log lines and aborted copies prove that the broker has refused something.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Odd, OddOf, Script, ScriptedServer};
use headwater_test_support::kafka::{ApacheOptions, Cluster};
use headwater_test_support::pipeline::Delivery;
use headwater_test_support::topic::{Isolation, Read, event, for_each, read_all};

use crate::kills::kill_rounds;
use crate::world::{
    Bench, PATIENCE, count, demand_line, endless, identity, is_real, kafka, metric, own_kafka_with,
    random, wait_committed,
};

/// What the records' topic takes.
const TOPIC_BYTES_MAX: &str = "20000";

/// A payload that no record has room for there.
const LARGE: usize = 30_000;

/// 1970-02-27: before what the topic takes.
const LONG_AGO: i64 = 5_000_000_000_000_000;

/// One event in a hundred is too large.
const LARGE_ONES: OddOf = |number| (number % 100 == 42).then_some(Odd::Large(LARGE));

/// Four in a hundred, of three kinds; the embedded broker knows one of them.
const ODD_ONES: OddOf = |number| match number % 100 {
    42 | 43 => Some(Odd::Large(LARGE)),
    44 => Some(Odd::Moment(LONG_AGO)),
    45 => Some(Odd::Bare),
    _ => None,
};

fn odd_ones() -> OddOf {
    if is_real() { ODD_ONES } else { LARGE_ONES }
}

/// A pipeline into a topic that is particular, with room for dead letters.
fn bench(name: &str, server: &ScriptedServer) -> Result<Bench> {
    let mut bench = Bench::new(name, server.endpoint())?;
    bench.pipeline.partitions = None;
    let cluster = Cluster::given(kafka());
    let mut settings = vec![
        ("max.message.bytes", TOPIC_BYTES_MAX),
        ("message.timestamp.before.max.ms", "86400000"),
    ];
    if is_real() {
        // The embedded broker demands no key, and leaves nothing of what it compacts.
        settings.push(("cleanup.policy", "compact"));
    }
    cluster.create_topic_with(name, 2, &settings)?;
    cluster.create_topic(&dead_topic(&bench), 1)?;
    let sink = format!(
        "key: samples[0]\ntimestamp: {{ field: emitted_ns, unit: ns }}\n\
         dead_letter: {{ topic: {} }}",
        dead_topic(&bench)
    );
    bench.pipeline.sink_extra.push(sink);
    Ok(bench)
}

fn dead_topic(bench: &Bench) -> String {
    format!("{}.dead", bench.pipeline.topic)
}

/// The numbers in a topic by shard, in order.
fn numbers(topic: &str, isolation: Isolation) -> Result<BTreeMap<String, Vec<u64>>> {
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for_each(kafka(), topic, isolation, |message| {
        let (shard, number) = identity(message)?;
        numbers.entry(shard).or_default().push(number);
        Ok(())
    })?;
    Ok(numbers)
}

/// Demands each of `total` events once and in order: the odd ones aside, all others in the topic.
fn demand_sorted_out(bench: &Bench, total: u64, odd_of: OddOf) -> Result<()> {
    let (odd, plain): (Vec<u64>, Vec<u64>) = (1..=total).partition(|it| odd_of(*it).is_some());
    let (topic, dead) = (&bench.pipeline.topic, dead_topic(bench));
    for (topic, expected) in [(topic, plain), (&dead, odd)] {
        let found = numbers(topic, Isolation::Committed)?;
        for shard in bench.shard_names() {
            let found = found.get(shard).map_or(&[][..], Vec::as_slice);
            ensure!(found == expected, "{topic}, {shard}: {}", difference(found, &expected));
        }
    }
    Ok(())
}

fn difference(found: &[u64], expected: &[u64]) -> String {
    let place = found.iter().zip(expected).take_while(|(one, other)| one == other).count();
    let near = |all: &[u64]| format!("{:?}", all.iter().skip(place).take(5).collect::<Vec<_>>());
    let (found_there, expected_there) = (near(found), near(expected));
    format!(
        "{} instead of {}, from place {place} on {found_there} instead of {expected_there}",
        found.len(),
        expected.len()
    )
}

fn dead(bench: &Bench) -> Result<Vec<Read>> {
    read_all(kafka(), &dead_topic(bench), Isolation::Committed)
}

#[test]
fn poison_of_several_kinds_goes_aside_once_with_rings_of_one_and_two() -> Result<()> {
    const TOTAL: u64 = 3_000;
    for ring in [1, 2] {
        let server = ScriptedServer::start(Script::new(TOTAL).odd(odd_ones()))?;
        let mut bench = bench(&format!("poison-{ring}"), &server)?.shards(2);
        bench.pipeline.ring = Some(ring);
        let (code, log) = bench.run()?;
        assert_eq!(code, Some(0), "{log}");
        demand_line(&log, &["event=records_refused"]);
        demand_line(&log, &["event=topic_limit", TOPIC_BYTES_MAX, "message_bytes_max=4194304"]);
        ensure!(!log.contains("event=pipeline_rebuild"), "no attempt ran out:\n{log}");
        // The producers of refused records are kept.
        assert_eq!(log.matches("event=pipeline_acquired").count(), 1, "{log}");
        demand_sorted_out(&bench, TOTAL, odd_ones())?;
        let aborted = bench.aborted()?;
        println!("ring {ring}: {aborted} aborted copies");
        assert!(aborted > 0, "the broker refused nothing in an open transaction");
    }
    Ok(())
}

#[test]
fn poison_goes_aside_once_across_kills() -> Result<()> {
    const ROUNDS: u32 = 8;
    let mut random = random();
    let server = ScriptedServer::start(endless(1_000).odd(odd_ones()))?;
    let mut bench = bench("poison-kills", &server)?.shards(2);
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    let total = bench.finish_by(server, |script| script.odd(odd_ones()))?;
    demand_sorted_out(&bench, total, odd_ones())?;
    let letters = dead(&bench)?.len() as u64;
    let aborted = count(kafka(), &dead_topic(&bench), Isolation::Uncommitted)? - letters;
    println!("{ROUNDS} kills, {letters} dead letters, {aborted} aborted copies of them");
    assert!(bench.aborted()? > 0, "no kill hit an open transaction");
    Ok(())
}

#[test]
fn without_transactions_poison_goes_aside_and_nothing_is_written_twice() -> Result<()> {
    const TOTAL: u64 = 2_000;
    let server = ScriptedServer::start(Script::new(TOTAL).odd(odd_ones()))?;
    let mut bench = bench("poison-atleast", &server)?.shards(2);
    bench.pipeline.delivery = Delivery::AtLeastOnce;
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(0), "{log}");
    demand_line(&log, &["event=records_refused"]);
    for (topic, is_odd) in [(bench.pipeline.topic.clone(), false), (dead_topic(&bench), true)] {
        let expected = (1..=TOTAL).filter(|it| odd_ones()(*it).is_some() == is_odd);
        let expected: Vec<u64> = expected.collect();
        for (shard, mut found) in numbers(&topic, Isolation::Uncommitted)? {
            // The neighbours of a refused record were refused with it, and come behind.
            found.sort_unstable();
            ensure!(found == expected, "{topic}, {shard}: {}", difference(&found, &expected));
        }
    }
    Ok(())
}

#[test]
fn dead_letters_tell_where_a_record_is_from_and_why_it_was_refused() -> Result<()> {
    let server = ScriptedServer::start(Script::new(100).odd(odd_ones()))?;
    let mut bench = bench("poison-told", &server)?;
    bench.pipeline.sink_extra.push("properties: { message.max.bytes: 1000000 }".to_owned());
    let mut headwater = bench.start()?;
    ensure!(headwater.wait_exit(PATIENCE)?.code() == Some(0), "{}", headwater.log()?);
    let reasons = ["Message size too large", "Message size too large", "timestamp", "record"];
    let letters = dead(&bench)?;
    let odd = (1..=100).filter(|it| odd_ones()(*it).is_some());
    assert_eq!(letters.len(), odd.clone().count());
    for ((letter, number), words) in letters.iter().zip(odd).zip(reasons) {
        let reason = letter.header("headwater-error").context("a reason")?;
        assert!(reason.contains("`poison-told`") && reason.contains(words), "{reason}");
        assert_eq!(letter.header("headwater-error-node"), Some("out"), "the sink");
        // Sequences of a session begin at 0.
        assert_eq!(letter.header("headwater-sequence"), Some(&*(number - 1).to_string()));
        let value = letter.value.as_deref().unwrap_or_default();
        assert_eq!(event::sequence(value), Some(number), "the record's own value");
    }
    Ok(())
}

#[test]
fn what_the_client_refuses_goes_aside_without_a_second_attempt() -> Result<()> {
    const TOTAL: u64 = 2_000;
    let server = ScriptedServer::start(endless(2_000).odd(LARGE_ONES))?;
    let mut bench = bench("poison-client", &server)?;
    bench.pipeline.sink_extra.push("properties: { message.max.bytes: 18000 }".to_owned());
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, TOTAL as f64)?;
    headwater.wait_for("dead letters", PATIENCE, |it| {
        metric(it, "headwater_dead_letters_total") >= (TOTAL / 100) as f64
    })?;
    assert_eq!(metric(&headwater, "headwater_resends_total"), 0.0);
    headwater.kill9()?;
    let total = bench.finish_by(server, |script| script.odd(LARGE_ONES))?;
    for letter in dead(&bench)? {
        let size = letter.header("headwater-error-bytes").context("it is cut")?;
        assert!(size.parse::<usize>()? > LARGE, "{size}");
    }
    demand_sorted_out(&bench, total, LARGE_ONES)
}

#[test]
fn a_refused_record_without_a_place_to_go_stops_the_pipeline_by_name() -> Result<()> {
    let server = ScriptedServer::start(Script::new(600).odd(LARGE_ONES))?;
    let mut bench = Bench::new("poison-stops", server.endpoint())?;
    bench.pipeline.partitions = None;
    let settings = [("max.message.bytes", TOPIC_BYTES_MAX)];
    Cluster::given(kafka()).create_topic_with("poison-stops", 2, &settings)?;
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(65), "{log}");
    let words = [
        "event=pipeline_failed",
        "/shard-1",
        "session 1",
        "sequence 41",
        "`poison-stops`",
        "max.message.bytes",
        "dead_letter",
    ];
    demand_line(&log, &words);
    let found = bench.numbers(Isolation::Committed)?;
    assert!(found.len() < 42 && found.iter().copied().eq(1..=found.len() as u64), "{found:?}");
    Ok(())
}

#[test]
fn a_dead_letter_that_finds_no_place_stops_the_pipeline_and_after_the_repair_nothing_is_lost()
-> Result<()> {
    const TOTAL: u64 = 1_000;
    let server = ScriptedServer::start(Script::new(TOTAL).odd(LARGE_ONES))?;
    let mut bench = bench("poison-dead", &server)?.shards(2);
    let cluster = Cluster::given(kafka());
    let dead = dead_topic(&bench);
    // Too small for it; then not there at all; then repaired.
    cluster.delete_topic(&dead)?;
    cluster.create_topic_with(&format!("{dead}.small"), 1, &[("max.message.bytes", "100")])?;
    let fit = bench.pipeline.sink_extra.clone();
    let last = bench.pipeline.sink_extra.last_mut().context("the sink's keys")?;
    *last = last.replace(&dead, &format!("{dead}.small"));
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(65), "{log}");
    demand_line(&log, &["event=pipeline_failed", "dead letter", "poison-dead.dead.small"]);
    bench.pipeline.sink_extra = fit;
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(65), "{log}");
    demand_line(&log, &["event=pipeline_failed", "`poison-dead.dead` does not exist"]);
    cluster.create_topic(&dead, 1)?;
    bench.run_to_the_end()?;
    demand_sorted_out(&bench, TOTAL, LARGE_ONES)
}

#[test]
fn an_epoch_larger_than_the_clients_queue_waits_and_loses_nothing() -> Result<()> {
    const TOTAL: u64 = 20_000;
    let server = ScriptedServer::start(Script::new(TOTAL))?;
    let mut bench = Bench::new("small-queue", server.endpoint())?.shards(2);
    bench.pipeline.commit_interval_ms = 1_000;
    let properties = "properties: { queue.buffering.max.messages: 100 }";
    bench.pipeline.sink_extra.push(properties.to_owned());
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(0), "{log}");
    ensure!(!log.contains("event=pipeline_rebuild"), "{log}");
    bench.demand_exact(TOTAL)?;
    assert_eq!(bench.aborted()?, 0, "no transaction came to nothing");
    Ok(())
}

#[test]
fn a_topic_that_is_deleted_under_a_running_pipeline_stops_it_and_is_not_made_anew() -> Result<()> {
    let Some(kafka) = own_kafka_with(|| ApacheOptions { settings: Vec::new(), via: None })? else {
        return Ok(());
    };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::on(kafka.bootstrap(), "deleted", server.endpoint())?;
    // The file lets the sink make the topic, at a start.
    assert!(bench.pipeline.partitions.is_some());
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 1_000.0)?;
    kafka.delete_topic("deleted")?;
    let deleted = Instant::now();
    // The client gives records of an unknown topic up after the transaction's timeout, 30 s.
    let status = headwater.wait_exit(2 * PATIENCE)?;
    println!("it stopped {:?} after the topic was deleted", deleted.elapsed());
    let log = headwater.log()?;
    assert_eq!(status.code(), Some(65), "{log}");
    demand_line(&log, &["event=pipeline_failed", "topic `deleted` is gone"]);
    ensure!(!kafka.topics()?.contains(&"deleted".to_owned()), "it was made anew in silence");

    kafka.create_topic("deleted", 2)?;
    let total = bench.finish(server)?;
    let found = bench.numbers(Isolation::Committed)?;
    let first = *found.first().context("it goes on")?;
    assert!(first > 1_000, "behind what was committed before: {first}");
    assert!(found.iter().copied().eq(first..=total), "and nothing is missing from there on");
    Ok(())
}
