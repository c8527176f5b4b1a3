//! The sample server behind `headwater demo`, the examples, the tests and the benchmarks.
//!
//! A fleet of devices reports measurements; `bench.v1.Telemetry/Subscribe` streams them. It is a
//! real tonic server, and it is what a well-made source looks like to Headwater: every event has a
//! sequence, and a client that was cut off asks for the sequence after the last one it has kept.
//!
//! What a request means
//! - `from_sequence`: the first event to send. Sequences start at 1; 0 means the same as 1.
//! - `count`: the length of the whole stream, not of one call: a call ends after event `count`, so
//!   a client that resumes gets the rest and no more. 0 is a stream without end.
//! - `rate`: events per second, 0 for as fast as flow control lets them through. A paced event
//!   carries the time it was *due* in `emitted_ns`, however late it left: latencies taken from it
//!   hide no stall of the server, the network or the client.
//! - `payload_bytes`: the size of `Event.payload`, at most [`PAYLOAD_BYTES_MAX`].
//! - `filter`: only events of one site (see [`SITES`]). The word [`IDLE`] opens a stream that stays
//!   open and sends nothing, for measuring what an idle pipeline costs.
//!
//! The server tells its types to who asks by gRPC server reflection, v1 and v1alpha.
//!
//! Invariant: an event is a pure function of its sequence and `payload_bytes`, except for
//! `emitted_ns`. A stream that is asked again repeats itself.
//!
//! Reading order: [`server`] opens the port, `service` takes a call, `stream` decides which event
//! is next and when, `pace` knows the time, [`event`] writes the bytes, [`link`] is the connection.

pub mod event;
pub mod link;
pub mod pace;
pub mod server;

mod codec;
mod service;
mod stream;

pub use event::{Fleet, PAYLOAD_BYTES_MAX, SITES};
pub use server::{StartError, TelemetryServer};
pub use stream::IDLE;
