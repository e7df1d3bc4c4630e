//! The live index: labels and postings of the series in memory.
//!
//! It finds series by matchers and knows their labels. It does not find a series by its whole label set (the head
//! does, by hash), holds no samples and takes no lock: the owner synchronises it.
//!
//! # Memory
//! A distinct label pair costs its value's bytes, about 45 bytes besides, and its postings; a series costs 4 bytes,
//! one to three bytes for each of its labels, and a place in the postings of each.

mod cursor;
mod distinct;
mod levels;
mod members;
mod order;
mod pairs;

use crate::postings::{Postings, Union, bitmap_bytes};
use crate::select::{self, Lookup};
pub use cursor::LabelsCursor;
use distinct::{Distinct, Leaving};
use members::Members;
pub use order::{Step, sorted_series};
pub(crate) use pairs::{PairId, Pairs};
use roaring::RoaringBitmap;
use std::borrow::Cow;
use tsdb_core::read::Projection;
use tsdb_core::{Corruption, Labels, Matcher, SeriesRef};

/// The index has no room for another series: 4 GiB of label values or of label lists are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the live index is full: its {what} take 4 GiB")]
pub struct IndexFull {
    /// What fills it.
    pub what: &'static str,
}

/// Labels and postings of the series of a head.
#[derive(Debug, Default)]
pub struct LiveIndex {
    pairs: Pairs,
    members: Members,
    all: RoaringBitmap,
    distinct: Distinct,
    /// The pairs of the series inserted last: the next one, mostly of the same target, shares most of them.
    last_inserted: Vec<PairId>,
    scratch: Vec<PairId>,
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
        if !self.pairs.has_room(labels.encoded_len()) {
            return Err(IndexFull { what: "label values" });
        }
        // A label takes at least four bytes of the encoded set, its pair number at most five of the list.
        if !self.members.has_room(labels.encoded_len()) {
            return Err(IndexFull { what: "label lists" });
        }
        if !self.all.insert(series.0) {
            return Ok(());
        }
        self.count_values(labels);
        let previous = std::mem::take(&mut self.last_inserted);
        let mut guesses = previous.iter().copied().peekable();
        let mut pairs = std::mem::take(&mut self.scratch);
        pairs.clear();
        for (name, value) in labels {
            let mut guess = guesses.next_if(|guess| self.pairs.is(*guess, name, value));
            if guess.is_none() {
                while guesses.next_if(|guess| self.pairs.name(*guess) < name).is_some() {}
                guess = guesses.next_if(|guess| self.pairs.is(*guess, name, value));
            }
            let pair = guess.unwrap_or_else(|| self.pairs.intern(name, value));
            self.pairs.add_series(pair, series.0, value.len());
            pairs.push(pair);
        }
        self.pairs.add_bytes(&pairs);
        self.members.set(series.0, &pairs);
        (self.last_inserted, self.scratch) = (pairs, previous);
        Ok(())
    }

    /// Forgets the series in `dead`, and the label pairs that no other series has. Costs by the dead series and
    /// their labels; most memory is given back when half of it is unused, and that of large postings by
    /// [`shrink`](Self::shrink).
    pub fn remove(&mut self, dead: &RoaringBitmap) {
        let dead = dead & &self.all;
        self.last_inserted.clear();
        let mut touched = RoaringBitmap::new();
        let mut leaving = Leaving::new();
        let mut pairs = std::mem::take(&mut self.scratch);
        for series in &dead {
            self.note_leaving(series, &mut leaving);
            pairs.clear();
            pairs.extend(self.members.pairs(series));
            self.pairs.take_bytes(&pairs);
            touched.extend(pairs.iter().map(|pair| pair.0));
            self.members.clear(series);
        }
        self.scratch = pairs;
        self.pairs.subtract(&touched, &dead);
        self.discount(&leaving);
        self.members.tidy();
        self.all -= dead;
    }

    /// Labels of `series`; `None` if the index does not hold it.
    pub fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.cursor(&Projection::All).labels(series)
    }

    /// Reads the labels of many series, those that `projection` asks for.
    pub fn cursor(&self, projection: &Projection) -> LabelsCursor<'_> {
        LabelsCursor::new(self, projection)
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
        let mut names: Vec<&str> = match within {
            None => self.pairs.names().collect(),
            Some(within) => self.pairs_of(within).map(|pair| self.pairs.text(pair).0).collect(),
        };
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(String::from).collect()
    }

    /// Values of the label `name` among the series in `within` (among all series if `None`), sorted.
    pub fn label_values(&self, name: &str, within: Option<&RoaringBitmap>) -> Vec<String> {
        let has_series = |pair: &PairId| {
            within.is_none_or(|within| self.pairs.postings(*pair).is_some_and(|p| p.intersects(within)))
        };
        let mut values: Vec<&str> = match within {
            Some(within) if within.len() < self.pairs.value_count(name) as u64 / 4 => {
                let of_name = |pair: &PairId| self.pairs.text(*pair).0 == name;
                self.pairs_of(within).filter(of_name).map(|pair| self.pairs.text(pair).1).collect()
            }
            _ => self.pairs.of_name(name).filter(has_series).map(|pair| self.pairs.text(pair).1).collect(),
        };
        values.sort_unstable();
        values.into_iter().map(String::from).collect()
    }

    /// The series in `of` that the index holds, in order of their labels: the order in which a block is written. See
    /// [`sorted_series`] for how not to keep others from the index meanwhile.
    pub fn sorted_series(&self, of: &RoaringBitmap) -> Vec<SeriesRef> {
        sorted_series(of, &mut |work| work(self))
    }

    /// Number of distinct label pairs.
    pub fn pair_count(&self) -> usize {
        self.pairs.len()
    }

    /// Bytes of memory in use, estimated from capacities. Walks all postings: for statistics, not for every append.
    pub fn memory_bytes(&self) -> usize {
        self.pairs.memory_bytes() + self.members.memory_bytes() + bitmap_bytes(&self.all)
    }

    /// Gives back memory that growth or removals have left unused. Walks all postings: worth it once in minutes, after
    /// many new series.
    pub fn shrink(&mut self) {
        let mut step = Some(0);
        while let Some(this) = step {
            step = self.shrink_step(this);
        }
    }

    /// A short step of [`shrink`](Self::shrink); returns the number of the next one. The first has the number 0.
    pub fn shrink_step(&mut self, step: usize) -> Option<usize> {
        const PAIRS: usize = 256;
        if step == 0 {
            self.all.optimize();
        }
        self.pairs.shrink(step.saturating_mul(PAIRS), PAIRS).then_some(step.saturating_add(1))
    }

    /// The table of label pairs.
    pub(crate) fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// The pairs of `series` in order of label names.
    pub(crate) fn pairs_of_series(&self, series: u32) -> impl Iterator<Item = PairId> {
        self.members.pairs(series)
    }

    fn pairs_of(&self, series: &RoaringBitmap) -> impl Iterator<Item = PairId> {
        let pairs: RoaringBitmap =
            series.iter().flat_map(|series| self.members.pairs(series)).map(|pair| pair.0).collect();
        pairs.into_iter().map(PairId)
    }
}

impl Lookup for LiveIndex {
    fn all(&self) -> Result<RoaringBitmap, Corruption> {
        Ok(self.all.clone())
    }

    fn with_pair(&self, name: &str, value: &str) -> Result<Cow<'_, RoaringBitmap>, Corruption> {
        Ok(match self.pairs.find(name, value).and_then(|pair| self.pairs.postings(pair)) {
            None => Cow::Owned(RoaringBitmap::new()),
            Some(Postings::Many(large)) => Cow::Borrowed(large.series()),
            Some(few) => Cow::Owned(few.to_bitmap()),
        })
    }

    fn estimate(&self, name: &str, value: &str) -> Result<u64, Corruption> {
        let postings = self.pairs.find(name, value).and_then(|pair| self.pairs.postings(pair));
        Ok(postings.map_or(0, Postings::len))
    }

    fn value_count(&self, name: &str) -> Result<u64, Corruption> {
        Ok(self.pairs.value_count(name) as u64)
    }

    fn union(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, Corruption> {
        let mut union = Union::default();
        for pair in self.pairs.of_name(name) {
            let (_, value) = self.pairs.text(pair);
            if value.starts_with(prefix)
                && keep(value)
                && let Some(postings) = self.pairs.postings(pair)
            {
                union.add(postings);
            }
        }
        Ok(union.finish())
    }

    fn filter(
        &self,
        candidates: &RoaringBitmap,
        name: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, Corruption> {
        let value_of = |series| {
            let mut pairs = self.members.pairs(series).map(|pair| self.pairs.text(pair));
            pairs.find(|(candidate, _)| *candidate == name).map_or("", |(_, value)| value)
        };
        Ok(candidates.iter().filter(|series| keep(value_of(*series))).collect())
    }
}
