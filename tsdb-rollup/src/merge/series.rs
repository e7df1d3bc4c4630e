//! Series from several sources, joined by labels.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use tsdb_core::Labels;

/// A series and what the sources have of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined<P> {
    /// Which series.
    pub labels: Labels,
    /// What each source that knows the series has of it, in order of the sources. Never empty.
    pub parts: Vec<P>,
}

/// Joins streams of series.
///
/// Each stream must be sorted by labels. The result is sorted by labels, and each series of all streams is in it once.
/// After an error of one of the streams there is nothing more: what follows could not be complete.
pub struct SeriesMerger<I, P> {
    streams: Vec<I>,
    heads: BinaryHeap<Reverse<Head<P>>>,
    started: bool,
}

impl<I, P, E> SeriesMerger<I, P>
where
    I: Iterator<Item = Result<(Labels, P), E>>,
{
    /// A merger of `streams`, in order of the sources, old to new.
    pub fn new(streams: impl IntoIterator<Item = I>) -> Self {
        Self { streams: streams.into_iter().collect(), heads: BinaryHeap::new(), started: false }
    }

    fn advance(&mut self) -> Result<Option<Joined<P>>, E> {
        if !self.started {
            self.started = true;
            for source in 0..self.streams.len() {
                self.heads.extend(pull(&mut self.streams, source)?);
            }
        }
        let Some(head) = self.heads.peek_mut() else { return Ok(None) };
        let (labels, part) = replace(head, &mut self.streams)?;
        let mut parts = vec![part];
        while let Some(head) = self.heads.peek_mut() {
            if head.0.labels != labels {
                break;
            }
            parts.push(replace(head, &mut self.streams)?.1);
        }
        Ok(Some(Joined { labels, parts }))
    }
}

impl<I, P, E> Iterator for SeriesMerger<I, P>
where
    I: Iterator<Item = Result<(Labels, P), E>>,
{
    type Item = Result<Joined<P>, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let joined = self.advance();
        if joined.is_err() {
            self.heads.clear();
            self.started = true;
        }
        joined.transpose()
    }
}

/// The next series of one stream. Ordered by labels, of equal ones the earlier source first.
struct Head<P> {
    labels: Labels,
    source: usize,
    part: P,
}

/// The next series of the stream `source`.
fn pull<I, P, E>(streams: &mut [I], source: usize) -> Result<Option<Reverse<Head<P>>>, E>
where
    I: Iterator<Item = Result<(Labels, P), E>>,
{
    let next = streams.get_mut(source).and_then(Iterator::next).transpose()?;
    Ok(next.map(|(labels, part)| Reverse(Head { labels, source, part })))
}

/// Takes the first series and puts the next of the same stream in its place.
fn replace<I, P, E>(mut first: PeekMut<'_, Reverse<Head<P>>>, streams: &mut [I]) -> Result<(Labels, P), E>
where
    I: Iterator<Item = Result<(Labels, P), E>>,
{
    let taken = match pull(streams, first.0.source)? {
        Some(next) => std::mem::replace(&mut *first, next),
        None => PeekMut::pop(first),
    };
    Ok((taken.0.labels, taken.0.part))
}

impl<P> Ord for Head<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.labels.cmp(&other.labels).then(self.source.cmp(&other.source))
    }
}

impl<P> PartialOrd for Head<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for Head<P> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<P> Eq for Head<P> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;

    fn series(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)]).unwrap()
    }

    fn stream<E>(names: &[&str], part: u32) -> std::vec::IntoIter<Result<(Labels, u32), E>> {
        let items: Vec<_> = names.iter().map(|name| Ok((series(name), part))).collect();
        items.into_iter()
    }

    #[test]
    fn equal_series_are_joined_in_order_of_the_sources() {
        let merger = SeriesMerger::new([
            stream::<Infallible>(&["a", "c"], 0),
            stream(&[], 1),
            stream(&["a", "b", "c"], 2),
        ]);
        let joined: Vec<_> = merger.map(Result::unwrap).collect();
        let expected = [("a", vec![0, 2]), ("b", vec![2]), ("c", vec![0, 2])];
        let expected = expected.map(|(name, parts)| Joined { labels: series(name), parts });
        assert_eq!(joined, expected);
    }

    #[test]
    fn an_error_ends_the_stream() {
        let failing = vec![Ok((series("a"), 0)), Err("torn"), Ok((series("c"), 0))].into_iter();
        let mut merger = SeriesMerger::new([failing, stream(&["b"], 1)]);
        assert_eq!(merger.next(), Some(Err("torn")));
        assert_eq!(merger.next(), None);
        assert_eq!(merger.next(), None);
    }

    #[test]
    fn an_error_in_front_ends_the_stream_too() {
        let failing = vec![Err("torn"), Ok((series("c"), 0))].into_iter();
        let mut merger = SeriesMerger::new([stream(&["b"], 1), failing]);
        assert_eq!(merger.next(), Some(Err("torn")));
        assert_eq!(merger.next(), None);
    }

    proptest! {
        #[test]
        fn merging_is_grouping_in_a_map(sources in prop::collection::vec(prop::collection::btree_set("[a-d]{1,2}", 0..8), 0..5)) {
            let mut model: BTreeMap<Labels, Vec<usize>> = BTreeMap::new();
            let mut streams = Vec::new();
            for (source, names) in sources.iter().enumerate() {
                let sorted: BTreeSet<Labels> = names.iter().map(|name| series(name)).collect();
                for labels in &sorted {
                    model.entry(labels.clone()).or_default().push(source);
                }
                let items: Vec<Result<_, Infallible>> = sorted.into_iter().map(|labels| Ok((labels, source))).collect();
                streams.push(items.into_iter());
            }
            let joined: Vec<_> = SeriesMerger::new(streams).map(|j| j.unwrap()).map(|j| (j.labels, j.parts)).collect();
            prop_assert_eq!(joined, model.into_iter().collect::<Vec<_>>());
        }
    }
}
