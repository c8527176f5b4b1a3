//! A pipeline's state: one word, and why.
//!
//! ```text
//!   starting ──► connecting ──► running ◄──► degraded
//!                    ▲             │             │
//!                    │             ▼             ▼
//!                    └──────── recovering ◄──────┘      any ──► draining ──► stopped
//!                                                       any ──► standby
//! ```
//!
//! The state is derived, not stored: from the phase of the pipeline's life, from how the call of
//! each shard stands, and from what the sinks complain about. So it can never contradict them, and
//! nobody has to remember to take it back.
//!
//! Pure: the time is handed in.
//!
//! Next: `status.rs` shows it.

use crate::limits::CALL_AWAY_MAX;
use crate::pipeline::sink_state::SinkFacts;
use crate::source::link::{CallState, LinkFacts};
use headwater_engine::ids::ShardKey;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Where a pipeline is in its life, as far as those who run it know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It takes the pipeline over and reads its progress.
    #[default]
    Starting,
    /// It asks a server for the types of its messages; the reason is why there is no answer yet.
    Asking(String),
    /// The dataflow runs.
    Flowing,
    /// It failed and is being built anew; the reason is why.
    Recovering(String),
    /// Its streams have ended, or it was asked to stop: it commits what it has.
    Draining,
    /// Another instance does the work; the reason names it.
    Standby(String),
    /// It has ended; the reason is why, if it is not by request.
    Stopped(Option<String>),
}

/// The word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateName {
    /// It takes the pipeline over and reads its progress; no call is made yet.
    Starting,
    /// The dataflow runs, and not every shard has had an open call yet.
    Connecting,
    /// Records flow on every shard, or would if there were any.
    Running,
    /// It works on, and something has been in its way for a while, or a shard cannot go on.
    Degraded,
    /// It failed and is being built anew from committed progress.
    Recovering,
    /// Its streams have ended, or it was asked to stop: it commits what it has.
    Draining,
    /// Another instance does the work.
    Standby,
    /// It has ended.
    Stopped,
}

/// A pipeline's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The word.
    pub name: StateName,
    /// Why, for a person to read; it may change while the state stays.
    pub reason: Option<String>,
    causes: Causes,
}

/// Which parts the reason speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Causes {
    /// Shards that cannot go on.
    broken: bool,
    /// Calls that are not open.
    calls: bool,
    /// The sinks.
    sink: bool,
    /// A list of targets that cannot be used.
    targets: bool,
}

/// How a list of targets stands that changes while the pipeline runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TargetsFact {
    /// None is known yet.
    Unknown,
    /// The newest one holds.
    Fine,
    /// The newest one cannot be used, and why.
    Refused {
        /// For a person to read.
        reason: String,
        /// Whether there was never one that could.
        is_first: bool,
    },
}

/// What a state is derived from.
pub(super) struct Facts<'a> {
    pub(super) phase: &'a Phase,
    pub(super) shards: &'a [(&'a ShardKey, LinkFacts)],
    pub(super) sink: &'a SinkFacts,
    /// By source.
    pub(super) targets: &'a BTreeMap<String, TargetsFact>,
    /// How long an epoch stays open.
    pub(super) interval: Duration,
}

impl StateName {
    /// All of them, in the order of a life.
    pub const ALL: [StateName; 8] = [
        StateName::Starting,
        StateName::Connecting,
        StateName::Running,
        StateName::Degraded,
        StateName::Recovering,
        StateName::Draining,
        StateName::Standby,
        StateName::Stopped,
    ];

    /// As metrics, logs and `/readyz` write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StateName::Starting => "starting",
            StateName::Connecting => "connecting",
            StateName::Running => "running",
            StateName::Degraded => "degraded",
            StateName::Recovering => "recovering",
            StateName::Draining => "draining",
            StateName::Standby => "standby",
            StateName::Stopped => "stopped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_str())?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

impl State {
    /// Before anything is known.
    pub(super) const STARTING: State = State {
        name: StateName::Starting,
        reason: None,
        causes: Causes { broken: false, calls: false, sink: false, targets: false },
    };

    fn plain(name: StateName, reason: Option<String>) -> Self {
        State { name, reason, causes: Causes::default() }
    }

    /// Whether a health check should be content: records flow, or will as soon as what is in their
    /// way has passed. A shard that cannot go on needs a person.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self.name {
            StateName::Running => true,
            StateName::Degraded => !self.causes.broken,
            _ => false,
        }
    }

    /// Whether somebody may have to look after it.
    pub(super) fn is_alarming(&self) -> bool {
        match self.name {
            StateName::Degraded | StateName::Recovering | StateName::Standby => true,
            StateName::Stopped => self.reason.is_some(),
            _ => self.causes.broken || self.causes.sink || self.causes.targets,
        }
    }

    /// Whether `other` is the same news, worded differently at most.
    pub(super) fn is_same_as(&self, other: &State) -> bool {
        self.name == other.name && self.causes == other.causes
    }
}

impl Facts<'_> {
    /// The state at `now`.
    pub(super) fn state(&self, now: Duration) -> State {
        match self.phase {
            Phase::Starting => State::plain(StateName::Starting, None),
            Phase::Asking(why) => State::plain(StateName::Starting, Some(why.clone())),
            Phase::Flowing => self.while_flowing(now),
            Phase::Recovering(why) => State::plain(StateName::Recovering, Some(why.clone())),
            Phase::Draining => {
                let reason = self.sink.complaint(self.interval, now);
                let causes = Causes { sink: reason.is_some(), ..Causes::default() };
                State { name: StateName::Draining, reason, causes }
            }
            Phase::Standby(why) => State::plain(StateName::Standby, Some(why.clone())),
            Phase::Stopped(why) => State::plain(StateName::Stopped, why.clone()),
        }
    }

    fn while_flowing(&self, now: Duration) -> State {
        let unopened = self.of_shards(|link| !link.has_opened && is_waited_for(link, now));
        let is_late = |link: &LinkFacts| {
            let is_late = now.saturating_sub(link.away_since) >= CALL_AWAY_MAX;
            link.has_opened && is_late && is_waited_for(link, now)
        };
        let broken = self.of_shards(|link| link.call == CallState::Broken);
        let away = self.of_shards(is_late);
        let sink = self.sink.complaint(self.interval, now);
        let causes = Causes {
            broken: broken.is_some(),
            calls: unopened.is_some() || away.is_some(),
            sink: sink.is_some(),
            targets: self.targets.values().any(TargetsFact::is_refused),
        };
        let is_waiting = self.targets.values().any(TargetsFact::is_waiting);
        let name = match (unopened.is_some() || is_waiting, causes == Causes::default()) {
            (true, _) => StateName::Connecting,
            (false, true) => StateName::Running,
            (false, false) => StateName::Degraded,
        };
        let told = [
            unopened.map(|few| few.told("calls not open yet")),
            broken.map(|few| few.told("shards cannot go on")),
            away.map(|few| few.told("calls away")),
            sink,
        ];
        let targets = self.targets.iter().filter_map(|(source, fact)| fact.told(source));
        let told: Vec<String> = told.into_iter().flatten().chain(targets).collect();
        State { name, reason: (!told.is_empty()).then(|| told.join("; ")), causes }
    }

    fn of_shards(&self, is_meant: impl Fn(&LinkFacts) -> bool) -> Option<Few<'_>> {
        let mut meant = self.shards.iter().filter(|(_, link)| is_meant(link));
        let (key, link) = meant.next()?;
        Some(Few { count: 1 + meant.count(), of: self.shards.len(), key, link })
    }
}

impl TargetsFact {
    fn is_refused(&self) -> bool {
        matches!(self, TargetsFact::Refused { .. })
    }

    /// Whether nobody knows whom to call.
    fn is_waiting(&self) -> bool {
        matches!(self, TargetsFact::Unknown | TargetsFact::Refused { is_first: true, .. })
    }

    fn told(&self, source: &str) -> Option<String> {
        match self {
            TargetsFact::Fine => None,
            TargetsFact::Unknown => Some(format!("targets of `{source}` not known yet")),
            TargetsFact::Refused { reason, is_first: true } => {
                Some(format!("targets of `{source}` not known yet: {reason}"))
            }
            TargetsFact::Refused { reason, is_first: false } => {
                Some(format!("targets of `{source}` stay as they were: {reason}"))
            }
        }
    }
}

/// Some of the shards: how many, and the first of them.
struct Few<'a> {
    count: usize,
    of: usize,
    key: &'a ShardKey,
    link: &'a LinkFacts,
}

impl Few<'_> {
    fn told(&self, what: &str) -> String {
        let Few { count, of, key, link } = self;
        let reason = link.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("{count} of {of} {what}: {key}{reason}")
    }
}

/// Whether a call of this shard is wanted and not open.
fn is_waited_for(link: &LinkFacts, now: Duration) -> bool {
    let is_over = matches!(link.call, CallState::Ended | CallState::Broken);
    !is_over && !link.is_open(now)
}

#[cfg(test)]
mod tests;
