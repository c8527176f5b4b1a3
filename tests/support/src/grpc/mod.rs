//! A real gRPC server (`bench.v1.Telemetry/Subscribe`) that behaves, and misbehaves, by script.
//!
//! [`Script`] says what each call gets; [`ScriptedServer`] plays it; [`Call`] is the ledger's entry
//! for a call: what it asked for and what it was sent. The events themselves are those of
//! `examples/telemetry`: a pure function of the sequence.

mod codec;
mod history;
mod ledger;
mod queue;
mod recorded;
mod script;
mod server;
mod service;
mod stream;

pub use codec::RawCodec;
pub use history::{HISTORY_PROTO, HistoryServer};
pub use ledger::Call;
pub use queue::{FEED_PROTO, QueueServer};
pub use recorded::RecordedServer;
pub use script::{Cursor, Odd, OddOf, Script, Step};
pub use server::{ScriptedServer, ServerOptions};
pub use stream::broken_event;
