//! Gathers received messages into batches, and says where each batch leaves its shard.
//!
//! A message is numbered here, at receipt, before the resume rules may drop it. What is kept goes
//! into the batch, or, with `boundary: change` or `when`, into the held group until the group is
//! complete. Of mixed groups the one that is complete takes the lowest numbers of those held.
//! A gap goes with the message behind it; it is counted when that message is handed over, so that a
//! held group which is forgotten takes its gaps along, and the next call finds them again.
//!
//! Invariants
//! 1. A batch's position covers exactly the messages of this batch and those before it.
//! 2. A held group enters a batch whole or not at all.
//! 3. A batch holds messages of one call: what is left of a call is handed over or, if held,
//!    discarded before the next one begins.
//!
//! Next: `engine/src/record.rs` is what comes out.

mod answer;
mod held;
mod judge;
mod open;
mod taken;

use super::config::OnOutOfOrder;
use super::control::Role;
use super::cursor::{Component, Observed};
use super::outgoing::Reading;
use super::request::store;
use super::resume::{Fate, Missing, Resume, rank};
use super::seen::Window;
use super::source::ResumePlan;
pub(super) use answer::AnswerCursor;
use bytes::Bytes;
use headwater_engine::ids::{Sequence, Session, ShardIndex};
use headwater_engine::limits::{
    BATCH_BYTES_MAX, BATCH_OVERHEAD_BYTES, BATCH_RECORDS_MAX, RECORD_OVERHEAD_BYTES,
};
use headwater_engine::position::{Counters, CursorValue, Position, Seen};
use headwater_engine::record::{Batch, DeadLetter, Gap, GapReason, ReceivedAt, Values};
use held::Extra;
use judge::Judge;
use open::Open;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
pub(super) use taken::{Refused, Taken};
use tonic::metadata::MetadataMap;

/// The batch of one shard that is being gathered.
pub(super) struct Batcher<'a> {
    node: Arc<str>,
    shard: ShardIndex,
    judge: Option<Judge<'a>>,
    session: Session,
    next: Sequence,
    counters: Counters,
    open: Open,
    held: Vec<(Sequence, Bytes)>,
    /// What more is known of the held messages, one for each; only where it is needed.
    tags: Vec<Tag>,
    held_bytes: u64,
    held_bytes_max: u64,
    /// Gaps in front of messages that are not handed over yet, in their order.
    gaps: Vec<Gap>,
    /// Messages set aside between such messages.
    aside: Vec<DeadLetter>,
    /// Why messages may be missing in front of whatever is handed over next.
    interruption: Option<Interruption>,
    /// Whether the place has moved without a message since the last batch.
    has_moved: bool,
}

/// A held message's place in the order of mixed groups, and what identifies it.
#[derive(Clone, Copy, Debug)]
struct Tag {
    rank: Option<i128>,
    identity: u128,
}

/// What lies between the last message handed over and the next one.
enum Interruption {
    /// A call that does not go on where the one before it ended.
    NewCall,
    /// A cursor that the server has lost.
    CursorLost(Lost),
}

/// The cursor that was lost, and what is known of the gap behind it.
struct Lost {
    after: BTreeMap<String, CursorValue>,
    /// The first missing value, of cursors whose values are numbers.
    from: Option<i128>,
    /// The first value of the present call.
    first: Option<i128>,
}

impl<'a> Batcher<'a> {
    /// A shard that goes on from `start`, its cursor already restored in `resume`.
    pub(super) fn new(
        node: Arc<str>,
        shard: ShardIndex,
        plan: Option<&'a ResumePlan>,
        place: Option<super::resume::Mark>,
        counters: Counters,
        held_bytes_max: u64,
    ) -> Self {
        let judge = plan.map(|plan| Judge {
            paths: &plan.cursor,
            on_gap: plan.on_gap,
            on_out_of_order: plan.on_out_of_order,
            resume: Resume::new(plan.rules, place),
            observed: Observed::default(),
            rank: None,
            control: plan.control.as_ref(),
            window: plan.dedupe.as_ref().map(Window::new),
        });
        Batcher {
            node,
            shard,
            judge,
            session: Session::default(),
            next: Sequence::default(),
            counters,
            open: Open::default(),
            held: Vec::new(),
            tags: Vec::new(),
            held_bytes: 0,
            held_bytes_max,
            gaps: Vec::new(),
            aside: Vec::new(),
            interruption: None,
            has_moved: false,
        }
    }

    /// The messages that were taken before, as far as they were written down.
    pub(super) fn remember(&mut self, seen: &Seen) {
        if let Some(window) = self.judge.as_mut().and_then(|judge| judge.window.as_mut()) {
            window.restore(seen);
        }
    }

    /// Where several shards deliver one feed: what is known is brought by [`Batcher::lend`] from
    /// here on.
    pub(super) fn share_window(&mut self) {
        let window = self.judge.as_mut().and_then(|judge| judge.window.as_mut());
        if let Some(window) = window.filter(|window| window.is_shared()) {
            window.share();
        }
    }

    /// Exchanges what is known here for what is known to all, and back.
    pub(super) fn lend(&mut self, known: &mut HashSet<u128>) {
        if let Some(window) = self.judge.as_mut().and_then(|judge| judge.window.as_mut()) {
            window.lend(known);
        }
    }

    /// The server has accepted the call, with these headers.
    pub(super) fn begin_call(&mut self, headers: &MetadataMap) {
        if let Some(judge) = &mut self.judge
            && let Some(values) = judge.of_call(headers, false)
        {
            judge.resume.begin_call(values);
        }
    }

    /// Whether the trailers of a call say something of the cursor.
    pub(super) fn reads_trailers(&self) -> bool {
        let components = self.judge.iter().flat_map(|judge| &judge.paths.components);
        components.into_iter().any(Component::is_of_trailers)
    }

    /// The server has ended the call with status OK, with these trailers.
    pub(super) fn end_call(&mut self, trailers: &MetadataMap) {
        if let Some(judge) = &mut self.judge
            && let Some(values) = judge.of_call(trailers, true)
        {
            self.has_moved |= judge.resume.end_call(values);
        }
    }

    /// Whether the place has moved without a message that a batch would be made of.
    pub(super) fn has_moved(&self) -> bool {
        self.has_moved && self.interruption.is_none()
    }

    /// A batch without a record, which only moves the shard's position.
    pub(super) fn take_place(&mut self, now: impl FnOnce() -> ReceivedAt) -> Option<Batch> {
        if !self.has_moved() || !self.open.values.is_empty() {
            return None;
        }
        self.open.received.get_or_insert_with(now);
        Some(self.batch(self.end(), Vec::new()))
    }

    /// The server has lost the cursor: what comes next is new, and lies behind a gap.
    pub(super) fn lose_cursor(&mut self) {
        let Some(judge) = &mut self.judge else { return };
        let Some(place) = judge.resume.forget() else { return };
        let is_number = judge.paths.components.first().is_some_and(Component::is_number);
        let from = rank(&place.values).filter(|_| is_number).map(|last| last + 1);
        let after = store(judge.paths, &place).values;
        self.interruption = Some(Interruption::CursorLost(Lost { after, from, first: None }));
    }

    /// Whether the cursor is lost and nothing was handed over since.
    #[cfg(test)]
    pub(super) fn is_cursor_lost(&self) -> bool {
        matches!(self.interruption, Some(Interruption::CursorLost(_)))
    }

    /// A new call begins. What came before it in this shard is unrelated, unless a cursor joins
    /// them.
    pub(super) fn open_session(&mut self, session: Session, is_joined: bool) {
        debug_assert!(self.open.values.is_empty(), "the last call's messages are handed over");
        self.session = session;
        self.next = Sequence::default();
        self.open = Open::default();
        self.forget_group();
        match &mut self.interruption {
            Some(Interruption::CursorLost(lost)) => lost.first = None,
            Some(Interruption::NewCall) => {}
            none => *none = (!is_joined).then_some(Interruption::NewCall),
        }
        if let Some(judge) = &mut self.judge {
            judge.resume.open();
        }
    }

    /// Takes one message; `now` is read only for the first one of a batch.
    ///
    /// # Errors
    /// [`Refused`]; the messages before it can still be handed over.
    pub(super) fn push(
        &mut self,
        message: Bytes,
        now: impl FnOnce() -> ReceivedAt,
    ) -> Result<Taken, Refused> {
        let sequence = self.next;
        self.next = sequence.next();
        self.counters.received += 1;
        self.open.received.get_or_insert_with(now);
        let Some(judge) = &mut self.judge else {
            self.open.keep(sequence, message);
            return Ok(Taken::New);
        };
        let role = judge.control.map_or(Role::Plain, |control| control.role(&message));
        match role {
            Role::Plain | Role::Uncounted => {}
            Role::Expired => return Err(Refused::Expired(message)),
            Role::Heartbeat { advance } => return Ok(self.heartbeat(advance, &message)),
        }
        if let Some(Interruption::CursorLost(lost)) = &mut self.interruption
            && lost.first.is_none()
        {
            lost.first = judge.first_value(&message);
        }
        let is_readable = judge.observe(&message, role);
        let loss = judge.control.and_then(|control| control.loss(&message));
        let mut verdict = match judge.accept(loss) {
            Ok(verdict) => verdict,
            // The value has moved on, so what was held is complete.
            Err(Refused::Gap(gap)) => {
                self.finish();
                return Err(Refused::Gap(gap));
            }
            Err(refused) => return Err(refused),
        };
        let identity = judge.identity(&message, &mut verdict.fate);
        match verdict.fate {
            Fate::Duplicate => {
                if identity.is_some() {
                    self.has_moved = true;
                    self.complete(verdict.closes);
                }
                self.drop_duplicate();
                return Ok(Taken::Duplicate);
            }
            Fate::OutOfOrder => return self.out_of_order(sequence, message),
            Fate::KeepAfter(missing) => {
                self.gaps.push(self.gap(sequence, GapReason::Skipped, Some(missing)));
            }
            Fate::KeepUnverified => {
                self.gaps.push(self.gap(sequence, GapReason::Unverified, None));
            }
            Fate::Keep => {}
        }
        self.keep(sequence, message, verdict, Extra { loss, identity })?;
        let is_new = verdict.fate != Fate::Keep || is_readable;
        Ok(if is_new { Taken::New } else { Taken::Unreadable })
    }

    /// Whether the batch should be handed over before more is taken.
    pub(super) fn is_full(&self) -> bool {
        self.open.values.len() >= BATCH_RECORDS_MAX || self.open.value_bytes >= BATCH_BYTES_MAX
    }

    /// The stream is complete: the held group is, too.
    pub(super) fn finish(&mut self) {
        if let Some(judge) = &mut self.judge {
            judge.resume.finish();
        }
        self.release(None);
    }

    /// The batch, if it holds a record. Without one, nothing is worth an epoch: what was counted
    /// travels with the next batch.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let end = self.end();
        let count = self.aside.partition_point(|aside| aside.sequence < end);
        if self.open.values.is_empty() && count == 0 {
            return None;
        }
        let dead: Vec<DeadLetter> = self.aside.drain(..count).collect();
        Some(self.batch(end, dead))
    }

    /// One past the last message that is handed over now.
    fn end(&self) -> Sequence {
        self.held.first().map_or(self.next, |(sequence, _)| *sequence)
    }

    fn batch(&mut self, end: Sequence, dead: Vec<DeadLetter>) -> Batch {
        self.has_moved = false;
        let gaps = self.take_gaps(end);
        let position = self.position(end);
        let following = Open { first: end, ..Open::default() };
        let open = std::mem::replace(&mut self.open, following);
        let parts = (open.values.len() + gaps.len() + dead.len()) as u64;
        let value_bytes = open.value_bytes + dead.iter().map(|dead| dead.raw.len()).sum::<usize>();
        let credit_bytes =
            value_bytes as u64 + parts * RECORD_OVERHEAD_BYTES + BATCH_OVERHEAD_BYTES;
        let kept = open.kept.or_else(|| open.values.is_empty().then(Vec::new));
        // The held messages of the next batch came with this one.
        self.open.received = open.received.filter(|_| !self.held.is_empty());
        Batch {
            shard: self.shard,
            session: self.session,
            first: open.first,
            end,
            received: open.received.expect("a batch with a record has seen a message"),
            kept: kept.map(Arc::from),
            values: Values::Received(Arc::new(open.values)),
            columns: Vec::new(),
            dead,
            gaps,
            position: Some(Arc::new(position)),
            credit_bytes,
        }
    }

    /// Bytes of the held group.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// The call is over: the held group comes again with the next one.
    pub(super) fn forget_group(&mut self) {
        if let Some(window) = self.judge.as_mut().and_then(|judge| judge.window.as_mut()) {
            self.tags.iter().for_each(|tag| window.forget(tag.identity));
        }
        (self.held, self.tags, self.held_bytes) = (Vec::new(), Vec::new(), 0);
        self.gaps.clear();
        self.aside.clear();
    }

    /// What happened on the shard so far.
    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// The call.
    pub(super) fn session(&self) -> Session {
        self.session
    }

    /// What was read and, with `batch`, handed over.
    pub(super) fn reading(&self, batch: Option<&Batch>) -> Reading {
        let is_holding = !(self.held.is_empty() && self.aside.is_empty());
        let batch = batch.map(|batch| (batch.session, batch.end));
        Reading { batch, read: (self.session, self.next), is_holding }
    }

    /// The rules' state, for a source that resumes.
    pub(super) fn resume(&self) -> Option<&Resume> {
        self.judge.as_ref().map(|judge| &judge.resume)
    }

    /// While nothing is kept the batch begins behind what was dropped, so that a long repetition
    /// costs no list of places.
    fn drop_duplicate(&mut self) {
        self.counters.dropped_duplicates += 1;
        self.skip();
    }

    /// A message that only says that the stream lives, and maybe how far it is.
    fn heartbeat(&mut self, advance: bool, message: &Bytes) -> Taken {
        self.counters.heartbeats += 1;
        let judge = self.judge.as_mut().expect("only a judge knows a heartbeat");
        if advance && judge.paths.observe(message, &mut judge.observed).is_ok() {
            let (has_moved, closes) = judge.resume.advance_to(&mut judge.observed);
            self.has_moved |= has_moved;
            self.complete(closes);
        }
        self.skip();
        Taken::Heartbeat
    }

    fn skip(&mut self) {
        if self.open.values.is_empty() && self.held.is_empty() && self.aside.is_empty() {
            self.open = Open { first: self.next, ..Open::default() };
        }
    }

    fn out_of_order(&mut self, sequence: Sequence, message: Bytes) -> Result<Taken, Refused> {
        let judge = self.judge.as_ref().expect("only a judge finds a message out of order");
        let value = rank(&judge.observed.values).expect("it was compared");
        let newest = judge.resume.newest_rank().expect("it was compared");
        match judge.on_out_of_order {
            OnOutOfOrder::Stop => return Err(Refused::OutOfOrder { value, newest }),
            OnOutOfOrder::Drop => {
                self.drop_duplicate();
                return Ok(Taken::Duplicate);
            }
            OnOutOfOrder::DeadLetter => {}
        }
        let reason = format!("its cursor value {value} came behind {newest}");
        self.set_aside(sequence, message, reason)
    }

    fn set_aside(
        &mut self,
        sequence: Sequence,
        message: Bytes,
        reason: String,
    ) -> Result<Taken, Refused> {
        if !self.held.is_empty() {
            self.hold(message.len())?;
        }
        self.aside.push(DeadLetter { sequence, node: self.node.clone(), reason, raw: message });
        Ok(Taken::Aside)
    }

    fn gap(&self, sequence: Sequence, reason: GapReason, missing: Option<Missing>) -> Gap {
        let node = self.node.clone();
        let (from, to) = (missing.map(|it| it.from), missing.map(|it| it.to));
        Gap { sequence, node, reason, from, to, told: None, after: BTreeMap::new() }
    }

    /// The gap in front of everything that is handed over now.
    fn gap_of(&self, interruption: Interruption) -> Gap {
        let sequence = self.open.first_kept();
        match interruption {
            Interruption::NewCall => self.gap(sequence, GapReason::NewCall, None),
            Interruption::CursorLost(Lost { after, from, first }) => {
                let last = first.map(|first| first - 1);
                // A server that numbers anew says nothing of what is missing.
                let to = last.filter(|last| from.is_some_and(|from| from <= *last));
                Gap { from, to, after, ..self.gap(sequence, GapReason::CursorLost, None) }
            }
        }
    }

    /// The gaps of the batch that ends before `end`, now counted.
    fn take_gaps(&mut self, end: Sequence) -> Vec<Gap> {
        if let Some(interruption) = self.interruption.take() {
            self.gaps.insert(0, self.gap_of(interruption));
        }
        let count = self.gaps.partition_point(|gap| gap.sequence < end);
        for gap in &self.gaps[..count] {
            let counters = &mut self.counters;
            counters.gaps += 1;
            counters.gap_messages = counters.gap_messages.saturating_add(gap.size().unwrap_or(0));
        }
        self.gaps.drain(..count).collect()
    }

    fn position(&mut self, next_sequence: Sequence) -> Position {
        let cursor = self.judge.as_mut().and_then(|judge| {
            let place = judge.resume.detached_place()?;
            Some(store(judge.paths, place))
        });
        let window = self.judge.as_ref().and_then(|judge| judge.window.as_ref());
        let seen = window.map(Window::to_seen);
        let (session, counters) = (self.session, self.counters);
        Position { session, next_sequence, cursor, counters, seen }
    }
}

#[cfg(test)]
mod tests;
