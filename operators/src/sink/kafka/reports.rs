//! Waiting for what a client reports of its deliveries.
//!
//! `BaseProducer::poll` with a timeout does not do for it: it takes its whole time even if a report
//! comes, and because it rounds what is left of it down to milliseconds, it spins through the last
//! one. So a wait looks again and again, and sleeps in between.
//!
//! Its steps grow with the time that nothing came. Steady ones of the first length would cost
//! nobody anything who waits two milliseconds; two hundred pipelines that wait for a slow broker
//! would take a small machine whole, and the broker on it would become slower for it.
//!
//! Next: `producer.rs` waits for records, `progress.rs` for marks.

use std::time::{Duration, Instant};

/// The first sleep.
const STEP_MIN: Duration = Duration::from_micros(200);
/// The longest one.
const STEP_MAX: Duration = Duration::from_millis(20);
/// A sleep is such a part of the time that nothing came: so much later than need be, at most, a
/// report is seen.
const STEP_PART: u32 = 16;

/// A wait for reports.
#[derive(Debug)]
pub(super) struct ReportWait {
    /// When one came, or the wait began.
    since: Instant,
}

impl ReportWait {
    pub(super) fn begin() -> Self {
        ReportWait { since: Instant::now() }
    }

    /// Serves one report by `poll`; sleeps for a step if it was about nothing that is `in_flight`.
    pub(super) fn serve(&mut self, in_flight: impl Fn() -> u64, poll: impl FnOnce()) {
        let before = in_flight();
        poll();
        if in_flight() == before {
            std::thread::sleep(step(self.since.elapsed()));
        } else {
            self.since = Instant::now();
        }
    }
}

/// The sleep when nothing has come for so long.
fn step(silence: Duration) -> Duration {
    (silence / STEP_PART).clamp(STEP_MIN, STEP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_wait_is_looked_at_often_and_a_long_one_seldom() {
        assert_eq!(step(Duration::ZERO), STEP_MIN);
        assert_eq!(step(Duration::from_millis(3)), STEP_MIN);
        assert_eq!(step(Duration::from_millis(160)), Duration::from_millis(10));
        assert_eq!(step(Duration::from_secs(60)), STEP_MAX);
    }
}
