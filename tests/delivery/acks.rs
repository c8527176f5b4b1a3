//! Goal: what the server is told is done is in the topic; what it is not told comes again, is lost
//! never, and is written twice only where no window of keys knows it.
//! Method: a server that keeps each item until it is acknowledged, and a program that dies at named
//! points around the commit, again and again. After each death, and before the next start, what is
//! acknowledged is held against what a `read_committed` reader finds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_engine::fault::{FAULTS_VARIABLE, FOLDER_VARIABLE, Point};
use headwater_test_support::grpc::{FEED_PROTO, QueueServer};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::process::{Headwater, Launch};
use headwater_test_support::topic::{Isolation, for_each};
use rdkafka::message::Message as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::world::{PATIENCE, kafka, own_kafka, wait_committed};

/// More than all deaths together let pass, at [`UNACKED_MAX`] an epoch.
const ITEMS: u64 = 4_000;

/// So few that each epoch holds a small part of all, and each death comes in the middle.
const UNACKED_MAX: usize = 50;

/// The points, and a hit at each that comes while records are on their way.
const DEATHS: [(Point, u32); 5] = [
    (Point::SrcRecv, 20),
    (Point::SinkMid, 20),
    (Point::SinkBeforeCommit, 4),
    (Point::SinkAfterCommit, 4),
    (Point::SinkAfterCommit, 2),
];

/// Short, so that the next start does not wait long for what the last one left.
const TRANSACTIONS: &str = "transaction_timeout_ms: 10000";

struct World {
    server: QueueServer,
    launch: Launch,
    file: PathBuf,
    brokers: String,
    topic: String,
}

/// What a pipeline says of its resume and its sink, and of acks beside where they stand.
struct Keys {
    resume: &'static str,
    sink: &'static str,
    ack: String,
}

impl World {
    /// A sink whose keys `sink` follow the others.
    fn new(topic: &str, resume: &'static str, sink: &'static str) -> Result<World> {
        let server = QueueServer::start(ITEMS, UNACKED_MAX)?;
        let keys = Keys { resume, sink, ack: String::new() };
        World::between(server, kafka(), topic, &keys)
    }

    fn between(server: QueueServer, brokers: &str, topic: &str, keys: &Keys) -> Result<World> {
        let Keys { resume, sink, ack } = keys;
        let launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let file = launch.folder().join(format!("{topic}.yaml"));
        std::fs::write(launch.folder().join("feed.proto"), FEED_PROTO)?;
        let endpoint = server.endpoint();
        let text = format!(
            "pipeline: {topic}
commit: {{ interval_ms: 50 }}
sources:
  items:
    kind: grpc
    endpoint: {endpoint}
    method: feed.v1.Feed/Follow
    descriptors: {{ protos: [feed.proto] }}
    reconnect: {{ backoff_min_ms: 20 }}
    on_end: finish
    stream: {{ ack: {{ field: ack_ids, from: \"items[0].ack_id\"{ack} }} }}
    resume: {resume}
decoders:
  json: {{ kind: protobuf, from: items, to: json }}
sinks:
  out:
    kind: kafka
    from: json
    brokers: {brokers}
    topic: {topic}
    {sink}
    create: {{ partitions: 1, replication: 1 }}
"
        );
        std::fs::write(&file, text)?;
        let brokers = brokers.to_owned();
        Ok(World { server, launch, file, brokers, topic: topic.to_owned() })
    }

    fn start(&mut self) -> Result<Headwater> {
        self.launch.run_files(std::slice::from_ref(&self.file))
    }

    /// Lets it die at `point`, and holds what is acknowledged against what is committed.
    fn die(&mut self, (point, hit): (Point, u32)) -> Result<()> {
        let folder = TempDir::with_prefix("headwater-hits-")?;
        let fault = format!("{}=kill@{hit}", point.name());
        self.launch.environment_once(FAULTS_VARIABLE, &fault);
        let path = folder.path().to_str().context("a path of ASCII")?;
        self.launch.environment_once(FOLDER_VARIABLE, path);
        let mut headwater = self.start()?;
        let code = headwater.wait_exit(PATIENCE)?.code();
        let hits = std::fs::read_to_string(folder.path().join(point.name())).unwrap_or_default();
        ensure!(code.is_none() && hits.lines().count() == 1, "{fault}: {code:?}, {hits:?}");
        let committed = self.committed()?;
        let acked = self.server.acked();
        let early: Vec<_> = acked.keys().filter(|it| !committed.contains_key(it)).collect();
        ensure!(early.is_empty(), "{fault}: acknowledged and not committed: {early:?}");
        ensure!((acked.len() as u64) < ITEMS, "{fault}: there is something left");
        Ok(())
    }

    /// How often a reader finds each item.
    fn committed(&self) -> Result<BTreeMap<u64, u32>> {
        let mut found = BTreeMap::new();
        for_each(&self.brokers, &self.topic, Isolation::Committed, |message| {
            let value: Value = serde_json::from_slice(message.payload().context("a value")?)?;
            let number = value["items"][0]["number"].as_str().context("a number")?.parse()?;
            *found.entry(number).or_default() += 1;
            Ok(())
        })?;
        Ok(found)
    }

    /// Dies at all points, runs to the end, and says how often each item is there.
    fn run(mut self) -> Result<BTreeMap<u64, u32>> {
        DEATHS.into_iter().try_for_each(|death| self.die(death))?;
        let mut headwater = self.start()?;
        let committed = self.finish(&mut headwater)?;
        ensure!(self.server.calls() > DEATHS.len(), "each start has called");
        Ok(committed)
    }

    /// Runs to the end of what the server has.
    fn finish(&self, headwater: &mut Headwater) -> Result<BTreeMap<u64, u32>> {
        let status = headwater.wait_exit(PATIENCE)?;
        ensure!(status.success(), "{status}: {}", headwater.log()?);
        let (committed, acked) = (self.committed()?, self.server.acked());
        let all: Vec<u64> = (1..=ITEMS).collect();
        ensure!(committed.keys().copied().collect::<Vec<_>>() == all, "something is lost");
        ensure!(acked.keys().copied().collect::<Vec<_>>() == all, "the server keeps something");
        Ok(committed)
    }

    /// Freezes the broker in the middle until `is_due`, and runs to the end.
    fn freeze(
        mut self,
        kafka: &Cluster,
        is_due: impl Fn(&QueueServer) -> bool,
    ) -> Result<(QueueServer, BTreeMap<u64, u32>)> {
        let mut headwater = self.start()?;
        wait_committed(&mut headwater, 500.0)?;
        kafka.pause()?;
        let server = &self.server;
        headwater.wait_for("leases to pass", PATIENCE, |_| is_due(server))?;
        ensure!((server.acked().len() as u64) < ITEMS, "there is something left");
        kafka.resume()?;
        let committed = self.finish(&mut headwater)?;
        Ok((self.server, committed))
    }
}

#[test]
fn nothing_is_acknowledged_before_it_is_committed_and_nothing_is_lost() -> Result<()> {
    let found = World::new("acks-plain", "{ mode: ack }", TRANSACTIONS)?.run()?;
    let twice = found.values().filter(|times| **times > 1).count();
    // What was committed when it died behind a commit had no ack: that is what the label says.
    ensure!(twice > 0, "no death fell between a commit and its acks");
    println!("{twice} of {ITEMS} items are there more than once");
    Ok(())
}

#[test]
fn without_transactions_nothing_is_acknowledged_before_it_is_written_and_nothing_is_lost()
-> Result<()> {
    let resume = "{ mode: ack, dedupe: { key: \"items[0].number\", window: 5000 } }";
    let found = World::new("acks-at-least-once", resume, "delivery: at_least_once")?.run()?;
    let twice = found.values().filter(|times| **times > 1).count();
    println!("{twice} of {ITEMS} items are there more than once");
    Ok(())
}

#[test]
fn within_the_window_each_item_is_there_once() -> Result<()> {
    let resume = "{ mode: ack, dedupe: { key: \"items[0].number\", window: 5000 } }";
    let found = World::new("acks-window", resume, TRANSACTIONS)?.run()?;
    let twice: Vec<_> = found.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "{twice:?}");
    Ok(())
}

/// Longer than a slow machine needs to ask for more time, which happens each half second.
const LEASE: Duration = Duration::from_secs(5);

/// So often within more than two leases.
const EXTENSIONS: u32 = 22;

#[test]
fn a_broker_away_for_longer_than_a_lease_repeats_nothing_if_more_time_is_asked_for() -> Result<()> {
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let server = QueueServer::leasing(ITEMS, UNACKED_MAX, Some(LEASE))?;
    let seconds = LEASE.as_secs();
    let ack = format!(
        ", extend: {{ field: deadline_ids, seconds_field: deadline_seconds, seconds: {seconds}, \
         interval_ms: 500 }}"
    );
    let keys = Keys { resume: "{ mode: ack }", sink: TRANSACTIONS, ack };
    let world = World::between(server, kafka.bootstrap(), "acks-leased", &keys)?;
    let asked = |server: &QueueServer| server.extended_max() > EXTENSIONS;
    let (server, committed) = world.freeze(&kafka, asked)?;
    let again = server.delivered().values().filter(|times| **times > 1).count();
    ensure!(again == 0 && server.calls() == 1, "{again} items were sent again");
    let twice = committed.values().filter(|times| **times > 1).count();
    ensure!(twice == 0, "{twice} items are there more than once");
    Ok(())
}

#[test]
fn what_a_server_sends_again_while_a_broker_is_away_is_there_once_within_the_window() -> Result<()>
{
    let Some(kafka) = own_kafka()? else { return Ok(()) };
    let server = QueueServer::leasing(ITEMS, UNACKED_MAX, Some(Duration::from_secs(1)))?;
    let resume = "{ mode: ack, dedupe: { key: \"items[0].number\", window: 1000 } }";
    let keys = Keys { resume, sink: TRANSACTIONS, ack: String::new() };
    let world = World::between(server, kafka.bootstrap(), "acks-expired", &keys)?;
    let sent_again = |server: &QueueServer| server.delivered().values().any(|times| *times > 3);
    let (server, committed) = world.freeze(&kafka, sent_again)?;
    let twice = committed.values().filter(|times| **times > 1).count();
    ensure!(twice == 0, "{twice} items are there more than once");
    println!("{} acks came after their delivery's time", server.late());
    Ok(())
}
