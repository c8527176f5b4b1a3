//! Runs by a seed: a while of trouble, then none any more, until everything is visible.

use crate::check::{Checker, Violation};
use crate::process::Life;
use crate::protection::Without;
use crate::source::SHARDS;
use crate::world::{Budget, Event, World};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Steps with faults.
const TROUBLE_STEPS: usize = 300;

/// Steps without faults after which a world that is not complete is stuck.
const DRAIN_STEPS_MAX: usize = 8_000;

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Mixed, because seeds that follow each other must not give runs that resemble each other.
        let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Random((mixed ^ (mixed >> 31)) | 1)
    }

    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0 >> 32) % u64::from(bound)).expect("it is below the bound")
    }
}

/// What came of a run.
pub struct Outcome {
    pub events: Vec<Event>,
    pub violations: Vec<Violation>,
    /// Over all events and everything the logs hold in the end.
    pub hash: u64,
    pub world: World,
}

/// What runs showed, so that a suite can prove that something happened in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub steps: usize,
    pub commits: usize,
    pub aborted_copies: usize,
    pub processes: usize,
    pub superseded: usize,
    pub rebuilds: usize,
    pub cuts: usize,
    pub kills: usize,
    pub takeovers: usize,
    pub messages: usize,
    pub returns: usize,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Everything.
    Any,
    /// Calls take too long, while instances take over from each other.
    Slow,
}

/// The run of a seed.
pub fn run(seed: u64, trouble: Trouble, without: Without) -> Outcome {
    let mut random = Random::new(seed);
    let rings: Vec<u8> = (0..4).map(|_| 1 + random.below(3) as u8).collect();
    let budget = budget(&mut random, trouble);
    let length = if trouble == Trouble::Slow { 2 } else { 4 + random.below(8) as u16 };
    let mut walk = Walk {
        world: World::new(length, &rings, budget, without),
        random,
        events: Vec::new(),
        choices: Vec::new(),
    };
    walk.step(Event::Start(rings[0]));
    walk.trouble();
    walk.drain();
    walk.outcome()
}

fn budget(random: &mut Random, trouble: Trouble) -> Budget {
    if trouble == Trouble::Slow {
        return Budget { waits: 6, starts: 2, returns: 1, ..Budget::default() };
    }
    Budget {
        cuts: random.below(6) as u8,
        kills: random.below(3) as u8,
        pauses: random.below(3) as u8,
        waits: random.below(4) as u8,
        records: random.below(3) as u8,
        expiries: random.below(2) as u8,
        starts: 1 + random.below(3) as u8,
        returns: random.below(3) as u8,
    }
}

/// No trouble any more, from here on: what came of it.
pub fn drain(world: World, seed: u64) -> Outcome {
    let (events, choices) = (Vec::new(), Vec::new());
    let mut walk = Walk { world, random: Random::new(seed), events, choices };
    walk.drain();
    walk.outcome()
}

struct Walk {
    world: World,
    random: Random,
    events: Vec<Event>,
    choices: Vec<Event>,
}

impl Walk {
    fn step(&mut self, event: Event) {
        self.events.push(event);
        self.world.step(event);
    }

    fn is_over(&self) -> bool {
        self.world.checker.violations.iter().any(|it| ends_a_run(self.world.without, it))
    }

    fn trouble(&mut self) {
        for _ in 0..TROUBLE_STEPS {
            if self.is_over() {
                return;
            }
            let mut choices = std::mem::take(&mut self.choices);
            self.world.events(&mut choices);
            self.choices = choices;
            let Some(event) = self.pick() else { return };
            self.step(event);
        }
    }

    /// No faults any more: everything is delivered, whoever stands still goes on.
    fn drain(&mut self) {
        self.world.budget = Budget::default();
        for _ in 0..DRAIN_STEPS_MAX {
            if self.is_over() {
                return;
            }
            let mut choices = std::mem::take(&mut self.choices);
            self.world.events(&mut choices);
            choices.retain(|event| !matches!(event, Event::Lose(_)));
            self.choices = choices;
            match self.pick() {
                Some(event) => self.step(event),
                None if self.world.is_complete() => return,
                None => match self.world.helping() {
                    Some(event) => self.step(event),
                    None => break,
                },
            }
        }
        self.world.checker.violations.push(Violation::Stuck);
    }

    /// One of the choices, by weight.
    fn pick(&mut self) -> Option<Event> {
        let net = &self.world.net;
        let weight = |event: &Event| match event {
            // What a broken connection still holds arrives late, if at all.
            Event::Deliver(conn) if !net.conns[conn].is_up => 3,
            event => weight(event),
        };
        let total = self.choices.iter().map(weight).sum::<u32>();
        if total == 0 {
            return None;
        }
        let mut at = self.random.below(total);
        self.choices.iter().copied().find(|event| {
            let weight = weight(event);
            let is_it = at < weight;
            at = at.saturating_sub(weight);
            is_it
        })
    }

    fn outcome(self) -> Outcome {
        let mut hasher = DefaultHasher::new();
        self.events.hash(&mut hasher);
        self.world.kafka.hash(&mut hasher);
        let violations = self.world.checker.violations.clone();
        let hash = hasher.finish();
        Outcome { events: self.events, violations, hash, world: self.world }
    }
}

/// With a protection taken out only harm to readers counts; the real protocol may not even bend.
fn ends_a_run(without: Without, violation: &Violation) -> bool {
    without == Without::default() || violation.harms_readers()
}

/// What moves things on is likely, a fault is not.
fn weight(event: &Event) -> u32 {
    match event {
        Event::Deliver(_) | Event::Answer(_) | Event::Read(_) => 24,
        Event::Marker(..) | Event::Markers(_) | Event::CatchUp(_) => 12,
        Event::Emit(..) | Event::Close(_) => 8,
        Event::End(_) | Event::Resume(_) => 2,
        Event::Cut(_) | Event::GiveUpWaiting(_) | Event::Start(_) | Event::Return(_) => 2,
        Event::Lose(_) | Event::Kill(_) | Event::Pause(_) => 1,
        Event::GiveUpRecords(..) | Event::Expire(_) => 1,
    }
}

impl Outcome {
    /// The run as text: every event, and what the logs hold in the end.
    pub fn trace(&self) -> String {
        let mut text = String::new();
        for (index, event) in self.events.iter().enumerate() {
            writeln!(text, "{index:4} {event:?}").expect("a text takes all");
        }
        for (partition, log) in self.world.kafka.logs.iter().enumerate() {
            for (offset, kept) in log.kept.iter().enumerate() {
                writeln!(text, "log {partition} {offset:3} {kept:?}").expect("a text takes all");
            }
        }
        text
    }

    pub fn add_to(&self, tally: &mut Tally) {
        let World { processes, checker, kafka, .. } = &self.world;
        let count = |life| processes.iter().filter(|it| it.life == life).count();
        let happened = |test: fn(&Event) -> bool| self.events.iter().filter(|it| test(it)).count();
        tally.steps += self.events.len();
        tally.commits += checker.commits.len();
        tally.aborted_copies += Checker::aborted_copies(kafka);
        tally.processes += processes.len();
        tally.superseded += count(Life::Superseded);
        tally.rebuilds += processes.iter().map(|it| usize::from(it.rebuilds)).sum::<usize>();
        tally.cuts += happened(|event| matches!(event, Event::Cut(_)));
        tally.returns += happened(|event| matches!(event, Event::Return(_)));
        tally.kills += happened(|event| matches!(event, Event::Kill(_)));
        tally.takeovers += checker.takeovers;
        tally.messages += usize::from(self.world.length) * SHARDS;
    }
}
