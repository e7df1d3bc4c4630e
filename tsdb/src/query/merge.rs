//! Several sets as one: series joined by labels, their samples in one column.

use hashbrown::HashTable;
use tsdb_core::Labels;
use tsdb_core::read::{ReadError, SampleColumns, SeriesSet};

/// A union of sets. At equal timestamps the earlier set wins.
pub(super) struct MergedSet {
    sources: Vec<Box<dyn SeriesSet>>,
    series: Vec<Joined>,
    links: Vec<Link>,
    warnings: Vec<String>,
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

/// Joins `sources`, which should be in order of time, and adds `warnings` to theirs.
pub(super) fn merge(mut sources: Vec<Box<dyn SeriesSet>>, warnings: Vec<String>) -> Box<dyn SeriesSet> {
    sources.retain(|source| !source.is_empty() || !source.warnings().is_empty());
    match (sources.len(), warnings.is_empty(), sources.pop()) {
        (1, true, Some(only)) => only,
        (_, _, last) => {
            sources.extend(last);
            Box::new(MergedSet::new(sources, warnings))
        }
    }
}

impl MergedSet {
    fn new(sources: Vec<Box<dyn SeriesSet>>, mut warnings: Vec<String>) -> Self {
        warnings.extend(sources.iter().flat_map(|source| source.warnings()));
        let mut set = Self { sources: Vec::new(), series: Vec::new(), links: Vec::new(), warnings };
        let mut known: HashTable<usize> = HashTable::new();
        for (number, source) in sources.iter().enumerate() {
            for index in 0..source.len() {
                set.add(&mut known, source.labels(index), number, index);
            }
        }
        set.sources = sources;
        set
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

    fn read_link(&self, link: &Link, into: &mut SampleColumns) -> Result<(), ReadError> {
        self.sources.get(link.source).map_or(Ok(()), |source| source.read(link.index, into))
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
        into.clear();
        let mut next = self.series.get(index).map(|joined| joined.first);
        let mut part = SampleColumns::new();
        while let Some(link) = next.and_then(|link| self.links.get(link)) {
            let read = if into.is_empty() {
                self.read_link(link, into)
            } else {
                self.read_link(link, &mut part).map(|()| append(into, &part))
            };
            read.inspect_err(|_| into.clear())?;
            next = link.next;
        }
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        self.sources.iter().map(|source| source.estimated_samples()).sum()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

/// Adds the samples of `part` to `into`. Parts usually follow each other in time; if not, they are interleaved.
fn append(into: &mut SampleColumns, part: &SampleColumns) {
    let follows =
        into.timestamps.last().zip(part.timestamps.first()).is_none_or(|(last, first)| last < first);
    if follows {
        into.timestamps.extend_from_slice(&part.timestamps);
        into.values.extend_from_slice(&part.values);
    } else {
        *into = interleave(into, part);
    }
}

fn interleave(a: &SampleColumns, b: &SampleColumns) -> SampleColumns {
    let mut merged = SampleColumns::new();
    let mut first = a.timestamps.iter().zip(&a.values).peekable();
    let mut second = b.timestamps.iter().zip(&b.values).peekable();
    loop {
        let take_first = match (first.peek(), second.peek()) {
            (Some((t, _)), Some((u, _))) if t == u => {
                second.next();
                true
            }
            (Some((t, _)), Some((u, _))) => t < u,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return merged,
        };
        let next = if take_first { first.next() } else { second.next() };
        next.into_iter().for_each(|(timestamp, value)| merged.push(*timestamp, *value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::read::{Queryable, SelectHints};
    use tsdb_core::testing::MemStore;
    use tsdb_core::{TimeRange, Timestamp};

    fn set(series: &[(&str, &[(Timestamp, f64)])]) -> Box<dyn SeriesSet> {
        let store = MemStore::new();
        for (name, samples) in series {
            let labels = Labels::from_pairs([("__name__", *name)]).unwrap();
            samples.iter().for_each(|(t, v)| store.put(&labels, *t, *v));
        }
        let querier = store.querier(TimeRange::ALL).unwrap();
        querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap()
    }

    fn read(set: &dyn SeriesSet, name: &str) -> Vec<(Timestamp, f64)> {
        let index = (0..set.len()).find(|i| set.labels(*i).metric_name() == name).unwrap();
        let mut columns = SampleColumns::new();
        set.read(index, &mut columns).unwrap();
        columns.timestamps.into_iter().zip(columns.values).collect()
    }

    #[test]
    fn equal_labels_become_one_series_in_order_of_time() {
        let merged = merge(
            vec![
                set(&[("a", &[(1, 1.0), (2, 2.0)]), ("b", &[(1, 9.0)])]),
                set(&[("a", &[(3, 3.0)])]),
                set(&[("a", &[(2, 7.0), (4, 4.0)]), ("c", &[(1, 5.0)])]),
            ],
            vec!["block x is missing".into()],
        );
        assert_eq!(merged.len(), 3);
        assert_eq!(read(&*merged, "a"), [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]);
        assert_eq!(read(&*merged, "b"), [(1, 9.0)]);
        assert_eq!(read(&*merged, "c"), [(1, 5.0)]);
        assert_eq!(merged.warnings(), ["block x is missing"]);
    }

    #[test]
    fn an_index_behind_the_end_has_neither_labels_nor_samples() {
        let merged = merge(vec![set(&[("a", &[(1, 1.0)])]), set(&[("b", &[(1, 1.0)])])], Vec::new());
        let mut columns = SampleColumns::new();
        columns.push(1, 1.0);
        merged.read(2, &mut columns).unwrap();
        assert!(columns.is_empty() && merged.labels(2).is_empty());
    }
}
