//! Levels of loggers, changed while the process runs, as Kafka Connect's `/admin/loggers` does.
//!
//! A logger is a target of `tracing`: a part of this program or of a library. `root` stands for all
//! that have no level of their own. Scripts name Java's loggers, so those of Kafka Connect, of the
//! connector and of its libraries stand for the parts of this program that do the same
//! ([`STAND_INS`]).
//!
//! Invariant: what nobody has set is as `--log-level` says.

use crate::serve::limits::LEVELS_MAX;
use crate::words::unix_ms;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock};
use tracing_subscriber::filter::Directive;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// The levels of this process.
pub(crate) struct Levels {
    /// What the command line says.
    base: String,
    filter: reload::Handle<EnvFilter, Registry>,
    set: Mutex<BTreeMap<String, Level>>,
}

/// The level of a logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// `OFF`, `FATAL`, `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE` or `ALL`.
    pub(crate) name: &'static str,
    /// When it was set, milliseconds since 1970-01-01T00:00:00Z; none: by the command line.
    pub(crate) set_unix_ms: Option<i64>,
}

/// A level that cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLevel {
    #[error("there is no such level")]
    Unknown,
    #[error("{LEVELS_MAX} loggers have levels, and no more are kept")]
    Full,
}

/// The names that Log4j has for levels, and what they are here.
const NAMES: [(&str, &str); 8] = [
    ("OFF", "off"),
    ("FATAL", "error"),
    ("ERROR", "error"),
    ("WARN", "warn"),
    ("INFO", "info"),
    ("DEBUG", "debug"),
    ("TRACE", "trace"),
    ("ALL", "trace"),
];

/// The loggers that are listed before anybody has set one: parts of this program.
const PARTS: [&str; 6] =
    ["headwater", "headwater_engine", "headwater_operators", "headwater_proto", "librdkafka", "h2"];

/// What stands for Java's loggers. The longest name that fits is meant.
const STAND_INS: [(&str, &str); 5] = [
    ("org.apache.kafka.connect", "headwater"),
    ("org.apache.kafka.clients", "librdkafka"),
    ("io.conduktor.connect.grpc", "headwater_operators::source"),
    ("io.grpc", "h2"),
    ("io.netty", "h2"),
];

const ROOT: &str = "root";

static LEVELS: OnceLock<Levels> = OnceLock::new();

impl Levels {
    /// The levels of this process, once it has a log.
    pub(crate) fn get() -> Option<&'static Levels> {
        LEVELS.get()
    }

    /// The filter that follows the levels.
    pub(super) fn install(filter: EnvFilter, base: String) -> reload::Layer<EnvFilter, Registry> {
        let (layer, handle) = reload::Layer::new(filter);
        // A process has one log; whoever makes another one in a test keeps the first one's levels.
        let _ = LEVELS.set(Levels { base, filter: handle, set: Mutex::default() });
        layer
    }

    /// All loggers that are known.
    pub(crate) fn all(&self) -> BTreeMap<String, Level> {
        let set = self.lock();
        let names = PARTS.iter().copied().chain([ROOT]).map(str::to_owned);
        let names = names.chain(set.keys().cloned());
        names.map(|name| (name.clone(), self.level(&set, &name))).collect()
    }

    /// The level of a logger; none if nobody knows it.
    pub(crate) fn one(&self, name: &str) -> Option<Level> {
        let set = self.lock();
        let is_known = name == ROOT || PARTS.contains(&name) || set.contains_key(name);
        (is_known || stand_in(name).is_some()).then(|| self.level(&set, name))
    }

    /// Sets the level of a logger and of all below it that have one; the names of those that
    /// change.
    pub(crate) fn set(&self, name: &str, level: &str) -> Result<Vec<String>, BadLevel> {
        let level = Level::named(level).ok_or(BadLevel::Unknown)?;
        let mut set = self.lock();
        let is_below = |other: &str| {
            let rest = other.strip_prefix(name);
            other == name || rest.is_some_and(|it| it.starts_with('.') || it.starts_with("::"))
        };
        let mut names: Vec<String> = set.keys().filter(|it| is_below(it)).cloned().collect();
        if !set.contains_key(name) {
            names.push(name.to_owned());
        }
        names.retain(|it| set.get(it).is_none_or(|own| own.name != level));
        let is_new = names.iter().any(|it| !set.contains_key(it));
        if is_new && set.len() >= LEVELS_MAX {
            return Err(BadLevel::Full);
        }
        let now = Some(unix_ms());
        for name in &names {
            set.insert(name.clone(), Level { name: level, set_unix_ms: now });
        }
        if !names.is_empty() {
            self.apply(&set);
        }
        Ok(names)
    }

    /// The level of a logger, its own or that of what it is a part of.
    fn level(&self, set: &BTreeMap<String, Level>, name: &str) -> Level {
        let own = set.get(name).cloned();
        own.unwrap_or_else(|| {
            let above = set.iter().filter(|(other, _)| {
                let rest = name.strip_prefix(other.as_str());
                rest.is_some_and(|it| it.starts_with('.') || it.starts_with("::"))
            });
            let above = above.max_by_key(|(other, _)| other.len()).map(|(_, level)| level.name);
            let root = set.get(ROOT).map(|level| level.name);
            let name = above.or(root).unwrap_or_else(|| base_level(&self.base));
            Level { name, set_unix_ms: None }
        })
    }

    fn apply(&self, set: &BTreeMap<String, Level>) {
        let directives = set.iter().filter_map(|(name, level)| directive(name, level.name));
        let base = EnvFilter::new(&self.base);
        let filter = directives.fold(base, EnvFilter::add_directive);
        if let Err(error) = self.filter.reload(filter) {
            tracing::warn!(event = "levels_not_applied", "{error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Level>> {
        self.set.lock().expect("nothing panics here")
    }
}

impl Level {
    /// The level of this name, whatever its case.
    pub(crate) fn named(text: &str) -> Option<&'static str> {
        let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(name, _)| *name)
    }
}

/// What a level means for the filter; nothing for a name that no target has.
fn directive(name: &str, level: &str) -> Option<Directive> {
    let here = NAMES.iter().find(|(name, _)| *name == level).map(|(_, here)| *here)?;
    if name == ROOT {
        return here.parse().ok();
    }
    let target = stand_in(name).unwrap_or(name);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-' | '.');
    let is_target = target.chars().all(is_plain);
    is_target.then(|| format!("{target}={here}").parse().ok()).flatten()
}

/// The part of this program that stands for one of Java's loggers.
fn stand_in(name: &str) -> Option<&'static str> {
    let fits = |java: &str| {
        let rest = name.strip_prefix(java);
        rest.is_some_and(|it| it.is_empty() || it.starts_with('.'))
    };
    let fitting = STAND_INS.iter().filter(|(java, _)| fits(java));
    fitting.max_by_key(|(java, _)| java.len()).map(|(_, target)| *target)
}

/// What the command line says of all that it does not name.
fn base_level(base: &str) -> &'static str {
    let mut plain = base.split(',').filter(|it| !it.contains('=')).filter_map(Level::named);
    plain.next_back().unwrap_or("ERROR")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> (Levels, reload::Layer<EnvFilter, Registry>) {
        let (layer, filter) = reload::Layer::new(EnvFilter::new("info"));
        (Levels { base: "info,h2=warn".to_owned(), filter, set: Mutex::default() }, layer)
    }

    fn name(levels: &Levels, logger: &str) -> Option<&'static str> {
        levels.one(logger).map(|level| level.name)
    }

    #[test]
    fn a_level_that_is_set_is_the_filters() {
        let (levels, _layer) = levels();
        assert_eq!(name(&levels, "root"), Some("INFO"));
        assert_eq!(name(&levels, "none.such"), None);
        assert_eq!(levels.set("headwater", "debug").unwrap(), ["headwater"]);
        assert_eq!(levels.set("headwater", "DEBUG").unwrap(), [""; 0], "it is so already");
        assert!(levels.one("headwater").unwrap().set_unix_ms.is_some());
        assert_eq!(levels.set("none.such", "FATAL").unwrap(), ["none.such"]);
        assert_eq!(name(&levels, "none.such"), Some("FATAL"));
        assert_eq!(levels.set("root", "LOUD"), Err(BadLevel::Unknown));
        let filter = levels.filter.with_current(ToString::to_string).unwrap();
        assert!(
            filter.contains("headwater=debug") && filter.contains("none.such=error"),
            "{filter}"
        );
    }

    #[test]
    fn javas_loggers_stand_for_parts_of_this_program() {
        let (levels, _layer) = levels();
        let java = "io.conduktor.connect.grpc.GrpcSourceTask";
        assert_eq!(name(&levels, java), Some("INFO"));
        levels.set(java, "TRACE").unwrap();
        let filter = levels.filter.with_current(ToString::to_string).unwrap();
        assert!(filter.contains("headwater_operators::source=trace"), "{filter}");
    }

    #[test]
    fn names_from_outside_do_no_harm_to_the_filter() {
        let (levels, _layer) = levels();
        for name in ["a=trace,b", "a[b]", "ä", "", " ", "a,root=off", "%s"] {
            levels.set(name, "TRACE").unwrap();
        }
        let filter = levels.filter.with_current(ToString::to_string).unwrap();
        assert!(filter.contains("info") && !filter.contains("b="), "{filter}");
        for number in 0..2 * LEVELS_MAX {
            let _ = levels.set(&format!("l{number}"), "OFF");
        }
        assert_eq!(levels.set("one.more", "OFF"), Err(BadLevel::Full));
        assert!(levels.set("l0", "INFO").is_ok(), "one that is known still changes");
    }
}
