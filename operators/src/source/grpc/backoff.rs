//! How long to wait before the next attempt.
//!
//! Exponential with jitter, so that many clients of one server do not come back all at once. Only a
//! received message starts it anew: a server that accepts connections and then drops them would
//! otherwise be called in a tight loop.
//!
//! The source of chance is handed in, so that the waits can be tested.

use super::config::ReconnectConfig;
use std::time::Duration;

/// Each wait is this many times the last one.
const MULTIPLIER: u32 = 2;

/// The part of a wait that chance adds or takes away at most.
const JITTER: f64 = 0.25;

/// The waits of one shard.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    attempts_max: Option<u32>,
    attempts: u32,
}

/// A wait that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// Which attempt follows it, from 1.
    pub(super) attempt: u32,
    /// How long it is.
    pub(super) delay: Duration,
}

/// As many attempts as are allowed were made without a message in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {attempts} attempts without a message (reconnect.attempts_max)")]
pub(super) struct GaveUp {
    attempts: u32,
}

impl Backoff {
    /// Waits as the pipeline file says.
    pub(super) fn new(config: &ReconnectConfig) -> Self {
        Backoff {
            min: Duration::from_millis(config.backoff_min_ms),
            max: Duration::from_millis(config.backoff_max_ms.max(config.backoff_min_ms)),
            attempts_max: config.attempts_max,
            attempts: 0,
        }
    }

    /// A message was received: the next wait is the first one again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next wait; `chance` lies in `0.0..1.0`.
    ///
    /// # Errors
    /// [`GaveUp`] once the allowed attempts are used up.
    pub(super) fn next(&mut self, chance: f64) -> Result<Wait, GaveUp> {
        debug_assert!((0.0..1.0).contains(&chance), "chance is a share");
        if self.attempts_max.is_some_and(|max| self.attempts >= max) {
            return Err(GaveUp { attempts: self.attempts });
        }
        let factor = MULTIPLIER.saturating_pow(self.attempts);
        let even = self.min.saturating_mul(factor).min(self.max);
        let delay = even.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance);
        self.attempts = self.attempts.saturating_add(1);
        Ok(Wait { attempt: self.attempts, delay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: f64 = 0.5;

    fn backoff(min_ms: u64, max_ms: u64, attempts_max: Option<u32>) -> Backoff {
        Backoff::new(&ReconnectConfig {
            backoff_min_ms: min_ms,
            backoff_max_ms: max_ms,
            attempts_max,
            ..ReconnectConfig::default()
        })
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = backoff(100, 1_000, None);
        let waits: Vec<u128> =
            (0..6).map(|_| backoff.next(EVEN).expect("no limit").delay.as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn chance_moves_a_wait_by_a_quarter_at_most() {
        let low = backoff(1_000, 60_000, None).next(0.0).expect("no limit").delay;
        let high = backoff(1_000, 60_000, None).next(0.999_999).expect("no limit").delay;
        assert_eq!(low, Duration::from_millis(750));
        assert!(high > Duration::from_millis(1_249) && high < Duration::from_millis(1_250));
    }

    #[test]
    fn only_a_message_starts_anew_and_attempts_are_counted() {
        let mut backoff = backoff(100, 1_000, Some(2));
        assert_eq!(backoff.next(EVEN).expect("first").attempt, 1);
        assert_eq!(backoff.next(EVEN).expect("second").attempt, 2);
        assert_eq!(backoff.next(EVEN), Err(GaveUp { attempts: 2 }));
        backoff.reset();
        let again = Wait { attempt: 1, delay: Duration::from_millis(100) };
        assert_eq!(backoff.next(EVEN), Ok(again));
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let mut backoff = backoff(10, 3_600_000, None);
        for _ in 0..10_000 {
            assert!(backoff.next(EVEN).expect("no limit").delay <= Duration::from_secs(3_600));
        }
    }
}
