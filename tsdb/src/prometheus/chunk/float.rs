//! Floats as the difference to the float before: the encoding `varbit_xor`.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::bits::{BitReader, BitWriter};
use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;

/// A float that changes from sample to sample, and where its bits changed last.
#[derive(Debug, Clone, Copy)]
pub(super) struct XorFloat {
    pub(super) bits: u64,
    leading: u32,
    width: u32,
    /// Has a window of changed bits been written? Only a writer asks.
    has_window: bool,
}

impl XorFloat {
    /// The first of the floats.
    pub(super) const fn first(value: f64) -> Self {
        Self { bits: value.to_bits(), leading: 0, width: 64, has_window: false }
    }

    pub(super) const fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Reads the next float.
    #[inline]
    pub(super) fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        match reader.ones(2)? {
            0 => Ok(()),
            1 => self.read_in_window(reader),
            _ => self.read_new_window(reader),
        }
    }

    /// Reads a change within the window of the change before.
    #[inline]
    pub(super) fn read_in_window(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        let changed = reader.bits(self.width)?;
        self.bits ^= changed.wrapping_shl(self.trailing());
        Ok(())
    }

    /// Reads a window and a change in it.
    pub(super) fn read_new_window(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        let window = reader.bits(11)?;
        let leading = u32::try_from(window >> 6).unwrap_or(0);
        // All 64 bits do not fit into the field and are written as none.
        let width = match u32::try_from(window & 0x3f) {
            Ok(0) | Err(_) => 64,
            Ok(width) => width,
        };
        if leading.saturating_add(width) > 64 {
            let kind = CorruptionKind::Invalid { field: "window of changed bits", value: window };
            return Err(reader.corruption(kind));
        }
        (self.leading, self.width) = (leading, width);
        self.read_in_window(reader)
    }

    /// Writes `value` as the next float.
    pub(super) fn write(&mut self, value: f64, writer: &mut BitWriter) {
        let changed = self.bits ^ value.to_bits();
        self.bits = value.to_bits();
        if changed == 0 {
            return writer.bits(0, 1);
        }
        let (leading, trailing) = (changed.leading_zeros().min(31), changed.trailing_zeros());
        if self.has_window && leading >= self.leading && trailing >= self.trailing() {
            writer.bits(0b10, 2);
            return writer.bits(changed >> self.trailing(), self.width);
        }
        let width = 64_u32.saturating_sub(leading).saturating_sub(trailing);
        (self.leading, self.width, self.has_window) = (leading, width, true);
        writer.bits(0b11, 2);
        writer.bits(leading.into(), 5);
        writer.bits((width & 0x3f).into(), 6);
        writer.bits(changed >> trailing, width);
    }

    const fn trailing(&self) -> u32 {
        64_u32.saturating_sub(self.leading).saturating_sub(self.width)
    }
}
