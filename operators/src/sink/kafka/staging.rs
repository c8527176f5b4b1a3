//! One open transaction as records are put into it, number by number.
//!
//! Each record and each dead letter of the epoch has a number, given in the order of staging, which
//! is the same in every attempt. By it what is known of an epoch's refused records is found again
//! (`refusals.rs`), and by it a delivery report names its record.
//!
//! Invariant: nothing is looked up and nothing is waited for while no record was refused lately.
//!
//! Next: `producer.rs` hands the records to librdkafka.

use crate::sink::kafka::context::{FailedDelivery, Subject};
use crate::sink::kafka::error::advice;
use crate::sink::kafka::producer::{Drained, NotSent, Record, SinkProducer};
use crate::sink::kafka::refusals::Known;
use crate::sink::kafka::rules::Facts;
use crate::sink::kafka::written::TopicsMet;
use headwater_engine::commit::outlet::{OutletError, Repair};
use headwater_engine::ids::{Epoch, ShardIndex, Slot};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;

/// An open transaction.
#[derive(Debug)]
pub(super) struct Open {
    /// The producer it is on.
    pub(super) slot: Slot,
    /// What it holds.
    pub(super) epoch: Epoch,
    /// The number of the next record.
    pub(super) next: usize,
    /// How many records became dead letters, by shard.
    pub(super) set_aside: BTreeMap<ShardIndex, u64>,
    /// The topics of its records, if somebody wants to know.
    pub(super) topics: Option<TopicsMet>,
}

/// An open transaction with what it needs to take records.
pub(super) struct Staging<'a> {
    pub(super) producer: &'a SinkProducer,
    pub(super) open: &'a mut Open,
    pub(super) known: &'a mut Known,
}

/// What becomes of a record.
pub(super) enum Fate {
    /// It is sent, under this name.
    Send(Subject),
    /// An earlier attempt has delivered it, and nothing took that back.
    Delivered,
    /// It can never be written.
    Refused(RDKafkaErrorCode),
}

/// Why staging goes no further.
pub(super) enum Halt {
    /// Deliveries have failed. If there are none here, the transaction broke for another reason.
    Failed(Vec<FailedDelivery>),
    /// Anything else.
    Error(OutletError),
}

impl Open {
    pub(super) fn new(slot: Slot, epoch: Epoch) -> Self {
        Open { slot, epoch, next: 0, set_aside: BTreeMap::new(), topics: None }
    }
}

impl Staging<'_> {
    /// What becomes of the next record.
    pub(super) fn fate(&mut self, topic: &str, facts: &Facts) -> Result<Fate, Halt> {
        let number = self.open.next;
        if self.known.is_blank() {
            return Ok(Fate::Send(Subject::Record(number)));
        }
        self.stop_at_wall()?;
        // It counts as a dead letter in each attempt, also where the letter is there already.
        if let Some(code) = self.known.guilt(number) {
            // Where a broker names several records, the client gives all of them one reason.
            return Ok(Fate::Refused(self.known.breaks_rule(topic, facts).unwrap_or(code)));
        }
        if self.known.is_delivered(number) {
            return Ok(Fate::Delivered);
        }
        if let Some(code) = self.known.breaks_rule(topic, facts) {
            self.known.refuse(number, code);
            return Ok(Fate::Refused(code));
        }
        Ok(Fate::Send(Subject::Record(number)))
    }

    /// The name of the next dead letter, unless it is delivered. Gaps go the same way: neither has
    /// another place to go to.
    pub(super) fn fate_of_dead_letter(&mut self) -> Result<Option<Subject>, Halt> {
        if !self.known.is_blank() {
            self.stop_at_wall()?;
        }
        Ok(self.dead_letter())
    }

    /// The name of a dead letter in the place of the next record, unless it is delivered.
    pub(super) fn dead_letter(&mut self) -> Option<Subject> {
        let number = self.open.next;
        (!self.known.is_delivered(number)).then_some(Subject::DeadLetter(number))
    }

    /// Hands the next record over; tells if the client refuses it for what it is.
    pub(super) fn send(&mut self, record: Record<'_>) -> Result<Option<RDKafkaErrorCode>, Halt> {
        let topic = record.topic;
        match self.producer.send(record) {
            Ok(()) => {
                self.known.sent(self.open.next);
                if let Some(topics) = &mut self.open.topics {
                    topics.meet(topic);
                }
                Ok(None)
            }
            Err(NotSent::Refused(code)) => {
                self.known.refuse(self.open.next, code);
                Ok(Some(code))
            }
            Err(NotSent::Broken) => Err(self.broken()),
            Err(NotSent::Error(error)) => Err(Halt::Error(error)),
        }
    }

    /// Hands a dead letter over. One that is refused as well has nowhere to go.
    pub(super) fn send_dead_letter(&mut self, record: Record<'_>) -> Result<(), Halt> {
        let (topic, bytes) = (record.topic, record.payload.map_or(0, <[u8]>::len));
        match self.send(record)? {
            None => Ok(()),
            Some(code) => {
                let message = format!(
                    "topic `{topic}` does not take a record of {bytes} bytes that has nowhere else \
                     to go: {code}{}",
                    advice(Some(code))
                );
                Err(Halt::Error(OutletError { message, repair: Repair::Stop }))
            }
        }
    }

    /// A record of `shard` becomes a dead letter.
    pub(super) fn set_aside(&mut self, shard: ShardIndex) {
        *self.open.set_aside.entry(shard).or_default() += 1;
    }

    /// The next record is dealt with.
    pub(super) fn advance(&mut self) {
        self.open.next += 1;
    }

    /// At a wall everything sent before is acknowledged before anything more is sent.
    pub(super) fn stop_at_wall(&mut self) -> Result<(), Halt> {
        if !self.known.has_wall(self.open.next) {
            return Ok(());
        }
        match self.drained() {
            Ok(Drained::Acknowledged) => Ok(()),
            Ok(Drained::Failed(failed)) => Err(Halt::Failed(failed)),
            Err(error) => Err(Halt::Error(error)),
        }
    }

    fn broken(&self) -> Halt {
        match self.drained() {
            Ok(Drained::Acknowledged) => Halt::Failed(Vec::new()),
            Ok(Drained::Failed(failed)) => Halt::Failed(failed),
            Err(error) => Halt::Error(error),
        }
    }

    /// Half a batch cannot be staged again: what is not acknowledged in time is sent anew.
    fn drained(&self) -> Result<Drained, OutletError> {
        let again = |error: OutletError| match error.repair {
            Repair::Again => OutletError { repair: Repair::Later, ..error },
            _ => error,
        };
        self.producer.drain().map_err(again)
    }
}
