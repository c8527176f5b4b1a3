//! A reader of committed records that looks on all the while, on a thread of its own.
//!
//! A client of librdkafka may find its broker no more after a restart, and then reads nothing for
//! ever. Such a reader proves nothing about the writer; so one that is silent for long begins anew
//! where it stands, and says in the report how often it did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use headwater_test_support::topic::{Follower, Isolation, consumer, consumer_at, is_passing};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;

/// It ends when it is dropped.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Follower>,
    /// Errors of the client, by text: none of them is wrong by itself.
    errors: Mutex<BTreeMap<String, u64>>,
    /// Where it goes on in each partition.
    next: Mutex<BTreeMap<i32, i64>>,
    ends: AtomicBool,
}

const POLL: Duration = Duration::from_millis(100);

/// Longer than anything that is done to the broker.
const SILENCE_MAX: Duration = Duration::from_secs(40);

impl Reader {
    /// Reads a topic that is there.
    pub(crate) fn start(bootstrap: &str, topic: &str) -> Result<Reader> {
        let consumer = consumer(bootstrap, topic, Isolation::Committed)?;
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let mut consumer = consumer;
            while !of_thread.read(&consumer) {
                of_thread.error("silent for long, begun anew".to_owned());
                match of_thread.begin_anew(&bootstrap, &topic) {
                    Ok(anew) => consumer = anew,
                    Err(error) => of_thread.error(format!("{error:#}")),
                }
            }
        });
        Ok(Reader { shared, thread: Some(thread) })
    }

    /// What it saw so far.
    pub(crate) fn seen(&self) -> Follower {
        self.shared.seen().clone()
    }

    /// Where a shard stands.
    pub(crate) fn last(&self, shard: &str) -> u64 {
        self.shared.seen().last.get(shard).copied().unwrap_or(0)
    }

    /// What its client said, and how often.
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        self.shared.errors().clone()
    }
}

impl Shared {
    /// Reads until the end, or until nothing has come for long; whether it is the end.
    fn read(&self, consumer: &BaseConsumer) -> bool {
        let mut heard = Instant::now();
        while !self.ends.load(Ordering::Relaxed) {
            match consumer.poll(POLL) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Ok(message)) => {
                    self.next().insert(message.partition(), message.offset() + 1);
                    self.seen().take(&message);
                    heard = Instant::now();
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => self.error(error.to_string()),
            }
            if heard.elapsed() > SILENCE_MAX {
                return false;
            }
        }
        true
    }

    fn begin_anew(&self, bootstrap: &str, topic: &str) -> Result<BaseConsumer> {
        let places = self.next().clone();
        consumer_at(bootstrap, topic, Isolation::Committed, &places)
    }

    fn error(&self, text: String) {
        *self.errors().entry(text).or_default() += 1;
    }

    fn next(&self) -> MutexGuard<'_, BTreeMap<i32, i64>> {
        self.next.lock().expect("no holder of the places panics")
    }

    fn seen(&self) -> MutexGuard<'_, Follower> {
        self.seen.lock().expect("no holder of what was seen panics")
    }

    fn errors(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.errors.lock().expect("no holder of the errors panics")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has shown why.
            let _ = thread.join();
        }
    }
}
