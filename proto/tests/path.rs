//! Goal: a path finds on the wire what prost-reflect finds in the decoded message.
//! Method: named cases for every rule, then random messages under many paths.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/property/mod.rs"]
mod property;
mod support;

use std::borrow::Cow;

use headwater_proto::wire::WireFault;
use headwater_proto::{FieldPath, Leaf, LeafKind, Timestamp};
use property::property;
use proptest::prelude::*;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage as _, Value};
use support::{Maker, field, message, tag, varint};

fn path(name: &str, text: &str) -> FieldPath {
    FieldPath::compile(&message(name), text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn bytes(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

fn int(number: u32, value: u64, out: &mut Vec<u8>) {
    tag(number, 0, out);
    varint(value, out);
}

#[test]
fn a_field_without_presence_has_its_default_if_its_parents_are_there() {
    let weight = path("rich.Everything", "node.weight");
    assert_eq!(weight.find(b""), Ok(None));
    let wire = bytes(|out| field(5, b"", out));
    assert_eq!(weight.find(&wire), Ok(Some(Leaf::Int(0))));
    assert_eq!(path("rich.Scalars", "a_string").find(b""), Ok(Some(Leaf::Text(""))));
    assert_eq!(path("rich.Scalars", "someBytes").find(b""), Ok(Some(Leaf::Bytes(b""))));
    assert_eq!(path("rich.Scalars", "maybe_int").find(b""), Ok(None));
    assert_eq!(path("rich2.Old", "count").find(b""), Ok(None));
}

#[test]
fn the_last_occurrence_counts_through_merged_parents() {
    let wire = bytes(|out| {
        field(
            5,
            &bytes(|out| {
                int(4, 1, out);
                int(4, 2, out);
            }),
            out,
        );
        field(5, &bytes(|out| field(3, b"x", out)), out);
    });
    assert_eq!(path("rich.Everything", "node.weight").find(&wire), Ok(Some(Leaf::Int(2))));
    let merged = bytes(|out| {
        int(4, 1, out);
        int(4, 2, out);
        field(3, b"x", out);
    });
    let node = path("rich.Everything", "node");
    assert_eq!(node.find(&wire), Ok(Some(Leaf::Message(Cow::Owned(merged)))));
}

#[test]
fn a_message_that_occurs_once_is_not_copied() {
    let wire = bytes(|out| field(5, b"\x20\x01", out));
    let found = path("rich.Everything", "node").find(&wire);
    assert!(matches!(found, Ok(Some(Leaf::Message(Cow::Borrowed(b"\x20\x01"))))), "{found:?}");
}

#[test]
fn elements_are_counted_over_packed_and_unpacked_runs() {
    let wire = bytes(|out| {
        int(2, 5, out);
        field(2, &[6, 7], out);
        field(2, &[], out);
        int(2, 8, out);
    });
    for (text, expected) in [
        ("ints[0]", Some(5)),
        ("ints[2]", Some(7)),
        ("ints[3]", Some(8)),
        ("ints[-1]", Some(8)),
        ("ints[4]", None),
    ] {
        assert_eq!(path("rich.Lists", text).find(&wire), Ok(expected.map(Leaf::Int)), "{text}");
    }
}

#[test]
fn each_element_starts_afresh() {
    let wire = bytes(|out| {
        field(12, &bytes(|out| int(4, 1, out)), out);
        field(12, b"", out);
    });
    assert_eq!(path("rich.Lists", "nodes[-1].weight").find(&wire), Ok(Some(Leaf::Int(0))));
    assert_eq!(path("rich.Lists", "nodes[-1].child.weight").find(&wire), Ok(None));
    assert_eq!(path("rich.Lists", "nodes[0].weight").find(&wire), Ok(Some(Leaf::Int(1))));
}

#[test]
fn elements_inside_an_element_are_counted_afresh() {
    let node = |weights: &[u64]| {
        bytes(|out| {
            for &weight in weights {
                field(2, &bytes(|out| int(4, weight, out)), out);
            }
        })
    };
    let wire = bytes(|out| {
        field(12, &node(&[1, 2]), out);
        field(12, &node(&[3, 4]), out);
    });
    let found = path("rich.Lists", "nodes[-1].children[1].weight").find(&wire);
    assert_eq!(found, Ok(Some(Leaf::Int(4))));
}

#[test]
fn another_member_of_a_oneof_unsets_the_path() {
    let node = bytes(|out| int(4, 7, out));
    let wire = bytes(|out| {
        field(4, &node, out);
        int(2, 1, out);
    });
    assert_eq!(path("rich.Choice", "node.weight").find(&wire), Ok(None));
    let again = bytes(|out| {
        field(4, &node, out);
        int(2, 1, out);
        field(4, b"", out);
    });
    assert_eq!(path("rich.Choice", "node.weight").find(&again), Ok(Some(Leaf::Int(0))));
    let other = bytes(|out| {
        field(4, &node, out);
        field(9, b"left", out);
    });
    assert_eq!(path("rich.Choice", "node.weight").find(&other), Ok(Some(Leaf::Int(7))));
}

#[test]
fn the_last_entry_of_a_key_counts() {
    let entry = |key: &[u8], value: &[u8]| {
        bytes(|out| {
            field(1, key, out);
            field(2, value, out);
        })
    };
    let wire = bytes(|out| {
        field(1, &entry(b"a b", b"1"), out);
        field(1, &entry(b"c", b"2"), out);
        field(1, &entry(b"a b", b"3"), out);
        field(1, b"", out);
    });
    assert_eq!(path("rich.Maps", r#"texts["a b"]"#).find(&wire), Ok(Some(Leaf::Text("3"))));
    assert_eq!(path("rich.Maps", r#"texts[""]"#).find(&wire), Ok(Some(Leaf::Text(""))));
    assert_eq!(path("rich.Maps", r#"texts["d"]"#).find(&wire), Ok(None));
    let numbered = bytes(|out| {
        field(
            3,
            &bytes(|out| {
                int(1, 5, out);
                field(2, b"z", out);
            }),
            out,
        )
    });
    assert_eq!(path("rich.Maps", r#"zigzags["-3"]"#).find(&numbered), Ok(Some(Leaf::Bytes(b"z"))));
}

#[test]
fn groups_are_walked_like_messages() {
    let wire = bytes(|out| {
        tag(7, 3, out);
        int(1, 9, out);
        tag(7, 4, out);
    });
    assert_eq!(path("rich2.Old", "pair.left").find(&wire), Ok(Some(Leaf::Int(9))));
}

#[test]
fn timestamps_are_known_and_read() {
    let time = path("rich.WellKnown", "time");
    assert!(time.is_timestamp() && time.kind() == LeafKind::Message);
    assert!(!path("rich.WellKnown", "duration").is_timestamp());
    let wire = bytes(|out| {
        field(
            1,
            &bytes(|out| {
                int(1, 5, out);
                int(2, u64::MAX, out);
            }),
            out,
        )
    });
    let Ok(Some(Leaf::Message(found))) = time.find(&wire) else { panic!("the field is there") };
    assert_eq!(Timestamp::decode(&found), Ok(Timestamp { seconds: 5, nanos: -1 }));
}

#[test]
fn broken_wire_is_told_with_its_offset() {
    let weight = path("rich.Everything", "node.weight");
    let wire = bytes(|out| {
        int(900, 1, out);
        field(5, b"\x20\x80", out);
    });
    let error = weight.find(&wire).unwrap_err();
    assert_eq!((error.offset, error.fault), (6, WireFault::Varint));
    let text = path("rich.Everything", "node.name");
    let error = text.find(&bytes(|out| field(5, b"\x1a\x01\xff", out))).unwrap_err();
    assert_eq!((error.offset, error.fault), (4, WireFault::Utf8));
    let error = weight.find(&bytes(|out| int(5, 1, out))).unwrap_err();
    assert_eq!(error.fault, WireFault::WireTypeMismatch);
}

/// The cases are in `cases/path-errors.txt`: lines `TYPE: PATH`, each followed by what is told of
/// it. The file is rewritten when `UPDATE_EXPECTED` is set.
#[test]
fn a_path_that_does_not_fit_is_told_with_its_column() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/path-errors.txt");
    let expected = std::fs::read_to_string(file).unwrap();
    let mut told = String::new();
    let cases = expected.lines().filter(|line| !line.is_empty() && !line.starts_with(' '));
    for line in cases {
        let (name, text) = line.split_once(": ").unwrap();
        let error = FieldPath::compile(&message(name), text).unwrap_err();
        let place = name.len() + 2 + error.column;
        told += &format!("{line}\n{:place$}^ {error}\n", "");
        if let Some(hint) = error.hint {
            told += &format!("  hint: {hint}\n");
        }
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(file, &told).unwrap();
    }
    assert_eq!(told, expected);
    assert!(told.lines().count() > 30, "the cases were lost");
}

#[test]
fn the_fields_on_a_way_have_numbers_where_one_element_suffices() {
    let numbers = |name: &str, text: &str| path(name, text).numbers();
    assert_eq!(numbers("rich.Everything", "node.child.name"), Some(vec![5, 1, 3]));
    assert_eq!(numbers("rich.Lists", "nodes[-1].name"), Some(vec![12, 3]));
    assert_eq!(numbers("rich.Lists", "nodes[0].name"), Some(vec![12, 3]));
    assert_eq!(numbers("rich.Lists", "nodes[1].name"), None, "a second element is needed");
    assert_eq!(numbers("rich.Maps", "texts[\"a\"]"), None);
}

#[test]
fn a_path_is_neither_empty_nor_endless() {
    let empty = FieldPath::compile(&message("rich.Node"), "").unwrap_err();
    assert_eq!(empty.message, "found the end of the path, expected a field name");
    let long = ["child"; 33].join(".");
    let error = FieldPath::compile(&message("rich.Node"), &long).unwrap_err();
    assert_eq!(error.column, 192);
    assert_eq!(error.message, "a path has at most 32 fields");
}

/// One step of a path, for the reference.
#[derive(Clone, Copy)]
enum Step {
    Field(&'static str),
    Nth(&'static str, usize),
    Last(&'static str),
    Key(&'static str, &'static str),
}

use Step::{Field, Key, Last, Nth};

const PATHS: [(&str, &str, &[Step]); 22] = [
    ("rich.Everything", "node.weight", &[Field("node"), Field("weight")]),
    ("rich.Everything", "node.child.name", &[Field("node"), Field("child"), Field("name")]),
    (
        "rich.Everything",
        "node.children[1].weight",
        &[Field("node"), Nth("children", 1), Field("weight")],
    ),
    ("rich.Everything", "choice.node.child", &[Field("choice"), Field("node"), Field("child")]),
    (
        "rich.Everything",
        "more[-1].scalars.a_sint32",
        &[Last("more"), Field("scalars"), Field("a_sint32")],
    ),
    ("rich.Everything", "lists.ints[-1]", &[Field("lists"), Last("ints")]),
    ("rich.Choice", "number", &[Field("number")]),
    ("rich.Choice", "text", &[Field("text")]),
    ("rich.Choice", "scalars.a_double", &[Field("scalars"), Field("a_double")]),
    ("rich.Choice", "time", &[Field("time")]),
    ("rich.Choice", "colour", &[Field("colour")]),
    ("rich.Lists", "zigzags[1]", &[Nth("zigzags", 1)]),
    ("rich.Lists", "floats[-1]", &[Last("floats")]),
    ("rich.Lists", "strings[0]", &[Nth("strings", 0)]),
    ("rich.Lists", "nodes[-1].child.child", &[Last("nodes"), Field("child"), Field("child")]),
    ("rich.Maps", "texts[\"a\"]", &[Key("texts", "a")]),
    ("rich.Maps", "ints[\"-1\"]", &[Key("ints", "-1")]),
    ("rich.Maps", "nodes[\"0\"].weight", &[Key("nodes", "0"), Field("weight")]),
    ("rich.Maps", "bools[\"true\"]", &[Key("bools", "true")]),
    ("rich.Scalars", "maybe_double", &[Field("maybe_double")]),
    ("rich2.Old", "pair.deep.bottom", &[Field("pair"), Field("deep"), Field("bottom")]),
    ("rich2.Old", "row[-1].cell", &[Last("row"), Field("cell")]),
];

/// What prost-reflect finds; a message as its own decoded form.
fn reference(root: &DynamicMessage, steps: &[Step]) -> Option<Value> {
    let mut value = Value::Message(root.clone());
    for step in steps {
        let message = value.as_message()?.clone();
        let get = |name: &str| {
            let field = message.descriptor().get_field_by_name(name).unwrap();
            let there = !field.supports_presence() || message.has_field(&field);
            there.then(|| message.get_field(&field).into_owned())
        };
        value = match *step {
            Field(name) => get(name)?,
            Nth(name, position) => get(name)?.as_list()?.get(position)?.clone(),
            Last(name) => get(name)?.as_list()?.last()?.clone(),
            Key(name, key) => get(name)?.as_map()?.get(&parsed(name, key))?.clone(),
        };
    }
    Some(value)
}

fn parsed(map: &str, key: &str) -> MapKey {
    match map {
        "texts" => MapKey::String(key.to_owned()),
        "ints" => MapKey::I32(key.parse().unwrap()),
        "nodes" => MapKey::U64(key.parse().unwrap()),
        _ => MapKey::Bool(key.parse().unwrap()),
    }
}

fn agree(leaf: Option<Leaf<'_>>, value: Option<Value>) -> bool {
    match (leaf, value) {
        (None, None) => true,
        (Some(leaf), Some(value)) => match (leaf, value) {
            (Leaf::Bool(ours), Value::Bool(theirs)) => ours == theirs,
            (Leaf::Int(ours), Value::I32(theirs)) => ours == i64::from(theirs),
            (Leaf::Int(ours), Value::I64(theirs)) => ours == theirs,
            (Leaf::Uint(ours), Value::U32(theirs)) => ours == u64::from(theirs),
            (Leaf::Uint(ours), Value::U64(theirs)) => ours == theirs,
            (Leaf::Float(ours), Value::F32(theirs)) => {
                ours.to_bits() == f64::from(theirs).to_bits()
            }
            (Leaf::Float(ours), Value::F64(theirs)) => ours.to_bits() == theirs.to_bits(),
            (Leaf::Text(ours), Value::String(theirs)) => ours == theirs,
            (Leaf::Bytes(ours), Value::Bytes(theirs)) => ours == theirs,
            (Leaf::Enum(ours), Value::EnumNumber(theirs)) => ours == theirs,
            (Leaf::Message(ours), Value::Message(theirs)) => {
                // No path leads to a message with floats, whose NaN would not equal itself.
                DynamicMessage::decode(theirs.descriptor(), &ours[..]).unwrap() == theirs
            }
            _ => false,
        },
        _ => false,
    }
}

thread_local! {
    static SUBJECTS: Vec<(FieldPath, &'static [Step], prost_reflect::MessageDescriptor)> = {
        let pool = support::pool();
        let subject = |(name, text, steps): &(&str, &str, &'static [Step])| {
            let descriptor = pool.get_message_by_name(name).unwrap();
            (FieldPath::compile(&descriptor, text).unwrap(), *steps, descriptor)
        };
        PATHS.iter().map(subject).collect()
    };
}

/// Whether a leaf was found, or the difference.
fn compare(pick: usize, entropy: &[u8]) -> Result<bool, String> {
    SUBJECTS.with(|subjects| {
        let (path, steps, descriptor) = &subjects[pick];
        let wire = Maker::new(entropy, false).message(descriptor, 0);
        let Ok(message) = DynamicMessage::decode(descriptor.clone(), &wire[..]) else {
            return Ok(false);
        };
        let found = path.find(&wire).map_err(|error| format!("{path}: {error}"))?;
        let expected = reference(&message, steps);
        let there = found.is_some();
        // Not the reference's value: prost-reflect prints the whole of a recursive type with it.
        let text = format!("{path}: found {found:?} in {wire:x?}");
        if agree(found, expected) { Ok(there) } else { Err(text) }
    })
}

#[test]
fn a_path_finds_what_prost_reflect_finds() {
    let strategy = (0..PATHS.len(), prop::collection::vec(any::<u8>(), 0..300));
    property!("path-find", 8.0, 2)
        .holds(&strategy, |(pick, entropy)| compare(pick, &entropy).map(drop));
}

#[test]
fn random_messages_reach_every_path() {
    // Guards the test above: a path that is never found compares nothing.
    use proptest::strategy::{Strategy as _, ValueTree as _};
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(any::<u8>(), 100..300);
    for (pick, (_, text, _)) in PATHS.iter().enumerate() {
        let found = (0..4000).any(|_| {
            let entropy = strategy.new_tree(&mut runner).unwrap().current();
            compare(pick, &entropy).unwrap()
        });
        assert!(found, "{text} is never found");
    }
}
