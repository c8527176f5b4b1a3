//! What waits for its commit, on the thread of commits: an epoch and the positions behind it.
//!
//! A transaction holds both by then, and Kafka makes them visible together. Without a transaction
//! the records are on their way, visible one by one, and the positions may follow only when all of
//! them are acknowledged. That wait is the commit: the committer sends the next epoch meanwhile.
//!
//! Invariant: no position is sent before each record behind it is acknowledged.
//!
//! Next: `outlet.rs` hears of the outcome.

use crate::sink::kafka::context::Subject;
use crate::sink::kafka::error::advice;
use crate::sink::kafka::producer::{Drained, NotSent, Record, SinkProducer};
use crate::sink::kafka::staging::Halt;
use headwater_engine::commit::outlet::{OutletError, Repair, Sealed};
use std::collections::VecDeque;
use std::sync::Arc;

/// A transaction that holds all it should.
pub(super) struct SealedTransaction(pub(super) Arc<SinkProducer>);

/// An epoch without a transaction.
pub(super) struct SealedDelivery {
    producer: Arc<SinkProducer>,
    /// What is still to be sent behind the records.
    progress: VecDeque<ProgressRecord>,
    /// Whether each position is to be acknowledged before the next is sent.
    is_parted: bool,
}

/// A record of the progress topic.
pub(super) struct ProgressRecord {
    pub(super) topic: String,
    pub(super) key: String,
    /// None withdraws the key.
    pub(super) value: Option<Vec<u8>>,
    /// Whether it says where a shard stands.
    pub(super) is_position: bool,
}

impl Sealed for SealedTransaction {
    fn commit(&mut self) -> Result<(), OutletError> {
        self.0.commit()
    }
}

impl SealedDelivery {
    pub(super) fn new(
        producer: Arc<SinkProducer>,
        progress: Vec<ProgressRecord>,
        is_parted: bool,
    ) -> Self {
        SealedDelivery { producer, progress: progress.into(), is_parted }
    }
}

impl Sealed for SealedDelivery {
    /// Asked again, it goes on where it was.
    fn commit(&mut self) -> Result<(), OutletError> {
        self.producer.settle()?;
        while let Some(record) = self.progress.front() {
            record.send(&self.producer).map_err(error)?;
            self.progress.pop_front();
            if self.is_parted {
                self.producer.settle()?;
            }
        }
        self.producer.settle()
    }
}

impl ProgressRecord {
    /// Hands it over.
    pub(super) fn send(&self, producer: &SinkProducer) -> Result<(), Halt> {
        let record = Record::with_opaque_to(&self.topic, Subject::None.opaque());
        let mut record = record.partition(0).key(self.key.as_bytes());
        record.payload = self.value.as_deref();
        match producer.send(record) {
            Ok(()) => Ok(()),
            Err(NotSent::Error(error)) => Err(Halt::Error(error)),
            Err(NotSent::Refused(code)) => {
                let message = format!(
                    "topic `{}` does not take a position of {} bytes: {code}{}",
                    self.topic,
                    self.value.as_ref().map_or(0, Vec::len),
                    advice(Some(code))
                );
                Err(Halt::Error(OutletError { message, repair: Repair::Stop }))
            }
            Err(NotSent::Broken) => Err(match producer.drain() {
                Ok(Drained::Acknowledged) => Halt::Failed(Vec::new()),
                Ok(Drained::Failed(failed)) => Halt::Failed(failed),
                Err(error) => Halt::Error(error),
            }),
        }
    }
}

/// Only transactions break; a producer without one that takes no more records is replaced.
fn error(halt: Halt) -> OutletError {
    match halt {
        Halt::Error(error) => error,
        Halt::Failed(_) => {
            let message = "the producer takes no more records".to_owned();
            OutletError { message, repair: Repair::Acquire }
        }
    }
}
