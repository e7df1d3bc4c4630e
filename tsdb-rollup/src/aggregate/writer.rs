//! Writing chunks of windows.

use super::format::{MAX_CHUNKS, Shape, TAG};
use super::sums::settle;
use super::{AggregateColumns, Spread};
use std::collections::HashMap;
use tsdb_core::STALE_NAN;
use tsdb_core::bytes::Writer;
use tsdb_core::pack::{PackError, ValuesWriter};
use tsdb_core::sample::SampleColumns;

/// Values of all columns that make a frame full: about as many bytes, unpacked, as a frame of samples has.
const FULL_VALUES: usize = 1 << 16;

/// Collects chunks of neighbouring series into a frame.
#[derive(Debug)]
pub struct AggregateWriter {
    resolution_ms: i64,
    chunks: Vec<Chunk>,
    /// Distinct columns of weights, in order, and their numbers.
    weights: Vec<Vec<u32>>,
    known_weights: HashMap<Vec<u32>, u16>,
    values: usize,
}

#[derive(Debug)]
struct Chunk {
    time: u32,
    samples: SampleColumns,
    weights: u16,
    shape: Shape,
    /// The columns that are stored, sums settled.
    spread: Spread,
}

impl AggregateWriter {
    /// A writer of windows of `resolution_ms`.
    pub fn new(resolution_ms: i64) -> Self {
        let (chunks, weights, known_weights) = (Vec::new(), Vec::new(), HashMap::new());
        Self { resolution_ms, chunks, weights, known_weights, values: 0 }
    }

    /// Adds a chunk whose timestamps are the column `time`; returns its slot: 0 for the first, then 1, 2 ...
    ///
    /// # Errors
    /// The frame holds as many chunks as it can.
    pub fn push(&mut self, time: u32, columns: &AggregateColumns) -> Result<u32, PackError> {
        let full = PackError::Full { series: self.chunks.len(), raw_bytes: self.values };
        let slot = u32::try_from(self.chunks.len()).ok().filter(|_| self.chunks.len() < MAX_CHUNKS);
        let slot = slot.ok_or(full)?;
        let (shape, spread) = match &columns.spread {
            None => (Shape(0), Spread::default()),
            Some(spread) => stored_columns(columns, spread),
        };
        let weights = self.intern(&columns.weights);
        let stored = [&spread.min, &spread.max, &spread.sum];
        self.values =
            stored.iter().fold(self.values.saturating_add(columns.len()), |n, c| n.saturating_add(c.len()));
        self.chunks.push(Chunk { time, samples: columns.samples.clone(), weights, shape, spread });
        Ok(slot)
    }

    /// Are there no chunks?
    pub const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Is it time to [`finish`](Self::finish) the frame?
    pub const fn is_full(&self) -> bool {
        self.values >= FULL_VALUES || self.chunks.len() >= MAX_CHUNKS
    }

    /// The bytes that [`Aggregates::open`](super::Aggregates::open) reads. Leaves the writer empty.
    ///
    /// # Errors
    /// Columns that packed columns do not take: without samples, too long, of too many buckets.
    pub fn finish(&mut self) -> Result<Vec<u8>, PackError> {
        let chunks = std::mem::take(&mut self.chunks);
        let weights = std::mem::take(&mut self.weights);
        self.known_weights.clear();
        self.values = 0;
        let mut out = Writer::new();
        out.u8(TAG);
        out.varint(self.resolution_ms.unsigned_abs());
        out.varint(chunks.len() as u64);
        out.varint(weights.len() as u64);
        chunks.iter().for_each(|chunk| out.u8(chunk.shape.0));
        chunks.iter().for_each(|chunk| out.u16(chunk.weights));
        out.bytes(&pack(&chunks, &weights)?);
        Ok(out.into_bytes())
    }

    /// The number of the column `weights`. Neighbouring series are scraped together and mostly have the same.
    fn intern(&mut self, weights: &[u32]) -> u16 {
        if let Some(known) = self.known_weights.get(weights) {
            return *known;
        }
        // There are no more columns of weights than chunks, and of those fewer than fit.
        let number = u16::try_from(self.weights.len()).unwrap_or(u16::MAX);
        self.weights.push(weights.to_vec());
        self.known_weights.insert(weights.to_vec(), number);
        number
    }
}

/// Equal columns side by side: samples, weights, minima, maxima, sums.
fn pack(chunks: &[Chunk], weights: &[Vec<u32>]) -> Result<Vec<u8>, PackError> {
    let mut values = ValuesWriter::new();
    for chunk in chunks {
        values.push_samples(chunk.time, chunk.samples.as_slices())?;
    }
    for column in weights {
        values.push(0, &column.iter().map(|weight| f64::from(*weight)).collect::<Vec<_>>())?;
    }
    let with = |bit: u8| chunks.iter().filter(move |chunk| chunk.shape.has(bit));
    for chunk in with(Shape::MIN) {
        values.push(chunk.time, &chunk.spread.min)?;
    }
    for chunk in with(Shape::MAX) {
        values.push(chunk.time, &chunk.spread.max)?;
    }
    for chunk in with(Shape::SUM) {
        values.push(chunk.time, &chunk.spread.sum)?;
    }
    Ok(values.finish())
}

/// Which columns of a spread are stored, and what they are.
fn stored_columns(columns: &AggregateColumns, spread: &Spread) -> (Shape, Spread) {
    let values = &columns.samples.values;
    let products =
        columns.samples.values.iter().zip(&columns.weights).map(|(value, weight)| product(*value, *weight));
    let is_product = same_bits(products, &spread.sum);
    let keep = |column: &Vec<f64>, bit: u8| match same_bits(values.iter().copied(), column) {
        true => (0, Vec::new()),
        false => (bit, column.clone()),
    };
    let (min_bit, min) = keep(&spread.min, Shape::MIN);
    let (max_bit, max) = keep(&spread.max, Shape::MAX);
    let (sum_bit, sum) = if is_product {
        (0, Vec::new())
    } else {
        (Shape::SUM, settle(&spread.sum, &[values, &spread.min, &spread.max]))
    };
    (Shape(Shape::SPREAD | min_bit | max_bit | sum_bit), Spread { min, max, sum })
}

/// The sum of `weight` equal values.
pub(super) fn product(value: f64, weight: u32) -> f64 {
    if weight == 0 { STALE_NAN } else { value * f64::from(weight) }
}

fn same_bits(a: impl Iterator<Item = f64>, b: &[f64]) -> bool {
    a.map(f64::to_bits).eq(b.iter().map(|value| value.to_bits()))
}
