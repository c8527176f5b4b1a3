//! An epoch as a trace, made when it is over.
//!
//! ```text
//!   epoch    ├─ from the receipt of its oldest message ──────────────────────────┤ durable
//!   stage        ├─ its first batch is staged ─────┤ nothing more comes
//!   seal                                           ├───┤ records and positions are with the sink
//!   commit                                             ├────────────────────────┤ acknowledged
//! ```
//!
//! A call of the sink that fails is an event of the epoch; what is sent again shows as a longer
//! `stage`. Which shards have moved, and by which of their calls, are events too: the span `call`
//! bears the same `shard` and `session`.
//!
//! On the committer's thread, a handful of times an epoch; nothing at all where no traces are made.
//!
//! Invariants
//! 1. What is remembered is that of epochs which are not durable, of which there are a few.
//! 2. An epoch that never became durable is a span too, whose outcome is `abandoned`.

use crate::limits::{SPAN_FAILURES_MAX, SPAN_SHARDS_MAX};
use crate::pipeline::sink_state::remedy;
use crate::telemetry::{OpenSpan, Spans, brief, outcome};
use headwater_engine::clock::Clock;
use headwater_engine::commit::observe::{CommitEvent, Committed};
use headwater_engine::commit::outlet::OutletError;
use headwater_engine::ids::Epoch;
use headwater_engine::shards::ShardTable;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The epochs of one attempt.
pub(super) struct EpochSpans {
    spans: Spans,
    table: ShardTable,
    clock: Arc<dyn Clock>,
    courses: BTreeMap<Epoch, Course>,
}

/// What has happened to an epoch that is not durable, and when.
struct Course {
    received: SystemTime,
    filled: SystemTime,
    closed: Option<SystemTime>,
    sealed: Option<SystemTime>,
    failures: Vec<(SystemTime, String, &'static str)>,
}

impl EpochSpans {
    /// None where no spans are made.
    pub(super) fn new(spans: Spans, table: &ShardTable, clock: Arc<dyn Clock>) -> Option<Self> {
        let courses = BTreeMap::new();
        spans.are_made().then(|| EpochSpans { spans, table: table.clone(), clock, courses })
    }

    /// Takes one event.
    pub(super) fn note(&mut self, event: &CommitEvent<'_>) {
        let now = SystemTime::now();
        match event {
            CommitEvent::Filled { epoch, received_ns } => {
                let received = self.moment(Duration::from_nanos(*received_ns), now);
                self.courses.insert(*epoch, Course::new(received, now));
            }
            CommitEvent::Closed { epoch } => {
                if let Some(course) = self.courses.get_mut(epoch) {
                    course.closed = Some(now);
                }
            }
            CommitEvent::Sealed { epoch } => {
                if let Some(course) = self.courses.get_mut(epoch) {
                    course.sealed = Some(now);
                }
            }
            CommitEvent::Failed { error, .. } => {
                if let Some(mut course) = self.courses.first_entry() {
                    course.get_mut().fail(error, now);
                }
            }
            CommitEvent::Committed(committed) => self.committed(committed, now),
        }
    }

    fn committed(&mut self, committed: &Committed<'_>, now: SystemTime) {
        let later = self.courses.split_off(&committed.epoch.next());
        let courses = std::mem::replace(&mut self.courses, later);
        // Whatever epoch stands before it holds nothing that was to become durable.
        let Some((epoch, course)) = courses.into_iter().next_back() else { return };
        let at = self.moment(committed.at, now);
        let mut span = self.begin(epoch, &course);
        if !span.is_recording() {
            return;
        }
        let Course { filled, closed, sealed, .. } = course;
        let closed = closed.unwrap_or(at);
        span.part("stage", filled, closed);
        if let Some(sealed) = sealed {
            span.part("seal", closed, sealed);
            span.part("commit", sealed, at);
        }
        self.tell(&mut span, committed, at);
        span.end_at(outcome::OK, at);
    }

    fn begin(&self, epoch: Epoch, course: &Course) -> OpenSpan {
        let mut span = self.spans.open_at("epoch", SpanKind::Internal, || course.received);
        span.count("epoch", epoch.0);
        for (at, message, remedy) in &course.failures {
            let message = KeyValue::new("message", message.clone());
            span.event("sink_error", *at, vec![message, KeyValue::new("remedy", *remedy)]);
        }
        span
    }

    /// What became durable, and of which shards.
    fn tell(&self, span: &mut OpenSpan, committed: &Committed<'_>, at: SystemTime) {
        let Committed { positions, attempts, batches, .. } = committed;
        span.count("records", positions.iter().map(|moved| moved.records).sum());
        span.count("dead_letters", positions.iter().map(|moved| moved.dead_letters).sum());
        span.count("batches", batches.iter().count() as u64);
        span.count("bytes", batches.iter().map(|batch| batch.value_bytes).sum());
        span.count("shards", positions.len() as u64);
        span.count("attempts", u64::from(*attempts) + 1);
        for moved in positions.iter().take(SPAN_SHARDS_MAX) {
            let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            let shard = self.table.get(moved.shard).key.0.clone();
            let attributes = vec![
                KeyValue::new("shard", shard),
                KeyValue::new("session", i64::from(moved.position.session.0)),
                KeyValue::new("next_sequence", count(moved.position.next_sequence.0)),
                KeyValue::new("records", count(moved.records)),
            ];
            span.event("moved", at, attributes);
        }
    }

    /// A moment of the monotonic clock, as the wall clock tells it now.
    fn moment(&self, at: Duration, now: SystemTime) -> SystemTime {
        let ago = self.clock.now().saturating_sub(at);
        now.checked_sub(ago).unwrap_or(now)
    }
}

impl Drop for EpochSpans {
    fn drop(&mut self) {
        for (epoch, course) in std::mem::take(&mut self.courses) {
            self.begin(epoch, &course).end(outcome::ABANDONED);
        }
    }
}

impl Course {
    fn new(received: SystemTime, filled: SystemTime) -> Self {
        Course { received, filled, closed: None, sealed: None, failures: Vec::new() }
    }

    fn fail(&mut self, error: &OutletError, at: SystemTime) {
        if self.failures.len() < SPAN_FAILURES_MAX {
            self.failures.push((at, brief(&error.message), remedy(error.repair)));
        }
    }
}
