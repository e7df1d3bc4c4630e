//! Samples of one batch: three columns.
//!
//! A scrape of known series costs a few bytes for its timestamps and references together, and eight for each value. The
//! column of start timestamps is there only if the batch has one.

use super::runs::{MAX_RUN_BYTES, RunReader, RunWriter};
use super::{RecordSink, SERIES_STRIDE, TAG_SAMPLES, TAG_STARTED_SAMPLES, TIMESTAMP_STRIDE, series_ref};
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::{Corruption, NO_START, SeriesRef, Timestamp};

/// Most bytes that one sample adds to a record, in the worst order of series and times, with a start timestamp.
pub const MAX_SAMPLE_BYTES: usize = VALUE_BYTES + 3 * MAX_RUN_BYTES;

const SECTION: &str = "samples record";
const VALUE_BYTES: usize = 8;

/// Collects the samples of one batch as columns and writes them as one record.
#[derive(Debug)]
pub struct SamplesEncoder {
    timestamps: RunWriter,
    series: RunWriter,
    values: Vec<u8>,
    starts: RunWriter,
    /// Has any sample a start timestamp?
    started: bool,
}

impl SamplesEncoder {
    /// An encoder without samples.
    pub fn new() -> Self {
        Self {
            timestamps: RunWriter::new(TIMESTAMP_STRIDE),
            series: RunWriter::new(SERIES_STRIDE),
            values: Vec::new(),
            starts: RunWriter::new(TIMESTAMP_STRIDE),
            started: false,
        }
    }

    /// Adds a sample. Cheapest when series come in the order of their registration and share timestamps.
    #[inline]
    pub fn push(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.push_started(series, timestamp, NO_START, value);
    }

    /// Adds a sample and when its counting began, ms.
    #[inline]
    pub fn push_started(&mut self, series: SeriesRef, timestamp: Timestamp, start: Timestamp, value: f64) {
        if !self.started && start != NO_START {
            self.begin_starts();
        }
        self.timestamps.push(timestamp);
        self.series.push(i64::from(series.0));
        self.values.extend_from_slice(&value.to_bits().to_le_bytes());
        if self.started {
            self.starts.push(start);
        }
    }

    #[cold]
    fn begin_starts(&mut self) {
        (0..self.len()).for_each(|_| self.starts.push(NO_START));
        self.started = true;
    }

    /// Number of samples collected.
    pub fn len(&self) -> usize {
        self.values.len() / VALUE_BYTES
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Appends the record to `out` and forgets the samples; writes nothing if there are none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        let mut head = Writer::new();
        head.u8(if self.started { TAG_STARTED_SAMPLES } else { TAG_SAMPLES });
        head.varint(self.len() as u64);
        out.extend_from_slice(head.as_bytes());
        self.timestamps.finish(out);
        self.series.finish(out);
        if std::mem::take(&mut self.started) {
            self.starts.finish(out);
        }
        out.extend_from_slice(&self.values);
        self.values.clear();
    }
}

impl Default for SamplesEncoder {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    let mut columns = Columns::read(&mut reader)?;
    let values = reader.bytes(columns.values_len(), "values")?;
    let mut rest = values.as_chunks::<VALUE_BYTES>().0;
    while !rest.is_empty() {
        let count = columns.run_len(rest.len())?;
        let (run, later) = rest.split_at(count);
        let (series, timestamp) = columns.take_run(count, &reader)?;
        sink.samples(series, timestamp, run);
        rest = later;
    }
    columns.finish()?;
    reader.finish()
}

pub(super) fn decode_started(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    let mut columns = Columns::read(&mut reader)?;
    let mut starts = RunReader::new(SECTION, TIMESTAMP_STRIDE, reader.blob("starts")?);
    let values = reader.bytes(columns.values_len(), "values")?;
    for value in values.as_chunks::<VALUE_BYTES>().0 {
        let (series, timestamp) = columns.take(&reader)?;
        let value = f64::from_bits(u64::from_le_bytes(*value));
        sink.started_sample(series, timestamp, starts.take()?, value);
    }
    starts.finish()?;
    columns.finish()?;
    reader.finish()
}

/// The columns that every record of samples has.
struct Columns<'a> {
    count: usize,
    timestamps: RunReader<'a>,
    series: RunReader<'a>,
}

impl<'a> Columns<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Corruption> {
        let count = reader.count(VALUE_BYTES, "count")?;
        let timestamps = RunReader::new(SECTION, TIMESTAMP_STRIDE, reader.blob("timestamps")?);
        let series = RunReader::new(SECTION, SERIES_STRIDE, reader.blob("series")?);
        Ok(Self { count, timestamps, series })
    }

    fn values_len(&self) -> usize {
        self.count.saturating_mul(VALUE_BYTES)
    }

    #[inline]
    fn take(&mut self, reader: &Reader<'_>) -> Result<(SeriesRef, Timestamp), Corruption> {
        let timestamp = self.timestamps.take()?;
        Ok((series_ref(self.series.take()?, reader)?, timestamp))
    }

    /// How many samples come next, at most `most`, that are of one time and of neighbouring series: at least one.
    #[inline]
    fn run_len(&mut self, most: usize) -> Result<usize, Corruption> {
        let len = self.timestamps.run_len()?.min(self.series.run_len()?);
        Ok(usize::try_from(len).unwrap_or(usize::MAX).min(most))
    }

    /// Takes as many of them: the first series, and the time of all.
    #[inline]
    fn take_run(&mut self, count: usize, reader: &Reader<'_>) -> Result<(SeriesRef, Timestamp), Corruption> {
        let count = count as u64;
        let first = self.series.take_run(count);
        series_ref(first.wrapping_add(count.cast_signed()).wrapping_sub(1), reader)?;
        Ok((series_ref(first, reader)?, self.timestamps.take_run(count)))
    }

    fn finish(self) -> Result<(), Corruption> {
        self.timestamps.finish()?;
        self.series.finish()
    }
}
