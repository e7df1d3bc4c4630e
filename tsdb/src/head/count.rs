//! How many series there are of what. Nothing is counted ahead here: the index keeps up what it can, and the rest is looked at
//! when somebody asks.

use super::Head;
use tsdb_core::read::Projection;
use tsdb_core::{Labels, Matcher, SeriesRef, Timestamp};
use tsdb_index::cardinality::{LabelCost, LabelCosts, LabelNames, LabelValues, NewSeries, RankBy, Ranking};
use tsdb_index::{Cardinality, RoaringBitmap};

/// Series that are looked at under one lock: who registers a series waits meanwhile.
const READ_AT_ONCE: usize = 1024;

/// Some of the series of a head.
#[derive(Debug)]
pub(crate) enum Among {
    All,
    Some(RoaringBitmap),
}

impl Among {
    fn series(&self) -> Option<&RoaringBitmap> {
        match self {
            Self::All => None,
            Self::Some(series) => Some(series),
        }
    }
}

impl Head {
    /// How many series there are, and where most of them are.
    pub(crate) fn cardinality(&self, top: usize) -> Cardinality {
        Cardinality::of(&self.memory.index.read(), top)
    }

    /// The series that satisfy `matchers`; those alone that go on at `active_since` or later, if there is such a time.
    pub(crate) fn among(&self, matchers: &[Matcher], active_since: Option<Timestamp>) -> Among {
        if matchers.is_empty() && active_since.is_none() {
            return Among::All;
        }
        let mut series = self.memory.index.read().select(matchers);
        if let Some(since) = active_since {
            series =
                series.iter().filter(|series| self.memory.is_active(SeriesRef(*series), since)).collect();
        }
        Among::Some(series)
    }

    /// Number of these series.
    pub(crate) fn series_count(&self, among: &Among) -> u64 {
        among.series().map_or_else(|| self.memory.active(), RoaringBitmap::len)
    }

    /// The label names of these series.
    pub(crate) fn label_name_counts(&self, among: &Among, top: usize) -> LabelNames {
        LabelNames::of(&self.memory.index.read(), among.series(), top)
    }

    /// The values of the label `name` among these series.
    pub(crate) fn label_value_counts(&self, name: &str, among: &Among, top: usize) -> LabelValues {
        LabelValues::of(&self.memory.index.read(), name, among.series(), top)
    }

    /// What weighs most; new is what was made within `window_ms`, an hour at most.
    pub(crate) fn ranking(&self, by: RankBy, window_ms: i64, top: usize) -> Ranking {
        let new: Vec<u32> = self.admission.new_series(window_ms).iter().collect();
        let mut counted = NewSeries::default();
        for some in new.chunks(READ_AT_ONCE) {
            counted.add(&self.memory.index.read(), some.iter().copied());
        }
        Ranking::of(&self.memory.index.read(), counted, by, top)
    }

    /// What each label in `names` costs among these series.
    pub(crate) fn label_costs(&self, among: &Among, names: &[String]) -> Vec<LabelCost> {
        let mut costs = LabelCosts::new(names.iter().cloned());
        for some in self.numbers(among, usize::MAX).chunks(READ_AT_ONCE) {
            costs.add(&self.memory.index.read(), some.iter().copied());
        }
        costs.finish()
    }

    /// The first `most` of these series.
    fn numbers(&self, among: &Among, most: usize) -> Vec<u32> {
        match among {
            Among::All => self.memory.index.read().all().iter().take(most).collect(),
            Among::Some(series) => series.iter().take(most).collect(),
        }
    }

    /// The labels of the first `most` of these series, in no order that means anything.
    pub(crate) fn some_labels(&self, among: &Among, most: usize) -> Vec<Labels> {
        let mut found = Vec::new();
        self.each_labels(among, most, |labels| found.push(labels));
        found
    }

    /// Calls `take` with the labels of each of the first `most` of these series.
    pub(super) fn each_labels(&self, among: &Among, most: usize, mut take: impl FnMut(Labels)) {
        for some in self.numbers(among, most).chunks(READ_AT_ONCE) {
            let index = self.memory.index.read();
            let mut cursor = index.cursor(&Projection::All);
            some.iter().filter_map(|series| cursor.labels(SeriesRef(*series))).for_each(&mut take);
        }
    }
}
