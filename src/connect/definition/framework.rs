//! The keys that Kafka Connect gives every source connector.
//!
//! What is the worker's to say (versions, converters) comes as [`Worker`].

use crate::connect::key::Importance::{High, Low, Medium};
use crate::connect::key::{Key, Width};
use crate::connect::kind::Kind::{Boolean, Class, Int, List, Long, String};
use crate::connect::plugins::{self, Role};
use crate::connect::rule::Rule;
use crate::connect::worker::Worker;

const COMMON: &str = "Common";
const ERRORS: &str = "Error Handling";
const EXACTLY_ONCE: &str = "Exactly Once Support";

/// How many of the keys every connector has; the rest are those of source connectors.
pub(in crate::connect) const OF_ALL: usize = 19;

/// The keys, in the order in which they are listed. With `resolved`, converters have the worker's
/// as defaults, as in a validation; a plain list of keys leaves them out.
pub(in crate::connect) fn keys(worker: &Worker, resolved: bool) -> Vec<Key> {
    let mut keys = common(worker);
    keys.extend(converters(worker, resolved));
    keys.extend(chains());
    keys.extend(errors());
    keys.extend(of_sources());
    keys
}

fn common(worker: &Worker) -> Vec<Key> {
    let version = worker.connector_version.clone();
    vec![
        Key::plain("name", String, High)
            .required()
            .rule(Rule::ConnectorName)
            .shown(COMMON, 1, Width::Medium, "Connector name")
            .says("The connector's name. Its progress is kept under it."),
        Key::plain("connector.class", String, High)
            .required()
            .shown(COMMON, 2, Width::Long, "Connector class")
            .says("The connector's class, by its full name or an alias."),
        Key::plain("connector.plugin.version", String, Medium)
            .default(version.clone())
            .recommended(vec![version])
            .shown(COMMON, 3, Width::Medium, "Connector version")
            .says("The version of the connector to use."),
        Key::plain("tasks.max", Int, High)
            .default("1")
            .rule(Rule::AtLeast(1))
            .shown(COMMON, 4, Width::Short, "Tasks max")
            .says("How many tasks there may be. This connector always has one: it makes one call."),
        Key::plain("tasks.max.enforce", Boolean, Low)
            .default("true")
            .shown(COMMON, 5, Width::Short, "Enforce tasks max")
            .says("Whether tasks.max is a limit. There is one task in any case."),
    ]
}

fn converters(worker: &Worker, resolved: bool) -> Vec<Key> {
    let of = [
        ("key", "Key", worker.key_converter.as_str(), Role::Converter),
        ("value", "Value", worker.value_converter.as_str(), Role::Converter),
        ("header", "Header", worker.header_converter.as_str(), Role::HeaderConverter),
    ];
    let mut keys = Vec::new();
    for ((what, shown, class, role), order) in of.into_iter().zip([6, 8, 10]) {
        let mut converter = Key::plain("", Class, Low)
            .shown(COMMON, order, Width::Short, format!("{shown} converter class"))
            .says(format!("What turns a record's {what} into bytes. Left out: the worker's."));
        let mut version = Key::plain("", String, Low)
            .shown(COMMON, order + 1, Width::Short, format!("{shown} converter version"))
            .says(format!("The version of the {what} converter to use."));
        converter.name = format!("{what}.converter").into();
        version.name = format!("{what}.converter.plugin.version").into();
        if resolved {
            converter = converter
                .default(class.to_owned())
                .recommended(plugins::names(role).map(str::to_owned).collect());
            version = version
                .default(worker.connect_version.clone())
                .recommended(vec![worker.connect_version.clone()]);
        }
        keys.extend([converter, version]);
    }
    keys
}

fn chains() -> Vec<Key> {
    vec![
        Key::plain("transforms", List, Low)
            .default("")
            .rule(Rule::Aliases)
            .shown("Transforms", 12, Width::Long, "Transforms")
            .says("Names of transformations, in the order in which records pass them."),
        Key::plain("predicates", List, Low)
            .default("")
            .rule(Rule::Aliases)
            .shown("Predicates", 13, Width::Long, "Predicates")
            .says("Names of predicates, which say what a transformation applies to."),
        Key::plain("config.action.reload", String, Low)
            .default("restart")
            .rule(Rule::OneOf(&["none", "restart"]))
            .shown(COMMON, 14, Width::Medium, "Reload Action")
            .says(
                "Whether the connector restarts when a provider of values says that they changed.",
            ),
    ]
}

fn errors() -> Vec<Key> {
    vec![
        Key::plain("errors.retry.timeout", Long, Medium)
            .default("0")
            .shown(ERRORS, 1, Width::Medium, "Retry Timeout for Errors")
            .says(
                "How long an operation that failed is tried again, in milliseconds; -1: for ever.",
            ),
        Key::plain("errors.retry.delay.max.ms", Long, Medium)
            .default("60000")
            .shown(ERRORS, 2, Width::Medium, "Maximum Delay Between Retries for Errors")
            .says("The longest wait between two tries, in milliseconds."),
        Key::plain("errors.tolerance", String, Medium)
            .default("none")
            .rule(Rule::OneOf(&["none", "all"]))
            .shown(ERRORS, 3, Width::Short, "Error Tolerance")
            .says(
                "What a message means that cannot become a record. none: the connector fails. all: \
                 the message is put aside as a dead letter, and the connector goes on.",
            ),
        Key::plain("errors.log.enable", Boolean, Medium)
            .default("false")
            .shown(ERRORS, 4, Width::Short, "Log Errors")
            .says("Whether each such message is logged. Headwater counts them in any case."),
        Key::plain("errors.log.include.messages", Boolean, Medium)
            .default("false")
            .shown(ERRORS, 5, Width::Short, "Log Error Details")
            .says("Whether the log shows the message. Headwater never logs what a message holds."),
    ]
}

fn of_sources() -> Vec<Key> {
    vec![
        Key::plain("topic.creation.groups", List, Low)
            .default("")
            .rule(Rule::Aliases)
            .shown("Topic Creation", 1, Width::Long, "Topic Creation Groups")
            .says("Names of groups of topics that are created alike, beside the group `default`."),
        Key::plain("exactly.once.support", String, Medium)
            .default("requested")
            .rule(Rule::OneOfAnyCase(&["REQUIRED", "REQUESTED"]))
            .shown(EXACTLY_ONCE, 2, Width::Short, "Exactly once support")
            .says(
                "Whether the connector may only run if it delivers exactly once. By its keys alone \
                 the stream cannot be resumed, so `required` is refused.",
            ),
        Key::plain("transaction.boundary", String, Medium)
            .default("poll")
            .rule(Rule::OneOfAnyCase(&["INTERVAL", "POLL", "CONNECTOR"]))
            .shown(EXACTLY_ONCE, 3, Width::Short, "Transaction Boundary")
            .says("What ends a transaction. Headwater ends it after an interval."),
        Key::plain("transaction.boundary.interval.ms", Long, Low)
            .rule(Rule::AtLeastIfThere(0))
            .shown(EXACTLY_ONCE, 4, Width::Short, "Transaction boundary interval")
            .says("How long a transaction stays open, in milliseconds."),
        Key::plain("offsets.storage.topic", String, Low)
            .rule(Rule::NotEmpty)
            .shown("offsets.topic", 1, Width::Long, "Offsets topic")
            .says("A topic for this connector's progress alone."),
    ]
}
