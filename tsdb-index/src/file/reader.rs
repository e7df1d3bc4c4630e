//! An opened index file: bounds, checksums and the decoding of single pieces.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::cursor::SeriesCursor;
use super::dictionary::{self, Block, Name};
use super::guide::{self, Guide};
use super::layout::{Column, Layout};
use super::pages::{Pages, Recent};
use super::postings;
use super::series::{self, Bounds, GROUP, Group};
use super::source::{Piece, Source};
use crate::select::select;
use core::ops::Range;
use roaring::RoaringBitmap;
use std::sync::OnceLock;
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, Labels, Matcher, TimeRange};

/// An index file over `S`: a buffer, or a file that is read page by page.
///
/// Opening reads header, footer, the table of checksums (a thousandth of the file) and the label names, and keeps
/// them. Everything else is read and checked page by page when it is needed; damage therefore costs the answers that
/// need the damaged page and no others. Shared by threads.
#[derive(Debug)]
pub struct IndexReader<S> {
    file: S,
    layout: Layout,
    pages: Pages,
    names: Vec<Name>,
    /// Number of values of each name.
    value_counts: Vec<u32>,
    /// Read when it is asked for, which only a source that is far away makes worth its memory.
    guide: OnceLock<Guide>,
}

impl<S: Source> IndexReader<S> {
    /// Opens the file in `file`.
    ///
    /// # Errors
    /// Bytes that are no index, are of another version, or are damaged where opening looks.
    pub fn open(file: S) -> Result<Self, Corruption> {
        let layout = Layout::read(&file)?;
        let pages = Pages::new(layout.payload, layout.read_table(&file)?);
        let names = pages.checked(dictionary::NAMES, &file, layout.names.clone())?;
        let names = dictionary::read_names(&names, layout.value_blocks.len)?;
        let value_counts = names.iter().map(|name| name.values).collect();
        Ok(Self { file, layout, pages, names, value_counts, guide: OnceLock::new() })
    }

    /// Number of series; they are numbered from 0 in order of their labels.
    pub fn series_count(&self) -> u32 {
        self.layout.series_count
    }

    /// Reads all of the file and checks every rule of the format.
    ///
    /// # Errors
    /// The first damage found.
    pub fn check(&self) -> Result<(), Corruption> {
        super::check::check(self)
    }

    /// The series that satisfy all `matchers`; every series if there are none.
    ///
    /// # Errors
    /// Damage to what had to be read.
    pub fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, Corruption> {
        select(self, matchers)
    }

    /// A reader of series, cheapest when asked in ascending order.
    pub fn cursor(&self) -> SeriesCursor<'_, S> {
        SeriesCursor::new(self)
    }

    /// Labels of one series. For several, use a [`cursor`](Self::cursor).
    ///
    /// # Errors
    /// Damage, or a number that is not below [`series_count`](Self::series_count).
    pub fn labels(&self, series: u32) -> Result<Labels, Corruption> {
        self.cursor().labels(series)
    }

    /// All names, sorted.
    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// The place of the label `name` among all names.
    pub(super) fn find_name(&self, name: &str) -> Option<(usize, &Name)> {
        let place = self.names.binary_search_by(|candidate| candidate.text.as_str().cmp(name)).ok()?;
        Some((place, self.names.get(place)?))
    }

    /// The source of its bytes.
    pub fn source(&self) -> &S {
        &self.file
    }

    /// From here to the end of the file lies what opening and [`places_of`](Self::places_of) read, and the numbers of
    /// which every answer needs some.
    pub fn tail(&self) -> usize {
        self.layout.names.start
    }

    /// The guide through the dictionary.
    pub(super) fn guide(&self) -> Result<&Guide, Corruption> {
        if let Some(guide) = self.guide.get() {
            return Ok(guide);
        }
        let bytes = self.bytes(guide::SECTION, self.layout.guide.clone())?;
        let guide = Guide::read(&bytes, &self.names, self.layout.postings.len())?;
        Ok(self.guide.get_or_init(|| guide))
    }

    /// Bytes of block number `block` of `name`.
    pub(super) fn block_bytes<'a>(
        &'a self,
        name: &Name,
        block: usize,
        recent: &mut Recent<'a>,
    ) -> Result<Piece<'a>, Corruption> {
        let number = name.first_block.saturating_add(block);
        let range = self.entry(&self.layout.value_blocks, number, &self.layout.values, recent)?;
        self.bytes(dictionary::VALUES, range)
    }

    /// Block number `block` of `name`, decoded. `recent` keeps the place of the offsets.
    pub(super) fn block<'a>(
        &'a self,
        name: &Name,
        block: usize,
        recent: &mut Recent<'a>,
    ) -> Result<Block, Corruption> {
        Block::read(&self.block_bytes(name, block, recent)?, name.values_in_block(block))
    }

    /// Bytes of the postings at `range` of their section.
    pub(super) fn postings_bytes(&self, range: Range<usize>) -> Result<Piece<'_>, Corruption> {
        let start = self.layout.postings.start.saturating_add(range.start);
        let end = self.layout.postings.start.saturating_add(range.end);
        if end > self.layout.postings.end {
            return Err(beyond(postings::SECTION, range.start));
        }
        self.bytes(postings::SECTION, start..end)
    }

    /// The postings at `range` of their section, decoded.
    pub(super) fn postings(&self, range: Range<usize>) -> Result<RoaringBitmap, Corruption> {
        postings::read(&self.postings_bytes(range)?, self.layout.series_count)
    }

    /// Decodes group number `number` into `group`. `recent` keeps the place of the offsets.
    pub(super) fn read_group<'a>(
        &'a self,
        number: usize,
        group: &mut Group,
        recent: &mut Recent<'a>,
    ) -> Result<(), Corruption> {
        let range = self.entry(&self.layout.groups, number, &self.layout.series, recent)?;
        let first = number.saturating_mul(GROUP);
        let len = (self.layout.series_count as usize).saturating_sub(first).min(GROUP);
        let bounds = Bounds { values: &self.value_counts, spans: self.layout.span_starts.len };
        group.read(&self.bytes(series::SECTION, range)?, len, bounds)
    }

    /// The span numbered `number`. `recent` keeps the places in the four columns.
    pub(super) fn span<'a>(&'a self, number: u32, recent: &mut [Recent<'a>; 4]) -> Result<Span, Corruption> {
        let index = number as usize;
        let [starts, lengths, counts, times] = recent;
        let from_base = self.number(&self.layout.span_starts, index, starts)?;
        let length = self.number(&self.layout.span_lengths, index, lengths)?;
        let samples = self.number(&self.layout.span_samples, index, counts)?;
        let range = self
            .layout
            .base_time
            .checked_add_unsigned(from_base)
            .and_then(|start| TimeRange::new(start, start.checked_add_unsigned(length)?));
        let invalid =
            |field, value| Corruption::new("index spans", index, CorruptionKind::Invalid { field, value });
        let range = range.ok_or_else(|| invalid("time", from_base))?;
        let samples = u32::try_from(samples).map_err(|_| invalid("count of samples", samples))?;
        let times = self.number(&self.layout.span_times, index, times)?;
        let times = u32::try_from(times).map_err(|_| invalid("column of timestamps", times))?;
        Ok(Span { range, samples, times })
    }

    /// Layout of the file.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bytes at `range` of the file, checked.
    pub(super) fn bytes(&self, section: &'static str, range: Range<usize>) -> Result<Piece<'_>, Corruption> {
        self.pages.checked(section, &self.file, range)
    }

    /// The part of `section` from entry `index` of `offsets` to the next entry.
    pub(super) fn entry<'a>(
        &'a self,
        offsets: &Column,
        index: usize,
        section: &Range<usize>,
        recent: &mut Recent<'a>,
    ) -> Result<Range<usize>, Corruption> {
        let next = index.saturating_add(1);
        let start = self.offset(offsets, index, section, recent)?;
        let end = if next < offsets.len { self.offset(offsets, next, section, recent)? } else { section.end };
        if start > end {
            return Err(beyond("index offsets", index));
        }
        Ok(start..end)
    }

    fn offset<'a>(
        &'a self,
        offsets: &Column,
        index: usize,
        section: &Range<usize>,
        recent: &mut Recent<'a>,
    ) -> Result<usize, Corruption> {
        let offset = self.number(offsets, index, recent)?;
        let place = usize::try_from(offset).ok().and_then(|offset| section.start.checked_add(offset));
        place.filter(|place| *place <= section.end).ok_or_else(|| beyond("index offsets", index))
    }

    fn number<'a>(
        &'a self,
        column: &Column,
        index: usize,
        recent: &mut Recent<'a>,
    ) -> Result<u64, Corruption> {
        if index >= column.len {
            return Err(beyond("index offsets", index));
        }
        self.pages.few("index columns", &self.file, column.place(index), recent, Column::value)
    }
}

/// What many chunks have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Times of the first and the last sample.
    pub(super) range: TimeRange,
    /// How many samples.
    pub(super) samples: u32,
    /// Their column of timestamps.
    pub(super) times: u32,
}

/// Damage: a reference that leads nowhere.
pub(super) fn beyond(section: &'static str, at: usize) -> Corruption {
    Corruption::new(section, at, CorruptionKind::Rule { rule: "a reference points beyond its section" })
}
