//! Takes a pipeline over: does what the acquisition needs, in its order, against Kafka.
//!
//! What is needed and why in this order is in `engine/src/commit/acquisition.rs`, which has no I/O.
//!
//! Next: `outlet.rs` fills transactions of the producers that come out of this.

use crate::limits::INIT_TRANSACTIONS_TIMEOUT;
use crate::sink::kafka::alive::heartbeat;
use crate::sink::kafka::client::{KafkaTarget, await_cluster};
use crate::sink::kafka::context::Context;
use crate::sink::kafka::error::{KafkaStartError, advice, is_denied};
use crate::sink::kafka::plan::HeldGeneration;
use crate::sink::kafka::producer::SinkProducer;
use crate::sink::kafka::progress::Mark;
use headwater_engine::commit::acquisition::{Acquisition, Need};
use headwater_engine::commit::progress::{Owner, StoredProgress};
use headwater_engine::fault::{self, Point, Sabotage, is_sabotaged};
use headwater_engine::ids::Generation;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often one `init_transactions` is repeated while the coordinator is busy.
const FENCE_ATTEMPTS_MAX: u32 = 10;

/// Who we are to the progress topic.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) pipeline: String,
    pub(super) instance: String,
    pub(super) progress_topic: String,
    /// Our transactional ids, by slot; none without transactions.
    pub(super) ids: Vec<String>,
}

/// Judges whether stored progress may be resumed.
pub(super) type Usable<'a> = &'a dyn Fn(&StoredProgress) -> Result<(), KafkaStartError>;

/// A pipeline that is ours.
pub(super) struct Acquired {
    /// By slot, at least one.
    pub(super) producers: Vec<Arc<SinkProducer>>,
    pub(super) owner: Owner,
    pub(super) stored: StoredProgress,
}

/// Takes the pipeline over, whoever had it. `held` says which generation this process already held,
/// if it did, and remembers what it claims.
///
/// `is_usable` judges what is stored. It is asked before the claim, so that a mistake in the
/// pipeline file disturbs nobody, and again of what is really committed.
pub(super) fn acquire(
    target: &KafkaTarget,
    identity: &Identity,
    held: &HeldGeneration,
    is_usable: Usable<'_>,
) -> Result<Acquired, KafkaStartError> {
    let machine = Acquisition::new(identity.instance.clone(), identity.ids.clone(), held.get());
    let mut acquirer = Acquirer {
        target,
        mark: Mark::open(target, &identity.pipeline, &identity.progress_topic)?,
        machine: machine.above(held.claimed()),
        identity,
        held,
        is_usable,
        seen: StoredProgress::default(),
        producers: BTreeMap::new(),
    };
    match acquirer.run() {
        Ok(acquired) => Ok(acquired),
        Err(error) => {
            acquirer.withdraw();
            Err(error)
        }
    }
}

/// The machine and what it is driven with.
struct Acquirer<'a> {
    target: &'a KafkaTarget,
    identity: &'a Identity,
    held: &'a HeldGeneration,
    mark: Mark<'a>,
    machine: Acquisition,
    is_usable: Usable<'a>,
    /// The topic as it was read last.
    seen: StoredProgress,
    /// The producers of our own ids.
    producers: BTreeMap<String, Arc<SinkProducer>>,
}

impl Acquirer<'_> {
    fn run(&mut self) -> Result<Acquired, KafkaStartError> {
        loop {
            match self.machine.need().clone() {
                Need::ReadAll => {
                    self.seen = self.mark.read("read_uncommitted")?;
                    self.machine.on_known(&self.seen)?;
                    (self.is_usable)(&self.seen)?;
                }
                Need::Claim(generation) => {
                    self.held.claim(generation);
                    let owner = self.machine.owner(generation, unix_ms());
                    let value = serde_json::to_vec(&owner).expect("an owner is plain data");
                    self.mark.append(&self.key(generation), Some(&value))?;
                    self.machine.on_claimed();
                }
                Need::ReadBack(generation) => {
                    self.seen = self.mark.read_to("read_uncommitted", &self.key(generation))?;
                    self.machine.on_read_back(&self.seen);
                    fault::point(Point::RecoverClaimed);
                }
                Need::Withdraw(generation) => {
                    self.mark.append(&self.key(generation), None)?;
                    self.machine.on_withdrawn(&self.seen)?;
                }
                Need::Fence(ids) => {
                    self.fence(&ids)?;
                    self.machine.on_fenced();
                    let is_first = matches!(self.machine.need(), Need::Fence(_));
                    let point =
                        if is_first { Point::RecoverFenced0 } else { Point::RecoverFencedAll };
                    fault::point(point);
                }
                Need::ReadCommitted => {
                    self.read_committed()?;
                    (self.is_usable)(&self.seen)?;
                    self.machine.on_committed(&self.seen)?;
                    fault::point(Point::RecoverRead);
                }
                Need::Nothing(generation) => return self.acquired(generation),
            }
        }
    }

    fn acquired(&mut self, generation: Generation) -> Result<Acquired, KafkaStartError> {
        // From here on whoever stands by counts the silence.
        let Identity { pipeline, instance, .. } = self.identity;
        let (key, value) = heartbeat(pipeline, instance, generation);
        self.mark.append(&key, Some(&value))?;
        let stored = std::mem::take(&mut self.seen);
        tracing::info!(
            event = "pipeline_acquired",
            pipeline = self.identity.pipeline,
            generation = generation.0,
            epoch = stored.epoch().map(|epoch| epoch.0),
            shards = stored.shards.len(),
        );
        let own = self.identity.ids.iter().filter_map(|id| self.producers.remove(id));
        let mut producers: Vec<_> = own.collect();
        if producers.is_empty() {
            let context = Context::default();
            let producer: BaseProducer<Context> = self.target.producer(None, context.clone())?;
            await_cluster(producer.client());
            producers.extend(SinkProducer::idempotent(producer, context).into_iter().map(Arc::new));
        }
        Ok(Acquired { producers, owner: self.machine.owner(generation, unix_ms()), stored })
    }

    /// Takes every id, all at the same time; our own producers are kept, the others have done
    /// their work by being made.
    fn fence(&mut self, ids: &[String]) -> Result<(), KafkaStartError> {
        if ids.first() != self.identity.ids.first() && is_sabotaged(Sabotage::SlotUnfenced) {
            return Ok(());
        }
        let target = self.target;
        let taken: Vec<_> = std::thread::scope(|scope| {
            let calls: Vec<_> =
                ids.iter().map(|id| scope.spawn(move || take_id(target, id))).collect();
            let answer = |call: std::thread::ScopedJoinHandle<'_, _>| call.join();
            calls
                .into_iter()
                .map(|call| answer(call).expect("taking an id does not panic"))
                .collect()
        });
        for (id, producer) in ids.iter().zip(taken) {
            let producer = producer?;
            if self.identity.ids.contains(id) {
                self.producers.insert(id.clone(), Arc::new(producer));
            }
        }
        Ok(())
    }

    /// What nobody but us can add to any more.
    fn read_committed(&mut self) -> Result<(), KafkaStartError> {
        if is_sabotaged(Sabotage::ReadBeforeFence) {
            // What was read back with the claim.
            return Ok(());
        }
        let is_broken = is_sabotaged(Sabotage::ReadUncommitted);
        let isolation = if is_broken { "read_uncommitted" } else { "read_committed" };
        self.seen = self.mark.read(isolation)?;
        Ok(())
    }

    /// Best effort: if it fails, the claim merely names a generation that nobody writes with.
    fn withdraw(&self) {
        if let Some(generation) = self.machine.claim()
            && let Err(error) = self.mark.append(&self.key(generation), None)
        {
            tracing::debug!(event = "claim_not_withdrawn", %error);
        }
    }

    fn key(&self, generation: Generation) -> String {
        self.machine.key(generation).encode(&self.identity.pipeline)
    }
}

/// Makes the producer of `id`, which fences whoever had it before.
pub(super) fn take_id(target: &KafkaTarget, id: &str) -> Result<SinkProducer, KafkaStartError> {
    let context = Context::default();
    let producer: BaseProducer<Context> = target.producer(Some(id), context.clone())?;
    await_cluster(producer.client());
    init(&producer, id)?;
    Ok(SinkProducer::transactional(producer, context))
}

fn init(producer: &BaseProducer<Context>, id: &str) -> Result<(), KafkaStartError> {
    let mut last = None;
    for _ in 0..FENCE_ATTEMPTS_MAX {
        match producer.init_transactions(INIT_TRANSACTIONS_TIMEOUT) {
            Ok(()) => return Ok(()),
            Err(KafkaError::Transaction(error)) if error.is_retriable() => last = Some(error),
            Err(error) => return Err(not_fenced(id, &error)),
        }
        producer.poll(std::time::Duration::from_millis(100));
    }
    let error = last.map(KafkaError::Transaction).unwrap_or(KafkaError::Canceled);
    Err(not_fenced(id, &error))
}

fn not_fenced(id: &str, error: &KafkaError) -> KafkaStartError {
    let may_heal = !matches!(error, KafkaError::Transaction(inner) if is_denied(inner.code()));
    let reason = format!("{error}{}", advice(error.rdkafka_error_code()));
    KafkaStartError::NotFenced { id: id.to_owned(), reason, may_heal }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
