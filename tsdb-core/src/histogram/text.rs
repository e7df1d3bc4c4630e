//! Histograms as Prometheus writes them: `{count:3, sum:4.5, [-0.001,0.001]:1, (1,2]:2}`.

use super::{Bucket, FloatHistogram};
use core::fmt::{self, Write};

/// Count, sum and the buckets that hold something, from the lowest to the highest.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", Number(self.count()), Number(self.sum()))?;
        // Not `buckets`, which cut buckets off at the zero threshold.
        let zero = self.zero_bucket();
        let all = self.negative_buckets().rev().chain(zero).chain(self.positive_buckets());
        for bucket in all.filter(|bucket| bucket.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_char('}')
    }
}

/// Bounds in the notation of intervals, and the count, such as `(1,2]:2`.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        write!(f, "{open}{},{}{close}:{}", Number(self.lower), Number(self.upper), Number(self.count))
    }
}

/// A number as the verb `%g` of Go writes it: the fewest digits that give it back, with an exponent below 1e-4 and
/// from 1e6 on.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value.is_nan() {
            return f.write_str("NaN");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
            return write!(f, "{value}");
        }
        let text = alloc::format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        // At least two digits.
        let zero = if exponent.len() < 2 { "0" } else { "" };
        write!(f, "{digits}e{sign}{zero}{exponent}")
    }
}
