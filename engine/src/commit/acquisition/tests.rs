//! Goal: the order of taking over is kept whatever is found in the topic.

use super::*;
use crate::commit::progress::PROGRESS_FORMAT;

fn claims(list: &[(u64, &str)]) -> StoredProgress {
    let mut stored = StoredProgress::default();
    for (generation, instance) in list {
        stored.claims.push(Owner {
            fmt: PROGRESS_FORMAT,
            generation: Generation(*generation),
            instance: (*instance).to_owned(),
            transactional_ids: vec![format!("{instance}-0"), format!("{instance}-1")],
            at_unix_ms: 0,
        });
    }
    stored
}

fn start(ours: Option<u64>) -> Acquisition {
    let ids = vec!["a-0".to_owned(), "a-1".to_owned()];
    Acquisition::new("a".to_owned(), ids, ours.map(Generation))
}

#[test]
fn it_claims_then_fences_slot_0_then_all_others_and_only_then_reads() {
    let mut acquisition = start(None);
    assert_eq!(*acquisition.need(), Need::ReadAll);
    acquisition.on_known(&claims(&[(1, "b")])).expect("nobody is replaced at a first start");
    assert_eq!(*acquisition.need(), Need::Claim(Generation(2)));
    acquisition.on_claimed();
    assert_eq!(*acquisition.need(), Need::ReadBack(Generation(2)));
    acquisition.on_read_back(&claims(&[(1, "b"), (2, "a")]));
    assert_eq!(*acquisition.need(), Need::Fence(vec!["a-0".to_owned()]));
    acquisition.on_fenced();
    let others = ["a-1", "b-0", "b-1"].map(str::to_owned);
    assert_eq!(*acquisition.need(), Need::Fence(others.to_vec()));
    acquisition.on_fenced();
    assert_eq!(*acquisition.need(), Need::ReadCommitted);
    acquisition.on_committed(&claims(&[(1, "b"), (2, "a")])).expect("ours");
    assert_eq!(*acquisition.need(), Need::Nothing(Generation(2)));
}

#[test]
fn of_two_that_claim_one_generation_the_first_in_the_log_goes_on() {
    let mut acquisition = start(None);
    acquisition.on_known(&claims(&[])).expect("a fresh pipeline");
    acquisition.on_claimed();
    let seen = claims(&[(1, "b"), (1, "a")]);
    acquisition.on_read_back(&seen);
    assert_eq!(*acquisition.need(), Need::Withdraw(Generation(1)));
    acquisition.on_withdrawn(&seen).expect("another try");
    assert_eq!(*acquisition.need(), Need::Claim(Generation(2)));
}

/// Found by the model: the rival had committed an epoch of the same number, with other records in
/// it, and the loser took it for its own.
#[test]
fn whoever_held_the_pipeline_and_loses_a_tie_is_replaced() {
    let mut acquisition = start(Some(2));
    acquisition.on_known(&claims(&[(2, "a")])).expect("still ours");
    acquisition.on_claimed();
    let seen = claims(&[(2, "a"), (3, "b"), (3, "a")]);
    acquisition.on_read_back(&seen);
    assert_eq!(*acquisition.need(), Need::Withdraw(Generation(3)));
    let replaced = acquisition.on_withdrawn(&seen).expect_err("by b");
    assert_eq!((replaced.instance.as_str(), replaced.generation), ("b", Generation(3)));
}

/// Found by the model: the tombstone of the attempt before arrived late, and a rival that did not
/// see the claim any more went on beside us.
#[test]
fn no_generation_is_claimed_twice_by_one_process() {
    let mut acquisition = start(None).above(Generation(4));
    acquisition.on_known(&claims(&[(3, "b")])).expect("nobody is replaced at a first start");
    assert_eq!(*acquisition.need(), Need::Claim(Generation(5)));
}

#[test]
fn whoever_is_replaced_takes_nothing() {
    let mut acquisition = start(Some(1));
    let replaced = acquisition.on_known(&claims(&[(1, "a"), (2, "b")])).expect_err("by b");
    assert_eq!((replaced.instance.as_str(), replaced.generation), ("b", Generation(2)));
    assert_eq!(*acquisition.need(), Need::ReadAll, "nothing was claimed");
}

#[test]
fn a_claim_that_comes_to_nothing_is_known_until_all_is_done() {
    let mut acquisition = start(None);
    assert_eq!(acquisition.claim(), None);
    acquisition.on_known(&claims(&[])).expect("a fresh pipeline");
    assert_eq!(acquisition.claim(), Some(Generation(1)), "an append may fail and take place");
    acquisition.on_claimed();
    assert_eq!(acquisition.claim(), Some(Generation(1)));
    acquisition.on_read_back(&claims(&[(1, "a")]));
    assert_eq!(acquisition.claim(), Some(Generation(1)));
    acquisition.on_fenced();
    acquisition.on_fenced();
    assert_eq!(acquisition.claim(), Some(Generation(1)));
    acquisition.on_committed(&claims(&[(1, "a")])).expect("ours");
    assert_eq!(acquisition.claim(), None, "a claim that holds stays");
}

#[test]
fn a_newer_claim_means_replaced_and_our_own_does_not() {
    let replaced = |list: &[(u64, &str)], ours: u64| {
        refuse_if_replaced(&claims(list), Generation(ours), "a").is_err()
    };
    assert!(!replaced(&[(1, "a")], 1));
    assert!(!replaced(&[(1, "b"), (2, "a")], 2));
    assert!(replaced(&[(1, "a"), (2, "b")], 1));
    assert!(replaced(&[(2, "b"), (2, "a")], 2), "the first claim of a generation owns it");
    assert!(!replaced(&[], 1));
    assert!(!replaced(&[(1, "a"), (2, "a")], 1), "our own repair that broke off");
}
