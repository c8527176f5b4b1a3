//! What a source says on the request stream of a bidirectional call: the messages behind the
//! request, answers, credit, and acks of what is committed.
//!
//! ```text
//!   receive.rs ──answers, ids, units──► Outbox ──next──► writer.rs ──bounded──► request stream
//!   committer ──durable place────────────►│
//! ```
//!
//! Invariants
//! 1. An ack names nothing that is not durable.
//! 2. The server is never allowed more than the window, and is allowed more before it runs out.
//! 3. What waits to be said is bounded: beyond the bound the reader stops.
//!
//! | file | what |
//! |---|---|
//! | `heard` | what a received message means for the request stream |
//! | `window` | how much the server may send |
//! | `acks` | what is received, what of it is durable, what is said of it |
//! | `outbox` | all of it, shared by the call's reader and writer |
//! | `writer` | sends what there is, and says the last words of a shard that stops |
//!
//! Next: `heard.rs`.

mod acks;
mod heard;
mod outbox;
mod window;
mod writer;

pub(super) use acks::Reading;
pub(super) use heard::Heard;
pub(super) use outbox::Outbox;
pub(super) use writer::{Farewell, RequestStream, Writing};

use super::config::AckTake;
use bytes::Bytes;
use headwater_engine::ids::{Sequence, Session};
use headwater_proto::{FieldWriter, Predicate, Reply, SpreadPath};
use std::time::Duration;

/// A place in a shard: everything below it is meant.
pub(crate) type Place = (Session, Sequence);

/// What is said on the request stream of a bidirectional method.
#[derive(Default)]
pub(super) struct StreamPlan {
    /// The messages behind the request.
    pub(super) open: Vec<Bytes>,
    /// What is answered.
    pub(super) replies: Vec<ReplyPlan>,
    /// How much the server may send.
    pub(super) credit: Option<CreditPlan>,
    /// What is acknowledged.
    pub(super) ack: Option<AckPlan>,
}

/// An answer to some of the server's messages.
pub(super) struct ReplyPlan {
    /// Which ones.
    pub(super) when: Predicate,
    /// The answer.
    pub(super) send: Reply,
}

/// How much the server may send.
pub(super) struct CreditPlan {
    /// Writes a grant.
    pub(super) grant: FieldWriter,
    /// What may be allowed and not yet sent.
    pub(super) window: u64,
    /// What counts as one; `None`: each message.
    pub(super) count: Option<SpreadPath>,
    /// Whether the request bears the first grant.
    pub(super) with_request: bool,
}

/// What is acknowledged.
pub(super) struct AckPlan {
    /// Writes an ack.
    pub(super) write: FieldWriter,
    /// What identifies a message.
    pub(super) from: SpreadPath,
    /// Which of what is durable.
    pub(super) take: AckTake,
    /// Identifiers per request.
    pub(super) batch_max: u32,
    /// Whether an ack may go to a later call.
    pub(super) across_calls: bool,
    /// How more time is asked for.
    pub(super) extend: Option<ExtendPlan>,
}

/// How more time is asked for.
pub(super) struct ExtendPlan {
    /// Writes what it is asked for.
    pub(super) ids: FieldWriter,
    /// Writes how much.
    pub(super) seconds: FieldWriter,
    /// How much.
    pub(super) seconds_count: u32,
    /// How often.
    pub(super) interval: Duration,
}

impl StreamPlan {
    /// The messages that open a call.
    pub(super) fn opening(&self, request: &Bytes) -> Vec<Bytes> {
        let grant = self.credit.as_ref().map(|credit| (credit.grants(credit.window), credit));
        let first = match &grant {
            // Joined messages are merged, so the grant becomes a field of the request.
            Some((grant, credit)) if credit.with_request => [&request[..], grant].concat().into(),
            _ => request.clone(),
        };
        let own = grant.filter(|(_, credit)| !credit.with_request).map(|(grant, _)| grant);
        [first].into_iter().chain(self.open.iter().cloned()).chain(own).collect()
    }
}

impl CreditPlan {
    /// A message that allows `units` more.
    pub(super) fn grants(&self, units: u64) -> Bytes {
        let mut value = Vec::new();
        let fits = self.grant.put_number(units.into(), &mut value);
        debug_assert!(fits, "the check demands a field that holds the window");
        self.grant.message(&value)
    }
}

impl ExtendPlan {
    /// A message that asks for more time for `count` identifiers, written as `ids` for another
    /// field.
    pub(super) fn asks(&self, ids: &[u8], count: u32) -> Bytes {
        let mut named = Vec::with_capacity(ids.len());
        self.ids.put_again(ids, &mut named);
        let mut seconds = Vec::new();
        for _ in 0..if self.seconds.is_list() { count } else { 1 } {
            self.seconds.put_number(self.seconds_count.into(), &mut seconds);
        }
        [self.ids.message(&named), self.seconds.message(&seconds)].concat().into()
    }
}

// === what `explain` prints ===

impl StreamPlan {
    /// Key and text of each thing that is said.
    pub(super) fn describe(&self, line: &mut impl FnMut(&str, String)) {
        line("request stream", "open as long as the call".to_owned());
        if !self.open.is_empty() {
            line("open", format!("{} messages follow the request", self.open.len()));
        }
        for reply in &self.replies {
            line("reply", format!("to messages with {}", reply.when));
        }
        if let Some(credit) = &self.credit {
            let counted = credit.count.as_ref().map_or("messages".to_owned(), ToString::to_string);
            line("credit", format!("at most {} {counted}, given as they are taken", credit.window));
        }
        if let Some(ack) = &self.ack {
            let which = match ack.take {
                AckTake::Each => "each",
                AckTake::Newest => "the newest",
            };
            line("ack", format!("{which} {} behind its commit", ack.from));
            if let Some(extend) = &ack.extend {
                let (count, every) = (extend.seconds_count, extend.interval.as_millis());
                line(
                    "more time",
                    format!("{count} s, asked for every {every} ms until the commit"),
                );
            }
        }
    }
}
