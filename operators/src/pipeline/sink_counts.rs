//! What is counted of each sink when an epoch is durable, and how long its batches took.
//!
//! Per batch, on the committer's thread; the handles of a shard are looked up at its first batch.

use crate::telemetry::{SinkMetrics, Telemetry};
use headwater_engine::commit::observe::Committed;
use headwater_engine::ids::{ShardIndex, SinkIndex};
use headwater_engine::shards::ShardTable;
use headwater_engine::spec::{Plan, Role};
use prometheus::Histogram;
use std::collections::HashMap;
use std::time::Duration;

/// Counts batches by sink, and their latency by source and sink.
pub(super) struct SinkCounts {
    pipeline: String,
    telemetry: Telemetry,
    table: ShardTable,
    /// By sink index.
    sinks: Vec<(String, SinkMetrics)>,
    latencies: HashMap<(ShardIndex, SinkIndex), Histogram>,
}

impl SinkCounts {
    pub(super) fn new(plan: &Plan, telemetry: &Telemetry, table: &ShardTable) -> Self {
        let pipeline = plan.name().to_owned();
        // Sink indices are given in the order of the file, as `assemble.rs` does.
        let sinks = plan
            .of_role(Role::Sink)
            .map(|node| (node.name.clone(), telemetry.sink(&pipeline, &node.name)));
        SinkCounts {
            sinks: sinks.collect(),
            telemetry: telemetry.clone(),
            table: table.clone(),
            latencies: HashMap::new(),
            pipeline,
        }
    }

    pub(super) fn count(&mut self, committed: &Committed<'_>) {
        for batch in committed.batches.iter() {
            let (_, metrics) = &self.sinks[batch.sink.0 as usize];
            metrics.batches.inc();
            metrics.records.inc_by(batch.records);
            metrics.bytes.inc_by(batch.value_bytes);
            // A batch without records only moves a position: nobody waits for it.
            if batch.records > 0 {
                let received = Duration::from_nanos(batch.received_ns);
                let latency = committed.at.saturating_sub(received);
                self.latency(batch.shard, batch.sink).observe(latency.as_secs_f64());
            }
        }
    }

    fn latency(&mut self, shard: ShardIndex, sink: SinkIndex) -> &Histogram {
        let SinkCounts { pipeline, telemetry, table, sinks, latencies } = self;
        latencies.entry((shard, sink)).or_insert_with(|| {
            // A shard is named after its source: `SOURCE/…`.
            let key = &table.get(shard).key;
            let source = key.0.split('/').next().unwrap_or_default();
            telemetry.latency(pipeline, source, &sinks[sink.0 as usize].0)
        })
    }
}
