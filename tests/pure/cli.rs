//! Goal: every command prints and exits as promised.
//! Method: each `tests/cases/cli/*.cmd` holds a command line and what it comes to.
//!
//! ```text
//! # why this case is here
//! $ headwater graph examples/pipelines/minimal.yaml
//! exit 0
//! --- stdout
//! …
//! --- stderr
//! …
//! ```

use crate::expect::{demand_none, difference, files, root};
use crate::program::{headwater, run};
use std::process::Stdio;

#[test]
fn every_command_line_comes_to_what_is_expected() {
    let cases = files("tests/cases/cli", "cmd");
    assert!(cases.len() >= 12, "the cases are there: {}", cases.len());
    let mut differences = Vec::new();
    for case in cases {
        let text = std::fs::read_to_string(&case).expect("a case is readable");
        differences.extend(difference(&case, &replay(&text)));
    }
    demand_none(&differences);
}

/// The case as it would have to be written for what the program does now.
fn replay(case: &str) -> String {
    let command = case.lines().position(|line| line.starts_with("$ headwater"));
    let command = command.expect("a case has a line with `$ headwater`");
    let head: Vec<&str> = case.lines().take(command + 1).collect();
    let arguments: Vec<&str> = head[command].split_whitespace().skip(2).collect();
    let ran = run(headwater(&arguments).current_dir(root()));
    let head = head.join("\n");
    let mut out = format!("{head}\nexit {}\n", ran.code);
    for (name, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        if !text.is_empty() {
            out.push_str(&format!("--- {name}\n{text}"));
        }
    }
    out
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut command = headwater(&["schema"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.as_mut().expect("the binary starts");
    drop(child.stdout.take());
    let status = child.wait().expect("a child can be waited for");
    assert_eq!(status.code(), Some(0));
}
