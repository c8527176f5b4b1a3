//! What a reader does for the request stream: it hears each message, and reads no more while too
//! much waits to be said or to be committed.
//!
//! Invariant: while it waits for room, whatever may end the call ends the wait: a stop, the call's
//! own time, a server that goes away, and a connection that is gone.

use super::{CallEnd, Names, Reader};
use crate::source::grpc::batcher::Refused;
use crate::source::grpc::call::Call;
use crate::source::grpc::outgoing::{Heard, Outbox, Wait};
use crate::source::grpc::watch::Due;
use std::future::poll_fn;
use tokio::time::Instant;

/// What is read, for the request stream.
pub(in crate::source::grpc) struct Talk<'r, 'a> {
    /// What there is to say.
    pub(in crate::source::grpc) outbox: &'r Outbox<'a>,
    /// What was read since it was told.
    pub(in crate::source::grpc) heard: Heard,
}

impl Reader<'_, '_> {
    /// Waits until more may be read; how the call ended, if it did before.
    pub(super) async fn room(&mut self, call: &mut Call) -> Option<CallEnd> {
        let talk = self.talk.as_ref()?;
        let (mut watch, link_end, may_move) = (call.watch(), call.end().clone(), call.may_move());
        let may_leave = self.may_leave();
        loop {
            let wait = talk.outbox.wait()?;
            match wait {
                Wait::Server | Wait::Commit => {}
                Wait::End => return see_end(call).await,
                // Only a group that is held back needs more to be read before there is room.
                Wait::More => {
                    let refused = Refused::GroupOfTooManyIds(talk.outbox.unacknowledged_max());
                    return self.batcher.is_holding().then_some(CallEnd::Refused(refused));
                }
            }
            // Each thing that the server takes is a sign of life; a commit is not its business.
            watch.listen(Instant::now);
            let clock = if wait == Wait::Commit { watch.without_silence() } else { watch };
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return Some(CallEnd::Stopped),
                due = clock.due(may_leave) => return Some(CallEnd::Due(due)),
                () = link_end.going_away(), if may_move && may_leave => {
                    return Some(CallEnd::Due(Due::GoingAway));
                }
                () = talk.outbox.emptied() => {}
            }
        }
    }

    /// The next read brings no more than there is room for.
    pub(super) fn begin_read(&mut self) {
        if let Some(talk) = &mut self.talk {
            talk.heard.begin(talk.outbox.ids_room());
        }
    }

    /// Whether no more should be read now.
    pub(super) fn has_heard_enough(&self) -> bool {
        self.talk.as_ref().is_some_and(|talk| talk.heard.is_full())
    }

    /// A message has come; what is said of it at once.
    pub(super) fn answer(&mut self, message: &[u8]) {
        let Some(Talk { outbox, heard }) = &mut self.talk else { return };
        heard.answer(outbox.plan(), message);
        if let Some(error) = heard.unanswered()
            && !std::mem::replace(&mut self.tally.is_unanswered_logged, true)
        {
            let Names { source, shard } = self.names;
            tracing::warn!(event = "unanswered", source, %shard, "{error}");
        }
    }

    /// Whether what is taken is acknowledged.
    pub(super) fn acknowledges(&self) -> bool {
        self.talk.as_ref().is_some_and(|talk| talk.outbox.plan().ack.is_some())
    }

    /// A message was taken; what is said of it once that is durable.
    pub(super) fn identify(&mut self, message: &[u8]) {
        let Some(Talk { outbox, heard }) = &mut self.talk else { return };
        let Some(ack) = &outbox.plan().ack else { return };
        heard.identify(ack, message);
        let Names { source, shard } = self.names;
        if heard.has_unfit() && !std::mem::replace(&mut self.tally.is_unfit_logged, true) {
            tracing::warn!(
                event = "ack_unfit", source, %shard,
                "what identifies a message is out of the range of `stream.ack.field`; it is passed \
                 on and never acknowledged"
            );
        }
        if heard.has_broken() && !std::mem::replace(&mut self.tally.is_broken_logged, true) {
            tracing::warn!(
                event = "ack_broken", source, %shard,
                "a message is broken where `stream.ack.from` leads; it is passed on and never \
                 acknowledged"
            );
        }
        if heard.has_absent() && !std::mem::replace(&mut self.tally.is_absent_logged, true) {
            tracing::warn!(
                event = "ack_absent", source, %shard,
                "a message holds nothing where `stream.ack.from` leads; it is passed on and never \
                 acknowledged"
            );
        }
    }
}

/// How a call ended that takes nothing any more; none where it is read to its end already. What
/// had arrived is not taken: nothing of it is acknowledged, and more would be in flight than is
/// known when it comes again.
async fn see_end(call: &mut Call) -> Option<CallEnd> {
    let mut is_unread = false;
    loop {
        match poll_fn(|waker| call.poll_message(waker)).await {
            Some(Ok(_)) => is_unread = true,
            Some(Err(error)) => return Some(CallEnd::Failed(error)),
            None => return is_unread.then_some(CallEnd::Unread),
        }
    }
}
