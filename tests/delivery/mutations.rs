//! Goal: the judge turns red when the promise is broken; else its green means nothing.
//! Method: break it in one way at a time, and demand what the judge then finds.
//!
//! | what is broken | where |
//! |---|---|
//! | no transactional id | here |
//! | a cursor that is off by one, each way | here |
//! | positions outside of the transaction | `sabotage` |
//! | progress that is read before the fence, or with what was never committed | `sabotage` |
//! | a slot that is not fenced | `sabotage` |
//! | a producer that goes on after trouble | `sabotage` |
//! | a reader that sees what was never committed | `sabotage` |

use std::time::Duration;

use anyhow::{Context, Result};
use headwater_test_support::grpc::{Cursor, Script, ScriptedServer, Step};
use headwater_test_support::pipeline::Delivery;
use headwater_test_support::topic::check::Faults;
use headwater_test_support::topic::{Isolation, read_all};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kills::kill_rounds;
use crate::world::{Bench, PATIENCE, endless, random, server_at, wait_committed};

#[test]
fn kills_without_a_transactional_id_are_found_as_duplicates() -> Result<()> {
    let mut random = random();
    let server = ScriptedServer::start(endless(2_000))?;
    let mut bench = Bench::new("no-transactions", server.endpoint())?.shards(2);
    bench.pipeline.delivery = Delivery::AtLeastOnce;
    kill_rounds(&mut bench, &server, 8, &mut random)?;
    let total = bench.finish(server)?;
    let faults = bench.judge(total)?.expect_err("a kill between a send and its progress repeats");
    println!("{faults}");
    assert!(faults.duplicates.count > 0, "{faults}");
    assert_eq!((faults.missing.count, faults.unexpected.count), (0, 0), "{faults}");
    Ok(())
}

#[test]
fn a_stored_cursor_one_too_low_is_found_as_a_duplicate() -> Result<()> {
    let faults = resume_with_cursor_moved("cursor-low", -1)?;
    assert_eq!((faults.duplicates.count, faults.missing.count), (1, 0), "{faults}");
    assert_eq!(faults.duplicates.first[0].sequence, 400);
    Ok(())
}

#[test]
fn a_stored_cursor_one_too_high_is_found_as_a_loss() -> Result<()> {
    let faults = resume_with_cursor_moved("cursor-high", 1)?;
    assert_eq!((faults.duplicates.count, faults.missing.count), (0, 1), "{faults}");
    assert_eq!(faults.missing.first[0].sequence, 401);
    Ok(())
}

/// `position: next` for a server that goes on behind the number it is given.
#[test]
fn a_cursor_declared_one_off_is_found_as_a_loss() -> Result<()> {
    let script = Script::new(800).cursor(Cursor::After).call([Step::Send(400), Step::Cut]);
    let server = ScriptedServer::start(script)?;
    let mut bench = Bench::new("cursor-declared", server.endpoint())?;
    bench.pipeline.resume.as_mut().expect("the pipeline resumes").sequence = "none";
    bench.run_to_the_end()?;
    let faults = bench.judge(800)?.expect_err("the first event of the second call is skipped");
    assert_eq!((faults.duplicates.count, faults.missing.count), (0, 1), "{faults}");
    assert_eq!(faults.missing.first[0].sequence, 401);
    Ok(())
}

/// Stops a pipeline behind event 400, moves its stored cursor and lets it go on.
fn resume_with_cursor_moved(name: &str, by: i64) -> Result<Box<Faults>> {
    let server = ScriptedServer::start(Script::new(400).rest([Step::SendAll, Step::Stall]))?;
    let mut bench = Bench::new(name, server.endpoint())?;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 400.0)?;
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0));
    bench.demand_exact(400)?;
    move_cursor(&bench, by)?;
    let address = server.address();
    server.stop();
    let _server = server_at(address, Script::new(800))?;
    bench.run_to_the_end()?;
    Ok(bench.judge(800)?.expect_err("the cursor was moved"))
}

/// Writes the shard's progress anew with another cursor, as a program that counts wrongly would.
fn move_cursor(bench: &Bench, by: i64) -> Result<()> {
    let (brokers, topic) = (&bench.pipeline.brokers, format!("__{}.progress", bench.pipeline.name));
    let records = read_all(brokers, &topic, Isolation::Committed)?;
    let of_shard = records.iter().rev().find(|it| {
        it.key.as_deref().is_some_and(|key| String::from_utf8_lossy(key).contains("/shard/"))
    });
    let record = of_shard.context("a shard's progress")?;
    let value = record.value.as_deref().context("progress that was not forgotten")?;
    let mut progress: serde_json::Value = serde_json::from_slice(value)?;
    let cursor = &mut progress["position"]["cursor"]["values"]["sequence"]["uint"];
    assert_eq!(*cursor, 400);
    *cursor = (400 + by).into();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers.as_str()).create()?;
    let (key, value) = (record.key.clone().unwrap_or_default(), progress.to_string());
    let record = BaseRecord::to(&topic).partition(0).key(&key).payload(&value);
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(Duration::from_secs(10))?;
    Ok(())
}
