//! Sources, decoders and sinks, and the pipeline that is made of them.
//!
//! A record's way through this crate, with the engine between the stations:
//!
//! 1. [`source::grpc`] — receive and sequence: a call's messages become batches.
//! 2. [`decode::protobuf`] — decode: wire bytes become JSON, or pass untouched.
//! 3. [`transform`] — transform: records are dropped or changed, where the file says so.
//! 4. [`sink`] — stage and commit: batches become records of a Kafka transaction.
//! 5. [`pipeline`] — wires all of it from a plan, watches it and builds it anew after a failure.
//!
//! [`registry()`] is the only list of operator kinds.

pub mod decode;
pub mod limits;
pub mod pipeline;
mod registry;
pub mod sink;
pub mod source;
mod stand_in;
pub mod telemetry;
pub mod transform;

pub use registry::registry;
