//! Polls a unary method: ask, take the answer, wait, ask again, over one connection.
//!
//! To the rest of the shard this is one call: it has one session, it ends by an error, a stop or a
//! last answer, and what follows its end (back-off, a lost cursor) is what follows any call's.
//!
//! Invariants
//! 1. An answer's messages enter one batch together with its cursor, where the source resumes.
//! 2. The next call follows at once only where the answer brought something or the request is
//!    another one: a server that says "more" for ever is asked at the interval.
//!
//! Next: `../receive.rs` hands over.

use super::super::batcher::{AnswerCursor, Refused};
use super::super::call::Client;
use super::super::config::{OnEnd, WithoutCursor};
use super::super::poll::PollPlan;
use super::super::receive::{CallEnd, Charged, Pass, Reader, Tally};
use super::super::request::{Outgoing, RequestError};
use super::super::status::CallError;
use super::Shard;
use bytes::Bytes;
use headwater_engine::fault::{self, Point};
use headwater_proto::CursorScalar;
use std::convert::Infallible;
use std::time::Duration;
use tonic::Code;

/// Between two calls of one poll.
#[derive(Default)]
struct Between {
    tally: Tally,
    /// Asks for the next page.
    page: Option<CursorScalar>,
    /// The last answer.
    last: Option<Bytes>,
    /// When a cursor that moved without a message may be handed over again.
    place_due: Duration,
}

/// When the next call follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    AtOnce,
    Later,
}

impl<'a> Shard<'a, '_> {
    /// Asks again and again until that fails, or the pipeline asks to stop.
    pub(super) async fn poll(&mut self, plan: &PollPlan) -> (CallEnd, Tally) {
        let mut between = Between::default();
        let end = match self.poll_on(plan, &mut between).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        (end, between.tally)
    }

    async fn poll_on(
        &mut self,
        plan: &PollPlan,
        between: &mut Between,
    ) -> Result<Infallible, CallEnd> {
        let stop = self.context.stop.clone();
        let mut client = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(CallEnd::Stopped),
            client = Client::connect(self.source, self.target, &mut self.approach) => client?,
        };
        self.context.link.asked();
        loop {
            let request = self.poll_request(plan, between).map_err(unfit)?;
            let answer = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(CallEnd::Stopped),
                answer = client.ask(&mut self.approach, &request, plan.timeout) => answer,
            };
            let next = match answer {
                Ok(answer) => self.answered(plan, between, &request, answer).await?,
                Err(error) if error.code == Code::DeadlineExceeded => Next::Later,
                Err(error) => return Err(CallEnd::Failed(error)),
            };
            if next == Next::Later {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(CallEnd::Stopped),
                    () = tokio::time::sleep(plan.interval) => {}
                }
            }
        }
    }

    fn poll_request(&self, plan: &PollPlan, between: &Between) -> Result<Outgoing, RequestError> {
        let Outgoing { message, metadata } = self.request()?;
        Ok(Outgoing { message: plan.turn(message, between.page.as_ref())?, metadata })
    }

    /// Takes an answer and hands it over.
    async fn answered(
        &mut self,
        plan: &PollPlan,
        between: &mut Between,
        request: &Outgoing,
        answer: Bytes,
    ) -> Result<Next, CallEnd> {
        let read = plan.read(&answer).map_err(|error| broken(&error.to_string()))?;
        let last = between.last.replace(answer.clone());
        if last.is_none() {
            self.has_connected = true;
            self.context.link.opened();
            self.tell_opened();
            fault::point(Point::SrcResumed);
        }
        let is_unchanged = plan.skip_unchanged && last.as_ref() == Some(&answer);
        let count = if is_unchanged { 0 } else { read.items.len() };
        if !is_unchanged {
            let batches = between.tally.batches;
            let mut reader = self.reader(std::mem::take(&mut between.tally));
            reader.place_due = between.place_due;
            let taken = take(&mut reader, plan, &answer, read.items).await;
            (between.tally, between.place_due) = (reader.tally, reader.place_due);
            taken?;
            if between.tally.batches > batches {
                self.reentry = None;
            }
        }
        between.page = read.page;
        if !read.has_more && self.source.on_end == OnEnd::Finish {
            return Err(CallEnd::Complete);
        }
        let next = self.poll_request(plan, between).map_err(unfit)?;
        let is_news = count > 0 || next.message != request.message;
        Ok(if read.has_more && is_news { Next::AtOnce } else { Next::Later })
    }

    fn reader(&mut self, tally: Tally) -> Reader<'_, 'a> {
        Reader {
            batcher: &mut self.batcher,
            context: self.context,
            names: self.names,
            on_end: self.source.on_end,
            tally,
            charged: Charged::default(),
            place_due: Duration::ZERO,
            waiting: Vec::new(),
            talk: None,
        }
    }
}

/// Puts an answer into one batch; into several where nothing holds it together.
async fn take(
    reader: &mut Reader<'_, '_>,
    plan: &PollPlan,
    answer: &Bytes,
    items: Vec<Bytes>,
) -> Result<(), CallEnd> {
    let context = reader.context;
    let mut turn = match &context.feed {
        Some(feed) => Some(feed.turn().await),
        None => None,
    };
    let cursor = reader.batcher.open_answer(answer).map_err(CallEnd::Refused)?;
    let is_missing = cursor == AnswerCursor::Missing;
    if is_missing && !items.is_empty() && plan.without_cursor == WithoutCursor::Stop {
        return Err(CallEnd::Refused(Refused::NoCursor));
    }
    let (mut pass, mut before) = (Pass::default(), reader.batcher.counters());
    if let Some(turn) = &mut turn {
        reader.batcher.lend(turn);
    }
    for item in items {
        pass.add(item.len());
        reader.take_item(item, is_missing);
        if cursor == AnswerCursor::Undeclared && reader.batcher.is_full() {
            let batch = reader.batcher.take();
            reader.hand_over(batch, std::mem::take(&mut pass), before).await?;
            before = reader.batcher.counters();
        }
    }
    if let Some(turn) = &mut turn {
        reader.batcher.lend(turn);
    }
    if cursor == AnswerCursor::There {
        reader.batcher.close_answer();
    }
    let batch = reader.batcher.take().or_else(|| reader.take_place(false));
    reader.hand_over(batch, pass, before).await
}

fn unfit(error: RequestError) -> CallEnd {
    CallEnd::Unfit(error.to_string())
}

fn broken(reason: &str) -> CallEnd {
    CallEnd::Failed(CallError::of_answer(reason))
}
