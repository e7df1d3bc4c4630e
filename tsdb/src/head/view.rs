//! Reading a head: which series, and their samples.
//!
//! A reader holds a pin. While it does, no chunk that it may still need is dropped and no number is reused, so it
//! can select now and read later; locks are held only to copy references.

use super::held::{Held, Taken};
use super::late::{Generation, LateRun, LateView};
use super::memory::Memory;
use super::pages::{Page, page_number, slot};
use crate::record::Border;
use parking_lot::{MutexGuard, RwLockReadGuard};
use std::collections::BTreeSet;
use tsdb_core::read::Projection;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, Labels, Matcher, SeriesRef, TimeRange, Timestamp};
use tsdb_index::RoaringBitmap;
use tsdb_rollup::merge;

/// Series whose labels are read before those get their turn who wait to add some.
const LABELS_AT_ONCE: usize = 1024;

/// A series that was selected.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    pub(crate) series: SeriesRef,
    pub(crate) labels: Labels,
    /// At least as many samples as it has within the range.
    pub(crate) estimate: usize,
}

/// Which samples of a head are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadView {
    in_order: Option<TimeRange>,
    late: Option<(TimeRange, LateView)>,
}

impl HeadView {
    /// The samples within `range` that are in no block, if what lies on the other side of `border` is.
    pub(crate) fn beyond(border: Border, range: TimeRange) -> Self {
        let in_order = TimeRange::new(border.from.max(range.start()), range.end());
        let late = LateView { border, upto: Generation::MAX };
        Self { in_order, late: Some((range, late)) }
    }

    /// Of these, the late ones up to `generation` alone.
    #[must_use]
    pub(crate) fn late_upto(self, generation: Generation) -> Self {
        let late = self.late.map(|(range, late)| (range, LateView { upto: generation, ..late }));
        Self { in_order: None, late }
    }

    /// Of these, those in order alone.
    #[must_use]
    pub(crate) fn in_order_alone(self) -> Self {
        Self { late: None, ..self }
    }

    /// These, the late ones up to `generation` alone.
    #[must_use]
    pub(crate) fn with_late_upto(self, generation: Generation) -> Self {
        Self { in_order: self.in_order, ..self.late_upto(generation) }
    }

    /// Can there be any sample, if the head has some within these ranges?
    pub(crate) fn overlaps(&self, in_order: Option<TimeRange>, late: Option<TimeRange>) -> bool {
        let overlap = |one: Option<TimeRange>, other: Option<TimeRange>| {
            one.zip(other).is_some_and(|(one, other)| one.overlaps(&other))
        };
        overlap(self.in_order, in_order) || overlap(self.late.map(|(range, _)| range), late)
    }

    /// At least as many samples as are meant of the series at `slot`; `None` if there are none.
    fn estimate(&self, held: &Held, slot: usize) -> Option<usize> {
        let has_samples = |range: &TimeRange| held.range(slot).is_some_and(|times| times.overlaps(range));
        let in_order = self.in_order.filter(has_samples).map(|range| held.estimate(slot, range));
        let late = match &self.late {
            Some((range, late)) if !held.late.is_empty() => held.late.estimate(slot, *range, late),
            _ => 0,
        };
        let estimate = in_order.unwrap_or(0) + late;
        (in_order.is_some() || late > 0).then_some(estimate)
    }

    fn snapshot(&self, held: &Held, slot: usize) -> (Taken, Vec<LateRun>) {
        let in_order = self.in_order.map(|range| held.snapshot(slot, range)).unwrap_or_default();
        let late = match &self.late {
            Some((range, late)) if !held.late.is_empty() => held.late.snapshot(slot, *range, late),
            _ => Vec::new(),
        };
        (in_order, late)
    }

    /// Appends the samples of a snapshot to `into`. Of several late ones at a time the last one written is believed.
    fn decode(&self, in_order: &Taken, late: &[LateRun], into: &mut SampleColumns) -> Result<(), Corruption> {
        let decode = |into: &mut _| self.in_order.map_or(Ok(()), |range| in_order.decode(range, into));
        if late.is_empty() {
            return decode(into);
        }
        let mut sources = vec![SampleColumns::new(); late.len() + 1];
        let mut rest = sources.iter_mut();
        rest.next().map_or(Ok(()), decode)?;
        late.iter().zip(rest).try_for_each(|(run, columns)| run.decode(columns))?;
        merge::samples(&sources, into);
        if !into.histograms.is_empty() {
            // What came between two histograms may tell of a reset that neither knows.
            into.renew_reset_hints();
        }
        Ok(())
    }
}

impl Memory {
    /// The series that satisfy all `matchers` and may have samples in `view`, with the labels that `projection` asks
    /// for.
    pub(crate) fn select(
        &self,
        matchers: &[Matcher],
        view: &HeadView,
        projection: &Projection,
    ) -> Vec<Selected> {
        let found = self.with_samples(self.index.read().select(matchers), view);
        let mut selected = Vec::with_capacity(found.len());
        for part in found.chunks(LABELS_AT_ONCE) {
            let index = self.index.read();
            let mut cursor = index.cursor(projection);
            selected.extend(part.iter().filter_map(|(series, estimate)| {
                Some(Selected { series: *series, labels: cursor.labels(*series)?, estimate: *estimate })
            }));
            drop(cursor);
            RwLockReadGuard::unlock_fair(index);
        }
        selected
    }

    /// Appends the samples of `series` in `view` to `into`, which is empty.
    pub(crate) fn read(
        &self,
        series: SeriesRef,
        view: &HeadView,
        into: &mut SampleColumns,
    ) -> Result<(), Corruption> {
        let Some(page) = self.pages.page(series) else { return Ok(()) };
        let (in_order, late) = view.snapshot(&page.lock(), slot(series));
        view.decode(&in_order, &late, into)
    }

    /// Labels of `series`.
    pub(crate) fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.index.read().labels(series)
    }

    /// Names of the labels of the series that satisfy `matchers` and may have samples in `view`.
    pub(crate) fn label_names(&self, matchers: &[Matcher], view: &HeadView) -> Vec<String> {
        let within = self.within(matchers, view);
        self.index.read().label_names(Some(&within))
    }

    /// Values of the label `name` among those series.
    pub(crate) fn label_values(&self, name: &str, matchers: &[Matcher], view: &HeadView) -> Vec<String> {
        let within = self.within(matchers, view);
        self.index.read().label_values(name, Some(&within))
    }

    /// The series with samples in `view`, of `only` if given, in order of their labels.
    pub(crate) fn in_label_order(&self, view: &HeadView, only: Option<&RoaringBitmap>) -> Vec<SeriesRef> {
        let within = match only {
            Some(only) => {
                self.with_samples(only.clone(), view).into_iter().map(|(series, _)| series.0).collect()
            }
            None => self.within(&[], view),
        };
        tsdb_index::sorted_series(&within, &mut |work| {
            let index = self.index.read();
            work(&index);
            RwLockReadGuard::unlock_fair(index);
        })
    }

    /// What `place` makes of the times of the late samples in `view`, each once.
    pub(crate) fn late_places(
        &self,
        view: &HeadView,
        place: impl Fn(Timestamp) -> Timestamp,
    ) -> BTreeSet<Timestamp> {
        let mut places = BTreeSet::new();
        let Some((range, late)) = &view.late else { return places };
        for (_, page) in self.pages.iter() {
            let held = page.lock();
            held.late.for_each(late, |_, timestamp| {
                if range.contains(timestamp) {
                    places.insert(place(timestamp));
                }
            });
        }
        places
    }

    fn within(&self, matchers: &[Matcher], view: &HeadView) -> RoaringBitmap {
        let candidates = self.index.read().select(matchers);
        self.with_samples(candidates, view).into_iter().map(|(series, _)| series.0).collect()
    }

    /// Those of `candidates` that may have samples in `view`, with an estimate of how many.
    fn with_samples(&self, candidates: RoaringBitmap, view: &HeadView) -> Vec<(SeriesRef, usize)> {
        let mut found = Vec::with_capacity(usize::try_from(candidates.len()).unwrap_or_default());
        let mut page: Option<(usize, MutexGuard<'_, Held>)> = None;
        for series in candidates.into_iter().map(SeriesRef) {
            if page.as_ref().is_none_or(|(number, _)| *number != page_number(series)) {
                drop(page.take());
                page = self.pages.page(series).map(Page::lock).map(|held| (page_number(series), held));
            }
            let estimate = page.as_ref().and_then(|(_, held)| view.estimate(held, slot(series)));
            found.extend(estimate.map(|estimate| (series, estimate)));
        }
        found
    }
}
