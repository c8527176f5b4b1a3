//! How deep messages, groups, maps and structs may nest.

use headwater_proto::JsonTranscoder;

use crate::support::{field, message, tag};
use crate::well_known::any_of;
use crate::{bytes, compare, int, same};

/// The worst that may nest: a hundred messages, an `Any` in the last, and so on.
#[test]
fn the_deepest_message_fits_the_stack_of_a_thread() {
    let mut inner = any_of("x/rich.Everything", b"");
    for _ in 0..15 {
        let last = bytes(|out| field(4, &bytes(|out| field(20, &inner, out)), out));
        let payload = (0..98).fold(last, |inner, _| bytes(|out| field(7, &inner, out)));
        inner = any_of("x/rich.Everything", &payload);
    }
    let wire = bytes(|out| field(4, &bytes(|out| field(20, &inner, out)), out));
    let transcode = move || {
        let transcoder = JsonTranscoder::compile(&message("rich.Everything"));
        let mut out = Vec::new();
        transcoder.transcode(&wire, &mut out).map(|()| out.len())
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(transcode).unwrap();
    assert!(thread.join().unwrap().unwrap() > 1500 * 10);
}

fn nested(levels: u32, number: u32) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |inner, _| bytes(|out| field(number, &inner, out)))
}

#[test]
fn messages_nest_a_hundred_deep_and_no_deeper() {
    assert!(same("rich.Node", &nested(100, 1)).is_some());
    assert_eq!(same("rich.Node", &nested(101, 1)), None);
    assert!(same("rich.Node", &nested(100, 2)).is_some());
    assert_eq!(same("rich.Node", &nested(101, 2)), None);
}

#[test]
fn map_values_nest_and_entries_do_not() {
    let deep = |levels: u32| {
        (0..levels).fold(Vec::new(), |inner: Vec<u8>, _| {
            bytes(|out| field(5, &bytes(|out| field(2, &inner, out)), out))
        })
    };
    assert!(same("rich.Node", &deep(100)).is_some());
    assert_eq!(same("rich.Node", &deep(101)), None);
    // At the last level an entry may lack its value, but may not have an unknown field.
    let last = |entry: &[u8]| {
        (0..100)
            .fold(bytes(|out| field(5, entry, out)), |inner, _| bytes(|out| field(1, &inner, out)))
    };
    assert!(same("rich.Node", &last(b"")).is_some());
    assert_eq!(same("rich.Node", &last(&bytes(|out| int(9, 1, out)))), None);
}

#[test]
fn groups_nest_a_hundred_deep_and_no_deeper() {
    let unknown = |levels: u32| {
        (0..levels).fold(Vec::new(), |inner: Vec<u8>, _| {
            bytes(|out| {
                tag(900, 3, out);
                out.extend_from_slice(&inner);
                tag(900, 4, out);
            })
        })
    };
    for name in ["rich.Node", "google.protobuf.Timestamp", "google.protobuf.Empty"] {
        for levels in [98, 99, 100, 101] {
            let descriptor =
                message("rich.WellKnown").parent_pool().get_message_by_name(name).unwrap();
            let transcoder = JsonTranscoder::compile(&descriptor);
            compare(&transcoder, &descriptor, &unknown(levels)).unwrap();
        }
    }
}

#[test]
fn structs_nest_as_prost_reflect_reads_them() {
    for levels in [10, 24, 25, 26, 30, 33, 34, 49, 50, 51] {
        let wire = (0..levels).fold(bytes(|out| int(1, 0, out)), |inner, _| {
            let entry = bytes(|out| {
                field(1, b"k", out);
                field(2, &inner, out);
            });
            bytes(|out| field(5, &bytes(|out| field(1, &entry, out)), out))
        });
        same("rich.WellKnown", &bytes(|out| field(4, &wire, out)));
    }
}
