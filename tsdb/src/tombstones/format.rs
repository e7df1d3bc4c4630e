//! The bytes of a file of tombstones.

use super::set::Run;
use super::{Intervals, Tombstones};
use std::collections::HashMap;
use tsdb_core::block::BlockId;
use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, TimeRange, Timestamp};

const SECTION: &str = "tombstones";
/// The first eight bytes of a file.
const MAGIC: u64 = u64::from_le_bytes(*b"tsdbtmb\n");
/// The version this crate writes, and the only one it reads.
const VERSION: u32 = 1;
const CHECKSUM_LEN: usize = 4;
/// The least that a list, an interval or a run takes.
const MIN_LIST_LEN: usize = 3;
const MIN_INTERVAL_LEN: usize = 2;
const MIN_RUN_LEN: usize = 3;

/// The file of generation `generation` of the block `id`.
pub(crate) fn encode(id: BlockId, generation: u64, tombstones: &Tombstones) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u64(MAGIC);
    writer.u32(VERSION);
    let (lower, upper) = halves(id);
    writer.u64(lower);
    writer.u64(upper);
    writer.u64(generation);
    let mut numbers: HashMap<&[TimeRange], u64> = HashMap::new();
    let mut lists: Vec<&Intervals> = Vec::new();
    for run in tombstones.runs() {
        numbers.entry(run.deleted.as_slice()).or_insert_with(|| {
            lists.push(&run.deleted);
            (lists.len() as u64).saturating_sub(1)
        });
    }
    writer.varint(lists.len() as u64);
    lists.iter().for_each(|list| write_list(list, &mut writer));
    writer.varint(tombstones.runs().len() as u64);
    let mut behind = 0_u64;
    for run in tombstones.runs() {
        writer.varint(u64::from(run.first).saturating_sub(behind));
        writer.varint(run.last.saturating_sub(run.first).into());
        let list = numbers.get(run.deleted.as_slice()).copied().unwrap_or(0);
        writer.varint(list << 1 | u64::from(run.is_all));
        behind = u64::from(run.last).saturating_add(1);
    }
    let sum = checksum(writer.as_bytes());
    writer.u32(sum);
    writer.into_bytes()
}

/// What the file `bytes` of the block `id` holds, and its generation.
pub(crate) fn decode(id: BlockId, bytes: &[u8]) -> Result<(Tombstones, u64), Corruption> {
    let mut reader = Reader::new(SECTION, bytes);
    let magic = reader.u64("magic")?;
    if magic != MAGIC {
        return Err(reader.corruption(CorruptionKind::Unknown { field: "magic", value: magic }));
    }
    let version = reader.u32("version")?;
    if version != VERSION {
        return Err(reader.corruption(CorruptionKind::Unknown { field: "version", value: version.into() }));
    }
    check_sum(bytes)?;
    if (reader.u64("block")?, reader.u64("block")?) != halves(id) {
        return Err(rule(&reader, "the file is of the block in whose directory it is"));
    }
    let generation = reader.u64("generation")?;
    let count = reader.count(MIN_LIST_LEN, "count of lists")?;
    let mut lists = Vec::with_capacity(count);
    for _ in 0..count {
        lists.push(read_list(&mut reader)?);
    }
    let runs = read_runs(&mut reader, &lists)?;
    reader.bytes(CHECKSUM_LEN, "checksum")?;
    reader.finish()?;
    Ok((Tombstones::from_runs(runs), generation))
}

fn check_sum(bytes: &[u8]) -> Result<(), Corruption> {
    let (fields, stored) = bytes.split_at(bytes.len().saturating_sub(CHECKSUM_LEN));
    let stored = Reader::new(SECTION, stored).u32("checksum")?;
    let computed = checksum(fields);
    if stored == computed {
        return Ok(());
    }
    let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
    Err(Corruption::new(SECTION, fields.len(), kind))
}

fn write_list(list: &Intervals, writer: &mut Writer) {
    writer.varint(list.as_slice().len() as u64);
    let mut end: Option<Timestamp> = None;
    for interval in list.as_slice() {
        match end {
            None => writer.zigzag(interval.start()),
            Some(end) => writer.varint(interval.start().abs_diff(end).saturating_sub(2)),
        }
        writer.varint(interval.end().abs_diff(interval.start()));
        end = Some(interval.end());
    }
}

fn read_list(reader: &mut Reader<'_>) -> Result<Intervals, Corruption> {
    let count = reader.count(MIN_INTERVAL_LEN, "count of intervals")?;
    if count == 0 {
        return Err(reader.invalid("count of intervals", 0));
    }
    let mut intervals: Vec<TimeRange> = Vec::with_capacity(count);
    for _ in 0..count {
        let start = match intervals.last() {
            None => reader.zigzag("start")?,
            Some(before) => {
                let distance = reader.varint("start")?;
                let start =
                    before.end().checked_add(2).and_then(|first| first.checked_add_unsigned(distance));
                start.ok_or_else(|| reader.invalid("start", distance))?
            }
        };
        let length = reader.varint("end")?;
        let end = start.checked_add_unsigned(length);
        let interval = end.and_then(|end| TimeRange::new(start, end));
        intervals.push(interval.ok_or_else(|| reader.invalid("end", length))?);
    }
    Ok(Intervals::from_sorted(intervals))
}

fn read_runs(reader: &mut Reader<'_>, lists: &[Intervals]) -> Result<Vec<Run>, Corruption> {
    let count = reader.count(MIN_RUN_LEN, "count of runs")?;
    if count == 0 {
        return Err(reader.invalid("count of runs", 0));
    }
    let mut runs = Vec::with_capacity(count);
    let mut behind = 0_u64;
    for _ in 0..count {
        let distance = reader.varint("first series")?;
        let first = behind.saturating_add(distance);
        let length = reader.varint("count of series")?;
        let last = first.saturating_add(length);
        let bounds = u32::try_from(first).ok().zip(u32::try_from(last).ok());
        let (first, last) = bounds.ok_or_else(|| reader.invalid("last series", last))?;
        let list = reader.varint("list")?;
        let known = usize::try_from(list >> 1).ok().and_then(|number| lists.get(number));
        let deleted = known.ok_or_else(|| reader.invalid("list", list))?.clone();
        runs.push(Run { first, last, deleted, is_all: list & 1 == 1 });
        behind = u64::from(last).saturating_add(1);
    }
    Ok(runs)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
fn halves(id: BlockId) -> (u64, u64) {
    (id.0 as u64, (id.0 >> 64) as u64)
}

fn rule(reader: &Reader<'_>, rule: &'static str) -> Corruption {
    reader.corruption(CorruptionKind::Rule { rule })
}
