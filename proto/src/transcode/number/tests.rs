//! Numbers are printed as serde_json prints them: at every border of a digit, and at random.

use proptest::prelude::*;

use super::*;

fn printed(print: impl FnOnce(&mut Slot) -> usize) -> String {
    let mut out = Vec::new();
    append(&mut out, print);
    String::from_utf8(out).unwrap()
}

fn same_double(value: f64) {
    let expected = serde_json::to_string(&value).unwrap();
    assert_eq!(printed(|slot| double(value, slot)), expected, "{value:e}");
    assert_eq!(printed(|slot| double(-value, slot)), format!("-{expected}"), "-{value:e}");
}

fn same_integer(value: u64) {
    let quoted = |op| printed(|slot| scalar(op, value, JsonNotation::Plain, slot));
    assert_eq!(quoted(Op::Uint64), format!("\"{value}\""));
    assert_eq!(quoted(Op::Int64), format!("\"{}\"", value.cast_signed()));
    assert_eq!(quoted(Op::Uint32), (value as u32).to_string());
    assert_eq!(quoted(Op::Int32), (value as i32).to_string());
    for (op, signed) in [(Op::Uint32, value as u32 as i64), (Op::Int32, (value as i32).into())] {
        assert_eq!(printed(|slot| key(op, value, slot)), format!("\"{signed}\""));
    }
}

#[test]
fn integers_of_every_length_are_printed() {
    for power in 0..20 {
        let border = 10_u64.pow(power);
        for value in
            [border - 1, border, border + 1, border.saturating_mul(3) / 2, u64::MAX / border]
        {
            same_integer(value);
            same_integer(value.wrapping_neg());
        }
    }
    (0..20_000).for_each(same_integer);
    for value in [i32::MIN as i64, i32::MAX as i64, i64::MIN, i64::MAX] {
        same_integer(value.cast_unsigned());
    }
}

#[test]
fn bools_are_printed_and_quoted_as_keys() {
    for (raw, name) in [(0, "false"), (1, "true"), (u64::MAX, "true")] {
        assert_eq!(printed(|slot| scalar(Op::Bool, raw, JsonNotation::Plain, slot)), name);
        assert_eq!(printed(|slot| key(Op::Bool, raw, slot)), format!("\"{name}\""));
    }
}

#[test]
fn doubles_around_every_limit_are_printed() {
    same_double(0.0);
    for power in -12..20 {
        let power = 10_f64.powi(power);
        for factor in [1.0, 1.5, 9.999_999, 0.999_999_9, 1.234_567, 1.234_567_8, 123.456] {
            let value = power * factor;
            for value in [value, value.next_up(), value.next_down(), value.trunc() + 0.5] {
                same_double(value);
            }
        }
    }
    for value in [f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1), 0.1 + 0.2, 99_999_999.999_999_99]
    {
        same_double(value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_integers_are_printed(value: u64, shift in 0..64) {
        same_integer(value >> shift);
    }

    #[test]
    fn random_doubles_are_printed(bits: u64) {
        let value = f64::from_bits(bits & !(1 << 63));
        if value.is_finite() {
            same_double(value);
        }
    }

    /// What is a short decimal, and its neighbours, which are not.
    #[test]
    fn decimals_and_their_neighbours_are_printed(digits in 0..1_u64 << 50, places in 0..9) {
        let value = digits as f64 / 10_f64.powi(places);
        same_double(value);
        same_double(value.next_up());
        same_double(value.next_down().abs());
        same_double(digits as f64 / f64::from(1 << places));
    }
}
