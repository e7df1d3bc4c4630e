//! The samples of a batch, of all kinds, by their positions.
//!
//! Most are numbers without a start timestamp; what the others have besides stands apart, so that batches of numbers
//! pay nothing for them.

use super::mixed::Value;
use std::sync::Arc;
use tsdb_core::histogram::{FloatHistogram, MAX_BUCKETS};
use tsdb_core::write::SampleError;
use tsdb_core::{NO_START, STALE_NAN, SeriesRef, Timestamp};

/// Samples in order of position.
#[derive(Debug, Default)]
pub(super) struct BatchSamples {
    numbers: Vec<(SeriesRef, Timestamp, f64)>,
    rare: Vec<Rare>,
}

/// What a sample has that is not a number without a start timestamp.
#[derive(Debug)]
struct Rare {
    position: usize,
    histogram: Option<Arc<FloatHistogram>>,
    start: Timestamp,
}

/// A sample of a batch.
#[derive(Debug)]
pub(super) struct BatchSample {
    pub(super) position: usize,
    pub(super) series: SeriesRef,
    pub(super) timestamp: Timestamp,
    /// The number; nothing if it is a histogram.
    pub(super) number: f64,
    /// What it is, and when its counting began, unless it is a number without a start timestamp.
    pub(super) other: Option<(Value, Timestamp)>,
}

impl BatchSamples {
    #[inline]
    pub(super) fn push(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.numbers.push((series, timestamp, value));
    }

    /// Adds a histogram, unless it has more buckets than any store keeps.
    pub(super) fn push_histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        histogram: FloatHistogram,
    ) -> Result<(), SampleError> {
        let buckets = histogram.bucket_count().max(histogram.bounds().len());
        if buckets > MAX_BUCKETS {
            return Err(SampleError::TooManyBuckets { timestamp, buckets, limit: MAX_BUCKETS });
        }
        let histogram = Some(Arc::new(histogram));
        self.rare.push(Rare { position: self.numbers.len(), histogram, start: NO_START });
        self.push(series, timestamp, STALE_NAN);
        Ok(())
    }

    /// Says when the counting behind the last sample began.
    pub(super) fn set_start(&mut self, start: Timestamp) {
        let Some(position) = self.numbers.len().checked_sub(1) else { return };
        match self.rare.last_mut().filter(|last| last.position == position) {
            Some(last) => last.start = start,
            None if start == NO_START => {}
            None => self.rare.push(Rare { position, histogram: None, start }),
        }
    }

    /// All samples.
    pub(super) fn iter(&self) -> impl Iterator<Item = BatchSample> {
        let mut rare = self.rare.iter();
        let mut next = rare.next();
        self.numbers.iter().enumerate().map(move |(position, &(series, timestamp, number))| {
            let mut other = None;
            if let Some(found) = next.filter(|next| next.position == position) {
                other = Some((found.value(number), found.start));
                next = rare.next();
            }
            BatchSample { position, series, timestamp, number, other }
        })
    }

    /// Replaces the number of each series.
    pub(super) fn renumber(&mut self, number: impl Fn(SeriesRef) -> SeriesRef) {
        self.numbers.iter_mut().for_each(|(series, ..)| *series = number(*series));
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.rare.clear();
    }

    /// Bytes of memory in use.
    pub(super) fn memory_bytes(&self) -> usize {
        let rare = self.rare.capacity() * size_of::<Rare>();
        self.numbers.capacity() * size_of::<(SeriesRef, Timestamp, f64)>() + rare
    }
}

impl Rare {
    /// The value of the sample, of which this is a part.
    fn value(&self, number: f64) -> Value {
        match &self.histogram {
            Some(histogram) => Value::Histogram(Arc::clone(histogram)),
            None => Value::Float(number),
        }
    }
}
