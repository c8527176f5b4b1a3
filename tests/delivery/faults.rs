//! Goal: whatever ends or holds the program at a named point of a record's way, nothing is lost and
//! nothing is repeated; of a source that cannot resume, no more is lost than was not committed.
//! Method: fail points of the program under test (`engine/src/fault.rs`), armed by its environment:
//! each point with each action for each way to resume (`resumes.rs`). One stream meets all points
//! one after the other. Each fault finds its hit written down by the process that was hit, or the
//! test fails.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_engine::fault::{FAULTS_VARIABLE, FOLDER_VARIABLE, Point};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::Headwater;
use tempfile::TempDir;

use crate::proxied::World;
use crate::resumes::{Resumes, Stream};
use crate::world::{Bench, COMMITTED, PATIENCE, demand_line, endless, metric, wait_committed};

/// How long a fault holds a thread: many epochs of 50 ms, and longer than any step of an open
/// transaction.
const STALL: Duration = Duration::from_millis(500);

const REBUILDS: &str = "headwater_rebuilds_total";

/// What is armed for one start of the program, and the folder in which its hits are written down.
pub(crate) struct Armed(TempDir);

impl Armed {
    /// Arms `faults` in the process that `bench` starts next.
    pub(crate) fn next(bench: &mut Bench, faults: &str) -> Result<Armed> {
        let folder = TempDir::with_prefix("headwater-hits-")?;
        bench.launch.environment_once(FAULTS_VARIABLE, faults);
        let path = folder.path().to_str().context("a path of ASCII")?;
        bench.launch.environment_once(FOLDER_VARIABLE, path);
        Ok(Armed(folder))
    }

    /// How often it has happened so far at the point, or for the sabotage, of this name.
    pub(crate) fn hits(&self, name: &str) -> usize {
        std::fs::read_to_string(self.0.path().join(name)).map_or(0, |hits| hits.lines().count())
    }

    /// Waits until it happens in a program that goes on.
    pub(crate) fn wait(&self, headwater: &mut Headwater, name: &str) -> Result<()> {
        headwater.wait_for(name, PATIENCE, |_| self.hits(name) > 0)
    }
}

/// A hit that comes when records of the open epoch are on their way.
fn hit(point: Point) -> u32 {
    match point {
        Point::SrcRecv
        | Point::SrcEmitted
        | Point::StepApply
        | Point::StageForward
        | Point::SinkMid => 20,
        Point::EpochClose
        | Point::SinkBegin
        | Point::SinkBeforeProgress
        | Point::SinkBeforeCommit
        | Point::SinkAfterCommit => 5,
        _ if is_of_start(point) => 1,
        _ => unreachable!("the others are those of a start"),
    }
}

/// Whether the point comes once a start, before anything is received.
fn is_of_start(point: Point) -> bool {
    matches!(
        point,
        Point::RecoverClaimed
            | Point::RecoverFenced0
            | Point::RecoverFencedAll
            | Point::RecoverRead
            | Point::SrcResumed
    )
}

/// All points. Those of a start follow one of a stream that ran, so that the start finds what a
/// fault has left, and no two starts in a row come to nothing, for which a pipeline waits longer.
fn all_in_turn() -> Vec<Point> {
    let (starts, others): (Vec<_>, Vec<_>) =
        Point::ALL.into_iter().partition(|it| is_of_start(*it));
    let mut starts = starts.into_iter();
    let pairs = others.chunks(2).flat_map(|pair| pair.iter().copied().chain(starts.next()));
    let points: Vec<Point> = pairs.collect();
    assert!(Point::ALL.iter().all(|point| points.contains(point)), "{points:?}");
    points
}

fn kills_at_all_points(resumes: Resumes) -> Result<()> {
    let mut stream = Stream::new(resumes, "kill")?;
    for point in all_in_turn() {
        let fault = format!("{}=kill@{}", point.name(), hit(point));
        let armed = Armed::next(&mut stream.bench, &fault)?;
        let mut headwater = stream.bench.start()?;
        let code = stream.wait_exit(&mut headwater)?;
        let hits = armed.hits(point.name());
        ensure!((code, hits) == (None, 1), "{fault}: {code:?}, {hits}: {}", headwater.log()?);
    }
    println!("{resumes:?}: {}", stream.demand_exact()?);
    Ok(())
}

/// What panics fails its pipeline and no more: the same process builds it anew.
fn panics_at_all_points(resumes: Resumes) -> Result<()> {
    let mut stream = Stream::new(resumes, "panic")?;
    let points = all_in_turn();
    let panics = points.iter().map(|point| format!("{}=panic@{}", point.name(), hit(*point)));
    let armed = Armed::next(&mut stream.bench, &panics.collect::<Vec<_>>().join(" > "))?;
    let mut headwater = stream.bench.start()?;
    for point in &points {
        armed.wait(&mut headwater, point.name())?;
    }
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 500.0)?;
    ensure!(headwater.get("/readyz")?.status == 200);
    let (rebuilds, log) = (metric(&headwater, REBUILDS), headwater.log()?);
    stream.stop(headwater)?;
    for point in &points {
        demand_line(&log, &[&format!("fail point {}, hit {}", point.name(), hit(*point))]);
        ensure!(armed.hits(point.name()) == 1, "{}", point.name());
    }
    // Two panics may hit one pipeline before it is gone.
    let expected = points.len() / 2..=points.len();
    ensure!(expected.contains(&(rebuilds as usize)), "{rebuilds} rebuilds:\n{log}");
    println!("{resumes:?}: {rebuilds} rebuilds, {}", stream.demand_exact()?);
    Ok(())
}

/// What is held for a while goes on as if nothing had been: no call is lost, nothing is rebuilt.
fn stalls_at_all_points(resumes: Resumes) -> Result<()> {
    let mut stream = Stream::new(resumes, "stall")?;
    let stall =
        |point: Point| format!("{}=sleep({})@{}", point.name(), STALL.as_millis(), hit(point));
    let armed = Armed::next(&mut stream.bench, &Point::ALL.map(stall).join(" > "))?;
    let calls = stream.server.calls().len();
    let mut headwater = stream.bench.start()?;
    for point in Point::ALL {
        armed.wait(&mut headwater, point.name())?;
    }
    let (stalled, committed) = (Instant::now(), metric(&headwater, COMMITTED));
    wait_committed(&mut headwater, committed + 2_000.0)?;
    println!("2,000 records more after {:?}", stalled.elapsed());
    let rebuilds = metric(&headwater, REBUILDS);
    let calls = stream.server.calls().len() - calls;
    ensure!((rebuilds, calls) == (0.0, stream.calls_per_start()), "{}", headwater.log()?);
    stream.stop(headwater)?;
    println!("{resumes:?}: {}", stream.demand_exact()?);
    Ok(())
}

#[test]
fn kills_at_all_points_are_exact_behind_a_cursor() -> Result<()> {
    kills_at_all_points(Resumes::After)
}

#[test]
fn kills_at_all_points_are_exact_at_a_cursor() -> Result<()> {
    kills_at_all_points(Resumes::At)
}

#[test]
fn kills_at_all_points_lose_what_is_not_committed_without_a_cursor() -> Result<()> {
    kills_at_all_points(Resumes::Not)
}

#[test]
fn panics_at_all_points_are_exact_behind_a_cursor() -> Result<()> {
    panics_at_all_points(Resumes::After)
}

#[test]
fn panics_at_all_points_are_exact_at_a_cursor() -> Result<()> {
    panics_at_all_points(Resumes::At)
}

#[test]
fn panics_at_all_points_lose_what_is_not_committed_without_a_cursor() -> Result<()> {
    panics_at_all_points(Resumes::Not)
}

#[test]
fn stalls_at_all_points_are_exact_behind_a_cursor() -> Result<()> {
    stalls_at_all_points(Resumes::After)
}

#[test]
fn stalls_at_all_points_are_exact_at_a_cursor() -> Result<()> {
    stalls_at_all_points(Resumes::At)
}

#[test]
fn stalls_at_all_points_lose_nothing_without_a_cursor() -> Result<()> {
    stalls_at_all_points(Resumes::Not)
}

/// A running pipeline that has lost its connections takes itself over again, with an epoch in its
/// memory whose fate is in doubt.
#[test]
fn a_kill_or_a_panic_while_a_running_pipeline_is_taken_over_again_is_exact() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = world.bench("again", &server)?.shards(2);
    for (point, action) in [
        (Point::RecoverClaimed, "kill"),
        (Point::RecoverFenced0, "kill"),
        (Point::RecoverFencedAll, "panic"),
        (Point::RecoverRead, "panic"),
    ] {
        // The first time is the start.
        let armed = Armed::next(&mut bench, &format!("{}={action}@2", point.name()))?;
        let mut headwater = bench.start()?;
        wait_committed(&mut headwater, 200.0)?;
        world.proxy.cut_all();
        if action == "kill" {
            let status = headwater.wait_exit(PATIENCE)?;
            ensure!(status.code().is_none(), "{status}: {}", headwater.log()?);
        } else {
            armed.wait(&mut headwater, point.name())?;
            headwater.wait_for("a rebuild", PATIENCE, |it| metric(it, REBUILDS) == 1.0)?;
            demand_line(&headwater.log()?, &["event=pipeline_rebuild", "committer: panicked"]);
            let committed = metric(&headwater, COMMITTED);
            wait_committed(&mut headwater, committed + 200.0)?;
            ensure!(headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", headwater.log()?);
        }
        ensure!(armed.hits(point.name()) == 1, "{}", point.name());
    }
    world.demand_exact_at_the_end(bench, server)?;
    Ok(())
}

#[test]
fn a_panic_in_an_operator_names_it_and_fails_its_pipeline_once() -> Result<()> {
    for (point, place) in [
        (Point::SrcEmitted, "events"),
        (Point::EpochClose, "events"),
        (Point::StepApply, "values"),
        (Point::StageForward, "out"),
    ] {
        let server = ScriptedServer::start(endless(1_000))?;
        let name = format!("operator-{}", point.name());
        let mut bench = Bench::new(&name, server.endpoint())?.shards(2);
        let fault = format!("{}=panic@{}", point.name(), hit(point));
        let armed = Armed::next(&mut bench, &fault)?;
        let mut headwater = bench.start()?;
        armed.wait(&mut headwater, point.name())?;
        headwater.wait_for("the next call of each shard", PATIENCE, |_| {
            server.calls().len() == 2 * bench.shard_names().len()
        })?;
        let committed = metric(&headwater, COMMITTED);
        wait_committed(&mut headwater, committed + 500.0)?;
        assert_eq!(metric(&headwater, REBUILDS), 1.0);
        let (status, _) = headwater.stop(PATIENCE)?;
        let log = headwater.log()?;
        assert_eq!(status.code(), Some(0), "{log}");
        let said = format!("{place}: panicked: fail point {}", point.name());
        demand_line(&log, &["event=pipeline_rebuild", &said]);
        let total = bench.finish(server)?;
        bench.demand_exact(total)?;
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
