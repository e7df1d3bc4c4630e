//! With kept results a query answers what it answers without, whatever happened in between.

use super::{Asked, ResultCache};
use crate::store::Store;
use proptest::prelude::*;
use std::sync::Arc;
use tsdb::{Db, Durability, Options};
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::write::Appendable;
use tsdb_core::{Labels, MatchOp, Matcher, TenantId, TimeRange, Timestamp};
use tsdb_promql::{Engine, EngineOptions, ParseOptions, QueryError, QueryParams, QueryResult, Value};

const MINUTE: i64 = 60_000;

/// Local ones of all kinds, and some that are not.
const QUERIES: [&str; 22] = [
    "a_total",
    "{__name__=~\"a_total|b_total\"}",
    "sum by (x) (a_total)",
    "rate(a_total[5m])",
    "sum(rate(b_total[7m] offset 3m))",
    "b_total offset -10m",
    "max_over_time(rate(a_total[4m])[10m:90s])",
    "a_total - on (x) group_left () b_total",
    "absent(a_total{x=\"0\"})",
    "count_values(\"v\", b_total)",
    "a_total * time()",
    "topk(1, a_total) unless b_total > 3",
    "timestamp(a_total)",
    "h",
    "rate(h[6m])",
    "histogram_quantile(0.5, sum(rate(h[6m])))",
    "delta(b_total[5m] smoothed)",
    "increase(a_total[5m] anchored)",
    "a_total @ end()",
    "b_total + on (x) a_total @ 3000",
    "sum_over_time(a_total[range()])",
    "limitk(1, a_total)",
];

#[derive(Debug, Clone)]
enum Step {
    /// Series, minutes from the newest one, value.
    Write(Vec<(u8, i64, u8)>),
    Delete(u8, i64, i64),
    Flush,
    /// Query, first step in seconds, steps, distance in seconds.
    Query(usize, i64, i64, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let sample = (0u8..6, prop_oneof![4 => 0i64..3, 1 => -90i64..0], 0u8..20);
    let distance = prop_oneof![Just(15i64), Just(60), Just(150)];
    prop_oneof![
        6 => proptest::collection::vec(sample, 1..8).prop_map(Step::Write),
        1 => (0u8..6, 0i64..200, 0i64..30).prop_map(|(series, from, len)| Step::Delete(series, from, from + len)),
        1 => Just(Step::Flush),
        10 => (0..QUERIES.len(), 0i64..12_000, 0i64..700, distance)
            .prop_map(|(query, start, steps, distance)| Step::Query(query, start / distance * distance, steps, distance)),
    ]
}

/// Histories in which few queries are asked often.
fn history() -> impl Strategy<Value = Vec<Step>> {
    let few = proptest::collection::vec(0..QUERIES.len(), 1..4);
    (few, proptest::collection::vec(step(), 10..70)).prop_map(|(few, mut steps)| {
        for step in &mut steps {
            if let Step::Query(query, ..) = step {
                *query = few[*query % few.len()];
            }
        }
        steps
    })
}

fn labels(series: u8) -> Labels {
    let name = ["a_total", "b_total", "h"][usize::from(series) % 3];
    Labels::from_pairs([("__name__", name), ("x", if series < 3 { "0" } else { "1" })]).unwrap()
}

fn histogram(value: u8) -> FloatHistogram {
    let count = f64::from(value);
    FloatHistogram::new(FloatParts {
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 1.0 + 2.0 * count,
        sum: count * 3.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_counts: vec![count, count],
        ..FloatParts::default()
    })
    .unwrap()
}

fn write(db: &Db, newest: &mut i64, samples: &[(u8, i64, u8)]) {
    let mut batch = db.appender();
    for (series, behind, value) in samples {
        let minute = (*newest + behind).max(0);
        *newest = minute.max(*newest);
        let number = batch.series(&labels(*series)).unwrap();
        if series % 3 == 2 {
            batch.append_histogram(number, minute * MINUTE, histogram(*value)).unwrap();
        } else {
            batch.append(number, minute * MINUTE, f64::from(*value));
        }
    }
    batch.commit().unwrap();
}

struct World {
    _dir: tempfile::TempDir,
    db: Db,
    engine: Engine,
    cache: ResultCache,
    tenant: TenantId,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            background: false,
            durability: Durability::Lazy,
            out_of_order_window_ms: 10_000 * MINUTE,
            future_skew_ms: None,
            ..Options::default()
        };
        let db = Db::open(dir.path(), options).unwrap();
        let mut options = EngineOptions::default();
        options.parse = ParseOptions::all_features();
        let (engine, tenant) = (Engine::new(options), TenantId::new("t").unwrap());
        Self { _dir: dir, db, engine, cache: ResultCache::new(64 << 20), tenant }
    }

    fn answer(
        &self,
        text: &str,
        params: &QueryParams,
        settled_until: Timestamp,
    ) -> Result<QueryResult, QueryError> {
        let (engine, store, tenant) = (&self.engine, &self.db as &dyn Store, &self.tenant);
        let asked = Asked { engine, store, tenant, text, params, settled_until };
        self.cache.query(&asked).map(|(result, _)| result)
    }

    fn cached(&self, text: &str, params: &QueryParams, settled_until: Timestamp) -> QueryResult {
        self.answer(text, params, settled_until).unwrap()
    }

    fn check(&self, text: &str, params: &QueryParams, settled_until: Timestamp) {
        let plain = self.engine.query(&self.db, text, params);
        let kept = self.answer(text, params, settled_until);
        let (plain, kept) = match (plain, kept) {
            (Ok(plain), Ok(kept)) => (plain, kept),
            (plain, kept) => {
                let [plain, kept] = [plain, kept].map(|one| one.map_err(|error| error.to_string()).err());
                assert_eq!(kept, plain, "{text} {params:?}");
                return;
            }
        };
        assert_eq!(shown(&kept.value), shown(&plain.value), "{text} {params:?}");
        let sorted = |result: &QueryResult| {
            let mut all = [result.annotations.warnings(text), result.annotations.infos(text)].concat();
            all.sort_unstable();
            all
        };
        assert_eq!(sorted(&kept), sorted(&plain), "{text} {params:?}");
    }
}

/// What answers show of a value: all but the hints on resets, which depend on where chunks begin.
fn shown(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Matrix(matrix) = &mut value {
        for point in matrix.iter_mut().flat_map(|series| &mut series.histograms) {
            Arc::make_mut(&mut point.histogram).set_reset_hint(ResetHint::Unknown);
        }
    }
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers_are_the_same_with_and_without_what_is_kept(history in history(), delays in any::<bool>()) {
        let (world, mut newest) = (World::new(), 60);
        for step in &history {
            match step {
                Step::Write(samples) => write(&world.db, &mut newest, samples),
                Step::Delete(series, from, to) => {
                    let of = labels(*series);
                    let matcher = Matcher::new(MatchOp::Equal, "__name__", of.metric_name()).unwrap();
                    let range = TimeRange::new(from * MINUTE, to * MINUTE).unwrap();
                    world.db.delete(&[matcher], range).unwrap();
                }
                Step::Flush => world.db.flush().unwrap(),
                Step::Query(query, start, steps, distance) => {
                    let start = start * 1_000;
                    let distance = distance * 1_000;
                    // Often the window ends near the newest samples, as those of dashboards do.
                    let start = start.min((newest + 5) * MINUTE);
                    let params = QueryParams::range(start, start + steps * distance, distance);
                    let settled = if delays { (newest - 10) * MINUTE } else { Timestamp::MAX };
                    world.check(QUERIES[*query], &params, settled);
                }
            }
        }
    }
}

fn filled() -> World {
    let world = World::new();
    for minute in 0..300 {
        let samples: Vec<_> = (0..6).map(|series| (series, 1, u8::try_from(minute % 200).unwrap())).collect();
        let mut newest = minute;
        for sample in samples {
            newest = minute;
            write(&world.db, &mut newest, &[sample]);
        }
        let _ = newest;
    }
    world
}

fn window(first: i64, last: i64) -> QueryParams {
    QueryParams::range(first * MINUTE, last * MINUTE, MINUTE)
}

#[test]
fn a_window_that_moves_computes_what_is_new_and_overlapping_ones_share() {
    let world = filled();
    let text = "sum by (x) (rate(a_total[5m]))";
    world.check(text, &window(10, 70), Timestamp::MAX);
    assert_eq!(world.cache.stats().missed, 1);
    world.check(text, &window(12, 72), Timestamp::MAX);
    let stats = world.cache.stats();
    assert_eq!((stats.partly, stats.steps_kept, stats.steps_computed), (1, 59, 63));
    world.check("sum  by(x) ( rate( a_total[5m] ) )", &window(20, 60), Timestamp::MAX);
    assert_eq!(world.cache.stats().whole, 1, "other words, the same query");
    world.check(text, &QueryParams::range(20 * MINUTE + 1, 60 * MINUTE, MINUTE), Timestamp::MAX);
    assert_eq!(world.cache.stats().missed, 2, "steps at other times");
}

#[test]
fn batches_in_order_cost_the_edge_and_a_late_one_what_comes_after_it() {
    let world = filled();
    let text = "rate(a_total[5m])";
    world.check(text, &window(0, 300), Timestamp::MAX);
    write(&world.db, &mut 300, &[(0, 1, 5)]);
    world.check(text, &window(0, 301), Timestamp::MAX);
    assert_eq!(world.cache.stats().steps_computed, 301 + 1, "the new step alone");
    let mut batch = world.db.appender();
    let late = batch.series(&Labels::from_pairs([("__name__", "a_total"), ("x", "late")]).unwrap()).unwrap();
    batch.append(late, 100 * MINUTE, 7.0);
    batch.commit().unwrap();
    world.check(text, &window(0, 99), Timestamp::MAX);
    assert_eq!(world.cache.stats().steps_computed, 302, "nothing before the late sample");
    world.check(text, &window(0, 301), Timestamp::MAX);
    assert_eq!(world.cache.stats().steps_computed, 302 + 202);
    world.db.flush().unwrap();
    world.db.compact().unwrap();
    world.check(text, &window(0, 301), Timestamp::MAX);
    assert_eq!(world.cache.stats().steps_computed, 504, "samples that move are the same samples");
}

#[test]
fn a_delete_costs_what_comes_after_its_start() {
    let world = filled();
    world.check("a_total", &window(0, 300), Timestamp::MAX);
    let range = TimeRange::new(200 * MINUTE, 210 * MINUTE).unwrap();
    world.db.delete(&[], range).unwrap();
    world.check("a_total", &window(0, 300), Timestamp::MAX);
    assert_eq!(world.cache.stats().steps_computed, 301 + 101);
}

#[test]
fn what_looks_ahead_changes_before_the_change() {
    let world = filled();
    let text = "a_total offset -10m";
    world.check(text, &window(0, 295), Timestamp::MAX);
    write(&world.db, &mut 300, &[(0, 1, 5)]);
    world.check(text, &window(0, 295), Timestamp::MAX);
    assert_eq!(world.cache.stats().steps_computed, 296 + 5, "steps from 291 on see minute 301");
}

#[test]
fn steps_that_have_not_settled_are_computed_each_time() {
    let world = filled();
    for _ in 0..2 {
        world.check("a_total", &window(0, 300), 290 * MINUTE);
    }
    assert_eq!(world.cache.stats().steps_computed, 301 + 10);
}

#[test]
fn remarks_are_kept_with_the_results_and_told_in_the_words_of_the_question() {
    let world = filled();
    for (text, position) in [("rate(h_gauge[5m])", "(1:6)"), ("  rate(h_gauge[5m])", "(1:8)")] {
        for _ in 0..2 {
            let mut batch = world.db.appender();
            let series = batch.series(&Labels::from_pairs([("__name__", "h_gauge")]).unwrap()).unwrap();
            (0..300).for_each(|minute| batch.append(series, minute * MINUTE, 1.0));
            batch.commit().unwrap();
            world.check(text, &window(0, 299), Timestamp::MAX);
            let infos = world.cached(text, &window(0, 299), Timestamp::MAX).annotations.infos(text);
            assert!(infos.len() == 1 && infos[0].ends_with(position), "{infos:?}");
        }
    }
    assert!(world.cache.stats().whole >= 2, "{:?}", world.cache);
}

#[test]
fn native_histograms_are_kept() {
    let world = filled();
    for _ in 0..2 {
        world.check("rate(h[5m])", &window(10, 200), Timestamp::MAX);
    }
    assert_eq!(world.cache.stats().whole, 1);
    let Value::Matrix(series) = world.cached("rate(h[5m])", &window(10, 200), Timestamp::MAX).value else {
        unreachable!("a range query gives a matrix")
    };
    assert!(series.iter().all(|series| !series.histograms.is_empty()) && series.len() == 2);
}

#[test]
fn memory_is_bounded() {
    let mut world = filled();
    world.cache = ResultCache::new(64 << 10);
    for offset in 0..300 {
        world.check("{__name__=~\"a_total|b_total\"}", &window(0, offset), Timestamp::MAX);
        world.check(&format!("a_total + {offset}"), &window(0, 300), Timestamp::MAX);
        assert!(world.cache.stats().bytes <= 64 << 10);
    }
    world.cache.clear();
    assert_eq!(world.cache.stats().bytes, 0);
}
