//! Reading segments of a directory in order.
//!
//! Reads in pieces of bounded size, never by mapping: a bad sector must be an error here, not a signal. A read that
//! fails is tried once more; then the page counts as damaged and reading goes on behind it. Nothing is written,
//! moved or deleted.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::assemble::{Assembled, Assembler};
use super::error::WalError;
use super::format::{FORMAT_VERSION, HEADER_BYTES, PAGE_BYTES, SegmentHeader};
use super::report::{Damage, DamageKind, ReplayReport};
use super::segment::Predecessor;
use crate::fs::Fs;
use crate::names;
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::error::CorruptionKind;

/// Pages read at once.
const CHUNK_PAGES: usize = 32;

/// Segments of a log that were found and not read yet.
#[derive(Debug)]
pub struct Segments {
    fs: Arc<dyn Fs>,
    list: Vec<Segment>,
    /// Where the valid bytes of segments end, by the word of their successors.
    ends: BTreeMap<u64, u64>,
    /// The segment that has no successor.
    tail: Option<u64>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    len: u64,
    /// `None` if it is damaged or cannot be read.
    header: Option<SegmentHeader>,
}

impl Segments {
    /// All segments in `dir`.
    pub(super) fn find(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, WalError> {
        Self::survey(fs, dir, 0..=u64::MAX, None)
    }

    /// The segments behind number `after`, up to `last`, whose valid bytes end where the log that wrote it says.
    pub(super) fn between(
        fs: Arc<dyn Fs>,
        dir: &Path,
        after: u64,
        last: Predecessor,
    ) -> Result<Self, WalError> {
        Self::survey(fs, dir, after.saturating_add(1)..=last.number, Some(last))
    }

    fn survey(
        fs: Arc<dyn Fs>,
        dir: &Path,
        wanted: RangeInclusive<u64>,
        last: Option<Predecessor>,
    ) -> Result<Self, WalError> {
        let entries = fs.list(dir).map_err(|source| WalError::io("list", dir, source))?;
        let numbers = entries.iter().filter(|e| !e.is_dir).filter_map(|e| names::parse_numbered(&e.name));
        let mut numbers: Vec<u64> = numbers.filter(|number| wanted.contains(number)).collect();
        numbers.sort_unstable();
        let list = numbers.into_iter().map(|number| survey_segment(&*fs, dir, number));
        let list = list.collect::<Result<Vec<_>, _>>()?;
        let headers = list.iter().filter_map(|segment| segment.header);
        let mut ends: BTreeMap<_, _> = headers.map(|h| (h.previous, h.previous_end)).collect();
        ends.extend(last.map(|last| (last.number, last.end)));
        let tail = list.last().map(|segment| segment.number).filter(|_| last.is_none());
        Ok(Self { fs, list, ends, tail })
    }

    /// Bytes of the segments on disk.
    pub fn size_bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.len).sum()
    }

    /// Number of the last segment; `None` if there are none.
    pub fn last(&self) -> Option<u64> {
        self.list.last().map(|segment| segment.number)
    }

    pub(super) fn sizes(&self) -> BTreeMap<u64, u64> {
        self.list.iter().map(|segment| (segment.number, segment.len)).collect()
    }

    /// Reads the last segment, whose records are handed to `on_record`; `None` if there are no segments.
    pub(super) fn read_last(&self, on_record: &mut dyn FnMut(u64, &[u8])) -> Option<Readable> {
        let last = self.list.last()?;
        Some(self.read_segment(last, on_record, &mut ReplayReport::default()))
    }

    /// Hands every record to `on_record`, with the number of its segment, in the order of writing. Asks `goes_on` before
    /// each segment, with the bytes of those that were read; the rest is left unread once it says no.
    pub fn read(
        &self,
        goes_on: &mut dyn FnMut(u64) -> bool,
        on_record: &mut dyn FnMut(u64, &[u8]),
    ) -> ReplayReport {
        self.read_to_end(goes_on, on_record).0
    }

    /// [`read`](Self::read), and what the last segment read holds.
    pub(super) fn read_to_end(
        &self,
        goes_on: &mut dyn FnMut(u64) -> bool,
        on_record: &mut dyn FnMut(u64, &[u8]),
    ) -> (ReplayReport, Option<Readable>) {
        let mut report = ReplayReport::default();
        let (mut last, mut present, mut bytes) = (None, None, 0_u64);
        for segment in &self.list {
            if !goes_on(bytes) {
                break;
            }
            report_gap(present.replace(segment.number), segment, &mut report);
            last = Some(self.read_segment(segment, on_record, &mut report));
            report.segments = report.segments.saturating_add(1);
            bytes = bytes.saturating_add(segment.len);
        }
        (report, last)
    }

    fn read_segment(
        &self,
        segment: &Segment,
        on_record: &mut dyn FnMut(u64, &[u8]),
        report: &mut ReplayReport,
    ) -> Readable {
        let limit = self.ends.get(&segment.number).copied();
        let place = Place { limit, is_last: self.tail == Some(segment.number) };
        read_segment(&*self.fs, segment, place, on_record, report)
    }
}

/// How a segment stands among the others.
#[derive(Clone, Copy)]
struct Place {
    /// Where its valid bytes end by the word of its successor.
    limit: Option<u64>,
    is_last: bool,
}

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readable {
    /// The segment, and where its valid bytes end.
    pub(super) end: Predecessor,
    pub(super) records: u64,
}

impl Readable {
    /// Of a segment `number` without a successor that consists of `bytes`.
    pub(super) fn of(number: u64, bytes: &[u8]) -> Self {
        let mut unheard = |_: u64, _: &[u8]| {};
        let mut assembler = Assembler::new(number, &mut unheard);
        feed(&mut assembler, 0, bytes);
        let found = assembler.finish(bytes.len() as u64);
        let has_header = bytes
            .first_chunk::<HEADER_BYTES>()
            .and_then(|header| SegmentHeader::read(header).ok())
            .is_some_and(|header| header.number == number);
        Self::from(number, has_header, &found)
    }

    fn from(number: u64, has_header: bool, found: &Assembled) -> Self {
        let end = if has_header || found.records > 0 { found.valid_end } else { 0 };
        Self { end: Predecessor { number, end }, records: found.records }
    }
}

fn survey_segment(fs: &dyn Fs, dir: &Path, number: u64) -> Result<Segment, WalError> {
    let path = dir.join(names::numbered(number));
    let len = fs.size(&path).map_err(|source| WalError::io("inspect", &path, source))?;
    let mut bytes = [0; HEADER_BYTES];
    let header = match read_twice(fs, &path, 0, &mut bytes).map(SegmentHeader::read) {
        Ok(Ok(header)) => Some(header).filter(|header| header.number == number),
        Ok(Err(corruption)) => match corruption.kind {
            CorruptionKind::Unknown { value, .. } => {
                let found = u32::try_from(value).unwrap_or(u32::MAX);
                return Err(WalError::UnknownVersion { path, found, newest: FORMAT_VERSION });
            }
            _ => None,
        },
        Err(_) => None,
    };
    Ok(Segment { number, path, len, header })
}

/// Segments that should stand between `before` and `segment`. Without a header nobody knows what came before, so
/// every number in between counts.
fn report_gap(before: Option<u64>, segment: &Segment, report: &mut ReplayReport) {
    let Some(before) = before else { return };
    let expected = segment.header.map_or(segment.number.saturating_sub(1), |header| header.previous);
    if expected > before {
        let kind = DamageKind::MissingSegments { through: expected };
        report.damage.push(Damage { segment: before.saturating_add(1), bytes: 0..0, kind });
    }
}

/// Reads one segment into `on_record` and `report`.
fn read_segment(
    fs: &dyn Fs,
    segment: &Segment,
    place: Place,
    on_record: &mut dyn FnMut(u64, &[u8]),
    report: &mut ReplayReport,
) -> Readable {
    let end = place.limit.map_or(segment.len, |limit| limit.min(segment.len));
    let found = read_records(fs, segment, end, on_record);
    report.records = report.records.saturating_add(found.records);
    report.record_bytes = report.record_bytes.saturating_add(found.record_bytes);
    let readable = Readable::from(segment.number, segment.header.is_some(), &found);
    report_damage(segment, place, found, report);
    readable
}

fn read_records(
    fs: &dyn Fs,
    segment: &Segment,
    end: u64,
    on_record: &mut dyn FnMut(u64, &[u8]),
) -> Assembled {
    let mut assembler = Assembler::new(segment.number, on_record);
    let buffer_len = usize::try_from(end).unwrap_or(usize::MAX).min(PAGE_BYTES.saturating_mul(CHUNK_PAGES));
    let mut buffer = vec![0; buffer_len];
    let mut at = 0;
    while at < end {
        let wanted = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        let len = match read_twice(fs, &segment.path, at, chunk) {
            Ok(read) => {
                feed(&mut assembler, at, read);
                read.len()
            }
            Err(_) => {
                read_pages(fs, segment, at, chunk, &mut assembler);
                wanted
            }
        };
        if len == 0 {
            break;
        }
        at = at.saturating_add(len as u64);
    }
    assembler.finish(end)
}

/// Reads a chunk that cannot be read as a whole page by page.
fn read_pages(fs: &dyn Fs, segment: &Segment, at: u64, chunk: &mut [u8], assembler: &mut Assembler<'_>) {
    let mut position = at;
    for page in chunk.chunks_mut(PAGE_BYTES) {
        let len = page.len() as u64;
        match read_twice(fs, &segment.path, position, page) {
            Ok(read) => feed(assembler, position, read),
            Err(_) => assembler.unreadable(position),
        }
        position = position.saturating_add(len);
    }
}

/// Feeds `bytes`, which begin with a page at position `at`.
fn feed(assembler: &mut Assembler<'_>, at: u64, bytes: &[u8]) {
    let mut position = at;
    for page in bytes.chunks(PAGE_BYTES) {
        let header = if position == 0 { HEADER_BYTES } else { 0 };
        let records = page.get(header..).unwrap_or_default();
        assembler.take(position.saturating_add(header as u64), records);
        position = position.saturating_add(page.len() as u64);
    }
}

fn report_damage(segment: &Segment, place: Place, found: Assembled, report: &mut ReplayReport) {
    let mut add = |bytes, kind| report.damage.push(Damage { segment: segment.number, bytes, kind });
    let (len, limit) = (segment.len, place.limit.unwrap_or(segment.len));
    // By the word of the successor nothing here was ever valid.
    if place.limit == Some(0) {
        return;
    }
    if len == 0 {
        add(0..0, DamageKind::EmptySegment);
    } else if segment.header.is_none() && found.records == 0 && place.is_last {
        add(0..len, DamageKind::TornTail);
        return;
    } else if segment.header.is_none() {
        add(0..len.min(HEADER_BYTES as u64), DamageKind::Header);
    }
    found.damage.into_iter().for_each(|damage| add(damage.bytes, damage.kind));
    if let Some(tail) = found.tail {
        let kind = match (found.tail_unreadable, place.is_last) {
            (true, _) => DamageKind::Unreadable,
            (false, true) => DamageKind::TornTail,
            (false, false) => DamageKind::Corrupt,
        };
        add(tail, kind);
    }
    if len < limit {
        add(len..limit, DamageKind::Truncated);
    }
}

/// Reads up to a full buffer; a read that fails is tried once more.
fn read_twice<'b>(fs: &dyn Fs, path: &Path, at: u64, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let len = match fs.read_at(path, at, buffer) {
        Ok(len) => len,
        Err(_) => fs.read_at(path, at, buffer)?,
    };
    Ok(buffer.get(..len).unwrap_or_default())
}
