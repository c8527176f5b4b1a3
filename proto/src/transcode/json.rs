//! JSON tokens, as serde_json prints them.
//!
//! Why here and not through a serializer: most values are short integers, names and plain ASCII,
//! and for those a direct copy is all there is to do. What is intricate (escapes, shortest
//! floating point digits) is left to serde_json itself, so that it is equal by construction.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::wire::WireFault;

const NANOS_PER_SECOND: u32 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// `,"name":`, the form in which tables hold an object's keys.
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = vec![b','];
    text(name, &mut key);
    key.push(b':');
    key
}

/// A string from wire bytes, which must be UTF-8.
#[inline]
pub(super) fn string(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), WireFault> {
    if is_plain(bytes) {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return Ok(());
    }
    text(utf8(bytes)?, out);
    Ok(())
}

/// Any string, with escapes. What lies between them, beyond ASCII too, is copied.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (clean, from_escape) = rest.split_at(clean_length(rest));
        out.extend_from_slice(clean);
        let Some((&byte, after)) = from_escape.split_first() else { break };
        escape(byte, out);
        rest = after;
    }
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\t' => b't',
        b'\r' => b'r',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Checks that bytes are UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, WireFault> {
    std::str::from_utf8(bytes).map_err(|_| WireFault::Utf8)
}

/// A decimal integer.
#[inline]
pub(super) fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A decimal integer in quotes: how 64-bit integers and all numeric map keys are printed.
#[inline]
pub(super) fn quoted_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.push(b'"');
    integer(value, out);
    out.push(b'"');
}

/// A bool.
#[inline]
pub(super) fn boolean(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// A double; what is not finite is a string.
#[inline]
pub(super) fn double(value: f64, out: &mut Vec<u8>) {
    match not_finite(value) {
        None => number(value, out),
        Some(name) => out.extend_from_slice(name),
    }
}

/// A float, with the digits of a float; what is not finite is a string.
#[inline]
pub(super) fn float(value: f32, out: &mut Vec<u8>) {
    match not_finite(f64::from(value)) {
        None => number(value, out),
        Some(name) => out.extend_from_slice(name),
    }
}

/// A floating point number in serde_json's form: `null` if it is not finite.
#[inline]
pub(super) fn number(value: impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &value).expect("a number can always be printed to memory");
}

/// Bytes as base64 with padding.
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true)
        .expect("a message's base64 form fits the address space");
    out.resize(start + length, 0);
    BASE64_STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("the output has the length the encoder asked for");
    out.push(b'"');
}

/// A timestamp in RFC 3339 form, UTC, with as many groups of three digits as it needs.
pub(super) fn timestamp(seconds: i64, nanos: i32, out: &mut Vec<u8>) {
    let Ok(subsecond) = u32::try_from(nanos) else {
        return displayed(prost_types::Timestamp { seconds, nanos }, out);
    };
    if subsecond >= NANOS_PER_SECOND {
        return displayed(prost_types::Timestamp { seconds, nanos }, out);
    }
    let (year, month, day) = civil_date(seconds.div_euclid(SECONDS_PER_DAY));
    // Within a day the seconds fit any integer.
    let second = seconds.rem_euclid(SECONDS_PER_DAY) as u32;
    let mut text = *b"\"0000-00-00T00:00:00";
    digits(year, &mut text[1..5]);
    digits(month, &mut text[6..8]);
    digits(day, &mut text[9..11]);
    digits(second / 3600, &mut text[12..14]);
    digits(second / 60 % 60, &mut text[15..17]);
    digits(second % 60, &mut text[18..20]);
    out.extend_from_slice(&text);
    fraction(subsecond, out);
    out.extend_from_slice(b"Z\"");
}

/// Year, month and day of a day counted from 1970-01-01, in the years 1 to 9999. The year is
/// taken to begin in March, so that the leap day is its last.
fn civil_date(day: i64) -> (u32, u32, u32) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_TO_1970: i64 = 719_468;
    let day = day + DAYS_TO_1970;
    let era = day.div_euclid(DAYS_PER_ERA);
    let day_of_era = day.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u32, month as u32, day_of_month as u32)
}

/// Writes a number right-aligned into a field of zeros.
fn digits(mut value: u32, field: &mut [u8]) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Nothing, milliseconds, microseconds or nanoseconds, with the point.
fn fraction(nanos: u32, out: &mut Vec<u8>) {
    let (value, places) = match nanos {
        0 => return,
        _ if nanos.is_multiple_of(1_000_000) => (nanos / 1_000_000, 3),
        _ if nanos.is_multiple_of(1_000) => (nanos / 1_000, 6),
        _ => (nanos, 9),
    };
    let mut text = *b".000000000";
    digits(value, &mut text[1..=places]);
    out.extend_from_slice(&text[..=places]);
}

/// Something that prints itself in plain ASCII, in quotes.
pub(super) fn displayed(value: impl fmt::Display, out: &mut Vec<u8>) {
    out.push(b'"');
    write!(Ascii(out), "{value}").expect("memory does not refuse to be written");
    out.push(b'"');
}

/// Lets `fmt` write to bytes.
struct Ascii<'a>(&'a mut Vec<u8>);

impl fmt::Write for Ascii<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn not_finite(value: f64) -> Option<&'static [u8]> {
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

/// Whether bytes are ASCII that JSON prints as it is: no control, no quote, no backslash.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| {
        let word = u64::from_le_bytes(*word);
        (word & HIGH) | escapes_in(word) == 0
    }) && rest.iter().all(|&byte| byte < 0x80 && !needs_escape(byte))
}

/// How many bytes come before the first that needs an escape.
#[inline]
fn clean_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let clean = words.iter().take_while(|word| escapes_in(u64::from_le_bytes(**word)) == 0);
    let start = clean.count() * 8;
    let rest = &bytes[start..];
    start + rest.iter().position(|&byte| needs_escape(byte)).unwrap_or(rest.len())
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

const ONES: u64 = u64::MAX / 0xff;
const HIGH: u64 = ONES << 7;

/// Not zero if one of the eight bytes needs an escape. A borrow may taint the byte above, but
/// only above one that needs an escape itself.
#[inline]
fn escapes_in(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let zero_in = |same: u64| same.wrapping_sub(ONES) & !same;
    let quote = zero_in(word ^ (ONES * b'"' as u64));
    let backslash = zero_in(word ^ (ONES * b'\\' as u64));
    (control | quote | backslash) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_alike_alone_and_in_a_word() {
        for byte in 0..=u8::MAX {
            let printed = serde_json::to_vec(&String::from_utf8_lossy(&[byte])).unwrap();
            let plain = printed == [b'"', byte, b'"'];
            assert_eq!(is_plain(&[byte]), plain, "byte {byte:#x} alone");
            for place in 0..8 {
                let mut word = *b"abcdefgh";
                word[place] = byte;
                assert_eq!(is_plain(&word), plain, "byte {byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn timestamps_are_printed_as_prost_prints_them() {
        let days = (-719_162..=2_932_896).step_by(97);
        let seconds = days.map(|day: i64| day * SECONDS_PER_DAY + (day * 7919).rem_euclid(86_400));
        let ends = [-62_135_596_800, -1, 0, 951_782_400, 253_402_300_799];
        let nanos = [0, 1, 999_999_999, 5_000_000, 7_000, -1, i32::MAX, i32::MIN, 1_000_000_000];
        for (seconds, nanos) in
            seconds.chain(ends).zip(nanos.into_iter().cycle()).chain(ends.map(|end| (end, 0)))
        {
            let mut out = Vec::new();
            timestamp(seconds, nanos, &mut out);
            let expected = format!("\"{}\"", prost_types::Timestamp { seconds, nanos });
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn strings_are_printed_as_serde_json_prints_them() {
        for text in ["", "plain", "quote\"", "back\\slash", "a\u{1}\u{7f}\n", "grüße, 世界, 🦀"]
        {
            let mut out = Vec::new();
            string(text.as_bytes(), &mut out).unwrap();
            assert_eq!(out, serde_json::to_vec(text).unwrap());
        }
    }
}
