//! Goal: each alert fires when it should and not before, and says where the runbook goes on.
//! Method: `promtool` judges the rules and runs their tests, some of them on series that were
//! recorded from a running program (`recorded_test.yaml`). The same rules are evaluated by a real
//! Prometheus beside a program that is well, and beside one whose server is taken away.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_test_support::wait;

use crate::tools::{is_real, read, root, run, tool};
use crate::world::{PATIENCE, Prometheus, World};

const RULES: &str = "deploy/prometheus/alerts.yaml";
const TESTS: [&str; 2] = ["deploy/prometheus/alerts_test.yaml", RECORDED];
const RECORDED: &str = "deploy/prometheus/recorded_test.yaml";
const RUNBOOK: &str = "docs/RUNBOOK.md";

/// What is recorded; the rules ask for nothing else that changes when a server goes.
const SERIES: [&str; 7] = [
    "headwater_build_info",
    "headwater_pipeline_state",
    "headwater_source_connected",
    "headwater_open_transaction_age_seconds",
    "headwater_credit_used_bytes",
    "headwater_credit_capacity_bytes",
    "headwater_dead_letters_total",
];

/// A second of the recording stands for so many, so that it need not last as long as alerts wait.
const STRETCH_SECONDS: u64 = 15;

/// How long the server of a recording is away, and is then back.
const RECORDED_AWAY: Duration = Duration::from_secs(35);
const RECORDED_BACK: Duration = Duration::from_secs(8);

/// Each alert with the address of its runbook section.
fn alerts() -> Result<Vec<(String, String)>> {
    let text = read(RULES)?;
    let value = |line: &str, key: &str| Some(line.trim().strip_prefix(key)?.trim().to_owned());
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = value(line, "- alert:") {
            found.push((name, String::new()));
        } else if let Some(address) = value(line, "runbook_url:") {
            found.last_mut().context("an annotation belongs to an alert")?.1 = address;
        }
    }
    Ok(found)
}

/// The anchors that a Markdown viewer gives the headings of a page.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn each_alert_has_a_section_of_the_runbook_and_no_section_is_left_over() -> Result<()> {
    let alerts = alerts()?;
    ensure!(alerts.len() >= 15, "{alerts:?}");
    let page = read(RUNBOOK)?;
    let anchors = anchors(&page);
    for (name, address) in &alerts {
        let expected = format!("{RUNBOOK}#{}", name.to_lowercase());
        ensure!(*address == expected, "{name} points to `{address}`");
        ensure!(anchors.contains(&name.to_lowercase()), "the runbook says nothing of {name}");
    }
    let sections = page.lines().filter_map(|line| line.strip_prefix("### Headwater"));
    for section in sections {
        let name = format!("Headwater{section}");
        ensure!(alerts.iter().any(|(alert, _)| *alert == name), "there is no alert {name}");
    }
    Ok(())
}

/// An alert that no test names would not be missed if it never fired.
#[test]
fn each_alert_is_tried_by_promtool() -> Result<()> {
    let tests = TESTS.map(read).into_iter().collect::<Result<String>>()?;
    for (name, _) in alerts()? {
        let mark = format!("alertname: {name}\n");
        ensure!(tests.contains(&mark), "no test of {name}");
    }
    Ok(())
}

#[test]
fn the_rules_do_what_their_tests_say() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let promtool = tool("promtool")?;
    run(Command::new(&promtool).args(["check", "rules", RULES]))?;
    run(Command::new(&promtool).args(["test", "rules"]).args(TESTS))?;
    Ok(())
}

/// The names of all alerts that are pending or firing.
fn active(prometheus: &Prometheus) -> Result<BTreeSet<String>> {
    let rules = prometheus.rules()?;
    let alerts = rules.iter().filter(|rule| {
        rule["type"] == "alerting" && rule["state"].as_str().is_some_and(|it| it != "inactive")
    });
    Ok(alerts.filter_map(|rule| rule["name"].as_str().map(str::to_owned)).collect())
}

#[test]
fn a_running_program_wakes_nobody_until_its_server_goes() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let mut world = World::start()?;
    let prometheus = Prometheus::scrape(&world)?;
    prometheus.wait_scrapes(10)?;
    for rule in prometheus.rules()? {
        ensure!(rule["health"] == "ok", "{rule}");
    }
    // The sample server sends a broken message now and then.
    let well = BTreeSet::from(["HeadwaterDeadLetters".to_owned()]);
    wait::until("no alert but of dead letters", PATIENCE, || {
        active(&prometheus).is_ok_and(|it| it == well)
    })?;
    world.fell_server();
    for name in ["HeadwaterSourceDisconnected", "HeadwaterPipelineDegraded"] {
        wait::until(name, PATIENCE, || active(&prometheus).is_ok_and(|it| it.contains(name)))?;
    }
    let records = std::env::var_os("UPDATE_EXPECT").is_some();
    if records {
        // Stretched, it is longer than the alert waits.
        std::thread::sleep(RECORDED_AWAY);
    }
    world.raise_server()?;
    wait::until("quiet again", PATIENCE, || {
        active(&prometheus).is_ok_and(|it| !it.contains("HeadwaterSourceDisconnected"))
    })?;
    if records {
        std::thread::sleep(RECORDED_BACK);
        record(&prometheus)?;
    }
    Ok(())
}

/// Writes the series since the first scrape as a test for promtool: what fires before the server
/// goes, when it has been away for longer than the alert waits, and once it is back.
fn record(prometheus: &Prometheus) -> Result<()> {
    let mut text = HEAD.to_owned();
    let mut away = None;
    let mut count = 0;
    for name in SERIES {
        for (series, values) in prometheus.recorded(name, 80)? {
            if series.contains("degraded") {
                away = away.or(values.iter().position(|it| it == "1"));
            }
            count = count.max(values.len() as u64);
            // It may not have been there at all.
            let values = values.join(" ");
            text.push_str(&format!("      - series: '{series}'\n        values: '{values}'\n"));
        }
    }
    let away = away.context("the pipeline was degraded")? as u64;
    let minutes = |samples: u64| samples * STRETCH_SECONDS / 60;
    let letters = ["HeadwaterDeadLetters"].as_slice();
    let both = ["HeadwaterDeadLetters", "HeadwaterSourceDisconnected"].as_slice();
    text.push_str("    promql_expr_test:\n");
    for (minute, fires) in
        [(minutes(away), letters), (minutes(away) + 6, both), (minutes(count), letters)]
    {
        text.push_str(
            "      - expr: count by (alertname) (ALERTS{alertstate=\"firing\"}) > bool 0\n",
        );
        text.push_str(&format!("        eval_time: {minute}m\n        exp_samples:\n"));
        for name in fires {
            let labels = format!("'{{alertname=\"{name}\"}}'");
            text.push_str(&format!("          - labels: {labels}\n            value: 1\n"));
        }
    }
    std::fs::write(root().join(RECORDED), text).context(RECORDED)
}

const HEAD: &str = "\
# Recorded from a running program whose server is taken away and brought back, a sample a second,
# and replayed as one in fifteen seconds. Written anew by tests/deploy/alerts.rs with
# UPDATE_EXPECT=1.
rule_files: [alerts.yaml]
evaluation_interval: 15s

tests:
  - name: a server goes and comes back
    interval: 15s
    input_series:
";
