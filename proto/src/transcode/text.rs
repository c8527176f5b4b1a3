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
        check_mixed(bytes)?;
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

/// Checks text that is not all ASCII. Letters of two bytes among ASCII, as in most European
/// languages, are checked here; text that has more of them, or longer ones, is left to the
/// standard library, which is faster there.
fn check_mixed(bytes: &[u8]) -> Result<(), WireFault> {
    let mut letters_left = 1 + bytes.len() / 8;
    let mut rest = bytes;
    while let Some(word) = rest.first_chunk() {
        let high = u64::from_le_bytes(*word) & HIGH;
        if high == 0 {
            rest = &rest[8..];
            continue;
        }
        rest = &rest[high.trailing_zeros() as usize / 8..];
        match rest {
            [0xc2..=0xdf, 0x80..=0xbf, after @ ..] if letters_left > 0 => rest = after,
            _ => return utf8(rest).map(drop),
        }
        letters_left -= 1;
    }
    match last_word(bytes, rest.len()) & HIGH {
        0 => Ok(()),
        _ => utf8(rest).map(drop),
    }
}

/// Checks that bytes are UTF-8, of which most are ASCII.
#[inline]
pub(super) fn check(bytes: &[u8]) -> Result<(), WireFault> {
    match marks(bytes).high {
        0 => Ok(()),
        _ => check_mixed(bytes),
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
    /// Only the highest bits of bytes count; the others are cleared once, at the end.
    #[inline]
    fn add(&mut self, word: u64) {
        self.high |= word;
        self.escapes |= escape_marks(word);
    }

    #[inline]
    fn masked(self) -> Self {
        Self { high: self.high & HIGH, escapes: self.escapes & HIGH }
    }
}

/// Looks at all bytes, two words at a time; what is left over is looked at with bytes before it.
#[inline]
fn marks(bytes: &[u8]) -> Marks {
    let mut marks = Marks::default();
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        // Filled up with blanks, which need no escape.
        let blanks = (ONES * u64::from(b' ')) << (8 * bytes.len());
        marks.add(last_word(bytes, bytes.len()) | blanks);
        return marks.masked();
    };
    marks.add(u64::from_le_bytes(*last));
    if bytes.len() <= 16 {
        marks.add(u64::from_le_bytes(*first));
        return marks.masked();
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
    marks.high |= other.high;
    marks.escapes |= other.escapes;
    marks.masked()
}

/// Copies words while they are clean; one that is not is cut at the byte to escape.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while !rest.is_empty() {
        // A last word is filled with zeros, which look like bytes to escape and end it.
        let word = match rest.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => last_word(bytes, rest.len()),
        };
        let clean = (escape_marks(word) & HIGH).trailing_zeros() as usize / 8;
        let start = out.len();
        out.extend_from_slice(&word.to_le_bytes());
        if clean == 8 {
            rest = &rest[8..];
            continue;
        }
        out.truncate(start + clean);
        let Some((&byte, after)) = rest[clean..].split_first() else { break };
        escape(byte, out);
        rest = after;
    }
}

/// The last bytes of a string, seven at most, as a word that is filled with zeros.
#[inline]
fn last_word(text: &[u8], length: usize) -> u64 {
    match text.last_chunk() {
        Some(word) => u64::from_le_bytes(*word).checked_shr(64 - 8 * length as u32).unwrap_or(0),
        None => text.iter().rev().take(length).fold(0, |word, &byte| (word << 8) | u64::from(byte)),
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
fn escape_marks(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (control | quote | backslash) & !word
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

    #[test]
    fn text_is_judged_as_the_standard_library_judges_it() {
        let parts: [&[u8]; 18] = [
            b"",
            b"a",
            b"abcdefgh",
            b"\"",
            b"\xc3\xbc",
            b"\xc2",
            b"\xc1\x80",
            b"\xdf\xbf",
            b"\x80",
            b"\xe4\xb8\x96",
            b"\xe0\x80\x80",
            b"\xed\xa0\x80",
            b"\xe4\xb8",
            b"\xf0\x9f\xa6\x80",
            b"\xf4\x90\x80\x80",
            b"\xf0\x9f\xa6",
            b"\xff",
            b"\xc3\xbc\xc3\xbc\xc3\xbc",
        ];
        for [one, two, three, four] in (0..parts.len().pow(4)).map(|pick| {
            let mut pick = pick;
            std::array::from_fn(|_| {
                let part = parts[pick % parts.len()];
                pick /= parts.len();
                part
            })
        }) {
            let text = [one, two, three, four].concat();
            assert_eq!(check(&text).is_ok(), std::str::from_utf8(&text).is_ok(), "{text:x?}");
        }
    }
}
