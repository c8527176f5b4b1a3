//! A pipeline's memory bound: bytes received but not yet durable.
//!
//! An I/O task takes credit before it hands a batch over; the committer gives it back once the
//! batch's epoch is durable. Without credit the task waits, reads no further message, and HTTP/2
//! flow control slows the server. Nothing is ever dropped.
//!
//! Invariants
//! 1. Credit is taken while less than `max` is out, so the bound is overshot by at most one batch,
//!    and a message larger than the whole credit still passes, alone.
//! 2. Every byte taken is given back exactly once, by the committer or by a batch's failed
//!    hand-over.
//!
//! Next: `inlet.rs` takes credit for each batch.

use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// A counted allowance of bytes. Locked once per batch, never per record.
#[derive(Debug)]
pub struct Credit {
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used_bytes: u64,
    peak_bytes: u64,
    waits: u64,
    waiters: Vec<Waker>,
}

impl Credit {
    /// An allowance of `max_bytes`, all of it free.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Credit { max_bytes, state: Mutex::default() }
    }

    /// Takes `bytes`, or registers the caller's waker until some are given back.
    pub fn poll_take(&self, bytes: u64, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.used_bytes < self.max_bytes || state.used_bytes == 0 {
            state.used_bytes += bytes;
            state.peak_bytes = state.peak_bytes.max(state.used_bytes);
            return Poll::Ready(());
        }
        state.waits += 1;
        if !state.waiters.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiters.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Gives `bytes` back and wakes all who wait.
    pub fn give_back(&self, bytes: u64) {
        let mut state = self.lock();
        debug_assert!(state.used_bytes >= bytes, "credit is given back once");
        state.used_bytes = state.used_bytes.saturating_sub(bytes);
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Bytes taken and not given back.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes
    }

    /// The most that was ever out.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.lock().peak_bytes
    }

    /// How often a reader found no credit and had to wait.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.lock().waits
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the credit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_bound_is_overshot_by_one_batch_at_most_and_waiters_wake_on_give_back() {
        let credit = Credit::new(100);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        assert!(credit.poll_take(60, &mut context).is_ready());
        assert!(credit.poll_take(60, &mut context).is_ready());
        assert!(credit.poll_take(1, &mut context).is_pending());
        assert!(credit.poll_take(1, &mut context).is_pending());
        assert_eq!((credit.used_bytes(), credit.peak_bytes(), credit.waits()), (120, 120, 2));
        credit.give_back(60);
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "one waker, registered once");
        assert!(credit.poll_take(1, &mut context).is_ready());
    }

    #[test]
    fn a_message_larger_than_the_whole_credit_passes_alone() {
        let credit = Credit::new(10);
        let mut context = Context::from_waker(Waker::noop());
        assert!(credit.poll_take(1_000, &mut context).is_ready());
        assert!(credit.poll_take(1, &mut context).is_pending());
        credit.give_back(1_000);
        assert!(credit.poll_take(1, &mut context).is_ready());
    }
}
