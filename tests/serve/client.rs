//! Goal: a client that others wrote for Kafka Connect drives a connector on Headwater through its
//! life, and nothing is lost or repeated by it.
//! Method: the command line of `kafka-connect-py` from PyPI, by way of `scripts/tools`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::wait;

use crate::connector::{Connector, demand_runs};
use crate::served::{Json, Served, Site, unique};
use crate::world::{PATIENCE, endless};

const SKIPPED: &str = "SKIPPED: what needs a client of Kafka Connect from PyPI is tested with \
                       HEADWATER_DEPLOY=real (scripts/test sets it)";

/// The client, if programs of others are wanted.
fn client() -> Result<Option<PathBuf>> {
    if std::env::var("HEADWATER_DEPLOY").is_ok_and(|it| it == "real") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tools");
        let output = Command::new(script).args(["path", "kafka-connect"]).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "scripts/tools: {told}");
        return Ok(Some(PathBuf::from(String::from_utf8(output.stdout)?.trim())));
    }
    // Past the test harness, which swallows what a passing test prints.
    drop(writeln!(std::io::stderr(), "\n{SKIPPED}\n"));
    Ok(None)
}

/// The client with the program that it asks.
struct Driver<'a> {
    client: PathBuf,
    served: &'a Served,
}

impl Driver<'_> {
    /// Runs one command; what it printed.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let url = format!("http://{}", self.served.address());
        let mut command = Command::new(&self.client);
        command.args(["--url", &url]).args(arguments).env("NO_PROXY", "*").stdin(Stdio::null());
        let output = command.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (printed, told) = (text(&output.stdout), text(&output.stderr));
        ensure!(output.status.success(), "{arguments:?}: {printed}\n{told}");
        Ok(printed)
    }

    /// The same for a command that prints JSON, perhaps behind lines of its log.
    fn json(&self, arguments: &[&str]) -> Result<Json> {
        let printed = self.run(arguments)?;
        let line = printed.lines().rev().find(|it| it.starts_with(['{', '[']));
        let line = line.with_context(|| format!("{arguments:?}: {printed}"))?;
        Ok(serde_json::from_str(line)?)
    }

    /// Waits until the client is told that connector and task are in these states.
    fn wait(&self, name: &str, state: &str, task: &str) -> Result<()> {
        wait::until_ok(&format!("{name} to be {state} and {task}"), PATIENCE, || {
            let status = self.json(&["status", name])?;
            Ok(status["connector"]["state"] == state && status["tasks"][0]["state"] == task)
        })
    }

    fn wait_committed(&self, name: &str, count: f64) -> Result<()> {
        let now = self.served.committed(name);
        let what = format!("{count} more records of {name}");
        wait::until(&what, PATIENCE, || self.served.committed(name) >= now + count)
    }
}

#[test]
fn a_public_client_drives_a_connector_through_its_life() -> Result<()> {
    let Some(client) = client()? else { return Ok(()) };
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let served = site.lead()?;
    let driver = Driver { client, served: &served };
    let mut connector = Connector::new(&site, &unique("client"), server.address().port())?;
    let name = connector.name.clone();

    ensure!(driver.json(&["info"])?["version"].is_string());
    let plugins = driver.json(&["list-plugins"])?;
    ensure!(plugins[0]["class"] == connector.config["connector.class"], "{plugins}");
    // Its `validate-config` sends JSON as a text within JSON, which a worker does not understand
    // either.
    driver.json(&["create", "-d", &connector.body()])?;
    driver.wait(&name, "RUNNING", "RUNNING")?;
    driver.wait_committed(&name, 200.0)?;
    driver.run(&["pause", &name])?;
    driver.wait(&name, "PAUSED", "PAUSED")?;
    driver.run(&["resume", &name])?;
    driver.wait(&name, "RUNNING", "RUNNING")?;
    driver.wait_committed(&name, 200.0)?;

    connector.config["grpc.metadata"] = "stage:two".into();
    let updated = driver.json(&["update", &name, "-d", &connector.config.to_string()])?;
    ensure!(updated["config"]["grpc.metadata"] == "stage:two", "{updated}");
    wait::until("a call with the new metadata", PATIENCE, || {
        server.calls().iter().any(|it| it.metadata.contains_key("stage"))
    })?;
    driver.wait_committed(&name, 200.0)?;

    let calls = server.calls().len();
    driver.run(&["restart", &name, "--include-tasks"])?;
    wait::until("a new call", PATIENCE, || server.calls().len() > calls)?;
    driver.wait_committed(&name, 200.0)?;
    let topics = driver.json(&["list-topics", &name])?;
    ensure!(topics[&name]["topics"][0] == name.as_str(), "{topics}");
    let listed = driver.json(&["list", "--expand", "status", "--state", "RUNNING"])?;
    ensure!(listed[&name]["status"]["tasks"][0]["id"] == 0, "{listed}");

    driver.run(&["pause", &name])?;
    driver.wait(&name, "PAUSED", "PAUSED")?;
    demand_runs(&name, &server, Some(served.committed(&name) as u64))?;
    driver.run(&["delete", &name])?;
    ensure!(driver.json(&["list"])? == serde_json::json!([]));
    Ok(())
}
