//! The messages of a generator: encoded once, except for what is new in every message.
//!
//! New are the fields of the cursor, which ascend, and those that sinks take for the moment of a
//! record, which tell the time. They are left out of what is encoded once, on every level of the
//! way to them, and appended: a message has each of its fields once, as a server would send it.
//! Where a list lies on the way, it has one element.
//!
//! Invariant: what [`Sample::write`] appends is one whole message of the sample's type.
//!
//! Next: `src/bench/draw.rs` fills in the other fields.

use crate::bench::draw::Draw;
use headwater_operators::sink::kafka::TimestampUnit;
use prost::encoding::{self, WireType};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use prost_types::Timestamp;
use std::collections::BTreeMap;

/// The distance of two moments that are a cursor, in nanoseconds: no clock tells them apart finer.
const STEP_NS: u64 = 1_000;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A field that is new in every message.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// The numbers of the fields on the way to it.
    pub(super) numbers: Vec<u32>,
    pub(super) what: What,
}

/// What a live field tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// The message's number.
    Number,
    /// The time, as a number in this unit.
    Time(TimestampUnit),
}

/// What one message is to tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) number: u64,
    /// Since 1970-01-01T00:00:00Z.
    pub(super) now_ns: u64,
    /// Where numbers begin that are told as moments, since 1970-01-01T00:00:00Z.
    pub(super) start_ns: u64,
}

/// One message, except for its live fields.
#[derive(Debug)]
pub(super) struct Sample {
    fixed: Vec<u8>,
    live: Vec<Slot>,
}

/// A live field, or a message on the way to one.
#[derive(Debug)]
enum Slot {
    Leaf { field: FieldDescriptor, what: What },
    Inside { number: u32, sample: Sample },
}

impl Sample {
    /// Draws a message of a type and, if that can be, of at least so many bytes; `None` if a live
    /// field cannot be told: see [`can_tell`].
    pub(super) fn draw(
        message: &MessageDescriptor,
        live: &[Live],
        draw: &mut Draw,
        bytes: usize,
    ) -> Option<Sample> {
        let mut slots = Vec::new();
        let mut left_out = Vec::new();
        for (number, below) in by_first(live) {
            let field = message.get_field(number)?;
            slots.push(Slot::draw(&field, &below, draw)?);
            left_out.extend(rivals(&field));
        }
        let mut sample = Sample { fixed: Vec::new(), live: slots };
        let bytes = bytes.saturating_sub(sample.bytes());
        sample.fixed = draw.encoded(message, &left_out, bytes);
        Some(sample)
    }

    /// How large its first message is.
    pub(super) fn bytes(&self) -> usize {
        let mut first = Vec::new();
        self.write(&Stamp { number: 1, now_ns: 0, start_ns: 0 }, &mut first);
        first.len()
    }

    /// Appends the message.
    pub(super) fn write(&self, stamp: &Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fixed);
        for slot in &self.live {
            match slot {
                Slot::Leaf { field, what } => write_leaf(field, *what, stamp, out),
                Slot::Inside { number, sample } => {
                    let mut inside = Vec::with_capacity(sample.fixed.len() + 32);
                    sample.write(stamp, &mut inside);
                    encoding::encode_key(*number, WireType::LengthDelimited, out);
                    encoding::encode_varint(inside.len() as u64, out);
                    out.extend_from_slice(&inside);
                }
            }
        }
    }
}

impl Slot {
    fn draw(field: &FieldDescriptor, live: &[Live], draw: &mut Draw) -> Option<Slot> {
        let leaf = live.iter().find(|live| live.numbers.is_empty());
        if let Some(Live { what, .. }) = leaf {
            // What lies below a field that is told itself is part of it.
            return can_tell(field, *what)
                .then(|| Slot::Leaf { field: field.clone(), what: *what });
        }
        let Kind::Message(message) = field.kind() else { return None };
        if field.is_group() || field.is_map() {
            return None;
        }
        let sample = Sample::draw(&message, live, draw, 0)?;
        Some(Slot::Inside { number: field.number(), sample })
    }
}

impl What {
    fn time(self, stamp: &Stamp) -> Timestamp {
        let ns = match self {
            What::Number => stamp.start_ns + stamp.number * STEP_NS,
            What::Time(_) => stamp.now_ns,
        };
        let seconds = i64::try_from(ns / NANOS_PER_SECOND).unwrap_or(i64::MAX);
        Timestamp { seconds, nanos: (ns % NANOS_PER_SECOND) as i32 }
    }

    fn number(self, stamp: &Stamp) -> u64 {
        match self {
            What::Number => stamp.number,
            What::Time(TimestampUnit::S) => stamp.now_ns / NANOS_PER_SECOND,
            What::Time(TimestampUnit::Ms) => stamp.now_ns / 1_000_000,
            What::Time(TimestampUnit::Us) => stamp.now_ns / 1_000,
            What::Time(TimestampUnit::Ns) => stamp.now_ns,
        }
    }
}

/// The number that a moment tells, as [`What::Number`] writes it; a moment between two numbers is
/// the later one's.
pub(super) fn number_at(seconds: i64, nanos: i32, start_ns: u64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let ns = seconds.saturating_mul(NANOS_PER_SECOND) + u64::try_from(nanos).unwrap_or(0);
    ns.saturating_sub(start_ns).div_ceil(STEP_NS)
}

/// The highest number that a field can bear.
pub(super) fn number_max(field: &FieldDescriptor) -> u64 {
    match field.kind() {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => i32::MAX as u64,
        Kind::Uint32 | Kind::Fixed32 => u32::MAX.into(),
        // A century of microseconds, and no sum with a start overflows.
        Kind::Message(_) => 100 * 31_557_600 * (NANOS_PER_SECOND / STEP_NS),
        _ => i64::MAX.cast_unsigned(),
    }
}

/// Whether a field can bear what is to be told: numbers go into integers, texts, bytes and
/// timestamps, the time into numbers and timestamps.
pub(super) fn can_tell(field: &FieldDescriptor, what: What) -> bool {
    match (field.kind(), what) {
        (Kind::Message(message), _) => message.full_name() == "google.protobuf.Timestamp",
        (Kind::String | Kind::Bytes, What::Number) => true,
        (Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Bool, _) => false,
        (Kind::Float | Kind::Double, _) => false,
        _ => !field.is_list(),
    }
}

fn write_leaf(field: &FieldDescriptor, what: What, stamp: &Stamp, out: &mut Vec<u8>) {
    let (tag, number) = (field.number(), what.number(stamp));
    let signed = number.cast_signed();
    match field.kind() {
        Kind::Int32 => encoding::int32::encode(tag, &(signed as i32), out),
        Kind::Sint32 => encoding::sint32::encode(tag, &(signed as i32), out),
        Kind::Sfixed32 => encoding::sfixed32::encode(tag, &(signed as i32), out),
        Kind::Uint32 => encoding::uint32::encode(tag, &(number as u32), out),
        Kind::Fixed32 => encoding::fixed32::encode(tag, &(number as u32), out),
        Kind::Int64 => encoding::int64::encode(tag, &signed, out),
        Kind::Sint64 => encoding::sint64::encode(tag, &signed, out),
        Kind::Sfixed64 => encoding::sfixed64::encode(tag, &signed, out),
        Kind::Uint64 => encoding::uint64::encode(tag, &number, out),
        Kind::Fixed64 => encoding::fixed64::encode(tag, &number, out),
        Kind::String => encoding::string::encode(tag, &number.to_string(), out),
        Kind::Bytes => encoding::bytes::encode(tag, &number.to_be_bytes().to_vec(), out),
        Kind::Message(_) => encoding::message::encode(tag, &what.time(stamp), out),
        Kind::Bool | Kind::Enum(_) | Kind::Float | Kind::Double => {
            unreachable!("a field that is told was asked whether it can")
        }
    }
}

/// Live fields by the first field on their way, with what is left of the way.
fn by_first(live: &[Live]) -> BTreeMap<u32, Vec<Live>> {
    let mut groups: BTreeMap<u32, Vec<Live>> = BTreeMap::new();
    for Live { numbers, what } in live {
        if let Some((first, rest)) = numbers.split_first() {
            groups.entry(*first).or_default().push(Live { numbers: rest.to_vec(), what: *what });
        }
    }
    groups
}

/// The field itself, and the members of its oneof: each would unset it.
fn rivals(field: &FieldDescriptor) -> Vec<u32> {
    let members = |oneof: OneofDescriptor| oneof.fields().map(|it| it.number()).collect();
    field.containing_oneof().map_or_else(|| vec![field.number()], members)
}
