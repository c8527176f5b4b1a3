//! What happens to messages that cannot become records, and when transactions end.

use super::reader::{Number, Reader};
use super::source::Topic;
use crate::connect::mistake::Mistake;

/// The keys about errors and transactions.
pub(super) struct Policy {
    /// Where dead letters go, if errors are tolerated.
    pub(super) dead_letters: Option<DeadLetters>,
    /// How long a transaction stays open, if that is said.
    pub(super) interval_ms: Option<Number>,
}

/// The topic of dead letters.
pub(super) struct DeadLetters {
    pub(super) topic: String,
    /// Copies of its partition; left out: the brokers' default.
    pub(super) replication: Option<Number>,
}

const TOPIC: &str = "errors.deadletterqueue.topic.name";
const REPLICATION: &str = "errors.deadletterqueue.topic.replication.factor";

/// What a topic is called that nobody named.
const SUFFIX: &str = ".dead-letters";

/// Milliseconds that a transaction may stay open.
const INTERVAL_MS: (i64, i64) = (1, 60_000);

pub(super) fn read(topic: &Topic, reader: &mut Reader<'_>) -> Policy {
    Policy { dead_letters: dead_letters(topic, reader), interval_ms: transactions(reader) }
}

fn dead_letters(topic: &Topic, reader: &mut Reader<'_>) -> Option<DeadLetters> {
    let tolerance = reader.known("errors.tolerance").unwrap_or_default();
    let named = reader.filled(TOPIC);
    let replication = reader.number(REPLICATION).filter(|it| *it != Number::Known(-1));
    if matches!(replication, Some(Number::Known(copies)) if !(1..=1000).contains(&copies)) {
        let told = Mistake::of(REPLICATION, "is not a number of copies");
        reader.mistake(told.hint("expected 1 or more, or -1 for the brokers' default"));
    }
    let given = [
        (
            "errors.retry.timeout",
            "a message is decoded once, and Kafka is tried for as long as it takes",
        ),
        ("errors.retry.delay.max.ms", "see errors.retry.timeout"),
        ("errors.log.enable", "dead letters are counted, and their headers say why"),
        ("errors.log.include.messages", "what a message holds is never logged"),
        (
            "errors.deadletterqueue.context.headers.enable",
            "dead letters always have headers that say where they came from and why",
        ),
    ];
    for (key, told) in given {
        if reader.known(key).is_some() {
            reader.note(key, format!("has no effect: {told}"));
        }
    }
    if tolerance != "all" {
        if named.is_some() {
            let told = "has no effect without errors.tolerance=all: the first message that cannot \
                        become a record stops the pipeline";
            reader.note(TOPIC, told.to_owned());
        }
        return None;
    }
    if named.is_none() {
        let told = "such messages go to a topic of dead letters instead of nowhere".to_owned();
        reader.note("errors.tolerance", told);
    }
    let topic = named.unwrap_or_else(|| format!("{}{SUFFIX}", topic.name));
    Some(DeadLetters { topic, replication })
}

fn transactions(reader: &mut Reader<'_>) -> Option<Number> {
    const SUPPORT: &str = "exactly.once.support";
    const BOUNDARY: &str = "transaction.boundary";
    const INTERVAL: &str = "transaction.boundary.interval.ms";
    let support = reader.known(SUPPORT).unwrap_or_default().to_lowercase();
    match support.as_str() {
        "" | "requested" => {}
        "required" => {
            let told = Mistake::of(
                SUPPORT,
                "cannot be promised by these keys: none of them says how the stream is resumed",
            );
            reader.mistake(told.hint(
                "write `requested` and convert; then add `resume` and `require: exactly_once` to \
                 the pipeline file",
            ));
        }
        _ => {
            let told = Mistake::of(SUPPORT, "is neither requested nor required");
            reader.mistake(told.hint("write requested"));
        }
    }
    if reader.filled("offsets.storage.topic").is_some() {
        let told = "has no effect: the progress of a pipeline has a topic of its own".to_owned();
        reader.note("offsets.storage.topic", told);
    }
    let boundary = reader.known(BOUNDARY).unwrap_or_default().to_lowercase();
    let interval = reader.number(INTERVAL).is_some();
    match boundary.as_str() {
        "interval" if interval => Some(reader.bounded(INTERVAL, 60_000, INTERVAL_MS)),
        "" | "poll" | "interval" => {
            if interval {
                let told = "has no effect, as before, without transaction.boundary=interval";
                reader.note(INTERVAL, told.to_owned());
            }
            None
        }
        "connector" => {
            let told = Mistake::of(BOUNDARY, "the connector defines no transactions of its own");
            reader.mistake(told.hint("write interval, or leave it out"));
            None
        }
        _ => {
            let told = Mistake::of(BOUNDARY, "is none of poll, interval and connector");
            reader.mistake(told.hint("write interval, or leave it out"));
            None
        }
    }
}
