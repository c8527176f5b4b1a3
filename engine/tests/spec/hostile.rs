//! Goal: no file, however damaged, deep, dear or oddly encoded, makes the loader panic or hang, and
//! every finding stands at a place that is in the file.
//! Method: the golden cases damaged; pieces of odd encodings; towers of brackets and of aliases; a
//! megabyte of one piece.

use proptest::prelude::*;

use headwater_engine::spec::{FILE_BYTES_MAX, Span};

use crate::kinds;
use crate::property::damage::{damaged_text, damages};
use crate::property::{peak_bytes, property};

/// What a whole run of the test program may hold at most.
const PEAK_BYTES_MAX: u64 = 2 << 30;

/// Reads a text, and holds what is told against it.
pub(crate) fn judge(text: &str) -> Result<(), String> {
    let findings = match kinds::read(text) {
        Ok((_, warnings)) => warnings,
        Err(diagnostics) if diagnostics.errors() == 0 => {
            return Err("refused without an error".to_owned());
        }
        Err(diagnostics) => {
            let rendered = diagnostics.render(false);
            if rendered.contains("hunter2") || rendered.contains(['\x1b', '\t', '\r']) {
                return Err(format!("printed: {rendered:?}"));
            }
            diagnostics.iter().cloned().collect()
        }
    };
    let lines = Lines::of(text);
    findings.iter().try_for_each(|finding| {
        is_inside(&lines, finding.span).map_err(|error| format!("{error}: {finding:?}"))
    })
}

/// A place is a range of the text, and its line and column are those of its start.
fn is_inside(lines: &Lines<'_>, span: Span) -> Result<(), String> {
    if lines.text.get(span.start..span.end).is_none() {
        return Err(format!("{}..{} is not in the text", span.start, span.end));
    }
    let place = lines.place(span.start);
    if (span.line, span.column) != place {
        return Err(format!("{place:?} is where byte {} stands", span.start));
    }
    Ok(())
}

/// Where the lines of a text begin, found once: a large file has very many findings.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// YAML knows three ends of a line.
    fn of(text: &'a str) -> Self {
        let is_end = |at: usize| match &text.as_bytes()[at..] {
            [b'\n', ..] => true,
            [b'\r', rest @ ..] => rest.first() != Some(&b'\n'),
            _ => false,
        };
        let behind = (0..text.len()).filter(|at| is_end(*at)).map(|at| at + 1);
        Lines { text, starts: std::iter::once(0).chain(behind).collect() }
    }

    /// Line and column of a byte, both from 1.
    fn place(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= byte);
        (line, self.text[self.starts[line - 1]..byte].chars().count() + 1)
    }
}

fn golden() -> Vec<String> {
    let read = |path| std::fs::read_to_string(path).expect("a case is readable");
    crate::golden::cases().iter().map(read).collect()
}

#[test]
fn damaged_cases_end_in_a_plan_or_in_findings_at_their_places() {
    let cases = golden();
    property!("spec-damaged", 4.0, 2).holds(&(0..cases.len(), damages(4)), |(pick, damages)| {
        judge(&damaged_text(&cases[pick], &damages))
    });
}

#[test]
fn odd_encodings_end_in_a_plan_or_in_findings_at_their_places() {
    let odd = prop::sample::select(
        &[
            "\u{feff}",
            "\0",
            "\r",
            "\r\n",
            "\u{85}",
            "\u{2028}",
            "\u{2029}",
            "\u{b}",
            "\u{c}",
            "\u{7f}",
            "\u{fffd}",
            "\u{fffe}",
            "\u{1f980}",
            "e\u{301}",
            "\u{202e}",
            "\x1b[31m",
            "%YAML 1.1\n---\n",
            "\\x00",
            "\"\\uD800\"",
            "!<tag:yaml.org,2002:binary> aGk=",
        ][..],
    );
    let cases = golden();
    let places = prop::collection::vec((any::<prop::sample::Index>(), odd), 1..6);
    let strategy = (0..cases.len(), places, any::<bool>());
    property!("spec-encodings", 4.0, 2).holds(&strategy, |(pick, places, with_returns)| {
        let mut text: Vec<char> = cases[pick].chars().collect();
        for (at, odd) in places {
            let at = at.index(text.len() + 1);
            text.splice(at..at, odd.chars());
        }
        let text: String = text.into_iter().collect();
        judge(&if with_returns { text.replace('\n', "\r\n") } else { text })
    });
}

#[test]
fn utf_16_is_refused_in_words() {
    for big_endian in [false, true] {
        let units = "\u{feff}pipeline: p\n".encode_utf16();
        let swap = |unit: u16| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
        let bytes: Vec<u8> = units.flat_map(swap).collect();
        judge(&String::from_utf8_lossy(&bytes)).unwrap();
        kinds::read(&String::from_utf8_lossy(&bytes)).expect_err("it is not a pipeline");
    }
}

#[test]
fn towers_of_brackets_end_in_findings() {
    let opening = prop::sample::select(
        &[
            "[", "{", "{a: ", "- ", "? ", "[[", "{[", "&a [", "!t {", "a: ", "\n ", "'", "|\n",
            "<<: ",
        ][..],
    );
    let closing = prop::sample::select(&["", "]", "}", "]}", ": b"][..]);
    let floor = (prop::collection::vec(opening, 1..4), closing, 1..3000usize, 0..3000usize);
    property!("spec-towers", 0.5, 5).holds(&floor, |(floor, closing, up, down)| {
        let floor = floor.concat();
        judge(&format!("{}x{}", floor.repeat(up), closing.repeat(down)))
    });
}

/// Anchors that hold aliases of the ones before them, so that few bytes stand for very many.
#[test]
fn towers_of_aliases_end_in_findings() {
    let floors = prop::collection::vec((1..12usize, 0..4u8), 1..20);
    property!("spec-aliases", 0.1, 5).holds(&floors, |floors| {
        let mut text = String::from("a0: &a0 {k: [lol, lol], l: lol}\n");
        for (level, (width, form)) in floors.into_iter().enumerate() {
            let below = format!("*a{level}");
            let body = match form {
                0 => format!("{{<<: [{}]}}", vec![below; width].join(", ")),
                1 => format!("{{<<: {below}, m{level}: {below}}}"),
                2 => format!("{{? {below} : {below}}}"),
                _ => format!("[{}]", vec![below; width].join(", ")),
            };
            text += &format!("a{0}: &a{0} {body}\n", level + 1);
        }
        judge(&text)
    });
    assert!(peak_bytes().is_none_or(|peak| peak < PEAK_BYTES_MAX), "{:?}", peak_bytes());
}

/// A file of the largest size, made of one piece of a few bytes.
#[test]
fn a_large_file_of_anything_costs_bounded_time_and_memory() {
    let piece = prop::sample::select(
        &[
            "a: b\n",
            "- a\n",
            "${env:SMALL} ",
            "${",
            "$${",
            "*a ",
            "&a ",
            "a: &a b\n",
            "[a, b], ",
            "'",
            "\"\\n",
            "#\n",
            "\n",
            " ",
            "é",
            "{a: b}, ",
            "? a\n",
            "!!int 1\n",
            "x",
            "a: |\n b\n",
            "  n: { kind: grpc }\n",
            "  n: { kind: kafka, from: n }\n",
            "---\n",
            "<<: {a: b}\n",
        ][..],
    );
    let head = prop::sample::select(&["", "pipeline: p\nsources:\n", "a: [", "a: {", "a: '"][..]);
    let pieces = (head, prop::collection::vec(piece, 1..3));
    property!("spec-large", 0.01, 10).holds(&pieces, |(head, pieces)| {
        let piece = pieces.concat();
        judge(&format!("{head}{}", piece.repeat((FILE_BYTES_MAX - head.len()) / piece.len())))
    });
    assert!(peak_bytes().is_none_or(|peak| peak < PEAK_BYTES_MAX), "{:?}", peak_bytes());
}
