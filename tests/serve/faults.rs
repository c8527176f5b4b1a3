//! Goal: a program that is killed in the middle of a change leaves the old state or the new one,
//! never a mix; and what was answered is kept.
//! Method: fail points of the program (`engine/src/fault.rs`): the transaction of a change is
//! acknowledged and open, or committed and not answered. The next program shows what is there.

use anyhow::{Context, Result, ensure};
use headwater_engine::fault::{FAULTS_VARIABLE, FOLDER_VARIABLE, Point};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::request;
use headwater_test_support::topic::{Isolation, for_each};
use headwater_test_support::wait;
use rdkafka::message::Message;
use serde_json::json;
use tempfile::TempDir;

use crate::connector::{Connector, demand_runs};
use crate::served::{Json, Served, Site, pipeline, unique};
use crate::world::{PATIENCE, endless, kafka};

/// The document, and what is wanted.
type Seen = Option<(String, String)>;

/// A fail point at which the next program is killed.
struct Kill {
    point: Point,
    hits: TempDir,
}

impl Kill {
    fn set(site: &mut Site, point: Point) -> Result<Kill> {
        let hits = TempDir::with_prefix("headwater-hits-")?;
        let folder = hits.path().to_str().context("a path of ASCII")?;
        site.launch.environment_once(FAULTS_VARIABLE, &format!("{}=kill", point.name()));
        site.launch.environment_once(FOLDER_VARIABLE, folder);
        Ok(Kill { point, hits })
    }

    /// Waits for the end, and demands that it was this.
    fn demand(&self, served: &mut Served) -> Result<()> {
        let status = served.headwater.wait_exit(PATIENCE)?;
        ensure!(status.code().is_none(), "it was killed: {status}");
        ensure!(self.hits.path().join(self.point.name()).exists(), "the fault hit");
        Ok(())
    }
}

/// The configuration of a connector and its state, in the place of those.
fn seen_connector(served: &Served, name: &str) -> Result<Seen> {
    let ask = |path: &str| served.ask("GET", &format!("/connectors/{name}{path}"), "");
    let config = ask("/config")?;
    if config.status == 404 {
        return Ok(None);
    }
    let status: Json = serde_json::from_str(&ask("/status")?.body)?;
    Ok(Some(config.body).zip(status["connector"]["state"].as_str().map(str::to_owned)))
}

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
    kill_and_look(site, point, (method, path, body), |served| seen(served, name))
}

fn kill_and_look(
    site: &mut Site,
    point: Point,
    (method, path, body): (&str, &str, &str),
    look: impl Fn(&Served) -> Result<Seen>,
) -> Result<Seen> {
    let kill = Kill::set(site, point)?;
    let mut served = site.lead()?;
    let json = [("Content-Type", "application/json")];
    let asked = request(served.address(), method, path, &json, body.as_bytes());
    ensure!(asked.is_err(), "nobody is left to answer");
    kill.demand(&mut served)?;
    let mut next = site.lead()?;
    let found = look(&next)?;
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
        let kill = Kill::set(&mut site, *point)?;
        let mut served = site.lead()?;
        served.wait_committed(&name, 300.0)?;
        file.commit_interval_ms = 30 + round as u64;
        ensure!(served.put(&file).is_err());
        kill.demand(&mut served)?;
    }
    let mut served = site.lead()?;
    served.wait_committed(&name, 300.0)?;
    let (document, _) = seen(&served, &name)?.context("it is there")?;
    ensure!(document == file.yaml(), "the last change was committed");
    served.demand_exact(&name, server)?;
    Ok(())
}

/// A configuration and its target are two records, topics and offsets two more: all or none.
#[test]
fn a_kill_in_the_middle_of_a_connectors_change_leaves_the_old_or_the_new() -> Result<()> {
    let mut site = Site::new()?;
    let mut connector = Connector::new(&site, &unique("torn-c"), 1)?;
    let name = connector.name.clone();
    let look = |served: &Served| {
        let seen = seen_connector(served, &name)?;
        let metadata = |config: &str| {
            let config: Json = serde_json::from_str(config).unwrap_or_default();
            config["grpc.metadata"].as_str().unwrap_or("none").to_owned()
        };
        Ok(seen.map(|(config, state)| (metadata(&config), state)))
    };
    let was = |metadata: &str, state: &str| Some((metadata.to_owned(), state.to_owned()));
    let create = json!({
        "name": name, "config": connector.config, "initial_state": "PAUSED"
    });
    let create = create.to_string();
    connector.config["grpc.metadata"] = json!("a:b");
    let put = connector.config.to_string();
    let (config, stop) = (connector.path("/config"), connector.path("/stop"));
    let (before, after) = (Point::ConfigStaged, Point::ConfigCommitted);
    let mut kill = |point, call: (&str, &str, &str)| kill_and_look(&mut site, point, call, look);

    ensure!(kill(before, ("POST", "/connectors", &create))?.is_none());
    ensure!(kill(after, ("POST", "/connectors", &create))? == was("none", "PAUSED"));
    ensure!(kill(before, ("PUT", &config, &put))? == was("none", "PAUSED"));
    ensure!(kill(after, ("PUT", &config, &put))? == was("a:b", "PAUSED"));
    let patch = r#"{"grpc.metadata": "c:d"}"#;
    ensure!(kill(before, ("PATCH", &config, patch))? == was("a:b", "PAUSED"));
    ensure!(kill(after, ("PATCH", &config, patch))? == was("c:d", "PAUSED"));
    ensure!(kill(after, ("PUT", &stop, ""))? == was("c:d", "STOPPED"));
    let offsets = connector.path("/offsets");
    let set = r#"{"offsets": [{"partition": {"a": "b"}, "offset": {"c": 1}}]}"#;
    ensure!(kill(after, ("PATCH", &offsets, set))? == was("c:d", "STOPPED"));
    let path = connector.path("");
    ensure!(kill(before, ("DELETE", &path, ""))? == was("c:d", "STOPPED"));
    ensure!(kill(after, ("DELETE", &path, ""))?.is_none());
    // What was kept beside it is gone with it.
    let served = site.lead()?;
    let create = create.replace("PAUSED", "STOPPED");
    served.json("POST", "/connectors", &create, 201)?;
    let kept = served.json("GET", &offsets, "", 200)?;
    ensure!(kept == json!({ "offsets": [] }), "{kept}");
    Ok(())
}

/// The change is made while records flow, and again and again by a new process.
#[test]
fn a_busy_connector_survives_kills_in_the_middle_of_its_changes() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let connector = Connector::new(&site, &unique("changed-c"), server.address().port())?;
    let mut served = site.lead()?;
    served.json("POST", "/connectors", &connector.body(), 201)?;
    served.wait_committed(&connector.name, 300.0)?;
    // What it writes to is kept in the config topic as well: that is done before a fault is set.
    let key = format!("topics-{}", connector.name);
    wait::until_ok("its topic to be kept", PATIENCE, || {
        let mut is_kept = false;
        for_each(kafka(), &site.topic, Isolation::Committed, |message| {
            is_kept |= message.key() == Some(key.as_bytes());
            Ok(())
        })?;
        Ok(is_kept)
    })?;
    served.headwater.kill9()?;
    for (round, point) in
        [Point::ConfigStaged, Point::ConfigCommitted].iter().cycle().take(6).enumerate()
    {
        let kill = Kill::set(&mut site, *point)?;
        let mut served = site.lead()?;
        served.wait_committed(&connector.name, 300.0)?;
        let patch = json!({ "grpc.metadata": format!("round:{round}") }).to_string();
        ensure!(served.json("PATCH", &connector.path("/config"), &patch, 200).is_err());
        kill.demand(&mut served)?;
    }
    let mut served = site.lead()?;
    served.wait_committed(&connector.name, 300.0)?;
    let config = served.json("GET", &connector.path("/config"), "", 200)?;
    ensure!(config["grpc.metadata"] == "round:5", "the last change was committed: {config}");
    let topics = served.json("GET", &connector.path("/topics"), "", 200)?;
    ensure!(topics[&connector.name]["topics"][0] == connector.name.as_str(), "{topics}");
    served.json("PUT", &connector.path("/stop"), "", 204)?;
    served.wait_connector(&connector, "STOPPED", None)?;
    demand_runs(&connector.name, &server, None)?;
    Ok(())
}
