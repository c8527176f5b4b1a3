//! Predicates, answered where a configuration is read: topic and headers are the same for every
//! record there. Only whether a record has a value is known later.

use super::{Walk, topic};
use crate::connect::kind::{list, trim};
use crate::connect::mistake::Mistake;
use crate::connect::plugins::{self, Role};

/// What a transformation's predicate comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds of every record, or there is none.
    Always,
    /// It holds of none.
    Never,
    /// It holds of records without a value (`dropped`), or of all others, and there are both.
    Tombstones { dropped: bool },
    /// A mistake was told.
    Unknown,
}

impl Verdict {
    fn of(holds: bool) -> Self {
        if holds { Verdict::Always } else { Verdict::Never }
    }

    fn negated(self) -> Self {
        match self {
            Verdict::Always => Verdict::Never,
            Verdict::Never => Verdict::Always,
            Verdict::Tombstones { dropped } => Verdict::Tombstones { dropped: !dropped },
            Verdict::Unknown => Verdict::Unknown,
        }
    }
}

impl Walk<'_, '_> {
    /// What the predicate of the transformation says here.
    pub(super) fn verdict(&mut self) -> Verdict {
        let (key, negate) = (self.key("predicate"), self.key("negate"));
        let is_negated = self.reader.flag(&negate, false);
        let Some(alias) = self.reader.known(&key) else { return Verdict::Always };
        let there = list(self.reader.config.get("predicates").unwrap_or_default());
        if !there.contains(&alias) {
            let told = Mistake::of(&key, format!("there is no predicate {alias:?}"));
            self.reader.mistake(told.hint("name it in `predicates`"));
            return Verdict::Unknown;
        }
        let verdict = self.ask(&alias);
        if is_negated { verdict.negated() } else { verdict }
    }

    fn ask(&mut self, alias: &str) -> Verdict {
        let prefix = format!("predicates.{alias}.");
        let name = self.reader.known(&format!("{prefix}type")).unwrap_or_default();
        let class = plugins::class(trim(&name)).filter(|it| plugins::is(it, Role::Predicate));
        match class.and_then(|class| class.rsplit('.').next()) {
            Some("TopicNameMatches") => self.topic_matches(&format!("{prefix}pattern")),
            Some("HasHeaderKey") => {
                let header = self.reader.text(&format!("{prefix}name")).unwrap_or_default();
                let has = self.chain.fixed_headers.contains_key(&header)
                    || self.chain.field_headers.contains_key(&header);
                Verdict::of(has)
            }
            Some("RecordIsTombstone") if self.may_be_tombstone => {
                Verdict::Tombstones { dropped: true }
            }
            Some("RecordIsTombstone") => Verdict::Never,
            _ => Verdict::Unknown,
        }
    }

    fn topic_matches(&mut self, key: &str) -> Verdict {
        let Some(pattern) = self.reader.known(key) else { return Verdict::Unknown };
        if !self.is_topic_known || self.chain.route.is_some() {
            let told = Mistake::of(key, "the topic's name is not known where the file is written");
            self.reader
                .mistake(told.hint("write kafka.topic itself, and ask before it is changed"));
            return Verdict::Unknown;
        }
        match topic::whole(&pattern) {
            Ok(regex) => Verdict::of(regex.is_match(&self.chain.topic)),
            Err(why) => {
                self.reader.mistake(Mistake::of(key, why));
                Verdict::Unknown
            }
        }
    }

    /// Counts the keys of a predicate as read, whether or not anything asks it.
    pub(super) fn read_predicate(&mut self, alias: &str) {
        let prefix = format!("predicates.{alias}.");
        let kind = format!("{prefix}type");
        let name = self.reader.known(&kind).unwrap_or_default();
        self.reader.pass_over(&format!("{prefix}plugin.version"));
        match plugins::class(trim(&name)).filter(|it| plugins::is(it, Role::Predicate)) {
            Some(class) => plugins::chain_keys(class)
                .iter()
                .for_each(|key| self.reader.pass_over(&format!("{prefix}{}", key.name))),
            None => {
                let told = Mistake::of(&kind, format!("the predicate {name:?} is not known"));
                self.reader.mistake(told.hint(
                    "TopicNameMatches, HasHeaderKey and RecordIsTombstone of Apache Kafka are",
                ));
                let keys = self.reader.keys_from(&prefix);
                keys.iter().for_each(|key| self.reader.pass_over(key));
            }
        }
    }
}
