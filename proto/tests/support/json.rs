//! Random JSON values along a message type, made from a string of random bytes.

#![allow(dead_code, reason = "each test program uses a part of it")]

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// Stands in strings, and so must not stand in any error.
pub(crate) const SECRET: &str = "hunter2";

const DEPTH_MAX: u32 = 5;

/// Makes one value.
pub(crate) struct Json<'b> {
    entropy: &'b [u8],
    mistakes: bool,
    cursors: bool,
}

impl<'b> Json<'b> {
    pub(crate) fn new(entropy: &'b [u8], mistakes: bool) -> Self {
        Self { entropy, mistakes, cursors: false }
    }

    /// Values some of which are placeholders `${cursor.c0}` to `${cursor.c3}`.
    pub(crate) fn with_cursors(entropy: &'b [u8]) -> Self {
        Self { entropy, mistakes: entropy.len().is_multiple_of(4), cursors: true }
    }

    fn below(&mut self, limit: u8) -> u8 {
        let Some((&byte, rest)) = self.entropy.split_first() else { return 0 };
        self.entropy = rest;
        byte % limit
    }

    pub(crate) fn message(&mut self, descriptor: &MessageDescriptor, depth: u32) -> Value {
        let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
        let mut object = Map::new();
        for _ in 0..self.below(5) {
            if self.entropy.is_empty() || fields.is_empty() {
                break;
            }
            let field = &fields[usize::from(self.below(255)) % fields.len()];
            let name = if self.below(2) == 0 { field.name() } else { field.json_name() };
            let name = if self.wrong(20) { "no_such" } else { name };
            object.insert(name.to_owned(), self.field(field, depth));
        }
        Value::Object(object)
    }

    fn wrong(&mut self, rarely: u8) -> bool {
        self.mistakes && self.below(rarely) == 1
    }

    fn field(&mut self, field: &FieldDescriptor, depth: u32) -> Value {
        if self.wrong(12) {
            return self.anything();
        }
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let value = entry.map_entry_value_field();
            let mut object = Map::new();
            for _ in 0..self.below(3) {
                let key = self.key(&entry.map_entry_key_field().kind());
                object.insert(key, self.value(&value, depth));
            }
            return Value::Object(object);
        }
        if field.is_list() {
            return (0..self.below(4)).map(|_| self.value(field, depth)).collect();
        }
        self.value(field, depth)
    }

    fn key(&mut self, kind: &Kind) -> String {
        if self.wrong(12) {
            return ["", "x", "-1", "1e3", "99999999999999999999"][self.below(5) as usize]
                .to_owned();
        }
        match kind {
            Kind::Bool => ["true", "false"][self.below(2) as usize].to_owned(),
            Kind::String => ["", "k", "é"][self.below(3) as usize].to_owned(),
            _ => self.below(4).to_string(),
        }
    }

    fn value(&mut self, field: &FieldDescriptor, depth: u32) -> Value {
        if self.cursors && self.below(5) == 0 {
            return json!(format!("${{cursor.c{}}}", self.below(4)));
        }
        if self.wrong(12) {
            return self.anything();
        }
        match field.kind() {
            Kind::Bool => json!(self.below(2) == 0),
            Kind::String => [json!(SECRET), json!(""), json!("grüße"), json!("$x")]
                [self.below(4) as usize]
                .clone(),
            Kind::Bytes => [json!("aGk="), json!("aGk"), json!("_-8"), json!("")]
                [self.below(4) as usize]
                .clone(),
            Kind::Float | Kind::Double => self.float(),
            // We take its number too; prost-reflect takes null alone.
            Kind::Enum(descriptor) if descriptor.name() == "NullValue" => Value::Null,
            Kind::Enum(descriptor) => {
                let values: Vec<_> = descriptor.values().collect();
                let value = &values[usize::from(self.below(255)) % values.len()];
                if self.below(2) == 0 { json!(value.name()) } else { json!(value.number()) }
            }
            Kind::Message(message) => self.nested(&message, depth),
            _ => self.integer(),
        }
    }

    fn nested(&mut self, message: &MessageDescriptor, depth: u32) -> Value {
        match message.full_name() {
            "google.protobuf.Timestamp" => {
                let texts =
                    ["2024-05-01T12:00:00Z", "0001-01-01T00:00:00Z", "2024-02-30T00:00:00Z"];
                json!(texts[self.below(3) as usize])
            }
            "google.protobuf.Duration" => json!(["1.5s", "-3s", "1e3s"][self.below(3) as usize]),
            "google.protobuf.FieldMask" => json!(["a,bC", "", "a_b"][self.below(3) as usize]),
            "google.protobuf.Any" => {
                json!({ "@type": "type.googleapis.com/rich.Node", "weight": 1 })
            }
            "google.protobuf.Struct" => json!({ "a": [null, { "b": 1.5 }] }),
            "google.protobuf.Value" | "google.protobuf.ListValue" => json!([1, SECRET, null]),
            name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                let field = message.fields().next().expect("a wrapper has a value");
                self.value(&field, depth)
            }
            _ if depth >= DEPTH_MAX => json!({}),
            _ => self.message(message, depth + 1),
        }
    }

    fn integer(&mut self) -> Value {
        let numbers = [
            json!(0),
            json!(1),
            json!(7),
            json!(-1),
            json!("5"),
            json!(1e3),
            json!(i32::MAX),
            json!(u32::MAX),
            json!(i64::MIN),
            json!(u64::MAX),
            json!("18446744073709551615"),
        ];
        let limit = if self.mistakes { numbers.len() } else { 3 };
        numbers[usize::from(self.below(limit as u8))].clone()
    }

    fn float(&mut self) -> Value {
        let numbers =
            [json!(0), json!(-1.5), json!("NaN"), json!("-Infinity"), json!(1e308), json!("1.5")];
        let limit = if self.mistakes { numbers.len() } else { 4 };
        numbers[usize::from(self.below(limit as u8))].clone()
    }

    fn anything(&mut self) -> Value {
        let all = [
            Value::Null,
            json!(true),
            json!(-1),
            json!(1.5),
            json!(1e300),
            json!(SECRET),
            json!([]),
            json!([[{}]]),
            json!({}),
            json!({ "a": SECRET }),
        ];
        all[usize::from(self.below(10))].clone()
    }
}
