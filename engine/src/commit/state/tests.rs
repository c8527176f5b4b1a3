//! Goal: the decision keeps its invariants under every order of events.
//! Method: named cases for each edge of the diagram, then seeded random walks against a world that
//! knows what is really committed.

use super::*;

fn error(repair: Repair) -> OutletError {
    OutletError { message: "injected".to_owned(), repair }
}

/// A machine that is committing epoch 1.
fn committing() -> Decision {
    let mut decision = Decision::new(Epoch(1), 1);
    decision.on_batch(Epoch(1));
    assert_eq!(decision.next(), Action::Begin(Slot(0), Epoch(1)));
    decision.on_begun(Epoch(1));
    assert_eq!(decision.next(), Action::Wait);
    decision.on_upper(Upper::At(Epoch(2)));
    assert_eq!(decision.next(), Action::Seal(Epoch(1)));
    decision.on_sealed();
    assert_eq!(decision.next(), Action::Commit(Epoch(1)));
    decision.on_commit_started();
    decision
}

#[test]
fn an_epoch_is_committed_once_the_frontier_has_passed_it_and_then_released() {
    let mut decision = committing();
    decision.on_committed();
    assert_eq!(decision.next(), Action::Release(Epoch(2)));
    decision.on_released(Epoch(2));
    assert_eq!(decision.next(), Action::Wait);
}

#[test]
fn an_empty_epoch_opens_no_transaction() {
    let mut decision = Decision::new(Epoch(1), 1);
    decision.on_upper(Upper::At(Epoch(5)));
    assert_eq!(decision.next(), Action::Release(Epoch(5)));
    decision.on_released(Epoch(5));
    decision.on_upper(Upper::End);
    assert_eq!(decision.next(), Action::Finish);
}

#[test]
fn a_batch_of_the_next_epoch_waits_for_the_open_one() {
    let mut decision = Decision::new(Epoch(1), 1);
    decision.on_batch(Epoch(1));
    decision.on_begun(Epoch(1));
    decision.on_batch(Epoch(2));
    assert_eq!((decision.open(), decision.next()), (Some(Epoch(1)), Action::Wait));
    decision.on_upper(Upper::End);
    decision.on_sealed();
    decision.on_commit_started();
    assert_eq!(decision.next(), Action::Wait, "there is one producer only");
    decision.on_committed();
    assert_eq!(decision.next(), Action::Release(Epoch(2)));
    decision.on_released(Epoch(2));
    assert_eq!(decision.next(), Action::Begin(Slot(0), Epoch(2)));
}

#[test]
fn an_aborted_epoch_is_sent_again() {
    let mut decision = committing();
    decision.on_commit_failed(&error(Repair::Abort));
    assert_eq!(decision.next(), Action::Abort);
    decision.on_aborted();
    assert_eq!((decision.next(), decision.attempts()), (Action::Begin(Slot(0), Epoch(1)), 1));
}

#[test]
fn attempts_that_each_learn_something_do_not_run_out_and_those_that_do_not_do() {
    let mut decision = committing();
    let mut resends = 0;
    let mut again = |decision: &mut Decision, repair| {
        decision.on_commit_failed(&error(repair));
        assert_eq!(decision.next(), Action::Abort);
        decision.on_aborted();
        resends += 1;
        assert_eq!(decision.resends(), resends);
    };
    let send = |decision: &mut Decision| {
        assert_eq!(decision.next(), Action::Begin(Slot(0), Epoch(1)));
        decision.on_begun(Epoch(1));
        decision.on_sealed();
        decision.on_commit_started();
    };
    for _ in 0..=3 * EPOCH_ATTEMPTS_MAX {
        again(&mut decision, Repair::Isolate);
        assert_eq!(decision.attempts(), 0, "nothing is waited for");
        send(&mut decision);
    }
    for attempt in 1..=EPOCH_ATTEMPTS_MAX {
        again(&mut decision, Repair::Abort);
        assert_eq!(decision.attempts(), attempt);
        send(&mut decision);
    }
    again(&mut decision, Repair::Abort);
    assert_eq!(decision.next(), Action::Stop(Recovery::Restart));
}

#[test]
fn an_epoch_that_is_not_taken_in_time_is_sent_for_as_long_as_it_takes() {
    let mut decision = committing();
    for delay in 1..=3 * EPOCH_ATTEMPTS_MAX {
        match delay % 3 {
            0 => {
                decision.on_commit_failed(&error(Repair::Later));
                assert_eq!(decision.next(), Action::Abort);
                decision.on_aborted();
            }
            1 => {
                decision.on_commit_failed(&error(Repair::Later));
                decision.on_abort_failed(&error(Repair::Acquire));
                assert_eq!(decision.next(), Action::Acquire, "the producer is lost as well");
                decision.on_acquired(None);
            }
            _ => {
                for _ in 0..COMMIT_RETRIES_MAX {
                    decision.on_commit_failed(&error(Repair::Again));
                    decision.on_commit_started();
                }
                decision.on_commit_failed(&error(Repair::Again));
                assert_eq!(decision.next(), Action::Acquire);
                decision.on_acquired(None);
            }
        }
        assert_eq!(decision.attempts(), delay, "more and more patiently");
        assert_eq!(decision.next(), Action::Begin(Slot(0), Epoch(1)));
        decision.on_begun(Epoch(1));
        decision.on_sealed();
        decision.on_commit_started();
    }
    decision.on_committed();
    assert_eq!(decision.attempts(), 0);
}

#[test]
fn what_is_late_before_a_transaction_is_open_is_waited_for_and_excuses_nothing_later() {
    let mut decision = committing();
    decision.on_committed();
    decision.on_released(Epoch(2));
    for delay in 1..=2 * EPOCH_ATTEMPTS_MAX {
        for _ in 0..=COMMIT_RETRIES_MAX {
            decision.on_error(&error(Repair::Again));
        }
        assert_eq!(decision.next(), Action::Acquire);
        decision.on_acquired(Some(Epoch(1)));
        assert_eq!(decision.attempts(), delay, "more and more patiently");
    }
    let before = decision.attempts();
    decision.on_error(&error(Repair::Acquire));
    assert_eq!(decision.attempts(), before + 1);
    for _ in 0..EPOCH_ATTEMPTS_MAX {
        decision.on_acquired(Some(Epoch(1)));
        decision.on_error(&error(Repair::Acquire));
    }
    assert_eq!(decision.next(), Action::Stop(Recovery::Restart), "the bound holds");
}

#[test]
fn an_unknown_outcome_is_settled_by_the_stored_epoch() {
    for (stored, next) in [
        (Some(Epoch(1)), Action::Release(Epoch(2))),
        (Some(Epoch(0)), Action::Begin(Slot(0), Epoch(1))),
        (None, Action::Begin(Slot(0), Epoch(1))),
    ] {
        let mut decision = committing();
        decision.on_commit_failed(&error(Repair::Acquire));
        assert_eq!(decision.next(), Action::Acquire);
        decision.on_acquired(stored);
        assert_eq!(decision.next(), next, "stored {stored:?}");
    }
}

#[test]
fn a_commit_without_an_answer_is_asked_for_again_and_never_aborted() {
    let mut decision = committing();
    for _ in 0..COMMIT_RETRIES_MAX {
        decision.on_commit_failed(&error(Repair::Again));
        assert_eq!(decision.next(), Action::Commit(Epoch(1)));
        decision.on_commit_started();
    }
    decision.on_commit_failed(&error(Repair::Again));
    assert_eq!(decision.next(), Action::Acquire, "the bound ends in a question, not in an abort");
}

#[test]
fn a_superseded_machine_never_acts_again() {
    let mut decision = committing();
    decision.on_error(&error(Repair::Superseded));
    for repair in [Repair::Again, Repair::Abort, Repair::Acquire] {
        decision.on_error(&error(repair));
        assert_eq!(decision.next(), Action::Stop(Recovery::Superseded));
    }
}

#[test]
fn an_epoch_that_cannot_be_sent_ends_in_a_rebuilt_pipeline() {
    let mut decision = committing();
    let mut acquisitions = 0;
    decision.on_commit_failed(&error(Repair::Acquire));
    while decision.next() == Action::Acquire {
        acquisitions += 1;
        assert!(acquisitions <= EPOCH_ATTEMPTS_MAX, "it has an end");
        decision.on_acquired(None);
        if matches!(decision.next(), Action::Begin(..)) {
            decision.on_begun(Epoch(1));
            decision.on_sealed();
            decision.on_commit_started();
            decision.on_commit_failed(&error(Repair::Acquire));
        }
    }
    assert_eq!(decision.next(), Action::Stop(Recovery::Restart));
}

#[test]
fn taking_over_is_tried_for_as_long_as_the_cluster_is_away_and_costs_the_epoch_no_attempt() {
    let mut decision = committing();
    decision.on_commit_failed(&error(Repair::Acquire));
    for miss in 1..=3 * EPOCH_ATTEMPTS_MAX {
        decision.on_acquire_failed(&error(Repair::Acquire));
        let expected = (Action::Acquire, 1 + miss);
        assert_eq!((decision.next(), decision.attempts()), expected, "more and more patiently");
    }
    let mut back = decision.clone();
    back.on_acquired(None);
    assert_eq!((back.next(), back.attempts()), (Action::Begin(Slot(0), Epoch(1)), 2));
    decision.on_acquire_failed(&error(Repair::Superseded));
    assert_eq!(decision.next(), Action::Stop(Recovery::Superseded));
}

/// A machine with a ring of two that is committing epoch 1, while epoch 2 is open.
fn committing_beside() -> Decision {
    let mut decision = Decision::new(Epoch(1), 2);
    decision.on_batch(Epoch(1));
    decision.on_begun(Epoch(1));
    decision.on_upper(Upper::At(Epoch(2)));
    decision.on_sealed();
    decision.on_commit_started();
    assert_eq!(decision.next(), Action::Wait, "nothing is there to begin with");
    decision.on_batch(Epoch(2));
    assert_eq!(decision.next(), Action::Begin(Slot(1), Epoch(2)));
    decision.on_begun(Epoch(2));
    assert_eq!((decision.next(), decision.open()), (Action::Wait, Some(Epoch(2))));
    decision
}

#[test]
fn in_a_ring_the_next_epoch_opens_beside_the_commit_and_waits_for_it() {
    let mut decision = committing_beside();
    decision.on_batch(Epoch(3));
    decision.on_upper(Upper::At(Epoch(3)));
    assert_eq!(decision.next(), Action::Wait, "one commit is in doubt at most");
    decision.on_committed();
    assert_eq!(decision.next(), Action::Release(Epoch(2)));
    decision.on_released(Epoch(2));
    assert_eq!(decision.next(), Action::Seal(Epoch(2)));
    decision.on_sealed();
    decision.on_commit_started();
    assert_eq!(decision.next(), Action::Begin(Slot(0), Epoch(3)), "the turn comes round");
}

#[test]
fn an_epoch_that_may_still_come_holds_the_one_behind_it_back() {
    let mut decision = Decision::new(Epoch(1), 2);
    decision.on_batch(Epoch(2));
    decision.on_upper(Upper::At(Epoch(1)));
    assert_eq!(decision.next(), Action::Wait, "epoch 1 may still come");
    decision.on_upper(Upper::At(Epoch(2)));
    assert_eq!(decision.next(), Action::Begin(Slot(0), Epoch(2)));
}

#[test]
fn if_an_epoch_aborts_the_one_behind_it_aborts_too() {
    let mut decision = committing_beside();
    decision.on_commit_failed(&error(Repair::Abort));
    assert_eq!((decision.next(), decision.open()), (Action::Abort, None));
    decision.on_aborted();
    assert_eq!(decision.next(), Action::Begin(Slot(0), Epoch(1)));
}

#[test]
fn trouble_of_the_next_epoch_waits_for_the_commit_before_it() {
    for (repair, next) in [
        (Repair::Abort, Action::Abort),
        (Repair::Isolate, Action::Abort),
        (Repair::Acquire, Action::Acquire),
        (Repair::Renew, Action::Acquire),
    ] {
        let mut decision = committing_beside();
        decision.on_error(&error(repair));
        assert_eq!(decision.next(), Action::Wait, "{repair:?}");
        decision.on_committed();
        assert_eq!(decision.next(), next, "{repair:?}");
    }
}

#[test]
fn a_commit_without_an_answer_is_settled_before_the_next_epoch_is_aborted() {
    let mut decision = committing_beside();
    decision.on_error(&error(Repair::Abort));
    decision.on_commit_failed(&error(Repair::Again));
    assert_eq!(decision.next(), Action::Commit(Epoch(1)), "it may have taken place");
    decision.on_commit_started();
    decision.on_committed();
    assert_eq!(decision.next(), Action::Abort);
}

#[test]
fn after_taking_over_the_first_commit_goes_through_the_first_slot() {
    let mut decision = committing_beside();
    decision.on_committed();
    decision.on_error(&error(Repair::Renew));
    assert_eq!(decision.next(), Action::Acquire);
    decision.on_acquired(Some(Epoch(1)));
    assert_eq!(decision.next(), Action::Release(Epoch(2)));
    decision.on_released(Epoch(2));
    assert_eq!(decision.next(), Action::Begin(Slot(0), Epoch(2)));
}

#[test]
fn renewing_producers_again_and_again_is_no_failure() {
    let mut decision = committing();
    decision.on_committed();
    decision.on_released(Epoch(2));
    for _ in 0..=2 * EPOCH_ATTEMPTS_MAX {
        decision.on_error(&error(Repair::Renew));
        assert_eq!((decision.next(), decision.attempts()), (Action::Acquire, 0));
        decision.on_acquired(Some(Epoch(1)));
    }
}

/// What really happened outside, against which the machine's belief is checked.
struct World {
    decision: Decision,
    random: u64,
    sent: u64,
    filled: BTreeSet<u64>,
    committed: Vec<u64>,
    /// The epoch whose commit was asked for and is not answered.
    asked: Option<Epoch>,
    /// Epochs begun while a commit was under way.
    overlaps: usize,
}

impl World {
    fn new(seed: u64, ring: u32) -> Self {
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let decision = Decision::new(Epoch(0), ring);
        World {
            decision,
            random,
            sent: 0,
            filled: BTreeSet::new(),
            committed: Vec::new(),
            asked: None,
            overlaps: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    /// Any call may do its work or not, and may say so or not.
    fn fault(&mut self) -> Option<Repair> {
        let repairs =
            [Repair::Again, Repair::Abort, Repair::Acquire, Repair::Renew, Repair::Isolate];
        repairs.get(self.below(16) as usize).copied()
    }

    /// The commit that was asked for is answered.
    fn answer(&mut self) {
        let Some(epoch) = self.asked.take() else { return };
        let fault = self.fault();
        let lands = match fault {
            None => true,
            // The errors that promise that nothing was committed.
            Some(Repair::Abort | Repair::Isolate) => false,
            Some(_) => self.below(2) == 0,
        };
        if lands && self.committed.last() != Some(&epoch.0) {
            self.committed.push(epoch.0);
        }
        match fault {
            None => self.decision.on_committed(),
            // A repeated commit that had landed is acknowledged by the broker.
            Some(Repair::Again) if lands => self.decision.on_committed(),
            Some(repair) => self.decision.on_commit_failed(&error(repair)),
        }
    }

    fn obey(&mut self) {
        if self.below(4) == 0 {
            self.feed();
        }
        if self.below(3) == 0 {
            self.answer();
        }
        match self.decision.next() {
            Action::Wait | Action::Finish => self.feed(),
            Action::Begin(slot, epoch) => match self.fault() {
                None => {
                    self.overlaps += usize::from(self.asked.is_some());
                    assert!(self.decision.commits > 0 || self.asked.is_some() || slot == Slot(0));
                    self.decision.on_begun(epoch);
                }
                Some(repair) => self.decision.on_error(&error(repair)),
            },
            Action::Seal(_) => match self.fault() {
                None => self.decision.on_sealed(),
                Some(repair) => self.decision.on_error(&error(repair)),
            },
            Action::Commit(epoch) => {
                assert_eq!(self.asked, None, "one commit is in doubt at most");
                self.decision.on_commit_started();
                self.asked = Some(epoch);
            }
            Action::Abort => match self.fault() {
                None => self.decision.on_aborted(),
                Some(repair) => self.decision.on_abort_failed(&error(repair)),
            },
            Action::Acquire => {
                assert_eq!(self.asked, None, "nobody is fenced while a commit is under way");
                let stored = self.committed.last().copied().map(Epoch);
                match self.below(16) {
                    0 => self.decision.on_acquire_failed(&error(Repair::Acquire)),
                    _ => self.decision.on_acquired(stored),
                }
            }
            Action::Release(below) => {
                let mut filled = self.filled.range(..below.0);
                let is_safe = filled.all(|epoch| self.committed.contains(epoch));
                assert!(is_safe, "released below {below} with {:?}", self.committed);
                self.decision.on_released(below);
            }
            Action::Stop(_) => {}
        }
    }

    fn feed(&mut self) {
        if self.below(3) == 0 {
            self.sent += 1;
            self.decision.on_upper(Upper::At(Epoch(self.sent)));
        } else {
            self.filled.insert(self.sent);
            self.decision.on_batch(Epoch(self.sent));
        }
    }
}

#[test]
fn under_random_faults_every_epoch_is_committed_once_and_in_order() {
    let (mut committed, mut overlaps) = (0, 0);
    for seed in 1..=3_000_u64 {
        let mut world = World::new(seed, 1 + (seed % 3) as u32);
        for _ in 0..600 {
            world.obey();
        }
        overlaps += world.overlaps;
        let ascending = world.committed.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ascending, "seed {seed}: {:?}", world.committed);
        let all_filled = world.committed.iter().all(|epoch| world.filled.contains(epoch));
        assert!(all_filled, "seed {seed}: an empty epoch was committed");
        committed += world.committed.len();
    }
    assert!(committed > 50_000, "the walks commit, or they prove nothing: {committed}");
    assert!(overlaps > 5_000, "epochs begin beside a commit, or rings prove nothing: {overlaps}");
}
