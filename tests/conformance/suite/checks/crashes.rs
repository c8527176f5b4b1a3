//! What kill -9 leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer, PurgeConfig};

use crate::clients::{
    Deadline, Isolation, PATIENCE, Read, TestProducer, commit, drain, put, transact,
};
use crate::cluster::Cluster;

pub(crate) fn a_restart_keeps_the_data_and_aborts_what_was_open(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("kept", 2)?;
    let id = cluster.name("id");
    let producer = cluster.transactional(&id)?;
    for round in 0..10 {
        producer.begin_transaction()?;
        for index in 0..10 {
            put(&producer, &topic, index % 2, &(round * 10 + index).to_string())?;
        }
        commit(&producer)?;
    }
    producer.begin_transaction()?;
    for index in 0..5 {
        put(&producer, &topic, index % 2, "open")?;
    }
    drain(&producer)?;
    cluster.kill_and_restart(Duration::ZERO)?;
    std::mem::forget(producer);

    let heir = cluster.transactional(&id)?;
    transact(&heir, &topic, "100")?;
    let mut values = Vec::new();
    for read in cluster.read(&topic, 2, Isolation::Committed)? {
        values.push(read.value.context("no tombstones are written")?.parse::<i32>()?);
    }
    values.sort_unstable();
    ensure!(values.iter().copied().eq(0..=100), "{values:?}");
    let all = cluster.read(&topic, 2, Isolation::Uncommitted)?;
    ensure!(all.len() == 106, "the open transaction's records were written: {}", all.len());
    Ok(())
}

const PARTITIONS: i32 = 3;
const RECORDS_EACH: i64 = 5;
const TRANSACTIONS_MIN: i64 = 200;

/// Goal: a loop that keeps its position in the transaction writes everything once and in order,
/// whenever the broker dies.
/// Method: each transaction writes 15 records and its number to a compacted topic, while the
/// broker is killed at seeded random moments; after an error that leaves the outcome open, a new
/// producer goes on from the last number that a committed reader sees.
pub(crate) fn exactly_once_holds_under_repeated_kills(cluster: &Cluster) -> Result<()> {
    let seed = std::env::var("SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(7);
    let loop_ = Loop {
        cluster,
        topic: cluster.topic("data", PARTITIONS)?,
        progress: cluster.topic_with("progress", 1, &[("cleanup.policy", "compact")])?,
        id: cluster.name("id"),
    };
    let kills_done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| loop_.write(&kills_done));
        let killed = kill_repeatedly(cluster, seed);
        kills_done.store(true, Ordering::Release);
        let written = writer.join().expect("the writer returns its errors");
        killed.and(written)
    });
    let written = written.with_context(|| format!("SEED={seed}"))?;
    loop_.compare(written).with_context(|| format!("SEED={seed}"))
}

fn kill_repeatedly(cluster: &Cluster, seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..cluster.kills {
        std::thread::sleep(Duration::from_millis(random.random_range(100..700)));
        cluster.kill_and_restart(Duration::from_millis(random.random_range(0..100)))?;
    }
    Ok(())
}

struct Loop<'a> {
    cluster: &'a Cluster,
    topic: String,
    progress: String,
    id: String,
}

/// Why a transaction did not commit.
enum Failed {
    /// It was aborted: do it again.
    Aborted,
    /// Nobody knows: ask the topic.
    Unknown,
}

impl Loop<'_> {
    /// Writes until the kills are done and enough is written; returns how many transactions.
    fn write(&self, kills_done: &AtomicBool) -> Result<i64> {
        let mut deadline = Deadline::within("survive the kills", Duration::from_secs(300));
        let (mut producer, mut next) = self.resume(&mut deadline)?;
        while next < TRANSACTIONS_MIN || !kills_done.load(Ordering::Acquire) {
            deadline.check()?;
            match self.transact(&producer, next) {
                Ok(()) => next += 1,
                Err(Failed::Aborted) => {}
                Err(Failed::Unknown) => (producer, next) = self.resume(&mut deadline)?,
            }
        }
        Ok(next)
    }

    /// A producer that has fenced the one before, and the number it is to write next. The order
    /// matters: only after the fence can no older commit still come.
    fn resume(&self, deadline: &mut Deadline) -> Result<(TestProducer, i64)> {
        let limits = [("message.timeout.ms", "5000"), ("transaction.timeout.ms", "10000")];
        loop {
            deadline.check()?;
            let Ok(producer) = self.cluster.transactional_with(&self.id, &limits) else { continue };
            let Ok(numbers) = self.cluster.values(&self.progress, Isolation::Committed) else {
                continue;
            };
            let next = numbers.last().map_or(Ok(0), |it| it.parse::<i64>().map(|it| it + 1))?;
            return Ok((producer, next));
        }
    }

    fn transact(&self, producer: &TestProducer, number: i64) -> Result<(), Failed> {
        producer.begin_transaction().map_err(|_| Failed::Unknown)?;
        for partition in 0..PARTITIONS {
            for index in 0..RECORDS_EACH {
                put(producer, &self.topic, partition, &format!("{number}.{index}"))
                    .map_err(|_| Failed::Unknown)?;
            }
        }
        put(producer, &self.progress, 0, &number.to_string()).map_err(|_| Failed::Unknown)?;
        drain(producer).map_err(|_| Failed::Unknown)?;
        loop {
            match producer.commit_transaction(PATIENCE) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    return Err(give_up(producer));
                }
                Err(_) => return Err(Failed::Unknown),
            }
        }
    }

    fn compare(&self, written: i64) -> Result<()> {
        let read = self.cluster.read(&self.topic, PARTITIONS, Isolation::Committed)?;
        for partition in 0..PARTITIONS {
            let seen = read.iter().filter(|it| it.partition == partition);
            let seen: Vec<&str> = seen.filter_map(|Read { value, .. }| value.as_deref()).collect();
            let numbers = (0..written).flat_map(|it| (0..RECORDS_EACH).map(move |i| (it, i)));
            let wanted: Vec<String> = numbers.map(|(it, i)| format!("{it}.{i}")).collect();
            let differs = seen.iter().zip(&wanted).find(|(seen, wanted)| *seen != wanted);
            let (found, want) = (seen.len(), wanted.len());
            ensure!(
                differs.is_none() && found == want,
                "partition {partition}: {found} of {want} records, first difference {differs:?}",
            );
        }
        Ok(())
    }
}

fn give_up(producer: &TestProducer) -> Failed {
    producer.purge(PurgeConfig::default().queue().inflight());
    match drain(producer).is_ok() && producer.abort_transaction(PATIENCE).is_ok() {
        true => Failed::Aborted,
        false => Failed::Unknown,
    }
}
