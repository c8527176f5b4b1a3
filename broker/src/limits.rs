//! Every bound of the broker, in one place.
//!
//! Kafka's names stand beside the numbers that are its own defaults, so that a client meets the
//! limits it knows.

use std::time::Duration;

/// The longest request that is read; a longer one closes the connection
/// (Kafka: `socket.request.max.bytes`).
pub(crate) const FRAME_BYTES_MAX: usize = 100 << 20;
/// The longest request that carries no batches. The codec reserves some hundred bytes for each
/// element that a request says it has, and an element may be as short as a byte.
pub(crate) const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Topics of a produce request, and partitions of each.
pub(crate) const ARRAY_MAX: usize = 100_000;
/// What a frame's buffer has before its bytes come; a frame that is only announced costs no more.
pub(crate) const FRAME_BYTES_FIRST: usize = 64 << 10;
/// What the records of one batch may become when they are decompressed: no more than they could be
/// if they came as they are.
pub(crate) const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// The most a fetch response carries, whatever the client asks for (Kafka: `fetch.max.bytes`).
pub(crate) const FETCH_BYTES_MAX: usize = 55 << 20;
/// The longest a fetch waits for data, whatever the client asks for.
pub(crate) const FETCH_WAIT_MAX: Duration = Duration::from_secs(30);
/// Connections served at once; the next one waits in the listener's queue.
pub(crate) const CONNECTIONS_MAX: usize = 1024;
/// Requests that wait for the core thread; a connection beyond it waits.
pub(crate) const JOBS_MAX: usize = 1024;
/// Partitions of one topic.
pub(crate) const PARTITIONS_MAX: i32 = 1000;
/// Members of one group.
pub(crate) const GROUP_MEMBERS_MAX: usize = 1000;
/// The longest session a group member may ask for (Kafka: `group.max.session.timeout.ms`).
pub(crate) const SESSION_MS_MAX: i32 = 1_800_000;
/// The longest transaction a producer may ask for (Kafka: `transaction.max.timeout.ms`).
pub(crate) const TRANSACTION_MS_MAX: i32 = 900_000;
/// Batches a producer may repeat and be answered as before (Kafka: five in flight).
pub(crate) const SEQUENCES_KEPT: usize = 5;
/// A producer without a write for this long is forgotten (Kafka: `producer.id.expiration.ms`).
pub(crate) const PRODUCER_IDLE_MS_MAX: i64 = 86_400_000;
/// How often sessions and transactions are looked at for their time-outs.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// How often compaction, the memory bound and the journal's size are looked at.
pub(crate) const CLEAN_INTERVAL_MS: i64 = 1_000;
/// How often age and size of logs are looked at (Kafka: `log.retention.check.interval.ms`).
pub(crate) const RETENTION_INTERVAL_MS: i64 = 300_000;
/// A compacted partition is left alone until this much is new, unless its lag forces it.
pub(crate) const DIRTY_BYTES_MIN: u64 = 64 << 10;
/// Keys one compaction pass holds in memory; what lies beyond waits for the next pass.
pub(crate) const COMPACTION_KEYS_MAX: usize = 1 << 20;
/// The most a compaction rewrites in one journal frame.
pub(crate) const COMPACTION_FRAME_BYTES_MAX: usize = 64 << 20;
/// A journal shorter than this is never rewritten.
pub(crate) const REWRITE_BYTES_MIN: u64 = 16 << 20;
/// While a journal is rewritten a frame is closed once it has grown to this.
pub(crate) const REWRITE_FRAME_BYTES: usize = 4 << 20;
/// The most all logs together hold in memory mode. Beyond it the oldest batches of the largest
/// topic that is not compacted go, with a warning; compacted topics alone may exceed it.
pub(crate) const MEMORY_LOG_BYTES_MAX: u64 = 1 << 30;
/// A frame's buffer beyond this is given back once the frame is written.
pub(crate) const FRAME_CAPACITY_KEPT: usize = 8 << 20;
/// The largest journal frame that replay believes in; a longer length is a torn one.
pub(crate) const JOURNAL_FRAME_BYTES_MAX: usize = 1 << 30;

const _: () = assert!(FETCH_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX + COMPACTION_FRAME_BYTES_MAX < JOURNAL_FRAME_BYTES_MAX);
