//! Goal: of several instances with one config topic one leads; the others take over when it leaves
//! or falls silent.
//! Method: two processes; the leader is stopped, killed, and frozen.

use anyhow::{Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::{Answer, signal};
use headwater_test_support::wait;

use crate::served::{Json, Served, Site, pipeline, unique};
use crate::world::{PATIENCE, demand_line, endless};

/// Nobody listens there.
pub(crate) const OUT_OF_REACH: &str = "http://127.0.0.1:1";

/// Two instances, of which the first one leads.
pub(crate) fn two(site: &mut Site) -> Result<(Served, Served)> {
    let first = site.lead()?;
    let mut second = site.start()?;
    second.wait_role("standby")?;
    Ok((first, second))
}

#[test]
fn beside_a_leader_out_of_reach_what_is_known_is_answered_and_nothing_changed() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    site.arguments.extend(["--advertise", OUT_OF_REACH].map(str::to_owned));
    let (mut first, mut second) = two(&mut site)?;
    let name = unique("pair");
    first.create(&pipeline(&name, server.endpoint()))?;
    first.wait_committed(&name, 300.0)?;

    let refused = second.demand("DELETE", &format!("/pipelines/{name}"), "", 503)?;
    ensure!(refused["leader"] == OUT_OF_REACH, "{refused}");
    second.wait_state(&name, "UNASSIGNED")?;
    let list = second.demand("GET", "/pipelines", "", 200)?;
    ensure!(list["pipelines"][0]["name"] == name.as_str(), "{list}");
    ensure!(server.calls().len() == 1, "who stands by calls nobody");

    // One that leaves says so, and is not waited for.
    let (status, _) = first.headwater.stop(PATIENCE)?;
    ensure!(status.code() == Some(0), "{}", first.headwater.log()?);
    demand_line(&first.headwater.log()?, &["event=lead_resigned"]);
    second.wait_committed(&name, 300.0)?;
    ensure!(!second.headwater.log()?.contains("event=leader_silent"), "it had said so");
    second.demand_exact(&name, server)?;
    Ok(())
}

#[test]
fn a_leader_that_is_killed_is_replaced_and_nothing_is_lost_or_repeated() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let (mut first, mut second) = two(&mut site)?;
    let name = unique("heir");
    first.create(&pipeline(&name, server.endpoint()))?;
    first.wait_committed(&name, 300.0)?;
    first.headwater.kill9()?;
    second.wait_committed(&name, 500.0)?;
    let mut third = site.start()?;
    third.wait_role("standby")?;
    second.headwater.kill9()?;
    third.wait_committed(&name, 500.0)?;
    third.demand_exact(&name, server)?;
    Ok(())
}

/// It was frozen when it was replaced, and believes that it leads when it wakes up.
#[test]
fn a_leader_that_wakes_up_behind_its_successor_stands_by() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut site = Site::new()?;
    let (mut first, mut second) = two(&mut site)?;
    let name = unique("sleeper");
    first.create(&pipeline(&name, server.endpoint()))?;
    first.wait_committed(&name, 300.0)?;
    signal(first.headwater.pid(), "STOP")?;
    second.wait_role("leader")?;
    second.wait_committed(&name, 300.0)?;
    signal(first.headwater.pid(), "CONT")?;
    first.wait_role("standby")?;
    first.demand("DELETE", &format!("/pipelines/{name}"), "", 503)?;
    let committed = second.committed(&name);
    second.wait_committed(&name, committed + 1_000.0)?;
    ensure!(!second.headwater.log()?.contains("event=lead_lost"), "no ping-pong");
    second.demand_exact(&name, server)?;
    ensure!(first.headwater.stop(PATIENCE)?.0.code() == Some(0));
    Ok(())
}

#[test]
fn of_two_that_start_at_once_one_leads() -> Result<()> {
    let mut site = Site::new()?;
    for _ in 0..5 {
        let (mut one, mut other) = (site.start()?, site.start()?);
        let name = unique("rival");
        let file = pipeline(&name, "http://127.0.0.1:1").yaml();
        // The first one may be overtaken by the second; a change is made by whoever leads then.
        wait::until_ok("one of two to make a change", PATIENCE, || {
            let ask =
                |served: &Served| served.ask("POST", "/pipelines?initial_state=paused", &file);
            // One that does not listen yet has no answer.
            let asked: Vec<Answer> = [&one, &other].into_iter().flat_map(ask).collect();
            let is_known = |it: &Answer| matches!(it.status, 201 | 409 | 503);
            ensure!(asked.iter().all(is_known), "{asked:?}");
            Ok(asked.iter().any(|it| it.status == 201))
        })?;
        wait::until("one of two to lead and one to stand by", PATIENCE, || {
            let mut roles = [role(&one), role(&other)];
            roles.sort();
            roles == [Some("leader".to_owned()), Some("standby".to_owned())]
        })?;
        one.wait_state(&name, "PAUSED")?;
        other.wait_state(&name, "PAUSED")?;
        ensure!(one.headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", one.headwater.log()?);
        ensure!(other.headwater.stop(PATIENCE)?.0.code() == Some(0), "{}", other.headwater.log()?);
    }
    Ok(())
}

fn role(served: &Served) -> Option<String> {
    let health = served.headwater.get("/health").ok()?;
    let health: Json = serde_json::from_str(&health.body).ok()?;
    Some(health["role"].as_str()?.to_owned())
}
