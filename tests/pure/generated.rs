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
