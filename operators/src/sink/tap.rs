//! A tap: records of a running pipeline shown to those who look, a few of them.
//!
//! It stands where batches are staged, behind every decoder and transform, on the committer's
//! thread. What is shown is therefore decoded and on its way; it may not be committed yet, and is
//! shown again if its transaction had to be repeated.
//!
//! Invariants
//! 1. Nobody waits: a listener whose queue is full misses the record, and is told how many it
//!    missed.
//! 2. Without a listener a batch costs one relaxed load.
//! 3. A listener is shown at most its own number of records a second, and of each at most
//!    [`TAP_VALUE_BYTES_MAX`] bytes.
//!
//! Next: `src/serve/tail.rs` sends them to a browser.

use crate::limits::{TAP_LISTENERS_MAX, TAP_QUEUE_MAX, TAP_VALUE_BYTES_MAX};
use headwater_engine::ids::{Sequence, Session, ShardKey, SinkIndex};
use headwater_engine::record::Batch;
use headwater_engine::shards::ShardTable;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokio::sync::mpsc;

/// The tap; clones are the same one.
#[derive(Clone, Default)]
pub struct Tap(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// How many there are, for those who only want to know whether anybody is there.
    count: AtomicUsize,
    listeners: Mutex<Vec<Listener>>,
}

/// One record as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The sink that it goes to, by its number in the pipeline.
    pub sink: SinkIndex,
    /// The shard that it came from.
    pub shard: ShardKey,
    /// The call that it came over.
    pub session: Session,
    /// Its number in that call.
    pub sequence: Sequence,
    /// When its batch was received, milliseconds since 1970-01-01T00:00:00Z.
    pub received_unix_ms: i64,
    /// Its value, or the beginning of it.
    pub value: Vec<u8>,
    /// Bytes of the whole value.
    pub bytes: usize,
}

/// The end that is read.
pub struct Tail {
    samples: mpsc::Receiver<Sample>,
    skipped: Arc<AtomicU64>,
}

/// As many look at this pipeline as may.
#[derive(Debug, thiserror::Error)]
#[error("{TAP_LISTENERS_MAX} readers already look at this pipeline")]
pub struct TooManyListeners;

struct Listener {
    samples: mpsc::Sender<Sample>,
    /// Records that were there and were not shown.
    skipped: Arc<AtomicU64>,
    allowance: Allowance,
}

/// So many records a second, and as many at once.
struct Allowance {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Tap {
    /// Looks, at `per_second` records a second at most.
    ///
    /// # Errors
    /// [`TooManyListeners`]
    pub fn listen(&self, per_second: u32) -> Result<Tail, TooManyListeners> {
        let mut listeners = self.lock();
        listeners.retain(|listener| !listener.samples.is_closed());
        if listeners.len() >= TAP_LISTENERS_MAX {
            return Err(TooManyListeners);
        }
        let (sender, samples) = mpsc::channel(TAP_QUEUE_MAX);
        let skipped = Arc::<AtomicU64>::default();
        let per_second = f64::from(per_second);
        let allowance = Allowance { per_second, left: per_second, at: Instant::now() };
        listeners.push(Listener { samples: sender, skipped: skipped.clone(), allowance });
        self.0.count.store(listeners.len(), Relaxed);
        Ok(Tail { samples, skipped })
    }

    /// Shows some of the records of `batch`, if anybody looks.
    pub(super) fn show(&self, sink: SinkIndex, batch: &Batch, shards: &ShardTable) {
        if self.0.count.load(Relaxed) == 0 || batch.is_empty() {
            return;
        }
        let shard = shards.get(batch.shard).key.clone();
        let now = Instant::now();
        let mut listeners = self.lock();
        for listener in listeners.iter_mut() {
            listener.show(sink, batch, &shard, now);
        }
        listeners.retain(|listener| !listener.samples.is_closed());
        self.0.count.store(listeners.len(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.0.listeners.lock().expect("no code panics while it holds the listeners")
    }
}

impl Tail {
    /// The next record; none once the pipeline's tap is gone.
    pub async fn next(&mut self) -> Option<Sample> {
        self.samples.recv().await
    }

    /// Records that passed by since this was last asked.
    #[must_use]
    pub fn take_skipped(&self) -> u64 {
        self.skipped.swap(0, Relaxed)
    }
}

impl Listener {
    /// Shows as many records as are allowed now, spread evenly over the batch.
    fn show(&mut self, sink: SinkIndex, batch: &Batch, shard: &ShardKey, now: Instant) {
        let count = batch.len();
        let allowed = self.allowance.take(count, now);
        let mut shown = 0;
        for nth in 0..allowed {
            let sample = sample(sink, batch, shard, nth * count / allowed);
            if self.samples.try_send(sample).is_err() {
                break;
            }
            shown += 1;
        }
        self.skipped.fetch_add((count - shown) as u64, Relaxed);
    }
}

impl Allowance {
    fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + earned).min(self.per_second);
        let given = wanted.min(self.left as usize);
        self.left -= given as f64;
        given
    }
}

fn sample(sink: SinkIndex, batch: &Batch, shard: &ShardKey, index: usize) -> Sample {
    let value = batch.values.get(index);
    Sample {
        sink,
        shard: shard.clone(),
        session: batch.session,
        sequence: batch.sequence(index),
        received_unix_ms: batch.received.unix_ms,
        value: value[..value.len().min(TAP_VALUE_BYTES_MAX)].to_vec(),
        bytes: value.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use headwater_engine::ids::ShardIndex;
    use headwater_engine::record::{ReceivedAt, Values};
    use headwater_engine::shards::ShardEntry;

    fn shards() -> ShardTable {
        let entry =
            |name: &str| ShardEntry { key: ShardKey(name.to_owned()), fingerprint: String::new() };
        ShardTable::new([entry("feed/a")])
    }

    fn batch(first: u64, values: usize) -> Batch {
        let value = |nth| Bytes::from(format!("value {nth}"));
        Batch {
            shard: ShardIndex(0),
            session: Session(1),
            first: Sequence(first),
            end: Sequence(first + values as u64),
            received: ReceivedAt::default(),
            kept: None,
            values: Values::Received(Arc::new((0..values).map(value).collect())),
            columns: Vec::new(),
            dead: Vec::new(),
            gaps: Vec::new(),
            position: None,
            credit_bytes: 0,
        }
    }

    fn drain(tail: &mut Tail) -> Vec<u64> {
        std::iter::from_fn(|| tail.samples.try_recv().ok()).map(|it| it.sequence.0).collect()
    }

    #[test]
    fn a_listener_is_shown_records_spread_over_a_batch_and_told_how_many_it_missed() {
        let tap = Tap::default();
        let mut tail = tap.listen(4).unwrap();
        tap.show(SinkIndex(0), &batch(100, 8), &shards());
        assert_eq!(drain(&mut tail), [100, 102, 104, 106]);
        assert_eq!((tail.take_skipped(), tail.take_skipped()), (4, 0));
    }

    #[test]
    fn a_full_queue_loses_records_and_holds_nobody_up() {
        let tap = Tap::default();
        let mut tail = tap.listen(u32::MAX).unwrap();
        tap.show(SinkIndex(0), &batch(0, TAP_QUEUE_MAX + 10), &shards());
        assert_eq!(drain(&mut tail).len(), TAP_QUEUE_MAX);
        assert_eq!(tail.take_skipped(), 10);
    }

    #[test]
    fn who_has_left_is_forgotten_and_a_bounded_number_may_look() {
        let tap = Tap::default();
        let all: Vec<_> = (0..TAP_LISTENERS_MAX).map(|_| tap.listen(1).unwrap()).collect();
        assert!(tap.listen(1).is_err());
        drop(all);
        tap.show(SinkIndex(0), &batch(0, 1), &shards());
        assert_eq!(tap.0.count.load(Relaxed), 0, "nothing costs anything any more");
        assert!(tap.listen(1).is_ok());
    }

    #[test]
    fn a_long_value_is_cut_and_its_length_is_told() {
        let tap = Tap::default();
        let mut tail = tap.listen(10).unwrap();
        let long = Bytes::from(vec![b'x'; TAP_VALUE_BYTES_MAX + 1]);
        let values = Values::Received(Arc::new(vec![long]));
        tap.show(SinkIndex(0), &Batch { values, ..batch(0, 1) }, &shards());
        let sample = tail.samples.try_recv().unwrap();
        assert_eq!(
            (sample.value.len(), sample.bytes),
            (TAP_VALUE_BYTES_MAX, TAP_VALUE_BYTES_MAX + 1)
        );
    }

    #[test]
    fn an_allowance_grows_with_time_up_to_one_second_of_it() {
        let at = Instant::now();
        let mut allowance = Allowance { per_second: 10.0, left: 10.0, at };
        assert_eq!(allowance.take(100, at), 10);
        let later = at + std::time::Duration::from_millis(500);
        assert_eq!(allowance.take(100, later), 5);
        assert_eq!(allowance.take(100, later + std::time::Duration::from_secs(60)), 10);
    }
}
