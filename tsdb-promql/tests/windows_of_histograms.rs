//! What a function makes of the windows of native histograms, their counts are what it makes of a series of the
//! counts alone.

use proptest::prelude::*;
use tsdb_core::Labels;
use tsdb_core::histogram::{FloatHistogram, FloatParts};
use tsdb_core::testing::MemStore;
use tsdb_core::write::Appendable;
use tsdb_promql::{Engine, Value};

/// `h` with histograms of these counts and `c` with the counts, each after so many ms.
fn store(samples: &[(u16, u8)]) -> MemStore {
    let store = MemStore::new();
    let named = |name| Labels::from_pairs([("__name__", name)]).unwrap_or_default();
    let mut appender = store.appender();
    let (Ok(histograms), Ok(counts)) = (appender.series(&named("h")), appender.series(&named("c"))) else {
        unreachable!("a store in memory takes any series")
    };
    let mut time = 0;
    for (gap, count) in samples {
        time += i64::from(*gap) + 1;
        let count = f64::from(*count);
        let parts = FloatParts { count, zero_count: count, ..FloatParts::default() };
        let histogram = FloatHistogram::new(parts).unwrap_or_else(|error| unreachable!("{error}"));
        assert!(appender.append_histogram(histograms, time, histogram).is_ok());
        appender.append(counts, time, count);
    }
    assert!(appender.commit().is_ok());
    store
}

/// The points of the one series of the answer.
fn points(store: &MemStore, query: &str) -> Vec<(i64, f64)> {
    match Engine::default().range(store, query, 0, 60_000, 1_500).map(|result| result.value) {
        Ok(Value::Matrix(found)) if found.len() < 2 => found
            .iter()
            .flat_map(|one| one.timestamps.iter().copied().zip(one.values.iter().copied()))
            .collect(),
        other => unreachable!("{query}: {other:?}"),
    }
}

proptest! {
    #[test]
    fn the_count_of_a_function_of_histograms_is_the_function_of_their_counts(
        samples in prop::collection::vec((0..9_000_u16, 0..50_u8), 0..20),
        range in 1..30_u8,
    ) {
        let store = store(&samples);
        for function in [
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "sum_over_time",
            "avg_over_time",
            "last_over_time",
        ] {
            let of_histograms = points(&store, &format!("histogram_count({function}(h[{range}s]))"));
            let of_counts = points(&store, &format!("{function}(c[{range}s])"));
            prop_assert_eq!(of_histograms.len(), of_counts.len(), "{}", function);
            for ((time, found), (at, expected)) in of_histograms.iter().zip(&of_counts) {
                let near = (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
                prop_assert!(time == at && near, "{function} at {time}: {found}, expected {expected}");
            }
        }
        for function in ["resets", "changes", "count_over_time", "present_over_time"] {
            let of_histograms = points(&store, &format!("{function}(h[{range}s])"));
            let of_counts = points(&store, &format!("{function}(c[{range}s])"));
            prop_assert_eq!(of_histograms, of_counts, "{}", function);
        }
    }
}
