//! What must hold: while nobody writes, and at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_engine::commit::progress::StoredProgress;
use headwater_engine::position::CursorValue;
use headwater_test_support::pipeline::OnEnd;
use headwater_test_support::topic::{Follower, Isolation, Sequences, for_each, identity};
use headwater_test_support::wait;
use rdkafka::message::Message;

use crate::engines::Place;
use crate::stream::{Stream, last_sent};
use crate::world::World;

/// What a shard's progress record says: the last number, and how many records were committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stored {
    number: u64,
    committed: u64,
}

/// What was found of a stream at the end.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) shards: usize,
    pub(crate) events_a_shard: u64,
    pub(crate) records: u64,
    /// Copies that only a reader of uncommitted records sees.
    pub(crate) aborted: u64,
}

/// Events behind all that a server has sent, so that nothing that was received may be missing.
const MORE: u64 = 500;

const SETTLE_MAX: Duration = Duration::from_secs(60);
const END_MAX: Duration = Duration::from_secs(600);

/// Compares each shard's progress record with the last record that is visible; nobody may write.
pub(crate) fn compare_progress(world: &mut World) -> Result<()> {
    let mut wrong = Vec::new();
    for (stream, reader) in world.streams.iter().zip(&world.readers) {
        for (shard, stored) in stored(world.cluster.bootstrap(), stream)? {
            let stands = || reader.last(&shard) >= stored.number;
            let what = format!("{}/{shard} to show {}", stream.pipeline.name, stored.number);
            let waited = wait::until(&what, SETTLE_MAX, stands);
            let last = reader.last(&shard);
            if waited.is_err() || (last, last) != (stored.number, stored.committed) {
                let name = &stream.pipeline.name;
                wrong.push(format!("{name}/{shard}: {stored:?} is stored, {last} is visible"));
            }
            world.done.compared += 1;
        }
    }
    world.done.violations.extend(wrong);
    Ok(())
}

/// Lets all streams end, and reads everything anew.
pub(crate) fn finish(world: &mut World) -> Result<Vec<Found>> {
    while world.engines.count() > 0 {
        world.engines.stop(Place::Oldest)?;
    }
    compare_progress(world)?;
    let mut totals = Vec::new();
    for stream in &mut world.streams {
        stream.stop_server();
        let total = last_sent(stream)? + MORE;
        stream.start_last_server(total)?;
        stream.pipeline.on_end = OnEnd::Finish;
        totals.push(total);
    }
    let World { engines, streams, random, .. } = world;
    engines.start(streams, random)?;
    engines.wait_end(END_MAX)?;
    compare_progress(world)?;
    let mut found = Vec::new();
    for (number, total) in totals.into_iter().enumerate() {
        found.push(judge(world, number, total)?);
    }
    Ok(found)
}

/// A fresh reader finds every number once and in order, and the records that the other one saw.
fn judge(world: &mut World, number: usize, total: u64) -> Result<Found> {
    let (stream, reader) = (&world.streams[number], &world.readers[number]);
    let (bootstrap, topic) = (world.cluster.bootstrap(), &stream.pipeline.topic);
    let expected = stream.shards.iter().map(|it| (it.clone(), 1..=total));
    let (mut sequences, mut fresh) = (Sequences::expect_shards(expected), Follower::default());
    let records = for_each(bootstrap, topic, Isolation::Committed, |message| {
        let (shard, sequence) = identity(message)?;
        sequences.observe(&shard, message.partition(), sequence);
        fresh.take(message);
        Ok(())
    })?;
    let all = for_each(bootstrap, topic, Isolation::Uncommitted, |_| Ok(()))?;
    let what = format!("the reader of {topic} to have seen {records} records");
    let waited = wait::until(&what, SETTLE_MAX, || reader.seen().records >= records);
    let seen = reader.seen();
    let mut wrong: Vec<String> = waited.err().map(|it| it.to_string()).into_iter().collect();
    wrong.extend(sequences.finish().err().map(|it| it.to_string()));
    wrong.extend(fresh.violations);
    if (seen.records, seen.fingerprint) != (records, fresh.fingerprint) {
        wrong.push(format!("one reader saw other records: {} and {records}", seen.records));
    }
    let found = Found {
        name: stream.pipeline.name.clone(),
        shards: stream.shards.len(),
        events_a_shard: total,
        records,
        aborted: all.saturating_sub(records),
    };
    let wrong = wrong.into_iter().map(|it| format!("{}: {it}", found.name));
    world.done.violations.extend(wrong);
    Ok(found)
}

/// The progress record of each shard, by the shard's own name.
fn stored(bootstrap: &str, stream: &Stream) -> Result<BTreeMap<String, Stored>> {
    let name = &stream.pipeline.name;
    let mut progress = StoredProgress::default();
    for_each(bootstrap, &format!("__{name}.progress"), Isolation::Committed, |message| {
        let key = message.key().context("a progress record has a key")?;
        // Whoever reads the topic writes a mark of its own, up to which it then reads.
        if key.starts_with(format!("{name}/mark/").as_bytes()) {
            return Ok(());
        }
        Ok(progress.apply(name, key, message.payload())?)
    })?;
    let mut stored = BTreeMap::new();
    for (key, shard) in progress.shards {
        let own = key.0.rsplit('/').next().unwrap_or_default().to_owned();
        let value = shard.position.cursor.as_ref().and_then(|it| it.values.get("sequence"));
        let number = match value {
            Some(CursorValue::Uint(number)) => *number,
            other => anyhow::bail!("{key:?}: {other:?} is no cursor of these streams"),
        };
        stored.insert(own, Stored { number, committed: shard.committed });
    }
    // A shard that is not stored has nothing that could be visible.
    for shard in &stream.shards {
        stored.entry(shard.clone()).or_default();
    }
    Ok(stored)
}
