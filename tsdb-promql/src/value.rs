//! What a query answers: values, and what the answer cost.
//!
//! A point of a vector or a matrix is a number or a native histogram. Histograms stand beside the columns of numbers,
//! not inside them.

use crate::annotation::Annotations;
use core::time::Duration;
use std::sync::Arc;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::{Labels, STALE_NAN, Timestamp};

/// The answer of a query.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QueryResult {
    /// The value of the expression.
    pub value: Value,
    /// Warnings and remarks about the evaluation.
    pub annotations: Annotations,
    /// What the evaluation cost.
    pub stats: QueryStats,
}

impl QueryResult {
    /// A result that was put together of others.
    pub const fn new(value: Value, annotations: Annotations, stats: QueryStats) -> Self {
        Self { value, annotations, stats }
    }
}

/// A value of one of the four types of the language.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// One number at one time.
    Scalar(ScalarPoint),
    /// A string at one time.
    String(StringPoint),
    /// At most one sample per series, all at one time. Ordered if the query asks for an order, else by labels.
    Vector(Vec<VectorSample>),
    /// Series with points over time, sorted by labels.
    Matrix(Vec<SeriesPoints>),
}

/// A number at a time.
#[derive(Debug, Clone, Copy)]
pub struct ScalarPoint {
    /// When, in ms.
    pub timestamp: Timestamp,
    /// How much.
    pub value: f64,
}

/// A string at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringPoint {
    /// When, in ms.
    pub timestamp: Timestamp,
    /// The text.
    pub value: String,
}

/// One element of an instant vector.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VectorSample {
    /// Identity of the series.
    pub labels: Labels,
    /// Time of the evaluation in ms.
    pub timestamp: Timestamp,
    /// Value; the stale marker if the element is a histogram.
    pub value: f64,
    /// The histogram, if the element is one.
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// A histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPoint {
    /// When, in ms.
    pub timestamp: Timestamp,
    /// The histogram.
    pub histogram: Arc<FloatHistogram>,
}

/// One series of a matrix: its numbers in two columns of equal length, and its histograms, timestamps ascending. No
/// time has both a number and a histogram.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SeriesPoints {
    /// Identity of the series.
    pub labels: Labels,
    /// Times in ms.
    pub timestamps: Vec<Timestamp>,
    /// Values.
    pub values: Vec<f64>,
    /// Histograms; mostly none.
    pub histograms: Vec<HistogramPoint>,
}

impl SeriesPoints {
    /// A series of these points. Surplus elements of the longer column are dropped.
    pub fn new(labels: Labels, mut timestamps: Vec<Timestamp>, mut values: Vec<f64>) -> Self {
        let len = timestamps.len().min(values.len());
        timestamps.truncate(len);
        values.truncate(len);
        Self { labels, timestamps, values, histograms: Vec::new() }
    }
}

impl VectorSample {
    /// A sample of the series `labels`.
    pub fn new(labels: Labels, timestamp: Timestamp, value: f64) -> Self {
        Self { labels, timestamp, value, histogram: None }
    }

    /// A sample of the series `labels` that is a histogram.
    pub fn of_histogram(labels: Labels, timestamp: Timestamp, histogram: Arc<FloatHistogram>) -> Self {
        Self { labels, timestamp, value: STALE_NAN, histogram: Some(histogram) }
    }
}

impl Value {
    /// Name of the type as the Prometheus API writes it in `resultType`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "scalar",
            Self::String(_) => "string",
            Self::Vector(_) => "vector",
            Self::Matrix(_) => "matrix",
        }
    }
}

/// Values are equal bit by bit: the results of two evaluations can be compared although NaN equals nothing.
impl PartialEq for ScalarPoint {
    fn eq(&self, other: &Self) -> bool {
        self.timestamp == other.timestamp && self.value.to_bits() == other.value.to_bits()
    }
}

impl PartialEq for VectorSample {
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
            && self.timestamp == other.timestamp
            && self.value.to_bits() == other.value.to_bits()
            && self.histogram == other.histogram
    }
}

impl PartialEq for SeriesPoints {
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
            && self.timestamps == other.timestamps
            && self.values.iter().map(|v| v.to_bits()).eq(other.values.iter().map(|v| v.to_bits()))
            && self.histograms == other.histograms
    }
}

/// What an evaluation cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryStats {
    /// Samples read from storage.
    pub samples_read: u64,
    /// Series selected in storage, counted once per selector.
    pub series_selected: u64,
    /// Largest number of samples held at one time.
    pub peak_samples: u64,
    /// Memory of these, the points of subqueries among them, bytes.
    pub peak_bytes: u64,
    /// Time spent on the plan.
    pub planning: Duration,
    /// Time spent on finding the series.
    pub selecting: Duration,
    /// Time spent on reading and computing.
    pub evaluating: Duration,
    /// What each operator did, if the query asked for it: see [`QueryParams`](crate::QueryParams).
    pub operators: Vec<OperatorStats>,
}

/// What one operator of a plan did. Times include the operators below it and are sums over threads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorStats {
    /// Its line in the plan.
    pub operator: String,
    /// How many operators use it, one through the other.
    pub depth: u32,
    /// Time until it was ready; aggregations do all their work then.
    pub build: Duration,
    /// Time spent on its rows.
    pub rows_time: Duration,
    /// Rows computed, each as often as it was asked for.
    pub rows: u64,
}
