//! The newest messages' identities, for `dedupe`: one that comes again is known by them.
//!
//! They lie in segments, oldest first. A full segment never changes, so that a position takes it
//! along for the price of a reference; what is copied with each batch is the open one.
//!
//! Where several shards deliver one feed they share the set, and each keeps the segments of what it
//! passed on itself: the set is lent to the shard whose turn it is (`source/feed.rs`).
//!
//! Invariants
//! 1. An identity is in the set exactly while it is in a segment or claimed by a held message.
//! 2. At least `window` identities are remembered, and at most a segment more.
//!
//! Next: `engine/src/position.rs` keeps them with the progress.

use super::control::DedupeRule;
use headwater_engine::position::Seen;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Identities in a full segment.
const SEGMENT: usize = 256;

/// The identities of the newest messages of a shard.
#[derive(Clone, Debug)]
pub(super) struct Window<'a> {
    rule: &'a DedupeRule,
    full: VecDeque<Arc<[u128]>>,
    open: Vec<u128>,
    known: HashSet<u128>,
}

impl<'a> Window<'a> {
    /// Remembers nothing yet.
    pub(super) fn new(rule: &'a DedupeRule) -> Self {
        let (full, open, known) = (VecDeque::new(), Vec::new(), HashSet::new());
        Window { rule, full, open, known }
    }

    /// Takes up what was written down, as far as it still fits the window.
    pub(super) fn restore(&mut self, seen: &Seen) {
        for identity in seen.0.iter().flat_map(|segment| segment.iter()) {
            if self.claim(*identity) {
                self.settle(*identity);
            }
        }
    }

    /// Whether several shards share what is known.
    pub(super) fn is_shared(&self) -> bool {
        self.rule.is_shared
    }

    /// From here on others know what is known; [`Window::lend`] brings it.
    pub(super) fn share(&mut self) {
        self.known = HashSet::new();
    }

    /// Exchanges what is known here for what is known to all, and back.
    pub(super) fn lend(&mut self, known: &mut HashSet<u128>) {
        std::mem::swap(&mut self.known, known);
    }

    /// What identifies a message.
    pub(super) fn identity(&self, message: &[u8]) -> u128 {
        self.rule.identity(message)
    }

    /// True if the identity is new; it then is known from here on.
    pub(super) fn claim(&mut self, identity: u128) -> bool {
        self.known.insert(identity)
    }

    /// Takes a claim back.
    pub(super) fn forget(&mut self, identity: u128) {
        self.known.remove(&identity);
    }

    /// The message that claimed it is handed over, so it is remembered.
    pub(super) fn settle(&mut self, identity: u128) {
        self.open.push(identity);
        if self.open.len() < SEGMENT {
            return;
        }
        self.full.push_back(Arc::from(std::mem::take(&mut self.open)));
        while (self.full.len() - 1) * SEGMENT >= self.rule.window {
            let oldest = self.full.pop_front().expect("there are several");
            oldest.iter().for_each(|identity| self.forget(*identity));
        }
    }

    /// As a position takes it along.
    pub(super) fn to_seen(&self) -> Seen {
        let open = (!self.open.is_empty()).then(|| Arc::from(self.open.as_slice()));
        Seen(self.full.iter().cloned().chain(open).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(window: &mut Window<'_>, identity: u128) -> bool {
        let is_new = window.claim(identity);
        if is_new {
            window.settle(identity);
        }
        is_new
    }

    #[test]
    fn the_newest_are_known_and_the_oldest_forgotten_also_after_a_restart() {
        let rule = DedupeRule { key: Vec::new(), window: 1_000, is_shared: false };
        let mut window = Window::new(&rule);
        for identity in 0..10_000 {
            assert!(take(&mut window, identity));
            assert!(!take(&mut window, identity.saturating_sub(999)), "{identity}");
            assert!(window.known.len() < 1_000 + 2 * SEGMENT);
        }
        let mut restored = Window::new(&rule);
        restored.restore(&window.to_seen());
        assert_eq!(restored.known, window.known);
        assert!(!take(&mut restored, 9_001) && take(&mut restored, 8_000));
    }

    #[test]
    fn a_claim_that_is_taken_back_is_new_again() {
        let rule = DedupeRule { key: Vec::new(), window: 10, is_shared: false };
        let mut window = Window::new(&rule);
        assert!(window.claim(7) && !window.claim(7));
        window.forget(7);
        assert!(window.claim(7) && window.to_seen().0.is_empty());
    }

    #[test]
    fn a_smaller_window_keeps_the_newest_of_what_was_written_down() {
        let wide = DedupeRule { key: Vec::new(), window: 5_000, is_shared: false };
        let mut window = Window::new(&wide);
        (0..5_000).for_each(|identity| assert!(take(&mut window, identity)));
        let narrow = DedupeRule { key: Vec::new(), window: 300, is_shared: false };
        let mut restored = Window::new(&narrow);
        restored.restore(&window.to_seen());
        assert!(!restored.claim(4_999) && !restored.claim(4_700) && restored.claim(0));
    }
}
