//! Goal: a broker that dies, freezes and comes back costs time and nothing else.
//! Method: an Apache Kafka of the test's own, killed or stopped under load; the program must get
//! over it by itself, in the same process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::process::Headwater;

use crate::world::{
    Bench, COMMITTED, PATIENCE, demand_line, endless, is_in, is_long, metric, own_kafka,
    wait_committed,
};

/// What may be received and not yet committed.
const CREDIT_BYTES: u64 = 4 << 20;

/// Of the whole program, a debug build; the credit and librdkafka's copy of it are the least of it.
const RSS_BYTES_MAX: u64 = 160 << 20;

/// What memory may grow by while nothing can be committed.
const RSS_GROWTH_BYTES_MAX: u64 = 8 << 20;

/// A credit that stands out from all else that a program holds, and what it adds at least.
const LARGE_CREDIT_BYTES: u64 = 32 << 20;
const HELD_BYTES_MIN: u64 = 16 << 20;

#[test]
fn a_broker_that_is_killed_and_restarted_loses_and_repeats_nothing() -> Result<()> {
    const KILLS: u32 = 3;
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::on(kafka.bootstrap(), "broker-killed", server.endpoint())?.shards(2);
    let mut headwater = bench.start()?;
    for _ in 0..KILLS {
        let committed = metric(&headwater, COMMITTED);
        wait_committed(&mut headwater, committed + 1_000.0)?;
        kafka.kill9()?;
        kafka.restart()?;
    }
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 2_000.0)?;
    let metrics = headwater.metrics()?;
    let (resends, rebuilds) =
        (metrics.sum("headwater_resends_total"), metrics.sum("headwater_rebuilds_total"));
    demand_line(&headwater.log()?, &["event=kafka_client", "Connection refused"]);
    // And once both at the same time.
    kafka.kill9()?;
    headwater.kill9()?;
    kafka.restart()?;
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    println!("{KILLS} kills: {resends} resends, {rebuilds} rebuilds, {total} events a shard");
    Ok(())
}

/// How long the broker is frozen under full load; CI sets `HEADWATER_LONG=1`.
fn freeze() -> Duration {
    Duration::from_secs(if is_long() { 60 } else { 5 })
}

#[test]
fn a_frozen_broker_stops_the_server_and_not_the_memory() -> Result<()> {
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(Script::new(u64::MAX))?;
    let mut bench = Bench::on(kafka.bootstrap(), "broker-frozen", server.endpoint())?;
    bench.more = format!("memory: {{ credit_bytes: {CREDIT_BYTES} }}\n");
    let windows = "http2: { stream_window_bytes: 65535, connection_window_bytes: 65535 }";
    bench.pipeline.source_extra.push(windows.to_owned());
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 20_000.0)?;

    let under_load = headwater.usage()?;
    kafka.pause()?;
    let (sent, stalled_after) = wait_stalled(&server)?;
    let before = headwater.usage()?;
    std::thread::sleep(freeze());
    let after = headwater.usage()?;
    assert_eq!(server.sent(), sent, "flow control holds the server");
    let grown = after.rss_bytes.saturating_sub(before.rss_bytes);
    println!("server held {stalled_after:?} after the freeze, at {sent} events");
    assert!(grown <= RSS_GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
    assert!(after.rss_bytes_max <= RSS_BYTES_MAX, "{} bytes at most", after.rss_bytes_max);

    let committed = metric(&headwater, COMMITTED);
    kafka.resume()?;
    let resumed = Instant::now();
    wait_committed(&mut headwater, committed + 20_000.0)?;
    let recovered = headwater.usage()?;
    println!(
        "frozen for {:?}: RSS {:?} MiB under load, as the server was held, at the end of the \
         freeze, after recovery; most {} MiB; 20,000 more records {:?} after it",
        freeze(),
        [under_load, before, after, recovered].map(|it| it.rss_bytes >> 20),
        recovered.rss_bytes_max >> 20,
        resumed.elapsed()
    );
    assert!(server.sent() > sent, "the server goes on");
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

/// With the allocator of glibc it stays: each thread's arena keeps the most that it ever held.
#[test]
fn what_was_held_while_a_broker_was_frozen_is_given_back() -> Result<()> {
    const BEFORE: u64 = 100;
    const AFTER: u64 = 200_000;
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let steps = [Step::Send(BEFORE), Step::Stall, Step::Send(AFTER), Step::Stall, Step::SendAll];
    let server = ScriptedServer::start(Script::new(BEFORE + AFTER + 1).call(steps))?;
    let mut bench = Bench::on(kafka.bootstrap(), "broker-held", server.endpoint())?;
    bench.more = format!("memory: {{ credit_bytes: {LARGE_CREDIT_BYTES} }}\n");
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, BEFORE as f64)?;
    let at_rest = headwater.usage()?.rss_bytes;

    kafka.pause()?;
    server.release();
    let (sent, _) = wait_stalled(&server)?;
    ensure!(sent < BEFORE + AFTER, "the credit holds all {sent} events");
    let held = headwater.usage()?.rss_bytes;
    ensure!(held > at_rest + HELD_BYTES_MIN, "{at_rest} bytes at rest, {held} held");

    kafka.resume()?;
    wait_committed(&mut headwater, (BEFORE + AFTER) as f64)?;
    let due = held - (held - at_rest) / 2;
    let is_back = |it: &Headwater| it.usage().is_ok_and(|usage| usage.rss_bytes <= due);
    headwater.wait_for("half of what was held", PATIENCE, is_back)?;
    let back = headwater.usage()?.rss_bytes;
    println!("MiB at rest, held, given back: {:?}", [at_rest, held, back].map(|it| it >> 20));
    server.release();
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

#[test]
fn a_second_signal_does_not_wait_for_a_frozen_broker() -> Result<()> {
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::on(kafka.bootstrap(), "second-signal", server.endpoint())?;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 500.0)?;
    kafka.pause()?;
    // What is sent from now on cannot be committed.
    let sent = server.sent();
    headwater.wait_for("more events", PATIENCE, |_| server.sent() > sent + 200)?;
    headwater.sigterm()?;
    headwater.wait_for("the drain", PATIENCE, is_draining)?;
    // What comes within a fifth of a second counts as the same request.
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    let (status, _) = headwater.stop(PATIENCE)?;
    assert_eq!(status.code(), Some(130), "{}", headwater.log()?);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    kafka.resume()?;
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

#[test]
fn an_idle_pipeline_notices_that_its_broker_is_away() -> Result<()> {
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let script = Script::new(u64::MAX).rest([Step::Send(100), Step::Stall]);
    let server = ScriptedServer::start(script)?;
    let mut bench = Bench::on(kafka.bootstrap(), "idle-broker-away", server.endpoint())?;
    bench.more = "takeover: { heartbeat_ms: 200 }\n".to_owned();
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 100.0)?;
    headwater.wait_for("running", PATIENCE, |it| is_in(it, "running", 200))?;
    let age = |it: &Headwater| metric(it, "headwater_open_transaction_age_seconds");
    assert_eq!(age(&headwater), 0.0, "nothing waits");

    kafka.kill9()?;
    headwater.wait_for("degraded", PATIENCE, |it| is_in(it, "degraded", 200))?;
    assert_eq!(age(&headwater), 0.0, "nothing waits, and yet it is known");
    kafka.restart()?;
    headwater.wait_for("running again", PATIENCE, |it| is_in(it, "running", 200))?;
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

#[test]
fn a_broker_that_is_away_degrades_a_pipeline_and_does_not_fill_the_log() -> Result<()> {
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::on(kafka.bootstrap(), "broker-away", server.endpoint())?;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 1_000.0)?;
    headwater.wait_for("running", PATIENCE, |it| is_in(it, "running", 200))?;
    let age = |it: &Headwater| metric(it, "headwater_open_transaction_age_seconds");
    headwater.wait_for("a young transaction", PATIENCE, |it| age(it) < 1.0)?;

    let began = Instant::now();
    kafka.kill9()?;
    headwater.wait_for("degraded", PATIENCE, |it| is_in(it, "degraded", 200))?;
    let body = headwater.get("/readyz")?.body;
    ensure!(body.contains("\"reason\":\"sink: "), "the sink is to blame: {body}");
    headwater.wait_for("an old transaction", PATIENCE, |it| age(it) > 5.0)?;
    let lag = metric(&headwater, "headwater_source_lag_messages");
    ensure!(lag > 1_000.0, "what is received and cannot be committed: {lag}");
    headwater.wait_for("lines that are held back", PATIENCE, |it| {
        it.log().is_ok_and(|log| log.contains("suppressed="))
    })?;
    demand_bounded(&headwater.log()?, began.elapsed());

    kafka.restart()?;
    headwater.wait_for("running again", PATIENCE, |it| is_in(it, "running", 200))?;
    let log = headwater.log()?;
    for words in [["state=degraded", "was=running"], ["state=running", "was=degraded"]] {
        demand_line(&log, &["event=pipeline_state", words[0], words[1], "pipeline=broker-away"]);
    }
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

fn is_draining(headwater: &Headwater) -> bool {
    headwater.log().is_ok_and(|log| log.contains("event=stop_requested"))
        && headwater.get("/readyz").is_ok_and(|it| it.status == 503)
}

/// Waits until the server has sent nothing for a second; how much it had sent, and when it stopped.
fn wait_stalled(server: &ScriptedServer) -> Result<(u64, Duration)> {
    const QUIET: Duration = Duration::from_secs(1);
    let begun = Instant::now();
    let (mut sent, mut since) = (server.sent(), Instant::now());
    while since.elapsed() < QUIET {
        ensure!(begun.elapsed() < PATIENCE, "the server goes on sending: {sent} events");
        std::thread::sleep(Duration::from_millis(20));
        let now = server.sent();
        if now != sent {
            (sent, since) = (now, Instant::now());
        }
    }
    Ok((sent, since - begun))
}

/// Of each facility of librdkafka at most five lines in ten seconds, so ten where the intervals and
/// the test's own time do not begin together.
fn demand_bounded(log: &str, lasted: Duration) {
    let told = log.lines().filter(|line| line.contains("event=kafka_client"));
    let mut counts = BTreeMap::<&str, u64>::new();
    for line in told {
        let facility = line.split(' ').find(|field| field.starts_with("facility="));
        *counts.entry(facility.unwrap_or("error")).or_default() += 1;
    }
    println!("lines of librdkafka in {lasted:?}: {counts:?}");
    assert!(counts.contains_key("facility=FAIL"), "the broker was away:\n{log}");
    let most = (lasted.as_secs() / 10 + 2) * 5;
    assert!(counts.values().all(|count| *count <= most), "{counts:?} in {lasted:?}:\n{log}");
}
