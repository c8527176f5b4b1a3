//! Every file in `tests/cases/spec/` against what it is expected to print.
//!
//! `UPDATE_EXPECT=1 cargo test -p headwater-engine --test spec` writes the expected files anew;
//! read the difference before committing it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use headwater_engine::spec::{Diagnostics, Plan};

use crate::kinds;

pub(crate) fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/spec");
    let entries = fs::read_dir(folder).expect("the folder of cases is there");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut cases: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    cases.sort();
    cases
}

/// What the program would print: the diagnostics, or the plan and its warnings.
fn outcome(text: &str) -> String {
    match kinds::read(text) {
        Err(diagnostics) => diagnostics.to_string(),
        Ok((plan, warnings)) => {
            let warnings = Diagnostics::new(&kinds::source(text), warnings);
            format!("{}\n{warnings}", summary(&plan))
        }
    }
}

fn summary(plan: &Plan) -> String {
    let mut text = format!("plan {} {:?}\n", plan.name(), plan.settings());
    for node in plan.nodes() {
        let inputs: Vec<&str> = plan.inputs(node).map(|input| input.name.as_str()).collect();
        let output = node.output.as_ref();
        writeln!(text, "  {} {} {} <- {inputs:?} {output:?}", node.role, node.kind, node.name)
            .expect("writing to a string does not fail");
    }
    text
}

#[test]
fn every_case_prints_what_is_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut failures = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 35, "the cases are there: {}", cases.len());
    for case in cases {
        let text = fs::read_to_string(&case).expect("a case is readable");
        let actual = outcome(&text);
        let expected_path = case.with_extension("expected");
        if update {
            fs::write(&expected_path, &actual).expect("an expected file is writable");
            continue;
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if actual != expected {
            let name = case.display();
            failures.push(format!("{name}\n--- expected\n{expected}\n--- actual\n{actual}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The name of a case says whether it is a mistake, so that an update cannot turn one around.
#[test]
fn only_the_cases_named_ok_give_a_plan() {
    for case in cases() {
        let text = fs::read_to_string(&case).expect("a case is readable");
        let name = case.file_name().expect("a case has a name").to_string_lossy();
        assert_eq!(kinds::read(&text).is_ok(), name.starts_with("ok_"), "{name}");
    }
}
