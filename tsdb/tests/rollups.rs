//! Windows in the place of samples: over aligned ranges PromQL answers from them what it answers from samples.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fault, Loss, SimFs};
use tsdb::{Appendable, Db, Labels, Options, RollupLevel, Timestamp};
use tsdb_core::histogram::{FloatHistogram, FloatParts, Span};
use tsdb_core::testing::ManualClock;
use tsdb_core::{STALE_NAN, is_stale_nan};
use tsdb_promql::{Engine, EngineOptions, ParseOptions, Pass, Passes, QueryParams, QueryResult, Value};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// 288 of them are 48 minutes, and 288 of the longer ones are 4 hours and 48 minutes.
const SHORT: i64 = 10 * SECOND;
const LONG: i64 = MINUTE;
/// Where the samples begin and end. The end of the third hour is a multiple of everything.
const START: Timestamp = 1_699_920_000_000;
const LENGTH: i64 = 6 * HOUR;

/// One value of a series, or a histogram of a schema with so many observations.
#[derive(Debug, Clone, Copy)]
enum Point {
    Number(f64),
    Histogram(i32, u32),
}

/// The name of a series, with a label behind a `|` if it has one more, and its points.
type Series = (&'static str, Vec<(Timestamp, Point)>);

fn options(retention_ms: Option<i64>, clock: &Arc<ManualClock>) -> Options {
    Options {
        block_range_ms: 20 * MINUTE,
        retention_ms,
        rollups: vec![RollupLevel::new(SHORT, 0, None), RollupLevel::new(LONG, 0, None)],
        future_skew_ms: None,
        background: false,
        clock: Arc::clone(clock) as Arc<_>,
        ..Options::default()
    }
}

fn histogram(schema: i32, observations: u32) -> FloatHistogram {
    let count = f64::from(observations);
    FloatHistogram::new(FloatParts {
        schema,
        count: 3.0 * count,
        sum: 0.5 * count,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_counts: vec![2.0 * count, count],
        ..FloatParts::default()
    })
    .unwrap()
}

fn labels(series: &str) -> Labels {
    let (name, more) = series.split_once('|').unwrap_or((series, ""));
    let pairs = [("__name__", name), ("job", "test")];
    Labels::from_pairs(pairs.into_iter().chain(more.split_once('='))).unwrap()
}

fn append(db: &Db, series: &[Series]) {
    let mut all: Vec<(Timestamp, &str, Point)> =
        series.iter().flat_map(|(name, points)| points.iter().map(move |(t, p)| (*t, *name, *p))).collect();
    all.sort_by_key(|(time, _, _)| *time);
    for batch in all.chunks(5000) {
        let mut appender = db.appender();
        for (time, name, point) in batch {
            let reference = appender.series(&labels(name)).unwrap();
            match point {
                Point::Number(value) => appender.append(reference, *time, *value),
                Point::Histogram(schema, n) => {
                    appender.append_histogram(reference, *time, histogram(*schema, *n)).unwrap();
                }
            }
        }
        let report = appender.commit().unwrap();
        assert_eq!(report.refused, vec![]);
    }
}

/// A database with everything in blocks and in windows but the last hour or so.
fn database(series: &[Series]) -> Db {
    opened(&Arc::new(SimFs::new()), series, options(None, &clock()))
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START + LENGTH))
}

fn opened(fs: &Arc<SimFs>, series: &[Series], options: Options) -> Db {
    let db = Db::open_on(Arc::clone(fs) as Arc<_>, Path::new("/data"), options).unwrap();
    append(&db, series);
    maintain(&db);
    db
}

/// A database that has dropped most of its samples since.
fn aged(series: &[Series], aged: Options) -> Db {
    let fs = Arc::new(SimFs::new());
    opened(&fs, series, Options { retention_ms: None, ..aged.clone() }).close().unwrap();
    let db = opened(&fs, &[], aged);
    (0..3).for_each(|_| db.maintain().unwrap());
    db
}

fn maintain(db: &Db) {
    let mut before = None;
    while before != Some(db.stats().rollups_made) {
        before = Some(db.stats().rollups_made);
        db.maintain().unwrap();
    }
}

fn engine(passes: Passes) -> Engine {
    let mut options = EngineOptions::default();
    options.passes = passes;
    options.parse = ParseOptions::all_features();
    Engine::new(options)
}

/// What `query` gives at each `step` from `start` to the end, from windows if they are to be read.
fn ask(db: &Db, query: &str, (start, step): (Timestamp, i64), windows: bool) -> QueryResult {
    let passes = if windows { Passes::all() } else { Passes::all().without(Pass::ReadWindows) };
    engine(passes).query(db, query, &QueryParams::range(start, START + LENGTH, step)).unwrap()
}

fn resolution(db: &Db, query: &str, (start, step): (Timestamp, i64)) -> Option<i64> {
    let params = QueryParams::range(start, START + LENGTH, step);
    let explanation = engine(Passes::all()).explain(db, query, &params).unwrap();
    explanation.selectors[0].resolution_ms
}

type Points = Vec<(String, Timestamp, Result<f64, String>)>;

/// The points of a result, in a form that can be compared.
fn points(result: &QueryResult) -> Points {
    let Value::Matrix(series) = &result.value else { panic!("{:?}", result.value) };
    let mut all = Vec::new();
    for one in series {
        let name = one.labels.to_string();
        let numbers = one.timestamps.iter().zip(&one.values);
        all.extend(numbers.map(|(time, value)| (name.clone(), *time, Ok(*value))));
        let histograms = one.histograms.iter();
        all.extend(
            histograms.map(|point| (name.clone(), point.timestamp, Err(format!("{:?}", point.histogram)))),
        );
    }
    all
}

/// Asserts that both are the same: bit for bit, or as near to each other as `tolerance`, relative.
fn assert_same(from_windows: &QueryResult, from_samples: &QueryResult, tolerance: f64, query: &str) {
    assert_same_points(&points(from_windows), &points(from_samples), tolerance, query);
}

/// As [`assert_same`], but for one thing: behind a stale marker samples do not know whether the histogram began anew, and
/// windows, which do not keep the marker, know that it did not.
fn assert_same_but_for_hints(from_windows: &QueryResult, from_samples: &QueryResult, query: &str) {
    let unhinted = |result| -> Points {
        let text = |text: String| text.replace("hint: NotReset", "hint: Unknown");
        points(result).into_iter().map(|(name, time, value)| (name, time, value.map_err(text))).collect()
    };
    assert_same_points(&unhinted(from_windows), &unhinted(from_samples), 0.0, query);
}

fn assert_same_points(a: &Points, b: &Points, tolerance: f64, query: &str) {
    assert_eq!(a.len(), b.len(), "{query}: {} points instead of {}", a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert_eq!((&x.0, x.1), (&y.0, y.1), "{query}");
        match (&x.2, &y.2) {
            (Ok(x), Ok(y)) if x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()) => {}
            (Ok(p), Ok(q)) => {
                assert!((p - q).abs() <= tolerance * q.abs(), "{query} at {}: {p} instead of {q}", x.1);
            }
            (p, q) => assert_eq!(p, q, "{query} at {}", x.1),
        }
    }
}

/// Functions and how exact they are.
fn functions(name: &str) -> Vec<(&'static str, f64)> {
    let common = [
        "last_over_time",
        "count_over_time",
        "min_over_time",
        "max_over_time",
        "present_over_time",
        "absent_over_time",
        "ts_of_last_over_time",
    ];
    let counter = ["rate", "increase", "delta", "resets", "first_over_time", "ts_of_first_over_time"];
    let mut all: Vec<_> = common.iter().map(|function| (*function, 0.0)).collect();
    match name {
        "requests_total" | "seconds_total" | "latency" => {
            all.extend(counter.iter().map(|function| (*function, 0.0)));
        }
        "level" => all.extend([("sum_over_time", 0.0), ("avg_over_time", 0.0)]),
        "ratio" => all.extend([("sum_over_time", 1e-12), ("avg_over_time", 1e-12)]),
        _ => {}
    }
    all
}

#[derive(Debug, Clone)]
struct Step {
    gap: i64,
    draw: f64,
    what: u8,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![60 => Just(15 * SECOND), 20 => 14_990..15_010_i64, 1 => MINUTE..30 * MINUTE];
    let step = (gap, 0.0..1.0_f64, any::<u8>()).prop_map(|(gap, draw, what)| Step { gap, draw, what });
    // So many that they reach the end: windows are made of what is old.
    prop::collection::vec(step, 1440..1500)
}

/// One scrape after the other of a counter, one of fractions, two gauges and a native histogram.
fn fleet(steps: &[Step]) -> Vec<Series> {
    let names = ["requests_total", "seconds_total", "level", "ratio", "latency"];
    let mut all: Vec<Series> = names.map(|name| (name, Vec::new())).into();
    let (mut time, mut count, mut seconds, mut level) = (START, 1000.0, 0.37, 50.0_f64);
    for step in steps {
        time += step.gap;
        if time > START + LENGTH {
            break;
        }
        let draw = (step.draw * 100.0).floor();
        if step.what < 3 {
            (count, seconds) = (draw / 4.0, 0.01);
        }
        (count, seconds, level) = (count + draw.floor(), seconds + step.draw, level + draw - 49.0);
        let is_stale = (3..6).contains(&step.what);
        let values = [count.floor(), seconds, level, step.draw * 7.0];
        for ((_, points), value) in all.iter_mut().zip(values) {
            let is_missing = (6..9).contains(&step.what);
            if !is_missing {
                points.push((time, Point::Number(if is_stale { STALE_NAN } else { value })));
            }
        }
        let observations = count as u32 / 20;
        all[4].1.push((time, Point::Histogram(if observations > 500 { 1 } else { 2 }, observations)));
    }
    all
}

/// Buckets of a classic histogram by their bounds.
const BUCKETS: [(&str, f64); 5] = [
    ("duration_bucket|le=0.1", 0.1),
    ("duration_bucket|le=0.5", 0.5),
    ("duration_bucket|le=1", 1.0),
    ("duration_bucket|le=2.5", 2.5),
    ("duration_bucket|le=+Inf", f64::INFINITY),
];

/// One scrape after the other of a classic histogram and of two native ones with different schemas, all of which begin
/// anew at the same time.
fn histograms(steps: &[Step]) -> Vec<Series> {
    let names = ["duration_count", "duration_sum", "size|instance=a", "size|instance=b"];
    let mut all: Vec<Series> =
        BUCKETS.iter().map(|bucket| bucket.0).chain(names).map(|name| (name, Vec::new())).collect();
    let (mut time, mut counts, mut sum, mut observed) = (START, [0.0; 5], 0.0, 0);
    for step in steps {
        time += step.gap;
        if time > START + LENGTH {
            break;
        }
        if step.what < 3 {
            (counts, sum, observed) = ([0.0; 5], 0.0, 0);
        }
        // At first there is nothing: so whatever is not nothing falls, and all that begins anew is seen to.
        let (many, few) = if step.what < 3 { (0, 0) } else { (step.what % 5, step.what % 3) };
        for (value, times) in [(step.draw * 3.0, many), ((step.draw * 37.0).fract() * 0.6, few)] {
            let reached = BUCKETS.iter().zip(&mut counts).filter(|((_, bound), _)| value <= *bound);
            reached.for_each(|(_, count)| *count += f64::from(times));
            sum += value * f64::from(times);
            observed += u32::from(times);
        }
        let numbers = counts.into_iter().chain([counts[4], sum]).map(Point::Number);
        let natives = [Point::Histogram(1, observed), Point::Histogram(3, observed / 2)];
        let is_missing = (6..9).contains(&step.what);
        for ((_, points), point) in all.iter_mut().zip(numbers.chain(natives)).filter(|_| !is_missing) {
            let is_stale = (3..6).contains(&step.what);
            points.push((time, if is_stale { Point::Number(STALE_NAN) } else { point }));
        }
    }
    all
}

/// Asserts that no bucket of a classic histogram has less than one below it.
fn assert_cumulative(result: &QueryResult, query: &str) {
    let Value::Matrix(series) = &result.value else { panic!("{:?}", result.value) };
    let mut times: BTreeMap<Timestamp, Vec<(f64, f64)>> = BTreeMap::new();
    for one in series {
        let bound: f64 = one.labels.get("le").unwrap().parse().unwrap();
        for (time, count) in one.timestamps.iter().zip(&one.values) {
            times.entry(*time).or_default().push((bound, *count));
        }
    }
    assert!(times.len() > 50, "{query}: {} times", times.len());
    for (time, mut buckets) in times {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let is_cumulative = buckets.is_sorted_by(|a, b| a.1 <= b.1 * (1.0 + 1e-12));
        assert!(buckets.len() == BUCKETS.len() && is_cumulative, "{query} at {time}: {buckets:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn over_aligned_ranges_windows_answer_what_samples_answer(steps in any_steps()) {
        let series = fleet(&steps);
        let db = database(&series);
        prop_assert!(db.stats().rollups_made >= 4);
        for (name, _) in &series {
            for (range, times) in [("1m", (START + HOUR, MINUTE)), ("5m", (START, 2 * MINUTE)), ("30s", (START, 10 * SECOND))] {
                for (function, tolerance) in functions(name) {
                    let query = format!("{function}({name}[{range}])");
                    let expected = if range == "30s" { SHORT } else { LONG };
                    prop_assert_eq!(resolution(&db, &query, times), Some(expected), "{}", query);
                    let (from_windows, from_samples) = (ask(&db, &query, times, true), ask(&db, &query, times, false));
                    assert_same(&from_windows, &from_samples, tolerance, &query);
                    prop_assert_eq!(&from_windows.annotations, &from_samples.annotations);
                }
                for query in [(*name).to_owned(), format!("timestamp({name})"), format!("absent({name})")] {
                    assert_same(&ask(&db, &query, times, true), &ask(&db, &query, times, false), 0.0, &query);
                }
            }
        }
    }

    #[test]
    fn what_windows_do_not_answer_exactly_comes_from_samples_as_long_as_they_are_there(steps in any_steps()) {
        let series = fleet(&steps);
        let db = database(&series);
        for query in [
            "quantile_over_time(0.5, level[2m])", "rate(level[1m])", "sum_over_time(requests_total[1m])",
            "changes(level[1m])", "irate(requests_total[1m])", "level", "idelta(level[1m])", "deriv(level[5m])",
            "predict_linear(level[5m], 60)", "stddev_over_time(ratio[1m])", "stdvar_over_time(level[1m])",
            "mad_over_time(level[2m])", "double_exponential_smoothing(ratio[5m], 0.5, 0.5)",
            "ts_of_max_over_time(level[1m])", "first_over_time(level[1m])", "increase(ratio[1m])",
            "avg_over_time(seconds_total[1m])", "sum_over_time(latency[1m])", "changes(latency[1m])",
            "rate(requests_total[1m] offset 90s)", "max_over_time(level[1m] offset 7s)",
        ] {
            for times in [(START + HOUR, MINUTE), (START + HOUR + 1, 37 * SECOND)] {
                assert_same(&ask(&db, query, times, true), &ask(&db, query, times, false), 0.0, query);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn buckets_and_native_histograms_are_the_same_from_windows_and_le_stays_consistent(steps in any_steps()) {
        let db = database(&histograms(&steps));
        for (range, times) in [("1m", (START + HOUR, MINUTE)), ("5m", (START, 2 * MINUTE)), ("30s", (START, 10 * SECOND))] {
            let (increase, rate) = (format!("increase(duration_bucket[{range}])"), format!("rate(size[{range}])"));
            for query in [
                increase.clone(),
                "duration_bucket".to_owned(),
                format!("histogram_quantile(0.9, rate(duration_bucket[{range}]))"),
                format!("histogram_quantile(0.5, sum by (le) ({increase}))"),
                format!("rate(duration_sum[{range}]) / rate(duration_count[{range}])"),
                rate.clone(),
                format!("sum({rate})"),
                format!("histogram_quantile(0.9, sum({rate}))"),
                format!("histogram_avg(increase(size[{range}]))"),
                format!("histogram_fraction(0, 2, {rate})"),
                "sum(size)".to_owned(),
                "histogram_count(size)".to_owned(),
            ] {
                let expected = if range == "30s" { SHORT } else { LONG };
                prop_assert_eq!(resolution(&db, &query, times), Some(expected), "{}", query);
                let (from_windows, from_samples) = (ask(&db, &query, times, true), ask(&db, &query, times, false));
                assert_same_but_for_hints(&from_windows, &from_samples, &query);
                prop_assert_eq!(&from_windows.annotations, &from_samples.annotations, "{}", query);
                if query == increase || query == "duration_bucket" {
                    assert_cumulative(&from_windows, &query);
                }
            }
        }
    }
}

/// A gauge and a counter without gaps.
fn steady() -> Vec<Series> {
    let times = (1..LENGTH / (15 * SECOND)).map(|index| (START + index * 15 * SECOND, index as f64));
    let level = times.clone().map(|(time, index)| (time, Point::Number((index * 31.0) % 97.0))).collect();
    let count = times.map(|(time, index)| (time, Point::Number(index * 3.0))).collect();
    vec![("level", level), ("requests_total", count)]
}

fn warnings(result: &QueryResult) -> (Vec<String>, Vec<String>) {
    (result.annotations.warnings(""), result.annotations.infos(""))
}

#[test]
fn what_is_past_the_retention_of_samples_is_answered_from_windows_and_the_answer_says_so() {
    let all = database(&steady());
    let db = aged(&steady(), options(Some(2 * HOUR), &clock()));
    let old = (START + HOUR, MINUTE);
    for query in ["max_over_time(level[1m])", "avg_over_time(level[5m])", "rate(requests_total[5m])", "level"]
    {
        let result = ask(&db, query, old, true);
        assert_same(&result, &ask(&all, query, old, false), 1e-12, query);
        let (warned, noted) = warnings(&result);
        assert!(warned.len() == 1 && warned[0].contains("retention of samples"), "{query}: {warned:?}");
        assert_eq!(noted, [""; 0], "{query}");
    }
    let result = ask(&db, "quantile_over_time(0.5, level[5m])", old, true);
    let (warned, noted) = warnings(&result);
    assert!(!points(&result).is_empty() && warned.len() == 1);
    assert!(noted.len() == 1 && noted[0].contains("approximation"), "{noted:?}");
    let recent = (START + LENGTH - 30 * MINUTE, MINUTE);
    assert_eq!(warnings(&ask(&db, "max_over_time(level[1m])", recent, true)), (vec![], vec![]));
}

#[test]
fn windows_go_when_they_are_past_their_own_retention() {
    let levels = vec![RollupLevel::new(SHORT, 0, Some(3 * HOUR))];
    let db = aged(&steady(), Options { rollups: levels, ..options(Some(2 * HOUR), &clock()) });
    let query = "max_over_time(level[10s])";
    let oldest = |query| points(&ask(&db, query, (START, 10 * SECOND), true)).first().map(|point| point.1);
    assert!(oldest(query).is_some_and(|time| time > START + 2 * HOUR), "{:?}", oldest(query));
}

#[test]
fn late_samples_have_their_windows_made_anew() {
    let mut series = steady();
    let late: Vec<(Timestamp, Point)> = vec![(START + LENGTH - 70 * MINUTE + 1, Point::Number(4711.0))];
    let db = database(&series);
    let query = "max_over_time(level[1m])";
    let times = (START + 4 * HOUR, MINUTE);
    append(&db, &[("level", late.clone())]);
    db.flush().unwrap();
    let made = db.stats().rollups_made;
    maintain(&db);
    assert!(db.stats().rollups_made > made);
    series[0].1.extend(late);
    let result = ask(&db, query, times, true);
    assert!(points(&result).iter().any(|point| point.2 == Ok(4711.0)));
    assert_same(&result, &ask(&db, query, times, false), 0.0, query);
}

#[test]
fn stale_markers_are_gaps_of_windows_too() {
    let mut series = steady();
    let gone = START + 2 * HOUR + 55 * SECOND;
    series[0].1.retain(|(time, _)| *time < gone || *time > gone + 20 * MINUTE);
    series[0].1.push((gone, Point::Number(STALE_NAN)));
    series[0].1.sort_by_key(|(time, _)| *time);
    assert!(is_stale_nan(STALE_NAN));
    let db = database(&series);
    let times = (START + HOUR, MINUTE);
    assert_eq!(resolution(&db, "level", times), Some(LONG));
    assert_same(&ask(&db, "level", times, true), &ask(&db, "level", times, false), 0.0, "level");
}

#[test]
fn a_plan_of_retention_is_shown_and_one_that_deletes_nearly_everything_is_refused() {
    let fs = Arc::new(SimFs::new());
    let keep = Options { rollups: Vec::new(), ..options(None, &clock()) };
    opened(&fs, &steady(), keep.clone()).close().unwrap();
    let mistyped = Options { retention_ms: Some(30 * MINUTE), ..keep.clone() };
    let db = opened_anyway(&fs, mistyped.clone());
    let plan = db.retention_plan().unwrap();
    assert!(plan.is_refused && plan.steps.len() >= 12 && plan.steps.iter().all(|step| step.is_past));
    let blocks = db.stats().blocks;
    let error = (0..3).map(|_| db.maintain().unwrap_err()).next_back().unwrap();
    assert!(error.to_string().contains("max_expired_percent"), "{error}");
    assert_eq!(db.stats().blocks, blocks);
    db.close().unwrap();
    let dry = tsdb::retention::plan(&*fs, Path::new("/data"), &mistyped).unwrap();
    assert!(dry.is_refused && !dry.steps.is_empty());
    let db = opened_anyway(&fs, Options { max_expired_percent: 100, ..mistyped });
    (0..3).for_each(|_| db.maintain().unwrap());
    assert!(db.stats().blocks < blocks / 2 && db.retention_plan().unwrap().steps.is_empty());
}

fn opened_anyway(fs: &Arc<SimFs>, options: Options) -> Db {
    Db::open_on(Arc::clone(fs) as Arc<_>, Path::new("/data"), options).unwrap()
}

#[test]
fn beyond_a_size_the_oldest_blocks_go() {
    let all = database(&steady());
    let bytes = all.stats().block_bytes;
    let db = aged(&steady(), Options { max_total_bytes: Some(bytes / 2), ..options(None, &clock()) });
    let left = db.stats().block_bytes;
    assert!(left <= bytes * 6 / 10 && left > bytes / 4, "{left} of {bytes}");
}

#[test]
fn a_crash_while_windows_are_made_leaves_the_samples_and_the_windows_come_later() {
    let series = steady();
    let fs = SimFs::new();
    let without = Options { rollups: Vec::new(), ..options(None, &clock()) };
    opened(&Arc::new(fs.clone()), &series, without.clone()).close().unwrap();
    let before = fs.op_count();
    let made = opened(&Arc::new(fs.clone()), &[], options(None, &clock()));
    let (query, times) = ("rate(requests_total[1m])", (START + HOUR, MINUTE));
    let expected = ask(&made, query, times, true);
    made.close().unwrap();
    let after = fs.op_count();
    for cut in (before..after).step_by(((after - before) / 25).max(1)) {
        let fs = SimFs::new();
        opened(&Arc::new(fs.clone()), &series, without.clone()).close().unwrap();
        fs.inject(cut, Fault::Crash);
        let db = Db::open_on(Arc::new(fs.clone()), Path::new("/data"), options(None, &clock()));
        if let Ok(db) = db {
            (0..8).for_each(|_| drop(db.maintain()));
            drop(db);
        }
        let fs = Arc::new(fs.after_power_cut(Loss::Random(cut as u64)));
        let db = opened(&fs, &[], options(None, &clock()));
        assert_eq!(resolution(&db, query, times), Some(LONG), "cut at {cut}");
        assert_same(&ask(&db, query, times, true), &expected, 0.0, query);
        assert_same(&ask(&db, query, times, false), &expected, 0.0, query);
    }
}
