//! Histograms of which only the count and the sum are asked for.
//!
//! The buckets go, and with them the means to find a counter reset later; so it is found here, sample by sample, and
//! written into the hint. A histogram that is the first to be read keeps the hint it was stored with.
//!
//! Source: the behaviour of Prometheus (`promql/histogram_stats_iterator.go`), which is visible in warnings about
//! contradicting hints.

use std::sync::Arc;
use tsdb_core::Timestamp;
use tsdb_core::histogram::{FloatHistogram, ResetHint};
use tsdb_core::sample::SampleColumns;

/// Reduces all histograms to totals. Resets are found among those not earlier than `from`.
pub(super) fn reduce_to_totals(samples: &mut SampleColumns, from: Timestamp) {
    let mut previous: Option<Arc<FloatHistogram>> = None;
    for (time, place) in samples.timestamps.iter().zip(&mut samples.histograms) {
        let Some(histogram) = place.as_mut().filter(|histogram| !histogram.is_stale()) else { continue };
        let mut totals = histogram.totals();
        if let (ResetHint::Unknown, Some(previous)) = (histogram.reset_hint(), &previous) {
            let reset = histogram.detect_reset(previous);
            totals.set_reset_hint(if reset { ResetHint::Reset } else { ResetHint::NotReset });
        }
        let whole = std::mem::replace(histogram, Arc::new(totals));
        if *time >= from {
            previous = Some(whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SequenceValue, parse_series};

    fn hints(values: &str, from: Timestamp) -> Vec<(ResetHint, f64, usize)> {
        let mut samples = SampleColumns::new();
        for (time, value) in (0..).zip(parse_series(&format!("h {values}")).unwrap().1) {
            match value {
                SequenceValue::Histogram(value) => {
                    samples.push_histogram(time, Arc::new(value.histogram().unwrap()));
                }
                SequenceValue::Float(value) => samples.push(time, value),
                SequenceValue::Missing => {}
            }
        }
        reduce_to_totals(&mut samples, from);
        let all = samples.histograms.into_iter().flatten();
        all.map(|h| (h.reset_hint(), h.count(), h.bucket_count())).collect()
    }

    #[test]
    fn resets_are_found_before_the_buckets_go() {
        let values = "{{count:2 buckets:[2]}} {{count:3 buckets:[1 2]}} 7 {{count:3 buckets:[2 1]}}";
        let (unknown, reset) = (ResetHint::Unknown, ResetHint::Reset);
        assert_eq!(hints(values, 0), [(unknown, 2.0, 0), (reset, 3.0, 0), (reset, 3.0, 0)]);
        let values = "{{count:2 buckets:[2]}} {{count:3 buckets:[2 1]}}";
        assert_eq!(hints(values, 0), [(unknown, 2.0, 0), (ResetHint::NotReset, 3.0, 0)]);
    }

    #[test]
    fn hints_that_are_there_stay_and_nothing_is_concluded_from_outside() {
        let values = "{{count:9}} {{count:2}} {{count:1 counter_reset_hint:gauge}}";
        let (unknown, gauge) = (ResetHint::Unknown, ResetHint::Gauge);
        assert_eq!(hints(values, 1), [(unknown, 9.0, 0), (unknown, 2.0, 0), (gauge, 1.0, 0)]);
    }
}
