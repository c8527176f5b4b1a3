//! The small worlds that are explored, each for rows of the failure matrix in
//! `docs/RELIABILITY.md`.
//!
//! Answers reach a process at once in all of them: that one is lost is what a broken connection or
//! a kill amounts to. Where only the order of take-overs matters, records and markers are in the
//! logs at once, too.

use crate::process::Life;
use crate::world::{Budget, Event, World};

/// A small world.
pub struct Scenario {
    pub name: &'static str,
    /// Messages of each shard; each is an epoch of its own.
    pub length: u16,
    pub rings: &'static [u8],
    pub budget: Budget,
    /// What may happen next, beyond what the budget says.
    pub may: fn(&World, &Event) -> bool,
    /// What happens before the exploration begins: so many instances start.
    pub started: usize,
    pub has_prompt_logs: bool,
    /// Two that fence each other in turns could do so for ever if nobody is fair; after so many
    /// take-overs the trouble ends.
    pub takeovers_max: usize,
}

/// Nothing gets lost by itself.
fn no_loss(_: &World, event: &Event) -> bool {
    !matches!(event, Event::Lose(_))
}

/// The next instance starts only when the one before is gone.
fn one_at_a_time(world: &World, event: &Event) -> bool {
    match event {
        Event::Start(_) => world.processes.iter().all(|process| process.life == Life::Dead),
        _ => true,
    }
}

const NO_FAULTS: Budget = Budget {
    cuts: 0,
    kills: 0,
    pauses: 0,
    waits: 0,
    records: 0,
    expiries: 0,
    starts: 0,
    returns: 0,
};

/// Row 14 of the failure matrix.
pub const TWO_START_AT_ONCE: Scenario = Scenario {
    name: "two instances start at the same time",
    length: 1,
    rings: &[2, 2],
    budget: NO_FAULTS,
    may: no_loss,
    started: 2,
    has_prompt_logs: true,
    takeovers_max: 4,
};

/// Row 13: the second comes at any moment.
pub const ANOTHER_STARTS: Scenario = Scenario {
    name: "another instance starts at any moment",
    length: 2,
    rings: &[2, 2],
    budget: Budget { starts: 1, ..NO_FAULTS },
    may: no_loss,
    started: 1,
    has_prompt_logs: true,
    takeovers_max: 3,
};

/// Row 15.
pub const SMALLER_RING: Scenario = Scenario {
    name: "a smaller ring takes over from a larger one",
    length: 3,
    rings: &[3, 1],
    budget: Budget { starts: 1, ..NO_FAULTS },
    may: no_loss,
    started: 1,
    has_prompt_logs: true,
    takeovers_max: 3,
};

/// Rows 1 to 6.
pub const KILLED_ANYWHERE: Scenario = Scenario {
    name: "killed at any step of taking over or of a commit",
    length: 2,
    rings: &[2, 2],
    budget: Budget { starts: 1, kills: 1, ..NO_FAULTS },
    may: one_at_a_time,
    started: 1,
    has_prompt_logs: false,
    takeovers_max: 4,
};

/// Row 9.
pub const LATE_END: Scenario = Scenario {
    name: "a connection breaks, and what it held arrives late",
    length: 2,
    rings: &[1],
    budget: Budget { cuts: 1, ..NO_FAULTS },
    may: |_, _| true,
    started: 1,
    has_prompt_logs: false,
    takeovers_max: 4,
};

/// Rows 7 and 8.
pub const NO_ANSWER: Scenario = Scenario {
    name: "calls are given up, and a connection breaks",
    length: 2,
    rings: &[2],
    budget: Budget { cuts: 1, waits: 1, ..NO_FAULTS },
    may: |_, _| true,
    started: 1,
    has_prompt_logs: true,
    takeovers_max: 3,
};

/// The same with one producer: fewer worlds, for what takes protections out.
pub const NO_ANSWER_ALONE: Scenario = Scenario { rings: &[1], ..NO_ANSWER };

/// Row 12.
pub const EXPIRED: Scenario = Scenario {
    name: "a transaction is over its timeout, and records are given up",
    length: 2,
    rings: &[2],
    budget: Budget { expiries: 1, records: 1, ..NO_FAULTS },
    may: no_loss,
    started: 1,
    has_prompt_logs: false,
    takeovers_max: 4,
};
