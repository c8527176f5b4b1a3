//! Decoders and transforms: one batch in, one batch out, on the worker that owns the shard.
//!
//! An error fails the pipeline first (see `failure.rs`), and only then does the operator return;
//! so does a panic (see `guard.rs`).
//!
//! Invariants
//! 1. Every batch that comes in goes out, even empty: its position must reach the committer.
//! 2. What a step adds to a batch is charged before the batch goes on, so it is given back with it.
//! 3. After a failure an operator only drains its input.
//!
//! Next: `stage.rs` receives what the last step gives.

use crate::dataflow::credit::Credit;
use crate::dataflow::epochs::Epochs;
use crate::dataflow::guard::guarded;
use crate::dataflow::source::Batches;
use crate::failure::{Failure, FailureReason, Recovery};
use crate::fault::{self, Point};
use crate::ids::Epoch;
use crate::record::Batch;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

/// A decoder or transform as it runs on one worker.
pub trait Step {
    /// Changes `batch` in place. Records it cannot pass on become dead letters or an error. What it
    /// adds to the memory that the batch holds, it adds to `credit_bytes`.
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

/// What a step's additions to its batches are charged to.
#[derive(Clone)]
pub struct Account {
    /// The pipeline's credit.
    pub credit: Arc<Credit>,
    /// The pipeline's epochs, which give the credit back.
    pub epochs: Arc<Epochs>,
}

impl Account {
    fn charge(&self, epoch: Epoch, bytes: u64) {
        if bytes > 0 {
            self.epochs.grown(epoch, bytes);
            self.credit.charge(bytes);
        }
    }
}

fn bytes(batches: &[Batch]) -> u64 {
    batches.iter().map(|batch| batch.credit_bytes).sum()
}

/// Applies one instance of the step to every batch of `input`.
pub fn apply<'s>(
    input: Batches<'s>,
    name: &str,
    factory: &dyn StepFactory,
    account: Account,
    failure: Arc<Failure>,
) -> Batches<'s> {
    let mut step = factory.make();
    let place = name.to_owned();
    input.unary::<CapacityContainerBuilder<Vec<Batch>>, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each(|capability, batches| {
                let before = bytes(batches);
                if failure.is_set() {
                    batches.clear();
                } else if let Err(reason) = run(&mut *step, batches, &place) {
                    failure.set(reason);
                    batches.clear();
                } else {
                    let epoch =
                        Epoch(*capability.least().expect("sources emit under a capability"));
                    account.charge(epoch, bytes(batches).saturating_sub(before));
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
