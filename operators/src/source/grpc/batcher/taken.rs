//! What became of a message, or why the shard cannot go past it.

use super::super::resume::{Missing, Unfit};
use bytes::Bytes;

/// What became of a message beside being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::grpc) enum Taken {
    /// Nothing to tell.
    New,
    /// It was dropped: it had been taken before.
    Duplicate,
    /// It was kept, and its cursor could not be read.
    Unreadable,
    /// It goes as a dead letter, because it stands where it may not.
    Aside,
    /// It was dropped: it only said that the stream lives.
    Heartbeat,
}

/// The shard cannot go past a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::source::grpc) enum Refused {
    #[error(
        "messages with cursor values {} to {} are missing, and `resume.on_gap` is `stop`; go on \
         without them by `on_gap: report`", .0.from, .0.to
    )]
    Gap(Missing),
    #[error(
        "the first message of a new call lies behind the cursor it was given, and must bear it \
         (`position: at`, `resume.verify: strict`); `resume.on_gap` is `stop`; go on by `on_gap: \
         report`, or declare `position: after` if the server does not repeat what stands at the \
         cursor"
    )]
    Unverified,
    #[error(
        "the messages that belong together (`resume.boundary`) are longer than {0} bytes, more \
         than can be held back; raise `memory.credit_bytes`, or use `boundary: message`"
    )]
    GroupTooLarge(u64),
    #[error(
        "a message says that others were lost (`resume.loss`), and its `action` is `fail`; go on \
         without them by `count` or `dead_letter`"
    )]
    Loss,
    #[error("a message says that the cursor is gone (`resume.expired`)")]
    Expired(Bytes),
    #[error(
        "a message with cursor value {value} came behind one with {newest}, and \
         `resume.on_out_of_order` is `stop`; go on without such messages by `drop` or `dead_letter`"
    )]
    OutOfOrder { value: i128, newest: i128 },
    #[error(
        "an answer has messages and no cursor, so nobody could say where a restart goes on; if it \
         is the last page so far, say `poll.without_cursor: last_page`"
    )]
    NoCursor,
    #[error(transparent)]
    Unfit(#[from] Unfit),
}
