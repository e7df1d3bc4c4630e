//! Records of the log: series, samples of all kinds, deletions, exemplars, metadata. Source: Prometheus
//! `tsdb/docs/format/wal.md`; the three types with start timestamps, `tsdb/record`.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::sync::Arc;
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;
use tsdb_core::histogram::{FloatHistogram, FloatParts, IntegerParts, ResetHint, Span};
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::{Corruption, Exemplar, Labels, NO_START, Timestamp};

/// The schema whose bounds are listed.
const CUSTOM: i32 = -53;

/// What records tell. A series is called by its number.
pub(super) trait Sink {
    /// The number `series` stands for `labels`.
    fn series(&mut self, _series: u64, _labels: Labels) {}
    /// A number.
    fn number(&mut self, _series: u64, _time: Timestamp, _start: Timestamp, _value: f64) {}
    /// A native histogram.
    fn histogram(&mut self, _series: u64, _time: Timestamp, _start: Timestamp, _histogram: FloatHistogram) {}
    /// Samples from `first` to `last` were deleted.
    fn deleted(&mut self, _series: u64, _first: Timestamp, _last: Timestamp) {}
    /// An exemplar.
    fn exemplar(&mut self, _series: u64, _exemplar: Exemplar) {}
    /// What the metric of the series is.
    fn metadata(&mut self, _series: u64, _metadata: Metadata) {}
    /// Are samples wanted, or everything else?
    fn wants_samples(&self) -> bool;
}

/// Reads the record `bytes`.
///
/// # Errors
/// It is damaged or of an unknown type. What stands before the damage has been told.
pub(super) fn decode(bytes: &[u8], sink: &mut impl Sink) -> Result<(), Corruption> {
    let mut reader = Reader::new("record", bytes);
    let tag = reader.u8("type of a record")?;
    let wants_samples = sink.wants_samples();
    match tag {
        1 | 3 | 4 | 6 if wants_samples => Ok(()),
        2 | 7..=13 if !wants_samples => Ok(()),
        // Says which samples of the log are in chunks too, which shows by their times as well.
        5 => Ok(()),
        1 => series(reader, sink),
        2 => samples(reader, Base::First, sink),
        3 => deleted(reader, sink),
        4 => exemplars(reader, sink),
        6 => metadata(reader, sink),
        7 | 9 => histograms(reader, Base::First, integers, sink),
        8 | 10 => histograms(reader, Base::First, floats, sink),
        11 => samples(reader, Base::Before, sink),
        12 => histograms(reader, Base::Before, integers, sink),
        13 => histograms(reader, Base::Before, floats, sink),
        other => {
            let kind = CorruptionKind::Unknown { field: "type of a record", value: other.into() };
            Err(Corruption::new("record", 0, kind))
        }
    }
}

fn big(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, Corruption> {
    reader.u64(field).map(u64::swap_bytes)
}

fn float(reader: &mut Reader<'_>, field: &'static str) -> Result<f64, Corruption> {
    big(reader, field).map(f64::from_bits)
}

fn labels(reader: &mut Reader<'_>) -> Result<Labels, Corruption> {
    let count = reader.count(2, "number of labels")?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((reader.str("name of a label")?, reader.str("value of a label")?));
    }
    Labels::from_pairs(pairs)
        .map_err(|error| reader.corruption(CorruptionKind::Layer { message: format!("no labels: {error}") }))
}

fn series(mut reader: Reader<'_>, sink: &mut impl Sink) -> Result<(), Corruption> {
    while !reader.is_empty() {
        let number = big(&mut reader, "series")?;
        sink.series(number, labels(&mut reader)?);
    }
    Ok(())
}

fn deleted(mut reader: Reader<'_>, sink: &mut impl Sink) -> Result<(), Corruption> {
    while !reader.is_empty() {
        let number = big(&mut reader, "series")?;
        sink.deleted(number, reader.zigzag("first time")?, reader.zigzag("last time")?);
    }
    Ok(())
}

fn metadata(mut reader: Reader<'_>, sink: &mut impl Sink) -> Result<(), Corruption> {
    while !reader.is_empty() {
        let number = reader.varint("series")?;
        let metric_type = match reader.u8("type of a metric")? {
            1 => MetricType::Counter,
            2 => MetricType::Gauge,
            3 => MetricType::Histogram,
            4 => MetricType::GaugeHistogram,
            5 => MetricType::Summary,
            6 => MetricType::Info,
            7 => MetricType::Stateset,
            _ => MetricType::Unknown,
        };
        let mut metadata = Metadata { metric_type, ..Metadata::default() };
        for _ in 0..reader.count(2, "number of fields")? {
            let (name, value) = (reader.str("name of a field")?, reader.str("value of a field")?);
            match name {
                "UNIT" => value.clone_into(&mut metadata.unit),
                "HELP" => value.clone_into(&mut metadata.help),
                _ => {}
            }
        }
        sink.metadata(number, metadata);
    }
    Ok(())
}

fn exemplars(mut reader: Reader<'_>, sink: &mut impl Sink) -> Result<(), Corruption> {
    let mut place = Place::new(Base::First);
    while place.next(&mut reader)? {
        let value = float(&mut reader, "value")?;
        let labels = labels(&mut reader)?;
        sink.exemplar(place.series, Exemplar { labels, timestamp: place.time, value });
    }
    Ok(())
}

fn samples(mut reader: Reader<'_>, base: Base, sink: &mut impl Sink) -> Result<(), Corruption> {
    let mut place = Place::new(base);
    while place.next(&mut reader)? {
        sink.number(place.series, place.time, place.start, float(&mut reader, "value")?);
    }
    Ok(())
}

fn histograms(
    mut reader: Reader<'_>,
    base: Base,
    read: impl Fn(&mut Reader<'_>) -> Result<FloatHistogram, Corruption>,
    sink: &mut impl Sink,
) -> Result<(), Corruption> {
    let mut place = Place::new(base);
    while place.next(&mut reader)? {
        let histogram = read(&mut reader)?;
        sink.histogram(place.series, place.time, place.start, histogram);
    }
    Ok(())
}

/// What the numbers of series and their times are told from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// From a number and a time before all samples; there are no start timestamps.
    First,
    /// The number from the one before, the time from the first; each has a start timestamp.
    Before,
}

/// Series, time and start of the samples of a record.
struct Place {
    base: Base,
    is_first: bool,
    first: (u64, Timestamp, Timestamp),
    series: u64,
    time: Timestamp,
    start: Timestamp,
}

impl Place {
    fn new(base: Base) -> Self {
        Self { base, is_first: true, first: (0, 0, NO_START), series: 0, time: 0, start: NO_START }
    }

    /// Reads the next one; `false` at the end of the record.
    fn next(&mut self, reader: &mut Reader<'_>) -> Result<bool, Corruption> {
        if reader.is_empty() {
            return Ok(false);
        }
        let is_first = std::mem::replace(&mut self.is_first, false);
        if self.base == Base::First {
            if is_first {
                self.first.0 = big(reader, "series")?;
                self.first.1 = big(reader, "time")?.cast_signed();
                if reader.is_empty() {
                    return Ok(false);
                }
            }
            self.series = self.first.0.wrapping_add_signed(reader.zigzag("series")?);
            self.time = self.first.1.wrapping_add(reader.zigzag("time")?);
        } else if is_first {
            self.series = reader.zigzag("series")?.cast_unsigned();
            self.time = reader.zigzag("time")?;
            self.start = reader.zigzag("start")?;
            self.first = (self.series, self.time, self.start);
        } else {
            self.series = self.series.wrapping_add_signed(reader.zigzag("series")?);
            self.time = self.first.1.wrapping_add(reader.zigzag("time")?);
            self.start = match reader.u8("start")? {
                0 => NO_START,
                1 => self.start,
                _ => self.first.2.wrapping_add(reader.zigzag("start")?),
            };
        }
        Ok(true)
    }
}

fn hint(code: u8) -> ResetHint {
    match code {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn schema(reader: &mut Reader<'_>) -> Result<i32, Corruption> {
    let schema = reader.zigzag("schema")?;
    i32::try_from(schema).map_err(|_| reader.invalid("schema", schema.unsigned_abs()))
}

fn spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, Corruption> {
    let count = reader.count(2, "number of spans")?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let (offset, length) = (reader.zigzag("offset of a span")?, reader.varint("length of a span")?);
        match (i32::try_from(offset), u32::try_from(length)) {
            (Ok(offset), Ok(length)) => spans.push(Span { offset, length }),
            _ => return Err(reader.invalid("length of a span", length)),
        }
    }
    Ok(spans)
}

fn deltas(reader: &mut Reader<'_>) -> Result<Vec<i64>, Corruption> {
    (0..reader.count(1, "number of buckets")?).map(|_| reader.zigzag("bucket")).collect()
}

fn counts(reader: &mut Reader<'_>) -> Result<Vec<f64>, Corruption> {
    (0..reader.count(8, "number of buckets")?).map(|_| float(reader, "bucket")).collect()
}

fn bounds(reader: &mut Reader<'_>, schema: i32) -> Result<Arc<[f64]>, Corruption> {
    if schema != CUSTOM {
        return Ok(Arc::default());
    }
    (0..reader.count(8, "number of bounds")?).map(|_| float(reader, "bound")).collect()
}

fn no_histogram(reader: &Reader<'_>, error: impl std::fmt::Display) -> Corruption {
    reader.corruption(CorruptionKind::Layer { message: format!("no histogram: {error}") })
}

fn integers(reader: &mut Reader<'_>) -> Result<FloatHistogram, Corruption> {
    let reset_hint = hint(reader.u8("hint")?);
    let schema = schema(reader)?;
    let parts = IntegerParts {
        reset_hint,
        schema,
        zero_threshold: float(reader, "zero threshold")?,
        zero_count: reader.varint("zero count")?,
        count: reader.varint("count")?,
        sum: float(reader, "sum")?,
        positive_spans: spans(reader)?,
        negative_spans: spans(reader)?,
        positive_deltas: deltas(reader)?,
        negative_deltas: deltas(reader)?,
        bounds: bounds(reader, schema)?,
    };
    FloatHistogram::try_from(parts).map_err(|error| no_histogram(reader, error))
}

fn floats(reader: &mut Reader<'_>) -> Result<FloatHistogram, Corruption> {
    let reset_hint = hint(reader.u8("hint")?);
    let schema = schema(reader)?;
    let parts = FloatParts {
        reset_hint,
        schema,
        zero_threshold: float(reader, "zero threshold")?,
        zero_count: float(reader, "zero count")?,
        count: float(reader, "count")?,
        sum: float(reader, "sum")?,
        positive_spans: spans(reader)?,
        negative_spans: spans(reader)?,
        positive_counts: counts(reader)?,
        negative_counts: counts(reader)?,
        bounds: bounds(reader, schema)?,
    };
    FloatHistogram::new(parts).map_err(|error| no_histogram(reader, error))
}
