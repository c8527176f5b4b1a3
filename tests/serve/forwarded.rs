//! Goal: whichever of several instances a client meets, it is answered as the leader answers; and
//! what cannot be taken to the leader is told so that the client knows what to do.
//! Method: two processes that can reach each other. The second one is asked, with each way of
//! authentication, and while the leader is frozen and killed.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::{request, signal};
use headwater_test_support::tls::TestCa;
use headwater_test_support::wait;
use serde_json::json;

use crate::instances::two;
use crate::lifecycle::tail;
use crate::security::ask;
use crate::served::{Json, Served, Site, pipeline, unique};
use crate::world::{PATIENCE, endless, is_long};

const TOKEN: &str = "a-token-of-the-site-0123456789";
const OTHER: &str = "a-token-of-nobody-0123456789";

/// A site whose instances can reach each other.
fn connected(scheme: &str) -> Result<Site> {
    let mut site = Site::new()?;
    site.arguments.extend(["--advertise".to_owned(), format!("{scheme}://{{api}}")]);
    Ok(site)
}

#[test]
fn whoever_stands_by_answers_as_the_leader_does() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = connected("http")?;
    let (mut first, mut second) = two(&mut site)?;
    let name = unique("pair");
    second.create(&pipeline(&name, server.endpoint()))?;
    second.wait_state(&name, "RUNNING")?;
    first.wait_committed(&name, 300.0)?;
    ensure!(second.committed(&name) == 0.0, "the leader runs it");
    // What runs is seen, and not only what is wanted.
    ensure!(tail(&second, &name, 5)?.len() == 5);
    // Who leaves in the middle gives back the way to the leader; there are 48.
    for _ in 0..60 {
        tail(&second, &name, 1)?;
    }
    let one = format!("/pipelines/{name}");
    for (method, path, status) in [
        ("GET", one.clone(), 200),
        ("GET", format!("{one}/graph?format=mermaid"), 200),
        ("GET", format!("{one}/graph?format=none"), 400),
        ("GET", "/pipelines/none".to_owned(), 404),
        ("PUT", "/pipelines/none/pause".to_owned(), 404),
        ("GET", "/connectors?expand=status".to_owned(), 200),
        ("GET", "/connectors/none/status".to_owned(), 404),
    ] {
        let answers = [&first, &second].map(|it| it.ask(method, &path, ""));
        let [own, taken] = answers;
        let (own, taken) = (own?, taken?);
        ensure!((own.status, taken.status) == (status, status), "{path}: {own:?}, {taken:?}");
        ensure!(own.body == taken.body || path == one, "{path}: {own:?}, {taken:?}");
    }
    second.demand("PUT", &format!("{one}/pause"), "", 202)?;
    [&mut first, &mut second].into_iter().try_for_each(|it| it.wait_state(&name, "PAUSED"))?;
    second.demand("PUT", &format!("{one}/resume"), "", 202)?;
    second.json("PUT", LEVEL_OF_ALL, &debug(), 204)?;
    second.demand_exact(&name, server)?;
    second.demand("DELETE", &one, "", 204)?;
    second.demand("GET", &one, "", 404)?;
    Ok(())
}

const LEVEL: &str = "/admin/loggers/org.apache.kafka.connect";
const LEVEL_OF_ALL: &str = "/admin/loggers/org.apache.kafka.connect?scope=cluster";

fn debug() -> String {
    json!({ "level": "DEBUG" }).to_string()
}

#[test]
fn a_request_is_taken_further_once() -> Result<()> {
    let mut site = connected("http")?;
    let (_first, second) = two(&mut site)?;
    let marked = [("Headwater-Forwarded-By", "somebody")];
    let answer = request(second.address(), "DELETE", "/pipelines/none", &marked, b"")?;
    ensure!(answer.status == 503 && answer.body.contains("\"leader\":"), "{answer:?}");
    second.demand("DELETE", "/pipelines/none", "", 404)?;
    Ok(())
}

/// The leader judges the client's token itself.
#[test]
fn a_token_goes_with_what_is_taken_further() -> Result<()> {
    let mut site = connected("http")?;
    let file = site.launch.folder().join("tokens");
    fs::write(&file, TOKEN)?;
    site.arguments.extend(["--token-file", file.to_str().context("a path")?].map(str::to_owned));
    let start = |site: &mut Site, is_due: &str| -> Result<Served> {
        let mut served = site.start()?;
        served.token = Some(TOKEN.to_owned());
        wait::until(is_due, PATIENCE, || {
            served.ask("GET", "/health", "").is_ok_and(|it| it.body.contains(is_due))
        })?;
        Ok(served)
    };
    // One after the other: of two that begin at once one may take the lead from the other.
    let _leader = start(&mut site, LEADS)?;
    let mut standby = start(&mut site, KNOWS_LEADER)?;
    standby.demand("DELETE", "/pipelines/none", "", 404)?;
    for token in [None, Some(OTHER.to_owned())] {
        standby.token = token;
        standby.demand("DELETE", "/pipelines/none", "", 401)?;
    }
    Ok(())
}

/// In the health of an instance that leads.
const LEADS: &str = "\"role\":\"leader\"";

/// In the health of an instance that stands by and knows for whom.
const KNOWS_LEADER: &str = "\"leader\":\"";

/// The instance that asks shows its own certificate, in place of the client's.
#[test]
fn instances_with_certificates_of_one_authority_reach_each_other() -> Result<()> {
    let ca = TestCa::new()?;
    let own = ca.peer(&["localhost", "127.0.0.1"])?;
    let mut site = connected("https")?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path");
    let files = [
        ("--tls-certificate", own.certificate),
        ("--tls-key", own.key),
        ("--tls-client-ca", ca.certificate()),
    ];
    for (option, path) in files {
        site.arguments.extend([option.to_owned(), text(&path)?]);
    }
    let client = ca.client("operator")?;
    let ask = |served: &Served, method: &str, path: &str| {
        ask(served.address(), &ca.certificate(), Some(&client), (method, path))
    };
    let start = |site: &mut Site, is_due: &str| -> Result<Served> {
        let served = site.start()?;
        wait::until(is_due, PATIENCE, || {
            ask(&served, "GET", "/health").is_ok_and(|it| it.contains(is_due))
        })?;
        Ok(served)
    };
    let _leader = start(&mut site, LEADS)?;
    let standby = start(&mut site, KNOWS_LEADER)?;
    let answer = ask(&standby, "DELETE", "/pipelines/none")?;
    ensure!(answer.starts_with("HTTP/1.0 404"), "{answer}");
    Ok(())
}

/// A change that was on its way to a leader that dies may have been made, and the client is told.
#[test]
fn a_change_whose_answer_is_lost_is_told_as_one_that_may_have_been_made() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = connected("http")?;
    let (mut first, mut second) = two(&mut site)?;
    let name = unique("lost");
    second.create(&pipeline(&name, server.endpoint()))?;
    first.wait_committed(&name, 300.0)?;
    let one = format!("/pipelines/{name}");
    second.json("PUT", LEVEL, &debug(), 200)?;
    signal(first.headwater.pid(), "STOP")?;
    let told = thread::scope(|scope| -> Result<Json> {
        let asking = scope.spawn(|| second.demand("PUT", &format!("{one}/pause"), "", 502));
        wait::until_ok("it to be on its way", PATIENCE, || {
            Ok(second.headwater.log()?.contains("event=api_forwarded method=PUT"))
        })?;
        first.headwater.kill9()?;
        asking.join().expect("it does not panic")
    })?;
    let message = told["message"].as_str().unwrap_or_default();
    ensure!(message.contains("may have been done"), "{told}");
    // It died before it could write; its successor runs what was wanted before.
    second.wait_committed(&name, 300.0)?;
    second.demand_exact(&name, server)?;
    Ok(())
}

/// The instance that was asked leads by then, and could make the change; nobody asked it to.
#[test]
fn a_change_whose_answer_does_not_come_is_not_made_by_another_instance() -> Result<()> {
    if !is_long() {
        return Ok(());
    }
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = connected("http")?;
    let (mut first, mut second) = two(&mut site)?;
    let name = unique("late");
    second.create(&pipeline(&name, server.endpoint()))?;
    first.wait_committed(&name, 300.0)?;
    signal(first.headwater.pid(), "STOP")?;
    let told = second.demand("PUT", &format!("/pipelines/{name}/pause"), "", 502)?;
    ensure!(told["message"].as_str().is_some_and(|it| it.contains("may have been done")), "{told}");
    second.wait_role("leader")?;
    second.wait_state(&name, "RUNNING")?;
    first.headwater.kill9()?;
    second.demand_exact(&name, server)?;
    Ok(())
}
