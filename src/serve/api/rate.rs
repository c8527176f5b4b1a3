//! How often one client may ask: a bucket of requests by address, filled at a steady rate.

use super::answer::Problem;
use super::limits::CLIENTS_MAX;
use axum::http::{StatusCode, header};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

/// The buckets of all clients.
pub(crate) struct Rates {
    per_second: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// So many requests a second, and twice as many at once.
    pub(crate) fn new(per_second: u32) -> Self {
        Rates { per_second: f64::from(per_second), buckets: Mutex::default() }
    }

    /// Counts a request, or refuses it.
    pub(crate) fn admit(&self, client: IpAddr) -> Result<(), Problem> {
        match self.takes(client, Instant::now()) {
            true => Ok(()),
            false => {
                let message = format!("more than {} requests a second", self.per_second);
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, message);
                Err(problem.with(header::RETRY_AFTER, "1"))
            }
        }
    }

    fn takes(&self, client: IpAddr, now: Instant) -> bool {
        let full = self.per_second * 2.0;
        let mut buckets = self.buckets.lock().expect("counting does not panic");
        if buckets.len() >= CLIENTS_MAX && !buckets.contains_key(&client) {
            forget_oldest(&mut buckets);
        }
        let bucket = buckets.entry(client).or_insert(Bucket { left: full, at: now });
        let earned = now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second;
        (bucket.left, bucket.at) = ((bucket.left + earned).min(full), now);
        let takes = bucket.left >= 1.0;
        bucket.left -= f64::from(u8::from(takes));
        takes
    }
}

/// Half of them, so that it is not due at every request.
fn forget_oldest(buckets: &mut HashMap<IpAddr, Bucket>) {
    let mut moments: Vec<Instant> = buckets.values().map(|bucket| bucket.at).collect();
    let middle = moments.len() / 2;
    let (_, middle, _) = moments.select_nth_unstable(middle);
    let middle = *middle;
    buckets.retain(|_, bucket| bucket.at > middle);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn client(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_client_that_asks_too_often_waits_and_others_do_not() {
        let (rates, now) = (Rates::new(2), Instant::now());
        let admitted = (0..10).filter(|_| rates.takes(client(1), now)).count();
        assert_eq!(admitted, 4, "twice the rate at once");
        assert!(rates.takes(client(2), now));
        let later = now + Duration::from_millis(500);
        assert!(rates.takes(client(1), later) && !rates.takes(client(1), later));
    }

    #[test]
    fn a_bounded_number_of_clients_is_remembered() {
        let (rates, now) = (Rates::new(1), Instant::now());
        for number in 0..u32::try_from(CLIENTS_MAX).unwrap() * 3 {
            rates.takes(client(number), now + Duration::from_nanos(number.into()));
        }
        assert!(rates.buckets.lock().unwrap().len() <= CLIENTS_MAX);
    }
}
