//! Native histograms of one batch.
//!
//! Columns of times, series and start timestamps as for samples, then the histograms one after the other. Histograms
//! that are sent together mostly share their buckets, so a layout that is that of the histogram before is not written
//! again. Counts that are whole numbers, which nearly all are, take varints.

use super::runs::{RunReader, RunWriter};
use super::{RecordSink, SERIES_STRIDE, TAG_HISTOGRAMS, TIMESTAMP_STRIDE, series_ref};
use std::sync::Arc;
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::error::CorruptionKind;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Schema, Span};
use tsdb_core::{Corruption, SeriesRef, Timestamp};

const SECTION: &str = "histograms record";

/// The bits of a histogram's first byte that tell the reset hint.
const HINT_MASK: u8 = 3;
/// The counts are whole numbers.
const WHOLE: u8 = 4;
/// The layout is that of the histogram before.
const SAME_LAYOUT: u8 = 8;
/// No bit from here on is set.
const UNUSED: u8 = 16;

/// Each hint at the place of its number.
const HINTS: [ResetHint; 4] = [ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge];

/// Counts up to this are whole numbers of which a float holds every one.
const MAX_WHOLE: f64 = (1_u64 << 53) as f64;
/// Least bytes of a histogram: its first byte, its sum, two totals.
const MIN_HISTOGRAM_BYTES: usize = 11;

/// Collects the histograms of one batch and writes them as one record.
#[derive(Debug)]
pub struct HistogramsEncoder {
    count: usize,
    timestamps: RunWriter,
    series: RunWriter,
    starts: RunWriter,
    body: Writer,
    layout: Writer,
    /// The layout of the histogram before.
    before: Writer,
}

impl HistogramsEncoder {
    /// An encoder without histograms.
    pub fn new() -> Self {
        Self {
            count: 0,
            timestamps: RunWriter::new(TIMESTAMP_STRIDE),
            series: RunWriter::new(SERIES_STRIDE),
            starts: RunWriter::new(TIMESTAMP_STRIDE),
            body: Writer::new(),
            layout: Writer::new(),
            before: Writer::new(),
        }
    }

    /// Adds a histogram and when its counting began, ms; [`NO_START`](tsdb_core::NO_START) if that is not known.
    pub fn push(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: &FloatHistogram,
    ) {
        self.timestamps.push(timestamp);
        self.series.push(i64::from(series.0));
        self.starts.push(start);
        self.layout.clear();
        write_layout(histogram, &mut self.layout);
        let same = self.count > 0 && self.layout.as_bytes() == self.before.as_bytes();
        let whole = counts(histogram).all(is_whole);
        let hint = HINTS.iter().zip(0_u8..).find(|(hint, _)| **hint == histogram.reset_hint());
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        self.body.u8(hint.map_or(0, |(_, number)| number) | flag(whole, WHOLE) | flag(same, SAME_LAYOUT));
        if !same {
            self.body.bytes(self.layout.as_bytes());
            std::mem::swap(&mut self.layout, &mut self.before);
        }
        self.body.f64(histogram.sum());
        if whole {
            write_whole(histogram, &mut self.body)
        } else {
            write_floats(histogram, &mut self.body)
        }
        self.count = self.count.saturating_add(1);
    }

    /// Number of histograms collected.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the record so far, but for the columns of times and series.
    pub fn byte_len(&self) -> usize {
        self.body.len()
    }

    /// Appends the record to `out` and forgets the histograms; writes nothing if there are none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        let mut head = Writer::new();
        head.u8(TAG_HISTOGRAMS);
        head.varint(self.count as u64);
        out.extend_from_slice(head.as_bytes());
        self.timestamps.finish(out);
        self.series.finish(out);
        self.starts.finish(out);
        out.extend_from_slice(self.body.as_bytes());
        self.body.clear();
        self.count = 0;
    }
}

impl Default for HistogramsEncoder {
    fn default() -> Self {
        Self::new()
    }
}

/// All counts: of observations, of the zero bucket, of positive and of negative buckets.
fn counts(histogram: &FloatHistogram) -> impl Iterator<Item = f64> {
    let buckets = histogram.positive_counts().iter().chain(histogram.negative_counts());
    [histogram.count(), histogram.zero_count()].into_iter().chain(buckets.copied())
}

fn is_whole(count: f64) -> bool {
    (0.0..=MAX_WHOLE).contains(&count) && count.is_sign_positive() && count.fract() == 0.0
}

fn write_layout(histogram: &FloatHistogram, out: &mut Writer) {
    out.zigzag(histogram.schema().number().into());
    out.f64(histogram.zero_threshold());
    if histogram.is_custom() {
        out.varint(histogram.bounds().len() as u64);
        histogram.bounds().iter().for_each(|bound| out.f64(*bound));
    }
    write_spans(histogram.positive_spans().collect(), out);
    write_spans(histogram.negative_spans().collect(), out);
}

fn write_spans(spans: Vec<Span>, out: &mut Writer) {
    out.varint(spans.len() as u64);
    for span in spans {
        out.zigzag(span.offset.into());
        out.varint(span.length.into());
    }
}

fn write_whole(histogram: &FloatHistogram, out: &mut Writer) {
    out.varint(to_whole(histogram.count()).cast_unsigned());
    out.varint(to_whole(histogram.zero_count()).cast_unsigned());
    for side in [histogram.positive_counts(), histogram.negative_counts()] {
        let mut before = 0;
        for count in side {
            let count = to_whole(*count);
            out.zigzag(count.wrapping_sub(before));
            before = count;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number up to 2^53: see `is_whole`")]
fn to_whole(count: f64) -> i64 {
    count as i64
}

fn write_floats(histogram: &FloatHistogram, out: &mut Writer) {
    counts(histogram).for_each(|count| out.f64(count));
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    let count = reader.count(MIN_HISTOGRAM_BYTES, "count")?;
    let mut timestamps = RunReader::new(SECTION, TIMESTAMP_STRIDE, reader.blob("timestamps")?);
    let mut series = RunReader::new(SECTION, SERIES_STRIDE, reader.blob("series")?);
    let mut starts = RunReader::new(SECTION, TIMESTAMP_STRIDE, reader.blob("starts")?);
    let mut layout = None;
    for _ in 0..count {
        let timestamp = timestamps.take()?;
        let series = series_ref(series.take()?, &reader)?;
        let start = starts.take()?;
        let histogram = decode_one(&mut reader, &mut layout)?;
        sink.histogram(series, timestamp, start, histogram);
    }
    timestamps.finish()?;
    series.finish()?;
    starts.finish()?;
    reader.finish()
}

/// What several histograms in a row share.
struct Layout {
    schema: Schema,
    zero_threshold: f64,
    bounds: Arc<[f64]>,
    positive: Vec<Span>,
    negative: Vec<Span>,
}

fn decode_one(reader: &mut Reader<'_>, before: &mut Option<Layout>) -> Result<FloatHistogram, Corruption> {
    let flags = reader.u8("flags")?;
    let hint = HINTS.get(usize::from(flags & HINT_MASK)).copied().unwrap_or_default();
    if flags >= UNUSED {
        return Err(reader.invalid("flags", flags.into()));
    }
    let layout = match before {
        Some(layout) if flags & SAME_LAYOUT != 0 => layout,
        _ if flags & SAME_LAYOUT != 0 => return Err(reader.invalid("flags", flags.into())),
        before => before.insert(read_layout(reader)?),
    };
    let sum = reader.f64("sum")?;
    let read = if flags & WHOLE != 0 { read_whole } else { read_floats };
    let counts = read(reader, total(&layout.positive), total(&layout.negative))?;
    let parts = FloatParts {
        reset_hint: hint,
        schema: layout.schema.number(),
        zero_threshold: layout.zero_threshold,
        zero_count: counts.zero_count,
        count: counts.count,
        sum,
        positive_spans: layout.positive.clone(),
        positive_counts: counts.positive,
        negative_spans: layout.negative.clone(),
        negative_counts: counts.negative,
        bounds: Arc::clone(&layout.bounds),
    };
    FloatHistogram::for_evaluation(parts).map_err(|error| {
        let message = format!("not a histogram: {error}");
        reader.corruption(CorruptionKind::Layer { message })
    })
}

fn read_layout(reader: &mut Reader<'_>) -> Result<Layout, Corruption> {
    let number = reader.zigzag("schema")?;
    let schema = i32::try_from(number).ok().and_then(Schema::new);
    let schema = schema.ok_or_else(|| reader.invalid("schema", number.cast_unsigned()))?;
    let zero_threshold = reader.f64("zero threshold")?;
    let mut bounds = Vec::new();
    if schema.is_custom() {
        for _ in 0..reader.count(size_of::<f64>(), "number of bounds")? {
            bounds.push(reader.f64("bound")?);
        }
    }
    let positive = read_spans(reader)?;
    let negative = read_spans(reader)?;
    Ok(Layout { schema, zero_threshold, bounds: bounds.into(), positive, negative })
}

fn read_spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, Corruption> {
    let count = reader.count(2, "number of spans")?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let (offset, length) = (reader.zigzag("span offset")?, reader.varint("span length")?);
        let span = i32::try_from(offset).ok().zip(u32::try_from(length).ok());
        let (offset, length) = span.ok_or_else(|| reader.invalid("span length", length))?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn total(spans: &[Span]) -> u64 {
    spans.iter().fold(0, |total, span| total.saturating_add(span.length.into()))
}

struct Counts {
    count: f64,
    zero_count: f64,
    positive: Vec<f64>,
    negative: Vec<f64>,
}

/// A number of buckets, each of which takes at least `item_bytes` of what remains.
fn buckets(reader: &Reader<'_>, count: u64, item_bytes: usize) -> Result<usize, Corruption> {
    let fits = |count: &usize| count.saturating_mul(item_bytes) <= reader.remaining();
    usize::try_from(count).ok().filter(fits).ok_or_else(|| reader.invalid("number of buckets", count))
}

fn read_whole(reader: &mut Reader<'_>, positive: u64, negative: u64) -> Result<Counts, Corruption> {
    let count = whole(reader, "count of observations")?;
    let zero_count = whole(reader, "count of the zero bucket")?;
    let mut side = |length: u64| {
        let length = buckets(reader, length, 1)?;
        let (mut counts, mut count) = (Vec::with_capacity(length), 0_i64);
        for _ in 0..length {
            count = count.wrapping_add(reader.zigzag("bucket")?);
            counts.push(from_whole(count.cast_unsigned(), reader)?);
        }
        Ok(counts)
    };
    Ok(Counts { count, zero_count, positive: side(positive)?, negative: side(negative)? })
}

fn whole(reader: &mut Reader<'_>, field: &'static str) -> Result<f64, Corruption> {
    let count = reader.varint(field)?;
    from_whole(count, reader)
}

fn from_whole(count: u64, reader: &Reader<'_>) -> Result<f64, Corruption> {
    let float = count as f64;
    if float <= MAX_WHOLE { Ok(float) } else { Err(reader.invalid("whole count", count)) }
}

fn read_floats(reader: &mut Reader<'_>, positive: u64, negative: u64) -> Result<Counts, Corruption> {
    let (count, zero_count) = (reader.f64("count of observations")?, reader.f64("count of the zero bucket")?);
    let mut side = |length: u64| {
        let length = buckets(reader, length, size_of::<f64>())?;
        let mut counts = Vec::with_capacity(length);
        for _ in 0..length {
            counts.push(reader.f64("bucket")?);
        }
        Ok(counts)
    };
    Ok(Counts { count, zero_count, positive: side(positive)?, negative: side(negative)? })
}
