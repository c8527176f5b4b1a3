//! Goal: a fleet whose servers join and leave under load is as exact as one that stays, also when
//! the program is killed in the middle of it.
//! Method: a file of targets that is replaced at random while records flow and while the program is
//! dead; every server counts its own stream, and a reader judges each.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use headwater_test_support::grpc::{Call, Script, ScriptedServer, Step};
use headwater_test_support::pipeline::OnEnd;
use headwater_test_support::process::Headwater;
use headwater_test_support::wait;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::world::{Bench, COMMITTED, PATIENCE, endless, metric, random, server_at};

/// Events a second on each shard.
const RATE: u64 = 1_000;
const TARGETS: u32 = 6;

/// A pipeline whose targets stand in a file beside it.
struct Fleet {
    bench: Bench,
    endpoint: String,
}

impl Fleet {
    fn new(name: &str, server: &ScriptedServer) -> Result<Fleet> {
        let endpoint = server.endpoint();
        let mut bench = Bench::new(name, endpoint.clone())?.shards(TARGETS);
        bench.pipeline.targets = Some("{ file: fleet.yaml, interval_ms: 100 }".to_owned());
        bench.pipeline.on_end = OnEnd::Reconnect;
        Ok(Fleet { bench, endpoint })
    }

    /// Replaces the list.
    fn write(&self, names: &[String]) -> Result<()> {
        let entry = |name: &String| format!("- {{ name: {name}, url: \"{}\" }}\n", self.endpoint);
        let folder = self.bench.launch.folder();
        fs::write(folder.join("fleet.new"), names.iter().map(entry).collect::<String>())?;
        fs::rename(folder.join("fleet.new"), folder.join("fleet.yaml"))?;
        Ok(())
    }

    fn all(&self) -> Vec<String> {
        self.bench.shard_names().to_vec()
    }

    /// Some of the targets, at least one.
    fn some(&self, random: &mut StdRng) -> Vec<String> {
        let mut names = self.all();
        names.shuffle(random);
        names.truncate(random.random_range(1..=names.len()));
        names
    }

    /// Lets every stream run to one end, and demands that each of its events is there once.
    fn finish(mut self, server: ScriptedServer) -> Result<u64> {
        const MORE: u64 = 500;
        let address = server.address();
        let calls = server.stop();
        let total = calls.iter().filter_map(Call::last_sent).max().unwrap_or(0) + MORE;
        let rest = [Step::SendAll, Step::Stall];
        let _server = server_at(address, Script::new(total).rest(rest))?;
        self.write(&self.all())?;
        let mut headwater = self.bench.start()?;
        let stands = |it: &Headwater| metric(it, "headwater_source_committed_cursor");
        let whole = (total * u64::from(TARGETS)) as f64;
        headwater.wait_for("every stream to its end", PATIENCE, |it| stands(it) >= whole)?;
        let (status, _) = headwater.stop(PATIENCE)?;
        ensure!(status.code() == Some(0), "{status}:\n{}", headwater.log()?);
        self.bench.demand_exact(total)?;
        Ok(total)
    }
}

/// The number of targets that the program has acted on.
fn targets(headwater: &Headwater) -> f64 {
    metric(headwater, "headwater_source_targets")
}

#[test]
fn a_target_file_that_changes_under_load_is_exact() -> Result<()> {
    const CHANGES: u32 = 12;
    let mut random = random();
    let server = ScriptedServer::start(endless(RATE))?;
    let mut fleet = Fleet::new("fleet-changes", &server)?;
    fleet.write(&fleet.all())?;
    let mut headwater = fleet.bench.start()?;
    let mut sizes = BTreeSet::new();
    for _ in 0..CHANGES {
        let names = fleet.some(&mut random);
        fleet.write(&names)?;
        sizes.insert(names.len());
        let count = names.len() as f64;
        headwater.wait_for("the new list", PATIENCE, |it| targets(it) == count)?;
        let before = metric(&headwater, COMMITTED);
        let flows = |it: &Headwater| metric(it, COMMITTED) >= before + 200.0;
        headwater.wait_for("records to flow", PATIENCE, flows)?;
    }
    ensure!(sizes.len() > 1, "the seed changed nothing");
    ensure!(headwater.stop(PATIENCE)?.0.code() == Some(0));
    let log = headwater.log()?;
    for event in ["event=targets_changed", "event=shard_left"] {
        ensure!(log.contains(event), "no {event}:\n{log}");
    }
    let total = fleet.finish(server)?;
    println!("{CHANGES} changes, {total} events a target");
    Ok(())
}

#[test]
fn kills_in_the_middle_of_changes_neither_lose_nor_repeat_a_message() -> Result<()> {
    const ROUNDS: u32 = 8;
    let mut random = random();
    let server = ScriptedServer::start(endless(RATE))?;
    let mut fleet = Fleet::new("fleet-kills", &server)?;
    for _ in 0..ROUNDS {
        // While it is dead: whoever comes now goes on from what is stored.
        fleet.write(&fleet.some(&mut random))?;
        let before = server.sent();
        let mut headwater = fleet.bench.start()?;
        wait::until("events on their way", PATIENCE, || server.sent() > before)?;
        fleet.write(&fleet.some(&mut random))?;
        let pause_ms = random.random_range(0..800);
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        headwater.kill9()?;
    }
    let bench_aborted = fleet.bench.aborted()?;
    let total = fleet.finish(server)?;
    println!("{ROUNDS} kills, {total} events a target, {bench_aborted} aborted copies");
    ensure!(bench_aborted > 0, "no kill hit an open transaction");
    Ok(())
}

/// Progress that is stored of shards which are not called stays: it is what they come back to.
#[test]
fn a_target_that_was_away_over_a_restart_goes_on_where_it_stood() -> Result<()> {
    let script = Script::new(10_000).rest([Step::Send(300), Step::Stall]);
    let server = ScriptedServer::start(script)?;
    let mut fleet = Fleet::new("fleet-away", &server)?;
    let all = fleet.all();
    fleet.write(&all)?;
    let mut headwater = fleet.bench.start()?;
    let committed = |count: u64| move |it: &Headwater| metric(it, COMMITTED) >= count as f64;
    headwater.wait_for("all of them", PATIENCE, committed(300 * u64::from(TARGETS)))?;
    headwater.stop(PATIENCE)?;
    fleet.write(&all[..1])?;
    let mut headwater = fleet.bench.start()?;
    headwater.wait_for("the one", PATIENCE, committed(300))?;
    fleet.write(&all)?;
    headwater.wait_for("the others", PATIENCE, committed(300 * u64::from(TARGETS)))?;
    headwater.stop(PATIENCE)?;
    let asked: Vec<u64> = server.calls().iter().map(|it| it.request.from_sequence).collect();
    let again = asked.iter().filter(|from| **from == 301).count();
    ensure!(again == TARGETS as usize, "each goes on behind its 300 events: {asked:?}");
    fleet.bench.demand_exact(600)
}
