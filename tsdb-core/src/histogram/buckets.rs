//! The buckets of one sign: which there are and what they hold.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use super::count::Count;
use super::schema::coarser_index;
use super::spans::{Run, Runs, RunsBuilder, covers};
use alloc::vec::Vec;

/// Buckets by index. INVARIANT: as many counts as the runs have indexes.
#[derive(Debug, Clone)]
pub(super) struct Buckets<C> {
    runs: Runs,
    counts: Vec<C>,
}

impl<C> Default for Buckets<C> {
    fn default() -> Self {
        Self { runs: Runs::default(), counts: Vec::new() }
    }
}

impl<C: Count> Buckets<C> {
    /// Buckets from runs that have as many indexes as there are counts.
    pub(super) fn new(runs: Runs, counts: Vec<C>) -> Self {
        debug_assert_eq!(runs.iter().map(|run| run.length as usize).sum::<usize>(), counts.len());
        Self { runs, counts }
    }

    /// Buckets from ascending indexes; counts of the same index are added.
    fn from_ascending(buckets: impl Iterator<Item = (i32, C)>) -> Self {
        let mut runs = RunsBuilder::default();
        let mut counts: Vec<C> = Vec::with_capacity(buckets.size_hint().0);
        let mut last = None;
        for (index, count) in buckets {
            match counts.last_mut() {
                Some(before) if last == Some(index) => before.add(count),
                _ => {
                    runs.push(index);
                    counts.push(count);
                    last = Some(index);
                }
            }
        }
        Self { runs: runs.build(), counts }
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The runs, shared.
    pub(super) fn shared_runs(&self) -> Runs {
        self.runs.clone()
    }

    pub(super) fn counts(&self) -> &[C] {
        &self.counts
    }

    pub(super) fn counts_mut(&mut self) -> &mut [C] {
        &mut self.counts
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The buckets by ascending index, those that hold nothing included.
    pub(super) fn iter(&self) -> Iter<'_, C> {
        Iter { runs: &self.runs, counts: &self.counts, front: 0, back: 0 }
    }

    /// Every count through `f`.
    pub(super) fn map<D>(&self, f: impl Fn(C) -> D) -> Buckets<D> {
        Buckets { runs: self.runs.clone(), counts: self.counts.iter().map(|count| f(*count)).collect() }
    }

    /// Changes every count by `f`.
    pub(super) fn apply(&mut self, f: impl Fn(f64) -> f64) {
        for count in &mut self.counts {
            *count = count.map(&f);
        }
    }

    /// The buckets with the resolution halved `steps` times.
    pub(super) fn coarser<D: Count + From<C>>(&self, steps: u32) -> Buckets<D> {
        Buckets::from_ascending(
            self.iter().map(|(index, count)| (coarser_index(index, steps), D::from(count))),
        )
    }

    /// Adds the buckets of `other`, each through `convert`. What `self` has not gets a bucket, even if `other` holds
    /// nothing there.
    pub(super) fn add<D: Count>(&mut self, other: &Buckets<D>, convert: impl Fn(D) -> C) {
        if self.runs == other.runs {
            for (count, added) in self.counts.iter_mut().zip(&other.counts) {
                count.add(convert(*added));
            }
        } else if covers(&self.runs, &other.runs) {
            self.add_covered(other, convert);
        } else {
            *self = self.union(other, convert);
        }
    }

    /// Adds buckets that all are in `self`.
    fn add_covered<D: Count>(&mut self, other: &Buckets<D>, convert: impl Fn(D) -> C) {
        let mut added = other.iter().peekable();
        let mut counts = self.counts.iter_mut();
        for run in self.runs.iter() {
            for (index, count) in (run.start..run.end()).zip(&mut counts) {
                if let Some((_, value)) = added.next_if(|(next, _)| *next == index) {
                    count.add(convert(value));
                }
            }
        }
    }

    fn union<D: Count>(&self, other: &Buckets<D>, convert: impl Fn(D) -> C) -> Self {
        let mut left = self.iter().peekable();
        let mut right = other.iter().map(|(index, count)| (index, convert(count))).peekable();
        Self::from_ascending(core::iter::from_fn(|| {
            let from_left = match (left.peek(), right.peek()) {
                (Some((a, _)), Some((b, _))) => a <= b,
                (a, _) => a.is_some(),
            };
            if from_left { left.next() } else { right.next() }
        }))
    }

    /// The buckets that `keep` accepts.
    pub(super) fn retain(&mut self, keep: impl Fn(i32, C) -> bool) {
        *self = Self::from_ascending(self.iter().filter(|(index, count)| keep(*index, *count)));
    }

    /// Without the empty buckets, except those that lie between two others in a gap of at most `max_empty`; such gaps
    /// are filled.
    pub(super) fn compact(&mut self, max_empty: u16) {
        let max_empty = i32::from(max_empty);
        let wide = |gap: &[Run]| matches!(gap, [a, b] if b.start - a.end() > max_empty);
        let full = self.counts.iter().all(|count| !count.is_empty());
        if full && self.runs.windows(2).all(wide) {
            return;
        }
        let mut runs = RunsBuilder::default();
        let mut counts = Vec::with_capacity(self.counts.len());
        let mut end = None;
        for (index, count) in self.iter().filter(|(_, count)| !count.is_empty()) {
            if let Some(end) = end
                && index - end <= max_empty
            {
                for between in end..index {
                    runs.push(between);
                    counts.push(C::from(0.0));
                }
            }
            runs.push(index);
            counts.push(count);
            end = Some(index + 1);
        }
        *self = Self { runs: runs.build(), counts };
    }

    /// The buckets 0, 1, 2 ... without those that hold nothing.
    pub(super) fn from_dense(counts: Vec<C>) -> Self {
        Self::from_ascending((0..).zip(counts).filter(|(_, count)| !count.is_empty()))
    }

    /// Bytes on the heap, counted as if nothing were shared.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val::<[Run]>(&self.runs).saturating_add(size_of_val::<[C]>(&self.counts))
    }
}

/// Index and count of each bucket.
#[derive(Debug, Clone)]
pub(super) struct Iter<'a, C> {
    runs: &'a [Run],
    counts: &'a [C],
    /// How many of the first run are taken.
    front: u32,
    /// How many of the last run are taken.
    back: u32,
}

impl<C: Copy> Iterator for Iter<'_, C> {
    type Item = (i32, C);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (count, counts) = self.counts.split_first()?;
        let (run, runs) = self.runs.split_first()?;
        let index = run.start.saturating_add_unsigned(self.front);
        self.counts = counts;
        self.front += 1;
        if self.front >= run.length {
            (self.runs, self.front) = (runs, 0);
        }
        Some((index, *count))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.counts.len(), Some(self.counts.len()))
    }
}

impl<C: Copy> DoubleEndedIterator for Iter<'_, C> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let (count, counts) = self.counts.split_last()?;
        let (run, runs) = self.runs.split_last()?;
        self.back += 1;
        let index = run.end().saturating_sub_unsigned(self.back);
        self.counts = counts;
        if self.back >= run.length {
            (self.runs, self.back) = (runs, 0);
        }
        Some((index, *count))
    }
}
