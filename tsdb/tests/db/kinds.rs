//! Samples of all kinds behind the numbers that tests count with.
//!
//! Which kind a sample has, and its start timestamp, is told by its series and its time; a number becomes a histogram
//! that has it for a sum. So tests compare numbers, and what they read is checked to be of the right kind.

use super::fixture::labels;
use std::sync::Arc;
use tsdb::{Appender, Labels, SeriesRef, Timestamp};
use tsdb_core::NO_START;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::sample::SampleColumns;

/// Series whose number has this remainder modulo six ...
const STARTED: usize = 2;
const HISTOGRAMS: usize = 3;
const CHANGING: usize = 4;
const EVERYTHING: usize = 5;

fn is_histogram(series: usize, timestamp: Timestamp) -> bool {
    match series % 6 {
        HISTOGRAMS => true,
        CHANGING | EVERYTHING => timestamp.div_euclid(400) % 2 != 0,
        _ => false,
    }
}

fn start(series: usize, timestamp: Timestamp) -> Timestamp {
    match series % 6 {
        STARTED => timestamp.div_euclid(1000) * 1000 + 1,
        EVERYTHING if timestamp % 3 == 0 => timestamp.div_euclid(500) - 7,
        _ => NO_START,
    }
}

/// The histogram with this sum: exponential or custom, whole or not, and sometimes a gauge.
fn histogram(sum: f64) -> FloatHistogram {
    let bits = sum.to_bits();
    let count = |shift: u32| f64::from((bits >> shift) as u8) / if bits & 64 == 0 { 1.0 } else { 3.0 };
    let spans = vec![Span { offset: (bits >> 20 & 3) as i32, length: 2 }];
    let reset_hint = if bits & 7 == 7 { ResetHint::Gauge } else { ResetHint::Unknown };
    let custom = bits >> 50 & 1 == 1;
    let parts = FloatParts {
        reset_hint,
        schema: if custom { -53 } else { (bits >> 30 & 3) as i32 },
        zero_count: if custom { 0.0 } else { count(3) },
        count: 3.0 * 255.0,
        sum,
        positive_spans: spans.clone(),
        positive_counts: vec![count(40), count(52)],
        negative_spans: if custom { Vec::new() } else { spans },
        negative_counts: if custom { Vec::new() } else { vec![count(10), count(20)] },
        bounds: if custom { (0..5).map(f64::from).collect() } else { [].into() },
        ..FloatParts::default()
    };
    FloatHistogram::new(parts).unwrap()
}

/// Appends the sample of `series` at `timestamp` that stands for `value`.
pub(crate) fn push(
    appender: &mut dyn Appender,
    reference: SeriesRef,
    series: usize,
    timestamp: Timestamp,
    value: f64,
) {
    if is_histogram(series, timestamp) {
        appender.append_histogram(reference, timestamp, histogram(value)).unwrap();
    } else {
        appender.append(reference, timestamp, value);
    }
    appender.set_start(start(series, timestamp));
}

/// The numbers behind the samples of the series with these labels, which must be of the right kinds.
pub(crate) fn numbers(labels_of: &Labels, columns: &SampleColumns) -> Vec<u64> {
    let number = labels_of.get("series").and_then(|series| series.parse().ok());
    let series = number.filter(|series| labels(*series) == *labels_of).unwrap_or(0);
    assert!(columns.histograms.is_empty() || columns.histograms.len() == columns.len());
    assert!(columns.starts.is_empty() || columns.starts.len() == columns.len());
    let mut previous: Option<&Arc<FloatHistogram>> = None;
    let samples = columns.timestamps.iter().zip(&columns.values).enumerate().map(|(index, (at, value))| {
        let found = columns.histogram(index);
        assert_eq!(found.is_some(), is_histogram(series, *at), "{labels_of} at {at}");
        assert_eq!(columns.start(index), start(series, *at), "{labels_of} at {at}");
        let Some(found) = found else {
            previous = None;
            return value.to_bits();
        };
        let expected = histogram(found.sum());
        assert!(found.same_data(&expected), "{labels_of} at {at}: {found} {expected}");
        assert_eq!(found.reset_hint() == ResetHint::Gauge, expected.reset_hint() == ResetHint::Gauge);
        if index > 0 && found.reset_hint() == ResetHint::NotReset {
            let hint = expected.hint_after(previous.map(|previous| &**previous));
            assert_eq!(hint, ResetHint::NotReset, "{labels_of} at {at}");
        }
        previous = Some(found);
        found.sum().to_bits()
    });
    samples.collect()
}
