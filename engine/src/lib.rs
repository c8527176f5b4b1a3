//! The dataflow engine: what a record is, how it crosses into timely, when it is committed.
//!
//! It knows timely and nothing of gRPC, Kafka or tokio. A record's way through this crate:
//!
//! 1. [`record`] — a [`record::Batch`] is what travels; [`position`] says where its shard stands.
//! 2. [`dataflow::inlet`] — an I/O task hands batches to a worker, bounded by [`dataflow::credit`].
//! 3. [`dataflow::source`] — the source operator emits them under the open epoch's capability.
//! 4. [`dataflow::step`] — decoders and transforms, one batch in, one batch out.
//! 5. [`dataflow::stage`] — the sink operator forwards to the committer and reports its frontier.
//! 6. [`commit`] — the decision (a state machine without I/O) and the thread that obeys it.
//!
//! [`fault`] holds the points at which a test lets all of this die.
//! [`spec`] turns a pipeline file into the [`spec::Plan`] all of this is built from.

pub mod clock;
pub mod commit;
pub mod dataflow;
pub mod failure;
pub mod fault;
pub mod ids;
pub mod limits;
pub mod position;
pub mod record;
pub mod shards;
pub mod spec;
