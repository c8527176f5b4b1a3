//! The one place that knows whether a pipeline has failed, and of what.
//!
//! An operator that meets an error sets the failure *before* it returns to timely, and only then
//! may its capability go. The committer looks here before each commit, so an epoch whose data an
//! error or a panic swallowed is never committed, although its frontier advances.
//!
//! Invariant: the first failure wins and is never taken back.

use std::sync::{Mutex, MutexGuard, OnceLock};

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

/// Called once when the pipeline fails.
type Listener = Box<dyn FnOnce() + Send>;

/// Set once, read by everything that must not go on after it.
#[derive(Default)]
pub struct Failure {
    reason: OnceLock<FailureReason>,
    listeners: Mutex<Vec<Listener>>,
}

impl Failure {
    /// Fails the pipeline; only the first call counts. Wakes whoever asked by [`Failure::on_set`].
    pub fn set(&self, reason: FailureReason) {
        if self.reason.set(reason).is_ok() {
            self.notify();
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

    /// Calls `listener` once the pipeline fails, at once if it has already.
    pub fn on_set(&self, listener: impl FnOnce() + Send + 'static) {
        self.lock().push(Box::new(listener));
        // The failure may have come between: whoever takes the list calls it.
        if self.is_set() {
            self.notify();
        }
    }

    fn notify(&self) {
        let listeners = std::mem::take(&mut *self.lock());
        listeners.into_iter().for_each(|listener| listener());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().expect("no code panics while it holds the listeners")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn the_first_failure_wins_and_every_listener_hears_of_it_once() {
        let failure = Failure::default();
        let heard = Arc::new(AtomicUsize::new(0));
        let listen = || {
            let heard = heard.clone();
            failure.on_set(move || {
                heard.fetch_add(1, Ordering::SeqCst);
            });
        };
        let reason = |message: &str| FailureReason {
            place: "here".to_owned(),
            message: message.to_owned(),
            recovery: Recovery::Restart,
        };
        listen();
        failure.set(reason("first"));
        failure.set(reason("second"));
        listen();
        assert_eq!(failure.get().map(|reason| reason.message.as_str()), Some("first"));
        assert_eq!(heard.load(Ordering::SeqCst), 2);
    }
}
