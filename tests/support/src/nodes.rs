//! Real Apache Kafka of three brokers, each of which can be killed and frozen.
//!
//! Every topic has three copies, and takes records while two of them are in sync unless it is made
//! otherwise; so one broker may be away, and without two nothing can be written. The controller is
//! a node of its own that stays up: with controllers among the brokers two of them would take the
//! quorum along, and what is to be seen is the fate of coordinators and leaders, not that of a
//! cluster without metadata.
//!
//! Invariants
//! 1. A broker is asked only while it is awake: a frozen one takes connections and says nothing.
//! 2. Nothing outlives this process: each node's script waits for the end of its standard input.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

use crate::kafka::script;
use crate::process::signal;
use crate::runtime::RUNTIME;
use crate::wire::{ask, put, take_array};

/// How many of the three copies must be in sync for a record to be taken.
pub const IN_SYNC_MIN: usize = 2;

/// Three brokers and their controller. Dropping it kills them.
pub struct Nodes {
    brokers: BTreeMap<i32, Node>,
    bootstrap: String,
    /// Held for their ends, the controller behind its brokers.
    _controller: Node,
    _folder: TempDir,
}

/// A partition, as a broker knows it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Who takes its records; none while nobody may.
    pub leader: Option<i32>,
    /// Whose copies are complete.
    pub in_sync: Vec<i32>,
}

/// One process of Kafka, and the script that waits beside it.
struct Node {
    folder: PathBuf,
    arguments: Vec<String>,
    address: String,
    life: Option<Life>,
    is_frozen: bool,
}

/// From a start to a death.
struct Life {
    script: Child,
    stdin: ChildStdin,
}

const CONTROLLER: i32 = 100;
const BROKERS: [i32; 3] = [1, 2, 3];

/// All nodes get them: the controller makes the topics.
const SETTINGS: [&str; 5] = [
    "default.replication.factor=3",
    "min.insync.replicas=2",
    "offsets.topic.replication.factor=3",
    "transaction.state.log.replication.factor=3",
    "transaction.state.log.min.isr=2",
];

/// Small: they are four, and a test writes some megabytes.
const HEAP: &str = "256m";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka");

/// How long a broker may take to answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

impl Nodes {
    /// Starts all of them, on free ports, with empty data folders.
    pub fn start() -> Result<Nodes> {
        let folder = TempDir::with_prefix("headwater-kafka-")?;
        let node = |id: i32, more: &[String]| {
            let mut arguments = ["--node".to_owned(), id.to_string()].to_vec();
            arguments.extend_from_slice(more);
            Node::new(folder.path().join(id.to_string()), arguments)
        };
        let mut controller = node(CONTROLLER, &[]);
        controller.start()?;
        let of = ["--of".to_owned(), format!("{CONTROLLER}@{}", controller.address)];
        let mut brokers = BROKERS.map(|id| (id, node(id, &of))).into_iter().collect();
        start_all(&mut brokers)?;
        let addresses: Vec<&str> = brokers.values().map(|it| it.address.as_str()).collect();
        let bootstrap = addresses.join(",");
        Ok(Nodes { brokers, bootstrap, _controller: controller, _folder: folder })
    }

    /// What a client gives as `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The brokers' numbers.
    pub fn ids(&self) -> Vec<i32> {
        self.brokers.keys().copied().collect()
    }

    /// Makes a topic with three copies of each partition, which takes records while so many of them
    /// are in sync.
    pub fn create_topic(&self, name: &str, partitions: i32, in_sync_min: usize) -> Result<()> {
        let (copies, in_sync_min) = (i32::try_from(BROKERS.len())?, in_sync_min.to_string());
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(copies))
            .set("min.insync.replicas", &in_sync_min);
        let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT));
        for result in RUNTIME.block_on(self.admin()?.create_topics([&topic], &options))? {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// The partitions of a topic by their numbers, as a broker that is awake knows them.
    pub fn seats(&self, topic: &str) -> Result<BTreeMap<i32, Seat>> {
        let metadata = self.admin()?.inner().fetch_metadata(Some(topic), ADMIN_TIMEOUT)?;
        let found = metadata.topics().iter().flat_map(|it| it.partitions());
        let seat = |it: &rdkafka::metadata::MetadataPartition| Seat {
            leader: (it.leader() >= 0).then_some(it.leader()),
            in_sync: it.isr().to_vec(),
        };
        Ok(found.map(|it| (it.id(), seat(it))).collect())
    }

    /// Who coordinates the transactions of this id, if somebody does: the brokers' own answer,
    /// because the client library of the tests does not tell.
    pub fn coordinator(&self, transactional_id: &str) -> Result<Option<i32>> {
        const FIND_COORDINATOR: i16 = 10;
        const VERSION: i16 = 1;
        const OF_TRANSACTIONS: u8 = 1;
        let mut body = Vec::new();
        put(&mut body, transactional_id);
        body.push(OF_TRANSACTIONS);
        let answer = ask(self.awake()?, FIND_COORDINATOR, VERSION, &body)?;
        // Throttle time, error, the error's text, node.
        let mut rest = answer.get(4..).context("an answer with an error code")?;
        let error = i16::from_be_bytes(take_array(&mut rest)?);
        let text = i16::from_be_bytes(take_array(&mut rest)?);
        rest = rest.get(usize::try_from(text).unwrap_or(0)..).context("the error's text")?;
        let node = i32::from_be_bytes(take_array(&mut rest)?);
        Ok((error == 0 && node >= 0).then_some(node))
    }

    /// Kills a broker, as `kill -9` does.
    pub fn kill9(&mut self, id: i32) -> Result<()> {
        self.broker(id)?.kill9()
    }

    /// Freezes a broker, as a long pause of its machine does.
    pub fn pause(&mut self, id: i32) -> Result<()> {
        let node = self.broker(id)?;
        signal(node.pid()?, "STOP")?;
        node.is_frozen = true;
        Ok(())
    }

    /// Brings every broker back: thaws what is frozen, and starts what was killed on its data and
    /// at its port. Returns when the latter are up.
    pub fn heal(&mut self) -> Result<()> {
        for node in self.brokers.values_mut().filter(|it| it.is_frozen) {
            signal(node.pid()?, "CONT")?;
            node.is_frozen = false;
        }
        start_all(&mut self.brokers)
    }

    fn broker(&mut self, id: i32) -> Result<&mut Node> {
        self.brokers.get_mut(&id).with_context(|| format!("there is no broker {id}"))
    }

    /// A client that knows of a broker that is awake. It is new each time: what an older one knows
    /// may be older, too.
    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", self.awake()?).create()?)
    }

    fn awake(&self) -> Result<&str> {
        let awake = self.brokers.values().find(|it| it.life.is_some() && !it.is_frozen);
        Ok(&awake.context("no broker is awake")?.address)
    }
}

impl Node {
    fn new(folder: PathBuf, arguments: Vec<String>) -> Node {
        Node { folder, arguments, address: String::new(), life: None, is_frozen: false }
    }

    fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_up()
    }

    /// Starts it where it was before, if it was.
    fn launch(&mut self) -> Result<()> {
        let mut command = Command::new(SCRIPT);
        command.arg("run").arg("--dir").arg(&self.folder).args(["--heap", HEAP]);
        command.args(&self.arguments).args(SETTINGS.iter().flat_map(|it| ["--set", it]));
        if let Some((_, port)) = self.address.rsplit_once(':') {
            command.args(["--keep", "--port", port]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().context("scripts/kafka does not run")?;
        let stdin = script.stdin.take().context("standard input was piped")?;
        self.life = Some(Life { script, stdin });
        Ok(())
    }

    /// Waits until the script prints the address, which it does when the node is up.
    fn wait_up(&mut self) -> Result<()> {
        let life = self.life.as_mut().context("it was launched")?;
        let stdout = life.script.stdout.take().context("it is waited for once")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim();
        ensure!(!address.is_empty(), "scripts/kafka printed no address");
        let is_there = self.address.is_empty() || self.address == address;
        ensure!(is_there, "restarted elsewhere: {address} and not {}", self.address);
        self.address = address.to_owned();
        Ok(())
    }

    fn kill9(&mut self) -> Result<()> {
        script(&["stop", "--kill"], &self.folder)?;
        self.is_frozen = false;
        if let Some(Life { mut script, stdin }) = self.life.take() {
            drop(stdin);
            script.wait()?;
        }
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        let pid = std::fs::read_to_string(self.folder.join("pid"))?;
        pid.trim().parse().context("the pid file of scripts/kafka")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.life.is_some() {
            // A frozen process does not mind kill -9; one that is gone is no failure.
            let _ = self.kill9();
        }
    }
}

/// Starts those that are down side by side: each waits for its own.
fn start_all(brokers: &mut BTreeMap<i32, Node>) -> Result<()> {
    let mut down: Vec<&mut Node> = brokers.values_mut().filter(|it| it.life.is_none()).collect();
    down.iter_mut().try_for_each(|it| it.launch())?;
    down.iter_mut().try_for_each(|it| it.wait_up())
}
