//! Random data for the second referee.

use super::random::{Queries, STEP_MS};
use tsdb_core::histogram::{FloatHistogram, FloatParts};
use tsdb_core::testing::MemStore;
use tsdb_core::write::{Appendable, Appender};
use tsdb_core::{Labels, STALE_NAN, SeriesRef};
use tsdb_promql::testing::{SequenceValue, parse_series};

/// Random series: the same for the same seed. Gaps, irregular distances, stale markers, counter resets, NaN and
/// infinities, native histograms alone and among numbers.
///
/// Values are whole numbers and halves, of which sums are exact: what differs is not rounding.
pub(crate) struct Data {
    random: Queries,
}

impl Data {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Queries::new(seed.wrapping_add(1000)) }
    }

    /// A store that holds the series.
    pub(crate) fn store(mut self) -> MemStore {
        let store = MemStore::new();
        let mut appender = store.appender();
        for name in ["foo", "bar", "c_total", "gap", "st", "neg", "nh", "nh_total", "mixed"] {
            for index in 0..1 + self.random.below(4) {
                let i = (index + 1).to_string();
                let j = self.random.one(&["", "a", "b"]);
                let pairs = [("__name__", name), ("i", i.as_str()), ("j", j)];
                let series = appender.series(&Labels::from_pairs(pairs).unwrap()).unwrap();
                self.fill(&mut *appender, series, name);
            }
        }
        for (le, factor) in [("0.1", 1), ("0.5", 3), ("1", 4), ("+Inf", 5)] {
            let pairs = [("__name__", "h_bucket"), ("i", "1"), ("le", le)];
            let series = appender.series(&Labels::from_pairs(pairs).unwrap()).unwrap();
            for step in 0..40i32 {
                appender.append(series, i64::from(step) * STEP_MS, f64::from(step * factor));
            }
        }
        assert!(appender.commit().unwrap().refused.is_empty());
        store
    }

    fn fill(&mut self, appender: &mut dyn Appender, series: SeriesRef, name: &str) {
        let (mut time, mut counter, mut counts) = (0, 0.0, [0.0; 3]);
        while time < 1_300_000 {
            time += match self.random.below(12) {
                0 => 200_000,
                1..=3 => 1 + i64::try_from(self.random.below(45_000)).unwrap(),
                _ => STEP_MS,
            };
            let step = self.random.below(15) as f64 / 2.0;
            counter = if self.random.below(9) == 0 { step } else { counter + step };
            let place = self.random.below(3);
            counts[place] = if self.random.below(9) == 0 { 0.0 } else { counts[place] + 1.0 };
            let is_histogram = name.starts_with("nh") || (name == "mixed" && self.random.below(3) > 0);
            if self.random.below(20) == 0 {
                appender.append(series, time, STALE_NAN);
            } else if is_histogram {
                appender.append_histogram(series, time, histogram(counts, name == "nh")).unwrap();
            } else {
                let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
                let value = match name {
                    "c_total" => counter,
                    "bar" if self.random.below(15) == 0 => self.random.one(&odd),
                    _ => self.random.below(41) as f64 / 2.0 - 7.0,
                };
                appender.append(series, time, value);
            }
        }
    }
}

fn histogram(counts: [f64; 3], gauge: bool) -> FloatHistogram {
    let hint = if gauge { " counter_reset_hint:gauge" } else { "" };
    let [a, b, c] = counts;
    let (count, sum) = (a + b + c, a + 2.0 * b + 4.0 * c);
    let text = format!("h {{{{schema:0 count:{count} sum:{sum} buckets:[{a} {b} {c}]{hint}}}}}");
    match parse_series(&text).unwrap().1.remove(0) {
        SequenceValue::Histogram(value) => value.histogram().unwrap(),
        _ => FloatHistogram::new(FloatParts::default()).unwrap(),
    }
}
