//! What all operators of one query share, and how they use the cores.

use super::budget::Budget;
use super::operator::{Scratch, Stored, VectorOp};
use super::points::{Histograms, Rows};
use super::profile::Profile;
use super::selections::Selections;
use super::shared::SharedVectors;
use crate::annotation::{Annotation, Annotations};
use crate::failure::QueryError;
use crate::options::EngineOptions;
use crate::plan::Pass;
use crate::span::Span;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tsdb_core::read::{Querier, SeriesSet};

/// What all operators of one query share.
pub(super) struct Context<'q> {
    /// Where series come from.
    pub(super) querier: &'q dyn Querier,
    /// The settings of the engine.
    pub(super) options: &'q EngineOptions,
    /// How far back an instant selector looks, ms.
    pub(super) lookback_ms: i64,
    /// May native histograms be among the samples?
    pub(super) may_hold_histograms: bool,
    /// The account.
    pub(super) budget: Arc<Budget>,
    /// What was selected beforehand.
    pub(super) selected: Arc<Selections>,
    /// What is measured, if the query asked for it.
    pub(super) profile: Option<Arc<Profile>>,
    /// Vectors that several places of the plan need.
    pub(super) shared: Arc<SharedVectors>,
    annotations: Mutex<Annotations>,
    /// What was selected, by whom: storage may meet damage as late as a series is read.
    selections: Mutex<Vec<(Arc<dyn SeriesSet>, Span)>>,
    scratches: Mutex<Vec<Scratch>>,
}

/// Slots below which starting threads costs more than it saves.
const WORTH_THREADS: usize = 1 << 14;

/// A series costs at least as much as this many slots: it has to be read.
const SLOTS_OF_A_SERIES: usize = 64;

impl<'q> Context<'q> {
    /// The context of a query.
    pub(super) fn new(
        querier: &'q dyn Querier,
        options: &'q EngineOptions,
        lookback_ms: i64,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            querier,
            options,
            lookback_ms,
            may_hold_histograms: querier.may_hold_histograms(),
            budget,
            selected: Arc::default(),
            profile: None,
            shared: Arc::default(),
            annotations: Mutex::new(Annotations::new()),
            selections: Mutex::default(),
            scratches: Mutex::new(Vec::new()),
        }
    }

    /// A context of the same query with annotations of its own.
    pub(super) fn beside(&self) -> Self {
        Self {
            querier: self.querier,
            options: self.options,
            lookback_ms: self.lookback_ms,
            may_hold_histograms: self.may_hold_histograms,
            budget: Arc::clone(&self.budget),
            selected: Arc::clone(&self.selected),
            profile: self.profile.clone(),
            shared: Arc::clone(&self.shared),
            annotations: Mutex::default(),
            selections: Mutex::default(),
            scratches: Mutex::default(),
        }
    }

    /// May selections be answered from windows?
    pub(super) fn takes_windows(&self) -> bool {
        let EngineOptions { passes, use_start_timestamps, .. } = self.options;
        passes.has(Pass::ReadWindows) && !use_start_timestamps && self.querier.may_hold_windows()
    }

    /// Do operators still see metric names that have been dropped?
    pub(super) const fn sees_dropped_names(&self) -> bool {
        self.options.delayed_name_removal
    }

    /// Notes something about the expression at `span`.
    pub(super) fn annotate(&self, annotation: Annotation, span: Span) {
        locked(&self.annotations).add(annotation, span);
    }

    /// Notes all of `annotations`.
    pub(super) fn annotate_all(&self, annotations: Annotations) {
        locked(&self.annotations).merge(annotations);
    }

    /// Remembers that the expression at `span` selected `set`, to ask it for warnings when the query ends.
    pub(super) fn note_selection(&self, set: Arc<dyn SeriesSet>, span: Span) {
        locked(&self.selections).push((set, span));
    }

    /// Ends the query: what was noted.
    pub(super) fn take_annotations(&self) -> Annotations {
        for (set, span) in locked(&self.selections).drain(..) {
            for message in set.warnings() {
                self.annotate(Annotation::Storage { message }, span);
            }
            for message in set.notes() {
                self.annotate(Annotation::Approximation { message }, span);
            }
        }
        std::mem::take(&mut *locked(&self.annotations))
    }

    /// Lends buffers to `work`.
    pub(super) fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = locked(&self.scratches).pop().unwrap_or_default();
        let result = work(&mut scratch);
        locked(&self.scratches).push(scratch);
        result
    }

    /// Calls `work` with every number below `items`, on several threads if that pays, and returns the results in
    /// order. An item is the work of about `slots` slots.
    ///
    /// # Errors
    /// The error of the lowest item that failed before the others were stopped; cancellation and timeout, which
    /// are checked before each item.
    pub(super) fn parallel<T: Send>(
        &self,
        items: usize,
        slots: usize,
        work: impl Fn(usize, &mut Scratch) -> Result<T, QueryError> + Sync,
    ) -> Result<Vec<T>, QueryError> {
        let run = |range: std::ops::Range<usize>, failed: &AtomicBool| {
            self.with_scratch(|scratch| {
                let mut results = Vec::with_capacity(range.len());
                for item in range {
                    if failed.load(Ordering::Relaxed) {
                        break;
                    }
                    self.budget.check()?;
                    results.push(work(item, scratch)?);
                }
                Ok(results)
            })
        };
        let executor = &self.options.executor;
        let cost = items.saturating_mul(slots.saturating_add(SLOTS_OF_A_SERIES));
        let failed = AtomicBool::new(false);
        if executor.threads() == 1 || items < 2 || cost < WORTH_THREADS {
            return run(0..items, &failed);
        }
        // Several batches per thread even out items of different cost.
        let batch = items.div_ceil(executor.threads().saturating_mul(8)).max(1);
        let batches = items.div_ceil(batch);
        let parts: Vec<Mutex<Result<Vec<T>, QueryError>>> =
            (0..batches).map(|_| Mutex::new(Ok(Vec::new()))).collect();
        executor.run(batches, &|index| {
            let start = index.saturating_mul(batch);
            let part = run(start..start.saturating_add(batch).min(items), &failed);
            if part.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            if let Some(place) = parts.get(index) {
                *locked(place) = part;
            }
        });
        let mut results = Vec::with_capacity(items);
        for part in parts {
            results.append(&mut part.into_inner().unwrap_or_else(PoisonError::into_inner)?);
        }
        Ok(results)
    }

    /// Evaluates rows that no result needs, unless nobody could tell.
    ///
    /// # Errors
    /// Those of the rows.
    pub(super) fn hear_out(
        &self,
        operator: &dyn VectorOp,
        rows: impl Iterator<Item = usize>,
        steps: usize,
    ) -> Result<(), QueryError> {
        if operator.is_silent() {
            return Ok(());
        }
        let rows: Vec<usize> = rows.collect();
        self.parallel(rows.len(), steps, |item, scratch| {
            let Some(row) = rows.get(item) else { return Ok(()) };
            let (mut slots, mut histograms) = (scratch.take_row(steps), Histograms::new());
            let result = operator.eval(*row, scratch, &mut slots, &mut histograms);
            scratch.give_row(slots);
            result
        })?;
        Ok(())
    }

    /// Computes all rows of `operator`.
    ///
    /// # Errors
    /// Those of the rows, and more slots than the budget has left.
    pub(super) fn store(&self, operator: &dyn VectorOp, steps: usize) -> Result<Stored<'_>, QueryError> {
        let rows: Vec<usize> = (0..operator.rows().len()).collect();
        let computed = self.compute(operator, &rows, steps)?;
        let stored = Stored::new(self, operator.rows().to_vec(), computed, steps)?;
        Ok(if operator.is_ordered() { stored.ordered() } else { stored })
    }

    /// Computes some rows of `operator`, one behind the other.
    ///
    /// # Errors
    /// Those of the rows, and more slots than the budget has left.
    pub(super) fn compute(
        &self,
        operator: &dyn VectorOp,
        rows: &[usize],
        steps: usize,
    ) -> Result<Rows, QueryError> {
        let total = rows.len().saturating_mul(steps);
        let _held = self.budget.hold(total)?;
        let mut slots = vec![super::operator::ABSENT; total];
        let places: Vec<Mutex<&mut [f64]>> = slots.chunks_mut(steps.max(1)).map(Mutex::new).collect();
        let histograms = self.parallel(rows.len(), steps, |item, scratch| {
            let mut histograms = Histograms::new();
            if let (Some(row), Some(place)) = (rows.get(item), places.get(item)) {
                operator.eval(*row, scratch, &mut locked(place), &mut histograms)?;
            }
            Ok(histograms)
        })?;
        drop(places);
        Ok(Rows::new(slots, histograms))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is valid at every moment, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
