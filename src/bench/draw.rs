//! Draws the contents of messages: plausible values, the same ones for the same seed.
//!
//! Every field is set: texts of a word or three, three elements to a list, two entries to a map,
//! one member of each oneof. Numbers are not negative, as most are. Nesting ends at
//! [`NESTED_MAX`], and a message that nests widely ends at [`VALUES_MAX`] values.
//!
//! Well-known types whose JSON has a form of its own get what that form takes. `Any` is left out:
//! what it holds would have to be a type that the reader knows.
//!
//! Next: `src/bench/generator.rs` sends what was drawn.

use crate::bench::limits::{NESTED_MAX, VALUES_MAX};
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage as _, Value,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::collections::HashMap;

/// Elements of a list, and entries of a map.
const LIST_ELEMENTS: usize = 3;
const MAP_ENTRIES: usize = 2;

/// Bytes of a bytes field.
const BYTES: usize = 16;

/// What texts are made of.
const WORDS: [&str; 16] = [
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "inlet", "juniper",
    "kelp", "lagoon", "marsh", "north", "orchard", "prairie",
];

/// The moments of drawn timestamps begin here, and end a year later: 2026-01-01T00:00:00Z.
const YEAR_START: i64 = 1_767_225_600;
const YEAR_SECONDS: i64 = 31_536_000;

/// Draws messages from a seed.
pub(super) struct Draw {
    random: StdRng,
    /// The names of fields that must not grow, because they are keys.
    keys: Vec<String>,
    /// Values that may still be drawn for this message.
    left: usize,
}

impl Draw {
    /// `keys` are the names of fields that keep their size.
    pub(super) fn new(seed: u64, keys: Vec<String>) -> Self {
        Draw { random: StdRng::seed_from_u64(seed), keys, left: VALUES_MAX }
    }

    /// A message without the fields of these numbers, encoded, and grown to about so many bytes
    /// if it has a field that can grow.
    pub(super) fn encoded(
        &mut self,
        message: &MessageDescriptor,
        left_out: &[u32],
        bytes: usize,
    ) -> Vec<u8> {
        self.left = VALUES_MAX;
        let mut drawn = self.message(message, 0, left_out);
        let missing = bytes.saturating_sub(drawn.encoded_len());
        if missing > 0 {
            grow(&mut drawn, missing, &self.keys);
        }
        drawn.encode_to_vec()
    }

    fn message(
        &mut self,
        message: &MessageDescriptor,
        depth: u32,
        left_out: &[u32],
    ) -> DynamicMessage {
        let mut drawn = DynamicMessage::new(message.clone());
        if self.well_known(message, &mut drawn) {
            return drawn;
        }
        let chosen: Vec<FieldDescriptor> = message
            .oneofs()
            .filter_map(|oneof| {
                let members: Vec<FieldDescriptor> = oneof.fields().collect();
                members.choose(&mut self.random).cloned()
            })
            .collect();
        let is_wanted = |field: &FieldDescriptor| {
            let is_member = field.containing_oneof().is_some();
            !left_out.contains(&field.number()) && (!is_member || chosen.contains(field))
        };
        for field in message.fields().filter(is_wanted) {
            if let Some(value) = self.field(&field, depth) {
                drawn.set_field(&field, value);
            }
        }
        drawn
    }

    /// Fills in a message whose JSON has rules of its own; false if it is none.
    fn well_known(&mut self, message: &MessageDescriptor, drawn: &mut DynamicMessage) -> bool {
        let mut set = |name: &str, value: Value| drawn.set_field_by_name(name, value);
        match message.full_name() {
            "google.protobuf.Timestamp" => {
                let second = YEAR_START + self.random.random_range(0..YEAR_SECONDS);
                set("seconds", Value::I64(second));
                set("nanos", Value::I32(self.random.random_range(0..1_000) * 1_000_000));
            }
            "google.protobuf.Duration" => {
                set("seconds", Value::I64(self.random.random_range(0..86_400)));
                set("nanos", Value::I32(self.random.random_range(0..1_000) * 1_000_000));
            }
            // A value without a kind has no JSON.
            "google.protobuf.Value" => set("string_value", Value::String(self.text())),
            "google.protobuf.FieldMask" => {
                let path = Value::String(self.word().to_owned());
                set("paths", Value::List(vec![path]));
            }
            "google.protobuf.Any" => {}
            _ => return false,
        }
        true
    }

    fn field(&mut self, field: &FieldDescriptor, depth: u32) -> Option<Value> {
        let kind = field.kind();
        if field.is_map() {
            return self.map(&kind, depth);
        }
        if field.is_list() {
            let values = (0..LIST_ELEMENTS).map(|_| self.value(&kind, depth));
            return values.collect::<Option<Vec<Value>>>().map(Value::List);
        }
        self.value(&kind, depth)
    }

    fn map(&mut self, kind: &Kind, depth: u32) -> Option<Value> {
        let entry = kind.as_message().expect("a map's field holds entries");
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let mut entries = HashMap::new();
        for _ in 0..MAP_ENTRIES {
            entries.insert(self.key(&key.kind()), self.value(&value.kind(), depth)?);
        }
        Some(Value::Map(entries))
    }

    fn key(&mut self, kind: &Kind) -> MapKey {
        match self.scalar(kind) {
            Some(Value::Bool(value)) => MapKey::Bool(value),
            Some(Value::I32(value)) => MapKey::I32(value),
            Some(Value::I64(value)) => MapKey::I64(value),
            Some(Value::U32(value)) => MapKey::U32(value),
            Some(Value::U64(value)) => MapKey::U64(value),
            _ => MapKey::String(self.word().to_owned()),
        }
    }

    /// One value; none where a message would nest too deep.
    fn value(&mut self, kind: &Kind, depth: u32) -> Option<Value> {
        self.left = self.left.saturating_sub(1);
        match kind {
            Kind::Message(message) => {
                let fits = depth < NESTED_MAX && self.left > 0;
                let is_any = message.full_name() == "google.protobuf.Any";
                (fits && !is_any).then(|| Value::Message(self.message(message, depth + 1, &[])))
            }
            Kind::Enum(names) => Some(self.name_of(names)),
            kind => self.scalar(kind),
        }
    }

    fn scalar(&mut self, kind: &Kind) -> Option<Value> {
        let random = &mut self.random;
        Some(match kind {
            Kind::Bool => Value::Bool(random.random()),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                Value::I32(random.random_range(1..1_000_000))
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                Value::I64(random.random_range(1..1_000_000_000_000))
            }
            Kind::Uint32 | Kind::Fixed32 => Value::U32(random.random_range(1..1_000_000)),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(random.random_range(1..1_000_000_000_000)),
            // As measured: with a few digits behind the point.
            Kind::Float => Value::F32(f32::from(random.random_range(1..10_000_u16)) / 100.0),
            Kind::Double => Value::F64(f64::from(random.random_range(1..1_000_000_u32)) / 100.0),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(random.random::<[u8; BYTES]>().to_vec().into()),
            Kind::Message(_) | Kind::Enum(_) => return None,
        })
    }

    fn name_of(&mut self, names: &EnumDescriptor) -> Value {
        let numbers: Vec<i32> = names.values().map(|value| value.number()).collect();
        Value::EnumNumber(*numbers.choose(&mut self.random).expect("an enum has a value"))
    }

    fn text(&mut self) -> String {
        let words: Vec<&str> = (0..self.random.random_range(1..=3)).map(|_| self.word()).collect();
        words.join("-")
    }

    fn word(&mut self) -> &'static str {
        WORDS.choose(&mut self.random).expect("there are words")
    }
}

/// Lets a bytes or text field grow: bytes first, as that is where servers put what is large, and
/// the last one, as names stand in front. Nested ones only where the message has none itself.
fn grow(message: &mut DynamicMessage, by: usize, keys: &[String]) -> bool {
    let is_single = |field: &FieldDescriptor| !field.is_list() && !field.is_map();
    let is_set = |message: &DynamicMessage, field: &FieldDescriptor| message.has_field(field);
    let fields: Vec<FieldDescriptor> = message
        .descriptor()
        .fields()
        .filter(|field| is_single(field) && is_set(message, field))
        .collect();
    let is_key = |field: &&FieldDescriptor| keys.iter().any(|key| key == field.name());
    let of =
        |wanted: Kind| fields.iter().rev().filter(|it| !is_key(it)).find(|it| it.kind() == wanted);
    if let Some(field) = of(Kind::Bytes).or_else(|| of(Kind::String)) {
        let grown = match &*message.get_field(field) {
            Value::Bytes(bytes) => Value::Bytes([bytes.as_ref(), &vec![b'.'; by]].concat().into()),
            Value::String(text) => Value::String(format!("{text}{}", ".".repeat(by))),
            other => other.clone(),
        };
        message.set_field(field, grown);
        return true;
    }
    let is_plain = |field: &&FieldDescriptor| {
        let kind = field.kind();
        kind.as_message().is_some_and(|it| !it.full_name().starts_with("google.protobuf."))
    };
    fields.iter().filter(is_plain).any(|field| match message.get_field_mut(field) {
        Value::Message(inside) => grow(inside, by, keys),
        _ => false,
    })
}
