//! All orders of a small world, one after the other.
//!
//! Depth first over everything that may happen next. A world that was seen before, by whatever
//! way, is not entered again, so the number of states is what counts and not that of orders. Where
//! nothing of the scenario is left to happen, trouble ends, and everything must become visible.
//!
//! Next: `scenario.rs` lists the worlds.

use crate::check::Violation;
use crate::protection::Without;
use crate::random;
use crate::scenario::Scenario;
use crate::world::{Event, World};
use std::collections::HashSet;

/// What an exploration found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Explored {
    pub states: usize,
    pub steps: usize,
    pub ends: usize,
    pub depth: usize,
    /// The most commits that one order made.
    pub commits: usize,
}

/// A violation, and how to get there.
#[derive(Debug)]
pub struct Found {
    pub violations: Vec<Violation>,
    pub path: Vec<Event>,
}

struct Level {
    world: World,
    event: Event,
    left: Vec<Event>,
}

/// Tries every order; stops at the first that harms readers, or breaks any rule if nothing was
/// taken out.
pub fn explore(
    scenario: &Scenario,
    without: Without,
    states_max: usize,
) -> Result<Explored, Found> {
    let mut world = World::new(scenario.length, scenario.rings, scenario.budget, without);
    world.is_prompt = true;
    world.has_prompt_logs = scenario.has_prompt_logs;
    for _ in 0..scenario.started {
        world.step(Event::Start(world.next_ring()));
        world.budget.starts = scenario.budget.starts;
    }
    let mut search =
        Search { scenario, without, seen: HashSet::new(), explored: Explored::default() };
    let mut stack = vec![search.level(world, Event::Start(0))?];
    while let Some(level) = stack.last_mut() {
        let Some(event) = level.left.pop() else {
            stack.pop();
            continue;
        };
        let mut world = level.world.clone();
        search.explored.steps += 1;
        world.step(event);
        let path = || stack.iter().map(|level| level.event).chain([event]).collect();
        search.judge(&world, path)?;
        if search.seen.insert(world.fingerprint()) {
            assert!(search.seen.len() < states_max, "{}: too many states", scenario.name);
            let entered = search.level(world, event);
            let level = entered.map_err(|mut found| {
                found.path = stack.iter().map(|level| level.event).chain([event]).collect();
                found
            })?;
            stack.push(level);
            search.explored.depth = search.explored.depth.max(stack.len());
        }
    }
    search.explored.states = search.seen.len();
    Ok(search.explored)
}

struct Search<'a> {
    scenario: &'a Scenario,
    without: Without,
    seen: HashSet<u64>,
    explored: Explored,
}

impl Search<'_> {
    /// A world with all that may happen next; at an end, everything must become visible.
    fn level(&mut self, world: World, event: Event) -> Result<Level, Found> {
        let mut left = Vec::new();
        world.events(&mut left);
        left.retain(|event| (self.scenario.may)(&world, event));
        if world.checker.takeovers >= self.scenario.takeovers_max {
            left.clear();
        }
        if left.is_empty() {
            self.explored.ends += 1;
            let outcome = random::drain(world.clone(), 1);
            self.judge(&outcome.world, Vec::new)?;
            let commits = outcome.world.checker.commits.len();
            self.explored.commits = self.explored.commits.max(commits);
        }
        Ok(Level { world, event, left })
    }

    fn judge(&self, world: &World, path: impl FnOnce() -> Vec<Event>) -> Result<(), Found> {
        let violations = &world.checker.violations;
        let ends = |it: &Violation| self.without == Without::default() || it.harms_readers();
        if violations.iter().any(ends) {
            return Err(Found { violations: violations.clone(), path: path() });
        }
        Ok(())
    }
}
