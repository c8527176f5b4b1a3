//! Goal: what a unary method tells page by page is in the topic once and in order, whenever the
//! program dies.
//! Method: a history without an end, kills at random moments, an end, a reader that compares.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{HISTORY_PROTO, HistoryServer};
use headwater_test_support::process::Launch;
use headwater_test_support::topic::{Isolation, for_each};
use headwater_test_support::wait;
use rand::Rng;
use rdkafka::message::Message as _;
use serde_json::Value;

use crate::world::{PATIENCE, count, kafka, random};

const TOPIC: &str = "polling";

fn pipeline(launch: &Launch, server: &HistoryServer) -> Result<PathBuf> {
    std::fs::write(launch.folder().join("history.proto"), HISTORY_PROTO)?;
    let (endpoint, brokers) = (server.endpoint(), kafka());
    let text = format!(
        "pipeline: {TOPIC}
commit: {{ interval_ms: 20 }}
sources:
  history:
    kind: grpc
    endpoint: {endpoint}
    method: history.v1.History/Get
    descriptors: {{ protos: [history.proto] }}
    reconnect: {{ backoff_min_ms: 20 }}
    poll: {{ interval_ms: 10, timeout_ms: 1000, items: events, more: next_page_token }}
    resume:
      cursor: {{ token: {{ from: next_page_token }} }}
      restart: {{ set: {{ page_token: \"${{cursor.token}}\" }} }}
decoders:
  json: {{ kind: protobuf, from: history, to: json }}
sinks:
  out:
    kind: kafka
    from: json
    brokers: {brokers}
    topic: {TOPIC}
    create: {{ partitions: 1, replication: 1 }}
"
    );
    let file = launch.folder().join("polling.yaml");
    std::fs::write(&file, text)?;
    Ok(file)
}

fn numbers() -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for_each(kafka(), TOPIC, Isolation::Committed, |message| {
        let value: Value = serde_json::from_slice(message.payload().context("a value")?)?;
        numbers.push(value["number"].as_str().context("a number")?.parse()?);
        Ok(())
    })?;
    Ok(numbers)
}

#[test]
fn kills_between_questions_neither_lose_nor_repeat_an_element() -> Result<()> {
    const ROUNDS: u32 = 10;
    let mut random = random();
    let server = HistoryServer::start(u64::MAX)?;
    let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
    let files = [pipeline(&launch, &server)?];
    for _ in 0..ROUNDS {
        let before = server.asked();
        let mut headwater = launch.run_files(&files)?;
        wait::until("questions", PATIENCE, || server.asked() > before + 5)?;
        std::thread::sleep(Duration::from_millis(random.random_range(0..400)));
        ensure!(!headwater.has_ended()?, "it ended by itself:\n{}", headwater.log()?);
        headwater.kill9()?;
    }
    let total = server.end_behind(500);
    let mut headwater = launch.run_files(&files)?;
    let seen = || count(kafka(), TOPIC, Isolation::Committed);
    wait::until_ok("all of the history", PATIENCE, || Ok(seen()? >= total))?;
    ensure!(headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", headwater.log()?);
    let found = numbers()?;
    let wrong = found.iter().zip(1..).find(|(number, expected)| **number != *expected);
    ensure!(wrong.is_none() && found.len() as u64 == total, "{wrong:?}, {} records", found.len());
    let aborted = count(kafka(), TOPIC, Isolation::Uncommitted)? - total;
    println!("{ROUNDS} kills, {total} elements, {aborted} aborted copies");
    ensure!(aborted > 0, "no kill hit an open transaction");
    Ok(())
}
