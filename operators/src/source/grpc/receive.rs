//! Reads an open call: whatever is ready becomes one batch, and no batch waits for more.
//!
//! A quiet stream gives batches of one message without delay, a busy one gives full batches. While
//! a batch waits for credit or room nothing is read, so HTTP/2 flow control slows the server.
//!
//! Invariants
//! 1. What was read is handed over before the next read, and before the call's end is acted upon.
//! 2. Counters and clocks are touched per read, never per message.
//! 3. What is held back is charged before more is read. Waiting for room there ends: a group that
//!    finds none is forgotten, so no shard waits for ever for one whose server is silent.
//!
//! Next: `batcher.rs` gathers, `engine/src/dataflow/inlet.rs` takes the batch across.

use super::batcher::{Batcher, Refused, Taken};
use super::call::Call;
use super::config::OnEnd;
use super::status::CallError;
use super::watch::Due;
use crate::limits::{GAPS_LOGGED_PER_CALL_MAX, GROUP_BYTES_FREE, GROUP_WAIT_MAX, PLACE_INTERVAL};
use crate::source::ShardContext;
use crate::source::feed::Turn;
use crate::telemetry::unix_seconds;
use bytes::Bytes;
use headwater_engine::fault::{self, Point};
use headwater_engine::ids::ShardKey;
use headwater_engine::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use headwater_engine::position::Counters;
use headwater_engine::record::{Batch, Gap, GapReason, ReceivedAt};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

mod talk;

pub(super) use talk::Talk;

/// How reading a call came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallEnd {
    /// The server ended the stream with status OK.
    Complete,
    /// The same, and not all that it had sent could be taken.
    Unread,
    /// The call or its connection failed.
    Failed(CallError),
    /// The shard cannot go past a message.
    Refused(Refused),
    /// There was no room to hold back more of an unfinished group.
    Starved,
    /// It was ended because its time had come.
    Due(Due),
    /// The pipeline asked to stop.
    Stopped,
    /// The next request cannot be made of what came; why.
    Unfit(String),
    /// The dataflow is gone.
    DataflowEnded,
}

/// Names a shard in logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    /// The source node.
    pub(super) source: &'a str,
    /// The shard.
    pub(super) shard: &'a ShardKey,
}

/// What one call came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Messages received.
    pub(super) messages: u64,
    /// Of these, dropped because they had been taken before.
    pub(super) duplicates: u64,
    /// Of these, dropped because they only said that the stream lives.
    pub(super) heartbeats: u64,
    /// Batches handed over.
    pub(super) batches: u64,
    /// Of these, dropped while the call repeated what was taken before it.
    overlap: u64,
    gaps_logged: u64,
    is_unreadable_logged: bool,
    is_unfit_logged: bool,
    is_broken_logged: bool,
    is_absent_logged: bool,
    is_unanswered_logged: bool,
}

/// Reads one call into batches.
pub(super) struct Reader<'r, 'a> {
    /// What gathers them.
    pub(super) batcher: &'r mut Batcher<'a>,
    /// Where they go.
    pub(super) context: &'r ShardContext,
    /// What logs call the shard.
    pub(super) names: Names<'r>,
    /// What the end of the stream means.
    pub(super) on_end: OnEnd,
    /// What was read so far.
    pub(super) tally: Tally,
    /// What is charged of held messages.
    pub(super) charged: Charged,
    /// When a place that moved without a message may be handed over again.
    pub(super) place_due: Duration,
    /// Messages that wait for the turn of their upstream; none where there is only one.
    pub(super) waiting: Vec<Bytes>,
    /// What the request stream is to hear of it, where there is one.
    pub(super) talk: Option<Talk<'r, 'a>>,
}

/// What is charged of the messages that a shard holds back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Charged {
    bytes: u64,
    /// Whether this is the shard that goes beyond what may be held.
    overdraws: bool,
}

/// What one read took.
#[derive(Clone, Copy, Default)]
pub(super) struct Pass {
    messages: u64,
    bytes: u64,
}

impl Pass {
    /// A message of so many bytes was read.
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

impl<'r> Reader<'r, '_> {
    /// Reads until the call ends or the pipeline asks to stop.
    pub(super) async fn run(&mut self, call: &mut Call) -> CallEnd {
        let end = self.read(call).await;
        self.batcher.forget_group();
        if let Some(talk) = &self.talk {
            talk.outbox.close();
        }
        self.context.inlet.let_go(self.charged.bytes, self.charged.overdraws);
        self.log_overlap();
        end
    }

    async fn read(&mut self, call: &mut Call) -> CallEnd {
        let context = self.context;
        let mut stopped = pin!(context.stop.cancelled());
        let (mut watch, link_end) = (call.watch(), call.end().clone());
        loop {
            let before = self.batcher.counters();
            let mut pass = Pass::default();
            self.begin_read();
            watch.listen(Instant::now);
            let may_leave = self.may_leave();
            let may_move = call.may_move();
            let end = tokio::select! {
                biased;
                () = &mut stopped => Some(CallEnd::Stopped),
                due = watch.due(may_leave) => Some(CallEnd::Due(due)),
                // What the server sent before it said so may not have been read yet: as long as
                // nothing was handed over, only a call that has nothing to read is left.
                () = link_end.going_away(), if may_move && self.tally.batches > 0 => {
                    Some(CallEnd::Due(Due::GoingAway))
                }
                end = poll_fn(|waker| self.poll_ready(call, &mut pass, waker)) => end,
                () = link_end.going_away(), if may_move && may_leave => {
                    Some(CallEnd::Due(Due::GoingAway))
                }
            };
            let (turn, end) = self.in_turn(end).await;
            if end == Some(CallEnd::Complete) {
                self.complete(call).await;
            }
            let batch = self.batcher.take().or_else(|| self.take_place(end.is_some()));
            if let Some(talk) = &mut self.talk {
                talk.outbox.heard(&mut talk.heard, self.batcher.reading(batch.as_ref()));
            }
            if let Err(end) = self.hand_over(batch, pass, before).await {
                return end;
            }
            drop(turn);
            if let Some(end) = end {
                return end;
            }
            tokio::select! {
                biased;
                () = &mut stopped => return CallEnd::Stopped,
                has_room = self.settle() => if !has_room { return CallEnd::Starved },
            }
            if let Some(talk) = &mut self.talk {
                talk.outbox.taken(&mut talk.heard);
            }
            if let Some(end) = self.room(call).await {
                return end;
            }
        }
    }

    /// Of several upstreams of one feed each takes what it has read in its turn, which lasts until
    /// that is handed over: the keys that were claimed and the batch that bears them go together.
    async fn in_turn(&mut self, end: Option<CallEnd>) -> (Option<Turn<'r>>, Option<CallEnd>) {
        let context = self.context;
        let Some(feed) = &context.feed else { return (None, end) };
        let mut turn = feed.turn().await;
        self.batcher.lend(&mut turn);
        let waiting = std::mem::take(&mut self.waiting);
        let taken = waiting.into_iter().try_for_each(|message| self.take(message));
        self.batcher.lend(&mut turn);
        (Some(turn), taken.err().map(CallEnd::Refused).or(end))
    }

    /// The server has ended the stream with status OK.
    async fn complete(&mut self, call: &mut Call) {
        if self.on_end == OnEnd::Finish {
            self.batcher.finish();
        }
        if self.batcher.reads_trailers()
            && let Some(trailers) = call.trailers().await
        {
            self.batcher.end_call(&trailers);
        }
    }

    /// A batch that only moves the position, where it has moved without a message; not too often.
    pub(super) fn take_place(&mut self, is_end: bool) -> Option<Batch> {
        if !self.batcher.has_moved() {
            return None;
        }
        let now = self.context.clock.now();
        if now < self.place_due && !is_end && !self.batcher.owes_place() {
            return None;
        }
        self.place_due = now + PLACE_INTERVAL;
        self.batcher.take_place(|| received_at(self.context))
    }

    /// Counts what was read, and hands over the batch it makes, if it makes one.
    ///
    /// # Errors
    /// [`CallEnd::DataflowEnded`]
    pub(super) async fn hand_over(
        &mut self,
        batch: Option<Batch>,
        pass: Pass,
        before: Counters,
    ) -> Result<(), CallEnd> {
        self.count(pass, before);
        let Some(batch) = batch else { return Ok(()) };
        batch.gaps.iter().for_each(|gap| self.log_gap(gap));
        fault::point(Point::SrcRecv);
        let position = batch.position.clone();
        let asked = self.context.clock.now();
        if self.context.inlet.send(batch).await.is_err() {
            return Err(CallEnd::DataflowEnded);
        }
        self.note_wait(asked);
        self.context.link.handed_over(position);
        self.context.metrics.batches.inc();
        self.tally.batches += 1;
        Ok(())
    }

    /// Counts the time since `asked`, in which nothing was read.
    fn note_wait(&self, asked: Duration) {
        let waited = self.context.clock.now().saturating_sub(asked);
        self.context.metrics.waiting_seconds.inc_by(waited.as_secs_f64());
    }

    /// Whether a new call would get further than this one: it has handed something over, or no news
    /// has come. Else a group that takes longer than calls are to last would never be whole.
    fn may_leave(&self) -> bool {
        self.tally.batches > 0 || self.tally.messages == self.tally.heartbeats
    }

    /// Charges what is held back now, beyond what each shard may hold; false if there was no room
    /// for it in time.
    async fn settle(&mut self) -> bool {
        let held = self.batcher.held_bytes().saturating_sub(GROUP_BYTES_FREE);
        let inlet = &self.context.inlet;
        let Charged { bytes, overdraws } = self.charged;
        if held == bytes {
            return true;
        }
        if held < bytes {
            inlet.let_go(bytes - held, overdraws);
            self.charged = Charged { bytes: held, overdraws: false };
            return true;
        }
        let patience = GROUP_WAIT_MAX.mul_f64(rand::random_range(0.75..1.25));
        let asked = self.context.clock.now();
        let room = tokio::time::timeout(patience, inlet.hold(held - bytes, overdraws)).await;
        self.note_wait(asked);
        if let Ok(beyond) = room {
            self.charged = Charged { bytes: held, overdraws: overdraws || beyond };
        }
        room.is_ok()
    }

    /// Takes what is ready; waits only for the first message.
    fn poll_ready(
        &mut self,
        call: &mut Call,
        pass: &mut Pass,
        waker: &mut Context<'_>,
    ) -> Poll<Option<CallEnd>> {
        let is_full = |pass: &Pass| {
            pass.messages >= BATCH_RECORDS_MAX as u64 || pass.bytes >= BATCH_BYTES_MAX as u64
        };
        while !is_full(pass) && !self.batcher.is_full() && !self.has_heard_enough() {
            match call.poll_message(waker) {
                Poll::Ready(Some(Ok(message))) => {
                    pass.add(message.len());
                    self.answer(&message);
                    if self.context.feed.is_some() {
                        self.waiting.push(message);
                    } else if let Err(refused) = self.take(message) {
                        return Poll::Ready(Some(CallEnd::Refused(refused)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(CallEnd::Failed(error))),
                Poll::Ready(None) => return Poll::Ready(Some(CallEnd::Complete)),
                Poll::Pending if pass.messages == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(None)
    }

    fn take(&mut self, message: Bytes) -> Result<(), Refused> {
        let context = self.context;
        let heard = self.acknowledges().then(|| message.clone());
        let taken = self.batcher.push(message, || received_at(context))?;
        if let Some(message) = heard {
            self.identify(&message);
        }
        self.tally.messages += 1;
        match taken {
            Taken::New | Taken::Aside => {}
            Taken::Heartbeat => self.tally.heartbeats += 1,
            Taken::Duplicate => self.note_duplicate(),
            Taken::Unreadable => self.log_unreadable(),
        }
        Ok(())
    }

    /// Takes a message of an answer, whose cursor is the answer's.
    pub(super) fn take_item(&mut self, item: Bytes, is_counted: bool) {
        let context = self.context;
        let taken = self.batcher.push_item(item, is_counted, || received_at(context));
        self.tally.messages += 1;
        if taken == Taken::Duplicate {
            self.note_duplicate();
        }
    }

    fn count(&mut self, pass: Pass, before: Counters) {
        let metrics = &self.context.metrics;
        let now = self.batcher.counters();
        metrics.received_messages.inc_by(pass.messages);
        metrics.received_bytes.inc_by(pass.bytes);
        metrics.duplicates_dropped.inc_by(now.dropped_duplicates - before.dropped_duplicates);
        metrics.gaps.inc_by(now.gaps - before.gaps);
        metrics.gap_messages.inc_by(now.gap_messages - before.gap_messages);
        metrics.heartbeats.inc_by(now.heartbeats - before.heartbeats);
        self.context.link.received(now);
        if pass.messages > 0 {
            metrics.last_message_unix_seconds.set(unix_seconds());
        }
        let is_overlapping = self.batcher.resume().is_some_and(|resume| resume.is_overlapping());
        if !is_overlapping {
            self.log_overlap();
        }
    }

    fn note_duplicate(&mut self) {
        self.tally.duplicates += 1;
        if self.batcher.resume().is_some_and(|resume| resume.is_overlapping()) {
            self.tally.overlap += 1;
        }
    }

    /// Once per call, when the repetition is over.
    fn log_overlap(&mut self) {
        let Names { source, shard } = self.names;
        let count = std::mem::take(&mut self.tally.overlap);
        if count > 0 {
            let session = self.batcher.session().0;
            tracing::info!(event = "overlap_dropped", source, %shard, session, count);
        }
    }

    fn log_gap(&mut self, gap: &Gap) {
        let Names { source, shard } = self.names;
        let session = self.batcher.session().0;
        if let Some(size) = gap.told {
            tracing::warn!(
                event = "sequence_gap_detected", source, %shard, session, size,
                "a message says that others were lost"
            );
            return;
        }
        let (Some(from), Some(to), Some(size)) = (gap.from, gap.to, gap.size()) else {
            let reason = match gap.reason {
                GapReason::CursorLost => "the server no longer had what followed the cursor",
                GapReason::Told => "a message says that others were lost",
                GapReason::Unverified => "a new call does not begin at the cursor it was given",
                _ => "what the server sent between the two calls is not known",
            };
            tracing::warn!(
                event = "sequence_gap_detected", source, %shard, session, size = "unknown",
                "{reason}"
            );
            return;
        };
        self.tally.gaps_logged += 1;
        if self.tally.gaps_logged <= GAPS_LOGGED_PER_CALL_MAX {
            tracing::warn!(
                event = "sequence_gap_detected", source, %shard, session, %from, %to, size
            );
        }
    }

    fn log_unreadable(&mut self) {
        let Names { source, shard } = self.names;
        if !std::mem::replace(&mut self.tally.is_unreadable_logged, true) {
            let session = self.batcher.session().0;
            tracing::warn!(
                event = "cursor_unreadable", source, %shard, session,
                "a message is broken where its cursor stands; it is passed on without one"
            );
        }
    }
}

fn received_at(context: &ShardContext) -> ReceivedAt {
    let monotonic_ns = u64::try_from(context.clock.now().as_nanos()).unwrap_or(u64::MAX);
    ReceivedAt { monotonic_ns, unix_ms: unix_ms() }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
