//! Reading all segments of a directory in order.
//!
//! Reads in pieces of bounded size, never by mapping: a bad sector must be an error here, not a signal. A read that
//! fails is tried once more; then the page counts as damaged and reading goes on behind it. Nothing is written,
//! moved or deleted.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::assemble::{Assembled, Assembler};
use super::error::WalError;
use super::format::{FORMAT_VERSION, HEADER_BYTES, PAGE_BYTES, SegmentHeader};
use super::report::{Damage, DamageKind, ReplayReport};
use crate::fs::Fs;
use crate::names;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use tsdb_core::error::CorruptionKind;

/// Pages read at once.
const CHUNK_PAGES: usize = 32;

/// What the next segment must know of the ones on disk.
pub(super) struct Replayed {
    pub(super) report: ReplayReport,
    /// Number of the last segment and where its valid bytes end; `None` if there are no segments.
    pub(super) last: Option<(u64, u64)>,
    /// All segments and their sizes in bytes.
    pub(super) sizes: BTreeMap<u64, u64>,
}

/// Reads the segments in `dir` and hands every record to `on_record`.
pub(super) fn replay(
    fs: &dyn Fs,
    dir: &Path,
    on_record: &mut dyn FnMut(u64, &[u8]),
) -> Result<Replayed, WalError> {
    let segments = survey(fs, dir)?;
    let limits: HashMap<u64, u64> =
        segments.iter().filter_map(|segment| segment.header).map(|h| (h.previous, h.previous_end)).collect();
    let mut report = ReplayReport { segments: segments.len() as u64, ..ReplayReport::default() };
    let mut last = None;
    let mut present: Option<u64> = None;
    for (index, segment) in segments.iter().enumerate() {
        report_gap(present.replace(segment.number), segment, &mut report);
        let place = Place {
            limit: limits.get(&segment.number).copied(),
            is_last: index.saturating_add(1) == segments.len(),
        };
        let valid_end = read_segment(fs, segment, place, on_record, &mut report);
        last = Some((segment.number, valid_end));
    }
    let sizes = segments.iter().map(|segment| (segment.number, segment.len)).collect();
    Ok(Replayed { report, last, sizes })
}

struct Segment {
    number: u64,
    path: PathBuf,
    len: u64,
    /// `None` if it is damaged or cannot be read.
    header: Option<SegmentHeader>,
}

/// How a segment stands among the others.
#[derive(Clone, Copy)]
struct Place {
    /// Where its valid bytes end by the word of its successor.
    limit: Option<u64>,
    is_last: bool,
}

fn survey(fs: &dyn Fs, dir: &Path) -> Result<Vec<Segment>, WalError> {
    let entries = fs.list(dir).map_err(|source| WalError::io("list", dir, source))?;
    let mut numbers: Vec<u64> =
        entries.iter().filter(|e| !e.is_dir).filter_map(|e| names::parse_numbered(&e.name)).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| survey_segment(fs, dir, number)).collect()
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

/// Reads one segment into `on_record` and `report`; returns where its valid bytes end.
fn read_segment(
    fs: &dyn Fs,
    segment: &Segment,
    place: Place,
    on_record: &mut dyn FnMut(u64, &[u8]),
    report: &mut ReplayReport,
) -> u64 {
    let end = place.limit.map_or(segment.len, |limit| limit.min(segment.len));
    let found = read_records(fs, segment, end, on_record);
    report.records = report.records.saturating_add(found.records);
    report.record_bytes = report.record_bytes.saturating_add(found.record_bytes);
    let valid_end = if segment.header.is_none() && found.records == 0 { 0 } else { found.valid_end };
    report_damage(segment, place, found, report);
    valid_end
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
