//! Random messages, made from descriptors and a string of random bytes.
//!
//! Why bytes and not a generator with state: proptest shrinks bytes well, and bytes that run out
//! end a message, so what it shrinks to is small.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod json;
pub(crate) mod types;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use headwater_proto::{DescriptorInput, Descriptors};

/// The test descriptors.
pub(crate) fn pool() -> DescriptorPool {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/protos");
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/protos");
    let files = vec![
        format!("{folder}/rich3.proto").into(),
        format!("{folder}/rich2.proto").into(),
        format!("{demo}/telemetry.proto").into(),
    ];
    let includes = vec![folder.into(), demo.into()];
    let input = DescriptorInput::Protos { files, includes };
    Descriptors::load(&input).expect("the test sources compile").pool().clone()
}

/// A message type of the test descriptors.
pub(crate) fn message(name: &str) -> MessageDescriptor {
    pool().get_message_by_name(name).expect("the test sources have this message")
}

/// Appends a varint.
pub(crate) fn varint(value: u64, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(value, out);
}

/// Appends a tag.
pub(crate) fn tag(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | wire_type), out);
}

/// Appends a length-delimited field.
pub(crate) fn field(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    tag(number, 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// How deep random messages nest.
const DEPTH_MAX: u32 = 6;

/// Makes one message of random bytes.
pub(crate) struct Maker<'b> {
    entropy: &'b [u8],
    /// Whether to make mistakes, of which many cannot be decoded.
    pub(crate) mistakes: bool,
}

impl<'b> Maker<'b> {
    pub(crate) fn new(entropy: &'b [u8], mistakes: bool) -> Self {
        Self { entropy, mistakes }
    }

    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.entropy.split_first() else {
            return 0;
        };
        self.entropy = rest;
        byte
    }

    fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    fn wide(&mut self) -> u64 {
        let bytes: [u8; 8] = std::array::from_fn(|_| self.byte());
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn message(&mut self, descriptor: &MessageDescriptor, depth: u32) -> Vec<u8> {
        let mut fields: Vec<FieldDescriptor> = descriptor.fields().collect();
        let extensions: Vec<_> = descriptor.extensions().collect();
        fields.sort_by_key(FieldDescriptor::number);
        let mut out = Vec::new();
        let count = self.below(if depth == 0 { 12 } else { 5 });
        for _ in 0..count {
            if self.entropy.is_empty() {
                break;
            }
            match self.below(24) {
                0 => self.unknown(&mut out, 0),
                1 if self.mistakes => out.push(self.entropy.first().copied().unwrap_or(0xff)),
                2 if !extensions.is_empty() => {
                    let pick = usize::from(self.byte()) % extensions.len();
                    let extension = &extensions[pick];
                    let kind = extension.kind();
                    self.value(extension.number(), &kind, false, depth, &mut out);
                }
                _ if fields.is_empty() => self.unknown(&mut out, 0),
                _ => {
                    let pick = usize::from(self.byte()) % fields.len();
                    self.field(&fields[pick].clone(), depth, &mut out);
                }
            }
        }
        out
    }

    fn field(&mut self, descriptor: &FieldDescriptor, depth: u32, out: &mut Vec<u8>) {
        let kind = descriptor.kind();
        let number = descriptor.number();
        if self.mistakes && self.below(16) == 0 {
            return self.scalar(number, u32::from(self.entropy.first().map_or(0, |b| b % 6)), out);
        }
        if let (true, Kind::Message(entry)) = (descriptor.is_map(), &kind) {
            let entry = entry.clone();
            // Few keys, so that some are equal.
            let mut inner = Vec::new();
            for _ in 0..self.below(4) {
                match self.below(6) {
                    0 => self.unknown(&mut inner, 0),
                    1 | 2 => self.value(
                        2,
                        &entry.map_entry_value_field().kind(),
                        false,
                        depth,
                        &mut inner,
                    ),
                    _ => self.key(&entry.map_entry_key_field().kind(), &mut inner),
                }
            }
            return field(number, &inner, out);
        }
        let packable = !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_));
        if descriptor.is_list() && packable && self.below(2) == 0 {
            let mut run = Vec::new();
            for _ in 0..self.below(4) {
                let mut one = Vec::new();
                self.value(1, &kind, false, depth, &mut one);
                run.extend_from_slice(&one[1..]);
            }
            return field(number, &run, out);
        }
        self.value(number, &kind, descriptor.is_group(), depth, out);
    }

    fn key(&mut self, kind: &Kind, out: &mut Vec<u8>) {
        match kind {
            Kind::String => {
                let text = ["", "a", "b", "\u{e9}"][usize::from(self.below(4))];
                field(1, text.as_bytes(), out);
            }
            Kind::Fixed32 | Kind::Sfixed32 => {
                tag(1, 5, out);
                out.extend_from_slice(&u32::from(self.below(3)).to_le_bytes());
            }
            Kind::Fixed64 | Kind::Sfixed64 => {
                tag(1, 1, out);
                out.extend_from_slice(&u64::from(self.below(3)).wrapping_neg().to_le_bytes());
            }
            _ => {
                tag(1, 0, out);
                varint(u64::from(self.below(4)).wrapping_neg(), out);
            }
        }
    }

    fn value(&mut self, number: u32, kind: &Kind, group: bool, depth: u32, out: &mut Vec<u8>) {
        match kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => self.scalar(number, 1, out),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => self.scalar(number, 5, out),
            Kind::String => {
                let text = self.text();
                field(number, &text, out);
            }
            Kind::Bytes => {
                let length = usize::from(self.below(12)).min(self.entropy.len());
                let (bytes, rest) = self.entropy.split_at(length);
                self.entropy = rest;
                field(number, bytes, out);
            }
            Kind::Message(message) if group => {
                tag(number, 3, out);
                if depth < DEPTH_MAX {
                    let inner = self.message(message, depth + 1);
                    out.extend_from_slice(&inner);
                }
                tag(number, 4, out);
            }
            Kind::Message(message) => {
                let inner = self.nested(message, depth);
                field(number, &inner, out);
            }
            _ => self.scalar(number, 0, out),
        }
    }

    fn nested(&mut self, message: &MessageDescriptor, depth: u32) -> Vec<u8> {
        if depth >= DEPTH_MAX {
            return Vec::new();
        }
        if message.full_name() == "google.protobuf.Any" && self.below(8) != 0 {
            return self.any(message, depth);
        }
        self.message(message, depth + 1)
    }

    fn any(&mut self, message: &MessageDescriptor, depth: u32) -> Vec<u8> {
        let names = [
            "rich.Scalars",
            "rich.Maps",
            "rich2.Old",
            "google.protobuf.Timestamp",
            "google.protobuf.Any",
            "rich.Choice",
            "google.protobuf.Struct",
            "rich.Missing",
        ];
        let name = names[usize::from(self.below(8))];
        let mut out = Vec::new();
        field(1, format!("type.googleapis.com/{name}").as_bytes(), &mut out);
        if let Some(inner) = message.parent_pool().get_message_by_name(name) {
            let inner = self.message(&inner, depth + 1);
            field(2, &inner, &mut out);
        }
        out
    }

    fn text(&mut self) -> Vec<u8> {
        let plain =
            ["", "plain", "a \"quoted\" one", "tab\t", "grüße 🦀", "longer than eight bytes"];
        match self.below(8) {
            6 => vec![b'a' + self.below(26); usize::from(self.below(40))],
            7 if self.mistakes => vec![0xff, 0xfe],
            7 => "foo_bar.baz".into(),
            pick => plain[usize::from(pick)].as_bytes().to_vec(),
        }
    }

    fn scalar(&mut self, number: u32, wire_type: u32, out: &mut Vec<u8>) {
        tag(number, wire_type, out);
        let small = u64::from(self.below(3));
        let value = match self.below(6) {
            0 => small,
            1 => self.wide(),
            2 => u64::from(self.byte()).wrapping_neg(),
            3 => (f64::from(self.byte()) / 8.0 - 4.0).to_bits(),
            4 => [f64::NAN, f64::INFINITY, -0.0][small as usize].to_bits(),
            _ => u64::from(self.byte()) << (self.byte() % 40),
        };
        match wire_type {
            1 => out.extend_from_slice(&value.to_le_bytes()),
            5 => {
                let float = f64::from_bits(value) as f32;
                let bits = if self.below(2) == 0 { float.to_bits() } else { value as u32 };
                out.extend_from_slice(&bits.to_le_bytes());
            }
            2 => field_tail(&value.to_le_bytes(), out),
            3 => tag(number, 4, out),
            4 => {}
            _ => varint(value, out),
        }
    }

    fn unknown(&mut self, out: &mut Vec<u8>, depth: u32) {
        let number = 900 + u32::from(self.below(4));
        match self.below(5) {
            0 if depth < 4 => {
                tag(number, 3, out);
                for _ in 0..self.below(3) {
                    self.unknown(out, depth + 1);
                }
                tag(number, 4, out);
            }
            1 => field(number, b"unknown", out),
            2 => self.scalar(number, 1, out),
            3 => self.scalar(number, 5, out),
            _ => self.scalar(number, 0, out),
        }
    }
}

fn field_tail(bytes: &[u8], out: &mut Vec<u8>) {
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
