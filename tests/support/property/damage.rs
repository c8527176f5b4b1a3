//! Damage to sound bytes or text: what a bad disk, a bad editor or a bad person does to them.
//!
//! Why damage and not only random bytes: nearly all random bytes fail at the first check; what is
//! nearly right gets through to the last.

use proptest::prelude::*;
use proptest::sample::Index;

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// Flips one bit.
    Flip(Index, u8),
    /// Overwrites a byte by one that often means something: an end of a range, a tag, a length.
    Set(Index, u8),
    /// Puts bytes in.
    Insert(Index, Vec<u8>),
    /// Takes a run of bytes out.
    Cut(Index, u8),
    /// Ends early.
    End(Index),
    /// Repeats a run elsewhere.
    Copy(Index, u8, Index),
}

/// Up to `most` changes.
pub(crate) fn damages(most: usize) -> impl Strategy<Value = Vec<Damage>> {
    prop::collection::vec(damage(), 0..=most)
}

/// One change.
pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let edge = prop::sample::select(&[0, 1, 0x7f, 0x80, 0xff, 0xfe, b'\n', b'{', b'"'][..]);
    let place = any::<Index>;
    prop_oneof![
        (place(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (place(), prop_oneof![edge, any::<u8>()]).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (place(), prop::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (place(), any::<u8>()).prop_map(|(at, length)| Damage::Cut(at, length)),
        place().prop_map(Damage::End),
        (place(), any::<u8>(), place()).prop_map(|(at, length, to)| Damage::Copy(at, length, to)),
    ]
}

/// The bytes with all the damage done, one after the other.
pub(crate) fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        damage.done_to(&mut bytes);
    }
    bytes
}

/// The same with text, which stays text.
pub(crate) fn damaged_text(text: &str, damages: &[Damage]) -> String {
    String::from_utf8_lossy(&damaged(text.as_bytes(), damages)).into_owned()
}

impl Damage {
    fn done_to(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        let run = |at: usize, length: u8| at..(at + usize::from(length)).min(bytes.len());
        match self {
            Damage::Flip(at, bit) => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Damage::Set(at, value) => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = *value;
                }
            }
            Damage::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Cut(at, length) => drop(bytes.drain(run(place(at), *length))),
            Damage::End(at) => bytes.truncate(place(at)),
            Damage::Copy(at, length, to) => {
                let (from, to) = (run(place(at), *length), place(to));
                let copied = bytes[from].to_vec();
                bytes.splice(to..to, copied);
            }
        }
    }
}
