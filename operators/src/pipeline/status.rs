//! The status of a pipeline, shared by those who run it and those who watch it.
//!
//! Whoever looks has the state derived from the facts of that moment, so `/readyz` and `/metrics`
//! are never behind; and somebody looks every [`STATE_LOOK`], so that the log tells of states that
//! nobody asked for.
//!
//! Invariants
//! 1. Each change of state is one log line, `event=pipeline_state`.
//! 2. Exactly one of the gauges `headwater_pipeline_state` of a pipeline is 1.
//!
//! Next: `src/http.rs` and `src/console.rs` show it.

use crate::limits::STATE_LOOK;
use crate::pipeline::sink_state::SinkFacts;
use crate::pipeline::state::{Facts, Phase, State, StateName, TargetsFact};
use crate::sink::kafka::Beat;
use crate::source::link::{CallState, Link, LinkFacts};
use crate::telemetry::{StateMetrics, Telemetry};
use headwater_engine::clock::Clock;
use headwater_engine::commit::observe::CommitEvent;
use headwater_engine::failure::{FailureReason, Recovery};
use headwater_engine::ids::ShardKey;
use headwater_engine::spec::Plan;
use prometheus::IntGauge;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The handle; clones are the same status.
#[derive(Clone)]
pub struct Status(Arc<Mutex<Inner>>);

struct Inner {
    pipeline: String,
    interval: Duration,
    clock: Arc<dyn Clock>,
    metrics: StateMetrics,
    phase: Phase,
    shards: Vec<ShardWatch>,
    sink: SinkFacts,
    /// By source.
    targets: BTreeMap<String, TargetsFact>,
    shown: State,
    since: Duration,
}

/// One shard, for those who watch.
#[derive(Clone)]
pub(super) struct ShardWatch {
    pub(super) key: ShardKey,
    pub(super) link: Link,
    /// Messages received and not yet durable.
    pub(super) lag: IntGauge,
}

/// A pipeline at one moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its state.
    pub state: State,
    /// How long it has been in it.
    pub lasted: Duration,
    /// How many shards it has; none before the dataflow runs.
    pub shards: usize,
    /// Those whose call is not open, and why.
    pub not_open: Vec<(ShardKey, String)>,
}

impl Status {
    /// A pipeline that is about to start.
    #[must_use]
    pub fn new(plan: &Plan, telemetry: &Telemetry, clock: Arc<dyn Clock>) -> Self {
        let status = Status(Arc::new(Mutex::new(Inner {
            pipeline: plan.name().to_owned(),
            interval: Duration::from_millis(plan.settings().commit.interval_ms),
            since: clock.now(),
            clock,
            metrics: telemetry.state(plan.name()),
            phase: Phase::Starting,
            shards: Vec::new(),
            sink: SinkFacts::default(),
            targets: BTreeMap::new(),
            shown: State::STARTING,
        })));
        status.lock().publish();
        status
    }

    /// The pipeline as it is now.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut inner = self.lock();
        inner.look();
        inner.report()
    }

    /// Has the state derived anew, logged if it changed, and published.
    pub fn look(&self) {
        self.lock().look();
    }

    /// Looks again and again, for as long as it is polled.
    pub async fn keep_looking(&self) -> Infallible {
        let mut ticks = tokio::time::interval(STATE_LOOK);
        loop {
            ticks.tick().await;
            self.look();
        }
    }

    /// The pipeline cannot start yet: no server has told the types of its messages.
    pub fn note_asking(&self, why: String) {
        self.set(Phase::Asking(why));
    }

    /// The pipeline ended before it started; none if it was asked to.
    pub fn note_unstarted(&self, why: Option<String>) {
        self.set(Phase::Stopped(why));
    }

    pub(super) fn set(&self, phase: Phase) {
        self.lock().set(phase);
    }

    /// A new attempt begins. Until its dataflow runs, a pipeline that failed is still recovering.
    pub(super) fn attempt(&self) {
        let mut inner = self.lock();
        if !matches!(inner.phase, Phase::Recovering(_)) {
            inner.set(Phase::Starting);
        }
    }

    /// The dataflow runs, and these are to call.
    pub(super) fn flow(&self, shards: Vec<ShardWatch>) {
        let mut inner = self.lock();
        (inner.shards, inner.sink) = (shards, SinkFacts::default());
        inner.set(Phase::Flowing);
    }

    /// A shard has joined.
    pub(super) fn join(&self, shard: ShardWatch) {
        self.lock().shards.push(shard);
    }

    /// A shard has left.
    pub(super) fn leave(&self, key: &ShardKey) {
        let mut inner = self.lock();
        if let Some(place) = inner.shards.iter().position(|shard| shard.key == *key) {
            inner.shards.remove(place).forget();
        }
    }

    /// How the list of targets of a source stands.
    pub(super) fn targets(&self, source: &str, fact: TargetsFact) {
        let mut inner = self.lock();
        inner.targets.insert(source.to_owned(), fact);
        inner.look();
    }

    /// The pipeline failed; what follows is said by the type of the failure.
    pub(super) fn fail(&self, reason: &FailureReason) {
        let why = reason.to_string();
        self.set(match reason.recovery {
            Recovery::Restart => Phase::Recovering(why),
            Recovery::Superseded => Phase::Standby(why),
            Recovery::Stop => Phase::Stopped(Some(why)),
        });
    }

    /// A heartbeat begins or ends; there is one only while there is nothing to commit.
    pub(super) fn note_beat(&self, beat: &Beat<'_>) {
        let mut inner = self.lock();
        let now = inner.clock.now();
        inner.sink.note_beat(beat, now);
    }

    /// The committer tells of an epoch.
    pub(super) fn note(&self, event: &CommitEvent<'_>) {
        let mut inner = self.lock();
        let now = inner.clock.now();
        inner.sink.note(event, now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no code panics while it holds a status")
    }
}

impl Inner {
    fn set(&mut self, phase: Phase) {
        let works = matches!(phase, Phase::Flowing | Phase::Draining);
        if !works {
            // What was received and not committed is dropped, and so is every call.
            self.shards.drain(..).for_each(|shard| shard.forget());
            self.sink = SinkFacts::default();
            self.targets.clear();
        }
        self.phase = phase;
        self.look();
    }

    fn look(&mut self) {
        let now = self.clock.now();
        let state = self.derive(now);
        let before = std::mem::replace(&mut self.shown, state);
        if before.name != self.shown.name {
            self.since = now;
        }
        if !before.is_same_as(&self.shown) {
            self.log(before.name);
        }
        self.publish();
    }

    fn derive(&self, now: Duration) -> State {
        let Inner { phase, sink, targets, interval, .. } = self;
        Facts { phase, shards: &self.links(), sink, targets, interval: *interval }.state(now)
    }

    fn links(&self) -> Vec<(&ShardKey, LinkFacts)> {
        self.shards.iter().map(|shard| (&shard.key, shard.link.facts())).collect()
    }

    fn log(&self, before: StateName) {
        let (pipeline, state, was) = (&self.pipeline, self.shown.name.as_str(), before.as_str());
        let reason = self.shown.reason.as_deref();
        if self.shown.is_alarming() {
            tracing::warn!(event = "pipeline_state", pipeline, state, was, reason);
        } else {
            tracing::info!(event = "pipeline_state", pipeline, state, was, reason);
        }
    }

    fn publish(&self) {
        let now = self.clock.now();
        self.metrics.set(self.shown.name);
        self.metrics.age_seconds.set(self.sink.age(now).unwrap_or_default().as_secs_f64());
        for shard in &self.shards {
            shard.lag.set(i64::try_from(shard.link.lag()).unwrap_or(i64::MAX));
        }
    }

    fn report(&self) -> Report {
        let now = self.clock.now();
        let links = self.links();
        let told = |(key, link): (&ShardKey, LinkFacts)| {
            let is_fine = link.is_open(now) || link.call == CallState::Ended;
            let reason = link.reason.unwrap_or_else(|| "it is being called".to_owned());
            (!is_fine).then(|| (key.clone(), reason))
        };
        Report {
            state: self.shown.clone(),
            lasted: now.saturating_sub(self.since),
            shards: links.len(),
            not_open: links.into_iter().filter_map(told).collect(),
        }
    }
}

impl ShardWatch {
    fn forget(self) {
        self.link.forget();
        self.lag.set(0);
    }
}
