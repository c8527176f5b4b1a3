//! What the committer drives: stage into the transaction, add the positions, commit.
//!
//! Invariants
//! 1. Positions are sent after all records of their epoch, and in the same transaction. Without
//!    transactions they are sent after all records are acknowledged (`sealed.rs`), while the next
//!    epoch is already on its way.
//! 2. Nothing is sent before the pipeline is ours: [`KafkaOutlet::start`] is the only way to an
//!    outlet.
//! 3. Any repair of the producer is a whole acquisition; a producer is never re-initialised alone.
//!
//! Next: the epoch is durable; `engine/src/commit/committer.rs` releases it.

use crate::sink::kafka::KafkaSink;
use crate::sink::kafka::acquire::{Acquired, Identity, acquire, unix_ms};
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::config::Delivery;
use crate::sink::kafka::context::FailedDelivery;
use crate::sink::kafka::error::KafkaStartError;
use crate::sink::kafka::plan::{AcceptChange, HeldGeneration, OutletPlan, SinkEntry};
use crate::sink::kafka::producer::{Drained, SinkProducer};
use crate::sink::kafka::progress::Mark;
use crate::sink::kafka::record::SinkWriter;
use crate::sink::kafka::refusals::Refusals;
use crate::sink::kafka::route::Router;
use crate::sink::kafka::rules::{dead_letter_bytes_max, fit, rules};
use crate::sink::kafka::sealed::{ProgressRecord, SealedDelivery, SealedTransaction};
use crate::sink::kafka::staging::{Halt, Open, Staging};
use crate::sink::kafka::topics::{demand, prepare};
use crate::sink::kafka::written::{TopicsMet, WrittenTopics};
use headwater_engine::commit::outlet::{OutletError, Repair, Sealed, ShardPosition};
use headwater_engine::commit::progress::{
    Owner, PROGRESS_FORMAT, ProgressKey, ShardProgress, StoredProgress,
};
use headwater_engine::fault::{Sabotage, is_sabotaged};
use headwater_engine::ids::{Epoch, ShardIndex, ShardKey, Slot};
use headwater_engine::position::Position;
use headwater_engine::record::Batch;
use headwater_engine::shards::{ShardEntry, ShardTable};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// All Kafka sinks of a pipeline, in one transaction.
pub struct KafkaOutlet {
    target: KafkaTarget,
    identity: Identity,
    writers: Vec<SinkWriter>,
    shards: ShardTable,
    /// The ring, by slot.
    producers: Vec<Arc<SinkProducer>>,
    /// The open transactions, in the order of their epochs.
    open: VecDeque<Open>,
    /// What is known of records that Kafka refused.
    refusals: Refusals,
    owner: Owner,
    /// Committed records and dead letters of each shard since its first start.
    totals: BTreeMap<ShardKey, Totals>,
    /// Whether this generation has written its manifest.
    has_manifest: bool,
    /// Claims of earlier generations, to be withdrawn with the first commit.
    stale_claims: Vec<ProgressKey>,
    /// The epoch whose positions are already in its transaction.
    sent_for: Option<Epoch>,
    held: HeldGeneration,
    written: Option<WrittenTopics>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    committed: u64,
    dead_letters: u64,
}

/// Topics that no record is routed to.
fn reserved(sinks: &[KafkaSink], progress_topic: &str) -> BTreeSet<String> {
    let dead_letters = sinks.iter().filter_map(|sink| Some(&sink.dead_letter.as_ref()?.topic));
    let gaps = sinks.iter().filter_map(|sink| Some(&sink.gaps.as_ref()?.topic));
    let progress = std::iter::once(progress_topic.to_owned());
    dead_letters.chain(gaps).cloned().chain(progress).collect()
}

impl KafkaOutlet {
    /// Prepares the topics, takes the pipeline over and returns what is stored of it.
    ///
    /// # Errors
    /// [`KafkaStartError`]; it says whether trying again may help.
    pub fn start(plan: OutletPlan) -> Result<(KafkaOutlet, StoredProgress), KafkaStartError> {
        let first = &plan.sinks.first().expect("a Kafka outlet has a sink").sink;
        let mut target = first.target.clone();
        let progress_topic = first.progress_topic(&plan.pipeline);
        let sinks: Vec<KafkaSink> = plan.sinks.iter().map(|entry| entry.sink.clone()).collect();
        if plan.held.get().is_some() {
            // It ran before in this process: what is missing now was deleted meanwhile.
            demand(&target, &sinks.iter().flat_map(KafkaSink::topics).collect::<Vec<_>>())?;
        }
        let partitions = prepare(&target, &sinks, &progress_topic, plan.needs_progress)?;
        let rules = fit(&mut target, &sinks, plan.message_bytes_max);
        let ids = target.transactional_ids(&plan.pipeline, plan.ring);
        let (pipeline, instance) = (plan.pipeline.clone(), plan.instance.clone());
        let identity = Identity { pipeline, instance, progress_topic, ids };
        let is_usable = |stored: &StoredProgress| check(&plan, stored);
        let mut acquired = acquire(&target, &identity, &plan.held, &is_usable)?;
        plan.held.set(acquired.owner.generation);
        let pipeline = identity.pipeline.clone();
        let reserved = reserved(&sinks, &identity.progress_topic);
        let router = |sink: &KafkaSink| {
            let route = sink.route.clone()?;
            Some(Router::new(route, sink.create.clone(), reserved.clone()))
        };
        let writer = |entry: SinkEntry| SinkWriter {
            node: entry.node,
            dead_letter_bytes_max: dead_letter_bytes_max(&target, &rules, &entry.sink),
            partitions: partitions.get(&entry.sink.topic).copied().unwrap_or_default(),
            router: router(&entry.sink),
            route_column: entry.route_column,
            is_json: entry.sink.is_json,
            header_columns: entry.header_columns,
            topic: entry.sink.topic,
            partition: entry.sink.partition,
            key_column: entry.key_column,
            timestamp_column: entry.timestamp_column,
            headers: entry.sink.headers,
            generation: acquired.owner.generation,
            dead_letter_topic: entry.sink.dead_letter.map(|dead_letter| dead_letter.topic),
            dead_letters_of: entry.dead_letters_of,
            gap_topic: entry.sink.gaps.map(|gaps| gaps.topic),
            gaps_of: entry.gaps_of,
            pipeline: pipeline.clone(),
        };
        let writers = plan.sinks.into_iter().map(writer).collect();
        if plan.accept_change == Some(AcceptChange::Reset) {
            forget_changed(&plan.shards.entries(), &mut acquired.stored);
        }
        let stored = acquired.stored.clone();
        let outlet = KafkaOutlet {
            writers,
            target,
            identity,
            shards: plan.shards,
            totals: totals(&acquired.stored),
            stale_claims: stale_claims(&acquired),
            producers: acquired.producers,
            open: VecDeque::new(),
            refusals: Refusals::default(),
            owner: acquired.owner,
            has_manifest: false,
            sent_for: None,
            held: plan.held,
            written: plan.written,
        };
        Ok((outlet, stored))
    }

    /// How many transactions may be open at once.
    #[must_use]
    pub fn ring(&self) -> u32 {
        u32::try_from(self.producers.len()).expect("a ring is small")
    }

    /// Opens the transaction of `epoch` on the producer `slot`.
    ///
    /// # Errors
    /// The repair that is due.
    pub fn begin(&mut self, slot: Slot, epoch: Epoch) -> Result<(), OutletError> {
        self.producers[slot.0 as usize].begin()?;
        self.refusals.begin(epoch, Instant::now());
        let topics = self.written.as_ref().map(|_| TopicsMet::default());
        self.open.push_back(Open { topics, ..Open::new(slot, epoch) });
        Ok(())
    }

    /// Sends a batch into the transaction that was begun last, to the sink at `place`.
    ///
    /// # Errors
    /// The repair that is due.
    pub fn stage(&mut self, place: usize, batch: &Batch) -> Result<(), OutletError> {
        let shard = self.shards.get(batch.shard);
        let open = self.open.back_mut().expect("records go into an open transaction");
        let producer = &self.producers[open.slot.0 as usize];
        let known = self.refusals.of(open.epoch);
        let mut staging = Staging { producer, open, known };
        let writer = &mut self.writers[place];
        match writer.write(&self.target, &mut staging, batch, &shard.key.0) {
            Ok(()) => Ok(()),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::Failed(failed)) => Err(self.failed(self.open.len() - 1, &failed)),
        }
    }

    /// Records of `epoch` that became dead letters when they were staged.
    #[must_use]
    pub fn set_aside(&self, epoch: Epoch) -> BTreeMap<ShardIndex, u64> {
        let open = self.open.iter().find(|open| open.epoch == epoch);
        open.map(|open| open.set_aside.clone()).unwrap_or_default()
    }

    /// Adds the positions to the lowest transaction and waits until all of it is acknowledged.
    /// Without transactions both are left to the commit.
    ///
    /// # Errors
    /// The repair that is due.
    pub fn seal(
        &mut self,
        epoch: Epoch,
        positions: &[ShardPosition],
    ) -> Result<Box<dyn Sealed>, OutletError> {
        let is_parted = self.refusals.of(epoch).parts_positions();
        if !self.is_transactional() {
            let (producer, progress) = (self.head().clone(), self.progress_of(epoch, positions));
            return Ok(Box::new(SealedDelivery::new(producer, progress, is_parted)));
        }
        // Asking again must not add the positions again.
        if self.sent_for != Some(epoch) {
            for record in self.progress_of(epoch, positions) {
                if is_parted && record.is_position {
                    self.drain_head()?;
                }
                self.send_to_progress(&record)?;
            }
            self.sent_for = Some(epoch);
        }
        self.drain_head()?;
        Ok(Box::new(SealedTransaction(self.head().clone())))
    }

    /// What is due after the commit of the lowest transaction failed. Without transactions it may
    /// have failed because records did.
    pub fn commit_failed(&mut self, error: OutletError) -> OutletError {
        if self.is_transactional() {
            return error;
        }
        let failed = self.head().reported();
        if failed.is_empty() { error } else { self.failed(0, &failed) }
    }

    /// The lowest transaction is committed.
    pub fn committed(&mut self, positions: &[ShardPosition]) {
        if let Some(open) = self.open.pop_front() {
            self.refusals.forget(open.epoch);
            if let (Some(written), Some(topics)) = (&self.written, &open.topics) {
                written.committed(topics);
            }
        }
        self.has_manifest = true;
        self.stale_claims.clear();
        for moved in positions {
            let key = self.shards.get(moved.shard).key.clone();
            let totals = self.totals.entry(key).or_default();
            totals.committed += moved.records;
            totals.dead_letters += moved.dead_letters;
        }
    }

    /// Aborts every open transaction, the newest first: so none is open without the one before it.
    /// Without transactions nothing is taken back; what was handed over is not sent again.
    ///
    /// # Errors
    /// The repair that is due.
    pub fn abort(&mut self) -> Result<(), OutletError> {
        self.sent_for = None;
        while let Some(open) = self.open.back() {
            let (slot, epoch, end) = (open.slot, open.epoch, open.next);
            // What has failed meanwhile is known for the next attempt.
            let failed = self.producers[slot.0 as usize].reported();
            if !failed.is_empty() {
                let _ = self.learn(epoch, &failed);
            }
            if !self.is_transactional() {
                self.refusals.of(epoch).settle(end);
            }
            self.producers[slot.0 as usize].abort()?;
            self.open.pop_back();
        }
        Ok(())
    }

    /// Takes the pipeline over again, unless somebody else has; returns the last committed epoch.
    ///
    /// # Errors
    /// The repair that is due.
    pub fn reacquire(&mut self) -> Result<Option<Epoch>, OutletError> {
        self.sent_for = None;
        self.open.clear();
        self.refusals.forget_deliveries();
        self.look_at_topics()?;
        let acquired = acquire(&self.target, &self.identity, &self.held, &|_| Ok(()))?;
        self.held.set(acquired.owner.generation);
        self.totals = totals(&acquired.stored);
        self.stale_claims = stale_claims(&acquired);
        self.producers = acquired.producers;
        self.owner = acquired.owner;
        self.has_manifest = false;
        let stored = acquired.stored.epoch();
        if let Some(epoch) = stored {
            self.refusals.forget(epoch);
        }
        Ok(stored)
    }

    /// Serves delivery reports.
    pub fn poll(&mut self) {
        self.producers.iter().for_each(|producer| producer.poll());
    }

    /// The producer of the lowest transaction.
    fn head(&self) -> &Arc<SinkProducer> {
        let open = self.open.front().expect("a transaction is open");
        &self.producers[open.slot.0 as usize]
    }

    /// Waits until all of the lowest transaction is acknowledged.
    fn drain_head(&mut self) -> Result<(), OutletError> {
        match self.head().drain()? {
            Drained::Acknowledged => Ok(()),
            Drained::Failed(failed) => Err(self.failed(0, &failed)),
        }
    }

    /// What is due after deliveries of the open transaction at `place` failed, or after it broke
    /// without any.
    fn failed(&mut self, place: usize, failed: &[FailedDelivery]) -> OutletError {
        let Open { slot, epoch, .. } = self.open[place];
        let producer = self.producers[slot.0 as usize].clone();
        if failed.is_empty() {
            let message = "the transaction takes no more records".to_owned();
            if self.refusals.of(epoch).takes_aftermath() {
                return OutletError { message, repair: Repair::Isolate };
            }
            return producer.verdict(OutletError { message, repair: Repair::Abort });
        }
        producer.verdict(self.learn(epoch, failed))
    }

    fn learn(&mut self, epoch: Epoch, failed: &[FailedDelivery]) -> OutletError {
        if !self.is_transactional() {
            self.refusals.of(epoch).note_pending(failed);
        }
        let target = &self.target;
        let rules_of = |topic: &str| rules(target, &[topic]).remove(topic).unwrap_or_default();
        self.refusals.learn(epoch, failed, &rules_of)
    }

    /// A topic that was deleted is not made anew in silence; one that was made anew by somebody may
    /// have another number of partitions.
    fn look_at_topics(&mut self) -> Result<(), OutletError> {
        let now = Instant::now();
        let topics: Vec<String> =
            self.writers.iter_mut().flat_map(|writer| writer.topics(now)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let partitions = demand(&self.target, &topics)?;
        for writer in &mut self.writers {
            match &mut writer.router {
                Some(router) => router.update(&partitions),
                None => writer.partitions = partitions[&writer.topic],
            }
        }
        Ok(())
    }

    fn is_transactional(&self) -> bool {
        self.target.delivery == Delivery::ExactlyOnce
    }

    /// What the progress topic gets with this epoch.
    fn progress_of(&self, epoch: Epoch, positions: &[ShardPosition]) -> Vec<ProgressRecord> {
        let record = |key: &ProgressKey, value| ProgressRecord {
            topic: self.identity.progress_topic.clone(),
            key: key.encode(&self.identity.pipeline),
            value,
            is_position: matches!(key, ProgressKey::Shard(_)),
        };
        let manifest = || serde_json::to_vec(&self.owner).expect("an owner is plain data");
        let first = (!self.has_manifest).then(|| record(&ProgressKey::Manifest, Some(manifest())));
        let claims = self.stale_claims.iter().map(|claim| record(claim, None));
        let moved = positions.iter().map(|moved| {
            let (key, value) = self.position_of(epoch, moved);
            record(&key, Some(value))
        });
        first.into_iter().chain(claims).chain(moved).collect()
    }

    fn position_of(&self, epoch: Epoch, moved: &ShardPosition) -> (ProgressKey, Vec<u8>) {
        let shard = self.shards.get(moved.shard);
        let before = self.totals.get(&shard.key).copied().unwrap_or_default();
        let progress = ShardProgress {
            fmt: PROGRESS_FORMAT,
            generation: self.owner.generation,
            epoch,
            fingerprint: shard.fingerprint.clone(),
            at_unix_ms: unix_ms(),
            committed: before.committed + moved.records,
            dead_letters: before.dead_letters + moved.dead_letters,
            position: (*moved.position).clone(),
        };
        let value = serde_json::to_vec(&progress).expect("progress is plain data");
        (ProgressKey::Shard(shard.key.clone()), value)
    }

    fn send_to_progress(&mut self, record: &ProgressRecord) -> Result<(), OutletError> {
        if record.is_position && is_sabotaged(Sabotage::ProgressOutside) {
            let mark = Mark::open(&self.target, &self.identity.pipeline, &record.topic)?;
            return Ok(mark.append(&record.key, record.value.as_deref())?);
        }
        match record.send(self.head()) {
            Ok(()) => Ok(()),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::Failed(failed)) => Err(self.failed(0, &failed)),
        }
    }
}

/// Whether what is stored may be resumed.
fn check(plan: &OutletPlan, stored: &StoredProgress) -> Result<(), KafkaStartError> {
    if plan.needs_progress && stored.shards.is_empty() {
        let topic = plan.sinks[0].sink.progress_topic(&plan.pipeline);
        return Err(KafkaStartError::ProgressMissing { topic });
    }
    match changed(&plan.shards.entries(), stored).next() {
        Some(shard) if plan.accept_change.is_none() => {
            Err(KafkaStartError::FingerprintChanged { shard: shard.to_string() })
        }
        _ => Ok(()),
    }
}

/// The shards whose stored cursor belongs to another source, where it may mean another place.
fn changed<'a>(
    shards: &'a [Arc<ShardEntry>],
    stored: &'a StoredProgress,
) -> impl Iterator<Item = &'a ShardKey> {
    let is_changed = |shard: &&Arc<ShardEntry>| {
        let known = stored.shards.get(&shard.key);
        known.is_some_and(|known| known.fingerprint != shard.fingerprint)
    };
    shards.iter().filter(is_changed).map(|shard| &shard.key)
}

/// The positions are replaced in Kafka with the next commit; the epochs go on.
fn forget_changed(shards: &[Arc<ShardEntry>], stored: &mut StoredProgress) {
    let changed: Vec<ShardKey> = changed(shards, stored).cloned().collect();
    for key in changed {
        let known = stored.shards.get_mut(&key).expect("it was found there");
        let sequence = known.position.next_sequence.0;
        tracing::warn!(event = "position_reset", shard = %key, sequence);
        // Names of records are not given twice: the session goes on.
        known.position = Position { session: known.position.session, ..Position::default() };
    }
}

fn totals(stored: &StoredProgress) -> BTreeMap<ShardKey, Totals> {
    let of = |shard: &ShardProgress| Totals {
        committed: shard.committed,
        dead_letters: shard.dead_letters,
    };
    stored.shards.iter().map(|(key, shard)| (key.clone(), of(shard))).collect()
}

fn stale_claims(acquired: &Acquired) -> Vec<ProgressKey> {
    let older = |owner: &&Owner| owner.generation < acquired.owner.generation;
    let key = |owner: &Owner| ProgressKey::Claim(owner.generation, owner.instance.clone());
    acquired.stored.claims.iter().filter(older).map(key).collect()
}
