//! What all tests here share: one Kafka, a bench for one pipeline, and the judge.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Once};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Call, Script, ScriptedServer, ServerOptions, Step};
use headwater_test_support::kafka::{ApacheOptions, Cluster};
use headwater_test_support::pipeline::Pipeline;
use headwater_test_support::process::{Headwater, Launch};
pub(crate) use headwater_test_support::topic::identity;
use headwater_test_support::topic::{Isolation, Sequences, check::Faults, for_each};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::message::Message;

/// So long may anything take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The metric of records that a reader can see.
pub(crate) const COMMITTED: &str = "headwater_committed_records_total";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
const SKIPPED: &str = "SKIPPED: what needs a broker that dies or freezes is tested with \
                       HEADWATER_KAFKA=real (scripts/test sets it)";

/// The broker of all tests that do not hurt it. Real Kafka ends with this process, because its
/// script waits for the end of its standard input.
static SHARED: LazyLock<Shared> = LazyLock::new(|| Shared::start().expect("a broker starts"));

struct Shared {
    cluster: Cluster,
    _script: Option<(Child, ChildStdin)>,
}

/// One pipeline, with a topic of its own name.
pub(crate) struct Bench {
    pub(crate) launch: Launch,
    pub(crate) pipeline: Pipeline,
    /// What stands behind the pipeline in its file.
    pub(crate) more: String,
    shards: Vec<String>,
}

/// Whether real Kafka is wanted.
pub(crate) fn is_real() -> bool {
    std::env::var("HEADWATER_KAFKA").is_ok_and(|it| it == "real")
}

/// Whether faults may last as long as they do out there.
pub(crate) fn is_long() -> bool {
    std::env::var("HEADWATER_LONG").is_ok_and(|it| it == "1")
}

/// The shared broker's address.
pub(crate) fn kafka() -> &'static str {
    SHARED.cluster.bootstrap()
}

/// A Kafka of the test's own, to be killed and frozen; none unless real Kafka is wanted.
pub(crate) fn own_kafka() -> Result<Option<Cluster>> {
    own_kafka_with(ApacheOptions::default)
}

/// The same, started as `options` say.
pub(crate) fn own_kafka_with(options: impl FnOnce() -> ApacheOptions) -> Result<Option<Cluster>> {
    if is_real_kafka() { Cluster::apache_with(options()).map(Some) } else { Ok(None) }
}

/// Whether a test may start a Kafka of its own; says once that such tests are skipped otherwise.
pub(crate) fn is_real_kafka() -> bool {
    static SAID: Once = Once::new();
    if !is_real() {
        // Past the test harness, which swallows what a passing test prints.
        SAID.call_once(|| drop(writeln!(std::io::stderr(), "\n{SKIPPED}\n")));
    }
    is_real()
}

/// A generator whose seed a failed test shows; `HEADWATER_SEED` repeats it.
pub(crate) fn random() -> StdRng {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|it| it.parse().ok());
    let seed = given.unwrap_or_else(|| rand::rng().random());
    println!("HEADWATER_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// A stream without end, so many events a second on each call.
pub(crate) fn endless(rate: u64) -> Script {
    Script::new(u64::MAX).rest([Step::Pace(rate), Step::SendAll])
}

/// A server in the place of one that was stopped.
pub(crate) fn server_at(address: SocketAddr, script: Script) -> Result<ScriptedServer> {
    ScriptedServer::start_with(script, ServerOptions { listen: Some(address), tls: None })
}

/// Which records are where a fresh reader finds them: every one of `shards` from 1 to `total`?
pub(crate) fn judge(
    bootstrap: &str,
    topic: &str,
    shards: &[String],
    total: u64,
) -> Result<Result<u64, Box<Faults>>> {
    judge_as(Isolation::Committed, bootstrap, topic, shards, total)
}

fn judge_as(
    isolation: Isolation,
    bootstrap: &str,
    topic: &str,
    shards: &[String],
    total: u64,
) -> Result<Result<u64, Box<Faults>>> {
    let expected = shards.iter().map(|it| (it.clone(), 1..=total));
    let mut sequences = Sequences::expect_shards(expected);
    for_each(bootstrap, topic, isolation, |message| {
        let (shard, sequence) = identity(message)?;
        sequences.observe(&shard, message.partition(), sequence);
        Ok(())
    })?;
    Ok(sequences.finish())
}

/// How many records such a reader sees.
pub(crate) fn count(bootstrap: &str, topic: &str, isolation: Isolation) -> Result<u64> {
    for_each(bootstrap, topic, isolation, |_| Ok(()))
}

// === impl Shared ===

impl Shared {
    fn start() -> Result<Shared> {
        if let Some(cluster) = Cluster::from_environment() {
            return Ok(Shared { cluster, _script: None });
        }
        if !is_real() {
            return Ok(Shared { cluster: Cluster::embedded()?, _script: None });
        }
        let mut command = Command::new(SCRIPT);
        command.arg("run").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().context("scripts/kafka does not run")?;
        let stdin = script.stdin.take().context("standard input was piped")?;
        let stdout = script.stdout.take().context("standard output was piped")?;
        let mut bootstrap = String::new();
        BufReader::new(stdout).read_line(&mut bootstrap)?;
        ensure!(!bootstrap.trim().is_empty(), "scripts/kafka printed no address");
        let cluster = Cluster::given(bootstrap.trim());
        Ok(Shared { cluster, _script: Some((script, stdin)) })
    }
}

// === impl Bench ===

impl Bench {
    /// A pipeline called `name` from `endpoint` into the shared broker: two workers, each shard's
    /// records in one partition.
    pub(crate) fn new(name: &str, endpoint: impl Into<String>) -> Result<Bench> {
        Bench::on(kafka(), name, endpoint)
    }

    /// The same into another broker.
    pub(crate) fn on(bootstrap: &str, name: &str, endpoint: impl Into<String>) -> Result<Bench> {
        let mut pipeline = Pipeline::new(endpoint, bootstrap);
        pipeline.name = name.to_owned();
        pipeline.topic = name.to_owned();
        pipeline.workers = 2;
        pipeline.source_extra.push("reconnect: { backoff_min_ms: 20 }".to_owned());
        pipeline.sink_extra.push("partition: shard\nheaders: { provenance: true }".to_owned());
        let launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
        let bench = Bench { launch, pipeline, more: String::new(), shards: Vec::new() };
        Ok(bench.shards(1))
    }

    /// So many calls to the server, each a shard.
    pub(crate) fn shards(mut self, count: u32) -> Bench {
        self.shards = (1..=count).map(|it| format!("shard-{it}")).collect();
        self
    }

    /// Starts the program.
    pub(crate) fn start(&mut self) -> Result<Headwater> {
        let mut pipeline = self.pipeline.clone();
        if pipeline.targets.is_none() {
            let requests = self.shards.iter().map(|it| format!("{{ name: {it} }}"));
            let requests = requests.collect::<Vec<_>>().join(", ");
            pipeline.source_extra.push(format!("requests: [{requests}]"));
        }
        let file = self.launch.folder().join(format!("{}.yaml", pipeline.name));
        let text = format!("{}{}", pipeline.yaml(), self.more);
        // Not under the eyes of an instance that is just reading it.
        if std::fs::read_to_string(&file).ok().as_deref() != Some(text.as_str()) {
            pipeline.write(self.launch.folder())?;
            std::fs::write(&file, text)?;
        }
        self.launch.run_files(&[file])
    }

    /// Starts the program and waits until it has ended; its exit code and its log.
    pub(crate) fn run(&mut self) -> Result<(Option<i32>, String)> {
        let mut headwater = self.start()?;
        let status = headwater.wait_exit(PATIENCE)?;
        Ok((status.code(), headwater.log()?))
    }

    /// As [`Bench::run`], and demands that all went well.
    pub(crate) fn run_to_the_end(&mut self) -> Result<()> {
        let (code, log) = self.run()?;
        ensure!(code == Some(0), "exit code {code:?}:\n{log}");
        Ok(())
    }

    /// Gives an endless stream an end, and runs to it: past the last event any call was sent, so
    /// that nothing that was received may be missing. Returns how many events there were.
    pub(crate) fn finish(&mut self, server: ScriptedServer) -> Result<u64> {
        self.finish_by(server, |script| script)
    }

    /// As [`Bench::finish`], with a script that is more than plain.
    pub(crate) fn finish_by(
        &mut self,
        server: ScriptedServer,
        play: impl FnOnce(Script) -> Script,
    ) -> Result<u64> {
        const MORE: u64 = 500;
        let address = server.address();
        let last = server.stop().iter().filter_map(Call::last_sent).max();
        let total = last.context("the server has sent something")? + MORE;
        let _server = server_at(address, play(Script::new(total)))?;
        self.run_to_the_end()?;
        Ok(total)
    }

    /// What a fresh reader finds of `total` events of each shard.
    pub(crate) fn judge(&self, total: u64) -> Result<Result<u64, Box<Faults>>> {
        self.judge_as(Isolation::Committed, total)
    }

    /// The same of a reader that need not be `read_committed`.
    pub(crate) fn judge_as(
        &self,
        isolation: Isolation,
        total: u64,
    ) -> Result<Result<u64, Box<Faults>>> {
        judge_as(isolation, &self.pipeline.brokers, &self.pipeline.topic, &self.shards, total)
    }

    /// Demands that each of `total` events of each shard is there once and in order.
    pub(crate) fn demand_exact(&self, total: u64) -> Result<()> {
        let count = self.judge(total)??;
        ensure!(count == total * self.shards.len() as u64, "{count} records of {total} a shard");
        Ok(())
    }

    /// The numbers in the topic of a pipeline of one shard, as far as a reader sees them.
    pub(crate) fn numbers(&self, isolation: Isolation) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for_each(&self.pipeline.brokers, &self.pipeline.topic, isolation, |message| {
            numbers.push(identity(message)?.1);
            Ok(())
        })?;
        Ok(numbers)
    }

    /// How many records only an uncommitted reader sees: those of aborted transactions.
    pub(crate) fn aborted(&self) -> Result<u64> {
        let (brokers, topic) = (&self.pipeline.brokers, &self.pipeline.topic);
        let all = count(brokers, topic, Isolation::Uncommitted)?;
        Ok(all - count(brokers, topic, Isolation::Committed)?)
    }

    /// The names of all shards.
    pub(crate) fn shard_names(&self) -> &[String] {
        &self.shards
    }
}

/// A metric of a running program; 0 while it does not answer.
pub(crate) fn metric(headwater: &Headwater, name: &str) -> f64 {
    headwater.metrics().map_or(0.0, |it| it.sum(name))
}

/// Whether `/readyz` answers with this state and this status.
pub(crate) fn is_in(headwater: &Headwater, state: &str, status: u16) -> bool {
    let state = format!("\"state\":\"{state}\"");
    headwater.get("/readyz").is_ok_and(|it| it.status == status && it.body.contains(&state))
}

/// Waits until the program has made `count` records visible.
pub(crate) fn wait_committed(headwater: &mut Headwater, count: f64) -> Result<()> {
    let what = format!("{count} committed records");
    headwater.wait_for(&what, PATIENCE, |it| metric(it, COMMITTED) >= count)
}

/// Demands the words in one line of a log.
pub(crate) fn demand_line(log: &str, words: &[&str]) {
    let is_there = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_there, "no line with {words:?}:\n{log}");
}

/// The `from_sequence` of each call, without repetition.
pub(crate) fn asked(calls: &[Call]) -> BTreeSet<u64> {
    calls.iter().map(|it| it.request.from_sequence).collect()
}
