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
//! that share the newest value; it becomes the place when the value moves on. With
//! `boundary: { when }`, all since the last message that ended a group; it becomes the place with
//! the next one that does. Where values have an order and nothing says that they never fall, groups
//! may be mixed up: a message that ends a group then ends what is not beyond its own value, and the
//! rest stays held.
//!
//! A *counted* cursor has no value in any message: a count of those taken since the call's own
//! token (a header or trailer), or since the beginning of a stream that is replayed as a whole.
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

mod ended;
mod groups;
mod mark;

use super::config::{Boundary, OnOutOfOrder, PositionKind, SequenceKind, Verify};
use super::cursor::{Observed, Value};
use crate::limits::CURSOR_WITHIN_IDS_MAX;
use ended::{Below, Ended};
use headwater_engine::position::Within;
pub(super) use mark::{Mark, rank};
use mark::{Overlap, add, first};
use std::cmp::Ordering;

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
    /// Whether the first message of a new call is held against the place.
    pub(super) verify: Verify,
    /// Whether messages bear no value and are counted.
    pub(super) is_counted: bool,
    /// The components of which the highest value counts, one bit each.
    pub(super) max: u32,
    /// What is done with a message of a group that ended without it, where groups may be mixed up.
    pub(super) on_late: OnOutOfOrder,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether it is kept.
    pub(super) fate: Fate,
    /// Which held messages are complete now.
    pub(super) closes: Closes,
}

/// Which held messages are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closes {
    /// None.
    Nothing,
    /// The group before this message (`boundary: change`).
    Earlier,
    /// All, with this message.
    All,
    /// Those up to this value, this message among them.
    UpTo(i128),
}

/// Whether a message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is new.
    Keep,
    /// It is new, and messages before it are missing.
    KeepAfter(Missing),
    /// It is new, and the first of a call that was to go on before it.
    KeepUnverified,
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

/// A message that the rules do not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    TooManyIds(#[from] TooManyIds),
    #[error(
        "the first message of a new call lies before where it was to go on, and `resume.verify` is \
         `strict`; if the server repeats what stands at the cursor, declare `position: at`; if it \
         goes back further, `verify: skip_overlap`"
    )]
    Misplaced,
    #[error(
        "a message with cursor value {value} came behind the end of its group \
         (`resume.boundary`), and `resume.on_out_of_order` is `stop`: end groups with what the \
         server sends last, or go on without such messages by `drop` or `dead_letter`"
    )]
    Late {
        /// Its value.
        value: i128,
    },
}

/// The state of one shard.
#[derive(Clone, Debug)]
pub(super) struct Resume {
    rules: Rules,
    place: Option<Mark>,
    held: Option<Mark>,
    overlap: Option<Overlap>,
    /// Whether the next message that bears a cursor is the first of a call that was given one.
    is_unverified: bool,
    /// What the call itself says of components, where one comes from it.
    of_call: Vec<Option<Value>>,
    /// Of mixed groups, those that have ended in this call.
    ended: Ended,
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

impl Rules {
    /// Without a declaration.
    pub(super) const PLAIN: Rules = Rules {
        position: PositionKind::After,
        boundary: Boundary::Message,
        sequence: SequenceKind::None,
        is_ordered: false,
        has_ids: false,
        verify: Verify::SkipOverlap,
        is_counted: false,
        max: 0,
        on_late: OnOutOfOrder::Drop,
    };

    /// Whether groups may be mixed up, and their values tell them apart.
    pub(super) fn is_mixed(self) -> bool {
        self.boundary == Boundary::When && self.is_ordered && self.sequence == SequenceKind::None
    }

    fn is_max(self, component: usize) -> bool {
        self.max & 1 << component != 0
    }
}

impl Resume {
    /// A shard that goes on from `place`, or that has taken nothing yet.
    pub(super) fn new(rules: Rules, place: Option<Mark>) -> Self {
        let (held, overlap, of_call) = (None, None, Vec::new());
        let ended = Ended::default();
        Resume { rules, place, held, overlap, is_unverified: false, of_call, ended }
    }

    /// A new call begins. A held group is forgotten: the server sends it again.
    pub(super) fn open(&mut self) {
        let Rules { verify, .. } = self.rules;
        self.held = None;
        self.of_call.fill(None);
        self.overlap = self.place.as_ref().map(Overlap::of).filter(|_| verify != Verify::Off);
        self.is_unverified = self.place.is_some() && verify == Verify::Strict;
        self.ended.open(self.place.as_ref().and_then(|place| rank(&place.values)));
    }

    /// Forgets where the shard stands: whatever comes is new. Returns the place.
    pub(super) fn forget(&mut self) -> Option<Mark> {
        (self.held, self.overlap, self.is_unverified) = (None, None, false);
        self.ended.open(None);
        self.place.take()
    }

    /// The call's headers say this of the components; messages bear it from here on. A token that
    /// is not the place's own begins another count.
    pub(super) fn begin_call(&mut self, values: Vec<Option<Value>>) {
        if let Some(place) = self.place.as_ref().filter(|_| self.rules.is_counted) {
            let mut pairs = values.iter().zip(&place.values);
            if pairs.any(|(new, old)| new.is_some() && old.is_some() && new != old) {
                self.overlap = None;
            }
        }
        self.of_call = values;
    }

    /// The call ended, and says this of the components. True if the place has moved.
    pub(super) fn end_call(&mut self, values: Vec<Option<Value>>) -> bool {
        if self.held.is_some() || values.iter().all(Option::is_none) {
            return false;
        }
        let place = self.place.get_or_insert_default();
        place.values.resize(values.len(), None);
        for (mine, new) in place.values.iter_mut().zip(values) {
            *mine = new.or(mine.take());
        }
        if self.rules.is_counted {
            place.within = Within::Count(0);
        }
        true
    }

    /// Judges one message; takes the values out of `observed`.
    ///
    /// # Errors
    /// [`Unfit`]; the message is then not part of the place.
    pub(super) fn accept(&mut self, observed: &mut Observed) -> Result<Verdict, Unfit> {
        if self.rules.is_counted {
            return Ok(Verdict { fate: self.count(), closes: Closes::Nothing });
        }
        if observed.values.iter().all(Option::is_none) {
            return Ok(self.accept_without(observed));
        }
        let relation = self.relation(observed);
        let is_elsewhere = self.verify(relation)?;
        if self.is_out_of_order(relation) || self.is_late(relation, observed)? {
            return Ok(Verdict { fate: Fate::OutOfOrder, closes: Closes::Nothing });
        }
        if self.is_repetition(relation, observed.id) {
            return Ok(Verdict { fate: Fate::Duplicate, closes: Closes::Nothing });
        }
        let fate = match self.gap(relation, observed) {
            Some(missing) => Fate::KeepAfter(missing),
            None if is_elsewhere => Fate::KeepUnverified,
            None => Fate::Keep,
        };
        if relation == Relation::Beyond {
            self.overlap = None;
        }
        let closes = match self.rules.boundary {
            Boundary::Message => self.advance(relation, observed).map(|()| Closes::Nothing)?,
            Boundary::Change => self.hold(relation, observed),
            Boundary::When => self.join(observed),
        };
        Ok(Verdict { fate, closes })
    }

    /// Whether [`Resume::accept`] would find that a call does not go on where it was to.
    pub(super) fn is_misplaced(&self, observed: &Observed) -> bool {
        let is_asked = self.is_unverified && observed.values.iter().any(Option::is_some);
        is_asked && self.clone().verify(self.relation(observed)) == Ok(true)
    }

    /// Whether [`Resume::accept`] would find that the message was taken before.
    pub(super) fn has_taken(&self, observed: &Observed) -> bool {
        if observed.values.iter().all(Option::is_none) {
            return false;
        }
        self.clone().is_repetition(self.relation(observed), observed.id)
    }

    /// Whether the first message of a call lies further on than it was to (an error if before).
    fn verify(&mut self, relation: Relation) -> Result<bool, Unfit> {
        if !std::mem::take(&mut self.is_unverified) {
            return Ok(false);
        }
        let is_at = self.rules.position == PositionKind::At;
        match relation {
            Relation::First => Ok(false),
            Relation::Beyond => Ok(is_at),
            Relation::Equal if is_at => Ok(false),
            Relation::Equal | Relation::Below => Err(Unfit::Misplaced),
        }
    }

    /// A message that bears no value is known by its number since the call's token.
    fn count(&mut self) -> Fate {
        if let Some(Overlap { count: left @ 1.., .. }) = &mut self.overlap {
            *left -= 1;
            return Fate::Duplicate;
        }
        self.overlap = None;
        if self.is_another_token() {
            self.place = None;
        }
        let place = self.place.get_or_insert_default();
        place.within = Within::Count(place.count() + 1);
        place.add_of_call(&self.of_call);
        Fate::Keep
    }

    fn accept_without(&mut self, observed: &mut Observed) -> Verdict {
        let fate = if observed.is_broken { self.accept_broken() } else { Fate::Keep };
        let joins = self.rules.boundary == Boundary::When && fate == Fate::Keep;
        let closes = if joins { self.join(observed) } else { Closes::Nothing };
        Verdict { fate, closes }
    }

    /// A message whose cursor cannot be read is known by its place among those that can.
    fn accept_broken(&mut self) -> Fate {
        if let Some(overlap) = &mut self.overlap
            && overlap.broken > 0
        {
            overlap.broken -= 1;
            return Fate::Duplicate;
        }
        let newest = match self.rules.boundary {
            Boundary::When => Some(self.held.get_or_insert_default()),
            Boundary::Message | Boundary::Change => self.held.as_mut().or(self.place.as_mut()),
        };
        if let Some(newest) = newest {
            newest.broken += 1;
        }
        Fate::Keep
    }

    /// Judges one message of an answer, which has no cursor of its own: those that were taken
    /// behind the place come first. With `is_counted` it is counted with them.
    pub(super) fn accept_item(&mut self, is_counted: bool, components: usize) -> Fate {
        if let Some(overlap) = &mut self.overlap
            && overlap.broken > 0
        {
            overlap.broken -= 1;
            return Fate::Duplicate;
        }
        if is_counted {
            let place = self.place.get_or_insert_default();
            place.values.resize(components, None);
            place.broken += 1;
        }
        Fate::Keep
    }

    /// The whole answer is taken: the place is its cursor. True if that is another one than before.
    pub(super) fn advance_behind(&mut self, observed: &mut Observed) -> bool {
        (self.overlap, self.is_unverified) = (None, false);
        let max = self.rules.max;
        let place = self.place.get_or_insert_default();
        let before = place.values.clone();
        (place.within, place.broken) = (Within::Count(1), 0);
        place.take_values(observed, &[], max);
        place.values != before
    }

    /// The gap that [`Resume::accept`] would find before this message.
    pub(super) fn gap_before(&self, observed: &Observed) -> Option<Missing> {
        let has_cursor = observed.values.iter().any(Option::is_some);
        has_cursor.then(|| self.gap(self.relation(observed), observed)).flatten()
    }

    /// The stream is complete, so the held group is, too.
    pub(super) fn finish(&mut self) {
        if self.rules.boundary == Boundary::When {
            self.end_group();
        } else if let Some(held) = self.held.take() {
            self.place = Some(held);
        }
    }

    /// Whether messages are part of a group that is held.
    pub(super) fn is_holding(&self) -> bool {
        self.rules.boundary == Boundary::When || self.held.is_some()
    }

    /// Whether groups may be mixed up, and their values tell them apart.
    pub(super) fn is_mixed(&self) -> bool {
        self.rules.is_mixed()
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
        let held = self.held.as_ref().filter(|held| held.has_values());
        // Of groups that are mixed up only those that ended say what was taken.
        held.filter(|_| !self.rules.is_mixed()).or(self.place.as_ref()).filter(|it| it.has_values())
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
        let is_covered = pairs.enumerate().all(|(component, (new, old))| match (new, old) {
            (None, _) => true,
            (Some(new), Some(old)) if self.rules.is_max(component) => new.rank() <= old.rank(),
            (new, old) => new == old,
        });
        if is_covered { Relation::Equal } else { Relation::Beyond }
    }

    /// Whether the message stands where it may not. In an overlap a lower value is what a server
    /// repeats.
    fn is_out_of_order(&self, relation: Relation) -> bool {
        let is_declared = self.rules.sequence != SequenceKind::None;
        relation == Relation::Below && is_declared && self.overlap.is_none()
    }

    /// Whether the message belongs to a group that ended without it, where groups may be mixed up.
    ///
    /// # Errors
    /// [`Unfit::Late`] if the message ends a group, and shows that one before it was late.
    fn is_late(&mut self, relation: Relation, observed: &Observed) -> Result<bool, Unfit> {
        let on_late = self.rules.on_late;
        if !self.rules.is_mixed() || on_late == OnOutOfOrder::Drop {
            return Ok(false);
        }
        let value = rank(&observed.values);
        if let (Relation::Below | Relation::Equal, Some(value)) = (relation, value) {
            let may_wait = on_late == OnOutOfOrder::Stop;
            let below = self.ended.below(value, observed.is_boundary, may_wait);
            return Ok(below == Below::Late);
        }
        match self.ended.late().filter(|_| observed.is_boundary) {
            Some(value) => Err(Unfit::Late { value }),
            None => Ok(false),
        }
    }

    /// Whether the message was taken before.
    fn is_repetition(&mut self, relation: Relation, id: u128) -> bool {
        let Rules { position, boundary, sequence, .. } = self.rules;
        let is_part = self.held.as_ref().is_some_and(Mark::has_values);
        let is_single = sequence == SequenceKind::Contiguous && boundary == Boundary::When;
        match relation {
            Relation::First | Relation::Beyond => false,
            // A group that ended is complete.
            Relation::Below | Relation::Equal if self.rules.is_mixed() => true,
            Relation::Below => self.overlap.is_some(),
            // A part of the group that is being held.
            Relation::Equal if is_part && !is_single => false,
            Relation::Equal if sequence == SequenceKind::Contiguous => true,
            Relation::Equal => match &mut self.overlap {
                // A group that was handed over is complete.
                Some(_) if boundary != Boundary::Message => true,
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
        let Rules { position, has_ids, max, .. } = self.rules;
        let place = self.place.get_or_insert_default();
        // Of a component that counts by its highest value a lower one moves nothing.
        if relation == Relation::Below && max != 0 {
            return Ok(());
        }
        place.forget_broken(position, relation);
        if relation == Relation::Equal {
            add(&mut place.within, observed.id)?;
        } else {
            place.within = first(has_ids, observed.id);
        }
        place.take_values(observed, &self.of_call, max);
        Ok(())
    }

    /// Whether the call bears another token than the place.
    fn is_another_token(&self) -> bool {
        let Some(place) = &self.place else { return false };
        let mut pairs = self.of_call.iter().zip(&place.values);
        pairs.any(|(new, old)| new.is_some() && new != old)
    }
}

#[cfg(test)]
mod tests;
