//! The embedded development broker: Kafka's wire protocol on one node.
//!
//! Why it is here: tests, demos and first steps need a broker that starts in milliseconds,
//! forgets nothing it confirmed, and does transactions rightly across a restart. It is for
//! development: loopback only, one node, no replicas, no security.
//!
//! ```no_run
//! # async fn example() -> Result<(), headwater_broker::StartError> {
//! use headwater_broker::{Broker, BrokerConfig};
//!
//! let broker = Broker::start(BrokerConfig::in_memory()).await?;
//! println!("bootstrap.servers={}", broker.bootstrap());
//! broker.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//! Produce and fetch with all codecs, idempotence and transactions (fencing, markers, last stable
//! offset, aborted lists, time-outs), consumer groups of the classic protocol, committed offsets,
//! topics and their settings, compaction, retention by age and size.
//!
//! # What it does not do
//! TLS, SASL, ACLs, quotas, more than one node, topic ids, fetch sessions, the consumer protocol
//! of KIP-848, share groups, altering settings, expiry of committed offsets and of transactional
//! ids. A request it does not know is answered with `UNSUPPORTED_VERSION` where its response has
//! a place for it; else the connection is closed. Both are logged.
//!
//! # Bounds
//! `limits.rs` names them all. In memory mode all logs together hold 1 GiB: beyond it the oldest
//! batches of the largest topic that is not compacted go, with a warning. A journal is rewritten
//! when most of it is dead. A request's lengths are held against its own length before anything is
//! reserved for them, and a batch is decompressed up to a limit.
//!
//! # Reading order
//! `server.rs` takes a request, `api/` decodes it, `core.rs` runs it on the one thread that owns
//! the state, `state/` and `log.rs` decide, `journal/` keeps it.

mod api;
mod batch;
mod broker;
mod compaction;
mod config;
mod core;
mod journal;
mod limits;
mod log;
mod producers;
mod records;
mod retention;
mod rewrite;
mod server;
mod settings;
mod state;

pub use broker::Broker;
pub use config::{BrokerConfig, Journal, StartError};
