//! What a fresh reader finds in the topic afterwards, against what was sent: number by number.
//!
//! Why: a speed without what was lost at that speed is no speed. The generator numbers its events
//! from 1, so that each one that is missing, there twice or behind a later one can be told.

use anyhow::{Context, Result, ensure};
use headwater_test_support::topic::check::Faults;
use headwater_test_support::topic::{self, Isolation, Sequences, event};
use rdkafka::Message;
use serde_json::json;

/// The count of a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Messages that the generator sent.
    pub sent: u64,
    /// Records in the topic.
    pub records: u64,
    /// Messages of which there is no record.
    pub missing: u64,
    /// Messages of which there are several.
    pub duplicated: u64,
    /// Records behind one of a later message, in the same partition.
    pub reordered: u64,
}

impl Arrived {
    /// Reads the whole topic.
    pub fn read(brokers: &str, name: &str, sent: u64) -> Result<Arrived> {
        let mut sequences = Sequences::expect(1..=sent);
        topic::for_each(brokers, name, Isolation::Committed, |message| {
            let value = message.payload().context("a record without a value")?;
            let sequence = event::sequence(value).context("a value without a sequence")?;
            sequences.observe("", message.partition(), sequence);
            Ok(())
        })?;
        match sequences.finish() {
            Ok(records) => Ok(Arrived { sent, records, ..Arrived::default() }),
            Err(faults) => Arrived::with(sent, &faults),
        }
    }

    fn with(sent: u64, faults: &Faults) -> Result<Arrived> {
        ensure!(faults.unexpected.count == 0, "records that nobody sent: {faults}");
        Ok(Arrived {
            sent,
            records: faults.count,
            missing: faults.missing.count,
            duplicated: faults.duplicates.count,
            reordered: faults.reordered.count,
        })
    }

    /// Whether every message is there once and in order.
    pub fn is_exact(&self) -> bool {
        *self == Arrived { sent: self.sent, records: self.sent, ..Arrived::default() }
    }

    /// Both together.
    pub fn plus(self, other: Arrived) -> Arrived {
        Arrived {
            sent: self.sent + other.sent,
            records: self.records + other.records,
            missing: self.missing + other.missing,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
        }
    }

    /// All of it, for machines.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "sent": self.sent, "records": self.records, "missing": self.missing,
            "duplicated": self.duplicated, "reordered": self.reordered,
        })
    }
}
