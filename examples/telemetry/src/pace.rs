//! When an event is due: an open loop, which never slows down because somebody is slow.
//!
//! Why due times and not pauses: pausing after each event adds up every delay, so that a stalled
//! server asks for less load and its stall vanishes from the latencies (coordinated omission).
//! Here event `n` is due at `start + n / rate`, come what may; a backlog leaves at once.
//!
//! tokio's timer wakes once a millisecond: up to a millisecond's events leave together, and an
//! event is sent up to two milliseconds after it was due.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, Sleep};

/// The timetable of one stream.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    start_unix_ns: i64,
    rate: u64,
    /// How many events were handed out.
    taken: u64,
    /// The time when it was last looked at: no clock is read while a backlog leaves.
    now: Instant,
    wake: Pin<Box<Sleep>>,
}

impl Pace {
    /// A timetable of `rate` events per second from now on. Needs a tokio runtime.
    ///
    /// # Panics
    /// If the rate is 0: that is no pace.
    pub fn new(rate: u64) -> Pace {
        assert!(rate > 0, "a pace is at least one event per second");
        let start = Instant::now();
        Pace {
            start,
            start_unix_ns: unix_ns(),
            rate,
            taken: 0,
            now: start,
            wake: Box::pin(tokio::time::sleep_until(start)),
        }
    }

    /// Takes the next event when it is due, with the time it was due at (Unix, nanoseconds).
    pub fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<i64> {
        let offset = self.offset();
        let due = self.start + offset;
        while self.now < due {
            self.now = Instant::now();
            if self.now < due {
                self.wake.as_mut().reset(due);
                std::task::ready!(self.wake.as_mut().poll(context));
            }
        }
        self.taken += 1;
        Poll::Ready(self.start_unix_ns + offset.as_nanos() as i64)
    }

    /// From the start to the next event; exact for every rate, without an accumulated error.
    fn offset(&self) -> Duration {
        let seconds = self.taken / self.rate;
        let rest_ns = u128::from(self.taken % self.rate) * 1_000_000_000 / u128::from(self.rate);
        Duration::new(seconds, rest_ns as u32)
    }
}

/// The time since the Unix epoch in nanoseconds.
pub fn unix_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn events_are_due_at_even_distances_however_late_they_leave() {
        let mut pace = Pace::new(3);
        let first = std::future::poll_fn(|context| pace.poll_due(context)).await;
        tokio::time::advance(Duration::from_secs(5)).await;
        for n in 1..=15 {
            let due = std::future::poll_fn(|context| pace.poll_due(context)).await;
            assert_eq!(due - first, n * 1_000_000_000 / 3);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_leaves_before_it_is_due() {
        let mut pace = Pace::new(10);
        let start = Instant::now();
        for n in 0..20 {
            std::future::poll_fn(|context| pace.poll_due(context)).await;
            assert!(start.elapsed() >= Duration::from_millis(100) * n);
        }
    }
}
