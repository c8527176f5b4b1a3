//! Goal: each state comes of exactly what it says, whatever came before.
//! Method: facts put together by hand, times handed in, no clock and no thread.

use super::*;
use crate::limits::{CALL_SILENT_MAX, COMMIT_LATE_MAX, SINK_REPAIR_MAX};
use headwater_engine::commit::observe::CommitEvent;
use headwater_engine::commit::outlet::{OutletError, Repair};
use headwater_engine::ids::Epoch;

const INTERVAL: Duration = Duration::from_millis(50);
const START: Duration = Duration::from_secs(100);
const TICK: Duration = Duration::from_millis(1);

/// What is known, as a test builds it up.
struct Known {
    phase: Phase,
    shards: Vec<(ShardKey, LinkFacts)>,
    sink: SinkFacts,
    targets: BTreeMap<String, TargetsFact>,
}

impl Known {
    /// A dataflow that runs, with shards that have not called yet.
    fn flowing(shards: usize) -> Known {
        let shard = |number: usize| (ShardKey(format!("feed/{number}")), LinkFacts::new(START));
        Known {
            phase: Phase::Flowing,
            shards: (1..=shards).map(shard).collect(),
            sink: SinkFacts::default(),
            targets: BTreeMap::new(),
        }
    }

    /// One in which all calls are open.
    fn running(shards: usize) -> Known {
        let mut known = Known::flowing(shards);
        for (_, link) in &mut known.shards {
            (link.call, link.has_opened) = (CallState::Open, true);
        }
        known
    }

    fn link(&mut self, shard: usize) -> &mut LinkFacts {
        &mut self.shards[shard - 1].1
    }

    fn cut(&mut self, shard: usize, at: Duration) {
        let link = self.link(shard);
        (link.call, link.away_since) = (CallState::Away, at);
        link.reason = Some("UNAVAILABLE".to_owned());
    }

    fn breaks(&mut self, shard: usize) {
        let link = self.link(shard);
        (link.call, link.reason) = (CallState::Broken, Some("NOT_FOUND".to_owned()));
    }

    fn sink_fails(&mut self, at: Duration) {
        let error = OutletError { message: "commit: no".to_owned(), repair: Repair::Abort };
        self.sink.note(&CommitEvent::Failed { error: &error, attempts: 0 }, at);
    }

    fn at(&self, now: Duration) -> State {
        let Known { phase, shards, sink, targets } = self;
        let shards: Vec<_> = shards.iter().map(|(key, link)| (key, link.clone())).collect();
        Facts { phase, shards: &shards, sink, targets, interval: INTERVAL }.state(now)
    }

    /// Word, reason and readiness in one line.
    fn shown(&self, now: Duration) -> String {
        let state = self.at(now);
        format!("{state}{}", if state.is_ready() { " [ready]" } else { "" })
    }
}

#[test]
fn only_while_the_dataflow_runs_do_calls_and_sinks_decide() {
    let reason = || "why".to_owned();
    let phases = [
        (Phase::Starting, "starting"),
        (Phase::Recovering(reason()), "recovering: why"),
        (Phase::Draining, "draining"),
        (Phase::Standby(reason()), "standby: why"),
        (Phase::Stopped(None), "stopped"),
        (Phase::Stopped(Some(reason())), "stopped: why"),
    ];
    for (phase, expected) in phases {
        let mut known = Known::running(1);
        known.breaks(1);
        known.phase = phase;
        assert_eq!(known.shown(START), expected);
    }
}

#[test]
fn it_is_not_ready_before_every_call_was_open_once() {
    let mut known = Known::flowing(2);
    assert_eq!(known.shown(START), "connecting: 2 of 2 calls not open yet: feed/1");
    (known.link(1).call, known.link(1).has_opened) = (CallState::Open, true);
    known.cut(2, START);
    let expected = "connecting: 1 of 2 calls not open yet: feed/2: UNAVAILABLE";
    assert_eq!(known.shown(START + 1_000 * CALL_AWAY_MAX), expected, "however long it takes");
    (known.link(2).call, known.link(2).has_opened) = (CallState::Open, true);
    assert_eq!(known.shown(START), "running [ready]");
}

#[test]
fn a_server_that_is_silent_for_long_is_taken_to_have_accepted_the_call() {
    let mut known = Known::flowing(1);
    known.link(1).call = CallState::Asked { at: START };
    assert_eq!(known.at(START + CALL_SILENT_MAX - TICK).name, StateName::Connecting);
    assert_eq!(known.at(START + CALL_SILENT_MAX).name, StateName::Running);
}

#[test]
fn a_call_that_is_away_for_long_degrades_and_does_not_make_unready() {
    let mut known = Known::running(3);
    known.cut(2, START);
    assert_eq!(known.shown(START + CALL_AWAY_MAX - TICK), "running [ready]");
    let expected = "degraded: 1 of 3 calls away: feed/2: UNAVAILABLE [ready]";
    assert_eq!(known.shown(START + CALL_AWAY_MAX), expected);
    known.link(2).call = CallState::Asked { at: START + CALL_AWAY_MAX };
    assert_eq!(known.shown(START + CALL_AWAY_MAX), expected, "an attempt is not a call");
    known.link(2).call = CallState::Open;
    assert_eq!(known.shown(START + CALL_AWAY_MAX), "running [ready]");
}

#[test]
fn a_shard_that_cannot_go_on_makes_unready() {
    let mut known = Known::running(2);
    known.breaks(2);
    assert_eq!(known.shown(START), "degraded: 1 of 2 shards cannot go on: feed/2: NOT_FOUND");
    let mut never_opened = Known::flowing(1);
    never_opened.breaks(1);
    assert_eq!(
        never_opened.shown(START),
        "degraded: 1 of 1 shards cannot go on: feed/1: NOT_FOUND",
        "waiting would not help it"
    );
}

#[test]
fn streams_that_have_ended_are_not_away() {
    let mut known = Known::running(2);
    known.link(1).call = CallState::Ended;
    assert_eq!(known.shown(START + CALL_AWAY_MAX), "running [ready]");
}

#[test]
fn sinks_that_do_not_commit_degrade() {
    let mut known = Known::running(1);
    known.sink_fails(START);
    assert_eq!(known.shown(START + SINK_REPAIR_MAX - TICK), "running [ready]");
    let expected = "degraded: sink: commit: no; aborting, and sending the epoch again [ready]";
    assert_eq!(known.shown(START + SINK_REPAIR_MAX), expected);
    let mut late = Known::running(1);
    late.sink.note(&CommitEvent::Closed { epoch: Epoch(1) }, START);
    assert_eq!(late.at(START + COMMIT_LATE_MAX - TICK).name, StateName::Running);
    assert_eq!(late.at(START + COMMIT_LATE_MAX).name, StateName::Degraded);
}

#[test]
fn a_drain_that_waits_for_a_sink_says_so() {
    let mut known = Known::running(1);
    known.phase = Phase::Draining;
    known.sink_fails(START);
    assert_eq!(known.shown(START), "draining");
    assert!(known.shown(START + SINK_REPAIR_MAX).starts_with("draining: sink: commit: no"));
}

#[test]
fn all_that_is_in_the_way_is_told_and_another_cause_is_news() {
    let mut known = Known::running(3);
    known.cut(1, START);
    let now = START + CALL_AWAY_MAX;
    let one = known.at(now);
    known.cut(2, START);
    let two = known.at(now);
    assert!(one.is_same_as(&two) && one != two, "another shard is the same news");
    known.breaks(3);
    known.sink_fails(START);
    let all = known.at(now);
    assert!(!all.is_same_as(&two));
    let reason = all.reason.expect("there is one");
    assert_eq!(
        reason,
        "1 of 3 shards cannot go on: feed/3: NOT_FOUND; 2 of 3 calls away: feed/1: UNAVAILABLE; \
         sink: commit: no; aborting, and sending the epoch again"
    );
}

#[test]
fn a_list_that_cannot_be_used_degrades_a_pipeline_that_works_on() {
    let mut known = Known::running(2);
    let reason = "t.txt:1:1: no".to_owned();
    let refused = |is_first| TargetsFact::Refused { reason: reason.clone(), is_first };
    known.targets.insert("feed".to_owned(), refused(false));
    let words = "targets of `feed` stay as they were: t.txt:1:1: no";
    assert_eq!(known.shown(START), format!("degraded: {words} [ready]"));
    known.targets.insert("feed".to_owned(), TargetsFact::Fine);
    assert_eq!(known.shown(START), "running [ready]");
    known.targets.insert("feed".to_owned(), refused(true));
    let words = "targets of `feed` not known yet: t.txt:1:1: no";
    assert_eq!(known.shown(START), format!("connecting: {words}"));
}

#[test]
fn a_fleet_whose_servers_are_not_known_yet_connects() {
    let mut known = Known::running(0);
    known.targets.insert("feed".to_owned(), TargetsFact::Unknown);
    assert_eq!(known.shown(START), "connecting: targets of `feed` not known yet");
    known.targets.insert("feed".to_owned(), TargetsFact::Fine);
    assert_eq!(known.shown(START), "running [ready]", "also one without servers");
}
