//! Series records: groups of neighbours, each told by what differs from the one before.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer};

/// Name of the section in errors.
pub(super) const SECTION: &str = "index series";

/// Series in a group; the last one may have fewer.
pub(super) const GROUP: usize = 32;

/// The record lists its labels anew.
const NEW_SHAPE: u64 = 1;
/// The record has one chunk: the slot after the one before.
const NEXT_SLOT: u64 = 2;
/// Where the two bits of the span code begin.
const SPAN_SHIFT: u32 = 2;
const SPAN_SAME: u64 = 0;
const SPAN_NEXT: u64 = 1;
const SPAN_OTHER: u64 = 2;
/// Where the mask of changed labels begins.
const MASK_SHIFT: u32 = 4;
/// A record with more labels always lists them anew: the mask has no room.
const MAX_MASK_LABELS: usize = 60;

/// A label as numbers: of the name among all names, of the value among the values of that name. In order of both,
/// label sets sort as their texts do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LabelId {
    pub(super) name: u32,
    pub(super) value: u32,
}

/// A chunk as the record tells it; the span is a number in the table of spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ChunkEntry {
    pub(super) frame: u64,
    pub(super) slot: u32,
    pub(super) span: u32,
}

impl ChunkEntry {
    /// The slot that a chunk in `frame` is expected to have after this one.
    fn expected_slot(&self, frame: u64) -> u32 {
        if frame == self.frame { self.slot.wrapping_add(1) } else { 0 }
    }
}

/// Writes groups.
#[derive(Debug, Default)]
pub(super) struct SeriesWriter {
    labels: Vec<LabelId>,
    chunk: ChunkEntry,
    in_group: usize,
    /// Offset of each group.
    pub(super) groups: Vec<u64>,
}

impl SeriesWriter {
    /// Appends a record, which begins `at` bytes behind the start of the section.
    pub(super) fn push(&mut self, labels: &[LabelId], chunks: &[ChunkEntry], at: usize, out: &mut Writer) {
        let first = self.in_group == 0;
        if first {
            self.groups.push(at as u64);
            self.labels.clear();
            self.chunk = ChunkEntry::default();
        }
        self.in_group = self.in_group.wrapping_add(1) % GROUP;
        let new_shape = first || !self.has_shape(labels);
        let next_slot = match chunks {
            [only] => only.frame == self.chunk.frame && only.slot == self.chunk.slot.wrapping_add(1),
            _ => false,
        };
        let span = match chunks {
            [only] if next_slot => span_code(self.chunk.span, only.span),
            _ => SPAN_SAME,
        };
        let mask = if new_shape { 0 } else { self.changed(labels) };
        let flags = u64::from(new_shape) | u64::from(next_slot).wrapping_mul(NEXT_SLOT);
        out.varint(mask << MASK_SHIFT | span << SPAN_SHIFT | flags);
        if new_shape {
            write_shape(labels, out);
        } else {
            for (label, before) in labels.iter().zip(&self.labels).filter(|(label, before)| label != before) {
                out.zigzag(i64::from(label.value).wrapping_sub(before.value.into()));
            }
        }
        if !next_slot {
            out.varint(chunks.len() as u64);
        }
        for chunk in chunks {
            self.push_chunk(*chunk, next_slot, span, out);
        }
        self.labels.clear();
        self.labels.extend_from_slice(labels);
    }

    fn push_chunk(&mut self, chunk: ChunkEntry, next_slot: bool, span: u64, out: &mut Writer) {
        if !next_slot {
            out.zigzag(chunk.frame.wrapping_sub(self.chunk.frame).cast_signed());
            out.zigzag(i64::from(chunk.slot).wrapping_sub(self.chunk.expected_slot(chunk.frame).into()));
        }
        if !next_slot || span == SPAN_OTHER {
            out.zigzag(i64::from(chunk.span).wrapping_sub(self.chunk.span.into()));
        }
        self.chunk = chunk;
    }

    fn has_shape(&self, labels: &[LabelId]) -> bool {
        labels.len() <= MAX_MASK_LABELS
            && self.labels.iter().map(|label| label.name).eq(labels.iter().map(|label| label.name))
    }

    /// One bit for each label that differs, the last label lowest: the last ones change most.
    fn changed(&self, labels: &[LabelId]) -> u64 {
        labels
            .iter()
            .zip(&self.labels)
            .fold(0, |mask, (label, before)| mask << 1 | u64::from(label != before))
    }
}

fn span_code(before: u32, span: u32) -> u64 {
    if span == before {
        SPAN_SAME
    } else if span == before.wrapping_add(1) {
        SPAN_NEXT
    } else {
        SPAN_OTHER
    }
}

fn write_shape(labels: &[LabelId], out: &mut Writer) {
    out.varint(labels.len() as u64);
    let mut next = 0;
    for label in labels {
        out.varint(u64::from(label.name.wrapping_sub(next)));
        next = label.name.wrapping_add(1);
        out.varint(u64::from(label.value));
    }
}

/// A decoded group.
#[derive(Debug, Default)]
pub(super) struct Group {
    labels: Vec<LabelId>,
    label_ends: Vec<usize>,
    chunks: Vec<ChunkEntry>,
    chunk_ends: Vec<usize>,
}

/// What a record may refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Number of values of each name.
    pub(super) values: &'a [u32],
    /// Number of spans.
    pub(super) spans: usize,
}

impl Group {
    /// Decodes a group of `len` series, which takes all of `bytes`, in place of what was decoded before.
    pub(super) fn read(&mut self, bytes: &[u8], len: usize, bounds: Bounds<'_>) -> Result<(), Corruption> {
        self.clear();
        let mut reader = Reader::new(SECTION, bytes);
        let mut chunk = ChunkEntry::default();
        for _ in 0..len {
            let head = reader.varint("head of a record")?;
            if head & NEW_SHAPE != 0 {
                self.read_shape(&mut reader, head, bounds)?;
            } else {
                self.read_changes(&mut reader, head >> MASK_SHIFT, bounds)?;
            }
            chunk = self.read_chunks(&mut reader, head, chunk, bounds)?;
            self.label_ends.push(self.labels.len());
            self.chunk_ends.push(self.chunks.len());
        }
        reader.finish()
    }

    /// Forgets what was decoded.
    pub(super) fn clear(&mut self) {
        self.labels.clear();
        self.label_ends.clear();
        self.chunks.clear();
        self.chunk_ends.clear();
    }

    /// Labels of the series at `index` of the group.
    pub(super) fn labels(&self, index: usize) -> Option<&[LabelId]> {
        part(&self.labels, &self.label_ends, index)
    }

    /// Chunks of the series at `index` of the group.
    pub(super) fn chunks(&self, index: usize) -> Option<&[ChunkEntry]> {
        part(&self.chunks, &self.chunk_ends, index)
    }

    /// Chunks of all series of the group.
    pub(super) fn all_chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    fn read_shape(
        &mut self,
        reader: &mut Reader<'_>,
        head: u64,
        bounds: Bounds<'_>,
    ) -> Result<(), Corruption> {
        if head >> MASK_SHIFT != 0 {
            return Err(reader.invalid("mask of a new shape", head >> MASK_SHIFT));
        }
        let mut next = 0_u64;
        for _ in 0..reader.count(2, "count of labels")? {
            let name = next.saturating_add(reader.varint("name")?);
            let value = reader.varint("value")?;
            let label = label(name, value, bounds).ok_or_else(|| reader.invalid("label", name))?;
            self.labels.push(label);
            next = name.saturating_add(1);
        }
        Ok(())
    }

    fn read_changes(
        &mut self,
        reader: &mut Reader<'_>,
        mask: u64,
        bounds: Bounds<'_>,
    ) -> Result<(), Corruption> {
        let start = match self.label_ends.len().checked_sub(2) {
            Some(before) => self.label_ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.labels.len();
        let len = end.saturating_sub(start);
        let fits = len <= MAX_MASK_LABELS && !self.label_ends.is_empty();
        if !fits || mask.checked_shr(u32::try_from(len).unwrap_or(0)).unwrap_or(0) != 0 {
            return Err(reader.invalid("mask of changed labels", mask));
        }
        self.labels.extend_from_within(start..end);
        for (label, bit) in self.labels.iter_mut().skip(end).zip((0..len).rev()) {
            if mask.wrapping_shr(u32::try_from(bit).unwrap_or(0)) & 1 == 0 {
                continue;
            }
            let delta = reader.zigzag("change of a value")?;
            let value = i64::from(label.value).wrapping_add(delta).cast_unsigned();
            *label = self::label(label.name.into(), value, bounds)
                .ok_or_else(|| reader.invalid("change of a value", value))?;
        }
        Ok(())
    }

    fn read_chunks(
        &mut self,
        reader: &mut Reader<'_>,
        head: u64,
        mut before: ChunkEntry,
        bounds: Bounds<'_>,
    ) -> Result<ChunkEntry, Corruption> {
        let span = head >> SPAN_SHIFT & 3;
        let next_slot = head & NEXT_SLOT != 0;
        if span > SPAN_OTHER || (span != SPAN_SAME && !next_slot) {
            return Err(reader.invalid("span code", span));
        }
        let count = if next_slot { 1 } else { reader.count(3, "count of chunks")? };
        for _ in 0..count {
            let mut chunk = before;
            if next_slot {
                chunk.slot = before.slot.wrapping_add(1);
            } else {
                chunk.frame = before.frame.wrapping_add_signed(reader.zigzag("frame")?);
                let slot = i64::from(before.expected_slot(chunk.frame)).wrapping_add(reader.zigzag("slot")?);
                chunk.slot = u32::try_from(slot).map_err(|_| reader.invalid("slot", slot.cast_unsigned()))?;
            }
            let delta = match span {
                _ if !next_slot => reader.zigzag("span")?,
                SPAN_OTHER => reader.zigzag("span")?,
                SPAN_NEXT => 1,
                _ => 0,
            };
            let number = i64::from(before.span).wrapping_add(delta);
            chunk.span = match u32::try_from(number) {
                Ok(span) if (span as usize) < bounds.spans => span,
                _ => return Err(reader.invalid("span", number.cast_unsigned())),
            };
            self.chunks.push(chunk);
            before = chunk;
        }
        Ok(before)
    }
}

fn label(name: u64, value: u64, bounds: Bounds<'_>) -> Option<LabelId> {
    let values = *bounds.values.get(usize::try_from(name).ok()?)?;
    let label = LabelId { name: u32::try_from(name).ok()?, value: u32::try_from(value).ok()? };
    (label.value < values).then_some(label)
}

fn part<'a, T>(items: &'a [T], ends: &[usize], index: usize) -> Option<&'a [T]> {
    let end = *ends.get(index)?;
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    items.get(start..end)
}
