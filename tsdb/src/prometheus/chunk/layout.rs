//! What the histograms of a chunk have in common: schema, zero threshold, which buckets there are, custom bounds.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::bits::{BitReader, BitWriter};
use std::sync::Arc;
use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;
use tsdb_core::histogram::{FloatHistogram, MAX_BUCKETS, Span};

/// The schema whose bounds are listed.
const CUSTOM: i32 = -53;
/// Custom bounds up to this, in thousandths, are written as whole numbers.
const MAX_THOUSANDTHS: f64 = 33_554_430.0;

/// The layout of the histograms of a chunk.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<Span>,
    pub(super) negative: Vec<Span>,
    pub(super) bounds: Arc<[f64]>,
}

impl Layout {
    pub(super) fn of(histogram: &FloatHistogram) -> Self {
        Self {
            schema: histogram.schema().number(),
            zero_threshold: histogram.zero_threshold(),
            positive: histogram.positive_spans().collect(),
            negative: histogram.negative_spans().collect(),
            bounds: Arc::clone(histogram.bounds()),
        }
    }

    pub(super) fn positive_len(&self) -> usize {
        total(&self.positive)
    }

    pub(super) fn negative_len(&self) -> usize {
        total(&self.negative)
    }

    pub(super) fn read(reader: &mut BitReader<'_>) -> Result<Self, Corruption> {
        let zero_threshold = match reader.bits(8)? {
            0 => 0.0,
            255 => reader.float()?,
            // Powers of two from 2^-243 on.
            power => f64::from_bits(power.saturating_add(1023 - 244).wrapping_shl(52)),
        };
        let schema = reader.varbit_int()?;
        let schema = i32::try_from(schema).map_err(|_| {
            let value = schema.unsigned_abs();
            reader.corruption(CorruptionKind::Invalid { field: "schema", value })
        })?;
        let positive = read_spans(reader)?;
        let negative = read_spans(reader)?;
        let mut bounds = Vec::new();
        if schema == CUSTOM {
            for _ in 0..reader.varbit_uint()? {
                bounds.push(read_bound(reader)?);
            }
        }
        let layout = Self { schema, zero_threshold, positive, negative, bounds: bounds.into() };
        let buckets = layout.positive_len().saturating_add(layout.negative_len());
        // Each bucket takes a bit in the first sample, so this bounds what is allocated for them.
        if buckets > MAX_BUCKETS || buckets > reader.remaining_bits() {
            let kind = CorruptionKind::Invalid { field: "number of buckets", value: buckets as u64 };
            return Err(reader.corruption(kind));
        }
        Ok(layout)
    }

    pub(super) fn write(&self, writer: &mut BitWriter) {
        match power_of_two(self.zero_threshold) {
            _ if self.zero_threshold == 0.0 => writer.bits(0, 8),
            Some(power) => writer.bits(power, 8),
            None => {
                writer.bits(255, 8);
                writer.bits(self.zero_threshold.to_bits(), 64);
            }
        }
        writer.varbit_int(self.schema.into());
        write_spans(&self.positive, writer);
        write_spans(&self.negative, writer);
        if self.schema == CUSTOM {
            writer.varbit_uint(self.bounds.len() as u64);
            self.bounds.iter().for_each(|bound| write_bound(*bound, writer));
        }
    }
}

/// The byte for the zero threshold, if it is one of the powers of two that have one.
fn power_of_two(threshold: f64) -> Option<u64> {
    let bits = threshold.to_bits();
    let is_power = bits.trailing_zeros() >= 52;
    let power = (bits >> 52).checked_sub(1023 - 244)?;
    (is_power && (1..=254).contains(&power)).then_some(power)
}

fn total(spans: &[Span]) -> usize {
    spans.iter().fold(0, |sum, span| sum.saturating_add(span.length as usize))
}

fn read_spans(reader: &mut BitReader<'_>) -> Result<Vec<Span>, Corruption> {
    let mut spans = Vec::new();
    for _ in 0..reader.varbit_uint()? {
        let (length, offset) = (reader.varbit_uint()?, reader.varbit_int()?);
        match (u32::try_from(length), i32::try_from(offset)) {
            (Ok(length), Ok(offset)) => spans.push(Span { offset, length }),
            _ => {
                let kind = CorruptionKind::Invalid { field: "length of a span", value: length };
                return Err(reader.corruption(kind));
            }
        }
    }
    Ok(spans)
}

fn write_spans(spans: &[Span], writer: &mut BitWriter) {
    writer.varbit_uint(spans.len() as u64);
    for span in spans {
        writer.varbit_uint(span.length.into());
        writer.varbit_int(span.offset.into());
    }
}

#[expect(clippy::cast_precision_loss, reason = "what does not fit was never written")]
fn read_bound(reader: &mut BitReader<'_>) -> Result<f64, Corruption> {
    match reader.varbit_uint()? {
        0 => reader.float(),
        thousandths => Ok(thousandths.saturating_sub(1) as f64 / 1000.0),
    }
}

fn write_bound(bound: f64, writer: &mut BitWriter) {
    let thousandths = (bound * 1000.0).round();
    let is_exact = (thousandths / 1000.0).to_bits() == bound.to_bits();
    if is_exact && (0.0..=MAX_THOUSANDTHS).contains(&(bound * 1000.0)) {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of the range")]
        #[expect(clippy::cast_sign_loss, reason = "likewise")]
        return writer.varbit_uint((thousandths as u64).saturating_add(1));
    }
    writer.bits(0, 1);
    writer.bits(bound.to_bits(), 64);
}
