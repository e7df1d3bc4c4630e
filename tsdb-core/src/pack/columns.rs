//! A set of columns of integers: a control record per column and the byte planes of all of them.
//!
//! Records are found through a table that names the place of every sixteenth, so a set is opened without looking at
//! them and any column is read without reading others.

use super::integers::{Chooser, best_width, is_sparse};
use super::planes::{ColumnBytes, MAX_WIDTH, Planes, PlanesWriter, byte_width};
use super::residuals::{Exceptions, IntegerColumn, ones};
use crate::Corruption;
use crate::bytes::{Reader, Writer};
use crate::error::CorruptionKind;
use alloc::vec::Vec;

/// Records between two entries of the table.
const RECORDS_PER_ENTRY: usize = 16;

/// The bit of a shape that says: residuals that are zero are not among the planes, a mask says which.
const SPARSE: u8 = 0x40;

/// The set being written.
#[derive(Debug, Default)]
pub(super) struct ColumnsWriter {
    len: usize,
    table: Vec<u32>,
    records: Writer,
    planes: PlanesWriter,
    chooser: Chooser,
    record: Writer,
    /// The residuals of a sparse column that are not zero.
    kept: Vec<i64>,
}

impl ColumnsWriter {
    /// A writer that takes plain deltas for every column.
    pub(super) fn hasty() -> Self {
        Self { chooser: Chooser::hasty(), ..Self::default() }
    }

    /// Number of columns.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the set so far, all but a few of its header.
    pub(super) fn raw_len(&self) -> usize {
        let table = self.table.len().saturating_mul(size_of::<u32>());
        table.saturating_add(self.records.len()).saturating_add(self.planes.len())
    }

    /// Begins the record of the next column; the caller writes its own fields first.
    pub(super) fn begin(&mut self) -> &mut Writer {
        self.record.clear();
        &mut self.record
    }

    /// Writes the fields of a column of integers into the record that was begun, and its planes.
    pub(super) fn write_integers(&mut self, column: &[i64], sloped: bool) {
        let (model, residuals) = self.chooser.choose(column, sloped);
        let mask = is_sparse(residuals).then(|| self.planes.push_mask(residuals));
        let residuals = if mask.is_some() {
            self.kept.clear();
            self.kept.extend(residuals.iter().filter(|residual| **residual != 0));
            &self.kept
        } else {
            residuals
        };
        let width = best_width(residuals);
        let offset = self.planes.push(width, residuals);
        let out = &mut self.record;
        let wide = residuals.iter().enumerate().filter(|(_, residual)| byte_width(**residual) > width);
        let exceptions = wide.clone().count();
        let flag = if exceptions > 0 { 0x80 } else { 0 };
        let sparse = if mask.is_some() { SPARSE } else { 0 };
        out.u8(flag | sparse | model.order << 4 | u8::try_from(width).unwrap_or(0));
        out.zigzag(model.first);
        out.varint(model.factor.unsigned_abs());
        if model.order != 1 {
            out.zigzag(model.step);
        }
        if model.order == 0 {
            out.zigzag(model.middle);
        }
        if let Some(mask) = mask {
            out.varint(mask as u64);
        }
        if width > 0 {
            out.varint(offset as u64);
        }
        if exceptions > 0 {
            write_exceptions(
                out,
                exceptions,
                wide.map(|(index, residual)| (index, *residual)),
                Writer::zigzag,
            );
        }
    }

    /// The record that was begun.
    pub(super) const fn record(&mut self) -> &mut Writer {
        &mut self.record
    }

    /// Ends the record and with it the column; returns the column's number.
    pub(super) fn end(&mut self) -> usize {
        if self.len.is_multiple_of(RECORDS_PER_ENTRY) {
            self.table.push(u32::try_from(self.records.len()).unwrap_or(u32::MAX));
        }
        self.records.blob(self.record.as_bytes());
        let number = self.len;
        self.len = self.len.saturating_add(1);
        number
    }

    /// Writes the set and empties it, keeping the memory.
    pub(super) fn drain_into(&mut self, out: &mut Writer) {
        out.varint(self.len as u64);
        out.varint(self.records.len() as u64);
        self.planes.write_lengths(out);
        for entry in self.table.drain(..) {
            out.u32(entry);
        }
        out.bytes(self.records.as_bytes());
        self.planes.drain_into(out);
        self.records.clear();
        self.len = 0;
    }
}

/// Writes a list of exceptions: their number, then for each the distance of its index from the one before, and it.
pub(super) fn write_exceptions<T>(
    out: &mut Writer,
    count: usize,
    exceptions: impl Iterator<Item = (usize, T)>,
    write: impl Fn(&mut Writer, T),
) {
    out.varint(count as u64);
    let mut before = 0_usize;
    for (index, value) in exceptions {
        out.varint(index.saturating_sub(before) as u64);
        write(out, value);
        before = index;
    }
}

/// A set of columns in the bytes of a frame.
#[derive(Debug, Clone)]
pub(super) struct Columns<'a> {
    len: usize,
    table: &'a [u8],
    records: &'a [u8],
    planes: Planes<'a>,
    planes_at: usize,
}

impl<'a> Columns<'a> {
    /// Takes a set from `reader`.
    pub(super) fn open(reader: &mut Reader<'a>, limit: usize) -> Result<Self, Corruption> {
        let len = reader.count(1, "number of columns")?;
        if len > limit {
            return Err(reader.invalid("number of columns", len as u64));
        }
        let records_len = reader.count(1, "length of the records")?;
        let mut planes = Planes::read_lengths(reader)?;
        let table_len = len.div_ceil(RECORDS_PER_ENTRY).saturating_mul(size_of::<u32>());
        let table = reader.bytes(table_len, "record table")?;
        let records = reader.bytes(records_len, "records")?;
        let planes_at = reader.position();
        planes.attach(reader)?;
        Ok(Self { len, table, records, planes, planes_at })
    }

    /// Number of columns.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Where planes begin that are not empty, and where the last one ends, from the start of the section.
    pub(super) fn cuts(&self) -> impl Iterator<Item = usize> + '_ {
        let lengths = self.planes.part_lengths().filter(|length| *length > 0);
        let starts = lengths.scan(self.planes_at, |at, length| {
            *at = at.saturating_add(length);
            Some(*at)
        });
        core::iter::once(self.planes_at).chain(starts)
    }

    /// The record of the column `number`.
    pub(super) fn record(&self, number: usize) -> Result<Reader<'a>, Corruption> {
        let out_of_range = CorruptionKind::Invalid { field: "column number", value: number as u64 };
        let group = number.checked_div(RECORDS_PER_ENTRY).unwrap_or(0);
        let entry =
            self.table.chunks_exact(size_of::<u32>()).nth(group).and_then(|entry| entry.first_chunk());
        let entry = match entry {
            Some(entry) if number < self.len => u32::from_le_bytes(*entry) as usize,
            _ => return Err(Corruption::new(super::SECTION, 0, out_of_range)),
        };
        let mut records = Reader::new(super::SECTION, self.records);
        records.bytes(entry, "record table entry")?;
        let before = number.checked_rem(RECORDS_PER_ENTRY).unwrap_or(0);
        for _ in 0..before {
            records.blob("record")?;
        }
        Ok(Reader::new(super::SECTION, records.blob("record")?))
    }

    /// Reads the fields of a column of `count` integers from its record.
    pub(super) fn integers(
        &self,
        record: &mut Reader<'a>,
        count: usize,
    ) -> Result<IntegerColumn<'a>, Corruption> {
        let shape = record.u8("shape")?;
        let (order, width) = (shape >> 4 & 3, usize::from(shape & 0xf));
        if order > 2 || width > MAX_WIDTH {
            return Err(record.invalid("shape", u64::from(shape)));
        }
        let first = record.zigzag("first")?;
        let factor = record.varint("factor")?;
        let Some(factor) = i64::try_from(factor).ok().filter(|factor| *factor > 0) else {
            return Err(record.invalid("factor", factor));
        };
        let step = if order == 1 { 0 } else { record.zigzag("step")? };
        let middle = if order == 0 { record.zigzag("middle")? } else { 0 };
        let mask = match shape & SPARSE {
            0 => None,
            _ => {
                let offset = record.varint("mask offset")?;
                let mask = self.planes.mask(offset, count);
                Some(mask.ok_or_else(|| record.invalid("mask offset", offset))?)
            }
        };
        let stored = mask.map_or(count, ones);
        let mut bytes = ColumnBytes::default();
        if width > 0 {
            let offset = record.varint("plane offset")?;
            let column =
                usize::try_from(offset).ok().and_then(|offset| self.planes.column(width, offset, stored));
            bytes = column.ok_or_else(|| record.invalid("plane offset", offset))?;
        }
        let exceptions = if shape & 0x80 == 0 { 0 } else { record.count(2, "number of exceptions")? };
        let model = super::integers::Model { order, first, factor, step, middle };
        let exceptions = Exceptions::read(exceptions, stored, record)?;
        Ok(IntegerColumn { model, bytes, count, mask, exceptions })
    }
}
