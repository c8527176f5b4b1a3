//! What is received and not acknowledged yet: pending until it is durable, then ready to be said.
//! A state machine without I/O or clock.
//!
//! ```text
//!   received ──► pending ──durable──► ready ──said──► gone
//!                   │  ▲
//!                   └──┘ more time, again and again
//! ```
//!
//! What identifies a batch's messages waits for the place behind that batch. Messages that were
//! dropped, as repetitions are, wait for what was handed over before them: then the message they
//! repeat is durable too.
//!
//! Invariants
//! 1. Nothing becomes ready before the durable place has reached what it waits for.
//! 2. What was read and never handed over is forgotten when its call ends, and so never said.

use super::Place;
use super::heard::Ids;
use std::collections::VecDeque;
use std::ops::Range;

/// The acks of one shard.
#[derive(Debug, Default)]
pub(super) struct Acks {
    pending: VecDeque<Pending>,
    ready: VecDeque<Ids>,
    /// Identifiers in both.
    count: u64,
    /// The number of the next entry.
    next: u64,
    /// The entries for which more time is still to be asked for in this round.
    round: Range<u64>,
    /// Behind the last batch that was handed over.
    handed: Option<Place>,
    durable: Option<Place>,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    /// What must be durable; `None`: nothing.
    needs: Option<Place>,
    ids: Ids,
}

/// What one read came to, for the acks.
#[derive(Clone, Copy, Debug)]
pub(in crate::source::grpc) struct Reading {
    /// Behind the batch that is handed over, if there is one.
    pub(in crate::source::grpc) batch: Option<Place>,
    /// Behind the last message read.
    pub(in crate::source::grpc) read: Place,
    /// Whether messages are held back.
    pub(in crate::source::grpc) is_holding: bool,
}

impl Acks {
    /// Takes what a read has brought.
    pub(super) fn note(&mut self, ids: impl IntoIterator<Item = Ids>, reading: Reading) {
        self.handed = reading.batch.or(self.handed);
        let needs = if reading.is_holding { Some(reading.read) } else { self.handed };
        for ids in ids {
            self.count += u64::from(ids.count);
            let number = self.next;
            self.next += 1;
            self.pending.push_back(Pending { number, needs, ids });
        }
        self.release();
    }

    /// Everything below `place` is durable.
    pub(super) fn durable(&mut self, place: Place) {
        self.durable = Some(place);
        self.release();
    }

    /// The call is over: what was held back is forgotten.
    pub(super) fn forget_held(&mut self) {
        let handed = self.handed;
        self.pending.retain(|entry| entry.needs <= handed);
        self.recount();
    }

    /// All of it belongs to a call that is over.
    pub(super) fn forget_all(&mut self) {
        self.pending.clear();
        self.ready.clear();
        self.recount();
    }

    /// Keeps only the newest of what is ready.
    pub(super) fn keep_newest(&mut self) {
        if self.ready.len() > 1 {
            self.ready.drain(..self.ready.len() - 1);
            self.recount();
        }
    }

    /// Identifiers of messages that are not acknowledged.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is something to acknowledge.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What the next request acknowledges: at most `count_max`, but one entry in any case.
    pub(super) fn take(&mut self, count_max: u32, bytes_max: usize) -> Option<Ids> {
        let mut taken = self.ready.pop_front()?;
        while let Some(next) = self.ready.front()
            && taken.count.saturating_add(next.count) <= count_max
            && taken.values.len() + next.values.len() <= bytes_max
        {
            let next = self.ready.pop_front().expect("it was looked at");
            taken.append(&next);
        }
        self.count -= u64::from(taken.count);
        Some(taken)
    }

    /// More time is due for all that is pending. A round that is still under way is not begun
    /// again, and none grows, so that each comes to its end.
    pub(super) fn extend(&mut self) {
        if !self.is_extending() {
            self.round = self.pending.front().map_or(0..0, |first| first.number..self.next);
        }
    }

    /// Whether there is something to ask more time for.
    pub(super) fn is_extending(&self) -> bool {
        let is_in_round = |last: &Pending| last.number >= self.round.start;
        !self.round.is_empty() && self.pending.back().is_some_and(is_in_round)
    }

    /// What the next request asks more time for: at most `count_max`, but one entry in any case.
    pub(super) fn take_extension(&mut self, count_max: u32, bytes_max: usize) -> Option<Ids> {
        let start = self.pending.partition_point(|entry| entry.number < self.round.start);
        let mut asked: Option<Ids> = None;
        for entry in self.pending.range(start..) {
            let fits = |asked: &Ids| {
                asked.count.saturating_add(entry.ids.count) <= count_max
                    && asked.values.len() + entry.ids.values.len() <= bytes_max
            };
            if entry.number >= self.round.end || !asked.as_ref().is_none_or(fits) {
                break;
            }
            asked.get_or_insert_default().append(&entry.ids);
            self.round.start = entry.number + 1;
        }
        if asked.is_none() {
            self.round = 0..0;
        }
        asked
    }

    fn release(&mut self) {
        while self.pending.front().is_some_and(|entry| entry.needs <= self.durable) {
            let entry = self.pending.pop_front().expect("it was looked at");
            self.ready.push_back(entry.ids);
        }
    }

    fn recount(&mut self) {
        let pending = self.pending.iter().map(|entry| &entry.ids);
        self.count = pending.chain(&self.ready).map(|ids| u64::from(ids.count)).sum();
    }
}

#[cfg(test)]
mod tests;
