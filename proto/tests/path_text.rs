//! Goal: any text is a path or is refused with its place, and a path that was written from a type
//! reads back as itself and finds what prost-reflect finds.
//! Method: random and damaged texts; random walks through the test types, printed and compiled,
//! then searched for in sound and in damaged messages.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/property/mod.rs"]
mod property;
mod support;

use std::cell::Cell;

use headwater_proto::{FieldPath, Leaf, MessageDescriptor};
use property::damage::{damaged, damaged_text, damages};
use property::property;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, Value};
use support::Maker;

const TYPES: [&str; 6] =
    ["rich.Everything", "rich.Lists", "rich.Choice", "rich.Maps", "rich.WellKnown", "rich2.Old"];

/// How many fields a random path has at most.
const STEPS_MAX: usize = 5;

thread_local! {
    static SUBJECTS: Vec<MessageDescriptor> = {
        let pool = support::pool();
        TYPES.iter().map(|name| pool.get_message_by_name(name).unwrap()).collect()
    };
}

fn subject(pick: usize) -> MessageDescriptor {
    SUBJECTS.with(|subjects| subjects[pick].clone())
}

/// One field on the way, with what stands in brackets behind it.
#[derive(Clone, Debug)]
struct Step {
    field: FieldDescriptor,
    index: Index,
    by_json_name: bool,
}

#[derive(Clone, Debug)]
enum Index {
    None,
    Nth(usize),
    Last,
    Key(MapKey),
}

/// A random walk from a type downwards.
fn walk(root: &MessageDescriptor, entropy: &[u8]) -> Vec<Step> {
    let mut bytes = entropy.iter().copied();
    let mut inside = Some(root.clone());
    let mut steps = Vec::new();
    while let (Some(message), true) = (&inside, steps.len() < STEPS_MAX) {
        let fields: Vec<FieldDescriptor> = message.fields().collect();
        let (Some(pick), Some(how)) = (bytes.next(), bytes.next()) else { break };
        let Some(field) = fields.get(usize::from(pick) % fields.len().max(1)) else { break };
        // `odd "näme"` is a name in JSON and no name in a path.
        let by_json_name = how % 3 == 0 && field.json_name().chars().all(char::is_alphanumeric);
        let (index, kind) = index(field, how);
        inside = kind.as_message().cloned();
        steps.push(Step { field: field.clone(), index, by_json_name });
    }
    steps
}

fn index(field: &FieldDescriptor, how: u8) -> (Index, Kind) {
    let kind = field.kind();
    if let (true, Some(entry)) = (field.is_map(), kind.as_message()) {
        let key = key(&entry.map_entry_key_field().kind(), how);
        return (Index::Key(key), entry.map_entry_value_field().kind());
    }
    let index = match (field.is_list(), how % 4) {
        (false, _) => Index::None,
        (true, 0) => Index::Last,
        (true, position) => Index::Nth(usize::from(position) - 1),
    };
    (index, kind)
}

/// Keys that the maker of messages uses, and texts that need a backslash.
fn key(kind: &Kind, how: u8) -> MapKey {
    let (small, texts) = (how % 4, ["a", "", "b", "\u{e9}", "\"", "\\", "a\"\\b]", "."]);
    match kind {
        Kind::String => MapKey::String(texts[usize::from(how % 8)].to_owned()),
        Kind::Bool => MapKey::Bool(how.is_multiple_of(2)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(-i32::from(small)),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(-i64::from(small)),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32(u32::from(small)),
        _ => MapKey::U64(u64::from(small)),
    }
}

fn render(steps: &[Step]) -> String {
    let steps = steps.iter().map(|step| {
        let field = &step.field;
        let name = if step.by_json_name { field.json_name() } else { field.name() };
        match &step.index {
            Index::None => name.to_owned(),
            Index::Nth(position) => format!("{name}[{position}]"),
            Index::Last => format!("{name}[-1]"),
            Index::Key(key) => format!("{name}[\"{}\"]", key_text(key)),
        }
    });
    steps.collect::<Vec<_>>().join(".")
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.replace('\\', "\\\\").replace('"', "\\\""),
    }
}

/// What prost-reflect has at the end of the walk.
fn reference(root: &DynamicMessage, steps: &[Step]) -> Option<Value> {
    let mut value = Value::Message(root.clone());
    for Step { field, index, .. } in steps {
        let message = value.as_message()?;
        if field.supports_presence() && !message.has_field(field) {
            return None;
        }
        let found = message.get_field(field).into_owned();
        value = match index {
            Index::None => found,
            Index::Nth(position) => found.as_list()?.get(*position)?.clone(),
            Index::Last => found.as_list()?.last()?.clone(),
            Index::Key(key) => found.as_map()?.get(key)?.clone(),
        };
    }
    Some(value)
}

fn agree(leaf: &Option<Leaf<'_>>, value: &Option<Value>) -> bool {
    match (leaf, value) {
        (None, None) => true,
        (Some(Leaf::Bool(ours)), Some(Value::Bool(theirs))) => ours == theirs,
        (Some(Leaf::Int(ours)), Some(Value::I32(theirs))) => *ours == i64::from(*theirs),
        (Some(Leaf::Int(ours)), Some(Value::I64(theirs))) => ours == theirs,
        (Some(Leaf::Uint(ours)), Some(Value::U32(theirs))) => *ours == u64::from(*theirs),
        (Some(Leaf::Uint(ours)), Some(Value::U64(theirs))) => ours == theirs,
        // A NaN may lose its quiet bit on the way through a wider type.
        (Some(Leaf::Float(ours)), Some(Value::F32(theirs))) => {
            ours.is_nan() && theirs.is_nan() || *ours == f64::from(*theirs)
        }
        (Some(Leaf::Float(ours)), Some(Value::F64(theirs))) => ours.to_bits() == theirs.to_bits(),
        (Some(Leaf::Text(ours)), Some(Value::String(theirs))) => ours == theirs,
        (Some(Leaf::Bytes(ours)), Some(Value::Bytes(theirs))) => ours == theirs,
        (Some(Leaf::Enum(ours)), Some(Value::EnumNumber(theirs))) => ours == theirs,
        (Some(Leaf::Message(ours)), Some(Value::Message(theirs))) => {
            let ours = DynamicMessage::decode(descriptor(theirs), &ours[..]);
            ours.is_ok_and(|ours| sorted(&ours) == sorted(theirs))
        }
        _ => false,
    }
}

fn descriptor(message: &DynamicMessage) -> MessageDescriptor {
    prost_reflect::ReflectMessage::descriptor(message)
}

/// As a multiset of bytes, because the order of a map's entries is random.
fn sorted(message: &DynamicMessage) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    bytes.sort_unstable();
    bytes
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// A text is a path, or an error that points into it.
fn judge(pick: usize, text: &str) -> Result<(), String> {
    match FieldPath::compile(&subject(pick), text) {
        Ok(path) if path.to_string() == text => Ok(()),
        Ok(path) => Err(format!("{text:?} became {path}")),
        Err(error) if error.message.is_empty() => Err(format!("{text:?}: nothing is said")),
        Err(error) if text.get(error.column..).is_some() => Ok(()),
        Err(error) => Err(format!("{text:?}: column {} is outside", error.column)),
    }
}

#[test]
fn any_text_is_a_path_or_is_refused_at_its_place() {
    const PIECES: [&str; 13] =
        ["node", ".", "[", "]", "\"", "\\", "-1", "0", "4294967296", "child", "é", " ", "texts"];
    let piece = prop::sample::select(&PIECES[..]);
    let pieces = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let text = prop_oneof!["\\PC{0,40}", pieces];
    property!("path-text", 8.0, 1)
        .holds(&(0..TYPES.len(), text), |(pick, text)| judge(pick, &text));
}

#[test]
fn a_damaged_path_is_refused_at_its_place_or_is_another_one() {
    let strategy = (0..TYPES.len(), bytes(12), damages(3));
    property!("path-damaged", 8.0, 1).holds(&strategy, |(pick, entropy, damages)| {
        let text = render(&walk(&subject(pick), &entropy));
        judge(pick, &damaged_text(&text, &damages))
    });
}

#[test]
fn a_path_reads_back_as_it_was_written_and_finds_what_prost_reflect_finds() {
    let found = Cell::new(0u32);
    let strategy = (0..TYPES.len(), bytes(12), bytes(300), damages(3));
    property!("path-walk", 16.0, 1).holds(&strategy, |(pick, way, entropy, damages)| {
        let steps = walk(&subject(pick), &way);
        if steps.is_empty() {
            return Ok(());
        }
        let text = render(&steps);
        let path = FieldPath::compile(&subject(pick), &text)
            .map_err(|error| format!("{text}: {error} at {}", error.column))?;
        let sound = Maker::new(&entropy, false).message(&subject(pick), 0);
        // Only that it ends: what is broken elsewhere need not be seen.
        path.find(&damaged(&sound, &damages)).ok();
        let Ok(message) = DynamicMessage::decode(subject(pick), &sound[..]) else { return Ok(()) };
        let leaf = path.find(&sound).map_err(|error| format!("{text}: {error} in {sound:x?}"))?;
        found.set(found.get() + u32::from(leaf.is_some()));
        let wanted = reference(&message, &steps);
        match agree(&leaf, &wanted) {
            true => Ok(()),
            false => Err(format!("{text}: found {leaf:?} in {sound:x?}")),
        }
    });
    // Guards the test: a path that is never found compares nothing.
    assert!(found.get() > property::cases(1.0), "only {} were found", found.get());
}
