//! Who does the work: what the measurement needs of each of the two, and no more.
//!
//! Why traits: the measurement must not know which of them it looks at, or it would be kinder to
//! one. All that differs is how they start, what they promise, and how one sees that they are done.

use std::time::Duration;

use anyhow::Result;
use headwater_test_support::process::Usage;

use crate::load::Load;

/// A program that brings a stream into Kafka.
pub trait Subject {
    /// What stands in the table.
    fn name(&self) -> &'static str;

    /// Whether every message must arrive once and in order.
    fn is_exactly_once(&self) -> bool;

    /// Starts a process of its own.
    fn start(&self, work: &Work<'_>) -> Result<Box<dyn Run>>;
}

/// One case, as a subject is told of it.
pub struct Work<'a> {
    /// Unlike that of every other case: the pipeline's or connector's name, and the topic's.
    pub name: &'a str,
    pub load: &'a Load,
    /// `http://HOST:PORT` of the generator.
    pub endpoint: &'a str,
    pub brokers: &'a str,
}

/// A running process. Dropping it kills it.
pub trait Run {
    /// Memory and CPU so far, while it lives.
    fn usage(&self) -> Result<Usage>;

    /// Waits until it says that its stream is open.
    fn wait_open(&mut self) -> Result<()>;

    /// Whether the last message is written; an end that is not a good one is an error.
    fn is_done(&mut self, seen: Seen) -> Result<bool>;

    /// The end of what it has printed.
    fn log_end(&self) -> String;
}

/// How far the work is, as far as one sees from outside.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The generator has sent everything.
    pub is_sent: bool,
    /// So long the topic's end has stood still.
    pub quiet: Duration,
}
