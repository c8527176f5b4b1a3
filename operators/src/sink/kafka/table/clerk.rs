//! The thread of a table: stands by, leads, writes.
//!
//! It blocks on librdkafka, so it is a thread of its own. While it leads it wakes for changes and
//! for heartbeats; while it stands by it reads.
//!
//! Invariants
//! 1. A change is answered with "made" only after this thread has read its last record back.
//! 2. It says that it leads only after it has read everything up to its own record, which it wrote
//!    with an id that was then its own.
//! 3. Once it finds that another one has the id, it says so before it does anything else.
//!
//! Next: `write.rs` makes a change.

use super::log::{Came, Entry, Log};
use super::write::{Unwritten, transact};
use super::{
    Command, LEADER_FORMAT, LEADER_KEY, Lead, Leader, TableOptions, TableReader, TableRecord,
    Write, WriteError,
};
use crate::limits::{TABLE_BACKOFF_MAX, TABLE_BACKOFF_MIN};
use crate::sink::kafka::acquire::{take_id, unix_ms};
use crate::sink::kafka::error::KafkaStartError;
use crate::sink::kafka::producer::SinkProducer;
use crate::sink::kafka::topics::ensure_table;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use headwater_engine::fault::{self, Point};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long who stands by waits for a record before it looks whether it was asked to end.
const STANDBY_STEP: Duration = Duration::from_millis(100);

/// How long a leader in trouble looks for a record of its successor.
const SUCCESSOR_WAIT: Duration = Duration::from_millis(500);

/// How long a leader that was fenced waits for the first record of its successor.
const SUCCESSOR_WRITES_MAX: Duration = Duration::from_secs(10);

/// Runs a table to its end.
pub(super) fn run(
    options: TableOptions,
    reader: Arc<dyn TableReader>,
    commands: Receiver<Command>,
) {
    let mut desk = Desk { commands, is_closed: false };
    reader.lead(&Lead::Reading(None));
    let Some(log) = open(&options, &*reader, &mut desk) else { return };
    let clerk = Clerk {
        options,
        reader,
        desk,
        log,
        leader: None,
        others: 0,
        generation: 0,
        heard: Instant::now(),
        has_end: false,
        has_led: false,
    };
    clerk.live();
}

/// Waits until the topic is there.
fn open(options: &TableOptions, reader: &dyn TableReader, desk: &mut Desk) -> Option<Log> {
    let mut backoff = TABLE_BACKOFF_MIN;
    loop {
        let TableOptions { target, topic, replication, .. } = options;
        let ensured = ensure_table(target, topic, *replication);
        let error = match ensured.and_then(|()| Log::open(target, topic, 0)) {
            Ok(log) => return Some(log),
            Err(error) if !error.may_heal() => {
                reader.failed(&error);
                return None;
            }
            Err(error) => error,
        };
        tracing::warn!(event = "config_topic_away", topic, "{error}");
        reader.lead(&Lead::Reading(Some(error.to_string())));
        if !desk.wait(backoff, &WriteError::NotLeading) {
            return None;
        }
        backoff = (backoff * 2).min(TABLE_BACKOFF_MAX);
    }
}

/// Where changes are asked for.
struct Desk {
    commands: Receiver<Command>,
    /// Nobody asks any more.
    is_closed: bool,
}

impl Desk {
    /// The next change, if one comes before `until`; none also once nobody asks any more.
    fn next(&mut self, until: Instant) -> Option<Command> {
        match self.commands.recv_deadline(until) {
            Ok(Command::Resign) | Err(RecvTimeoutError::Disconnected) => {
                self.is_closed = true;
                None
            }
            Ok(write) => Some(write),
            Err(RecvTimeoutError::Timeout) => None,
        }
    }

    /// Waits, and refuses changes meanwhile; false once nobody asks any more.
    fn wait(&mut self, delay: Duration, refusal: &WriteError) -> bool {
        let until = Instant::now() + delay;
        while let Some(Command::Write(_, reply)) = self.next(until) {
            // Who asked may have gone.
            let _ = reply.send(Err(refusal.clone()));
        }
        !self.is_closed
    }
}

struct Clerk {
    options: TableOptions,
    reader: Arc<dyn TableReader>,
    desk: Desk,
    log: Log,
    /// Whose record was read last.
    leader: Option<Leader>,
    /// The highest generation of another instance.
    others: u64,
    /// Our own, once we lead.
    generation: u64,
    /// When a leader was heard last.
    heard: Instant,
    /// Whether the end of the topic was reached once.
    has_end: bool,
    has_led: bool,
}

/// What comes next.
enum Next {
    Lead,
    StandBy,
    Stop,
}

impl Clerk {
    fn live(mut self) {
        let mut next = Next::StandBy;
        loop {
            let came = match next {
                Next::StandBy => self.stand_by(),
                Next::Lead => self.lead(),
                Next::Stop => return,
            };
            next = match came {
                Ok(next) => next,
                Err(error) if error.may_heal() => self.after(&error),
                Err(error) => {
                    self.reader.lead(&Lead::Other(None));
                    self.reader.failed(&error);
                    return;
                }
            }
        }
    }

    fn after(&mut self, error: &KafkaStartError) -> Next {
        tracing::warn!(event = "config_topic_away", "{error}");
        self.heard = Instant::now();
        match self.desk.wait(TABLE_BACKOFF_MIN, &WriteError::NotLeading) {
            true => Next::StandBy,
            false => Next::Stop,
        }
    }
}

/// Standing by.
impl Clerk {
    /// Reads until it is this instance's turn to lead.
    fn stand_by(&mut self) -> Result<Next, KafkaStartError> {
        if self.has_end {
            self.tell_other();
        }
        while self.desk.wait(Duration::ZERO, &WriteError::NotLeading) {
            match self.log.look(STANDBY_STEP)? {
                Came::Record(entry) => drop(self.take(entry)),
                Came::End if !self.has_end => {
                    self.has_end = true;
                    self.tell_other();
                }
                Came::End | Came::Nothing => {}
                // While the topic is out of reach nobody can be heard.
                Came::Away(why) => {
                    tracing::debug!(event = "config_topic_away", "{why}");
                    self.heard = Instant::now();
                }
            }
            if self.has_end && self.is_due()? {
                return Ok(Next::Lead);
            }
        }
        Ok(Next::Stop)
    }

    /// Whether nobody leads any more.
    fn is_due(&mut self) -> Result<bool, KafkaStartError> {
        let Some(leader) = &self.leader else { return Ok(true) };
        // Only before it led: otherwise two that do not see each other would take turns.
        let is_gone = !self.has_led && (self.options.is_gone)(&leader.instance);
        if leader.has_resigned || is_gone {
            return Ok(true);
        }
        if self.heard.elapsed() < self.options.takeover_after {
            return Ok(false);
        }
        let generation = leader.generation;
        let entries = self.log.confirm(&self.options.target)?;
        let is_silent = entries.is_empty();
        entries.into_iter().for_each(|entry| drop(self.take(entry)));
        self.heard = Instant::now();
        if is_silent {
            tracing::warn!(event = "leader_silent", generation);
        }
        Ok(is_silent)
    }

    fn tell_other(&self) {
        let leader = self.leader.clone().filter(|leader| !leader.has_resigned);
        self.reader.lead(&Lead::Other(leader));
    }

    /// Takes a record in; returns it for those who wait for it.
    fn take(&mut self, entry: Entry) -> Entry {
        if entry.key == LEADER_KEY {
            self.take_leader(entry.value.as_deref());
        } else {
            let Entry { key, value, offset } = &entry;
            self.reader.record(&TableRecord { key, value: value.as_deref(), offset: *offset });
        }
        entry
    }

    fn take_leader(&mut self, value: Option<&[u8]>) {
        self.heard = Instant::now();
        let leader: Option<Leader> = value.and_then(|it| serde_json::from_slice(it).ok());
        let told = |it: &Leader| (it.generation, it.has_resigned);
        let is_news = leader.as_ref().map(told) != self.leader.as_ref().map(told);
        self.leader = leader;
        if let Some(leader) = self.leader.as_ref().filter(|_| !self.is_ours()) {
            self.others = self.others.max(leader.generation);
            if is_news && self.has_end {
                self.tell_other();
            }
        }
    }

    fn is_ours(&self) -> bool {
        self.leader.as_ref().is_some_and(|it| it.instance == self.options.instance)
    }
}

/// Leading.
impl Clerk {
    /// Takes the lead, and keeps it until another one takes it.
    fn lead(&mut self) -> Result<Next, KafkaStartError> {
        let mut producer = self.take_lead()?;
        self.has_led = true;
        self.reader.lead(&Lead::Ours(None));
        let mut beat = Instant::now();
        loop {
            let command = self.desk.next(beat);
            if self.desk.is_closed {
                self.resign(&producer);
                return Ok(Next::Stop);
            }
            let outcome = match command {
                Some(Command::Write(write, reply)) => {
                    let outcome = self.write_again(&mut producer, &write);
                    let _ = reply.send(outcome.as_ref().map_err(Unwritten::answer).copied());
                    outcome
                }
                _ => {
                    beat = Instant::now() + self.options.heartbeat;
                    self.write(&producer, &self.own_record(false))
                }
            };
            match outcome {
                Ok(()) | Err(Unwritten::Refused(_)) => {}
                Err(Unwritten::Replaced) => return Ok(self.stand_down()),
                Err(Unwritten::Unbegun(why) | Unwritten::Lost(why)) => {
                    match self.recover(&producer, &why) {
                        Ok(renewed) => producer = renewed,
                        Err(next) => return Ok(next),
                    }
                }
            }
        }
    }

    /// Writes; with a new producer if the present one may begin nothing more.
    fn write_again(
        &mut self,
        producer: &mut SinkProducer,
        records: &Write,
    ) -> Result<(), Unwritten> {
        match self.write(producer, records) {
            Err(Unwritten::Unbegun(why)) => {
                *producer = self.recover(producer, &why).map_err(|_| Unwritten::Replaced)?;
                self.write(producer, records)
            }
            Err(Unwritten::Lost(why)) if producer.is_fenced() => self.settle(records, why),
            outcome => outcome,
        }
    }

    /// What became of a change whose producer was fenced: the first record of whoever has the id
    /// now stands behind it, or it never comes.
    fn settle(&mut self, records: &Write, why: String) -> Result<(), Unwritten> {
        let (key, value) = records.last().expect("a change has records");
        let (known, mut is_made) = (self.others, false);
        let until = Instant::now() + SUCCESSOR_WRITES_MAX;
        while Instant::now() < until {
            let Ok(came) = self.log.look(STANDBY_STEP) else { break };
            let Came::Record(entry) = came else { continue };
            let entry = self.take(entry);
            is_made |= entry.key == *key && entry.value == *value;
            if self.others > known {
                return if is_made { Ok(()) } else { Err(Unwritten::Replaced) };
            }
        }
        Err(Unwritten::Lost(why))
    }

    /// Takes the id, and reads up to our own record: from here on nobody else changes the table.
    fn take_lead(&mut self) -> Result<SinkProducer, KafkaStartError> {
        let producer = take_id(&self.options.target, &self.id())?;
        // One that led meanwhile has a record that had not been read.
        while self.generation <= self.others || !self.is_ours() {
            self.generation = self.others.max(self.generation) + 1;
            let written = self.write(&producer, &self.own_record(false));
            written.map_err(|unwritten| KafkaStartError::Unreachable {
                brokers: self.options.target.brokers.clone(),
                what: format!("taking the lead of `{}`", self.options.topic),
                reason: unwritten.to_string(),
            })?;
        }
        let (topic, generation) = (&self.options.topic, self.generation);
        tracing::info!(event = "lead_taken", topic, generation);
        Ok(producer)
    }

    /// A producer in the place of one that is lost; what comes next, if another instance leads or
    /// nobody asks any more. Kafka may be away for long: what runs goes on meanwhile.
    fn recover(&mut self, lost: &SinkProducer, why: &str) -> Result<SinkProducer, Next> {
        tracing::warn!(event = "config_topic_trouble", "{why}");
        self.reader.lead(&Lead::Ours(Some(why.to_owned())));
        let mut backoff = TABLE_BACKOFF_MIN;
        loop {
            if lost.is_fenced() || self.has_successor() {
                return Err(self.stand_down());
            }
            // Its place in the log is that of a new lead: what came of the last change is read.
            self.leader = None;
            match self.take_lead() {
                Ok(producer) => {
                    self.reader.lead(&Lead::Ours(None));
                    return Ok(producer);
                }
                Err(error) => {
                    tracing::warn!(event = "config_topic_away", "{error}");
                    self.reader.lead(&Lead::Ours(Some(error.to_string())));
                }
            }
            let refusal = WriteError::Refused("Kafka is out of reach".to_owned());
            if !self.desk.wait(backoff, &refusal) {
                return Err(Next::Stop);
            }
            backoff = (backoff * 2).min(TABLE_BACKOFF_MAX);
            let _ = self.log.renew(&self.options.target);
        }
    }

    fn stand_down(&mut self) -> Next {
        tracing::warn!(event = "lead_lost", "another instance leads");
        let successor = self.leader.clone().filter(|_| !self.is_ours());
        self.reader.lead(&Lead::Other(successor));
        self.heard = Instant::now();
        if self.desk.is_closed { Next::Stop } else { Next::StandBy }
    }

    /// Whether the log holds a record of an instance that led after us.
    fn has_successor(&mut self) -> bool {
        let known = self.others;
        let until = Instant::now() + SUCCESSOR_WAIT;
        while Instant::now() < until {
            match self.log.look(STANDBY_STEP) {
                Ok(Came::Record(entry)) => drop(self.take(entry)),
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        self.others > known
    }

    fn resign(&mut self, producer: &SinkProducer) {
        match self.write(producer, &self.own_record(true)) {
            Ok(()) => tracing::info!(event = "lead_resigned"),
            Err(unwritten) => tracing::warn!(event = "lead_not_resigned", "{unwritten}"),
        }
    }

    /// The topic's transactional id: whoever has it leads.
    fn id(&self) -> String {
        format!("headwater-serve.{}", self.options.topic)
    }

    fn own_record(&self, has_resigned: bool) -> Write {
        let leader = Leader {
            format: LEADER_FORMAT,
            generation: self.generation,
            instance: self.options.instance.clone(),
            address: self.options.address.clone(),
            at_unix_ms: unix_ms(),
            has_resigned,
        };
        let value = serde_json::to_vec(&leader).expect("a leader is plain data");
        vec![(LEADER_KEY.to_owned(), Some(value))]
    }

    /// Writes records in one transaction, and reads up to the last one.
    fn write(&mut self, producer: &SinkProducer, records: &Write) -> Result<(), Unwritten> {
        transact(producer, &self.options.topic, records)?;
        let (key, value) = records.last().expect("a change has records");
        if key != LEADER_KEY {
            fault::point(Point::ConfigCommitted);
        }
        loop {
            let entry = self.log.next().map_err(|error| Unwritten::Lost(error.to_string()))?;
            let entry = self.take(entry);
            if entry.key == *key && entry.value == *value {
                return Ok(());
            }
        }
    }
}
