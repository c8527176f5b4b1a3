//! Enums and the types that have a JSON form of their own.

use headwater_proto::JsonTranscoder;

use crate::support::{field, message, tag};
use crate::{bytes, int, same};

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
        r#""empty":{},"wrappedFloat":null,"wrappedDouble":0.0,"wrappedInt64":"8","#,
        r#""wrappedBool":false,"#,
        r#""wrappedBytes":"Ynl0ZXM=","nothing":null,"maybeNothing":null}"#
    );
    assert_eq!(same("rich.WellKnown", &wire).as_deref(), Some(json));
}

pub(crate) fn any_of(url: &str, value: &[u8]) -> Vec<u8> {
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
        assert_eq!(same("rich.WellKnown", &bytes(|out| field(20, &any_of(url, b""), out))), None);
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
    assert!(error.to_string().starts_with("more than 16 Any nest in each other"), "{error}");
}
