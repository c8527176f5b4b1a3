//! How a shard's call stands, told by the shard and read by whoever watches the pipeline.
//!
//! Why not read off the metrics: they are for people, and they do not know since when a call has
//! been away, nor why.
//!
//! ```text
//!   Away ──request sent──► Asked ──accepted──► Open
//!    ▲                       │                  │      any ──► Ended
//!    └───────────────────────┴──── it ended ────┘      any ──► Broken
//! ```
//!
//! A server may say nothing until it has something to send, so a request that has been neither
//! refused nor answered for [`CALL_SILENT_MAX`] counts as an open call.
//!
//! Invariant: touched per call and per read, never per message.
//!
//! Next: `pipeline/state.rs` derives the pipeline's state from all of them.

use crate::limits::CALL_SILENT_MAX;
use crate::source::ShardEnd;
use headwater_engine::clock::Clock;
use headwater_engine::ids::{Sequence, Session};
use headwater_engine::position::{Counters, Position};
use prometheus::IntGauge;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// Where a shard's call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// None is open: the next one waits, or connects.
    Away,
    /// The request was sent and is not answered yet.
    Asked {
        /// When it was sent.
        at: Duration,
    },
    /// The server has accepted it.
    Open,
    /// The shard has ended, and nothing is wrong with it.
    Ended,
    /// The shard cannot go on.
    Broken,
}

/// What is known of a shard's call; times are those of the process's monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// Where the call is.
    pub call: CallState,
    /// Whether one was ever open since the dataflow was built.
    pub has_opened: bool,
    /// Since when none has been open; means nothing while one is.
    pub away_since: Duration,
    /// Why the last call ended, or why the shard cannot go on.
    pub reason: Option<String>,
}

/// One shard's side of it, and the watcher's. Clones are the same link.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    facts: Mutex<LinkFacts>,
    /// Messages received since the shard's first start, without those that were dropped again.
    received: AtomicU64,
    /// As many of them as are durable.
    committed: AtomicU64,
    /// The place below which everything is durable, for a shard that acknowledges.
    durable: watch::Sender<Option<(Session, Sequence)>>,
    connected: IntGauge,
    clock: Arc<dyn Clock>,
    /// Behind the last batch that was handed over.
    handed_over: Mutex<Option<Arc<Position>>>,
}

impl LinkFacts {
    /// Before the first call.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        LinkFacts { call: CallState::Away, has_opened: false, away_since: now, reason: None }
    }

    /// Whether a call is open, or silent for so long that it counts as open.
    #[must_use]
    pub fn is_open(&self, now: Duration) -> bool {
        match self.call {
            CallState::Open => true,
            CallState::Asked { at } => now.saturating_sub(at) >= CALL_SILENT_MAX,
            CallState::Away | CallState::Ended | CallState::Broken => false,
        }
    }

    /// Moves to `call` at `now`.
    fn enter(&mut self, call: CallState, now: Duration) {
        let was_open = self.is_open(now);
        self.has_opened |= was_open || call == CallState::Open;
        if was_open && call != CallState::Open {
            self.away_since = now;
        }
        if call == CallState::Open {
            self.reason = None;
        }
        self.call = call;
    }
}

impl Link {
    /// A shard that goes on from a position with these `counters`; `connected` is 1 while its call
    /// is open.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, connected: IntGauge, counters: Counters) -> Self {
        let taken = taken(counters);
        Link(Arc::new(Inner {
            facts: Mutex::new(LinkFacts::new(clock.now())),
            received: AtomicU64::new(taken),
            committed: AtomicU64::new(taken),
            durable: watch::Sender::new(None),
            connected,
            clock,
            handed_over: Mutex::default(),
        }))
    }

    /// There is a connection, and the request goes out.
    pub(crate) fn asked(&self) {
        self.enter(CallState::Asked { at: self.0.clock.now() }, None);
    }

    /// The server has accepted the call.
    pub(crate) fn opened(&self) {
        self.enter(CallState::Open, None);
    }

    /// The call ended or did not come about; another one follows.
    pub(crate) fn away(&self, reason: &str) {
        self.enter(CallState::Away, Some(reason));
    }

    /// The shard has ended.
    pub(crate) fn ended(&self, end: &ShardEnd) {
        match end {
            ShardEnd::Broken(reason) => self.enter(CallState::Broken, Some(reason)),
            ShardEnd::Finished | ShardEnd::Stopped => self.enter(CallState::Ended, None),
        }
    }

    /// What was received so far.
    pub(crate) fn received(&self, counters: Counters) {
        self.0.received.store(taken(counters), Release);
    }

    /// A batch was handed over; a shard that begins anew in this process goes on behind it.
    pub(crate) fn handed_over(&self, position: Option<Arc<Position>>) {
        if position.is_some() {
            *self.0.handed_over.lock().expect("storing a position does not panic") = position;
        }
    }

    /// Where the shard stands behind all that it handed over; none before the first batch.
    #[must_use]
    pub fn position(&self) -> Option<Arc<Position>> {
        self.0.handed_over.lock().expect("reading a position does not panic").clone()
    }

    /// What became durable.
    pub fn committed(&self, position: &Position) {
        self.0.committed.store(taken(position.counters), Release);
        // One value that the next one replaces: nobody is waited for.
        self.0.durable.send_replace(Some((position.session, position.next_sequence)));
    }

    /// The place below which everything is durable, now and as it moves.
    pub(crate) fn durable(&self) -> watch::Receiver<Option<(Session, Sequence)>> {
        self.0.durable.subscribe()
    }

    /// The dataflow that the shard fed is gone.
    pub(crate) fn forget(&self) {
        self.0.connected.set(0);
    }

    /// Messages received and not yet durable; one that was dropped again never counts.
    #[must_use]
    pub fn lag(&self) -> u64 {
        // In this order: what is durable was received before.
        let committed = self.0.committed.load(Acquire);
        self.0.received.load(Acquire).saturating_sub(committed)
    }

    /// What is known now.
    #[must_use]
    pub fn facts(&self) -> LinkFacts {
        self.0.facts.lock().expect("storing a fact does not panic").clone()
    }

    fn enter(&self, call: CallState, reason: Option<&str>) {
        let now = self.0.clock.now();
        let mut facts = self.0.facts.lock().expect("storing a fact does not panic");
        facts.enter(call, now);
        if let Some(reason) = reason {
            facts.reason = Some(reason.to_owned());
        }
        self.0.connected.set(i64::from(call == CallState::Open));
    }
}

fn taken(counters: Counters) -> u64 {
    let Counters { received, dropped_duplicates, heartbeats, .. } = counters;
    received.saturating_sub(dropped_duplicates).saturating_sub(heartbeats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::clock::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn link() -> (Link, Arc<ManualClock>, IntGauge) {
        let clock = Arc::new(ManualClock::default());
        let connected = IntGauge::new("connected", "help").expect("a valid name");
        let counters = Counters { received: 100, dropped_duplicates: 10, ..Counters::default() };
        (Link::new(clock.clone(), connected.clone(), counters), clock, connected)
    }

    #[test]
    fn a_call_is_away_since_it_ended_and_not_since_the_last_attempt() {
        let (link, clock, connected) = link();
        link.asked();
        link.opened();
        assert_eq!(connected.get(), 1);
        clock.advance(7 * SECOND);
        link.away("cut");
        for _ in 0..3 {
            clock.advance(SECOND);
            link.asked();
            link.away("refused");
        }
        let facts = link.facts();
        assert_eq!((facts.call, facts.away_since), (CallState::Away, 7 * SECOND));
        assert_eq!(facts.reason.as_deref(), Some("refused"));
        assert!(facts.has_opened);
        assert_eq!(connected.get(), 0);
        link.opened();
        assert_eq!(link.facts().reason, None, "what is over is not told any more");
    }

    #[test]
    fn a_request_that_is_not_refused_counts_as_open_after_a_while() {
        let (link, clock, connected) = link();
        link.asked();
        clock.advance(CALL_SILENT_MAX - Duration::from_nanos(1));
        assert!(!link.facts().is_open(clock.now()));
        clock.advance(Duration::from_nanos(1));
        assert!(link.facts().is_open(clock.now()));
        assert!(!link.facts().has_opened, "not before it comes to an end");
        link.away("cut");
        assert!(link.facts().has_opened);
        assert_eq!(link.facts().away_since, CALL_SILENT_MAX);
        assert_eq!(connected.get(), 0);
    }

    #[test]
    fn a_request_that_is_refused_in_time_never_was_a_call() {
        let (link, clock, _) = link();
        link.asked();
        clock.advance(SECOND);
        link.away("UNAVAILABLE");
        assert!(!link.facts().has_opened);
        assert_eq!(link.facts().away_since, Duration::ZERO);
    }

    #[test]
    fn the_lag_is_what_was_kept_and_is_not_durable() {
        let (link, _, _) = link();
        assert_eq!(link.lag(), 0, "all of the past is durable");
        link.received(Counters { received: 150, dropped_duplicates: 40, ..Counters::default() });
        assert_eq!(link.lag(), 20);
        let counters = Counters { received: 140, dropped_duplicates: 40, ..Counters::default() };
        let place = link.durable();
        link.committed(&Position { session: Session(3), counters, ..Position::default() });
        assert_eq!(*place.borrow(), Some((Session(3), Sequence(0))));
        assert_eq!(link.lag(), 10);
        let heartbeats = 15;
        let counters = Counters {
            received: 160,
            dropped_duplicates: 40,
            heartbeats,
            gaps: 0,
            gap_messages: 0,
        };
        link.received(counters);
        assert_eq!(link.lag(), 5, "a heartbeat waits for nothing");
    }
}
