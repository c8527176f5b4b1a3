//! The settings of a topic: Kafka's names, defaults and, where the broker obeys them, values.
//!
//! Three kinds of key: those the broker obeys, those without a meaning on one node (taken and
//! shown, so that tools written for a cluster work), and values it cannot obey, which are refused
//! rather than ignored.

use std::collections::BTreeMap;

/// The settings of one topic.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// What the creator set, as it was written.
    explicit: BTreeMap<String, String>,
    pub(crate) is_compacted: bool,
    pub(crate) is_deleted: bool,
    pub(crate) message_bytes_max: usize,
    pub(crate) retention_ms: i64,
    pub(crate) retention_bytes: i64,
    pub(crate) delete_retention_ms: i64,
    pub(crate) compaction_lag_ms_min: i64,
    pub(crate) compaction_lag_ms_max: i64,
    pub(crate) dirty_ratio_min: f64,
}

/// A setting that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic setting {key}={value}: {reason}")]
pub(crate) struct InvalidSetting {
    key: String,
    value: String,
    reason: &'static str,
}

/// Every topic setting of Kafka 4.1 with its default (`TopicConfig`).
const DEFAULTS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.gzip.level", "-1"),
    ("compression.lz4.level", "9"),
    ("compression.type", "producer"),
    ("compression.zstd.level", "3"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "9223372036854775807"),
    ("flush.ms", "9223372036854775807"),
    ("follower.replication.throttled.replicas", ""),
    ("index.interval.bytes", "4096"),
    ("leader.replication.throttled.replicas", ""),
    ("local.retention.bytes", "-2"),
    ("local.retention.ms", "-2"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("remote.storage.enable", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.jitter.ms", "0"),
    ("segment.ms", "604800000"),
    ("unclean.leader.election.enable", "false"),
];

impl Settings {
    /// Checks what a creator wrote.
    pub(crate) fn new(explicit: BTreeMap<String, String>) -> Result<Settings, InvalidSetting> {
        for (key, value) in &explicit {
            refuse_what_is_not_obeyed(key, value)?;
        }
        let read = Reader(&explicit);
        let policy = read.text("cleanup.policy");
        let mut policies = policy.split(',').map(str::trim);
        if !policies.all(|it| matches!(it, "delete" | "compact")) {
            return Err(invalid("cleanup.policy", policy, "expected delete, compact or both"));
        }
        Ok(Settings {
            is_compacted: policy.contains("compact"),
            is_deleted: policy.contains("delete"),
            message_bytes_max: read.number("max.message.bytes")?,
            retention_ms: read.number("retention.ms")?,
            retention_bytes: read.number("retention.bytes")?,
            delete_retention_ms: read.number("delete.retention.ms")?,
            compaction_lag_ms_min: read.number("min.compaction.lag.ms")?,
            compaction_lag_ms_max: read.number("max.compaction.lag.ms")?,
            dirty_ratio_min: read.number("min.cleanable.dirty.ratio")?,
            explicit,
        })
    }

    /// What the creator set.
    pub(crate) fn explicit(&self) -> &BTreeMap<String, String> {
        &self.explicit
    }

    /// Every key with its value, and whether the creator set it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        DEFAULTS.iter().map(|(key, default)| match self.explicit.get(*key) {
            Some(value) => (*key, value.as_str(), true),
            None => (*key, *default, false),
        })
    }
}

struct Reader<'a>(&'a BTreeMap<String, String>);

impl Reader<'_> {
    fn text(&self, key: &str) -> &str {
        let explicit = self.0.get(key).map(String::as_str);
        let default = || DEFAULTS.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        explicit.or_else(default).expect("a setting that is read stands in the table")
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, InvalidSetting> {
        let text = self.text(key);
        text.parse().map_err(|_| invalid(key, text, "expected a number in its range"))
    }
}

fn refuse_what_is_not_obeyed(key: &str, value: &str) -> Result<(), InvalidSetting> {
    if !DEFAULTS.iter().any(|(name, _)| *name == key) {
        return Err(invalid(key, value, "no topic setting has this name"));
    }
    let reason = match (key, value) {
        ("compression.type", it) if it != "producer" => {
            "the development broker keeps batches as producers send them; use producer"
        }
        ("message.timestamp.type", it) if it != "CreateTime" => {
            "the development broker does not stamp records; use CreateTime"
        }
        ("remote.storage.enable", it) if it != "false" => {
            "the development broker has no remote storage; use false"
        }
        ("min.insync.replicas", it) if it != "1" => "the development broker is one node; use 1",
        _ => return Ok(()),
    };
    Err(invalid(key, value, reason))
}

fn invalid(key: &str, value: &str, reason: &'static str) -> InvalidSetting {
    InvalidSetting { key: key.to_owned(), value: value.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, InvalidSetting> {
        Settings::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn the_defaults_are_kafkas() {
        let defaults = settings(&[]).unwrap();
        assert_eq!(defaults.message_bytes_max, (1 << 20) + 12);
        assert!(defaults.is_deleted && !defaults.is_compacted);
        assert!(defaults.all().all(|(_, _, is_set)| !is_set));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_by_name() {
        for (key, value) in [
            ("cleanup.policy", "shred"),
            ("max.message.bytes", "many"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "2"),
            ("no.such.key", "1"),
        ] {
            let error = settings(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(value), "{error}");
        }
    }

    #[test]
    fn both_policies_may_stand_together() {
        let both = settings(&[("cleanup.policy", "compact,delete")]).unwrap();
        assert!(both.is_compacted && both.is_deleted);
    }
}
