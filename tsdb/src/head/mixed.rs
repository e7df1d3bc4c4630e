//! The samples of series that are not plain: those that have, or had, native histograms, or start timestamps that change
//! all the time.
//!
//! Nearly all series are plain, and pay nothing for the others, which stand in a side table of their page. A series
//! becomes mixed with its first histogram, or with a start timestamp that comes too soon after another; the chunks that
//! it had stay where they are, and all later samples come here. An open chunk holds samples of one kind: where the kind
//! changes it is sealed. Start timestamps stand beside the chunk.

use super::sealed::{Sealed, Sealer};
use std::sync::Arc;
use tsdb_core::chunk::histogram::{self, HistogramChunk};
use tsdb_core::chunk::starts::{self, StartsWriter};
use tsdb_core::chunk::xor::{self, XorChunk};
use tsdb_core::histogram::{FloatHistogram, ResetHint};
use tsdb_core::pack;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange, Timestamp};

/// Samples after which the open chunk is sealed.
const CHUNK_SAMPLES: usize = super::series::CHUNK_SAMPLES;
/// Bytes after which a chunk of histograms is sealed: they may have thousands of buckets.
const CHUNK_BYTES: usize = 16 << 10;

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl Value {
    /// Is this the same, bit by bit? What is known of counter resets before a histogram is not looked at: a store finds
    /// that itself.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let is_gauge = |histogram: &FloatHistogram| histogram.reset_hint() == ResetHint::Gauge;
        match (self, other) {
            (Self::Float(one), Self::Float(other)) => one.to_bits() == other.to_bits(),
            (Self::Histogram(one), Self::Histogram(other)) => {
                is_gauge(one) == is_gauge(other) && one.same_data(other)
            }
            _ => false,
        }
    }

    /// The sample of `columns` at `index`.
    pub(crate) fn at(columns: &SampleColumns, index: usize) -> Option<Self> {
        match columns.histogram(index) {
            Some(histogram) => Some(Self::Histogram(Arc::clone(histogram))),
            None => columns.values.get(index).map(|value| Self::Float(*value)),
        }
    }
}

/// The chunks of one series, in order of time.
#[derive(Debug, Default)]
pub(crate) struct Mixed {
    sealed: Vec<Sealed>,
    open: Open,
    /// Start timestamps of the open chunk.
    starts: StartsWriter,
}

#[derive(Debug)]
enum Open {
    Floats(XorChunk),
    Histograms(HistogramChunk),
}

impl Default for Open {
    fn default() -> Self {
        Self::Floats(XorChunk::new())
    }
}

/// What a reader takes from a series under the lock of its page, to decode without it.
#[derive(Debug, Default)]
pub(crate) struct MixedSnapshot {
    sealed: Vec<Sealed>,
    open: Option<OpenBytes>,
}

/// A copy of an open chunk and its start timestamps.
#[derive(Debug)]
struct OpenBytes {
    is_histogram: bool,
    chunk: Vec<u8>,
    /// Empty if none is known.
    starts: Vec<u8>,
}

impl Mixed {
    pub(crate) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.open.is_empty()
    }

    /// Adds a sample, which must be newer than all others, and when its counting began.
    pub(crate) fn push(
        &mut self,
        timestamp: Timestamp,
        value: &Value,
        start: Timestamp,
        sealer: &mut Sealer,
    ) {
        let is_full = self.open.len() >= CHUNK_SAMPLES || self.open.byte_len() >= CHUNK_BYTES;
        match (value, &self.open) {
            (Value::Float(value), Open::Floats(_)) if !is_full => self.push_float(timestamp, *value),
            (Value::Float(value), _) => {
                self.seal(sealer);
                self.push_float(timestamp, *value);
            }
            (Value::Histogram(histogram), Open::Histograms(chunk)) => {
                // Found before the chunk is sealed: the next one goes on with it.
                let hint = histogram.hint_after(chunk.last_histogram().as_ref());
                if is_full {
                    self.seal(sealer);
                }
                self.push_histogram(timestamp, histogram, hint);
            }
            (Value::Histogram(histogram), Open::Floats(_)) => {
                self.seal(sealer);
                self.push_histogram(timestamp, histogram, histogram.hint_after(None));
            }
        }
        self.starts.push(timestamp, start);
    }

    /// Forgets the chunks that have no sample at or after `min_time`.
    pub(crate) fn truncate(&mut self, min_time: Timestamp) {
        self.sealed.retain(|chunk| chunk.reaches(min_time));
        self.sealed.shrink_to_fit();
        if self.open.last_timestamp().is_some_and(|last| last < min_time) {
            self.open = Open::default();
            self.starts.clear();
        }
    }

    /// Times of the first and the last sample.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        let sealed = self.sealed.first().and_then(Sealed::range);
        let first = sealed.map(|range| range.start()).or(self.open.first_timestamp())?;
        TimeRange::new(first, self.newest()?)
    }

    /// The time of the newest sample.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.open.last_timestamp().or_else(|| self.sealed.last()?.range().map(|range| range.end()))
    }

    /// Takes the chunks that may have samples within `range`.
    pub(crate) fn snapshot(&self, range: TimeRange) -> MixedSnapshot {
        let sealed = self.sealed.iter().filter(|chunk| chunk.overlaps(&range)).cloned().collect();
        let is_wanted = self.open.range().is_some_and(|times| times.overlaps(&range));
        MixedSnapshot { sealed, open: is_wanted.then(|| self.open_bytes()) }
    }

    /// An upper estimate of the samples within `range`.
    pub(crate) fn estimate(&self, range: TimeRange) -> usize {
        let sealed = self.sealed.iter().filter(|chunk| chunk.overlaps(&range)).count();
        sealed * CHUNK_SAMPLES + self.open.len()
    }

    /// Bytes of memory in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        let sealed: usize = self.sealed.iter().map(Sealed::heap_bytes).sum();
        let table = self.sealed.capacity() * size_of::<Sealed>();
        size_of::<Self>() + sealed + table + self.open.heap_bytes() + self.starts.heap_bytes()
    }

    fn push_float(&mut self, timestamp: Timestamp, value: f64) {
        if !matches!(self.open, Open::Floats(_)) {
            self.open = Open::default();
        }
        if let Open::Floats(chunk) = &mut self.open {
            let pushed = chunk.push(timestamp, value);
            debug_assert!(pushed.is_ok(), "the caller checked the order, the chunk has room: {pushed:?}");
        }
    }

    fn push_histogram(&mut self, timestamp: Timestamp, histogram: &Arc<FloatHistogram>, hint: ResetHint) {
        if !matches!(self.open, Open::Histograms(_)) {
            self.open = Open::Histograms(HistogramChunk::new());
        }
        let mut histogram = Arc::clone(histogram);
        if histogram.reset_hint() != hint {
            Arc::make_mut(&mut histogram).set_reset_hint(hint);
        }
        if let Open::Histograms(chunk) = &mut self.open {
            let pushed = chunk.push(timestamp, &histogram);
            debug_assert!(pushed.is_ok(), "the caller checked the order, the chunk has room: {pushed:?}");
        }
    }

    /// Seals the open chunk, in several parts if it has very many buckets, and begins another.
    fn seal(&mut self, sealer: &mut Sealer) {
        let mut samples = SampleColumns::new();
        // The chunk was written by this process: it decodes.
        let decoded = self.open_bytes().decode(TimeRange::ALL, &mut samples);
        debug_assert!(decoded.is_ok(), "{decoded:?}");
        let mut rest = samples.as_slices();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(pack::fitting(rest).max(1));
            self.sealed.extend(sealer.seal_samples(part));
            rest = later;
        }
        self.open = Open::default();
        self.starts.clear();
    }

    fn open_bytes(&self) -> OpenBytes {
        OpenBytes {
            is_histogram: matches!(self.open, Open::Histograms(_)),
            chunk: self.open.to_bytes(),
            starts: self.starts.to_bytes(),
        }
    }
}

impl Open {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        match self {
            Self::Floats(chunk) => chunk.len(),
            Self::Histograms(chunk) => chunk.len(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Floats(chunk) => chunk.to_bytes(),
            Self::Histograms(chunk) => chunk.as_bytes().to_vec(),
        }
    }

    fn byte_len(&self) -> usize {
        match self {
            Self::Floats(chunk) => chunk.byte_len(),
            Self::Histograms(chunk) => chunk.as_bytes().len(),
        }
    }

    fn first_timestamp(&self) -> Option<Timestamp> {
        match self {
            Self::Floats(chunk) => chunk.first_timestamp(),
            Self::Histograms(chunk) => chunk.first_timestamp(),
        }
    }

    fn last_timestamp(&self) -> Option<Timestamp> {
        match self {
            Self::Floats(chunk) => chunk.last_timestamp(),
            Self::Histograms(chunk) => chunk.last_timestamp(),
        }
    }

    fn range(&self) -> Option<TimeRange> {
        TimeRange::new(self.first_timestamp()?, self.last_timestamp()?)
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Floats(chunk) => chunk.heap_bytes(),
            Self::Histograms(chunk) => chunk.heap_bytes(),
        }
    }
}

impl MixedSnapshot {
    /// Appends the samples within `range` to `into`.
    pub(crate) fn decode(&self, range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
        self.sealed.iter().try_for_each(|chunk| chunk.decode(range, into))?;
        self.open.as_ref().map_or(Ok(()), |open| open.decode(range, into))
    }
}

impl OpenBytes {
    fn decode(&self, range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
        let decode = if self.is_histogram { histogram::decode_range } else { xor::decode_range };
        if self.starts.is_empty() {
            return decode(&self.chunk, range, into);
        }
        // Which sample has which start is told by counting from the first.
        let mut all = SampleColumns::new();
        decode(&self.chunk, TimeRange::ALL, &mut all)?;
        starts::decode(&self.starts, &all.timestamps, &mut all.starts)?;
        all.retain_range(range);
        into.extend(all.as_slices());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::NO_START;
    use tsdb_core::histogram::{FloatParts, Span};

    fn histogram(count: f64) -> Value {
        let parts = FloatParts { count, sum: count, ..FloatParts::default() };
        Value::Histogram(Arc::new(FloatHistogram::new(parts).unwrap()))
    }

    fn read(mixed: &Mixed, range: TimeRange) -> SampleColumns {
        let mut columns = SampleColumns::new();
        mixed.snapshot(range).decode(range, &mut columns).unwrap();
        columns
    }

    /// Everything, bit by bit: the stale markers beside histograms equal nothing as floats.
    fn bits(columns: SampleColumns) -> impl PartialEq + std::fmt::Debug {
        let values: Vec<u64> = columns.values.iter().map(|value| value.to_bits()).collect();
        (columns.timestamps, values, columns.histograms, columns.starts)
    }

    #[test]
    fn kinds_alternate_in_chunks_of_their_own_and_are_read_as_one() {
        let (mut mixed, mut sealer) = (Mixed::default(), Sealer::default());
        let mut expected = SampleColumns::new();
        for t in 0..1000_i64 {
            let start = if t % 300 < 100 { NO_START } else { t / 50 };
            if t / 200 % 2 == 0 {
                mixed.push(t, &Value::Float(t as f64), start, &mut sealer);
                expected.push(t, t as f64);
            } else {
                mixed.push(t, &histogram(t as f64), start, &mut sealer);
                let Value::Histogram(histogram) = histogram(t as f64) else { unreachable!() };
                expected.push_histogram(t, histogram);
            }
            expected.set_start(start);
        }
        expected.renew_reset_hints();
        assert_eq!(mixed.sealed.len(), 9);
        for (first, last) in [(0, 999), (119, 120), (150, 430), (990, 2000)] {
            let range = TimeRange::new(first, last).unwrap();
            let mut part = expected.clone();
            part.retain_range(range);
            assert!(bits(read(&mixed, range)) == bits(part), "{range:?}");
        }
    }

    #[test]
    fn histograms_of_very_many_buckets_are_sealed_early_and_in_parts() {
        let (mut mixed, mut sealer) = (Mixed::default(), Sealer::default());
        for t in 0..40_i64 {
            // No two have a bucket in common.
            let spans = vec![Span { offset: t as i32 * 40_000, length: 40_000 }];
            let parts = FloatParts {
                positive_spans: spans,
                positive_counts: vec![0.0; 40_000],
                ..FloatParts::default()
            };
            let value = Value::Histogram(Arc::new(FloatHistogram::new(parts).unwrap()));
            mixed.push(t, &value, NO_START, &mut sealer);
        }
        assert!(mixed.sealed.len() > 5);
        let found = read(&mixed, TimeRange::ALL);
        assert!(found.histograms.iter().flatten().all(|histogram| histogram.bucket_count() == 40_000));
        assert_eq!(found.histograms.len(), 40);
    }

    #[test]
    fn truncation_keeps_chunks_that_reach_over_the_cut() {
        let (mut mixed, mut sealer) = (Mixed::default(), Sealer::default());
        (0..250).for_each(|t| mixed.push(t, &histogram(t as f64), 7, &mut sealer));
        mixed.truncate(130);
        assert_eq!(mixed.range(), TimeRange::new(120, 249));
        assert_eq!(read(&mixed, TimeRange::ALL).starts, vec![7; 130]);
        mixed.truncate(250);
        assert!(mixed.is_empty());
    }

    #[test]
    fn repetitions_are_told_from_conflicts() {
        let gauge = |value: Value| match value {
            Value::Histogram(mut histogram) => {
                Arc::make_mut(&mut histogram).set_reset_hint(ResetHint::Gauge);
                Value::Histogram(histogram)
            }
            float => float,
        };
        assert!(histogram(1.0).is(&histogram(1.0)) && !histogram(1.0).is(&histogram(2.0)));
        assert!(
            !histogram(1.0).is(&gauge(histogram(1.0))) && gauge(histogram(1.0)).is(&gauge(histogram(1.0)))
        );
        assert!(Value::Float(-0.0).is(&Value::Float(-0.0)) && !Value::Float(-0.0).is(&Value::Float(0.0)));
        assert!(!Value::Float(1.0).is(&histogram(1.0)));
    }
}
