//! Every bound of `headwater serve` by its name.

use std::time::Duration;

/// Entries that the config topic may hold: pipelines and connectors together.
pub(crate) const ENTRIES_MAX: usize = 1_000;

/// Bytes of an entry's name.
pub(crate) const NAME_BYTES_MAX: usize = 512;

/// Bytes of a document. Written as JSON, with every character escaped that may be, most documents
/// of this size still fit a record of Kafka's default size; one that does not is refused.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 512 * 1024;

/// Bytes of a record of the config topic, below the default limit of topics (`max.message.bytes`,
/// 1 MiB).
pub(crate) const RECORD_BYTES_MAX: usize = 1_000_000;

/// Pipelines that may take themselves over at once. Each of them makes several Kafka clients for
/// it; more at once only make all of them slow.
pub(crate) const STARTS_MAX: usize = 8;

/// Documents that are checked at once; each may read files.
pub(crate) const CHECKS_MAX: usize = 4;

/// How long all pipelines may take to end; each gives up by itself before.
pub(crate) const END_MAX: Duration = Duration::from_secs(35);

/// How long leaving the lead to others may take.
pub(crate) const RESIGN_MAX: Duration = Duration::from_secs(5);

/// The wait after topics of a connector could not be kept.
pub(crate) const TOPICS_PAUSE: Duration = Duration::from_secs(1);

/// Offsets of a connector that somebody may set.
pub(crate) const SET_OFFSETS_MAX: usize = 1_000;

/// Loggers whose levels somebody may set.
pub(crate) const LEVELS_MAX: usize = 200;

/// Tries of a change to a configuration that others change at the same time.
pub(crate) const PATCH_TRIES_MAX: usize = 10;
