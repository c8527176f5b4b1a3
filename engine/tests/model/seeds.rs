//! Random runs, each by its seed.

use crate::fold::{fold, fold_bytes};
use crate::kafka::PROGRESS;
use crate::property::cases;
use crate::protection::Without;
use crate::random::{Outcome, Tally, Trouble, run};
use std::time::Instant;

/// Seeds per ordinary case: ten thousand where nothing is asked for.
const SHARE: f64 = 10.0;

fn sound(seed: u64, trouble: Trouble) -> Outcome {
    let outcome = run(seed, trouble, Without::default());
    if !outcome.violations.is_empty() {
        println!("{}", outcome.trace());
        panic!("{trouble:?}, seed {seed}: {:?}", outcome.violations);
    }
    outcome
}

fn many(trouble: Trouble, share: f64) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::default();
    let seeds = u64::from(cases(share));
    for seed in 1..=seeds {
        sound(seed, trouble).add_to(&mut tally);
    }
    println!("model, {trouble:?}: {seeds} seeds in {:.1} s", started.elapsed().as_secs_f64());
    println!("{tally:#?}");
    tally
}

#[test]
fn whatever_happens_readers_see_each_message_once_and_in_order_and_in_the_end_all() {
    let tally = many(Trouble::Any, SHARE);
    let hits = [
        ("commits", tally.commits),
        ("aborted copies", tally.aborted_copies),
        ("superseded processes", tally.superseded),
        ("rebuilds", tally.rebuilds),
        ("take-overs after standing by", tally.returns),
        ("broken connections", tally.cuts),
        ("kills", tally.kills),
    ];
    for (what, count) in hits {
        assert!(count > 0, "no {what}: nothing was tested");
    }
    assert!(tally.takeovers > tally.processes / 2, "instances take over, or nothing is tested");
}

#[test]
fn so_they_do_while_slow_instances_take_over_from_each_other() {
    let tally = many(Trouble::Slow, SHARE / 2.0);
    assert!(tally.superseded > 0 && tally.rebuilds > 0, "{tally:?}");
}

#[test]
fn a_seed_gives_the_same_run_byte_by_byte() {
    for seed in 1..=100 {
        let (one, other) = (sound(seed, Trouble::Any), sound(seed, Trouble::Any));
        assert_eq!(one.hash, other.hash, "seed {seed}");
        assert_eq!(one.trace(), other.trace(), "seed {seed}");
    }
    let different = sound(1, Trouble::Any).hash != sound(2, Trouble::Any).hash;
    assert!(different, "seeds differ");
}

#[test]
fn the_fold_of_the_model_is_that_of_the_program() {
    let mut records = 0;
    for seed in 1..=100 {
        let outcome = sound(seed, Trouble::Any);
        let kept = &outcome.world.kafka.logs[PROGRESS].kept;
        let entries = || kept.iter().map(|kept| &kept.entry);
        assert_eq!(fold(entries()), fold_bytes(entries()), "seed {seed}");
        records += kept.len();
    }
    assert!(records > 1_000, "the topics hold something: {records} records");
}

/// For looking at a run that failed.
#[test]
fn the_seed_that_was_asked_for() {
    let Ok(text) = std::env::var("HEADWATER_MODEL_SEED") else { return };
    let seed = text.parse().expect("HEADWATER_MODEL_SEED is a number");
    for trouble in [Trouble::Any, Trouble::Slow] {
        println!("{trouble:?}\n{}", sound(seed, trouble).trace());
    }
}
