//! Random message types, made from a string of random bytes.
//!
//! Most of them are sound: names differ, numbers differ, kinds and labels fit the syntax. What is
//! odd is on purpose: numbers at the ends of every range, JSON names with quotes in them, types
//! that are called like a well-known one and hold something else.

#![allow(dead_code, reason = "each test program uses a part of it")]

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto,
    FieldDescriptorProto, FieldOptions, FileDescriptorProto, MessageOptions, OneofDescriptorProto,
};

const NUMBERS: [i32; 16] =
    [1, 2, 3, 4, 5, 8, 15, 16, 17, 1022, 1023, 1024, 2047, 18_999, 20_000, 536_870_911];

const WELL_KNOWN: [&str; 8] =
    ["Timestamp", "Duration", "Struct", "Value", "Any", "Int64Value", "FieldMask", "Empty"];

const JSON_NAMES: [&str; 4] = ["plain", "odd \"one\"", "grüße", "line\nend"];

const SCALARS: [Type; 15] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

/// Makes one file of types.
pub(crate) struct Types<'b> {
    entropy: &'b [u8],
    package: &'static str,
    is_proto3: bool,
    names: Vec<String>,
}

impl<'b> Types<'b> {
    pub(crate) fn new(entropy: &'b [u8]) -> Self {
        let mut types = Self { entropy, package: "r", is_proto3: true, names: Vec::new() };
        types.is_proto3 = types.below(2) == 0;
        let well_known = types.below(8) == 0;
        types.package = if well_known { "google.protobuf" } else { "r" };
        for index in 0..1 + types.below(4) {
            let name = match well_known {
                true => WELL_KNOWN[(usize::from(index) + types.below(8) as usize) % 8].to_owned(),
                false => format!("M{index}"),
            };
            if !types.names.contains(&name) {
                types.names.push(name);
            }
        }
        types
    }

    pub(crate) fn file(mut self) -> FileDescriptorProto {
        let names = self.names.clone();
        FileDescriptorProto {
            name: Some("random.proto".to_owned()),
            package: Some(self.package.to_owned()),
            syntax: self.is_proto3.then(|| "proto3".to_owned()),
            enum_type: vec![self.enumeration()],
            message_type: names.iter().map(|name| self.message(name)).collect(),
            ..FileDescriptorProto::default()
        }
    }

    fn below(&mut self, limit: u8) -> u8 {
        let Some((&byte, rest)) = self.entropy.split_first() else { return 0 };
        self.entropy = rest;
        byte % limit
    }

    fn enumeration(&mut self) -> EnumDescriptorProto {
        let mut value = vec![enum_value("E0", 0)];
        for (index, number) in [1, -1, i32::MIN, i32::MAX, 1023, 1024, 1].into_iter().enumerate() {
            if self.below(2) == 0 {
                value.push(enum_value(&format!("E{}", index + 1), number));
            }
        }
        if !self.is_proto3 && self.below(2) == 0 {
            value.rotate_left(1);
        }
        EnumDescriptorProto {
            name: Some("E".to_owned()),
            value,
            options: Some(EnumOptions { allow_alias: Some(true), ..EnumOptions::default() }),
            ..EnumDescriptorProto::default()
        }
    }

    fn message(&mut self, name: &str) -> DescriptorProto {
        let mut message =
            DescriptorProto { name: Some(name.to_owned()), ..DescriptorProto::default() };
        let oneofs = self.below(3);
        let mut members = vec![0; usize::from(oneofs)];
        let first = usize::from(self.below(16));
        for index in 0..self.below(8) {
            let number = NUMBERS[(first + usize::from(index)) % NUMBERS.len()];
            let mut field = self.field(&format!("f_{index}"), number);
            match self.below(6) {
                0 => self.map(name, &mut field, &mut message),
                1 | 2 if oneofs > 0 => {
                    let oneof = self.below(oneofs);
                    field.oneof_index = Some(i32::from(oneof));
                    field.label = Some(Label::Optional.into());
                    field.options = None;
                    members[usize::from(oneof)] += 1;
                }
                _ => {}
            }
            message.field.push(field);
        }
        drop_empty_oneofs(&mut message, &members);
        message
    }

    fn field(&mut self, name: &str, number: i32) -> FieldDescriptorProto {
        let kind = self.below(20);
        let (kind, type_name) = match kind {
            0..=14 => (SCALARS[usize::from(kind)], None),
            15 | 16 => (Type::Enum, Some(format!(".{}.E", self.package))),
            17 if !self.is_proto3 => (Type::Group, Some(self.any_message())),
            _ => (Type::Message, Some(self.any_message())),
        };
        let label = match self.below(4) {
            0 => Label::Repeated,
            1 if !self.is_proto3 && self.below(4) == 0 => Label::Required,
            _ => Label::Optional,
        };
        let packable = !matches!(kind, Type::String | Type::Bytes | Type::Message | Type::Group);
        let packed = (label == Label::Repeated && packable && self.below(2) == 0)
            .then(|| FieldOptions { packed: Some(self.below(2) == 0), ..FieldOptions::default() });
        let json_name =
            (self.below(6) == 0).then(|| format!("{name}{}", JSON_NAMES[self.below(4) as usize]));
        FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(label.into()),
            r#type: Some(kind.into()),
            type_name,
            json_name,
            options: packed,
            default_value: self.default(kind, label),
            ..FieldDescriptorProto::default()
        }
    }

    /// A default in proto2, which counts only for fields that have presence anyway.
    fn default(&mut self, kind: Type, label: Label) -> Option<String> {
        if self.is_proto3 || label == Label::Repeated || self.below(3) != 0 {
            return None;
        }
        Some(match kind {
            Type::String => "text".to_owned(),
            Type::Bool => "true".to_owned(),
            Type::Enum => "E0".to_owned(),
            Type::Bytes => "\\001".to_owned(),
            Type::Double | Type::Float => "-inf".to_owned(),
            Type::Message | Type::Group => return None,
            _ => "7".to_owned(),
        })
    }

    fn any_message(&mut self) -> String {
        let pick = usize::from(self.below(8)) % self.names.len();
        format!(".{}.{}", self.package, self.names[pick])
    }

    /// Makes a map of the field: its entry is a type inside the message.
    fn map(
        &mut self,
        outer: &str,
        field: &mut FieldDescriptorProto,
        message: &mut DescriptorProto,
    ) {
        const KEYS: [Type; 6] =
            [Type::String, Type::Int32, Type::Sint64, Type::Bool, Type::Fixed32, Type::Uint64];
        // Prost-reflect reads a well-known type's map in an order that differs from run to run.
        if field.r#type() == Type::Group || self.package != "r" {
            return;
        }
        let name = format!("F{}Entry", field.name().trim_start_matches("f_"));
        let part = |name: &str, number, kind: Type, type_name| FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some(kind.into()),
            type_name,
            ..FieldDescriptorProto::default()
        };
        let key = part("key", 1, KEYS[usize::from(self.below(6))], None);
        let value = part("value", 2, field.r#type(), field.type_name.take());
        message.nested_type.push(DescriptorProto {
            name: Some(name.clone()),
            field: vec![key, value],
            options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
            ..DescriptorProto::default()
        });
        field.type_name = Some(format!(".{}.{outer}.{name}", self.package));
        field.set_type(Type::Message);
        field.set_label(Label::Repeated);
        (field.options, field.default_value) = (None, None);
    }
}

fn enum_value(name: &str, number: i32) -> EnumValueDescriptorProto {
    EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    }
}

/// A oneof without members is refused, so the fields' numbers of their oneofs move up.
fn drop_empty_oneofs(message: &mut DescriptorProto, members: &[u32]) {
    let mut place = vec![0; members.len()];
    for (index, &count) in members.iter().enumerate() {
        if count > 0 {
            place[index] = i32::try_from(message.oneof_decl.len()).unwrap_or_default();
            message.oneof_decl.push(OneofDescriptorProto {
                name: Some(format!("o{index}")),
                ..OneofDescriptorProto::default()
            });
        }
    }
    for field in &mut message.field {
        field.oneof_index = field.oneof_index.map(|index| place[index as usize]);
    }
}
