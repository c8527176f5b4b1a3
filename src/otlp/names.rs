//! What a series is called in OpenTelemetry.
//!
//! There is one list of series, that of Prometheus, and this is a rule on its names, not a second
//! list: nobody can add a series to the one and forget the other. The rule takes away what
//! Prometheus writes into a name and OpenTelemetry beside it: `_total` of counters, and the unit.
//! The first word, where it says which part of the program a series is about, becomes a namespace.
//!
//! What Prometheus' own collector tells of the process has names in OpenTelemetry's conventions,
//! and bears them.
//!
//! Invariant: Prometheus, given these names by OTLP, makes the series' own names of them again,
//! those of the process excepted; so rules and dashboards hold for both ways.
//!
//! Next: `metrics.rs` gives these names to values.

use headwater_operators::telemetry::PREFIX;
use std::borrow::Cow;

/// A series' name in OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: Cow<'static, str>,
    /// UCUM's symbol; words in braces say what is counted.
    pub(crate) unit: &'static str,
    /// Whether values of several processes are added up, although they go up and down.
    pub(crate) is_sum: bool,
}

/// Parts of the program.
const PARTS: [&str; 6] = ["operator", "otlp", "pipeline", "serve", "sink", "source"];

/// Units that Prometheus writes into names.
const UNITS: [(&str, &str); 2] = [("_seconds", "s"), ("_bytes", "By")];

/// What is counted, by the last word of a name.
const COUNTED: [(&str, &str); 9] = [
    ("_acks", "{ack}"),
    ("_batches", "{batch}"),
    ("_calls", "{call}"),
    ("_commits", "{commit}"),
    ("_letters", "{dead_letter}"),
    ("_exports", "{request}"),
    ("_messages", "{message}"),
    ("_records", "{record}"),
    ("_spans", "{span}"),
];

/// Names that OpenTelemetry's semantic conventions give.
const CONVENTIONS: [(&str, &str, &str, bool); 5] = [
    ("process_cpu_seconds_total", "process.cpu.time", "s", true),
    ("process_resident_memory_bytes", "process.memory.usage", "By", true),
    ("process_virtual_memory_bytes", "process.memory.virtual", "By", true),
    ("process_open_fds", "process.unix.file_descriptor.count", "{file_descriptor}", true),
    ("process_threads", "process.thread.count", "{thread}", true),
];

/// The name of the series that Prometheus calls `series`.
pub(crate) fn named(series: &str) -> Named {
    if let Some((_, name, unit, is_sum)) = CONVENTIONS.iter().find(|(it, ..)| *it == series) {
        return Named { name: Cow::Borrowed(name), unit, is_sum: *is_sum };
    }
    let counter = series.strip_suffix("_total");
    let bare = counter.unwrap_or(series);
    let of_unit = UNITS.iter().find_map(|(end, unit)| Some((bare.strip_suffix(end)?, *unit)));
    let (short, unit) = of_unit.unwrap_or_else(|| (bare, counted(bare)));
    let (scope, rest) = short.split_once('_').unwrap_or((short, ""));
    debug_assert!(scope == PREFIX || scope == "process", "{series}");
    // A name is no namespace: what would be nothing but a unit keeps it.
    let rest = if PARTS.contains(&rest) { &bare[scope.len() + 1..] } else { rest };
    let name = match rest.split_once('_') {
        Some((part, rest)) if PARTS.contains(&part) => format!("{scope}.{part}.{rest}"),
        _ => format!("{scope}.{rest}"),
    };
    Named { name: Cow::Owned(name), unit, is_sum: false }
}

fn counted(bare: &str) -> &'static str {
    COUNTED.iter().find(|(end, _)| bare.ends_with(end)).map_or("", |(_, unit)| unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_operators::telemetry::{Kind, Telemetry};

    /// As Prometheus translates what it receives by OTLP (its strategy
    /// `UnderscoreEscapingWithSuffixes`): a unit is added unless it is there.
    fn translated(named: &Named, kind: Kind) -> String {
        let mut name = named.name.replace('.', "_");
        for (end, unit) in UNITS {
            if named.unit == unit && !name.split('_').any(|word| word == &end[1..]) {
                name.push_str(end);
            }
        }
        if kind == Kind::Counter {
            name.push_str("_total");
        }
        name
    }

    #[test]
    fn prometheus_makes_each_name_again_of_what_it_gets_by_otlp() {
        for family in Telemetry::default().families() {
            let named = named(&family.name);
            assert_eq!(translated(&named, family.kind), family.name, "{named:?}");
        }
    }

    #[test]
    fn no_name_is_a_namespace_and_none_is_there_twice() {
        let telemetry = Telemetry::default();
        let names = telemetry.families().iter().map(|it| named(&it.name).name.into_owned());
        let names: Vec<String> = names.collect();
        for name in &names {
            let is_namespace = names.iter().any(|it| it.starts_with(&format!("{name}.")));
            let count = names.iter().filter(|it| *it == name).count();
            assert!(!is_namespace && count == 1, "{name}");
        }
    }

    #[test]
    fn names_are_those_of_the_conventions_or_follow_their_form() {
        let told = |series| {
            let Named { name, unit, is_sum } = named(series);
            (name.into_owned(), unit, is_sum)
        };
        assert_eq!(told("process_cpu_seconds_total"), ("process.cpu.time".to_owned(), "s", true));
        assert_eq!(
            told("headwater_source_received_messages_total"),
            ("headwater.source.received_messages".to_owned(), "{message}", false)
        );
        let bytes = ("headwater.sink.bytes".to_owned(), "By", false);
        assert_eq!(told("headwater_sink_bytes_total"), bytes);
        assert_eq!(told("headwater_commit_seconds"), ("headwater.commit".to_owned(), "s", false));
        assert_eq!(told("process_max_fds"), ("process.max_fds".to_owned(), "", false));
        assert_eq!(told("headwater_epoch"), ("headwater.epoch".to_owned(), "", false));
    }
}
