//! The histograms of a row, beside its column of numbers.

use super::operator::{ABSENT, is_absent};
use std::sync::Arc;
use tsdb_core::histogram::FloatHistogram;

/// A histogram that is a point.
pub(super) type Histogram = Arc<FloatHistogram>;

/// How many slots of a column take as much memory as `histogram`.
pub(super) fn slots_of(histogram: &FloatHistogram) -> usize {
    histogram.size_bytes() / 16
}

/// The histograms among the points of a row. Nearly all rows have none and pay nothing for it.
///
/// INVARIANT: where there is a histogram, the slot of the row is [`ABSENT`](super::operator::ABSENT), so that what
/// computes with numbers alone passes it over.
#[derive(Debug, Clone, Default)]
pub(super) struct Histograms(Vec<Option<Histogram>>);

impl Histograms {
    /// No histograms.
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Is there none?
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes all.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The histogram at `step`.
    #[inline]
    pub(super) fn at(&self, step: usize) -> Option<&Histogram> {
        self.0.get(step)?.as_ref()
    }

    /// Puts a histogram at `step` of a row of `steps`, in place of what was there. A step behind the row is ignored.
    pub(super) fn set(&mut self, step: usize, steps: usize, histogram: Histogram) {
        self.0.resize(steps, None);
        if let Some(place) = self.0.get_mut(step) {
            *place = Some(histogram);
        }
    }

    /// Takes the histogram at `step` away.
    pub(super) fn take(&mut self, step: usize) -> Option<Histogram> {
        self.0.get_mut(step)?.take()
    }

    /// The histograms with their steps.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Histogram)> {
        self.0.iter().enumerate().filter_map(|(step, histogram)| Some((step, histogram.as_ref()?)))
    }

    /// Replaces every histogram by what `f` makes of it, or removes it.
    pub(super) fn change(&mut self, mut f: impl FnMut(usize, Histogram) -> Option<Histogram>) {
        for (step, place) in self.0.iter_mut().enumerate() {
            *place = place.take().and_then(|histogram| f(step, histogram));
        }
    }

    /// Makes this the same histogram at all of `steps` steps.
    pub(super) fn repeat(&mut self, steps: usize, histogram: Option<&Histogram>) {
        self.0.clear();
        if let Some(histogram) = histogram {
            self.0.resize(steps, Some(histogram.clone()));
        }
    }
}

/// A point of either kind, where both may meet.
#[derive(Debug, Clone)]
pub(super) enum Point {
    /// A number.
    Number(f64),
    /// A histogram.
    Histogram(Histogram),
}

impl Point {
    /// The point of a slot that holds numbers alone.
    pub(super) fn of_slot(slot: f64) -> Option<Self> {
        (!is_absent(slot)).then_some(Self::Number(slot))
    }

    /// The point at `step` of a row.
    pub(super) fn at(slots: &[f64], histograms: &Histograms, step: usize) -> Option<Self> {
        match histograms.at(step) {
            Some(histogram) => Some(Self::Histogram(histogram.clone())),
            None => Self::of_slot(slots.get(step).copied()?),
        }
    }

    /// Writes `point` to `step` of a row, in place of what was there.
    pub(super) fn put(point: Option<Self>, slots: &mut [f64], histograms: &mut Histograms, step: usize) {
        let steps = slots.len();
        let Some(slot) = slots.get_mut(step) else { return };
        *slot = ABSENT;
        histograms.take(step);
        match point {
            None => {}
            Some(Self::Number(value)) => *slot = value,
            Some(Self::Histogram(histogram)) => histograms.set(step, steps, histogram),
        }
    }

    /// What annotations call it.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Number(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Rows of slots one behind the other, and the histograms of each row.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The numbers.
    pub(super) slots: Vec<f64>,
    /// The histograms of each row; empty if no row has any.
    pub(super) histograms: Vec<Histograms>,
}

impl Rows {
    /// Rows that hold numbers alone.
    pub(super) const fn of_numbers(slots: Vec<f64>) -> Self {
        Self { slots, histograms: Vec::new() }
    }

    /// Rows with these histograms.
    pub(super) fn new(slots: Vec<f64>, histograms: Vec<Histograms>) -> Self {
        let none = histograms.iter().all(Histograms::is_empty);
        Self { slots, histograms: if none { Vec::new() } else { histograms } }
    }

    /// Does any row hold a histogram?
    pub(super) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// The histogram of `row` at `step`.
    #[inline]
    pub(super) fn histogram(&self, row: usize, step: usize) -> Option<&Histogram> {
        self.histograms.get(row)?.at(step)
    }
}
