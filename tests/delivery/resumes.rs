//! The ways a source goes on after a break, each with a pipeline, a stream and a judgement of its
//! own: behind its cursor, at its cursor, or not at all.
//!
//! Why three: behind a cursor every message is there once. At a cursor the server repeats what is
//! there already, and the repetitions must be counted to the message. A source without a cursor
//! loses what was not committed; no more than that may be lost, nothing may come twice, and each
//! break must be told once.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Call, Cursor, Odd, Script, ScriptedServer, Step};
use headwater_test_support::process::Headwater;
use headwater_test_support::topic::{Isolation, event, read_all};
use serde_json::Value;

use crate::gaps::{self, demand_each_call_told};
use crate::world::{Bench, COMMITTED, PATIENCE, endless, metric, wait_committed};

/// Events a second on each shard.
const RATE: u64 = 1_000;

/// With [`Resumes::At`]: so many events share a cursor value, the number of the first of them.
const GROUP: u64 = 8;

/// With [`Resumes::Not`]: the numbers of a call's events begin so far behind those of the call
/// before it, as if the server had gone on meanwhile.
const AWAY: u64 = 1_000_000;

/// Calls that begin so.
const CALLS_MAX: u64 = 100;

/// How a source goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resumes {
    /// Behind its cursor.
    After,
    /// At its cursor, which several messages share; they have identifiers.
    At,
    /// It does not: each call gets what the server sends from then on.
    Not,
}

/// A pipeline of that kind, and its server.
pub(crate) struct Stream {
    resumes: Resumes,
    pub(crate) server: ScriptedServer,
    pub(crate) bench: Bench,
    /// Records that were known as committed, over all processes.
    known: f64,
}

impl Stream {
    /// One that has stopped behind its first commits.
    pub(crate) fn new(resumes: Resumes, name: &str) -> Result<Stream> {
        let server = ScriptedServer::start(resumes.dress(endless(RATE)))?;
        let name = format!("{name}-{resumes:?}").to_lowercase();
        let bench = resumes.bench(&name, &server)?;
        let mut stream = Stream { resumes, server, bench, known: 0.0 };
        let mut headwater = stream.bench.start()?;
        wait_committed(&mut headwater, 200.0)?;
        stream.stop(headwater)?;
        Ok(stream)
    }

    /// How many calls the server gets when the pipeline starts.
    pub(crate) fn calls_per_start(&self) -> usize {
        self.bench.shard_names().len()
    }

    /// Waits until the program ends by itself, and remembers what it had committed before.
    pub(crate) fn wait_exit(&mut self, headwater: &mut Headwater) -> Result<Option<i32>> {
        let mut known = 0.0_f64;
        headwater_test_support::wait::until_ok("headwater to end", PATIENCE, || {
            known = known.max(metric(headwater, COMMITTED));
            headwater.has_ended()
        })?;
        self.known += known;
        Ok(headwater.wait_exit(PATIENCE)?.code())
    }

    /// Stops the program, which must be well.
    pub(crate) fn stop(&mut self, mut headwater: Headwater) -> Result<()> {
        self.known += metric(&headwater, COMMITTED);
        let (status, _) = headwater.stop(PATIENCE)?;
        ensure!(status.code() == Some(0), "{status}:\n{}", headwater.log()?);
        Ok(())
    }

    /// The rest of the stream, and the judgement; says what was found.
    pub(crate) fn demand_exact(self) -> Result<String> {
        match self.resumes {
            Resumes::After => self.demand_all().map(|(said, _)| said),
            Resumes::At => self.demand_all_and_repetitions(),
            Resumes::Not => self.demand_nothing_twice(),
        }
    }

    fn demand_all(mut self) -> Result<(String, Bench)> {
        let resumes = self.resumes;
        let total = self.bench.finish_by(self.server, |script| resumes.dress(script))?;
        self.bench.demand_exact(total)?;
        let said = format!("{total} events a shard, {} aborted copies", self.bench.aborted()?);
        Ok((said, self.bench))
    }

    /// A call that begins at a group's value repeats what is there of the group: how much that was
    /// is seen from the topic, call by call, and must be what the pipeline counted.
    fn demand_all_and_repetitions(self) -> Result<String> {
        let (said, bench) = self.demand_all()?;
        let repeated = repetitions(&bench)?;
        let counted = dropped(&bench)?;
        ensure!(counted == repeated, "{counted:?} repetitions counted of {repeated:?}");
        ensure!(repeated.values().all(|count| *count > 0), "nothing was repeated: {repeated:?}");
        Ok(format!("{said}, repeated: {repeated:?}"))
    }

    /// Of each call the topic has the events from its first one up to some one, in order.
    fn demand_nothing_twice(mut self) -> Result<String> {
        let headwater = self.bench.start()?;
        let mut headwater = headwater;
        wait_committed(&mut headwater, 200.0)?;
        self.stop(headwater)?;
        let calls = self.server.stop();
        let numbers = self.bench.numbers(Isolation::Committed)?;
        let (mut expected, mut sent) = (Vec::new(), 0);
        for run in calls.iter().flat_map(|call: &Call| &call.sent) {
            let of_call = numbers.iter().filter(|number| run.contains(number)).count() as u64;
            expected.extend(*run.start()..*run.start() + of_call);
            sent += run.end() - run.start() + 1;
        }
        ensure!(numbers == expected, "a call's events are not all there up to the last of them");
        let known = self.known as usize;
        ensure!(numbers.len() >= known, "{} records of {known} committed ones", numbers.len());
        let gaps = demand_each_call_told(&self.bench)?;
        ensure!(gaps > 0, "no call was lost");
        let (lost, calls) = (sent - numbers.len() as u64, calls.len());
        Ok(format!(
            "{} of {sent} events, {lost} lost in {gaps} gaps of {calls} calls",
            numbers.len()
        ))
    }
}

impl Resumes {
    /// The server's part of it.
    fn dress(self, script: Script) -> Script {
        match self {
            Resumes::After => script.cursor(Cursor::After),
            Resumes::At => script.odd(|number| Some(Odd::Moment(first_of_group(number) as i64))),
            Resumes::Not => (0..CALLS_MAX).fold(script, |script, call| {
                script.call([Step::Skip(call * AWAY), Step::Pace(RATE), Step::SendAll])
            }),
        }
    }

    /// The pipeline's part of it.
    fn bench(self, name: &str, server: &ScriptedServer) -> Result<Bench> {
        let mut bench = match self {
            Resumes::After | Resumes::At => Bench::new(name, server.endpoint())?.shards(2),
            Resumes::Not => gaps::bench(name, server)?,
        };
        match self {
            Resumes::After => {
                bench.pipeline.resume.as_mut().expect("the pipeline resumes").position = "after";
            }
            Resumes::At => {
                bench.pipeline.resume = None;
                bench.pipeline.source_extra.push(AT.to_owned());
            }
            Resumes::Not => bench.pipeline.resume = None,
        }
        Ok(bench)
    }
}

/// See [`GROUP`].
const AT: &str = r#"resume:
  cursor: { group: { from: emitted_ns } }
  position: at
  id: sequence
  restart: { set: { from_sequence: "${cursor.group}" } }"#;

fn first_of_group(number: u64) -> u64 {
    number - (number - 1) % GROUP
}

/// By shard, how many of its events each call repeated that is in the topic.
fn repetitions(bench: &Bench) -> Result<BTreeMap<String, u64>> {
    let mut last: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let mut repeated = BTreeMap::new();
    for record in read_all(&bench.pipeline.brokers, &bench.pipeline.topic, Isolation::Committed)? {
        let header = |name: &'static str| record.header(name).context(name);
        let (shard, call) = (header("headwater-shard")?, header("headwater-session")?);
        let number = event::sequence(record.value.as_deref().unwrap_or_default());
        let number = number.context("a record is an event")?;
        let before = last.insert(shard.to_owned(), (call.to_owned(), number));
        let is_new_call = before.as_ref().is_some_and(|(before, _)| before != call);
        if let (true, Some((_, end))) = (is_new_call, before) {
            *repeated.entry(shard.to_owned()).or_default() += end - first_of_group(end) + 1;
        }
    }
    Ok(repeated)
}

/// By shard, how many repetitions the committed progress counts.
fn dropped(bench: &Bench) -> Result<BTreeMap<String, u64>> {
    let topic = format!("__{}.progress", bench.pipeline.name);
    let mut dropped = BTreeMap::new();
    for record in read_all(&bench.pipeline.brokers, &topic, Isolation::Committed)? {
        let key = String::from_utf8(record.key.unwrap_or_default())?;
        let (Some((_, shard)), Some(value)) = (key.split_once("/shard/"), record.value) else {
            continue;
        };
        let progress: Value = serde_json::from_slice(&value)?;
        let counters = &progress["position"]["counters"];
        let number = |name: &str| counters[name].as_u64().context("a counter");
        let (received, count) = (number("received")?, number("dropped_duplicates")?);
        ensure!(progress["committed"].as_u64() == Some(received - count), "{progress}");
        dropped.insert(shard.to_owned(), count);
    }
    Ok(dropped)
}
