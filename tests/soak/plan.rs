//! What is done to the system, and when: decided by a seed before anything runs.
//!
//! A round holds one or two faults of different targets, so that also what heals one part meets
//! another that is ill. A fault begins, is held, and ends; what each of the three means for it is
//! in `inject.rs`.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Something that is done to a part of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The engine is killed, and started again with other numbers of workers and producers.
    EngineKilled,
    /// The engine is asked to end, and started again with such.
    EngineRestarted,
    /// The engine is frozen for less than its transaction may last.
    EngineFrozen,
    /// The engine is frozen until the broker has given its transaction up.
    EngineFrozenLong,
    /// A second instance takes over; then one of the two is killed or asked to end.
    SecondInstance,
    /// The engine is frozen, replaced, and wakes up behind its successor; then one of them goes.
    FrozenAndReplaced,
    /// All instances are asked to end, and what is stored is compared with what is visible.
    Checkpoint,
    /// The broker is killed and started again.
    BrokerKilled,
    /// The broker is asked to end and started again.
    BrokerRestarted,
    /// The broker is frozen for less than a transaction may last.
    BrokerFrozen,
    /// The broker is frozen for longer than a transaction may last.
    BrokerFrozenLong,
    /// All gRPC connections are cut; new ones are taken at once.
    ServerCut,
    /// The gRPC servers are away.
    ServerAway,
    /// All connections to the broker are cut; new ones are taken at once.
    LinksCut,
    /// Requests to commit arrive late.
    CommitsHeld,
    /// Requests to commit arrive twice.
    CommitsDoubled,
    /// Requests to commit do not arrive.
    CommitsLost,
    /// Answers to requests to commit do not arrive.
    CommitAnswersLost,
    /// Answers to requests with records do not arrive.
    ProduceAnswersLost,
    /// Answers to requests that fence do not arrive.
    FenceAnswersLost,
}

/// Whom a fault is done to; a round has at most one fault of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Engine,
    Broker,
    Server,
    Network,
}

/// A fault with its moments within its round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Injection {
    pub(crate) fault: Fault,
    pub(crate) begins: Duration,
    pub(crate) held: Duration,
}

/// Faults, and how long nothing is done before them.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) calm: Duration,
    pub(crate) injections: Vec<Injection>,
}

/// All rounds, without end.
pub(crate) struct Plan {
    random: StdRng,
    targets: Vec<Target>,
}

/// Every fault.
pub(crate) const FAULTS: [Fault; 20] = [
    Fault::EngineKilled,
    Fault::EngineRestarted,
    Fault::EngineFrozen,
    Fault::EngineFrozenLong,
    Fault::SecondInstance,
    Fault::FrozenAndReplaced,
    Fault::Checkpoint,
    Fault::BrokerKilled,
    Fault::BrokerRestarted,
    Fault::BrokerFrozen,
    Fault::BrokerFrozenLong,
    Fault::ServerCut,
    Fault::ServerAway,
    Fault::LinksCut,
    Fault::CommitsHeld,
    Fault::CommitsDoubled,
    Fault::CommitsLost,
    Fault::CommitAnswersLost,
    Fault::ProduceAnswersLost,
    Fault::FenceAnswersLost,
];

/// How long the broker keeps a transaction: the least that a pipeline file allows.
pub(crate) const TRANSACTION_TIMEOUT_MS: u64 = 10_000;

/// Between two rounds.
const CALM_MS_MAX: u64 = 4_000;

/// Within a round, the second fault begins at most so much later than the first.
const STAGGER_MS_MAX: u64 = 3_000;

/// How many rounds of a hundred have a second fault.
const PAIRS_PERCENT: u32 = 30;

impl Plan {
    /// The plan of this seed for these targets.
    pub(crate) fn new(seed: u64, targets: Vec<Target>) -> Plan {
        Plan { random: StdRng::seed_from_u64(seed), targets }
    }

    fn injection(&mut self, target: Target, begins_ms_max: u64) -> Injection {
        let faults: Vec<Fault> = FAULTS.into_iter().filter(|it| it.target() == target).collect();
        let fault = *faults.choose(&mut self.random).expect("every target has faults");
        let (least, most) = fault.held_ms();
        Injection {
            fault,
            begins: Duration::from_millis(self.random.random_range(0..=begins_ms_max)),
            held: Duration::from_millis(self.random.random_range(least..=most)),
        }
    }
}

impl Iterator for Plan {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        let count = if self.random.random_ratio(PAIRS_PERCENT, 100) { 2 } else { 1 };
        let targets: Vec<Target> =
            self.targets.choose_multiple(&mut self.random, count).copied().collect();
        let calm = Duration::from_millis(self.random.random_range(0..=CALM_MS_MAX));
        let mut injections = Vec::new();
        for target in targets {
            let begins_ms_max = if injections.is_empty() { 0 } else { STAGGER_MS_MAX };
            injections.push(self.injection(target, begins_ms_max));
        }
        // Nothing else may be ill while what is stored is compared with what is visible.
        if let Some(alone) = injections.iter().find(|it| it.fault == Fault::Checkpoint) {
            injections = vec![*alone];
        }
        Some(Round { calm, injections })
    }
}

impl Fault {
    /// Whom it is done to.
    pub(crate) fn target(self) -> Target {
        use Fault::{
            BrokerFrozen, BrokerFrozenLong, BrokerKilled, BrokerRestarted, Checkpoint,
            EngineFrozen, EngineFrozenLong, EngineKilled, EngineRestarted, FrozenAndReplaced,
            SecondInstance, ServerAway, ServerCut,
        };
        match self {
            EngineKilled | EngineRestarted | EngineFrozen | EngineFrozenLong | SecondInstance
            | FrozenAndReplaced | Checkpoint => Target::Engine,
            BrokerKilled | BrokerRestarted | BrokerFrozen | BrokerFrozenLong => Target::Broker,
            ServerCut | ServerAway => Target::Server,
            _ => Target::Network,
        }
    }

    /// How long it is held, at least and at most.
    fn held_ms(self) -> (u64, u64) {
        match self {
            Fault::EngineFrozenLong | Fault::BrokerFrozenLong => {
                (TRANSACTION_TIMEOUT_MS + 1_000, TRANSACTION_TIMEOUT_MS + 6_000)
            }
            Fault::SecondInstance | Fault::FrozenAndReplaced => (2_000, 8_000),
            Fault::CommitsLost | Fault::CommitAnswersLost => (200, 8_000),
            Fault::ProduceAnswersLost | Fault::FenceAnswersLost => (200, 8_000),
            Fault::CommitsHeld | Fault::CommitsDoubled => (200, 8_000),
            Fault::Checkpoint => (0, 0),
            _ => (0, 3_000),
        }
    }

    /// How reports call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::EngineKilled => "engine: kill -9, restarted",
            Fault::EngineRestarted => "engine: SIGTERM, restarted",
            Fault::EngineFrozen => "engine: frozen up to 3 s",
            Fault::EngineFrozenLong => "engine: frozen past its transaction",
            Fault::SecondInstance => "engine: a second instance takes over",
            Fault::FrozenAndReplaced => "engine: frozen, replaced, awake again",
            Fault::Checkpoint => "engine: all stopped, progress compared with topic",
            Fault::BrokerKilled => "broker: kill -9, restarted",
            Fault::BrokerRestarted => "broker: clean restart",
            Fault::BrokerFrozen => "broker: frozen up to 3 s",
            Fault::BrokerFrozenLong => "broker: frozen past a transaction",
            Fault::ServerCut => "server: all connections cut",
            Fault::ServerAway => "server: away up to 3 s",
            Fault::LinksCut => "network: all connections to the broker cut",
            Fault::CommitsHeld => "network: EndTxn requests late",
            Fault::CommitsDoubled => "network: EndTxn requests doubled",
            Fault::CommitsLost => "network: EndTxn requests lost",
            Fault::CommitAnswersLost => "network: EndTxn answers lost",
            Fault::ProduceAnswersLost => "network: Produce answers lost",
            Fault::FenceAnswersLost => "network: InitProducerId answers lost",
        }
    }
}
