//! A topic for each record: from the moment in its timestamp, and from a field.
//!
//! Topics of this kind are not known at start. The first record of one has it looked up, and made
//! if the sink may make topics; both on the committer's thread, which may wait for Kafka. Its
//! records go into the open transaction like all others, so exactly once holds across topics.
//!
//! How many topics may be in use is bounded, so that a field with garbage in it does not fill a
//! cluster: beyond it, or where no topic can have such a name, a record is refused like one that
//! Kafka refuses. A topic that was not written to for a while leaves room for another one.
//!
//! Invariants
//! 1. No record goes to a topic of dead letters, gaps or progress.
//! 2. Nothing is allocated for a record of a topic that is known.

use crate::limits::ROUTED_TOPIC_IDLE;
use crate::sink::kafka::check::topic_fault;
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::config::CreateTopic;
use crate::sink::kafka::error::KafkaStartError;
use crate::sink::kafka::moment::{Pattern, PatternError};
use crate::sink::kafka::topics::{Partitions, look_up};
use headwater_engine::commit::outlet::{OutletError, Repair};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// A checked route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pieces: Vec<Piece>,
    /// Path of the field that names topics.
    pub field: Option<String>,
    /// How many topics may be in use.
    pub topics_max: usize,
    /// The name as the file gives it.
    pub name: String,
}

/// A piece of a topic's name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Moment(Pattern),
    Field,
}

/// What is wrong with the name of a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RouteError {
    #[error("`{{{0}}}` stands for nothing")]
    Unknown(String),
    #[error("a brace is not closed")]
    Open,
    #[error(transparent)]
    Moment(#[from] PatternError),
    #[error("no name of a topic may hold {0:?}")]
    Character(char),
    #[error("every record would go to one topic")]
    Constant,
}

impl Route {
    /// Compiles a name with `{topic}`, `{timestamp}` and `{field}` in it.
    pub(super) fn compile(
        name: &str,
        topic: &str,
        timestamp_format: &str,
        field: Option<&str>,
        topics_max: usize,
    ) -> Result<Route, RouteError> {
        let mut pieces = Vec::new();
        let mut rest = name;
        while let Some((text, after)) = rest.split_once('{') {
            let (key, behind) = after.split_once('}').ok_or(RouteError::Open)?;
            pieces.push(Piece::Text(text.to_owned()));
            pieces.push(match key {
                "topic" => Piece::Text(topic.to_owned()),
                "timestamp" => Piece::Moment(Pattern::parse(timestamp_format)?),
                "field" => Piece::Field,
                other => return Err(RouteError::Unknown(other.to_owned())),
            });
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let texts = pieces.iter().flat_map(Piece::texts);
        if let Some(wrong) = texts.flat_map(str::chars).find(|c| !is_allowed(*c)) {
            return Err(RouteError::Character(wrong));
        }
        if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
            return Err(RouteError::Constant);
        }
        let (field, name) = (field.map(str::to_owned), name.to_owned());
        Ok(Route { pieces, field, topics_max, name })
    }

    /// Whether the name holds `{field}`.
    pub(super) fn names_field(&self) -> bool {
        self.pieces.contains(&Piece::Field)
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl Piece {
    fn texts(&self) -> Vec<&str> {
        match self {
            Piece::Text(text) => vec![text],
            Piece::Moment(pattern) => pattern.texts().collect(),
            Piece::Field => Vec::new(),
        }
    }
}

/// Finds the topic of each record.
#[derive(Clone, Debug)]
pub(super) struct Router {
    route: Route,
    create: Option<CreateTopic>,
    /// Topics that are used for something else.
    reserved: BTreeSet<String>,
    known: BTreeMap<Arc<str>, Known>,
    /// The topic of the last record; most often it is the next one's as well.
    last: Option<(Arc<str>, i32)>,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    partitions: i32,
    used: Instant,
}

/// Where a record goes.
pub(super) enum Direction {
    /// To this topic of so many partitions.
    Topic(Arc<str>, i32),
    /// Nowhere, for this reason.
    Nowhere(String),
}

impl Router {
    pub(super) fn new(
        route: Route,
        create: Option<CreateTopic>,
        reserved: BTreeSet<String>,
    ) -> Router {
        let (known, last, scratch) = (BTreeMap::new(), None, Vec::new());
        Router { route, create, reserved, known, last, scratch }
    }

    /// The topic of a record with this timestamp and this value of the route's field.
    pub(super) fn direct(
        &mut self,
        target: &KafkaTarget,
        timestamp: i64,
        field: Option<&[u8]>,
        now: Instant,
    ) -> Result<Direction, OutletError> {
        self.write_name(timestamp, field);
        if let Some((topic, partitions)) = &self.last
            && topic.as_bytes() == self.scratch
        {
            return Ok(Direction::Topic(topic.clone(), *partitions));
        }
        let Ok(name) = std::str::from_utf8(&self.scratch) else {
            return Ok(Direction::Nowhere("its topic's name is no text".to_owned()));
        };
        let found = self.known.get_key_value(name).map(|(name, known)| (name.clone(), *known));
        let (topic, partitions) = match found {
            Some((topic, known)) => (topic, known.partitions),
            None => {
                let name = name.to_owned();
                match self.meet(target, &name, now)? {
                    Ok(met) => met,
                    Err(reason) => return Ok(Direction::Nowhere(reason)),
                }
            }
        };
        self.known.insert(topic.clone(), Known { partitions, used: now });
        self.last = Some((topic.clone(), partitions));
        Ok(Direction::Topic(topic, partitions))
    }

    fn write_name(&mut self, timestamp: i64, field: Option<&[u8]>) {
        self.scratch.clear();
        for piece in &self.route.pieces {
            match piece {
                Piece::Text(text) => self.scratch.extend_from_slice(text.as_bytes()),
                Piece::Moment(pattern) => pattern.write(timestamp, &mut self.scratch),
                Piece::Field => self.scratch.extend_from_slice(field.unwrap_or_default()),
            }
        }
    }

    /// A topic that no record went to before, or not lately.
    fn meet(
        &mut self,
        target: &KafkaTarget,
        name: &str,
        now: Instant,
    ) -> Result<Result<(Arc<str>, i32), String>, OutletError> {
        if let Some(fault) = topic_fault(name) {
            return Ok(Err(format!("its topic would be {}, {fault}", shown(name))));
        }
        if self.reserved.contains(name) {
            return Ok(Err(format!(
                "its topic would be `{name}`, which is used for something else"
            )));
        }
        if self.known.len() >= self.route.topics_max {
            self.forget_idle(now);
        }
        if self.known.len() >= self.route.topics_max {
            return Ok(Err(format!(
                "its topic would be `{name}`, and {} topics are in use, which is \
                 `route.topics_max`",
                self.known.len()
            )));
        }
        let partitions =
            look_up(target, name, self.create.as_ref()).map_err(|error| outlet_error(&error))?;
        tracing::info!(event = "topic_met", topic = name, partitions);
        Ok(Ok((Arc::from(name), partitions)))
    }

    /// The topics in use; those that were not written to lately are forgotten.
    pub(super) fn topics(&mut self, now: Instant) -> impl Iterator<Item = Arc<str>> {
        self.forget_idle(now);
        self.known.keys().cloned()
    }

    /// Takes up how many partitions the topics have now.
    pub(super) fn update(&mut self, partitions: &Partitions) {
        self.last = None;
        for (topic, known) in &mut self.known {
            known.partitions = partitions.get(&**topic).copied().unwrap_or(known.partitions);
        }
    }

    fn forget_idle(&mut self, now: Instant) {
        if let Some((topic, _)) = self.last.take()
            && let Some(known) = self.known.get_mut(&topic)
        {
            // Its records are not noted one by one.
            known.used = now;
        }
        self.known.retain(|_, known| now.saturating_duration_since(known.used) < ROUTED_TOPIC_IDLE);
    }
}

/// A name that is no topic's may hold anything.
fn shown(name: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let cut: String = name.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if cut.len() < name.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

fn outlet_error(error: &KafkaStartError) -> OutletError {
    let repair = if error.may_heal() { Repair::Later } else { Repair::Stop };
    OutletError { message: error.to_string(), repair }
}

#[cfg(test)]
mod tests;
