//! When an epoch closes: on demand, never by a ticking clock.
//!
//! An epoch closes once something was emitted into it *and* it is old or large enough *and* the
//! epochs before it are durable, but for as many as can be committed beside it. So an idle pipeline
//! closes nothing, opens no transaction and uses no CPU; and behind a slow sink epochs grow instead
//! of queueing up (a group commit for free).
//!
//! The clock is looked at by source operators, which ask timely to wake them again when the open
//! epoch is due. All source operators of a pipeline share one [`Epochs`].
//!
//! Invariants
//! 1. `open` only grows; so does `durable`; `durable <= open`, except at the end, when all is
//!    durable.
//! 2. At most [`EpochBounds::closed_max`] closed epochs are not durable.
//! 3. Whoever closes an epoch or makes one durable wakes all source and stage operators.
//!
//! Next: `source.rs` downgrades its capability when the open epoch moves.

use crate::clock::Clock;
use crate::ids::Epoch;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use timely::scheduling::SyncActivator;

/// When an epoch is due.
#[derive(Clone, Copy, Debug)]
pub struct EpochBounds {
    /// Age at which the open epoch closes.
    pub interval: Duration,
    /// Credit bytes at which the open epoch closes before its time.
    pub bytes_max: u64,
    /// How many closed epochs may not be durable yet: as many as have a transaction at a time.
    pub closed_max: u64,
}

/// The epochs of one pipeline, shared by its operators and its committer.
pub struct Epochs {
    bounds: EpochBounds,
    clock: Arc<dyn Clock>,
    open: AtomicU64,
    durable: AtomicU64,
    emitted: Mutex<Emitted>,
    sleepers: Mutex<Vec<SyncActivator>>,
}

/// What sources emitted; locked once per drain of an inlet, never per record.
#[derive(Default)]
struct Emitted {
    /// When the first batch went into the open epoch; `None` while it is empty.
    first_at: Option<Duration>,
    /// Credit bytes by epoch, for all epochs that are not durable.
    bytes: BTreeMap<Epoch, u64>,
}

/// What a source operator does next about the open epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing to wait for: the epoch is empty, or becoming durable will wake the operator.
    No,
    /// Look again after this long.
    In(Duration),
    /// This call closed the epoch.
    Closed,
}

impl Epochs {
    /// The first open epoch is `first`: one past the last epoch that was ever committed.
    #[must_use]
    pub fn new(first: Epoch, bounds: EpochBounds, clock: Arc<dyn Clock>) -> Self {
        Epochs {
            bounds,
            clock,
            open: AtomicU64::new(first.0),
            durable: AtomicU64::new(first.0),
            emitted: Mutex::default(),
            sleepers: Mutex::default(),
        }
    }

    /// The epoch that sources emit into.
    #[must_use]
    pub fn open(&self) -> Epoch {
        Epoch(self.open.load(Acquire))
    }

    /// Every epoch below this one is durable.
    #[must_use]
    pub fn durable(&self) -> Epoch {
        Epoch(self.durable.load(Acquire))
    }

    /// The time on the clock the epochs live by.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Wakes `sleeper` whenever an epoch closes or becomes durable.
    pub fn register(&self, sleeper: SyncActivator) {
        self.lock_sleepers().push(sleeper);
    }

    /// A source emitted `bytes` under a capability at `epoch`, which another worker may have closed
    /// in the meantime. The first emission into the open epoch starts its age.
    pub fn emitted(&self, epoch: Epoch, bytes: u64) -> Due {
        let mut emitted = self.lock_emitted();
        let total = emitted.bytes.entry(epoch).or_default();
        *total += bytes;
        let full = *total >= self.bounds.bytes_max;
        if epoch != self.open() {
            return Due::No;
        }
        let is_first = emitted.first_at.is_none();
        if is_first {
            emitted.first_at = Some(self.clock.now());
        }
        match (full, is_first) {
            (true, _) => Due::In(Duration::ZERO),
            (false, true) => Due::In(self.bounds.interval),
            (false, false) => Due::No,
        }
    }

    /// A step added `bytes` to a batch of `epoch`, which is not durable while a step works in it.
    pub fn grown(&self, epoch: Epoch, bytes: u64) {
        *self.lock_emitted().bytes.entry(epoch).or_default() += bytes;
    }

    /// Closes the open epoch if it is due and not too many before it are still to be committed.
    pub fn try_close(&self) -> Due {
        let mut emitted = self.lock_emitted();
        let Some(first_at) = emitted.first_at else {
            return Due::No;
        };
        let age = self.clock.now().saturating_sub(first_at);
        let bytes = emitted.bytes.get(&self.open()).copied().unwrap_or(0);
        if age < self.bounds.interval && bytes < self.bounds.bytes_max {
            return Due::In(self.bounds.interval - age);
        }
        if self.open().0.saturating_sub(self.durable().0) >= self.bounds.closed_max {
            return Due::No;
        }
        emitted.first_at = None;
        self.open.fetch_add(1, AcqRel);
        drop(emitted);
        self.wake_all();
        Due::Closed
    }

    /// The committer reports that every epoch below `below` is durable. Returns the credit bytes of
    /// the epochs that became so.
    #[must_use]
    pub fn set_durable(&self, below: Epoch) -> u64 {
        let before = self.durable.fetch_max(below.0, AcqRel);
        debug_assert!(before <= below.0, "durable epochs only grow");
        let mut emitted = self.lock_emitted();
        let rest = emitted.bytes.split_off(&below);
        let done = std::mem::replace(&mut emitted.bytes, rest);
        drop(emitted);
        self.wake_all();
        done.values().sum()
    }

    /// Wakes every registered operator.
    pub fn wake_all(&self) {
        for sleeper in self.lock_sleepers().iter() {
            // An error means that its worker is gone, and then there is nobody to wake.
            let _ = sleeper.activate();
        }
    }

    fn lock_emitted(&self) -> MutexGuard<'_, Emitted> {
        self.emitted.lock().expect("no code panics while it holds the emitted bytes")
    }

    fn lock_sleepers(&self) -> MutexGuard<'_, Vec<SyncActivator>> {
        self.sleepers.lock().expect("no code panics while it holds the list of sleepers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const INTERVAL: Duration = Duration::from_millis(50);

    fn epochs(bytes_max: u64) -> (Epochs, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let bounds = EpochBounds { interval: INTERVAL, bytes_max, closed_max: 1 };
        (Epochs::new(Epoch(7), bounds, clock.clone()), clock)
    }

    #[test]
    fn an_idle_pipeline_closes_no_epoch() {
        let (epochs, clock) = epochs(1_000);
        clock.advance(Duration::from_secs(60));
        assert_eq!(epochs.try_close(), Due::No);
        assert_eq!(epochs.open(), Epoch(7));
    }

    #[test]
    fn an_epoch_closes_at_its_age_counted_from_its_first_batch() {
        let (epochs, clock) = epochs(1_000);
        clock.advance(Duration::from_secs(60));
        assert_eq!(epochs.emitted(Epoch(7), 10), Due::In(INTERVAL));
        clock.advance(Duration::from_millis(20));
        assert_eq!(epochs.emitted(Epoch(7), 10), Due::No);
        assert_eq!(epochs.try_close(), Due::In(Duration::from_millis(30)));
        clock.advance(Duration::from_millis(30));
        assert_eq!(epochs.try_close(), Due::Closed);
        assert_eq!(epochs.open(), Epoch(8));
    }

    #[test]
    fn a_full_epoch_closes_before_its_age() {
        let (epochs, _clock) = epochs(1_000);
        assert_eq!(epochs.emitted(Epoch(7), 600), Due::In(INTERVAL));
        assert_eq!(epochs.emitted(Epoch(7), 600), Due::In(Duration::ZERO));
        assert_eq!(epochs.try_close(), Due::Closed);
    }

    #[test]
    fn the_next_epoch_stays_open_until_the_last_is_durable() {
        let (epochs, clock) = epochs(1_000);
        for epoch in [Epoch(7), Epoch(8)] {
            assert_eq!(epochs.open(), epoch);
            let _ = epochs.emitted(epoch, 1);
            clock.advance(INTERVAL);
            if epoch == Epoch(8) {
                assert_eq!(epochs.try_close(), Due::No, "epoch 7 is closed and not durable");
                assert_eq!(epochs.set_durable(Epoch(8)), 1);
            }
            assert_eq!(epochs.try_close(), Due::Closed);
        }
        assert_eq!((epochs.open(), epochs.durable()), (Epoch(9), Epoch(8)));
    }

    #[test]
    fn credit_comes_back_for_the_epoch_a_late_worker_emitted_under() {
        let (epochs, clock) = epochs(1_000);
        let _ = epochs.emitted(Epoch(7), 10);
        clock.advance(INTERVAL);
        assert_eq!(epochs.try_close(), Due::Closed);
        assert_eq!(epochs.emitted(Epoch(7), 5), Due::No, "starts no age for epoch 8");
        assert_eq!(epochs.try_close(), Due::No);
        assert_eq!(epochs.set_durable(Epoch(8)), 15);
    }
}
