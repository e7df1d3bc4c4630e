//! Comparing values with expectations.

use super::{Expected, ExpectedSeries, HistogramValue, SequenceValue};
use crate::value::{SeriesPoints, Value, VectorSample};
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::{Labels, Timestamp, is_stale_nan};

/// The largest relative difference of numbers that count as equal.
const EPSILON: f64 = 1e-6;

/// Where the points of a range are expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) step_ms: i64,
}

/// Compares `value` with what is expected.
///
/// # Errors
/// How it differs.
pub(super) fn compare(value: &Value, expected: &Expected, ordered: bool, steps: Steps) -> Result<(), String> {
    match (value, expected) {
        (Value::Matrix(_), _) if ordered => {
            Err("expected ordered result, but query returned a matrix".into())
        }
        (Value::Matrix(matrix), Expected::Series(series)) => compare_matrix(matrix, series, steps),
        (Value::Vector(vector), Expected::Series(series)) => compare_vector(vector, series, ordered),
        (Value::Scalar(point), Expected::Scalar(wanted)) => check(almost_equal(point.value, *wanted), || {
            format!("expected scalar {wanted} but got {}", point.value)
        }),
        (Value::String(point), Expected::String(wanted)) => check(point.value.as_bytes() == wanted, || {
            format!("expected string {:?} but got {:?}", String::from_utf8_lossy(wanted), point.value)
        }),
        (value, expected) => {
            let wanted = match expected {
                Expected::Series(_) => "vector or matrix",
                Expected::Scalar(_) => "scalar",
                Expected::String(_) => "string",
            };
            Err(format!("expected {wanted} result, but got {value:?}"))
        }
    }
}

/// Are two numbers equal but for rounding?
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

/// Is a matrix sorted by labels, as every result of a range query?
pub(super) fn check_sorted(matrix: &[SeriesPoints]) -> Result<(), String> {
    match matrix.windows(2).find(|pair| matches!(pair, [a, b] if a.labels > b.labels)) {
        Some([a, b]) => Err(format!("the matrix is not sorted by labels: {} before {}", a.labels, b.labels)),
        _ => Ok(()),
    }
}

fn compare_matrix(matrix: &[SeriesPoints], expected: &[ExpectedSeries], steps: Steps) -> Result<(), String> {
    check_sorted(matrix)?;
    for series in matrix {
        let wanted = expected.iter().rfind(|wanted| wanted.labels == series.labels);
        let Some(wanted) = wanted else {
            let SeriesPoints { labels, values, histograms, .. } = series;
            return Err(format!("unexpected metric {labels} in result, has {values:?} {histograms:?}"));
        };
        compare_points(series, &wanted.values, steps)?;
    }
    check_complete(expected, |labels| matrix.iter().any(|series| series.labels == *labels))
}

fn compare_points(series: &SeriesPoints, wanted: &[SequenceValue], steps: Steps) -> Result<(), String> {
    let (mut points, mut histograms) = (Vec::new(), Vec::new());
    for (index, value) in wanted.iter().enumerate() {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        let at = steps.start.saturating_add(steps.step_ms.saturating_mul(index));
        if at > steps.end {
            let count = wanted.len();
            return Err(format!("expected {count} points for {}, more than the range has", series.labels));
        }
        match value {
            SequenceValue::Missing => {}
            SequenceValue::Float(value) => points.push((at, *value)),
            SequenceValue::Histogram(value) => histograms.push((at, &**value)),
        }
    }
    compare_histograms(series, &histograms)?;
    let actual: Vec<_> = series.timestamps.iter().copied().zip(series.values.iter().copied()).collect();
    let equal = actual.len() == points.len()
        && actual.iter().zip(&points).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1));
    check(equal, || format!("expected points {points:?} for {}, but got {actual:?}", series.labels))
}

fn compare_histograms(series: &SeriesPoints, wanted: &[(Timestamp, &HistogramValue)]) -> Result<(), String> {
    let times = |points: &mut dyn Iterator<Item = Timestamp>| points.collect::<Vec<_>>();
    let actual = times(&mut series.histograms.iter().map(|point| point.timestamp));
    let expected = times(&mut wanted.iter().map(|(at, _)| *at));
    check(actual == expected, || {
        format!("expected histograms of {} at {expected:?}, but got them at {actual:?}", series.labels)
    })?;
    let pairs = series.histograms.iter().zip(wanted);
    pairs
        .map(|(point, (_, wanted))| compare_histogram(&point.histogram, wanted, &series.labels))
        .collect::<Result<Vec<_>, _>>()
        .map(drop)
}

/// Compares a histogram with what is expected: as data, and the reset hint only if that is given.
fn compare_histogram(
    actual: &FloatHistogram,
    wanted: &HistogramValue,
    labels: &Labels,
) -> Result<(), String> {
    let expected = wanted.histogram().map_err(|error| error.to_string())?;
    let same_hint = !wanted.checks_hint() || expected.reset_hint() == actual.reset_hint();
    check(same_hint && actual.nearly_equals(&expected, EPSILON), || {
        let hint = if same_hint { "" } else { " (the hints differ)" };
        format!("expected histogram {expected:?} for {labels} but got {actual:?}{hint}",)
    })
}

fn compare_vector(vector: &[VectorSample], expected: &[ExpectedSeries], ordered: bool) -> Result<(), String> {
    for (position, sample) in vector.iter().enumerate() {
        let labels = &sample.labels;
        let Some(place) = expected.iter().rposition(|wanted| wanted.labels == *labels) else {
            return Err(format!("unexpected metric {labels} in result, has value {}", sample.value));
        };
        check(!ordered || place == position, || {
            format!("expected metric {labels} at position {}, but it was at {}", place + 1, position + 1)
        })?;
        let wanted = match expected.get(place).and_then(|wanted| wanted.values.first()) {
            Some(SequenceValue::Float(value)) => *value,
            Some(SequenceValue::Histogram(wanted)) => {
                let Some(actual) = &sample.histogram else {
                    return Err(format!("expected a histogram for {labels}, but got {}", sample.value));
                };
                compare_histogram(actual, wanted, labels)?;
                continue;
            }
            Some(SequenceValue::Missing) | None => 0.0,
        };
        if let Some(actual) = &sample.histogram {
            return Err(format!("expected {wanted} for {labels}, but got the histogram {actual}"));
        }
        check(almost_equal(sample.value, wanted), || {
            format!("expected {wanted} for {labels} but got {}", sample.value)
        })?;
    }
    check_complete(expected, |labels| vector.iter().any(|sample| sample.labels == *labels))
}

fn check_complete(expected: &[ExpectedSeries], found: impl Fn(&Labels) -> bool) -> Result<(), String> {
    match expected.iter().find(|wanted| !found(&wanted.labels)) {
        Some(missing) => Err(format!("expected metric {} not found", missing.labels)),
        None => Ok(()),
    }
}

fn check(satisfied: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if satisfied { Ok(()) } else { Err(reason()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::STALE_NAN;

    #[test]
    fn numbers_are_equal_up_to_rounding() {
        for (a, b) in [
            (1.0, 1.000_001),
            (f64::INFINITY, f64::INFINITY),
            (0.0, -0.0),
            (f64::NAN, -f64::NAN),
            (STALE_NAN, STALE_NAN),
        ] {
            assert!(almost_equal(a, b), "{a} {b}");
        }
        for (a, b) in [
            (1.0, 1.000_01),
            (0.0, 1e-300),
            (f64::INFINITY, f64::MAX),
            (f64::NAN, STALE_NAN),
            (1.0, f64::NAN),
        ] {
            assert!(!almost_equal(a, b), "{a} {b}");
        }
    }
}
