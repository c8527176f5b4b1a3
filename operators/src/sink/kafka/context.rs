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
//! librdkafka tells of both in its log only. It does not repeat an identical line within 30 s, so
//! a taint stays until the producer is replaced, also if nothing was open when it was seen.

use crate::sink::kafka::log_limit;
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use std::sync::{Arc, OnceLock};
use std::sync::{Mutex, MutexGuard};

/// Keeps what one client reports; its clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Context(Arc<Reported>);

#[derive(Debug, Default)]
struct Reported {
    failed: Mutex<Option<FailedDelivery>>,
    taint: OnceLock<String>,
}

/// A record that librdkafka gave up.
#[derive(Clone, Debug)]
pub(super) struct FailedDelivery {
    /// Why.
    pub(super) code: RDKafkaErrorCode,
    /// Topic, partition and reason, for a person to read.
    pub(super) text: String,
}

impl Context {
    /// The first delivery that failed since the last call, if one did.
    pub(super) fn take_failed_delivery(&self) -> Option<FailedDelivery> {
        self.failed().take()
    }

    /// Why the producer may begin no other transaction, if so.
    pub(super) fn tainted(&self) -> Option<&str> {
        self.0.taint.get().map(String::as_str)
    }

    /// Marks the producer as one that may begin no other transaction; the first reason stays.
    pub(super) fn taint(&self, why: &str) {
        let _ = self.0.taint.set(why.to_owned());
    }

    fn failed(&self) -> MutexGuard<'_, Option<FailedDelivery>> {
        self.0.failed.lock().expect("storing a text does not panic")
    }
}

/// Whether a log line tells that a request may still be on its way although nobody waits for its
/// answer any more. A connection that was never up has carried none.
fn taints(facility: &str, message: &str) -> bool {
    match facility {
        "REQTMOUT" => true,
        "FAIL" => message.contains("in state UP"),
        _ => false,
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if taints(facility, message) {
            self.taint(message);
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
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let text = format!("{}[{}]: {error}", message.topic(), message.partition());
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            self.failed().get_or_insert(FailedDelivery { code, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as librdkafka 2.12 writes them.
    #[test]
    fn a_lost_connection_and_an_unanswered_request_taint_and_a_refused_connection_does_not() {
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
        ];
        for (facility, message, expected) in lines {
            assert_eq!(taints(facility, message), expected, "{message}");
            let context = Context::default();
            context.log(RDKafkaLogLevel::Info, facility, message);
            assert_eq!(context.tainted().is_some(), expected, "{message}");
        }
    }
}
