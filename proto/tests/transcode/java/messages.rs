//! Messages by hand: what is rare in random ones.

use crate::bytes;
use crate::support::{field, tag, varint};

/// Those of one type, the empty one first.
pub(super) fn chosen(name: &str) -> Vec<Vec<u8>> {
    let messages = match name {
        "rich.Scalars" => [numbers(), texts(), integers()].concat(),
        "rich.Everything" => well_known(),
        "rich2.Old" => return old(),
        _ => vec![event()],
    };
    [vec![Vec::new()], messages].concat()
}

/// A double, and the same as a float.
fn numbers() -> Vec<Vec<u8>> {
    let values = [
        0.0,
        -0.0,
        1.0,
        0.1,
        0.001,
        9.99e-4,
        1e7,
        9_999_999.5,
        12_345_678.9,
        1e16,
        1e21,
        -21.5,
        123_456.789,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        100.0,
        1e-5,
        3.0e10,
        5e-324,
        1e-323,
        1.5e-323,
        2e-323,
        1e-322,
        1e-45,
        2.8e-45,
        2e-44,
        1e22,
        1e23,
        2e23,
        9_007_199_254_740_993.0,
        0.3,
        0.1 + 0.2,
        1.0 / 3.0,
        2.2e-308,
    ];
    let message = |value: f64| {
        bytes(|out| {
            tag(13, 1, out);
            out.extend_from_slice(&value.to_le_bytes());
            tag(12, 5, out);
            out.extend_from_slice(&(value as f32).to_le_bytes());
        })
    };
    values.map(message).to_vec()
}

fn texts() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "a\"b\\c/<>&='",
        "\u{1}\u{8}\t\n\u{c}\r\u{1f}\u{7f}",
        "\u{2028}\u{2029}",
        "é世🦀\u{ffff}\u{10ffff}\u{feff}",
    ];
    let mut all = texts.map(|text| bytes(|out| field(15, text.as_bytes(), out))).to_vec();
    all.push(bytes(|out| field(16, &[0xff, 0xfe, 0xfd, 0], out)));
    all
}

/// Integers and enums, of which some have no name.
fn integers() -> Vec<Vec<u8>> {
    let message = |value: i64| {
        bytes(|out| {
            for number in [2, 5, 8, 10, 14, 17, 20] {
                tag(number, 0, out);
                varint(value.cast_unsigned(), out);
            }
        })
    };
    [0, 1, -5, 70_000, 77, 1 << 40].map(message).to_vec()
}

/// Of proto2, where fields have defaults of their own; one has fields that Java does not know.
fn old() -> Vec<Vec<u8>> {
    let id = |out: &mut Vec<u8>| {
        tag(1, 0, out);
        varint(9, out);
    };
    let full = bytes(|out| {
        id(out);
        field(3, b"set", out);
        tag(100, 0, out);
        varint(5, out);
        field(101, b"a note", out);
        tag(7, 3, out);
        tag(1, 0, out);
        varint(3, out);
        tag(7, 4, out);
    });
    vec![bytes(id), full]
}

fn event() -> Vec<u8> {
    let label = bytes(|entry| {
        field(1, b"rack", entry);
        field(2, b"r1", entry);
    });
    let location = bytes(|location| {
        tag(1, 1, location);
        location.extend_from_slice(&52.5_f64.to_le_bytes());
    });
    bytes(|out| {
        tag(1, 0, out);
        varint(u64::MAX, out);
        field(3, b"device-7", out);
        tag(5, 1, out);
        out.extend_from_slice(&21.25_f64.to_le_bytes());
        field(9, &label, out);
        field(10, &[1, 2, 3], out);
        field(11, &location, out);
        field(12, &[0, 1, 2, 255], out);
    })
}

/// `Everything.well_known` with one type each.
fn well_known() -> Vec<Vec<u8>> {
    let within = |inner: Vec<u8>| bytes(|out| field(4, &inner, out));
    let moment = |seconds: i64, nanos: i32| {
        bytes(|out| {
            tag(1, 0, out);
            varint(seconds.cast_unsigned(), out);
            tag(2, 0, out);
            varint(i64::from(nanos).cast_unsigned(), out);
        })
    };
    let mut all = Vec::new();
    for (seconds, nanos) in
        [(0, 0), (1, 500_000_000), (1_700_000_000, 123_456_789), (-1, 1000), (951_782_400, 10)]
    {
        all.push(within(bytes(|out| field(1, &moment(seconds, nanos), out))));
    }
    for (seconds, nanos) in [(0, 0), (1, 500_000_000), (-3, -1), (0, -500_000_000), (7, 1000)] {
        all.push(within(bytes(|out| field(2, &moment(seconds, nanos), out))));
    }
    let number = |value: f64| {
        bytes(|out| {
            tag(2, 1, out);
            out.extend_from_slice(&value.to_le_bytes());
        })
    };
    let entry = |key: &str, value: &[u8]| {
        bytes(|out| {
            field(1, key.as_bytes(), out);
            field(2, value, out);
        })
    };
    let object = bytes(|out| {
        field(1, &entry("z", &number(1.0)), out);
        field(1, &entry("a", &number(1e21)), out);
        field(1, &entry("t", &bytes(|value| field(3, "\u{2028}<a='b'>&".as_bytes(), value))), out);
        field(1, &entry("b", &[0x20, 1]), out);
        field(1, &entry("n", &[0x08, 0]), out);
        field(1, &entry("empty", &[]), out);
    });
    let list = bytes(|out| {
        field(1, &number(-0.5), out);
        field(1, &bytes(|value| field(5, &object, value)), out);
    });
    all.push(within(bytes(|out| field(3, &object, out))));
    all.push(within(bytes(|out| field(4, &number(100.0), out))));
    all.push(within(bytes(|out| field(5, &list, out))));
    all.push(within(bytes(|out| field(5, &[], out))));
    for path in ["foo_bar.baz", "Foo__bar_", "a=b<c>"] {
        let mask = bytes(|mask| field(1, path.as_bytes(), mask));
        all.push(within(bytes(|out| field(6, &mask, out))));
    }
    all.push(within(bytes(|out| field(7, &[], out))));
    for number in 8..=16 {
        all.push(within(bytes(|out| field(number, &[], out))));
    }
    let nan = bytes(|out| {
        tag(1, 1, out);
        out.extend_from_slice(&f64::NAN.to_le_bytes());
    });
    all.push(within(bytes(|out| field(9, &nan, out))));
    all
}
