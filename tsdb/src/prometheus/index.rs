//! Reading the index of a block: which series it has and where their chunks are. Source: Prometheus
//! `tsdb/docs/format/index.md`.
//!
//! Version 2 is read. Series are visited in the order in which they lie, which is that of their labels; so neither
//! postings nor label indices are needed, and damage to them costs nothing. An entry that is damaged is told and passed
//! over: entries begin at multiples of 16, so the next sound one is found.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::crc::crc32c;
use super::source::SourceFile;
use super::symbols::Symbols;
use std::ops::Range;
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;
use tsdb_core::labels::LabelsMaker;
use tsdb_core::{Corruption, Labels, Timestamp};

/// The first bytes of an index.
pub(super) const MAGIC: u32 = 0xbaaa_d700;
/// The version that is read and written.
pub(super) const VERSION: u8 = 2;
/// Length of the header, the table of contents, a checksum.
pub(super) const HEADER_BYTES: u64 = 5;
pub(super) const TOC_BYTES: usize = 52;
const CRC_BYTES: usize = 4;
/// Series begin at multiples of this, in bytes.
pub(super) const SERIES_ALIGN: u64 = 16;
/// The longest entry that is looked for behind a damaged one, in bytes.
const MAX_SOUGHT_BYTES: u64 = 1 << 16;
/// So many times the length of the series section is read in search of sound entries, however damaged it is.
const SEARCHES: u64 = 4;

/// Where a chunk is and which time it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkPlace {
    /// Time of its first sample, ms.
    pub(super) first: Timestamp,
    /// Time of its last sample, ms.
    pub(super) last: Timestamp,
    /// Number of the file (from 0) in the upper half, offset in the lower.
    pub(super) reference: u64,
}

/// An entry of the series section.
#[derive(Debug)]
pub(super) struct Entry {
    /// The number by which tombstones and postings call it.
    pub(super) number: u64,
    pub(super) labels: Labels,
    pub(super) chunks: Vec<ChunkPlace>,
}

/// An open index and how far its series have been read.
#[derive(Debug)]
pub(super) struct Index {
    file: SourceFile,
    symbols: Symbols,
    maker: LabelsMaker,
    series: Range<u64>,
    at: u64,
    /// Bytes that may still be read in search of entries behind damaged ones.
    patience: u64,
    is_searching: bool,
}

impl Index {
    /// Reads what finding series needs.
    ///
    /// # Errors
    /// Table of contents or symbols are damaged, or the version is another.
    pub(super) fn open(mut file: SourceFile) -> Result<Self, Corruption> {
        let mut header = Reader::new("index", file.bytes(0, 5)?);
        let magic = header.u32("magic")?.swap_bytes();
        let version = header.u8("version")?;
        if magic != MAGIC {
            return Err(file.corruption(0, CorruptionKind::Unknown { field: "magic", value: magic.into() }));
        }
        if version != VERSION {
            let kind = CorruptionKind::Unknown { field: "format version", value: version.into() };
            return Err(file.corruption(4, kind));
        }
        let toc = Toc::read(&mut file)?;
        let (offset, len) = section(&mut file, toc.symbols)?;
        let symbols = Symbols::read(file.bytes(offset, len)?)?;
        let series = toc.series_range(file.len());
        let patience = series.end.saturating_sub(series.start).saturating_mul(SEARCHES);
        let at = series.start;
        Ok(Self { file, symbols, maker: LabelsMaker::new(), series, at, patience, is_searching: false })
    }

    /// Share of the series that have been read, of `total`.
    pub(super) fn done(&self, total: u64) -> u64 {
        let (len, read) =
            (self.series.end.saturating_sub(self.series.start), self.at.saturating_sub(self.series.start));
        let share = u128::from(read).saturating_mul(total.into()).checked_div(len.into());
        share.and_then(|share| u64::try_from(share).ok()).unwrap_or(total)
    }

    /// The next series; an error for one that is damaged, behind which the next call goes on.
    pub(super) fn next(&mut self) -> Option<Result<Entry, Corruption>> {
        loop {
            let at = self.at.next_multiple_of(SERIES_ALIGN);
            self.at = at;
            if at >= self.series.end {
                return None;
            }
            match self.entry(at) {
                // Padding.
                Ok(None) => self.at = at.saturating_add(SERIES_ALIGN),
                Ok(Some((entry, end))) => {
                    self.at = end;
                    self.is_searching = false;
                    return Some(entry);
                }
                Err(damage) => {
                    self.at = at.saturating_add(SERIES_ALIGN);
                    if self.patience == 0 {
                        self.at = self.series.end;
                    }
                    if !std::mem::replace(&mut self.is_searching, true) {
                        return Some(Err(damage));
                    }
                }
            }
        }
    }

    /// The entry at `at` and where it ends; `None` if there is none.
    #[expect(
        clippy::type_complexity,
        reason = "an entry that is sound by its checksum may still make no sense"
    )]
    fn entry(&mut self, at: u64) -> Result<Option<(Result<Entry, Corruption>, u64)>, Corruption> {
        let head = self.file.upto(at, 10)?;
        let mut reader = Reader::new("index", head);
        let len = reader.varint("length of a series").map_err(|damage| moved(damage, at))?;
        if len == 0 {
            return Ok(None);
        }
        let start = at.saturating_add(reader.position() as u64);
        let end = start.saturating_add(len).saturating_add(CRC_BYTES as u64);
        if end > self.series.end || (self.is_searching && len > MAX_SOUGHT_BYTES) {
            let kind = CorruptionKind::Invalid { field: "length of a series", value: len };
            return Err(self.file.corruption(at, kind));
        }
        if self.is_searching {
            self.patience = self.patience.saturating_sub(len);
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let content = checked(&mut self.file, start, len)?;
        let entry = parse(content, at, &self.symbols, &mut self.maker);
        Ok(Some((entry.map_err(|damage| moved(damage, start)), end)))
    }
}

/// The content at `offset` of `len` bytes, behind which its checksum stands.
pub(super) fn checked(file: &mut SourceFile, offset: u64, len: usize) -> Result<&[u8], Corruption> {
    let end = offset.saturating_add(len as u64);
    let bytes = file.bytes(offset, len.saturating_add(CRC_BYTES))?;
    let Some((content, stored)) = bytes.split_last_chunk::<CRC_BYTES>() else {
        return Err(file.corruption(offset, CorruptionKind::Truncated { field: "checksum" }));
    };
    let (stored, computed) = (u32::from_be_bytes(*stored), crc32c(content));
    if stored != computed {
        let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
        return Err(file.corruption(end, kind));
    }
    file.bytes(offset, len)
}

/// Where the content of the section at `offset` begins and how long it is; its checksum holds.
pub(super) fn section(file: &mut SourceFile, offset: u64) -> Result<(u64, usize), Corruption> {
    let len = Reader::new("index", file.bytes(offset, 4)?).u32("length of a section")?.swap_bytes();
    let start = offset.saturating_add(4);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    checked(file, start, len)?;
    Ok((start, len))
}

fn moved(damage: Corruption, by: u64) -> Corruption {
    let by = usize::try_from(by).unwrap_or(usize::MAX);
    Corruption { section: "index", offset: damage.offset.saturating_add(by), ..damage }
}

fn parse(content: &[u8], at: u64, symbols: &Symbols, maker: &mut LabelsMaker) -> Result<Entry, Corruption> {
    let mut reader = Reader::new("index", content);
    let count = reader.count(2, "number of labels")?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (reader.varint("name of a label")?, reader.varint("value of a label")?);
        let symbol = |number| symbols.symbol(number).map_err(|kind| reader.corruption(kind));
        pairs.push((symbol(name)?, symbol(value)?));
    }
    let labels = maker.make(pairs).ok_or_else(|| {
        reader.corruption(CorruptionKind::Rule { rule: "the labels of a series ascend and none is empty" })
    })?;
    let count = reader.count(3, "number of chunks")?;
    let mut chunks: Vec<ChunkPlace> = Vec::with_capacity(count);
    for _ in 0..count {
        let first = match chunks.last() {
            None => reader.zigzag("time of a chunk")?,
            Some(before) => before.last.wrapping_add_unsigned(reader.varint("time of a chunk")?),
        };
        let last = first.wrapping_add_unsigned(reader.varint("duration of a chunk")?);
        let reference = match chunks.last() {
            None => reader.varint("place of a chunk")?,
            Some(before) => before.reference.wrapping_add_signed(reader.zigzag("place of a chunk")?),
        };
        chunks.push(ChunkPlace { first, last, reference });
    }
    reader.finish()?;
    Ok(Entry { number: at / SERIES_ALIGN, labels, chunks })
}

/// Where the sections are; 0 for one that is not there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Toc {
    pub(super) symbols: u64,
    pub(super) series: u64,
    pub(super) label_indices: u64,
    pub(super) label_offsets: u64,
    pub(super) postings: u64,
    pub(super) postings_offsets: u64,
}

impl Toc {
    pub(super) fn read(file: &mut SourceFile) -> Result<Self, Corruption> {
        let start = file.len().saturating_sub(TOC_BYTES as u64);
        if start < HEADER_BYTES {
            return Err(file.corruption(0, CorruptionKind::Truncated { field: "table of contents" }));
        }
        let content = checked(file, start, TOC_BYTES.saturating_sub(CRC_BYTES))?;
        let mut reader = Reader::new("index", content);
        let mut place = |field| reader.u64(field).map(u64::swap_bytes);
        Ok(Self {
            symbols: place("symbols")?,
            series: place("series")?,
            label_indices: place("label indices")?,
            label_offsets: place("label offset table")?,
            postings: place("postings")?,
            postings_offsets: place("postings offset table")?,
        })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let places = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_offsets,
            self.postings,
            self.postings_offsets,
        ];
        let mut bytes: Vec<u8> = places.into_iter().flat_map(u64::to_be_bytes).collect();
        bytes.extend_from_slice(&crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// The series end where the next section begins.
    fn series_range(&self, file_len: u64) -> Range<u64> {
        let end = file_len.saturating_sub(TOC_BYTES as u64);
        let others =
            [self.symbols, self.label_indices, self.label_offsets, self.postings, self.postings_offsets];
        let next = others.into_iter().filter(|place| *place > self.series).min();
        if self.series == 0 { 0..0 } else { self.series..next.unwrap_or(end).min(end) }
    }
}
