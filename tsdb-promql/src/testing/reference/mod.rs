//! A naive evaluator: the second referee beside Prometheus' scripts.
//!
//! It computes one step after the other and one series after the other, reads every sample anew for each, and is
//! written from the definition of the language. It shares the syntax tree, the matchers and the arithmetic of single
//! histograms with the engine, and nothing else: windows, sums, quantiles, extrapolation and joins are its own. Where
//! the engine's floats depend on the order of additions, the referee's are exact or nearly so.
//!
//! Deliberately not here: annotations, limits, `anchored` and `smoothed`, start timestamps, `info`, sorting by labels
//! and fractions of classic histograms. What it does not know it refuses with an error that begins with
//! [`UNKNOWN`], so that it never agrees by accident.

mod aggregate;
mod binary;
mod calendar;
mod function;
mod number;
mod over_time;
mod select;

use super::Evaluator;
use crate::annotation::Annotations;
use crate::ast::{Expr, UnaryOp};
use crate::failure::QueryError;
use crate::value::{
    HistogramPoint, QueryResult, QueryStats, ScalarPoint, SeriesPoints, StringPoint, Value, VectorSample,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::read::{Querier, Queryable};
use tsdb_core::{Labels, METRIC_NAME, TimeRange, Timestamp};

/// How messages about things begin that the referee does not know.
pub const UNKNOWN: &str = "the referee does not know";

/// The naive evaluator. Its settings mean what those of the engine mean.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// How far back an instant selector looks, ms.
    pub lookback_ms: i64,
    /// Step of a subquery that names none, ms.
    pub default_subquery_step_ms: i64,
    /// Keep metric names until the end of the query?
    pub delayed_name_removal: bool,
}

impl Default for Reference {
    fn default() -> Self {
        Self { lookback_ms: 300_000, default_subquery_step_ms: 60_000, delayed_name_removal: false }
    }
}

type Outcome<T> = Result<T, QueryError>;
type LabelMap = BTreeMap<String, String>;

/// A point of a series.
#[derive(Debug, Clone)]
enum Sample {
    Number(f64),
    Histogram(FloatHistogram),
}

/// An element of an instant vector.
#[derive(Debug, Clone)]
struct Element {
    labels: LabelMap,
    /// Has the name been dropped, to go at the end of the query?
    nameless: bool,
    sample: Sample,
}

/// A series of a range vector.
#[derive(Debug, Clone)]
struct Series {
    labels: LabelMap,
    nameless: bool,
    samples: Vec<(Timestamp, Sample)>,
}

/// What an expression is at one time.
#[derive(Debug)]
enum Evaluated {
    Scalar(f64),
    Vector(Vec<Element>),
    Matrix(Vec<Series>),
    Text(String),
}

/// One time of one query.
#[derive(Clone, Copy)]
struct Moment<'a> {
    settings: &'a Reference,
    querier: &'a dyn Querier,
    start: Timestamp,
    end: Timestamp,
    step_ms: i64,
    now: Timestamp,
}

fn unknown<T>(what: &str) -> Outcome<T> {
    Err(QueryError::execution(format!("{UNKNOWN} {what}")))
}

fn is_metadata(name: &str) -> bool {
    [METRIC_NAME, "__type__", "__unit__"].contains(&name)
}

impl Element {
    fn number(&self) -> Option<f64> {
        match self.sample {
            Sample::Number(number) => Some(number),
            Sample::Histogram(_) => None,
        }
    }
}

impl Moment<'_> {
    fn eval(&self, expr: &Expr) -> Outcome<Evaluated> {
        match expr {
            Expr::Number(number) => Ok(Evaluated::Scalar(number.value)),
            Expr::String(string) => Ok(Evaluated::Text(string.value.to_string_lossy())),
            Expr::Vector(selector) => self.instant_selector(selector).map(Evaluated::Vector),
            Expr::Matrix(matrix) => self.range_selector(matrix).map(Evaluated::Matrix),
            Expr::Subquery(subquery) => self.subquery(subquery).map(Evaluated::Matrix),
            Expr::Paren(paren) => self.eval(&paren.expr),
            Expr::Unary(unary) => match (unary.op, self.eval(&unary.expr)?) {
                (UnaryOp::Plus, value) => Ok(value),
                (UnaryOp::Minus, Evaluated::Scalar(number)) => Ok(Evaluated::Scalar(-number)),
                (UnaryOp::Minus, Evaluated::Vector(vector)) => self.negated(vector).map(Evaluated::Vector),
                (UnaryOp::Minus, _) => unknown("the negative of that"),
            },
            Expr::Binary(binary) => self.binary(binary),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate).map(Evaluated::Vector),
            Expr::Call(call) => self.call(call),
        }
    }

    fn negated(&self, mut vector: Vec<Element>) -> Outcome<Vec<Element>> {
        for element in &mut vector {
            match &mut element.sample {
                Sample::Number(number) => *number = -*number,
                Sample::Histogram(histogram) => {
                    histogram.mul(-1.0);
                    histogram.compact(0);
                }
            }
            self.drop_name(&mut element.labels, &mut element.nameless);
        }
        self.unique(vector)
    }

    fn scalar(&self, expr: &Expr) -> Outcome<f64> {
        match self.eval(expr)? {
            Evaluated::Scalar(number) => Ok(number),
            _ => unknown("a scalar that is none"),
        }
    }

    fn vector(&self, expr: &Expr) -> Outcome<Vec<Element>> {
        match self.eval(expr)? {
            Evaluated::Vector(vector) => Ok(vector),
            _ => unknown("a vector that is none"),
        }
    }

    fn matrix(&self, expr: &Expr) -> Outcome<Vec<Series>> {
        match self.eval(expr)? {
            Evaluated::Matrix(matrix) => Ok(matrix),
            _ => unknown("a range that is none"),
        }
    }

    fn text(&self, expr: &Expr) -> Outcome<String> {
        match self.eval(expr)? {
            Evaluated::Text(text) => Ok(text),
            _ => unknown("a text that is none"),
        }
    }

    fn drop_name(&self, labels: &mut LabelMap, nameless: &mut bool) {
        if self.settings.delayed_name_removal {
            *nameless = true;
        } else {
            labels.retain(|name, _| !is_metadata(name));
        }
    }

    /// `vector`, unless it holds a series twice.
    fn unique(&self, vector: Vec<Element>) -> Outcome<Vec<Element>> {
        if self.settings.delayed_name_removal || all_differ(&vector) {
            return Ok(vector);
        }
        Err(QueryError::same_labelset())
    }

    /// The value of the query.
    fn answer(&self, expr: &Expr) -> Outcome<Evaluated> {
        let Evaluated::Vector(mut vector) = self.eval(expr)? else { return self.eval(expr) };
        for element in vector.iter_mut().filter(|element| element.nameless) {
            element.labels.retain(|name, _| !is_metadata(name));
        }
        if all_differ(&vector) { Ok(Evaluated::Vector(vector)) } else { Err(QueryError::same_labelset()) }
    }
}

fn all_differ(vector: &[Element]) -> bool {
    let labels: std::collections::BTreeSet<_> = vector.iter().map(|element| &element.labels).collect();
    labels.len() == vector.len()
}

fn to_labels(labels: &LabelMap) -> Labels {
    let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Labels::from_pairs(pairs).unwrap_or_default()
}

fn result(value: Value) -> QueryResult {
    QueryResult { value, annotations: Annotations::new(), stats: QueryStats::default() }
}

fn all_time() -> TimeRange {
    TimeRange::new(i64::MIN / 4, i64::MAX / 4).unwrap_or(TimeRange::instant(0))
}

impl Evaluator for Reference {
    fn instant(&self, source: &dyn Queryable, expr: &Expr, at: Timestamp) -> Result<QueryResult, QueryError> {
        let querier = source.querier(all_time())?;
        let moment = Moment { settings: self, querier: &*querier, start: at, end: at, step_ms: 0, now: at };
        Ok(result(match moment.answer(expr)? {
            Evaluated::Scalar(value) => Value::Scalar(ScalarPoint { timestamp: at, value }),
            Evaluated::Text(value) => Value::String(StringPoint { timestamp: at, value }),
            Evaluated::Vector(vector) => {
                Value::Vector(vector.into_iter().map(|e| vector_sample(e, at)).collect())
            }
            Evaluated::Matrix(matrix) => Value::Matrix(points_of(matrix)),
        }))
    }

    fn range(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError> {
        let querier = source.querier(all_time())?;
        let mut rows: BTreeMap<LabelMap, Vec<(Timestamp, Sample)>> = BTreeMap::new();
        let mut now = start;
        while now <= end {
            let moment = Moment { settings: self, querier: &*querier, start, end, step_ms, now };
            match moment.answer(expr)? {
                Evaluated::Scalar(value) => {
                    rows.entry(LabelMap::new()).or_default().push((now, Sample::Number(value)));
                }
                Evaluated::Vector(vector) => {
                    for Element { labels, sample, .. } in vector {
                        rows.entry(labels).or_default().push((now, sample));
                    }
                }
                _ => return unknown("a range query of that type"),
            }
            now += step_ms;
        }
        let series = |(labels, samples)| Series { labels, nameless: false, samples };
        Ok(result(Value::Matrix(points_of(rows.into_iter().map(series).collect()))))
    }
}

fn vector_sample(element: Element, at: Timestamp) -> VectorSample {
    let labels = to_labels(&element.labels);
    match element.sample {
        Sample::Number(number) => VectorSample::new(labels, at, number),
        Sample::Histogram(histogram) => VectorSample::of_histogram(labels, at, Arc::new(histogram)),
    }
}

fn points_of(matrix: Vec<Series>) -> Vec<SeriesPoints> {
    let mut all: Vec<_> =
        matrix.into_iter().filter(|series| !series.samples.is_empty()).map(points).collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

fn points(series: Series) -> SeriesPoints {
    let mut points = SeriesPoints::new(to_labels(&series.labels), Vec::new(), Vec::new());
    for (timestamp, sample) in series.samples {
        match sample {
            Sample::Number(number) => {
                points.timestamps.push(timestamp);
                points.values.push(number);
            }
            Sample::Histogram(histogram) => {
                points.histograms.push(HistogramPoint { timestamp, histogram: Arc::new(histogram) });
            }
        }
    }
    points
}
