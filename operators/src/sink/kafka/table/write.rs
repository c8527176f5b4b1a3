//! A change of a table: its records in one transaction.
//!
//! What an error means is decided where it is for epochs (`error.rs`); here is what follows from
//! it: a transaction that was aborted for sure is tried again, and one whose end is not known is
//! not. Whoever takes the lead next reads how it ended.

use super::{LEADER_KEY, Write, WriteError};
use crate::limits::TABLE_WRITE_ATTEMPTS_MAX;
use crate::sink::kafka::context::Subject;
use crate::sink::kafka::error::{advice, is_refusal, repair_of_delivery};
use crate::sink::kafka::producer::{Drained, NotSent, SinkProducer};
use headwater_engine::commit::outlet::{OutletError, Repair};
use headwater_engine::fault::{self, Point};
use headwater_engine::limits::COMMIT_RETRIES_MAX;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::BaseRecord;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    /// It was taken back, for sure.
    #[error("{0}")]
    Refused(String),
    /// The producer may begin nothing more; nothing was sent.
    #[error("{0}")]
    Unbegun(String),
    /// The producer is lost, and whether it was made is not known.
    #[error("{0}")]
    Lost(String),
    /// Another instance leads; nothing was sent.
    #[error("another instance leads")]
    Replaced,
}

impl Unwritten {
    /// What the one who asked is told.
    pub(super) fn answer(&self) -> WriteError {
        match self {
            Unwritten::Refused(why) | Unwritten::Unbegun(why) => WriteError::Refused(why.clone()),
            Unwritten::Lost(why) => WriteError::Unknown(why.clone()),
            Unwritten::Replaced => WriteError::NotLeading,
        }
    }
}

/// Commits `records` together.
pub(super) fn transact(
    producer: &SinkProducer,
    topic: &str,
    records: &Write,
) -> Result<(), Unwritten> {
    let mut attempts = 0;
    loop {
        producer.begin().map_err(|error| Unwritten::Unbegun(error.message))?;
        let Err(error) = fill(producer, topic, records).and_then(|()| commit(producer)) else {
            return Ok(());
        };
        if !error.repair.aborts() {
            return Err(Unwritten::Lost(error.message));
        }
        producer.abort().map_err(|worse| Unwritten::Lost(worse.message))?;
        attempts += 1;
        if attempts >= TABLE_WRITE_ATTEMPTS_MAX || error.repair == Repair::Isolate {
            return Err(Unwritten::Refused(error.message));
        }
    }
}

/// Sends `records` and waits until all are acknowledged.
fn fill(producer: &SinkProducer, topic: &str, records: &Write) -> Result<(), OutletError> {
    for (key, value) in records {
        let none = Subject::None.opaque();
        let record = BaseRecord::with_opaque_to(topic, none).partition(0).key(key.as_bytes());
        let record = match value {
            Some(value) => record.payload(value.as_slice()),
            None => record,
        };
        match producer.send(record) {
            Ok(()) => {}
            Err(NotSent::Refused(code)) => return Err(refused(code)),
            // Its deliveries tell why.
            Err(NotSent::Broken) => break,
            Err(NotSent::Error(error)) => return Err(error),
        }
    }
    match again(|| producer.drain())? {
        Drained::Acknowledged => {
            if records.iter().any(|(key, _)| key != LEADER_KEY) {
                fault::point(Point::ConfigStaged);
            }
            Ok(())
        }
        Drained::Failed(failed) => Err(match failed.first() {
            Some(first) if is_refusal(first.code) => refused(first.code),
            Some(first) => {
                let (message, repair) = (first.text(), repair_of_delivery(first.code));
                producer.verdict(OutletError { message, repair })
            }
            None => {
                let message = "the transaction failed".to_owned();
                producer.verdict(OutletError { message, repair: Repair::Abort })
            }
        }),
    }
}

fn commit(producer: &SinkProducer) -> Result<(), OutletError> {
    again(|| producer.commit())
}

/// Repeats a call while that is known to be safe.
fn again<T>(mut call: impl FnMut() -> Result<T, OutletError>) -> Result<T, OutletError> {
    let mut retries = 0;
    loop {
        match call() {
            Err(error) if error.repair == Repair::Again && retries < COMMIT_RETRIES_MAX => {
                retries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Trying again would not help.
fn refused(code: RDKafkaErrorCode) -> OutletError {
    let message = format!("Kafka refuses the record: {code}{}", advice(Some(code)));
    OutletError { message, repair: Repair::Isolate }
}
