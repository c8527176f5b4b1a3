//! What a topic demands of a record: size, key, timestamp. Its settings decide, and they may be
//! changed at any time, so they are asked for when they are needed and not believed for long.
//!
//! They are used in two ways. At start they bound the batches: a broker refuses a batch that is
//! larger than `max.message.bytes`, however small its records. After a refusal they tell which
//! records of the epoch cannot be written; only rules count there by which every broker refuses.
//!
//! Next: `refusals.rs` judges failed records by them.

use crate::limits::{
    DEAD_LETTER_OVERHEAD_BYTES, DEAD_LETTER_VALUE_BYTES_MAX, KAFKA_REQUEST_TIMEOUT,
};
use crate::sink::kafka::KafkaSink;
use crate::sink::kafka::acquire::unix_ms;
use crate::sink::kafka::client::KafkaTarget;
use crate::sink::kafka::context::Context;
use crate::sink::kafka::topics::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;

/// By how much our clock and the broker's may differ without a record being judged by ours.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// What a topic may judge a record by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Key and value.
    pub(super) bytes: usize,
    /// Whether it has a key.
    pub(super) has_key: bool,
    /// Its timestamp, in milliseconds since 1970-01-01T00:00:00Z. Failed deliveries do not tell it.
    pub(super) unix_ms: Option<i64>,
}

/// What is known of a topic's demands; nothing without the right to read its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicRules {
    /// The largest batch, and so the largest record that is not compressed.
    pub(super) batch_bytes_max: Option<usize>,
    /// Whether records are compressed, so that their size on the way is not known.
    pub(super) is_compressed: bool,
    /// Whether the log is compacted, so that records need a key.
    pub(super) needs_key: bool,
    /// The moments that records may bear, as it was when this was asked for.
    pub(super) unix_ms: Option<(i64, i64)>,
}

impl TopicRules {
    /// Why this topic refuses a record, if it surely does.
    pub(super) fn broken_by(&self, facts: &Facts) -> Option<RDKafkaErrorCode> {
        let is_larger = |max: usize| facts.bytes > max;
        if !self.is_compressed && self.batch_bytes_max.is_some_and(is_larger) {
            return Some(RDKafkaErrorCode::MessageSizeTooLarge);
        }
        if self.needs_key && !facts.has_key {
            return Some(RDKafkaErrorCode::InvalidRecord);
        }
        let (min, max) = self.unix_ms?;
        let is_within = facts.unix_ms.is_none_or(|it| (min..=max).contains(&it));
        (!is_within).then_some(RDKafkaErrorCode::InvalidTimestamp)
    }

    fn of(settings: &ConfigResource, is_compressed: bool, now_unix_ms: i64) -> Self {
        let text = |key: &str| settings.get(key).and_then(|entry| entry.value.as_deref());
        let number = |key: &str| text(key).and_then(|value| value.parse::<i64>().ok());
        let tolerance = i64::try_from(CLOCK_TOLERANCE.as_millis()).unwrap_or(i64::MAX);
        let span = |key: &str| number(key).map_or(i64::MAX, |ms| ms.saturating_add(tolerance));
        let is_judged = text("message.timestamp.type") != Some("LogAppendTime");
        let before = span("message.timestamp.before.max.ms");
        let after = span("message.timestamp.after.max.ms");
        let range = (now_unix_ms.saturating_sub(before), now_unix_ms.saturating_add(after));
        TopicRules {
            batch_bytes_max: number("max.message.bytes").and_then(|it| usize::try_from(it).ok()),
            is_compressed,
            needs_key: text("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
            unix_ms: is_judged.then_some(range),
        }
    }
}

/// Asks what `topics` demand. What cannot be read is not known: that stops nobody.
pub(super) fn rules(target: &KafkaTarget, topics: &[&str]) -> BTreeMap<String, TopicRules> {
    let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(KAFKA_REQUEST_TIMEOUT));
    let Ok(admin) = target.admin::<AdminClient<Context>>() else { return BTreeMap::new() };
    let described = block_on(admin.describe_configs(&asked, &options)).unwrap_or_default();
    let now = unix_ms();
    let is_compressed = target.is_compressed();
    let known = described.into_iter().filter_map(|settings| {
        let settings = settings.ok()?;
        let OwnedResourceSpecifier::Topic(topic) = &settings.specifier else { return None };
        Some((topic.clone(), TopicRules::of(&settings, is_compressed, now)))
    });
    known.collect()
}

/// Fits batches to what all topics take, and warns where a source may send what a topic does not
/// take. Returns what the topics demand.
pub(super) fn fit(
    target: &mut KafkaTarget,
    sinks: &[KafkaSink],
    message_bytes_max: usize,
) -> BTreeMap<String, TopicRules> {
    let topics: Vec<&str> = sinks.iter().flat_map(KafkaSink::topics).collect();
    let rules = rules(target, &topics);
    let smallest = rules.values().filter_map(|rules| rules.batch_bytes_max).min();
    let batch_bytes = smallest.map_or(usize::MAX, |smallest| smallest.max(1));
    target.batch_bytes_default = target.batch_bytes_default.min(batch_bytes);
    let batch_bytes_max = target.batch_bytes_max();
    if batch_bytes_max > batch_bytes {
        tracing::warn!(
            event = "batch_limit",
            batch_bytes_max,
            topic_bytes_max = batch_bytes,
            "property batch.size allows batches that a topic refuses whole, which are then sent in \
             parts, slowly: lower it, or leave it out"
        );
    }
    let limit = |sink: &KafkaSink| rules.get(&sink.topic).and_then(|it| it.batch_bytes_max);
    let tightest = sinks.iter().filter_map(|sink| Some((limit(sink)?, sink))).min_by_key(|it| it.0);
    if let Some((topic_bytes_max, sink)) = tightest.filter(|it| it.0 < message_bytes_max) {
        let dead_letter = sink.dead_letter.as_ref().map(|dead_letter| dead_letter.topic.as_str());
        tracing::warn!(
            event = "topic_limit",
            topic = sink.topic,
            topic_bytes_max,
            message_bytes_max,
            dead_letter,
            "the source may send messages that the topic does not take: they go to the \
             dead-letter topic if there is one, or stop the pipeline"
        );
    }
    rules
}

/// What a refused record of `sink` is cut to, so that its dead letter is not refused as well.
pub(super) fn dead_letter_bytes_max(
    target: &KafkaTarget,
    rules: &BTreeMap<String, TopicRules>,
    sink: &KafkaSink,
) -> usize {
    let topic = sink.dead_letter.as_ref().and_then(|it| rules.get(&it.topic));
    let topic = topic.and_then(|rules| rules.batch_bytes_max).unwrap_or(usize::MAX);
    let room = topic.min(target.message_bytes_max());
    DEAD_LETTER_VALUE_BYTES_MAX.min(room.saturating_sub(DEAD_LETTER_OVERHEAD_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_breaks_a_rule_is_judged_by_it() {
        use RDKafkaErrorCode::{InvalidRecord, InvalidTimestamp, MessageSizeTooLarge};
        let rules = TopicRules {
            batch_bytes_max: Some(1_000),
            is_compressed: false,
            needs_key: true,
            unix_ms: Some((100, 200)),
        };
        let compressed = TopicRules { is_compressed: true, ..rules.clone() };
        let facts = |bytes, has_key, unix_ms| Facts { bytes, has_key, unix_ms: Some(unix_ms) };
        let cases = [
            (&rules, facts(1_000, true, 100), None),
            (&rules, facts(1_001, true, 100), Some(MessageSizeTooLarge)),
            (&compressed, facts(1_001, true, 200), None),
            (&rules, facts(1, false, 100), Some(InvalidRecord)),
            (&rules, facts(1, true, 99), Some(InvalidTimestamp)),
            (&rules, facts(1, true, 201), Some(InvalidTimestamp)),
            (&TopicRules::default(), facts(usize::MAX, false, i64::MAX), None),
        ];
        for (rules, facts, expected) in cases {
            assert_eq!(rules.broken_by(&facts), expected, "{facts:?}");
        }
    }
}
