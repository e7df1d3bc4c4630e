//! The samples of one plain series in memory, which are numbers alone: sealed chunks and the open one.
//!
//! Samples are in order of time and times are unique, over all chunks. Sealed chunks never change, so readers share
//! them; of the open chunk they take a copy. A chunk that lies on both sides of a cut stays whole until its last
//! sample is in a block: readers filter by time.

use super::sealed::{Sealed, Sealer};
use tsdb_core::chunk::xor::{self, XorChunk};
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange, Timestamp};

/// Samples after which the open chunk is sealed.
pub(crate) const CHUNK_SAMPLES: usize = 120;

/// One series.
#[derive(Debug, Default)]
pub(crate) struct Series {
    open: XorChunk,
    sealed: Vec<Sealed>,
    state: State,
}

/// What the place of a series is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Nothing: the number is not in use.
    #[default]
    Vacant,
    /// All samples of the series.
    Plain,
    /// Samples from before the series was a mixed one.
    Mixed,
}

/// What became of an accepted sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is new and stored in order.
    Stored,
    /// It replaces another and is stored in order.
    Replaced,
    /// It is new, or replaces another, and is stored as a late one.
    Late,
    /// The series had it already.
    Repeated,
}

/// What a reader takes from a series under its lock, to decode without it.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    sealed: Vec<Sealed>,
    open: Vec<u8>,
}

impl Series {
    /// A series without samples whose number is in use.
    pub(crate) fn begun() -> Self {
        Self { state: State::Plain, ..Self::default() }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state != State::Vacant
    }

    /// Is the number in use, and are all samples here?
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.state == State::Plain
    }

    /// Notes whether all samples from now on come here.
    pub(crate) fn set_plain(&mut self, is_plain: bool) {
        self.state = if is_plain { State::Plain } else { State::Mixed };
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.sealed.is_empty()
    }

    /// Adds a sample behind the others. Says whether it is behind the others, and leaves all as it is if not.
    #[inline]
    pub(crate) fn append(&mut self, timestamp: Timestamp, value: f64, sealer: &mut Sealer) -> bool {
        let is_newer = self.last().is_none_or(|newest| timestamp > newest);
        if is_newer {
            self.push(timestamp, value, sealer);
        }
        is_newer
    }

    /// Forgets the chunks that have no sample at or after `min_time`.
    pub(crate) fn truncate(&mut self, min_time: Timestamp) {
        self.sealed.retain(|chunk| chunk.reaches(min_time));
        self.sealed.shrink_to_fit();
        if self.open.last_timestamp().is_some_and(|last| last < min_time) {
            self.open = XorChunk::new();
        }
    }

    /// Times of the first and the last sample.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        let sealed = self.sealed.first().and_then(Sealed::range);
        let first = sealed.map(|range| range.start()).or(self.open.first_timestamp())?;
        TimeRange::new(first, self.last()?)
    }

    /// Takes the chunks that may have samples within `range`.
    pub(crate) fn snapshot(&self, range: TimeRange) -> Snapshot {
        let sealed = self.sealed.iter().filter(|chunk| chunk.overlaps(&range)).cloned().collect();
        let open_range = self.open.first_timestamp().zip(self.open.last_timestamp());
        let open = match open_range.and_then(|(first, last)| TimeRange::new(first, last)) {
            Some(times) if times.overlaps(&range) => self.open.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        Snapshot { sealed, open }
    }

    /// An upper estimate of the samples within `range`.
    pub(crate) fn estimate(&self, range: TimeRange) -> usize {
        let sealed = self.sealed.iter().filter(|chunk| chunk.overlaps(&range)).count() * CHUNK_SAMPLES;
        sealed + self.open.len()
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let sealed: usize = self.sealed.iter().map(Sealed::heap_bytes).sum();
        sealed + self.sealed.capacity() * size_of::<Sealed>() + self.open.heap_bytes()
    }

    /// The time of the newest sample.
    #[inline]
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.open.last_timestamp().or_else(|| self.sealed.last()?.range().map(|range| range.end()))
    }

    /// Adds a sample that is newer than all others.
    #[inline]
    pub(crate) fn push(&mut self, timestamp: Timestamp, value: f64, sealer: &mut Sealer) {
        if self.open.len() >= CHUNK_SAMPLES {
            self.seal(sealer);
        }
        let pushed = self.open.push(timestamp, value);
        debug_assert!(pushed.is_ok(), "the caller checked the order, the chunk has room: {pushed:?}");
    }

    /// Seals the open chunk. One that cannot be sealed stays open and grows on.
    #[cold]
    fn seal(&mut self, sealer: &mut Sealer) {
        if let Some(sealed) = sealer.seal(&self.open) {
            self.sealed.push(sealed);
            self.open = XorChunk::new();
        }
    }
}

impl Snapshot {
    /// Appends the samples within `range` to `into`.
    pub(crate) fn decode(&self, range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
        for chunk in &self.sealed {
            chunk.decode(range, into)?;
        }
        if !self.open.is_empty() {
            xor::decode_range(&self.open, range, into)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &[(Timestamp, f64)]) -> Series {
        let (mut series, mut sealer) = (Series::begun(), Sealer::default());
        for (timestamp, value) in samples {
            assert!(series.append(*timestamp, *value, &mut sealer));
        }
        series
    }

    fn samples(series: &Series, range: TimeRange) -> Vec<(Timestamp, u64)> {
        let mut columns = SampleColumns::new();
        series.snapshot(range).decode(range, &mut columns).unwrap();
        columns.timestamps.iter().copied().zip(columns.values.iter().map(|v| v.to_bits())).collect()
    }

    #[test]
    fn chunks_are_sealed_and_read_as_one() {
        let all: Vec<_> = (0..1000_i64).map(|t| (t * 15_000, t as f64)).collect();
        let series = series(&all);
        assert_eq!(series.sealed.len(), 8);
        let expected: Vec<_> = all.iter().map(|(t, v)| (*t, v.to_bits())).collect();
        assert_eq!(samples(&series, TimeRange::ALL), expected);
        let range = TimeRange::new(119 * 15_000, 240 * 15_000).unwrap();
        assert_eq!(samples(&series, range), expected[119..=240]);
    }

    #[test]
    fn a_sample_that_is_not_behind_the_others_changes_nothing() {
        let all: Vec<_> = (0..200).map(|t| (t, t as f64)).collect();
        let mut series = series(&all);
        for timestamp in [199, 3, -1] {
            assert!(!series.append(timestamp, 5.5, &mut Sealer::default()));
        }
        assert_eq!(samples(&series, TimeRange::ALL).len(), 200);
    }

    #[test]
    fn truncation_keeps_chunks_that_reach_over_the_cut() {
        let all: Vec<_> = (0..250_i64).map(|t| (t, 0.5)).collect();
        let mut series = series(&all);
        series.truncate(130);
        assert_eq!(series.range(), TimeRange::new(120, 249));
        series.truncate(249);
        assert_eq!(series.range(), TimeRange::new(240, 249));
        series.truncate(250);
        assert!(series.is_empty() && series.is_live());
    }
}
