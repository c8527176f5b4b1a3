//! Goal: any text with `${…}` in it becomes what the grammar says, or is refused at its place, and
//! what it cost is bounded.
//! Method: random texts against a reader of the grammar that is written here anew, with a table of
//! variables and files; then files that refer very often to very much.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use headwater_engine::spec::{Registry, Variables, load};

use crate::kinds::{self, Property, TopicConfig};
use crate::property::{Stopwatch, property};

/// Variables `A` and `B`, the file `f`, and one properties file.
struct Table;

impl Variables for Table {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "A" => Some("${env:B}".to_owned()),
            "B" => Some("grüße".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        match path.file_name().and_then(|name| name.to_str()) {
            Some("f") => Ok("of a file\r\n".to_owned()),
            Some("p") => Ok("k = v\nk2=w\nk: x\n".to_owned()),
            Some("large") => Ok("k=v\n".repeat(250_000)),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        }
    }
}

/// What the grammar makes of a text; nothing where it is refused.
fn expected(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("$${") {
            out += "${";
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("${") {
            let (inner, behind) = behind.split_once('}')?;
            out += &value(inner)?;
            rest = behind;
        } else {
            let first = rest.chars().next()?;
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(out)
}

fn value(inner: &str) -> Option<String> {
    match inner.split_once(':') {
        Some(("env", name)) => Table.env(name),
        Some(("file", "f")) => Some("of a file".to_owned()),
        Some(("file", "p:k")) => Some("x".to_owned()),
        Some(("file", "p:k2")) => Some("w".to_owned()),
        Some(("file", "p")) => Some("k = v\nk2=w\nk: x".to_owned()),
        Some(_) => None,
        None => {
            let (scope, name) = inner.split_once('.')?;
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let is_template = !scope.is_empty()
                && scope.chars().all(is_word)
                && !name.is_empty()
                && scope != "env"
                && scope != "file";
            is_template.then(|| format!("${{{inner}}}"))
        }
    }
}

fn file(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    format!(
        "pipeline: p\nsources:\n  events: {{ kind: grpc, endpoint: http://a }}\ndecoders:\n  \
         json: {{ kind: protobuf, from: events, to: json }}\nsinks:\n  out:\n    kind: kafka\n    \
         from: json\n    topic: t\n    properties: {{ k: '{quoted}' }}\n"
    )
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(kinds::registry);

#[test]
fn any_text_becomes_what_the_grammar_says_or_is_refused_at_its_place() {
    let piece = prop::sample::select(
        &[
            "${env:A}",
            "${env:B}",
            "${env:EMPTY}",
            "${env:C}",
            "${env:}",
            "${file:f}",
            "${file:p}",
            "${file:p:k}",
            "${file:p:k2}",
            "${file:p:}",
            "${file:}",
            "${file::}",
            "${cursor.x}",
            "${.x}",
            "${x.}",
            "${a.b:c}",
            "${}",
            "${",
            "$${",
            "$$${",
            "$",
            "{",
            "}",
            "é",
            "🦀",
            "a",
            "'",
            "\"",
            ":",
            " b",
            "${env:${env:B}}",
        ][..],
    );
    let pieces = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    let text = prop_oneof![4 => pieces, 1 => "[${}a-z:.]{0,20}", 1 => "\\PC{0,20}"];
    let resolved = Cell::new(0u32);
    property!("interpolation", 8.0, 2).holds(&text, |value| {
        let text = file(&value);
        let loaded = load(&kinds::source(&text), &REGISTRY, &Table);
        match (loaded, expected(&value)) {
            (Ok((plan, _)), Some(wanted)) => {
                resolved.set(resolved.get() + 1);
                let config: &TopicConfig = plan.node("out").expect("the sink").config();
                match &config.properties["k"] {
                    Property::Text(found) if *found == wanted => Ok(()),
                    found => Err(format!("{value:?} became {found:?}, expected {wanted:?}")),
                }
            }
            (Err(diagnostics), None) => diagnostics.iter().try_for_each(|finding| {
                let place = text.get(finding.span.start..finding.span.end);
                match place.is_some_and(|place| place.contains("${")) {
                    true => Ok(()),
                    false => Err(format!("{place:?} is no reference: {finding:?}")),
                }
            }),
            (loaded, wanted) => Err(format!("{value:?}: {:?}, expected {wanted:?}", loaded.err())),
        }
    });
    assert!(resolved.get() > crate::property::cases(1.0), "only {} resolved", resolved.get());
}

/// A file that refers very often to something large is refused in seconds.
#[test]
fn very_many_references_to_very_much_cost_bounded_time() {
    let entries = [
        ("${file:large}", 40_000),
        ("${file:large:k}", 40_000),
        ("${file:large:missing}", 30_000),
        ("${file:missing}", 40_000),
        ("${env:B}", 60_000),
        ("${", 90_000),
    ];
    for (entry, count) in entries {
        let mut text = String::from("a: [");
        for _ in 0..count {
            write!(text, "'{entry}',").expect("a string can be written to");
        }
        text += "]\n";
        let start = Stopwatch::start();
        let diagnostics = load(&kinds::source(&text), &REGISTRY, &Table).expect_err(entry);
        assert!(diagnostics.to_string().len() < 1 << 20, "{entry}");
        let took = start.elapsed();
        assert!(took.as_secs() < 20, "{count} times {entry} took {took:?}");
    }
}

/// A variable whose value stands in very many messages of a kind's own check.
#[test]
fn very_many_secrets_in_very_many_messages_cost_bounded_time() {
    struct Any;
    impl Variables for Any {
        fn env(&self, name: &str) -> Option<String> {
            Some(format!("secret value {name}"))
        }

        fn file(&self, _: &Path) -> io::Result<String> {
            Err(io::Error::new(io::ErrorKind::NotFound, "no such file"))
        }
    }
    let mut text = String::from("pipeline: p\nsources:\n");
    for index in 0..8_000 {
        writeln!(text, "  n{index}: {{ kind: grpc, endpoint: \"${{env:N{index}}}\" }}")
            .expect("a string can be written to");
    }
    let start = Stopwatch::start();
    let diagnostics = load(&kinds::source(&text), &REGISTRY, &Any).expect_err("no URLs");
    let took = start.elapsed();
    assert!(took.as_secs() < 20, "{took:?}");
    let told = diagnostics.to_string();
    assert!(told.contains("${env:N0}") && !told.contains("secret value"), "{told}");
}
