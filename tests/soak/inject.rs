//! How each fault begins and ends.

use std::time::Duration;

use anyhow::{Context, Result};
use headwater_test_support::proxy::{Api, KafkaProxy, Rule};
use rand::Rng;

use crate::engines::Place;
use crate::plan::Fault;
use crate::verdict;
use crate::world::World;

/// How often a broker is tried to start: on a busy machine it may be too slow for its script.
const STARTS_MAX: u32 = 3;

/// Begins `fault`.
pub(crate) fn begin(world: &mut World, fault: Fault) -> Result<()> {
    match fault {
        Fault::EngineKilled => world.engines.kill(Place::Oldest),
        Fault::EngineRestarted => world.engines.stop(Place::Oldest),
        Fault::EngineFrozen | Fault::EngineFrozenLong => world.engines.freeze(),
        Fault::SecondInstance => start_engine(world),
        Fault::FrozenAndReplaced => {
            world.engines.freeze()?;
            start_engine(world)
        }
        Fault::Checkpoint => checkpoint(world),
        Fault::BrokerKilled => world.cluster.kill9(),
        Fault::BrokerRestarted => world.cluster.stop(),
        Fault::BrokerFrozen | Fault::BrokerFrozenLong => world.cluster.pause(),
        Fault::ServerCut | Fault::ServerAway => {
            world.streams.iter_mut().for_each(|it| it.stop_server());
            if fault == Fault::ServerCut { start_servers(world) } else { Ok(()) }
        }
        _ => begin_on_network(world, fault),
    }
}

/// Ends it.
pub(crate) fn end(world: &mut World, fault: Fault) -> Result<()> {
    match fault {
        Fault::EngineKilled | Fault::EngineRestarted => start_engine(world),
        Fault::EngineFrozen | Fault::EngineFrozenLong => world.engines.thaw(),
        Fault::SecondInstance => one_goes(world),
        Fault::FrozenAndReplaced => {
            world.engines.thaw()?;
            let awake = Duration::from_millis(world.random.random_range(0..3_000));
            world.rest(awake)?;
            one_goes(world)
        }
        Fault::BrokerKilled | Fault::BrokerRestarted => start_broker(world),
        Fault::BrokerFrozen | Fault::BrokerFrozenLong => world.cluster.resume(),
        Fault::ServerAway => start_servers(world),
        Fault::Checkpoint | Fault::ServerCut => Ok(()),
        _ => {
            end_on_network(world, fault);
            Ok(())
        }
    }
}

fn start_engine(world: &mut World) -> Result<()> {
    let World { engines, streams, random, .. } = world;
    engines.start(streams, random)
}

fn start_servers(world: &mut World) -> Result<()> {
    let World { streams, random, .. } = world;
    streams.iter_mut().try_for_each(|it| it.start_server(random))
}

fn start_broker(world: &World) -> Result<()> {
    for _ in 1..STARTS_MAX {
        match world.cluster.restart() {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("the broker is started once more: {error:#}"),
        }
    }
    world.cluster.restart()
}

/// Of two instances one is killed or asked to end; the other one has to go on.
fn one_goes(world: &mut World) -> Result<()> {
    let place = if world.random.random() { Place::Oldest } else { Place::Newest };
    if world.random.random() { world.engines.kill(place) } else { world.engines.stop(place) }
}

/// Nobody writes any more, so what is stored and what is visible must be the same.
fn checkpoint(world: &mut World) -> Result<()> {
    while world.engines.count() > 0 {
        world.engines.stop(Place::Oldest)?;
    }
    verdict::compare_progress(world)?;
    start_engine(world)
}

fn begin_on_network(world: &mut World, fault: Fault) -> Result<()> {
    let proxy = world.proxy.as_ref().context("faults of the network need the proxy")?;
    let rule = match fault {
        Fault::CommitsHeld => Rule::requests(Api::END_TXN).nth(1..=1).hold(),
        Fault::CommitsDoubled => Rule::requests(Api::END_TXN).duplicate(),
        Fault::CommitsLost => Rule::requests(Api::END_TXN).drop(),
        Fault::CommitAnswersLost => Rule::answers(Api::END_TXN).drop(),
        Fault::ProduceAnswersLost => Rule::answers(Api::PRODUCE).drop(),
        Fault::FenceAnswersLost => return begin_without_answers_to_fences(world, fault),
        _ => {
            proxy.cut_all();
            return Ok(());
        }
    };
    let watch = proxy.add(rule);
    world.watches.insert(fault, watch);
    Ok(())
}

/// Nobody fences in a calm system: a take-over begins with it.
fn begin_without_answers_to_fences(world: &mut World, fault: Fault) -> Result<()> {
    let add = |it: &KafkaProxy| it.add(Rule::answers(Api::INIT_PRODUCER_ID).nth(1..=2).drop());
    let watch = world.proxy.as_ref().map(add);
    world.watches.extend(watch.map(|it| (fault, it)));
    if let Some(proxy) = &world.proxy {
        proxy.cut_all();
    }
    Ok(())
}

fn end_on_network(world: &mut World, fault: Fault) {
    if let Some(watch) = world.watches.remove(&fault) {
        watch.release();
        *world.done.frames.entry(fault).or_default() += watch.hits();
    }
}
