//! From keys to a [`GrpcSource`](super::GrpcSource): everything that can be known offline is found
//! out here, and every mistake of the node is reported in one run, at its place in the file.
//!
//! `node` walks the keys in order, `types` loads the descriptors, `poll` checks what is looked for
//! in answers, `resume` checks how a new call goes on (with `cursor`, `change`, `control` and
//! `expired`), `stream` what is said on a request stream, `shards` crosses endpoints with requests,
//! `fleet` does so for lists that change, `reach` finds the way to an endpoint, `auth` reads who
//! calls. Where the types are the server's to tell, `inquiry` leaves the question open.
//!
//! Invariants
//! 1. Nothing is contacted.
//! 2. A check that fails lets the others go on. One that needs its result, or a key whose value is
//!    unknown, says nothing of what depends on it, and all else.
//!
//! Tested through pipeline files in `operators/tests/grpc_source/check.rs`.
//!
//! Next: `node.rs`.

mod auth;
mod canonical;
mod change;
mod control;
mod cursor;
mod expired;
mod fleet;
mod inquiry;
mod node;
mod poll;
mod reach;
mod resume;
mod shards;
mod stream;
mod types;
mod upstreams;

pub(super) use fleet::{Maker, WatchedPeers};
pub use node::entry;
