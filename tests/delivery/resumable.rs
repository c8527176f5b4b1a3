//! Goal: each way to describe a stream's resumption that is called exact is so under kill -9: what
//! a `read_committed` reader finds is every message once.
//! Method: kills at random moments under load; the server plays the kind that is described. That a
//! protection did its work is seen from what the pipeline dropped or where it committed.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Cursor, Odd, Script, ScriptedServer, Step};
use headwater_test_support::topic::{Isolation, read_all};
use serde_json::Value;

use crate::kills::kill_rounds;
use crate::world::{Bench, endless, random};

/// Events a second on each shard.
const RATE: u64 = 2_000;

const ROUNDS: u32 = 6;

/// Events of a group; the last one is marked as its end.
const GROUP: u64 = 16;

fn bench(name: &str, server: &ScriptedServer, resume: &str) -> Result<Bench> {
    let mut bench = Bench::new(name, server.endpoint())?.shards(2);
    bench.pipeline.resume = None;
    bench.pipeline.source_extra.push(resume.to_owned());
    Ok(bench)
}

fn grouped(script: Script) -> Script {
    script.odd(|number| Some(Odd::Moment(i64::from(number.is_multiple_of(GROUP)))))
}

/// The positions of all shards, in every committed progress record that is still there.
fn positions(bench: &Bench) -> Result<Vec<Value>> {
    let topic = format!("__{}.progress", bench.pipeline.name);
    let records = read_all(&bench.pipeline.brokers, &topic, Isolation::Committed)?;
    let of_shard = |key: &[u8]| String::from_utf8_lossy(key).contains("/shard/");
    let records = records.into_iter().filter(|it| it.key.as_deref().is_some_and(of_shard));
    let position =
        |value: Vec<u8>| anyhow::Ok(serde_json::from_slice::<Value>(&value)?["position"].clone());
    records.filter_map(|record| record.value).map(position).collect()
}

fn sum(positions: &[Value], counter: &str) -> u64 {
    positions.iter().filter_map(|it| it["counters"][counter].as_u64()).sum()
}

#[test]
fn groups_that_end_with_a_message_are_there_whole_and_once() -> Result<()> {
    let mut random = random();
    let server = ScriptedServer::start(grouped(endless(RATE)))?;
    let resume = r#"resume:
  cursor: { sequence: { from: sequence } }
  position: next
  sequence: contiguous
  verify: strict
  boundary: { when: emitted_ns == 1 }
  restart: { set: { from_sequence: "${cursor.sequence}" } }"#;
    let mut bench = bench("resumes-groups", &server, resume)?;
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    let places: BTreeSet<u64> = positions(&bench)?
        .iter()
        .map(|it| it["cursor"]["values"]["sequence"]["uint"].as_u64().context("a cursor"))
        .collect::<Result<_>>()?;
    ensure!(!places.is_empty(), "something was committed");
    let is_end = |place: &u64| place.is_multiple_of(GROUP);
    assert!(places.iter().all(is_end), "committed in the middle of a group: {places:?}");
    let total = bench.finish_by(server, grouped)?;
    bench.demand_exact(total)
}

#[test]
fn a_stream_that_is_replayed_as_a_whole_is_there_once() -> Result<()> {
    const SENT: u64 = 20_000;
    let mut random = random();
    let server =
        ScriptedServer::start(Script::new(u64::MAX).rest([Step::Send(SENT), Step::Stall]))?;
    let mut bench = bench("resumes-replayed", &server, "resume: { mode: replay_all }")?;
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    let sent = server.sent();
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    // What is dropped is written down with the next message, and behind the last one there is none:
    // then all of it was there before a kill, and was sent again.
    let dropped = sum(&positions(&bench)?, "dropped_duplicates");
    assert!(dropped > 0 || sent > SENT, "nothing was replayed: {sent} were sent");
    Ok(())
}

/// The server repeats the last message, the file says that it does not, and nothing is compared
/// with the cursor: only the keys that are kept with the progress know what is there.
#[test]
fn what_a_server_repeats_is_known_by_keys_that_outlive_the_process() -> Result<()> {
    let mut random = random();
    let server = ScriptedServer::start(endless(RATE).cursor(Cursor::At))?;
    let resume = r#"resume:
  cursor: { sequence: { from: sequence, type: opaque } }
  verify: "off"
  restart: { set: { from_sequence: "${cursor.sequence}" } }
  dedupe: { key: sequence, window: 1000 }"#;
    let mut bench = bench("resumes-deduped", &server, resume)?;
    kill_rounds(&mut bench, &server, ROUNDS, &mut random)?;
    let total = bench.finish(server)?;
    bench.demand_exact(total)?;
    let dropped = sum(&positions(&bench)?, "dropped_duplicates");
    assert!(dropped > 0, "nothing was repeated");
    Ok(())
}
