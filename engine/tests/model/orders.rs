//! Every order of what may happen in a small world.

use crate::explore::{Explored, explore};
use crate::protection::Without;
use crate::scenario::{self, Scenario};
use std::time::Instant;

/// Worlds that an exploration keeps in mind, at most.
pub const STATES_MAX: usize = 400_000;

/// All orders keep every rule, and there are at least so many worlds that something was tried.
fn holds(scenario: &Scenario, states_min: usize) {
    let started = Instant::now();
    match explore(scenario, Without::default(), STATES_MAX) {
        Ok(Explored { states, steps, ends, depth, commits }) => {
            println!(
                "model, {}: {states} worlds, {steps} steps, {ends} ends, depth {depth}, {:.1} s",
                scenario.name,
                started.elapsed().as_secs_f64()
            );
            assert!(states >= states_min, "only {states} worlds");
            assert!(commits > 0, "nothing was committed");
        }
        Err(found) => {
            found.path.iter().for_each(|event| println!("{event:?}"));
            panic!("{}: {:?}", scenario.name, found.violations);
        }
    }
}

#[test]
fn two_instances_may_start_at_the_same_time() {
    holds(&scenario::TWO_START_AT_ONCE, 5_000);
}

#[test]
fn another_instance_may_start_at_any_moment() {
    holds(&scenario::ANOTHER_STARTS, 20_000);
}

#[test]
fn a_smaller_ring_may_take_over_at_any_moment() {
    holds(&scenario::SMALLER_RING, 20_000);
}

#[test]
fn a_process_may_be_killed_at_any_step() {
    holds(&scenario::KILLED_ANYWHERE, 3_000);
}

#[test]
fn what_a_broken_connection_held_may_arrive_at_any_moment() {
    holds(&scenario::LATE_END, 500);
}

#[test]
fn a_call_may_be_given_up_at_any_moment() {
    holds(&scenario::NO_ANSWER, 50_000);
}

#[test]
fn a_transaction_may_run_into_its_timeout_at_any_moment() {
    holds(&scenario::EXPIRED, 10_000);
}
