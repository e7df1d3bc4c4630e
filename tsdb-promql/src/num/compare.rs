//! Orders of floats that say where NaN stands. All are total; but for the one that is exact, NaNs of any payload are
//! equal, and so are 0 and -0.

use std::cmp::Ordering;

/// Ascending, NaN before everything.
fn ascending_nan_first(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Ascending, NaN before everything, and only equal bits are equal: so there is one order of any values.
pub(crate) fn ascending_exactly(a: &f64, b: &f64) -> Ordering {
    ascending_nan_first(a, b).then_with(|| a.total_cmp(b))
}

/// Ascending, NaN behind everything.
pub(crate) fn ascending_nan_last(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Descending, NaN behind everything.
pub(crate) fn descending_nan_last(a: &f64, b: &f64) -> Ordering {
    b.partial_cmp(a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(order: fn(&f64, &f64) -> Ordering) -> String {
        let mut values = [2.0, f64::NAN, f64::INFINITY, 1.0];
        values.sort_by(order);
        format!("{values:?}")
    }

    #[test]
    fn nan_stands_where_the_name_says() {
        assert_eq!(sorted(ascending_nan_first), "[NaN, 1.0, 2.0, inf]");
        assert_eq!(sorted(ascending_nan_last), "[1.0, 2.0, inf, NaN]");
        assert_eq!(sorted(descending_nan_last), "[inf, 2.0, 1.0, NaN]");
    }
}
