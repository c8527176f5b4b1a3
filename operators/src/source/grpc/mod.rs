//! The gRPC source: calls a method that answers with a stream and hands its messages on as they
//! came.
//!
//! In the order a call comes about and a message passes:
//!
//! | file | what |
//! |---|---|
//! | `config` | the keys of the pipeline file |
//! | `check` | config → [`GrpcSource`]: types, request, cursor paths, metadata, TLS material |
//! | `source` | what a checked source is, its shards and what it promises |
//! | `targets` | lists of servers that change while the pipeline runs |
//! | `shard` | one task per shard: call, receive, wait, call again |
//! | `poll`, `shard/poll` | a unary method, asked again and again |
//! | `request`, `template` | the request of the next call and its metadata, from the cursor |
//! | `auth` | who calls: metadata that is made anew for each call |
//! | `approach`, `balance`, `health` | which of a server's addresses, and how gently |
//! | `channel`, `link`, `frames`, `tls`, `reload` | the connection |
//! | `route`, `proxy`, `http1` | the way to a server |
//! | `call`, `codec`, `watch` | the open call, its messages as bytes, and its time |
//! | `outgoing` | what is said on the request stream of a bidirectional call |
//! | `receive`, `batcher` | whatever is ready, as one batch |
//! | `control` | messages about the stream itself: ends of groups, heartbeats, losses |
//! | `origin`, `cursor`, `resume`, `seen` | which message is new, and where a restart may begin |
//! | `expired` | a cursor that the server no longer has, and where to go on then |
//! | `status`, `backoff` | what can heal, and when to try again |
//! | `peer` | the source as its server sees it, for a generator |
//! | `presets/` | what resumes known APIs, as a pipeline file would say it |
//! | `reflect` | the types, from the server itself |
//!
//! Invariants
//! 1. A message gets its sequence number at receipt, before anything may drop it.
//! 2. A shard has at most one open call.
//! 3. While a batch waits for credit no message is read, so HTTP/2 flow control slows the server.
//!
//! Next: `config.rs`.

mod approach;
mod auth;
mod backoff;
mod balance;
mod batcher;
mod call;
mod channel;
mod check;
mod codec;
mod config;
mod control;
mod cursor;
mod expired;
mod frames;
mod health;
mod http1;
mod link;
mod metadata;
mod origin;
mod outgoing;
mod peer;
mod poll;
mod presets;
mod proxy;
mod receive;
mod reflect;
mod reload;
mod request;
mod resume;
mod route;
mod seen;
mod shard;
mod source;
mod status;
mod targets;
mod template;
mod tls;
mod watch;

pub use check::entry;
pub use codec::RawCodec;
pub use peer::{Asked, CursorField};
pub use presets::{PRESETS, preset_for};
pub use reflect::{Away, Inquiry, InquiryError, Learned, NoAnswer, put_types};
pub use source::GrpcSource;
pub use targets::{News, TargetList, TargetShard, TargetWatch};
pub use tls::ClientFiles;
