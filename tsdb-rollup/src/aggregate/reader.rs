//! Reading chunks of windows.

use super::format::{MAX_CHUNKS, SECTION, Shape, TAG};
use super::writer::product;
use super::{AggregateColumns, Form, Spread};
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;
use tsdb_core::pack::Values;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, TimeRange, Timestamp};

/// What is asked of the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Column {
    /// The samples that were kept, themselves.
    Samples,
    /// The smallest value of each window. Of corners, these are the samples: the smallest is among them.
    Min,
    /// The largest value of each window. Of corners, these are the samples: the largest is among them.
    Max,
    /// The sum of each window. Corners have none, their samples take its place.
    Sum,
}

/// A frame of chunks, ready to be read by slot.
#[derive(Debug, Clone)]
pub struct Aggregates<'a> {
    resolution_ms: i64,
    shapes: &'a [u8],
    weights: &'a [u8],
    weight_columns: u32,
    values: Values<'a>,
    values_start: usize,
}

impl<'a> Aggregates<'a> {
    /// Looks at the header of what an [`AggregateWriter`](super::AggregateWriter) wrote; allocates nothing.
    ///
    /// # Errors
    /// The bytes are no frame of windows, or the header is damaged.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Corruption> {
        let mut reader = Reader::new(SECTION, bytes);
        let tag = reader.u8("tag")?;
        if tag != TAG {
            return Err(reader.corruption(CorruptionKind::Unknown { field: "tag", value: tag.into() }));
        }
        let resolution = reader.varint("resolution")?;
        let resolution_ms = i64::try_from(resolution).ok().filter(|resolution| *resolution > 0);
        let resolution_ms = resolution_ms.ok_or_else(|| reader.invalid("resolution", resolution))?;
        let chunks = reader.count(3, "number of chunks")?;
        let columns = reader.count(1, "number of weight columns")?;
        if chunks > MAX_CHUNKS || columns > chunks {
            return Err(reader.invalid("number of chunks", chunks as u64));
        }
        let shapes = reader.bytes(chunks, "shapes")?;
        if let Some(unknown) = shapes.iter().find(|shape| !Shape(**shape).is_known()) {
            return Err(
                reader.corruption(CorruptionKind::Unknown { field: "shape", value: (*unknown).into() })
            );
        }
        let weights = reader.bytes(chunks.saturating_mul(2), "weights")?;
        let values_start = reader.position();
        let values = Values::open(reader.unread())?;
        let stored = |bit| shapes.iter().filter(|shape| Shape(**shape).has(bit)).count();
        let expected = [stored(Shape::MIN), stored(Shape::MAX), stored(Shape::SUM), columns];
        if values.len() != expected.into_iter().fold(chunks, usize::saturating_add) {
            return Err(rule("a frame has the columns that its chunks name"));
        }
        let weight_columns = u32::try_from(columns).unwrap_or(u32::MAX);
        Ok(Self { resolution_ms, shapes, weights, weight_columns, values, values_start })
    }

    /// Length of the windows, ms.
    pub const fn resolution_ms(&self) -> i64 {
        self.resolution_ms
    }

    /// Number of chunks.
    pub const fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Are there no chunks?
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is kept of the windows at `slot`.
    ///
    /// # Errors
    /// There is no such slot.
    pub fn form(&self, slot: u32) -> Result<Form, Corruption> {
        self.shape(slot).map(|shape| if shape.has(Shape::SPREAD) { Form::Spread } else { Form::Corners })
    }

    /// The number of the column of timestamps that belongs to `slot`.
    ///
    /// # Errors
    /// There is no such slot, or its record is damaged.
    pub fn time(&self, slot: u32) -> Result<u32, Corruption> {
        self.shape(slot)?;
        self.values.time(slot)
    }

    /// Replaces `into` by `column` of the chunk at `slot` and `weights` by its weights; `timestamps` is the whole column
    /// that belongs to the slot.
    ///
    /// # Errors
    /// There is no such slot, or its columns are damaged; `into` and `weights` then hold nothing of use.
    pub fn read(
        &self,
        slot: u32,
        column: Column,
        timestamps: &[Timestamp],
        into: &mut SampleColumns,
        weights: &mut Vec<u32>,
    ) -> Result<(), Corruption> {
        into.clear();
        let shape = self.shape(slot)?;
        self.read_weights(slot, weights)?;
        let spread = shape.has(Shape::SPREAD);
        let own = match column {
            Column::Min if shape.has(Shape::MIN) => Some(Shape::MIN),
            Column::Max if shape.has(Shape::MAX) => Some(Shape::MAX),
            Column::Sum if shape.has(Shape::SUM) => Some(Shape::SUM),
            _ => None,
        };
        match own {
            Some(bit) => {
                self.values.read(self.slot_of(slot, bit), &mut into.values)?;
                into.timestamps.extend_from_slice(timestamps);
            }
            None => self.values.read_samples(slot, timestamps, TimeRange::ALL, into)?,
        }
        if own.is_none() && spread && column == Column::Sum {
            into.values
                .iter_mut()
                .zip(&*weights)
                .for_each(|(value, weight)| *value = product(*value, *weight));
        }
        if into.timestamps.len() != into.values.len() || into.values.len() != weights.len() {
            return Err(rule("columns differ in length"));
        }
        Ok(())
    }

    /// Replaces `into` by all columns of the chunk at `slot`, as [`read`](Self::read) does one.
    ///
    /// # Errors
    /// As for `read`.
    pub fn read_all(
        &self,
        slot: u32,
        timestamps: &[Timestamp],
        into: &mut AggregateColumns,
    ) -> Result<(), Corruption> {
        into.clear(self.form(slot)?);
        self.read(slot, Column::Samples, timestamps, &mut into.samples, &mut into.weights)?;
        if let Some(Spread { min, max, sum }) = &mut into.spread {
            let (mut samples, mut weights) = (SampleColumns::new(), Vec::new());
            for (column, into) in [(Column::Min, min), (Column::Max, max), (Column::Sum, sum)] {
                self.read(slot, column, timestamps, &mut samples, &mut weights)?;
                std::mem::swap(&mut samples.values, into);
            }
        }
        Ok(())
    }

    /// Offsets where the nature of the bytes changes.
    pub fn cuts(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(self.values_start)
            .chain(self.values.cuts().map(|cut| cut.saturating_add(self.values_start)))
    }

    fn shape(&self, slot: u32) -> Result<Shape, Corruption> {
        let invalid = CorruptionKind::Invalid { field: "slot", value: slot.into() };
        let shape = self.shapes.get(slot as usize).copied().map(Shape);
        shape.ok_or_else(|| Corruption::new(SECTION, 0, invalid))
    }

    fn read_weights(&self, slot: u32, into: &mut Vec<u32>) -> Result<(), Corruption> {
        let mut reader = Reader::new(SECTION, self.weights);
        reader.bytes((slot as usize).saturating_mul(2), "weights")?;
        let number = u32::from(reader.u16("weights")?);
        if number >= self.weight_columns {
            return Err(reader.invalid("weights", number.into()));
        }
        let mut values = Vec::new();
        let chunks = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.values.read(chunks.saturating_add(number), &mut values)?;
        into.clear();
        into.reserve(values.len());
        for value in values {
            into.push(to_weight(value).ok_or_else(|| rule("weights are whole and fit"))?);
        }
        Ok(())
    }

    /// The slot among the values of the column that `bit` says the chunk at `slot` has.
    fn slot_of(&self, slot: u32, bit: u8) -> u32 {
        let count = |shapes: &[u8], bit: u8| shapes.iter().filter(|shape| Shape(**shape).has(bit)).count();
        let before = match bit {
            Shape::MIN => 0,
            Shape::MAX => count(self.shapes, Shape::MIN),
            _ => count(self.shapes, Shape::MIN).saturating_add(count(self.shapes, Shape::MAX)),
        };
        let rank = count(self.shapes.get(..slot as usize).unwrap_or_default(), bit);
        let among = self.len().saturating_add(before).saturating_add(rank);
        u32::try_from(among).unwrap_or(u32::MAX).saturating_add(self.weight_columns)
    }
}

/// A weight that was stored as a number.
fn to_weight(value: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "compared with the number afterwards"
    )]
    let weight = value as u32;
    (f64::from(weight).to_bits() == value.to_bits()).then_some(weight)
}

fn rule(rule: &'static str) -> Corruption {
    Corruption::new(SECTION, 0, CorruptionKind::Rule { rule })
}
