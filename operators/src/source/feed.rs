//! One feed from several upstreams: of messages with one key the first to arrive is passed on.
//!
//! Each upstream is a shard of its own, with a call, a cursor and a progress of its own. What they
//! share is what was passed on: the keys of the newest messages, whoever brought them. A message
//! whose key is there was brought by another one; its own upstream drops it and moves on.
//!
//! Why they take turns. An upstream that drops a message relies on the copy of another one, and
//! says with its position that the message is done. That must not become durable before the copy
//! does. So a key is entered and its batch handed over in one turn, all upstreams of a feed hand
//! over into one channel of one worker, and that keeps their order: the copy is in the same epoch
//! as the position that relies on it, or in an earlier one.
//!
//! Why the keys are durable. Each upstream writes those it passed on with its own progress. After a
//! restart all of them are known, also those of an upstream that is not called any more, so what
//! one had passed on is not taken from another that is behind it. That holds as far as the window
//! reaches, which is why such a source is not called exact.
//!
//! Next: `grpc/receive.rs` takes a turn.

use headwater_engine::position::Seen;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// What the upstreams of one feed share in one attempt.
pub struct Feed {
    lane: usize,
    known: Mutex<HashSet<u128>>,
}

impl Feed {
    /// A feed whose upstreams all hand over to worker `lane % workers`; `seen` is what was passed
    /// on before.
    #[must_use]
    pub fn new<'s>(lane: usize, seen: impl IntoIterator<Item = &'s Seen>) -> Arc<Feed> {
        let pieces = seen.into_iter().flat_map(|seen| &seen.0);
        let known = pieces.flat_map(|piece| piece.iter().copied()).collect();
        Arc::new(Feed { lane, known: Mutex::new(known) })
    }

    /// Which worker its upstreams belong to.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.lane
    }

    /// Waits for this upstream's turn, which lasts until the guard is dropped.
    pub async fn turn(&self) -> Turn<'_> {
        self.known.lock().await
    }
}

/// The keys that are known, for the upstream whose turn it is.
pub type Turn<'f> = MutexGuard<'f, HashSet<u128>>;
