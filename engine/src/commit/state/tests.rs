//! Goal: the decision keeps its invariants under every order of events.
//! Method: named cases for each edge of the diagram, then seeded random walks against a world that
//! knows what is really committed.

use super::*;

fn error(repair: Repair) -> OutletError {
    OutletError { message: "injected".to_owned(), repair }
}

/// A machine with one open transaction of epoch 1, passed by the frontier.
fn ready_to_commit() -> Decision {
    let mut decision = Decision::new(Epoch(1));
    decision.on_batch(Epoch(1));
    assert_eq!(decision.next(), Action::Begin(Epoch(1)));
    decision.on_begun();
    assert_eq!(decision.next(), Action::Wait);
    decision.on_upper(Upper::At(Epoch(2)));
    assert_eq!(decision.next(), Action::Commit(Epoch(1)));
    decision.on_commit_started();
    decision
}

#[test]
fn an_epoch_is_committed_once_the_frontier_has_passed_it_and_then_released() {
    let mut decision = ready_to_commit();
    decision.on_committed();
    assert_eq!(decision.next(), Action::Release(Epoch(2)));
    decision.on_released(Epoch(2));
    assert_eq!(decision.next(), Action::Wait);
}

#[test]
fn an_empty_epoch_opens_no_transaction() {
    let mut decision = Decision::new(Epoch(1));
    decision.on_upper(Upper::At(Epoch(5)));
    assert_eq!(decision.next(), Action::Release(Epoch(5)));
    decision.on_released(Epoch(5));
    decision.on_upper(Upper::End);
    assert_eq!(decision.next(), Action::Finish);
}

#[test]
fn a_batch_of_the_next_epoch_waits_for_the_open_one() {
    let mut decision = Decision::new(Epoch(1));
    decision.on_batch(Epoch(1));
    decision.on_begun();
    decision.on_batch(Epoch(2));
    assert_eq!((decision.open(), decision.next()), (Some(Epoch(1)), Action::Wait));
    decision.on_upper(Upper::End);
    decision.on_commit_started();
    decision.on_committed();
    assert_eq!(decision.next(), Action::Release(Epoch(2)));
    decision.on_released(Epoch(2));
    assert_eq!(decision.next(), Action::Begin(Epoch(2)));
}

#[test]
fn an_aborted_epoch_is_sent_again() {
    let mut decision = ready_to_commit();
    decision.on_error(&error(Repair::Abort));
    assert_eq!(decision.next(), Action::Abort(Epoch(1)));
    decision.on_aborted();
    assert_eq!((decision.next(), decision.attempts()), (Action::Begin(Epoch(1)), 1));
}

#[test]
fn an_unknown_outcome_is_settled_by_the_stored_epoch() {
    for (stored, next) in [
        (Some(Epoch(1)), Action::Release(Epoch(2))),
        (Some(Epoch(0)), Action::Begin(Epoch(1))),
        (None, Action::Begin(Epoch(1))),
    ] {
        let mut decision = ready_to_commit();
        decision.on_error(&error(Repair::Acquire));
        assert_eq!(decision.next(), Action::Acquire);
        decision.on_acquired(stored);
        assert_eq!(decision.next(), next, "stored {stored:?}");
    }
}

#[test]
fn a_commit_without_an_answer_is_asked_for_again_and_never_aborted() {
    let mut decision = ready_to_commit();
    for _ in 0..COMMIT_RETRIES_MAX {
        decision.on_error(&error(Repair::Again));
        assert_eq!(decision.next(), Action::Commit(Epoch(1)));
    }
    decision.on_error(&error(Repair::Again));
    assert_eq!(decision.next(), Action::Acquire, "the bound ends in a question, not in an abort");
}

#[test]
fn a_superseded_machine_never_acts_again() {
    let mut decision = ready_to_commit();
    decision.on_error(&error(Repair::Superseded));
    for repair in [Repair::Again, Repair::Abort, Repair::Acquire] {
        decision.on_error(&error(repair));
        assert_eq!(decision.next(), Action::Stop(Recovery::Superseded));
    }
}

#[test]
fn an_epoch_that_cannot_be_sent_ends_in_a_rebuilt_pipeline() {
    let mut decision = ready_to_commit();
    for _ in 0..=EPOCH_ATTEMPTS_MAX {
        decision.on_error(&error(Repair::Acquire));
        if decision.next() == Action::Acquire {
            decision.on_acquired(None);
            decision.on_begun();
            decision.on_commit_started();
        }
    }
    assert_eq!(decision.next(), Action::Stop(Recovery::Restart));
}

/// What really happened outside, against which the machine's belief is checked.
struct World {
    decision: Decision,
    random: u64,
    sent: u64,
    filled: BTreeSet<u64>,
    committed: Vec<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let decision = Decision::new(Epoch(0));
        World { decision, random, sent: 0, filled: BTreeSet::new(), committed: Vec::new() }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    /// Any call may do its work or not, and may say so or not.
    fn fault(&mut self) -> Option<Repair> {
        [Repair::Again, Repair::Abort, Repair::Acquire].get(self.below(12) as usize).copied()
    }

    fn commit(&mut self, epoch: Epoch) {
        self.decision.on_commit_started();
        let fault = self.fault();
        let lands = match fault {
            None => true,
            // The one error that promises that nothing was committed.
            Some(Repair::Abort) => false,
            Some(_) => self.below(2) == 0,
        };
        if lands && self.committed.last() != Some(&epoch.0) {
            self.committed.push(epoch.0);
        }
        match fault {
            None => self.decision.on_committed(),
            // A repeated commit that had landed is acknowledged by the broker.
            Some(Repair::Again) if lands => self.decision.on_committed(),
            Some(repair) => self.decision.on_error(&error(repair)),
        }
    }

    fn obey(&mut self) {
        if self.below(4) == 0 {
            self.feed();
        }
        match self.decision.next() {
            Action::Wait | Action::Finish => self.feed(),
            Action::Begin(_) => match self.fault() {
                None => self.decision.on_begun(),
                Some(repair) => self.decision.on_error(&error(repair)),
            },
            Action::Commit(epoch) => self.commit(epoch),
            Action::Abort(_) => match self.fault() {
                None => self.decision.on_aborted(),
                Some(repair) => self.decision.on_error(&error(repair)),
            },
            Action::Acquire => {
                let stored = self.committed.last().copied().map(Epoch);
                self.decision.on_acquired(stored);
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
    let mut committed = 0;
    for seed in 1..=3_000 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.obey();
        }
        let ascending = world.committed.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ascending, "seed {seed}: {:?}", world.committed);
        let all_filled = world.committed.iter().all(|epoch| world.filled.contains(epoch));
        assert!(all_filled, "seed {seed}: an empty epoch was committed");
        committed += world.committed.len();
    }
    assert!(committed > 50_000, "the walks commit, or they prove nothing: {committed}");
}
