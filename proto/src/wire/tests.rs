//! Goal: the reader accepts and refuses what prost does, and says where it stopped.

use super::*;

fn read_varint(bytes: &[u8]) -> Result<(u64, usize), WireError> {
    let mut reader = Reader::new(bytes);
    reader.varint().map(|value| (value, reader.offset()))
}

#[test]
fn varints_are_read_as_prost_reads_them() {
    let mut cases: Vec<Vec<u8>> = (0..64)
        .map(|bit| {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(1 << bit, &mut bytes);
            bytes
        })
        .collect();
    cases.push(vec![]);
    cases.push(vec![0x80]);
    cases.push(vec![0x80, 0x00]);
    cases.push([vec![0xff; 9], vec![0x01]].concat());
    cases.push([vec![0xff; 9], vec![0x02]].concat());
    cases.push([vec![0x80; 10], vec![0x01]].concat());
    cases.push(vec![0xff; 12]);
    // Read from one word if what follows fills it, else byte by byte.
    let followed = |case: &Vec<u8>| [vec![0; 8], vec![0xff; 8]].map(|it| [&case[..], &it].concat());
    cases.extend(cases.iter().flat_map(followed).collect::<Vec<_>>());
    for bytes in cases {
        let mut rest = &bytes[..];
        let theirs = prost::encoding::decode_varint(&mut rest);
        match read_varint(&bytes) {
            Ok((value, end)) => {
                assert_eq!((value, bytes.len() - end), (theirs.unwrap(), rest.len()), "{bytes:x?}");
            }
            Err(_) => assert!(theirs.is_err(), "{bytes:x?}"),
        }
    }
}

#[test]
fn a_length_past_the_end_is_refused_where_it_stands() {
    let mut reader = Reader::new(&[0x0a, 0x05, 1, 2]);
    let tag = reader.tag().unwrap();
    assert_eq!(tag, Tag { number: 1, wire_type: WireType::Bytes });
    let fault = WireFault::Truncated;
    assert_eq!(reader.value(tag, DEPTH_MAX), Err(WireError { offset: 1, fault }));
}

#[test]
fn a_length_near_the_top_of_64_bits_does_not_overflow() {
    let bytes = [vec![0xff; 9], vec![0x01]].concat();
    let fault = WireFault::Truncated;
    assert_eq!(Reader::new(&bytes).bytes(), Err(WireError { offset: 0, fault }));
}

#[test]
fn a_group_gives_its_fields_without_its_end() {
    let bytes = [0x0b, 0x10, 0x07, 0x13, 0x14, 0x0c, 0x08, 0x01];
    let mut reader = Reader::new(&bytes);
    let tag = reader.tag().unwrap();
    assert_eq!(reader.value(tag, DEPTH_MAX), Ok(Raw::Group(&bytes[1..5])));
    assert_eq!(reader.offset(), 6);
}

#[test]
fn groups_count_their_depth() {
    let nested = |levels: usize| [vec![0x0b; levels], vec![0x0c; levels]].concat();
    let value = |bytes: &[u8], depth| {
        let mut reader = Reader::new(bytes);
        let tag = reader.tag().unwrap();
        reader.value(tag, depth).map(drop)
    };
    assert_eq!(value(&nested(3), 3), Ok(()));
    let error = value(&nested(4), 3).unwrap_err();
    assert_eq!((error.offset, error.fault), (4, WireFault::Depth));
}
