//! Bounds what librdkafka says of the same thing again and again.
//!
//! While a broker is down every client of ours reports each failed attempt to connect, several
//! times a second and for as long as it lasts. The first lines tell what happened; the rest is
//! counted, and the next line that is let through bears the count.
//!
//! Why for the whole process: a pipeline that is built anew makes new clients, and a bound of each
//! of them would bound nothing.
//!
//! Invariants
//! 1. In one interval a facility logs at most [`LINES_MAX`] lines.
//! 2. Every line is either logged or counted in the next one of its facility that is logged.

use headwater_engine::clock::{Clock, SystemClock};
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// Lines of one facility that are logged within one [`INTERVAL`].
const LINES_MAX: u64 = 5;

/// How long lines are counted together; it begins with the first of them.
const INTERVAL: Duration = Duration::from_secs(10);

/// Facilities that are told apart. librdkafka has a few dozen; what comes beyond shares one place.
const FACILITIES_MAX: usize = 64;

/// Where facilities beyond [`FACILITIES_MAX`] are counted.
const OTHERS: &str = "others";

/// The place of reports that librdkafka makes through its error callback.
const ERRORS: &str = "error";

static OF_PROCESS: LazyLock<(LogLimit, SystemClock)> = LazyLock::new(Default::default);

/// Which lines may pass.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<BTreeMap<String, Window>>);

/// The current interval of one facility.
#[derive(Debug)]
struct Window {
    began: Duration,
    lines: u64,
    suppressed: u64,
}

/// Logs a line of librdkafka's as a warning, unless too many came before it.
pub(super) fn warn(facility: &str, message: &str) {
    if let Some(suppressed) = admit(facility) {
        tracing::warn!(event = "kafka_client", facility, suppressed, "{message}");
    }
}

/// Logs an error that librdkafka reports to its client, unless too many came before it.
pub(super) fn error(error: &KafkaError, reason: &str) {
    if let Some(suppressed) = admit(ERRORS) {
        tracing::warn!(event = "kafka_client_error", %error, suppressed, "{reason}");
    }
}

fn admit(facility: &str) -> Option<Suppressed> {
    let (limit, clock) = &*OF_PROCESS;
    limit.admit(facility, clock.now())
}

/// How many lines were held back since the last one that passed; a field only if there are any.
pub(crate) type Suppressed = Option<u64>;

impl LogLimit {
    /// Whether a line of `facility` may pass at `now`; if so, how many were held back before it.
    pub(crate) fn admit(&self, facility: &str, now: Duration) -> Option<Suppressed> {
        let mut windows = self.0.lock().expect("counting does not panic");
        let is_known = windows.contains_key(facility);
        let place = if is_known || windows.len() < FACILITIES_MAX { facility } else { OTHERS };
        if !windows.contains_key(place) {
            windows.insert(place.to_owned(), Window { began: now, lines: 0, suppressed: 0 });
        }
        windows.get_mut(place).expect("it was just put there").admit(now)
    }
}

impl Window {
    fn admit(&mut self, now: Duration) -> Option<Suppressed> {
        if now.saturating_sub(self.began) >= INTERVAL {
            (self.began, self.lines) = (now, 0);
        }
        self.lines += 1;
        if self.lines > LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        let suppressed = std::mem::take(&mut self.suppressed);
        Some((suppressed > 0).then_some(suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    #[test]
    fn the_first_lines_pass_and_the_rest_is_counted_on_the_next_one() {
        let limit = LogLimit::default();
        for _ in 0..LINES_MAX {
            assert_eq!(limit.admit("FAIL", START), Some(None));
        }
        for tenths in 0..70 {
            let now = START + Duration::from_millis(100) * tenths;
            assert_eq!(limit.admit("FAIL", now), None);
        }
        assert_eq!(limit.admit("FAIL", START + INTERVAL), Some(Some(70)));
        assert_eq!(limit.admit("FAIL", START + INTERVAL), Some(None), "it is counted once");
    }

    #[test]
    fn facilities_do_not_use_up_each_others_lines() {
        let limit = LogLimit::default();
        while limit.admit("FAIL", START).is_some() {}
        assert_eq!(limit.admit("TERMINATE", START), Some(None));
    }

    #[test]
    fn a_broker_that_is_down_for_an_hour_is_told_of_in_a_bounded_number_of_lines() {
        let limit = LogLimit::default();
        let attempts = (0..36_000).map(|tenths| START + Duration::from_millis(100) * tenths);
        let passed: Vec<_> = attempts.filter_map(|now| limit.admit("FAIL", now)).collect();
        assert_eq!(passed.len() as u64, 360 * LINES_MAX);
        let suppressed: u64 = passed.iter().flatten().sum();
        // What the last interval held back is told with a line that has not come.
        let rest = 100 - LINES_MAX;
        assert_eq!(passed.len() as u64 + suppressed + rest, 36_000, "none is forgotten");
    }

    #[test]
    fn facilities_beyond_the_bound_share_one_place() {
        let limit = LogLimit::default();
        for number in 0..10_000 {
            limit.admit(&format!("F{number}"), START);
        }
        let windows = limit.0.lock().expect("nobody panicked");
        assert_eq!(windows.len(), FACILITIES_MAX + 1);
        assert!(windows[OTHERS].suppressed > 9_000);
    }
}
