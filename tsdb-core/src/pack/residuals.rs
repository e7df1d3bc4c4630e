//! Turns residuals back into integers, block by block on the stack: the hot loop of every read.

use super::integers::Model;
use super::planes::{ColumnBytes, STEM_BYTES};
use crate::Corruption;
use crate::bytes::Reader;

/// Integers decoded at a time: they stay in the first-level cache between the passes over them.
const BLOCK: usize = 128;

/// A column of integers, checked and ready to be decoded.
#[derive(Debug)]
pub(super) struct IntegerColumn<'a> {
    pub(super) model: Model,
    /// The residuals that are stored: all, or those that the mask names.
    pub(super) bytes: ColumnBytes<'a>,
    pub(super) count: usize,
    /// A bit for each residual, if those without are zero and not stored.
    pub(super) mask: Option<&'a [u8]>,
    pub(super) exceptions: Exceptions<'a>,
}

/// Number of ones in a mask.
pub(super) fn ones(mask: &[u8]) -> usize {
    mask.iter().map(|byte| byte.count_ones() as usize).fold(0, usize::saturating_add)
}

/// Residuals wider than the planes, checked when the column was read and met again as it is decoded.
#[derive(Debug, Clone)]
pub(super) struct Exceptions<'a> {
    left: usize,
    reader: Reader<'a>,
    next: Option<(usize, i64)>,
}

impl<'a> Exceptions<'a> {
    /// Checks the list and leaves `record` behind it.
    pub(super) fn read(left: usize, count: usize, record: &mut Reader<'a>) -> Result<Self, Corruption> {
        let mut list = Self { left, reader: record.clone(), next: None };
        let mut checked = list.clone();
        for _ in 0..left {
            if checked.advance()?.is_none_or(|(index, _)| index >= count) {
                return Err(checked.reader.invalid("exception index", count as u64));
            }
        }
        *record = checked.reader;
        list.advance()?;
        Ok(list)
    }

    fn advance(&mut self) -> Result<Option<(usize, i64)>, Corruption> {
        self.next = match self.left.checked_sub(1) {
            None => None,
            Some(left) => {
                self.left = left;
                let gap = self.reader.varint("exception index")?;
                let before = self.next.map_or(0, |(index, _)| index);
                let index = usize::try_from(gap).unwrap_or(usize::MAX).saturating_add(before);
                Some((index, self.reader.zigzag("exception")?))
            }
        };
        Ok(self.next)
    }
}

/// What is carried from one block to the next, in units of the factor.
#[derive(Debug, Clone, Copy)]
struct Running {
    unit: i64,
    slope: i64,
}

impl<'a> IntegerColumn<'a> {
    /// Number of integers.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Hands the integers to `sink`, some hundred at a time.
    pub(super) fn decode(mut self, mut sink: impl FnMut(&[i64])) -> Result<(), Corruption> {
        let (mut buffer, mut dense) = ([0_i64; BLOCK], [0_i64; BLOCK]);
        let mut stored = 0_usize;
        let Model { order, first, factor, step, middle } = self.model;
        let unit = match order {
            0 => middle,
            1 => 0,
            _ => step.wrapping_neg(),
        };
        // Without a factor the sums begin at the first integer, which saves a pass.
        let base = if factor == 1 { first } else { 0 };
        let mut running = Running { unit: unit.wrapping_add(base), slope: step };
        let mut start = 0;
        while start < self.count {
            let len = self.count.saturating_sub(start).min(BLOCK);
            let mask = self.mask.and_then(|mask| mask.get(start / 8..)?.get(..len.div_ceil(8)));
            let kept = mask.map_or(len, ones).min(BLOCK);
            let Some(block) = buffer.get_mut(..kept) else { break };
            self.gather(stored, block);
            self.patch(stored, block)?;
            stored = stored.saturating_add(kept);
            let Some(block) = (match mask {
                Some(mask) => {
                    spread(&buffer, mask, &mut dense);
                    dense.get_mut(..len)
                }
                None => buffer.get_mut(..len),
            }) else {
                break;
            };
            self.integrate(&mut running, block);
            sink(block);
            start = start.saturating_add(len);
        }
        Ok(())
    }

    /// Puts the bytes of the planes together; the highest has the sign.
    fn gather(&self, start: usize, block: &mut [i64]) {
        let end = start.saturating_add(block.len());
        let ColumnBytes { width, stem, planes } = &self.bytes;
        let planes = planes.map(|plane| plane.get(start..end).unwrap_or_default());
        let [first, second, ..] = &planes;
        match width {
            0 => block.fill(0),
            // Most columns by far have one byte or two: these loops run on several residuals at once.
            1 => {
                for (residual, byte) in block.iter_mut().zip(*first) {
                    *residual = i64::from(byte.cast_signed());
                }
            }
            2 => {
                for ((residual, low), high) in block.iter_mut().zip(*first).zip(*second) {
                    *residual = i64::from(i16::from_le_bytes([*low, *high]));
                }
            }
            _ => {
                let stem_width = if stem.is_empty() { 0 } else { STEM_BYTES };
                let stem = stem.as_chunks::<STEM_BYTES>().0.get(start..end).unwrap_or_default();
                gather_wide(&planes, width.saturating_sub(stem_width), shift_of(stem_width), block);
                for (residual, low) in block.iter_mut().zip(stem) {
                    *residual |= i64::from(u32::from_le_bytes(*low));
                }
            }
        }
    }

    /// Puts the exceptions of a block in their places.
    fn patch(&mut self, start: usize, block: &mut [i64]) -> Result<(), Corruption> {
        while let Some((index, residual)) = self.exceptions.next {
            let Some(place) = block.get_mut(index.saturating_sub(start)) else { break };
            *place = residual;
            self.exceptions.advance()?;
        }
        Ok(())
    }

    /// Undoes the model, each step in a loop of its own: all but the sums run on several integers at once.
    fn integrate(&self, running: &mut Running, block: &mut [i64]) {
        match self.model.order {
            0 => running.line(block),
            1 => running.sum(block),
            _ => running.sum_twice(block),
        }
        let Model { first, factor, .. } = self.model;
        if factor != 1 {
            block.iter_mut().for_each(|unit| *unit = unit.wrapping_mul(factor).wrapping_add(first));
        }
    }
}

impl Running {
    /// Adds the line that rises by the slope.
    fn line(&mut self, block: &mut [i64]) {
        for integer in block {
            *integer = integer.wrapping_add(self.unit);
            self.unit = self.unit.wrapping_add(self.slope);
        }
    }

    /// Sums up differences.
    fn sum(&mut self, block: &mut [i64]) {
        for integer in block {
            self.unit = self.unit.wrapping_add(*integer);
            *integer = self.unit;
        }
    }

    /// Sums up differences of differences.
    fn sum_twice(&mut self, block: &mut [i64]) {
        for integer in block {
            self.slope = self.slope.wrapping_add(*integer);
            self.unit = self.unit.wrapping_add(self.slope);
            *integer = self.unit;
        }
    }
}

/// Puts `kept` residuals where `mask` has ones, and zeros elsewhere.
fn spread(kept: &[i64; BLOCK], mask: &[u8], into: &mut [i64; BLOCK]) {
    let mut next = 0_usize;
    for (byte, eight) in mask.iter().zip(into.as_chunks_mut::<8>().0) {
        let mut bits = *byte;
        for place in eight {
            // Without a branch on the bit, which nobody can foresee.
            let bit = i64::from(bits & 1);
            *place = kept.get(next & (BLOCK - 1)).copied().unwrap_or(0) & bit.wrapping_neg();
            next = next.wrapping_add(usize::from(bits & 1));
            bits >>= 1;
        }
    }
}

/// Bits below the byte at `index`.
fn shift_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(0).wrapping_mul(8)
}

/// Puts `count` planes together from the bit `shift` on.
fn gather_wide(planes: &[&[u8]; STEM_BYTES], count: usize, shift: u32, block: &mut [i64]) {
    let mut planes = planes.iter().take(count);
    if let Some(highest) = planes.next_back() {
        let shift = shift.saturating_add(shift_of(count.saturating_sub(1)));
        for (residual, byte) in block.iter_mut().zip(*highest) {
            *residual = i64::from(byte.cast_signed()).wrapping_shl(shift);
        }
    }
    for (plane, shift) in planes.zip((shift..).step_by(8)) {
        for (residual, byte) in block.iter_mut().zip(*plane) {
            *residual |= i64::from(*byte).wrapping_shl(shift);
        }
    }
}
