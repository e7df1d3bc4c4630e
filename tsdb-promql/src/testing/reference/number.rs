//! Numbers: sums that are nearly exact, and what is made of them.

/// The sum of `values`, as exact as two floats can hold it. Source: Dekker, "A floating-point technique for extending
/// the available precision" (1971).
pub(super) fn sum(values: &[f64]) -> f64 {
    if values.iter().any(|value| !value.is_finite()) {
        return values.iter().sum();
    }
    let (mut high, mut low) = (0.0f64, 0.0f64);
    for value in values {
        let total = high + value;
        let part = total - high;
        low += (high - (total - part)) + (value - part);
        high = total;
    }
    high + low
}

/// The mean of `values`; of infinities of one sign that infinity.
pub(super) fn mean(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let total = sum(values);
    if total.is_finite() || values.iter().any(|value| !value.is_finite()) {
        return total / count;
    }
    sum(&values.iter().map(|value| value / count).collect::<Vec<_>>())
}

/// The population variance; NaN if a value is not finite.
pub(super) fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: Vec<f64> = values.iter().map(|value| (value - mean) * (value - mean)).collect();
    if values.iter().all(|value| value.is_finite()) { sum(&squares) / values.len() as f64 } else { f64::NAN }
}

/// The `q` quantile of `values`, between neighbours on the line; NaN counts as the smallest.
pub(super) fn quantile(q: f64, values: &[f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    });
    let rank = q * (sorted.len() - 1) as f64;
    let (below, part) = (rank.floor() as usize, rank - rank.floor());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] * (1.0 - part) + sorted[above] * part
}

/// The smallest value, or the largest; NaN only if there is nothing else.
pub(super) fn extreme(values: &[f64], largest: bool) -> f64 {
    let better = |best: f64, value: f64| if largest { best.max(value) } else { best.min(value) };
    values.iter().copied().fold(f64::NAN, better)
}

/// Slope and intercept at `origin` of the line that fits the points best. A horizontal line fits points of one height
/// exactly.
pub(super) fn regression(points: &[(f64, f64)], origin: f64) -> (f64, f64) {
    let ys: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    if ys.iter().all(|y| *y == ys[0]) {
        return if ys[0].is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, ys[0]) };
    }
    let xs: Vec<f64> = points.iter().map(|(x, _)| x - origin).collect();
    let (mean_x, mean_y) = (mean(&xs), mean(&ys));
    let products: Vec<f64> = xs.iter().zip(&ys).map(|(x, y)| (x - mean_x) * (y - mean_y)).collect();
    let squares: Vec<f64> = xs.iter().map(|x| (x - mean_x) * (x - mean_x)).collect();
    let slope = sum(&products) / sum(&squares);
    (slope, mean_y - slope * mean_x)
}

/// The quantile of a classic histogram: `buckets` are upper bounds and cumulative counts.
pub(super) fn bucket_quantile(q: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if q.is_nan() || !(0.0..=1.0).contains(&q) {
        return if q.is_nan() {
            f64::NAN
        } else if q < 0.0 {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for (bound, count) in buckets {
        match merged.last_mut() {
            Some(last) if last.0 == bound => last.1 += count,
            _ => merged.push((bound, count)),
        }
    }
    // Counts that fall, or differ by no more than rounding, are those of the bucket below.
    for index in 1..merged.len() {
        let (before, now) = (merged[index - 1].1, merged[index].1);
        let close = (now - before).abs() / (now.abs() + before.abs()) < 1e-12;
        if now < before || close {
            merged[index].1 = before;
        }
    }
    let total = merged[merged.len() - 1].1;
    if merged.len() < 2 || total == 0.0 {
        return f64::NAN;
    }
    let rank = q * total;
    let found = merged[..merged.len() - 1].iter().position(|(_, count)| *count >= rank);
    let Some(found) = found else { return merged[merged.len() - 2].0 };
    let (upper, count) = merged[found];
    if found == 0 && upper <= 0.0 {
        return upper;
    }
    let (lower, below) = if found == 0 { (0.0, 0.0) } else { merged[found - 1] };
    lower + (upper - lower) * ((rank - below) / (count - below))
}
