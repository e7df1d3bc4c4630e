//! Vectors that several places of a plan need: the first place that is evaluated answers for the others.
//!
//! The rows of such a vector are computed whole and kept until the query ends, on its account. Where they would take
//! much of it, each place computes its own, row by row, as if nothing were shared.

use super::build::build_vector;
use super::context::Context;
use super::grid::Grid;
use super::operator::{ABSENT, Identity, Operator, Scratch, VectorOp};
use super::points::{Histograms, Rows};
use crate::annotation::Annotations;
use crate::failure::QueryError;
use crate::plan::SharedNode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The most slots that one shared vector keeps: 128 MiB.
const MOST_SLOTS: u64 = 1 << 24;

/// The part of its account that a query leaves to one shared vector.
const SHARE_OF_BUDGET: u64 = 4;

/// What is known of the shared vectors of a query, by their numbers.
#[derive(Debug, Default)]
pub(super) struct SharedVectors(Mutex<HashMap<usize, Known>>);

#[derive(Debug, Clone)]
enum Known {
    Kept(Arc<Kept>),
    TooLarge,
}

/// A vector that was computed.
#[derive(Debug)]
struct Kept {
    identities: Vec<Identity>,
    rows: Rows,
    steps: usize,
    unique_without_name: bool,
    ordered: bool,
    /// What was said about it at the place that was evaluated, and where that begins.
    annotations: Annotations,
    start: u32,
}

/// The operator of `node`.
///
/// # Errors
/// Those of the vector.
pub(super) fn shared<'c>(
    context: &'c Context<'c>,
    node: &'c SharedNode,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    let known = locked(&context.shared).get(&node.id).cloned();
    let known = match known {
        Some(known) => known,
        None => {
            let known = compute(context, node, grid)?;
            locked(&context.shared).insert(node.id, known.clone());
            known
        }
    };
    match known {
        Known::Kept(kept) => {
            context.annotate_all(kept.annotations.moved(kept.start, node.start));
            Ok(Box::new(SharedOp(kept)))
        }
        Known::TooLarge => build_vector(context, &node.vector, grid),
    }
}

fn compute(context: &Context<'_>, node: &SharedNode, grid: Grid) -> Result<Known, QueryError> {
    // What is said about this vector is kept apart, for it is said again about the others.
    let inside = context.beside();
    let operator = build_vector(&inside, &node.vector, grid)?;
    let rows: Vec<usize> = (0..operator.rows().len()).collect();
    let slots = rows.len().saturating_mul(grid.steps());
    if slots as u64 > MOST_SLOTS.min(context.budget.limit() / SHARE_OF_BUDGET) {
        return Ok(Known::TooLarge);
    }
    let computed = inside.compute(&*operator, &rows, grid.steps())?;
    context.budget.keep(computed.slots.len())?;
    let kept = Kept {
        identities: operator.rows().to_vec(),
        rows: computed,
        steps: grid.steps(),
        unique_without_name: operator.unique_without_name(),
        ordered: operator.is_ordered(),
        annotations: {
            drop(operator);
            inside.take_annotations()
        },
        start: node.start,
    };
    Ok(Known::Kept(Arc::new(kept)))
}

fn locked(shared: &SharedVectors) -> std::sync::MutexGuard<'_, HashMap<usize, Known>> {
    // What is under the lock is valid at every moment.
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of a vector that was computed.
#[derive(Debug)]
struct SharedOp(Arc<Kept>);

impl VectorOp for SharedOp {
    fn rows(&self) -> &[Identity] {
        &self.0.identities
    }

    fn eval(
        &self,
        row: usize,
        _scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        match self.0.rows.histograms.get(row) {
            Some(kept) => histograms.clone_from(kept),
            None => histograms.clear(),
        }
        let start = row.saturating_mul(self.0.steps);
        match self.0.rows.slots.get(start..start.saturating_add(self.0.steps)) {
            Some(slots) if slots.len() == out.len() => out.copy_from_slice(slots),
            _ => out.fill(ABSENT),
        }
        Ok(())
    }

    fn unique_without_name(&self) -> bool {
        self.0.unique_without_name
    }

    fn is_ordered(&self) -> bool {
        self.0.ordered
    }
    fn is_silent(&self) -> bool {
        true
    }
}
