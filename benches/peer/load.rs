//! What there is to do: a stream as fast as flow control allows, one with a pace, or a silent one.
//!
//! Why all three: the first says how much a subject can do, the second what the work of everyday
//! costs it and whether it then keeps everything, the third what it costs to wait.

use std::time::Duration;

use headwater_telemetry::IDLE;
use serde_json::{Value, json};

/// How long a case lasts whose length is its own choice.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// What goes by first and is not measured: the first heartbeat of Headwater and the compiler
    /// of a JVM come late.
    pub warm_up: Duration,
    /// What is measured.
    pub measured: Duration,
}

/// A case.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// So many messages, as fast as flow control lets them through.
    Unlimited { messages: u64 },
    /// Messages that are due at fixed moments.
    Paced { rate: u64, span: Span },
    /// A stream that is open and brings nothing.
    Idle { span: Span },
}

impl Load {
    /// What stands in the table.
    pub fn name(&self) -> String {
        match self {
            Load::Unlimited { .. } => "unlimited".to_owned(),
            Load::Paced { rate, .. } => format!("{rate}/s"),
            Load::Idle { .. } => "idle".to_owned(),
        }
    }

    /// How many messages the stream has.
    pub fn messages(&self) -> u64 {
        match self {
            Load::Unlimited { messages } => *messages,
            Load::Paced { rate, span } => rate * (span.warm_up + span.measured).as_secs(),
            Load::Idle { .. } => 0,
        }
    }

    /// How long nothing is measured after the first message.
    pub fn warm_up(&self) -> Duration {
        match self {
            // It would not be the same share of the work for a fast subject and for a slow one.
            Load::Unlimited { .. } => Duration::ZERO,
            Load::Paced { span, .. } | Load::Idle { span } => span.warm_up,
        }
    }

    /// The request that asks the generator for it; the values are JSON, and so YAML too.
    pub fn request(&self) -> Vec<(&'static str, Value)> {
        match self {
            Load::Unlimited { messages } => vec![("count", json!(messages))],
            Load::Paced { rate, .. } => {
                vec![("count", json!(self.messages())), ("rate", json!(rate))]
            }
            Load::Idle { .. } => vec![("filter", json!(IDLE))],
        }
    }
}
