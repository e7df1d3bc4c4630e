//! Chunks that are full: columns, which decode some ten times faster than the stream that an open chunk is.
//!
//! Series of one scrape have the same timestamps, so sealed chunks share columns of them. Who seals looks only at the
//! column used last: neighbouring series are sealed one after the other, and a column that is not found again costs
//! memory, nothing else.

use std::sync::Arc;
use tsdb_core::chunk::xor::XorChunk;
use tsdb_core::pack::{Values, ValuesWriter};
use tsdb_core::sample::{SampleColumns, SampleSlices};
use tsdb_core::{Corruption, TimeRange, Timestamp};

/// A chunk that never changes again. A clone shares it.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    /// Not empty.
    times: Arc<[Timestamp]>,
    /// One packed column of as many values.
    values: Arc<[u8]>,
}

/// Seals chunks: working memory, and the column of timestamps that was used last.
#[derive(Debug)]
pub(crate) struct Sealer {
    columns: SampleColumns,
    values: ValuesWriter,
    times: Arc<[Timestamp]>,
}

impl Default for Sealer {
    fn default() -> Self {
        Self { columns: SampleColumns::new(), values: ValuesWriter::hasty(), times: Arc::default() }
    }
}

impl Sealer {
    /// The samples of `chunk`, which have this start timestamp; `None` if it has none or cannot be read, which no chunk
    /// written by this process is.
    pub(crate) fn seal(&mut self, chunk: &XorChunk, start: Timestamp) -> Option<Sealed> {
        self.columns.clear();
        chunk.decode(&mut self.columns).ok()?;
        self.columns.set_starts(0, start);
        let columns = std::mem::take(&mut self.columns);
        let sealed = self.seal_samples(columns.as_slices());
        self.columns = columns;
        sealed
    }

    /// `samples` of any kind; `None` if there are none, or more than a column takes.
    pub(crate) fn seal_samples(&mut self, samples: SampleSlices<'_>) -> Option<Sealed> {
        self.values.push_samples(0, samples).ok()?;
        let values = self.values.finish().into();
        if *self.times != *samples.timestamps() {
            self.times = samples.timestamps().into();
        }
        Some(Sealed { times: Arc::clone(&self.times), values })
    }
}

impl Sealed {
    /// One of these timestamps, which ascend, and as many values, packed.
    pub(crate) fn from_parts((times, values): (Arc<[Timestamp]>, Arc<[u8]>)) -> Self {
        Self { times, values }
    }

    /// Its timestamps, and its values, packed.
    pub(crate) fn parts(&self) -> (&[Timestamp], &[u8]) {
        (&self.times, &self.values)
    }

    /// Times of the first and the last sample.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        TimeRange::new(*self.times.first()?, *self.times.last()?)
    }

    /// Has it samples as late as `time`?
    pub(crate) fn reaches(&self, time: Timestamp) -> bool {
        self.times.last().is_some_and(|last| *last >= time)
    }

    /// May it have samples within `range`?
    pub(crate) fn overlaps(&self, range: &TimeRange) -> bool {
        self.range().is_some_and(|times| times.overlaps(range))
    }

    /// Appends the samples within `range` to `into`.
    pub(crate) fn decode(&self, range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
        Values::open(&self.values)?.read_samples(0, &self.times, range, into)
    }

    /// Bytes on the heap; those of the timestamps by the part of this chunk.
    pub(crate) fn heap_bytes(&self) -> usize {
        let sharers = Arc::strong_count(&self.times).max(1);
        let counts = 2 * size_of::<usize>();
        self.values.len() + counts + (size_of_val(&*self.times) + counts) / sharers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::NO_START;

    fn chunk(samples: &[(Timestamp, f64)]) -> XorChunk {
        let mut chunk = XorChunk::new();
        samples.iter().for_each(|(time, value)| chunk.push(*time, *value).unwrap());
        chunk
    }

    #[test]
    fn a_range_of_a_sealed_chunk_is_appended_bit_for_bit() {
        let samples = [(1, 0.5), (2, f64::NAN), (3, -0.0), (5, 1e300), (9, 7.0)];
        let sealed = Sealer::default().seal(&chunk(&samples), NO_START).unwrap();
        assert_eq!(sealed.range(), TimeRange::new(1, 9));
        let mut columns = SampleColumns::new();
        columns.push(0, 4.0);
        sealed.decode(TimeRange::new(2, 5).unwrap(), &mut columns).unwrap();
        assert_eq!(columns.timestamps, [0, 2, 3, 5]);
        let bits: Vec<_> = columns.values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, [4.0, f64::NAN, -0.0, 1e300].map(f64::to_bits));
    }

    #[test]
    fn chunks_with_the_same_timestamps_share_them() {
        let mut sealer = Sealer::default();
        let first = sealer.seal(&chunk(&[(1, 0.5), (2, 1.5)]), NO_START).unwrap();
        let second = sealer.seal(&chunk(&[(1, 7.0), (2, 7.0)]), NO_START).unwrap();
        let third = sealer.seal(&chunk(&[(1, 7.0), (3, 7.0)]), NO_START).unwrap();
        assert!(Arc::ptr_eq(&first.times, &second.times));
        assert!(!Arc::ptr_eq(&first.times, &third.times));
    }

    #[test]
    fn nothing_is_not_sealed() {
        assert!(Sealer::default().seal(&XorChunk::new(), NO_START).is_none());
    }
}
