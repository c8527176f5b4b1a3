//! JSON tokens that are neither numbers nor text: keys, bytes, times.
//!
//! Why here and not through a serializer: their forms are short and fixed, so a direct copy is
//! most of what there is to do. What is out of range is left to prost-types, so that it is equal
//! by construction.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::text;

const NANOS_PER_SECOND: u32 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// `,"name":`, the form in which tables hold an object's keys.
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = vec![b','];
    text::text(name, &mut key);
    key.push(b':');
    key
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
