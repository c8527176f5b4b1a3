//! What is told of a call: two lines of the log, and one span from its request to its end.
//!
//! Next: `../receive.rs` counts what the end is told with.

use super::super::receive::{CallEnd, Names, Tally};
use super::super::status::name;
use super::super::watch::Due;
use super::{GOING_AWAY, Shard, TOO_LONG, UNREAD};
use crate::telemetry::{OpenSpan, brief, outcome};
use opentelemetry::trace::SpanKind;
use std::time::SystemTime;

/// A call that has been asked for.
#[derive(Default)]
pub(super) struct Told {
    span: OpenSpan,
    /// What the shard had received before it.
    bytes_before: u64,
}

impl Shard<'_, '_> {
    /// The shard goes on where it durably stands.
    pub(super) fn tell_restored(&self) {
        let Some(start) = &self.context.start else { return };
        let Names { source, shard } = self.names;
        let (session, sequence) = (start.session.0, start.next_sequence.0);
        tracing::info!(event = "offset_restored", source, %shard, session, sequence);
    }

    /// A call begins.
    pub(super) fn tell_asked(&self) -> Told {
        let mut span = self.context.spans.open("call", SpanKind::Client);
        if span.is_recording() {
            let Names { source, shard } = self.names;
            let path = self.source.method.path().trim_start_matches('/');
            let (service, method) = path.split_once('/').unwrap_or((path, ""));
            span.set("source", source.to_owned());
            span.set("shard", shard.0.clone());
            span.set("session", i64::from(self.session.0));
            span.set("rpc.system", "grpc");
            span.set("rpc.service", service.to_owned());
            span.set("rpc.method", method.to_owned());
            span.set("server.address", self.target.dial.shown().to_owned());
        }
        Told { span, bytes_before: self.context.metrics.received_bytes.get() }
    }

    /// The server has accepted it.
    pub(super) fn tell_opened(&mut self) {
        self.told.span.event("opened", SystemTime::now(), Vec::new());
        let Names { source, shard } = self.names;
        let server = self.target.dial.shown();
        let session = self.session.0;
        tracing::info!(event = "streaming_started", source, %shard, session, server);
    }

    /// It is over.
    pub(super) fn tell_ended(&mut self, end: &CallEnd, tally: &Tally) {
        let Names { source, shard } = self.names;
        let session = self.session.0;
        let (code, text) = match end {
            CallEnd::Complete => ("OK", ""),
            CallEnd::Unread => ("OK", UNREAD),
            CallEnd::Failed(error) => (name(error.code), error.text.as_str()),
            CallEnd::Due(Due::Silent(_)) => ("CANCELLED", "nothing has come for too long"),
            CallEnd::Due(Due::Deadline) => ("DEADLINE_EXCEEDED", TOO_LONG),
            CallEnd::Due(Due::Reopen) => ("CANCELLED", "it is replaced as planned"),
            CallEnd::Due(Due::GoingAway) => ("CANCELLED", GOING_AWAY),
            CallEnd::Stopped => ("CANCELLED", "asked to stop"),
            CallEnd::Starved => ("CANCELLED", "no room for its held group"),
            CallEnd::Refused(_) => ("CANCELLED", "a message cannot be passed"),
            CallEnd::Unfit(reason) => ("CANCELLED", reason.as_str()),
            CallEnd::DataflowEnded => ("CANCELLED", "the dataflow has ended"),
        };
        let event = match end {
            CallEnd::Complete | CallEnd::Unread => "stream_completed",
            end if is_failure(end) => "stream_error",
            _ => "call_ended",
        };
        let Tally { messages, duplicates, .. } = *tally;
        tracing::info!(event, source, %shard, session, code, messages, duplicates, text);
        let received_bytes = self.context.metrics.received_bytes.get();
        self.told.end(end, tally, received_bytes, (code, text));
    }
}

impl Told {
    fn end(
        &mut self,
        end: &CallEnd,
        tally: &Tally,
        received_bytes: u64,
        (code, text): (&'static str, &str),
    ) {
        let Told { span, bytes_before } = self;
        if !span.is_recording() {
            return;
        }
        span.set("rpc.response.status_code", code);
        span.count("records", tally.messages);
        span.count("duplicates", tally.duplicates);
        span.count("heartbeats", tally.heartbeats);
        span.count("batches", tally.batches);
        span.count("bytes", received_bytes.saturating_sub(*bytes_before));
        if is_failure(end) {
            return span.fail(text);
        }
        if !text.is_empty() {
            span.set("reason", brief(text));
        }
        span.end(outcome::OK);
    }
}

/// Whether a call ended otherwise than its server or this program meant it to.
fn is_failure(end: &CallEnd) -> bool {
    match end {
        CallEnd::Failed(_) | CallEnd::Refused(_) | CallEnd::Unfit(_) | CallEnd::Starved => true,
        CallEnd::Due(due) => matches!(due, Due::Silent(_)),
        CallEnd::Complete | CallEnd::Unread | CallEnd::Stopped | CallEnd::DataflowEnded => false,
    }
}
