//! Prints numbers, in the form that serde_json gives them.
//!
//! Why into slots and not straight into the output: a slot has a fixed size that no number
//! exceeds, so digits are stored eight at a time without asking after each whether there is room.
//! A packed list fills a batch of slots before it touches the output.
//!
//! Why few branches: how many digits a number has is as good as random to a processor, and a
//! branch on each is guessed wrong again and again. Here there is one on each thousandfold.
//!
//! Invariants
//! 1. A printed number fits [`Slot`]; what is behind it in the slot is undefined.
//! 2. A double that is short as a decimal is printed here, all others by serde_json; both give the
//!    same bytes.
//!
//! Next: `emit.rs` prints values with it.

use super::table::Op;
use super::{JsonNotation, java};

/// Room for any number: a double has at most 24 characters, an integer in quotes 22.
pub(super) const SLOT_BYTES: usize = 32;

/// Where a number is printed.
pub(super) type Slot = [u8; SLOT_BYTES];

/// One above the largest number of six digits.
const MILLION: u64 = 1_000_000;

/// One above the largest number of eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// `0` in each byte of a word.
const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);

/// Appends what `print` writes into a slot.
#[inline]
pub(super) fn append(out: &mut Vec<u8>, print: impl FnOnce(&mut Slot) -> usize) {
    let start = out.len();
    out.extend_from_slice(&[0; SLOT_BYTES]);
    let slot = out.last_chunk_mut().expect("a slot was appended just now");
    let length = print(slot);
    out.truncate(start + length);
}

/// Prints a bool or number as it was read from the wire; gives its length.
#[inline(always)]
pub(super) fn scalar(op: Op, raw: u64, notation: JsonNotation, slot: &mut Slot) -> usize {
    match op {
        Op::Bool => boolean(raw != 0, 0, slot),
        Op::Int32 | Op::Sfixed32 => integer((raw as i32).into(), slot),
        Op::Sint32 => integer(zigzag32(raw).into(), slot),
        Op::Uint32 | Op::Fixed32 => integer((raw as u32).into(), slot),
        Op::Int64 | Op::Sfixed64 => quoted(slot, |slot| signed(raw.cast_signed(), 1, slot)),
        Op::Sint64 => quoted(slot, |slot| signed(zigzag64(raw), 1, slot)),
        Op::Uint64 | Op::Fixed64 => quoted(slot, |slot| unsigned(raw, 1, slot)),
        Op::Float => match notation {
            JsonNotation::Plain => float(f32::from_bits(raw as u32), slot),
            JsonNotation::Java => java::float(f32::from_bits(raw as u32), slot),
        },
        Op::Double => match notation {
            JsonNotation::Plain => double(f64::from_bits(raw), slot),
            JsonNotation::Java => java_double(f64::from_bits(raw), slot),
        },
        Op::Enum(_) | Op::String | Op::Bytes | Op::Message(_) | Op::Group(_) | Op::Map(_) => {
            unreachable!("enums have names, and bytes are no number")
        }
    }
}

/// Prints a map's key, which is quoted whatever its type.
pub(super) fn key(op: Op, raw: u64, slot: &mut Slot) -> usize {
    let value = match op {
        Op::Int32 | Op::Sfixed32 => (raw as i32).into(),
        Op::Sint32 => zigzag32(raw).into(),
        Op::Uint32 | Op::Fixed32 => (raw as u32).into(),
        Op::Bool => return quoted(slot, |slot| boolean(raw != 0, 1, slot)),
        Op::Int64 | Op::Sfixed64 => raw.cast_signed(),
        Op::Sint64 => zigzag64(raw),
        _ => return quoted(slot, |slot| unsigned(raw, 1, slot)),
    };
    quoted(slot, |slot| signed(value, 1, slot))
}

/// Prints a bool from `at`; gives where it ends.
#[inline]
fn boolean(value: bool, at: usize, slot: &mut Slot) -> usize {
    let name = if value { b"true    " } else { b"false   " };
    slot[at..at + 8].copy_from_slice(name);
    at + 5 - usize::from(value)
}

/// Prints an integer.
#[inline]
pub(super) fn integer(value: i64, slot: &mut Slot) -> usize {
    signed(value, 0, slot)
}

/// Puts quotes around what is printed from the second byte on up to where `print` ends.
#[inline]
fn quoted(slot: &mut Slot, print: impl FnOnce(&mut Slot) -> usize) -> usize {
    slot[0] = b'"';
    let end = print(slot);
    slot[end] = b'"';
    end + 1
}

/// Prints an integer from `at`; gives where it ends.
#[inline]
fn signed(value: i64, at: usize, slot: &mut Slot) -> usize {
    slot[at] = b'-';
    unsigned(value.unsigned_abs(), at + usize::from(value < 0), slot)
}

/// Prints an integer without a sign from `at`; gives where it ends. What is inlined is the printing
/// of short ones, so that a packed list calls nothing for each element.
#[inline(always)]
fn unsigned(value: u64, at: usize, slot: &mut Slot) -> usize {
    match value < EIGHT_DIGITS {
        true => leading(value, at, slot),
        false => long(value, at, slot),
    }
}

#[inline(never)]
fn long(value: u64, at: usize, slot: &mut Slot) -> usize {
    let (front, last) = (value / EIGHT_DIGITS, value % EIGHT_DIGITS);
    let at = if front < EIGHT_DIGITS {
        leading(front, at, slot)
    } else {
        let at = leading(front / EIGHT_DIGITS, at, slot);
        put(digits(front % EIGHT_DIGITS) | ZEROS, at, slot);
        at + 8
    };
    put(digits(last) | ZEROS, at, slot);
    at + 8
}

/// Prints a number below 10⁸ without leading zeros; gives where it ends.
#[inline(always)]
fn leading(value: u64, at: usize, slot: &mut Slot) -> usize {
    if value < 1000 {
        return leading_triple(value, at, slot);
    }
    if value < MILLION {
        let at = leading_triple(value / 1000, at, slot);
        slot[at..at + 4].copy_from_slice(&triple(value % 1000).to_le_bytes());
        return at + 3;
    }
    let word = digits(value);
    let zeros = word.trailing_zeros() / 8;
    put((word | ZEROS) >> (8 * zeros), at, slot);
    at + 8 - zeros as usize
}

#[inline(always)]
fn leading_triple(value: u64, at: usize, slot: &mut Slot) -> usize {
    let digits = triple(value);
    let zeros = digits >> 24;
    slot[at..at + 4].copy_from_slice(&(digits >> (8 * zeros)).to_le_bytes());
    at + 3 - zeros as usize
}

/// The three digits of a number below 1000, the first in the lowest byte; in the highest byte how
/// many of them are leading zeros, not counting the last.
#[inline(always)]
fn triple(value: u64) -> u32 {
    TRIPLES[value as usize & (TRIPLES.len() - 1)]
}

/// Four kilobytes, and not the digits of larger numbers, so that the cache keeps room for others.
static TRIPLES: [u32; 1024] = {
    let mut triples = [0; 1024];
    let mut value = 0;
    while value < 1000 {
        let digits = (value / 100) | ((value / 10 % 10) << 8) | ((value % 10) << 16);
        let zeros = (value < 100) as u32 + (value < 10) as u32;
        triples[value as usize] = digits | (ZEROS as u32 >> 8) | (zeros << 24);
        value += 1;
    }
    triples
};

#[inline]
fn put(word: u64, at: usize, slot: &mut Slot) {
    slot[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// The eight digits of a number below 10⁸, the first in the lowest byte. After P. Khuong, "How to
/// print integers really fast" (2017): one word is divided in all its lanes at once, first by
/// 100, then by 10, each time by a multiplication that is exact for the lane's range.
#[inline]
fn digits(value: u64) -> u64 {
    let halves = (value / 10_000) | ((value % 10_000) << 32);
    let top = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let pairs = ((halves - 100 * top) << 16) + top;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens + ((pairs - 10 * tens) << 8)
}

/// Prints a double; what is not finite is a string.
#[inline]
fn double(value: f64, slot: &mut Slot) -> usize {
    short_decimal(value, slot).unwrap_or_else(|| any_double(value, slot))
}

/// Short decimals look the same in Java, up to where it begins to write exponents.
#[inline]
fn java_double(value: f64, slot: &mut Slot) -> usize {
    let is_plain = value.abs() < java::PLAIN_BELOW;
    let short = if is_plain { short_decimal(value, slot) } else { None };
    short.unwrap_or_else(|| java::double(value, slot))
}

#[inline(never)]
fn any_double(value: f64, slot: &mut Slot) -> usize {
    match not_finite(value) {
        None => number(value, slot),
        Some(name) => copy(name, slot),
    }
}

/// Prints a float, with the digits of a float; what is not finite is a string.
#[inline]
fn float(value: f32, slot: &mut Slot) -> usize {
    match not_finite(f64::from(value)) {
        None => number(value, slot),
        Some(name) => copy(name, slot),
    }
}

/// Prints a floating point number in serde_json's form: `null` if it is not finite.
#[inline]
pub(super) fn number(value: impl serde::Serialize, slot: &mut Slot) -> usize {
    let mut rest = &mut slot[..];
    serde_json::to_writer(&mut rest, &value).expect("a slot has room for any number");
    SLOT_BYTES - rest.len()
}

pub(super) fn copy(text: &[u8], slot: &mut Slot) -> usize {
    slot[..text.len()].copy_from_slice(text);
    text.len()
}

pub(super) fn not_finite(value: f64) -> Option<&'static [u8]> {
    if value.is_finite() {
        None
    } else if value.is_nan() {
        Some(b"\"NaN\"")
    } else if value > 0.0 {
        Some(b"\"Infinity\"")
    } else {
        Some(b"\"-Infinity\"")
    }
}

/// Prints a double that is the nearest to a decimal of at most eight digits before the point and
/// six behind it, as most measurements and amounts are.
///
/// Such a decimal is what must be printed: of the decimals with up to 15 digits no two have the
/// same nearest double, so there is no shorter one. Whether there is such a decimal is seen by
/// dividing: both operands are exact, so the quotient is the decimal's nearest double (W. Clinger,
/// "How to read floating point numbers accurately", 1990). Rounding by adding 2⁵² leaves the
/// integer in the low bits.
#[inline(always)]
fn short_decimal(value: f64, slot: &mut Slot) -> Option<usize> {
    const ROUNDER: f64 = (1_u64 << 52) as f64;
    let magnitude = value.abs();
    let rounded = magnitude * MILLION as f64 + ROUNDER;
    let scaled = rounded - ROUNDER;
    // From 10⁻⁵ downwards numbers have an exponent; what is near it is left to serde_json too.
    let in_range = magnitude < EIGHT_DIGITS as f64 && (magnitude >= 1e-3 || magnitude == 0.0);
    if !in_range || scaled / MILLION as f64 != magnitude {
        return None;
    }
    let scaled = rounded.to_bits() & ((1 << 52) - 1);
    slot[0] = b'-';
    let at = usize::from(value.is_sign_negative());
    let point = leading(scaled / MILLION, at, slot);
    slot[point] = b'.';
    let places = scaled % MILLION;
    let text =
        u64::from(triple(places / 1000) & 0xff_ffff) | u64::from(triple(places % 1000)) << 24;
    put(text, point + 1, slot);
    // Trailing zeros are dropped, but for the first.
    let last = ((text ^ ZEROS) & 0xffff_ffff_ffff | 1).leading_zeros() as usize / 8;
    Some(point + 9 - last)
}

#[inline]
fn zigzag32(raw: u64) -> i32 {
    let raw = raw as u32;
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

#[inline]
fn zigzag64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

#[cfg(test)]
mod tests;
