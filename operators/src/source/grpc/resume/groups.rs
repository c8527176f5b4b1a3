//! How the place moves with more than one message: groups that share a value, groups that end with
//! a message that says so, and heartbeats, which say that all before them was sent.
//!
//! Next: `../batcher.rs` holds the messages.

use super::super::config::{Boundary, PositionKind};
use super::super::cursor::Observed;
use super::mark::{Mark, rank};
use super::{Closes, Relation, Resume, Rules};
use headwater_engine::position::Within;

impl Resume {
    /// A message that only says how far the stream is. Everything before it was sent, so what is
    /// held by its value is complete, and a restart may begin behind it.
    pub(in crate::source::grpc) fn advance_to(
        &mut self,
        observed: &mut Observed,
    ) -> (bool, Closes) {
        let Rules { position, boundary, is_ordered, is_counted, .. } = self.rules;
        let none = (false, Closes::Nothing);
        if is_counted || observed.values.iter().all(Option::is_none) {
            return none;
        }
        // Where only equality tells, what the server repeats must be seen first.
        let is_blind = position == PositionKind::At && !is_ordered && self.overlap.is_some();
        let is_open = boundary == Boundary::When && self.held.is_some();
        let relation = self.relation(observed);
        if is_blind || is_open || relation == Relation::Below {
            return none;
        }
        let closes = if self.held.is_some() { Closes::Earlier } else { Closes::Nothing };
        if let Some(held) = self.held.take() {
            self.place = Some(held);
        }
        if relation == Relation::Equal {
            return (closes != Closes::Nothing, closes);
        }
        (self.overlap, self.is_unverified) = (None, false);
        let max = self.rules.max;
        let place = self.place.get_or_insert_default();
        let nothing = if self.rules.has_ids { Within::Ids(Vec::new()) } else { Within::Count(0) };
        (place.within, place.broken) = (nothing, 0);
        place.take_values(observed, &self.of_call, max);
        (true, closes)
    }
    /// `boundary: change`: the place moves when the value does.
    pub(super) fn hold(&mut self, relation: Relation, observed: &mut Observed) -> Closes {
        let Rules { position, max, .. } = self.rules;
        if relation == Relation::Equal
            && let Some(held) = &mut self.held
        {
            held.forget_broken(position, relation);
            held.within = Within::Count(held.count() + 1);
            held.take_values(observed, &self.of_call, max);
            return Closes::Nothing;
        }
        let complete = self.held.take();
        let closes = if complete.is_some() { Closes::Earlier } else { Closes::Nothing };
        // The old place's memory serves the new group.
        let mut group = match complete {
            Some(complete) => self.place.replace(complete).unwrap_or_default(),
            None => Mark::default(),
        };
        if let Some(place) = &self.place {
            group.values.clone_from(&place.values);
        }
        (group.within, group.broken) = (Within::Count(1), 0);
        group.take_values(observed, &self.of_call, max);
        self.held = Some(group);
        closes
    }

    /// `boundary: { when }`: the place moves with a message that ends a group.
    pub(super) fn join(&mut self, observed: &mut Observed) -> Closes {
        let (rules, is_boundary) = (self.rules, observed.is_boundary);
        let of_message = rank(&observed.values);
        let own = observed.values.first().cloned().flatten();
        let held = self.held.get_or_insert_default();
        // The highest of mixed values: what remains held when a lower group ends.
        let max = if rules.is_mixed() { rules.max | 1 } else { rules.max };
        if observed.values.iter().any(Option::is_some) {
            held.forget_broken(rules.position, Relation::Equal);
            held.take_values(observed, &self.of_call, max);
        }
        if !is_boundary {
            return Closes::Nothing;
        }
        match of_message.filter(|_| rules.is_mixed()) {
            Some(limit) => {
                self.ended.end(limit);
                let place = self.place.get_or_insert_default();
                (place.values, place.within, place.broken) = (vec![own], Within::Count(0), 0);
                if rank(&held.values) <= Some(limit) {
                    self.held = None;
                }
                Closes::UpTo(limit)
            }
            None => {
                self.end_group();
                Closes::All
            }
        }
    }

    /// The held group becomes the place; components it has not shown keep their value.
    pub(super) fn end_group(&mut self) {
        let Some(mut held) = self.held.take().filter(Mark::has_values) else { return };
        if let Some(place) = &self.place {
            for (mine, old) in held.values.iter_mut().zip(&place.values) {
                if mine.is_none() {
                    mine.clone_from(old);
                }
            }
        }
        held.within = Within::Count(0);
        self.place = Some(held);
    }
}
