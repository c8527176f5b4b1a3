//! Goal: an operator sees that readers are held back, and ends it without losing a record.
//! Method: an instance is frozen with a transaction open; `headwater transactions` looks and
//! aborts.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::ScriptedServer;
use headwater_test_support::process::signal;
use serde_json::Value as Json;

use crate::world::{Bench, COMMITTED, PATIENCE, endless, metric, wait_committed};

#[test]
fn a_frozen_instance_holds_readers_back_until_its_transactions_are_aborted() -> Result<()> {
    let server = ScriptedServer::start(endless(1_000))?;
    let mut bench = Bench::new("bad-day", server.endpoint())?.shards(2);
    bench.pipeline.commit_interval_ms = 3_000;
    let mut headwater = bench.start()?;
    wait_committed(&mut headwater, 1_000.0)?;
    // A quarter of a second behind a commit the next transaction is open for long.
    std::thread::sleep(Duration::from_millis(250));
    signal(headwater.pid(), "STOP")?;
    let shown: Json = serde_json::from_str(&transactions(&bench, &["list", "--json"])?)?;
    assert_eq!(shown["transactional_ids"].as_array().map(Vec::len), Some(2), "{shown:#}");
    let held = shown["held_back"].as_array().context("a list")?;
    assert!(!held.is_empty(), "{shown:#}");
    assert!(held.iter().all(|it| it["topic"] == "bad-day"), "{shown:#}");
    let said = transactions(&bench, &["abort", "--yes"])?;
    assert!(said.contains("aborted what headwater.bad-day.0 had open"), "{said}");
    let shown = transactions(&bench, &["list"])?;
    assert!(shown.contains("no transaction is open"), "{shown}");
    let calls = server.calls().len();
    signal(headwater.pid(), "CONT")?;
    let committed = metric(&headwater, COMMITTED);
    wait_committed(&mut headwater, committed + 2_000.0)?;
    assert_eq!(server.calls().len(), calls, "repaired from memory");
    assert_eq!(headwater.stop(PATIENCE)?.0.code(), Some(0), "{}", headwater.log()?);
    assert!(bench.aborted()? > 0, "the freeze hit no open transaction");
    let total = bench.finish(server)?;
    bench.demand_exact(total)
}

/// What `headwater transactions` prints about the pipeline of `bench`.
fn transactions(bench: &Bench, arguments: &[&str]) -> Result<String> {
    let file = bench.launch.folder().join(format!("{}.yaml", bench.pipeline.name));
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.arg("transactions").arg(arguments[0]).arg(file).args(&arguments[1..]);
    let output = command.output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {}\n{error}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
