//! Signs of life: what an owner shows, and what an instance that stands by waits for.
//!
//! An owner that commits shows that it lives by its progress records. One that has nothing to
//! commit writes a heartbeat instead, and looks whether somebody has claimed the pipeline since: it
//! has no commit that would be refused, and would go on to hold its calls open for nothing.
//!
//! An instance that stands by reads the progress topic's end. Whatever comes there but readers'
//! marks is a sign of life. Only the reader's own clock measures the silence, and only while Kafka
//! is in reach: no two machines' clocks are compared.
//!
//! Nothing here is needed for correctness. If it errs, two instances take the pipeline over from
//! each other, and fencing keeps every record single.
//!
//! Next: `operators/src/pipeline/run.rs` decides who stands by.

use crate::sink::kafka::acquire::unix_ms;
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::error::KafkaStartError;
use crate::sink::kafka::plan::{HeldGeneration, OutletPlan};
use crate::sink::kafka::progress::{Came, Mark, Tail};
use headwater_engine::commit::acquisition::refuse_if_replaced;
use headwater_engine::commit::progress::{Heartbeat, PROGRESS_FORMAT, ProgressKey};
use headwater_engine::failure::{Failure, FailureReason, Recovery};
use headwater_engine::ids::Generation;
use rdkafka::Offset;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Who shows or looks for signs of life, and where.
#[derive(Clone, Debug)]
pub struct Place {
    target: KafkaTarget,
    pipeline: String,
    instance: String,
    topic: String,
    held: HeldGeneration,
}

impl Place {
    /// The place of the pipeline that `plan` writes.
    #[must_use]
    pub fn of(plan: &OutletPlan) -> Self {
        let first = &plan.sinks.first().expect("a Kafka outlet has a sink").sink;
        Place {
            target: first.target.clone(),
            pipeline: plan.pipeline.clone(),
            instance: plan.instance.clone(),
            topic: first.progress_topic(&plan.pipeline),
            held: plan.held.clone(),
        }
    }
}

/// What becomes of a heartbeat.
#[derive(Debug)]
pub enum Beat<'a> {
    /// It is being written.
    Begins,
    /// It is in the log, or it is not.
    Ends(Result<(), &'a KafkaStartError>),
}

/// Shows that the owner lives, until it is dropped.
pub struct Pulse {
    /// Dropping it ends the thread.
    _stop: Sender<()>,
}

impl Pulse {
    /// Looks every `interval` whether `commits` has moved; if not, writes a heartbeat and looks for
    /// a newer owner, whose discovery sets `failure`. `told` hears of each heartbeat.
    #[must_use]
    pub fn start(
        place: Place,
        interval: Duration,
        commits: impl Fn() -> u64 + Send + 'static,
        told: impl Fn(&Beat<'_>) + Send + 'static,
        failure: Arc<Failure>,
    ) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name(format!("alive:{}", place.pipeline));
        let beat = move || {
            let idle = Idle { place: &place, commits: &commits, told: &told };
            if let Err(reason) = idle.beat_until(&stopped, interval) {
                failure.set(reason);
            }
        };
        thread.spawn(beat).expect("the system has room for a thread per pipeline");
        Pulse { _stop: stop }
    }
}

/// A pipeline that may have nothing to commit.
struct Idle<'a> {
    place: &'a Place,
    commits: &'a dyn Fn() -> u64,
    told: &'a dyn Fn(&Beat<'_>),
}

impl Idle<'_> {
    /// Shows signs of life until it is told to stop; fails if a newer owner is there.
    fn beat_until(&self, stopped: &Receiver<()>, interval: Duration) -> Result<(), FailureReason> {
        let mut known = (self.commits)();
        // Clients are made when there is nothing to commit for the first time: a busy pipeline
        // needs none.
        let mut owner = None;
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
            let now = (self.commits)();
            if std::mem::replace(&mut known, now) != now {
                continue;
            }
            (self.told)(&Beat::Begins);
            let outcome = match &mut owner {
                Some(owner) => IdleOwner::beat(owner),
                None => IdleOwner::open(self.place).and_then(|open| owner.insert(open).beat()),
            };
            (self.told)(&Beat::Ends(outcome.as_ref().copied()));
            match outcome {
                Ok(()) => {}
                Err(error @ KafkaStartError::Superseded(_)) => {
                    let (place, message) = ("heartbeat".to_owned(), error.to_string());
                    return Err(FailureReason { place, message, recovery: Recovery::Superseded });
                }
                Err(error) => {
                    tracing::debug!(event = "heartbeat_failed", %error);
                    // A client that has lost its brokers for good does not find them again.
                    owner = None;
                }
            }
        }
        Ok(())
    }
}

/// The record that says: this instance owns the pipeline in this generation and lives.
pub(super) fn heartbeat(
    pipeline: &str,
    instance: &str,
    generation: Generation,
) -> (String, Vec<u8>) {
    let instance = instance.to_owned();
    let heartbeat = Heartbeat { fmt: PROGRESS_FORMAT, generation, instance, at_unix_ms: unix_ms() };
    let value = serde_json::to_vec(&heartbeat).expect("a heartbeat is plain data");
    (ProgressKey::Alive.encode(pipeline), value)
}

/// An owner that has nothing to commit.
struct IdleOwner<'a> {
    place: &'a Place,
    mark: Mark<'a>,
    tail: Tail<'a>,
}

impl<'a> IdleOwner<'a> {
    fn open(place: &'a Place) -> Result<Self, KafkaStartError> {
        let Place { target, pipeline, topic, .. } = place;
        let mark = Mark::open(target, pipeline, topic)?;
        let tail = Tail::open(target, pipeline, topic, "read_uncommitted", START)?;
        Ok(IdleOwner { place, mark, tail })
    }

    fn beat(&mut self) -> Result<(), KafkaStartError> {
        let Some(generation) = self.place.held.get() else { return Ok(()) };
        let (key, value) = heartbeat(&self.place.pipeline, &self.place.instance, generation);
        self.mark.append(&key, Some(&value))?;
        self.tail.read_to(|found, content| {
            found == key.as_bytes() && content == Some(value.as_slice())
        })?;
        Ok(refuse_if_replaced(&self.tail.seen, generation, &self.place.instance)?)
    }
}

/// Blocks until the pipeline's owner has been silent for `after`; false if `stop` came first.
pub fn wait_for_silence(place: &Place, after: Duration, stop: &CancellationToken) -> bool {
    let mut watch = Watch { place, tail: None, heard: Instant::now() };
    while !watch.is_silent(after) {
        if stop.is_cancelled() {
            return false;
        }
        match watch.look() {
            Ok(Came::Nothing | Came::Mark) => {}
            Ok(Came::Record) => watch.heard = Instant::now(),
            // While Kafka is out of reach nobody can be heard.
            Ok(Came::Away(_)) | Err(_) => {
                watch.heard = Instant::now();
                std::thread::sleep(AWAY_STEP);
            }
        }
    }
    true
}

/// An instance that stands by and listens.
struct Watch<'a> {
    place: &'a Place,
    tail: Option<Tail<'a>>,
    heard: Instant,
}

impl<'a> Watch<'a> {
    /// Whether nothing was heard for `after`, which clients made for the purpose confirm: one that
    /// has lost its brokers hears nothing either.
    fn is_silent(&mut self, after: Duration) -> bool {
        if self.heard.elapsed() < after {
            return false;
        }
        let is_silent = self.is_confirmed().unwrap_or(false);
        if !is_silent {
            self.heard = Instant::now();
        }
        is_silent
    }

    /// Reads with a new client on from where the present one stands; whether marks are all that was
    /// there.
    fn is_confirmed(&mut self) -> Result<bool, KafkaStartError> {
        let start = self.tail.take().map_or(START, |tail| tail.next);
        let tail = self.open(start)?;
        let is_confirmed = start != START && tail.records == 0;
        self.tail = Some(tail);
        Ok(is_confirmed)
    }

    fn look(&mut self) -> Result<Came, KafkaStartError> {
        match &mut self.tail {
            Some(tail) => tail.next(|_, _| ()),
            None => {
                self.tail = Some(self.open(START)?);
                // What is there already says nothing of now.
                Ok(Came::Record)
            }
        }
    }

    /// A new client that has read from `start` up to a mark that is left now: it reaches Kafka.
    fn open(&self, start: Offset) -> Result<Tail<'a>, KafkaStartError> {
        let Place { target, pipeline, topic, .. } = self.place;
        let mut tail = Tail::open(target, pipeline, topic, "read_uncommitted", start)?;
        let mark = Mark::open(target, pipeline, topic)?.leave()?;
        tail.read_to(|key, _| key == mark.as_bytes())?;
        Ok(tail)
    }
}

/// A plain offset and not "the beginning", for the reason given in `progress.rs`.
const START: Offset = Offset::Offset(0);

/// The wait before Kafka is asked again.
const AWAY_STEP: Duration = Duration::from_millis(200);
