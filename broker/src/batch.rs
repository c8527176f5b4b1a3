//! The header of a record batch, version 2, and the two batches a broker makes itself.
//!
//! A broker never looks into the records of what it stores: sequence checks, transactions and
//! offsets need the 61 header bytes only. The layout is Kafka's `DefaultRecordBatch` (KIP-98).
//!
//! Next: `records.rs` looks inside, for compaction and lookups by time.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;

/// Where the records begin.
pub(crate) const HEADER_BYTES: usize = 61;
/// What precedes the field `batchLength` and that field itself are not counted in it.
const UNCOUNTED_BYTES: usize = 12;
/// The checksum covers everything from the attributes to the end.
const CRC_START: usize = 21;

const COMPRESSION_MASK: i16 = 0b111;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// What a batch says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Offset of the first record, which the broker sets.
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch.
    pub(crate) size: usize,
    /// Compression, transactional and control bits.
    pub(crate) attributes: i16,
    /// Offset of the last record, counted from the first.
    pub(crate) last_offset_delta: i32,
    /// The time that the records' own deltas count from.
    pub(crate) base_timestamp: i64,
    /// The latest time of any record.
    pub(crate) max_timestamp: i64,
    /// The producer, or -1.
    pub(crate) producer_id: i64,
    /// The producer's epoch, or -1.
    pub(crate) producer_epoch: i16,
    /// The first record's sequence, or -1.
    pub(crate) base_sequence: i32,
    /// Records in the batch.
    pub(crate) count: i32,
}

/// How a transaction ended, as its marker says (`EndTransactionMarker`, KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The data counts.
    Commit,
    /// The data is to be skipped.
    Abort,
}

impl Header {
    /// Reads the header of the batch that starts `bytes`; `None` if there is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
        if bytes.len() < HEADER_BYTES || bytes[16] != 2 {
            return None;
        }
        let size = usize::try_from(i32_at(bytes, 8)).ok()? + UNCOUNTED_BYTES;
        (HEADER_BYTES..=bytes.len()).contains(&size).then(|| Header {
            base_offset: i64_at(bytes, 0),
            size,
            attributes: i16_at(bytes, 21),
            last_offset_delta: i32_at(bytes, 23),
            base_timestamp: i64_at(bytes, 27),
            max_timestamp: i64_at(bytes, 35),
            producer_id: i64_at(bytes, 43),
            producer_epoch: i16_at(bytes, 51),
            base_sequence: i32_at(bytes, 53),
            count: i32_at(bytes, 57),
        })
    }

    /// Reads and checks what a producer sent: one whole batch, sound by its checksum.
    pub(crate) fn check(bytes: &[u8]) -> Result<Header, ResponseError> {
        let header = Header::parse(bytes).ok_or(ResponseError::CorruptMessage)?;
        if crc32c::crc32c(&bytes[CRC_START..header.size]) != i32_at(bytes, 17).cast_unsigned() {
            return Err(ResponseError::CorruptMessage);
        }
        let sound = header.size == bytes.len()
            && header.count > 0
            && header.last_offset_delta == header.count - 1
            && !header.is_control();
        sound.then_some(header).ok_or(ResponseError::InvalidRecord)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// The codec's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub(crate) fn compression(&self) -> i16 {
        self.attributes & COMPRESSION_MASK
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The last record's sequence; sequences wrap to zero after the largest `i32`.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

/// Gives a batch its place in the log. The checksum does not cover these fields.
pub(crate) fn place(batch: &mut [u8], base_offset: i64) {
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&0i32.to_be_bytes());
}

/// What the marker in a control batch says; `None` if it is another kind of control record.
pub(crate) fn outcome(batch: &[u8]) -> Option<Outcome> {
    // One record of fixed shape: length, attributes, two deltas, key length (each one byte),
    // then the key: version and type, two bytes each.
    const TYPE_START: usize = HEADER_BYTES + 7;
    if batch.len() < TYPE_START + 2 {
        return None;
    }
    match i16_at(batch, TYPE_START) {
        0 => Some(Outcome::Abort),
        1 => Some(Outcome::Commit),
        _ => None,
    }
}

/// The control batch that ends a transaction in one partition.
pub(crate) fn marker(producer_id: i64, epoch: i16, outcome: Outcome, now_ms: i64) -> BytesMut {
    let header = Header {
        base_offset: 0,
        size: 0,
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        base_timestamp: now_ms,
        max_timestamp: now_ms,
        producer_id,
        producer_epoch: epoch,
        base_sequence: -1,
        count: 1,
    };
    // The lengths are zigzag varints: 8 is a key of 4 bytes, 12 a value of 6.
    let mut record = BytesMut::with_capacity(16);
    record.put_slice(&[0, 0, 0, 8]);
    record.put_i16(0);
    record.put_i16(i16::from(outcome == Outcome::Commit));
    record.put_u8(12);
    record.put_slice(&[0; 6]);
    record.put_u8(0);
    let length = u8::try_from(record.len() * 2).expect("a marker record is 16 bytes");
    let mut records = BytesMut::with_capacity(17);
    records.put_u8(length);
    records.put_slice(&record);
    assemble(&header, &records)
}

/// The batch that compaction leaves of another: the same place and header, fewer records,
/// uncompressed.
pub(crate) fn thinned(header: &Header, records: &[u8], count: i32) -> Bytes {
    let attributes = header.attributes & !COMPRESSION_MASK;
    assemble(&Header { attributes, count, ..*header }, records).freeze()
}

fn assemble(header: &Header, records: &[u8]) -> BytesMut {
    let size = HEADER_BYTES + records.len();
    let counted = i32::try_from(size - UNCOUNTED_BYTES).expect("a batch is below 2 GiB");
    let mut batch = BytesMut::with_capacity(size);
    batch.put_i64(header.base_offset);
    batch.put_i32(counted);
    batch.put_i32(0);
    batch.put_u8(2);
    batch.put_u32(0);
    batch.put_i16(header.attributes);
    batch.put_i32(header.last_offset_delta);
    batch.put_i64(header.base_timestamp);
    batch.put_i64(header.max_timestamp);
    batch.put_i64(header.producer_id);
    batch.put_i16(header.producer_epoch);
    batch.put_i32(header.base_sequence);
    batch.put_i32(header.count);
    batch.put_slice(records);
    let crc = crc32c::crc32c(&batch[CRC_START..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn i64_at(bytes: &[u8], start: usize) -> i64 {
    i64::from_be_bytes(array_at(bytes, start))
}

fn i32_at(bytes: &[u8], start: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, start))
}

fn i16_at(bytes: &[u8], start: usize) -> i16 {
    i16::from_be_bytes(array_at(bytes, start))
}

fn array_at<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    bytes[start..start + N].try_into().expect("the slice has the array's length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_back_as_what_it_says() {
        for wanted in [Outcome::Commit, Outcome::Abort] {
            let batch = marker(7, 3, wanted, 1_000);
            let header = Header::parse(&batch).unwrap();
            assert_eq!(outcome(&batch), Some(wanted));
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch), (7, 3));
            assert_eq!(header.size, batch.len());
        }
    }

    #[test]
    fn a_producer_may_not_send_a_marker() {
        let batch = marker(7, 3, Outcome::Commit, 1_000);
        assert_eq!(Header::check(&batch), Err(ResponseError::InvalidRecord));
    }

    #[test]
    fn a_flipped_bit_is_corrupt_and_a_cut_batch_too() {
        let mut batch = marker(7, 3, Outcome::Commit, 1_000);
        assert_eq!(Header::check(&batch[..70]), Err(ResponseError::CorruptMessage));
        batch[65] ^= 1;
        assert_eq!(Header::check(&batch), Err(ResponseError::CorruptMessage));
        assert_eq!(Header::check(&[]), Err(ResponseError::CorruptMessage));
    }

    #[test]
    fn the_place_is_not_part_of_the_checksum() {
        let mut batch = marker(7, 3, Outcome::Abort, 1_000);
        place(&mut batch, 42);
        let header = Header::parse(&batch).unwrap();
        assert_eq!(header.base_offset, 42);
        assert_eq!(crc32c::crc32c(&batch[CRC_START..]), u32::from_be_bytes(array_at(&batch, 17)));
    }
}
