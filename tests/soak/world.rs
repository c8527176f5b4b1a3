//! Everything there is: broker, proxy, streams, readers, engines; and the rounds that go over them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use headwater_test_support::kafka::{ApacheOptions, Cluster};
use headwater_test_support::proxy::{Api, KafkaProxy, Watch};
use headwater_test_support::topic::{Isolation, consumer, end_offsets};
use rand::rngs::StdRng;

use crate::engines::Engines;
use crate::inject;
use crate::plan::{Fault, Injection, Round, Target};
use crate::reader::Reader;
use crate::stream::{Kind, Stream};

/// The system and what looks at it.
pub(crate) struct World {
    pub(crate) engines: Engines,
    pub(crate) streams: Vec<Stream>,
    /// One of each stream.
    pub(crate) readers: Vec<Reader>,
    pub(crate) proxy: Option<KafkaProxy>,
    pub(crate) cluster: Cluster,
    /// Decides what the plan leaves open: scripts of servers, shapes of engines, who goes.
    pub(crate) random: StdRng,
    /// The rules of the proxy that act now.
    pub(crate) watches: BTreeMap<Fault, Watch>,
    pub(crate) done: Done,
}

/// What was done, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) rounds: u64,
    pub(crate) faults: BTreeMap<Fault, u64>,
    /// Frames that the proxy acted on.
    pub(crate) frames: BTreeMap<Fault, u64>,
    /// From the end of a round's last fault until every shard has moved on, by the round's faults.
    pub(crate) recoveries: BTreeMap<Fault, Vec<Duration>>,
    pub(crate) recoveries_of_pairs: Vec<Duration>,
    /// Comparisons of what is stored with what is visible, shard by shard.
    pub(crate) compared: u64,
    pub(crate) violations: Vec<String>,
}

/// What the world is made of.
pub(crate) struct Setup {
    pub(crate) binary: PathBuf,
    pub(crate) is_apache: bool,
    pub(crate) has_proxy: bool,
}

/// Until every shard has moved on behind a fault. Two faults at once on a busy machine may cost the
/// timeouts of the client and of the broker one after the other.
const RECOVERY_MAX: Duration = Duration::from_secs(300);

const LOOK: Duration = Duration::from_millis(100);

/// A call that stalls does so for at most so long.
const STALL_MAX: Duration = Duration::from_secs(2);

const PARTITIONS: i32 = 4;

impl World {
    /// Starts everything and waits until records arrive.
    pub(crate) fn start(setup: Setup, mut random: StdRng) -> Result<World> {
        let (proxy, cluster) = match (setup.is_apache, setup.has_proxy) {
            (true, true) => {
                let (proxy, cluster) = KafkaProxy::before_apache(ApacheOptions::default())?;
                (Some(proxy), cluster)
            }
            (true, false) => (None, Cluster::apache()?),
            (false, _) => (None, Cluster::embedded()?),
        };
        let engines_go_to =
            proxy.as_ref().map_or(cluster.bootstrap().to_owned(), |it| it.bootstrap());
        let (mut streams, mut readers) = (Vec::new(), Vec::new());
        for (kind, shards) in [(Kind::Next, 3), (Kind::At, 2), (Kind::After, 3)] {
            let stream = Stream::new(kind, shards, &engines_go_to, &mut random)?;
            cluster.create_topic(&stream.pipeline.topic, PARTITIONS)?;
            readers.push(Reader::start(cluster.bootstrap(), &stream.pipeline.topic)?);
            streams.push(stream);
        }
        let mut engines = Engines::new(setup.binary)?;
        engines.start(&mut streams, &mut random)?;
        let (watches, done) = (BTreeMap::new(), Done::default());
        let mut world = World { engines, streams, readers, proxy, cluster, random, watches, done };
        world.wait_moved(&world.positions())?;
        Ok(world)
    }

    /// Whom faults can be done to here.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let mut targets = vec![Target::Engine, Target::Server];
        if self.cluster.can_be_killed() {
            // Faults of the broker are the dearest to the promise, and the engine's.
            targets.push(Target::Broker);
        }
        if self.proxy.is_some() {
            targets.push(Target::Network);
        }
        targets
    }

    /// Does what a round says, and waits until every shard has moved on.
    pub(crate) fn round(&mut self, round: &Round) -> Result<()> {
        self.rest(round.calm)?;
        println!("{:>5} {}", self.done.rounds + 1, told(round));
        let mut moments: Vec<(Duration, bool, Fault)> = Vec::new();
        for Injection { fault, begins, held } in &round.injections {
            moments.push((*begins, true, *fault));
            moments.push((*begins + *held, false, *fault));
        }
        // Stable, so that a fault that is not held begins before it ends.
        moments.sort_by_key(|(at, ..)| *at);
        let began = Instant::now();
        for (at, is_begin, fault) in moments {
            self.rest(at.saturating_sub(began.elapsed()))?;
            if is_begin { inject::begin(self, fault)? } else { inject::end(self, fault)? }
        }
        let ended = Instant::now();
        self.wait_moved(&self.positions())?;
        self.done.rounds += 1;
        for Injection { fault, .. } in &round.injections {
            *self.done.faults.entry(*fault).or_default() += 1;
        }
        match round.injections.as_slice() {
            [one] => self.done.recoveries.entry(one.fault).or_default().push(ended.elapsed()),
            _ => self.done.recoveries_of_pairs.push(ended.elapsed()),
        }
        Ok(())
    }

    /// Where readers of committed records stand, shard by shard.
    pub(crate) fn positions(&self) -> Vec<u64> {
        let pairs = self.streams.iter().zip(&self.readers);
        pairs.flat_map(|(it, reader)| it.shards.iter().map(|it| reader.last(it))).collect()
    }

    /// Waits until every shard stands beyond where it stood.
    pub(crate) fn wait_moved(&mut self, before: &[u64]) -> Result<()> {
        let began = Instant::now();
        loop {
            self.rest(LOOK)?;
            let now = self.positions();
            if now.iter().zip(before).all(|(now, before)| now > before) {
                return Ok(());
            }
            if began.elapsed() > RECOVERY_MAX {
                let ends: Vec<String> = self.streams.iter().map(|it| self.ends(it)).collect();
                bail!("no recovery in {RECOVERY_MAX:?}: from {before:?} to {now:?}; {ends:?}");
            }
        }
    }

    /// Where committed and uncommitted records of a topic end: is it the writer that stands, an
    /// open transaction, or the reader?
    fn ends(&self, stream: &Stream) -> String {
        let (bootstrap, topic) = (self.cluster.bootstrap(), &stream.pipeline.topic);
        let end = |isolation| end_offsets(&consumer(bootstrap, topic, isolation)?, topic);
        let ends = [Isolation::Committed, Isolation::Uncommitted].map(end);
        format!("{topic}: {ends:?}")
    }

    /// Waits, while stalled calls go on, and whoever is wrong is found.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        let mut released = Instant::now();
        loop {
            self.engines.look()?;
            if self.has_violations() {
                bail!("a promise is broken: see the report");
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
            if released.elapsed() > STALL_MAX || left <= LOOK {
                self.streams.iter().for_each(Stream::release_stalled);
                released = Instant::now();
            }
        }
    }

    /// All that is wrong so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut all = self.done.violations.clone();
        all.extend(self.engines.tally.violations.clone());
        for (stream, reader) in self.streams.iter().zip(&self.readers) {
            let seen = reader.seen().violations;
            all.extend(seen.into_iter().map(|it| format!("{}: {it}", stream.pipeline.name)));
        }
        all
    }

    fn has_violations(&self) -> bool {
        !self.violations().is_empty()
    }

    /// Requests to commit that passed by the proxy.
    pub(crate) fn commits_passed(&self) -> Option<u64> {
        self.proxy.as_ref().map(|it| it.traffic(Api::END_TXN).requests)
    }
}

fn told(round: &Round) -> String {
    let one =
        |it: &Injection| format!("{} (after {:?}, for {:?})", it.fault.name(), it.begins, it.held);
    round.injections.iter().map(one).collect::<Vec<_>>().join(" + ")
}
