//! The source operator: one per source node and worker, whatever the number of its shards.
//!
//! It emits what its inlet holds under a capability at the open epoch. Downgrading that capability
//! is this worker's word that its part of the old epoch is complete; once every source on every
//! worker has said so, timely's frontier tells the sinks.
//!
//! Invariants
//! 1. The capability is downgraded before draining, so a source can always close its epoch.
//! 2. A batch is emitted into the epoch that is open when it is taken, never into a closed one.
//! 3. After a failure nothing is emitted and the capability goes, so that the dataflow drains away.
//!
//! Next: `step.rs` decodes what comes out.

use crate::dataflow::epochs::{Due, Epochs};
use crate::dataflow::guard::activation;
use crate::dataflow::inlet::{Drained, InletReceiver};
use crate::failure::Failure;
use crate::fault::{self, Point};
use crate::ids::Epoch;
use crate::limits::SOURCE_QUANTUM_BATCHES;
use crate::record::Batch;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, Stream};
use timely::scheduling::Activator;

/// What flows on an edge: batches under an epoch.
pub type Batches<'s> = Stream<'s, u64, Vec<Batch>>;

/// Emits what `receiver` yields; a worker without shards of this source passes `None`.
pub fn emit<'s>(
    scope: Scope<'s, u64>,
    name: &str,
    receiver: Option<InletReceiver>,
    epochs: Arc<Epochs>,
    failure: Arc<Failure>,
) -> Batches<'s> {
    let place = name.to_owned();
    source::<_, CapacityContainerBuilder<Vec<Batch>>, _, _>(scope, name, move |capability, info| {
        let sync = scope.worker().sync_activator_for(info.address.to_vec());
        let local = scope.activator_for(info.address);
        if let Some(receiver) = &receiver {
            receiver.bind(sync.clone());
            epochs.register(sync);
        }
        let mut state =
            SourceState { receiver, capability: Some(capability), epochs, failure, local };
        let guard = state.failure.clone();
        move |output| {
            activation(&place, &guard, || {
                state.close_if_due();
                state.follow_open_epoch();
                if let Some(capability) = &state.capability {
                    let mut session = output.session(capability);
                    let drain = state.drain(|batch| session.give(batch));
                    drop(session);
                    state.after(drain);
                }
            });
        }
    })
}

struct SourceState {
    receiver: Option<InletReceiver>,
    capability: Option<Capability<u64>>,
    epochs: Arc<Epochs>,
    failure: Arc<Failure>,
    local: Activator,
}

/// What one drain of the inlet came to.
struct Drain {
    bytes: u64,
    batches: usize,
    end: Drained,
}

impl SourceState {
    fn close_if_due(&self) {
        let due = self.epochs.try_close();
        if due == Due::Closed {
            fault::point(Point::EpochClose);
        }
        self.look_again(due);
    }

    fn follow_open_epoch(&mut self) {
        if self.receiver.is_none() || self.failure.is_set() {
            // Dropping the receiver makes every sender of this shard see the end.
            self.receiver = None;
            self.capability = None;
            return;
        }
        let open = self.epochs.open().0;
        if let Some(capability) = &mut self.capability
            && open > *capability.time()
        {
            capability.downgrade(&open);
        }
    }

    fn drain(&self, mut give: impl FnMut(Batch)) -> Drain {
        let receiver = self.receiver.as_ref().expect("a source with a capability has its inlet");
        receiver.disarm();
        let mut drain = Drain { bytes: 0, batches: 0, end: Drained::ForNow };
        while drain.batches < SOURCE_QUANTUM_BATCHES {
            match receiver.next() {
                Ok(batch) => {
                    drain.bytes += batch.credit_bytes;
                    drain.batches += 1;
                    give(batch);
                }
                Err(end) => {
                    drain.end = end;
                    break;
                }
            }
        }
        if drain.batches > 0 {
            receiver.made_room();
        }
        drain
    }

    fn after(&mut self, drain: Drain) {
        if drain.bytes > 0 {
            fault::point(Point::SrcEmitted);
            let capability = self.capability.as_ref().expect("only a capability lets us emit");
            self.look_again(self.epochs.emitted(Epoch(*capability.time()), drain.bytes));
        }
        if drain.end == Drained::ForEver {
            self.receiver = None;
            self.capability = None;
            // Timely may forget this operator and its timer from now on; the other sources must see
            // to it, too, that the epoch with our last batch closes in time.
            self.epochs.wake_all();
        } else if drain.batches == SOURCE_QUANTUM_BATCHES {
            self.local.activate();
        }
    }

    fn look_again(&self, due: Due) {
        match due {
            Due::No | Due::Closed => {}
            Due::In(delay) if delay.is_zero() => self.local.activate(),
            Due::In(delay) => self.local.activate_after(delay),
        }
    }
}
