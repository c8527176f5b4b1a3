//! Goal: the transcoder prints byte for byte what prost-reflect prints, and refuses what it refuses.
//! Method: named cases for every rule of the wire format, then random messages of rich types, each
//! compared with prost-reflect. Where a map has several entries prost-reflect's order is random;
//! there the bytes are compared as a multiset and the values as parsed.

mod support;

use headwater_proto::JsonTranscoder;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use support::{Maker, field, message, tag, varint};

/// What prost-reflect prints, if it can.
fn reference(descriptor: &MessageDescriptor, wire: &[u8]) -> Option<Vec<u8>> {
    let message = DynamicMessage::decode(descriptor.clone(), wire).ok()?;
    let mut serializer = serde_json::Serializer::new(Vec::new());
    message
        .serialize_with_options(&mut serializer, &SerializeOptions::default())
        .ok()?;
    Some(serializer.into_inner())
}

fn sorted(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.sort_unstable();
    bytes
}

/// Compares one message; `None` if both refuse it, else what we print.
fn compare(
    transcoder: &JsonTranscoder,
    descriptor: &MessageDescriptor,
    wire: &[u8],
) -> Result<Option<String>, String> {
    let mut out = b"kept".to_vec();
    let ours = transcoder.transcode(wire, &mut out);
    let theirs = reference(descriptor, wire);
    let shown = String::from_utf8_lossy(&out[4..]).into_owned();
    match (ours, theirs) {
        (Err(_), None) if out == b"kept" => Ok(None),
        (Err(_), None) => Err("an error left bytes behind".to_owned()),
        (Ok(()), Some(theirs)) if out[4..] == theirs[..] => Ok(Some(shown)),
        (Ok(()), Some(theirs)) => {
            let ours: serde_json::Value =
                serde_json::from_slice(&out[4..]).map_err(|e| e.to_string())?;
            let parsed: serde_json::Value = serde_json::from_slice(&theirs).unwrap();
            let order_only = ours == parsed && sorted(&out[4..]) == sorted(&theirs);
            let theirs = String::from_utf8_lossy(&theirs).into_owned();
            if order_only {
                Ok(Some(shown))
            } else {
                Err(format!("ours   {shown}\ntheirs {theirs}"))
            }
        }
        (ours, theirs) => Err(format!(
            "ours {ours:?} {shown}\ntheirs {:?}",
            theirs.map(|json| String::from_utf8_lossy(&json).into_owned())
        )),
    }
}

/// Compares one message and gives what both print.
fn same(name: &str, wire: &[u8]) -> Option<String> {
    let descriptor = message(name);
    let transcoder = JsonTranscoder::compile(&descriptor);
    compare(&transcoder, &descriptor, wire).unwrap_or_else(|text| panic!("{name}: {text}"))
}

fn bytes(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

fn int(number: u32, value: u64, out: &mut Vec<u8>) {
    tag(number, 0, out);
    varint(value, out);
}

#[test]
fn an_empty_message_is_an_empty_object() {
    assert_eq!(same("rich.Everything", b"").as_deref(), Some("{}"));
}

#[test]
fn fields_out_of_order_are_printed_in_order_of_their_numbers() {
    let wire = bytes(|out| {
        field(15, b"text", out);
        int(5, 12, out);
        int(1, 1, out);
        int(2, u64::MAX, out);
    });
    let json = r#"{"aBool":true,"anInt32":-1,"anInt64":"12","aString":"text"}"#;
    assert_eq!(same("rich.Scalars", &wire).as_deref(), Some(json));
}

#[test]
fn the_last_of_several_scalars_counts() {
    let wire = bytes(|out| {
        int(2, 5, out);
        field(15, b"first", out);
        int(2, 6, out);
        field(15, b"last", out);
    });
    assert_eq!(
        same("rich.Scalars", &wire).as_deref(),
        Some(r#"{"anInt32":6,"aString":"last"}"#)
    );
    let back_to_default = bytes(|out| {
        int(2, 5, out);
        int(2, 0, out);
    });
    assert_eq!(
        same("rich.Scalars", &back_to_default).as_deref(),
        Some("{}")
    );
}

#[test]
fn an_overridden_string_must_still_be_utf8() {
    let wire = bytes(|out| {
        field(15, b"\xff", out);
        field(15, b"fine", out);
    });
    assert_eq!(same("rich.Scalars", &wire), None);
}

#[test]
fn minus_zero_is_a_default_where_there_is_no_presence() {
    let wire = bytes(|out| {
        tag(13, 1, out);
        out.extend_from_slice(&(-0.0_f64).to_le_bytes());
        tag(19, 1, out);
        out.extend_from_slice(&(-0.0_f64).to_le_bytes());
    });
    assert_eq!(
        same("rich.Scalars", &wire).as_deref(),
        Some(r#"{"maybeDouble":-0.0}"#)
    );
}

#[test]
fn what_is_not_finite_is_a_string() {
    for value in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        1e-7,
        1e21,
        0.1,
    ] {
        let wire = bytes(|out| {
            tag(12, 5, out);
            out.extend_from_slice(&(value as f32).to_le_bytes());
            tag(13, 1, out);
            out.extend_from_slice(&value.to_le_bytes());
        });
        assert!(same("rich.Scalars", &wire).is_some());
    }
}

#[test]
fn repeated_fields_may_be_split_packed_and_unpacked() {
    let wire = bytes(|out| {
        int(2, 1, out);
        field(8, b"between", out);
        field(2, &[2, 3], out);
        field(2, &[], out);
        int(2, 4, out);
        field(4, &7_u32.to_le_bytes(), out);
        tag(4, 5, out);
        out.extend_from_slice(&8_u32.to_le_bytes());
    });
    let json = r#"{"ints":[1,2,3,4],"fixeds":[7,8],"strings":["between"]}"#;
    assert_eq!(same("rich.Lists", &wire).as_deref(), Some(json));
}

#[test]
fn an_empty_packed_list_is_absent() {
    assert_eq!(
        same("rich.Lists", &bytes(|out| field(2, &[], out))).as_deref(),
        Some("{}")
    );
}

#[test]
fn a_packed_list_that_ends_in_the_middle_is_refused() {
    assert_eq!(
        same("rich.Lists", &bytes(|out| field(4, &[1, 2, 3, 4, 5], out))),
        None
    );
    assert_eq!(
        same("rich.Lists", &bytes(|out| field(2, &[0x80], out))),
        None
    );
}

#[test]
fn sub_messages_are_merged() {
    let wire = bytes(|out| {
        let first = bytes(|out| {
            field(3, b"first", out);
            field(1, &bytes(|out| int(4, 1, out)), out);
            field(2, b"", out);
        });
        let second = bytes(|out| {
            field(1, &bytes(|out| field(3, b"inner", out)), out);
            field(2, b"", out);
            int(4, 9, out);
        });
        field(5, &first, out);
        field(5, &second, out);
    });
    let json = r#"{"node":{"child":{"name":"inner","weight":1},"children":[{},{}],"name":"first","weight":9}}"#;
    assert_eq!(same("rich.Everything", &wire).as_deref(), Some(json));
}

#[test]
fn pieces_of_a_sub_message_must_be_whole_each() {
    let wire = bytes(|out| {
        field(5, &[0x20], out);
        field(5, &[0x01], out);
    });
    assert_eq!(same("rich.Everything", &wire), None);
}

#[test]
fn a_later_member_of_a_oneof_unsets_an_earlier_one() {
    let node = bytes(|out| int(4, 3, out));
    let named = bytes(|out| field(3, b"n", out));
    let wire = bytes(|out| {
        field(4, &node, out);
        field(3, b"text", out);
        field(10, b"right", out);
        field(4, &named, out);
        int(1, 1, out);
    });
    let json = r#"{"before":1,"node":{"name":"n"},"right":"right"}"#;
    assert_eq!(same("rich.Choice", &wire).as_deref(), Some(json));
    let twice = bytes(|out| {
        field(4, &node, out);
        field(4, &named, out);
    });
    assert_eq!(
        same("rich.Choice", &twice).as_deref(),
        Some(r#"{"node":{"name":"n","weight":3}}"#)
    );
}

#[test]
fn an_unset_member_of_a_oneof_must_still_decode() {
    for unset in [
        bytes(|out| field(3, b"\xff", out)),
        bytes(|out| field(4, &[0x0a], out)),
    ] {
        let wire = bytes(|out| {
            out.extend_from_slice(&unset);
            int(2, 1, out);
        });
        assert_eq!(same("rich.Choice", &wire), None);
    }
}

#[test]
fn an_unset_timestamp_out_of_range_is_no_error() {
    let far = bytes(|out| int(1, i64::MAX as u64, out));
    let wire = bytes(|out| {
        field(6, &far, out);
        int(2, 1, out);
    });
    assert_eq!(
        same("rich.Choice", &wire).as_deref(),
        Some(r#"{"number":1}"#)
    );
    assert_eq!(same("rich.Choice", &bytes(|out| field(6, &far, out))), None);
}

#[test]
fn a_member_of_a_oneof_with_its_default_is_printed() {
    assert_eq!(
        same("rich.Choice", &bytes(|out| int(2, 0, out))).as_deref(),
        Some(r#"{"number":0}"#)
    );
}

#[test]
fn equal_keys_of_a_map_keep_the_last_value_at_the_first_place() {
    let entry = |key: &[u8], value: &[u8]| {
        bytes(|out| {
            field(1, key, out);
            field(2, value, out);
        })
    };
    let wire = bytes(|out| {
        field(1, &entry(b"a", b"1"), out);
        field(1, &entry(b"b", b"2"), out);
        field(1, &entry(b"a", b"3"), out);
    });
    assert_eq!(
        same("rich.Maps", &wire).as_deref(),
        Some(r#"{"texts":{"a":"3","b":"2"}}"#)
    );
}

#[test]
fn a_large_map_finds_its_equal_keys() {
    let wire = bytes(|out| {
        for index in 0..100_u8 {
            let entry = bytes(|out| {
                int(1, u64::from(index % 40), out);
                int(2, u64::from(index), out);
            });
            field(2, &entry, out);
        }
    });
    let json = same("rich.Maps", &wire).unwrap();
    assert!(json.starts_with(r#"{"ints":{"0":80,"1":81,"#), "{json}");
    assert!(json.ends_with(r#""39":79}}"#), "{json}");
}

#[test]
fn a_replaced_entry_must_still_decode() {
    let bad = bytes(|out| {
        field(1, b"a", out);
        field(2, b"\xff", out);
    });
    let good = bytes(|out| field(1, b"a", out));
    let wire = bytes(|out| {
        field(1, &bad, out);
        field(1, &good, out);
    });
    assert_eq!(same("rich.Maps", &wire), None);
}

#[test]
fn entries_may_lack_key_or_value_or_have_them_twice() {
    let wire = bytes(|out| {
        field(1, b"", out);
        field(7, &bytes(|out| int(1, 1, out)), out);
        field(4, b"", out);
        field(8, &bytes(|out| field(1, b"t", out)), out);
        field(9, &bytes(|out| field(1, b"v", out)), out);
        field(11, b"", out);
        let twice = bytes(|out| {
            int(1, 5, out);
            field(2, &bytes(|out| int(4, 1, out)), out);
            int(1, 6, out);
            field(2, &bytes(|out| field(3, b"n", out)), out);
            field(9, b"unknown", out);
        });
        field(7, &twice, out);
    });
    let json = concat!(
        r#"{"texts":{"":""},"bools":{"false":"NONE"},"nodes":{"1":{},"6":{"name":"n","weight":1}},"#,
        r#""times":{"t":"1970-01-01T00:00:00Z"},"values":{"v":null},"wrapped":{"":"0"}}"#
    );
    assert_eq!(same("rich.Maps", &wire).as_deref(), Some(json));
}

#[test]
fn a_map_entry_is_read_by_its_length_whatever_its_tag_says() {
    // A quirk of prost-reflect, kept because a record it decodes must not be lost here.
    let wire = bytes(|out| {
        tag(1, 0, out);
        varint(3, out);
        field(1, b"k", out);
    });
    assert_eq!(
        same("rich.Maps", &wire).as_deref(),
        Some(r#"{"texts":{"k":""}}"#)
    );
}

#[test]
fn unknown_fields_of_every_wire_type_are_skipped() {
    let wire = bytes(|out| {
        int(900, 1, out);
        field(901, b"x", out);
        tag(902, 1, out);
        out.extend_from_slice(&[0; 8]);
        tag(903, 5, out);
        out.extend_from_slice(&[0; 4]);
        tag(904, 3, out);
        int(1, 1, out);
        tag(905, 3, out);
        tag(905, 4, out);
        tag(904, 4, out);
        int(2, 8, out);
    });
    assert_eq!(
        same("rich.Scalars", &wire).as_deref(),
        Some(r#"{"anInt32":8}"#)
    );
}

#[test]
fn broken_tags_and_groups_are_refused() {
    let cases: [&[u8]; 8] = [
        &[0x00],                               // field number zero
        &[0x0e],                               // wire type six
        &[0x0c],                               // a group that ends without a beginning
        &[0xa3, 0x38],                         // a group without an end
        &[0xa3, 0x38, 0xac, 0x38],             // a group that ends as another
        &[0x80],                               // a tag that does not end
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01], // a tag of more than 32 bits
        &[
            0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
        ], // more than 64 bits
    ];
    for wire in cases {
        assert_eq!(same("rich.Scalars", wire), None, "{wire:x?}");
    }
}

#[test]
fn enums_print_names_and_unknown_numbers() {
    let wire = bytes(|out| {
        for number in [0, 1, (-5_i64) as u64, 70_000, 2, (-6_i64) as u64, u64::MAX] {
            int(7, number, out);
        }
    });
    let json = r#"{"colours":["NONE","RED","DEEP","FAR",2,-6,-1]}"#;
    assert_eq!(same("rich.Lists", &wire).as_deref(), Some(json));
}

#[test]
fn well_known_types_have_their_own_forms() {
    let wire = bytes(|out| {
        field(
            1,
            &bytes(|out| {
                int(1, 1_700_000_000, out);
                int(2, 5_000_000, out);
            }),
            out,
        );
        field(
            2,
            &bytes(|out| {
                int(1, (-3_i64) as u64, out);
                int(2, (-5_i64) as u64, out);
            }),
            out,
        );
        field(
            6,
            &bytes(|out| {
                field(1, b"foo_bar.baz", out);
                field(1, b"qux", out);
            }),
            out,
        );
        field(7, &bytes(|out| int(77, 1, out)), out);
        field(
            8,
            &bytes(|out| {
                tag(1, 5, out);
                out.extend_from_slice(&f32::NAN.to_le_bytes());
            }),
            out,
        );
        field(
            9,
            &bytes(|out| {
                tag(1, 1, out);
                out.extend_from_slice(&(-0.0_f64).to_le_bytes());
            }),
            out,
        );
        field(
            11,
            &bytes(|out| {
                int(1, 7, out);
                int(1, 8, out);
            }),
            out,
        );
        field(14, b"", out);
        field(16, &bytes(|out| field(1, b"bytes", out)), out);
        int(17, 5, out);
        int(22, 0, out);
    });
    let json = concat!(
        r#"{"time":"2023-11-14T22:13:20.005Z","duration":"-3.000000005s","mask":"fooBar.baz,qux","#,
        r#""empty":{},"wrappedFloat":null,"wrappedDouble":0.0,"wrappedInt64":"8","wrappedBool":false,"#,
        r#""wrappedBytes":"Ynl0ZXM=","nothing":null,"maybeNothing":null}"#
    );
    assert_eq!(same("rich.WellKnown", &wire).as_deref(), Some(json));
}

fn any_of(url: &str, value: &[u8]) -> Vec<u8> {
    bytes(|out| {
        field(1, url.as_bytes(), out);
        field(2, value, out);
    })
}

#[test]
fn an_any_prints_the_message_inside() {
    let scalars = any_of("x/rich.Scalars", &bytes(|out| int(2, 3, out)));
    let time = any_of("/google.protobuf.Timestamp", b"");
    let nested = any_of("a/google.protobuf.Any", &any_of("b/rich.Node", b""));
    let wire = bytes(|out| {
        for inner in [&scalars, &time, &nested] {
            field(21, inner, out);
        }
    });
    let json = concat!(
        r#"{"anys":[{"@type":"x/rich.Scalars","anInt32":3},"#,
        r#"{"@type":"/google.protobuf.Timestamp","value":"1970-01-01T00:00:00Z"},"#,
        r#"{"@type":"a/google.protobuf.Any","value":{"@type":"b/rich.Node"}}]}"#
    );
    assert_eq!(same("rich.WellKnown", &wire).as_deref(), Some(json));
}

#[test]
fn an_any_of_an_unknown_type_is_refused() {
    for url in ["x/rich.Missing", "rich.Scalars", ""] {
        assert_eq!(
            same(
                "rich.WellKnown",
                &bytes(|out| field(20, &any_of(url, b""), out))
            ),
            None
        );
    }
}

#[test]
fn anys_nest_only_so_far() {
    let descriptor = message("rich.WellKnown");
    let transcoder = JsonTranscoder::compile(&descriptor);
    let mut inner = any_of("x/rich.Node", b"");
    for _ in 0..100_000 / 32 {
        inner = any_of("x/google.protobuf.Any", &inner);
    }
    let error = transcoder.transcode(&bytes(|out| field(20, &inner, out)), &mut Vec::new());
    let error = error.unwrap_err();
    assert_eq!(error.path, "any");
    assert!(
        error
            .to_string()
            .starts_with("more than 16 Any nest in each other"),
        "{error}"
    );
}

fn nested(levels: u32, number: u32) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |inner, _| {
        bytes(|out| field(number, &inner, out))
    })
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
        (0..100).fold(bytes(|out| field(5, entry, out)), |inner, _| {
            bytes(|out| field(1, &inner, out))
        })
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
    for name in [
        "rich.Node",
        "google.protobuf.Timestamp",
        "google.protobuf.Empty",
    ] {
        for levels in [98, 99, 100, 101] {
            let descriptor = message("rich.WellKnown")
                .parent_pool()
                .get_message_by_name(name)
                .unwrap();
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

#[test]
fn groups_are_printed_like_messages_and_merged() {
    let wire = bytes(|out| {
        int(1, 1, out);
        for part in [
            bytes(|out| int(1, 4, out)),
            bytes(|out| field(2, b"r", out)),
        ] {
            tag(7, 3, out);
            out.extend_from_slice(&part);
            tag(7, 4, out);
        }
        tag(8, 3, out);
        int(9, 5, out);
        tag(8, 4, out);
        tag(8, 3, out);
        tag(8, 4, out);
    });
    assert_eq!(
        same("rich2.Old", &wire).as_deref(),
        Some(r#"{"id":1,"pair":{"left":4,"right":"r"},"row":[{"cell":5},{}]}"#)
    );
    assert_eq!(same("rich2.Old", &bytes(|out| field(7, b"", out))), None);
}

#[test]
fn extensions_follow_the_fields() {
    let wire = bytes(|out| {
        field(101, b"note", out);
        field(100, &[1, 2], out);
        int(2, 7, out);
        field(102, &bytes(|out| int(1, 0, out)), out);
    });
    let json =
        r#"{"count":7,"[rich2.marks]":[1,2],"[rich2.note]":"note","[rich2.linked]":{"id":0}}"#;
    assert_eq!(same("rich2.Old", &wire).as_deref(), Some(json));
}

#[test]
fn names_are_escaped_and_high_numbers_found() {
    let wire = bytes(|out| {
        field(21, b"v", out);
        int(5000, 1, out);
        field(536_870_911, b"h", out);
    });
    let json = r#"{"odd \"näme\"\n":"v","highNumber":1,"highestNumber":"h"}"#;
    assert_eq!(same("rich.Scalars", &wire).as_deref(), Some(json));
}

#[test]
fn an_error_names_place_and_field_and_not_the_payload() {
    let transcoder = JsonTranscoder::compile(&message("rich.Everything"));
    let wire = bytes(|out| {
        field(
            5,
            &bytes(|out| field(1, &bytes(|out| field(3, b"\xffsecret", out)), out)),
            out,
        )
    });
    let error = transcoder.transcode(&wire, &mut Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "string is not valid UTF-8 in field \"node.child.name\" at byte 6"
    );
    assert_eq!((error.offset, error.path.as_str()), (6, "node.child.name"));
}

const TYPES: [&str; 9] = [
    "rich.Everything",
    "rich.Scalars",
    "rich.Lists",
    "rich.Choice",
    "rich.Maps",
    "rich.WellKnown",
    "rich.Node",
    "rich2.Old",
    "google.protobuf.Struct",
];

thread_local! {
    static SUBJECTS: Vec<(MessageDescriptor, JsonTranscoder)> = {
        let pool = support::pool();
        let subject = |name: &&str| {
            let descriptor = pool.get_message_by_name(name).unwrap();
            let transcoder = JsonTranscoder::compile(&descriptor);
            (descriptor, transcoder)
        };
        TYPES.iter().map(subject).collect()
    };
}

fn compare_random(pick: usize, entropy: &[u8], mistakes: bool) -> Result<Option<String>, String> {
    SUBJECTS.with(|subjects| {
        let (descriptor, transcoder) = &subjects[pick];
        let wire = Maker::new(entropy, mistakes).message(descriptor, 0);
        compare(transcoder, descriptor, &wire)
            .map_err(|text| format!("{}: {text}\n{wire:x?}", TYPES[pick]))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(4000), ..ProptestConfig::default() })]

    #[test]
    fn random_messages_are_printed_as_prost_reflect_prints_them(
        pick in 0..TYPES.len(), entropy in prop::collection::vec(prop::num::u8::ANY, 0..400)
    ) {
        compare_random(pick, &entropy, false).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn random_messages_with_mistakes_are_refused_together(
        pick in 0..TYPES.len(), entropy in prop::collection::vec(prop::num::u8::ANY, 0..400)
    ) {
        compare_random(pick, &entropy, true).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn random_bytes_are_judged_alike(
        pick in 0..TYPES.len(), wire in prop::collection::vec(prop::num::u8::ANY, 0..40)
    ) {
        SUBJECTS.with(|subjects| {
            let (descriptor, transcoder) = &subjects[pick];
            compare(transcoder, descriptor, &wire)
        }).map_err(TestCaseError::fail)?;
    }
}

/// How many random cases: `PROPTEST_CASES` if set.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn most_random_messages_decode_and_print() {
    // Guards the tests above: if the maker went astray they would compare errors only.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(prop::num::u8::ANY, 200..400);
    let printed = (0..900).filter(|round| {
        let entropy = strategy.new_tree(&mut runner).unwrap().current();
        let json = compare_random(round % TYPES.len(), &entropy, false).unwrap();
        json.is_some_and(|json| json.len() > 2)
    });
    let printed = printed.count();
    assert!(
        printed > 450,
        "only {printed} of 900 random messages were printed"
    );
}
