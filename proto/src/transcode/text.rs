//! Prints strings, escaped as serde_json escapes them.
//!
//! Why first a look at the whole string: most need no escape and many are ASCII, and one pass
//! without branches tells. Then a clean string is one copy, and only what is not ASCII is checked
//! to be UTF-8.
//!
//! Invariant: what is beyond ASCII is copied as it is, so a string can be escaped byte by byte.
//!
//! Next: `json.rs` prints the other tokens.

use crate::wire::WireFault;

/// A one in each byte of a word.
const ONES: u64 = u64::MAX / 0xff;

/// The highest bit of each byte of a word; in text, it tells what is not ASCII.
const HIGH: u64 = ONES << 7;

/// How each byte is escaped: 0 not at all, `u` by its number, others by this letter.
static ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        escapes[control] = b'u';
        control += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x09] = b't';
    escapes[0x0a] = b'n';
    escapes[0x0c] = b'f';
    escapes[0x0d] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// A string from wire bytes, which must be UTF-8.
#[inline]
pub(super) fn string(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), WireFault> {
    let marks = marks(bytes);
    if marks.high != 0 {
        utf8(bytes)?;
    }
    out.push(b'"');
    match marks.escapes {
        0 => out.extend_from_slice(bytes),
        _ => escaped(bytes, out),
    }
    out.push(b'"');
    Ok(())
}

/// Any string.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text.as_bytes(), out);
    out.push(b'"');
}

/// Checks that bytes are UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, WireFault> {
    std::str::from_utf8(bytes).map_err(|_| WireFault::Utf8)
}

/// Checks that bytes are UTF-8, of which most are ASCII.
#[inline]
pub(super) fn check(bytes: &[u8]) -> Result<(), WireFault> {
    match marks(bytes).high {
        0 => Ok(()),
        _ => utf8(bytes).map(drop),
    }
}

/// What a string contains.
#[derive(Clone, Copy, Default)]
struct Marks {
    /// Not zero if a byte is not ASCII.
    high: u64,
    /// Not zero if a byte needs an escape.
    escapes: u64,
}

impl Marks {
    #[inline]
    fn add(&mut self, word: u64) {
        self.high |= word & HIGH;
        self.escapes |= escapes_in(word);
    }
}

/// Looks at all bytes, two words at a time; what is left over is looked at with bytes before it.
#[inline]
fn marks(bytes: &[u8]) -> Marks {
    let mut marks = Marks::default();
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        let mut word = [b' '; 8];
        word.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
        marks.add(u64::from_le_bytes(word));
        return marks;
    };
    marks.add(u64::from_le_bytes(*last));
    if bytes.len() <= 16 {
        marks.add(u64::from_le_bytes(*first));
        return marks;
    }
    let mut other = Marks::default();
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        let block = u128::from_le_bytes(*block);
        marks.add(block as u64);
        other.add((block >> 64) as u64);
    }
    if let Some(word) = rest.first_chunk() {
        marks.add(u64::from_le_bytes(*word));
    }
    Marks { high: marks.high | other.high, escapes: marks.escapes | other.escapes }
}

/// Copies words while they are clean; one that is not is cut at the byte to escape.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(word) = rest.first_chunk() {
        out.extend_from_slice(word);
        let escapes = escapes_in(u64::from_le_bytes(*word));
        if escapes == 0 {
            rest = &rest[8..];
            continue;
        }
        let clean = escapes.trailing_zeros() as usize / 8;
        out.truncate(out.len() - 8 + clean);
        escape(rest[clean], out);
        rest = &rest[clean + 1..];
    }
    for &byte in rest {
        match ESCAPES[usize::from(byte)] {
            0 => out.push(byte),
            _ => escape(byte, out),
        }
    }
}

#[inline]
fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match ESCAPES[usize::from(byte)] {
        b'u' => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
        letter => out.extend_from_slice(&[b'\\', letter]),
    }
}

/// Marks the bytes of a word that need an escape, by their highest bits. A borrow may taint the
/// byte above, but only above one that needs an escape itself, so the lowest mark is right. After
/// the zero-byte test in H. Warren, "Hacker's Delight", chapter 6.
#[inline]
fn escapes_in(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (control | quote | backslash) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_alike_wherever_it_is() {
        for byte in 0..=u8::MAX {
            let printed = serde_json::to_vec(&String::from_utf8_lossy(&[byte])).unwrap();
            let escapes = byte < 0x80 && printed != [b'"', byte, b'"'];
            for (length, place) in
                (1..50).flat_map(|length| (0..length).map(move |at| (length, at)))
            {
                let mut text = vec![b'a'; length];
                text[place] = byte;
                let marks = marks(&text);
                let judged = (marks.escapes != 0, marks.high != 0);
                assert_eq!(
                    judged,
                    (escapes, byte >= 0x80),
                    "byte {byte:#x} at {place} of {length}"
                );
            }
        }
    }

    #[test]
    fn strings_are_printed_as_serde_json_prints_them() {
        let odd = ["\"", "\\", "\u{1}\u{7f}", "\n", "ü", "世", "🦀", "\"\"", "\u{1f}\"", "!\u{21}"];
        for length in 0..40_usize {
            for (place, odd) in (0..=length).flat_map(|at| odd.map(|odd| (at, odd))) {
                let mut text = "x".repeat(length);
                text.insert_str(place, odd);
                text.insert_str(place / 2, odd);
                let mut out = Vec::new();
                string(text.as_bytes(), &mut out).unwrap();
                assert_eq!(out, serde_json::to_vec(&text).unwrap(), "{text:?}");
            }
        }
    }
}
