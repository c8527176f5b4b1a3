//! Goal: whoever imports `deploy/grafana/headwater.json` sees something in every panel.
//! Method: each query of each panel, annotation and variable is asked of a real Prometheus that
//! scrapes a running program, with Grafana's variables set as it sets them. All the series are
//! there in good health too, as zeros; only [`ONLY_UNDER_FAULT`] may find nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_test_support::wait;
use serde_json::Value as Json;

use crate::tools::{is_real, read};
use crate::world::{Prometheus, World};

const FILE: &str = "deploy/grafana/headwater.json";

/// Queries that find something only after a restart.
const ONLY_UNDER_FAULT: [&str; 1] = ["changes(process_start_time_seconds"];

/// Longer than two scrapes of the test, as Grafana's `$__rate_interval` is four of its own.
const RATE_INTERVAL: &str = "10s";

/// So long a query may have no answer after enough scrapes: the next one is a second away.
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn each_query_of_the_dashboard_finds_something() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let dashboard: Json = serde_json::from_str(&read(FILE)?)?;
    let queries = queries(&dashboard);
    ensure!(queries.len() > 40, "{} queries", queries.len());
    let world = World::start()?;
    let prometheus = Prometheus::scrape(&world)?;
    prometheus.wait_scrapes(12)?;
    for (title, query) in queries {
        let asked = filled_in(&query);
        ensure!(!asked.contains('$'), "{title}: a variable is left in `{asked}`");
        if ONLY_UNDER_FAULT.iter().any(|it| query.starts_with(it)) {
            prometheus.query(&asked).with_context(|| title.clone())?;
            continue;
        }
        let what = format!("{title}: `{asked}` to find something");
        wait::until_ok(&what, PATIENCE, || {
            let found = prometheus.query(&asked).with_context(|| title.clone())?;
            let is_number = |it: &Json| it["value"][1].as_str().is_some_and(|it| it != "NaN");
            Ok(found.iter().any(is_number))
        })?;
    }
    Ok(())
}

#[test]
fn the_dashboard_has_its_rows_and_no_panel_lies_on_another() -> Result<()> {
    let dashboard: Json = serde_json::from_str(&read(FILE)?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let rows = panels.iter().filter(|it| it["type"] == "row");
    let rows: Vec<_> = rows.filter_map(|it| it["title"].as_str()).collect();
    ensure!(
        rows == ["Overview", "Sources", "Decoders and transforms", "Commit", "Sinks", "Process"]
    );
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for panel in panels {
        ensure!(numbers.insert(panel["id"].as_u64()), "two panels are {}", panel["id"]);
        let place = |key: &str| panel["gridPos"][key].as_u64().context("a place");
        let (x, y, w, h) = (place("x")?, place("y")?, place("w")?, place("h")?);
        ensure!(x + w <= 24, "{} leaves the grid", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            ensure!(taken.insert(cell), "{} lies on another", panel["title"]);
        }
    }
    Ok(())
}

/// Every query with the title of what asks it.
fn queries(dashboard: &Json) -> Vec<(String, String)> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let all = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for panel in all(&dashboard["panels"]) {
        for target in all(&panel["targets"]) {
            found.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    for annotation in all(&dashboard["annotations"]["list"]) {
        found.push((text(&annotation["name"]), text(&annotation["expr"])));
    }
    for variable in all(&dashboard["templating"]["list"]) {
        // `label_values(SERIES, LABEL)`: the series must be there.
        let definition = text(&variable["definition"]);
        if let Some(inner) = definition.strip_prefix("label_values(") {
            let series = inner.rsplit_once(',').map_or(inner, |(series, _)| series);
            found.push((text(&variable["name"]), series.to_owned()));
        }
    }
    found
}

/// As Grafana asks with all namespaces and pipelines chosen.
fn filled_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", RATE_INTERVAL);
    query.replace("$namespace", ".*").replace("$pipeline", ".*")
}
