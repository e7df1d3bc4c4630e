//! Several sets as one: series joined by labels, their samples in one column.

use super::DamageLog;
use hashbrown::HashTable;
use std::sync::Arc;
use tsdb_core::read::{ReadError, SampleColumns, SeriesSet};
use tsdb_core::{Labels, is_stale_nan};
use tsdb_rollup::merge;

/// A union of sets. At equal timestamps the later set is believed, or the earlier one. A part that is damaged is left out and named.
pub(super) struct MergedSet {
    sources: Vec<Box<dyn SeriesSet>>,
    series: Vec<Joined>,
    links: Vec<Link>,
    keeps_first: bool,
    /// Damage that this set met.
    met: DamageLog,
    log: Arc<DamageLog>,
    /// What was known to be missing before.
    missing: Vec<String>,
}

/// A series and the first and last of its links.
struct Joined {
    labels: Labels,
    first: usize,
    last: usize,
}

/// One source of a series.
struct Link {
    source: usize,
    index: usize,
    next: Option<usize>,
}

impl MergedSet {
    /// Joins `sources`. `damage` was met while they were selected; what is met while reading is
    /// added to it. All of it is noted in `log`.
    pub(super) fn new(sources: Vec<Box<dyn SeriesSet>>, damage: Vec<ReadError>, log: Arc<DamageLog>) -> Self {
        let mut set = Self {
            sources: Vec::new(),
            series: Vec::new(),
            links: Vec::new(),
            keeps_first: false,
            met: DamageLog::default(),
            log,
            missing: Vec::new(),
        };
        damage.iter().for_each(|error| set.note(error));
        if let [only] = &sources[..] {
            set.add_all_of(only.as_ref());
            set.sources = sources;
            return set;
        }
        let most = sources.iter().map(|source| source.len()).max().unwrap_or(0);
        let mut known: HashTable<usize> = HashTable::with_capacity(most);
        for (number, source) in sources.iter().enumerate() {
            for index in 0..source.len() {
                set.add(&mut known, source.labels(index), number, index);
            }
        }
        set.sources = sources;
        set
    }

    /// At equal timestamps the earlier set is believed, if `keeps_first`.
    pub(super) fn keeping_first(mut self, keeps_first: bool) -> Self {
        self.keeps_first = keeps_first;
        self
    }

    /// Says also what was known to be missing before anything was read.
    pub(super) fn lacking(mut self, missing: Vec<String>) -> Self {
        self.missing = missing;
        self
    }

    fn note(&self, error: &ReadError) {
        self.met.note(error);
        self.log.note_and_tell(error);
    }

    /// Adds the series of the only source, which need not be joined.
    fn add_all_of(&mut self, only: &dyn SeriesSet) {
        for index in 0..only.len() {
            self.links.push(Link { source: 0, index, next: None });
            self.series.push(Joined { labels: only.labels(index), first: index, last: index });
        }
    }

    fn add(&mut self, known: &mut HashTable<usize>, labels: Labels, source: usize, index: usize) {
        let link = self.links.len();
        self.links.push(Link { source, index, next: None });
        let hash = labels.stable_hash();
        let is_it = |entry: &usize| self.series.get(*entry).is_some_and(|joined| joined.labels == labels);
        match known.find(hash, is_it).copied().and_then(|entry| self.series.get_mut(entry)) {
            Some(joined) => {
                if let Some(last) = self.links.get_mut(joined.last) {
                    last.next = Some(link);
                }
                joined.last = link;
            }
            None => {
                let hash_of = |entry: &usize| self.series.get(*entry).map_or(0, |j| j.labels.stable_hash());
                known.insert_unique(hash, self.series.len(), hash_of);
                self.series.push(Joined { labels, first: link, last: link });
            }
        }
    }

    /// Replaces `into` by what the sources have of a series, but for damaged ones.
    fn join(&self, index: usize, into: &mut SampleColumns) {
        into.clear();
        let mut part = SampleColumns::new();
        let mut next = self.series.get(index).map(|joined| joined.first);
        while let Some(link) = next.and_then(|link| self.links.get(link)) {
            match self.sources.get(link.source).map(|source| source.read(link.index, &mut part)) {
                Some(Err(error)) => self.note(&error),
                // Where there is nothing yet, the columns change hands.
                _ if into.is_empty() => std::mem::swap(into, &mut part),
                _ if self.keeps_first => merge::add_missing(&part, into),
                _ => merge::add(&part, into),
            }
            next = link.next;
        }
    }

    /// As [`join`](Self::join), for sources that follow one another in time, with weights.
    fn join_weighted(&self, index: usize, into: &mut SampleColumns, weights: &mut Vec<u32>) {
        into.clear();
        weights.clear();
        let (mut part, mut part_weights) = (SampleColumns::new(), Vec::new());
        let mut next = self.series.get(index).map(|joined| joined.first);
        while let Some(link) = next.and_then(|link| self.links.get(link)) {
            let read = self.sources.get(link.source);
            match read.map(|source| source.read_weighted(link.index, &mut part, &mut part_weights)) {
                Some(Err(error)) => self.note(&error),
                _ => {
                    if part_weights.is_empty() {
                        part_weights = ones(&part);
                    }
                    weights.append(&mut part_weights);
                    merge::add(&part, into);
                }
            }
            next = link.next;
        }
    }

    /// The only source of a series that has but one.
    fn only_source(&self, index: usize) -> Option<(&dyn SeriesSet, usize)> {
        let link = self.links.get(self.series.get(index)?.first).filter(|link| link.next.is_none())?;
        Some((self.sources.get(link.source)?.as_ref(), link.index))
    }
}

impl SeriesSet for MergedSet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series.get(index).map(|joined| joined.labels.clone()).unwrap_or_default()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        match self.only_source(index) {
            None => self.join(index, into),
            Some((source, index)) => {
                if let Err(error) = source.read(index, into) {
                    into.clear();
                    self.note(&error);
                }
            }
        }
        Ok(())
    }

    fn read_weighted(
        &self,
        index: usize,
        into: &mut SampleColumns,
        weights: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        if self.resolution_ms().is_some() {
            self.join_weighted(index, into, weights);
            return Ok(());
        }
        weights.clear();
        self.read(index, into)
    }

    fn resolution_ms(&self) -> Option<i64> {
        self.sources.iter().filter_map(|source| source.resolution_ms()).max()
    }

    fn notes(&self) -> Vec<String> {
        self.sources.iter().flat_map(|source| source.notes()).collect()
    }

    fn estimated_samples(&self) -> u64 {
        self.sources.iter().map(|source| source.estimated_samples()).sum()
    }

    fn warnings(&self) -> Vec<String> {
        let sources = self.sources.iter().flat_map(|source| source.warnings());
        sources.chain(self.missing.iter().cloned()).chain(self.met.sentences()).collect()
    }
}

/// The weights of samples that stand for themselves.
fn ones(samples: &SampleColumns) -> Vec<u32> {
    let is_stale = |index: usize| match samples.histogram(index) {
        Some(histogram) => histogram.is_stale(),
        None => samples.values.get(index).is_none_or(|value| is_stale_nan(*value)),
    };
    (0..samples.len()).map(|index| u32::from(!is_stale(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::error::CorruptionKind;
    use tsdb_core::read::{Queryable, SelectHints};
    use tsdb_core::testing::MemStore;
    use tsdb_core::{Corruption, TimeRange, Timestamp};

    fn set(series: &[(&str, &[(Timestamp, f64)])]) -> Box<dyn SeriesSet> {
        let store = MemStore::new();
        for (name, samples) in series {
            let labels = Labels::from_pairs([("__name__", *name)]).unwrap();
            samples.iter().for_each(|(t, v)| store.put(&labels, *t, *v));
        }
        let querier = store.querier(TimeRange::ALL).unwrap();
        querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap()
    }

    fn merged(sources: Vec<Box<dyn SeriesSet>>) -> MergedSet {
        MergedSet::new(sources, Vec::new(), Arc::default())
    }

    fn read(set: &dyn SeriesSet, name: &str) -> Vec<(Timestamp, f64)> {
        let index = (0..set.len()).find(|i| set.labels(*i).metric_name() == name).unwrap();
        let mut columns = SampleColumns::new();
        set.read(index, &mut columns).unwrap();
        columns.timestamps.into_iter().zip(columns.values).collect()
    }

    #[test]
    fn equal_labels_become_one_series_in_order_of_time() {
        let merged = merged(vec![
            set(&[("a", &[(1, 1.0), (2, 2.0)]), ("b", &[(1, 9.0)])]),
            set(&[("a", &[(3, 3.0)])]),
            set(&[("a", &[(2, 2.5), (4, 4.0)]), ("c", &[(1, 5.0)])]),
        ]);
        assert_eq!(merged.len(), 3);
        assert_eq!(read(&merged, "a"), [(1, 1.0), (2, 2.5), (3, 3.0), (4, 4.0)]);
        assert_eq!(read(&merged, "b"), [(1, 9.0)]);
        assert_eq!(read(&merged, "c"), [(1, 5.0)]);
        assert_eq!(merged.warnings(), [""; 0]);
    }

    struct Unlabelled;

    impl SeriesSet for Unlabelled {
        fn len(&self) -> usize {
            2
        }

        fn labels(&self, _index: usize) -> Labels {
            Labels::empty()
        }

        fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
            into.push(0, index as f64);
            Ok(())
        }

        fn estimated_samples(&self) -> u64 {
            2
        }
    }

    #[test]
    fn series_of_the_only_set_stay_apart_although_their_labels_are_left_out() {
        let merged = merged(vec![Box::new(Unlabelled)]);
        assert_eq!(merged.len(), 2);
        let mut columns = SampleColumns::new();
        merged.read(1, &mut columns).unwrap();
        assert_eq!(columns.values, [1.0]);
    }

    #[test]
    fn the_first_value_is_kept_if_so_wanted() {
        let sets = vec![set(&[("a", &[(1, 1.0), (4, 4.0)])]), set(&[("a", &[(1, 9.0), (2, 2.0), (4, 9.0)])])];
        assert_eq!(read(&merged(sets).keeping_first(true), "a"), [(1, 1.0), (2, 2.0), (4, 4.0)]);
    }

    #[test]
    fn an_index_behind_the_end_has_neither_labels_nor_samples() {
        let merged = merged(vec![set(&[("a", &[(1, 1.0)])]), set(&[("b", &[(1, 1.0)])])]);
        let mut columns = SampleColumns::new();
        columns.push(1, 1.0);
        merged.read(2, &mut columns).unwrap();
        assert!(columns.is_empty() && merged.labels(2).is_empty());
    }

    struct Damaged;

    impl SeriesSet for Damaged {
        fn len(&self) -> usize {
            1
        }

        fn labels(&self, _index: usize) -> Labels {
            Labels::from_pairs([("__name__", "a")]).unwrap()
        }

        fn read(&self, _index: usize, _into: &mut SampleColumns) -> Result<(), ReadError> {
            let kind = CorruptionKind::Rule { rule: "the test is over" };
            Err(ReadError::Corrupt { origin: "block x".into(), source: Corruption::new("frame", 0, kind) })
        }

        fn estimated_samples(&self) -> u64 {
            1
        }
    }

    #[test]
    fn a_damaged_source_costs_its_samples_and_is_named_once() {
        let merged = merged(vec![Box::new(Damaged), set(&[("a", &[(3, 3.0)])])]);
        for _ in 0..2 {
            assert_eq!(read(&merged, "a"), [(3, 3.0)]);
        }
        assert_eq!(merged.warnings().len(), 1);
        assert!(merged.warnings()[0].contains("block x"), "{:?}", merged.warnings());
    }
}
