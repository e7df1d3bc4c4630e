//! Columns of values, each naming the column of timestamps it stands beside.

use super::columns::{Columns, ColumnsWriter, write_exceptions};
use super::histograms::{self, Parts};
use super::scale::{MAX_SHIFT, Scale, Scaled};
use super::times::read_count;
use super::{MAX_SAMPLES, MAX_SERIES, PackError, SECTION, Tag};
use crate::bytes::{Reader, Writer};
use crate::chunk::starts::{self, StartsWriter};
use crate::decimal::MAX_EXPONENT;
use crate::error::CorruptionKind;
use crate::sample::{SampleColumns, SampleSlices};
use crate::{Corruption, NO_START, TimeRange, Timestamp};
use alloc::vec::Vec;

/// Where a column's values come from: the tag of its record. 0 to [`MAX_EXPONENT`] are decimal exponents; the highest
/// bit says that exceptions follow.
const ORDINAL: u8 = 16;
const BINARY: u8 = 17;
const CONSTANT: u8 = 18;
const HISTOGRAMS: u8 = 19;
/// Start timestamps, before another tag.
const STARTS: u8 = 20;
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
        let slot = self.begin(time, values.len())?;
        self.write_column(values);
        self.columns.end();
        Ok(slot)
    }

    /// As [`push`](Self::push), for samples of any kind: numbers, histograms, start timestamps. The timestamps are
    /// those of the column `time`.
    ///
    /// # Errors
    /// As for `push`, or the histograms have too many buckets: see [`fitting`](super::fitting).
    pub fn push_samples(&mut self, time: u32, samples: SampleSlices<'_>) -> Result<u32, PackError> {
        let parts = if samples.has_histograms() { Some(Parts::new(samples)?) } else { None };
        let slot = self.begin(time, samples.len())?;
        if samples.has_starts() {
            self.columns.record().u8(STARTS);
            self.write_starts(samples);
        }
        match parts {
            None => self.write_column(samples.values()),
            Some(parts) => {
                self.columns.record().u8(HISTOGRAMS);
                parts.write(samples, self);
            }
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

    fn begin(&mut self, time: u32, count: usize) -> Result<u32, PackError> {
        let full = PackError::Full { series: self.len(), raw_bytes: self.raw_len() };
        let slot = u32::try_from(self.len()).ok().filter(|_| self.len() < MAX_SERIES).ok_or(full)?;
        if !(1..=MAX_SAMPLES).contains(&count) {
            return Err(PackError::SampleCount { count, limit: MAX_SAMPLES });
        }
        let record = self.columns.begin();
        record.varint(count as u64);
        record.varint(u64::from(time));
        Ok(slot)
    }

    fn write_starts(&mut self, samples: SampleSlices<'_>) {
        let mut starts = StartsWriter::new();
        for (index, timestamp) in samples.timestamps().iter().enumerate() {
            starts.push(*timestamp, samples.start(index));
        }
        self.columns.record().blob(&starts.to_bytes());
    }

    /// The record that was begun.
    pub(super) const fn record(&mut self) -> &mut Writer {
        self.columns.record()
    }

    /// Writes a column of values, which is not empty, into the record that was begun.
    pub(super) fn write_column(&mut self, values: &[f64]) {
        let first = values.first().copied().unwrap_or(0.0);
        if values.iter().all(|value| value.to_bits() == first.to_bits()) {
            let record = self.columns.record();
            record.u8(CONSTANT);
            return record.f64(first);
        }
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

    /// Appends the values at `slot` to `into`, stale markers where there are histograms; returns how many they are.
    ///
    /// # Errors
    /// There is no such slot, or its column is damaged; `into` is then as it was.
    pub fn read(&self, slot: u32, into: &mut Vec<f64>) -> Result<usize, Corruption> {
        self.slot(slot)?.read(into)
    }

    /// Appends the samples at `slot` within `range` to `into`, of whatever kind; `timestamps` is the whole column that
    /// belongs to the slot.
    ///
    /// # Errors
    /// There is no such slot, its columns are damaged or not as long as the timestamps; `into` is then as it was.
    pub fn read_samples(
        &self,
        slot: u32,
        timestamps: &[Timestamp],
        range: TimeRange,
        into: &mut SampleColumns,
    ) -> Result<(), Corruption> {
        let before = into.len();
        self.slot(slot)?.read_samples(timestamps, range, into).inspect_err(|_| into.truncate(before))
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

impl<'a> Slot<'a> {
    /// Appends the values to `into`, which is as it was after an error.
    pub(super) fn read(self, into: &mut Vec<f64>) -> Result<usize, Corruption> {
        let before = into.len();
        let (mut columns, count) = (SampleColumns::new(), self.count);
        core::mem::swap(&mut columns.values, into);
        let result = self.read_kinds(&mut columns).map(|_| count);
        core::mem::swap(&mut columns.values, into);
        result.inspect_err(|_| into.truncate(before))
    }

    /// Appends the samples within `range`; after an error, what was appended is left to the caller to remove.
    fn read_samples(
        self,
        timestamps: &[Timestamp],
        range: TimeRange,
        into: &mut SampleColumns,
    ) -> Result<(), Corruption> {
        if timestamps.len() != self.count {
            let kind = CorruptionKind::Rule { rule: "columns differ in length" };
            return Err(Corruption::new(SECTION, 0, kind));
        }
        let start = timestamps.partition_point(|timestamp| *timestamp < range.start());
        let end = timestamps.partition_point(|timestamp| *timestamp <= range.end());
        let within = start..end.max(start);
        let before = into.len();
        let starts = self.read_kinds(into)?;
        into.keep(before, within.clone(), timestamps);
        if !starts.is_empty() {
            let mut all = Vec::new();
            starts::decode(starts, timestamps, &mut all)?;
            let known = all.get(within).unwrap_or_default();
            if known.iter().any(|start| *start != NO_START) {
                into.starts.truncate(before);
                into.starts.resize(before, NO_START);
                into.starts.extend_from_slice(known);
            }
        }
        Ok(())
    }

    /// Appends values and histograms; returns the bytes of start timestamps.
    fn read_kinds(self, into: &mut SampleColumns) -> Result<&'a [u8], Corruption> {
        let Self { columns, mut record, count, .. } = self;
        let mut starts = &[][..];
        if record.unread().first() == Some(&STARTS) {
            record.u8("tag")?;
            starts = record.blob("start timestamps")?;
        }
        if record.unread().first() == Some(&HISTOGRAMS) {
            record.u8("tag")?;
            histograms::read(columns, &mut record, count, into)?;
        } else {
            read_column(columns, &mut record, count, &mut into.values)?;
        }
        record.finish()?;
        Ok(starts)
    }
}

/// Appends a column of `count` values to `into`; after an error, what was appended is left to the caller to remove.
pub(super) fn read_column<'a>(
    columns: &Columns<'a>,
    record: &mut Reader<'a>,
    count: usize,
    into: &mut Vec<f64>,
) -> Result<(), Corruption> {
    let tag = record.u8("scale")?;
    if tag == CONSTANT {
        let value = record.f64("constant")?;
        into.resize(into.len().saturating_add(count), value);
        return Ok(());
    }
    let scale = read_scale(tag, record)?;
    let column = columns.integers(record, count)?;
    let before = into.len();
    into.reserve(count);
    column.decode(|integers| scale.restore(integers, into))?;
    if tag & HAS_EXCEPTIONS == 0 {
        return Ok(());
    }
    patch(record, into.get_mut(before..).unwrap_or_default())
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
        unknown => {
            Err(record.corruption(CorruptionKind::Unknown { field: "scale", value: u64::from(unknown) }))
        }
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
