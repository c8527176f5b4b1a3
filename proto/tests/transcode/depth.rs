//! How deep messages, groups, maps and structs may nest.

use headwater_proto::JsonTranscoder;

use crate::support::{field, message, tag};
use crate::well_known::any_of;
use crate::{bytes, int, same};

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

/// An unknown group of so many levels with a scalar in the innermost.
fn unknown_groups(levels: u32) -> Vec<u8> {
    (0..levels).fold(bytes(|out| int(901, 1, out)), |inner, _| {
        bytes(|out| {
            tag(900, 3, out);
            out.extend_from_slice(&inner);
            tag(900, 4, out);
        })
    })
}

#[test]
fn groups_nest_a_hundred_deep_and_no_deeper() {
    assert!(same("rich.Node", &unknown_groups(100)).is_some());
    assert_eq!(same("rich.Node", &unknown_groups(101)), None);
}

#[test]
fn groups_in_well_known_types_are_counted_as_prost_reflect_counts_them() {
    // It reads these types twice, and the second time stops one level earlier.
    for name in ["google.protobuf.Timestamp", "google.protobuf.Int64Value"] {
        assert!(same(name, &unknown_groups(99)).is_some());
        assert_eq!(same(name, &unknown_groups(100)), None);
    }
    assert!(same("google.protobuf.Empty", &unknown_groups(100)).is_some());
}

#[test]
fn groups_in_map_entries_count_one_level_more() {
    for levels in 90..=101 {
        let entry = bytes(|out| field(5, &unknown_groups(4), out));
        let wire = (0..levels).fold(entry, |inner, _| bytes(|out| field(1, &inner, out)));
        assert_eq!(same("rich.Node", &wire).is_some(), levels < 96, "{levels}");
    }
}

#[test]
fn structs_deep_in_a_record_count_from_its_outside() {
    let value = (0..10).fold(bytes(|out| int(1, 0, out)), |inner, _| {
        // Value.list_value and ListValue.values: two levels.
        bytes(|out| field(6, &bytes(|out| field(1, &inner, out)), out))
    });
    let known = bytes(|out| field(4, &bytes(|out| field(4, &value, out)), out));
    for levels in 70..=90 {
        let wire = (0..levels).fold(known.clone(), |inner, _| bytes(|out| field(7, &inner, out)));
        assert_eq!(same("rich.Everything", &wire).is_some(), levels <= 78, "{levels}");
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
