//! Reading a head: which series, and their samples.
//!
//! A reader holds a pin. While it does, no chunk that it may still need is dropped and no number is reused, so it
//! can select now and read later; locks are held only to copy references.

use super::held::Held;
use super::memory::Memory;
use super::pages::{Page, page_number, slot};
use parking_lot::MutexGuard;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, Labels, Matcher, SeriesRef, TimeRange};
use tsdb_index::RoaringBitmap;

/// A series that was selected.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    pub(crate) series: SeriesRef,
    pub(crate) labels: Labels,
    /// At least as many samples as it has within the range.
    pub(crate) estimate: usize,
}

impl Memory {
    /// The series that satisfy all `matchers` and may have samples within `range`.
    pub(crate) fn select(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Selected> {
        let mut found = self.with_samples(self.index.read().select(matchers), range);
        let index = self.index.read();
        let labelled =
            |(series, estimate)| Some(Selected { series, labels: index.labels(series)?, estimate });
        found.drain(..).filter_map(labelled).collect()
    }

    /// Appends the samples of `series` within `range` to `into`.
    pub(crate) fn read(
        &self,
        series: SeriesRef,
        range: TimeRange,
        into: &mut SampleColumns,
    ) -> Result<(), Corruption> {
        let Some(page) = self.pages.page(series) else { return Ok(()) };
        let taken = page.lock().snapshot(slot(series), range);
        taken.decode(range, into)
    }

    /// Labels of `series`.
    pub(crate) fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.index.read().labels(series)
    }

    /// Names of the labels of the series that satisfy `matchers` and may have samples within `range`.
    pub(crate) fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Vec<String> {
        let within = self.within(matchers, range);
        self.index.read().label_names(Some(&within))
    }

    /// Values of the label `name` among those series.
    pub(crate) fn label_values(&self, name: &str, matchers: &[Matcher], range: TimeRange) -> Vec<String> {
        let within = self.within(matchers, range);
        self.index.read().label_values(name, Some(&within))
    }

    /// The series with samples within `range`, in order of their labels.
    pub(crate) fn in_label_order(&self, range: TimeRange) -> Vec<SeriesRef> {
        let within = self.within(&[], range);
        self.index.read().sorted_series(&within)
    }

    fn within(&self, matchers: &[Matcher], range: TimeRange) -> RoaringBitmap {
        let candidates = self.index.read().select(matchers);
        self.with_samples(candidates, range).into_iter().map(|(series, _)| series.0).collect()
    }

    /// Those of `candidates` that may have samples within `range`, with an estimate of how many.
    fn with_samples(&self, candidates: RoaringBitmap, range: TimeRange) -> Vec<(SeriesRef, usize)> {
        let mut found = Vec::with_capacity(usize::try_from(candidates.len()).unwrap_or_default());
        let mut page: Option<(usize, MutexGuard<'_, Held>)> = None;
        for series in candidates.into_iter().map(SeriesRef) {
            if page.as_ref().is_none_or(|(number, _)| *number != page_number(series)) {
                drop(page.take());
                page = self.pages.page(series).map(Page::lock).map(|held| (page_number(series), held));
            }
            let Some((_, held)) = &page else { continue };
            if held.range(slot(series)).is_some_and(|times| times.overlaps(&range)) {
                found.push((series, held.estimate(slot(series), range)));
            }
        }
        found
    }
}
