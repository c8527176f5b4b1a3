//! What a source that acknowledges may promise, and how much of it may be in flight for that.
//!
//! Invariant: where a window of keys is promised, no more is in flight than the window knows.
//!
//! Next: `../outgoing/outbox.rs` keeps to it.

use super::{GrpcSource, ResumePlan, Target};
use crate::limits::ACK_IDS_PENDING_MAX;
use crate::source::Resumability;
use bytes::Bytes;
use std::collections::HashSet;

impl GrpcSource {
    /// Within how many messages one that comes again is known.
    ///
    /// 1. Where a message bears several things that are acknowledged one by one, they come again in
    ///    other company, and no key of a whole message knows them.
    /// 2. What identifies a delivery is another one when the message comes again.
    /// 3. Of several shards of one subscription another one may get it then; and of several
    ///    upstreams one may be further behind than the window.
    pub(super) fn dedupe_window(&self, plan: &ResumePlan) -> Option<usize> {
        let ack = self.stream.as_ref().and_then(|stream| stream.ack.as_ref())?;
        let dedupe = plan.dedupe.as_ref()?;
        let outlives = !ack.from.is_list() && !dedupe.covers(&ack.from);
        let is_alone = !dedupe.is_shared && self.has_subscriptions_of_their_own();
        (outlives && is_alone).then_some(dedupe.window)
    }

    /// Whether no two shards ask for the same.
    fn has_subscriptions_of_their_own(&self) -> bool {
        let asked = |target: &Target| target.requests.first.message.clone();
        let all: HashSet<Bytes> = self.targets.iter().map(asked).collect();
        self.watch.is_none() && all.len() == self.targets.len()
    }

    /// Identifiers that a shard may have received and not acknowledged: no more than are known when
    /// they come again.
    pub(in crate::source::grpc) fn unacknowledged_max(&self) -> u64 {
        match self.resumability() {
            Resumability::Acknowledged { window: Some(window) } => {
                ACK_IDS_PENDING_MAX.min(window as u64)
            }
            _ => ACK_IDS_PENDING_MAX,
        }
    }
}
