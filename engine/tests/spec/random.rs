//! Goal: no text, however odd, makes the loader panic, hang or print out of bounds.
//! Method: random characters, random YAML-like pieces, and sound files with random damage. A
//! failure prints its input; proptest keeps its seed.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::kinds;

const SOUND: &str = "pipeline: p\nworkers: 2\nsources:\n  events:\n    kind: grpc\n    \
    endpoint: &e \"http://${env:HOST}\"\n    request: { a: [1, *e] }\n    metadata:\n      \
    <<: { x: \"${file:/run/secrets/token}\" }\ndecoders:\n  json: { kind: protobuf, from: events, \
    to: json }\nsinks:\n  out: { kind: kafka, from: json, topic: 'é', key: { field: a } }\n";

const PIECES: [&str; 40] = [
    "pipeline",
    "sources",
    "decoders",
    "sinks",
    "kind",
    "from",
    "grpc",
    "kafka",
    "json",
    "events",
    ":",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a",
    "*a",
    "!!int ",
    "!x ",
    "<<",
    "|",
    ">",
    "'",
    "\"",
    "#",
    "---",
    "...",
    "?",
    "${env:SECRET}",
    "${",
    "$${",
    "\t",
    "é",
    "1e9",
];

fn check(text: &str) {
    match kinds::read(text) {
        Ok((plan, _)) => assert!(plan.nodes().len() >= 2),
        Err(diagnostics) => {
            assert!(diagnostics.errors() > 0);
            for diagnostic in diagnostics.iter() {
                let span = diagnostic.span;
                assert!(span.line >= 1 && span.column >= 1);
                assert!(text.get(span.start..span.end).is_some(), "{span:?} is inside the text");
            }
            let rendered = diagnostics.render(false);
            assert!(!rendered.contains("hunter2"), "{rendered}");
            assert!(!rendered.contains('\x1b') && !rendered.contains('\t'));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn any_text_ends_in_a_plan_or_in_diagnostics(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn any_bytes_read_as_text_end_in_diagnostics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn yaml_pieces_in_any_order_end_in_a_plan_or_in_diagnostics(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..80),
    ) {
        check(&pieces.concat());
    }

    #[test]
    fn a_damaged_file_ends_in_a_plan_or_in_diagnostics(
        at in 0..SOUND.chars().count(),
        cut in 0usize..20,
        piece in prop::sample::select(&PIECES[..]),
    ) {
        let damaged: String = SOUND
            .chars()
            .take(at)
            .chain(piece.chars())
            .chain(SOUND.chars().skip(at + cut))
            .collect();
        check(&damaged);
    }
}

#[test]
fn the_file_that_is_damaged_is_sound() {
    kinds::read(SOUND).expect("a sound file");
}

/// Nine anchors of nine aliases each: a few hundred bytes that stand for a billion values.
#[test]
fn a_billion_laughs_end_in_a_diagnostic() {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        let items = vec![below; 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").expect("a string can be written to");
    }
    let rendered = kinds::read(&text).expect_err("too much").to_string();
    assert!(rendered.contains("holds too much once its aliases are written out"), "{rendered}");
}

#[test]
fn a_long_text_behind_many_aliases_ends_in_a_diagnostic() {
    let long = "x".repeat(500_000);
    let text = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 50].join(", "));
    let rendered = kinds::read(&text).expect_err("too much").to_string();
    assert!(rendered.contains("holds too much once its aliases are written out"), "{rendered}");
    assert!(rendered.len() < 2000, "long lines are quoted in part");
}

#[test]
fn a_thousand_brackets_end_in_a_diagnostic() {
    for opening in ["[", "{a: ", "- "] {
        let rendered = kinds::read(&opening.repeat(1000)).expect_err("too deep").to_string();
        assert!(rendered.contains("nested too deeply"), "{rendered}");
    }
}

#[test]
fn a_file_above_the_limit_is_not_read() {
    let text = "#".repeat(headwater_engine::spec::FILE_BYTES_MAX + 1);
    let rendered = kinds::read(&text).expect_err("too large").to_string();
    assert!(rendered.contains("the file is too large"), "{rendered}");
}

/// Many mistakes in a file of the largest size cost seconds at most, and one screen of output.
#[test]
fn a_large_file_of_mistakes_is_checked_in_bounded_time() {
    let mut text = String::from("pipeline: p\nsources:\n");
    for index in 0..15_000 {
        writeln!(text, "  n{index}: {{ kind: grcp, from: x }}")
            .expect("a string can be written to");
    }
    let diagnostics = kinds::read(&text).expect_err("mistakes");
    assert!(diagnostics.errors() > 40_000);
    assert!(diagnostics.to_string().contains("(the first 200 are shown)"));
}
