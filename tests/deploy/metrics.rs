//! Goal: `docs/METRICS.md` lists what a running program serves, and nothing else.
//! Method: the served text is compared with the tables of the page, in both directions: name, kind,
//! labels and meaning. The pipelines of `world.rs` have every series but those of [`NOT_THERE`] and
//! those of a process that serves an API and sends what it counts, which stands beside them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer, Step};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::process::{Launch, Metrics, free_address};

use crate::tools::{is_real, read};
use crate::world::{BROKEN_EVERY, PATIENCE, Prometheus, World};

/// The sample service has no field of type `google.protobuf.Timestamp`; a test of the telemetry
/// itself shows this series.
const NOT_THERE: &str = "headwater_source_committed_cursor_timestamp_seconds";

/// What is told of the series of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

#[test]
fn the_list_of_metrics_is_what_a_running_program_serves() -> Result<()> {
    let world = World::start()?;
    let mut listed = listed(&read("docs/METRICS.md")?);
    let mut served = served(&world.headwater.get("/metrics")?.body)?;
    served.append(&mut served_by_an_api()?);
    ensure!(listed.remove(NOT_THERE).is_some_and(|it| it.labels.contains("component")));
    ensure!(served.len() > 40, "{} families", served.len());
    let names = |of: &BTreeMap<String, Told>| of.keys().cloned().collect::<BTreeSet<_>>();
    let (on_page, at_work) = (names(&listed), names(&served));
    let unlisted: Vec<_> = at_work.difference(&on_page).collect();
    let absent: Vec<_> = on_page.difference(&at_work).collect();
    ensure!(unlisted.is_empty() && absent.is_empty(), "unlisted {unlisted:?}, absent {absent:?}");
    for (name, told) in served {
        ensure!(listed[&name] == told, "{name}: listed {:?}, served {told:?}", listed[&name]);
    }
    Ok(())
}

/// What `headwater serve` shows of itself, with a collector that it cannot reach.
fn served_by_an_api() -> Result<BTreeMap<String, Told>> {
    let cluster = Cluster::embedded()?;
    let mut launch = Launch::new(env!("CARGO_BIN_EXE_headwater"))?;
    let collector = format!("http://{}", free_address()?);
    let arguments = ["--brokers", cluster.bootstrap(), "--otlp", &collector];
    let mut headwater = launch.serve(&arguments)?;
    headwater.wait_ready(PATIENCE)?;
    let mut all = served(&headwater.get("/metrics")?.body)?;
    all.retain(|name, _| name.starts_with("headwater_serve_") || name.contains("_otlp_"));
    ensure!(all.len() == 6, "{:?}", all.keys());
    Ok(all)
}

/// Each of `TOTAL` events of two shards is counted once at every station, as a record or as a dead
/// letter.
#[test]
fn every_station_counts_what_went_through_it() -> Result<()> {
    const TOTAL: u64 = 3_000;
    let script = Script::new(TOTAL).rest([Step::SendAll, Step::Stall]);
    let mut world = World::on(ScriptedServer::start(script.broken_every(BROKEN_EVERY))?)?;
    let of = |it: &Metrics, name: &str| {
        it.sum_where(&format!("headwater_{name}"), "pipeline", "readings") as u64
    };
    let (all, dead) = (2 * TOTAL, 2 * TOTAL / BROKEN_EVERY);
    world.headwater.wait_for("all records", PATIENCE, |it| {
        it.metrics().is_ok_and(|it| of(&it, "committed_records_total") == all - dead)
    })?;
    let metrics = world.headwater.metrics()?;
    for (name, expected) in [
        ("source_received_messages_total", all),
        ("operator_received_records_total", all),
        ("operator_emitted_records_total", all - dead),
        ("operator_dead_letters_total", dead),
        ("sink_records_total", all - dead),
        ("dead_letters_total", dead),
        ("operator_received_bytes_total", of(&metrics, "source_received_bytes_total")),
        ("sink_bytes_total", of(&metrics, "operator_emitted_bytes_total")),
        ("operator_batches_total", of(&metrics, "source_batches_total")),
        ("sink_batches_total", of(&metrics, "source_batches_total")),
        ("credit_capacity_bytes", 12 << 20),
        ("source_reconnects_total", 0),
    ] {
        ensure!(of(&metrics, name) == expected, "{name}: {} of {expected}", of(&metrics, name));
    }
    let latencies = of(&metrics, "batch_latency_seconds_count");
    ensure!((1..=of(&metrics, "sink_batches_total")).contains(&latencies), "{latencies}");
    ensure!(metrics.sum("headwater_operator_busy_seconds_total") > 0.0);
    Ok(())
}

/// The Java connector's attributes are asked for in Prometheus' own words.
#[test]
fn each_attribute_of_the_java_connector_has_a_series_at_work() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let page = read("docs/METRICS.md")?;
    let (_, moving) = page.split_once("## From the Java connector").context("the section")?;
    let attributes: Vec<(String, String)> = moving.lines().filter_map(attribute).collect();
    ensure!(attributes.len() == 13, "{attributes:?}");
    let world = World::start()?;
    let prometheus = Prometheus::scrape(&world)?;
    prometheus.wait_scrapes(5)?;
    for (attribute, expression) in attributes {
        let found = prometheus.query(&expression)?;
        ensure!(!found.is_empty(), "{attribute}: `{expression}` finds nothing");
    }
    Ok(())
}

/// The first two cells of a row, without their marks.
fn attribute(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| `")?.split("` | `");
    let attribute = cells.next()?.to_owned();
    let (expression, _) = cells.next()?.split_once('`')?;
    Some((attribute, expression.to_owned()))
}

/// The rows `| name | kind | labels | meaning |` of the page.
fn listed(page: &str) -> BTreeMap<String, Told> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
        let [name, kind, labels, help] = cells[..] else { return None };
        let labels = labels.split(", ").map(|it| it.trim_matches('`').to_owned());
        let told = Told {
            kind: kind.to_owned(),
            labels: labels.filter(|it| !it.is_empty()).collect(),
            help: help.trim_end_matches(" |").to_owned(),
        };
        Some((name.trim_end_matches('`').to_owned(), told))
    };
    page.lines().filter_map(row).collect()
}

/// The same of Prometheus' text format.
fn served(text: &str) -> Result<BTreeMap<String, Told>> {
    let mut all: BTreeMap<String, Told> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some((family, help)) = comment(line, "# HELP ") {
            name = family;
            all.entry(name.clone()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((family, kind)) = comment(line, "# TYPE ") {
            all.entry(family).or_default().kind = kind;
        } else {
            // All lines of a family follow its head.
            let told = all.get_mut(&name).context("a series without a head")?;
            told.labels.extend(labels(line));
        }
    }
    Ok(all)
}

fn comment(line: &str, mark: &str) -> Option<(String, String)> {
    let (name, rest) = line.strip_prefix(mark)?.split_once(' ')?;
    Some((name.to_owned(), rest.to_owned()))
}

/// The names of a line's labels; `le` belongs to the format.
fn labels(line: &str) -> Vec<String> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let parts = rest.split("=\"").map(|it| it.rsplit(['{', ',']).next().unwrap_or_default());
    let mut names: Vec<String> = parts.map(str::to_owned).collect();
    // Behind the last `="` there is only a value.
    names.pop();
    names.retain(|name| name != "le");
    names
}
