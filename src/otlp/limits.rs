//! Every bound of what is sent to a collector, by its name.

use std::time::Duration;

/// Spans that wait to be sent, if OTEL_BSP_MAX_QUEUE_SIZE does not say; what comes while there is
/// no room is dropped and counted.
pub(crate) const SPANS_QUEUED: usize = 2_048;

/// What OTEL_BSP_MAX_QUEUE_SIZE may be; a span has about a kilobyte.
pub(crate) const SPANS_QUEUED_MAX: usize = 65_536;

/// Spans of one request.
pub(crate) const SPANS_PER_REQUEST_MAX: usize = 512;

/// Values of one request: below the 4 MiB that a collector takes by default, also if all of them
/// are histograms with long labels.
pub(crate) const POINTS_PER_REQUEST_MAX: usize = 4_000;

/// How long a request may take with all its attempts, if OTEL_EXPORTER_OTLP_TIMEOUT does not say.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// What OTEL_EXPORTER_OTLP_TIMEOUT may be.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// How long a connection may take; there is time for another attempt then.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(3);

/// The wait before a request is sent again for the first time; doubles up to the maximum.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(500);

/// The longest wait before a request is sent again, whatever a collector asks for.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How often metrics are sent, if OTEL_METRIC_EXPORT_INTERVAL does not say.
pub(crate) const METRICS_INTERVAL: Duration = Duration::from_secs(60);

/// What OTEL_METRIC_EXPORT_INTERVAL may be.
pub(crate) const METRICS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// See [`METRICS_INTERVAL_MIN`].
pub(crate) const METRICS_INTERVAL_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long spans wait for others to be sent with, if OTEL_BSP_SCHEDULE_DELAY does not say.
pub(crate) const SPANS_DELAY: Duration = Duration::from_secs(5);

/// What OTEL_BSP_SCHEDULE_DELAY may be.
pub(crate) const SPANS_DELAY_MAX: Duration = Duration::from_secs(3_600);

/// How long a process that ends waits until what there is has been sent.
pub(crate) const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Bytes of a collector's answer that are read; one says what was left out, and no more.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1_024;

/// How long an HTTP/2 connection may be silent while a request waits before it is pinged.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(5);

/// How long the answer to a ping may take before the connection counts as dead.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection is kept without a request; metrics are sent more often.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(90);

/// How often it is logged that a collector is still away.
pub(crate) const COMPLAINT_EVERY: Duration = Duration::from_secs(60);

const _: () = assert!(SPANS_PER_REQUEST_MAX <= SPANS_QUEUED && SPANS_QUEUED <= SPANS_QUEUED_MAX);
