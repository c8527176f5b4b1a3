//! A checked gRPC source: what its shards share, and what it promises.
//!
//! Everything that can be known without a connection was found out by `check.rs`; nothing here can
//! fail for a reason that stands in the pipeline file.
//!
//! Invariant: no `Debug` form; metadata and TLS keys are in here.
//!
//! Next: `shard.rs` runs one of its shards.

use super::channel::Dial;
use super::config::{
    Boundary, OnCursorLost, OnEnd, OnGap, OnOutOfOrder, PositionKind, ReconnectConfig, SequenceKind,
};
use super::cursor::CursorPaths;
use super::loss::LossPlan;
use super::request::Requests;
use super::resume::Rules;
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
    pub(super) message_bytes_max: usize,
    pub(super) reconnect: ReconnectConfig,
    pub(super) on_end: OnEnd,
    pub(super) resume: Option<ResumePlan>,
}

/// What one shard calls; at the same place as its [`ShardSpec`].
pub(super) struct Target {
    /// How to connect.
    pub(super) dial: Dial,
    /// Metadata of each call.
    pub(super) metadata: MetadataMap,
    /// The request of each call.
    pub(super) requests: Requests,
}

/// How calls go on where the last one ended.
pub(super) struct ResumePlan {
    /// Where the cursor stands in a message.
    pub(super) cursor: CursorPaths,
    /// What is declared of its values.
    pub(super) rules: Rules,
    /// What to do about a gap.
    pub(super) on_gap: OnGap,
    /// What to do with a value that is lower than one before it.
    pub(super) on_out_of_order: OnOutOfOrder,
    /// What to do when the server has lost the cursor.
    pub(super) loss: LossPlan,
    /// What a restart changes in the request, in words.
    pub(super) restart_words: String,
}

impl GrpcSource {
    /// The largest message it hands over.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// The shards, in the order of the pipeline file.
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
        let of = |plan: &ResumePlan| plan.on_out_of_order == OnOutOfOrder::DeadLetter;
        self.resume.as_ref().is_some_and(of)
    }

    /// How exact a restart can be, derived from what the pipeline file declares.
    #[must_use]
    pub fn resumability(&self) -> Resumability {
        self.resume.as_ref().map_or(Resumability::None, ResumePlan::resumability)
    }

    /// What `explain` prints: key and text, no secrets.
    #[must_use]
    pub fn describe(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut line = |key: &str, text: String| lines.push((key.to_owned(), text));
        for (shard, target) in self.shards.iter().zip(&self.targets) {
            line("shard", format!("{} at {}", shard.key, target.dial.shown()));
        }
        line("method", self.method.path().trim_start_matches('/').to_owned());
        line("message", self.message.full_name().to_owned());
        match &self.resume {
            None => line("resume", "none: a new call gets what the server sends then".to_owned()),
            Some(plan) => plan.describe(line),
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
        super::shard::run(&self, shard, context).await
    }
}

impl ResumePlan {
    /// 1. Where the server repeats (`at`), a repetition must be told from a new message: by an
    ///    identifier, by values of which each belongs to one message (`contiguous`), or by groups
    ///    that are handed over whole (`change`). Counting relies on the server's order.
    /// 2. Where it does not (`after`, `next`), a cut between two messages of one value would lose
    ///    the second. Moments are not unique, other cursors are taken to be.
    /// 3. At the beginning of a new call a smaller value is a repetition, because servers go back
    ///    further than asked. That loses a message if values may fall, so it must be declared that
    ///    they do not, or that they have no order (`type: opaque`).
    fn resumability(&self) -> Resumability {
        let Rules { position, boundary, sequence, has_ids, is_ordered } = self.rules;
        let is_unique = sequence == SequenceKind::Contiguous;
        let is_whole = boundary == Boundary::Change;
        let is_moment = self.cursor.components.iter().any(super::cursor::Component::is_moment);
        match position {
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

    fn describe(&self, mut line: impl FnMut(&str, String)) {
        for component in &self.cursor.components {
            let paths: Vec<String> = component.paths.iter().map(ToString::to_string).collect();
            line("cursor", format!("{} from {}", component.name, paths.join(", else ")));
        }
        line("resume", format!("{}; {}", position_words(self.rules.position), self.restart_words));
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
        match self.loss.action {
            OnCursorLost::Stop => {}
            OnCursorLost::Earliest => line("cursor lost", lost_words("oldest")),
            OnCursorLost::Latest => line("cursor lost", lost_words("newest")),
        }
        line("boundary", boundary_words(self.rules.boundary).to_owned());
        line("sequence", sequence_words(self.rules.sequence, self.on_gap).to_owned());
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

fn lost_words(which: &str) -> String {
    format!("go on at the server's {which} message, and report a gap")
}

fn boundary_words(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Message => "a restart may begin after each message",
        Boundary::Change => "messages that share a cursor value are committed together",
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
