//! A pipeline's memory bound: bytes received but not yet durable.
//!
//! An I/O task takes credit before it hands a batch over; the committer gives it back once the
//! batch's epoch is durable. Without credit the task waits, reads no further message, and HTTP/2
//! flow control slows the server. Nothing is ever dropped.
//!
//! What a source holds back because it may not be handed over yet (`boundary: change`) has an
//! allowance of its own, of the same size. It cannot be the same one: held bytes come back only
//! when a server sends more, so groups that wait on silent servers would keep all other shards
//! from being read. Shards that fill it together with unfinished groups would all wait for each
//! other, so one of them at a time may go beyond it until its group is complete.
//!
//! Invariants
//! 1. Credit is taken while less than `max` is out, so the bound is overshot by at most one batch,
//!    and a message larger than the whole credit still passes, alone.
//! 2. Every byte taken is given back exactly once: of batches by the committer or a failed
//!    hand-over, of held messages by their source.
//! 3. What a step adds to a batch is charged without waiting, because a worker must not wait and
//!    the bytes are there already: it makes the readers wait.
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
    handed_over: Allowance,
    held: Allowance,
    /// Whether a source goes beyond what may be held.
    is_overdrawn: bool,
    peak_bytes: u64,
    waits: u64,
}

#[derive(Debug, Default)]
struct Allowance {
    used_bytes: u64,
    waiters: Vec<Waker>,
}

impl Credit {
    /// An allowance of `max_bytes`, all of it free.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Credit { max_bytes, state: Mutex::default() }
    }

    /// The whole allowance.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Takes `bytes`, or registers the caller's waker until some are given back.
    pub fn poll_take(&self, bytes: u64, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let taken = state.handed_over.poll_take(bytes, self.max_bytes, context);
        state.note(taken)
    }

    /// Takes `bytes` for messages that are held back; waits like [`Credit::poll_take`], unless
    /// nobody goes beyond the allowance yet, or the caller itself does. The answer is whether the
    /// caller does from now on, until [`Credit::let_go`].
    pub fn poll_hold(&self, bytes: u64, overdraws: bool, context: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        let is_free = state.held.poll_take(bytes, self.max_bytes, context);
        let overdraws = is_free.is_pending() && (overdraws || !state.is_overdrawn);
        if overdraws {
            state.is_overdrawn = true;
            state.held.used_bytes += bytes;
        }
        let taken = if overdraws { Poll::Ready(()) } else { is_free };
        state.note(taken).map(|()| overdraws)
    }

    /// Takes `bytes` that a step has added to its batch, whatever is out.
    pub fn charge(&self, bytes: u64) {
        let mut state = self.lock();
        state.handed_over.used_bytes += bytes;
        let _ = state.note(Poll::Ready(()));
    }

    /// Gives `bytes` back and wakes all who wait.
    pub fn give_back(&self, bytes: u64) {
        let waiters = self.lock().handed_over.give_back(bytes);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Gives `bytes` back that were held, and the right to go beyond the allowance.
    pub fn let_go(&self, bytes: u64, overdraws: bool) {
        let mut state = self.lock();
        state.is_overdrawn &= !overdraws;
        let waiters = state.held.give_back(bytes);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Bytes taken and not given back, held ones included.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
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

impl State {
    fn used_bytes(&self) -> u64 {
        self.handed_over.used_bytes + self.held.used_bytes
    }

    fn note(&mut self, taken: Poll<()>) -> Poll<()> {
        self.waits += u64::from(taken.is_pending());
        self.peak_bytes = self.peak_bytes.max(self.used_bytes());
        taken
    }
}

impl Allowance {
    fn poll_take(&mut self, bytes: u64, max_bytes: u64, context: &mut Context<'_>) -> Poll<()> {
        if self.used_bytes < max_bytes || self.used_bytes == 0 {
            self.used_bytes += bytes;
            return Poll::Ready(());
        }
        if !self.waiters.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiters.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// The wakers of all who wait, to be woken without the lock.
    fn give_back(&mut self, bytes: u64) -> Vec<Waker> {
        debug_assert!(self.used_bytes >= bytes, "credit is given back once");
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
        std::mem::take(&mut self.waiters)
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

    #[test]
    fn what_is_held_has_an_allowance_of_its_own_and_one_may_go_beyond_it() {
        let credit = Credit::new(100);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        assert_eq!(credit.poll_hold(100, false, &mut context), Poll::Ready(false));
        assert!(credit.poll_take(60, &mut context).is_ready(), "held bytes stop no other shard");
        assert_eq!(
            credit.poll_hold(50, false, &mut context),
            Poll::Ready(true),
            "the first beyond"
        );
        assert!(credit.poll_hold(1, false, &mut context).is_pending(), "the second waits");
        assert_eq!(credit.poll_hold(20, true, &mut context), Poll::Ready(true), "it may go on");
        assert_eq!((credit.used_bytes(), credit.waits()), (230, 1));
        let woken = || count.0.load(Ordering::SeqCst);
        let before = woken();
        credit.give_back(60);
        assert_eq!(woken(), before, "nobody waits for these");
        credit.let_go(70, true);
        assert!(woken() > before);
        assert_eq!(credit.poll_hold(1, false, &mut context), Poll::Ready(true), "now another");
    }

    #[test]
    fn what_a_step_adds_is_charged_at_once_and_makes_readers_wait() {
        let credit = Credit::new(100);
        let mut context = Context::from_waker(Waker::noop());
        assert!(credit.poll_take(60, &mut context).is_ready());
        credit.charge(200);
        assert!(credit.poll_take(1, &mut context).is_pending());
        credit.give_back(260);
        assert_eq!((credit.used_bytes(), credit.peak_bytes()), (0, 260));
    }
}
