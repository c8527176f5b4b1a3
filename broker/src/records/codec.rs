//! Decompresses a batch's records, up to a limit.
//!
//! Why not the protocol crate's own: it has no limit, and a megabyte of zstd may stand for thirty
//! gigabytes.

use std::io::Read;

use bytes::Bytes;
use snap::raw::{Decoder, decompress_len};

use crate::limits::RECORDS_BYTES_MAX;

/// What snappy's Java library writes before its blocks: a name and two version numbers.
const SNAPPY_MAGIC: &[u8] = b"\x82SNAPPY\0";
const SNAPPY_HEADER_BYTES: usize = 16;

/// The records as they are without compression; an error says in words why not.
pub(super) fn unpacked(codec: i16, packed: Bytes) -> Result<Bytes, String> {
    let told = |error: std::io::Error| error.to_string();
    match codec {
        0 => Ok(packed),
        1 => read(flate2::read::GzDecoder::new(&packed[..])),
        2 => snappy(&packed),
        3 => read(lz4::Decoder::new(&packed[..]).map_err(told)?),
        4 => read(zstd::stream::read::Decoder::new(&packed[..]).map_err(told)?),
        other => Err(format!("codec {other} is not known")),
    }
}

fn read(from: impl Read) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    let most = RECORDS_BYTES_MAX as u64 + 1;
    from.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > RECORDS_BYTES_MAX { Err(too_long()) } else { Ok(bytes.into()) }
}

/// Blocks with their lengths behind a header, or one block without (KAFKA-1456).
fn snappy(packed: &[u8]) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    if !packed.starts_with(SNAPPY_MAGIC) {
        block(packed, &mut bytes)?;
        return Ok(bytes.into());
    }
    let mut rest = packed.get(SNAPPY_HEADER_BYTES..).ok_or("snappy: the header is cut")?;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (packed, behind) = behind.split_at_checked(length).ok_or("snappy: a block is cut")?;
        block(packed, &mut bytes)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(bytes.into()) } else { Err("snappy: a length is cut".to_owned()) }
}

fn block(packed: &[u8], bytes: &mut Vec<u8>) -> Result<(), String> {
    let length = decompress_len(packed).map_err(|error| error.to_string())?;
    let start = bytes.len();
    // No block says more than snappy can make of its bytes: 64 bytes of a copy of three.
    if start + length > RECORDS_BYTES_MAX || length / 64 > packed.len() {
        return Err(too_long());
    }
    bytes.resize(start + length, 0);
    Decoder::new().decompress(packed, &mut bytes[start..]).map_err(|error| error.to_string())?;
    Ok(())
}

fn too_long() -> String {
    format!("its records have more than {RECORDS_BYTES_MAX} bytes")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(codec: i16, bytes: &[u8]) -> Bytes {
        let mut out = Vec::new();
        match codec {
            1 => {
                let mut encoder = flate2::write::GzEncoder::new(&mut out, Default::default());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap();
            }
            2 => out = snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
            3 => {
                let mut encoder = lz4::EncoderBuilder::new().build(&mut out).unwrap();
                encoder.write_all(bytes).unwrap();
                encoder.finish().1.unwrap();
            }
            _ => out = zstd::stream::encode_all(bytes, 1).unwrap(),
        }
        out.into()
    }

    #[test]
    fn what_was_compressed_comes_back_and_damage_is_told() {
        for codec in 1..=4 {
            let small = packed(codec, b"records, records");
            assert_eq!(unpacked(codec, small.clone()).unwrap(), &b"records, records"[..]);
            // Lz4 takes a cut for an end; the records then are cut, which their reader finds.
            let cut = unpacked(codec, small.slice(..small.len() / 2));
            assert!(codec == 3 || cut.is_err(), "codec {codec}");
            assert!(unpacked(codec, Bytes::from_static(b"nothing of the kind")).is_err());
        }
        assert!(unpacked(7, Bytes::new()).unwrap_err().contains("codec 7"));
    }

    #[test]
    fn what_would_not_fit_a_frame_is_refused() {
        let bomb = vec![0; RECORDS_BYTES_MAX + 1];
        for codec in 1..=4 {
            let told = unpacked(codec, packed(codec, &bomb)).unwrap_err();
            assert!(told.contains("more than"), "codec {codec}: {told}");
        }
        // A block of ten bytes that says it holds four gigabytes.
        let liar = Bytes::from_static(b"\xff\xff\xff\xff\x0f12345");
        assert!(unpacked(2, liar).unwrap_err().contains("more than"));
    }

    #[test]
    fn snappy_blocks_of_java_are_read() {
        let block = snap::raw::Encoder::new().compress_vec(b"block").unwrap();
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        let one = [&length[..], &block].concat();
        let whole = [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", &one[..], &one].concat();
        assert_eq!(unpacked(2, whole.clone().into()).unwrap(), &b"blockblock"[..]);
        assert!(unpacked(2, Bytes::from(whole).slice(..20)).is_err());
    }
}
