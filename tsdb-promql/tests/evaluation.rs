//! The evaluator as its callers see it: laws that hold for every query, limits, and hostile parameters.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tsdb_core::testing::MemStore;
use tsdb_core::{Labels, STALE_NAN};
use tsdb_promql::{
    Engine, EngineOptions, ParseOptions, QueryError, QueryErrorKind, QueryParams, ScopedThreads, Value,
};

/// Queries of every kind of operator.
const QUERIES: [&str; 51] = [
    "a",
    "a offset 20s",
    "a offset -20s",
    "a @ 60",
    "a @ end()",
    "-a",
    "a + 1 > 3",
    "1 < bool a",
    "a + on(x) b",
    "a * on(x) group_left b",
    "b / on(x) group_right(y) a",
    "a and b",
    "a or b",
    "a unless on(x) b",
    "sum(a)",
    "avg by (x) (a)",
    "min without (x) (a)",
    "max(a) - min(a)",
    "count by (y) (a)",
    "stddev(a)",
    "quantile(0.3, a)",
    "topk by (x) (1, a)",
    "bottomk(2, a)",
    "count_values(\"v\", a)",
    "group by (x) (a)",
    "limitk(1, a)",
    "rate(a[1m])",
    "increase(a[70s])",
    "delta(a[1m] offset 10s)",
    "irate(a[1m])",
    "increase(a[1m] anchored)",
    "changes(a[70s] anchored)",
    "rate(a[1m] smoothed offset 10s)",
    "delta(a[1m] smoothed @ 90)",
    "a smoothed",
    "info(a)",
    "info(label_replace(a, \"job\", \"$1\", \"x\", \"(.*)\"), {__name__=~\"b|target_info\"})",
    "sum_over_time(a[1m] @ 90)",
    "avg_over_time(a[2m])",
    "quantile_over_time(0.5, a[1m])",
    "predict_linear(a[2m], 60)",
    "max_over_time(sum by (x) (rate(a[1m]))[2m:20s])",
    "last_over_time(a[1m:])",
    "absent(a{x=\"none\"})",
    "absent_over_time(a[15s])",
    "scalar(sum(a)) + a",
    "histogram_quantile(0.5, label_replace(a, \"le\", \"$1\", \"x\", \"(.*)\"))",
    "label_join(a, \"z\", \"-\", \"x\", \"y\")",
    "clamp(a, 1, scalar(b{x=\"1\"}))",
    "vector(time()) + hour()",
    "timestamp(a)",
];

fn engine(threads: usize, delayed: bool) -> Engine {
    let mut options = EngineOptions::default();
    options.parse = ParseOptions::all_features();
    options.delayed_name_removal = delayed;
    options.executor = Arc::new(ScopedThreads::new(threads));
    Engine::new(options)
}

fn labels(name: &str, x: u8, y: u8) -> Labels {
    let (x, y) = (x.to_string(), y.to_string());
    Labels::from_pairs([("__name__", name), ("x", &x), ("y", &y)]).unwrap()
}

/// Series by name and labels, with gaps before their samples in ms.
type Data = Vec<(bool, u8, u8, Vec<(i64, f64)>)>;

fn store(data: &Data) -> MemStore {
    let store = MemStore::new();
    for (first, x, y, samples) in data {
        let labels = labels(if *first { "a" } else { "b" }, *x, *y);
        let mut time = 0;
        for (gap, value) in samples {
            time += gap;
            store.put(&labels, time, *value);
        }
    }
    store
}

fn data() -> impl Strategy<Value = Data> {
    let value = prop_oneof![
        8 => (0..20i32).prop_map(f64::from),
        1 => Just(STALE_NAN),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.5), Just(1e300)],
    ];
    let samples = proptest::collection::vec((1_000..40_000i64, value), 0..20);
    proptest::collection::vec((any::<bool>(), 0..3u8, 0..3u8, samples), 0..8)
}

/// A value with NaNs of one kind, by labels and time.
type Points = BTreeMap<(String, i64), u64>;

fn points(value: &Value) -> Points {
    let bits = |v: f64| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() };
    match value {
        Value::Scalar(point) => BTreeMap::from([((String::new(), point.timestamp), bits(point.value))]),
        Value::Vector(samples) => {
            samples.iter().map(|s| ((s.labels.to_string(), s.timestamp), bits(s.value))).collect()
        }
        Value::Matrix(series) => series
            .iter()
            .flat_map(|s| {
                s.timestamps.iter().zip(&s.values).map(|(t, v)| ((s.labels.to_string(), *t), bits(*v)))
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_range_query_is_the_sequence_of_its_instant_queries(data in data(), delayed in any::<bool>()) {
        let (store, engine) = (store(&data), engine(1, delayed));
        let (start, end, step) = (10_000, 200_000, 23_000);
        for query in QUERIES {
            // The end of a query is part of what `@ end()` means.
            let moves = query.contains("end()");
            let range = engine.range(&store, query, start, end, step);
            let mut instants = Points::new();
            let mut failed = None;
            for at in (start..=end).step_by(usize::try_from(step).unwrap()).take(if moves { 0 } else { 99 }) {
                match engine.instant(&store, query, at) {
                    Ok(result) => instants.extend(points(&result.value)),
                    Err(error) => failed = Some(error.to_string()),
                }
            }
            match (range, failed) {
                (Ok(_), _) if moves => {}
                (Ok(result), None) => prop_assert_eq!(points(&result.value), instants, "{}", query),
                (Err(_), Some(_)) => {}
                // Two series that never meet at one step cannot be one in a function of windows.
                (Err(error), None) => prop_assert_eq!(
                    error.to_string(), "vector cannot contain metrics with the same labelset", "{}", query
                ),
                (Ok(_), Some(error)) => prop_assert!(false, "{}: only instants fail: {}", query, error),
            }
        }
    }

    #[test]
    fn the_number_of_threads_shows_nowhere(data in data()) {
        let store = store(&data);
        for query in QUERIES {
            let values = [1, 3].map(|threads| {
                let result = engine(threads, false).range(&store, query, 0, 40_000_000, 10_000);
                result.map(|result| points(&result.value)).map_err(|error| error.to_string())
            });
            let [one, three] = values;
            prop_assert_eq!(one, three, "{}", query);
        }
    }

    #[test]
    fn hostile_times_and_windows_end_in_a_value_or_an_error(
        start in prop_oneof![Just(i64::MIN), Just(i64::MAX), -10i64..10, any::<i64>()],
        end in prop_oneof![Just(i64::MIN), Just(i64::MAX), -10i64..10, any::<i64>()],
        step in prop_oneof![Just(i64::MIN), Just(i64::MAX), -2i64..10, any::<i64>()],
    ) {
        let store = store(&vec![(true, 0, 0, vec![(5, 1.0), (1000, 2.0)])]);
        let engine = engine(1, false);
        for query in QUERIES.iter().chain(&["rate(a[290y])", "a offset 290y", "a offset -290y", "sum_over_time(a[1y:1ms])"]) {
            drop(engine.instant(&store, query, start));
            drop(engine.range(&store, query, start, end, step));
        }
    }
}

fn sample_store() -> MemStore {
    store(&vec![
        (true, 0, 0, (0..50).map(|i| (1000, f64::from(i))).collect()),
        (true, 1, 0, (0..50).map(|i| (1000, f64::from(i))).collect()),
    ])
}

#[test]
fn histograms_of_an_aggregation_are_on_the_account() {
    use tsdb_core::write::Appendable;
    use tsdb_promql::testing::{SequenceValue, parse_series};
    let store = MemStore::new();
    let mut appender = store.appender();
    let buckets = "1 ".repeat(200);
    let text = format!("h {{{{schema:0 count:200 sum:1 buckets:[{}]}}}}", buckets.trim());
    let SequenceValue::Histogram(value) = parse_series(&text).unwrap().1.remove(0) else { return };
    for i in 0..20 {
        let labels = Labels::from_pairs([("__name__", "h"), ("i", i.to_string().as_str())]).unwrap();
        let series = appender.series(&labels).unwrap();
        appender.append_histogram(series, 0, value.histogram().unwrap()).unwrap();
    }
    appender.commit().unwrap();
    let engine = |max_samples| {
        let mut options = EngineOptions::default();
        options.max_samples = max_samples;
        Engine::new(options)
    };
    assert!(engine(100_000).instant(&store, "sum(h)", 0).is_ok());
    let error = engine(1_000).instant(&store, "sum(h)", 0).unwrap_err();
    assert!(matches!(error, QueryError::TooManySamples { limit: 1_000, .. }), "{error}");
}

#[test]
fn a_query_that_holds_too_many_samples_is_refused_with_the_numbers() {
    let mut options = EngineOptions::default();
    options.max_samples = 60;
    let engine = Engine::new(options);
    let error = engine.range(&sample_store(), "a", 0, 50_000, 1000).unwrap_err();
    assert_eq!(error.kind(), QueryErrorKind::Execution);
    assert!(matches!(error, QueryError::TooManySamples { limit: 60, .. }));
    assert!(
        error
            .to_string()
            .starts_with("query processing would load too many samples into memory in query execution")
    );
    let result = engine.instant(&sample_store(), "sum(rate(a[30s]))", 50_000).unwrap();
    assert!(result.stats.peak_samples <= 60 && result.stats.samples_read == 60, "{:?}", result.stats);
    assert_eq!(result.stats.series_selected, 2);
}

#[test]
fn a_subquery_of_endless_steps_is_refused_before_it_runs() {
    let error = engine(1, false).instant(&sample_store(), "max_over_time(a[100y:1ms])", 50_000).unwrap_err();
    assert!(matches!(error, QueryError::TooManySamples { .. }), "{error}");
}

#[test]
fn a_cancelled_query_and_a_late_one_stop() {
    let mut params = QueryParams::range(0, 50_000, 1000);
    params.timeout = Some(Duration::ZERO);
    let run = |params: &QueryParams| engine(1, false).query(&sample_store(), "sum(a)", params);
    assert_eq!(run(&params).unwrap_err().kind(), QueryErrorKind::Timeout);
    params.cancel = Some(Arc::new(AtomicBool::new(true)));
    assert_eq!(run(&params).unwrap_err().kind(), QueryErrorKind::Cancelled);
}

#[test]
fn wrong_ranges_are_bad_data() {
    let store = sample_store();
    let engine = engine(1, false);
    let kind = |query, start, end, step| engine.range(&store, query, start, end, step).unwrap_err().kind();
    assert_eq!(kind("a", 0, 10, 0), QueryErrorKind::BadData);
    assert_eq!(kind("a", 10, 0, 1), QueryErrorKind::BadData);
    assert_eq!(kind("a", 0, 11_001, 1), QueryErrorKind::BadData);
    assert!(engine.range(&store, "a", 0, 11_000, 1).is_ok());
    assert_eq!(kind("a[5m]", 0, 10, 1), QueryErrorKind::BadData);
    assert_eq!(kind("\"text\"", 0, 10, 1), QueryErrorKind::BadData);
    assert_eq!(kind("sum(", 0, 10, 1), QueryErrorKind::BadData);
}

#[test]
fn a_whole_query_may_be_a_window_a_scalar_or_a_text() {
    let (store, engine) = (sample_store(), engine(1, false));
    let value = |query| engine.instant(&store, query, 10_000).unwrap().value;
    let Value::Matrix(window) = value("a{x=\"0\"}[3s]") else { panic!("a matrix") };
    assert_eq!(window[0].timestamps, [8000, 9000, 10_000]);
    let Value::Matrix(window) = value("a{x=\"0\"}[4s:2s]") else { panic!("a matrix") };
    assert_eq!(window[0].timestamps, [8000, 10_000]);
    assert!(matches!(value("1 + 1"), Value::Scalar(point) if point.value == 2.0));
    assert!(matches!(value("\"text\""), Value::String(point) if point.value == "text"));
}

#[test]
fn functions_of_native_histograms_find_none_among_floats() {
    let (store, engine) = (sample_store(), engine(1, false));
    for query in ["histogram_count(a)", "histogram_avg(a)", "histogram_stddev(a)"] {
        let result = engine.instant(&store, query, 10_000).unwrap();
        assert_eq!(result.value, Value::Vector(Vec::new()), "{query}");
    }
}
