//! Goal: a program that is killed in the middle of a change leaves the old state or the new one,
//! never a mix; and what was answered is kept.
//! Method: fail points of the program (`engine/src/fault.rs`): the transaction of a change is
//! acknowledged and open, or committed and not answered. The next program shows what is there.

use anyhow::{Context, Result, ensure};
use headwater_engine::fault::{FAULTS_VARIABLE, FOLDER_VARIABLE, Point};
use headwater_test_support::grpc::ScriptedServer;
use tempfile::TempDir;

use crate::served::{Json, Served, Site, pipeline, unique};
use crate::world::{PATIENCE, endless};

/// The document, and what is wanted.
type Seen = Option<(String, String)>;

fn seen(served: &Served, name: &str) -> Result<Seen> {
    let answer = served.ask("GET", &format!("/pipelines/{name}"), "")?;
    if answer.status == 404 {
        return Ok(None);
    }
    let shown: Json = serde_json::from_str(&answer.body)?;
    let text = |key: &str| shown[key].as_str().map(str::to_owned);
    Ok(text("document").zip(text("target_state")))
}

/// Kills a program at `point` of a change; what the next one shows.
fn kill_at(
    site: &mut Site,
    point: Point,
    name: &str,
    (method, path, body): (&str, &str, &str),
) -> Result<Seen> {
    let hits = TempDir::with_prefix("headwater-hits-")?;
    let folder = hits.path().to_str().context("a path of ASCII")?;
    site.launch.environment_once(FAULTS_VARIABLE, &format!("{}=kill", point.name()));
    site.launch.environment_once(FOLDER_VARIABLE, folder);
    let mut served = site.lead()?;
    ensure!(served.ask(method, path, body).is_err(), "nobody is left to answer");
    let status = served.headwater.wait_exit(PATIENCE)?;
    ensure!(status.code().is_none(), "it was killed: {status}");
    ensure!(hits.path().join(point.name()).exists(), "the fault hit");
    let mut next = site.lead()?;
    let found = seen(&next, name)?;
    ensure!(next.headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", next.headwater.log()?);
    Ok(found)
}

#[test]
fn a_kill_in_the_middle_of_a_change_leaves_the_old_or_the_new() -> Result<()> {
    let name = unique("torn");
    let mut site = Site::new()?;
    let mut file = pipeline(&name, "http://127.0.0.1:1");
    let old = file.yaml();
    file.commit_interval_ms = 70;
    let new = file.yaml();
    let create = "/pipelines?initial_state=paused";
    let change = format!("/pipelines/{name}?initial_state=stopped");
    let delete = format!("/pipelines/{name}");
    let paused = Some((old.clone(), "PAUSED".to_owned()));
    let stopped = Some((new.clone(), "STOPPED".to_owned()));
    let (before, after) = (Point::ConfigStaged, Point::ConfigCommitted);

    // Document and target are two records: never one without the other.
    ensure!(kill_at(&mut site, before, &name, ("POST", create, &old))?.is_none());
    ensure!(kill_at(&mut site, after, &name, ("POST", create, &old))? == paused);
    ensure!(kill_at(&mut site, before, &name, ("PUT", &change, &new))? == paused);
    ensure!(kill_at(&mut site, after, &name, ("PUT", &change, &new))? == stopped);
    ensure!(kill_at(&mut site, before, &name, ("DELETE", &delete, ""))? == stopped);
    ensure!(kill_at(&mut site, after, &name, ("DELETE", &delete, ""))?.is_none());
    Ok(())
}

/// The change is made while records flow, and again and again by a new process.
#[test]
fn a_busy_pipeline_survives_kills_in_the_middle_of_its_changes() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let name = unique("changed");
    let mut file = pipeline(&name, server.endpoint());
    let mut served = site.lead()?;
    served.create(&file)?;
    served.wait_committed(&name, 300.0)?;
    served.headwater.kill9()?;
    for (round, point) in
        [Point::ConfigStaged, Point::ConfigCommitted].iter().cycle().take(6).enumerate()
    {
        let hits = TempDir::with_prefix("headwater-hits-")?;
        site.launch.environment_once(FAULTS_VARIABLE, &format!("{}=kill", point.name()));
        site.launch.environment_once(FOLDER_VARIABLE, hits.path().to_str().context("a path")?);
        let mut served = site.lead()?;
        served.wait_committed(&name, 300.0)?;
        file.commit_interval_ms = 30 + round as u64;
        ensure!(served.put(&file).is_err());
        served.headwater.wait_exit(PATIENCE)?;
        ensure!(hits.path().join(point.name()).exists(), "the fault hit");
    }
    let mut served = site.lead()?;
    served.wait_committed(&name, 300.0)?;
    let (document, _) = seen(&served, &name)?.context("it is there")?;
    ensure!(document == file.yaml(), "the last change was committed");
    served.demand_exact(&name, server)?;
    Ok(())
}
