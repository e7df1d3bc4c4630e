//! Numbers as the Prometheus API writes them.
//!
//! Values are shortest round-trip decimals in Go's spelling: `+Inf`, `NaN`, exponents with a sign and at least two
//! digits. Vectors and matrices switch to exponents below 1e-6 and from 1e21 on, scalars never do. Timestamps are
//! seconds; in vectors and matrices a fraction has three digits, in scalars no trailing zeros.

use std::io::Write;
use tsdb_core::Timestamp;

/// Writes a value of a vector or matrix, without quotes.
pub(crate) fn write_value(value: f64, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-6..1e21).contains(&magnitude) {
        write_exponent(value, out);
    } else {
        write_decimal(value, out);
    }
}

/// Writes a value without an exponent and without quotes.
pub(crate) fn write_decimal(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if let Some(whole) = small_integer(value) {
        write_integer(whole, out);
    } else {
        write_positional(value, out);
    }
}

/// The value as an integer if it is one that a double holds exactly; a negative zero is none.
fn small_integer(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.abs() < EXACT && value.trunc() == value && (value != 0.0 || value.is_sign_positive()) {
        #[expect(clippy::cast_possible_truncation, reason = "checked above: a whole number below 2^53")]
        return Some(value as i64);
    }
    None
}

/// Writes a whole number.
pub(crate) fn write_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes the shortest digits that read back as `value`, which is finite, with an exponent.
fn write_exponent(value: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let (mantissa, exponent) = split_exponent(buffer.format_finite(value).as_bytes());
    out.extend_from_slice(mantissa.strip_suffix(b".0").unwrap_or(mantissa));
    out.push(b'e');
    let (sign, digits) = match exponent.strip_prefix(b"-") {
        Some(digits) => (b'-', digits),
        None => (b'+', exponent.strip_prefix(b"+").unwrap_or(exponent)),
    };
    out.push(sign);
    if digits.len() < 2 {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}

/// Writes the shortest digits that read back as `value`, which is finite, without an exponent.
fn write_positional(value: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    if text.contains(&b'e') {
        // Very large or very small; the standard library writes all digits.
        let written = write!(out, "{value}");
        debug_assert!(written.is_ok(), "a vector takes all bytes");
    } else {
        out.extend_from_slice(text.strip_suffix(b".0").unwrap_or(text));
    }
}

/// The digits before and behind the `e`.
fn split_exponent(text: &[u8]) -> (&[u8], &[u8]) {
    let mut sides = text.splitn(2, |byte| *byte == b'e');
    (sides.next().unwrap_or_default(), sides.next().unwrap_or(b"0"))
}

/// Writes the time of a vector or matrix element: seconds, with three digits behind the point if any.
pub(crate) fn write_timestamp(at: Timestamp, out: &mut Vec<u8>) {
    if at < 0 {
        out.push(b'-');
    }
    let ms = at.unsigned_abs();
    write_integer((ms / 1_000).cast_signed(), out);
    let fraction = ms % 1_000;
    if fraction != 0 {
        let [hundreds, tens, ones] = [fraction / 100, fraction / 10 % 10, fraction % 10]
            .map(|digit| b'0' + u8::try_from(digit).unwrap_or_default());
        out.extend_from_slice(&[b'.', hundreds, tens, ones]);
    }
}

/// Writes the time of a scalar or string: seconds as a float, so without trailing zeros.
pub(crate) fn write_scalar_timestamp(at: Timestamp, out: &mut Vec<u8>) {
    let start = out.len();
    write_timestamp(at, out);
    if out.iter().skip(start).any(|b| *b == b'.') {
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_spelled_as_prometheus_spells_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1842.0, "-1842"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e300, "-2.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (1.5e-300, "1.5e-300"),
            (5e-324, "5e-324"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| write_value(value, out)), expected);
        }
    }

    #[test]
    fn scalars_have_no_exponents() {
        assert_eq!(text(|out| write_decimal(1e-7, out)), "0.0000001");
        assert_eq!(text(|out| write_decimal(1e21, out)), "1000000000000000000000");
    }

    #[test]
    fn times_are_seconds_with_three_digits_or_none() {
        for (at, element, scalar) in [
            (1_435_781_451_781, "1435781451.781", "1435781451.781"),
            (1_435_781_451_100, "1435781451.100", "1435781451.1"),
            (1_435_781_450_000, "1435781450", "1435781450"),
            (1_005, "1.005", "1.005"),
            (-1, "-0.001", "-0.001"),
            (0, "0", "0"),
            (i64::MIN, "-9223372036854775.808", "-9223372036854775.808"),
        ] {
            assert_eq!(text(|out| write_timestamp(at, out)), element);
            assert_eq!(text(|out| write_scalar_timestamp(at, out)), scalar);
        }
    }

    #[test]
    fn of_two_shortest_decimals_that_are_as_near_the_even_one_is_written() {
        assert_eq!(text(|out| write_decimal(5_935_876_100_677_770.0 / 8.0, out)), "741984512584721.2");
        assert_eq!(text(|out| write_decimal(5_935_876_100_677_771.0 / 8.0, out)), "741984512584721.4");
    }

    #[test]
    fn integers_of_every_size() {
        for value in [0, 7, -7, 10, 1_234_567_890, i64::MAX, i64::MIN] {
            assert_eq!(text(|out| write_integer(value, out)), value.to_string());
        }
    }

    proptest! {
        #[test]
        fn digits_are_the_fewest_that_read_back(bits: u64, decimal in -1_000_000_000_000i64..1_000_000_000_000) {
            for value in [f64::from_bits(bits), decimal as f64 / 1e5, decimal as f64 * 1e12, decimal as f64 / 1e17] {
                if value.is_finite() {
                    let written = text(|out| write_decimal(value, out));
                    // As few digits as the standard library writes; of two that are as near, the even one, as in Go.
                    prop_assert_eq!(written.len(), value.to_string().len(), "{}", written);
                    prop_assert_eq!(written.parse(), Ok(value));
                    let exponent = text(|out| write_exponent(value, out));
                    let (digits, power) = exponent.split_once('e').unwrap();
                    let expected = format!("{value:e}");
                    let (expected_digits, expected_power) = expected.split_once('e').unwrap();
                    if value != 0.0 && !(1e-5..1e16).contains(&value.abs()) {
                        prop_assert_eq!(digits.len(), expected_digits.len());
                        prop_assert_eq!(exponent.parse(), Ok(value));
                        prop_assert_eq!(power.parse::<i32>().unwrap(), expected_power.parse::<i32>().unwrap());
                    }
                }
            }
        }
    }
}
