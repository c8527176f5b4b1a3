//! The shards of one attempt: started, stopped, and, where targets change, joined by others and
//! left by some.
//!
//! ```text
//!             join                    its task ends
//!   (absent) ───────► Running ──────────────────────────────────► Over
//!       ▲                │ not in the list any more,                │
//!       │                │ or in another way                        │
//!       │                ▼                                          │
//!       └─────────── Leaving ◄─ its call is closed                  │
//!       │  its task ends: departs; joins again if it is wanted      │
//!       └───────────────────────────────────────────────────────────┘
//!                               not in the list any more
//! ```
//!
//! A shard that comes back while the attempt runs goes on behind the last batch it handed over, for
//! that stays in the pipeline; one that was never here goes on from its stored progress. The others
//! are not touched: indices, workers and inlets stay as they are.
//!
//! Invariants
//! 1. Of one name at most one task runs, so that its batches enter the dataflow in their order.
//! 2. The inlets of a source whose targets change are held until the attempt ends, so that its
//!    operators do not take a fleet without servers for the end of the stream.
//! 3. A pipeline knows at most [`SHARDS_KNOWN_MAX`] names; a list that would need more is refused.
//!
//! Next: `members/lists.rs` says what a new list changes; `attempt.rs` drives it.

use crate::limits::{SHARDS_KNOWN_MAX, TARGET_NEWS_MAX};
use crate::pipeline::assemble::{Incarnation, Shard};
use crate::pipeline::roster::{CommittedShard, Roster};
use crate::pipeline::run::RunContext;
use crate::pipeline::state::TargetsFact;
use crate::pipeline::status::ShardWatch;
use crate::sink::kafka::{AcceptChange, KafkaStartError};
use crate::source::feed::Feed;
use crate::source::grpc::{GrpcSource, News, TargetShard, TargetWatch};
use crate::source::link::Link;
use crate::source::{ShardContext, ShardEnd, ShardSpec};
use headwater_engine::commit::progress::StoredProgress;
use headwater_engine::dataflow::inlet::Inlet;
use headwater_engine::failure::Failure;
use headwater_engine::ids::{ShardIndex, ShardKey};
use headwater_engine::position::Position;
use headwater_engine::shards::{ShardEntry, ShardTable};
use headwater_engine::spec::{Plan, PlanNode, Role};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

mod lists;

/// Shard tasks by what they end with.
pub(super) type Tasks = JoinSet<(ShardKey, ShardEnd)>;

/// What the shards of an attempt share.
pub(super) struct Common {
    pub(super) plan: Arc<Plan>,
    pub(super) context: RunContext,
    pub(super) table: ShardTable,
    pub(super) roster: Roster,
    pub(super) failure: Arc<Failure>,
    /// By node; none of those that are no source.
    pub(super) inlets: Vec<Option<Vec<Inlet>>>,
    /// Asks all of them to end.
    pub(super) stop: CancellationToken,
}

/// All shards.
pub(super) struct Members {
    common: Common,
    accept_change: Option<AcceptChange>,
    /// Where shards go on that are not here: stored ones, and those that left.
    known: HashMap<ShardKey, Known>,
    /// Every name that is here, was here or is stored.
    names: HashSet<ShardKey>,
    all: HashMap<ShardKey, Member>,
    /// By source and by what the names of its shards end with.
    feeds: HashMap<(usize, String), Arc<Feed>>,
    tasks: Tasks,
    watchers: JoinSet<()>,
    news: mpsc::Receiver<(usize, News)>,
    broken: Vec<(ShardKey, String)>,
}

/// Where a shard goes on.
struct Known {
    fingerprint: String,
    position: Position,
    /// Whether it is stored: of a shard that left, what it handed over may still be on its way.
    is_stored: bool,
}

/// A shard that is here.
struct Member {
    /// The place of its source in the plan.
    node: usize,
    index: ShardIndex,
    link: Link,
    stop: CancellationToken,
    work: Work,
    state: State,
}

/// What a shard calls.
#[derive(Clone)]
enum Work {
    /// The source's own shard of this place.
    Fixed(usize),
    /// What a list of targets made.
    Target(Arc<TargetShard>),
}

enum State {
    Running,
    /// It was asked to end; what follows it.
    Leaving(Option<Arc<TargetShard>>),
    /// Its task has ended, and it is still in the list.
    Over,
}

/// A stored shard too many.
#[derive(Debug, thiserror::Error)]
#[error(
    "progress of {stored} shards is stored, and a pipeline whose targets change keeps at most \
     {SHARDS_KNOWN_MAX} in memory: forget those that do not come back with `headwater offsets \
     reset`"
)]
pub(super) struct TooManyStored {
    stored: usize,
}

impl Members {
    /// Enters the shards that the file names and those of the lists that are known, without calling
    /// yet.
    ///
    /// # Errors
    /// [`TooManyStored`]
    pub(super) fn new(
        common: Common,
        incarnation: &Incarnation,
        stored: StoredProgress,
    ) -> Result<Self, TooManyStored> {
        let is_watching = watches(&common.plan).next().is_some();
        if is_watching && stored.shards.len() > SHARDS_KNOWN_MAX {
            return Err(TooManyStored { stored: stored.shards.len() });
        }
        let known = stored.shards.into_iter().map(|(key, shard)| {
            let (fingerprint, position) = (shard.fingerprint, shard.position);
            (key, Known { fingerprint, position, is_stored: true })
        });
        let known: HashMap<ShardKey, Known> = known.collect();
        Ok(Members {
            names: known.keys().cloned().collect(),
            accept_change: incarnation.accept_change,
            known,
            common,
            all: HashMap::new(),
            feeds: HashMap::new(),
            tasks: JoinSet::new(),
            watchers: JoinSet::new(),
            news: mpsc::channel(1).1,
            broken: Vec::new(),
        })
    }

    /// Starts everything: `shards` are those that the file names.
    pub(super) fn start(&mut self, shards: Vec<Shard>) {
        let status = self.common.context.status.clone();
        for (node, watch) in watches(&self.common.plan) {
            let fact = watch.list().map_or(TargetsFact::Unknown, |_| TargetsFact::Fine);
            status.targets(&self.common.plan.nodes()[node].name, fact);
        }
        let mut joining = Vec::new();
        for Shard { node, within, spec, .. } in shards {
            let position = self.known.get(&spec.key).map(|known| known.position.clone());
            joining.push(self.enter(node, &spec, Work::Fixed(within), position));
        }
        self.common.context.status.flow(joining.iter().map(|(_, watch)| watch.clone()).collect());
        for (start, _) in joining {
            self.spawn(start);
        }
        self.start_watching();
        // The inlets of all others end with their shards.
        let watched: Vec<usize> = watches(&self.common.plan).map(|(node, _)| node).collect();
        for (node, inlets) in self.common.inlets.iter_mut().enumerate() {
            *inlets = inlets.take().filter(|_| watched.contains(&node));
        }
    }

    fn start_watching(&mut self) {
        let (sender, news) = mpsc::channel(TARGET_NEWS_MAX);
        self.news = news;
        let all: Vec<_> = watches(&self.common.plan).map(|(node, it)| (node, it.clone())).collect();
        for (node, watch) in all {
            if let Some(list) = watch.list() {
                self.apply(node, &list);
            }
            let span = tracing::error_span!("targets", pipeline = self.common.plan.name());
            self.watchers.spawn(watch.run(node, sender.clone()).instrument(span));
        }
    }

    /// Waits for something to happen and acts on it; false once all shards have ended and none can
    /// join any more.
    pub(super) async fn turn(&mut self) -> bool {
        let is_watching = !self.watchers.is_empty();
        tokio::select! {
            Some((node, news)) = self.news.recv(), if is_watching => self.take(node, news),
            Some(Err(error)) = self.watchers.join_next(), if is_watching => self.panicked(&error),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok((key, end)) => self.ended(&key, end),
                Err(error) => self.panicked(&error),
            },
            else => return false,
        }
        true
    }

    /// The tasks that are left, and the shards that could not go on. Nobody joins any more, and
    /// what is left of the inlets goes.
    pub(super) fn close(self) -> (Tasks, Vec<(ShardKey, String)>) {
        (self.tasks, self.broken)
    }

    fn panicked(&self, error: &JoinError) {
        self.common.failure.set(super::attempt::failure("source", error.to_string()));
    }
}

/// One shard.
impl Members {
    /// A target that is not here goes on where it stood.
    fn join(&mut self, node: usize, shard: Arc<TargetShard>) {
        let spec = shard.spec().clone();
        let position = self.position_of(&spec);
        let start = position.as_ref().ok().cloned().flatten();
        let (start, watch) = self.enter(node, &spec, Work::Target(shard), start);
        self.common.context.status.join(watch);
        match position {
            Ok(_) => self.spawn(start),
            Err(reason) => self.refuse_shard(&spec.key, reason),
        }
    }

    /// Where a target goes on; why it may not, if it is another one than that whose place is known.
    fn position_of(&self, spec: &ShardSpec) -> Result<Option<Position>, String> {
        let Some(known) = self.known.get(&spec.key) else { return Ok(None) };
        if known.fingerprint == spec.fingerprint {
            return Ok(Some(known.position.clone()));
        }
        let shard = spec.key.to_string();
        match self.accept_change {
            None => Err(KafkaStartError::FingerprintChanged { shard }.to_string()),
            Some(AcceptChange::Resume) => Ok(Some(known.position.clone())),
            Some(AcceptChange::Reset) => {
                let sequence = known.position.next_sequence.0;
                tracing::warn!(event = "position_reset", shard, sequence);
                // Names of records are not given twice: the session goes on.
                let session = known.position.session;
                Ok(Some(Position { session, ..Position::default() }))
            }
        }
    }

    fn refuse_shard(&mut self, key: &ShardKey, reason: String) {
        let member = self.all.get_mut(key).expect("it was entered just now");
        let source = &self.common.plan.nodes()[member.node].name;
        let pipeline = self.common.plan.name();
        tracing::error!(event = "shard_broken", pipeline, source, shard = %key, %reason);
        member.state = State::Over;
        member.link.ended(&ShardEnd::Broken(reason.clone()));
        self.broken.push((key.clone(), reason));
    }

    /// Gives a shard its index and what is watched of it.
    fn enter(
        &mut self,
        node: usize,
        spec: &ShardSpec,
        work: Work,
        position: Option<Position>,
    ) -> (Start, ShardWatch) {
        let Common { plan, context, table, roster, stop, .. } = &self.common;
        let (pipeline, source) = (plan.name(), plan.nodes()[node].name.as_str());
        let ShardSpec { key, fingerprint } = spec.clone();
        let index = table.enter(ShardEntry { key: key.clone(), fingerprint });
        let metrics = context.telemetry.shard(pipeline, source, &key.0);
        let counters = position.as_ref().map(|position| position.counters).unwrap_or_default();
        let link = Link::new(context.clock.clone(), metrics.connected, counters);
        let place = context.telemetry.place(pipeline, source, &key.0);
        let committed = CommittedShard { link: link.clone(), place };
        let is_stored = self.known.get(&key).is_some_and(|known| known.is_stored);
        roster.enter(index, committed, position.as_ref().filter(|_| is_stored));
        let stop = stop.child_token();
        let watch = ShardWatch { key: key.clone(), link: link.clone(), lag: metrics.lag_messages };
        let member = Member { node, index, link, stop, work, state: State::Running };
        self.names.insert(key.clone());
        self.all.insert(key.clone(), member);
        (Start { key, position }, watch)
    }

    /// The feed that a shard is one upstream of, if several deliver it. What was passed on of it
    /// before is known, also by upstreams that are not here.
    fn feed(&mut self, node: usize, work: &Work) -> Option<Arc<Feed>> {
        let name = match work {
            Work::Fixed(within) => self.node(node).config::<GrpcSource>().feed(*within)?.to_owned(),
            Work::Target(shard) => shard.feed()?.to_owned(),
        };
        let begin = format!("{}/", self.node(node).name);
        let (lane, known) = (self.feeds.len(), &self.known);
        let feed = self.feeds.entry((node, name)).or_insert_with_key(|(_, end)| {
            let is_ours = |key: &ShardKey| key.0.starts_with(&begin) && key.0.ends_with(end);
            let known = known.iter().filter(|(key, _)| is_ours(key));
            Feed::new(lane, known.filter_map(|(_, known)| known.position.seen.as_ref()))
        });
        Some(feed.clone())
    }

    fn spawn(&mut self, start: Start) {
        let Start { key, position } = start;
        let (node, work) = (self.all[&key].node, self.all[&key].work.clone());
        let feed = self.feed(node, &work);
        let member = &self.all[&key];
        let Common { plan, context, failure, inlets, .. } = &self.common;
        let node = &plan.nodes()[member.node];
        let of_node = inlets[member.node].as_ref().expect("a source has inlets");
        let lane = feed.as_ref().map_or(member.index.0 as usize, |feed| feed.lane());
        let context = ShardContext {
            index: member.index,
            start: position,
            inlet: of_node[lane % of_node.len()].clone(),
            stop: member.stop.clone(),
            failure: failure.clone(),
            feed,
            link: member.link.clone(),
            metrics: context.telemetry.shard(plan.name(), &node.name, &key.0),
            spans: context.telemetry.spans(plan.name()),
            clock: context.clock.clone(),
        };
        let source = node.config.clone().downcast::<GrpcSource>();
        let source = source.expect("a source node holds its checked source");
        // What a shard logs bears the pipeline's name at every level, hence an error's span.
        let span = tracing::error_span!("shard", pipeline = plan.name());
        let task = async move {
            let end = match work {
                Work::Fixed(within) => source.run_shard(within, context).await,
                Work::Target(shard) => source.run_target(shard, context).await,
            };
            (key, end)
        };
        self.tasks.spawn(task.instrument(span));
    }

    fn ended(&mut self, key: &ShardKey, end: ShardEnd) {
        let member = self.all.get_mut(key).expect("a task's shard is here until it has ended");
        match std::mem::replace(&mut member.state, State::Over) {
            State::Leaving(next) => self.depart(key, next),
            State::Running | State::Over => {
                // The shard's own task has logged it.
                if let ShardEnd::Broken(reason) = end {
                    self.broken.push((key.clone(), reason));
                }
            }
        }
    }

    /// A shard whose task has ended leaves; where it stood is kept. The same name may come back at
    /// once, as what `next` says.
    fn depart(&mut self, key: &ShardKey, next: Option<Arc<TargetShard>>) {
        let member = self.all.remove(key).expect("only who is here leaves");
        let Common { plan, context, table, roster, .. } = &self.common;
        let source = plan.nodes()[member.node].name.as_str();
        if let Some(position) = member.link.position() {
            let fingerprint = table.get(member.index).fingerprint.clone();
            let is_stored = member.link.is_committed(&position);
            let position = (*position).clone();
            self.known.insert(key.clone(), Known { fingerprint, position, is_stored });
        }
        let position = self.known.get(key).map(|known| &known.position);
        let (session, sequence) =
            position.map(|it| (it.session.0, it.next_sequence.0)).unwrap_or_default();
        let pipeline = plan.name();
        tracing::info!(event = "shard_left", pipeline, source, shard = %key, session, sequence);
        roster.retire(member.index);
        context.status.leave(key);
        let cursor = position.and_then(|position| position.cursor.as_ref());
        let components = cursor.iter().flat_map(|cursor| cursor.values.keys());
        context.telemetry.forget_shard(&[pipeline, source, &key.0], components);
        self.broken.retain(|(broken, _)| broken != key);
        if let Some(shard) = next {
            self.join(member.node, shard);
        }
    }

    fn node(&self, node: usize) -> &PlanNode {
        &self.common.plan.nodes()[node]
    }
}

/// A shard that was entered and does not call yet.
struct Start {
    key: ShardKey,
    position: Option<Position>,
}

impl Work {
    /// Whether it is already what `shard` asks for.
    fn is(&self, shard: &TargetShard) -> bool {
        match self {
            Work::Fixed(_) => true,
            Work::Target(mine) => mine.is_same(shard),
        }
    }
}

/// The sources whose targets change.
fn watches(plan: &Plan) -> impl Iterator<Item = (usize, &Arc<TargetWatch>)> {
    plan.of_role(Role::Source).filter_map(|node| Some((node.index, watch_of(node)?)))
}

fn watch_of(node: &PlanNode) -> Option<&Arc<TargetWatch>> {
    node.config::<GrpcSource>().watch()
}
