//! How a call is left whose server is to hear what was received on it: nothing is taken from it any
//! more, what becomes durable is acknowledged, the request stream is ended, and the server ends the
//! call.
//!
//! Why not just drop it: that resets the call, and HTTP/2 discards what was said and not sent yet,
//! among it acks that count as said.
//!
//! Invariant: each step has its limit; what is left then, the server sends again.

use super::{Outbox, Writing};
use crate::limits::{FAREWELL_OPENING_WAIT_MAX, FAREWELL_WAIT_MAX, HALF_CLOSE_WAIT_MAX};
use crate::source::grpc::call::Call;
use crate::source::grpc::receive::CallEnd;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;

/// What a shard that stops still has to say.
pub(in crate::source::grpc) struct Farewell<'p> {
    /// The call, from which nothing is taken any more.
    pub(in crate::source::grpc) call: Call,
    /// Its writing end.
    pub(in crate::source::grpc) writing: Writing,
    /// What there is to say.
    pub(in crate::source::grpc) outbox: Outbox<'p>,
}

/// A call that was asked for and is not accepted yet.
pub(in crate::source::grpc) type Opening<'o> =
    Pin<&'o mut (dyn Future<Output = Result<Call, CallEnd>> + Send)>;

impl Farewell<'_> {
    /// Leaves the call.
    pub(in crate::source::grpc) async fn say(self) {
        let Farewell { mut call, mut writing, outbox } = self;
        see_acked(&mut call, &mut writing, &outbox, FAREWELL_WAIT_MAX).await;
        close(call, writing).await;
    }
}

/// Acknowledges what becomes durable, for so long at most and no longer than the call lasts.
pub(in crate::source::grpc) async fn see_acked(
    call: &mut Call,
    writing: &mut Writing,
    outbox: &Outbox<'_>,
    wait_max: Duration,
) {
    let acked = async {
        tokio::select! {
            () = writing.all_acked(outbox) => {}
            () = answer(call, outbox) => {}
        }
    };
    let _ = timeout(wait_max, acked).await;
}

/// Ends the request stream, and sees the server end the call.
pub(in crate::source::grpc) async fn close(mut call: Call, writing: Writing) {
    drop(writing);
    let ended = async {
        // What still comes is not taken, and so comes again.
        while let Some(Ok(_)) = poll_fn(|context| call.poll_message(context)).await {}
    };
    let _ = timeout(HALF_CLOSE_WAIT_MAX, ended).await;
}

/// Leaves a call that is not accepted yet; gives it back if it is accepted before all is said.
pub(in crate::source::grpc) async fn leave_opening(
    mut opening: Opening<'_>,
    mut writing: Writing,
    outbox: &Outbox<'_>,
) -> Option<(Call, Writing)> {
    let acked = timeout(FAREWELL_OPENING_WAIT_MAX, writing.all_acked(outbox));
    let opened = tokio::select! {
        opened = &mut opening => Some(opened),
        _ = acked => None,
    };
    if let Some(opened) = opened {
        return Some((opened.ok()?, writing));
    }
    drop(writing);
    // A server that has nothing to send answers now.
    let _ = timeout(HALF_CLOSE_WAIT_MAX, opening).await;
    None
}

/// Answers what asks for an answer, so that a server which insists on that hears the acks, too.
/// Messages are not taken, and so come again; without anything to answer none is read.
async fn answer(call: &mut Call, outbox: &Outbox<'_>) {
    if outbox.plan().replies.is_empty() {
        return pending().await;
    }
    while let Some(Ok(message)) = poll_fn(|context| call.poll_message(context)).await {
        outbox.answer(&message);
    }
}
