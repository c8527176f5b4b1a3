//! A compacted topic as a table that one instance writes and all read.
//!
//! `headwater serve` keeps what it was told to run in such a topic. Of several instances one
//! *leads*: it holds the topic's transactional id, so what it writes is refused once another one
//! has taken that. Each change is one transaction, so of its records a reader sees all or none,
//! also if the writer dies in between; and it counts as made when this instance's own reader has
//! read it.
//!
//! ```text
//!   stand by ── no leader, it has resigned, or it is silent ──► take the id (fences the other one)
//!      ▲                                                             │ write ourselves as leader,
//!      │                                                             ▼ read up to that record
//!      └──────────────── another one has taken the id ◄──────────── lead
//! ```
//!
//! The leader shows that it lives by writing its record again. Who stands by measures the silence
//! with its own clock, and only while the topic can be read. If that errs, two instances take the
//! id from each other, and fencing keeps the table whole.
//!
//! Reading comes after taking the id: nobody else can add to what is read then. And the record up
//! to which is read is our own, because the end of a topic cannot be told from outside
//! (`progress.rs`).
//!
//! Next: `table/clerk.rs` does it; `src/serve/store.rs` says what the records mean.

use crate::sink::kafka::client::{KafkaTarget, invalid, refusal};
use crate::sink::kafka::config::KafkaConfig;
use crate::sink::kafka::error::KafkaStartError;
use crossbeam_channel::{Sender, unbounded};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

mod clerk;
mod log;
mod write;

/// The key of the leader's record.
const LEADER_KEY: &str = "leader";

/// The version of the leader's record.
const LEADER_FORMAT: u32 = 1;

/// What a table is made of.
pub struct TableOptions {
    /// The cluster.
    pub target: KafkaTarget,
    /// The topic; it is made if it is missing.
    pub topic: String,
    /// Copies of the topic, where it is made; left out, as many as the cluster makes by itself.
    pub replication: Option<i32>,
    /// Names this process.
    pub instance: String,
    /// Where this instance can be asked, for those who asked another one.
    pub address: Option<String>,
    /// How often the leader shows that it lives.
    pub heartbeat: Duration,
    /// How long it must be silent before another one leads.
    pub takeover_after: Duration,
    /// Whether an instance is known to have ended. It is asked once, before this one has led.
    pub is_gone: Box<dyn Fn(&str) -> bool + Send>,
}

/// Who hears of the table. All calls come from one thread, in the order of the log.
pub trait TableReader: Send + Sync {
    /// A record was read; it may have been read before, after a fault.
    fn record(&self, record: &TableRecord<'_>);

    /// Who leads has changed, or something is in the way.
    fn lead(&self, lead: &Lead);

    /// Nothing here can heal it; the table has ended.
    fn failed(&self, error: &KafkaStartError);
}

/// A record of the table.
#[derive(Clone, Copy, Debug)]
pub struct TableRecord<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value; none: it is deleted.
    pub value: Option<&'a [u8]>,
    /// Where it stands in the log.
    pub offset: i64,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// The table is being read for the first time; why it takes so long, if that is known.
    Reading(Option<String>),
    /// Another instance does; none, if nobody does.
    Other(Option<Leader>),
    /// This instance does; what is in the way of changes, if anything is.
    Ours(Option<String>),
}

/// An instance that leads, or led.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    format: u32,
    /// The number of its lead; later ones have higher numbers.
    pub generation: u64,
    /// Its name.
    pub instance: String,
    /// Where it can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it said so, milliseconds since 1970-01-01T00:00:00Z.
    pub at_unix_ms: i64,
    /// Whether it has left by itself.
    #[serde(default)]
    pub has_resigned: bool,
}

/// Records to write together, by key; no value deletes.
pub type Write = Vec<(String, Option<Vec<u8>>)>;

/// A change was not made, or it is not known whether it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another instance leads.
    #[error("another instance leads")]
    NotLeading,
    /// Kafka refuses it; nothing was changed.
    #[error("nothing was changed: {0}")]
    Refused(String),
    /// The answer of Kafka was lost; whether it was made shows when Kafka is back.
    #[error("it is not known whether the change was made: {0}")]
    Unknown(String),
}

/// A table. Dropping it ends its thread without a farewell.
pub struct Table {
    commands: Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Write(Write, oneshot::Sender<Result<(), WriteError>>),
    Resign,
}

/// The cluster of a table, with the client's properties; all that is wrong with them.
///
/// # Errors
/// A line for each property that may not be set, or that librdkafka does not know.
pub fn table_target(
    brokers: &str,
    topic: &str,
    properties: &BTreeMap<String, String>,
) -> Result<KafkaTarget, Vec<String>> {
    let wrong = properties.iter().filter_map(|(key, value)| {
        let reason = refusal(key).map(str::to_owned).or_else(|| invalid(key, value))?;
        Some(format!("property `{key}` cannot be set: {reason}"))
    });
    let wrong: Vec<String> = wrong.collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let config =
        serde_json::json!({ "brokers": brokers, "topic": topic, "properties": properties });
    let config: KafkaConfig = serde_json::from_value(config).map_err(|it| vec![it.to_string()])?;
    Ok(KafkaTarget::new(&config))
}

impl Table {
    /// Starts to read the topic, and to lead when that is due.
    ///
    /// # Panics
    /// If a thread cannot be started.
    #[must_use]
    pub fn start(options: TableOptions, reader: Arc<dyn TableReader>) -> Self {
        let (commands, received) = unbounded();
        let thread = std::thread::Builder::new().name("config-topic".to_owned());
        let clerk = move || clerk::run(options, reader, received);
        let thread = thread.spawn(clerk).expect("the system has room for a thread");
        Table { commands, thread: Mutex::new(Some(thread)) }
    }

    /// Makes a change. When this returns, the reader has been told of it.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn write(&self, records: Write) -> Result<(), WriteError> {
        let (reply, answer) = oneshot::channel();
        let gone = || WriteError::Refused("the table has ended".to_owned());
        self.commands.send(Command::Write(records, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| WriteError::Unknown("the table has ended".to_owned()))?
    }

    /// Leaves the lead to others, if it is ours, and ends.
    pub async fn resign(&self) {
        let thread = self.thread.lock().expect("taking it does not panic").take();
        if let (Ok(()), Some(thread)) = (self.commands.send(Command::Resign), thread) {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}
