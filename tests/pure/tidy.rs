//! Goal: the tree keeps the habits that no compiler checks.
//! Method: read every Cargo.toml and every `.rs` file; all findings are told at once.

use crate::expect::{demand_none, root};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest line of a source file, in characters.
const COLUMNS_MAX: usize = 100;

/// Which of our crates each may depend on; tests and benches may use what they like.
const DIRECTION: [(&str, &[&str]); 5] = [
    ("proto", &[]),
    ("engine", &[]),
    ("broker", &[]),
    ("operators", &["headwater-engine", "headwater-proto"]),
    ("examples/telemetry", &["headwater-proto"]),
];

#[test]
fn crates_depend_in_one_direction() {
    let mut findings = Vec::new();
    for (folder, allowed) in DIRECTION {
        for name in dependencies(&root().join(folder).join("Cargo.toml")) {
            if name.starts_with("headwater") && !allowed.contains(&name.as_str()) {
                findings.push(format!("{folder} must not depend on {name}"));
            }
        }
    }
    for manifest in manifests() {
        if dependencies(&manifest).iter().any(|name| name == "headwater") {
            findings.push(format!("{} depends on the program", manifest.display()));
        }
    }
    demand_none(&findings);
}

#[test]
fn every_source_file_opens_with_what_it_is() {
    demand_none(&each_source(|_, text| {
        let is_told = text.starts_with("//!") || text.starts_with("#!");
        (!is_told).then(|| "does not open with `//!`".to_owned())
    }));
}

#[test]
fn lines_fit() {
    demand_none(&each_line(|line| {
        let length = line.chars().count();
        (length > COLUMNS_MAX && !cannot_be_broken(line)).then(|| format!("{length} columns"))
    }));
}

#[test]
fn nothing_is_left_for_later() {
    // In pieces, so that this file does not find itself.
    let marks =
        [["FIX", "ME"], ["TO", "DO"], ["to", "do!("], ["unimpl", "emented!("], ["db", "g!("]];
    demand_none(&each_line(|line| {
        let mark = marks.iter().map(|parts| parts.concat()).find(|mark| line.contains(mark));
        mark.map(|mark| format!("holds {mark}"))
    }));
}

#[test]
fn nothing_is_unsafe() {
    let mark = ["uns", "afe "].concat();
    demand_none(&each_line(|line| {
        let code = line.split("//").next().unwrap_or_default();
        code.contains(&mark).then(|| "is unsafe".to_owned())
    }));
}

/// A document that says which test holds what must not outlive the test.
#[test]
fn tests_that_docs_name_are_there() {
    let sources: Vec<String> = walk(root())
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .map(|path| fs::read_to_string(path).expect("a readable file"))
        .collect();
    let text = fs::read_to_string(root().join("docs/RELIABILITY.md")).expect("it is there");
    let quoted = text.split('`').skip(1).step_by(2);
    let is_test_name = |word: &&str| {
        let is_name = word.chars().all(|it| it.is_ascii_lowercase() || it == '_');
        is_name && word.matches('_').count() >= 3
    };
    let names: Vec<&str> = quoted.filter(is_test_name).collect();
    assert!(names.len() > 30, "the names were found: {names:?}");
    let is_there = |name: &str| sources.iter().any(|it| it.contains(&format!("fn {name}(")));
    let gone = names.iter().filter(|name| !is_there(name));
    demand_none(&gone.map(|name| format!("there is no test {name}")).collect::<Vec<_>>());
}

/// Tests may; code says by `expect` which invariant holds.
#[test]
fn code_does_not_unwrap() {
    let mark = [".unw", "rap()"].concat();
    demand_none(&each_source(|path, text| {
        if is_test(path) {
            return None;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| {
            let line = line.split("//").next().unwrap_or_default();
            line.contains(&mark)
        });
        let numbers: Vec<String> = lines.map(|(index, _)| (index + 1).to_string()).collect();
        (!numbers.is_empty()).then(|| format!("unwraps in line {}", numbers.join(", ")))
    }));
}

/// A long text or address stands on a line of its own.
fn cannot_be_broken(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('"') || line.starts_with("r#\"") || line.contains("://")
}

fn is_test(path: &Path) -> bool {
    let in_folder = path.components().any(|part| {
        let part = part.as_os_str();
        part == "tests" || part == "benches" || part == "suite" || part == "support"
    });
    in_folder || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// The names in `[dependencies]` and `[build-dependencies]`.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).expect("a manifest is readable");
    let mut names = BTreeMap::new();
    let mut is_inside = false;
    for line in text.lines() {
        if line.starts_with('[') {
            is_inside = line == "[dependencies]" || line == "[build-dependencies]";
            continue;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if is_inside && !name.is_empty() && !name.starts_with('#') {
            names.insert(name.to_owned(), ());
        }
    }
    names.into_keys().collect()
}

fn manifests() -> Vec<PathBuf> {
    let all = walk(root());
    all.into_iter().filter(|path| path.file_name().is_some_and(|it| it == "Cargo.toml")).collect()
}

fn each_source(check: impl Fn(&Path, &str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    let sources = walk(root());
    let sources = sources.iter().filter(|path| path.extension().is_some_and(|it| it == "rs"));
    let mut count = 0;
    for path in sources {
        count += 1;
        let text = fs::read_to_string(path).expect("a source file is text");
        let shown = path.strip_prefix(root()).expect("it is below the root");
        if let Some(finding) = check(shown, &text) {
            findings.push(format!("{}: {finding}", shown.display()));
        }
    }
    assert!(count > 100, "the tree was found: {count} files");
    findings
}

fn each_line(check: impl Fn(&str) -> Option<String>) -> Vec<String> {
    each_source(|_, text| {
        let lines = text.lines().enumerate();
        let found = lines.filter_map(|(index, line)| {
            check(line).map(|finding| format!("line {}: {finding}", index + 1))
        });
        let found: Vec<String> = found.collect();
        (!found.is_empty()).then(|| found.join("; "))
    })
}

/// All files that are ours: no build output, nothing hidden.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
