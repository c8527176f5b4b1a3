//! Taking a pipeline over: claim → fence → read. In this order, always.
//!
//! 1. Read the claims, uncommitted ones and open transactions included: who was here last?
//! 2. Append our claim with the next generation and read it back. The first claim of a generation
//!    in the log owns it, so of two that start at once exactly one goes on.
//! 3. Fence every transactional id that any earlier owner may still write with: that aborts what
//!    they left open and refuses whatever they send later. Our slot 0 first, then all others.
//! 4. Only now read the committed progress: nobody but us can add to it any more.
//!
//! Reading before fencing is a proven bug: the old owner could commit between the two, and its
//! records would be written twice.
//!
//! Why a ring of producers stays safe when two take over at once, and each fences some slots of
//! the other: whoever does not own slot 0 in the end commits nothing, because the first commit
//! after taking over goes through it (see `state.rs`). Whoever does own it has read everything
//! that was committed before.
//!
//! Like the commit decision this is a machine without I/O, clock or threads: whoever drives it
//! asks [`Acquisition::need`], does it, and reports back.
//!
//! At-least-once has no transactional ids and so no fence: two instances may overlap for a moment,
//! and the highest (generation, epoch) wins when progress is read.
//!
//! Next: `operators/src/sink/kafka/acquire.rs` drives it.

use crate::commit::progress::{Owner, ProgressKey, StoredProgress};
use crate::ids::Generation;

/// How often instances that claim the same generation try again.
const CLAIM_ATTEMPTS_MAX: u32 = 5;

/// What is needed next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Read the whole progress topic, what is not committed included; report it with
    /// [`Acquisition::on_known`].
    ReadAll,
    /// Append a claim of this generation; then [`Acquisition::on_claimed`].
    Claim(Generation),
    /// Read up to the claim that was appended; then [`Acquisition::on_read_back`].
    ReadBack(Generation),
    /// Take a claim back with a tombstone; then [`Acquisition::on_withdrawn`].
    Withdraw(Generation),
    /// Fence these transactional ids, in any order; then [`Acquisition::on_fenced`].
    Fence(Vec<String>),
    /// Read the committed progress; then [`Acquisition::on_committed`].
    ReadCommitted,
    /// Nothing: the pipeline is ours in this generation.
    Nothing(Generation),
}

/// The newest generation belongs to somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("superseded by instance `{instance}` (generation {generation})")]
pub struct Replaced {
    /// Who owns it.
    pub instance: String,
    /// Its generation.
    pub generation: Generation,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Acquisition {
    instance: String,
    /// The generation this process held before, if it did: then a newer claim of another means
    /// that we were replaced, and nothing is taken.
    ours: Option<Generation>,
    /// The highest generation that this process ever claimed.
    claimed: Generation,
    /// Our own transactional ids, by slot.
    ids: Vec<String>,
    /// What is left to fence, as groups that follow each other.
    to_fence: Vec<Vec<String>>,
    claims: u32,
    need: Need,
}

impl Acquisition {
    /// `ids` are the transactional ids of `instance`, by slot; none without transactions. `ours` is
    /// the generation that it held before.
    #[must_use]
    pub fn new(instance: String, ids: Vec<String>, ours: Option<Generation>) -> Self {
        let need = Need::ReadAll;
        let claimed = ours.unwrap_or_default();
        Acquisition { instance, ours, claimed, ids, to_fence: Vec::new(), claims: 0, need }
    }

    /// This process has claimed up to this generation, whatever came of it. None of them is claimed
    /// again: a tombstone of an attempt that was given up may still be on its way, and would take
    /// the new claim back while we rely on it.
    #[must_use]
    pub fn above(mut self, claimed: Generation) -> Self {
        self.claimed = self.claimed.max(claimed);
        self
    }

    /// What is needed next. Asking twice without an event in between gives the same answer.
    #[must_use]
    pub fn need(&self) -> &Need {
        &self.need
    }

    /// The claim that may stand in the log, if one may; whoever gives up takes it back, so that a
    /// healthy owner is not made to believe that it was replaced.
    #[must_use]
    pub fn claim(&self) -> Option<Generation> {
        match &self.need {
            // An append that failed may have taken place.
            Need::Claim(generation) | Need::ReadBack(generation) | Need::Withdraw(generation) => {
                Some(*generation)
            }
            Need::Fence(_) | Need::ReadCommitted => self.ours,
            Need::ReadAll | Need::Nothing(_) => None,
        }
    }

    /// The topic as anybody may see it.
    ///
    /// # Errors
    /// [`Replaced`], if this process held the pipeline and somebody else claimed it since.
    pub fn on_known(&mut self, known: &StoredProgress) -> Result<(), Replaced> {
        assert_eq!(self.need, Need::ReadAll);
        if let Some(ours) = self.ours {
            refuse_if_replaced(known, ours, &self.instance)?;
        }
        self.need = Need::Claim(known.generation().max(self.claimed).next());
        Ok(())
    }

    /// The claim is in the log.
    pub fn on_claimed(&mut self) {
        let Need::Claim(generation) = self.need else { panic!("no claim was asked for") };
        self.claims += 1;
        self.need = Need::ReadBack(generation);
    }

    /// The topic up to our claim. If a rival's claim of the same generation comes before it, ours
    /// is withdrawn and the next generation tried.
    pub fn on_read_back(&mut self, seen: &StoredProgress) {
        let Need::ReadBack(generation) = self.need else { panic!("nothing was to be read back") };
        let first = seen.owner_of(generation).map(|owner| owner.instance.as_str());
        if first != Some(self.instance.as_str()) {
            self.need = Need::Withdraw(generation);
            return;
        }
        self.ours = Some(generation);
        let mut ids = seen.ids_to_fence(&self.ids);
        if !ids.is_empty() {
            let rest = ids.split_off(1);
            self.to_fence.extend((!rest.is_empty()).then_some(rest));
            self.to_fence.push(ids);
        }
        self.fence_or_read();
    }

    /// Our claim is taken back; `seen` is the topic as it was read back.
    ///
    /// # Errors
    /// [`Replaced`], if this process held the pipeline: the rival that was first may have committed
    /// epochs of its own, and ours, which are still in memory, must not be taken for them. Or if
    /// too many claim at the same time: one of them goes on.
    pub fn on_withdrawn(&mut self, seen: &StoredProgress) -> Result<(), Replaced> {
        assert!(matches!(self.need, Need::Withdraw(_)));
        let generation = seen.generation();
        if let Some(ours) = self.ours {
            refuse_if_replaced(seen, ours, &self.instance)?;
        }
        if self.claims >= CLAIM_ATTEMPTS_MAX {
            let instance = "several that start at the same time".to_owned();
            return Err(Replaced { instance, generation });
        }
        self.need = Need::Claim(generation.next());
        Ok(())
    }

    /// The ids that were asked for are ours.
    pub fn on_fenced(&mut self) {
        assert!(matches!(self.need, Need::Fence(_)));
        self.fence_or_read();
    }

    /// The committed progress, read after everything is fenced.
    ///
    /// # Errors
    /// [`Replaced`], if a newer instance has committed or claimed meanwhile.
    pub fn on_committed(&mut self, stored: &StoredProgress) -> Result<(), Replaced> {
        assert_eq!(self.need, Need::ReadCommitted);
        let ours = self.ours.expect("a claim came before");
        refuse_if_replaced(stored, ours, &self.instance)?;
        self.need = Need::Nothing(ours);
        Ok(())
    }

    /// What our claim says.
    #[must_use]
    pub fn owner(&self, generation: Generation, at_unix_ms: i64) -> Owner {
        Owner {
            fmt: crate::commit::progress::PROGRESS_FORMAT,
            generation,
            instance: self.instance.clone(),
            transactional_ids: self.ids.clone(),
            at_unix_ms,
        }
    }

    /// The key of our claim.
    #[must_use]
    pub fn key(&self, generation: Generation) -> ProgressKey {
        ProgressKey::Claim(generation, self.instance.clone())
    }

    fn fence_or_read(&mut self) {
        self.need = self.to_fence.pop().map_or(Need::ReadCommitted, Need::Fence);
    }
}

/// The newest generation belongs to somebody else. A newer one that is ours too was left by a
/// repair that did not come to its end.
///
/// # Errors
/// [`Replaced`], if so.
pub fn refuse_if_replaced(
    stored: &StoredProgress,
    ours: Generation,
    instance: &str,
) -> Result<(), Replaced> {
    let newest = stored.generation();
    let owner = stored.owner_of(newest);
    let is_ours = owner.map_or(newest <= ours, |owner| owner.instance == instance);
    if newest < ours || is_ours {
        return Ok(());
    }
    let instance = owner.map_or("unknown", |owner| owner.instance.as_str()).to_owned();
    Err(Replaced { instance, generation: newest })
}

#[cfg(test)]
mod tests;
