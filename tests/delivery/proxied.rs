//! Goal: what the network does to a commit (its request or its answer lost, doubled, late, or its
//! connection cut) loses nothing and repeats nothing.
//! Method: Apache Kafka behind a proxy that aims at `EndTxn` (`tests/support/src/proxy`). Each test
//! demands that its frames passed there and that its rule was hit.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::kafka::{ApacheOptions, Cluster};
use headwater_test_support::process::Headwater;
use headwater_test_support::proxy::{Api, KafkaProxy, Passing, Rule, Traffic};
use headwater_test_support::topic::Isolation;

use crate::world::{
    Bench, COMMITTED, PATIENCE, demand_line, endless, is_real_kafka, metric, wait_committed,
};

/// How long librdkafka waits for an answer before it asks again on a new connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Apache Kafka and the proxy before it.
pub(crate) struct World {
    pub(crate) proxy: KafkaProxy,
    _kafka: Cluster,
}

impl World {
    /// None unless real Kafka is wanted.
    pub(crate) fn new() -> Result<Option<World>> {
        if !is_real_kafka() {
            return Ok(None);
        }
        let (proxy, kafka) = KafkaProxy::before_apache(ApacheOptions::default())?;
        Ok(Some(World { proxy, _kafka: kafka }))
    }

    /// A pipeline of one shard through the proxy.
    pub(crate) fn bench(&self, name: &str, server: &ScriptedServer) -> Result<Bench> {
        let mut bench = Bench::on(&self.proxy.bootstrap(), name, server.endpoint())?;
        let timeout = REQUEST_TIMEOUT.as_millis();
        let properties = format!("properties: {{ socket.timeout.ms: {timeout} }}");
        bench.pipeline.sink_extra.push(properties);
        Ok(bench)
    }

    /// The rest of the stream, and the judgement. All of it went through the proxy.
    pub(crate) fn demand_exact_at_the_end(
        &self,
        mut bench: Bench,
        server: ScriptedServer,
    ) -> Result<u64> {
        let total = bench.finish(server)?;
        bench.demand_exact(total)?;
        for api in [Api::INIT_PRODUCER_ID, Api::ADD_PARTITIONS_TO_TXN, Api::PRODUCE, Api::END_TXN] {
            let traffic = self.proxy.traffic(api);
            ensure!(traffic.answers > 0, "{api} did not pass by the proxy: {traffic:?}");
        }
        Ok(total)
    }
}

#[test]
fn a_pipeline_through_the_proxy_is_exact_and_every_commit_passes_there() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(2_000))?;
    let mut bench = world.bench("through", &server)?;
    let mut headwater = bench.start()?;
    headwater.wait_for("commits", PATIENCE, |it| metric(it, "headwater_commits_total") >= 20.0)?;
    let (commits, records) =
        (metric(&headwater, "headwater_commits_total"), metric(&headwater, COMMITTED));
    let Traffic { requests, answers, lost, .. } = world.proxy.traffic(Api::END_TXN);
    let produced = world.proxy.traffic(Api::PRODUCE).bytes;
    println!("{commits} commits: {requests} requests; {records} records in {produced} bytes");
    assert!(answers as f64 >= commits, "{answers} of {commits}");
    assert!(produced as f64 > records * 100.0, "the records went through, too");
    assert_eq!(lost, 0);
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    world.demand_exact_at_the_end(bench, server)?;
    Ok(())
}

/// A commit whose request or answer does not arrive has an outcome that is not known; it is asked
/// for again until it is.
#[test]
fn a_commit_whose_request_or_answer_is_lost_or_doubled_is_made_once() -> Result<()> {
    const TIMES: u64 = 3;
    let Some(world) = World::new()? else { return Ok(()) };
    let cases = [
        ("answers-lost", Rule::answers(Api::END_TXN).drop()),
        ("requests-lost", Rule::requests(Api::END_TXN).drop()),
        ("requests-doubled", Rule::requests(Api::END_TXN).duplicate()),
        ("cut-before", Rule::requests(Api::END_TXN).cut()),
        ("cut-behind", Rule::answers(Api::END_TXN).cut()),
    ];
    for (name, rule) in cases {
        let server = ScriptedServer::start(endless(1_000))?;
        let mut bench = world.bench(name, &server)?;
        let mut headwater = bench.start()?;
        wait_committed(&mut headwater, 500.0)?;
        let rule = world.proxy.add(rule.nth(1..=TIMES));
        rule.wait(TIMES, PATIENCE).with_context(|| headwater.log().unwrap_or_default())?;
        let committed = metric(&headwater, COMMITTED);
        wait_committed(&mut headwater, committed + 1_000.0)?;
        let again = repairs(&headwater)?;
        assert_eq!((rule.hits(), headwater.stop(PATIENCE)?.0.code()), (TIMES, Some(0)));
        let total = world.demand_exact_at_the_end(bench, server).with_context(|| name)?;
        println!("{name}: {TIMES} hits, {again}, {total} events");
    }
    Ok(())
}

/// The broker gives the transaction up while its commit is asked for in vain: nothing of it is
/// visible, and all of it is sent again from memory.
#[test]
fn a_commit_that_never_arrives_is_made_anew_once_the_broker_has_given_it_up() -> Result<()> {
    const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
    let Some(world) = World::new()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(500))?;
    let mut bench = world.bench("never", &server)?;
    let timeout = format!("transaction_timeout_ms: {}", TRANSACTION_TIMEOUT.as_millis());
    bench.pipeline.sink_extra.push(timeout);
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 500.0)?;
    let lost = world.proxy.add(Rule::requests(Api::END_TXN).drop());
    // Each is waited for in full before the next; the broker looks for what is too old each second.
    let asked = TRANSACTION_TIMEOUT.as_secs() / REQUEST_TIMEOUT.as_secs() + 2;
    lost.wait(asked, PATIENCE)?;
    lost.release();
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 500.0)?;
    let again = repairs(&headwater)?;
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{}", headwater.log()?);
    let aborted = bench.aborted()?;
    println!("asked {} times in vain; {again}; {aborted} aborted copies", lost.hits());
    assert!(aborted > 0, "the broker gave no transaction up");
    assert_eq!(server.calls().len(), 1, "sent again from memory");
    world.demand_exact_at_the_end(bench, server)?;
    Ok(())
}

/// The transaction is over when its owner dies, and only the broker knows. The next start goes on
/// behind it and sends nothing of it again.
#[test]
fn a_kill_between_a_commit_and_its_answer_sends_nothing_of_it_again() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = world.bench("kill-behind", &server)?;
    // Epochs of many records, so that sending one again would show.
    bench.pipeline.commit_interval_ms = 300;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 1_000.0)?;
    let lost = world.proxy.add(Rule::answers(Api::END_TXN).drop());
    lost.wait(1, PATIENCE)?;
    let known = metric(&headwater, COMMITTED) as u64;
    headwater.kill9()?;
    lost.release();
    let mut headwater = bench.start()?;
    headwater.wait_for("the next call", PATIENCE, |_| server.calls().len() == 2)?;
    let committed = server.calls()[1].request.from_sequence - 1;
    println!("{known} records known as committed at the kill, {committed} committed");
    assert!(committed > known, "the epoch of the lost answer is behind {known}");
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    let mut copies = bench.numbers(Isolation::Uncommitted)?;
    copies.retain(|number| *number <= committed);
    assert_eq!(copies.len() as u64, committed, "of what was committed no copy was sent again");
    world.demand_exact_at_the_end(bench, server)?;
    Ok(())
}

/// The broker has committed, and what it says of it becomes an error that costs the client its
/// producer. The pipeline takes itself over; what is stored says that the epoch is there.
#[test]
fn a_commit_that_took_place_and_is_told_as_failed_is_not_sent_again() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let cases = [
        ("invalid-producer-epoch", 47, 1),
        ("invalid-txn-state", 48, 1),
        ("invalid-producer-id-mapping", 49, 1),
        ("unknown-producer-id", 59, 1),
        ("producer-fenced", 90, 1),
        ("producer-fenced-ring", 90, 2),
        ("unknown-server-error", -1, 1),
    ];
    for (name, code, ring) in cases {
        let server = ScriptedServer::start(endless(1_000))?;
        let mut bench = world.bench(name, &server)?;
        bench.pipeline.ring = Some(ring);
        // Epochs of many records, so that sending one again would show.
        bench.pipeline.commit_interval_ms = 300;
        let mut headwater = bench.start()?;
        wait_committed(&mut headwater, 1_000.0)?;
        let answers = Rule::answers(Api::END_TXN).of(|it| is_commit(it) && code_of(it) == Some(0));
        let refused = world.proxy.add(answers.nth(1..=1).refuse(code));
        refused.wait(1, PATIENCE)?;
        let committed = metric(&headwater, COMMITTED);
        wait_committed(&mut headwater, committed + 1_000.0).with_context(|| name)?;
        let (again, log) = (repairs(&headwater)?, headwater.log()?);
        assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{log}");
        demand_line(&log, &["event=sink_error", "commit: "]);
        demand_line(&log, &["event=pipeline_acquired", "generation=2"]);
        assert_eq!((refused.hits(), server.calls().len()), (1, 1), "repaired from memory");
        let aborted = bench.aborted()?;
        let total = world.demand_exact_at_the_end(bench, server).with_context(|| name)?;
        println!("{name}: {again}, {aborted} aborted copies, {total} events");
        // A second producer may have had the next transaction open.
        assert!(aborted == 0 || ring > 1, "{name}: the epoch was sent again");
    }
    Ok(())
}

/// The protocol's own hole: the first request to commit arrives late, after its repetition was
/// answered and the next transaction of the same producer is open. It must not end that one.
#[test]
fn a_commit_that_comes_late_does_not_end_the_next_transaction() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = world.bench("late", &server)?;
    // The next transaction is to be open when the late request arrives, and to go on behind it.
    bench.pipeline.commit_interval_ms = 3_000;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 1_000.0)?;
    let late = delay_commit(&world.proxy)?;
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 5_000.0)?;
    println!("the late request was answered with error code {late}; {}", repairs(&headwater)?);
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{}", headwater.log()?);
    world.demand_exact_at_the_end(bench, server)?;
    assert_ne!(late, 0, "it bears an old epoch and is refused");
    Ok(())
}

/// Holds a request to commit until its repetition is answered and the next transaction of its
/// producer has records; then lets it go. The error code it was answered with.
pub(crate) fn delay_commit(proxy: &KafkaProxy) -> Result<i16> {
    let id = Arc::new(OnceLock::new());
    let first = id.clone();
    let first = proxy.add(Rule::requests(Api::END_TXN).nth(1..=1).hold().of(move |passing| {
        first.get_or_init(|| transactional_id(passing).to_owned());
        true
    }));
    let of_its_producer = move |passing: &Passing<'_>| {
        id.get().is_some_and(|id: &Vec<u8>| transactional_id(passing) == id)
    };
    let repeated = proxy.add(Rule::answers(Api::END_TXN).of(of_its_producer.clone()));
    first.wait(1, PATIENCE)?;
    let next = proxy.add(Rule::answers(Api::ADD_PARTITIONS_TO_TXN).of(of_its_producer));
    repeated.wait(1, PATIENCE)?;
    next.wait(1, PATIENCE)?;
    let produced = proxy.add(Rule::answers(Api::PRODUCE));
    produced.wait(2, PATIENCE)?;
    assert_eq!((repeated.hits(), next.hits()), (1, 1), "the next transaction is still open");
    first.release();
    let answer = first.wait_answer(PATIENCE)?;
    // `EndTxn` versions 0 to 2: behind the throttle time.
    let code = answer.body().get(4..6).context("an answer to EndTxn has six bytes")?;
    Ok(i16::from_be_bytes([code[0], code[1]]))
}

/// What `EndTxn` and `AddPartitionsToTxn` begin with in the versions 0 to 2.
fn transactional_id<'a>(passing: &Passing<'a>) -> &'a [u8] {
    assert!(passing.request.version() <= 2, "{:?}", passing.request);
    let (length, rest) = passing.request.body().split_at(2);
    &rest[..usize::from(u16::from_be_bytes([length[0], length[1]]))]
}

/// Whether an `EndTxn` of the versions 0 to 2 commits: it ends in that.
fn is_commit(passing: &Passing<'_>) -> bool {
    assert!(passing.request.version() <= 2, "{:?}", passing.request);
    passing.request.body().last() == Some(&1)
}

/// What the broker says of an `EndTxn`.
fn code_of(passing: &Passing<'_>) -> Option<i16> {
    passing.answer?.end_txn_code(passing.request)
}

#[test]
fn connections_that_are_cut_again_and_again_lose_and_repeat_nothing() -> Result<()> {
    const CUTS: u32 = 10;
    let Some(world) = World::new()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(2_000))?;
    let mut bench = world.bench("cuts", &server)?.shards(2);
    let mut headwater = bench.start()?;
    for _ in 0..CUTS {
        let committed = metric(&headwater, COMMITTED);
        wait_committed(&mut headwater, committed + 500.0)?;
        world.proxy.cut_all();
    }
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 1_000.0)?;
    let (again, log) = (repairs(&headwater)?, headwater.log()?);
    assert!(log.contains("isconnected"), "the client has seen a cut:\n{log}");
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    let total = world.demand_exact_at_the_end(bench, server)?;
    println!("{CUTS} cuts, {again}, {total} events a shard");
    Ok(())
}

fn repairs(headwater: &Headwater) -> Result<String> {
    let metrics = headwater.metrics()?;
    let sum = |name: &str| metrics.sum(&format!("headwater_{name}_total"));
    Ok(format!("{} resends, {} rebuilds", sum("resends"), sum("rebuilds")))
}
