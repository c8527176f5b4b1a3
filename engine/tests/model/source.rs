//! Where messages come from: each shard's input is its numbers in order, resumable at any place.
//! Epochs close as `engine/src/dataflow/epochs.rs` closes them: once something is in them, and not
//! more ahead of what is durable than can be committed beside it.
//!
//! Next: `committer.rs` receives.

use headwater_engine::ids::Epoch;
use std::collections::VecDeque;

pub const SHARDS: usize = 2;

/// A run of messages of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    pub shard: u8,
    pub first: u16,
    pub count: u16,
}

impl Run {
    pub fn end(self) -> u16 {
        self.first + self.count
    }
}

/// What the dataflow tells the committer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    Staged(u64, Run),
    /// An input of the frontier moved; `None` is its end.
    Passed(u8, Option<u64>),
}

#[derive(Clone, Debug, Hash)]
pub struct Source {
    pub next: [u16; SHARDS],
    /// How many messages each shard has.
    length: u16,
    open: u64,
    durable: u64,
    closed_max: u64,
    is_dirty: bool,
    /// How far the second input of the frontier has reported; the first one does so at once.
    reported: Option<u64>,
    has_ended: bool,
    pub sent: VecDeque<Message>,
}

impl Source {
    pub fn new(next: [u16; SHARDS], length: u16, first: Epoch, ring: u8) -> Self {
        Source {
            next,
            length,
            open: first.0,
            durable: first.0,
            closed_max: u64::from(ring.min(2)),
            is_dirty: false,
            reported: Some(first.0),
            has_ended: false,
            sent: VecDeque::new(),
        }
    }

    pub fn left(&self, shard: u8) -> u16 {
        self.length - self.next[usize::from(shard)]
    }

    pub fn emit(&mut self, shard: u8, count: u16) {
        let first = self.next[usize::from(shard)];
        self.next[usize::from(shard)] += count;
        self.is_dirty = true;
        self.sent.push_back(Message::Staged(self.open, Run { shard, first, count }));
    }

    pub fn can_close(&self) -> bool {
        self.is_dirty && self.open - self.durable < self.closed_max && !self.has_ended
    }

    pub fn close(&mut self) {
        self.open += 1;
        self.is_dirty = false;
        self.sent.push_back(Message::Passed(0, Some(self.open)));
    }

    /// Whether the second input lags behind the first.
    pub fn lags(&self) -> bool {
        if self.has_ended { self.reported.is_some() } else { self.reported != Some(self.open) }
    }

    pub fn catch_up(&mut self) {
        self.reported = (!self.has_ended).then_some(self.open);
        self.sent.push_back(Message::Passed(1, self.reported));
    }

    pub fn can_end(&self) -> bool {
        !self.has_ended && self.next.iter().all(|next| *next == self.length)
    }

    pub fn end(&mut self) {
        self.has_ended = true;
        self.sent.push_back(Message::Passed(0, None));
    }

    /// One message of each shard into an epoch of their own; false if there is nothing to do now.
    pub fn feed(&mut self) -> bool {
        let shards = 0..u8::try_from(SHARDS).expect("few shards");
        if self.lags() {
            self.catch_up();
        } else if self.can_close() {
            self.close();
        } else if !self.is_dirty && self.next.iter().any(|next| *next < self.length) {
            let left: Vec<u8> = shards.filter(|shard| self.left(*shard) > 0).collect();
            left.into_iter().for_each(|shard| self.emit(shard, 1));
        } else if self.can_end() {
            self.end();
        } else {
            return false;
        }
        true
    }

    pub fn set_durable(&mut self, below: Epoch) {
        self.durable = below.0;
        // At the end all is durable, the open epoch too.
        self.open = self.open.max(below.0);
    }
}
