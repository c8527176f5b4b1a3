//! Every bound of the API by its name.

use std::time::Duration;

/// Bytes of a request's body: a document, with every character escaped that may be.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a longer body that are read and dropped before it is refused.
pub(crate) const BODY_DROPPED_MAX: usize = 8 * BODY_BYTES_MAX;

/// Bytes of a request's head: its line and all its headers.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 64;

/// Bytes of a request's path with its query.
pub(crate) const PATH_BYTES_MAX: usize = 2 * 1024;

/// Parts of a path.
pub(crate) const SEGMENTS_MAX: usize = 8;

/// Connections that are open at once.
pub(crate) const CONNECTIONS_MAX: usize = 256;

/// Connections of one client that are open at once.
pub(crate) const CONNECTIONS_PER_CLIENT_MAX: usize = 64;

/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request's head may take, from the moment that the connection waits for it.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request's body may take.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the answer to a request may take, except for a stream's.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests that an instance which stands by may have taken to the leader at once, tails included;
/// fewer than the leader lets one client have connections.
pub(crate) const FORWARDS_MAX: usize = 48;

/// How long a connection to the leader may take.
pub(crate) const FORWARD_CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long the leader's answer to who only looks may take, before this instance answers by what it
/// knows itself.
pub(crate) const FORWARD_LOOK_MAX: Duration = Duration::from_secs(10);

/// How long its answer to a change may take: less than this instance's own, so that the client is
/// told that it may have been made.
pub(crate) const FORWARD_CHANGE_MAX: Duration = Duration::from_secs(50);

const _: () = assert!(FORWARD_CHANGE_MAX.as_secs() < ANSWER_TIMEOUT.as_secs());
const _: () = assert!(FORWARDS_MAX < CONNECTIONS_PER_CLIENT_MAX);
const _: () = assert!(FORWARD_LOOK_MAX.as_secs() < ANSWER_TIMEOUT.as_secs());

/// Clients whose rate is remembered; beyond, those that asked longest ago are forgotten.
pub(crate) const CLIENTS_MAX: usize = 4096;

/// Requests that may ask Kafka at once; each makes clients for it.
pub(crate) const KAFKA_REQUESTS_MAX: usize = 4;

/// How often files with tokens and certificates are read again.
pub(crate) const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// Bytes of a file with tokens, certificates or a key.
pub(crate) const CREDENTIAL_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Tokens that are valid at once: the old one and the new one, and a few more.
pub(crate) const TOKENS_MAX: usize = 16;

/// Characters of a token at least.
pub(crate) const TOKEN_CHARS_MIN: usize = 16;

/// Records a second that a tail shows if nobody says how many.
pub(crate) const TAIL_RATE: u32 = 10;

/// Records a second that a tail may ask for.
pub(crate) const TAIL_RATE_MAX: u32 = 1000;

/// How often a tail without records shows that it lives.
pub(crate) const TAIL_HEARTBEAT: Duration = Duration::from_secs(5);

/// Shards that a status names, of those whose call is not open; it counts all of them.
pub(crate) const SHARDS_SHOWN_MAX: usize = 100;

/// Events that wait to be sent to the reader of a tail.
pub(crate) const TAIL_QUEUE_MAX: usize = 16;

/// How long the reader of a tail may take nothing before it is cut off.
pub(crate) const TAIL_STALL_MAX: Duration = Duration::from_secs(60);
