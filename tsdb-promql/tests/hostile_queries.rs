//! Queries that parse and are made to take for ever, to take all memory, or to meet data that no function expects.
//! Each is answered by the rules of the language or refused with the name of the limit; none panics.
#![expect(clippy::panic, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tsdb_core::read::{Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::testing::MemStore;
use tsdb_core::{Labels, Matcher, TimeRange};
use tsdb_promql::{
    CostLimit, Engine, EngineOptions, ParseOptions, QueryError, QueryErrorKind, QueryParams, ScopedThreads,
    Value,
};

fn engine(change: impl Fn(&mut EngineOptions)) -> Engine {
    let mut options = EngineOptions::default();
    options.parse = ParseOptions::all_features();
    options.executor = Arc::new(ScopedThreads::new(1));
    change(&mut options);
    Engine::new(options)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap_or_default()
}

/// `series` series named `a` with a sample each second from 0 to `seconds`, no two values alike.
fn crowd(series: u32, seconds: u32) -> MemStore {
    let store = MemStore::new();
    for i in 0..series {
        let labels = labels(&[("__name__", "a"), ("i", &i.to_string())]);
        for second in 0..=seconds {
            store.put(&labels, i64::from(second) * 1000, f64::from(i * (seconds + 1) + second));
        }
    }
    store
}

fn refusal(engine: &Engine, store: &dyn Queryable, query: &str) -> QueryError {
    match engine.range(store, query, 0, 50_000, 1000) {
        Ok(_) => panic!("{query} is answered"),
        Err(error) => error,
    }
}

#[test]
fn regular_expressions_that_explode_are_refused_and_long_lists_of_words_are_not() {
    let store = crowd(3, 0);
    let (engine, words) = (engine(|_| {}), "word|".repeat(13_000));
    for pattern in ["(a{1000}){1000}", "((a{100}){100}){100}", "(x+x+)+y{0,1000}{0,1000}{0,1000}"] {
        let replaced = format!("label_replace(a, \"b\", \"c\", \"i\", \"{pattern}\")");
        for (query, kind) in [
            (format!("a{{i=~\"{pattern}\"}}"), QueryErrorKind::BadData),
            (format!("a{{i!~\"{pattern}\"}}"), QueryErrorKind::BadData),
            // As in Prometheus, where the expression is compiled as the function runs.
            (replaced, QueryErrorKind::Execution),
        ] {
            let error = engine.instant(&store, &query, 0).unwrap_err();
            assert_eq!(error.kind(), kind, "{query}: {error}");
        }
    }
    let Ok(found) = engine.instant(&store, &format!("a{{i=~\"{words}2\"}}"), 0) else {
        panic!("a list of words")
    };
    assert!(matches!(found.value, Value::Vector(found) if found.len() == 1));
}

#[test]
fn a_query_for_everything_over_a_year_is_refused_by_its_estimate_before_it_reads() {
    let limited = engine(|options| options.max_series = Some(10));
    let error = refusal(&limited, &crowd(20, 0), "{__name__=~\".+\"}");
    let QueryError::TooCostly { what: CostLimit::Series, estimated: 20, limit: 10, .. } = error else {
        panic!("{error}")
    };
    let year_ms = 365 * 24 * 3600 * 1000;
    let store = crowd(1, 0);
    let by_steps = engine(|_| {}).range(&store, "{__name__=~\".+\"}", 0, year_ms, 1).unwrap_err();
    assert!(by_steps.to_string().contains("11000 points per timeseries"), "{by_steps}");
    assert_eq!(by_steps.kind(), QueryErrorKind::BadData);
}

#[test]
fn a_range_of_endless_steps_is_refused_whatever_its_limits() {
    let store = crowd(1, 0);
    for max_points in [11_000, u64::MAX] {
        let engine = engine(|options| options.max_points = max_points);
        for (start, end) in [(0, 1_000_000_000_000), (i64::MIN, i64::MAX), (i64::MIN, 0), (0, i64::MAX)] {
            for query in ["a", "1", "sum(rate(a[5m]))", "vector(time())"] {
                assert!(engine.range(&store, query, start, end, 1).is_err(), "{query} {start} {end}");
            }
        }
    }
}

#[test]
fn values_that_become_labels_are_refused_beyond_the_account() {
    let limited = engine(|options| options.max_samples = 20_000);
    let error = refusal(&limited, &crowd(20, 50), "count_values(\"v\", a)");
    assert!(matches!(error, QueryError::TooManySamples { limit: 20_000, .. }), "{error}");
    let long = "x".repeat(10_000);
    let error =
        refusal(&limited, &crowd(20, 50), &format!("label_replace(a, \"b\", \"{long}\", \"i\", \".*\")"));
    assert!(matches!(error, QueryError::TooManySamples { limit: 20_000, .. }), "{error}");
}

#[test]
fn label_values_that_double_with_each_level_are_refused() {
    let doubled = "label_replace(".repeat(60) + "a" + &", \"i\", \"$1$1\", \"i\", \"(.*)\")".repeat(60);
    let error = refusal(&engine(|_| {}), &crowd(1, 50), &doubled);
    assert!(error.to_string().contains("label value beyond the limit of 1048576 bytes"), "{error}");
}

#[test]
fn many_to_many_is_refused() {
    for (query, reason) in [
        ("a + on() a", "many-to-many matching not allowed"),
        ("a * on() group_left a", "many-to-many matching not allowed"),
        ("a * on() group_right a", "many-to-many matching not allowed"),
    ] {
        let error = refusal(&engine(|_| {}), &crowd(100, 50), query);
        assert_eq!(error.kind(), QueryErrorKind::Execution);
        assert!(error.to_string().contains(reason), "{error}");
    }
}

/// What the one element of the answer is; `None` of no element.
fn answer(store: &MemStore, query: &str) -> Option<f64> {
    match engine(|_| {}).instant(store, query, 60_000).map(|result| result.value) {
        Ok(Value::Vector(found)) if found.len() < 2 => found.first().map(|sample| sample.value),
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn quantiles_and_predictions_of_odd_data_follow_the_rules() {
    let store = MemStore::new();
    store.put(&labels(&[("__name__", "one")]), 50_000, 7.0);
    store.put(&labels(&[("__name__", "nans")]), 40_000, f64::NAN);
    store.put(&labels(&[("__name__", "nans")]), 50_000, f64::NAN);
    for (le, count) in [("1", 5.0), ("2", 7.0)] {
        store.put(&labels(&[("__name__", "no_inf_bucket"), ("le", le)]), 50_000, count);
    }
    store.put(&labels(&[("__name__", "only_inf_bucket"), ("le", "+Inf")]), 50_000, 7.0);
    for (le, count) in [("1", 0.0), ("+Inf", 0.0)] {
        store.put(&labels(&[("__name__", "empty_buckets"), ("le", le)]), 50_000, count);
    }
    for (le, count) in [("1", f64::NAN), ("+Inf", f64::NAN)] {
        store.put(&labels(&[("__name__", "nan_buckets"), ("le", le)]), 50_000, count);
    }
    store.put(&labels(&[("__name__", "bad_le"), ("le", "word")]), 50_000, 7.0);
    let (nan, infinite) = (Some(f64::NAN), Some(f64::INFINITY));
    for (query, expected) in [
        ("quantile(0.5, none)", None),
        ("quantile(0.5, one)", Some(7.0)),
        ("quantile(NaN, one)", nan),
        ("quantile(2, one)", infinite),
        ("quantile(-1, one)", Some(f64::NEG_INFINITY)),
        ("quantile(0.5, nans)", nan),
        ("quantile_over_time(0.5, none[1m])", None),
        ("quantile_over_time(0.5, one[1m])", Some(7.0)),
        ("quantile_over_time(NaN, one[1m])", nan),
        ("quantile_over_time(0.5, nans[1m])", nan),
        ("predict_linear(none[1m], 60)", None),
        ("predict_linear(one[1m], 60)", None),
        ("predict_linear(nans[1m], 60)", nan),
        ("predict_linear(nans[1m], NaN)", nan),
        ("deriv(one[1m])", None),
        ("rate(one[1m])", None),
        ("irate(one[1m])", None),
        ("histogram_quantile(0.5, none)", None),
        ("histogram_quantile(0.5, one)", None),
        ("histogram_quantile(0.5, bad_le)", None),
        ("histogram_quantile(0.5, no_inf_bucket)", nan),
        ("histogram_quantile(0.5, only_inf_bucket)", nan),
        ("histogram_quantile(0.5, empty_buckets)", nan),
        // No bucket reaches a rank that is no number, so it lies in the last one, whose lower bound counts.
        ("histogram_quantile(0.5, nan_buckets)", Some(1.0)),
        ("histogram_quantile(NaN, empty_buckets)", nan),
        ("stddev(none)", None),
        ("stddev(one)", Some(0.0)),
    ] {
        let found = answer(&store, query);
        let same = match (found, expected) {
            (Some(found), Some(expected)) => found == expected || (found.is_nan() && expected.is_nan()),
            (found, expected) => found == expected,
        };
        assert!(same, "{query}: {found:?}, expected {expected:?}");
    }
}

#[test]
fn times_and_durations_out_of_range_are_bad_data() {
    let store = crowd(1, 50);
    for query in [
        "a @ NaN",
        "a @ Inf",
        "a @ -Inf",
        "a @ 1e300",
        "a offset NaN",
        "a offset Inf",
        "a offset 1e300",
        "a offset -1e300",
        "a offset 999999999y",
        "a offset (1 / 0)",
        "rate(a[NaN])",
        "rate(a[Inf])",
        "rate(a[1e300])",
        "rate(a[0])",
        "rate(a[-5m])",
        "rate(a[999999999y])",
        "rate(a[1 / 0])",
        "rate(a[5m:0])",
        "rate(a[5m:-1m])",
        "rate(a[5m:1e300])",
        "rate(a[5m:NaN])",
    ] {
        match engine(|_| {}).instant(&store, query, 0) {
            Ok(_) => panic!("{query} is answered"),
            Err(error) => assert_eq!(error.kind(), QueryErrorKind::BadData, "{query}: {error}"),
        }
    }
}

/// Series whose reader leaves while one of them is read.
#[derive(Clone)]
struct Leaving {
    series: usize,
    samples: i64,
    /// The read during which the reader leaves, from 0.
    last_read: usize,
    left: Arc<AtomicBool>,
    reads: Arc<AtomicUsize>,
}

impl Leaving {
    fn new(series: usize, samples: i64, last_read: usize) -> Self {
        Self { series, samples, last_read, left: Arc::default(), reads: Arc::default() }
    }
}

impl Queryable for Leaving {
    fn querier(&self, _: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Leaving {
    fn select(&self, _: &[Matcher], _: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(self.clone()))
    }

    fn label_names(&self, _: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

impl SeriesSet for Leaving {
    fn len(&self) -> usize {
        self.series
    }

    fn labels(&self, index: usize) -> Labels {
        labels(&[("__name__", "a"), ("i", &index.to_string())])
    }

    fn read(&self, _: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        // Not whole numbers: their sums must be added up window by window.
        (0..self.samples).for_each(|at| into.push(at, at as f64 / 3.0));
        if self.reads.fetch_add(1, Ordering::Relaxed) == self.last_read {
            self.left.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        1000
    }
}

#[test]
fn a_query_whose_caller_leaves_reads_no_further_series() {
    for query in
        ["a", "sum(a)", "topk(3, a)", "a + a", "sort(a)", "max_over_time(a[5m:1m])", "a and a", "absent(a)"]
    {
        let store = Leaving::new(1000, 1, 9);
        let mut params = QueryParams::instant(0);
        params.cancel = Some(Arc::clone(&store.left));
        let error = engine(|_| {}).query(&store, query, &params).unwrap_err();
        assert_eq!(error.kind(), QueryErrorKind::Cancelled, "{query}");
        assert_eq!(store.reads.load(Ordering::Relaxed), 10, "{query}");
    }
}

#[test]
fn a_query_whose_caller_leaves_stops_within_a_series() {
    let functions = ["avg_over_time", "stddev_over_time", "deriv", "mad_over_time"];
    let calls = functions.map(|function| format!("{function}(a[20s])"));
    for query in calls.iter().chain([&"quantile_over_time(0.5, a[20s])".to_owned()]) {
        let store = Leaving::new(1, 20_000, 0);
        let mut params = QueryParams::range(0, 20_000, 2);
        params.cancel = Some(Arc::clone(&store.left));
        let error = engine(|_| {}).query(&store, query, &params).unwrap_err();
        assert_eq!(error.kind(), QueryErrorKind::Cancelled, "{query}");
    }
}

/// Who asked for more than `max_samples`; `None` where that is enough. The queries are over 21 steps or at one time.
fn who_asked(store: &MemStore, query: &str, instant: bool, max_samples: u64) -> Option<String> {
    let limited = engine(|options| options.max_samples = max_samples);
    let result = if instant {
        limited.instant(store, query, 20_000)
    } else {
        limited.range(store, query, 0, 20_000, 1000)
    };
    let error = result.err()?;
    let text = error.to_string();
    assert!(
        text.starts_with("query processing would load too many samples into memory in query execution ("),
        "{text}"
    );
    let QueryError::TooManySamples { operator: Some(operator), .. } = error else {
        panic!("{query}: {text}")
    };
    assert!(text.ends_with(&format!(", asked for by: {operator}")), "{text}");
    Some(operator)
}

#[test]
fn a_query_beyond_its_account_names_the_operator_that_asked_for_more() {
    let store = crowd(10, 49);
    for (query, instant, max_samples, operator) in [
        ("a", false, 20, "the steps of the query"),
        ("a", true, 20, "select {__name__=\"a\"}"),
        ("a", false, 100, "select {__name__=\"a\"}"),
        ("vector(1)", false, 21, "the result"),
        ("sum(a)", true, 0, "sum, series by series"),
        (
            "sum(a)",
            true,
            10,
            "select {__name__=\"a\"}, of the labels only \"__name__\", \"__type__\", \"__unit__\"",
        ),
        ("sum by (i) (a)", false, 100, "sum by (i), series by series"),
        ("topk(3, a)", false, 50, "topk, series by series"),
        ("quantile(0.5, a)", false, 300, "quantile"),
        ("count_values(\"v\", a)", false, 300, "count_values by (v) as \"v\""),
        ("rate(a[30s])", false, 30, "rate"),
        ("max_over_time(a[1m:1s])", false, 50, "subquery [1m] every 1s"),
        ("max_over_time(a[1m:1s])", false, 90, "subquery"),
        ("a * on(i) group_left a", false, 100, "join * on (i) group_left ()"),
        ("a or b", false, 100, "join or"),
        ("sort(a)", true, 5, "sort ascending"),
        ("histogram_quantile(0.5, a)", true, 5, "histogram_quantile"),
        (
            "label_replace(a, \"z\", \"y\", \"i\", \".*\")",
            true,
            5,
            "label_replace \"z\" = \"y\" from \"i\" =~ \".*\"",
        ),
    ] {
        assert_eq!(who_asked(&store, query, instant, max_samples).as_deref(), Some(operator), "{query}");
    }
}

#[test]
fn whatever_the_account_a_query_is_answered_or_somebody_is_named() {
    let store = crowd(10, 49);
    for query in [
        "a[30s]",
        "a[30s:1s]",
        "absent(a)",
        "absent_over_time(a[1m])",
        "scalar(a)",
        "vector(scalar(sum(a)))",
        "timestamp(a)",
        "limitk(3, a)",
        "limit_ratio(0.5, a)",
        "a and a",
        "a unless b",
        "a + a + a",
        "sum(a) / sum(a)",
        "sum(a @ 10)",
        "a smoothed",
        "info(a)",
        "stddev(a)",
        "sort_by_label(a, \"i\")",
        "quantile_over_time(0.5, a[30s])",
    ] {
        for max_samples in (0..250).step_by(7) {
            who_asked(&store, query, true, max_samples);
            if !query.starts_with("a[") {
                who_asked(&store, query, false, max_samples);
            }
        }
    }
}
