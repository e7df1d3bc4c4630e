//! A selection that several places of a plan read: what the first has read is kept for the others.

use super::budget::Budget;
use std::sync::{Arc, OnceLock};
use tsdb_core::Labels;
use tsdb_core::read::{ReadError, SampleColumns, SeriesSet};

/// The series of another set, their samples kept as far as the account has room for them.
pub(super) struct ReadOnce {
    set: Arc<dyn SeriesSet>,
    budget: Arc<Budget>,
    kept: Vec<OnceLock<SampleColumns>>,
}

impl ReadOnce {
    /// The series of `set`.
    pub(super) fn new(set: Arc<dyn SeriesSet>, budget: Arc<Budget>) -> Self {
        let kept = std::iter::repeat_with(OnceLock::new).take(set.len()).collect();
        Self { set, budget, kept }
    }

    /// Are the samples in `columns` worth their room, and is there any?
    fn has_room_for(&self, columns: &SampleColumns) -> bool {
        // What a histogram takes is not worth finding out.
        columns.histograms.is_empty() && self.budget.keep(columns.len()).is_ok()
    }
}

impl SeriesSet for ReadOnce {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.set.labels(index)
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        let place = self.kept.get(index);
        if let Some(kept) = place.and_then(OnceLock::get) {
            into.clone_from(kept);
            return Ok(());
        }
        self.set.read(index, into)?;
        if let Some(place) = place
            && self.has_room_for(into)
        {
            // Another thread may have been faster, with the same samples.
            drop(place.set(into.clone()));
        }
        Ok(())
    }

    fn read_weighted(
        &self,
        index: usize,
        into: &mut SampleColumns,
        weights: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        // Windows are few.
        match self.set.resolution_ms() {
            Some(_) => self.set.read_weighted(index, into, weights),
            None => {
                weights.clear();
                self.read(index, into)
            }
        }
    }

    fn resolution_ms(&self) -> Option<i64> {
        self.set.resolution_ms()
    }

    fn notes(&self) -> Vec<String> {
        self.set.notes()
    }

    fn estimated_samples(&self) -> u64 {
        self.set.estimated_samples()
    }

    fn warnings(&self) -> Vec<String> {
        self.set.warnings()
    }
}
