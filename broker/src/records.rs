//! The records inside a batch: as much as compaction and lookups by time need.
//!
//! A record is kept as its raw bytes, because its deltas count from the header's base and so stay
//! true when its neighbours are removed. The layout is Kafka's `DefaultRecord` (KIP-98).
//!
//! Next: `compaction.rs` decides which records stay.

mod codec;

use bytes::Bytes;

use crate::batch::{HEADER_BYTES, Header};

/// The records of one batch, decompressed.
pub(crate) struct Records {
    header: Header,
    bytes: Bytes,
}

/// One record, borrowed from its batch.
pub(crate) struct Record<'a> {
    /// The record as it is stored, its length in front.
    pub(crate) raw: &'a [u8],
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// A record without a value deletes its key.
    pub(crate) is_tombstone: bool,
}

/// The records of a batch cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the batch at offset {base_offset} cannot be read: {reason}")]
pub(crate) struct UnreadableBatch {
    base_offset: i64,
    reason: String,
}

impl Records {
    /// Decompresses the records of a batch.
    pub(crate) fn open(header: &Header, batch: &Bytes) -> Result<Records, UnreadableBatch> {
        let packed = batch.slice(HEADER_BYTES..header.size);
        let bytes = codec::unpacked(header.compression(), packed);
        let bytes = bytes.map_err(|reason| unreadable(header, reason))?;
        Ok(Records { header: *header, bytes })
    }

    /// Calls `visit` with each record in order.
    pub(crate) fn each(&self, mut visit: impl FnMut(Record<'_>)) -> Result<(), UnreadableBatch> {
        let mut rest = &self.bytes[..];
        for _ in 0..self.header.count {
            let record = parse(&self.header, &mut rest)
                .ok_or_else(|| unreadable(&self.header, "a record is cut".to_owned()))?;
            visit(record);
        }
        Ok(())
    }
}

fn unreadable(header: &Header, reason: String) -> UnreadableBatch {
    UnreadableBatch { base_offset: header.base_offset, reason }
}

fn parse<'a>(header: &Header, rest: &mut &'a [u8]) -> Option<Record<'a>> {
    let start = *rest;
    let length = usize::try_from(varint(rest)?).ok()?;
    let mut body = rest.get(..length)?;
    *rest = &rest[length..];
    let raw = &start[..start.len() - rest.len()];
    body = body.get(1..)?;
    let timestamp = header.base_timestamp.checked_add(varint(&mut body)?)?;
    let offset = header.base_offset.checked_add(varint(&mut body)?)?;
    let key = field(&mut body)?;
    let is_tombstone = field(&mut body)?.is_none();
    Some(Record { raw, offset, timestamp, key, is_tombstone })
}

/// A nullable byte string: the outer `None` is a cut record, the inner one is null.
#[expect(clippy::option_option, reason = "cut and null are two different things")]
fn field<'a>(body: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = varint(body)?;
    if length < 0 {
        return Some(None);
    }
    let (value, rest) = body.split_at_checked(usize::try_from(length).ok()?)?;
    *body = rest;
    Some(Some(value))
}

/// A zigzag varint of at most ten bytes.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::batch::{self, Header};

    /// Writes the batch a producer would send: `(key, value)` each, uncompressed.
    pub(crate) fn build(header: Header, records: &[(Option<&str>, Option<&str>)]) -> Bytes {
        let mut bytes = Vec::new();
        for (delta, (key, value)) in records.iter().enumerate() {
            let mut body = vec![0, 0];
            put_varint(&mut body, i64::try_from(delta).unwrap());
            for part in [key, value] {
                put_varint(&mut body, part.map_or(-1, |text| i64::try_from(text.len()).unwrap()));
                body.extend_from_slice(part.unwrap_or_default().as_bytes());
            }
            body.push(0);
            put_varint(&mut bytes, i64::try_from(body.len()).unwrap());
            bytes.extend_from_slice(&body);
        }
        let count = i32::try_from(records.len()).unwrap();
        batch::thinned(&Header { last_offset_delta: count - 1, ..header }, &bytes, count)
    }

    /// A header for tests: no producer, the time 1000.
    pub(crate) fn plain() -> Header {
        Header {
            base_offset: 0,
            size: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: 1_000,
            max_timestamp: 1_000,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: 0,
        }
    }

    fn put_varint(bytes: &mut Vec<u8>, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }

    #[test]
    fn records_read_back_with_keys_offsets_and_tombstones() {
        let bytes = build(plain(), &[(Some("a"), Some("1")), (None, Some("2")), (Some("a"), None)]);
        let header = Header::check(&bytes).unwrap();
        let mut seen = Vec::new();
        let records = Records::open(&header, &bytes).unwrap();
        records.each(|r| seen.push((r.offset, r.key.map(<[u8]>::to_vec), r.is_tombstone))).unwrap();
        let key = Some(b"a".to_vec());
        assert_eq!(seen, [(0, key.clone(), false), (1, None, false), (2, key, true)]);
    }

    #[test]
    fn a_record_longer_than_its_batch_is_refused() {
        let bytes = build(plain(), &[(Some("a"), Some("1"))]);
        let mut header = Header::check(&bytes).unwrap();
        header.count = 2;
        assert!(Records::open(&header, &bytes).unwrap().each(|_| ()).is_err());
    }
}
