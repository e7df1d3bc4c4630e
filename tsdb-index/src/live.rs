//! The live index: labels and postings of the series in memory.
//!
//! It finds series by matchers and knows their labels. It does not find a series by its whole label set (the head
//! does, by hash), holds no samples and takes no lock: the owner synchronises it.

use crate::select::{self, Lookup};
use roaring::RoaringBitmap;
use tsdb_core::{Corruption, Labels, Matcher, SeriesRef};

/// The index has no room for another series: 4 GiB of label text or of label references are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the live index is full: {what} reached 4 GiB")]
pub struct IndexFull {
    /// Which of its stores is full.
    pub what: &'static str,
}

/// Labels and postings of the series of a head.
#[derive(Debug, Default)]
pub struct LiveIndex {
    all: RoaringBitmap,
}

impl LiveIndex {
    /// An index without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `series` with its labels. The caller chooses the number, keeps numbers dense and may reuse those of
    /// removed series. A number that is in use keeps its labels and nothing happens.
    ///
    /// # Errors
    /// The index is full; it is then unchanged.
    pub fn insert(&mut self, series: SeriesRef, labels: &Labels) -> Result<(), IndexFull> {
        let _ = labels;
        self.all.insert(series.0);
        Ok(())
    }

    /// Forgets the series in `dead`, and the label pairs that no other series has.
    pub fn remove(&mut self, dead: &RoaringBitmap) {
        self.all -= dead;
    }

    /// Labels of `series`; `None` if the index does not hold it.
    pub fn labels(&self, series: SeriesRef) -> Option<Labels> {
        let _ = series;
        None
    }

    /// Every series.
    pub fn all(&self) -> &RoaringBitmap {
        &self.all
    }

    /// The series that satisfy all `matchers`; every series if there are none.
    pub fn select(&self, matchers: &[Matcher]) -> RoaringBitmap {
        select::select(self, matchers).unwrap_or_default()
    }

    /// Names of the labels of the series in `within` (of all series if `None`), sorted.
    pub fn label_names(&self, within: Option<&RoaringBitmap>) -> Vec<String> {
        let _ = within;
        Vec::new()
    }

    /// Values of the label `name` among the series in `within` (among all series if `None`), sorted.
    pub fn label_values(&self, name: &str, within: Option<&RoaringBitmap>) -> Vec<String> {
        let _ = (name, within);
        Vec::new()
    }

    /// The series in `of` in order of their labels: the order in which a block is written.
    pub fn sorted_series(&self, of: &RoaringBitmap) -> Vec<SeriesRef> {
        let _ = of;
        Vec::new()
    }

    /// Number of distinct label pairs.
    pub fn pair_count(&self) -> usize {
        0
    }

    /// Bytes of memory in use, estimated from capacities.
    pub fn memory_bytes(&self) -> usize {
        0
    }
}

impl Lookup for LiveIndex {
    fn all(&self) -> Result<RoaringBitmap, Corruption> {
        Ok(self.all.clone())
    }
}
