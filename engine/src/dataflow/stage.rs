//! The stage operator: hands batches to the committer and tells it how far the frontier is.
//!
//! It forwards data at once, so that records go out while their epoch is still open, and reports
//! its input frontier after the data: once the frontier has passed an epoch, all of that epoch's
//! batches are in the committer's channel, from every worker. It holds a capability per epoch until
//! the epoch is durable, so the dataflow cannot complete before its last commit.
//!
//! Invariants
//! 1. All batches of an epoch are sent before the frontier that passes it is.
//! 2. The operator's output frontier is the durable frontier.
//! 3. After a failure nothing is sent and all capabilities go.
//!
//! Next: `commit/committer.rs` receives [`ToCommitter`].

use crate::dataflow::epochs::Epochs;
use crate::dataflow::guard::activation;
use crate::dataflow::source::Batches;
use crate::failure::Failure;
use crate::fault::{self, Point};
use crate::ids::{Epoch, SinkIndex};
use crate::record::Batch;
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

/// What the committer hears from the dataflow. The channel needs no bound of its own: credit bounds
/// the bytes of all batches, and at most three epochs are not durable.
pub enum ToCommitter {
    /// Batches of one sink that belong to `epoch`, in order per shard.
    Staged {
        /// The sink they go to.
        sink: SinkIndex,
        /// Their epoch.
        epoch: Epoch,
        /// The batches.
        batches: Vec<Batch>,
    },
    /// Input `input` will bring nothing below `upper` any more; `None`: nothing at all.
    Passed {
        /// Which sink on which worker, as the builder numbered them.
        input: usize,
        /// The frontier.
        upper: Option<Epoch>,
    },
}

/// Where a stage operator reports to.
#[derive(Clone)]
pub struct StagePort {
    /// The sink node.
    pub sink: SinkIndex,
    /// This operator's number among all stage operators of all workers.
    pub input: usize,
    /// The committer's channel.
    pub committer: Sender<ToCommitter>,
}

/// Ends a stream in the committer.
pub fn stage(
    stream: Batches<'_>,
    name: &str,
    port: StagePort,
    epochs: Arc<Epochs>,
    failure: Arc<Failure>,
) {
    let scope = stream.scope();
    let place = name.to_owned();
    stream.unary_frontier::<CapacityContainerBuilder<Vec<u64>>, _, _, _>(
        Pipeline,
        name,
        move |capability, info| {
            drop(capability);
            epochs.register(scope.worker().sync_activator_for(info.address.to_vec()));
            let mut held =
                Held { port, epochs, failure, capabilities: BTreeMap::new(), upper: None };
            let guard = held.failure.clone();
            move |(input, frontier), _output| {
                activation(&place, &guard, || {
                    input.for_each(|capability, batches| {
                        let epoch = *capability.least().expect("sources emit under a capability");
                        held.forward(Epoch(epoch), std::mem::take(batches), || {
                            capability.retain_least(0).expect("this operator has one output")
                        });
                    });
                    held.report(frontier.frontier().first().copied());
                    held.release();
                });
            }
        },
    );
}

struct Held {
    port: StagePort,
    epochs: Arc<Epochs>,
    failure: Arc<Failure>,
    capabilities: BTreeMap<Epoch, Capability<u64>>,
    /// The last frontier reported; `None` before the first report.
    upper: Option<Option<Epoch>>,
}

impl Held {
    fn forward(
        &mut self,
        epoch: Epoch,
        batches: Vec<Batch>,
        retain: impl FnOnce() -> Capability<u64>,
    ) {
        if self.failure.is_set() {
            return;
        }
        self.capabilities.entry(epoch).or_insert_with(retain);
        fault::point(Point::StageForward);
        // A closed channel means that the committer ended, which it does only after a failure.
        let staged = ToCommitter::Staged { sink: self.port.sink, epoch, batches };
        let _ = self.port.committer.send(staged);
    }

    fn report(&mut self, frontier: Option<u64>) {
        let upper = Some(frontier.map(Epoch));
        if self.upper != upper {
            self.upper = upper;
            let passed = ToCommitter::Passed { input: self.port.input, upper: frontier.map(Epoch) };
            let _ = self.port.committer.send(passed);
        }
    }

    fn release(&mut self) {
        if self.failure.is_set() {
            self.capabilities.clear();
        }
        let durable = self.epochs.durable();
        self.capabilities.retain(|epoch, _| *epoch >= durable);
    }
}
