//! The contract of operators.
//!
//! An operator is an array of series over the steps of a grid. Series are read at random, by any thread, each into
//! a dense row: one slot for each step, [`ABSENT`] where the series has no point. Nothing but the row that is asked
//! for is computed, so a chain of operators holds one row per thread; what needs more than one series at a time
//! (aggregations, the one side of a join) computes its rows when it is built.

use super::context::Context;
use super::points::{Histogram, Histograms, Rows};
use super::select::{LastWindows, Weights};
use crate::failure::QueryError;
use std::borrow::Cow;
use std::collections::VecDeque;
use tsdb_core::sample::STALE_NAN_BITS;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Labels, METRIC_NAME, STALE_NAN};

/// "No point here": the bit pattern of the stale marker, which no arithmetic produces.
///
/// INVARIANT: operators ask [`is_absent`] before they compute with a slot; a computed value never has this pattern
/// (see [`as_point`] for the few operations that only touch the sign).
pub(super) const ABSENT: f64 = STALE_NAN;

/// Does the slot hold no point?
#[inline(always)]
pub(super) fn is_absent(slot: f64) -> bool {
    slot.to_bits() == STALE_NAN_BITS
}

/// `value` as a point: a NaN that would read as absent becomes the plain NaN.
#[inline(always)]
pub(super) fn as_point(value: f64) -> f64 {
    if is_absent(value) { f64::NAN } else { value }
}

/// Identity of a series inside a query.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The labels, the metric name included even if it has been dropped.
    pub(super) labels: Labels,
    /// Has the metric name been dropped?
    pub(super) drop_name: bool,
}

impl Identity {
    /// A series that shows all its labels.
    pub(super) const fn new(labels: Labels) -> Self {
        Self { labels, drop_name: false }
    }

    /// The labels that the result shows.
    pub(super) fn shown(&self) -> Cow<'_, Labels> {
        if self.drop_name {
            Cow::Owned(self.labels.filter(|name| !is_metadata(name)))
        } else {
            Cow::Borrowed(&self.labels)
        }
    }
}

/// Labels that describe the metric and go when its values become something else.
pub(super) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// An array of series over the steps of a grid.
pub(super) trait VectorOp: Send + Sync {
    /// The series. Several may have the same labels; of those, at most one has a point at any step.
    fn rows(&self) -> &[Identity];

    /// Writes the series number `row`: its numbers to `out`, which has a slot for each step, and its histograms to
    /// `histograms`. Every slot is written, and what `histograms` held before is removed.
    ///
    /// `row` is below the number of rows; of others, the result is absent. After an error, `out` holds anything.
    ///
    /// # Errors
    /// Every error of an evaluation.
    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError>;

    /// Are the labels of all rows different even without metric names?
    fn unique_without_name(&self) -> bool {
        false
    }

    /// Does evaluating a row say nothing and refuse nothing, whatever its samples are? Then nobody can tell whether
    /// a row that no result needs was evaluated.
    fn is_silent(&self) -> bool {
        false
    }

    /// Is the order of rows part of the result?
    fn is_ordered(&self) -> bool {
        false
    }
}

/// An operator that lives as long as its context.
pub(super) type Operator<'c> = Box<dyn VectorOp + 'c>;

/// Buffers that one thread reuses from row to row. Taken and given back, so that nested operators do not share one.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    rows: Vec<Vec<f64>>,
    columns: Vec<SampleColumns>,
    /// The windows of the series before it.
    pub(super) last_windows: LastWindows,
    /// Bounds of the windows of the series at hand.
    pub(super) windows: Vec<(usize, usize)>,
    /// Positions within the series at hand.
    pub(super) positions: Vec<usize>,
    /// What a counter has lost up to each sample of the series at hand.
    pub(super) losses: Vec<f64>,
    /// Candidates of a sliding minimum or maximum.
    pub(super) candidates: VecDeque<usize>,
    /// The same with their values.
    pub(super) extremes: VecDeque<(usize, f64)>,
    /// Values that are put in order.
    pub(super) ordered: Vec<f64>,
    /// For how many samples each of the series at hand stands.
    pub(super) weights: Weights,
}

impl Scratch {
    /// A row of `steps` slots with any content.
    pub(super) fn take_row(&mut self, steps: usize) -> Vec<f64> {
        let mut row = self.rows.pop().unwrap_or_default();
        row.resize(steps, ABSENT);
        row
    }

    /// Gives a row back.
    pub(super) fn give_row(&mut self, row: Vec<f64>) {
        self.rows.push(row);
    }

    /// Empty columns.
    pub(super) fn take_columns(&mut self) -> SampleColumns {
        let mut columns = self.columns.pop().unwrap_or_default();
        columns.clear();
        columns
    }

    /// Gives columns back.
    pub(super) fn give_columns(&mut self, columns: SampleColumns) {
        self.columns.push(columns);
    }
}

/// An operator without series.
#[derive(Debug)]
pub(super) struct NoSeries;

impl VectorOp for NoSeries {
    fn rows(&self) -> &[Identity] {
        &[]
    }

    fn eval(
        &self,
        _row: usize,
        _scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        out.fill(ABSENT);
        histograms.clear();
        Ok(())
    }
    fn is_silent(&self) -> bool {
        true
    }
}

/// An operator whose rows have been computed.
#[derive(Debug)]
pub(super) struct Stored<'c> {
    identities: Vec<Identity>,
    rows: Rows,
    steps: usize,
    ordered: bool,
    _held: super::budget::Held<'c>,
}

impl<'c> Stored<'c> {
    /// Rows of `steps` slots.
    ///
    /// # Errors
    /// More slots than the budget of `context` has left.
    pub(super) fn new(
        context: &'c Context<'_>,
        identities: Vec<Identity>,
        rows: Rows,
        steps: usize,
    ) -> Result<Self, QueryError> {
        let held = context.budget.hold(rows.slots.len())?;
        Ok(Self { identities, rows, steps, ordered: false, _held: held })
    }

    /// The same rows, their order being part of the result.
    pub(super) fn ordered(self) -> Self {
        Self { ordered: true, ..self }
    }

    /// The slots of `row`; empty if there is no such row.
    pub(super) fn row(&self, row: usize) -> &[f64] {
        let start = row.saturating_mul(self.steps);
        self.rows.slots.get(start..start.saturating_add(self.steps)).unwrap_or(&[])
    }

    /// The histogram of `row` at `step`.
    pub(super) fn histogram(&self, row: usize, step: usize) -> Option<&Histogram> {
        self.rows.histogram(row, step)
    }
}

impl VectorOp for Stored<'_> {
    fn rows(&self) -> &[Identity] {
        &self.identities
    }

    fn eval(
        &self,
        row: usize,
        _scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        match self.rows.histograms.get(row) {
            Some(stored) => histograms.clone_from(stored),
            None => histograms.clear(),
        }
        let slots = self.row(row);
        if slots.len() == out.len() {
            out.copy_from_slice(slots);
        } else {
            out.fill(ABSENT);
        }
        Ok(())
    }

    fn is_ordered(&self) -> bool {
        self.ordered
    }
    fn is_silent(&self) -> bool {
        true
    }
}

/// A row that is evaluated once and repeated at all steps.
#[derive(Debug)]
pub(super) struct Repeated<'c>(pub(super) Stored<'c>);

impl VectorOp for Repeated<'_> {
    fn rows(&self) -> &[Identity] {
        self.0.rows()
    }

    fn eval(
        &self,
        row: usize,
        _scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        out.fill(self.0.row(row).first().copied().unwrap_or(ABSENT));
        histograms.repeat(out.len(), self.0.histogram(row, 0));
        Ok(())
    }

    fn is_ordered(&self) -> bool {
        self.0.is_ordered()
    }
    fn is_silent(&self) -> bool {
        true
    }
}
