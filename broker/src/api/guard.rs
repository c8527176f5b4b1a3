//! Stands before the codec: no length in a request may make it reserve more than the request is
//! worth.
//!
//! Why: the codec reserves room for as many elements as an array says it has, before it reads one.
//! Twelve bytes could ask for all memory there is, and a process that is refused memory ends.
//!
//! How, without knowing each request's fields: the codec reads every length as a 32-bit number or
//! as a varint, and a length larger than what is left is wrong whatever it counts. A varint is
//! always a length, so it is refused at once. A 32-bit number may be a time-out or an id as well,
//! so the request is first read with each large one replaced by a negative number: a length that
//! is negative is refused by the codec, anything else is not looked at. `Produce` may be large, so
//! the counts in it are walked by hand.
//!
//! Invariant: what is refused here the codec would have refused too, or could not have held.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

use crate::limits::{ARRAY_MAX, REQUEST_BYTES_MAX};

/// Stands for a number that is too large for a length. The codec takes -1 for null.
const NO_LENGTH: i32 = -2;

/// The longest varint of a length.
const VARINT_BYTES_MAX: usize = 5;

/// Tags of fields that only some clients send are varints too, and small.
const TAG_MAX: usize = 1024;

/// A request's bytes, read under suspicion.
struct Guarded {
    bytes: Bytes,
    /// The bytes of a varint so far.
    high: Vec<u8>,
    /// Whether a number was replaced, so that what was read is not what was sent.
    is_altered: bool,
}

/// Decodes a request of one kind and version.
pub(super) fn decode<Q: Decodable>(api: ApiKey, version: i16, body: Bytes) -> Result<Q, String> {
    if api == ApiKey::Produce {
        check_produce(version, body.clone()).ok_or("its counts exceed its length")?;
    } else if body.len() > REQUEST_BYTES_MAX {
        return Err(format!("it has {} bytes; the limit is {REQUEST_BYTES_MAX}", body.len()));
    }
    let mut guarded = Guarded { bytes: body.clone(), high: Vec::new(), is_altered: false };
    let told = |error: &dyn std::fmt::Display| format!("{error:#}");
    match Q::decode(&mut guarded, version) {
        Ok(request) if !guarded.is_altered => Ok(request),
        Err(error) if !guarded.is_altered => Err(told(&error)),
        Err(_) => Err("it is cut, or a length in it reaches past its end".to_owned()),
        Ok(_) => Q::decode(&mut body.clone(), version).map_err(|error| told(&error)),
    }
}

impl Guarded {
    /// Follows the bytes of a varint. It ends with a byte below 0x80, or with its fifth.
    fn is_length(&mut self, byte: u8) -> bool {
        let start = (self.high.len() + 1).saturating_sub(VARINT_BYTES_MAX);
        let mut window = self.high[start..].to_vec();
        window.push(byte);
        let ends = byte < 0x80 || window.len() == VARINT_BYTES_MAX;
        if byte < 0x80 {
            self.high.clear();
        } else {
            self.high = window.clone();
        }
        let bits = window.iter().rev().fold(0u64, |bits, byte| bits << 7 | u64::from(byte & 0x7f));
        // Compact lengths are one more than what they count.
        let most = self.bytes.len().saturating_add(1).max(TAG_MAX);
        !ends || usize::try_from(bits).is_ok_and(|length| length <= most)
    }
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.high.clear();
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        let available = self.bytes.len();
        match self.is_length(byte) {
            true => Ok(byte),
            false => Err(TryGetError { requested: available + 1, available }),
        }
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.high.clear();
        let number = self.bytes.try_get_i32()?;
        if usize::try_from(number).is_ok_and(|number| number > self.bytes.len()) {
            self.is_altered = true;
            return Ok(NO_LENGTH);
        }
        Ok(number)
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.high.clear();
        self.bytes.split_to(size)
    }
}

/// Walks over a `Produce` request: its batches make it long, so a count that is shorter than it may
/// still ask for far too much. Nothing if a count is; what is cut the codec finds.
fn check_produce(version: i16, bytes: Bytes) -> Option<()> {
    let mut walk = Walk { bytes, is_compact: version >= 9 };
    walk.text();
    // Acknowledgements and the time-out.
    walk.skip(6);
    for _ in 0..walk.count()? {
        if walk.bytes.is_empty() {
            break;
        }
        walk.text();
        for _ in 0..walk.count()? {
            walk.skip(4);
            walk.records();
            walk.tags();
        }
        walk.tags();
    }
    Some(())
}

/// Goes over the fields of a request without keeping them.
struct Walk {
    bytes: Bytes,
    is_compact: bool,
}

impl Walk {
    fn skip(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
    }

    fn varint(&mut self) -> u64 {
        let mut value = 0;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.bytes.try_get_u8().unwrap_or(0);
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    /// A length in one of its two forms; null is 0.
    fn length(&mut self, plain: impl Fn(&mut Bytes) -> Option<i64>) -> usize {
        let length = match self.is_compact {
            true => i64::try_from(self.varint()).unwrap_or_default() - 1,
            false => plain(&mut self.bytes).unwrap_or(0),
        };
        usize::try_from(length).unwrap_or(0)
    }

    fn text(&mut self) {
        let length = self.length(|bytes| bytes.try_get_i16().ok().map(i64::from));
        self.skip(length);
    }

    fn records(&mut self) {
        let length = self.length(|bytes| bytes.try_get_i32().ok().map(i64::from));
        self.skip(length);
    }

    /// How many elements follow, if that may be.
    fn count(&mut self) -> Option<usize> {
        let count = self.length(|bytes| bytes.try_get_i32().ok().map(i64::from));
        (count <= ARRAY_MAX.min(self.bytes.len())).then_some(count)
    }

    fn tags(&mut self) {
        if !self.is_compact {
            return;
        }
        for _ in 0..self.varint() {
            if self.bytes.is_empty() {
                break;
            }
            self.varint();
            let size = usize::try_from(self.varint()).unwrap_or(usize::MAX);
            self.skip(size);
        }
    }
}
