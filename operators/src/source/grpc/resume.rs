//! Judges each message of a call: new, a repetition, or behind a gap; and says where a restart may
//! begin. A state machine without I/O, clock or threads.
//!
//! ```text
//!              open()                 value beyond the place
//!   ─► closed ───────► overlap ──────────────────────────────► live
//!         ▲              │ no place yet: live at once            │
//!         └──────────────┴──────────── open() of the next call ──┘
//! ```
//!
//! *Place*: the newest value a restart may begin behind, and what is taken of the messages that
//! bear it. *Overlap*: a new call may repeat what the place already covers; it lasts until a
//! message with a value beyond the place. *Held*: with `boundary: change`, the group of messages
//! that share the newest value; it becomes the place when the value moves on.
//!
//! Why a repetition is dropped only in an overlap unless `sequence` says more: in a live stream an
//! equal or smaller value may be a new message, and nothing but the pipeline file can know.
//!
//! Invariants
//! 1. The place never covers a message that was not kept, nor misses one that was (held ones
//!    apart).
//! 2. A message without a cursor value moves nothing. It is kept, unless it is a broken one that an
//!    overlap repeats: the server has it as an event among others and sends it again, while one
//!    that merely bears no cursor may be as new as the call.
//! 3. Within one call, judging allocates nothing but what `position: at` has to remember.
//!
//! Next: `batcher.rs` puts the kept ones into batches.

use super::config::{Boundary, PositionKind, SequenceKind};
use super::cursor::{Observed, Value};
use crate::limits::CURSOR_WITHIN_IDS_MAX;
use headwater_engine::position::Within;
use std::cmp::Ordering;
use std::collections::HashSet;

/// What the pipeline file declares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Where the server goes on.
    pub(super) position: PositionKind,
    /// After which messages a restart may begin.
    pub(super) boundary: Boundary,
    /// What is known of successive values.
    pub(super) sequence: SequenceKind,
    /// Whether values have an order.
    pub(super) is_ordered: bool,
    /// Whether messages that share a value are told apart by an identifier, not by counting.
    pub(super) has_ids: bool,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether it is kept.
    pub(super) fate: Fate,
    /// Whether the group before it is complete now (`boundary: change`).
    pub(super) closes_group: bool,
}

/// Whether a message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is new.
    Keep,
    /// It is new, and messages before it are missing.
    KeepAfter(Missing),
    /// It was taken before.
    Duplicate,
    /// Its value is lower than one before it in the same call, against what is declared.
    OutOfOrder,
}

/// The values that are missing, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// The first missing value.
    pub(super) from: i128,
    /// The last missing value.
    pub(super) to: i128,
}

/// More messages share one cursor value than can be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than {CURSOR_WITHIN_IDS_MAX} messages share one cursor value, and each must be \
     remembered for `position: at`; use `boundary: change`, which needs no memory of them"
)]
pub(super) struct TooManyIds;

/// Values, and what is taken of the messages that bear them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// One per component; `None` until a message has shown it.
    pub(super) values: Vec<Option<Value>>,
    /// The messages taken at exactly these values.
    pub(super) within: Within,
    /// The broken messages taken since, which a restart from here repeats.
    pub(super) broken: u64,
}

/// The state of one shard.
#[derive(Clone, Debug)]
pub(super) struct Resume {
    rules: Rules,
    place: Option<Mark>,
    held: Option<Mark>,
    overlap: Option<Overlap>,
}

/// What a call may still repeat of the place's own value (`position: at`).
#[derive(Clone, Debug, Default)]
struct Overlap {
    count: u64,
    ids: HashSet<u128>,
    broken: u64,
}

/// A message's value next to the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    First,
    Below,
    Equal,
    Beyond,
}

// === impl Resume ===

impl Resume {
    /// A shard that goes on from `place`, or that has taken nothing yet.
    pub(super) fn new(rules: Rules, place: Option<Mark>) -> Self {
        Resume { rules, place, held: None, overlap: None }
    }

    /// A new call begins. A held group is forgotten: the server sends it again.
    pub(super) fn open(&mut self) {
        self.held = None;
        self.overlap = self.place.as_ref().map(Overlap::of);
    }

    /// Forgets where the shard stands: whatever comes is new. Returns the place.
    pub(super) fn forget(&mut self) -> Option<Mark> {
        (self.held, self.overlap) = (None, None);
        self.place.take()
    }

    /// Judges one message; takes the values out of `observed`.
    ///
    /// # Errors
    /// [`TooManyIds`]; the message is then not part of the place.
    pub(super) fn accept(&mut self, observed: &mut Observed) -> Result<Verdict, TooManyIds> {
        if observed.values.iter().all(Option::is_none) {
            let fate = if observed.is_broken { self.accept_broken() } else { Fate::Keep };
            return Ok(Verdict { fate, closes_group: false });
        }
        let relation = self.relation(observed);
        if self.is_out_of_order(relation) {
            return Ok(Verdict { fate: Fate::OutOfOrder, closes_group: false });
        }
        if self.is_repetition(relation, observed.id) {
            return Ok(Verdict { fate: Fate::Duplicate, closes_group: false });
        }
        let fate = self.gap(relation, observed).map_or(Fate::Keep, Fate::KeepAfter);
        if relation == Relation::Beyond {
            self.overlap = None;
        }
        let closes_group = match self.rules.boundary {
            Boundary::Message => self.advance(relation, observed).map(|()| false)?,
            Boundary::Change => self.hold(relation, observed),
        };
        Ok(Verdict { fate, closes_group })
    }

    /// A message whose cursor cannot be read is known by its place among those that can.
    fn accept_broken(&mut self) -> Fate {
        if let Some(overlap) = &mut self.overlap
            && overlap.broken > 0
        {
            overlap.broken -= 1;
            return Fate::Duplicate;
        }
        if let Some(newest) = self.held.as_mut().or(self.place.as_mut()) {
            newest.broken += 1;
        }
        Fate::Keep
    }

    /// The gap that [`Resume::accept`] would find before this message.
    pub(super) fn gap_before(&self, observed: &Observed) -> Option<Missing> {
        let has_cursor = observed.values.iter().any(Option::is_some);
        has_cursor.then(|| self.gap(self.relation(observed), observed)).flatten()
    }

    /// The stream is complete, so the held group is, too.
    pub(super) fn finish(&mut self) {
        if let Some(held) = self.held.take() {
            self.place = Some(held);
        }
    }

    /// Whether a group is held: messages are then part of it.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Whether the call may still repeat what was taken before it.
    pub(super) fn is_overlapping(&self) -> bool {
        self.overlap.is_some()
    }

    /// Where a restart may begin.
    pub(super) fn place(&self) -> Option<&Mark> {
        self.place.as_ref()
    }

    /// The same, with its values cut loose from the messages they came from.
    pub(super) fn detached_place(&mut self) -> Option<&Mark> {
        if let Some(place) = &mut self.place {
            place.values.iter_mut().flatten().for_each(Value::detach);
        }
        self.place.as_ref()
    }

    /// The newest value, where values have an order.
    pub(super) fn newest_rank(&self) -> Option<i128> {
        rank(&self.newest()?.values)
    }

    fn newest(&self) -> Option<&Mark> {
        self.held.as_ref().or(self.place.as_ref())
    }

    fn relation(&self, observed: &Observed) -> Relation {
        let Some(newest) = self.newest() else { return Relation::First };
        if self.rules.is_ordered {
            return match rank(&observed.values).cmp(&rank(&newest.values)) {
                Ordering::Less => Relation::Below,
                Ordering::Equal => Relation::Equal,
                Ordering::Greater => Relation::Beyond,
            };
        }
        let pairs = observed.values.iter().zip(&newest.values);
        let is_equal = pairs.into_iter().all(|(new, old)| new.is_none() || new == old);
        if is_equal { Relation::Equal } else { Relation::Beyond }
    }

    /// Whether the message stands where it may not. In an overlap a lower value is what a server
    /// repeats.
    fn is_out_of_order(&self, relation: Relation) -> bool {
        let is_declared = self.rules.sequence != SequenceKind::None;
        relation == Relation::Below && is_declared && self.overlap.is_none()
    }

    /// Whether the message was taken before.
    fn is_repetition(&mut self, relation: Relation, id: u128) -> bool {
        let Rules { position, boundary, sequence, .. } = self.rules;
        match relation {
            Relation::First | Relation::Beyond => false,
            Relation::Below => self.overlap.is_some(),
            // A part of the group that is being held.
            Relation::Equal if self.held.is_some() => false,
            Relation::Equal if sequence == SequenceKind::Contiguous => true,
            Relation::Equal => match &mut self.overlap {
                // A group that was handed over is complete.
                Some(_) if boundary == Boundary::Change => true,
                Some(overlap) if position == PositionKind::At => overlap.covers(id),
                Some(_) => true,
                None => sequence == SequenceKind::Monotone && position != PositionKind::At,
            },
        }
    }

    fn gap(&self, relation: Relation, observed: &Observed) -> Option<Missing> {
        if self.rules.sequence != SequenceKind::Contiguous || relation != Relation::Beyond {
            return None;
        }
        let last = rank(&self.newest()?.values)?;
        let gap = Missing { from: last + 1, to: rank(&observed.values)? - 1 };
        (gap.from <= gap.to).then_some(gap)
    }

    /// `boundary: message`: the place moves with each message.
    fn advance(&mut self, relation: Relation, observed: &mut Observed) -> Result<(), TooManyIds> {
        let Rules { position, has_ids, .. } = self.rules;
        let place = self.place.get_or_insert_default();
        place.forget_broken(position, relation);
        if relation == Relation::Equal {
            add(&mut place.within, observed.id)?;
        } else {
            place.within = first(has_ids, observed.id);
        }
        place.take_values(observed);
        Ok(())
    }

    /// `boundary: change`: the place moves when the value does. True if a group is complete now.
    fn hold(&mut self, relation: Relation, observed: &mut Observed) -> bool {
        if relation == Relation::Equal
            && let Some(held) = &mut self.held
        {
            held.forget_broken(self.rules.position, relation);
            held.within = Within::Count(held.count() + 1);
            held.take_values(observed);
            return false;
        }
        let complete = self.held.take();
        let closes_group = complete.is_some();
        // The old place's memory serves the new group.
        let mut group = match complete {
            Some(complete) => self.place.replace(complete).unwrap_or_default(),
            None => Mark::default(),
        };
        if let Some(place) = &self.place {
            group.values.clone_from(&place.values);
        }
        (group.within, group.broken) = (Within::Count(1), 0);
        group.take_values(observed);
        self.held = Some(group);
        closes_group
    }
}

// === impl Mark, Overlap ===

impl Mark {
    /// Components that the message does not show keep their value.
    fn take_values(&mut self, observed: &mut Observed) {
        self.values.resize(observed.values.len(), None);
        for (mine, new) in self.values.iter_mut().zip(&mut observed.values) {
            if new.is_some() {
                *mine = new.take();
            }
        }
    }

    /// A message with a cursor follows: only a server that repeats its value (`position: at`) also
    /// repeats the broken ones before it.
    fn forget_broken(&mut self, position: PositionKind, relation: Relation) {
        if position != PositionKind::At || relation != Relation::Equal {
            self.broken = 0;
        }
    }

    fn count(&self) -> u64 {
        match &self.within {
            Within::Count(count) => *count,
            Within::Ids(ids) => ids.len() as u64,
        }
    }
}

impl Overlap {
    fn of(place: &Mark) -> Self {
        let (count, ids) = match &place.within {
            Within::Count(count) => (*count, HashSet::new()),
            Within::Ids(ids) => (0, ids.iter().copied().collect()),
        };
        Overlap { count, ids, broken: place.broken }
    }

    /// Whether the next message at the place's value was taken; each one covers one message.
    fn covers(&mut self, id: u128) -> bool {
        if self.count > 0 {
            self.count -= 1;
            return true;
        }
        self.ids.contains(&id)
    }
}

/// The place of a cursor's values in their order, where they have one.
pub(super) fn rank(values: &[Option<Value>]) -> Option<i128> {
    values.first()?.as_ref()?.rank()
}

fn first(has_ids: bool, id: u128) -> Within {
    if has_ids { Within::Ids(vec![id]) } else { Within::Count(1) }
}

fn add(within: &mut Within, id: u128) -> Result<(), TooManyIds> {
    match within {
        Within::Count(count) => *count += 1,
        Within::Ids(ids) if ids.len() >= CURSOR_WITHIN_IDS_MAX => return Err(TooManyIds),
        Within::Ids(ids) => ids.push(id),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
