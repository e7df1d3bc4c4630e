//! Writing an index file: series in order, then everything at once, because values are numbered by their order.

use super::ChunkRef;
use super::dictionary::{self, ValuesWriter};
use super::guide::{GuideWriter, SeriesExtent};
use super::layout::{Column, Layout, MAGIC, VERSION};
use super::pages;
use super::postings;
use super::series::{ChunkEntry, LabelId, SeriesWriter};
use super::spans::Spans;
use crate::LiveIndex;
use crate::live::PairId;
use tsdb_core::bytes::Writer;
use tsdb_core::{Labels, SeriesRef};

/// A series that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The series does not come after the one before it.
    #[error("series {labels} does not sort after the series before it")]
    Order {
        /// The series.
        labels: Labels,
    },
    /// A limit of the format is reached.
    #[error("an index holds at most {limit} {what}")]
    Limit {
        /// Of what there is too much.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
}

/// Builds an index file from series in order of their labels. Takes memory like a live index of the same series.
#[derive(Debug, Default)]
pub struct IndexWriter {
    index: LiveIndex,
    last: Labels,
    series_count: u32,
    chunks: Vec<ChunkEntry>,
    /// End of each series' chunks in `chunks`.
    chunk_ends: Vec<usize>,
    spans: Spans,
}

impl IndexWriter {
    /// A writer without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next series with its chunks in order of time, and returns its number: 0, 1, 2 ...
    ///
    /// # Errors
    /// A series out of order or a limit of the format; the writer is then unchanged.
    pub fn add(&mut self, labels: &Labels, chunks: &[ChunkRef]) -> Result<u32, WriteError> {
        if self.series_count > 0 && *labels <= self.last {
            return Err(WriteError::Order { labels: labels.clone() });
        }
        if self.series_count == u32::MAX || self.spans.len() + chunks.len() > u32::MAX as usize {
            return Err(WriteError::Limit { what: "series and chunks", limit: u32::MAX.into() });
        }
        let number = self.series_count;
        let full = |_| WriteError::Limit { what: "bytes of label values", limit: u32::MAX.into() };
        self.index.insert(SeriesRef(number), labels).map_err(full)?;
        for chunk in chunks {
            let span = self.spans.number(chunk);
            self.chunks.push(ChunkEntry { frame: chunk.frame, slot: chunk.slot, span });
        }
        self.chunk_ends.push(self.chunks.len());
        self.last = labels.clone();
        self.series_count += 1;
        Ok(number)
    }

    /// Number of series so far.
    pub fn series_count(&self) -> u32 {
        self.series_count
    }

    /// The bytes of the file.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(&MAGIC);
        out.u32(VERSION);
        let mut layout = Layout { series_count: self.series_count, ..Layout::default() };
        let sorted = self.index.pairs().sorted();
        let (ids, names) = self.number_labels(&sorted);
        let groups = self.write_series(&ids, &mut layout, &mut out);
        let mut guide = GuideWriter::default();
        let blocks = self.write_values(&sorted, &mut layout, &mut guide, &mut out);
        let start = out.len();
        dictionary::write_names(names.iter().map(|(name, values)| (name.as_str(), *values)), &mut out);
        layout.names = start..out.len();
        guide.write(&mut out);
        layout.guide = layout.names.end..out.len();
        layout.value_blocks = Column::write(&blocks, 0, &mut out);
        layout.groups = Column::write(&groups, 0, &mut out);
        self.spans.write(&mut layout, 0, &mut out);
        layout.payload = out.len();
        let checksums: Vec<u32> = pages::checksums(out.as_bytes()).collect();
        layout.write(&checksums, &mut out);
        out.into_bytes()
    }

    /// Each pair's label numbers, by pair number, and the names with their counts of values.
    fn number_labels(&self, sorted: &[PairId]) -> (Vec<LabelId>, Vec<(String, u32)>) {
        let mut ids = vec![LabelId { name: 0, value: 0 }; sorted.len()];
        let mut names: Vec<(String, u32)> = Vec::new();
        for pair in sorted {
            let (name, _) = self.index.pairs().text(*pair);
            if names.last().is_none_or(|(last, _)| last != name) {
                names.push((name.into(), 0));
            }
            let name_number = u32::try_from(names.len() - 1).unwrap_or(u32::MAX);
            if let (Some(id), Some((_, count))) = (ids.get_mut(pair.0 as usize), names.last_mut()) {
                *id = LabelId { name: name_number, value: *count };
                *count += 1;
            }
        }
        (ids, names)
    }

    /// Writes the postings and the dictionary of values. Returns the offsets of the blocks of values.
    fn write_values(
        &self,
        sorted: &[PairId],
        layout: &mut Layout,
        guide: &mut GuideWriter,
        out: &mut Writer,
    ) -> Vec<u64> {
        let base = out.len();
        let mut written = Vec::with_capacity(sorted.len());
        for pair in sorted {
            let series = self.write_postings(*pair, out);
            written.push((out.len() - base, series));
        }
        layout.postings = base..out.len();
        let base = out.len();
        let mut values = ValuesWriter::default();
        let (mut last_name, mut start) = ("", 0);
        for (pair, (end, series)) in sorted.iter().zip(written) {
            let (name, value) = self.index.pairs().text(*pair);
            if name != last_name {
                values.next_name();
                guide.next_name();
                last_name = name;
            }
            values.push(value, &(start..end), out.len() - base, out);
            guide.push(value, start..end, series);
            start = end;
        }
        layout.values = base..out.len();
        values.blocks
    }

    /// Writes the postings of `pair` and returns what the guide tells of them.
    fn write_postings(&self, pair: PairId, out: &mut Writer) -> SeriesExtent {
        let set = self.index.pairs().postings(pair).map(|set| set.to_bitmap());
        let numbers: Vec<u32> = set.into_iter().flatten().collect();
        postings::write(&numbers, out);
        SeriesExtent::of(&numbers)
    }

    fn write_series(&self, ids: &[LabelId], layout: &mut Layout, out: &mut Writer) -> Vec<u64> {
        let base = out.len();
        let mut writer = SeriesWriter::default();
        let mut labels = Vec::new();
        let mut start = 0;
        for (number, end) in (0..self.series_count).zip(&self.chunk_ends) {
            labels.clear();
            let pairs = self.index.pairs_of_series(number);
            labels.extend(pairs.filter_map(|pair| ids.get(pair.0 as usize)).copied());
            let chunks = self.chunks.get(start..*end).unwrap_or_default();
            writer.push(&labels, chunks, out.len() - base, out);
            start = *end;
        }
        layout.series = base..out.len();
        writer.groups
    }
}
