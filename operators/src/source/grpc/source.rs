//! A checked gRPC source: what its shards share, and what it promises.
//!
//! Everything that can be known without a connection was found out by `check.rs`; nothing here can
//! fail for a reason that stands in the pipeline file.
//!
//! Invariant: no `Debug` form; metadata and TLS keys are in here.
//!
//! Next: `shard.rs` runs one of its shards.

use super::auth::Credentials;
use super::channel::Dial;
use super::config::{
    Boundary, CompressionConfig, Mode, OnEnd, OnGap, OnLoss, OnOutOfOrder, PositionKind,
    ReconnectConfig, SequenceKind, Verify,
};
use super::control::{Control, DedupeRule};
use super::cursor::{Component, CursorPaths};
use super::expired::{ExpiredPlan, Reentry};
use super::outgoing::StreamPlan;
use super::poll::PollPlan;
use super::request::Requests;
use super::resume::Rules;
use super::targets::{TargetShard, TargetWatch};
use super::watch::Life;
use crate::source::{Resumability, ShardContext, ShardEnd, ShardSpec};
use headwater_proto::MessageDescriptor;
use http::uri::PathAndQuery;
use std::sync::Arc;
use tonic::metadata::MetadataMap;

/// A gRPC source of a pipeline, ready to run.
pub struct GrpcSource {
    pub(super) name: String,
    pub(super) method: PathAndQuery,
    pub(super) message: MessageDescriptor,
    pub(super) shards: Vec<ShardSpec>,
    pub(super) targets: Vec<Target>,
    pub(super) watch: Option<Arc<TargetWatch>>,
    pub(super) message_bytes_max: usize,
    pub(super) compression: CompressionConfig,
    pub(super) life: Life,
    pub(super) reconnect: ReconnectConfig,
    pub(super) on_end: OnEnd,
    pub(super) poll: Option<PollPlan>,
    pub(super) resume: Option<ResumePlan>,
    /// What is said on the request stream; `None` for a method that takes one request.
    pub(super) stream: Option<StreamPlan>,
}

/// What one shard calls; at the same place as its [`ShardSpec`].
pub(super) struct Target {
    /// How to connect.
    pub(super) dial: Dial,
    /// Metadata of each call.
    pub(super) metadata: MetadataMap,
    /// Who calls, beside what `metadata` says.
    pub(super) credentials: Credentials,
    /// The request of each call.
    pub(super) requests: Requests,
    /// The place of its server in the list it comes from.
    pub(super) entry: usize,
    /// Which feed it delivers, where several servers deliver one: the end of the names of its
    /// shards.
    pub(super) feed: Option<String>,
}

/// How calls go on where the last one ended.
pub(super) struct ResumePlan {
    /// By what a new call goes on.
    pub(super) mode: Mode,
    /// Where the cursor stands in a message.
    pub(super) cursor: CursorPaths,
    /// What is declared of its values.
    pub(super) rules: Rules,
    /// What to do about a gap.
    pub(super) on_gap: OnGap,
    /// What to do with a value that is lower than one before it.
    pub(super) on_out_of_order: OnOutOfOrder,
    /// What to do when the server no longer has what follows the cursor.
    pub(super) expired: ExpiredPlan,
    /// What each message is asked for, if anything.
    pub(super) control: Option<Control>,
    /// What identifies a message beside the cursor.
    pub(super) dedupe: Option<DedupeRule>,
    /// What a restart changes in the request, in words.
    pub(super) restart_words: String,
}

impl GrpcSource {
    /// The largest message it hands over.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// The list its shards come from, if that changes while the pipeline runs. It has no other ones
    /// then.
    #[must_use]
    pub fn watch(&self) -> Option<&Arc<TargetWatch>> {
        self.watch.as_ref()
    }

    /// How many shards there are, as far as that is known, for people.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        let listed = self.watch.as_ref().and_then(|watch| watch.list());
        listed.map_or(self.shards.len(), |list| list.len())
    }

    /// The shards that stay for as long as the pipeline runs, in the order of the pipeline file.
    #[must_use]
    pub fn shards(&self) -> &[ShardSpec] {
        &self.shards
    }

    /// The type of the messages.
    #[must_use]
    pub fn message(&self) -> &MessageDescriptor {
        &self.message
    }

    /// Whether it sets messages aside, which then need a dead-letter topic.
    #[must_use]
    pub fn sets_aside(&self) -> bool {
        let of = |plan: &ResumePlan| {
            let loss = plan.control.as_ref().and_then(|control| control.loss.as_ref());
            plan.on_out_of_order == OnOutOfOrder::DeadLetter
                || loss.is_some_and(|loss| loss.action == OnLoss::DeadLetter)
        };
        self.resume.as_ref().is_some_and(of)
    }

    /// How exact a restart can be, derived from what the pipeline file declares.
    #[must_use]
    pub fn resumability(&self) -> Resumability {
        match (&self.resume, &self.poll) {
            (None, _) if self.acks() => Resumability::Acknowledged { window: None },
            (None, _) => Resumability::None,
            (Some(plan), _) if plan.mode == Mode::Ack => {
                Resumability::Acknowledged { window: self.dedupe_window(plan) }
            }
            (Some(plan), poll) => {
                let own = poll.as_ref().map_or_else(|| plan.resumability(), PollPlan::resumability);
                if own == Resumability::Exact && plan.has_upstreams() { BEHIND } else { own }
            }
        }
    }

    /// Which feed a shard of [`GrpcSource::shards`] delivers, where several deliver one: the end of
    /// the names of its shards.
    #[must_use]
    pub fn feed(&self, shard: usize) -> Option<&str> {
        self.targets[shard].feed.as_deref()
    }

    /// Whether it is asked for answers and not for a stream.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.poll.is_some()
    }

    /// Whether the server keeps what is not acknowledged, and sends it again.
    pub(super) fn acks(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.ack.is_some())
    }

    /// Within how many messages one that comes again is known. Where a message bears several things
    /// that are acknowledged one by one, they come again in other company, and no key of a whole
    /// message knows them.
    fn dedupe_window(&self, plan: &ResumePlan) -> Option<usize> {
        let ack = self.stream.as_ref().and_then(|stream| stream.ack.as_ref());
        let is_one_by_one = ack.is_some_and(|ack| !ack.from.is_list());
        plan.dedupe.as_ref().filter(|_| is_one_by_one).map(|dedupe| dedupe.window)
    }

    /// Whether an open call may be replaced by another one before the server ends it: else what is
    /// sent in between is lost, or the end of the stream is not heard of.
    pub(super) fn may_move(&self) -> bool {
        let is_resumed = self.resume.as_ref().is_some_and(|plan| plan.mode != Mode::None);
        is_resumed && self.on_end == OnEnd::Reconnect
    }

    /// What `explain` prints: key and text, no secrets.
    #[must_use]
    pub fn describe(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut line = |key: &str, text: String| lines.push((key.to_owned(), text));
        for (shard, target) in self.shards.iter().zip(&self.targets) {
            line("shard", format!("{} at {}", shard.key, target.dial.shown()));
            target.dial.describe().into_iter().for_each(|(key, text)| line(key, text));
            if let Some(words) = target.credentials.words() {
                line("auth", words);
            }
        }
        if let Some(watch) = &self.watch {
            line("targets", watch.describe());
            for shard in watch.list().iter().flat_map(|list| list.iter()) {
                line("shard", format!("{} at {}", shard.spec.key, shard.shown()));
            }
        }
        line("method", self.method.path().trim_start_matches('/').to_owned());
        line("message", self.message.full_name().to_owned());
        if let Some(poll) = &self.poll {
            line("poll", poll.describe());
        }
        match &self.resume {
            None if self.acks() => {
                line("resume", "none: the server sends again what is not acknowledged".to_owned());
            }
            None => line("resume", "none: a new call gets what the server sends then".to_owned()),
            Some(plan) => plan.describe(&mut line),
        }
        if let Some(stream) = &self.stream {
            stream.describe(&mut line);
        }
        if let Some(words) = self.life.words() {
            lines.push(("call".to_owned(), words));
        }
        let on_end = match self.on_end {
            OnEnd::Reconnect => "call again",
            OnEnd::Finish => "the shard is complete",
        };
        lines.push(("on end".to_owned(), on_end.to_owned()));
        lines
    }

    /// Runs one shard until it ends; batches go to the context's inlet.
    ///
    /// # Panics
    /// If `shard` is not the place of one of [`GrpcSource::shards`].
    pub async fn run_shard(self: Arc<Self>, shard: usize, context: ShardContext) -> ShardEnd {
        super::shard::run(&self, &self.shards[shard], &self.targets[shard], context).await
    }

    /// The same of a shard that a list of targets made.
    pub async fn run_target(
        self: Arc<Self>,
        shard: Arc<TargetShard>,
        context: ShardContext,
    ) -> ShardEnd {
        super::shard::run(&self, &shard.spec, &shard.target, context).await
    }
}

/// Several upstreams are exact as far as the window reaches.
const BEHIND: Resumability = Resumability::Weakened {
    field: "resume.dedupe.window",
    because: "of several upstreams one that is further behind than the window delivers a second \
              copy",
};

impl ResumePlan {
    /// Whether several endpoints deliver one feed.
    fn has_upstreams(&self) -> bool {
        self.dedupe.as_ref().is_some_and(|dedupe| dedupe.is_shared)
    }

    /// 1. Where the server repeats (`at`), a repetition must be told from a new message: by an
    ///    identifier, by values of which each belongs to one message (`contiguous`), or by groups
    ///    that are handed over whole (`change`). Counting relies on the server's order.
    /// 2. Where it does not (`after`, `next`), a cut between two messages of one value would lose
    ///    the second. Moments are not unique, other cursors are taken to be.
    /// 3. At the beginning of a new call a smaller value is a repetition, because servers go back
    ///    further than asked. That loses a message if values may fall, so it must be declared that
    ///    they do not, or that they have no order (`type: opaque`).
    fn resumability(&self) -> Resumability {
        let Rules { position, boundary, sequence, has_ids, is_ordered, .. } = self.rules;
        if self.mode == Mode::None {
            return Resumability::None;
        }
        if let Some(weakened) = self.weakened() {
            return weakened;
        }
        let is_unique = sequence == SequenceKind::Contiguous;
        let is_whole = boundary != Boundary::Message;
        let is_moment = self.cursor.components.iter().any(Component::is_moment);
        match position {
            // The end of a group says that all before it was sent.
            _ if self.rules.is_mixed() => Resumability::Exact,
            _ if is_unique || is_whole => order(is_ordered, sequence),
            PositionKind::At if !has_ids => Resumability::Weakened {
                field: "resume.id",
                because: "messages that share a cursor value are told apart by counting, which is \
                          right only if the server repeats them in the same order",
            },
            PositionKind::After | PositionKind::Next if is_moment => Resumability::Weakened {
                field: "resume.boundary",
                because: "several messages may bear the same moment, and a cut between them loses \
                          the later ones",
            },
            _ => order(is_ordered, sequence),
        }
    }

    /// What weakens it that has nothing to do with the order of values.
    fn weakened(&self) -> Option<Resumability> {
        let (field, because) = match self.mode {
            Mode::ReplayAll => (
                "resume.mode",
                "messages are told apart by counting from the beginning of the stream, which is \
                 right only if the server sends the same messages in the same order to each call",
            ),
            _ if self.rules.is_counted => (
                "resume.cursor",
                "messages bear no cursor of their own and are counted from the call's, which is \
                 right only if the server repeats them in the same order",
            ),
            _ if self.rules.verify == Verify::Off => (
                "resume.verify",
                "what a new call repeats of what is already there is passed on again",
            ),
            _ => return None,
        };
        Some(Resumability::Weakened { field, because })
    }

    fn describe(&self, mut line: impl FnMut(&str, String)) {
        match self.mode {
            Mode::None => {
                let words = "none: a new call gets what the server sends then";
                line("resume", words.to_owned());
                return self.describe_control(line);
            }
            Mode::ReplayAll => {
                let words = "the server sends its whole stream to each call; as many messages as \
                             are already there are dropped";
                line("resume", words.to_owned());
                return self.describe_control(line);
            }
            Mode::Ack => {
                let words = "the server sends again what is not acknowledged";
                line("resume", words.to_owned());
                return self.describe_control(line);
            }
            Mode::Cursor => {}
        }
        for component in &self.cursor.components {
            let from: Vec<String> = component.origins.iter().map(ToString::to_string).collect();
            let highest = if component.is_max { ", the highest" } else { "" };
            line("cursor", format!("{} from {}{highest}", component.name, from.join(", else ")));
        }
        line("resume", format!("{}; {}", position_words(self.rules.position), self.restart_words));
        match self.rules.verify {
            Verify::SkipOverlap => {}
            Verify::Strict => line("verify", "a new call must begin at the cursor".to_owned()),
            Verify::Off => line("verify", "off: whatever a new call brings is new".to_owned()),
        }
        if let Some(id) = &self.cursor.id {
            line("id", format!("{id} identifies messages that share a cursor value"));
        }
        match self.on_out_of_order {
            OnOutOfOrder::Drop => {}
            OnOutOfOrder::DeadLetter => {
                line("out of order", "set the message aside, to dead_letter.topic".to_owned());
            }
            OnOutOfOrder::Stop => line("out of order", "stop the shard".to_owned()),
        }
        match &self.expired.action {
            Reentry::Fail => {}
            action => line("expired", format!("go on {}, and report a gap", action.words())),
        }
        let boundary = self.control.as_ref().and_then(|control| control.boundary.as_ref());
        line(
            "boundary",
            match boundary {
                Some(when) => {
                    format!("what comes up to a message with {when} is committed together")
                }
                None => boundary_words(self.rules.boundary).to_owned(),
            },
        );
        line(
            "sequence",
            match self.rules.is_mixed() {
                true => "a message that ends a group ends all up to its value".to_owned(),
                false => sequence_words(self.rules.sequence, self.on_gap).to_owned(),
            },
        );
        self.describe_control(line);
    }

    fn describe_control(&self, mut line: impl FnMut(&str, String)) {
        let control = self.control.as_ref();
        for heartbeat in control.iter().flat_map(|control| &control.heartbeats) {
            let emit = if heartbeat.emit { "passed on" } else { "not passed on" };
            let advance = if heartbeat.advance { "moves the cursor" } else { "moves nothing" };
            line("heartbeat", format!("{} is {emit} and {advance}", heartbeat.when));
        }
        if let Some(loss) = control.and_then(|control| control.loss.as_ref()) {
            let action = match loss.action {
                OnLoss::Count => "is reported as a gap",
                OnLoss::DeadLetter => "is reported as a gap and set aside, to dead_letter.topic",
                OnLoss::Fail => "stops the shard",
            };
            line("loss", format!("{} {action}", loss.when));
        }
        if let Some(dedupe) = &self.dedupe {
            let key: Vec<String> = dedupe.key.iter().map(ToString::to_string).collect();
            let key = if key.is_empty() { "@payload".to_owned() } else { key.join(", ") };
            let window = dedupe.window;
            let of = match dedupe.is_shared {
                true => "messages of all upstreams, of which the first to arrive is passed on",
                false => "messages",
            };
            line("dedupe", format!("{key} is known again among the newest {window} {of}"));
        }
    }
}

/// What the order of values leaves of exactness.
fn order(is_ordered: bool, sequence: SequenceKind) -> Resumability {
    if !is_ordered || sequence != SequenceKind::None {
        return Resumability::Exact;
    }
    Resumability::Weakened {
        field: "resume.sequence",
        because: "at a new call, messages with smaller values are dropped as repetitions, which \
                  loses them if values may fall: declare `sequence: monotone` if they never do, \
                  or `type: opaque` for the cursor if they have no order",
    }
}

fn position_words(position: PositionKind) -> &'static str {
    match position {
        PositionKind::After => "the server goes on behind the cursor",
        PositionKind::At => "the server repeats the messages at the cursor, which are dropped",
        PositionKind::Next => "the server goes on at the value that follows the cursor",
    }
}

fn boundary_words(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Message => "a restart may begin after each message",
        Boundary::Change => "messages that share a cursor value are committed together",
        Boundary::When => "what belongs together is committed together",
    }
}

fn sequence_words(sequence: SequenceKind, on_gap: OnGap) -> &'static str {
    match (sequence, on_gap) {
        (SequenceKind::Contiguous, OnGap::Report) => {
            "each value follows the last; gaps are reported"
        }
        (SequenceKind::Contiguous, OnGap::Stop) => {
            "each value follows the last; a gap stops the shard"
        }
        (SequenceKind::Monotone, _) => "values never fall; lower ones are repetitions",
        (SequenceKind::None, _) => {
            "nothing is known; equal or lower values of a new call are repetitions"
        }
    }
}
