//! Samples of one series from several sources, merged by time.
//!
//! The usual case, sources that follow one another, is copying. Where they interleave, runs of samples that lie
//! before everything else are copied whole.
//!
//! What a histogram says about a counter reset is about the sample before it in its source. Where another one comes
//! before it now, it is found anew.

use std::borrow::Borrow;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;
use tsdb_core::Timestamp;
use tsdb_core::sample::{SampleColumns, SampleSlices};

/// Replaces `into` by the samples of all `sources`, in order of time, one per timestamp: that of the last source
/// which has one.
///
/// Each source must be in order of time itself; out of an unordered one some samples may be lost.
pub fn samples<S: Borrow<SampleColumns>>(sources: &[S], into: &mut SampleColumns) {
    into.clear();
    let mut cursors: Vec<Cursor<'_>> = sources
        .iter()
        .enumerate()
        .filter_map(|(source, columns)| Cursor::new(source, columns.borrow()))
        .collect();
    let total = cursors.iter().map(|cursor| cursor.samples.len()).sum();
    into.timestamps.reserve(total);
    into.values.reserve(total);
    cursors.sort_unstable_by_key(|cursor| cursor.head);
    if cursors.is_sorted_by(|before, after| before.last() < after.head) {
        cursors.iter().for_each(|cursor| cursor.copy(cursor.samples.len(), into));
    } else {
        interleave(cursors, into);
    }
}

/// Adds the samples of `later` to those of `into`; at equal timestamps, `later` is believed.
///
/// Both must be in order of time.
pub fn add(later: &SampleColumns, into: &mut SampleColumns) {
    if !follow(later, into) {
        let earlier = std::mem::take(into);
        samples(&[&earlier, later], into);
    }
}

/// Adds the samples of `later` to those of `into`; at equal timestamps, what is in `into` is believed.
///
/// Both must be in order of time.
pub fn add_missing(later: &SampleColumns, into: &mut SampleColumns) {
    if !follow(later, into) {
        let earlier = std::mem::take(into);
        samples(&[later, &earlier], into);
    }
}

/// Adds the samples of `later` behind those of `into`, if that is all there is to do. Says whether it was.
fn follow(later: &SampleColumns, into: &mut SampleColumns) -> bool {
    let follows = match (into.timestamps.last(), later.timestamps.first()) {
        (Some(last), Some(first)) => last < first,
        _ => true,
    };
    if follows {
        join(later.as_slices(), into);
    }
    follows
}

fn interleave(cursors: Vec<Cursor<'_>>, into: &mut SampleColumns) {
    let mut heap: BinaryHeap<Reverse<Cursor<'_>>> = cursors.into_iter().map(Reverse).collect();
    while let Some(Reverse(first)) = heap.pop() {
        // A sample at a timestamp that is already there comes from an earlier source: the heap orders them so.
        let superseded = into.timestamps.last().is_some_and(|last| first.head <= *last);
        let count = match heap.peek() {
            _ if superseded => 1,
            Some(Reverse(next)) => first.run_before(next.head).max(1),
            None => first.samples.len(),
        };
        if !superseded {
            first.copy(count, into);
        }
        heap.extend(first.advance(count).map(Reverse));
    }
}

/// What is left of one source; never nothing. Ordered by the next timestamp, of equal ones the later source first.
struct Cursor<'a> {
    /// The next timestamp.
    head: Timestamp,
    source: usize,
    samples: SampleSlices<'a>,
}

impl<'a> Cursor<'a> {
    fn new(source: usize, columns: &'a SampleColumns) -> Option<Self> {
        let samples = columns.as_slices();
        Some(Self { head: *samples.timestamps().first()?, source, samples })
    }

    fn last(&self) -> Timestamp {
        self.samples.timestamps().last().copied().unwrap_or(self.head)
    }

    /// How many of the next samples lie before `bound`.
    fn run_before(&self, bound: Timestamp) -> usize {
        // Galloping: short runs cost little, long ones a logarithm.
        let timestamps = self.samples.timestamps();
        let mut reach = 1;
        while timestamps.get(reach).is_some_and(|timestamp| *timestamp < bound) {
            reach *= 2;
        }
        let window = timestamps.get(..reach).unwrap_or(timestamps);
        window.partition_point(|timestamp| *timestamp < bound)
    }

    fn copy(&self, count: usize, into: &mut SampleColumns) {
        join(self.samples.split_at(count).0, into);
    }

    fn advance(self, count: usize) -> Option<Self> {
        let (_, samples) = self.samples.split_at(count);
        Some(Self { head: *samples.timestamps().first()?, source: self.source, samples })
    }
}

/// Adds samples behind those of `into`. What the first of them says about a counter reset is found anew.
fn join(samples: SampleSlices<'_>, into: &mut SampleColumns) {
    let seam = into.len();
    into.extend(samples);
    renew_seam(into, seam);
}

/// Finds anew what the sample at `seam` says about a counter reset: another one than before may come before it now.
pub fn renew_seam(into: &mut SampleColumns, seam: usize) {
    let Some((before, after)) = into.histograms.split_at_mut_checked(seam) else { return };
    let (Some(previous), Some(Some(histogram))) = (before.last(), after.first_mut()) else { return };
    let hint = histogram.hint_after(previous.as_deref());
    if histogram.reset_hint() != hint {
        Arc::make_mut(histogram).set_reset_hint(hint);
    }
}

impl Ord for Cursor<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.head, Reverse(self.source)).cmp(&(other.head, Reverse(other.source)))
    }
}

impl PartialOrd for Cursor<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Cursor<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint};

    fn columns(samples: &[(i64, f64)]) -> SampleColumns {
        let mut columns = SampleColumns::new();
        samples.iter().for_each(|(timestamp, value)| columns.push(*timestamp, *value));
        columns
    }

    fn merged(sources: &[SampleColumns]) -> SampleColumns {
        let mut into = columns(&[(1, 1.0)]);
        samples(sources, &mut into);
        into
    }

    #[test]
    fn nothing_merges_to_nothing() {
        assert_eq!(merged(&[]), SampleColumns::new());
        assert_eq!(merged(&[SampleColumns::new(), SampleColumns::new()]), SampleColumns::new());
    }

    #[test]
    fn sources_apart_are_joined_in_order_of_time() {
        let sources = [columns(&[(30, 3.0)]), columns(&[]), columns(&[(10, 1.0), (20, 2.0)])];
        assert_eq!(merged(&sources), columns(&[(10, 1.0), (20, 2.0), (30, 3.0)]));
    }

    #[test]
    fn of_equal_timestamps_the_later_source_is_believed() {
        let old = columns(&[(10, 1.0), (20, 1.0), (30, 1.0)]);
        let new = columns(&[(20, 2.0), (25, 2.0)]);
        let expected = columns(&[(10, 1.0), (20, 2.0), (25, 2.0), (30, 1.0)]);
        assert_eq!(merged(&[old.clone(), new.clone()]), expected);
        let expected = columns(&[(10, 1.0), (20, 1.0), (25, 2.0), (30, 1.0)]);
        assert_eq!(merged(&[new, old]), expected);
    }

    #[test]
    fn what_is_there_is_believed_where_only_missing_samples_are_added() {
        let mut into = columns(&[(10, 1.0), (20, 1.0)]);
        add_missing(&columns(&[(5, 2.0), (20, 2.0), (25, 2.0)]), &mut into);
        assert_eq!(into, columns(&[(5, 2.0), (10, 1.0), (20, 1.0), (25, 2.0)]));
        add_missing(&columns(&[(30, 3.0)]), &mut into);
        assert_eq!(into.timestamps.last(), Some(&30));
    }

    #[test]
    fn touching_sources_are_overlapping_ones() {
        let sources = [columns(&[(10, 1.0), (20, 1.0)]), columns(&[(20, 2.0), (30, 2.0)])];
        assert_eq!(merged(&sources), columns(&[(10, 1.0), (20, 2.0), (30, 2.0)]));
    }

    fn histogram(count: f64, reset_hint: ResetHint) -> Arc<FloatHistogram> {
        let parts = FloatParts { count, reset_hint, ..FloatParts::default() };
        Arc::new(FloatHistogram::new(parts).unwrap())
    }

    /// A source of histograms in which none is reset.
    fn histograms(samples: &[(i64, f64)]) -> SampleColumns {
        let mut columns = SampleColumns::new();
        for (timestamp, count) in samples {
            columns.push_histogram(*timestamp, histogram(*count, ResetHint::NotReset));
        }
        columns
    }

    #[test]
    fn what_is_known_of_counter_resets_is_found_anew_where_sources_meet() {
        let hints = |sources: &[SampleColumns]| -> Vec<_> {
            let merged = merged(sources);
            merged.histograms.into_iter().map(|histogram| histogram.map(|h| h.reset_hint())).collect()
        };
        let (none, unknown) = (Some(ResetHint::NotReset), Some(ResetHint::Unknown));
        let old = || histograms(&[(10, 1.0), (20, 2.0), (30, 3.0)]);
        assert_eq!(hints(&[old(), histograms(&[(40, 4.0), (50, 5.0)])]), [none; 5]);
        assert_eq!(hints(&[old(), histograms(&[(40, 1.0), (50, 5.0)])]), [none, none, none, unknown, none]);
        assert_eq!(hints(&[old(), histograms(&[(25, 9.0)])]), [none, none, none, unknown]);
        assert_eq!(hints(&[old(), histograms(&[(20, 9.0)])]), [none, none, unknown]);
        assert_eq!(hints(&[old(), columns(&[(25, 9.0)])]), [none, none, None, unknown]);
    }

    #[test]
    fn start_timestamps_stay_with_their_samples() {
        let mut old = columns(&[(10, 1.0)]);
        old.set_start(7);
        old.push(30, 3.0);
        let mut new = columns(&[(20, 2.0), (30, 3.5)]);
        new.set_start(9);
        assert_eq!(merged(&[old, new]).starts, [7, 0, 9]);
    }

    #[test]
    fn columns_may_be_borrowed() {
        let (one, two) = (columns(&[(1, 1.0)]), columns(&[(2, 2.0)]));
        let mut into = SampleColumns::new();
        samples(&[&one, &two], &mut into);
        assert_eq!(into, columns(&[(1, 1.0), (2, 2.0)]));
    }

    #[test]
    fn unordered_and_uneven_columns_do_no_harm() {
        let mut uneven = columns(&[(5, 1.0), (3, 1.0), (4, 1.0)]);
        uneven.values.pop();
        let result = merged(&[uneven, columns(&[(4, 2.0)])]);
        assert_eq!(result.timestamps.len(), result.values.len());
    }

    proptest! {
        #[test]
        fn merging_is_insertion_into_a_map(
            sources in prop::collection::vec(
                (-100_i64..100, prop::collection::btree_map(0_i64..60, any::<u64>(), 0..20)), 0..6),
        ) {
            let mut model = BTreeMap::new();
            let mut inputs = Vec::new();
            for (offset, source) in &sources {
                let mut input = SampleColumns::new();
                for (timestamp, bits) in source {
                    model.insert(timestamp + offset, *bits);
                    input.push(timestamp + offset, f64::from_bits(*bits));
                }
                inputs.push(input);
            }
            let mut into = SampleColumns::new();
            samples(&inputs, &mut into);
            let result: Vec<(i64, u64)> =
                into.timestamps.iter().copied().zip(into.values.iter().map(|v| v.to_bits())).collect();
            prop_assert_eq!(result, model.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(into.timestamps.len(), into.values.len());
            let mut added = SampleColumns::new();
            inputs.iter().for_each(|input| add(input, &mut added));
            prop_assert_eq!(format!("{added:?}"), format!("{into:?}"));
        }
    }

    /// A sample of the model: a number by its bits or the count of a histogram, and when its counting began.
    type Modelled = (Result<u64, u64>, i64);

    fn any_sample() -> impl Strategy<Value = Modelled> {
        let value = prop_oneof![any::<u64>().prop_map(Ok), (0..20_u64).prop_map(Err)];
        (value, prop_oneof![Just(0), -50..50_i64])
    }

    fn of_model(samples: &BTreeMap<i64, Modelled>) -> SampleColumns {
        let mut columns = SampleColumns::new();
        for (timestamp, (value, start)) in samples {
            match value {
                Ok(bits) => columns.push(*timestamp, f64::from_bits(*bits)),
                Err(count) => {
                    columns.push_histogram(*timestamp, histogram(*count as f64, ResetHint::Unknown))
                }
            }
            columns.set_start(*start);
        }
        columns.renew_reset_hints();
        columns
    }

    fn to_model(columns: &SampleColumns) -> Vec<(i64, Modelled)> {
        let sample = |index: usize| match columns.histogram(index) {
            Some(histogram) => Err(histogram.count() as u64),
            None => Ok(columns.values[index].to_bits()),
        };
        let at = |(index, timestamp): (usize, &i64)| (*timestamp, (sample(index), columns.start(index)));
        columns.timestamps.iter().enumerate().map(at).collect()
    }

    fn hints(columns: &SampleColumns) -> Vec<Option<ResetHint>> {
        (0..columns.len()).map(|index| columns.histogram(index).map(|h| h.reset_hint())).collect()
    }

    proptest! {
        #[test]
        fn histograms_and_start_timestamps_are_merged_as_in_a_map(
            sources in prop::collection::vec(prop::collection::btree_map(0_i64..40, any_sample(), 0..15), 0..5),
        ) {
            let inputs: Vec<_> = sources.iter().map(of_model).collect();
            let mut into = SampleColumns::new();
            samples(&inputs, &mut into);
            let (mut later_wins, mut earlier_wins) = (BTreeMap::new(), BTreeMap::new());
            for source in &sources {
                later_wins.extend(source.clone());
                source.iter().for_each(|(time, sample)| { earlier_wins.entry(*time).or_insert(*sample); });
            }
            prop_assert_eq!(to_model(&into), Vec::from_iter(later_wins.clone()));
            let (mut added, mut completed) = (SampleColumns::new(), SampleColumns::new());
            for input in &inputs {
                add(input, &mut added);
                add_missing(input, &mut completed);
            }
            prop_assert_eq!(to_model(&added), Vec::from_iter(later_wins));
            prop_assert_eq!(to_model(&completed), Vec::from_iter(earlier_wins));
            for columns in [&into, &added, &completed] {
                // Columns are as long as there are samples, or empty where no sample says anything.
                let len = columns.timestamps.len();
                prop_assert_eq!(columns.values.len(), len);
                prop_assert!(columns.histograms.is_empty() || columns.histograms.len() == len);
                prop_assert!(columns.starts.is_empty() || columns.starts.len() == len);
            }
        }

        #[test]
        fn no_merged_histogram_claims_that_nothing_was_reset_where_its_count_fell(
            sources in prop::collection::vec(prop::collection::btree_map(0_i64..40, any_sample(), 0..15), 0..5),
        ) {
            let inputs: Vec<_> = sources.iter().map(of_model).collect();
            let mut into = SampleColumns::new();
            samples(&inputs, &mut into);
            for (index, hint) in hints(&into).into_iter().enumerate() {
                let before = index.checked_sub(1).and_then(|before| into.histogram(before));
                let count = |histogram: &Arc<FloatHistogram>| histogram.count();
                if hint == Some(ResetHint::NotReset) {
                    prop_assert!(before.map(count) <= into.histogram(index).map(count) && before.is_some());
                }
            }
        }
    }
}
