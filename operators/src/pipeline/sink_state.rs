//! What the sinks of a pipeline complain about, derived from what the committer tells.
//!
//! A repair that is over soon is no news; one that lasts is. So an error counts from its first
//! occurrence until the next epoch is durable, and a commit from the moment its epoch could take no
//! more. While there is nothing to commit, heartbeats show whether Kafka is in reach.
//!
//! Pure: the time is handed in.
//!
//! Next: `state.rs` makes a pipeline's state of it.

use crate::limits::{COMMIT_LATE_MAX, SINK_REPAIR_MAX};
use crate::sink::kafka::Beat;
use headwater_engine::commit::observe::CommitEvent;
use headwater_engine::commit::outlet::Repair;
use headwater_engine::ids::Epoch;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is known of the epochs that are not durable; times are those of the monotonic clock.
#[derive(Clone, Debug, Default)]
pub(super) struct SinkFacts {
    /// When the first message of each was received.
    filled: BTreeMap<Epoch, Duration>,
    /// The one that is being committed, and since when.
    closed: Option<(Epoch, Duration)>,
    trouble: Option<Trouble>,
    silence: Option<Silence>,
}

/// Heartbeats that have not been acknowledged.
#[derive(Clone, Debug)]
struct Silence {
    /// When the first of them was written.
    since: Duration,
    /// Why the last of them failed, if one did.
    reason: Option<String>,
}

/// Errors since the last commit.
#[derive(Clone, Debug)]
struct Trouble {
    /// When the first of them came.
    since: Duration,
    /// The last of them.
    message: String,
    /// What is being done about it.
    remedy: &'static str,
}

impl SinkFacts {
    /// The committer tells, at `now`.
    pub(super) fn note(&mut self, event: &CommitEvent<'_>, now: Duration) {
        match event {
            CommitEvent::Filled { epoch, received_ns } => {
                self.filled.insert(*epoch, Duration::from_nanos(*received_ns));
            }
            CommitEvent::Closed { epoch } => {
                if self.closed.is_none_or(|(known, _)| known != *epoch) {
                    self.closed = Some((*epoch, now));
                }
            }
            CommitEvent::Sealed { .. } => {}
            CommitEvent::Failed { error, .. } => {
                let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
                let (message, remedy) = (error.message.clone(), remedy(error.repair));
                self.trouble = Some(Trouble { since, message, remedy });
            }
            CommitEvent::Committed(committed) => {
                self.filled = self.filled.split_off(&committed.epoch.next());
                self.closed = self.closed.filter(|(epoch, _)| *epoch > committed.epoch);
                (self.trouble, self.silence) = (None, None);
            }
        }
    }

    /// A heartbeat begins or ends, at `now`.
    pub(super) fn note_beat(&mut self, beat: &Beat<'_>, now: Duration) {
        match beat {
            Beat::Begins => {
                self.silence.get_or_insert(Silence { since: now, reason: None });
            }
            Beat::Ends(Ok(())) => self.silence = None,
            Beat::Ends(Err(error)) => {
                let silence = self.silence.get_or_insert(Silence { since: now, reason: None });
                silence.reason = Some(error.to_string());
            }
        }
    }

    /// How long the oldest message has waited that is not durable; none if nothing waits.
    pub(super) fn age(&self, now: Duration) -> Option<Duration> {
        self.filled.first_key_value().map(|(_, received)| now.saturating_sub(*received))
    }

    /// What keeps epochs from becoming durable, if it has lasted; epochs close at `interval`.
    pub(super) fn complaint(&self, interval: Duration, now: Duration) -> Option<String> {
        let lasts = |since: Duration, max: Duration| now.saturating_sub(since) >= max;
        if let Some(trouble) = &self.trouble
            && lasts(trouble.since, SINK_REPAIR_MAX)
        {
            return Some(format!("sink: {}; {}", trouble.message, trouble.remedy));
        }
        let late = COMMIT_LATE_MAX.as_secs();
        if let Some(silence) = &self.silence
            && lasts(silence.since, COMMIT_LATE_MAX)
        {
            let reason = silence.reason.as_deref().unwrap_or("a heartbeat is not acknowledged");
            return Some(format!("sink: {reason}"));
        }
        if self.closed.is_some_and(|(_, since)| lasts(since, COMMIT_LATE_MAX)) {
            return Some(format!("sink: a commit has not been acknowledged for {late} s"));
        }
        // An epoch may be open for an interval, and wait as long for the one before it.
        let due = interval * 2 + COMMIT_LATE_MAX;
        let is_stuck = self.age(now).is_some_and(|age| age >= due);
        is_stuck.then(|| format!("sink: records have waited for their commit for over {late} s"))
    }
}

/// What the committer does about an error, for a person to read.
pub(super) fn remedy(repair: Repair) -> &'static str {
    match repair {
        Repair::Again => "asking again",
        Repair::Abort | Repair::Later => "aborting, and sending the epoch again",
        Repair::Superseded | Repair::Stop => "stopping",
        Repair::Acquire => "taking the pipeline over again",
        Repair::Renew => "replacing the producers",
        Repair::Isolate => "sending the epoch again without the refused records",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::kafka::KafkaStartError;
    use headwater_engine::commit::observe::{Committed, DurableBatches};
    use headwater_engine::commit::outlet::OutletError;

    const INTERVAL: Duration = Duration::from_millis(50);
    const START: Duration = Duration::from_secs(100);
    const TICK: Duration = Duration::from_millis(1);

    fn filled(epoch: u64, at: Duration) -> CommitEvent<'static> {
        let received_ns = u64::try_from(at.as_nanos()).expect("tests stay below 584 years");
        CommitEvent::Filled { epoch: Epoch(epoch), received_ns }
    }

    fn committed(epoch: u64) -> CommitEvent<'static> {
        CommitEvent::Committed(Committed {
            epoch: Epoch(epoch),
            positions: &[],
            took: Duration::ZERO,
            at: Duration::ZERO,
            attempts: 0,
            oldest_received_ns: 0,
            batches: DurableBatches::default(),
        })
    }

    fn fail(facts: &mut SinkFacts, repair: Repair, now: Duration) {
        let error = OutletError { message: format!("{repair:?} it"), repair };
        facts.note(&CommitEvent::Failed { error: &error, attempts: 0 }, now);
    }

    #[test]
    fn the_age_is_that_of_the_oldest_message_that_is_not_durable() {
        let mut facts = SinkFacts::default();
        assert_eq!(facts.age(START), None);
        facts.note(&filled(7, START), START);
        facts.note(&filled(8, START + 10 * TICK), START + 10 * TICK);
        assert_eq!(facts.age(START + 15 * TICK), Some(15 * TICK));
        facts.note(&committed(7), START + 20 * TICK);
        assert_eq!(facts.age(START + 20 * TICK), Some(10 * TICK));
        facts.note(&committed(8), START + 30 * TICK);
        assert_eq!(facts.age(START + 30 * TICK), None);
    }

    #[test]
    fn a_repair_counts_from_its_first_error_until_the_next_commit() {
        let mut facts = SinkFacts::default();
        fail(&mut facts, Repair::Abort, START);
        let last = START + SINK_REPAIR_MAX - TICK;
        assert_eq!(facts.complaint(INTERVAL, last), None, "it may be over in a moment");
        fail(&mut facts, Repair::Acquire, last);
        let complaint = facts.complaint(INTERVAL, START + SINK_REPAIR_MAX).expect("it lasts");
        assert_eq!(complaint, "sink: Acquire it; taking the pipeline over again");
        facts.note(&committed(1), START + 2 * SINK_REPAIR_MAX);
        assert_eq!(facts.complaint(INTERVAL, START + 10 * SINK_REPAIR_MAX), None);
    }

    #[test]
    fn a_commit_that_is_asked_for_again_counts_from_the_first_time() {
        let mut facts = SinkFacts::default();
        let closed = CommitEvent::Closed { epoch: Epoch(3) };
        facts.note(&closed, START);
        facts.note(&closed, START + COMMIT_LATE_MAX - TICK);
        assert_eq!(facts.complaint(INTERVAL, START + COMMIT_LATE_MAX - TICK), None);
        let complaint = facts.complaint(INTERVAL, START + COMMIT_LATE_MAX).expect("it is late");
        assert!(complaint.contains("not been acknowledged"), "{complaint}");
        facts.note(&committed(3), START + COMMIT_LATE_MAX);
        assert_eq!(facts.complaint(INTERVAL, START + 9 * COMMIT_LATE_MAX), None);
    }

    #[test]
    fn records_that_nobody_takes_are_a_complaint_although_no_call_fails() {
        let mut facts = SinkFacts::default();
        facts.note(&filled(1, START), START);
        let due = START + 2 * INTERVAL + COMMIT_LATE_MAX;
        assert_eq!(facts.complaint(INTERVAL, due - TICK), None);
        assert!(
            facts.complaint(INTERVAL, due).is_some_and(|it| it.contains("records have waited"))
        );
    }

    #[test]
    fn an_idle_pipeline_notices_by_its_heartbeats_that_kafka_is_away() {
        let mut facts = SinkFacts::default();
        facts.note_beat(&Beat::Begins, START);
        facts.note_beat(&Beat::Ends(Ok(())), START + TICK);
        assert_eq!(facts.complaint(INTERVAL, 100 * START), None);
        facts.note_beat(&Beat::Begins, START);
        assert_eq!(facts.complaint(INTERVAL, START + COMMIT_LATE_MAX - TICK), None);
        let complaint = facts.complaint(INTERVAL, START + COMMIT_LATE_MAX);
        assert!(complaint.is_some_and(|it| it.contains("not acknowledged")));
        let error = KafkaStartError::Client { reason: "away".to_owned() };
        facts.note_beat(&Beat::Ends(Err(&error)), START + COMMIT_LATE_MAX);
        facts.note_beat(&Beat::Begins, START + 2 * COMMIT_LATE_MAX);
        let complaint = facts.complaint(INTERVAL, START + 2 * COMMIT_LATE_MAX);
        assert!(complaint.is_some_and(|it| it.contains("away")), "the next attempt heals nothing");
        facts.note(&committed(1), START + 3 * COMMIT_LATE_MAX);
        assert_eq!(facts.complaint(INTERVAL, START + 9 * COMMIT_LATE_MAX), None);
    }

    #[test]
    fn an_idle_pipeline_complains_of_nothing() {
        let mut facts = SinkFacts::default();
        facts.note(&filled(1, START), START);
        facts.note(&CommitEvent::Closed { epoch: Epoch(1) }, START);
        facts.note(&committed(1), START + TICK);
        assert_eq!(facts.complaint(INTERVAL, 100 * START), None);
        assert_eq!(facts.age(100 * START), None);
    }
}
