//! Transactions: what readers see, and who may write.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;

use crate::clients::{
    Isolation, PATIENCE, TestProducer, abort, commit, drain, eventually, put, transact,
};
use crate::cluster::Cluster;

pub(crate) fn a_commit_shows_all_topics_at_once(cluster: &Cluster) -> Result<()> {
    let (wide, narrow) = (cluster.topic("wide", 2)?, cluster.topic("narrow", 1)?);
    let producer = cluster.transactional(&cluster.name("id"))?;
    for round in 0..5 {
        producer.begin_transaction()?;
        for index in 0..10 {
            put(&producer, &wide, index % 2, &format!("{round}-{index}"))?;
        }
        put(&producer, &narrow, 0, &round.to_string())?;
        commit(&producer)?;
    }
    let read = cluster.read(&wide, 2, Isolation::Committed)?;
    ensure!(read.len() == 50, "{} of 50 records", read.len());
    // Each of the four earlier commits has put a marker before the last five records.
    ensure!(read.iter().map(|it| it.offset).max() == Some(28));
    ensure!(cluster.values(&narrow, Isolation::Committed)? == ["0", "1", "2", "3", "4"]);
    Ok(())
}

pub(crate) fn an_abort_stays_invisible(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("aborts", 1)?;
    let producer = cluster.transactional(&cluster.name("id"))?;
    for (round, keeps) in [("a", false), ("b", true), ("c", false)] {
        producer.begin_transaction()?;
        for index in 0..10 {
            put(&producer, &topic, 0, &format!("{round}{index}"))?;
        }
        if keeps { commit(&producer)? } else { abort(&producer)? }
    }
    let wanted: Vec<String> = (0..10).map(|index| format!("b{index}")).collect();
    ensure!(cluster.values(&topic, Isolation::Committed)? == wanted);
    ensure!(cluster.values(&topic, Isolation::Uncommitted)?.len() == 30);
    Ok(())
}

pub(crate) fn an_open_transaction_holds_the_stable_offset(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("stable", 1)?;
    let open = cluster.transactional(&cluster.name("id"))?;
    let plain = cluster.producer(&[("enable.idempotence", "true")])?;
    put(&plain, &topic, 0, "before")?;
    drain(&plain)?;
    open.begin_transaction()?;
    put(&open, &topic, 0, "open")?;
    drain(&open)?;
    put(&plain, &topic, 0, "after")?;
    drain(&plain)?;
    let all = ["before", "open", "after"];
    ensure!(cluster.values(&topic, Isolation::Committed)? == ["before"]);
    ensure!(cluster.values(&topic, Isolation::Uncommitted)? == all);
    commit(&open)?;
    ensure!(cluster.values(&topic, Isolation::Committed)? == all);
    Ok(())
}

pub(crate) fn a_zombie_with_an_open_transaction_is_fenced(cluster: &Cluster) -> Result<()> {
    let (topic, id) = (cluster.topic("fenced", 1)?, cluster.name("id"));
    let zombie = cluster.transactional(&id)?;
    zombie.begin_transaction()?;
    put(&zombie, &topic, 0, "zombie-open")?;
    drain(&zombie)?;
    let heir = cluster.transactional(&id)?;
    transact(&heir, &topic, "heir")?;
    // The late record may be refused here or at the commit; it may not get through.
    put(&zombie, &topic, 0, "zombie-late").ok();
    zombie.flush(Duration::from_secs(8)).ok();
    let error = zombie.commit_transaction(PATIENCE).err().context("a zombie committed")?;
    let is_fatal = matches!(&error, KafkaError::Transaction(it) if it.is_fatal());
    ensure!(is_fatal, "a zombie must learn that it is one: {error}");
    ensure!(cluster.values(&topic, Isolation::Committed)? == ["heir"]);
    Ok(())
}

pub(crate) fn a_zombie_that_begins_later_is_fenced(cluster: &Cluster) -> Result<()> {
    let (topic, id) = (cluster.topic("fenced", 1)?, cluster.name("id"));
    let zombie = cluster.transactional(&id)?;
    transact(&zombie, &topic, "first")?;
    let heir = cluster.transactional(&id)?;
    transact(&heir, &topic, "heir")?;
    let late = transact_blindly(&zombie, &topic, "zombie");
    ensure!(late.is_err(), "a zombie committed");
    ensure!(cluster.values(&topic, Isolation::Committed)? == ["first", "heir"]);
    Ok(())
}

pub(crate) fn a_fenced_producer_does_not_come_back(cluster: &Cluster) -> Result<()> {
    let (topic, id) = (cluster.topic("fenced", 1)?, cluster.name("id"));
    let zombie = cluster.transactional(&id)?;
    zombie.begin_transaction()?;
    put(&zombie, &topic, 0, "zombie-1")?;
    drain(&zombie)?;
    let heir = cluster.transactional(&id)?;
    transact(&heir, &topic, "heir-1")?;
    ensure!(zombie.commit_transaction(PATIENCE).is_err(), "a zombie committed");
    zombie.abort_transaction(Duration::from_secs(5)).ok();
    ensure!(transact_blindly(&zombie, &topic, "zombie-2").is_err(), "a zombie came back");
    transact(&heir, &topic, "heir-2")?;
    ensure!(cluster.values(&topic, Isolation::Committed)? == ["heir-1", "heir-2"]);
    Ok(())
}

/// A transaction of a producer that may be fenced: its records may stay in flight for ever.
fn transact_blindly(producer: &TestProducer, topic: &str, value: &str) -> Result<()> {
    producer.begin_transaction()?;
    put(producer, topic, 0, value)?;
    Ok(producer.commit_transaction(PATIENCE)?)
}

pub(crate) fn an_overdue_transaction_is_aborted(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("overdue", 1)?;
    let limits = [("transaction.timeout.ms", "3000"), ("message.timeout.ms", "3000")];
    let silent = cluster.transactional_with(&cluster.name("id"), &limits)?;
    silent.begin_transaction()?;
    put(&silent, &topic, 0, "orphan")?;
    drain(&silent)?;
    let plain = cluster.producer(&[])?;
    put(&plain, &topic, 0, "after")?;
    drain(&plain)?;
    ensure!(cluster.values(&topic, Isolation::Committed)?.is_empty());
    eventually("see the orphan aborted", || {
        let values = cluster.values(&topic, Isolation::Committed)?;
        ensure!(!values.contains(&"orphan".to_owned()), "an orphan was committed");
        Ok((values == ["after"]).then_some(()))
    })?;
    ensure!(silent.commit_transaction(PATIENCE).is_err(), "an aborted transaction committed");
    Ok(())
}

/// Goal: whatever producers do, readers see what was committed, once and in order.
/// Method: three ids, three partitions, 300 seeded steps; what each commit held is written down
/// and compared with what a committed reader sees.
pub(crate) fn random_commits_aborts_and_takeovers_leave_what_was_committed(
    cluster: &Cluster,
) -> Result<()> {
    let seed = std::env::var("SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(42);
    let mut world = World::new(cluster)?;
    let mut random = StdRng::seed_from_u64(seed);
    for step in 0..300 {
        world.step(step, &mut random).with_context(|| format!("SEED={seed}, step {step}"))?;
    }
    for writer in 0..WRITERS {
        world.end(writer, true)?;
    }
    world.compare().with_context(|| format!("SEED={seed}"))
}

const WRITERS: usize = 3;
const PARTITIONS: i32 = 3;

/// What each writer has committed to each partition.
type Committed = BTreeMap<(usize, i32), Vec<String>>;

struct World<'a> {
    cluster: &'a Cluster,
    topic: String,
    ids: Vec<String>,
    producers: Vec<TestProducer>,
    /// What each writer's open transaction holds.
    open: Vec<Option<Vec<(i32, String)>>>,
    committed: Committed,
}

impl<'a> World<'a> {
    fn new(cluster: &'a Cluster) -> Result<World<'a>> {
        let ids: Vec<String> = (0..WRITERS).map(|_| cluster.name("writer")).collect();
        let producers = ids.iter().map(|id| cluster.transactional(id)).collect::<Result<_>>()?;
        Ok(World {
            cluster,
            topic: cluster.topic("random", PARTITIONS)?,
            ids,
            producers,
            open: vec![None; WRITERS],
            committed: Committed::new(),
        })
    }

    fn step(&mut self, step: usize, random: &mut StdRng) -> Result<()> {
        let writer = random.random_range(0..WRITERS);
        if self.open[writer].is_none() {
            self.producers[writer].begin_transaction()?;
            self.open[writer] = Some(Vec::new());
        }
        for index in 0..random.random_range(0..8) {
            let partition = random.random_range(0..PARTITIONS);
            let value = format!("{writer}:{step}:{index}");
            put(&self.producers[writer], &self.topic, partition, &value)?;
            let open = self.open[writer].as_mut().context("it was opened above")?;
            open.push((partition, value));
        }
        match random.random_range(0..10) {
            0..=4 => self.end(writer, true),
            5..=6 => self.end(writer, false),
            7 => self.crash(writer, random.random()),
            8 => self.take_over(writer),
            _ => Ok(()),
        }
    }

    fn end(&mut self, writer: usize, keeps: bool) -> Result<()> {
        let Some(held) = self.open[writer].take() else { return Ok(()) };
        if !keeps {
            return abort(&self.producers[writer]);
        }
        commit(&self.producers[writer])?;
        for (partition, value) in held {
            self.committed.entry((writer, partition)).or_default().push(value);
        }
        Ok(())
    }

    /// The producer goes without a word, its records perhaps still under way.
    fn crash(&mut self, writer: usize, drains: bool) -> Result<()> {
        if drains {
            drain(&self.producers[writer])?;
        }
        self.producers[writer] = self.cluster.transactional(&self.ids[writer])?;
        self.open[writer] = None;
        Ok(())
    }

    /// A newer producer comes, and the older one tries to commit.
    fn take_over(&mut self, writer: usize) -> Result<()> {
        let heir = self.cluster.transactional(&self.ids[writer])?;
        let late = self.producers[writer].commit_transaction(PATIENCE);
        let held = self.open[writer].take().unwrap_or_default();
        ensure!(late.is_err() || held.is_empty(), "a zombie committed {held:?}");
        self.producers[writer] = heir;
        Ok(())
    }

    fn compare(&self) -> Result<()> {
        let mut seen = Committed::new();
        for read in self.cluster.read(&self.topic, PARTITIONS, Isolation::Committed)? {
            let value = read.value.context("no tombstones are written")?;
            let writer = value.split(':').next().context("a writer")?.parse()?;
            seen.entry((writer, read.partition)).or_default().push(value);
        }
        for key in seen.keys().chain(self.committed.keys()) {
            let (seen, wanted) = (seen.get(key), self.committed.get(key));
            ensure!(seen == wanted, "writer, partition {key:?}: {seen:?}, committed {wanted:?}");
        }
        Ok(())
    }
}
