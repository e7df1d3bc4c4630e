//! Plans as people see them, what they are estimated to cost, and the limits on that.
//!
//! The plans are compared with `golden/plans.txt`, which `UPDATE_GOLDEN=1` writes anew.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::path::PathBuf;
use tsdb_core::read::{Querier, Queryable, ReadError, SelectHints, SeriesSet};
use tsdb_core::testing::MemStore;
use tsdb_core::{Labels, Matcher, TimeRange};
use tsdb_promql::{
    CostLimit, Engine, EngineOptions, ParseOptions, Pass, Passes, QueryError, QueryErrorKind, QueryParams,
};

/// Queries with something to see for every pass and every kind of operator.
const QUERIES: [&str; 34] = [
    "1 + 2 * time() > bool 3",
    "\"text\"",
    "a",
    "a{x=\"1\",y!~\"b.*\"} @ 60 offset 1m",
    "a[5m] offset -1m",
    "a_total > 2 * 60",
    "sum by (x) (rate(a_total[5m]))",
    "sum by (x) (rate({job=\"j\"}[5m]))",
    "sum(abs(a @ 60))",
    "avg without (x) (a)",
    "quantile by (x) (0.5, a)",
    "count_values by (x) (\"v\", a)",
    "topk by (x) (scalar(count(b)), a)",
    "sum by (x) (limit_ratio(0.5, a))",
    "a + a",
    "rate(a_total[5m]) / ignoring (x) group_left (y) rate(a_total[5m])",
    "increase(a_total[5m]) / rate(a_total[5m])",
    "(sum(a) + sum(a)) * (sum(a) + sum(a))",
    "max_over_time(sum(rate(a_total[1m]))[10m:1m] @ end()) - sum(rate(a_total[1m]))",
    "a_total{x=\"1\"} * on (x) sum by (x) (b)",
    "rate(a_total[5m]) and on (x) b{x=\"1\",y=\"2\"}",
    "sum by (x) (a unless on (x, y) b{x=\"1\"})",
    "sum by (x) (b{x=\"1\"}) / on (x) group_right sum by (x, y) (rate(a_total[1m]) > 0)",
    "absent(a{x=\"1\"}) or absent_over_time(b[5m])",
    "sum by (le) (rate(h_bucket[5m])) and histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
    "histogram_fraction(0, 0.5, h) or histogram_quantiles(h, \"q\", 0.5, 0.9)",
    "label_replace(a, \"dst\", \"$1\", \"src\", \"(.*)\") or label_join(a, \"dst\", \"-\", \"x\", \"y\")",
    "sort_desc(a @ 60) or sort_by_label(a, \"x\")",
    "info(a, {__name__=~\"b|target_info\", data=\"1\"})",
    "increase(a[5m] anchored) or a smoothed",
    "-a < bool on (x) fill_left (0) fill_right (1) b",
    "timestamp(a) + hour() + vector(min_of(1, pi()))",
    "predict_linear(a[5m] @ 60, 60) + quantile_over_time(0.5, a[5m:])",
    "clamp(a, 1, 2) or round(a, 0.1) or sum by (x) (clamp_min(last_over_time(a[5m]), scalar(b)))",
];

fn store() -> MemStore {
    let store = MemStore::new();
    for name in ["a", "a_total", "b", "h_bucket"] {
        for x in ["1", "2", "3"] {
            let labels = Labels::from_pairs([("__name__", name), ("x", x), ("y", "2")]).unwrap();
            (0..20).for_each(|step| store.put(&labels, step * 30_000, 1.0));
        }
    }
    store
}

fn options() -> EngineOptions {
    let mut options = EngineOptions::default();
    options.parse = ParseOptions::all_features();
    options
}

fn engine_with(passes: Passes) -> Engine {
    let mut options = options();
    options.passes = passes;
    Engine::new(options)
}

/// The plan of `query`, an instant query at 10 minutes if it has to be one.
fn explained(engine: &Engine, query: &str) -> String {
    explained_on(&store(), engine, query)
}

fn explained_on(store: &dyn Queryable, engine: &Engine, query: &str) -> String {
    let range = QueryParams::range(300_000, 600_000, 60_000);
    let explanation = engine.explain(store, query, &range);
    let explanation = explanation.or_else(|_| engine.explain(store, query, &QueryParams::instant(600_000)));
    explanation.unwrap().to_string()
}

/// A store that says it has windows.
struct WithWindows(MemStore);

impl Queryable for WithWindows {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(ViewWithWindows(self.0.querier(range)?)))
    }
}

struct ViewWithWindows(Box<dyn Querier>);

impl Querier for ViewWithWindows {
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        self.0.select(matchers, hints)
    }

    fn may_hold_histograms(&self) -> bool {
        self.0.may_hold_histograms()
    }

    fn may_hold_windows(&self) -> bool {
        true
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        self.0.label_names(matchers)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, matchers)
    }
}

#[test]
fn plans_are_the_golden_ones() {
    let mut text = String::new();
    for query in QUERIES {
        let without = explained(&engine_with(Passes::none()), query);
        let with = explained(&engine_with(Passes::all()), query);
        writeln!(text, "== {query}\n-- without passes\n{without}-- with all passes\n{with}").unwrap();
    }
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/plans.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (found, expected) in text.split("\n== ").zip(golden.split("\n== ")) {
        assert_eq!(found, expected);
    }
    assert_eq!(text, golden);
}

#[test]
fn every_pass_changes_some_plan_and_shows_in_the_text() {
    let store = WithWindows(store());
    for pass in Pass::ALL {
        let changes = |query: &&str| {
            explained_on(&store, &engine_with(Passes::all()), query)
                != explained_on(&store, &engine_with(Passes::all().without(pass)), query)
        };
        assert!(QUERIES.iter().any(changes), "{pass:?}");
    }
}

#[test]
fn an_explanation_reads_nothing_and_tells_series_samples_points_and_bytes() {
    let explanation = engine_with(Passes::all())
        .explain(
            &store(),
            "sum(rate(a_total[5m])) / sum(rate(b[5m]))",
            &QueryParams::range(300_000, 600_000, 60_000),
        )
        .unwrap();
    assert_eq!(explanation.steps, 6);
    let [of_a, _] = &explanation.selectors[..] else { panic!("{explanation}") };
    assert_eq!((of_a.series, of_a.points), (3, 18));
    assert_eq!((of_a.start, of_a.end), (1, 600_000));
    assert_eq!(of_a.samples, 3 * 19);
    assert_eq!(of_a.bytes, 3 * 19 * 16 + 18 * 8);
    assert_eq!(explanation.total(|one| one.series), 6);
}

#[test]
fn a_query_beyond_an_estimate_is_refused_before_it_reads_and_told_the_limit_and_the_numbers() {
    type Setting = fn(&mut EngineOptions, u64);
    let cases: [(CostLimit, Setting, u64); 4] = [
        (CostLimit::Series, |options, limit| options.max_series = Some(limit), 6),
        (CostLimit::Samples, |options, limit| options.max_estimated_samples = Some(limit), 6 * 19),
        (CostLimit::Points, |options, limit| options.max_estimated_points = Some(limit), 36),
        (CostLimit::Bytes, |options, limit| options.max_estimated_bytes = Some(limit), 6 * 19 * 16 + 36 * 8),
    ];
    for (what, set, cost) in cases {
        for passes in [Passes::all(), Passes::none()] {
            let run = |limit| {
                let mut options = options();
                options.passes = passes;
                set(&mut options, limit);
                let engine = Engine::new(options);
                engine.range(&store(), "sum(rate(a_total[5m])) / sum(rate(b[5m]))", 300_000, 600_000, 60_000)
            };
            assert!(run(cost).is_ok(), "{what}");
            let error = run(cost - 1).unwrap_err();
            assert_eq!(error.kind(), QueryErrorKind::Execution);
            let QueryError::TooCostly { estimated, limit, of_selector, .. } = error else {
                panic!("{error}")
            };
            assert_eq!((estimated, limit, of_selector), (cost, cost - 1, cost / 2), "{what}");
            let text = error_text(&run(cost - 1).unwrap_err());
            let expected =
                format!("estimated to take {cost} {what}, {} allows {}; {}", what.name(), cost - 1, cost / 2);
            assert!(text.contains(&expected), "{text}");
        }
    }
}

fn error_text(error: &QueryError) -> String {
    error.to_string()
}

#[test]
fn limits_on_times_and_texts_name_themselves() {
    let mut options = options();
    options.max_range_ms = Some(3_600_000);
    options.max_points = 100;
    options.parse.max_length_bytes = 50;
    options.parse.max_depth = 5;
    let engine = Engine::new(options);
    let error = |query: &str, end, step| engine.range(&store(), query, 0, end, step).unwrap_err();
    assert_eq!(error("a", 3_600_001, 3_600_000).to_string(), "the query spans 1h1ms, max_range allows 1h");
    assert_eq!(error("a", 3_600_001, 3_600_000).kind(), QueryErrorKind::BadData);
    assert!(
        error("a", 3_600_000, 1_000)
            .to_string()
            .contains("maximum resolution of 100 points per timeseries: 3601")
    );
    assert!(error(&"a+".repeat(30), 1, 1).to_string().contains("limit on length in bytes: 50"));
    assert!(error("((((((1))))))", 1, 1).to_string().contains("limit on depth: 5"));
    assert!(engine.range(&store(), "a", 0, 3_600_000, 36_000).is_ok());
}

#[test]
fn a_profile_tells_what_each_operator_did() {
    let mut params = QueryParams::range(300_000, 600_000, 60_000);
    params.profile = true;
    let result = engine_with(Passes::all()).query(&store(), "sum(rate(a_total[5m])) * 2", &params).unwrap();
    let operators: Vec<_> =
        result.stats.operators.iter().map(|one| (one.operator.as_str(), one.depth, one.rows)).collect();
    assert_eq!(
        operators,
        [("*, scalar on the right", 0, 1), ("sum, series by series", 1, 1), ("rate", 2, 3)]
    );
    assert_eq!(result.stats.samples_read, 57);
    assert!(result.stats.peak_bytes >= result.stats.peak_samples && result.stats.peak_samples > 0);
    params.profile = false;
    let result = engine_with(Passes::all()).query(&store(), "sum(a)", &params).unwrap();
    assert!(result.stats.operators.is_empty());
}
