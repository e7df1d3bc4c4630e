//! Typed records over the log: what the bytes of a [`crate::wal`] record mean.
//!
//! A record is a tag byte and a payload that runs to its end. Encoders collect what one batch brings and append the
//! finished record to a buffer that the caller reuses; [`decode`] hands out what it finds through a
//! [`RecordSink`], borrows from the record, and believes no length. The bytes are specified with those of the log,
//! see [`crate::wal`].
//!
//! Records with unknown tags are named and skipped.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod border;
mod chunks;
mod delete;
mod exemplars;
mod histograms;
mod late;
mod metadata;
mod named;
mod newest;
mod retired;
mod runs;
mod samples;
mod series;

pub use border::{Border, encode_border};
pub use chunks::{ChunksEncoder, SealedChunk, SeriesChunks};
pub use delete::{Delete, encode_delete};
pub use exemplars::{ExemplarSeries, ExemplarsEncoder};
pub use histograms::HistogramsEncoder;
pub use late::encode_late;
pub use metadata::encode_metadata;
pub(crate) use metadata::{numbered_type, type_number};
pub use named::encode_named;
pub use newest::encode_newest;
pub use retired::encode_retired;
pub use samples::{MAX_SAMPLE_BYTES, SamplesEncoder};
pub use series::SeriesEncoder;

use tsdb_core::bytes::Reader;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Corruption, Exemplar, SeriesRef, Timestamp};

const TAG_SERIES: u8 = 1;
const TAG_SAMPLES: u8 = 2;
const TAG_METADATA: u8 = 3;
const TAG_STARTED_SAMPLES: u8 = 4;
const TAG_HISTOGRAMS: u8 = 5;
const TAG_EXEMPLARS: u8 = 6;

/// In columns of timestamps a number goes on with the one before.
const TIMESTAMP_STRIDE: i64 = 0;
/// In columns of series, with the next.
const SERIES_STRIDE: i64 = 1;
const TAG_LATE: u8 = 7;
const TAG_BORDER: u8 = 8;
const TAG_DELETE: u8 = 9;
const TAG_RETIRED: u8 = 10;
const TAG_CHUNKS: u8 = 11;
const TAG_NEWEST: u8 = 12;
const TAG_NAMED: u8 = 16;

/// What [`decode`] does with the contents of a record. Every method has an empty default.
pub trait RecordSink {
    /// A series was registered: its labels sorted by name, unique, neither names nor values empty.
    fn series(&mut self, _series: SeriesRef, _labels: &[(&str, &str)]) {}

    /// A sample was appended. [`samples`](Self::samples) hands out those of one time and of neighbouring series, one by one.
    fn sample(&mut self, _series: SeriesRef, _timestamp: Timestamp, _value: f64) {}

    /// Samples of one time were appended: the first of `series`, each of the others of the series behind the one before.
    /// A value is the bit pattern of the number, little-endian.
    fn samples(&mut self, series: SeriesRef, timestamp: Timestamp, values: &[[u8; 8]]) {
        for (series, value) in (series.0..).zip(values) {
            self.sample(SeriesRef(series), timestamp, f64::from_bits(u64::from_le_bytes(*value)));
        }
    }

    /// A sample was appended that is the result of counting since `start`, ms.
    fn started_sample(&mut self, _series: SeriesRef, _timestamp: Timestamp, _start: Timestamp, _value: f64) {}

    /// A native histogram was appended that is the result of counting since `start`, ms;
    /// [`NO_START`](tsdb_core::NO_START) if that is not known.
    fn histogram(
        &mut self,
        _series: SeriesRef,
        _timestamp: Timestamp,
        _start: Timestamp,
        _histogram: FloatHistogram,
    ) {
    }

    /// In a checkpoint: what the head held of a series of numbers.
    fn chunks(&mut self, _chunks: SeriesChunks) {}

    /// An exemplar was appended that has this number.
    fn exemplar(&mut self, _number: u64, _series: &ExemplarSeries, _exemplar: Exemplar) {}

    /// The samples handed out from now on are late and of this generation; with `None`, in order again.
    fn late(&mut self, _generation: Option<u64>) {}

    /// No sample that came in before is newer than this.
    fn newest(&mut self, _newest: Timestamp) {}

    /// What lies on the other side of this border is in blocks.
    fn border(&mut self, _border: Border) {}

    /// Samples and exemplars that came in before were deleted.
    fn delete(&mut self, _delete: &Delete) {}
    /// The series was removed: its samples handed out so far are in blocks, and its number means nobody until it is
    /// registered again.
    fn retired(&mut self, _series: SeriesRef) {}

    /// Something became known of a metric.
    fn metadata(&mut self, _metric: &str, _metadata: Metadata) {}

    /// A batch came in that names its series itself: `records`, in which numbers of series count from 0.
    fn named_batch(&mut self, _records: &[&[u8]]) {}
}

/// What kind of record was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoded {
    /// Series.
    Series,
    /// Samples, with or without start timestamps.
    Samples,
    /// Native histograms.
    Histograms,
    /// Chunks of series.
    Chunks,
    /// The newest time.
    Newest,
    /// Exemplars.
    Exemplars,
    /// Metadata.
    Metadata,
    /// A batch that names its series itself.
    NamedBatch,
    /// A border between head and blocks.
    Border,
    /// A delete.
    Delete,
    /// Series that were removed.
    Retired,
    /// A tag that this version does not know; the record was skipped.
    UnknownTag(u8),
}

/// Decodes one record into `sink`.
///
/// # Errors
/// The record is damaged; what was handed out before the damage was found stays handed out.
pub fn decode(record: &[u8], sink: &mut impl RecordSink) -> Result<Decoded, Corruption> {
    let mut reader = Reader::new("log record", record);
    match reader.u8("tag")? {
        TAG_LATE => late::decode(reader.unread(), sink),
        tag => decode_tagged(tag, reader.unread(), sink),
    }
}

/// Decodes the payload of a record that is not in an envelope.
fn decode_tagged(tag: u8, payload: &[u8], sink: &mut impl RecordSink) -> Result<Decoded, Corruption> {
    match tag {
        TAG_SERIES => series::decode(payload, sink).map(|()| Decoded::Series),
        TAG_SAMPLES => samples::decode(payload, sink).map(|()| Decoded::Samples),
        TAG_STARTED_SAMPLES => samples::decode_started(payload, sink).map(|()| Decoded::Samples),
        TAG_HISTOGRAMS => histograms::decode(payload, sink).map(|()| Decoded::Histograms),
        TAG_EXEMPLARS => exemplars::decode(payload, sink).map(|()| Decoded::Exemplars),
        TAG_METADATA => metadata::decode(payload, sink).map(|()| Decoded::Metadata),
        TAG_NAMED => named::decode(payload, sink).map(|()| Decoded::NamedBatch),
        TAG_BORDER => border::decode(payload, sink).map(|()| Decoded::Border),
        TAG_DELETE => delete::decode(payload, sink).map(|()| Decoded::Delete),
        TAG_NEWEST => newest::decode(payload, sink).map(|()| Decoded::Newest),
        TAG_CHUNKS => chunks::decode(payload, sink).map(|()| Decoded::Chunks),
        TAG_RETIRED => retired::decode(payload, sink).map(|()| Decoded::Retired),
        unknown => Ok(Decoded::UnknownTag(unknown)),
    }
}

/// The reference `number`, which was read just now from a column.
fn series_ref(number: i64, reader: &Reader<'_>) -> Result<SeriesRef, Corruption> {
    u32::try_from(number).map(SeriesRef).map_err(|_| reader.invalid("series", number.cast_unsigned()))
}
