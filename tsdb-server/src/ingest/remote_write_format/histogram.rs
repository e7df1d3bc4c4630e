//! Native histograms of a series. Both versions of the protocol write them alike.
//!
//! A histogram is decoded only when it is asked for: whoever refuses it for its time never pays for its buckets. Memory
//! is bounded by the bytes present and by [`MAX_BUCKETS`].
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::protobuf::{Reader, Tag, unzigzag};
use super::Version;
use tsdb_core::histogram::{
    FloatHistogram, FloatParts, HistogramError, IntegerParts, MAX_BUCKETS, ResetHint, Span,
};
use tsdb_core::{Corruption, NO_START, Timestamp};

/// The native histograms of a [`TimeSeries`](super::TimeSeries).
#[derive(Debug, Clone)]
pub struct Histograms<'a> {
    fields: Reader<'a>,
    number: u64,
    left: usize,
    series_start: Timestamp,
}

impl<'a> Histograms<'a> {
    pub(super) const fn new(
        fields: Reader<'a>,
        version: Version<'_>,
        left: usize,
        series_start: Timestamp,
    ) -> Self {
        let number = match version {
            Version::One => 4,
            Version::Two(_) => 3,
        };
        Self { fields, number, left, series_start }
    }
}

impl<'a> Iterator for Histograms<'a> {
    type Item = Result<HistogramMessage<'a>, Corruption>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        next_message(&mut self.fields, self.number, "Histogram")
            .and_then(|fields| {
                fields.map(|fields| HistogramMessage::new(fields, self.series_start)).transpose()
            })
            .transpose()
    }
}

/// The next message in a field of this number.
pub(super) fn next_message<'a>(
    fields: &mut Reader<'a>,
    number: u64,
    name: &'static str,
) -> Result<Option<Reader<'a>>, Corruption> {
    while let Some(tag) = fields.tag()? {
        if tag.field == number {
            return fields.message(tag, name).map(Some);
        }
        fields.skip(tag)?;
    }
    Ok(None)
}

/// One `Histogram` message.
#[derive(Debug, Clone)]
pub struct HistogramMessage<'a> {
    fields: Reader<'a>,
    timestamp: Timestamp,
    start: Timestamp,
}

/// Why a message is no histogram.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramFault {
    /// The bytes are no such message.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// Its parts make no histogram.
    #[error(transparent)]
    Invalid(#[from] HistogramError),
}

impl<'a> HistogramMessage<'a> {
    fn new(fields: Reader<'a>, series_start: Timestamp) -> Result<Self, Corruption> {
        let (mut walk, mut timestamp, mut start) = (fields, 0, NO_START);
        while let Some(tag) = walk.tag()? {
            match tag.field {
                15 => timestamp = walk.int(tag, "timestamp")?.cast_signed(),
                17 => start = walk.int(tag, "start_timestamp")?.cast_signed(),
                _ => walk.skip(tag)?,
            }
        }
        Ok(Self { fields, timestamp, start: if start == NO_START { series_start } else { start } })
    }

    /// When it was taken, ms.
    pub const fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// When the counting behind it began, ms; [`NO_START`] if the sender does not say.
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// The histogram.
    ///
    /// # Errors
    /// Damage, or parts that make no histogram.
    pub fn decode(&self) -> Result<FloatHistogram, HistogramFault> {
        let (mut fields, mut parts) = (self.fields, Parts::default());
        while let Some(tag) = fields.tag()? {
            parts.take(tag, &mut fields)?;
        }
        Ok(parts.build()?)
    }
}

/// What a message holds: one set of counts or the other.
#[derive(Debug, Default)]
struct Parts {
    /// Is the count of observations a float? The count decides for all.
    is_float: bool,
    integer: IntegerParts,
    float: FloatParts,
    bounds: Vec<f64>,
}

impl Parts {
    fn take(&mut self, tag: Tag, fields: &mut Reader<'_>) -> Result<(), HistogramFault> {
        let (int, float) = (&mut self.integer, &mut self.float);
        match tag.field {
            1 => (self.is_float, int.count) = (false, fields.int(tag, "count_int")?),
            2 => (self.is_float, float.count) = (true, fields.double(tag, "count_float")?),
            3 => float.sum = fields.double(tag, "sum")?,
            4 => float.schema = small(fields, tag, "schema")?,
            5 => float.zero_threshold = fields.double(tag, "zero_threshold")?,
            6 => int.zero_count = fields.int(tag, "zero_count_int")?,
            7 => float.zero_count = fields.double(tag, "zero_count_float")?,
            8 => add_span(&mut float.negative_spans, fields.message(tag, "BucketSpan")?)?,
            9 => {
                fields.ints(tag, "negative_deltas", |delta| add(&mut int.negative_deltas, unzigzag(delta)))?
            }
            10 => fields.doubles(tag, "negative_counts", |count| add(&mut float.negative_counts, count))?,
            11 => add_span(&mut float.positive_spans, fields.message(tag, "BucketSpan")?)?,
            12 => {
                fields.ints(tag, "positive_deltas", |delta| add(&mut int.positive_deltas, unzigzag(delta)))?
            }
            13 => fields.doubles(tag, "positive_counts", |count| add(&mut float.positive_counts, count))?,
            14 => float.reset_hint = reset_hint(fields.int(tag, "reset_hint")?),
            16 => fields.doubles(tag, "custom_values", |bound| add(&mut self.bounds, bound))?,
            _ => fields.skip(tag)?,
        }
        Ok(())
    }

    fn build(self) -> Result<FloatHistogram, HistogramError> {
        let Self { is_float, integer, float, bounds } = self;
        if is_float {
            return FloatHistogram::new(FloatParts { bounds: bounds.into(), ..float });
        }
        FloatHistogram::try_from(IntegerParts {
            reset_hint: float.reset_hint,
            schema: float.schema,
            zero_threshold: float.zero_threshold,
            sum: float.sum,
            positive_spans: float.positive_spans,
            negative_spans: float.negative_spans,
            bounds: bounds.into(),
            ..integer
        })
    }
}

fn add<T>(list: &mut Vec<T>, item: T) -> Result<(), HistogramFault> {
    if list.len() >= MAX_BUCKETS {
        let buckets = list.len().saturating_add(1);
        return Err(HistogramError::TooManyBuckets { buckets, limit: MAX_BUCKETS }.into());
    }
    list.push(item);
    Ok(())
}

fn add_span(spans: &mut Vec<Span>, mut fields: Reader<'_>) -> Result<(), HistogramFault> {
    let mut span = Span::default();
    while let Some(tag) = fields.tag()? {
        match tag.field {
            1 => span.offset = small(&mut fields, tag, "a span's offset")?,
            2 => {
                let (at, length) = (fields.offset(), fields.int(tag, "a span's length")?);
                span.length =
                    u32::try_from(length).map_err(|_| fields.invalid(at, "a span's length", length))?;
            }
            _ => fields.skip(tag)?,
        }
    }
    add(spans, span)
}

/// A zigzag varint of 32 bits.
fn small(fields: &mut Reader<'_>, tag: Tag, name: &'static str) -> Result<i32, Corruption> {
    let (at, value) = (fields.offset(), fields.sint(tag, name)?);
    i32::try_from(value).map_err(|_| fields.invalid(at, name, value.cast_unsigned()))
}

const fn reset_hint(wire: u64) -> ResetHint {
    match wire {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}
