//! Sinks: where records leave the process.
//!
//! All sinks of a pipeline change together, so they are one [`outlet::PipelineOutlet`] that the
//! committer drives: Kafka sinks share one producer and one transaction, `stdout` and `discard`
//! follow.
//!
//! Next: `outlet.rs`, then `kafka/outlet.rs`.

pub mod discard;
pub mod kafka;
pub mod outlet;
pub mod stdout;
pub mod tap;
