//! Mixed groups that have ended in the present call, by their values: what comes below the place is
//! what the server repeats, or it is late, and only this can tell.
//!
//! A server that first sends what it has kept and then what is new may repeat a group where the two
//! meet: whole, or its rest with its end. So a message of a group that ended by its own end is
//! believed to be repeated until a later group ends: by then the end of the first one must have
//! come again. A message of a group that ended only because a higher one did is late at once.
//!
//! Invariant: bounded; a group that was forgotten counts as one that never ended.
//!
//! Next: `groups.rs` tells when one ends.

use crate::limits::ENDED_GROUPS_MAX;
use std::collections::BTreeSet;

/// The groups that have ended in the present call.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    /// The place the call was opened with: all up to it was complete before.
    opened: Option<i128>,
    /// The values of groups whose own end has come.
    own: BTreeSet<i128>,
    /// The highest value that came again, and whose end has not.
    pending: Option<i128>,
}

/// What a message below the place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// The server repeats it, as far as that can be known now.
    Repeated,
    /// It belongs to a group that ended without it.
    Late,
}

impl Ended {
    /// A new call begins at this place.
    pub(super) fn open(&mut self, place: Option<i128>) {
        *self = Ended { opened: place, ..Ended::default() };
    }

    /// A group ends with a message that bears its value.
    pub(super) fn end(&mut self, value: i128) {
        self.own.insert(value);
        if self.own.len() > ENDED_GROUPS_MAX {
            self.own.pop_first();
        }
    }

    /// A message whose value is not beyond the place. With `may_wait`, one that is repeated by all
    /// appearance is believed until the next group ends.
    pub(super) fn below(&mut self, value: i128, is_end: bool, may_wait: bool) -> Below {
        if self.opened.is_some_and(|opened| value <= opened) {
            return Below::Repeated;
        }
        if !may_wait || !self.own.contains(&value) {
            return Below::Late;
        }
        match is_end {
            true => self.pending = self.pending.filter(|pending| *pending > value),
            false => self.pending = self.pending.max(Some(value)),
        }
        Below::Repeated
    }

    /// The value of a group of which something came again, but not its end. Asked where the next
    /// group ends.
    pub(super) fn late(&self) -> Option<i128> {
        self.pending
    }
}
