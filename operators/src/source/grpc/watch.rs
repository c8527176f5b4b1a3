//! When a call is to be ended that nobody else ends: it is silent, it has lasted too long, or it is
//! to be replaced as planned.
//!
//! Why a call that is silent may be dead although its connection answers pings: the pings are
//! answered by the server's HTTP/2 layer, or by a proxy, and what feeds the stream behind them may
//! have stopped.
//!
//! Invariant: without these keys nothing is timed.
//!
//! Next: `call.rs` waits for the server's answer under it, `receive.rs` for messages.

use super::config::Config;
use crate::limits::REOPEN_AFTER_MIN;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The share of a planned life that chance adds or takes away at most, so that calls which were
/// opened together are not replaced together.
const JITTER: f64 = 0.1;

/// What the pipeline file says of a call's life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    /// How long it may be silent.
    pub(super) idle: Option<Duration>,
    /// How long it may last.
    pub(super) deadline: Option<Duration>,
    /// After how long it is replaced.
    pub(super) reopen_after: Option<Duration>,
}

/// Why a call is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing has come for so long.
    Silent(Duration),
    /// It has lasted as long as it may.
    Deadline,
    /// It is to be replaced as planned.
    Reopen,
    /// The server is about to close the connection, and asks its clients to go.
    GoingAway,
}

/// The clock of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    idle: Option<Duration>,
    heard_at: Instant,
    deadline: Option<Instant>,
    reopen: Option<Instant>,
}

impl Life {
    /// As declared.
    pub(super) fn new(config: &Config) -> Self {
        Life {
            idle: config.idle_timeout_ms.map(Duration::from_millis),
            deadline: config.call.deadline(),
            reopen_after: config.call.reopen_after(),
        }
    }

    /// For people; none where nothing is declared.
    pub(super) fn words(&self) -> Option<String> {
        let words = |what: &str, time: Option<Duration>| {
            time.map(|time| format!("{what} after {} ms", time.as_millis()))
        };
        let silent = words("given up in silence", self.idle);
        let failed = words("failed", self.deadline);
        let replaced = words("replaced", self.reopen_after);
        let all: Vec<String> = silent.into_iter().chain(failed).chain(replaced).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl Watch {
    /// Of a call that begins `now`, and is to be replaced at `reopen_at` at the latest. `chance`
    /// lies in `0.0..1.0`.
    pub(super) fn start(life: Life, reopen_at: Option<Instant>, now: Instant, chance: f64) -> Self {
        debug_assert!((0.0..1.0).contains(&chance), "chance is a share");
        let share = 1.0 - JITTER + 2.0 * JITTER * chance;
        let planned = life.reopen_after.map(|after| now + after.mul_f64(share));
        let soonest = planned.into_iter().chain(reopen_at).min();
        Watch {
            idle: life.idle,
            heard_at: now,
            deadline: life.deadline.map(|deadline| now + deadline),
            reopen: soonest.map(|at| at.max(now + REOPEN_AFTER_MIN)),
        }
    }

    /// The server is waited for from `now` on: what came before is dealt with.
    pub(super) fn listen(&mut self, now: impl FnOnce() -> Instant) {
        if self.idle.is_some() {
            self.heard_at = now();
        }
    }

    /// Done when the call is to be ended; `may_leave` if it may be replaced.
    pub(super) async fn due(&self, may_leave: bool) -> Due {
        match self.next(may_leave) {
            None => std::future::pending().await,
            Some((at, due)) => {
                sleep_until(at).await;
                due
            }
        }
    }

    fn next(&self, may_leave: bool) -> Option<(Instant, Due)> {
        let silent = self.idle.map(|idle| (self.heard_at + idle, Due::Silent(idle)));
        let deadline = self.deadline.map(|at| (at, Due::Deadline));
        let reopen = self.reopen.filter(|_| may_leave).map(|at| (at, Due::Reopen));
        silent.into_iter().chain(deadline).chain(reopen).min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const EVEN: f64 = 0.5;

    #[test]
    fn the_first_that_is_due_is_told_and_what_comes_in_ends_a_silence() {
        let life = Life {
            idle: Some(10 * SECOND),
            deadline: Some(25 * SECOND),
            reopen_after: Some(20 * SECOND),
        };
        let begun = Instant::now();
        let mut watch = Watch::start(life, None, begun, EVEN);
        let silent = Due::Silent(10 * SECOND);
        assert_eq!(watch.next(true), Some((begun + 10 * SECOND, silent)));
        watch.listen(|| begun + 9 * SECOND);
        assert_eq!(watch.next(true), Some((begun + 19 * SECOND, silent)));
        watch.listen(|| begun + 16 * SECOND);
        assert_eq!(watch.next(true), Some((begun + 20 * SECOND, Due::Reopen)));
        let kept = watch.next(false);
        assert_eq!(kept, Some((begun + 25 * SECOND, Due::Deadline)), "it may not be replaced");
        assert_eq!(Watch::start(Life::default(), None, begun, EVEN).next(true), None);
    }

    #[test]
    fn a_call_is_replaced_before_its_token_expires_and_never_in_a_tight_loop() {
        let begun = Instant::now();
        let life = Life { reopen_after: Some(100 * SECOND), ..Life::default() };
        let watch = Watch::start(life, Some(begun + 7 * SECOND), begun, EVEN);
        assert_eq!(watch.next(true), Some((begun + 7 * SECOND, Due::Reopen)));
        let watch = Watch::start(Life::default(), Some(begun), begun, EVEN);
        assert_eq!(watch.next(true), Some((begun + REOPEN_AFTER_MIN, Due::Reopen)));
    }

    #[test]
    fn chance_moves_a_planned_end_by_a_tenth_at_most() {
        let life = Life { reopen_after: Some(100 * SECOND), ..Life::default() };
        let begun = Instant::now();
        for (chance, expected) in [(0.0, 90), (0.999_999, 109)] {
            let watch = Watch::start(life, None, begun, chance);
            let at = watch.reopen.expect("planned").duration_since(begun);
            assert_eq!(at.as_secs(), expected);
        }
    }
}
