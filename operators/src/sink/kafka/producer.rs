//! One producer of the ring and its transaction, driven in the order of the protocol.
//!
//! Why the commit drains first: rust-rdkafka's `commit_transaction` flushes, and its flush sleeps
//! in steps of 100 ms while a record is in flight. Serving delivery reports until nothing is in
//! flight and then committing takes single milliseconds and needs no foreign-function call of our
//! own.
//!
//! Without a transactional id begin and abort do nothing, and one client serves the whole ring: so
//! the order of a partition's records holds from one epoch to the next. Each slot has a lane of it,
//! by which it knows when all of its own records are acknowledged, whatever the other one sends
//! meanwhile. Progress is sent only after that (`sealed.rs`).

use crate::limits::COMMIT_TIMEOUT;
use crate::sink::kafka::context::{Context, FailedDelivery, Lane};
use crate::sink::kafka::error::{is_refusal, outlet_error};
use crate::sink::kafka::reports::ReportWait;
use headwater_engine::commit::outlet::{OutletError, Repair};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

/// So many reports at most are served before a transaction; one poll without a wait serves one.
const REPORTS_MAX: u32 = 10_000;

/// A record as it is handed to librdkafka, which copies it.
pub(super) type Record<'a> = BaseRecord<'a, [u8], [u8], usize>;

/// Why a record was not handed over.
pub(super) enum NotSent {
    /// The client refuses it for what it is; all others are unaffected.
    Refused(RDKafkaErrorCode),
    /// The transaction has failed already, and takes nothing more; its deliveries tell why.
    Broken,
    /// Anything else.
    Error(OutletError),
}

/// What came of waiting for deliveries.
pub(super) enum Drained {
    /// Everything is acknowledged.
    Acknowledged,
    /// These failed; none, if the transaction broke for another reason.
    Failed(Vec<FailedDelivery>),
}

/// A producer. The committer's thread fills its transaction, another one waits for the commit.
pub(super) struct SinkProducer {
    producer: Arc<BaseProducer<Context>>,
    context: Context,
    lane: Lane,
    /// Records handed over on this lane since the client was made.
    sent: AtomicU64,
    is_transactional: bool,
    /// Whether a transaction is open that was neither committed nor aborted.
    is_open: AtomicBool,
}

impl SinkProducer {
    /// `producer` has taken its transactional id.
    pub(super) fn transactional(producer: BaseProducer<Context>, context: Context) -> Self {
        SinkProducer::new(Arc::new(producer), context, Lane::default(), true)
    }

    /// The ring of a `producer` that has no transactional id.
    pub(super) fn idempotent(producer: BaseProducer<Context>, context: Context) -> Vec<Self> {
        let producer = Arc::new(producer);
        let slot = |lane| SinkProducer::new(producer.clone(), context.clone(), lane, false);
        Lane::ALL.map(slot).into()
    }

    fn new(
        producer: Arc<BaseProducer<Context>>,
        context: Context,
        lane: Lane,
        is_transactional: bool,
    ) -> Self {
        let (sent, is_open) = (AtomicU64::new(0), AtomicBool::new(false));
        SinkProducer { producer, context, lane, sent, is_transactional, is_open }
    }

    /// Serves delivery reports without waiting.
    pub(super) fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Serves all that is reported, while nothing is in flight. A lost connection is told by a line
    /// of the log, and that waits in the same queue as deliveries: after a commit that librdkafka
    /// has repeated on a new connection it may still be there.
    fn serve(&self) {
        for _ in 0..REPORTS_MAX {
            if self.producer.in_flight_count() == 0 {
                return;
            }
            self.poll();
        }
    }

    /// Opens a transaction, unless the producer has seen trouble since it was made.
    pub(super) fn begin(&self) -> Result<(), OutletError> {
        if !self.is_transactional {
            return Ok(());
        }
        self.serve();
        if let Some(why) = self.context.tainted() {
            let message = format!("the producers are replaced before the next transaction: {why}");
            return Err(OutletError { message, repair: Repair::Renew });
        }
        self.producer.begin_transaction().map_err(|error| outlet_error("begin", &error))?;
        self.is_open.store(true, Release);
        Ok(())
    }

    /// Hands one record over; a full queue is waited out, because records leave it while we wait.
    pub(super) fn send(&self, record: Record<'_>) -> Result<(), NotSent> {
        let mut record = record;
        record.delivery_opaque = self.lane.mark(record.delivery_opaque);
        let mut wait = None;
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.sent.fetch_add(1, Relaxed);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.await_reports(wait.get_or_insert_with(ReportWait::begin));
                    record = back;
                }
                Err((KafkaError::MessageProduction(code), _)) if is_refusal(code) => {
                    return Err(NotSent::Refused(code));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::State), _)) => {
                    return Err(NotSent::Broken);
                }
                Err((error, back)) => {
                    let call = format!("send to topic `{}`", back.topic);
                    return Err(NotSent::Error(outlet_error(&call, &error)));
                }
            }
        }
    }

    /// Waits until nothing is in flight, and takes what failed.
    pub(super) fn drain(&self) -> Result<Drained, OutletError> {
        self.await_answers()?;
        let failed = self.reported();
        let is_whole = failed.is_empty() && !self.is_broken();
        Ok(if is_whole { Drained::Acknowledged } else { Drained::Failed(failed) })
    }

    /// Waits until nothing is in flight, and leaves what failed to the thread that knows whose it
    /// is: [`SinkProducer::reported`] has it.
    pub(super) fn settle(&self) -> Result<(), OutletError> {
        self.await_answers()?;
        if self.context.has_failed_deliveries(self.lane) {
            let message = "records are not delivered".to_owned();
            return Err(OutletError { message, repair: Repair::Abort });
        }
        Ok(())
    }

    /// Waits until nothing is in flight.
    ///
    /// In a transaction librdkafka itself gives a record up after the transaction's timeout, so
    /// this ends; without one it waits as long as the broker is away. A transaction that is broken
    /// sends nothing more of what is queued, so that is thrown away; what is on its way is waited
    /// for, because its answers may tell of more.
    fn await_answers(&self) -> Result<(), OutletError> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let mut wait = ReportWait::begin();
        while self.in_flight() > 0 {
            if Instant::now() > until {
                let message = "records are not acknowledged yet".to_owned();
                // A client may have lost its brokers for good; the next transaction gets a new one.
                self.context.taint(&message);
                return Err(OutletError { message, repair: Repair::Again });
            }
            if self.is_broken() {
                self.producer.purge(PurgeConfig::default().queue());
            }
            self.await_reports(&mut wait);
        }
        Ok(())
    }

    fn await_reports(&self, wait: &mut ReportWait) {
        wait.serve(|| self.in_flight(), || self.poll());
    }

    /// How much was handed over and is not reported. The client's own number also has lines of its
    /// log that wait to be served, among them the one that taints a transaction.
    fn in_flight(&self) -> u64 {
        if self.is_transactional {
            return self.producer.in_flight_count().unsigned_abs().into();
        }
        // On another thread's lane a report may be counted before its record is.
        self.sent.load(Relaxed).saturating_sub(self.context.answered(self.lane))
    }

    /// Whether another producer has taken the id.
    pub(super) fn is_fenced(&self) -> bool {
        let fatal = self.producer.client().fatal_error();
        fatal.is_some_and(|(code, _)| {
            matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::InvalidProducerEpoch)
        })
    }

    fn is_broken(&self) -> bool {
        let context = &self.context;
        self.is_transactional && (context.is_broken() || context.has_failed_deliveries(self.lane))
    }

    /// The deliveries that failed, as far as it is known by now.
    pub(super) fn reported(&self) -> Vec<FailedDelivery> {
        self.poll();
        self.context.take_failed_deliveries(self.lane)
    }

    /// What is really due after deliveries failed for reasons that say little about the
    /// transaction: a commit, which then fails without doing anything, says whether it may be
    /// aborted or the producer is lost.
    pub(super) fn verdict(&self, error: OutletError) -> OutletError {
        if self.is_transactional && error.repair == Repair::Abort {
            return self.commit().err().unwrap_or(error);
        }
        error
    }

    /// Commits what was sent since `begin`, all of which is acknowledged.
    pub(super) fn commit(&self) -> Result<(), OutletError> {
        let committed = self.producer.commit_transaction(COMMIT_TIMEOUT);
        let committed = committed.map_err(|error| outlet_error("commit", &error));
        match &committed {
            Ok(()) => self.is_open.store(false, Release),
            Err(error) => self.taint_if_in_doubt(error),
        }
        committed
    }

    /// Aborts what was sent since `begin`; what is still queued is thrown away first, because
    /// librdkafka refuses to abort while deliveries are pending. Without a transaction there is
    /// nothing to take back: what is on its way stays so.
    pub(super) fn abort(&self) -> Result<(), OutletError> {
        if !self.is_transactional || !self.is_open.load(Acquire) {
            return Ok(());
        }
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let until = Instant::now() + COMMIT_TIMEOUT;
        let mut wait = ReportWait::begin();
        while self.in_flight() > 0 && Instant::now() < until {
            self.await_reports(&mut wait);
        }
        let aborted = self.producer.abort_transaction(COMMIT_TIMEOUT);
        let aborted = aborted.map_err(|error| outlet_error("abort", &error));
        match &aborted {
            Ok(()) => {
                self.context.forget_failure();
                self.is_open.store(false, Release);
            }
            Err(error) => self.taint_if_in_doubt(error),
        }
        aborted
    }

    /// A request without an answer may still be on its way.
    fn taint_if_in_doubt(&self, error: &OutletError) {
        if error.repair == Repair::Again {
            self.context.taint(&error.message);
        }
    }
}

#[cfg(test)]
mod tests;
