//! Taking a pipeline over: claim → fence → read. In this order, always.
//!
//! 1. Read the claims, uncommitted ones and open transactions included: who was here last?
//! 2. Append our claim with the next generation and read it back. The first claim of a generation
//!    in the log owns it, so of two that start at once exactly one goes on.
//! 3. Fence every transactional id that any earlier owner may still write with: `init_transactions`
//!    aborts what they left open and refuses whatever they send later.
//! 4. Only now read the committed progress: nobody but us can add to it any more.
//!
//! Reading before fencing is a proven bug: the old owner could commit between the two, and its
//! records would be written twice.
//!
//! At-least-once has no transactional ids and so no fence: two instances may overlap for a moment,
//! and the highest (generation, epoch) wins when progress is read.

use crate::limits::INIT_TRANSACTIONS_TIMEOUT;
use crate::sink::kafka::client::{Context, KafkaTarget};
use crate::sink::kafka::error::{KafkaStartError, is_denied};
use crate::sink::kafka::producer::SinkProducer;
use crate::sink::kafka::progress::Mark;
use headwater_engine::commit::progress::{Owner, PROGRESS_FORMAT, ProgressKey, StoredProgress};
use headwater_engine::ids::Generation;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};

/// How often two instances that claim the same generation try again.
const CLAIM_ATTEMPTS_MAX: u32 = 5;

/// How often one `init_transactions` is repeated while the coordinator is busy.
const FENCE_ATTEMPTS_MAX: u32 = 10;

/// Who we are to the progress topic.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) pipeline: String,
    pub(super) instance: String,
    pub(super) progress_topic: String,
}

/// Judges whether stored progress may be resumed.
pub(super) type Usable<'a> = &'a dyn Fn(&StoredProgress) -> Result<(), KafkaStartError>;

/// A pipeline that is ours.
pub(super) struct Acquired {
    pub(super) producer: SinkProducer,
    pub(super) owner: Owner,
    pub(super) stored: StoredProgress,
}

/// Takes the pipeline over, whoever had it. `ours` is the generation that this process already
/// held, if it did: then a newer claim of another means that we were replaced, and nothing is
/// taken.
///
/// `is_usable` judges what is stored. It is asked before the claim, so that a mistake in the
/// pipeline file disturbs nobody, and again of what is really committed.
pub(super) fn acquire(
    target: &KafkaTarget,
    identity: &Identity,
    ours: Option<Generation>,
    is_usable: Usable<'_>,
) -> Result<Acquired, KafkaStartError> {
    let mark = Mark::open(target, &identity.pipeline, &identity.progress_topic)?;
    let known = mark.read("read_uncommitted")?;
    if let Some(ours) = ours {
        refuse_if_replaced(&known, ours, &identity.instance)?;
    }
    is_usable(&known)?;
    let ids = target.transactional_ids(&identity.pipeline);
    let (owner, seen) = claim(&mark, identity, &known, &ids)?;
    let generation = owner.generation;
    let taken = take_over(target, &mark, identity, owner, &seen.ids_to_fence(&ids), is_usable);
    // A claim that came to nothing must not make a healthy owner believe that it was replaced.
    taken.inspect_err(|_| withdraw(&mark, identity, generation))
}

/// Fences every id and reads what is committed; the claim is ours.
fn take_over(
    target: &KafkaTarget,
    mark: &Mark<'_>,
    identity: &Identity,
    owner: Owner,
    ids: &[String],
    is_usable: Usable<'_>,
) -> Result<Acquired, KafkaStartError> {
    let pipeline = &identity.pipeline;
    let producer = fence(target, ids, owner.transactional_ids.first())?;
    let stored = mark.read("read_committed")?;
    refuse_if_replaced(&stored, owner.generation, &identity.instance)?;
    is_usable(&stored)?;
    tracing::info!(
        event = "pipeline_acquired",
        pipeline,
        generation = owner.generation.0,
        epoch = stored.epoch().map(|epoch| epoch.0),
        shards = stored.shards.len(),
    );
    Ok(Acquired { producer, owner, stored })
}

/// The newest generation belongs to somebody else. A newer one that is ours too was left by a
/// repair that did not come to its end.
fn refuse_if_replaced(
    stored: &StoredProgress,
    ours: Generation,
    instance: &str,
) -> Result<(), KafkaStartError> {
    let newest = stored.generation();
    let owner = stored.owner_of(newest);
    let is_ours = owner.map_or(newest <= ours, |owner| owner.instance == instance);
    if newest < ours || is_ours {
        return Ok(());
    }
    let instance = owner.map_or("unknown", |owner| owner.instance.as_str()).to_owned();
    Err(KafkaStartError::Superseded { instance, generation: newest.0 })
}

fn claim(
    mark: &Mark<'_>,
    identity: &Identity,
    known: &StoredProgress,
    ids: &[String],
) -> Result<(Owner, StoredProgress), KafkaStartError> {
    let mut generation = known.generation().next();
    for _ in 0..CLAIM_ATTEMPTS_MAX {
        let owner = Owner {
            fmt: PROGRESS_FORMAT,
            generation,
            instance: identity.instance.clone(),
            transactional_ids: ids.to_vec(),
            at_unix_ms: unix_ms(),
        };
        let key = ProgressKey::Claim(generation, identity.instance.clone());
        let key = key.encode(&identity.pipeline);
        let value = serde_json::to_vec(&owner).expect("an owner is plain data");
        mark.append(&key, Some(&value))?;
        let seen = mark.read_to("read_uncommitted", &key)?;
        let first = seen.owner_of(generation).map(|owner| owner.instance.as_str());
        if first == Some(identity.instance.as_str()) {
            return Ok((owner, seen));
        }
        // A rival was first with this generation: withdraw, and take the next one.
        mark.append(&key, None)?;
        generation = seen.generation().next();
    }
    let instance = "several that start at the same time".to_owned();
    Err(KafkaStartError::Superseded { instance, generation: generation.0 })
}

/// Best effort: if it fails, the claim merely names a generation that nobody writes with.
fn withdraw(mark: &Mark<'_>, identity: &Identity, generation: Generation) {
    let key = ProgressKey::Claim(generation, identity.instance.clone());
    if let Err(error) = mark.append(&key.encode(&identity.pipeline), None) {
        tracing::debug!(event = "claim_not_withdrawn", %error);
    }
}

/// Takes every id; the producer of `own` is kept, the others have done their work by being made.
fn fence(
    target: &KafkaTarget,
    ids: &[String],
    own: Option<&String>,
) -> Result<SinkProducer, KafkaStartError> {
    let mut kept = None;
    for id in ids {
        let context = Context::default();
        let producer: BaseProducer<Context> = target.producer(Some(id), context.clone())?;
        init(&producer, id)?;
        if Some(id) == own {
            kept = Some(SinkProducer::transactional(producer, context));
        }
    }
    match kept {
        Some(producer) => Ok(producer),
        None => {
            let context = Context::default();
            let producer = target.producer(None, context.clone())?;
            Ok(SinkProducer::idempotent(producer, context))
        }
    }
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
    KafkaStartError::NotFenced { id: id.to_owned(), reason: error.to_string(), may_heal }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(list: &[(u64, &str)]) -> StoredProgress {
        let mut stored = StoredProgress::default();
        for (generation, instance) in list {
            stored.claims.push(Owner {
                fmt: PROGRESS_FORMAT,
                generation: Generation(*generation),
                instance: (*instance).to_owned(),
                transactional_ids: Vec::new(),
                at_unix_ms: 0,
            });
        }
        stored
    }

    #[test]
    fn a_newer_claim_means_replaced_and_our_own_does_not() {
        let replaced = |list: &[(u64, &str)], ours: u64| {
            refuse_if_replaced(&claims(list), Generation(ours), "a").is_err()
        };
        assert!(!replaced(&[(1, "a")], 1));
        assert!(!replaced(&[(1, "b"), (2, "a")], 2));
        assert!(replaced(&[(1, "a"), (2, "b")], 1));
        assert!(replaced(&[(2, "b"), (2, "a")], 2), "the first claim of a generation owns it");
        assert!(!replaced(&[], 1));
        assert!(!replaced(&[(1, "a"), (2, "a")], 1), "our own repair that broke off");
    }
}
