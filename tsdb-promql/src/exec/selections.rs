//! What a plan will read, selected before anything is evaluated.
//!
//! Selecting takes the index alone. Knowing all selections at once, a query can be refused before it reads a sample,
//! explained without reading any, and equal selections are made once and, if they take little room, read once.

use super::budget::Budget;
use super::context::Context;
use super::grid::Grid;
use super::read_once::ReadOnce;
use super::select::{instant_hints, subquery_grid, window_hints};
use crate::explanation::SelectorEstimate;
use crate::failure::QueryError;
use crate::plan::{NodeRef, Plan, RangeNode, ScalarNode, Selector, VectorNode};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tsdb_core::read::{SelectHints, SeriesSet};

/// A selection that the plan asks for.
struct Wanted {
    selector: Selector,
    hints: SelectHints,
    /// Steps at which the selector is evaluated, of all places together.
    steps: u64,
    /// How many places of the plan ask for it.
    places: usize,
}

/// A selection that was made.
struct Selection {
    wanted: Wanted,
    set: Arc<dyn SeriesSet>,
}

/// All selections of a plan, equal ones once.
#[derive(Default)]
pub(super) struct Selections {
    /// Do selections differ that are used for different things?
    by_use: bool,
    made: Vec<Selection>,
    places: HashMap<String, usize>,
}

/// The samples that are kept of one selection because several places of the plan read it, as a part of the account.
const SHARE_OF_BUDGET: u64 = 8;

impl Selections {
    /// Makes the selections of `plan` as evaluated at `grid`.
    ///
    /// # Errors
    /// Those of storage; grids of subqueries beyond the budget; cancellation.
    pub(super) fn of(plan: &Plan, grid: Grid, context: &Context<'_>) -> Result<Self, QueryError> {
        let by_use = context.querier.may_hold_windows();
        let (wanted, places) = (Vec::new(), HashMap::new());
        let mut visit = Visit { context, by_use, shared: HashSet::new(), wanted, places };
        if let Some(root) = plan.root() {
            visit.node(root, grid, None)?;
        }
        let Visit { wanted, places, .. } = visit;
        let make = |wanted: Wanted| {
            context.budget.check()?;
            let set = context.querier.select(&wanted.selector.matchers, &wanted.hints)?.into();
            Ok(Selection { wanted, set })
        };
        let made = wanted.into_iter().map(make).collect::<Result<_, QueryError>>()?;
        Ok(Self { by_use, made, places })
    }

    /// Has what several places read be kept, on the account of `budget`.
    pub(super) fn keep_what_is_read_again(&mut self, budget: &Arc<Budget>) {
        let most = budget.limit() / SHARE_OF_BUDGET;
        for selection in &mut self.made {
            if selection.wanted.places > 1 && selection.set.estimated_samples() <= most {
                selection.set = Arc::new(ReadOnce::new(Arc::clone(&selection.set), Arc::clone(budget)));
            }
        }
    }

    /// What `selector` selects with these hints; `None` if that was not foreseen.
    pub(super) fn find(&self, selector: &Selector, hints: &SelectHints) -> Option<Arc<dyn SeriesSet>> {
        if self.places.is_empty() {
            return None;
        }
        let place = self.places.get(&key(selector, hints, self.by_use))?;
        self.made.get(*place).map(|selection| Arc::clone(&selection.set))
    }

    /// What each selection will cost.
    pub(super) fn estimates(&self) -> Vec<SelectorEstimate> {
        let estimate = |selection: &Selection| {
            let Selection { wanted: Wanted { selector, hints, steps, .. }, set } = selection;
            SelectorEstimate::new(selector, hints, &**set, *steps)
        };
        self.made.iter().map(estimate).collect()
    }
}

/// A walk over the plan.
struct Visit<'v, 'q> {
    context: &'v Context<'q>,
    /// See [`Selections`].
    by_use: bool,
    /// The shared vectors that were met.
    shared: HashSet<usize>,
    wanted: Vec<Wanted>,
    places: HashMap<String, usize>,
}

impl Visit<'_, '_> {
    /// `function`: the function whose windows the node is.
    fn node(
        &mut self,
        node: NodeRef<'_>,
        mut grid: Grid,
        mut function: Option<&'static str>,
    ) -> Result<(), QueryError> {
        let lookback_ms = self.context.lookback_ms;
        match node {
            NodeRef::Vector(
                VectorNode::Select(selector)
                | VectorNode::TimestampOf(selector)
                | VectorNode::StartOf(selector),
            ) => {
                self.want(selector, instant_hints(selector, grid, lookback_ms), grid);
            }
            NodeRef::Range(RangeNode::Select { selector, window }) => {
                let hints = window_hints(selector, window, grid, lookback_ms, function);
                self.want(selector, hints, grid);
            }
            NodeRef::Range(RangeNode::Subquery(node)) => {
                match subquery_grid(node, grid, self.context.budget.limit())? {
                    Some(inner) => grid = inner,
                    None => return Ok(()),
                }
            }
            NodeRef::Vector(VectorNode::StepInvariant(_)) | NodeRef::Scalar(ScalarNode::StepInvariant(_)) => {
                grid = grid.first_only();
            }
            NodeRef::Vector(VectorNode::OverRange(call)) => function = Some(call.function.hint()),
            NodeRef::Vector(VectorNode::AbsentOverTime { .. }) => function = Some("absent_over_time"),
            NodeRef::Vector(VectorNode::Shared(shared)) if !self.shared.insert(shared.id) => return Ok(()),
            _ => {}
        }
        node.parts().into_iter().try_for_each(|part| self.node(part, grid, function))
    }

    fn want(&mut self, selector: &Selector, hints: SelectHints, grid: Grid) {
        let Self { wanted, places, by_use, .. } = self;
        let steps = grid.steps() as u64;
        let key = key(selector, &hints, *by_use);
        if let Some(known) = places.get(&key).and_then(|place| wanted.get_mut(*place)) {
            known.places = known.places.saturating_add(1);
            known.steps = known.steps.saturating_add(steps);
            // A column that answers one function does not answer another.
            known.hints.function = known.hints.function.filter(|function| hints.function == Some(*function));
            return;
        }
        places.insert(key, wanted.len());
        wanted.push(Wanted { selector: selector.clone(), hints, steps, places: 1 });
    }
}

/// What makes two selections the same: everything but the function that reads them, unless that decides what is read.
fn key(selector: &Selector, hints: &SelectHints, by_use: bool) -> String {
    let SelectHints { range, step_ms, window_ms, function, projection, ends, near } = hints;
    let function = if by_use { *function } else { None };
    format!("{} {range:?} {step_ms} {window_ms} {projection:?} {function:?} {ends:?} {near}", selector.text())
}
