//! Samples of one batch: three columns.
//!
//! A scrape of known series costs a few bytes for its timestamps and references together, and eight for each value.

use super::runs::{MAX_RUN_BYTES, RunReader, RunWriter};
use super::{RecordSink, TAG_SAMPLES};
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::{Corruption, SeriesRef, Timestamp};

/// Most bytes that one sample adds to a record, in the worst order of series and times.
pub const MAX_SAMPLE_BYTES: usize = VALUE_BYTES + 2 * MAX_RUN_BYTES;

const SECTION: &str = "samples record";
const VALUE_BYTES: usize = 8;
const TIMESTAMP_STRIDE: i64 = 0;
const SERIES_STRIDE: i64 = 1;

/// Collects the samples of one batch as columns and writes them as one record.
#[derive(Debug)]
pub struct SamplesEncoder {
    timestamps: RunWriter,
    series: RunWriter,
    values: Vec<u8>,
}

impl SamplesEncoder {
    /// An encoder without samples.
    pub fn new() -> Self {
        Self {
            timestamps: RunWriter::new(TIMESTAMP_STRIDE),
            series: RunWriter::new(SERIES_STRIDE),
            values: Vec::new(),
        }
    }

    /// Adds a sample. Cheapest when series come in the order of their registration and share timestamps.
    #[inline]
    pub fn push(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.timestamps.push(timestamp);
        self.series.push(i64::from(series.0));
        self.values.extend_from_slice(&value.to_bits().to_le_bytes());
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
        head.u8(TAG_SAMPLES);
        head.varint(self.len() as u64);
        out.extend_from_slice(head.as_bytes());
        self.timestamps.finish(out);
        self.series.finish(out);
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
    let count = reader.count(VALUE_BYTES, "count")?;
    let mut timestamps = RunReader::new(SECTION, TIMESTAMP_STRIDE, reader.blob("timestamps")?);
    let mut series = RunReader::new(SECTION, SERIES_STRIDE, reader.blob("series")?);
    let values = reader.bytes(count.saturating_mul(VALUE_BYTES), "values")?;
    for value in values.as_chunks::<VALUE_BYTES>().0 {
        let timestamp = timestamps.take()?;
        let number = series.take()?;
        let number = u32::try_from(number).map_err(|_| reader.invalid("series", number.cast_unsigned()))?;
        sink.sample(SeriesRef(number), timestamp, f64::from_bits(u64::from_le_bytes(*value)));
    }
    timestamps.finish()?;
    series.finish()?;
    reader.finish()
}
