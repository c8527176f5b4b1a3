//! A panic in an operator fails its pipeline and nothing else.
//!
//! No operator's code unwinds into timely: timely does not notice a panic of one worker, and the
//! others would park for ever. So each activation runs under a guard that turns a panic into a
//! failure of the pipeline *before* the operator returns (see `failure.rs`). What escapes a guard
//! nevertheless ends the process (`workers.rs`).

use crate::failure::{Failure, FailureReason, Recovery};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// Whether a panic of this thread would be caught by a guard.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body`; a panic is an error that says what it said.
pub(super) fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CAUGHT.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(body));
    CAUGHT.set(outer);
    outcome.map_err(|panic| format!("panicked: {}", panic_text(&*panic)))
}

/// Runs one activation of the operator `place`; a panic fails the pipeline.
pub(super) fn activation(place: &str, failure: &Failure, body: impl FnOnce()) {
    if let Err(message) = guarded(body) {
        let place = place.to_owned();
        failure.set(FailureReason { place, message, recovery: Recovery::Restart });
    }
}

/// Whether a panic of this thread is one that fails a pipeline and no more.
#[must_use]
pub fn is_caught() -> bool {
    CAUGHT.get()
}

/// The text of a caught panic.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is no text").to_owned()
}
