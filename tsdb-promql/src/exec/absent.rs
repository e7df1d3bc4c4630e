//! At which steps a vector has points at all: `absent`, and the question for operators.

use super::build::build_vector;
use super::context::Context;
use super::grid::Grid;
use super::operator::{ABSENT, Identity, Operator, Stored, VectorOp, is_absent};
use super::points::{Histograms, Rows};
use crate::failure::QueryError;
use crate::plan::VectorNode;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb_core::Labels;

/// At which steps anything was found. Filled by several threads.
#[derive(Debug)]
pub(super) struct Presence(Vec<AtomicBool>);

impl Presence {
    /// Nothing found at any of `steps` steps.
    pub(super) fn new(steps: usize) -> Self {
        Self((0..steps).map(|_| AtomicBool::new(false)).collect())
    }

    /// The steps at which any series of `operator` has a point.
    ///
    /// # Errors
    /// Those of the series.
    pub(super) fn of(
        context: &Context<'_>,
        operator: &dyn VectorOp,
        steps: usize,
    ) -> Result<Self, QueryError> {
        let present = Self::new(steps);
        context.parallel(operator.rows().len(), steps, |row, scratch| {
            let (mut slots, mut histograms) = (scratch.take_row(steps), Histograms::new());
            let result = operator.eval(row, scratch, &mut slots, &mut histograms);
            present.note(&slots, &histograms);
            scratch.give_row(slots);
            result
        })?;
        Ok(present)
    }

    /// Notes the steps at which a row has a point.
    pub(super) fn note(&self, slots: &[f64], histograms: &Histograms) {
        self.note_where(slots.iter().map(|slot| !is_absent(*slot)));
        for (step, _) in histograms.iter() {
            if let Some(place) = self.0.get(step) {
                place.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Notes the steps at which `found` is true.
    pub(super) fn note_where(&self, found: impl Iterator<Item = bool>) {
        for (place, _) in self.0.iter().zip(found).filter(|(_, found)| *found) {
            place.store(true, Ordering::Relaxed);
        }
    }

    /// Was anything found at `step`?
    pub(super) fn at(&self, step: usize) -> bool {
        self.0.get(step).is_some_and(|place| place.load(Ordering::Relaxed))
    }

    /// A row that is 1 where nothing was found.
    pub(super) fn ones_elsewhere(&self) -> Vec<f64> {
        self.0.iter().map(|place| if place.load(Ordering::Relaxed) { ABSENT } else { 1.0 }).collect()
    }
}

/// `absent`: 1 at the steps at which the vector is empty.
///
/// # Errors
/// Those of the vector.
pub(super) fn absent<'c>(
    context: &'c Context<'c>,
    vector: &'c VectorNode,
    labels: &Labels,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    let vector = build_vector(context, vector, grid)?;
    let slots = Presence::of(context, &*vector, grid.steps())?.ones_elsewhere();
    let identity = Identity::new(labels.clone());
    Ok(Box::new(Stored::new(context, vec![identity], Rows::of_numbers(slots), grid.steps())?))
}
