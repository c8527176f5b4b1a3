//! Goal: what is checked in and generated from the types is what the program generates now.

use crate::expect::{demand_none, difference, root};
use crate::program::{headwater, run};

#[test]
fn the_schema_is_current() {
    let schema = run(&mut headwater(&["schema"])).succeeded().stdout;
    let path = root().join("schema/pipeline.schema.json");
    demand_none(&difference(&path, &schema).into_iter().collect::<Vec<_>>());
}

#[test]
fn the_list_of_metrics_is_current() {
    let list = run(&mut headwater(&["reference", "metrics"])).succeeded().stdout;
    let path = root().join("docs/METRICS.md");
    demand_none(&difference(&path, &list).into_iter().collect::<Vec<_>>());
}

#[test]
fn the_reference_is_current() {
    let reference = run(&mut headwater(&["reference"])).succeeded().stdout;
    let path = root().join("docs/REFERENCE.md");
    demand_none(&difference(&path, &reference).into_iter().collect::<Vec<_>>());
}

#[test]
fn the_page_of_log_lines_is_current_and_names_what_is_logged() {
    let page = run(&mut headwater(&["reference", "logs"])).succeeded().stdout;
    let path = root().join("docs/LOGS.md");
    let mut findings: Vec<String> = difference(&path, &page).into_iter().collect();
    let (events, _) = page.split_once("The fields that").expect("two tables");
    let ours = events.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').nth(2));
    let names: Vec<&str> = ours.collect();
    assert!(names.len() >= 9, "{names:?}");
    let code = logging_code();
    let is_logged = |name: &&str| code.contains(&format!("\"{name}\""));
    let unlogged = names.into_iter().filter(|name| !is_logged(name));
    findings.extend(unlogged.map(|name| format!("no code logs `{name}`")));
    demand_none(&findings);
}

/// The code of the program but for the page itself.
fn logging_code() -> String {
    let mut code = String::new();
    let mut folders = ["src", "operators/src", "engine/src"].map(|it| root().join(it)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path != root().join("src/events.rs") {
                code += &std::fs::read_to_string(&path).unwrap_or_default();
            }
        }
    }
    code
}
