//! Sources: what brings messages in.
//!
//! A source node of the pipeline file stands for one or more shards; each shard is one I/O task
//! that owns one call at a time and hands batches to one worker. A source says how far a restart
//! can be exact ([`Resumability`]); nothing else in the program may claim more than that.
//!
//! Next: `grpc/mod.rs`.

pub mod feed;
pub mod grpc;
pub mod link;

use crate::source::feed::Feed;
use crate::source::link::Link;
use crate::telemetry::{ShardMetrics, Spans};
use headwater_engine::clock::Clock;
use headwater_engine::dataflow::inlet::Inlet;
use headwater_engine::failure::Failure;
use headwater_engine::ids::{ShardIndex, ShardKey};
use headwater_engine::position::Position;
use std::borrow::Cow;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// One shard of a source, as the pipeline file defines it.
#[derive(Clone, Debug)]
pub struct ShardSpec {
    /// Its lasting name.
    pub key: ShardKey,
    /// A digest of everything that gives a stored cursor its meaning: server, method, request
    /// without its cursor fields, cursor mapping. A stored position with another fingerprint is
    /// not resumed.
    pub fingerprint: String,
}

/// How exact a restart of a source can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumability {
    /// The server goes on behind a declared cursor, and what it repeats is recognised.
    Exact,
    /// The server goes on behind a cursor, but the field named here weakens what can be promised.
    Weakened {
        /// The key of the pipeline file, for example `resume.sequence`.
        field: &'static str,
        /// What it costs.
        because: Cow<'static, str>,
    },
    /// The server keeps what is not acknowledged and sends it again; what is committed is
    /// acknowledged behind its commit, so a lost call or a crash in between repeats it.
    Acknowledged {
        /// Within how many of the newest messages a repetition is known and dropped.
        window: Option<usize>,
    },
    /// No cursor is declared: what the server sends while nobody listens is lost.
    None,
}

/// What a shard's task is given when it starts.
pub struct ShardContext {
    /// The shard's place in the pipeline's shard table; every batch bears it.
    pub index: ShardIndex,
    /// Where to go on: the last committed position, if there is one.
    pub start: Option<Position>,
    /// Where batches go. Dropping it tells the dataflow that this shard has ended.
    pub inlet: Inlet,
    /// Asks the task to stop: it closes its call, hands over what it has received and ends.
    pub stop: CancellationToken,
    /// The pipeline's failure; set it only for what no reconnect of this shard can heal and what
    /// must stop the other shards too.
    pub failure: Arc<Failure>,
    /// The feed that this shard is one upstream of, if there are several.
    pub feed: Option<Arc<Feed>>,
    /// Where to say how the call stands.
    pub link: Link,
    /// What to count. Updated per batch and per event, never per record.
    pub metrics: ShardMetrics,
    /// What makes spans; one a call.
    pub spans: Spans,
    /// The process's monotonic clock, for `Batch::received`.
    pub clock: Arc<dyn Clock>,
}

/// Why a shard's task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardEnd {
    /// The server ended the stream and the pipeline file says `on_end: finish`.
    Finished,
    /// The pipeline asked it to stop.
    Stopped,
    /// The shard cannot go on; the others can. For a person to read: what, where, what to do.
    Broken(String),
}
