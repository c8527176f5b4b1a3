//! Goal: each error of the broker leads to the repair that heals it, through librdkafka's own
//! classes, and no commit meets the 100 ms steps of the library's flush.
//! Method: librdkafka's mock cluster answers the next request of a kind with an error of our
//! choice; the producer is the real one, with the sink's own settings. The mock keeps no
//! transactions, so nothing here says what a reader sees.

use super::*;
use crate::sink::kafka::KafkaTarget;
use crate::sink::kafka::acquire::take_id;
use crate::sink::kafka::config::KafkaConfig;
use crate::sink::kafka::context::Subject;
use crate::sink::kafka::error::{KafkaStartError, repair_of_delivery};
use RDKafkaApiKey::{AddPartitionsToTxn, EndTxn, InitProducerId, Produce};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

const TOPIC: &str = "events";
const ID: &str = "headwater.mocked.0";

/// What a transaction came to: committed, or what is due.
type Outcome = Result<(), Repair>;

struct Rig {
    cluster: MockCluster<'static, DefaultProducerContext>,
    target: KafkaTarget,
}

impl Rig {
    fn new() -> Rig {
        Rig::with_timeout(10_000)
    }

    fn with_timeout(transaction_timeout_ms: u32) -> Rig {
        Rig::with_brokers(1, transaction_timeout_ms)
    }

    /// As many partitions as brokers, each led by the broker one above its number.
    fn with_brokers(brokers: i32, transaction_timeout_ms: u32) -> Rig {
        let cluster = MockCluster::new(brokers).expect("a mock cluster");
        cluster.create_topic(TOPIC, brokers, 1).expect("the mock takes a topic");
        for partition in 0..brokers {
            let led = cluster.partition_leader(TOPIC, partition, Some(partition + 1));
            led.expect("the mock has so many brokers");
        }
        let config = serde_json::json!({
            "brokers": cluster.bootstrap_servers(), "topic": TOPIC,
            "transaction_timeout_ms": transaction_timeout_ms,
        });
        let config: KafkaConfig = serde_json::from_value(config).expect("a sink's keys");
        Rig { target: KafkaTarget::new(&config), cluster }
    }

    fn producer(&self) -> SinkProducer {
        take_id(&self.target, ID).expect("the mock fences")
    }

    /// The two slots of a producer without transactions.
    fn lanes(&self) -> [SinkProducer; 2] {
        let context = Context::default();
        let producer = self.target.producer(None, context.clone()).expect("a client");
        SinkProducer::idempotent(producer, context).try_into().ok().expect("there are two")
    }

    /// The next requests of this kind are answered so.
    fn answer(&self, api: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
        self.cluster.request_errors(api, errors);
    }

    /// A transaction of one record, in which the next request of `api` is answered with `error`.
    fn transaction(&self, api: RDKafkaApiKey, error: RDKafkaRespErr) -> Outcome {
        let producer = self.producer();
        self.answer(api, &[error]);
        transaction(&producer).map_err(|error| error.repair)
    }
}

/// As the outlet does it: begin, send, drain, commit; what failed is judged.
fn transaction(producer: &SinkProducer) -> Result<(), OutletError> {
    producer.begin()?;
    send(producer);
    match producer.drain()? {
        Drained::Acknowledged => producer.commit(),
        Drained::Failed(failed) => {
            let repair = failed.first().map_or(Repair::Abort, |it| repair_of_delivery(it.code));
            Err(producer.verdict(OutletError { message: format!("{failed:?}"), repair }))
        }
    }
}

fn send(producer: &SinkProducer) {
    send_to(producer, 0, Subject::None);
}

fn send_to(producer: &SinkProducer, partition: i32, subject: Subject) {
    let record = BaseRecord::with_opaque_to(TOPIC, subject.opaque());
    let record = record.partition(partition).key(&b"k"[..]).payload(&b"v"[..]);
    assert!(producer.send(record).is_ok(), "the queue has room");
}

fn demand(api: RDKafkaApiKey, cases: &[(RDKafkaRespErr, Outcome)]) {
    let rig = Rig::new();
    for (error, expected) in cases {
        assert_eq!(rig.transaction(api, *error), *expected, "{api:?} answered with {error:?}");
    }
}

#[test]
fn an_answer_to_a_commit_decides_what_is_due() {
    use RDKafkaRespErr::*;
    demand(
        EndTxn,
        &[
            (RD_KAFKA_RESP_ERR_NO_ERROR, Ok(())),
            // The library asks again by itself.
            (RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Ok(())),
            (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Ok(())),
            (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Ok(())),
            (RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, Ok(())),
            (RD_KAFKA_RESP_ERR__TRANSPORT, Ok(())),
            // Nothing of it is committed, and the producer lives.
            (RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, Err(Repair::Abort)),
            (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, Err(Repair::Abort)),
            (RD_KAFKA_RESP_ERR_UNKNOWN, Err(Repair::Abort)),
            // The producer is lost, and whether it is committed is to be read.
            (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Err(Repair::Acquire)),
            (RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Err(Repair::Acquire)),
            (RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Err(Repair::Acquire)),
            // A person has to grant it.
            (RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Err(Repair::Stop)),
            (RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, Err(Repair::Stop)),
        ],
    );
}

#[test]
fn an_answer_to_the_first_record_of_a_partition_decides_what_is_due() {
    use RDKafkaRespErr::*;
    demand(
        AddPartitionsToTxn,
        &[
            (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Ok(())),
            (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Ok(())),
            (RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, Ok(())),
            (RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, Err(Repair::Abort)),
            (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, Err(Repair::Abort)),
            (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Err(Repair::Acquire)),
            (RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Err(Repair::Acquire)),
            (RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Err(Repair::Acquire)),
            (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Err(Repair::Stop)),
            (RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Err(Repair::Stop)),
            (RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, Err(Repair::Stop)),
        ],
    );
}

#[test]
fn an_answer_to_records_decides_what_is_due() {
    use RDKafkaRespErr::*;
    demand(
        Produce,
        &[
            (RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, Ok(())),
            (RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, Ok(())),
            (RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, Ok(())),
            (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Err(Repair::Abort)),
            (RD_KAFKA_RESP_ERR_INVALID_RECORD, Err(Repair::Abort)),
            (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Err(Repair::Acquire)),
            (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Err(Repair::Stop)),
        ],
    );
}

#[test]
fn a_busy_coordinator_is_asked_again_for_a_producer() {
    let rig = Rig::new();
    let busy = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    ];
    rig.answer(InitProducerId, &busy);
    let producer = rig.producer();
    assert_eq!(transaction(&producer).map_err(|error| error.repair), Ok(()));
}

#[test]
fn a_producer_that_is_refused_needs_a_person_or_another_try() {
    let rig = Rig::new();
    for (error, expected) in [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, false),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, false),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, true),
    ] {
        rig.answer(InitProducerId, &[error]);
        let refused = take_id(&rig.target, ID).err().expect("the id is refused");
        let KafkaStartError::NotFenced { id, may_heal, .. } = &refused else {
            panic!("{refused}");
        };
        assert_eq!((id.as_str(), *may_heal), (ID, expected), "{error:?}: {refused}");
    }
}

/// A request may still be on its way, so a later transaction of this producer is not safe.
#[test]
fn a_producer_whose_connection_broke_begins_no_other_transaction() {
    let rig = Rig::new();
    let producer = rig.producer();
    rig.answer(EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT]);
    assert_eq!(transaction(&producer).map_err(|error| error.repair), Ok(()));
    let due = producer.begin().expect_err("it is to be replaced").repair;
    assert_eq!(due, Repair::Renew);
}

/// The gap that the record leaves in the library's numbering costs one attempt more.
#[test]
fn a_refused_record_leaves_a_producer_that_commits_later() {
    let rig = Rig::new();
    let producer = rig.producer();
    rig.answer(Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    for _ in 0..2 {
        let due = transaction(&producer).expect_err("the record is refused").repair;
        assert_eq!(due, Repair::Abort);
        producer.abort().expect("it can be aborted");
    }
    assert_eq!(transaction(&producer).map_err(|error| error.repair), Ok(()));
}

/// The abort may have taken the id again, past a newer owner.
#[test]
fn a_transaction_that_failed_otherwise_is_aborted_and_its_producer_begins_no_other() {
    use RDKafkaRespErr::*;
    let rig = Rig::new();
    for (api, error) in [
        (EndTxn, RD_KAFKA_RESP_ERR_UNKNOWN),
        (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING),
        (Produce, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING),
    ] {
        let producer = rig.producer();
        rig.answer(api, &[error]);
        let due = transaction(&producer).expect_err("it fails").repair;
        assert_eq!(due, Repair::Abort, "{error:?}");
        producer.abort().expect("it can be aborted");
        let due = producer.begin().expect_err("it is to be replaced").repair;
        assert_eq!(due, Repair::Renew, "{error:?}");
    }
}

/// So long is one step of the flush within the library's commit.
const FLUSH_STEP: Duration = Duration::from_millis(100);

/// Each answer takes so long that what was sent is on its way when it is looked at.
const ROUND_TRIP: Duration = Duration::from_millis(30);

/// The flush has nothing to wait for when it is called: then it takes no step at all.
#[test]
fn nothing_is_in_flight_when_a_commit_is_called() {
    let rig = Rig::new();
    let producer = rig.producer();
    rig.cluster.broker_round_trip_time(-1, ROUND_TRIP).expect("the mock takes its time");
    for _ in 0..5 {
        producer.begin().expect("a transaction begins");
        (0..100).for_each(|_| send(&producer));
        assert!(producer.producer.in_flight_count() > 0, "answers take {ROUND_TRIP:?}");
        assert!(matches!(producer.drain(), Ok(Drained::Acknowledged)));
        assert_eq!(producer.producer.in_flight_count(), 0);
        producer.commit().expect("the mock commits");
    }
}

/// Why [`SinkProducer::drain`] is there. Once this fails, the library has changed.
#[test]
fn the_librarys_own_commit_takes_a_step_of_100_ms_while_a_record_is_in_flight() {
    let rig = Rig::new();
    let producer = rig.producer();
    rig.cluster.broker_round_trip_time(-1, ROUND_TRIP).expect("the mock takes its time");
    producer.begin().expect("a transaction begins");
    send(&producer);
    let began = Instant::now();
    producer.commit().expect("the mock commits");
    assert!(began.elapsed() >= FLUSH_STEP, "{:?}", began.elapsed());
}

/// The client says nothing, and may have lost its brokers for good.
#[test]
fn a_wait_for_acknowledgements_that_ends_in_vain_is_the_last_of_its_producer() {
    let rig = Rig::with_timeout(60_000);
    let producer = rig.producer();
    producer.begin().expect("the producer is new");
    let late = rig.cluster.broker_round_trip_time(1, 2 * COMMIT_TIMEOUT);
    late.expect("the mock's broker has the number 1");
    send(&producer);
    let drained = producer.drain().err().map(|error| error.repair);
    assert_eq!(drained, Some(Repair::Again));
    assert_eq!(producer.context.tainted(), Some("records are not acknowledged yet"));
}

/// A broker that takes its time holds back the epoch that has records there, and no other.
#[test]
fn without_transactions_an_epoch_is_settled_while_the_next_one_is_on_its_way() {
    let rig = Rig::with_brokers(2, 10_000);
    let [first, second] = rig.lanes();
    for partition in 0..2 {
        send_to(&first, partition, Subject::Record(0));
    }
    first.settle().expect("both brokers answer, and both connections are there");
    rig.cluster.broker_round_trip_time(2, COMMIT_TIMEOUT).expect("the mock has a broker 2");
    send_to(&second, 1, Subject::Record(0));
    send_to(&first, 0, Subject::Record(1));
    first.settle().expect("its record is acknowledged");
    assert_eq!((first.in_flight(), second.in_flight()), (0, 1));
}

#[test]
fn without_transactions_a_failure_is_told_to_its_own_epoch() {
    let rig = Rig::new();
    let [first, second] = rig.lanes();
    send_to(&first, 0, Subject::Record(0));
    first.settle().expect("the mock takes it");
    rig.answer(Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    send_to(&first, 0, Subject::Record(7));
    let failed = first.settle().map_err(|error| error.repair);
    assert_eq!(failed, Err(Repair::Abort));
    send_to(&second, 0, Subject::Record(7));
    second.settle().expect("it has not failed");
    assert!(second.reported().is_empty());
    let subjects: Vec<_> = first.reported().into_iter().map(|it| it.subject).collect();
    assert_eq!(subjects, [Subject::Record(7)]);
    first.settle().expect("what failed is known now");
}
