//! One shard's task: call, read, wait, call again, until there is a reason to end.
//!
//! ```text
//!        ┌──────────────── wait (back-off) ◄───────────────┐
//!        ▼                                                 │ may heal
//!   request ──► open ──► read ──► end ──┬──────────────────┘
//!                                       ├─ OK, on_end: finish ─► Finished
//!                                       ├─ cursor lost: as declared, behind a gap
//!                                       ├─ asked to stop ──────► Stopped
//!                                       └─ cannot heal ────────► Broken
//! ```
//!
//! Within a process a new call goes on from the newest *received* cursor, because what was handed
//! over stays in the pipeline; after a restart from the committed one, which the context brings.
//!
//! Invariants
//! 1. Sessions of a shard only grow, also over restarts.
//! 2. Only a message that is new starts the back-off anew.
//!
//! Next: `request.rs`, `call.rs`, `receive.rs`, in this order.

use super::backoff::Backoff;
use super::batcher::Batcher;
use super::call::Call;
use super::config::{OnCursorLost, OnEnd};
use super::loss::{CallFacts, Loss, Losses};
use super::receive::{CallEnd, Charged, Names, Reader, Tally};
use super::request::{RequestError, restore};
use super::resume::Resume;
use super::source::{GrpcSource, Target};
use super::status::{CallError, Healing, name};
use crate::limits::{CURSOR_LOSSES_MAX, GROUP_WAITS_MAX};
use crate::source::{ShardContext, ShardEnd};
use bytes::Bytes;
use headwater_engine::fault::{self, Point};
use headwater_engine::ids::Session;
use std::sync::Arc;

/// A shard's task between two calls.
struct Shard<'a> {
    source: &'a GrpcSource,
    target: &'a Target,
    context: &'a ShardContext,
    names: Names<'a>,
    batcher: Batcher<'a>,
    backoff: Backoff,
    losses: Losses,
    /// Calls in a row that were given up for want of room for their held group.
    starved: u32,
    session: Session,
    has_connected: bool,
}

/// What follows a call.
enum Next {
    /// Another one, after a wait; why the last one ended.
    Again(String),
    /// Nothing.
    End(ShardEnd),
}

/// Runs shard `index` of `source` until it ends.
pub(super) async fn run(source: &GrpcSource, index: usize, context: ShardContext) -> ShardEnd {
    let names = Names { source: &source.name, shard: &source.shards[index].key };
    let end = match Shard::new(source, index, &context, names) {
        Ok(shard) => shard.run().await,
        Err(reason) => ShardEnd::Broken(reason),
    };
    context.link.ended(&end);
    let Names { source, shard } = names;
    match &end {
        ShardEnd::Broken(reason) => {
            tracing::error!(event = "shard_broken", source, %shard, %reason)
        }
        ShardEnd::Finished => tracing::info!(event = "shard_finished", source, %shard),
        ShardEnd::Stopped => tracing::info!(event = "shard_stopped", source, %shard),
    }
    end
}

impl<'a> Shard<'a> {
    fn new(
        source: &'a GrpcSource,
        index: usize,
        context: &'a ShardContext,
        names: Names<'a>,
    ) -> Result<Self, String> {
        let start = context.start.clone().unwrap_or_default();
        let place = match (&source.resume, &start.cursor) {
            (Some(plan), Some(cursor)) => {
                let restored = restore(&plan.cursor, cursor).map_err(|error| {
                    format!("{error}; reset the shard with `headwater offsets reset`")
                })?;
                Some(restored)
            }
            _ => None,
        };
        Ok(Shard {
            source,
            target: &source.targets[index],
            context,
            names,
            batcher: Batcher::new(
                Arc::from(source.name.as_str()),
                context.index,
                source.resume.as_ref(),
                place,
                start.counters,
                context.inlet.hold_bytes_max(),
            ),
            backoff: Backoff::new(&source.reconnect),
            losses: Losses::default(),
            starved: 0,
            session: start.session,
            has_connected: false,
        })
    }

    async fn run(mut self) -> ShardEnd {
        loop {
            match self.call().await {
                Next::End(end) => return end,
                Next::Again(reason) => {
                    if let Some(end) = self.wait(&reason).await {
                        return end;
                    }
                }
            }
        }
    }

    /// One call from its request to its end.
    async fn call(&mut self) -> Next {
        let is_joined = self.is_joined();
        self.session = self.session.next();
        self.batcher.open_session(self.session, is_joined);
        let had_cursor = self.batcher.resume().is_some_and(|resume| resume.place().is_some());
        let request = match self.request() {
            Ok(request) => request,
            Err(error) => return Next::End(ShardEnd::Broken(error.to_string())),
        };
        self.context.metrics.calls.inc();
        let begun = self.context.clock.now();
        let opened = tokio::select! {
            biased;
            () = self.context.stop.cancelled() => return Next::End(ShardEnd::Stopped),
            opened = self.open(request) => opened,
        };
        let (end, tally) = match opened {
            Err(error) => (CallEnd::Failed(error), Tally::default()),
            Ok(mut call) => self.read(&mut call).await,
        };
        self.log_ended(&end, &tally);
        if tally.batches > 0 {
            self.starved = 0;
        }
        let has_news = tally.messages > tally.duplicates;
        if has_news {
            self.backoff.reset();
        }
        let lasted = self.context.clock.now().saturating_sub(begun);
        self.after(end, CallFacts { had_cursor, has_news, lasted })
    }

    /// The request of the next call. After a lost cursor it stays the declared one until something
    /// was handed over.
    fn request(&self) -> Result<Bytes, RequestError> {
        let requests = &self.target.requests;
        let plan = self.source.resume.as_ref();
        if self.batcher.is_cursor_lost()
            && plan.is_some_and(|plan| plan.loss.action == OnCursorLost::Latest)
        {
            let latest = requests.latest.clone();
            return Ok(latest.expect("the check demands `latest` for this action"));
        }
        let place = self.batcher.resume().and_then(Resume::place);
        requests.encode(plan.map(|plan| &plan.cursor), place)
    }

    async fn open(&self, request: Bytes) -> Result<Call, CallError> {
        let link = &self.context.link;
        Call::open(self.source, self.target, request, || link.asked()).await
    }

    async fn read(&mut self, call: &mut Call) -> (CallEnd, Tally) {
        self.has_connected = true;
        self.context.link.opened();
        self.log_opened();
        fault::point(Point::SrcResumed);
        let mut reader = Reader {
            batcher: &mut self.batcher,
            context: self.context,
            names: self.names,
            on_end: self.source.on_end,
            tally: Tally::default(),
            charged: Charged::default(),
        };
        let end = reader.run(call).await;
        let tally = reader.tally;
        (end, tally)
    }

    /// Whether the next call goes on where the last one ended. Without a cursor only a shard that
    /// has never called, or a resumable one that has never received, misses nothing.
    fn is_joined(&self) -> bool {
        match self.batcher.resume() {
            None => self.session == Session::default(),
            Some(resume) => resume.place().is_some() || self.batcher.counters().received == 0,
        }
    }

    fn after(&mut self, end: CallEnd, call: CallFacts) -> Next {
        self.losses.note(call);
        match end {
            CallEnd::Complete if self.source.on_end == OnEnd::Finish => {
                Next::End(ShardEnd::Finished)
            }
            CallEnd::Complete => Next::Again("the server ended the stream".to_owned()),
            CallEnd::Stopped | CallEnd::DataflowEnded => Next::End(ShardEnd::Stopped),
            CallEnd::Starved => self.after_starvation(),
            CallEnd::Refused(refused) => Next::End(ShardEnd::Broken(refused.to_string())),
            CallEnd::Failed(error) => match self.loss(&error, call) {
                Loss::None => self.after_failure(error),
                loss => self.after_loss(loss, &error),
            },
        }
    }

    fn after_starvation(&mut self) -> Next {
        self.starved += 1;
        let reason = "the groups that shards of this pipeline hold back (`boundary: change`) take \
                      all of `memory.credit_bytes`";
        if self.starved >= GROUP_WAITS_MAX {
            return Next::End(ShardEnd::Broken(format!(
                "{reason}, and this one found no room {} times in a row; raise it",
                self.starved
            )));
        }
        Next::Again(format!("{reason}; this one is forgotten and read again"))
    }

    fn loss(&mut self, error: &CallError, call: CallFacts) -> Loss {
        match &self.source.resume {
            Some(plan) if error.is_servers_word => self.losses.judge(&plan.loss, error.code, call),
            _ => Loss::None,
        }
    }

    fn after_loss(&mut self, loss: Loss, error: &CallError) -> Next {
        let said = format!("{}: {}", self.target.dial.shown(), error.text);
        let lost = "the server no longer has what follows the cursor";
        let which = match loss {
            Loss::None | Loss::TryNewest => return Next::Again(said),
            Loss::Stop => {
                return Next::End(ShardEnd::Broken(format!(
                    "{said}; {lost}; forget it with `headwater offsets reset`, or let `resume` go \
                     on behind a gap with `on_cursor_lost: earliest` or `latest`"
                )));
            }
            Loss::TooOften => {
                return Next::End(ShardEnd::Broken(format!(
                    "{said}; {lost}, as for {CURSOR_LOSSES_MAX} cursors before it: check what \
                     `resume` takes from the messages and sets in the request"
                )));
            }
            Loss::GoOn(OnCursorLost::Latest) => "newest",
            Loss::GoOn(_) => "oldest",
        };
        let Names { source, shard } = self.names;
        let session = self.session.0;
        tracing::warn!(
            event = "cursor_lost", source, %shard, session, text = error.text,
            "{lost}; it is called anew for its {which} messages"
        );
        self.batcher.lose_cursor();
        Next::Again(said)
    }

    fn after_failure(&self, error: CallError) -> Next {
        let server = self.target.dial.shown();
        match error.healing {
            Healing::Never(advice) => {
                Next::End(ShardEnd::Broken(format!("{server}: {}; {advice}", error.text)))
            }
            Healing::RetryIfAcceptedBefore if !self.has_connected => {
                Next::End(ShardEnd::Broken(format!("{server}: {}", error.text)))
            }
            Healing::Retry | Healing::RetryIfAcceptedBefore => {
                Next::Again(format!("{server}: {}", error.text))
            }
        }
    }

    /// Waits before the next call; an end if there may be none.
    async fn wait(&mut self, reason: &str) -> Option<ShardEnd> {
        self.context.link.away(reason);
        let wait = match self.backoff.next(rand::random::<f64>()) {
            Ok(wait) => wait,
            Err(gave_up) => return Some(ShardEnd::Broken(format!("{reason}; {gave_up}"))),
        };
        let Names { source, shard } = self.names;
        let delay_ms = u64::try_from(wait.delay.as_millis()).unwrap_or(u64::MAX);
        let attempt = wait.attempt;
        tracing::info!(event = "reconnect_scheduled", source, %shard, attempt, delay_ms, reason);
        tokio::select! {
            biased;
            () = self.context.stop.cancelled() => Some(ShardEnd::Stopped),
            () = tokio::time::sleep(wait.delay) => None,
        }
    }

    fn log_opened(&self) {
        let Names { source, shard } = self.names;
        let server = self.target.dial.shown();
        let session = self.session.0;
        tracing::info!(event = "call_opened", source, %shard, session, server);
    }

    fn log_ended(&self, end: &CallEnd, tally: &Tally) {
        let Names { source, shard } = self.names;
        let session = self.session.0;
        let (code, text) = match end {
            CallEnd::Complete => ("OK", ""),
            CallEnd::Failed(error) => (name(error.code), error.text.as_str()),
            CallEnd::Stopped => ("CANCELLED", "asked to stop"),
            CallEnd::Starved => ("CANCELLED", "no room for its held group"),
            CallEnd::Refused(_) => ("CANCELLED", "a message cannot be passed"),
            CallEnd::DataflowEnded => ("CANCELLED", "the dataflow has ended"),
        };
        let Tally { messages, duplicates, .. } = *tally;
        tracing::info!(
            event = "call_ended", source, %shard, session, code, messages, duplicates, text
        );
    }
}
