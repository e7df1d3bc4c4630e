//! Quantiles and fractions of classic histograms.
//!
//! Source: Prometheus `promql/quantile.go`; the documentation of `histogram_quantile` describes the rules.

/// A bucket: how many observations are at most `upper_bound`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// The `le` label.
    pub(crate) upper_bound: f64,
    /// Observations in this bucket and all below it.
    pub(crate) count: f64,
}

/// Counts that decreased from one bucket to the next and were lifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MonotonicityFix {
    /// Smallest bound of a lifted bucket.
    pub(crate) min_bound: f64,
    /// Largest bound of a lifted bucket.
    pub(crate) max_bound: f64,
    /// Largest decrease.
    pub(crate) max_difference: f64,
}

/// Differences below this part of the counts are rounding errors.
const ROUNDING: f64 = 1e-12;

/// The `q`-quantile of the observations in `buckets`, with linear interpolation inside a bucket; and what had to be
/// lifted to make the counts ascend. Puts the buckets in order and merges those with equal bounds.
pub(crate) fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<MonotonicityFix>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !normalise(buckets) {
        return (f64::NAN, None);
    }
    let fix = lift_decreases(buckets);
    (quantile_of_ascending(q, buckets), fix)
}

fn quantile_of_ascending(q: f64, buckets: &[Bucket]) -> f64 {
    let [rest @ .., second_last, last] = buckets else { return f64::NAN };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let rank = q * last.count;
    let below_last = rest.len() + 1;
    let index = buckets.iter().take(below_last).position(|b| b.count >= rank).unwrap_or(below_last);
    if index == below_last {
        return second_last.upper_bound;
    }
    let Some(bucket) = buckets.get(index) else { return f64::NAN };
    let below = index.checked_sub(1).and_then(|i| buckets.get(i));
    match below {
        None if bucket.upper_bound <= 0.0 => bucket.upper_bound,
        None => bucket.upper_bound * (rank / bucket.count),
        Some(below) => {
            let share = (rank - below.count) / (bucket.count - below.count);
            below.upper_bound + (bucket.upper_bound - below.upper_bound) * share
        }
    }
}

/// The share of observations between `lower` and `upper`, with linear interpolation inside a bucket.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !normalise(buckets) {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |b| b.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, count, buckets) - rank_of(lower, count, buckets)) / count
}

/// How many of `count` observations are below `value`.
fn rank_of(value: f64, count: f64, buckets: &[Bucket]) -> f64 {
    // Buckets of positive bounds only are taken to begin at 0.
    let positive = buckets.first().is_some_and(|b| b.upper_bound > 0.0);
    let mut bound = if positive { 0.0 } else { f64::NEG_INFINITY };
    let mut rank = 0.0;
    for bucket in buckets {
        if bound >= value {
            return if rank > count { count } else { rank };
        }
        if bucket.upper_bound > value {
            let inside = if bound == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - bound) / (bucket.upper_bound - bound)
            };
            return if inside > count { count } else { inside };
        }
        bound = bucket.upper_bound;
        rank = bucket.count;
    }
    count
}

/// Sorts by bound and adds up equal bounds. False if the last bucket is not the one that holds everything.
fn normalise(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper_bound.total_cmp(&b.upper_bound));
    if buckets.last().is_none_or(|b| b.upper_bound != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let equal = next.upper_bound == kept.upper_bound;
        if equal {
            kept.count += next.count;
        }
        equal
    });
    true
}

fn lift_decreases(buckets: &mut [Bucket]) -> Option<MonotonicityFix> {
    let mut fix: Option<MonotonicityFix> = None;
    let mut rest = buckets.iter_mut();
    let mut highest = rest.next()?.count;
    for bucket in rest {
        if bucket.count == highest {
            continue;
        }
        if nearly_equal(highest, bucket.count) {
            bucket.count = highest;
        } else if bucket.count < highest {
            let bound = bucket.upper_bound;
            let difference = highest - bucket.count;
            bucket.count = highest;
            let so_far = fix.unwrap_or(MonotonicityFix {
                min_bound: bound,
                max_bound: bound,
                max_difference: difference,
            });
            fix = Some(MonotonicityFix {
                min_bound: so_far.min_bound.min(bound),
                max_bound: so_far.max_bound.max(bound),
                max_difference: so_far.max_difference.max(difference),
            });
        } else {
            highest = bucket.count;
        }
    }
    fix
}

fn nearly_equal(a: f64, b: f64) -> bool {
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < ROUNDING * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < ROUNDING
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(upper_bound, count)| Bucket { upper_bound: *upper_bound, count: *count }).collect()
    }

    #[test]
    fn a_quantile_is_interpolated_inside_its_bucket() {
        let of = |q| bucket_quantile(q, &mut buckets(&[(f64::INFINITY, 4.0), (1.0, 2.0), (2.0, 4.0)])).0;
        assert_eq!(of(0.25), 0.5);
        assert_eq!(of(0.75), 1.5);
        assert_eq!(of(1.0), 2.0);
        assert_eq!(of(-1.0), f64::NEG_INFINITY);
    }

    #[test]
    fn without_the_last_bucket_or_observations_there_is_no_quantile() {
        assert!(bucket_quantile(0.5, &mut buckets(&[(1.0, 2.0), (2.0, 4.0)])).0.is_nan());
        assert!(bucket_quantile(0.5, &mut buckets(&[(f64::INFINITY, 4.0)])).0.is_nan());
        assert!(bucket_quantile(0.5, &mut buckets(&[(1.0, 0.0), (f64::INFINITY, 0.0)])).0.is_nan());
        assert!(bucket_quantile(0.5, &mut Vec::new()).0.is_nan());
    }

    #[test]
    fn decreasing_counts_are_lifted_and_reported() {
        let mut input = buckets(&[(1.0, 5.0), (2.0, 3.0), (3.0, 4.0), (f64::INFINITY, 6.0)]);
        let (_, fix) = bucket_quantile(0.5, &mut input);
        assert_eq!(fix, Some(MonotonicityFix { min_bound: 2.0, max_bound: 3.0, max_difference: 2.0 }));
        let mut rounded = buckets(&[(1.0, 5.0), (2.0, 5.0 - 1e-14), (f64::INFINITY, 6.0)]);
        assert_eq!(bucket_quantile(0.5, &mut rounded).1, None);
    }

    #[test]
    fn a_fraction_counts_observations_between_two_values() {
        let of = |lower, upper| {
            bucket_fraction(lower, upper, &mut buckets(&[(1.0, 2.0), (2.0, 4.0), (f64::INFINITY, 4.0)]))
        };
        assert_eq!(of(0.0, 1.0), 0.5);
        assert_eq!(of(0.5, 1.5), 0.5);
        assert_eq!(of(2.0, 1.0), 0.0);
        assert_eq!(of(f64::NEG_INFINITY, f64::INFINITY), 1.0);
    }
}
