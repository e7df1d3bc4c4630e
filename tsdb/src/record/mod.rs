//! Typed records over the log: what the bytes of a [`crate::wal`] record mean.
//!
//! A record is a tag byte and a payload that runs to its end. Encoders append to a buffer that the caller reuses;
//! decoders hand out what they find through callbacks, borrow from the record, and believe no length.
//!
//! Deliberately absent: native histograms, exemplars, tombstones. Their tags are unknown to this version, and
//! records with unknown tags are counted and skipped.

use tsdb_core::labels::Labels;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Corruption, SeriesRef, Timestamp};

/// What [`decode`] does with the contents of a record. Every method has an empty default.
pub trait RecordSink {
    /// A series was registered: its labels sorted by name, unique, neither names nor values empty.
    fn series(&mut self, _series: SeriesRef, _labels: &[(&str, &str)]) {}

    /// A sample was appended.
    fn sample(&mut self, _series: SeriesRef, _timestamp: Timestamp, _value: f64) {}

    /// Something became known of a metric.
    fn metadata(&mut self, _metric: &str, _metadata: Metadata) {}
}

/// What kind of record was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoded {
    /// Series.
    Series,
    /// Samples.
    Samples,
    /// Metadata.
    Metadata,
    /// A tag that this version does not know; the record was skipped.
    UnknownTag(u8),
}

/// Decodes one record into `sink`.
///
/// # Errors
/// The record is damaged; what was handed out before the damage was found stays handed out.
pub fn decode(record: &[u8], sink: &mut impl RecordSink) -> Result<Decoded, Corruption> {
    let _ = (record, sink);
    Ok(Decoded::UnknownTag(0))
}

/// Collects the samples of one batch as columns and writes them as one record.
#[derive(Debug, Default)]
pub struct SamplesEncoder {}

impl SamplesEncoder {
    /// An encoder without samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample. Cheapest when series come in the order of their registration and share timestamps.
    pub fn push(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        let _ = (series, timestamp, value);
    }

    /// Number of samples collected.
    pub fn len(&self) -> usize {
        0
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the record to `out` and forgets the samples; writes nothing if there are none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }
}

/// Collects newly registered series and writes them as one record.
#[derive(Debug, Default)]
pub struct SeriesEncoder {}

impl SeriesEncoder {
    /// An encoder without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a series.
    pub fn push(&mut self, series: SeriesRef, labels: &Labels) {
        let _ = (series, labels);
    }

    /// Number of series collected.
    pub fn len(&self) -> usize {
        0
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the record to `out` and forgets the series; writes nothing if there are none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }
}

/// Appends a record to `out` that says what `metric` is.
pub fn encode_metadata(metric: &str, metadata: &Metadata, out: &mut Vec<u8>) {
    let _ = (metric, metadata, out);
}
