//! The samples of a batch, of all kinds, by their positions.
//!
//! Most are numbers, and mostly either none of a batch has a start timestamp or all have; what the others have besides
//! stands apart, so that batches of numbers pay nothing for it.

use super::mixed::Value;
use std::sync::Arc;
use tsdb_core::histogram::{FloatHistogram, MAX_BUCKETS};
use tsdb_core::write::SampleError;
use tsdb_core::{NO_START, STALE_NAN, SeriesRef, Timestamp};

/// Samples in order of position.
#[derive(Debug, Default)]
pub(super) struct BatchSamples {
    numbers: Vec<(SeriesRef, Timestamp, f64)>,
    /// By position, ascending.
    histograms: Vec<(usize, Arc<FloatHistogram>)>,
    /// Those of the first positions; all behind them have none.
    starts: Vec<Timestamp>,
}

/// A sample of a batch.
#[derive(Debug)]
pub(super) struct BatchSample<'a> {
    pub(super) position: usize,
    pub(super) series: SeriesRef,
    pub(super) timestamp: Timestamp,
    /// The number; nothing if it is a histogram.
    pub(super) number: f64,
    pub(super) histogram: Option<&'a Arc<FloatHistogram>>,
    /// When its counting began.
    pub(super) start: Timestamp,
}

impl BatchSample<'_> {
    /// What was measured.
    pub(super) fn value(&self) -> Value {
        match self.histogram {
            Some(histogram) => Value::Histogram(Arc::clone(histogram)),
            None => Value::Float(self.number),
        }
    }
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
        self.histograms.push((self.numbers.len(), Arc::new(histogram)));
        self.push(series, timestamp, STALE_NAN);
        Ok(())
    }

    /// Says when the counting behind the last sample began.
    #[inline]
    pub(super) fn set_start(&mut self, start: Timestamp) {
        let Some(position) = self.numbers.len().checked_sub(1) else { return };
        if start != NO_START || self.starts.len() > position {
            self.starts.resize(position, NO_START);
            self.starts.push(start);
        }
    }

    /// All samples.
    pub(super) fn iter(&self) -> impl Iterator<Item = BatchSample<'_>> {
        let mut histograms = self.histograms.iter().peekable();
        self.numbers.iter().enumerate().map(move |(position, &(series, timestamp, number))| {
            let histogram = histograms.next_if(|(at, _)| *at == position).map(|(_, histogram)| histogram);
            let start = self.starts.get(position).copied().unwrap_or(NO_START);
            BatchSample { position, series, timestamp, number, histogram, start }
        })
    }

    /// The series of the samples from `position` on.
    #[inline]
    pub(super) fn series_from(&self, position: usize) -> impl Iterator<Item = SeriesRef> {
        self.numbers.get(position..).unwrap_or_default().iter().map(|(series, ..)| *series)
    }

    /// Replaces the number of each series.
    pub(super) fn renumber(&mut self, number: impl Fn(SeriesRef) -> SeriesRef) {
        self.numbers.iter_mut().for_each(|(series, ..)| *series = number(*series));
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.histograms.clear();
        self.starts.clear();
    }

    /// Bytes of memory in use.
    pub(super) fn memory_bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<(SeriesRef, Timestamp, f64)>()
            + self.histograms.capacity() * size_of::<(usize, Arc<FloatHistogram>)>()
            + self.starts.capacity() * size_of::<Timestamp>()
    }
}
