//! Queries with something to plan, small random stores, and the law that plans keep: with any choice of passes, a
//! query has the same result bit by bit, the same annotations at the same places, or the same error.

use super::random::Queries;
use std::sync::Arc;
use tsdb_core::histogram::{FloatHistogram, ResetHint};
use tsdb_core::testing::MemStore;
use tsdb_core::write::Appendable;
use tsdb_core::{Labels, STALE_NAN};
use tsdb_promql::testing::HistogramLiteral;
use tsdb_promql::{
    Engine, EngineOptions, ParseOptions, Pass, Passes, QueryError, QueryParams, QueryResult, ScopedThreads,
    SeriesPoints, Value, VectorSample,
};

/// A query in which something is equal, constant, fixed, joined or aggregated.
pub(crate) fn query(queries: &mut Queries) -> String {
    let join =
        ["+", "/", "-", ">", "== bool", "and", "or", "unless", "and on (i)", "* on (i)", "- ignoring (j)"];
    match queries.below(8) {
        0 => queries.next(),
        1 | 2 => {
            let operand = queries.next();
            format!("({operand}) {} ({operand})", queries.one(&join))
        }
        3 => {
            let (inner, outer) = (queries.next(), queries.one(&join));
            let doubled = format!("({inner} {} {inner})", queries.one(&join));
            format!("{doubled} {outer} {doubled}")
        }
        4 | 5 => fixed_join(queries),
        6 => invariant(queries),
        _ => {
            let (grouping, inner) =
                (queries.one(&["by (i)", "by (j, i)", "without (i)", ""]), queries.next());
            let outer = queries.one(&["sum", "max", "count", "stddev", "avg", "group", "min"]);
            let operand = match queries.below(5) {
                0 => format!("abs({inner})"),
                1 => format!("topk by (j) (1, {inner}) > 0"),
                2 => format!("{inner} and on (j) foo"),
                3 => format!("-({inner} unless on (i, j) bar)"),
                _ => format!("max_over_time(({inner})[2m:30s])"),
            };
            format!("{outer} {grouping} ({operand})")
        }
    }
}

/// A query of which parts are the same at all steps.
fn invariant(queries: &mut Queries) -> String {
    let window =
        format!("{}[3m]{}", selector(queries), queries.one(&[" @ 300", " @ end()", " @ start()", ""]));
    let inner = match queries.below(3) {
        0 => format!("rate({window})"),
        1 => format!("max_over_time({window})"),
        _ => format!("predict_linear({window}, 2 * 30)"),
    };
    match queries.below(6) {
        0 => format!("sum by (i) ({inner}) + 2 * 3 - 1"),
        1 => format!("topk(1 + 1, {inner})"),
        2 => format!("sort_desc({inner})"),
        3 => format!("limitk(2, {inner})"),
        4 => format!("foo * scalar({inner})"),
        _ => format!("max_over_time(({inner})[2m:30s] @ 400) or vector(1 < bool 2)"),
    }
}

fn selector(queries: &mut Queries) -> String {
    let name = queries.one(&["foo", "bar", "c_total", "gap", "neg", "h_bucket", "{__name__=~\"foo|bar\"}"]);
    let matchers = queries.one(&["", "{i=\"1\"}", "{i=\"2\",j=\"a\"}", "{j=\"\"}", "{i!=\"1\"}"]);
    if name.starts_with('{') { name.to_owned() } else { format!("{name}{matchers}") }
}

/// A join of which one side or both fix a label.
fn fixed_join(queries: &mut Queries) -> String {
    let matching = queries.one(&[
        "on (i)",
        "on (i) group_left ()",
        "on (i) group_right ()",
        "on (i, j)",
        "ignoring (j)",
        "",
        "on (i) group_left (j)",
        "ignoring (le)",
    ]);
    let operator = queries.one(&["+", "*", "> bool", "<", "and", "unless", "or"]);
    let matching = if ["and", "unless", "or"].contains(&operator) {
        matching.split(" group").next().unwrap_or("")
    } else {
        matching
    };
    let (left, right) = (side(queries), side(queries));
    format!("{left} {operator} {matching} {right}")
}

fn side(queries: &mut Queries) -> String {
    let selector = selector(queries);
    let series = match queries.below(8) {
        0 => format!("rate({selector}[2m])"),
        1 => format!("abs({selector})"),
        2 => format!("({selector} > 1)"),
        3 => format!("sum_over_time({selector}[1m])"),
        4 => format!("max_over_time({selector}[2m:30s])"),
        5 => format!("quantile_over_time({}, {selector}[1m])", queries.one(&["0.5", "2"])),
        _ => selector,
    };
    match queries.below(6) {
        0 | 1 => format!("sum by (i) ({series})"),
        2 => format!("topk by (i) (1, {series})"),
        3 => format!("count without (j) ({series})"),
        _ => series,
    }
}

/// A store of a few series under the names that the queries know, some with native histograms.
pub(crate) fn data(queries: &mut Queries) -> MemStore {
    let store = MemStore::new();
    let with_histograms = queries.below(4) == 0;
    let mut appender = store.appender();
    for _ in 0..queries.below(12) {
        let labels = labels(queries);
        let Ok(series) = appender.series(&labels) else { continue };
        let mut time = i64::try_from(queries.below(100_000)).unwrap_or(0);
        let mut value = 0.0;
        for _ in 0..queries.below(40) {
            time += queries.one(&[30_000, 30_000, 30_000, 29_999, 60_000, 400_000]);
            value = next_value(queries, value);
            if with_histograms && queries.below(3) == 0 {
                let appended = appender.append_histogram(series, time, histogram(queries, value));
                assert!(appended.is_ok());
            } else {
                appender.append(series, time, value);
            }
        }
    }
    drop(appender.commit());
    store
}

fn labels(queries: &mut Queries) -> Labels {
    let name = queries.one(&["foo", "foo", "bar", "c_total", "gap", "st", "h_bucket", "neg"]);
    let mut pairs = vec![("__name__", name), ("i", queries.one(&["1", "2", "3"]))];
    if name == "h_bucket" {
        pairs.push(("le", queries.one(&["0.1", "0.5", "1", "+Inf", "x"])));
    }
    match queries.one(&["", "", "a", "b"]) {
        "" => {}
        j => pairs.push(("j", j)),
    }
    if queries.below(12) == 0 {
        pairs.push(("__type__", queries.one(&["counter", "gauge"])));
    }
    Labels::from_pairs(pairs).unwrap_or_default()
}

fn next_value(queries: &mut Queries, last: f64) -> f64 {
    match queries.below(12) {
        0 => 0.0,
        1 => -1.5,
        2 => queries.one(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -0.0]),
        3 => STALE_NAN,
        4 => last,
        _ if last.is_finite() => last + queries.one(&[1.0, 0.1, 5.0]),
        _ => 1.0,
    }
}

fn histogram(queries: &mut Queries, value: f64) -> FloatHistogram {
    let (schema, custom_values) = queries.one(&[(0, &[][..]), (1, &[][..]), (-53, &[1.0, 2.0][..])]);
    let literal = HistogramLiteral {
        schema,
        count: 4.0,
        sum: 5.0,
        buckets: vec![1.0, 2.0, 1.0],
        custom_values: custom_values.to_vec(),
        reset_hint: (queries.below(4) == 0).then_some(ResetHint::Gauge),
        ..HistogramLiteral::default()
    };
    let mut histogram = literal.histogram().unwrap();
    if value.is_finite() && value > 0.0 {
        histogram.mul(value);
    }
    histogram
}

/// The answer as a text that differs if any bit does.
fn outcome(answer: Result<QueryResult, QueryError>) -> Result<String, String> {
    let result = answer.map_err(|error| error.to_string())?;
    let mut annotations: Vec<_> =
        result.annotations.iter().map(|(annotation, span)| format!("{annotation} at {span:?}")).collect();
    annotations.sort();
    Ok(format!("{}\n{annotations:#?}", value_text(&result.value)))
}

fn value_text(value: &Value) -> String {
    let number = |value: f64| format!("{value} {:x}", value.to_bits());
    match value {
        Value::Scalar(point) => format!("{} {}", point.timestamp, number(point.value)),
        Value::Vector(samples) => {
            let sample =
                |one: &VectorSample| format!("{} {} {:?}\n", one.labels, number(one.value), one.histogram);
            samples.iter().map(sample).collect()
        }
        Value::Matrix(all) => {
            let points = |one: &SeriesPoints| {
                let values: Vec<_> = one.values.iter().map(|value| number(*value)).collect();
                format!("{} {:?} {values:?} {:?}\n", one.labels, one.timestamps, one.histograms)
            };
            all.iter().map(points).collect()
        }
        other => format!("{other:?}"),
    }
}

/// Compares the answers of `query` with many choices of passes.
///
/// # Errors
/// Two that differ, as a text for people.
pub(crate) fn check(
    store: &MemStore,
    query: &str,
    params: &QueryParams,
    delayed: bool,
) -> Result<(), String> {
    let answer = |passes: Passes| {
        let mut options = EngineOptions::default();
        options.passes = passes;
        options.delayed_name_removal = delayed;
        options.parse = ParseOptions::all_features();
        options.executor = Arc::new(ScopedThreads::new(1));
        outcome(Engine::new(options).query(store, query, params))
    };
    let plain = answer(Passes::none());
    let alone = Pass::ALL.map(|pass| Passes::none().with(pass));
    let without = Pass::ALL.map(|pass| Passes::all().without(pass));
    for passes in [Passes::all()].into_iter().chain(alone).chain(without) {
        let found = answer(passes);
        if found != plain {
            return Err(format!("{query}\n{params:?}\n{passes:?}:\n{found:#?}\nwithout passes:\n{plain:#?}"));
        }
    }
    Ok(())
}
