//! Typed records over the log: what the bytes of a [`crate::wal`] record mean.
//!
//! A record is a tag byte and a payload that runs to its end. Encoders collect what one batch brings and append the
//! finished record to a buffer that the caller reuses; [`decode`] hands out what it finds through a
//! [`RecordSink`], borrows from the record, and believes no length. The bytes are specified with those of the log,
//! see [`crate::wal`].
//!
//! Deliberately absent: native histograms, exemplars, tombstones. Their tags are unknown to this version, and
//! records with unknown tags are named and skipped.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod metadata;
mod runs;
mod samples;
mod series;

pub use metadata::encode_metadata;
pub use samples::{MAX_SAMPLE_BYTES, SamplesEncoder};
pub use series::SeriesEncoder;

use tsdb_core::bytes::Reader;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Corruption, SeriesRef, Timestamp};

const TAG_SERIES: u8 = 1;
const TAG_SAMPLES: u8 = 2;
const TAG_METADATA: u8 = 3;

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
    let mut reader = Reader::new("log record", record);
    let tag = reader.u8("tag")?;
    let payload = reader.unread();
    match tag {
        TAG_SERIES => series::decode(payload, sink).map(|()| Decoded::Series),
        TAG_SAMPLES => samples::decode(payload, sink).map(|()| Decoded::Samples),
        TAG_METADATA => metadata::decode(payload, sink).map(|()| Decoded::Metadata),
        unknown => Ok(Decoded::UnknownTag(unknown)),
    }
}
