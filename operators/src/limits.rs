//! Every bound of sources, decoders and sinks by its name.

use std::time::Duration;

/// Bytes of request metadata a pipeline file may set for one call.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;

/// UNAUTHENTICATED in a row, without a message in between, after which a shard stops although its
/// credentials can be renewed: with the waits in between that is more than a minute, and longer
/// than a renewal takes.
pub const AUTH_REFUSALS_MAX: u32 = 10;

/// The longest answer of a token endpoint that is read.
pub const TOKEN_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long a token is used whose endpoint does not say how long it lives.
pub const TOKEN_LIFE_UNKNOWN: Duration = Duration::from_secs(300);

/// How long a token is used at most, whatever its endpoint says.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long a call lasts at least before it is ended as planned, so that a token which lives for a
/// moment does not have calls opened in a tight loop.
pub const REOPEN_AFTER_MIN: Duration = Duration::from_secs(1);

/// Addresses of one server that are tried for one call; DNS may give more.
pub const ADDRESSES_MAX: usize = 64;

/// Failed addresses that the reason of a failed call names.
pub const ADDRESSES_SHOWN_MAX: usize = 5;

/// The longest interval between two pings, however often a server complains.
pub const PING_INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

/// Messages at one inclusive cursor value whose identifiers are remembered; more stop the shard,
/// because forgetting one would repeat it. At 40 bytes each they still fit one progress record of
/// Kafka's default size limit.
pub const CURSOR_WITHIN_IDS_MAX: usize = 16_384;

/// Groups that ended in the present call and are remembered, where groups may be mixed up: a
/// message of one that was forgotten counts as late. A server repeats no more than the newest few.
pub const ENDED_GROUPS_MAX: usize = 1024;

/// Cursors in a row that a server may say are gone before the shard stops, where the pipeline file
/// says nothing else (`expired.max_attempts`): more show that it refuses every cursor it gives, and
/// the shard would read its stream from the start for ever.
pub const EXPIRED_ATTEMPTS: u32 = 5;

/// A call that lasted so long ends a row of lost cursors: it was no part of a loop.
pub const CURSOR_LOSS_CALM: Duration = Duration::from_secs(60);

/// How often a cursor that moves without a message to pass on, as heartbeats move it, is committed
/// at most; the last one waits for the next message of any kind.
pub const PLACE_INTERVAL: Duration = Duration::from_secs(5);

/// Keys that `resume.dedupe` remembers, where the pipeline file does not say how many.
pub const DEDUPE_WINDOW: usize = 10_000;

/// Keys that `resume.dedupe` can remember: at 22 bytes each they still fit one progress record of
/// Kafka's default size limit.
pub const DEDUPE_WINDOW_MAX: usize = 32_768;

/// Components that a cursor may have.
pub const CURSOR_COMPONENTS_MAX: usize = 16;

/// Gaps of one call that are logged one by one; all are counted.
pub const GAPS_LOGGED_PER_CALL_MAX: u64 = 100;

/// What a server may send ahead on a call, where few calls are open.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// What the servers of all shards of a source may send ahead together, as far as
/// [`STREAM_WINDOW_BYTES_MIN`] allows. It is memory that the credit does not see.
pub const STREAM_WINDOWS_BYTES_MAX: u32 = 64 << 20;

/// The window that HTTP/2 begins with, RFC 9113 §6.9.2.
pub const STREAM_WINDOW_BYTES_MIN: u32 = 65_535;

/// The largest window of HTTP/2, RFC 9113 §6.9.1.
pub const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;

/// Bytes of its unfinished group that each shard may hold back without charge: about as much as it
/// reads before it looks, and enough that small groups never wait for large ones.
pub const GROUP_BYTES_FREE: u64 = 256 * 1024;

/// How long a shard waits for room for its unfinished group (`boundary: change`) while other shards
/// hold back so much; give or take a quarter of it by chance, so that not all give up at once. It
/// then forgets its group, which makes room for the others, and calls again.
pub const GROUP_WAIT_MAX: Duration = Duration::from_secs(5);

/// Calls in a row that end so before the shard stops.
pub const GROUP_WAITS_MAX: u32 = 20;

/// How long a call may be away before the pipeline counts as degraded; a server that is restarted
/// is usually back before.
pub const CALL_AWAY_MAX: Duration = Duration::from_secs(5);

/// How long a server may take to refuse a call; one that says nothing for longer has accepted it.
pub const CALL_SILENT_MAX: Duration = Duration::from_secs(5);

/// How long a sink may be busy with repairs before the pipeline counts as degraded.
pub const SINK_REPAIR_MAX: Duration = Duration::from_secs(1);

/// How long the commit of an epoch may take before the pipeline counts as degraded.
pub const COMMIT_LATE_MAX: Duration = Duration::from_secs(5);

/// How often a pipeline's state is derived anew without anybody asking.
pub const STATE_LOOK: Duration = Duration::from_millis(500);

/// Bytes of a record that Kafka refused which its dead letter keeps; the rest is cut off. Below the
/// default limit of topics, so that it fits there.
pub const DEAD_LETTER_VALUE_BYTES_MAX: usize = 1_000_000;

/// What a dead letter may hold beside its value: where it is from, the reason, the batch around it.
pub const DEAD_LETTER_OVERHEAD_BYTES: usize = 16 * 1024;

/// How long a topic that records are routed to (`route`) counts as in use after the last of them.
pub const ROUTED_TOPIC_IDLE: Duration = Duration::from_secs(3600);

/// How long a librdkafka metadata or watermark request may take at start.
pub const KAFKA_REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a new producer may take to hear from the cluster before it is used all the same.
pub const KAFKA_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one `init_transactions` may take; the caller repeats it.
pub const INIT_TRANSACTIONS_TIMEOUT: Duration = Duration::from_secs(30);

/// How long reading the progress topic to its high watermark may take.
pub const PROGRESS_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How long one attempt to commit or abort waits for its answer before it is asked again.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The wait before a failed pipeline is built anew for the first time; doubles up to the maximum.
pub const REBUILD_BACKOFF_MIN: Duration = Duration::from_millis(200);

/// The longest wait before a failed pipeline is built anew.
pub const REBUILD_BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How long a pipeline that was asked to stop may take to commit what it has received.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Servers that a list of targets may name.
pub const TARGETS_MAX: usize = 4_096;

/// Shards that a pipeline whose targets change knows: those it calls, and those it called before
/// and whose progress it keeps in memory, so that they go on there when they come back.
pub const SHARDS_KNOWN_MAX: usize = 65_536;

/// Bytes of a file with targets.
pub const TARGETS_FILE_BYTES_MAX: u64 = 1 << 20;

/// How long a DNS server may take to answer, all attempts included.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(10);

/// Lists of targets that wait for the pipeline to act on them; who looks waits with the next one.
pub const TARGET_NEWS_MAX: usize = 4;

/// Mistakes of a list of targets that its log line names.
pub const TARGET_MISTAKES_SHOWN_MAX: usize = 3;

/// The number of shards whose windows a shard of a fleet is given at least: as they join one after
/// the other, the first ones must not take windows as if they stayed alone.
pub const FLEET_SHARDS_MIN: usize = 64;

/// How long a server's reflection service may take to give the types of one method, in one version
/// of the protocol.
pub const REFLECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Descriptor files that a server may give for one method.
pub const REFLECTION_FILES_MAX: usize = 4096;

/// Bytes of descriptors that a server may give for one method, and of one answer.
pub const REFLECTION_BYTES_MAX: usize = 16 << 20;

/// Imports that the descriptor files of one method may have together; more are no types of people.
pub const REFLECTION_IMPORTS_MAX: usize = 1 << 16;

/// Servers that are asked for types in one attempt, one after the other; the next attempt asks the
/// ones behind them. Each may take [`REFLECTION_TIMEOUT`] in both versions of the protocol.
pub const REFLECTION_PEERS_MAX: usize = 5;

/// Questions to a reflection service that may be open at once.
pub const REFLECTION_ASKS_MAX: usize = 64;

/// Answers to a server's messages that wait to be sent before no more messages are read; overshot
/// by what one read brings, which is as many at most.
pub const REPLIES_QUEUED_MAX: usize = 64;

/// Bytes of such answers after which no more messages are read; overshot by the answers to one
/// message and, as with their number, by what one read brings.
pub const REPLIES_QUEUED_BYTES_MAX: usize = 4 << 20;

/// Identifiers of messages that one shard may have received and not acknowledged, or as many as
/// `resume.dedupe` knows again where it promises something; beyond that its reader waits for a
/// commit.
pub const ACK_IDS_PENDING_MAX: u64 = 100_000;

/// Bytes of such identifiers; overshot by those of one message.
pub const ACK_IDS_PENDING_BYTES_MAX: u64 = 32 << 20;

/// Bytes of identifiers in one request that acknowledges; one that is longer goes alone.
pub const ACK_BYTES_MAX: usize = 256 * 1024;

/// Messages between what a shard has to say and the connection.
pub const OUTGOING_MESSAGES_MAX: usize = 1;

/// How long a shard that stops waits until what it has handed over is committed and acknowledged.
pub const FAREWELL_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long a call that is replaced as planned, or because its server goes away, is kept until what
/// came on it is committed and acknowledged.
pub const LEAVE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a shard that stops waits before that where the server has not accepted its call yet.
pub const FAREWELL_OPENING_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a shard then waits for the server to end the call.
pub const HALF_CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Shards that the span of an epoch names; it counts all of them.
pub const SPAN_SHARDS_MAX: usize = 16;

/// Failed calls of the sink that the span of an epoch tells of.
pub const SPAN_FAILURES_MAX: usize = 16;

/// Bytes of a reason or a message that a span keeps.
pub const SPAN_TEXT_BYTES_MAX: usize = 1024;

/// Readers that may look at one pipeline's records at once.
pub const TAP_LISTENERS_MAX: usize = 16;

/// Records that wait for one such reader; what comes while they wait passes it by.
pub const TAP_QUEUE_MAX: usize = 256;

/// Bytes of a record's value that such a reader is shown.
pub const TAP_VALUE_BYTES_MAX: usize = 64 * 1024;

/// Times a change of the config topic is sent again after its transaction was aborted.
pub const TABLE_WRITE_ATTEMPTS_MAX: u32 = 3;

/// The first wait before the config topic is asked again; doubles up to the maximum.
pub const TABLE_BACKOFF_MIN: Duration = Duration::from_millis(200);

/// The longest wait before the config topic is asked again.
pub const TABLE_BACKOFF_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(
    FAREWELL_OPENING_WAIT_MAX.as_secs()
        + FAREWELL_WAIT_MAX.as_secs()
        + HALF_CLOSE_WAIT_MAX.as_secs()
        < DRAIN_TIMEOUT.as_secs()
);
