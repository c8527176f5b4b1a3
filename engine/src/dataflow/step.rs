//! Decoders and transforms: one batch in, one batch out, on the worker that owns the shard.
//!
//! An error fails the pipeline first (see `failure.rs`), and only then does the operator return;
//! so does a panic (see `guard.rs`).
//!
//! Invariants
//! 1. Every batch that comes in goes out, even empty: its position must reach the committer.
//! 2. After a failure an operator only drains its input.
//!
//! Next: `stage.rs` receives what the last step gives.

use crate::dataflow::guard::guarded;
use crate::dataflow::source::Batches;
use crate::failure::{Failure, FailureReason, Recovery};
use crate::fault::{self, Point};
use crate::record::Batch;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

/// A decoder or transform as it runs on one worker.
pub trait Step {
    /// Changes `batch` in place. Records it cannot pass on become dead letters or an error.
    ///
    /// # Errors
    /// [`StepError`] fails the pipeline.
    fn apply(&mut self, batch: &mut Batch) -> Result<(), StepError>;
}

/// Makes a step's instance on each worker.
pub trait StepFactory: Send + Sync {
    /// A new instance; called once per worker and start.
    fn make(&self) -> Box<dyn Step>;
}

/// A record that may not be passed on, and that nobody allowed to be set aside.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// Which record, what is wrong with it and what to do.
    pub message: String,
    /// What may heal it.
    pub recovery: Recovery,
}

/// Applies one instance of the step to every batch of `input`.
pub fn apply<'s>(
    input: Batches<'s>,
    name: &str,
    factory: &dyn StepFactory,
    failure: Arc<Failure>,
) -> Batches<'s> {
    let mut step = factory.make();
    let place = name.to_owned();
    input.unary::<CapacityContainerBuilder<Vec<Batch>>, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each(|capability, batches| {
                if failure.is_set() {
                    batches.clear();
                } else if let Err(reason) = run(&mut *step, batches, &place) {
                    failure.set(reason);
                    batches.clear();
                } else {
                    output.session(&capability).give_container(batches);
                }
            });
        }
    })
}

fn run(step: &mut dyn Step, batches: &mut [Batch], place: &str) -> Result<(), FailureReason> {
    let all = || {
        batches.iter_mut().try_for_each(|batch| {
            fault::point(Point::StepApply);
            step.apply(batch)
        })
    };
    let StepError { message, recovery } = match guarded(all) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error,
        Err(message) => StepError { message, recovery: Recovery::Restart },
    };
    Err(FailureReason { place: place.to_owned(), message, recovery })
}
