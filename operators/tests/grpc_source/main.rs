//! The gRPC source against a real tonic server, into a real dataflow.
//!
//! Goal: what the server does to a stream (cut it, end it, repeat, skip, stall, refuse) never
//! loses a message in silence and never lets one through twice.
//! Method: `server.rs` plays a script per call, behind a proxy that can cut connections;
//! `world.rs` reads a pipeline file, runs a shard into a timely dataflow and collects what is
//! committed.

mod auth;
mod bidi;
mod check;
mod compression;
mod expired;
mod fleet;
mod frames;
mod groups;
mod issuer;
mod life;
mod losses;
mod marks;
mod polling;
mod reach;
mod recovery;
mod reflection;
mod server;
mod srv;
mod streams;
mod tls;
mod upstreams;
mod world;
