//! What waits to be said on a shard's request stream, shared by the reader of a call, which fills
//! it, and the writer, which empties it.
//!
//! Acks and credit are no queue of messages: they are gathered until the server takes the next one,
//! so that a slow server gets fewer and larger ones. Kinds take turns, so that none waits for ever
//! behind another.
//!
//! Invariants
//! 1. The lock is held for no wait, and taken per read, never per message.
//! 2. Beyond so many identifiers, or bytes of them, the reader waits for a commit; beyond so many
//!    answers, or bytes of them, for the server to take some.
//! 3. Nobody waits for the server once the request stream is cut: the reader meets the call's end.
//!
//! Next: `writer.rs`.

use super::acks::{Acks, Reading};
use super::heard::{Heard, IdsRoom};
use super::window::Window;
use super::{Place, StreamPlan};
use crate::limits::{
    ACK_BYTES_MAX, ACK_IDS_PENDING_BYTES_MAX, REPLIES_QUEUED_BYTES_MAX, REPLIES_QUEUED_MAX,
};
use crate::source::grpc::config::AckTake;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// What a shard has to say.
pub(in crate::source::grpc) struct Outbox<'p> {
    plan: &'p StreamPlan,
    /// Identifiers that may be received and not acknowledged.
    unacknowledged_max: u64,
    state: Mutex<State>,
    /// There is something new to say.
    filled: Notify,
    /// Something was said.
    emptied: Notify,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Bytes>,
    /// Bytes of `replies`.
    replies_bytes: usize,
    window: Option<Window>,
    acks: Acks,
    turn: usize,
    /// Whether the call takes nothing any more.
    is_cut: bool,
}

/// What a reader waits for before it reads more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::grpc) enum Wait {
    /// The server has to take what there is to say.
    Server,
    /// What was handed over has to be committed.
    Commit,
    /// Nothing that would come by itself: more has to be handed over first.
    More,
    /// The call is over, and what is left of it finds no room: the server sends it again.
    End,
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
    /// A shard that has not called yet, and may leave so many messages unacknowledged.
    pub(in crate::source::grpc) fn new(plan: &'p StreamPlan, unacknowledged_max: u64) -> Self {
        let (filled, emptied) = (Notify::new(), Notify::new());
        Outbox { plan, unacknowledged_max, state: Mutex::default(), filled, emptied }
    }

    /// Identifiers that one shard may have received and not acknowledged.
    pub(in crate::source::grpc) fn unacknowledged_max(&self) -> u64 {
        self.unacknowledged_max
    }

    /// Identifiers of messages that are not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.lock().acks.count()
    }

    /// How many more identifiers the next read may bring, and how many bytes of them, but for the
    /// rest of one message.
    pub(in crate::source::grpc) fn ids_room(&self) -> IdsRoom {
        let state = self.lock();
        IdsRoom {
            count: self.unacknowledged_max.saturating_sub(state.acks.count()).max(1),
            bytes: ACK_IDS_PENDING_BYTES_MAX.saturating_sub(state.acks.bytes()).max(1),
        }
    }

    /// What is said.
    pub(in crate::source::grpc) fn plan(&self) -> &'p StreamPlan {
        self.plan
    }

    /// A new call begins with `request`; the messages that open it.
    pub(in crate::source::grpc) fn open(&self, request: &Bytes) -> Vec<Bytes> {
        let mut state = self.lock();
        state.is_cut = false;
        state.forget_replies();
        state.window = self.plan.credit.as_ref().map(|credit| Window::new(credit.window));
        if let Some(ack) = &self.plan.ack {
            if !ack.across_calls {
                state.acks.forget_all();
            }
            // Nothing was said since the last call was lost, and maybe long before.
            if ack.extend.is_some() {
                state.acks.extend();
            }
        }
        self.plan.opening(request)
    }

    /// The request stream takes nothing any more: what is left to say, this call does not hear.
    pub(super) fn hang_up(&self) {
        let mut state = self.lock();
        state.is_cut = true;
        state.forget_replies();
        self.emptied.notify_one();
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
        if state.is_cut {
            heard.replies.clear();
        }
        if !heard.replies.is_empty() {
            heard.replies.drain(..).for_each(|reply| state.queue(reply));
            self.filled.notify_one();
        }
        state.acks.note(heard.ids.drain(..), reading);
        if state.acks.count() > 0 {
            // It counts them.
            self.filled.notify_one();
        }
        self.settle(&mut state);
    }

    /// Answers a message that is not taken; not while too many answers wait.
    pub(super) fn answer(&self, message: &[u8]) {
        let mut state = self.lock();
        for reply in self.plan.replies.iter().filter(|reply| reply.when.holds(message)) {
            if let Ok(answer) = reply.send.fill(message)
                && !state.is_cut
                && !state.has_replies_enough()
            {
                state.queue(answer);
                self.filled.notify_one();
            }
        }
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

    /// What is to be waited for before more is read; nothing where there is room.
    pub(in crate::source::grpc) fn wait(&self) -> Option<Wait> {
        self.lock().wait(self.unacknowledged_max)
    }

    /// Waits until there may be more room.
    pub(in crate::source::grpc) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    /// Waits until all that was handed over is acknowledged, or nobody hears it any more.
    pub(super) async fn all_acked(&self) {
        let is_waiting = |state: &State| state.acks.count() > 0 && !state.is_cut;
        while is_waiting(&self.lock()) {
            self.emptied().await;
        }
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
            Kind::Reply => Some(Said { message: state.next_reply()?, acked: 0 }),
            Kind::Credit => {
                let (window, credit) = state.window.as_mut().zip(self.plan.credit.as_ref())?;
                Some(Said { message: credit.grants(window.grant()), acked: 0 })
            }
            Kind::Ack => {
                let ack = ack?;
                let ids = state.acks.take(ack.batch_max, ACK_BYTES_MAX)?;
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
        }
        self.emptied.notify_one();
        if state.acks.is_ready() {
            self.filled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds what is to be said")
    }
}

impl State {
    fn queue(&mut self, reply: Bytes) {
        self.replies_bytes += reply.len();
        self.replies.push_back(reply);
    }

    fn next_reply(&mut self) -> Option<Bytes> {
        let reply = self.replies.pop_front()?;
        self.replies_bytes -= reply.len();
        Some(reply)
    }

    fn forget_replies(&mut self) {
        (self.replies, self.replies_bytes) = (VecDeque::new(), 0);
    }

    fn has_replies_enough(&self) -> bool {
        self.replies.len() >= REPLIES_QUEUED_MAX || self.replies_bytes >= REPLIES_QUEUED_BYTES_MAX
    }

    fn wait(&self, unacknowledged_max: u64) -> Option<Wait> {
        let is_full = self.acks.count() >= unacknowledged_max
            || self.acks.bytes() >= ACK_IDS_PENDING_BYTES_MAX;
        if self.is_cut {
            return is_full.then_some(Wait::End);
        }
        if self.has_replies_enough() {
            return Some(Wait::Server);
        }
        match is_full {
            false => None,
            true if self.acks.is_ready() => Some(Wait::Server),
            true if self.acks.is_awaiting() => Some(Wait::Commit),
            true => Some(Wait::More),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::ids::{Sequence, Session};

    #[test]
    fn answers_are_bounded_by_their_bytes_and_waited_for_no_longer_than_the_call_lasts() {
        let plan = StreamPlan::default();
        let outbox = Outbox::new(&plan, 10);
        let mut heard = Heard::default();
        heard.replies = vec![Bytes::from(vec![0; REPLIES_QUEUED_BYTES_MAX / 2]); 2];
        let read = (Session(1), Sequence(2));
        let reading = Reading { batch: None, read, is_holding: false, has_dropped: false };
        outbox.heard(&mut heard, reading);
        assert_eq!(outbox.wait(), Some(Wait::Server));
        assert!(outbox.next().is_some());
        assert_eq!(outbox.wait(), None, "there is room for another one");
        heard.replies = vec![Bytes::from(vec![0; REPLIES_QUEUED_BYTES_MAX])];
        outbox.heard(&mut heard, reading);
        assert_eq!(outbox.wait(), Some(Wait::Server));
        outbox.hang_up();
        assert_eq!((outbox.wait(), outbox.has_next()), (None, false));
        heard.replies = vec![Bytes::from_static(b"late")];
        outbox.heard(&mut heard, reading);
        assert!(!outbox.has_next(), "nobody would hear it");
    }
}
