//! The queue of spans that have ended and are to be sent.
//!
//! Why not the SDK's own: it does not tell how many spans it drops, and a drop that nobody can
//! count is one that nobody believes in. Otherwise it does the same: whoever ends a span puts it
//! here and goes on; it never waits.
//!
//! Next: `tasks.rs` takes them out.

use headwater_operators::telemetry::DroppedSpans;
use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::time::Duration;
use tokio::sync::mpsc;

/// Takes spans as they end.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<SpanData>,
    dropped: DroppedSpans,
}

impl Queue {
    /// A queue for so many spans, and its other end.
    pub(crate) fn new(spans_max: usize, dropped: DroppedSpans) -> (Self, mpsc::Receiver<SpanData>) {
        let (sender, receiver) = mpsc::channel(spans_max);
        (Queue { sender, dropped }, receiver)
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            self.dropped.no_room.inc();
        }
    }

    /// Whoever ends the process waits for the tasks instead.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
