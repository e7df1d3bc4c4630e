//! The few functions of real numbers that `core` does not have: square root, binary logarithm and exponential, scaling.
//!
//! [`sqrt`] is correctly rounded. [`log2`] and [`exp2`] follow the reductions and polynomials of FreeBSD's msun
//! (`e_log.c` and `e_exp.c`, Sun Microsystems 1993), in the form Prometheus gets them from its language, so that
//! quantiles agree with it: errors stay below one unit in the last place, and powers of two are exact.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

const EXPONENT_BITS: u64 = 0x7ff;
const FRACTION: u64 = (1 << 52) - 1;
/// ln 2 in two parts: the first has so few bits that its products with small integers are exact.
const LN_2: (f64, f64) = (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10);

/// The power of two with this exponent, which is between -1022 and 1023; infinity and 0 beyond.
const fn power_of_two(exponent: i64) -> f64 {
    match exponent {
        1024.. => f64::INFINITY,
        -1022..1024 => f64::from_bits((exponent + 1023).cast_unsigned() << 52),
        _ => 0.0,
    }
}

/// `fraction` times two to the power of `exponent`, rounded once. `fraction` is 0 or between 0.5 and 2.
pub(super) const fn scale(fraction: f64, exponent: i64) -> f64 {
    match exponent {
        1024.. => fraction * power_of_two(1023) * power_of_two(exponent - 1023),
        -1000..1024 => fraction * power_of_two(exponent),
        // Exact down to 2^-969; only the second factor may leave the normal numbers, and rounds.
        _ => fraction * power_of_two(-969) * power_of_two(exponent + 969),
    }
}

/// A positive finite number as a fraction in [0.5, 1) and an exponent of two.
fn split(value: f64) -> (f64, i64) {
    let (normal, shift) = if value < f64::MIN_POSITIVE { (value * power_of_two(54), 54) } else { (value, 0) };
    let bits = normal.to_bits();
    let exponent = (bits >> 52 & EXPONENT_BITS).cast_signed() - 1022 - shift;
    (f64::from_bits(bits & FRACTION | 1022 << 52), exponent)
}

/// The square root, correctly rounded. NaN below zero.
pub(super) fn sqrt(value: f64) -> f64 {
    if value.is_nan() || value == 0.0 || value == f64::INFINITY {
        return value;
    }
    if value < 0.0 {
        return f64::NAN;
    }
    let (fraction, exponent) = split(value);
    // An integer of 53 or 54 bits times a power of two with an even exponent.
    let odd = (exponent - 53).rem_euclid(2);
    let mantissa = (fraction.to_bits() & FRACTION | 1 << 52) << odd;
    // 56 more bits give a root of 55: two more than fit, the last of which tells that something follows.
    let square = u128::from(mantissa) << 56;
    let root = square.isqrt();
    let sticky = u128::from(root * root != square);
    #[expect(clippy::cast_precision_loss, reason = "this is the one rounding, to nearest even")]
    let rounded = (root | sticky) as f64;
    rounded * power_of_two((exponent - 53 - odd - 56) / 2)
}

/// The binary logarithm. Minus infinity at zero, NaN below.
pub(super) fn log2(value: f64) -> f64 {
    if value.is_nan() || value == f64::INFINITY {
        return value;
    }
    if value == 0.0 {
        return f64::NEG_INFINITY;
    }
    if value < 0.0 {
        return f64::NAN;
    }
    let (fraction, exponent) = split(value);
    #[expect(clippy::cast_precision_loss, reason = "exponents of two have at most 11 bits")]
    let exponent = exponent as f64;
    // Otherwise the logarithm of a power of two might miss its integer.
    if fraction == 0.5 {
        return exponent - 1.0;
    }
    exponent + ln_of_fraction(fraction) * core::f64::consts::LOG2_E
}

/// The natural logarithm of a number in [0.5, 1).
fn ln_of_fraction(fraction: f64) -> f64 {
    const L: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    let [l1, l2, l3, l4, l5, l6, l7] = L;
    let (f, k) = if fraction < core::f64::consts::FRAC_1_SQRT_2 {
        (fraction * 2.0 - 1.0, -1.0)
    } else {
        (fraction - 1.0, 0.0)
    };
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (l1 + s4 * (l3 + s4 * (l5 + s4 * l7)));
    let even = s4 * (l2 + s4 * (l4 + s4 * l6));
    let half_square = 0.5 * f * f;
    k * LN_2.0 - ((half_square - (s * (half_square + (odd + even)) + k * LN_2.1)) - f)
}

/// Two to the power of `value`.
pub(super) fn exp2(value: f64) -> f64 {
    const P: [f64; 5] = [
        1.666_666_666_666_665_7e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    if value.is_nan() || value == f64::INFINITY {
        return value;
    }
    if value >= 1024.0 {
        return f64::INFINITY;
    }
    if value < -1075.0 {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "between -1075 and 1024")]
    let whole = (if value > 0.0 { value + 0.5 } else { value - 0.5 }) as i32;
    let rest = value - f64::from(whole);
    let (high, low) = (rest * LN_2.0, -rest * LN_2.1);
    let r = high - low;
    let t = r * r;
    let [p1, p2, p3, p4, p5] = P;
    let c = r - t * (p1 + t * (p2 + t * (p3 + t * (p4 + t * p5))));
    let fraction = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    scale(fraction, i64::from(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(ours: f64, theirs: f64) -> bool {
        ours.to_bits().abs_diff(theirs.to_bits()) <= 1 || (ours.is_nan() && theirs.is_nan())
    }

    #[test]
    fn special_values_are_those_of_ieee_754() {
        for value in
            [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE, 5e-324]
        {
            assert!(close(sqrt(value), value.sqrt()), "sqrt {value}");
            assert!(close(log2(value), value.log2()), "log2 {value}: {}", log2(value));
            assert!(close(exp2(value), value.exp2()), "exp2 {value}: {}", exp2(value));
        }
        for value in [1024.0, 1023.999, -1022.0, -1074.0, -1075.1, -1080.0, 1e300, -1e300] {
            assert!(close(exp2(value), value.exp2()), "exp2 {value}: {}", exp2(value));
        }
    }

    #[test]
    fn powers_of_two_are_exact() {
        for exponent in -1074..=1023_i32 {
            // Exact: halving and doubling round only below the smallest number there is.
            let power = (0..exponent.abs())
                .fold(1.0, |power, _| if exponent < 0 { power / 2.0 } else { power * 2.0 });
            assert_eq!(exp2(f64::from(exponent)), power);
            assert_eq!(scale(1.0, exponent.into()), power);
            assert_eq!(log2(power), f64::from(exponent));
        }
    }

    proptest! {
        #[test]
        fn roots_are_correctly_rounded(bits in 0..f64::INFINITY.to_bits()) {
            let value = f64::from_bits(bits);
            prop_assert_eq!(sqrt(value).to_bits(), value.sqrt().to_bits());
        }

        #[test]
        fn logarithms_and_powers_err_by_a_unit_in_the_last_place(bits in 1..f64::INFINITY.to_bits(), x in -1020.0..1023.0) {
            let value = f64::from_bits(bits);
            prop_assert!((log2(value) - value.log2()).abs() <= 4.5e-16 * value.log2().abs().max(0.5));
            prop_assert!(close(exp2(x), f64::exp2(x)), "{} {}", exp2(x), f64::exp2(x));
        }
    }
}
