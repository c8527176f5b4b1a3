//! Presets against fakes of the APIs they are for.
//!
//! Goal: with a preset alone, and a server that ends calls in the middle, every message of the
//! stream is committed once and in order, over reconnects and a restart of the process.
//! Method: each fake knows what its API's server knows: a log, and what a request means; it is
//! made from the API's public interface in `protos/`. `fake.rs` serves it and breaks it off;
//! `rig.rs` runs the source of a pipeline file that holds the preset and little else.

#[path = "../grpc_source/world.rs"]
#[allow(dead_code, reason = "it is shared with another test program")]
mod world;

mod chains;
mod databases;
mod etcd;
mod fake;
mod merging;
mod networks;
mod queues;
mod rig;
mod solana;
mod vitess;
