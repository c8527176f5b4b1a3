//! A call from its request to its end, with what is said on its request stream meanwhile.
//!
//! Why something is said before the server accepts the call: many servers send their headers with
//! their first message, and one to which all that it has is leased has none. It waits for acks.
//!
//! Next: `../outgoing/writer.rs` says it, `../receive.rs` reads.

use super::Shard;
use crate::limits::LEAVE_WAIT_MAX;
use crate::source::ShardContext;
use crate::source::grpc::call::{Ask, Call};
use crate::source::grpc::outgoing::{Heard, Writing, close, leave_opening, see_acked};
use crate::source::grpc::receive::{CallEnd, Charged, Reader, Talk, Tally};
use crate::source::grpc::request::Outgoing;
use crate::source::grpc::watch::Due;
use headwater_engine::fault::{self, Point};
use std::pin::pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Shard<'_, '_> {
    /// Opens a call; what there is to say is said from the request on.
    pub(super) async fn open(
        &mut self,
        request: Outgoing,
    ) -> Result<(Call, Option<Writing>), CallEnd> {
        let Shard { source, target, context, approach, outbox, .. } = self;
        let ShardContext { link, metrics, stop, .. } = context;
        let Outgoing { message, metadata } = request;
        let Some(outbox) = outbox else {
            let ask = (Ask::Once(message), &metadata);
            return tokio::select! {
                biased;
                () = stop.cancelled() => Err(CallEnd::Stopped),
                opened = Call::open(source, target, approach, ask, || link.asked()) => {
                    Ok((opened?, None))
                }
            };
        };
        let opening = outbox.open(&message);
        let (mut writing, requests) = Writing::open(opening, link.durable(), metrics);
        // Before there is a connection nothing is taken out of the outbox.
        let is_asked = CancellationToken::new();
        let on_asked = || {
            link.asked();
            is_asked.cancel();
        };
        let ask = (Ask::Stream(requests), &metadata);
        let mut opening = pin!(Call::open(source, target, approach, ask, on_asked));
        let saying = async {
            is_asked.cancelled().await;
            writing.run(outbox).await
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            opened = &mut opening => return Ok((opened?, Some(writing))),
            never = saying => match never {},
        }
        if outbox.plan().ack.is_some() && is_asked.is_cancelled() {
            self.last_call = leave_opening(opening, writing, outbox).await;
        }
        Err(CallEnd::Stopped)
    }

    /// Reads the call to its end. One that is left as planned hears first what is committed of it;
    /// no later one is opened beside it.
    pub(super) async fn read(
        &mut self,
        mut call: Call,
        writing: Option<Writing>,
    ) -> (CallEnd, Tally) {
        self.has_connected = true;
        self.context.link.opened();
        self.tell_opened();
        self.batcher.begin_call(call.headers());
        fault::point(Point::SrcResumed);
        let mut reader = Reader {
            batcher: &mut self.batcher,
            context: self.context,
            names: self.names,
            on_end: self.source.on_end,
            tally: Tally::default(),
            charged: Charged::default(),
            place_due: Duration::ZERO,
            waiting: Vec::new(),
            talk: self.outbox.as_ref().map(|outbox| Talk { outbox, heard: Heard::default() }),
        };
        let Some((outbox, mut writing)) = self.outbox.as_ref().zip(writing) else {
            let end = reader.run(&mut call).await;
            return (end, reader.tally);
        };
        let end = tokio::select! {
            end = reader.run(&mut call) => end,
            never = writing.run(outbox) => match never {},
        };
        let tally = reader.tally;
        if outbox.plan().ack.is_none() {
            return (end, tally);
        }
        let end = match end {
            CallEnd::Due(Due::Reopen | Due::GoingAway) => {
                let wait_max = LEAVE_WAIT_MAX;
                tokio::select! {
                    biased;
                    () = self.context.stop.cancelled() => CallEnd::Stopped,
                    () = see_acked(&mut call, &mut writing, outbox, wait_max) => end,
                }
            }
            end => end,
        };
        match end {
            CallEnd::Stopped => self.last_call = Some((call, writing)),
            CallEnd::Due(Due::Reopen | Due::GoingAway) => close(call, writing).await,
            _ => {}
        }
        (end, tally)
    }
}
