//! Goal: every mistake in a pipeline file is told with its place, what was expected and what to do.
//! Method: each `tests/cases/check/*.yaml` through `headwater validate`, against its `.expected`.

use crate::expect::{demand_none, difference, files, root};
use crate::program::{headwater, run};

#[test]
fn every_case_is_told_as_expected() {
    let cases = files("tests/cases/check", "yaml");
    assert!(cases.len() >= 20, "the cases are there: {}", cases.len());
    let mut differences = Vec::new();
    for case in cases {
        let name = case.file_name().expect("a case has a name").to_string_lossy();
        let folder = root().join("tests/cases/check");
        let ran = run(headwater(&["validate", &name]).current_dir(folder));
        // The name of a case says whether it is a mistake, so that an update cannot turn it around.
        let code = if name.starts_with("ok_") { 0 } else { 64 };
        assert_eq!(ran.code, code, "{name}: {ran:#?}");
        differences.extend(difference(&case.with_extension("expected"), &ran.output()));
    }
    demand_none(&differences);
}
