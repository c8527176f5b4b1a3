//! What waits to be said on a shard's request stream, shared by the reader of a call, which fills
//! it, and the writer, which empties it.
//!
//! Acks and credit are no queue of messages: they are gathered until the server takes the next one,
//! so that a slow server gets fewer and larger ones. Kinds take turns, so that none waits for ever
//! behind another.
//!
//! Invariants
//! 1. The lock is held for no wait, and taken per read, never per message.
//! 2. Beyond [`ACK_IDS_PENDING_MAX`] identifiers the reader waits for a commit, beyond
//!    [`REPLIES_QUEUED_MAX`] answers for the server to take some.
//!
//! Next: `writer.rs`.

use super::acks::{Acks, Reading};
use super::heard::Heard;
use super::window::Window;
use super::{Place, StreamPlan};
use crate::limits::{ACK_BYTES_MAX, ACK_IDS_PENDING_MAX, REPLIES_QUEUED_MAX};
use crate::source::grpc::config::AckTake;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// What a shard has to say.
pub(in crate::source::grpc) struct Outbox<'p> {
    plan: &'p StreamPlan,
    state: Mutex<State>,
    /// There is something new to say.
    filled: Notify,
    /// Something was said.
    emptied: Notify,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Bytes>,
    window: Option<Window>,
    acks: Acks,
    turn: usize,
}

/// What a message on the request stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reply,
    Credit,
    Ack,
    Extension,
}

/// In the order of their turns.
const KINDS: [Kind; 4] = [Kind::Reply, Kind::Credit, Kind::Ack, Kind::Extension];

/// One message, and for how many messages it acknowledges.
pub(super) struct Said {
    pub(super) message: Bytes,
    pub(super) acked: u64,
}

impl<'p> Outbox<'p> {
    /// A shard that has not called yet.
    pub(in crate::source::grpc) fn new(plan: &'p StreamPlan) -> Self {
        Outbox { plan, state: Mutex::default(), filled: Notify::new(), emptied: Notify::new() }
    }

    /// What is said.
    pub(in crate::source::grpc) fn plan(&self) -> &'p StreamPlan {
        self.plan
    }

    /// A new call begins with `request`; the messages that open it.
    pub(in crate::source::grpc) fn open(&self, request: &Bytes) -> Vec<Bytes> {
        let mut state = self.lock();
        state.replies.clear();
        state.window = self.plan.credit.as_ref().map(|credit| Window::new(credit.window));
        if self.plan.ack.as_ref().is_some_and(|ack| !ack.across_calls) {
            state.acks.forget_all();
        }
        self.plan.opening(request)
    }

    /// The call is over.
    pub(in crate::source::grpc) fn close(&self) {
        self.lock().acks.forget_held();
    }

    /// Takes what one read has brought, before its batch is handed over.
    pub(in crate::source::grpc) fn heard(&self, heard: &mut Heard, reading: Reading) {
        if self.plan.ack.is_none() && heard.replies.is_empty() {
            return;
        }
        let mut state = self.lock();
        if !heard.replies.is_empty() {
            state.replies.extend(heard.replies.drain(..));
            self.filled.notify_one();
        }
        state.acks.note(heard.ids.drain(..), reading);
        self.settle(&mut state);
    }

    /// The pipeline has taken what was heard: there is room for more.
    pub(in crate::source::grpc) fn taken(&self, heard: &mut Heard) {
        let units = std::mem::take(&mut heard.units);
        if let Some(window) = &mut self.lock().window
            && units > 0
        {
            window.taken(units);
            self.filled.notify_one();
        }
    }

    /// Waits until more may be read.
    pub(in crate::source::grpc) async fn room(&self) {
        while self.lock().is_full() {
            self.emptied.notified().await;
        }
    }

    /// Waits until all that was handed over is acknowledged.
    pub(super) async fn all_acked(&self) {
        while self.lock().acks.count() > 0 {
            self.emptied.notified().await;
        }
    }

    /// Whether something is not acknowledged yet.
    pub(in crate::source::grpc) fn owes_acks(&self) -> bool {
        self.lock().acks.count() > 0
    }

    /// Everything below `place` is durable.
    pub(super) fn durable(&self, place: Place) {
        let mut state = self.lock();
        state.acks.durable(place);
        self.settle(&mut state);
    }

    /// It is time to ask for more time.
    pub(super) fn extend(&self) {
        self.lock().acks.extend();
    }

    /// Waits until there may be something new to say.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Whether there is something to say.
    pub(super) fn has_next(&self) -> bool {
        let state = self.lock();
        KINDS.into_iter().any(|kind| state.has(kind))
    }

    /// The next message.
    pub(super) fn next(&self) -> Option<Said> {
        let mut state = self.lock();
        let turns = (1..=KINDS.len()).map(|ahead| (state.turn + ahead) % KINDS.len());
        let turn = turns.into_iter().find(|turn| state.has(KINDS[*turn]))?;
        state.turn = turn;
        let said = self.say(&mut state, KINDS[turn]);
        self.emptied.notify_one();
        said
    }

    fn say(&self, state: &mut State, kind: Kind) -> Option<Said> {
        let ack = self.plan.ack.as_ref();
        match kind {
            Kind::Reply => Some(Said { message: state.replies.pop_front()?, acked: 0 }),
            Kind::Credit => {
                let (window, credit) = state.window.as_mut().zip(self.plan.credit.as_ref())?;
                Some(Said { message: credit.grants(window.grant()), acked: 0 })
            }
            Kind::Ack => {
                let ack = ack?;
                let count_max = if ack.write.is_list() { ack.batch_max } else { 1 };
                let ids = state.acks.take(count_max, ACK_BYTES_MAX)?;
                Some(Said { message: ack.write.message(&ids.values), acked: ids.count.into() })
            }
            Kind::Extension => {
                let ack = ack?;
                let ids = state.acks.take_extension(ack.batch_max, ACK_BYTES_MAX)?;
                let message = ack.extend.as_ref()?.asks(&ids.values, ids.count);
                Some(Said { message, acked: 0 })
            }
        }
    }

    /// After the acks have changed.
    fn settle(&self, state: &mut State) {
        if self.plan.ack.as_ref().is_some_and(|ack| ack.take == AckTake::Newest) {
            state.acks.keep_newest();
            self.emptied.notify_one();
        }
        if state.acks.is_ready() {
            self.filled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds what is to be said")
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.replies.len() >= REPLIES_QUEUED_MAX || self.acks.count() >= ACK_IDS_PENDING_MAX
    }

    fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Reply => !self.replies.is_empty(),
            Kind::Credit => self.window.is_some_and(|window| window.is_due()),
            Kind::Ack => self.acks.is_ready(),
            Kind::Extension => self.acks.is_extending(),
        }
    }
}
