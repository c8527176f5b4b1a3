//! Numbers and texts as Java writes them.
//!
//! Why: readers of a topic that a Java program wrote so far may compare its bytes. Java's doubles
//! have the shortest digits since version 19, as ours have; older ones print a digit too many of
//! some. They differ in form: an exponent from 10⁷ on and below 10⁻³, written `1.0E7`.
//!
//! Invariant: the digits are the fewest that tell a number apart, but two at least, and of those
//! that many the nearest to it.
//!
//! Next: `emit.rs` prints values with it.

use std::fmt::UpperExp;
use std::io::Write as _;

use super::number::{self, SLOT_BYTES, Slot, copy, not_finite, number};
use super::text;
use crate::wire::WireFault;

/// From here on Java writes an exponent.
pub(super) const PLAIN_BELOW: f64 = 1e7;

/// Below this too.
const PLAIN_FROM: f64 = 1e-3;

/// Appends a double as `Double.toString` gives it.
pub fn print_double(value: f64, out: &mut Vec<u8>) {
    match not_finite(value) {
        Some(quoted) => out.extend_from_slice(&quoted[1..quoted.len() - 1]),
        None => number::append(out, |slot| finite(value, value, slot)),
    }
}

/// Prints a double; what is not finite is a string.
#[inline(never)]
pub(super) fn double(value: f64, slot: &mut Slot) -> usize {
    match not_finite(value) {
        Some(name) => copy(name, slot),
        None => finite(value, value, slot),
    }
}

/// Prints a float, with the digits of a float.
#[inline(never)]
pub(super) fn float(value: f32, slot: &mut Slot) -> usize {
    match not_finite(value.into()) {
        Some(name) => copy(name, slot),
        None => finite(value, value.into(), slot),
    }
}

/// Prints a number of either size, whose value is also given as a double.
fn finite(digits: impl serde::Serialize + UpperExp, value: f64, slot: &mut Slot) -> usize {
    if value == 0.0 || (PLAIN_FROM..PLAIN_BELOW).contains(&value.abs()) {
        return number(digits, slot);
    }
    let length = written(format_args!("{digits:E}"), slot);
    let mantissa = slot[..length].iter().position(|byte| *byte == b'E');
    if slot[..mantissa.expect("it was asked for")].contains(&b'.') {
        return length;
    }
    written(format_args!("{digits:.1E}"), slot)
}

fn written(text: std::fmt::Arguments<'_>, slot: &mut Slot) -> usize {
    let mut rest = &mut slot[..];
    rest.write_fmt(text).expect("the slot has room for any number");
    let left = rest.len();
    SLOT_BYTES - left
}

/// A string from wire bytes, which must be UTF-8.
#[inline]
pub(super) fn string(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), WireFault> {
    let start = out.len();
    text::string(bytes, out)?;
    if bytes.iter().any(|byte| IS_MARKUP[usize::from(*byte)] || *byte == SEPARATOR[0]) {
        escape_more(start, out);
    }
    Ok(())
}

/// Any string.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    super::text::text(text, out);
    escape_more(start, out);
}

/// What could end a script within a page of HTML, and so is escaped by the library (Gson) that Java
/// prints texts with.
static IS_MARKUP: [bool; 256] = {
    let mut is_markup = [false; 256];
    let mut at = 0;
    while at < MARKUP.len() {
        is_markup[MARKUP[at] as usize] = true;
        at += 1;
    }
    is_markup
};

const MARKUP: &[u8] = b"<>&='";

/// How the separators of lines and paragraphs begin, which end a line of JavaScript.
const SEPARATOR: [u8; 2] = [0xe2, 0x80];
const LINE: u8 = 0xa8;
const PARAGRAPH: u8 = 0xa9;

/// Bytes of an escape by number.
const ESCAPE_BYTES: usize = 6;

/// Escapes, from its end to its start and where it stands, a string that is printed already.
fn escape_more(start: usize, out: &mut Vec<u8>) {
    let printed = &out[start..];
    let markup = printed.iter().filter(|byte| IS_MARKUP[usize::from(**byte)]).count();
    let separators = (2..printed.len()).filter(|last| is_separator(&printed[..=*last])).count();
    let mut from = out.len();
    let mut to = from + markup * (ESCAPE_BYTES - 1) + separators * (ESCAPE_BYTES - 3);
    out.resize(to, 0);
    while to > from {
        let byte = out[from - 1];
        let number = match byte {
            byte if IS_MARKUP[usize::from(byte)] => u16::from(byte),
            LINE | PARAGRAPH if is_separator(&out[start..from]) => {
                from -= SEPARATOR.len();
                0x2000 + u16::from(byte) - 0x80
            }
            _ => {
                (from, to) = (from - 1, to - 1);
                out[to] = byte;
                continue;
            }
        };
        (from, to) = (from - 1, to - ESCAPE_BYTES);
        let digit = |shift: u32| HEX[usize::from(number >> shift & 0xf)];
        let escape = [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)];
        out[to..to + ESCAPE_BYTES].copy_from_slice(&escape);
    }
}

/// Whether a separator stands at the end.
fn is_separator(text: &[u8]) -> bool {
    matches!(text, [.., first, second, LINE | PARAGRAPH] if [*first, *second] == SEPARATOR)
}

const HEX: [u8; 16] = *b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: f64) -> String {
        let mut slot = [0; SLOT_BYTES];
        let length = double(value, &mut slot);
        String::from_utf8(slot[..length].to_vec()).unwrap()
    }

    fn shown_float(value: f32) -> String {
        let mut slot = [0; SLOT_BYTES];
        let length = float(value, &mut slot);
        String::from_utf8(slot[..length].to_vec()).unwrap()
    }

    #[test]
    fn doubles_look_as_in_java() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-21.5, "-21.5"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (1e16, "1.0E16"),
            (1e-5, "1.0E-5"),
            (f64::MAX, "1.7976931348623157E308"),
            (5e-324, "4.9E-324"),
            (1e-323, "9.9E-324"),
            (2e23, "2.0E23"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn floats_have_the_digits_of_floats() {
        for (value, expected) in [
            (0.1, "0.1"),
            (16_777_216.0, "1.6777216E7"),
            (1e-45, "1.4E-45"),
            (0.001, "0.001"),
            (1e7, "1.0E7"),
            (f32::NAN, "\"NaN\""),
            (f32::MAX, "3.4028235E38"),
            (3.0, "3.0"),
        ] {
            assert_eq!(shown_float(value), expected);
        }
    }

    #[test]
    fn what_is_not_finite_is_a_name() {
        let mut out = Vec::new();
        [f64::NAN, f64::NEG_INFINITY, 1e7].into_iter().for_each(|it| print_double(it, &mut out));
        assert_eq!(out, b"NaN-Infinity1.0E7");
    }

    #[test]
    fn markup_and_separators_are_escaped() {
        for (value, expected) in [
            ("a\u{2028}b\u{2029}€", r#""a\u2028b\u2029€""#),
            ("<a href='x'>&\"\n", r#""\u003ca href\u003d\u0027x\u0027\u003e\u0026\"\n""#),
            ("\u{2027}\u{202a}é", "\"\u{2027}\u{202a}é\""),
            ("", r#""""#),
        ] {
            let mut out = b"before".to_vec();
            string(value.as_bytes(), &mut out).unwrap();
            text(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}{expected}"));
        }
    }
}
