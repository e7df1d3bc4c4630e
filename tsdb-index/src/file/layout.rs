//! Header and footer: which file this is and where its sections lie.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::pages;
use super::source::Source;
use core::ops::Range;
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::CorruptionKind;

/// The first eight bytes of an index file.
pub(super) const MAGIC: [u8; 8] = *b"tsdbidx\n";
/// The version this crate writes, and the only one it reads.
pub(super) const VERSION: u32 = 1;
/// Length of the header: magic and version.
pub(super) const HEADER_LEN: usize = 12;
/// Length of the footer.
pub(super) const FOOTER_LEN: usize = 18 * 8 + 3 * 4;
/// The last four bytes.
const FOOTER_MAGIC: u32 = u32::from_le_bytes(*b"xdi\n");

/// An array of unsigned numbers of equal width, one to eight bytes each, at a place in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Column {
    /// Offset of the first number from the start of the file.
    pub(super) start: usize,
    /// Bytes of a number: 0 to 8. All numbers of width 0 are 0.
    pub(super) width: usize,
    /// How many numbers.
    pub(super) len: usize,
}

impl Column {
    /// Appends `values` in the narrowest width that holds them all, and says where. `out` begins `before`
    /// bytes behind the start of the file.
    pub(super) fn write(values: &[u64], before: usize, out: &mut Writer) -> Self {
        let widest = values.iter().copied().max().unwrap_or(0);
        let width = (u64::BITS.wrapping_sub(widest.leading_zeros()) as usize).div_ceil(8);
        let start = before.saturating_add(out.len());
        for value in values {
            out.bytes(value.to_le_bytes().get(..width).unwrap_or_default());
        }
        Self { start, width, len: values.len() }
    }

    /// Where the number at `index` lies. Beyond [`len`](Self::len) the place is meaningless.
    pub(super) fn place(&self, index: usize) -> Range<usize> {
        let start = self.start.saturating_add(index.saturating_mul(self.width));
        start..start.saturating_add(self.width)
    }

    /// The number whose bytes are `bytes`, at most eight.
    pub(super) fn value(bytes: &[u8]) -> u64 {
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn end(&self) -> usize {
        self.start.saturating_add(self.len.saturating_mul(self.width))
    }
}

/// Where everything is. Ranges count from the start of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Blocks of the dictionary of values.
    pub(super) values: Range<usize>,
    /// Encoded postings.
    pub(super) postings: Range<usize>,
    /// Groups of series records.
    pub(super) series: Range<usize>,
    /// Names with their counts of values.
    pub(super) names: Range<usize>,
    /// Stretches of the dictionary and of the postings.
    pub(super) guide: Range<usize>,
    /// Offset of each block of values in its section.
    pub(super) value_blocks: Column,
    /// Offset of each group of series in its section.
    pub(super) groups: Column,
    /// First times, as distance from `base_time`.
    pub(super) span_starts: Column,
    /// Distances of the last time from the first.
    pub(super) span_lengths: Column,
    /// Counts of samples.
    pub(super) span_samples: Column,
    /// Columns of timestamps.
    pub(super) span_times: Column,
    /// The earliest first time, ms.
    pub(super) base_time: i64,
    /// Number of series.
    pub(super) series_count: u32,
    /// End of what the page checksums cover.
    pub(super) payload: usize,
    /// Checksum of the table of checksums.
    pub(super) table_sum: u32,
}

impl Layout {
    /// Appends the table of `checksums` and the footer.
    pub(super) fn write(&self, checksums: &[u32], out: &mut Writer) {
        let table = out.len();
        checksums.iter().for_each(|sum| out.u32(*sum));
        let table_sum = checksum(out.as_bytes().get(table..).unwrap_or_default());
        let start = out.len();
        for section in [&self.series, &self.postings, &self.values, &self.names, &self.guide] {
            out.u64(section.len() as u64);
        }
        for column in self.columns() {
            out.u64(column.width as u64);
        }
        for count in [self.value_blocks.len, self.groups.len, self.span_starts.len] {
            out.u64(count as u64);
        }
        out.u64(u64::from(self.series_count));
        out.i64(self.base_time);
        out.u64(self.payload as u64);
        out.u64(u64::from(VERSION));
        out.u32(table_sum);
        let footer_sum = checksum(out.as_bytes().get(start..).unwrap_or_default());
        out.u32(footer_sum);
        out.u32(FOOTER_MAGIC);
    }

    /// Reads header and footer of `file` and checks them.
    pub(super) fn read(file: &impl Source) -> Result<Self, Corruption> {
        let head = file.read(0..HEADER_LEN.min(file.len()))?;
        let mut header = Reader::new("index header", &head);
        let magic = header.u64("magic")?;
        if magic != u64::from_le_bytes(MAGIC) {
            return Err(unknown(&header, "magic", magic));
        }
        let version = header.u32("version")?;
        if version != VERSION {
            return Err(unknown(&header, "version", version.into()));
        }
        let footer_at = file.len().saturating_sub(FOOTER_LEN);
        if footer_at < HEADER_LEN {
            return Err(header.corruption(CorruptionKind::Truncated { field: "footer" }));
        }
        let footer = file.read(footer_at..file.len())?;
        Self::check_footer(&footer)?;
        Self::read_footer(Reader::new("index footer", &footer), footer_at)
    }

    /// Reads the table of checksums of `file`, whose length is known to fit, and checks it itself.
    pub(super) fn read_table(&self, file: &impl Source) -> Result<Vec<u8>, Corruption> {
        let table = file.read(self.payload..self.payload.saturating_add(pages::table_len(self.payload)))?;
        let computed = checksum(&table);
        if self.table_sum == computed {
            return Ok(table);
        }
        let kind = CorruptionKind::Checksum { stored: self.table_sum.into(), computed: computed.into() };
        Err(Corruption::new("index checksums", 0, kind))
    }

    fn columns(&self) -> [&Column; 6] {
        let spans = [&self.span_starts, &self.span_lengths, &self.span_samples, &self.span_times];
        let [starts, lengths, samples, times] = spans;
        [&self.value_blocks, &self.groups, starts, lengths, samples, times]
    }

    fn check_footer(footer: &[u8]) -> Result<(), Corruption> {
        let sums_at = footer.len().saturating_sub(8);
        let (fields, sums) = footer.split_at_checked(sums_at).unwrap_or_default();
        let mut reader = Reader::new("index footer", sums);
        let (stored, computed) = (reader.u32("checksum")?, checksum(fields));
        let magic = reader.u32("magic")?;
        if magic != FOOTER_MAGIC {
            return Err(unknown(&reader, "footer magic", magic.into()));
        }
        if stored != computed {
            let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
            return Err(reader.corruption(kind));
        }
        Ok(())
    }

    /// Lays the sections one after the other from the lengths in the footer.
    fn read_footer(mut reader: Reader<'_>, footer_at: usize) -> Result<Self, Corruption> {
        let mut at = HEADER_LEN;
        let mut section = |reader: &mut Reader<'_>| {
            let len = size(reader, "length of a section")?;
            let start = at;
            at = at.saturating_add(len);
            Ok(start..at)
        };
        let mut layout = Self {
            series: section(&mut reader)?,
            postings: section(&mut reader)?,
            values: section(&mut reader)?,
            names: section(&mut reader)?,
            guide: section(&mut reader)?,
            ..Self::default()
        };
        let mut widths = [0; 6];
        for width in &mut widths {
            *width = size(&mut reader, "width of a column")?;
            if *width > 8 {
                return Err(reader.invalid("width of a column", *width as u64));
            }
        }
        let value_blocks = size(&mut reader, "count of value blocks")?;
        let groups = size(&mut reader, "count of groups")?;
        let spans = size(&mut reader, "count of spans")?;
        let lens = [value_blocks, groups, spans, spans, spans, spans];
        let mut columns = [Column::default(); 6];
        for ((column, width), len) in columns.iter_mut().zip(widths).zip(lens) {
            *column = Column { start: at, width, len };
            at = column.end();
        }
        [layout.value_blocks, layout.groups, ..] = columns;
        [.., layout.span_starts, layout.span_lengths, layout.span_samples, layout.span_times] = columns;
        let series = reader.u64("count of series")?;
        layout.series_count = u32::try_from(series).map_err(|_| reader.invalid("count of series", series))?;
        layout.base_time = reader.i64("base time")?;
        layout.payload = size(&mut reader, "length of the payload")?;
        let version = reader.u64("version")?;
        layout.table_sum = reader.u32("checksum of the checksums")?;
        let fits = at == layout.payload
            && layout.payload.saturating_add(pages::table_len(layout.payload)) == footer_at
            && version == u64::from(VERSION)
            && groups == (layout.series_count as usize).div_ceil(super::series::GROUP);
        if !fits {
            let rule = "sections, checksums and footer fill the file";
            return Err(reader.corruption(CorruptionKind::Rule { rule }));
        }
        Ok(layout)
    }
}

fn size(reader: &mut Reader<'_>, field: &'static str) -> Result<usize, Corruption> {
    let value = reader.u64(field)?;
    usize::try_from(value).map_err(|_| reader.invalid(field, value))
}

fn unknown(reader: &Reader<'_>, field: &'static str, value: u64) -> Corruption {
    reader.corruption(CorruptionKind::Unknown { field, value })
}
