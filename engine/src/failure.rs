//! The one place that knows whether a pipeline has failed, and of what.
//!
//! An operator that meets an error sets the failure *before* it returns to timely, and only then may
//! its capability go. The committer looks here before each commit, so an epoch whose data an error or a
//! panic swallowed is never committed, although its frontier advances.
//!
//! Invariant: the first failure wins and is never taken back.

use std::sync::OnceLock;

/// Why a pipeline cannot go on, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureReason {
    /// The node where it happened, or the part of the engine.
    pub place: String,
    /// What happened, for a person to read.
    pub message: String,
    /// Whether building the pipeline anew from committed progress may heal it.
    pub recovery: Recovery,
}

/// What may heal a failure; decided where the failure is raised, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Build the pipeline anew from committed progress.
    Restart,
    /// Nothing but a person: stop and say so.
    Stop,
    /// A newer instance owns the pipeline: stop writing, leave the rest to it.
    Superseded,
}

impl std::fmt::Display for FailureReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Set once, read by everything that must not go on after it.
#[derive(Default)]
pub struct Failure {
    reason: OnceLock<FailureReason>,
    on_set: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Failure {
    /// Fails the pipeline; only the first call counts. Wakes whoever asked by [`Failure::on_set`].
    pub fn set(&self, reason: FailureReason) {
        if self.reason.set(reason).is_ok()
            && let Some(wake) = self.on_set.get()
        {
            wake();
        }
    }

    /// The reason, once there is one.
    #[must_use]
    pub fn get(&self) -> Option<&FailureReason> {
        self.reason.get()
    }

    /// Whether the pipeline has failed.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.reason.get().is_some()
    }

    /// Calls `wake` once the pipeline fails, at once if it has already. Only the first call counts.
    pub fn on_set(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_set.set(Box::new(wake));
        if self.is_set()
            && let Some(wake) = self.on_set.get()
        {
            wake();
        }
    }
}
