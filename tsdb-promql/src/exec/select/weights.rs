//! For how many samples each sample of a series stands.

use tsdb_core::sample::SampleColumns;

/// The weights of a series, which has none if its samples are those that were written.
#[derive(Debug, Default)]
pub(in super::super) struct Weights {
    /// One for each sample. Empty if each stands for itself.
    pub(super) each: Vec<u32>,
    /// How many samples are in front of each, and in all. Empty if each stands for itself.
    before: Vec<usize>,
}

impl Weights {
    /// Forgets the weights: samples stand for themselves.
    pub(super) fn clear(&mut self) {
        self.each.clear();
        self.before.clear();
    }

    /// Takes notice of the weights in [`each`](Self::each), which are those of `samples` with stale markers among them.
    pub(super) fn settle(&mut self, samples: &SampleColumns) {
        if self.each.len() != samples.len() {
            self.each.clear();
        }
        // Stale markers have none, and are going to be dropped.
        self.each.retain(|weight| *weight > 0);
        self.add_up();
    }

    /// Takes the weights `each`.
    pub(super) fn of(each: Vec<u32>) -> Self {
        let mut weights = Self { each, before: Vec::new() };
        weights.add_up();
        weights
    }

    fn add_up(&mut self) {
        self.before.clear();
        if !self.each.is_empty() {
            let mut sum = 0usize;
            self.before.push(0);
            self.before.extend(self.each.iter().map(|weight| {
                sum = sum.saturating_add(*weight as usize);
                sum
            }));
        }
    }

    /// Do samples stand for themselves?
    pub(super) fn are_ones(&self) -> bool {
        self.before.is_empty()
    }

    /// How many samples the window `start..end` stands for.
    #[inline]
    pub(super) fn count(&self, (start, end): (usize, usize)) -> usize {
        match (self.before.get(start), self.before.get(end)) {
            (Some(first), Some(last)) => last.saturating_sub(*first),
            _ => end.saturating_sub(start),
        }
    }
}
