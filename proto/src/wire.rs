//! The wire format's tags, varints and lengths, read from a slice.
//!
//! Why not prost's own reader: it works on `Buf` and gives values, not places; here every value
//! must be found as a slice of the message with its offset, so that nothing is copied and an
//! error can say where it happened.
//!
//! Invariants
//! 1. Accepts and refuses exactly what prost does: the same varints, tags, groups and depth.
//! 2. Never reads beyond the slice it was given.
//!
//! Next: `path/mod.rs` and `transcode/mod.rs` read messages with it.

/// How deep messages and groups may nest; prost's own limit.
pub const DEPTH_MAX: u32 = 100;

/// Longest varint in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// The bit of each byte of a varint that says that another byte follows.
const CONTINUED: u64 = u64::from_ne_bytes([0x80; 8]);

/// A length may not reach past this; gRPC frames carry 32-bit lengths, so nothing longer arrives.
pub const MESSAGE_BYTES_MAX: usize = u32::MAX as usize;

/// The wire bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {offset}")]
pub struct WireError {
    /// Byte offset in the message.
    pub offset: usize,
    /// What is wrong there.
    pub fault: WireFault,
}

/// What is wrong with wire bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    /// A varint does not end, or does not fit 64 bits.
    #[error("invalid varint")]
    Varint,
    /// A tag has field number zero or does not fit 32 bits.
    #[error("invalid field number")]
    FieldNumber,
    /// A tag has wire type 6 or 7.
    #[error("invalid wire type")]
    WireType,
    /// The field's type is not written with this wire type.
    #[error("wire type does not fit the field's type")]
    WireTypeMismatch,
    /// A length or fixed-size value reaches past the end.
    #[error("value reaches past the end of its message")]
    Truncated,
    /// A group ends that was not begun, or is begun and not ended.
    #[error("unbalanced group")]
    Group,
    /// Messages or groups nest too deep.
    #[error("nesting is deeper than {DEPTH_MAX}")]
    Depth,
    /// A string is not UTF-8.
    #[error("string is not valid UTF-8")]
    Utf8,
    /// The message is longer than can arrive by gRPC.
    #[error("message is longer than 4 GiB")]
    TooLong,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WireType {
    /// Base-128 integer.
    Varint = 0,
    /// Eight bytes.
    Fixed64 = 1,
    /// A length and that many bytes.
    Bytes = 2,
    /// Fields until the matching end.
    GroupStart = 3,
    /// The end of a group.
    GroupEnd = 4,
    /// Four bytes.
    Fixed32 = 5,
}

/// A field's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Field number, at least 1.
    pub number: u32,
    /// How the value after the tag is written.
    pub wire_type: WireType,
}

/// One value, still on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// A varint.
    Varint(u64),
    /// Eight bytes, little endian.
    Fixed64(u64),
    /// Four bytes, little endian.
    Fixed32(u32),
    /// The bytes of a string, bytes, message or packed list.
    Bytes(&'a [u8]),
    /// The fields of a group, without its end.
    Group(&'a [u8]),
}

/// A cursor over the bytes of one message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    #[inline]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Whether everything was read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// An error at the given offset.
    #[cold]
    fn fault<T>(offset: usize, fault: WireFault) -> Result<T, WireError> {
        Err(WireError { offset, fault })
    }

    /// Reads a tag.
    #[inline]
    pub fn tag(&mut self) -> Result<Tag, WireError> {
        let start = self.at;
        let key = self.varint()?;
        let Ok(key) = u32::try_from(key) else {
            return Self::fault(start, WireFault::FieldNumber);
        };
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Self::fault(start, WireFault::WireType),
        };
        match key >> 3 {
            0 => Self::fault(start, WireFault::FieldNumber),
            number => Ok(Tag { number, wire_type }),
        }
    }

    /// Reads a tag of one byte if it is the same as the last: lists are runs of the same tag.
    #[inline]
    pub fn again(&mut self, last: Tag) -> bool {
        let key = (last.number << 3) | last.wire_type as u32;
        let same =
            self.bytes.get(self.at).is_some_and(|&byte| byte < 0x80 && key == u32::from(byte));
        self.at += usize::from(same);
        same
    }

    /// Reads a varint.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, WireError> {
        match self.bytes.get(self.at..) {
            Some(&[byte, ..]) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            Some(&[low, high, ..]) if high < 0x80 => {
                self.at += 2;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, WireError> {
        let rest = &self.bytes[self.at..];
        let Some(word) = rest.first_chunk() else { return self.last_varint() };
        let word = u64::from_le_bytes(*word);
        let ends = !word & CONTINUED;
        if ends == 0 {
            return self.last_varint();
        }
        // All up to the end's own bit.
        let length = ends.trailing_zeros() / 8 + 1;
        self.at += length as usize;
        Ok(joined(word & (ends ^ (ends - 1))))
    }

    /// Reads a varint of any length up to the end of the message.
    fn last_varint(&mut self) -> Result<u64, WireError> {
        let rest = &self.bytes[self.at..];
        let mut value = 0;
        for (index, &byte) in rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // The tenth byte has room for one bit only.
                if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                    break;
                }
                self.at += index + 1;
                return Ok(value);
            }
        }
        Self::fault(self.at, WireFault::Varint)
    }

    /// Reads eight bytes.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, WireError> {
        match self.bytes[self.at..].first_chunk() {
            Some(chunk) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Self::fault(self.at, WireFault::Truncated),
        }
    }

    /// Reads four bytes.
    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, WireError> {
        match self.bytes[self.at..].first_chunk() {
            Some(chunk) => {
                self.at += 4;
                Ok(u32::from_le_bytes(*chunk))
            }
            None => Self::fault(self.at, WireFault::Truncated),
        }
    }

    /// Reads a length and that many bytes.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let start = self.at;
        let length = self.varint()?;
        let rest = &self.bytes[self.at..];
        match usize::try_from(length) {
            Ok(length) if length <= rest.len() => {
                self.at += length;
                Ok(&rest[..length])
            }
            _ => Self::fault(start, WireFault::Truncated),
        }
    }

    /// Reads the value after `tag`; a group counts `depth` more levels inside itself.
    #[inline]
    pub fn value(&mut self, tag: Tag, depth: u32) -> Result<Raw<'a>, WireError> {
        match tag.wire_type {
            WireType::Varint => self.varint().map(Raw::Varint),
            WireType::Fixed64 => self.fixed64().map(Raw::Fixed64),
            WireType::Fixed32 => self.fixed32().map(Raw::Fixed32),
            WireType::Bytes => self.bytes().map(Raw::Bytes),
            WireType::GroupStart => self.group(tag.number, depth).map(Raw::Group),
            WireType::GroupEnd => Self::fault(self.at, WireFault::Group),
        }
    }

    /// Reads a group's fields up to and with its end. `depth` is how many levels may still nest
    /// here, the group itself included.
    pub fn group(&mut self, number: u32, depth: u32) -> Result<&'a [u8], WireError> {
        let start = self.at;
        let Some(inside) = depth.checked_sub(1) else {
            return Self::fault(start, WireFault::Depth);
        };
        loop {
            let end = self.at;
            if self.is_empty() {
                return Self::fault(start, WireFault::Group);
            }
            let tag = self.tag()?;
            if tag.wire_type == WireType::GroupEnd {
                return match tag.number == number {
                    true => Ok(&self.bytes[start..end]),
                    false => Self::fault(end, WireFault::Group),
                };
            }
            self.value(tag, inside)?;
        }
    }
}

/// The low seven bits of each byte, without the gaps between them: neighbours are joined to pairs,
/// then pairs, then halves.
#[inline]
fn joined(word: u64) -> u64 {
    let pairs = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let halves = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    (halves & 0x0fff_ffff) | (halves >> 32) << 28
}

#[cfg(test)]
mod tests;
