//! Sends what an outbox holds, as long as a call is open; and the last words of a shard that stops,
//! whose messages become durable only after it has ended its reading.
//!
//! What is sent is chosen when the connection has room for it and not before, so between the outbox
//! and the connection there is room for [`OUTGOING_MESSAGES_MAX`] messages and no more.
//!
//! Next: `../shard.rs` runs it beside the reader.

use super::{Outbox, Place};
use crate::limits::{FAREWELL_WAIT_MAX, HALF_CLOSE_WAIT_MAX, OUTGOING_MESSAGES_MAX};
use crate::source::grpc::call::Call;
use bytes::Bytes;
use prometheus::IntCounter;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

/// The request stream of a call.
pub(in crate::source::grpc) type RequestStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The writing end of an open call.
pub(in crate::source::grpc) struct Writing {
    sender: mpsc::Sender<Bytes>,
    /// What is durable of the shard.
    durable: watch::Receiver<Option<Place>>,
    acks: IntCounter,
}

/// What a shard that stops still has to say.
pub(in crate::source::grpc) struct Farewell<'p> {
    /// The call, from which nothing is taken any more.
    pub(in crate::source::grpc) call: Call,
    /// Its writing end.
    pub(in crate::source::grpc) writing: Writing,
    /// What there is to say.
    pub(in crate::source::grpc) outbox: Outbox<'p>,
}

impl Writing {
    /// A request stream that begins with `opening`; acks are counted by `acks`.
    pub(in crate::source::grpc) fn open(
        opening: Vec<Bytes>,
        durable: watch::Receiver<Option<Place>>,
        acks: IntCounter,
    ) -> (Writing, RequestStream) {
        let (sender, receiver) = mpsc::channel(OUTGOING_MESSAGES_MAX);
        let stream = tokio_stream::iter(opening).chain(ReceiverStream::new(receiver));
        (Writing { sender, durable, acks }, Box::pin(stream))
    }

    /// Says what there is to say; ends with the call that it is run beside.
    pub(in crate::source::grpc) async fn run(&mut self, outbox: &Outbox<'_>) -> Infallible {
        let extend = outbox.plan().ack.as_ref().and_then(|ack| ack.extend.as_ref());
        let interval = extend.map(|extend| extend.interval);
        let mut next_extension = interval.map(|interval| Instant::now() + interval);
        let mut is_watched = outbox.plan().ack.is_some();
        let Writing { sender, durable, acks } = self;
        look(durable, outbox);
        loop {
            tokio::select! {
                () = outbox.filled() => {}
                permit = sender.reserve(), if outbox.has_next() => match permit {
                    Ok(permit) => if let Some(said) = outbox.next() {
                        acks.inc_by(said.acked);
                        permit.send(said.message);
                    },
                    // The connection is gone or the call has ended; its reader learns so.
                    Err(_) => return pending().await,
                },
                moved = durable.changed(), if is_watched => match moved {
                    Ok(()) => look(durable, outbox),
                    Err(_) => is_watched = false,
                },
                () = until(next_extension) => {
                    outbox.extend();
                    next_extension = interval.map(|interval| Instant::now() + interval);
                }
            }
        }
    }
}

impl Farewell<'_> {
    /// Acknowledges what becomes durable, ends the request stream and sees the server end the call.
    /// What is left then, the server sends again.
    pub(in crate::source::grpc) async fn say(self) {
        let Farewell { mut call, mut writing, outbox } = self;
        let acked = async {
            tokio::select! {
                never = writing.run(&outbox) => match never {},
                () = outbox.all_acked() => {}
            }
        };
        let _ = timeout(FAREWELL_WAIT_MAX, acked).await;
        drop(writing);
        let ended = async {
            // What still comes is not taken, and so comes again.
            while let Some(Ok(_)) = poll_fn(|context| call.poll_message(context)).await {}
        };
        let _ = timeout(HALF_CLOSE_WAIT_MAX, ended).await;
    }
}

fn look(durable: &mut watch::Receiver<Option<Place>>, outbox: &Outbox<'_>) {
    let place = *durable.borrow_and_update();
    place.into_iter().for_each(|place| outbox.durable(place));
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => pending().await,
    }
}
