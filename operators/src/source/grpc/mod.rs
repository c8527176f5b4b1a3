//! The gRPC source: calls a server-streaming method and hands its messages on as they came.
//!
//! In the order a call comes about and a message passes:
//!
//! | file | what |
//! |---|---|
//! | `config` | the keys of the pipeline file |
//! | `check` | config → [`GrpcSource`]: types, request, cursor paths, metadata, TLS material |
//! | `source` | what a checked source is, its shards and what it promises |
//! | `shard` | one task per shard: call, receive, wait, call again |
//! | `request` | the request of the next call, from the cursor |
//! | `channel`, `link`, `tls` | the connection |
//! | `call`, `codec` | the open call and its messages as bytes |
//! | `receive`, `batcher` | whatever is ready, as one batch |
//! | `cursor`, `resume` | which message is new, and where a restart may begin |
//! | `status`, `backoff` | what can heal, and when to try again |
//! | `peer` | the source as its server sees it, for a generator |
//!
//! Invariants
//! 1. A message gets its sequence number at receipt, before anything may drop it.
//! 2. A shard has at most one open call.
//! 3. While a batch waits for credit no message is read, so HTTP/2 flow control slows the server.
//!
//! Next: `config.rs`.

mod backoff;
mod batcher;
mod call;
mod channel;
mod check;
mod codec;
mod config;
mod cursor;
mod link;
mod loss;
mod metadata;
mod peer;
mod receive;
mod request;
mod resume;
mod shard;
mod source;
mod status;
mod tls;

pub use check::entry;
pub use codec::RawCodec;
pub use peer::{Asked, CursorField};
pub use source::GrpcSource;
