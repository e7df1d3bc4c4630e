//! What a histogram is besides its counts, apart from them: codecs store it once for many histograms.
//!
//! The bytes of a layout, the same in all formats:
//!
//! ```text
//! schema           u8      the number of the schema in two's complement
//! zero threshold   f64
//! positive, then negative buckets: varint number of runs, and of each run
//!     gap          zigzag  from the end of the run before, of the first from index 0
//!     length       varint
//! bounds           varint number of custom bounds, and an f64 each
//! ```
//!
//! A reader refuses what is no layout: an unknown schema, a zero threshold that is negative or no number, runs that are
//! empty or touch, bounds that do not increase or are too few.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::buckets::Buckets;
use super::error::Side;
use super::parts::{FloatParts, check_custom};
use super::spans::{Run, Runs, runs_of_spans, spans_of_runs};
use super::{FloatHistogram, Model, ResetHint, Schema, Span};
use crate::Corruption;
use crate::bytes::{Reader, Writer};
use crate::error::CorruptionKind;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Schema, zero threshold, which buckets there are, custom bounds. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    schema: Schema,
    zero_threshold: f64,
    positive: Runs,
    negative: Runs,
    bounds: Arc<[f64]>,
}

/// What a histogram counts besides its buckets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) zero_count: f64,
    pub(crate) count: f64,
    pub(crate) sum: f64,
}

/// The longest encoding of a layout of `buckets` buckets and `bounds` custom bounds, in bytes.
pub(crate) const fn max_layout_bytes(buckets: usize, bounds: usize) -> usize {
    // Schema and threshold, three numbers, at most one run per bucket, of two numbers below 2^32.
    let runs = buckets.saturating_mul(10);
    39_usize.saturating_add(runs).saturating_add(bounds.saturating_mul(8))
}

/// Integers up to this are the same as floats.
const WHOLE: f64 = (1_u64 << 53) as f64;

/// The integer that is the count, if there is one: negative zero and NaN are none.
pub(crate) fn to_whole(count: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "checked by the way back")]
    let whole = count as i64;
    (count.abs() <= WHOLE && (whole as f64).to_bits() == count.to_bits()).then_some(whole)
}

/// The integer that is the count, 0 if there is none.
pub(crate) fn whole_or_zero(count: f64) -> i64 {
    to_whole(count).unwrap_or(0)
}

impl ResetHint {
    /// The hint in the two bits that formats have for it.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Reset => 1,
            Self::NotReset => 2,
            Self::Gauge => 3,
        }
    }

    /// The hint of the lowest two bits of `code`.
    pub(crate) const fn from_code(code: u64) -> Self {
        match code & 3 {
            0 => Self::Unknown,
            1 => Self::Reset,
            2 => Self::NotReset,
            _ => Self::Gauge,
        }
    }
}

impl FloatHistogram {
    /// The histogram without its counts.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            schema: self.0.schema,
            zero_threshold: self.0.zero_threshold,
            positive: self.0.positive.shared_runs(),
            negative: self.0.negative.shared_runs(),
            bounds: self.0.bounds.clone(),
        }
    }

    /// Is `layout` that of this histogram, bit for bit?
    pub(crate) fn has_layout(&self, layout: &Layout) -> bool {
        let same_bits = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        };
        self.0.schema == layout.schema
            && self.0.zero_threshold.to_bits() == layout.zero_threshold.to_bits()
            && *self.0.positive.runs() == *layout.positive
            && *self.0.negative.runs() == *layout.negative
            && (Arc::ptr_eq(&self.0.bounds, &layout.bounds) || same_bits(&self.0.bounds, &layout.bounds))
    }

    /// The histogram of `layout` that counts this. The counts are as many as the layout has buckets.
    pub(crate) fn compose(
        layout: &Layout,
        hint: ResetHint,
        totals: Totals,
        positive: Vec<f64>,
        negative: Vec<f64>,
    ) -> Self {
        Self(Model {
            hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: totals.zero_count,
            count: totals.count,
            sum: totals.sum,
            positive: Buckets::new(layout.positive.clone(), positive),
            negative: Buckets::new(layout.negative.clone(), negative),
            bounds: layout.bounds.clone(),
        })
    }
}

impl Layout {
    /// The layout of a histogram without buckets.
    pub(crate) fn empty() -> Self {
        Self {
            schema: Schema::COARSEST,
            zero_threshold: 0.0,
            positive: Runs::default(),
            negative: Runs::default(),
            bounds: Arc::default(),
        }
    }

    pub(crate) fn schema(&self) -> Schema {
        self.schema
    }

    /// Number of positive (or custom) buckets.
    pub(crate) fn positive_len(&self) -> usize {
        total(&self.positive)
    }

    /// Number of buckets.
    pub(crate) fn len(&self) -> usize {
        self.positive_len().saturating_add(total(&self.negative))
    }

    /// The runs of the positive (or custom) and of the negative buckets.
    pub(crate) fn runs(&self) -> [&[Run]; 2] {
        [&self.positive, &self.negative]
    }

    /// Writes the layout.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u8(u8::from_le_bytes(i8::try_from(self.schema.number()).unwrap_or(0).to_le_bytes()));
        out.f64(self.zero_threshold);
        for runs in self.runs() {
            out.varint(runs.len() as u64);
            for span in spans_of_runs(runs) {
                out.zigzag(span.offset.into());
                out.varint(span.length.into());
            }
        }
        out.varint(self.bounds.len() as u64);
        for bound in &*self.bounds {
            out.f64(*bound);
        }
    }

    /// Reads a layout. Allocates no more than the bytes that are there speak for.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Corruption> {
        let schema = i32::from(i8::from_le_bytes([reader.u8("schema")?]));
        let schema =
            Schema::new(schema).ok_or_else(|| reader.invalid("schema", u64::from(schema.unsigned_abs())))?;
        let zero_threshold = reader.f64("zero threshold")?;
        if zero_threshold.is_nan() || zero_threshold < 0.0 {
            return Err(reader.invalid("zero threshold", zero_threshold.to_bits()));
        }
        let positive = read_runs(reader, Side::Positive)?;
        let negative = read_runs(reader, Side::Negative)?;
        let count = reader.count(8, "number of bounds")?;
        let bounds = (0..count).map(|_| reader.f64("bound")).collect::<Result<Arc<[f64]>, _>>()?;
        let layout = Self { schema, zero_threshold, positive, negative, bounds };
        if !layout.is_sound() {
            let rule = "the custom bounds of a histogram fit its buckets";
            return Err(reader.corruption(CorruptionKind::Rule { rule }));
        }
        Ok(layout)
    }

    fn is_sound(&self) -> bool {
        if !self.schema.is_custom() {
            return self.bounds.is_empty();
        }
        let parts = FloatParts {
            zero_threshold: self.zero_threshold,
            bounds: self.bounds.clone(),
            ..FloatParts::default()
        };
        self.negative.is_empty() && check_custom(&parts, &self.positive).is_ok()
    }
}

/// Number of buckets in `runs`.
fn total(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.length as usize).fold(0, usize::saturating_add)
}

fn read_runs(reader: &mut Reader<'_>, side: Side) -> Result<Runs, Corruption> {
    let count = reader.count(2, "number of runs")?;
    let mut spans = Vec::with_capacity(count);
    for number in 0..count {
        let gap = reader.zigzag("gap")?;
        let length = reader.varint("length of a run")?;
        // Runs that touch would be one.
        match (i32::try_from(gap), u32::try_from(length)) {
            (Ok(offset), Ok(length)) if length > 0 && (number == 0 || offset > 0) => {
                spans.push(Span { offset, length });
            }
            _ => return Err(reader.invalid("length of a run", length)),
        }
    }
    let buckets = spans.iter().map(|span| span.length as usize).fold(0, usize::saturating_add);
    runs_of_spans(side, &spans, buckets).map_err(|_| {
        reader.corruption(CorruptionKind::Rule { rule: "buckets lie within the range of indexes" })
    })
}
