//! The model without one protection each: readers must come to harm, or the model proves nothing.
//!
//! Two protections are second lines. That the first commit goes through slot 0 is not needed as
//! long as everybody looks for a newer claim after fencing; without that look it is what keeps two
//! owners apart. That a commit without an answer is not aborted is not needed as long as the client
//! refuses to; without its refusal it is. Both are shown both ways.

use crate::check::Violation;
use crate::explore::{Found, explore};
use crate::orders::STATES_MAX;
use crate::protection::Protection::{self, *};
use crate::protection::Without;
use crate::random::{Trouble, run};
use crate::scenario::{self, Scenario};
use std::panic::catch_unwind;

/// Seeds in which harm must be found.
const SEEDS_MAX: u64 = 20_000;

/// Some seed shows readers something else than the input.
fn a_seed_finds(trouble: Trouble, missing: &[Protection]) {
    let without = Without::all_of(missing);
    for seed in 1..=SEEDS_MAX {
        // A machine that panics has noticed by itself; that is not what is looked for.
        let Ok(outcome) = catch_unwind(|| run(seed, trouble, without)) else { continue };
        if let Some(harm) = outcome.violations.iter().find(|it| it.is_wrong_data()) {
            println!("model without {missing:?}: seed {seed} finds {harm:?}");
            return;
        }
    }
    panic!("without {missing:?} nobody is harmed in {SEEDS_MAX} seeds");
}

fn search(scenario: &Scenario, missing: &[Protection]) -> Option<Found> {
    explore(scenario, Without::all_of(missing), STATES_MAX).err()
}

/// Some order shows readers something else than the input.
fn an_order_finds(scenario: &Scenario, missing: &[Protection]) {
    let found = search(scenario, missing);
    let found = found.unwrap_or_else(|| panic!("without {missing:?} nobody is harmed"));
    let harm = found.violations.iter().find(|it| it.is_wrong_data());
    let harm = harm.unwrap_or_else(|| panic!("without {missing:?}: {:?}", found.violations));
    println!("model without {missing:?}: {} steps lead to {harm:?}", found.path.len());
}

/// No order does.
fn no_order_finds(scenario: &Scenario, missing: &[Protection]) {
    let found = search(scenario, missing);
    let found = found.map(|found| (found.violations, found.path));
    assert!(found.is_none(), "without {missing:?}: {found:?}");
}

/// How often two owners committed beside each other.
fn rivals(missing: &[Protection]) -> usize {
    let without = Without::all_of(missing);
    let is_rival = |seed: &u64| {
        let outcome = catch_unwind(|| run(*seed, Trouble::Slow, without));
        let violations = outcome.map(|outcome| outcome.violations).unwrap_or_default();
        violations.iter().any(|it| matches!(it, Violation::Rival { .. }))
    };
    (1..=1_500).filter(is_rival).count()
}

#[test]
fn without_the_taint_a_late_commit_hits_the_next_transaction() {
    an_order_finds(&scenario::LATE_END, &[Taint]);
    a_seed_finds(Trouble::Any, &[Taint]);
}

#[test]
fn progress_that_is_read_before_fencing_is_read_too_early() {
    an_order_finds(&scenario::ANOTHER_STARTS, &[FenceBeforeRead]);
    a_seed_finds(Trouble::Any, &[FenceBeforeRead]);
}

#[test]
fn an_id_of_a_larger_ring_that_is_not_fenced_goes_on_committing() {
    an_order_finds(&scenario::SMALLER_RING, &[FenceAll]);
    a_seed_finds(Trouble::Any, &[FenceAll]);
}

#[test]
fn progress_outside_of_the_transaction_is_not_that_of_its_records() {
    an_order_finds(&scenario::KILLED_ANYWHERE, &[ProgressInside]);
    a_seed_finds(Trouble::Any, &[ProgressInside]);
}

#[test]
fn a_commit_that_does_not_wait_for_the_one_before_loses_what_was_before() {
    an_order_finds(&scenario::EXPIRED, &[OneInDoubt]);
    a_seed_finds(Trouble::Any, &[OneInDoubt]);
}

#[test]
fn a_commit_without_an_answer_is_not_one_that_came_to_nothing() {
    an_order_finds(&scenario::NO_ANSWER_ALONE, &[SettledByStored]);
    a_seed_finds(Trouble::Any, &[SettledByStored]);
}

/// The commit lands, a late request opens an empty transaction, and that is what is aborted.
#[test]
fn either_the_decision_or_the_client_must_refuse_to_abort_a_commit_in_doubt() {
    no_order_finds(&scenario::NO_ANSWER_ALONE, &[NoAbortInDoubt]);
    an_order_finds(&scenario::NO_ANSWER_ALONE, &[NoAbortInDoubt, ClientConflict]);
}

#[test]
fn who_does_not_look_for_a_newer_claim_takes_the_epochs_of_another_for_its_own() {
    an_order_finds(&scenario::ANOTHER_STARTS, &[ClaimsChecked]);
}

#[test]
fn either_the_first_slot_or_the_look_at_the_claims_keeps_two_owners_apart() {
    no_order_finds(&scenario::TWO_START_AT_ONCE, &[SlotZero]);
    no_order_finds(&scenario::ANOTHER_STARTS, &[SlotZero]);
    no_order_finds(&scenario::SMALLER_RING, &[SlotZero]);
    an_order_finds(&scenario::ANOTHER_STARTS, &[ClaimsChecked, SlotZero]);
    let (with_slot, without_slot) = (rivals(&[ClaimsChecked]), rivals(&[ClaimsChecked, SlotZero]));
    println!("rivals with the first slot {with_slot}, without {without_slot}");
    assert!(with_slot == 0 && without_slot > 0, "{with_slot}, {without_slot}");
}

#[test]
fn who_held_the_pipeline_and_does_not_say_so_goes_on_after_losing_it() {
    an_order_finds(&scenario::ANOTHER_STARTS, &[HeldKnown]);
    a_seed_finds(Trouble::Any, &[HeldKnown]);
}

#[test]
fn a_generation_that_is_claimed_twice_is_taken_back_by_a_late_tombstone() {
    a_seed_finds(Trouble::Slow, &[ClaimedOnce]);
}

/// Kafka before 3.6 is such.
#[test]
fn a_leader_that_does_not_verify_lets_late_records_into_the_next_transaction() {
    a_seed_finds(Trouble::Any, &[Verification]);
}
