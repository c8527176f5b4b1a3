//! What librdkafka reports out of band: logs, errors, failed deliveries; and the *taint* it leaves.
//!
//! Why taint: librdkafka speaks the first version of Kafka's transaction protocol. In it a request
//! to end a transaction does not say which one it means, only whose. If such a request is delayed
//! on its way, librdkafka sends it again on another connection, and the delayed one may arrive
//! when the *next* transaction is open, and commit or abort that one, half-filled. The broker
//! refuses it only if the producer's epoch has been raised since. So a producer whose connection
//! broke, or one of whose requests timed out, may finish its commit but begin no other transaction:
//! the pipeline is taken over anew, which raises the epoch. (Jepsen's analysis of Bufstream 0.1.0
//! describes the fault and this defence; Kafka's KIP-890 mends it in the protocol.)
//!
//! And when a transaction is aborted, librdkafka may take its id again by itself. Brokers refuse
//! that to a producer that was replaced. But they forget ids that nobody uses (after seven days,
//! unless told otherwise), and then give one to whoever asks: an instance that was frozen for so
//! long, with its successor gone, would send its epoch behind all that the successor has committed.
//! So a producer whose transaction failed begins no other one either, and taking the pipeline over
//! shows the successor's claim. Spared are those whose records were refused for what they are: the
//! broker knew them a moment ago, and the guilty are found over several attempts.
//!
//! librdkafka tells of all this in its log only. It does not repeat an identical line within 30 s,
//! so a taint stays until the producer is replaced, also if nothing was open when it was seen.

use crate::sink::kafka::log_limit;
use crate::sink::kafka::rules::Facts;
use headwater_engine::fault::{Sabotage, is_sabotaged};
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult};
use rdkafka::producer::ProducerContext;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Keeps what one client reports; its clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Context(Arc<Reported>);

#[derive(Debug, Default)]
struct Reported {
    lanes: [Deliveries; LANES],
    is_broken: AtomicBool,
    taint: OnceLock<String>,
}

/// What was reported of one lane.
#[derive(Debug, Default)]
struct Deliveries {
    /// As many as are in flight at most, which the credit bounds.
    failed: Mutex<Vec<FailedDelivery>>,
    /// All that were reported, whatever came of them.
    answered: AtomicU64,
}

/// How many epochs may be on their way through one client.
const LANES: usize = 2;

/// Tells the records of one epoch from those of the next where both go through the same client, as
/// without transactions. A transaction has a client to itself, and that one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lane(usize);

/// What a delivery report is about, as it travels through librdkafka with each record: a number,
/// so that it costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// None of the epoch's records: a position, a claim.
    None,
    /// The epoch's record with this number.
    Record(usize),
    /// A dead letter in the place of the record with this number.
    DeadLetter(usize),
}

/// A record that librdkafka gave up.
#[derive(Clone, Debug)]
pub(super) struct FailedDelivery {
    /// Which one.
    pub(super) subject: Subject,
    /// Why.
    pub(super) code: RDKafkaErrorCode,
    /// Where it was to go.
    pub(super) topic: Arc<str>,
    /// The topic's partition.
    pub(super) partition: i32,
    /// What the topic judges it by.
    pub(super) facts: Facts,
}

impl Subject {
    /// As librdkafka carries it.
    pub(super) fn opaque(self) -> usize {
        match self {
            Subject::None => 0,
            Subject::Record(number) => (number + 1) << 1,
            Subject::DeadLetter(number) => (number + 1) << 1 | 1,
        }
    }

    fn of(opaque: usize) -> Subject {
        match (opaque >> 1, opaque & 1) {
            (0, _) => Subject::None,
            (next, 0) => Subject::Record(next - 1),
            (next, _) => Subject::DeadLetter(next - 1),
        }
    }
}

impl Lane {
    /// Both.
    pub(super) const ALL: [Lane; LANES] = [Lane(0), Lane(1)];

    /// The highest bit of what a record carries, which no number reaches.
    const SHIFT: u32 = usize::BITS - 1;

    /// The lane and what else the record carries.
    pub(super) fn mark(self, opaque: usize) -> usize {
        opaque & !(1 << Self::SHIFT) | self.0 << Self::SHIFT
    }

    fn split(opaque: usize) -> (Lane, Subject) {
        (Lane(opaque >> Self::SHIFT), Subject::of(Lane(0).mark(opaque)))
    }
}

impl FailedDelivery {
    /// Topic, partition and reason, for a person to read.
    pub(super) fn text(&self) -> String {
        format!("{}[{}]: {}", self.topic, self.partition, self.code)
    }
}

impl Context {
    /// The deliveries of a lane that failed since the last call, in the order of their reports.
    pub(super) fn take_failed_deliveries(&self, lane: Lane) -> Vec<FailedDelivery> {
        std::mem::take(&mut self.failed(lane))
    }

    /// Whether a delivery of the lane has failed since they were last taken.
    pub(super) fn has_failed_deliveries(&self, lane: Lane) -> bool {
        !self.failed(lane).is_empty()
    }

    /// How many deliveries of the lane were reported since the client was made. Who sees all of
    /// them reported sees all that failed as well.
    pub(super) fn answered(&self, lane: Lane) -> u64 {
        self.0.lanes[lane.0].answered.load(Acquire)
    }

    /// Whether librdkafka has given the open transaction up. It then sends nothing more, and what
    /// it puts back into its queue meanwhile stays there; nothing but its log tells.
    pub(super) fn is_broken(&self) -> bool {
        self.0.is_broken.load(Acquire)
    }

    /// A new transaction begins.
    pub(super) fn forget_failure(&self) {
        self.0.is_broken.store(false, Release);
        Lane::ALL.iter().for_each(|lane| drop(self.take_failed_deliveries(*lane)));
    }

    /// Why the producer may begin no other transaction, if so.
    pub(super) fn tainted(&self) -> Option<&str> {
        let why = self.0.taint.get().map(String::as_str);
        why.filter(|_| !is_sabotaged(Sabotage::TaintIgnored))
    }

    /// Marks the producer as one that may begin no other transaction; the first reason stays.
    pub(super) fn taint(&self, why: &str) {
        let _ = self.0.taint.set(why.to_owned());
    }

    fn failed(&self, lane: Lane) -> MutexGuard<'_, Vec<FailedDelivery>> {
        self.0.lanes[lane.0].failed.lock().expect("storing a failure does not panic")
    }

    fn note_failed(
        &self,
        lane: Lane,
        subject: Subject,
        (error, message): &(KafkaError, BorrowedMessage<'_>),
    ) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        // What was thrown away on our own request says nothing.
        if matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
            return;
        }
        let mut failed = self.failed(lane);
        let last = failed.last().filter(|last| *last.topic == *message.topic());
        let topic = last.map_or_else(|| Arc::from(message.topic()), |last| last.topic.clone());
        let bytes = message.key().map_or(0, <[u8]>::len) + message.payload_len();
        let facts = Facts { bytes, has_key: message.key().is_some(), unix_ms: None };
        let partition = message.partition();
        failed.push(FailedDelivery { subject, code, topic, partition, facts });
    }
}

/// How the log of a transaction ends that failed because records are refused for what they are: the
/// names of `error::is_refusal`, and what the gap in the numbering leads to that they leave.
const REFUSALS: [&str; 6] = [
    "(INVALID_MSG_SIZE)",
    "(INVALID_RECORD)",
    "(INVALID_TIMESTAMP)",
    "(MSG_SIZE_TOO_LARGE)",
    "(RECORD_LIST_TOO_LARGE)",
    "skipped sequence numbers (OUT_OF_ORDER_SEQUENCE_NUMBER, requires epoch bump)",
];

/// Whether a log line tells that a request may still be on its way although nobody waits for its
/// answer any more, or that librdkafka may take its id again by itself. A connection that was never
/// up has carried no request.
fn taints(facility: &str, message: &str) -> bool {
    match facility {
        "REQTMOUT" => true,
        "FAIL" => message.contains("in state UP"),
        "TXNERR" => !REFUSALS.iter().any(|it| message.ends_with(it)),
        _ => false,
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if taints(facility, message) {
            self.taint(message);
        }
        if facility == "TXNERR" {
            self.0.is_broken.store(true, Release);
        }
        match level {
            // Producers and readers share the user's properties; that one of them does not need
            // some is no news. What no client knows is refused when the file is checked.
            _ if facility == "CONFWARN" => {
                tracing::debug!(event = "kafka_client", facility, "{message}");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => log_limit::warn(facility, message),
            _ => tracing::debug!(event = "kafka_client", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_limit::error(&error, reason);
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let (lane, subject) = Lane::split(opaque);
        if let Err(failure) = result {
            self.note_failed(lane, subject, failure);
        }
        // Counted last: see `answered`.
        self.0.lanes[lane.0].answered.fetch_add(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_and_its_lane_survive_their_way_through_the_client() {
        for number in [0, 1, 2, 1 << 40] {
            for subject in [Subject::None, Subject::Record(number), Subject::DeadLetter(number)] {
                for lane in Lane::ALL {
                    assert_eq!(Lane::split(lane.mark(subject.opaque())), (lane, subject));
                }
            }
        }
    }

    /// Lines as librdkafka 2.12 writes them.
    #[test]
    fn what_leaves_a_request_on_its_way_or_may_renew_an_id_taints_and_nothing_else_does() {
        let lines = [
            ("FAIL", "host:9092/1: Disconnected (after 5005ms in state UP)", true),
            ("FAIL", "host:9092/1: Receive failed: reset by peer (after 1ms in state UP)", true),
            ("REQTMOUT", "host:9092/1: Timed out EndTxnRequest in flight (after 1002ms)", true),
            (
                "FAIL",
                "host:9092/2: Connect to host failed: refused (after 0ms in state CONNECT)",
                false,
            ),
            ("GETPID", "Failed to acquire transactional PID: broker is busy", false),
            ("TXNERR", "Current transaction failed in state …: … (INVALID_RECORD)", false),
            ("TXNERR", "Current transaction failed …: … (INVALID_PRODUCER_ID_MAPPING)", true),
            ("TXNERR", "Current transaction failed …: … (_TIMED_OUT, requires epoch bump)", true),
        ];
        for (facility, message, expected) in lines {
            assert_eq!(taints(facility, message), expected, "{message}");
            let context = Context::default();
            context.log(RDKafkaLogLevel::Info, facility, message);
            assert_eq!(context.tainted().is_some(), expected, "{message}");
            assert_eq!(context.is_broken(), facility == "TXNERR", "{message}");
        }
    }
}
