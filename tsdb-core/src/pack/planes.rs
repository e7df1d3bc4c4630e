//! Byte planes: residuals cut into bytes of equal significance, kept apart by the width of their column.
//!
//! Where many residuals are zero, only the others are in planes, and a *mask* says which they are.
//!
//! Columns of one width stand behind one another in a *group*. A group has one plane per byte of its width, lowest
//! byte first; a group wider than four bytes begins with a *stem* instead, the lowest four bytes of each residual
//! together, for they are noise and are read faster as one number. Bytes of one plane are alike, so an entropy coder
//! does best on them alone, and a column is decoded with whole-slice loops.

use crate::Corruption;
use crate::bytes::{Reader, Writer};
use alloc::vec::Vec;

/// The widest residual, in bytes.
pub(super) const MAX_WIDTH: usize = 8;

/// Bytes of a stem; at the same time the most planes a group has.
pub(super) const STEM_BYTES: usize = 4;

/// Bytes that `value` needs in two's complement: 0 for 0.
#[inline]
pub(super) const fn byte_width(value: i64) -> usize {
    // All bits that differ from the sign, and the sign.
    match value {
        0 => 0,
        _ => (crate::bits::width((value ^ (value >> 63)).cast_unsigned()) as usize / 8).saturating_add(1),
    }
}

/// Bytes of a residual of `width` bytes that stand in a stem: four or none.
const fn stem_bytes(width: usize) -> usize {
    if width > STEM_BYTES { STEM_BYTES } else { 0 }
}

/// The bytes of all columns of one width, being written.
#[derive(Debug, Default)]
struct Group {
    columns: usize,
    stem: Vec<u8>,
    planes: [Vec<u8>; STEM_BYTES],
}

/// The planes being written.
#[derive(Debug, Default)]
pub(super) struct PlanesWriter {
    /// One group per width from 1.
    groups: [Group; MAX_WIDTH],
    /// Behind the groups: for columns of which many residuals are zero, a bit per residual that says whether it is not.
    masks: Vec<u8>,
}

impl PlanesWriter {
    /// Appends a column of `width` and returns its offset in its group. Residuals that are wider leave zeros.
    pub(super) fn push(&mut self, width: usize, residuals: &[i64]) -> usize {
        let Some(group) = width.checked_sub(1).and_then(|index| self.groups.get_mut(index)) else { return 0 };
        let kept = |residual: &i64| if byte_width(*residual) > width { 0 } else { *residual };
        let stem = stem_bytes(width);
        if stem > 0 {
            group.stem.extend(residuals.iter().flat_map(|residual| {
                let [a, b, c, d, ..] = kept(residual).to_le_bytes();
                [a, b, c, d]
            }));
        }
        for (plane, index) in group.planes.iter_mut().zip(stem..width) {
            let shift = index.saturating_mul(8);
            plane.extend(residuals.iter().map(|residual| {
                let [byte, ..] = (kept(residual) >> shift).to_le_bytes();
                byte
            }));
        }
        let offset = group.columns;
        group.columns = offset.saturating_add(residuals.len());
        offset
    }

    /// Appends the mask of `residuals` and returns its offset among the masks.
    pub(super) fn push_mask(&mut self, residuals: &[i64]) -> usize {
        let offset = self.masks.len();
        self.masks.extend(residuals.chunks(8).map(|eight| {
            let bits = eight.iter().zip(0..8).map(|(residual, bit)| u8::from(*residual != 0) << bit);
            bits.fold(0, |mask, bit| mask | bit)
        }));
        offset
    }

    /// Bytes in all planes and masks.
    pub(super) fn len(&self) -> usize {
        let planes = self.groups.iter().zip(1..).map(|(group, width)| group.columns.saturating_mul(width));
        planes.fold(self.masks.len(), usize::saturating_add)
    }

    /// Writes the number of residuals of each group.
    pub(super) fn write_lengths(&self, out: &mut Writer) {
        for group in &self.groups {
            out.varint(group.columns as u64);
        }
        out.varint(self.masks.len() as u64);
    }

    /// Writes the planes and empties them, keeping the memory.
    pub(super) fn drain_into(&mut self, out: &mut Writer) {
        for group in &mut self.groups {
            for part in core::iter::once(&mut group.stem).chain(&mut group.planes) {
                out.bytes(part);
                part.clear();
            }
            group.columns = 0;
        }
        out.bytes(&self.masks);
        self.masks.clear();
    }
}

/// The planes of a set of columns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planes<'a> {
    bytes: &'a [u8],
    /// Number of residuals of the group of width `index + 1`.
    lengths: [usize; MAX_WIDTH],
    masks_len: usize,
    masks: &'a [u8],
}

/// The bytes of one column.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ColumnBytes<'a> {
    /// Bytes of a residual.
    pub(super) width: usize,
    /// The lowest four bytes of each residual, if it is wider than that.
    pub(super) stem: &'a [u8],
    /// The other bytes, lowest first.
    pub(super) planes: [&'a [u8]; STEM_BYTES],
}

impl<'a> Planes<'a> {
    /// Reads the lengths; [`attach`](Self::attach) brings the bytes.
    pub(super) fn read_lengths(reader: &mut Reader<'a>) -> Result<Self, Corruption> {
        let mut planes = Self::default();
        for (length, width) in planes.lengths.iter_mut().zip(1..) {
            *length = reader.count(width, "residuals of a width")?;
        }
        planes.masks_len = reader.count(1, "length of the masks")?;
        Ok(planes)
    }

    /// Takes the bytes of the planes from `reader`.
    pub(super) fn attach(&mut self, reader: &mut Reader<'a>) -> Result<(), Corruption> {
        let total = self.part_lengths().fold(0, usize::saturating_add).saturating_sub(self.masks_len);
        self.bytes = reader.bytes(total, "planes")?;
        self.masks = reader.bytes(self.masks_len, "masks")?;
        Ok(())
    }

    /// The mask of a column of `count` residuals that begins at `offset` among the masks; `None` if it is not all
    /// there, or has bits behind the end.
    pub(super) fn mask(&self, offset: u64, count: usize) -> Option<&'a [u8]> {
        let mask = self.masks.get(usize::try_from(offset).ok()?..)?.get(..count.div_ceil(8))?;
        let behind = match count.checked_rem(8) {
            Some(used @ 1..8) => mask.last()?.checked_shr(u32::try_from(used).ok()?)?,
            _ => 0,
        };
        (behind == 0).then_some(mask)
    }

    /// The bytes of the `count` residuals at `offset` of the group of `width`; `None` if they are not all there.
    pub(super) fn column(&self, width: usize, offset: usize, count: usize) -> Option<ColumnBytes<'a>> {
        let mut column = ColumnBytes { width, ..ColumnBytes::default() };
        let length = self.lengths.get(width.checked_sub(1)?).copied()?;
        let end = offset.checked_add(count).filter(|end| *end <= length)?;
        let before = self.lengths.iter().zip(1_usize..).take(width.checked_sub(1)?);
        let start = before.map(|(length, width)| length.saturating_mul(width)).fold(0, usize::saturating_add);
        let group = self.bytes.get(start..)?;
        let stem = stem_bytes(width);
        column.stem = group.get(offset.checked_mul(stem)?..end.checked_mul(stem)?)?;
        for (plane, index) in column.planes.iter_mut().zip(stem..width) {
            *plane = group.get(index.checked_mul(length)?..)?.get(offset..end)?;
        }
        Some(column)
    }

    /// Lengths of all stems and planes, and of the masks, in the order of their bytes.
    pub(super) fn part_lengths(&self) -> impl Iterator<Item = usize> + '_ {
        let groups = self.lengths.iter().zip(1_usize..).flat_map(|(length, width)| {
            let stem = stem_bytes(width);
            let planes = core::iter::repeat_n(*length, width.saturating_sub(stem));
            core::iter::once(length.saturating_mul(stem)).chain(planes)
        });
        groups.chain([self.masks_len])
    }
}
