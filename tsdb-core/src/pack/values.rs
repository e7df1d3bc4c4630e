//! Columns of values, each naming the column of timestamps it stands beside.

use super::columns::{Columns, ColumnsWriter, write_exceptions};
use super::scale::{MAX_SHIFT, Scale, Scaled};
use super::times::read_count;
use super::{MAX_SAMPLES, MAX_SERIES, PackError, SECTION, Tag};
use crate::Corruption;
use crate::bytes::{Reader, Writer};
use crate::decimal::MAX_EXPONENT;
use alloc::vec::Vec;

/// Where a column's values come from: the tag of its record. 0 to [`MAX_EXPONENT`] are decimal exponents; the highest
/// bit says that exceptions follow.
const ORDINAL: u8 = 16;
const BINARY: u8 = 17;
const CONSTANT: u8 = 18;
const HAS_EXCEPTIONS: u8 = 0x80;

/// Collects columns of values whose timestamps a [`TimesWriter`](super::TimesWriter) holds.
#[derive(Debug, Default)]
pub struct ValuesWriter {
    columns: ColumnsWriter,
    scaled: Scaled,
}

impl ValuesWriter {
    /// A writer without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that does not look for the shortest description of a column: it is several times faster, and its
    /// columns are mostly as long. For what is not compressed afterwards.
    pub fn hasty() -> Self {
        Self { columns: ColumnsWriter::hasty(), ..Self::default() }
    }

    /// Adds the values of a series whose timestamps are the column `time`; returns its slot: 0 for the first, then
    /// 1, 2 ...
    ///
    /// # Errors
    /// The values are too few or too many, or the writer holds [`MAX_SERIES`] columns.
    pub fn push(&mut self, time: u32, values: &[f64]) -> Result<u32, PackError> {
        let full = PackError::Full { series: self.len(), raw_bytes: self.raw_len() };
        let slot = u32::try_from(self.len()).ok().filter(|_| self.len() < MAX_SERIES).ok_or(full)?;
        let Some(first) = values.first().filter(|_| values.len() <= MAX_SAMPLES) else {
            return Err(PackError::SampleCount { count: values.len(), limit: MAX_SAMPLES });
        };
        let record = self.columns.begin();
        record.varint(values.len() as u64);
        record.varint(u64::from(time));
        if values.iter().all(|value| value.to_bits() == first.to_bits()) {
            record.u8(CONSTANT);
            record.f64(*first);
        } else {
            self.push_scaled(values);
        }
        self.columns.end();
        Ok(slot)
    }

    /// Number of columns.
    pub const fn len(&self) -> usize {
        self.columns.len()
    }

    /// Are there no columns?
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About the length of what [`finish`](Self::finish) gives, in bytes.
    pub fn raw_len(&self) -> usize {
        self.columns.raw_len()
    }

    /// The bytes that [`Values::open`] reads. Leaves the writer empty.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.raw_len().saturating_add(64));
        out.u8(Tag::Values as u8);
        self.drain_into(&mut out);
        out.into_bytes()
    }

    pub(super) fn drain_into(&mut self, out: &mut Writer) {
        self.columns.drain_into(out);
    }

    fn push_scaled(&mut self, values: &[f64]) {
        let scale = self.scaled.fill(values);
        let exceptions = &self.scaled.exceptions;
        let flag = if exceptions.is_empty() { 0 } else { HAS_EXCEPTIONS };
        let record = self.columns.record();
        match scale {
            Scale::Decimal(exponent) => record.u8(flag | exponent),
            Scale::Ordinal => record.u8(flag | ORDINAL),
            Scale::Binary(shift) => {
                record.u8(flag | BINARY);
                record.varint(u64::from(shift));
            }
        }
        self.columns.write_integers(&self.scaled.integers, false);
        if !exceptions.is_empty() {
            let (count, list) = (exceptions.len(), exceptions.iter().copied());
            write_exceptions(self.columns.record(), count, list, Writer::u64);
        }
    }
}

/// Columns of values, ready to be read by slot.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    columns: Columns<'a>,
}

impl<'a> Values<'a> {
    /// Looks at the header of what a [`ValuesWriter`] wrote; allocates nothing.
    ///
    /// # Errors
    /// The bytes are no set of value columns, or the header is damaged.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Corruption> {
        let mut reader = Reader::new(SECTION, bytes);
        Tag::Values.expect(&mut reader)?;
        let values = Self::take(&mut reader)?;
        reader.finish()?;
        Ok(values)
    }

    pub(super) fn take(reader: &mut Reader<'a>) -> Result<Self, Corruption> {
        Ok(Self { columns: Columns::open(reader, MAX_SERIES)? })
    }

    /// Number of columns.
    pub const fn len(&self) -> usize {
        self.columns.len()
    }

    /// Are there no columns?
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values at `slot`.
    ///
    /// # Errors
    /// There is no such slot, or its record is damaged.
    pub fn count(&self, slot: u32) -> Result<usize, Corruption> {
        read_count(&mut self.columns.record(slot as usize)?)
    }

    /// The number of the column of timestamps that belongs to `slot`.
    ///
    /// # Errors
    /// There is no such slot, or its record is damaged.
    pub fn time(&self, slot: u32) -> Result<u32, Corruption> {
        self.slot(slot).map(|slot| slot.time)
    }

    /// Appends the values at `slot` to `into`; returns how many they are.
    ///
    /// # Errors
    /// There is no such slot, or its column is damaged; `into` is then as it was.
    pub fn read(&self, slot: u32, into: &mut Vec<f64>) -> Result<usize, Corruption> {
        self.slot(slot)?.read(into)
    }

    /// The record of a slot, its first fields read.
    pub(super) fn slot(&self, slot: u32) -> Result<Slot<'_>, Corruption> {
        let mut record = self.columns.record(slot as usize)?;
        let count = read_count(&mut record)?;
        let time = read_time(&mut record)?;
        Ok(Slot { columns: &self.columns, record, count, time })
    }

    /// As [`Frame::cuts`](super::Frame::cuts).
    pub fn cuts(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.cuts()
    }
}

/// One column of values, found and ready to be read.
pub(super) struct Slot<'a> {
    columns: &'a Columns<'a>,
    record: Reader<'a>,
    count: usize,
    /// The number of its column of timestamps.
    pub(super) time: u32,
}

impl Slot<'_> {
    /// Appends the values to `into`, which is as it was after an error.
    pub(super) fn read(self, into: &mut Vec<f64>) -> Result<usize, Corruption> {
        let Self { columns, mut record, count, .. } = self;
        let tag = record.u8("scale")?;
        if tag == CONSTANT {
            let value = record.f64("constant")?;
            record.finish()?;
            into.resize(into.len().saturating_add(count), value);
            return Ok(count);
        }
        let scale = read_scale(tag, &mut record)?;
        let column = columns.integers(&mut record, count)?;
        let before = into.len();
        into.reserve(count);
        let decoded = column.decode(|integers| scale.restore(integers, into)).and_then(|()| {
            let column = into.get_mut(before..).unwrap_or_default();
            if tag & HAS_EXCEPTIONS != 0 { patch(&mut record, column) } else { Ok(()) }
        });
        let result = decoded.and_then(|()| record.finish());
        if result.is_err() {
            into.truncate(before);
        }
        result.map(|()| count)
    }
}

fn read_time(record: &mut Reader<'_>) -> Result<u32, Corruption> {
    let time = record.varint("time column")?;
    u32::try_from(time).map_err(|_| record.invalid("time column", time))
}

fn read_scale(tag: u8, record: &mut Reader<'_>) -> Result<Scale, Corruption> {
    match tag & !HAS_EXCEPTIONS {
        exponent @ 0..=MAX_EXPONENT => Ok(Scale::Decimal(exponent)),
        ORDINAL => Ok(Scale::Ordinal),
        BINARY => {
            let shift = record.varint("binary scale")?;
            let valid = u16::try_from(shift).ok().filter(|shift| *shift <= MAX_SHIFT);
            valid.map(Scale::Binary).ok_or_else(|| record.invalid("binary scale", shift))
        }
        unknown => Err(record
            .corruption(crate::error::CorruptionKind::Unknown { field: "scale", value: u64::from(unknown) })),
    }
}

/// Puts the exceptions of a column in their places.
fn patch(record: &mut Reader<'_>, column: &mut [f64]) -> Result<(), Corruption> {
    let exceptions = record.count(9, "number of exceptions")?;
    let mut index = 0_usize;
    for _ in 0..exceptions {
        let gap = record.varint("exception index")?;
        index = index.saturating_add(usize::try_from(gap).unwrap_or(usize::MAX));
        let value = record.f64("exception")?;
        *column.get_mut(index).ok_or_else(|| record.invalid("exception index", index as u64))? = value;
    }
    Ok(())
}
