//! A place in a stream: the cursor's values, and what is taken of the messages that bear them.
//!
//! Next: `groups.rs` moves it with whole groups.

use super::super::config::PositionKind;
use super::super::cursor::{Observed, Value};
use super::{Relation, TooManyIds};
use crate::limits::CURSOR_WITHIN_IDS_MAX;
use headwater_engine::position::Within;
use std::collections::HashSet;

/// Values, and what is taken of the messages that bear them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::source::grpc) struct Mark {
    /// One per component; `None` until a message has shown it.
    pub(in crate::source::grpc) values: Vec<Option<Value>>,
    /// The messages taken at exactly these values.
    pub(in crate::source::grpc) within: Within,
    /// The broken messages taken since, which a restart from here repeats.
    pub(in crate::source::grpc) broken: u64,
}

/// What a call may still repeat of the place's own value (`position: at`).
#[derive(Clone, Debug, Default)]
pub(super) struct Overlap {
    pub(super) count: u64,
    pub(super) ids: HashSet<u128>,
    pub(super) broken: u64,
}

impl Mark {
    /// Components that the message does not show keep their value.
    pub(super) fn take_values(
        &mut self,
        observed: &mut Observed,
        of_call: &[Option<Value>],
        max: u32,
    ) {
        self.values.resize(observed.values.len(), None);
        for (component, (mine, new)) in self.values.iter_mut().zip(&mut observed.values).enumerate()
        {
            let is_lower = max & 1 << component != 0
                && mine.as_ref().and_then(Value::rank) > new.as_ref().and_then(Value::rank);
            if new.is_some() && !is_lower {
                *mine = new.take();
            }
        }
        self.add_of_call(of_call);
    }

    pub(super) fn add_of_call(&mut self, of_call: &[Option<Value>]) {
        if self.values.len() < of_call.len() {
            self.values.resize(of_call.len(), None);
        }
        for (mine, new) in self.values.iter_mut().zip(of_call) {
            if new.is_some() && mine != new {
                mine.clone_from(new);
            }
        }
    }

    /// Whether a component has a value.
    pub(in crate::source::grpc) fn has_values(&self) -> bool {
        self.values.iter().any(Option::is_some)
    }

    /// A message with a cursor follows: only a server that repeats its value (`position: at`) also
    /// repeats the broken ones before it.
    pub(super) fn forget_broken(&mut self, position: PositionKind, relation: Relation) {
        if position != PositionKind::At || relation != Relation::Equal {
            self.broken = 0;
        }
    }

    pub(super) fn count(&self) -> u64 {
        match &self.within {
            Within::Count(count) => *count,
            Within::Ids(ids) => ids.len() as u64,
        }
    }
}

impl Overlap {
    pub(super) fn of(place: &Mark) -> Self {
        let (count, ids) = match &place.within {
            Within::Count(count) => (*count, HashSet::new()),
            Within::Ids(ids) => (0, ids.iter().copied().collect()),
        };
        Overlap { count, ids, broken: place.broken }
    }

    /// Whether the next message at the place's value was taken; each one covers one message.
    pub(super) fn covers(&mut self, id: u128) -> bool {
        if self.count > 0 {
            self.count -= 1;
            return true;
        }
        self.ids.contains(&id)
    }
}

/// The place of a cursor's values in their order, where they have one.
pub(in crate::source::grpc) fn rank(values: &[Option<Value>]) -> Option<i128> {
    values.first()?.as_ref()?.rank()
}

pub(super) fn first(has_ids: bool, id: u128) -> Within {
    if has_ids { Within::Ids(vec![id]) } else { Within::Count(1) }
}

pub(super) fn add(within: &mut Within, id: u128) -> Result<(), TooManyIds> {
    match within {
        Within::Count(count) => *count += 1,
        Within::Ids(ids) if ids.len() >= CURSOR_WITHIN_IDS_MAX => return Err(TooManyIds),
        Within::Ids(ids) => ids.push(id),
    }
    Ok(())
}
