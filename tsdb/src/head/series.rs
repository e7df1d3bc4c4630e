//! The samples of one plain series in memory, which are numbers alone: sealed chunks and the open one.
//!
//! The samples of an open chunk have one start timestamp, or none: a sender that tells when the counting began tells
//! the same again and again. Where it changes the chunk is sealed, unless that would make tiny chunks.
//!
//! Samples are in order of time and times are unique, over all chunks. Sealed chunks never change, so readers share
//! them; of the open chunk they take a copy. A chunk that lies on both sides of a cut stays whole until its last
//! sample is in a block: readers filter by time.

use super::sealed::{Sealed, Sealer};
use tsdb_core::chunk::xor::{self, XorChunk};
use tsdb_core::error::CorruptionKind;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange, Timestamp};

/// Samples after which the open chunk is sealed.
pub(crate) const CHUNK_SAMPLES: usize = 120;
/// Samples that a chunk must have to be sealed because the start timestamp changes.
const MIN_CHUNK_SAMPLES: usize = 8;

/// One series.
#[derive(Debug, Default)]
pub(crate) struct Series {
    open: XorChunk,
    sealed: Vec<Sealed>,
    mode: Mode,
}

/// What the place of a series is used for, and the start timestamp of the open chunk: in one word, because there are
/// millions, and one comparison tells whether a sample may simply be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mode(i64);

impl Mode {
    /// The number is not in use.
    const VACANT: Self = Self(0);
    /// All samples of the series are here. The bits above are the start timestamp.
    const PLAIN: i64 = 1;
    /// The samples are from before the series was a mixed one.
    const MIXED: i64 = 2;
    const STATE_BITS: u32 = 8;
    const STATE_MASK: i64 = (1 << Self::STATE_BITS) - 1;

    /// That of a plain series whose samples have this start timestamp, if it fits.
    #[inline]
    const fn plain(start: Timestamp) -> Option<Self> {
        let shifted = start << Self::STATE_BITS;
        if shifted >> Self::STATE_BITS == start { Some(Self(shifted | Self::PLAIN)) } else { None }
    }

    #[inline]
    const fn is_plain(self) -> bool {
        self.0 & Self::STATE_MASK == Self::PLAIN
    }

    /// The start timestamp of the open chunk.
    const fn start(self) -> Timestamp {
        self.0 >> Self::STATE_BITS
    }
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
    /// Start timestamp of the samples of the open chunk.
    start: Timestamp,
}

impl Series {
    /// A series without samples whose number is in use.
    pub(crate) fn begun() -> Self {
        Self { mode: Mode(Mode::PLAIN), ..Self::default() }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.mode != Mode::VACANT
    }

    /// Is the number in use, and are all samples here?
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.mode.is_plain()
    }

    /// Notes that no sample comes here any more.
    pub(crate) fn set_mixed(&mut self) {
        self.mode = Mode(self.mode.0 & !Mode::STATE_MASK | Mode::MIXED);
    }

    /// Notes that all samples from now on come here. There are none yet.
    pub(crate) fn set_plain(&mut self) {
        self.mode = Mode(Mode::PLAIN);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.sealed.is_empty()
    }

    /// Adds a sample behind the others, and when its counting began. Says whether that is possible, and leaves all as it
    /// is if not.
    #[inline]
    pub(crate) fn append(
        &mut self,
        timestamp: Timestamp,
        value: f64,
        start: Timestamp,
        sealer: &mut Sealer,
    ) -> bool {
        self.last().is_none_or(|newest| timestamp > newest) && self.push(timestamp, value, start, sealer)
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

    /// The sealed chunks, a copy of the open one, and its start timestamp.
    pub(crate) fn chunks(&self) -> (&[Sealed], Vec<u8>, Timestamp) {
        let open = if self.open.is_empty() { Vec::new() } else { self.open.to_bytes() };
        (&self.sealed, open, self.mode.start())
    }

    /// Gives a series without samples what [`chunks`](Self::chunks) gave. The open chunk is read, since nothing else tells
    /// that it can be, but its bytes are taken as they are.
    ///
    /// # Errors
    /// The open chunk is damaged, or not behind the others; the series has the sealed ones then.
    pub(crate) fn restore(
        &mut self,
        sealed: Vec<Sealed>,
        open: &[u8],
        start: Timestamp,
    ) -> Result<(), Corruption> {
        self.sealed = sealed;
        let open = XorChunk::from_bytes(open)?;
        let Some(first) = open.first_timestamp() else { return Ok(()) };
        let is_behind = self.last().is_none_or(|last| first > last);
        match Mode::plain(start).filter(|_| is_behind) {
            Some(mode) => (self.mode, self.open) = (mode, open),
            None => {
                let rule = "an open chunk is behind the sealed ones and has a start timestamp that fits";
                return Err(Corruption::new("open chunk", 0, CorruptionKind::Rule { rule }));
            }
        }
        Ok(())
    }

    /// Takes the chunks that may have samples within `range`.
    pub(crate) fn snapshot(&self, range: TimeRange) -> Snapshot {
        let sealed = self.sealed.iter().filter(|chunk| chunk.overlaps(&range)).cloned().collect();
        let open_range = self.open.first_timestamp().zip(self.open.last_timestamp());
        let open = match open_range.and_then(|(first, last)| TimeRange::new(first, last)) {
            Some(times) if times.overlaps(&range) => self.open.to_bytes(),
            _ => Vec::new(),
        };
        Snapshot { sealed, open, start: self.mode.start() }
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

    /// Has the memory fetched to which the next sample goes.
    #[inline]
    pub(crate) fn prefetch(&self) {
        self.open.prefetch();
    }

    /// The time of the newest sample.
    #[inline]
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.open.last_timestamp().or_else(|| self.sealed.last()?.range().map(|range| range.end()))
    }

    /// Adds a sample that is newer than all others, unless the series must be a mixed one for it. Says whether it did.
    #[inline]
    pub(crate) fn push(
        &mut self,
        timestamp: Timestamp,
        value: f64,
        start: Timestamp,
        sealer: &mut Sealer,
    ) -> bool {
        if Mode::plain(start) != Some(self.mode) && !self.begin_start(start, sealer) {
            return false;
        }
        if self.open.len() >= CHUNK_SAMPLES {
            self.seal(sealer);
        }
        let pushed = self.open.push(timestamp, value);
        debug_assert!(pushed.is_ok(), "the caller checked the order, the chunk has room: {pushed:?}");
        true
    }

    /// Makes the open chunk one of samples that have this start timestamp. Says whether it is worth it.
    #[cold]
    fn begin_start(&mut self, start: Timestamp, sealer: &mut Sealer) -> bool {
        let Some(mode) = Mode::plain(start).filter(|_| self.is_plain()) else { return false };
        if self.open.len() >= MIN_CHUNK_SAMPLES {
            self.seal(sealer);
        }
        let is_possible = self.open.is_empty();
        if is_possible {
            self.mode = mode;
        }
        is_possible
    }

    /// Seals the open chunk. One that cannot be sealed stays open and grows on.
    #[cold]
    fn seal(&mut self, sealer: &mut Sealer) {
        if let Some(sealed) = sealer.seal(&self.open, self.mode.start()) {
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
            let before = into.len();
            xor::decode_range(&self.open, range, into)?;
            into.set_starts(before, self.start);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::NO_START;

    fn series(samples: &[(Timestamp, f64)]) -> Series {
        let (mut series, mut sealer) = (Series::begun(), Sealer::default());
        for (timestamp, value) in samples {
            assert!(series.append(*timestamp, *value, NO_START, &mut sealer));
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
            assert!(!series.append(timestamp, 5.5, NO_START, &mut Sealer::default()));
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

    #[test]
    fn a_series_restored_from_its_chunks_goes_on_and_damage_costs_the_open_chunk_alone() {
        let all: Vec<_> = (0..200_i64).map(|t| (t * 15_000, t as f64 / 8.0)).collect();
        let original = series(&all[..170]);
        let (sealed, open, start) = original.chunks();
        let mut restored = Series::begun();
        restored.restore(sealed.to_vec(), &open, start).unwrap();
        for (timestamp, value) in &all[170..] {
            assert!(restored.append(*timestamp, *value, NO_START, &mut Sealer::default()));
        }
        assert_eq!(samples(&restored, TimeRange::ALL), samples(&series(&all), TimeRange::ALL));

        let cut = open.split_last().unwrap().1;
        let early = series(&all[100..110]).chunks().1;
        for damaged in [cut, &early] {
            let mut restored = Series::begun();
            assert!(restored.restore(sealed.to_vec(), damaged, start).is_err());
            assert_eq!(samples(&restored, TimeRange::ALL).len(), 120);
        }
        assert!(Series::begun().restore(Vec::new(), &open, i64::MAX).is_err(), "no series has such a start");
    }

    #[test]
    fn a_start_timestamp_that_stays_costs_nothing_and_one_that_changes_seals_the_chunk() {
        let (mut series, mut sealer) = (Series::begun(), Sealer::default());
        let start = |t: Timestamp| if t < 100 { 7 } else { -9 };
        for t in 0..110 {
            assert!(series.append(t, 0.5, start(t), &mut sealer) && series.is_plain());
        }
        assert_eq!((series.sealed.len(), series.open.len()), (1, 10));
        let mut columns = SampleColumns::new();
        let range = TimeRange::new(98, 101).unwrap();
        series.snapshot(range).decode(range, &mut columns).unwrap();
        assert_eq!((columns.timestamps, columns.starts), (vec![98, 99, 100, 101], vec![7, 7, -9, -9]));
        series.truncate(110);
        assert!(series.append(200, 0.5, NO_START, &mut sealer) && series.is_plain());
    }

    #[test]
    fn a_start_timestamp_that_changes_at_once_or_is_beyond_all_times_is_refused() {
        let (mut series, mut sealer) = (Series::begun(), Sealer::default());
        assert!(!series.append(0, 0.5, i64::MAX, &mut sealer) && series.is_empty());
        assert!(series.append(1, 0.5, 1, &mut sealer));
        assert!(!series.append(2, 0.5, 2, &mut sealer) && series.is_plain());
        series.set_mixed();
        assert!(!series.append(2, 0.5, 1, &mut sealer));
        let mut columns = SampleColumns::new();
        series.snapshot(TimeRange::ALL).decode(TimeRange::ALL, &mut columns).unwrap();
        assert_eq!((columns.timestamps, columns.starts), (vec![1], vec![1]));
    }
}
