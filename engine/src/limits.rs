//! Every bound of the engine by its name. Full means that the reader slows down; nothing is
//! dropped.

/// Batches a worker's source channel holds before its senders wait; credit bounds their bytes.
pub const INLET_BATCHES_MAX: usize = 256;

/// Batches a source operator emits per activation before it lets the other operators run.
pub const SOURCE_QUANTUM_BATCHES: usize = 64;

/// Records an I/O task puts into one batch; it never waits for more than are ready.
pub const BATCH_RECORDS_MAX: usize = 1024;

/// Bytes at which an I/O task closes a batch; one larger message makes a batch of its own.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// What a batch costs beyond its values, for the credit: handles, positions, bounds.
pub const BATCH_OVERHEAD_BYTES: u64 = 256;

/// What a record costs beyond its value, for the credit: its bounds, and above all what the Kafka
/// client keeps of each record until it is acknowledged (librdkafka's `rd_kafka_msg_t` and its list
/// entries). Without it small messages would hold many times their credit in memory.
pub const RECORD_OVERHEAD_BYTES: u64 = 256;

/// Times one epoch is sent again after an aborted transaction before the pipeline is rebuilt; not
/// counted is what was not taken in time.
pub const EPOCH_ATTEMPTS_MAX: u32 = 10;

/// Times one call of a commit or abort is repeated while the broker says that a repeat is safe.
/// Each may last as long as its client waits (10 s for Kafka). Behind that a new producer is better
/// than one more try: the broker has given the transaction up by then, and the old client may be
/// one that finds its coordinator no more after the broker was restarted.
pub const COMMIT_RETRIES_MAX: u32 = 3;

const _: () = assert!(SOURCE_QUANTUM_BATCHES <= INLET_BATCHES_MAX);
const _: () = assert!(BATCH_RECORDS_MAX <= u32::MAX as usize);
