//! What the config topic holds: entries by name, and what each is to be.
//!
//! An entry is one pipeline or one connector. It has a *document*, which is stored as it was
//! written, `${…}` unresolved, and a *target*: what a person wants of it. Both are records of their
//! own, as in Kafka Connect's config topic, so that a pause does not repeat the document.
//!
//! ```text
//! key                      value, JSON
//! pipeline-NAME            { "format": 1, "document": "…", "accept_change": "resume", … }
//! connector-NAME           the same
//! target-state-NAME        { "format": 1, "state": "PAUSED", … }
//! topics-NAME              { "format": 1, "topics": ["…"] }
//! offsets-NAME             { "format": 1, "offsets": [{ "partition": {…}, "offset": {…} }] }
//! level-LOGGER             { "format": 1, "level": "DEBUG" }
//! ```
//!
//! The last three belong to connectors: topics that one has written to, offsets that somebody has
//! set, and a level for all instances, which is written to be heard and deleted at once.
//!
//! Invariants
//! 1. A record whose format is newer than [`FORMAT`] is kept as what it is: its entry is shown and
//!    does not run; nothing here guesses at it.
//! 2. One name belongs to one entry, whatever its kind.
//!
//! Next: `entry/aside.rs` has the last three; `manager.rs` decides what follows from the others.

mod aside;

pub(crate) use aside::{
    Object, SetOffset, level_key, level_value, offsets_key, offsets_value, topics_key, topics_value,
};

use crate::serve::limits::{DOCUMENT_BYTES_MAX, NAME_BYTES_MAX};
use headwater_operators::sink::kafka::AcceptChange;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The version of records that this program writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;

/// An entry's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(Arc<str>);

/// A name that no entry may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {NAME_BYTES_MAX} bytes, no control characters, no space at its ends, and \
         is not `.` or `..`"
)]
pub(crate) struct BadName;

/// What an entry is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A pipeline file.
    Pipeline,
    /// The configuration of a Kafka Connect connector.
    Connector,
}

/// What a person wants of an entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Target {
    /// It runs.
    #[default]
    Running,
    /// It does not read, and keeps its place; its tasks stay listed.
    Paused,
    /// It has no tasks, and keeps its place.
    Stopped,
}

/// What is wanted of an entry, as its record says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aim {
    pub(crate) target: Target,
    /// Whether it has tasks while it is paused: those that it had when it ran. Kafka Connect makes
    /// them at the first start and takes them away when it is stopped.
    pub(crate) keeps_tasks: bool,
}

/// What to do with the position of a shard whose source is another one than it was.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Accept {
    /// Go on from it: it still means the same place.
    Resume,
    /// Forget it: the stream begins as if for the first time.
    Reset,
}

/// One version of an entry's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) kind: Kind,
    /// Where its record stands in the topic: a later version has a higher number.
    pub(crate) revision: i64,
    pub(crate) content: Content,
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Something that can be run.
    Known(Arc<Known>),
    /// Something that this version of the program cannot read, and why.
    Unreadable(String),
}

/// A document and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) document: String,
    pub(crate) accept_change: Option<Accept>,
    /// When it was written, milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) at_unix_ms: i64,
}

/// A record of the topic, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// An entry's document; none once it is deleted.
    Config(Name, Kind, Option<Config>),
    /// An entry's target; none once it is deleted.
    Target(Name, Option<Aim>),
    /// The topics that an entry has written to; none once they are forgotten.
    Topics(Name, BTreeSet<String>),
    /// The offsets that somebody has set.
    Offsets(Name, Vec<SetOffset>),
    /// A logger is to have this level from now on.
    Level(String, String),
}

/// The value of a document's record.
#[derive(Serialize, Deserialize)]
struct ConfigRecord {
    format: u32,
    document: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accept_change: Option<Accept>,
    at_unix_ms: i64,
    /// The instance that wrote it, for people.
    by: String,
}

/// The value of a target's record.
#[derive(Serialize, Deserialize)]
struct TargetRecord {
    format: u32,
    state: Target,
    at_unix_ms: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keeps_tasks: bool,
}

/// What every record has.
#[derive(Deserialize)]
struct AnyRecord {
    format: u32,
}

impl Name {
    /// Checks a name.
    pub(crate) fn new(name: &str) -> Result<Name, BadName> {
        let is_sized = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        let is_clean = !name.chars().any(char::is_control) && name.trim() == name;
        let is_good = is_sized && is_clean && name != "." && name != "..";
        is_good.then(|| Name(Arc::from(name))).ok_or(BadName)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind {
    /// What its keys begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Kind::Pipeline => "pipeline-",
            Kind::Connector => "connector-",
        }
    }

    /// The word for it.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Kind::Pipeline => "pipeline",
            Kind::Connector => "connector",
        }
    }
}

impl Aim {
    /// What follows from wanting `target` after this.
    pub(crate) fn then(self, target: Target) -> Aim {
        Aim { target, keeps_tasks: target == Target::Paused && self.has_tasks() }
    }

    /// Whether Kafka Connect would list tasks of it.
    pub(crate) fn has_tasks(self) -> bool {
        self.target == Target::Running || self.keeps_tasks
    }
}

impl From<Target> for Aim {
    fn from(target: Target) -> Self {
        Aim { target, keeps_tasks: false }
    }
}

impl From<Accept> for AcceptChange {
    fn from(accept: Accept) -> Self {
        match accept {
            Accept::Resume => AcceptChange::Resume,
            Accept::Reset => AcceptChange::Reset,
        }
    }
}

const TARGET_PREFIX: &str = "target-state-";

/// The key of an entry's document.
pub(crate) fn config_key(kind: Kind, name: &Name) -> String {
    format!("{}{name}", kind.prefix())
}

/// The key of an entry's target.
pub(crate) fn target_key(name: &Name) -> String {
    format!("{TARGET_PREFIX}{name}")
}

/// The value of a document's record.
pub(crate) fn config_value(known: &Known, by: &str) -> Vec<u8> {
    let Known { document, accept_change, at_unix_ms } = known;
    let record = ConfigRecord {
        format: FORMAT,
        document: document.clone(),
        accept_change: *accept_change,
        at_unix_ms: *at_unix_ms,
        by: by.to_owned(),
    };
    serde_json::to_vec(&record).expect("a record is plain data")
}

/// The value of a target's record.
pub(crate) fn target_value(aim: Aim, at_unix_ms: i64) -> Vec<u8> {
    let Aim { target: state, keeps_tasks } = aim;
    bytes(&TargetRecord { format: FORMAT, state, at_unix_ms, keeps_tasks })
}

fn bytes(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record is plain data")
}

/// Reads a record; none if its key is none of ours, or holds a name that we would not give.
pub(crate) fn read(key: &str, value: Option<&[u8]>, offset: i64) -> Option<Told> {
    if let Some(name) = key.strip_prefix(TARGET_PREFIX) {
        let name = Name::new(name).ok()?;
        // A state that cannot be read stops the entry rather than starting what nobody asked for.
        let state = value.map(|value| {
            let record = serde_json::from_slice::<TargetRecord>(value);
            let known = record.ok().filter(|it| it.format <= FORMAT);
            known.map_or(Target::Stopped.into(), |it| Aim {
                target: it.state,
                keeps_tasks: it.keeps_tasks,
            })
        });
        return Some(Told::Target(name, state));
    }
    if let Some(told) = aside::read(key, value) {
        return Some(told);
    }
    let kind = [Kind::Pipeline, Kind::Connector].into_iter();
    let (kind, name) =
        kind.filter_map(|kind| Some((kind, key.strip_prefix(kind.prefix())?))).next()?;
    let name = Name::new(name).ok()?;
    let config = value.map(|value| Config { kind, revision: offset, content: content(value) });
    Some(Told::Config(name, kind, config))
}

fn content(value: &[u8]) -> Content {
    let unreadable =
        |why: String| Content::Unreadable(format!("its record in the config topic {why}"));
    match serde_json::from_slice::<AnyRecord>(value) {
        Ok(AnyRecord { format }) if format > FORMAT => {
            return unreadable(format!(
                "has format {format}, and this program reads up to {FORMAT}"
            ));
        }
        Ok(_) => {}
        Err(error) => return unreadable(format!("cannot be read: {error}")),
    }
    match serde_json::from_slice::<ConfigRecord>(value) {
        Ok(record) if record.document.len() > DOCUMENT_BYTES_MAX => {
            unreadable(format!("is larger than {DOCUMENT_BYTES_MAX} bytes"))
        }
        Ok(ConfigRecord { document, accept_change, at_unix_ms, .. }) => {
            Content::Known(Arc::new(Known { document, accept_change, at_unix_ms }))
        }
        Err(error) => unreadable(format!("cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let known = Known {
            document: "pipeline: a\npassword: ${env:SECRET}\n".to_owned(),
            accept_change: Some(Accept::Reset),
            at_unix_ms: 5,
        };
        for kind in [Kind::Pipeline, Kind::Connector] {
            let value = config_value(&known, "host-1");
            let told = read(&config_key(kind, &name("a-b")), Some(&value), 7);
            let content = Content::Known(Arc::new(known.clone()));
            let config = Config { kind, revision: 7, content };
            assert_eq!(told, Some(Told::Config(name("a-b"), kind, Some(config))));
            assert_eq!(
                read(&config_key(kind, &name("a-b")), None, 8),
                Some(Told::Config(name("a-b"), kind, None))
            );
        }
        let aim = Aim { target: Target::Paused, keeps_tasks: true };
        let told = read(&target_key(&name("a")), Some(&target_value(aim, 1)), 9);
        assert_eq!(told, Some(Told::Target(name("a"), Some(aim))));
        let topics: BTreeSet<String> = ["t".to_owned()].into();
        let told = read(&topics_key(&name("a")), Some(&topics_value(topics.clone())), 9);
        assert_eq!(told, Some(Told::Topics(name("a"), topics)));
        assert_eq!(read("topics-a", None, 9), Some(Told::Topics(name("a"), BTreeSet::new())));
        let object = |text: &str| serde_json::from_str::<Object>(text).unwrap();
        let offsets = vec![SetOffset { partition: object("{}"), offset: object(r#"{"n":1}"#) }];
        let told = read(&offsets_key(&name("a")), Some(&offsets_value(offsets.clone())), 9);
        assert_eq!(told, Some(Told::Offsets(name("a"), offsets)));
        let told = read(&level_key("a.b"), Some(&level_value("DEBUG".to_owned())), 9);
        assert_eq!(told, Some(Told::Level("a.b".to_owned(), "DEBUG".to_owned())));
        assert_eq!(read(&level_key("a.b"), None, 9), None);
    }

    #[test]
    fn tasks_are_there_from_the_first_start_to_a_stop() {
        use Target::{Paused, Running, Stopped};
        let after = |targets: &[Target]| {
            let first = Aim::from(targets[0]);
            targets[1..].iter().fold(first, |aim, target| aim.then(*target)).has_tasks()
        };
        assert!(
            after(&[Running]) && after(&[Running, Paused]) && after(&[Paused, Running, Paused])
        );
        assert!(after(&[Running, Paused, Paused]));
        assert!(!after(&[Paused]) && !after(&[Stopped]) && !after(&[Running, Stopped, Paused]));
    }

    #[test]
    fn a_record_of_a_newer_format_is_shown_and_not_guessed_at() {
        let value = br#"{"format":2,"document":{"new":"shape"}}"#;
        let Some(Told::Config(_, _, Some(config))) = read("pipeline-a", Some(value), 1) else {
            panic!("it is an entry")
        };
        let Content::Unreadable(why) = config.content else { panic!("it is not known") };
        assert!(why.contains("format 2"), "{why}");
        let target = read("target-state-a", Some(br#"{"format":2,"state":"ASLEEP"}"#), 1);
        assert_eq!(target, Some(Told::Target(name("a"), Some(Target::Stopped.into()))));
        let topics = read("topics-a", Some(br#"{"format":2,"topics":["t"]}"#), 1);
        assert_eq!(topics, Some(Told::Topics(name("a"), BTreeSet::new())));
    }

    #[test]
    fn keys_of_others_and_names_that_nobody_gives_are_passed_over() {
        for key in ["leader", "pipeline-", "pipeline-..", "pipeline-a\nb", "session-key", ""] {
            assert_eq!(read(key, Some(b"{}"), 0), None, "{key:?}");
        }
    }

    #[test]
    fn names_are_bounded_and_clean() {
        for good in ["a", "a/b", "with space", "ünïcode", &"x".repeat(NAME_BYTES_MAX)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", ".", "..", " a", "a ", "a\0", "a\r\nb", &long] {
            assert_eq!(Name::new(bad), Err(BadName), "{bad:?}");
        }
    }
}
