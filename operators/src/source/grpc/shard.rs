//! One shard's task: call, read, wait, call again, until there is a reason to end.
//!
//! ```text
//!        ┌──────────────── wait (back-off) ◄───────────────┐
//!        ▼                                                 │ may heal
//!   request ──► open ──► read ──► end ──┬──────────────────┘
//!                                       ├─ replaced as planned: at once
//!                                       ├─ OK, on_end: finish ─► Finished
//!                                       ├─ cursor gone: as declared, behind a gap
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
//! Next: `request.rs`, `shard/talk.rs`, `call.rs`, `receive.rs`, in this order; `shard/tell.rs` is
//! what people hear of it.

use super::approach::Approach;
use super::backoff::Backoff;
use super::batcher::Batcher;
use super::batcher::Refused;
use super::call::Call;
use super::config::{Mode, OnEnd};
use super::cursor::Value;
use super::expired::{CallFacts, Loss, Losses, Reentry, Teller};
use super::outgoing::{Farewell, Outbox, Writing};
use super::receive::{CallEnd, Names, Tally};
use super::request::{Outgoing, RequestError, restore};
use super::resume::{Mark, Resume};
use super::source::{GrpcSource, Target};
use super::status::{CallError, Healing};
use super::watch::Due;
use crate::limits::{AUTH_REFUSALS_MAX, GROUP_WAITS_MAX};
use crate::source::{ShardContext, ShardEnd, ShardSpec};
use bytes::Bytes;
use headwater_engine::ids::Session;
use std::sync::Arc;
use tell::Told;

mod poll;
mod talk;
mod tell;

/// A shard's task between two calls.
struct Shard<'a, 'c> {
    source: &'a GrpcSource,
    target: &'a Target,
    context: &'c ShardContext,
    names: Names<'a>,
    batcher: Batcher<'a>,
    approach: Approach,
    backoff: Backoff,
    losses: Losses,
    /// How the next call begins behind a cursor that is gone, until something was handed over.
    reentry: Option<Entry>,
    /// Calls in a row that were given up for want of room for their held group.
    starved: u32,
    session: Session,
    has_connected: bool,
    /// What is said on the request stream, where the method has one.
    outbox: Option<Outbox<'a>>,
    /// The call of a shard that stops, where messages are acknowledged.
    last_call: Option<(Call, Writing)>,
    /// What is told of the present call.
    told: Told,
}

/// How a call begins behind a cursor that is gone.
enum Entry {
    /// As declared.
    Declared,
    /// Where another method says, which is still to be asked.
    Ask,
    /// At this value.
    At(Value),
}
/// What ends a call at its deadline.
const TOO_LONG: &str = "the call has lasted as long as `call.deadline_ms` lets it";

/// What a server that keeps what is not acknowledged is called again for.
const UNREAD: &str = "the server ended the stream while as much as may be was not acknowledged, \
                      and sends the rest again";

/// What a server says by a GOAWAY without an error.
const GOING_AWAY: &str = "the server closes the connection and asks its clients to go";

/// What follows a call.
enum Next {
    /// Another one, after a wait; why the last one ended.
    Again(String),
    /// Another one without a wait: nothing has failed. Why the last one ended.
    AtOnce(&'static str),
    /// Nothing.
    End(ShardEnd),
}

/// Runs the shard `spec` of `source` until it ends.
pub(super) async fn run(
    source: &GrpcSource,
    spec: &ShardSpec,
    target: &Target,
    context: ShardContext,
) -> ShardEnd {
    let names = Names { source: &source.name, shard: &spec.key };
    let (end, farewell) = match Shard::new(source, target, &context, names) {
        Ok(shard) => shard.run().await,
        Err(reason) => (ShardEnd::Broken(reason), None),
    };
    let ShardContext { link, inlet, .. } = context;
    // Without it the dataflow sees its end and commits, which is what there is to acknowledge.
    drop(inlet);
    if let Some(farewell) = farewell {
        farewell.say().await;
    }
    link.ended(&end);
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

impl<'a, 'c> Shard<'a, 'c> {
    fn new(
        source: &'a GrpcSource,
        target: &'a Target,
        context: &'c ShardContext,
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
        let mut shard = Shard {
            source,
            target,
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
            approach: target.dial.approach(context.index.0 as usize, rand::random::<u64>()),
            backoff: Backoff::new(&source.reconnect),
            losses: Losses::default(),
            reentry: None,
            starved: 0,
            session: start.session,
            has_connected: false,
            outbox: source
                .stream
                .as_ref()
                .map(|plan| Outbox::new(plan, source.unacknowledged_max())),
            last_call: None,
            told: Told::default(),
        };
        if let Some(seen) = &start.seen {
            shard.batcher.remember(seen);
        }
        if context.feed.is_some() {
            shard.batcher.share_window();
        }
        if source.acks() {
            shard.batcher.acknowledge();
        }
        Ok(shard)
    }

    async fn run(mut self) -> (ShardEnd, Option<Farewell<'a>>) {
        self.tell_restored();
        let end = loop {
            match self.call().await {
                Next::End(end) => break end,
                Next::AtOnce(reason) => self.context.link.away(reason),
                Next::Again(reason) => {
                    if let Some(end) = self.wait(&reason).await {
                        break end;
                    }
                }
            }
        };
        let last = self.last_call.zip(self.outbox);
        (end, last.map(|((call, writing), outbox)| Farewell { call, writing, outbox }))
    }

    /// One call from its request to its end.
    async fn call(&mut self) -> Next {
        if let Err(next) = self.ask().await {
            return next;
        }
        let is_joined = self.is_joined();
        self.session = self.session.next();
        self.batcher.open_session(self.session, is_joined);
        let has_place = self.place().is_some_and(Mark::has_values);
        let had_cursor = has_place || matches!(self.reentry, Some(Entry::At(_)));
        let request = match self.request() {
            Ok(request) => request,
            Err(error) => return Next::End(ShardEnd::Broken(error.to_string())),
        };
        self.context.metrics.calls.inc();
        self.told = self.tell_asked();
        let begun = self.context.clock.now();
        let source = self.source;
        let (end, tally) = match &source.poll {
            Some(plan) => self.poll(plan).await,
            None => self.stream(request).await,
        };
        self.tell_ended(&end, &tally);
        if tally.batches > 0 {
            self.starved = 0;
            self.reentry = None;
        }
        let has_news = tally.messages > tally.duplicates + tally.heartbeats;
        if has_news {
            self.backoff.reset();
        }
        self.learn(has_news);
        let lasted = self.context.clock.now().saturating_sub(begun);
        self.after(end, CallFacts { had_cursor, has_news, lasted }).await
    }

    /// Opens the call and reads it to its end.
    async fn stream(&mut self, request: Outgoing) -> (CallEnd, Tally) {
        match self.open(request).await {
            Err(end) => (end, Tally::default()),
            Ok((call, writing)) => self.read(call, writing).await,
        }
    }

    /// The request of the next call. Behind a cursor that is gone it stays the declared one until
    /// something was handed over.
    fn request(&self) -> Result<Outgoing, RequestError> {
        let requests = &self.target.requests;
        let cursor = self.source.resume.as_ref().map(|plan| &plan.cursor);
        match &self.reentry {
            None => requests.encode(cursor, self.place()),
            Some(Entry::At(value)) => {
                let component = cursor.and_then(|cursor| cursor.components.first());
                let name = &component.expect("the check demands one").name;
                requests.reenter(Some((name, value)))
            }
            Some(Entry::Declared | Entry::Ask) => requests.reenter(None),
        }
    }

    fn place(&self) -> Option<&Mark> {
        self.batcher.resume().and_then(Resume::place)
    }

    /// Asks where to go on, where that is to be asked; what follows if there is no answer.
    async fn ask(&mut self) -> Result<(), Next> {
        let plan = self.source.resume.as_ref().map(|plan| &plan.expired.action);
        let (Some(Entry::Ask), Some(action @ Reentry::Unary(unary))) = (&self.reentry, plan) else {
            return Ok(());
        };
        let context = self.context;
        let answer = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Err(Next::End(ShardEnd::Stopped)),
            answer = Call::ask(self.source, self.target, &mut self.approach, unary) => answer,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.learn(false);
                return Err(self.after_failure(error).await);
            }
        };
        let Some(value) = action.value(&answer) else {
            return Err(Next::End(ShardEnd::Broken(format!(
                "{}: the answer of {} has no value where `resume.expired` looks for it",
                self.target.dial.shown(),
                unary.method.path(),
            ))));
        };
        self.reentry = Some(Entry::At(value));
        Ok(())
    }

    /// Whether the next call goes on where the last one ended. Without a cursor only a shard that
    /// has never called, or a resumable one that has never received, misses nothing.
    fn is_joined(&self) -> bool {
        match &self.source.resume {
            Some(plan) if matches!(plan.mode, Mode::Cursor | Mode::ReplayAll) => {
                self.place().is_some() || self.batcher.counters().received == 0
            }
            // The server sends again what it got no acknowledgement of.
            _ if self.source.acks() => true,
            _ => self.session == Session::default(),
        }
    }

    async fn after(&mut self, end: CallEnd, call: CallFacts) -> Next {
        self.losses.note(call);
        match end {
            CallEnd::Complete if self.source.on_end == OnEnd::Finish => {
                Next::End(ShardEnd::Finished)
            }
            CallEnd::Complete => Next::Again("the server ended the stream".to_owned()),
            CallEnd::Unread => Next::Again(UNREAD.to_owned()),
            CallEnd::Stopped | CallEnd::DataflowEnded => Next::End(ShardEnd::Stopped),
            CallEnd::Due(due) => self.after_due(due, call),
            CallEnd::Starved => self.after_starvation(),
            CallEnd::Refused(Refused::Expired(message)) => self.after_message(&message, call),
            CallEnd::Refused(refused) => Next::End(ShardEnd::Broken(refused.to_string())),
            CallEnd::Unfit(reason) => Next::End(ShardEnd::Broken(reason)),
            CallEnd::Failed(error) => match self.loss(&error, call) {
                Loss::None => self.after_failure(error).await,
                loss => self.after_loss(loss, &error.text, None),
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
            Some(plan) if error.is_servers_word && plan.expired.says(error.code, &error.said) => {
                self.losses.judge(&plan.expired, Teller::Status, call)
            }
            _ => Loss::None,
        }
    }

    /// A message has said that the cursor is gone.
    fn after_message(&mut self, message: &Bytes, call: CallFacts) -> Next {
        let plan = self.source.resume.as_ref().expect("only a source that resumes asks messages");
        let loss = self.losses.judge(&plan.expired, Teller::Message, call);
        self.after_loss(loss, "a message says that the cursor is gone", Some(message))
    }

    fn after_loss(&mut self, loss: Loss, text: &str, message: Option<&Bytes>) -> Next {
        let said = format!("{}: {text}", self.target.dial.shown());
        let lost = "the server no longer has what follows the cursor";
        let Some(plan) = &self.source.resume else { return Next::Again(said) };
        match loss {
            Loss::None | Loss::TryNewest => return Next::Again(said),
            Loss::Stop => {
                return Next::End(ShardEnd::Broken(format!(
                    "{said}; {lost}; forget it with `headwater offsets reset`, or say in \
                     `resume.expired.action` where to go on behind a gap"
                )));
            }
            Loss::TooOften => {
                let count = plan.expired.max_attempts();
                return Next::End(ShardEnd::Broken(format!(
                    "{said}; {lost}, as for {count} cursors before it \
                     (`resume.expired.max_attempts`): check what `resume` takes from the messages \
                     and sets in the request"
                )));
            }
            Loss::GoOn => {}
        }
        let action = &plan.expired.action;
        self.reentry = Some(match action {
            Reentry::Fail | Reentry::Earliest | Reentry::Latest => Entry::Declared,
            Reentry::Unary(_) => Entry::Ask,
            Reentry::From(_) => match message.and_then(|message| action.value(message)) {
                Some(value) => Entry::At(value),
                None => {
                    return Next::End(ShardEnd::Broken(format!(
                        "{said}; {lost}, and it does not say where to go on \
                         (`resume.expired.action.from`)"
                    )));
                }
            },
        });
        let Names { source, shard } = self.names;
        let (session, at) = (self.session.0, action.words());
        tracing::warn!(
            event = "cursor_lost", source, %shard, session, text,
            "{lost}; it is called anew, {at}"
        );
        self.batcher.lose_cursor();
        Next::Again(said)
    }

    fn after_due(&self, due: Due, call: CallFacts) -> Next {
        match due {
            Due::Silent(idle) => {
                self.context.metrics.idle_timeouts.inc();
                let idle_ms = idle.as_millis();
                Next::Again(format!(
                    "{}: nothing has come for {idle_ms} ms (`idle_timeout_ms`)",
                    self.target.dial.shown()
                ))
            }
            Due::Deadline => Next::Again(TOO_LONG.to_owned()),
            Due::Reopen => Next::AtOnce("it is replaced as planned"),
            // A server that sends every new connection away would be called in a tight loop.
            Due::GoingAway if call.has_news => Next::AtOnce(GOING_AWAY),
            Due::GoingAway => Next::Again(GOING_AWAY.to_owned()),
        }
    }

    async fn after_failure(&mut self, error: CallError) -> Next {
        let credentials = &self.target.credentials;
        let error = if credentials.is_renewable() { error.renewable() } else { error };
        let server = self.target.dial.shown();
        match error.healing {
            Healing::Renew(advice) => {
                credentials.refused(self.approach.token).await;
                let text = format!("{server}: {}", error.text);
                if self.approach.refused() {
                    return Next::Again(text);
                }
                Next::End(ShardEnd::Broken(format!(
                    "{text}, {AUTH_REFUSALS_MAX} times in a row; {advice}"
                )))
            }
            Healing::Never(_)
                if error.is_servers_word && self.source.reconnect.passes(error.code) =>
            {
                Next::Again(format!("{server}: {}", error.text))
            }
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
        self.context.metrics.reconnects.inc();
        let Names { source, shard } = self.names;
        let delay_ms = u64::try_from(wait.delay.as_millis()).unwrap_or(u64::MAX);
        let attempt = wait.attempt;
        tracing::info!(event = "reconnect_scheduled", source, %shard, attempt, delay_ms, reason);
        tokio::select! {
            biased;
            () = self.context.stop.cancelled() => Some(ShardEnd::Stopped),
            () = tokio::time::sleep(wait.delay) => {
                tracing::info!(event = "reconnect_executing", source, %shard, attempt);
                None
            }
        }
    }

    /// A connection has ended.
    fn learn(&mut self, has_news: bool) {
        let Some(interval) = self.approach.ended(has_news) else { return };
        let Names { source, shard } = self.names;
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            event = "pings_rarer", source, %shard, interval_ms,
            "the server was pinged too often; raise `keepalive.interval_ms`"
        );
    }
}
