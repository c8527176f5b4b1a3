//! Messages that are about the stream itself: each is asked, before it is judged, whether it ends a
//! group, is a heartbeat, tells of lost messages, or says that the cursor is gone.
//!
//! Invariant: a source that declares none of these has no [`Control`], and nothing is asked.
//!
//! Next: `batcher.rs` acts on the answers.

use super::config::OnLoss;
use super::cursor::{add_leaf, half};
use headwater_proto::{FieldPath, Leaf, Predicate};
use sha2::{Digest, Sha256};

/// What is asked of each message.
#[derive(Clone, Debug, Default)]
pub(super) struct Control {
    /// Whether it ends a group.
    pub(super) boundary: Option<Predicate>,
    /// Whether it is a heartbeat; the first that holds counts.
    pub(super) heartbeats: Vec<Heartbeat>,
    /// Whether it tells of lost messages.
    pub(super) loss: Option<LossRule>,
    /// Whether it says that the cursor is gone; any of these does.
    pub(super) expired: Vec<Predicate>,
}

/// Which messages only say that the stream lives.
#[derive(Clone, Debug)]
pub(super) struct Heartbeat {
    /// Holds of them.
    pub(super) when: Predicate,
    /// Whether they are passed on.
    pub(super) emit: bool,
    /// Whether the cursor in them counts.
    pub(super) advance: bool,
}

/// Which messages tell of lost ones.
#[derive(Clone, Debug)]
pub(super) struct LossRule {
    /// Holds of them.
    pub(super) when: Predicate,
    /// Where one says how many.
    pub(super) messages: Option<FieldPath>,
    /// What to do.
    pub(super) action: OnLoss,
}

/// What a message is asked for beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing.
    Plain,
    /// It only says that the stream lives, and is not passed on.
    Heartbeat {
        /// Whether the cursor in it counts.
        advance: bool,
    },
    /// It is passed on, but its cursor does not count.
    Uncounted,
    /// It says that the cursor is gone.
    Expired,
}

/// What identifies a message for `dedupe`.
#[derive(Clone, Debug)]
pub(super) struct DedupeRule {
    /// The fields that do so together; none: the whole message.
    pub(super) key: Vec<FieldPath>,
    /// How many are remembered.
    pub(super) window: usize,
    /// Whether one window serves all endpoints.
    pub(super) is_shared: bool,
}

impl Control {
    /// Whether anything is asked.
    pub(super) fn is_needed(&self) -> bool {
        let Control { boundary, heartbeats, loss, expired } = self;
        boundary.is_some() || loss.is_some() || !(heartbeats.is_empty() && expired.is_empty())
    }

    /// What a message is.
    pub(super) fn role(&self, message: &[u8]) -> Role {
        if self.expired.iter().any(|when| when.holds(message)) {
            return Role::Expired;
        }
        let is_such = |heartbeat: &&Heartbeat| heartbeat.when.holds(message);
        match self.heartbeats.iter().find(is_such) {
            None => Role::Plain,
            Some(Heartbeat { emit, advance, .. }) => match (emit, advance) {
                (false, advance) => Role::Heartbeat { advance: *advance },
                (true, true) => Role::Plain,
                (true, false) => Role::Uncounted,
            },
        }
    }

    /// Whether a message ends a group.
    pub(super) fn is_boundary(&self, message: &[u8]) -> bool {
        self.boundary.as_ref().is_some_and(|when| when.holds(message))
    }

    /// What is to be done about a message that tells of lost ones.
    pub(super) fn loss(&self, message: &[u8]) -> Option<&LossRule> {
        self.loss.as_ref().filter(|loss| loss.when.holds(message))
    }
}

impl LossRule {
    /// How many messages are lost, where the message says so.
    pub(super) fn count(&self, message: &[u8]) -> Option<u64> {
        match self.messages.as_ref()?.find(message).ok()?? {
            Leaf::Uint(count) => Some(count),
            Leaf::Int(count) => u64::try_from(count).ok(),
            _ => None,
        }
    }
}

impl DedupeRule {
    /// 128 bits that stand for the message; the whole of it where it has none of the fields.
    pub(super) fn identity(&self, message: &[u8]) -> u128 {
        let mut hash = Sha256::new();
        let mut has_any = false;
        for path in &self.key {
            // One hash for each, so that no two values can be taken for one.
            let mut one = Sha256::new();
            has_any |= add_leaf(path, message, &mut one);
            hash.update(one.finalize());
        }
        if !has_any {
            hash.update(message);
        }
        half(hash)
    }
}
