//! What a source that resumes asks of each message, in its order: its cursor, whether it may pass,
//! and whether its key is known.
//!
//! Invariant: what must stop the shard is refused before the place moves.

use super::super::config::{OnGap, OnLoss, OnOutOfOrder};
use super::super::control::{Control, LossRule, Role};
use super::super::cursor::{Component, CursorPaths, Observed, Value};
use super::super::resume::{Fate, Resume, Verdict, rank};
use super::super::seen::Window;
use super::Refused;
use bytes::Bytes;
use tonic::metadata::MetadataMap;

/// The rules of a source that resumes, and what they work on.
pub(super) struct Judge<'a> {
    pub(super) paths: &'a CursorPaths,
    pub(super) on_gap: OnGap,
    pub(super) on_out_of_order: OnOutOfOrder,
    pub(super) resume: Resume,
    pub(super) observed: Observed,
    /// The place of the message in the order of mixed groups.
    pub(super) rank: Option<i128>,
    pub(super) control: Option<&'a Control>,
    pub(super) window: Option<Window<'a>>,
}

impl Judge<'_> {
    /// The message's cursor, as a number.
    pub(super) fn first_value(&mut self, message: &Bytes) -> Option<i128> {
        self.paths.observe(message, &mut self.observed).ok()?;
        rank(&self.observed.values)
    }

    /// Reads the message's cursor; false if that is broken.
    pub(super) fn observe(&mut self, message: &Bytes, role: Role) -> bool {
        let is_readable = self.paths.observe(message, &mut self.observed).is_ok();
        if role == Role::Uncounted {
            self.observed.values.fill(None);
        }
        if let Some(control) = self.control {
            self.observed.is_boundary = control.is_boundary(message);
        }
        if self.resume.is_mixed() {
            self.rank = rank(&self.observed.values);
        }
        is_readable
    }

    /// The verdict on the message observed; what must stop the shard is refused before the place
    /// moves.
    pub(super) fn accept(&mut self, loss: Option<&LossRule>) -> Result<Verdict, Refused> {
        let is_fatal = loss.is_some_and(|loss| loss.action == OnLoss::Fail);
        if is_fatal && !self.resume.has_taken(&self.observed) {
            return Err(Refused::Loss);
        }
        if self.on_gap == OnGap::Stop {
            if let Some(gap) = self.resume.gap_before(&self.observed) {
                return Err(Refused::Gap(gap));
            }
            if self.resume.is_misplaced(&self.observed) {
                return Err(Refused::Unverified);
            }
        }
        let mut verdict = self.resume.accept(&mut self.observed)?;
        if is_fatal {
            verdict.fate = Fate::Duplicate;
        }
        Ok(verdict)
    }

    /// What identifies a message that the cursor calls new; none where nobody asks. One that was
    /// taken before all the same becomes a duplicate.
    pub(super) fn identity(&mut self, message: &[u8], fate: &mut Fate) -> Option<u128> {
        let window = self.window.as_mut()?;
        let is_new = !matches!(fate, Fate::Duplicate | Fate::OutOfOrder);
        let identity = is_new.then(|| window.identity(message))?;
        if !window.claim(identity) {
            *fate = Fate::Duplicate;
        }
        Some(identity)
    }

    /// What a call's headers or trailers say of the components, where one comes from there.
    pub(super) fn of_call(
        &self,
        metadata: &MetadataMap,
        is_end: bool,
    ) -> Option<Vec<Option<Value>>> {
        let components = &self.paths.components;
        if components.iter().all(Component::is_of_messages) {
            return None;
        }
        Some(components.iter().map(|it| it.of_call(metadata, is_end)).collect())
    }
}
