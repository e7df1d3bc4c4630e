//! The encoding of nearly all samples: numbers, times by the change of their distance.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::bits::{BitReader, BitWriter, fits};
use super::float::XorFloat;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, Timestamp};

/// Widths of the change of a distance behind 1 to 3 ones.
const CHANGE_WIDTHS: [(u32, u32); 3] = [(1, 14), (2, 17), (3, 20)];

/// Appends the `count` samples behind the header of a chunk to `into`.
pub(super) fn decode(
    mut reader: BitReader<'_>,
    count: u16,
    into: &mut SampleColumns,
) -> Result<(), Corruption> {
    if count == 0 {
        return Ok(());
    }
    let mut time = reader.varint()?;
    let mut value = XorFloat::first(reader.float()?);
    into.push(time, value.value());
    if count == 1 {
        return Ok(());
    }
    let mut distance = reader.uvarint()?.cast_signed();
    time = time.wrapping_add(distance);
    value.read(&mut reader)?;
    into.push(time, value.value());
    for _ in 2..count {
        distance = distance.wrapping_add(change(&mut reader)?);
        time = time.wrapping_add(distance);
        value.read(&mut reader)?;
        into.push(time, value.value());
    }
    Ok(())
}

#[inline]
fn change(reader: &mut BitReader<'_>) -> Result<i64, Corruption> {
    match reader.ones(4)? {
        0 => Ok(0),
        1 => reader.signed(14),
        2 => reader.signed(17),
        3 => reader.signed(20),
        _ => reader.signed(64),
    }
}

/// Writes the samples of a chunk one by one.
#[derive(Debug)]
pub(super) struct XorWriter {
    bits: BitWriter,
    count: u16,
    time: Timestamp,
    distance: i64,
    value: XorFloat,
}

impl XorWriter {
    pub(super) fn new() -> Self {
        let bits = BitWriter::after(vec![0; 2]);
        Self { bits, count: 0, time: 0, distance: 0, value: XorFloat::first(0.0) }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bits.len()
    }

    pub(super) fn push(&mut self, time: Timestamp, value: f64) {
        let distance = time.wrapping_sub(self.time);
        match self.count {
            0 => {
                self.bits.varint(time);
                self.bits.bits(value.to_bits(), 64);
                self.value = XorFloat::first(value);
            }
            1 => {
                self.bits.uvarint(distance.cast_unsigned());
                self.value.write(value, &mut self.bits);
            }
            _ => {
                self.write_change(distance.wrapping_sub(self.distance));
                self.value.write(value, &mut self.bits);
            }
        }
        (self.time, self.distance) = (time, if self.count == 0 { 0 } else { distance });
        self.count = self.count.saturating_add(1);
    }

    fn write_change(&mut self, change: i64) {
        if change == 0 {
            return self.bits.bits(0, 1);
        }
        match CHANGE_WIDTHS.into_iter().find(|(_, width)| fits(change, *width)) {
            Some((ones, width)) => {
                self.bits.bits(u64::MAX.wrapping_shl(1), ones.saturating_add(1));
                self.bits.bits(change.cast_unsigned(), width);
            }
            None => {
                self.bits.bits(0b1111, 4);
                self.bits.bits(change.cast_unsigned(), 64);
            }
        }
    }

    /// The data of the chunk.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut data = self.bits.finish();
        if let Some(count) = data.first_chunk_mut() {
            *count = self.count.to_be_bytes();
        }
        data
    }
}
