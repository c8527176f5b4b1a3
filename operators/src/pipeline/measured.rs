//! Counts around each decoder and transform: what came, what went on, and how long it took.
//!
//! Around and not inside, so that an operator cannot forget it. Per batch; a value's size is
//! known without looking at it.
//!
//! Invariant: the batch is untouched.

use crate::pipeline::run::RunContext;
use crate::telemetry::OperatorMetrics;
use headwater_engine::clock::Clock;
use headwater_engine::dataflow::build::{Blueprint, Station};
use headwater_engine::dataflow::step::{Step, StepError, StepFactory};
use headwater_engine::record::Batch;
use std::sync::Arc;

struct Measured {
    inner: Arc<dyn StepFactory>,
    metrics: OperatorMetrics,
    clock: Arc<dyn Clock>,
}

struct MeasuredStep {
    inner: Box<dyn Step>,
    metrics: OperatorMetrics,
    clock: Arc<dyn Clock>,
}

/// Has every step of `blueprint` counted.
pub(super) fn measure(blueprint: &mut Blueprint, context: &RunContext) {
    let pipeline = blueprint.name.clone();
    for node in &mut blueprint.nodes {
        if let Station::Step(inner) = &node.station {
            node.station = Station::Step(Arc::new(Measured {
                inner: inner.clone(),
                metrics: context.telemetry.operator(&pipeline, &node.name),
                clock: context.clock.clone(),
            }));
        }
    }
}

impl StepFactory for Measured {
    fn make(&self) -> Box<dyn Step> {
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        Box::new(MeasuredStep { inner: self.inner.make(), metrics, clock })
    }
}

impl Step for MeasuredStep {
    fn apply(&mut self, batch: &mut Batch) -> Result<(), StepError> {
        let metrics = &self.metrics;
        let dead_before = batch.dead.len();
        metrics.batches.inc();
        metrics.received_records.inc_by(batch.len() as u64);
        metrics.received_bytes.inc_by(batch.values.size_bytes() as u64);
        let began = self.clock.now();
        let outcome = self.inner.apply(batch);
        let took = self.clock.now().saturating_sub(began);
        metrics.busy_seconds.inc_by(took.as_secs_f64());
        metrics.emitted_records.inc_by(batch.len() as u64);
        metrics.emitted_bytes.inc_by(batch.values.size_bytes() as u64);
        metrics.dead_letters.inc_by(batch.dead.len().saturating_sub(dead_before) as u64);
        outcome
    }
}
