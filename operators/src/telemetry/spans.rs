//! Spans: what takes long enough to be looked at one by one, which is a call, a start and an epoch.
//! Never a record, never a batch.
//!
//! Why OpenTelemetry's interface and not that of `tracing`, which writes the log: an epoch's life
//! crosses threads and is known only when it is over, so its spans are made then, with the times at
//! which things happened. That interface takes times; `tracing` takes the moment it is called.
//!
//! Where nobody asked for traces there is no tracer, and each function here looks at that and
//! returns. A span that the sampler does not want is dropped as it is made.
//!
//! Attributes bear the names that labels of series and fields of log lines have, so that one word
//! finds all three.
//!
//! Next: `pipeline/epoch_spans.rs` makes those of epochs, `src/otlp/` sends them.

use crate::limits::SPAN_TEXT_BYTES_MAX;
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use std::sync::Arc;
use std::time::SystemTime;

/// What makes the spans of a process; none are made by the default.
#[derive(Clone, Debug, Default)]
pub struct Tracing(Option<Arc<BoxedTracer>>);

/// What makes the spans of one pipeline.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<(Arc<BoxedTracer>, Arc<str>)>);

/// A span that has not ended. One that is dropped was given up: its task was ended from outside.
#[derive(Debug, Default)]
pub(crate) struct OpenSpan(Option<(BoxedSpan, Arc<BoxedTracer>)>);

/// How something came out, as the attribute `outcome` says it.
pub(crate) mod outcome {
    /// As it was meant to.
    pub(crate) const OK: &str = "ok";
    /// It failed; the span's status says why.
    pub(crate) const FAILED: &str = "failed";
    /// It was given up before it was over.
    pub(crate) const ABANDONED: &str = "abandoned";
}

impl Tracing {
    /// Spans are made by `tracer`.
    #[must_use]
    pub fn new(tracer: BoxedTracer) -> Self {
        Tracing(Some(Arc::new(tracer)))
    }

    pub(super) fn of_pipeline(&self, pipeline: &str) -> Spans {
        Spans(self.0.as_ref().map(|tracer| (tracer.clone(), Arc::from(pipeline))))
    }
}

impl Spans {
    /// Whether any are made.
    pub(crate) fn are_made(&self) -> bool {
        self.0.is_some()
    }

    /// A span that begins a trace, at this moment.
    pub(crate) fn open(&self, name: &'static str, kind: SpanKind) -> OpenSpan {
        self.open_at(name, kind, SystemTime::now)
    }

    /// The same, at a moment of the past.
    pub(crate) fn open_at(
        &self,
        name: &'static str,
        kind: SpanKind,
        at: impl FnOnce() -> SystemTime,
    ) -> OpenSpan {
        let Some((tracer, pipeline)) = &self.0 else { return OpenSpan::default() };
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(at())
            .with_attributes([KeyValue::new("pipeline", pipeline.clone())]);
        let span = tracer.build_with_context(builder, &Context::new());
        OpenSpan(span.is_recording().then(|| (span, tracer.clone())))
    }
}

impl OpenSpan {
    /// Whether anybody will see it.
    pub(crate) fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some((span, _)) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// A count; there is no unsigned type for one.
    pub(crate) fn count(&mut self, key: &'static str, value: u64) {
        self.set(key, i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Something that happened at one moment of it.
    pub(crate) fn event(&mut self, name: &'static str, at: SystemTime, attributes: Vec<KeyValue>) {
        if let Some((span, _)) = &mut self.0 {
            span.add_event_with_timestamp(name, at, attributes);
        }
    }

    /// A part of it that is over.
    pub(crate) fn part(&self, name: &'static str, from: SystemTime, to: SystemTime) {
        let Some((span, tracer)) = &self.0 else { return };
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        let builder = SpanBuilder::from_name(name).with_start_time(from);
        // What was measured by two clocks must not end before it begins.
        tracer.build_with_context(builder, &context).end_with_timestamp(to.max(from));
    }

    /// It is over, and came out in this way.
    pub(crate) fn end(&mut self, outcome: &'static str) {
        self.end_at(outcome, SystemTime::now());
    }

    /// It was over at this moment.
    pub(crate) fn end_at(&mut self, outcome: &'static str, at: SystemTime) {
        if let Some((mut span, _)) = self.0.take() {
            span.set_attribute(KeyValue::new("outcome", outcome));
            span.end_with_timestamp(at);
        }
    }

    /// It has failed, for this reason.
    pub(crate) fn fail(&mut self, why: &str) {
        if let Some((span, _)) = &mut self.0 {
            span.set_status(Status::error(brief(why)));
        }
        self.end(outcome::FAILED);
    }
}

/// As much of a text of others as a span keeps.
pub(crate) fn brief(text: &str) -> String {
    text[..text.floor_char_boundary(SPAN_TEXT_BYTES_MAX)].to_owned()
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.end(outcome::ABANDONED);
    }
}
