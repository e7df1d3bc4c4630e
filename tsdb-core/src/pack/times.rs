//! Columns of timestamps, each stored once however many series refer to it.

use super::columns::{Columns, ColumnsWriter};
use super::residuals::IntegerColumn;
use super::{MAX_SAMPLES, PackError, SECTION, Tag};
use crate::bytes::{Reader, Writer};
use crate::error::CorruptionKind;
use crate::{Corruption, TimeRange, Timestamp};
use alloc::vec::Vec;
use hashbrown::HashTable;

/// Collects distinct columns of timestamps.
///
/// A block may have one set for all its frames, with the values in [`ValuesWriter`](super::ValuesWriter)s that name
/// columns by number. Until it is finished it keeps every distinct column in memory, eight bytes a timestamp, to
/// compare new ones with.
#[derive(Debug, Default)]
pub struct TimesWriter {
    columns: ColumnsWriter,
    /// All distinct columns behind one another.
    known: Vec<Timestamp>,
    /// Where the column of each number ends in `known`.
    ends: Vec<usize>,
    by_hash: HashTable<u32>,
    last: u32,
}

impl TimesWriter {
    /// A writer without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of the column `timestamps` (ms, strictly ascending), which is added if it is new.
    ///
    /// # Errors
    /// The timestamps are too few, too many, or do not ascend.
    pub fn intern(&mut self, timestamps: &[Timestamp]) -> Result<u32, PackError> {
        if !self.is_empty() && self.known(self.last) == timestamps {
            return Ok(self.last);
        }
        check_ascending(timestamps)?;
        let hash = hash(timestamps);
        let found = self.by_hash.find(hash, |number| self.known(*number) == timestamps).copied();
        self.last = match found {
            Some(number) => number,
            None => self.add(timestamps, hash),
        };
        Ok(self.last)
    }

    /// Number of distinct columns.
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

    /// The bytes that [`Times::open`] reads. Leaves the writer empty.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.raw_len().saturating_add(64));
        out.u8(Tag::Times as u8);
        self.drain_into(&mut out);
        out.into_bytes()
    }

    pub(super) fn drain_into(&mut self, out: &mut Writer) {
        self.columns.drain_into(out);
        self.known.clear();
        self.ends.clear();
        self.by_hash.clear();
        self.last = 0;
    }

    fn add(&mut self, timestamps: &[Timestamp], hash: u64) -> u32 {
        self.columns.begin().varint(timestamps.len() as u64);
        self.columns.write_integers(timestamps, true);
        let number = u32::try_from(self.columns.end()).unwrap_or(u32::MAX);
        self.known.extend_from_slice(timestamps);
        self.ends.push(self.known.len());
        let (known, ends) = (&self.known, &self.ends);
        self.by_hash.insert_unique(hash, number, |number| self::hash(column(known, ends, *number)));
        number
    }

    fn known(&self, number: u32) -> &[Timestamp] {
        column(&self.known, &self.ends, number)
    }
}

fn column<'a>(known: &'a [Timestamp], ends: &[usize], number: u32) -> &'a [Timestamp] {
    let start = match number.checked_sub(1) {
        Some(before) => ends.get(before as usize).copied().unwrap_or(0),
        None => 0,
    };
    let end = ends.get(number as usize).copied().unwrap_or(start);
    known.get(start..end).unwrap_or_default()
}

/// A hash for this process alone (multiply and rotate); equality is checked on the timestamps.
fn hash(timestamps: &[Timestamp]) -> u64 {
    timestamps.iter().fold(timestamps.len() as u64, |hash, timestamp| {
        (hash ^ timestamp.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

fn check_ascending(timestamps: &[Timestamp]) -> Result<(), PackError> {
    if timestamps.is_empty() || timestamps.len() > MAX_SAMPLES {
        return Err(PackError::SampleCount { count: timestamps.len(), limit: MAX_SAMPLES });
    }
    let pairs = timestamps.iter().zip(timestamps.iter().skip(1));
    match pairs.zip(1..).find(|((before, after), _)| before >= after) {
        Some((_, index)) => Err(PackError::NotAscending { index }),
        None => Ok(()),
    }
}

/// Columns of timestamps, ready to be read by number.
#[derive(Debug, Clone)]
pub struct Times<'a> {
    columns: Columns<'a>,
}

impl<'a> Times<'a> {
    /// Looks at the header of what a [`TimesWriter`] wrote; allocates nothing.
    ///
    /// # Errors
    /// The bytes are no set of time columns, or the header is damaged.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Corruption> {
        let mut reader = Reader::new(SECTION, bytes);
        Tag::Times.expect(&mut reader)?;
        let times = Self::take(&mut reader)?;
        reader.finish()?;
        Ok(times)
    }

    pub(super) fn take(reader: &mut Reader<'a>) -> Result<Self, Corruption> {
        Ok(Self { columns: Columns::open(reader, u32::MAX as usize)? })
    }

    /// Number of columns.
    pub const fn len(&self) -> usize {
        self.columns.len()
    }

    /// Are there no columns?
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of timestamps in the column `number`.
    ///
    /// # Errors
    /// There is no such column, or its record is damaged.
    pub fn count(&self, number: u32) -> Result<usize, Corruption> {
        read_count(&mut self.columns.record(number as usize)?)
    }

    /// First and last timestamp of the column `number`. Decodes it.
    ///
    /// # Errors
    /// There is no such column, or it is damaged.
    pub fn range(&self, number: u32) -> Result<TimeRange, Corruption> {
        let (mut first, mut last) = (None, None);
        self.column(number)?.decode(|block| {
            first = first.or(block.first().copied());
            last = block.last().copied();
        })?;
        first.zip(last).and_then(|(first, last)| TimeRange::new(first, last)).ok_or_else(not_ascending)
    }

    /// Appends the timestamps of the column `number` to `into`; returns how many they are.
    ///
    /// # Errors
    /// There is no such column, or it is damaged; `into` is then as it was.
    pub fn read(&self, number: u32, into: &mut Vec<Timestamp>) -> Result<usize, Corruption> {
        let before = into.len();
        let decoded = self.column(number).and_then(|column| {
            into.reserve(column.len());
            column.decode(|block| into.extend_from_slice(block))
        });
        let column = into.get(before..).unwrap_or_default();
        // Without an early end the loop has no branches.
        let pairs = column.iter().zip(column.iter().skip(1));
        let ascending = pairs.fold(true, |ascending, (before, after)| ascending & (before < after));
        let count = column.len();
        let result = decoded.and(if ascending { Ok(count) } else { Err(not_ascending()) });
        if result.is_err() {
            into.truncate(before);
        }
        result
    }

    fn column(&self, number: u32) -> Result<IntegerColumn<'a>, Corruption> {
        let mut record = self.columns.record(number as usize)?;
        let count = read_count(&mut record)?;
        let column = self.columns.integers(&mut record, count)?;
        record.finish()?;
        Ok(column)
    }

    /// As [`Frame::cuts`](super::Frame::cuts).
    pub fn cuts(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.cuts()
    }
}

/// Reads the number of samples at the start of a record.
pub(super) fn read_count(record: &mut Reader<'_>) -> Result<usize, Corruption> {
    let count = record.varint("number of samples")?;
    match usize::try_from(count) {
        Ok(count @ 1..=MAX_SAMPLES) => Ok(count),
        _ => Err(record.invalid("number of samples", count)),
    }
}

fn not_ascending() -> Corruption {
    Corruption::new(SECTION, 0, CorruptionKind::Rule { rule: "timestamps do not ascend" })
}
