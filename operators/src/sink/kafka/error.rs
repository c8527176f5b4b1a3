//! What an error of librdkafka means for an epoch: the one place that decides.
//!
//! librdkafka sorts its transactional errors into three classes, and `rdkafka` shows them:
//! retriable (make the same call again), abortable (abort and send again), and all others, fatal
//! ones included (the producer is lost). A lost producer does *not* mean "not committed":
//! librdkafka has an error for "committed on the broker but failed locally". So such an error is
//! settled by reading the stored progress under new ownership, never by guessing.

use headwater_engine::commit::acquisition::Replaced;
use headwater_engine::commit::outlet::{OutletError, Repair};
use headwater_engine::commit::progress::ProgressError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A Kafka pipeline could not be started or taken over.
#[derive(Debug, thiserror::Error)]
pub enum KafkaStartError {
    /// librdkafka refuses its configuration.
    #[error("the Kafka client refuses its configuration: {reason}")]
    Client {
        /// What it says.
        reason: String,
    },
    /// The cluster did not answer.
    #[error("no answer from Kafka at {brokers} ({what}): {reason}")]
    Unreachable {
        /// Bootstrap servers.
        brokers: String,
        /// What was asked.
        what: String,
        /// What librdkafka says.
        reason: String,
    },
    /// A right is missing.
    #[error("Kafka refuses {what}: {reason}; grant the right and start again")]
    Denied {
        /// What was asked.
        what: String,
        /// What the broker says.
        reason: String,
    },
    /// A topic is missing and may not be created.
    #[error("topic `{topic}` does not exist: create it, or let the sink do it with `{key}`")]
    TopicMissing {
        /// The topic.
        topic: String,
        /// The key of the pipeline file that would create it.
        key: &'static str,
    },
    /// A topic that was there when the pipeline started is there no more.
    #[error(
        "topic `{topic}` is gone: it was there when the pipeline started, and nobody makes it anew \
         in silence; create it and start the pipeline again, which goes on behind its last commit"
    )]
    TopicGone {
        /// The topic.
        topic: String,
    },
    /// A topic could not be created.
    #[error("topic `{topic}` could not be created: {reason}")]
    TopicNotCreated {
        /// The topic.
        topic: String,
        /// What the broker says.
        reason: String,
    },
    /// The progress topic is not what it must be.
    #[error("progress topic `{topic}` {problem}")]
    ProgressTopicUnfit {
        /// The topic.
        topic: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The config topic is not what it must be.
    #[error("config topic `{topic}` {problem}")]
    ConfigTopicUnfit {
        /// The topic.
        topic: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// There is no progress although there must be.
    #[error(
        "topic `{topic}` holds no progress of this pipeline, and `commit.on_progress_missing` is \
         `fail`: bring the topic back, or start once with `fresh`, which begins every source anew"
    )]
    ProgressMissing {
        /// The progress topic.
        topic: String,
    },
    /// A record of the progress topic cannot be used.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The progress topic could not be read to its end in time.
    #[error("progress topic `{topic}` could not be read to its end within {seconds} s: {reason}")]
    ProgressUnread {
        /// The topic.
        topic: String,
        /// The limit.
        seconds: u64,
        /// What librdkafka said last.
        reason: String,
    },
    /// A newer instance owns the pipeline.
    #[error(transparent)]
    Superseded(#[from] Replaced),
    /// The broker refuses a transactional id.
    #[error("transactional id `{id}` could not be taken: {reason}")]
    NotFenced {
        /// The id.
        id: String,
        /// What librdkafka says.
        reason: String,
        /// Whether trying again may help.
        may_heal: bool,
    },
    /// The thread that was to take the pipeline over panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// The source is another one than the stored position belongs to.
    #[error(
        "the stored position of shard `{shard}` belongs to another source: its server, method, \
         request or cursor mapping has changed; undo the change, or run once with \
         `--accept-change resume` (the position still means the same place) or `--accept-change \
         reset` (begin anew)"
    )]
    FingerprintChanged {
        /// The shard.
        shard: String,
    },
}

impl KafkaStartError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn may_heal(&self) -> bool {
        match self {
            KafkaStartError::Unreachable { .. }
            | KafkaStartError::ProgressUnread { .. }
            | KafkaStartError::Panicked { .. } => true,
            KafkaStartError::NotFenced { may_heal, .. } => *may_heal,
            _ => false,
        }
    }
}

impl From<KafkaStartError> for OutletError {
    fn from(error: KafkaStartError) -> Self {
        let repair = match &error {
            KafkaStartError::Superseded(_) => Repair::Superseded,
            error if error.may_heal() => Repair::Acquire,
            _ => Repair::Stop,
        };
        OutletError { message: error.to_string(), repair }
    }
}

/// A request to the cluster came to nothing: a missing right needs a person, all else may heal.
pub(super) fn request_error(
    brokers: &str,
    what: String,
    code: Option<RDKafkaErrorCode>,
    reason: String,
) -> KafkaStartError {
    if code.is_some_and(is_denied) {
        return KafkaStartError::Denied { what, reason };
    }
    KafkaStartError::Unreachable { brokers: brokers.to_owned(), what, reason }
}

/// Whether a topic that was not created may be created by asking again.
pub(super) fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::NotController
            // librdkafka's word for a request whose broker went away: "communication failure".
            | RDKafkaErrorCode::Fail
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
    )
}

/// What a failed transactional call needs; `call` names it for the reader of the log.
pub(super) fn outlet_error(call: &str, error: &KafkaError) -> OutletError {
    let advice = advice(error.rdkafka_error_code());
    OutletError { message: format!("{call}: {error}{advice}"), repair: repair(error) }
}

fn repair(error: &KafkaError) -> Repair {
    match error {
        KafkaError::Transaction(inner) if is_denied(inner.code()) => Repair::Stop,
        KafkaError::Transaction(inner) if inner.is_retriable() => Repair::Again,
        KafkaError::Transaction(inner) if inner.txn_requires_abort() => Repair::Abort,
        KafkaError::Flush(_) => Repair::Again,
        KafkaError::MessageProduction(code) if is_denied(*code) => Repair::Stop,
        _ => Repair::Acquire,
    }
}

/// What a delivery that failed for no fault of its record needs.
pub(super) fn repair_of_delivery(code: RDKafkaErrorCode) -> Repair {
    match code {
        code if is_denied(code) => Repair::Stop,
        // Taking over looks at the topics again: one that is gone stops the pipeline, one that was
        // made anew may have another number of partitions.
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition => Repair::Acquire,
        // librdkafka repeats what may heal until this: too few replicas, no leader, no broker.
        RDKafkaErrorCode::MessageTimedOut => Repair::Later,
        _ => Repair::Abort,
    }
}

/// Whether a record is refused for what it is, so that it would be refused again for ever.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    is_refusal_of_size(code)
        || matches!(code, RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidTimestamp)
}

/// Whether it is refused for its size, or for that of the batch that it is in.
pub(super) fn is_refusal_of_size(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::MessageBatchTooLarge
    )
}

/// What a person can do about it, in words that go behind the broker's.
pub(super) fn advice(code: Option<RDKafkaErrorCode>) -> &'static str {
    match code {
        Some(code) if is_refusal_of_size(code) => {
            "; raise the topic's `max.message.bytes`, or the sink's property `message.max.bytes` \
             if that is set lower"
        }
        Some(RDKafkaErrorCode::InvalidTimestamp) => {
            "; see the topic's `message.timestamp.before.max.ms` and \
             `message.timestamp.after.max.ms`, and the sink's `timestamp`"
        }
        Some(RDKafkaErrorCode::InvalidRecord) => {
            "; a compacted topic takes no record without a key: see the sink's `key`"
        }
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
            "; allow operations Write and Describe on this TransactionalId (or on the prefix \
             `transactional_id_prefix`) in the cluster's ACLs"
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            "; allow operations Write and Describe on the topic in the cluster's ACLs"
        }
        Some(RDKafkaErrorCode::ClusterAuthorizationFailed) => {
            "; allow operation IdempotentWrite on the Cluster in its ACLs"
        }
        _ => "",
    }
}

/// Missing rights heal only by a person.
pub(super) fn is_denied(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedForMessageFormat
            | RDKafkaErrorCode::UnsupportedVersion
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_stops_the_start_and_a_cluster_that_is_away_does_not() {
        let error = |code| {
            let reason = "as the broker says".to_owned();
            request_error("host:9092", "metadata".to_owned(), code, reason)
        };
        assert!(!error(Some(RDKafkaErrorCode::TopicAuthorizationFailed)).may_heal());
        assert!(!error(Some(RDKafkaErrorCode::SaslAuthenticationFailed)).may_heal());
        assert!(error(Some(RDKafkaErrorCode::AllBrokersDown)).may_heal());
        assert!(error(None).may_heal());
    }

    #[test]
    fn a_missing_right_is_named_with_the_acl_that_grants_it() {
        for (code, words) in [
            (RDKafkaErrorCode::TransactionalIdAuthorizationFailed, "TransactionalId"),
            (RDKafkaErrorCode::TopicAuthorizationFailed, "Write and Describe on the topic"),
            (RDKafkaErrorCode::ClusterAuthorizationFailed, "IdempotentWrite"),
        ] {
            assert_eq!(repair_of_delivery(code), Repair::Stop);
            let error = outlet_error("send", &KafkaError::MessageProduction(code));
            assert_eq!(error.repair, Repair::Stop, "{error}");
            assert!(error.message.contains(words) && error.message.contains("ACL"), "{error}");
        }
    }
}
