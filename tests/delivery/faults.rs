//! Goal: whatever ends or holds the program at a named point of a record's way, nothing is lost and
//! nothing is repeated.
//! Method: fail points of the program under test (`engine/src/fault.rs`), armed by its environment.
//! Each test finds its hit written down by the process that was hit, or fails.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_engine::fault::{FAULTS_VARIABLE, FOLDER_VARIABLE, Point};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::Headwater;
use tempfile::TempDir;

use crate::world::{Bench, COMMITTED, PATIENCE, demand_line, endless, metric, wait_committed};

/// What a worker's panic outside of a step ends the program with.
const INTERNAL: i32 = 70;

/// How long a fault holds a thread: many epochs of 50 ms, and longer than any step of an open
/// transaction.
const STALL: Duration = Duration::from_millis(700);

/// A fault for one start of the program, and the folder in which its hits are written down.
pub(crate) struct Fault {
    point: Point,
    folder: TempDir,
}

impl Fault {
    /// Lets `action` happen at `hits` of `point` in the process that `bench` starts next.
    pub(crate) fn next(bench: &mut Bench, point: Point, action: &str, hits: &str) -> Result<Fault> {
        let folder = TempDir::with_prefix("headwater-hits-")?;
        let setting = format!("{}={action}@{hits}", point.name());
        bench.launch.environment_once(FAULTS_VARIABLE, &setting);
        let path = folder.path().to_str().context("a path of ASCII")?;
        bench.launch.environment_once(FOLDER_VARIABLE, path);
        Ok(Fault { point, folder })
    }

    /// How often it has happened so far.
    pub(crate) fn hits(&self) -> usize {
        let file = self.folder.path().join(self.point.name());
        std::fs::read_to_string(file).map_or(0, |hits| hits.lines().count())
    }

    /// Waits until it happens in a program that goes on.
    pub(crate) fn wait(&self, headwater: &mut Headwater) -> Result<()> {
        headwater.wait_for(self.point.name(), PATIENCE, |_| self.hits() > 0)
    }
}

/// A hit that comes when records of the open epoch are on their way.
fn hits(point: Point) -> &'static str {
    match point {
        Point::SrcResumed => "1",
        Point::EpochClose => "3",
        Point::SrcRecv | Point::SrcEmitted | Point::StepApply => "20",
    }
}

/// A pipeline of two shards on two workers that has stopped behind its first commits.
fn bench_with_progress(point: Point, action: &str) -> Result<(ScriptedServer, Bench)> {
    let server = ScriptedServer::start(endless(1_000))?;
    let name = format!("{action}-{}", point.name());
    let mut bench = Bench::new(&name, server.endpoint())?.shards(2);
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 200.0)?;
    ensure!(headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", headwater.log()?);
    Ok((server, bench))
}

/// The rest of the stream, and the judgement.
fn demand_exact_at_the_end(point: Point, mut bench: Bench, server: ScriptedServer) -> Result<()> {
    let total = bench.finish(server)?;
    bench.demand_exact(total).with_context(|| point.name())?;
    println!("{}: {total} events a shard, {} aborted copies", point.name(), bench.aborted()?);
    Ok(())
}

#[test]
fn a_panic_in_an_operator_fails_its_pipeline_which_is_rebuilt_exactly() -> Result<()> {
    let point = Point::StepApply;
    let (server, mut bench) = bench_with_progress(point, "operator")?;
    let calls = server.calls().len();
    let fault = Fault::next(&mut bench, point, "panic", "200")?;
    let mut headwater = bench.start()?;
    fault.wait(&mut headwater)?;
    headwater.wait_for("the next call of each shard", PATIENCE, |_| {
        server.calls().len() == calls + 2 * bench.shard_names().len()
    })?;
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 1_000.0)?;
    assert_eq!(metric(&headwater, "headwater_rebuilds_total"), 1.0);
    assert_eq!(headwater.get("/readyz")?.status, 200);
    let (status, _) = headwater.stop(PATIENCE)?;
    let log = headwater.log()?;
    assert_eq!(status.code(), Some(0), "{log}");
    demand_line(&log, &["event=pipeline_rebuild", "values: panicked: fail point step.apply"]);
    assert_eq!(fault.hits(), 1);
    demand_exact_at_the_end(point, bench, server)
}

#[test]
fn a_kill_at_any_point_loses_and_repeats_nothing() -> Result<()> {
    for point in Point::ALL {
        let (server, mut bench) = bench_with_progress(point, "kill")?;
        let fault = Fault::next(&mut bench, point, "kill", hits(point))?;
        let mut headwater = bench.start()?;
        let status = headwater.wait_exit(PATIENCE)?;
        assert_eq!((status.code(), fault.hits()), (None, 1), "{status}: {}", headwater.log()?);
        demand_exact_at_the_end(point, bench, server)?;
    }
    Ok(())
}

/// What a step or a shard's task does not survive fails its pipeline; what a worker does not
/// survive ends the program. Either goes on behind the last commit.
#[test]
fn a_panic_at_any_point_loses_and_repeats_nothing() -> Result<()> {
    for point in Point::ALL {
        let (server, mut bench) = bench_with_progress(point, "panic")?;
        let fault = Fault::next(&mut bench, point, "panic", hits(point))?;
        let mut headwater = bench.start()?;
        let status = match point {
            Point::SrcEmitted | Point::EpochClose => headwater.wait_exit(PATIENCE)?,
            Point::SrcResumed | Point::SrcRecv | Point::StepApply => {
                fault.wait(&mut headwater)?;
                let rebuilt = |it: &Headwater| metric(it, "headwater_rebuilds_total") == 1.0;
                headwater.wait_for("a rebuild", PATIENCE, rebuilt)?;
                wait_committed(&mut headwater, 500.0)?;
                headwater.stop(PATIENCE)?.0
            }
        };
        let is_program = matches!(point, Point::SrcEmitted | Point::EpochClose);
        let expected = if is_program { INTERNAL } else { 0 };
        let log = headwater.log()?;
        assert_eq!((status.code(), fault.hits()), (Some(expected), 1), "{}: {log}", point.name());
        demand_exact_at_the_end(point, bench, server)?;
    }
    Ok(())
}

#[test]
fn a_stall_at_any_point_loses_and_repeats_nothing() -> Result<()> {
    for point in Point::ALL {
        let (server, mut bench) = bench_with_progress(point, "stall")?;
        let action = format!("sleep({})", STALL.as_millis());
        let fault = Fault::next(&mut bench, point, &action, hits(point))?;
        let mut headwater = bench.start()?;
        fault.wait(&mut headwater)?;
        let stalled = Instant::now();
        let committed = metric(&headwater, COMMITTED);
        wait_committed(&mut headwater, committed + 2_000.0)?;
        println!("{}: 2,000 records more after {:?}", point.name(), stalled.elapsed());
        let (status, _) = headwater.stop(PATIENCE)?;
        assert_eq!((status.code(), fault.hits()), (Some(0), 1), "{}", headwater.log()?);
        demand_exact_at_the_end(point, bench, server)?;
    }
    Ok(())
}

#[test]
fn a_point_that_does_not_exist_is_a_mistake() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("no-such-point", server.endpoint())?;
    bench.launch.environment_once(FAULTS_VARIABLE, "src.revc=kill");
    let (code, log) = bench.run()?;
    assert_eq!(code, Some(64), "{log}");
    demand_line(&log, &["no point `src.revc`", "src.recv"]);
    assert_eq!(server.calls().len(), 0);
    Ok(())
}
