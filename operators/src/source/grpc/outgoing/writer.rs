//! Sends what an outbox holds, from the request on and as long as the call lasts.
//!
//! What is sent is chosen when the connection has room for it and not before, so between the outbox
//! and the connection there is room for [`OUTGOING_MESSAGES_MAX`] messages and no more.
//!
//! Next: `../shard/talk.rs` runs it beside the reader, `farewell.rs` after it.

use super::{Outbox, Place};
use crate::limits::OUTGOING_MESSAGES_MAX;
use crate::telemetry::ShardMetrics;
use bytes::Bytes;
use prometheus::{IntCounter, IntGauge};
use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
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
    unacknowledged: IntGauge,
}

impl Writing {
    /// A request stream that begins with `opening`; acks are counted.
    pub(in crate::source::grpc) fn open(
        opening: Vec<Bytes>,
        durable: watch::Receiver<Option<Place>>,
        metrics: &ShardMetrics,
    ) -> (Writing, RequestStream) {
        let (sender, receiver) = mpsc::channel(OUTGOING_MESSAGES_MAX);
        let stream = tokio_stream::iter(opening).chain(ReceiverStream::new(receiver));
        let (acks, unacknowledged) = (metrics.acks.clone(), metrics.unacknowledged.clone());
        (Writing { sender, durable, acks, unacknowledged }, Box::pin(stream))
    }

    /// Says what there is to say until all that was handed over is acknowledged, or until nobody
    /// hears it any more.
    pub(in crate::source::grpc) async fn all_acked(&mut self, outbox: &Outbox<'_>) {
        tokio::select! {
            never = self.run(outbox) => match never {},
            () = outbox.all_acked() => {}
        }
    }

    /// Says what there is to say; ends with the call that it is run beside.
    pub(in crate::source::grpc) async fn run(&mut self, outbox: &Outbox<'_>) -> Infallible {
        let extend = outbox.plan().ack.as_ref().and_then(|ack| ack.extend.as_ref());
        let interval = extend.map(|extend| extend.interval);
        let mut next_extension = interval.map(|interval| Instant::now() + interval);
        let mut is_watched = outbox.plan().ack.is_some();
        let Writing { sender, durable, acks, unacknowledged } = self;
        look(durable, outbox);
        loop {
            unacknowledged.set(i64::try_from(outbox.unacknowledged()).unwrap_or(i64::MAX));
            tokio::select! {
                () = outbox.filled() => {}
                // The connection is gone or the call has ended: its reader is to learn so, and
                // must not wait for the server to take what it has heard.
                () = sender.closed() => {
                    outbox.hang_up();
                    return pending().await;
                }
                // One of a closed stream is none.
                permit = sender.reserve(), if outbox.has_next() => if let Ok(permit) = permit
                    && let Some(said) = outbox.next()
                {
                    acks.inc_by(said.acked);
                    permit.send(said.message);
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
