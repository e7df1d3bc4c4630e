//! The four encodings of native histograms: counts as integers or floats, with start timestamps or without.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::bits::BitReader;
use super::float::XorFloat;
use super::layout::Layout;
use super::starts::Starts;
use std::sync::Arc;
use tsdb_core::error::CorruptionKind;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint};
use tsdb_core::sample::{SampleColumns, is_stale_nan};
use tsdb_core::{Corruption, Timestamp};

/// What the header of a chunk says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) count: u16,
    /// The highest two bits tell of counter resets.
    pub(super) flags: u8,
    pub(super) starts: Starts,
}

impl Head {
    /// What is known about a counter reset before sample `number`.
    fn hint(&self, number: u16) -> ResetHint {
        match (self.flags >> 6, number) {
            (3, _) => ResetHint::Gauge,
            (2, 0) => ResetHint::Reset,
            (0, 0) => ResetHint::Unknown,
            _ => ResetHint::NotReset,
        }
    }
}

/// Appends the samples behind the header `head` of a chunk to `into`.
pub(super) fn decode(
    mut reader: BitReader<'_>,
    mut head: Head,
    is_float: bool,
    into: &mut SampleColumns,
) -> Result<(), Corruption> {
    if head.count == 0 {
        return Ok(());
    }
    let layout = Layout::read(&mut reader)?;
    let mut time = reader.varbit_int()?;
    let mut distance = 0_i64;
    let mut counts = Counts::first(&layout, is_float, &mut reader)?;
    for number in 0..head.count {
        let previous = time;
        if number > 0 {
            distance = distance.wrapping_add(reader.varbit_int()?);
            time = time.wrapping_add(distance);
            counts.next(&mut reader)?;
        }
        let histogram = counts.histogram(&layout, head.hint(number)).map_err(|error| {
            reader.corruption(CorruptionKind::Layer { message: format!("no histogram: {error}") })
        })?;
        push(time, histogram, into);
        into.set_start(head.starts.read(number, time, previous, &mut reader)?);
    }
    Ok(())
}

fn push(time: Timestamp, histogram: FloatHistogram, into: &mut SampleColumns) {
    into.push_histogram(time, Arc::new(histogram));
}

/// The counts of one histogram and what the next one is told from.
#[derive(Debug)]
enum Counts {
    Integers {
        count: Integer,
        zero: Integer,
        sum: XorFloat,
        positive: Vec<Integer>,
        negative: Vec<Integer>,
    },
    Floats {
        count: XorFloat,
        zero: XorFloat,
        sum: XorFloat,
        positive: Vec<XorFloat>,
        negative: Vec<XorFloat>,
    },
}

/// An integer told by the change of its change.
#[derive(Debug, Clone, Copy)]
struct Integer {
    value: i64,
    change: i64,
}

impl Integer {
    fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        self.change = self.change.wrapping_add(reader.varbit_int()?);
        self.value = self.value.wrapping_add(self.change);
        Ok(())
    }
}

impl Counts {
    fn first(layout: &Layout, is_float: bool, reader: &mut BitReader<'_>) -> Result<Self, Corruption> {
        let (positive, negative) = (layout.positive_len(), layout.negative_len());
        if is_float {
            let mut float = || reader.float().map(XorFloat::first);
            return Ok(Self::Floats {
                count: float()?,
                zero: float()?,
                sum: float()?,
                positive: (0..positive).map(|_| float()).collect::<Result<_, _>>()?,
                negative: (0..negative).map(|_| float()).collect::<Result<_, _>>()?,
            });
        }
        let whole = |value: u64| Integer { value: value.cast_signed(), change: 0 };
        let (count, zero) = (whole(reader.varbit_uint()?), whole(reader.varbit_uint()?));
        let sum = XorFloat::first(reader.float()?);
        let mut bucket = || reader.varbit_int().map(|value| Integer { value, change: 0 });
        Ok(Self::Integers {
            count,
            zero,
            sum,
            positive: (0..positive).map(|_| bucket()).collect::<Result<_, _>>()?,
            negative: (0..negative).map(|_| bucket()).collect::<Result<_, _>>()?,
        })
    }

    fn next(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        match self {
            Self::Integers { count, zero, sum, positive, negative } => {
                count.read(reader)?;
                zero.read(reader)?;
                sum.read(reader)?;
                // A stale marker has no buckets, and nothing but stale markers follows.
                if is_stale_nan(sum.value()) {
                    return Ok(());
                }
                positive.iter_mut().chain(negative).try_for_each(|bucket| bucket.read(reader))
            }
            Self::Floats { count, zero, sum, positive, negative } => {
                count.read(reader)?;
                zero.read(reader)?;
                sum.read(reader)?;
                if is_stale_nan(sum.value()) {
                    return Ok(());
                }
                positive.iter_mut().chain(negative).try_for_each(|bucket| bucket.read(reader))
            }
        }
    }

    fn histogram(
        &self,
        layout: &Layout,
        reset_hint: ResetHint,
    ) -> Result<FloatHistogram, tsdb_core::histogram::HistogramError> {
        let (sum, count, zero_count) = match self {
            Self::Integers { count, zero, sum, .. } => (sum, unsigned(count.value), unsigned(zero.value)),
            Self::Floats { count, zero, sum, .. } => (sum, count.value(), zero.value()),
        };
        let sum = sum.value();
        if is_stale_nan(sum) {
            return FloatHistogram::new(FloatParts { reset_hint, sum, ..FloatParts::default() });
        }
        let (positive_counts, negative_counts) = match self {
            Self::Integers { positive, negative, .. } => (absolute(positive), absolute(negative)),
            Self::Floats { positive, negative, .. } => (values(positive), values(negative)),
        };
        FloatHistogram::new(FloatParts {
            reset_hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count,
            count,
            sum,
            positive_spans: layout.positive.clone(),
            positive_counts,
            negative_spans: layout.negative.clone(),
            negative_counts,
            bounds: Arc::clone(&layout.bounds),
        })
    }
}

/// A count, whose changes were counted as those of a signed number.
#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are rounded, as everywhere")]
fn unsigned(value: i64) -> f64 {
    value.cast_unsigned() as f64
}

/// Counts of which each but the first is told as the difference to the one before.
#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are rounded, as everywhere")]
fn absolute(deltas: &[Integer]) -> Vec<f64> {
    let counts = deltas.iter().scan(0_i64, |sum, delta| {
        *sum = sum.wrapping_add(delta.value);
        Some(*sum as f64)
    });
    counts.collect()
}

fn values(floats: &[XorFloat]) -> Vec<f64> {
    floats.iter().map(XorFloat::value).collect()
}
