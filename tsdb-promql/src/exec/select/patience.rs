//! Stopping in the middle of a row.
//!
//! Between rows every operator asks whether the query may go on. A single row may cost as many samples as steps times
//! window, so kernels whose work grows so ask as well, every few million samples. Once the answer is no they give back
//! anything at all, quickly: whoever called them asks too, and sees the error.

use super::super::budget::Budget;
use std::cell::Cell;

/// Samples between two questions: a few ms of work.
const QUESTION_EVERY: usize = 1 << 20;

/// How much work may still be done before asking.
pub(super) struct Patience<'b> {
    budget: Option<&'b Budget>,
    spent: Cell<usize>,
    is_over: Cell<bool>,
}

impl<'b> Patience<'b> {
    /// Of a query on this account.
    pub(super) fn of(budget: &'b Budget) -> Self {
        Self { budget: Some(budget), ..Self::endless() }
    }

    /// Of work that is small beforehand.
    pub(super) const fn endless() -> Self {
        Self { budget: None, spent: Cell::new(0), is_over: Cell::new(false) }
    }

    /// May work go on that costs as much as `samples`?
    #[inline]
    pub(super) fn allows(&self, samples: usize) -> bool {
        let spent = self.spent.get().saturating_add(samples);
        self.spent.set(spent);
        spent < QUESTION_EVERY || self.ask()
    }

    #[cold]
    fn ask(&self) -> bool {
        if self.budget.is_some_and(|budget| budget.check().is_err()) {
            self.is_over.set(true);
        }
        if !self.is_over.get() {
            self.spent.set(0);
        }
        !self.is_over.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{EngineOptions, QueryParams};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn work_goes_on_until_the_query_is_over_and_never_again() {
        let cancel = Arc::new(AtomicBool::new(false));
        let mut params = QueryParams::instant(0);
        params.cancel = Some(Arc::clone(&cancel));
        let budget = Budget::new(&EngineOptions::default(), &params);
        let patience = Patience::of(&budget);
        assert!(patience.allows(usize::MAX) && patience.allows(1));
        cancel.store(true, Ordering::Relaxed);
        assert!(patience.allows(1), "nobody has asked yet");
        assert!(!patience.allows(QUESTION_EVERY));
        cancel.store(false, Ordering::Relaxed);
        assert!(!patience.allows(0));
    }

    #[test]
    fn small_work_is_never_stopped() {
        assert!((0..10).all(|_| Patience::endless().allows(usize::MAX)));
    }
}
