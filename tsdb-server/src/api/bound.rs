//! How large an answer can be at most, without writing it.

use tsdb_core::Labels;
use tsdb_core::histogram::FloatHistogram;
use tsdb_promql::{SeriesPoints, Value, VectorSample};

/// A number: 17 digits, a sign, a point and up to six zeros, or an exponent; with quotes and a comma.
const NUMBER_BYTES: usize = 32;

/// A time and a number in brackets.
const POINT_BYTES: usize = 2 * NUMBER_BYTES;

/// The names of the members of an object, with brackets.
const FRAME_BYTES: usize = 64;

/// Bytes of the data of an answer, at most.
pub(super) fn bytes_at_most(value: &Value) -> usize {
    match value {
        Value::Vector(samples) => sum(samples.iter().map(sample)),
        Value::Matrix(series) => sum(series.iter().map(points)),
        Value::String(point) => text(&point.value).saturating_add(POINT_BYTES),
        // A scalar has no exponent: up to 309 digits before the point, or 324 behind it and those of the number.
        _ => 512,
    }
    .saturating_add(FRAME_BYTES)
}

fn sample(sample: &VectorSample) -> usize {
    let value = sample.histogram.as_deref().map_or(POINT_BYTES, histogram);
    labels(&sample.labels).saturating_add(value).saturating_add(FRAME_BYTES)
}

fn points(series: &SeriesPoints) -> usize {
    series
        .timestamps
        .len()
        .saturating_mul(POINT_BYTES)
        .saturating_add(sum(series.histograms.iter().map(|point| histogram(&point.histogram))))
        .saturating_add(labels(&series.labels))
        .saturating_add(FRAME_BYTES)
}

/// A time, count and sum, and three numbers for each bucket, the zero bucket among them.
fn histogram(histogram: &FloatHistogram) -> usize {
    let buckets = histogram.bucket_count().saturating_add(1);
    buckets.saturating_mul(4 * NUMBER_BYTES).saturating_add(POINT_BYTES).saturating_add(FRAME_BYTES)
}

fn labels(labels: &Labels) -> usize {
    sum(labels.iter().map(|(name, value)| text(name).saturating_add(text(value))))
}

/// Each byte may become an escape of six; with quotes and a separator.
fn text(text: &str) -> usize {
    text.len().saturating_mul(6).saturating_add(4)
}

fn sum(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(0, usize::saturating_add)
}
