//! What is known of records that Kafka refused, epoch by epoch, until the epoch is durable.
//!
//! A broker refuses a whole batch of a partition, and says of some reasons only which records of it
//! are to blame. In a transaction the first refusal also ends all sending. So the guilty ones are
//! found over several attempts at the epoch, each of which must learn something:
//!
//! - who is named by the broker, or failed alone in its partition, is guilty;
//! - who breaks a rule of the topic, asked for after a refusal (`rules.rs`), is guilty, also if the
//!   broker has not seen it yet; epochs that begin soon after are judged by it as well, because
//!   each refusal costs about a second;
//! - others that failed together are suspects. *Walls* part them: before a record with a wall
//!   everything is acknowledged first, so the suspects of the next attempt fail in smaller groups.
//!
//! A guilty record goes as a dead letter, at its place. Records are known by their number in the
//! epoch, which is the same in each attempt because batches are staged in the same order.
//!
//! Without transactions nothing is taken back: what was acknowledged is not sent again, only what
//! failed is.
//!
//! Invariants
//! 1. Nobody is guilty who may have failed for another's fault.
//! 2. [`Refusals::learn`] asks for another attempt only if it knows more than before; there are
//!    finitely many records and walls, so that ends.
//!
//! Next: `staging.rs` acts on it.

use crate::sink::kafka::context::{FailedDelivery, Subject};
use crate::sink::kafka::error::{advice, is_refusal, is_refusal_of_size, repair_of_delivery};
use crate::sink::kafka::rules::{Facts, TopicRules};
use headwater_engine::commit::outlet::{OutletError, Repair};
use headwater_engine::ids::Epoch;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Into how many groups the suspects of one partition are parted for the next attempt: more cost
/// round trips, fewer cost attempts.
const SUSPECT_GROUPS: usize = 16;

/// How long a topic's rules are believed after they were asked for.
const RULES_AGE_MAX: Duration = Duration::from_secs(30);

/// The wall before each position, which have no numbers.
const BEFORE_POSITIONS: usize = usize::MAX;

/// What is known of all epochs that are not durable.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    epochs: BTreeMap<Epoch, Known>,
    /// What topics that refused something demand, and when that was asked for.
    rules: BTreeMap<Arc<str>, (Instant, TopicRules)>,
    /// Whether the broker is known to name the guilty ones of a batch.
    names_guilty: bool,
}

/// What is known of one epoch.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The guilty records, and why they are refused.
    guilty: BTreeMap<usize, RDKafkaErrorCode>,
    /// Before these records everything is acknowledged first.
    walls: BTreeSet<usize>,
    /// What topics demand of a record; only of those that refused something.
    rules: BTreeMap<Arc<str>, TopicRules>,
    /// Whether the next attempt may break although nothing is wrong with it: a refused batch leaves
    /// a gap in the producer's numbering, which librdkafka notices only when the broker does.
    has_aftermath: bool,
    /// Without transactions: records below this number are delivered, except those in `pending`.
    settled: usize,
    pending: BTreeSet<usize>,
}

/// Asks the cluster what a topic demands.
pub(super) type RulesOf<'a> = &'a dyn Fn(&str) -> TopicRules;

impl Refusals {
    /// A transaction of `epoch` begins.
    pub(super) fn begin(&mut self, epoch: Epoch, now: Instant) {
        self.rules.retain(|_, (asked, _)| now.duration_since(*asked) < RULES_AGE_MAX);
        let young = self.rules.iter().map(|(topic, (_, rules))| (topic.clone(), rules.clone()));
        let young: Vec<_> = young.collect();
        for (topic, rules) in young {
            self.of(epoch).rules.entry(topic).or_insert(rules);
        }
    }

    /// What is known of `epoch`.
    pub(super) fn of(&mut self, epoch: Epoch) -> &mut Known {
        self.epochs.entry(epoch).or_default()
    }

    /// `epoch` is durable, and all before it are.
    pub(super) fn forget(&mut self, epoch: Epoch) {
        self.epochs = self.epochs.split_off(&epoch.next());
    }

    /// The producers are replaced: what became of their records is not known.
    pub(super) fn forget_deliveries(&mut self) {
        for known in self.epochs.values_mut() {
            known.settled = 0;
            known.pending.clear();
        }
    }

    /// Learns from the failed deliveries of one attempt at `epoch`; returns what is due.
    pub(super) fn learn(
        &mut self,
        epoch: Epoch,
        failed: &[FailedDelivery],
        rules_of: RulesOf<'_>,
    ) -> OutletError {
        let knew = self.of(epoch).size();
        let mut worst = None;
        for group in groups(failed) {
            let stop = self.learn_of_partition(epoch, &group, rules_of);
            worst = worst.or(stop);
        }
        let known = self.of(epoch);
        let first = failed.iter().find(|it| it.code != RDKafkaErrorCode::InvalidDifferentRecord);
        let text = first.map_or_else(String::new, FailedDelivery::text);
        let failure = |repair| OutletError { message: format!("delivery to {text}"), repair };
        if let Some(stop) = worst {
            return stop;
        }
        if known.size() > knew {
            known.has_aftermath = true;
            let (guilty, walls) = (known.guilty.len(), known.walls.len());
            tracing::warn!(event = "records_refused", epoch = epoch.0, guilty, walls, "{text}");
            return failure(Repair::Isolate);
        }
        failure(repair_of_all(failed))
    }

    /// Learns from what failed in one partition; returns an error if that ends the pipeline.
    fn learn_of_partition(
        &mut self,
        epoch: Epoch,
        failed: &[&FailedDelivery],
        rules_of: RulesOf<'_>,
    ) -> Option<OutletError> {
        self.names_guilty |= failed.iter().any(|it| is_innocent(it));
        if let Some(denied) = failed.iter().find(|it| repair_of_delivery(it.code) == Repair::Stop) {
            return Some(stop(format!(
                "delivery to {}{}",
                denied.text(),
                advice(Some(denied.code))
            )));
        }
        let suspects: Vec<_> = failed.iter().copied().filter(|it| is_refusal(it.code)).collect();
        if let Some(first) = suspects.first() {
            self.ask_for_rules(epoch, &first.topic, rules_of);
        }
        let names_guilty = self.names_guilty;
        let known = self.of(epoch);
        if let [alone] = suspects[..] {
            return self.convict(epoch, alone);
        }
        let is_guilty = |it: &&&FailedDelivery| {
            let is_named = names_guilty && !is_refusal_of_size(it.code);
            is_named || known.breaks_rule(&it.topic, &it.facts).is_some()
        };
        let guilty: Vec<_> = suspects.iter().filter(is_guilty).copied().collect();
        if guilty.is_empty() {
            known.part(&suspects);
        }
        guilty.into_iter().find_map(|it| self.convict(epoch, it))
    }

    /// What was judged before by rules that have changed since is asked for anew, once an attempt.
    fn ask_for_rules(&mut self, epoch: Epoch, topic: &Arc<str>, rules_of: RulesOf<'_>) {
        let rules = rules_of(topic);
        self.rules.insert(topic.clone(), (Instant::now(), rules.clone()));
        self.of(epoch).rules.insert(topic.clone(), rules);
    }

    /// This one was refused for itself. Of a dead letter nothing is left to try.
    fn convict(&mut self, epoch: Epoch, failed: &FailedDelivery) -> Option<OutletError> {
        match failed.subject {
            Subject::Record(number) => {
                self.of(epoch).refuse(number, failed.code);
                None
            }
            Subject::DeadLetter(_) => Some(stop(format!(
                "a dead letter of {} bytes was refused: {}; make room for it there (its topic's \
                 `max.message.bytes`), and start again: nothing is lost",
                failed.facts.bytes,
                failed.text()
            ))),
            Subject::None => Some(stop(format!(
                "the pipeline's progress, {} bytes, was refused: {}; raise the topic's \
                 `max.message.bytes`",
                failed.facts.bytes,
                failed.text()
            ))),
        }
    }
}

impl Known {
    /// Whether there is nothing to look up.
    pub(super) fn is_blank(&self) -> bool {
        self.guilty.is_empty()
            && self.walls.is_empty()
            && self.rules.is_empty()
            && self.settled == 0
    }

    /// Whether everything before this record must be acknowledged first.
    pub(super) fn has_wall(&self, number: usize) -> bool {
        self.walls.contains(&number)
    }

    /// Why this record can never be written, if that is known.
    pub(super) fn guilt(&self, number: usize) -> Option<RDKafkaErrorCode> {
        self.guilty.get(&number).copied()
    }

    /// Why no record like this can be written to `topic`, if that is known.
    pub(super) fn breaks_rule(&self, topic: &str, facts: &Facts) -> Option<RDKafkaErrorCode> {
        self.rules.get(topic).and_then(|rules| rules.broken_by(facts))
    }

    /// This record is guilty.
    pub(super) fn refuse(&mut self, number: usize, code: RDKafkaErrorCode) {
        self.guilty.insert(number, code);
    }

    /// Without transactions: whether this record was delivered in an earlier attempt.
    pub(super) fn is_delivered(&self, number: usize) -> bool {
        number < self.settled && !self.pending.contains(&number)
    }

    /// This record is on its way; if it fails, that is reported.
    pub(super) fn sent(&mut self, number: usize) {
        if !self.pending.is_empty() {
            self.pending.remove(&number);
        }
    }

    /// Without transactions: what has failed is to be sent again.
    pub(super) fn note_pending(&mut self, failed: &[FailedDelivery]) {
        self.pending.extend(failed.iter().filter_map(|it| number(it.subject)));
    }

    /// Without transactions: everything below `end` was handed over once, and stays so; only what
    /// has failed is still to be sent.
    pub(super) fn settle(&mut self, end: usize) {
        self.settled = self.settled.max(end);
    }

    /// Whether the transaction may have broken for what was refused before; true once.
    pub(super) fn takes_aftermath(&mut self) -> bool {
        std::mem::take(&mut self.has_aftermath)
    }

    /// Whether each position is to be acknowledged before the next is sent.
    pub(super) fn parts_positions(&self) -> bool {
        self.walls.contains(&BEFORE_POSITIONS)
    }

    /// Parts the suspects, the first one from all others.
    fn part(&mut self, suspects: &[&FailedDelivery]) {
        let mut numbers: Vec<_> = suspects.iter().filter_map(|it| number(it.subject)).collect();
        numbers.sort_unstable();
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            self.walls.extend((suspects.len() > 1).then_some(BEFORE_POSITIONS));
            return;
        };
        self.walls.extend([*first, first + 1, last + 1]);
        self.walls.extend(numbers.iter().step_by(numbers.len().div_ceil(SUSPECT_GROUPS)));
    }

    /// Grows with everything that is learnt.
    fn size(&self) -> usize {
        self.guilty.len() + self.walls.len()
    }
}

/// What records need that failed for no fault of theirs. What was not taken in time takes the rest
/// of its transaction with it, and that says nothing more.
fn repair_of_all(failed: &[FailedDelivery]) -> Repair {
    let is_late = |it: &FailedDelivery| it.code == RDKafkaErrorCode::MessageTimedOut;
    if failed.iter().any(is_late) {
        return repair_of_delivery(RDKafkaErrorCode::MessageTimedOut);
    }
    let blameless = failed.iter().find(|it| !is_refusal(it.code));
    blameless.map_or(Repair::Abort, |it| repair_of_delivery(it.code))
}

/// What failed, partition by partition, each in the order of its records.
fn groups(failed: &[FailedDelivery]) -> Vec<Vec<&FailedDelivery>> {
    let mut groups: BTreeMap<(&str, i32), Vec<&FailedDelivery>> = BTreeMap::new();
    for it in failed {
        groups.entry((&it.topic, it.partition)).or_default().push(it);
    }
    groups.into_values().collect()
}

/// The broker has named another record of its batch.
fn is_innocent(failed: &FailedDelivery) -> bool {
    failed.code == RDKafkaErrorCode::InvalidDifferentRecord
}

fn number(subject: Subject) -> Option<usize> {
    match subject {
        Subject::None => None,
        Subject::Record(number) | Subject::DeadLetter(number) => Some(number),
    }
}

fn stop(message: String) -> OutletError {
    OutletError { message, repair: Repair::Stop }
}

#[cfg(test)]
mod tests;
