//! Goal: no text, however odd, makes the loader panic, hang or print out of bounds.
//! Method: random characters, random YAML-like pieces, and sound files with random damage. A
//! failure prints its input; proptest keeps its seed.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::hostile::judge;
use crate::kinds;
use crate::property::property;

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

#[test]
fn any_text_ends_in_a_plan_or_in_diagnostics() {
    property!("spec-text", 2.0, 2).holds(&"\\PC{0,200}", |text| judge(&text));
}

#[test]
fn any_bytes_read_as_text_end_in_diagnostics() {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    property!("spec-bytes", 2.0, 2).holds(&bytes, |bytes| judge(&String::from_utf8_lossy(&bytes)));
}

#[test]
fn yaml_pieces_in_any_order_end_in_a_plan_or_in_diagnostics() {
    let pieces = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..80);
    property!("spec-pieces", 4.0, 2).holds(&pieces, |pieces| judge(&pieces.concat()));
}

#[test]
fn a_damaged_file_ends_in_a_plan_or_in_diagnostics() {
    let strategy = (0..SOUND.chars().count(), 0usize..20, prop::sample::select(&PIECES[..]));
    property!("spec-sound-damaged", 4.0, 2).holds(&strategy, |(at, cut, piece)| {
        let (before, behind) = (SOUND.chars().take(at), SOUND.chars().skip(at + cut));
        judge(&before.chain(piece.chars()).chain(behind).collect::<String>())
    });
}

/// A lone carriage return ends a line as well, also before a reference inside a value.
#[test]
fn a_reference_behind_a_lone_carriage_return_is_found_at_its_place() {
    for text in ["\u{e}\r${", "a: \"\r\n x ${\"", "é\r\ré ${"] {
        judge(text).expect("findings at their places");
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
