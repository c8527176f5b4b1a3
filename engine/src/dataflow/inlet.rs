//! The crossing: an I/O task hands a batch to the worker that owns its shard.
//!
//! One bounded channel per source operator and worker; all shards of that worker send into it, so a
//! worker's cost grows with batches and not with shards. The engine knows no async runtime: `send`
//! is a plain future over `std::task`, and neither side ever blocks a thread.
//!
//! Waking. The worker is parked when idle. A sender wakes it once per activation (`armed`), because
//! an activation clones a path, sends on a channel and unparks a thread. The worker disarms
//! *before* it drains, so a batch that arrives during the drain wakes it again.
//!
//! Invariants
//! 1. Batches of one inlet arrive in the order they were sent.
//! 2. A full channel or a spent credit makes the sender wait; nothing is dropped.
//! 3. When the last inlet of an operator is dropped, the operator is woken and sees the end.
//!
//! Next: `source.rs` drains it.

use crate::dataflow::credit::Credit;
use crate::limits::INLET_BATCHES_MAX;
use crate::record::Batch;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use timely::scheduling::SyncActivator;

/// The sending end, held by an I/O task; one per shard, cheap to clone.
pub struct Inlet {
    sender: Option<Sender<Batch>>,
    crossing: Arc<Crossing>,
    credit: Arc<Credit>,
}

/// The receiving end, held by the source operator of one worker.
pub struct InletReceiver {
    receiver: Option<Receiver<Batch>>,
    crossing: Arc<Crossing>,
}

/// The dataflow is gone; the batch comes back, and the task should end.
#[derive(Debug, thiserror::Error)]
#[error("the dataflow has ended")]
pub struct InletClosed;

#[derive(Default)]
struct Crossing {
    activator: OnceLock<SyncActivator>,
    armed: AtomicBool,
    has_waiters: AtomicBool,
    waiters: Mutex<Vec<Waker>>,
}

/// A channel whose senders draw on `credit`.
#[must_use]
pub fn inlet(credit: &Arc<Credit>) -> (Inlet, InletReceiver) {
    let (sender, receiver) = bounded(INLET_BATCHES_MAX);
    let crossing = Arc::new(Crossing::default());
    let receiver = InletReceiver { receiver: Some(receiver), crossing: crossing.clone() };
    (Inlet { sender: Some(sender), crossing, credit: credit.clone() }, receiver)
}

impl Inlet {
    /// Hands `batch` over; waits for credit first, then for room.
    ///
    /// # Errors
    /// [`InletClosed`] once the operator is gone; the credit is given back.
    pub async fn send(&self, batch: Batch) -> Result<(), InletClosed> {
        let bytes = batch.credit_bytes;
        poll_fn(|context| self.credit.poll_take(bytes, context)).await;
        let mut batch = Some(batch);
        let sent = poll_fn(|context| self.poll_send(&mut batch, context)).await;
        sent.inspect_err(|_| self.credit.give_back(bytes))
    }

    /// Takes credit for `bytes` that are held back instead of handed over; waits for it. Returns
    /// whether the caller goes beyond what may be held, as only one may.
    pub async fn hold(&self, bytes: u64, overdraws: bool) -> bool {
        poll_fn(|context| self.credit.poll_hold(bytes, overdraws, context)).await
    }

    /// Gives credit back that [`Inlet::hold`] took, and the right to go beyond it.
    pub fn let_go(&self, bytes: u64, overdraws: bool) {
        self.credit.let_go(bytes, overdraws);
    }

    /// The most that all shards together may hold back, and so the most of one.
    #[must_use]
    pub fn hold_bytes_max(&self) -> u64 {
        self.credit.max_bytes()
    }

    fn poll_send(
        &self,
        batch: &mut Option<Batch>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), InletClosed>> {
        if let Some(done) = self.try_send(batch) {
            return Poll::Ready(done);
        }
        self.crossing.wait_for_room(context);
        // Once more: the operator may have drained between the attempt and the registration.
        self.try_send(batch).map_or(Poll::Pending, Poll::Ready)
    }

    fn try_send(&self, slot: &mut Option<Batch>) -> Option<Result<(), InletClosed>> {
        let batch = slot.take().expect("polled until ready, and no further");
        let sender = self.sender.as_ref().expect("an inlet keeps its sender until it is dropped");
        let outcome = sender.try_send(batch);
        self.crossing.wake_worker();
        match outcome {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Disconnected(_)) => Some(Err(InletClosed)),
            Err(TrySendError::Full(batch)) => {
                *slot = Some(batch);
                None
            }
        }
    }
}

impl Clone for Inlet {
    fn clone(&self) -> Self {
        Inlet {
            sender: self.sender.clone(),
            crossing: self.crossing.clone(),
            credit: self.credit.clone(),
        }
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        // The sender must be gone before the worker looks, or it would not see the end.
        self.sender.take();
        self.crossing.wake_worker();
    }
}

impl InletReceiver {
    /// Tells senders how to wake this operator. Called once, on the worker's own thread.
    pub(super) fn bind(&self, activator: SyncActivator) {
        let _ = self.crossing.activator.set(activator);
    }

    /// Lets the next sender wake the worker again; called before a drain.
    pub(super) fn disarm(&self) {
        self.crossing.armed.store(false, SeqCst);
    }

    /// The next batch, if one is ready.
    pub(super) fn next(&self) -> Result<Batch, Drained> {
        let receiver =
            self.receiver.as_ref().expect("a receiver keeps its end until it is dropped");
        receiver.try_recv().map_err(|reason| match reason {
            TryRecvError::Empty => Drained::ForNow,
            TryRecvError::Disconnected => Drained::ForEver,
        })
    }

    /// Wakes the senders that wait for room; called after a drain.
    pub(super) fn made_room(&self) {
        if self.crossing.has_waiters.swap(false, SeqCst) {
            self.crossing.wake_senders();
        }
    }
}

/// Why there is no next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing is ready.
    ForNow,
    /// All inlets are gone and everything they sent was taken.
    ForEver,
}

impl Drop for InletReceiver {
    fn drop(&mut self) {
        // Senders that wait for room must see the closed channel: it closes before they are woken.
        self.receiver.take();
        self.crossing.wake_senders();
    }
}

impl Crossing {
    fn wake_worker(&self) {
        // Not bound yet: timely schedules every operator once after it is built.
        if !self.armed.swap(true, SeqCst)
            && let Some(activator) = self.activator.get()
        {
            // An error means that the worker is gone; the sender learns it from the channel.
            let _ = activator.activate();
        }
    }

    fn wait_for_room(&self, context: &mut Context<'_>) {
        self.lock_waiters().push(context.waker().clone());
        self.has_waiters.store(true, SeqCst);
    }

    fn wake_senders(&self) {
        let waiters = std::mem::take(&mut *self.lock_waiters());
        waiters.into_iter().for_each(Waker::wake);
    }

    fn lock_waiters(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.waiters.lock().expect("no code panics while it holds the list of waiters")
    }
}
