//! Merging index files into one: nothing of the size of a file is held in memory.
//!
//! Labels are compared as numbers: first the dictionaries are merged, and for each source it is remembered which values
//! of the merged dictionary are its own. Series are then merged by the numbers of their labels and written at once.
//! At the end each set of postings is read from the sources, renumbered and written, and so is the dictionary. What
//! stays in memory is a bit per value and per series for each source, two numbers per 32 series and per 16 values, the
//! lengths of postings, and the table of spans.

use super::ChunkRef;
use super::cursor::SeriesCursor;
use super::dictionary::{self, ValuesWriter};
use super::guide::{GuideWriter, SeriesExtent};
use super::layout::{Column, Layout, MAGIC, VERSION};
use super::merge_values::{ValueSource, each_value};
use super::pages::{self, PAGE_BYTES};
use super::postings;
use super::reader::IndexReader;
use super::renumber::Renumbering;
use super::series::{ChunkEntry, LabelId, SeriesWriter};
use super::source::Source;
use super::spans::Spans;
use super::writer::WriteError;
use roaring::RoaringBitmap;
use std::cmp::Ordering;
use tsdb_core::Corruption;
use tsdb_core::bytes::Writer;

/// Damage to one of the files that are merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source number {input}: {source}")]
#[non_exhaustive]
pub struct InputDamage {
    /// Which of the sources, from 0.
    pub input: usize,
    /// What is wrong with it.
    pub source: Corruption,
}

/// A chunk of the series that was found last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// In which of the sources, from 0.
    pub input: usize,
    /// The number that the series has there.
    pub series: u32,
    /// The chunk as that source tells it.
    pub chunk: ChunkRef,
}

/// Merges index files. First [`next`](Self::next) and [`push`](Self::push) in turn for all series, then
/// [`finish`](Self::finish).
#[derive(Debug)]
pub struct IndexMerger<'a, S> {
    inputs: Vec<Input<'a, S>>,
    names: Vec<MergedName>,
    /// The inputs that have the series found last.
    found: Vec<usize>,
    labels: Vec<LabelId>,
    records: SeriesWriter,
    spans: Spans,
    entries: Vec<ChunkEntry>,
    series_count: u32,
    output: Output,
}

#[derive(Debug)]
struct MergedName {
    text: String,
    values: u32,
    /// Number of the name in each input that has values of it.
    own: Vec<Option<usize>>,
}

#[derive(Debug)]
struct Input<'a, S> {
    index: &'a IndexReader<S>,
    cursor: SeriesCursor<'a, S>,
    /// New numbers of names, by their own.
    names: Vec<u32>,
    /// New numbers of values, by the own number of the name.
    values: Vec<Renumbering>,
    series: Renumbering,
    /// The own number of the series that comes next; the number of series at the end.
    next: u32,
    own_labels: Vec<LabelId>,
    labels: Vec<LabelId>,
}

/// The file as far as it was not taken away.
#[derive(Debug, Default)]
struct Output {
    bytes: Writer,
    /// Bytes that were taken away, whole pages.
    taken: usize,
    checksums: Vec<u32>,
}

impl<'a, S: Source> IndexMerger<'a, S> {
    /// A merger of `inputs`, each without the series in a set beside it.
    ///
    /// # Errors
    /// Damage to a dictionary.
    pub fn new(inputs: Vec<(&'a IndexReader<S>, RoaringBitmap)>) -> Result<Self, InputDamage> {
        let opened = inputs.into_iter().enumerate();
        let opened = opened.map(|(number, (index, removed))| {
            Input::new(index, removed).map_err(|source| InputDamage { input: number, source })
        });
        let mut inputs: Vec<Input<'a, S>> = opened.collect::<Result<_, _>>()?;
        let names = merge_names(&mut inputs)?;
        for (number, input) in inputs.iter_mut().enumerate() {
            input.load().map_err(|source| InputDamage { input: number, source })?;
        }
        let mut output = Output::default();
        output.bytes.bytes(&MAGIC);
        output.bytes.u32(VERSION);
        Ok(Self {
            inputs,
            names,
            found: Vec::new(),
            labels: Vec::new(),
            records: SeriesWriter::default(),
            spans: Spans::default(),
            entries: Vec::new(),
            series_count: 0,
            output,
        })
    }

    /// Finds the next series in order of labels and replaces `parts` by its chunks in all sources, source by source.
    /// Says whether there was another one.
    ///
    /// # Errors
    /// Damage to a record.
    pub fn next(&mut self, parts: &mut Vec<Part>) -> Result<bool, InputDamage> {
        parts.clear();
        self.found.clear();
        let ahead = self.inputs.iter().enumerate().filter(|(_, input)| !input.is_at_end());
        for (number, input) in ahead {
            let order = match self.found.is_empty() {
                true => Ordering::Less,
                false => input.labels.cmp(&self.labels),
            };
            match order {
                Ordering::Greater => continue,
                Ordering::Equal => {}
                Ordering::Less => {
                    self.found.clear();
                    self.labels.clone_from(&input.labels);
                }
            }
            self.found.push(number);
        }
        let mut chunks = Vec::new();
        for number in &self.found {
            let Some(input) = self.inputs.get_mut(*number) else { continue };
            let series = input.next;
            let damaged = |source| InputDamage { input: *number, source };
            input.cursor.chunks(series, &mut chunks).map_err(damaged)?;
            parts.extend(chunks.iter().map(|chunk| Part { input: *number, series, chunk: *chunk }));
            input.next += 1;
            input.load().map_err(damaged)?;
        }
        Ok(!self.found.is_empty())
    }

    /// Writes the series that was found last, with `chunks` in order of time.
    ///
    /// # Errors
    /// A limit of the format.
    pub fn push(&mut self, chunks: &[ChunkRef]) -> Result<(), WriteError> {
        if self.series_count == u32::MAX || self.spans.len() + chunks.len() > u32::MAX as usize {
            return Err(WriteError::Limit { what: "series and chunks", limit: u32::MAX.into() });
        }
        for number in &self.found {
            if let Some(input) = self.inputs.get_mut(*number) {
                input.series.push(self.series_count);
            }
        }
        self.entries.clear();
        for chunk in chunks {
            let span = self.spans.number(chunk);
            self.entries.push(ChunkEntry { frame: chunk.frame, slot: chunk.slot, span });
        }
        let at = self.output.position() - HEADER;
        self.records.push(&self.labels, &self.entries, at, &mut self.output.bytes);
        self.series_count += 1;
        Ok(())
    }

    /// Number of series written.
    pub fn series_count(&self) -> u32 {
        self.series_count
    }

    /// Gives the part of the file that is ready to `sink`, if it is worth a call.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn drain<E>(&mut self, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.output.drain(sink)
    }

    /// Writes all the rest and gives it to `sink`, piece by piece.
    ///
    /// # Errors
    /// Damage to a source, or those of `sink`.
    pub fn finish<E: From<InputDamage>>(
        mut self,
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut layout = Layout { series_count: self.series_count, ..Layout::default() };
        layout.series = HEADER..self.output.position();
        let (lengths, guide) = self.write_postings(sink)?;
        layout.postings = layout.series.end..self.output.position();
        let blocks = self.write_values(&lengths, sink)?;
        layout.values = layout.postings.end..self.output.position();
        let names = self.names.iter().map(|name| (name.text.as_str(), name.values));
        dictionary::write_names(names, &mut self.output.bytes);
        layout.names = layout.values.end..self.output.position();
        guide.write(&mut self.output.bytes);
        layout.guide = layout.names.end..self.output.position();
        let Output { bytes, taken, .. } = &mut self.output;
        layout.value_blocks = Column::write(&blocks, *taken, bytes);
        layout.groups = Column::write(&self.records.groups, *taken, bytes);
        self.spans.write(&mut layout, *taken, bytes);
        layout.payload = self.output.position();
        self.output.finish(&layout, sink)
    }

    /// Writes all postings; returns their lengths as varints, in order, and the guide to them.
    fn write_postings<E: From<InputDamage>>(
        &mut self,
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(Writer, GuideWriter), E> {
        let (mut lengths, mut guide) = (Writer::new(), GuideWriter::default());
        let base = self.output.position();
        let (inputs, output) = (&self.inputs, &mut self.output);
        for name in &self.names {
            guide.next_name();
            each_value(&mut value_sources(inputs, &name.own)?, |value, found| {
                let start = output.position();
                let series = write_set(inputs, found, &mut output.bytes)?;
                lengths.varint((output.position() - start) as u64);
                guide.push(value, start - base..output.position() - base, series);
                output.drain(sink)
            })?;
        }
        Ok((lengths, guide))
    }

    /// Writes the dictionary of values; returns the offsets of its blocks.
    fn write_values<E: From<InputDamage>>(
        &mut self,
        lengths: &Writer,
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Vec<u64>, E> {
        let base = self.output.position();
        let mut lengths = tsdb_core::bytes::Reader::new(postings::SECTION, lengths.as_bytes());
        let mut values = ValuesWriter::default();
        let (inputs, output) = (&self.inputs, &mut self.output);
        let mut start = 0;
        for name in &self.names {
            values.next_name();
            each_value(&mut value_sources(inputs, &name.own)?, |value, _| {
                // What was written a moment ago is whole.
                let len = lengths.varint("length of postings").unwrap_or(0);
                let end = start + usize::try_from(len).unwrap_or(0);
                values.push(value, &(start..end), output.position() - base, &mut output.bytes);
                start = end;
                output.drain(sink)
            })?;
        }
        Ok(values.blocks)
    }
}

/// Length of magic and version.
const HEADER: usize = super::layout::HEADER_LEN;

impl<'a, S: Source> Input<'a, S> {
    fn new(index: &'a IndexReader<S>, removed: RoaringBitmap) -> Result<Self, Corruption> {
        let mut values = Vec::with_capacity(index.names().len());
        for name in index.names() {
            let mut gone = RoaringBitmap::new();
            if !removed.is_empty() {
                let mut source = ValueSource::new(0, index, name, None)?;
                while let Some((_, place)) = source.value() {
                    if index.postings(place)?.is_subset(&removed) {
                        gone.insert(source.number());
                    }
                    source.advance()?;
                }
            }
            values.push(Renumbering::without(gone));
        }
        Ok(Self {
            index,
            cursor: index.cursor(),
            names: vec![0; index.names().len()],
            values,
            series: Renumbering::without(removed),
            next: 0,
            own_labels: Vec::new(),
            labels: Vec::new(),
        })
    }

    fn is_at_end(&self) -> bool {
        self.next >= self.index.series_count()
    }

    /// Reads the labels of the next series that is not removed.
    fn load(&mut self) -> Result<(), Corruption> {
        while !self.is_at_end() && self.series.is_removed(self.next) {
            self.next += 1;
        }
        if self.is_at_end() {
            return Ok(());
        }
        let own = self.cursor.label_ids(self.next)?;
        self.labels.truncate(own.len());
        for (place, label) in own.iter().enumerate() {
            if self.own_labels.get(place) == Some(label) && place < self.labels.len() {
                continue;
            }
            let values = self.values.get(label.name as usize);
            let value = values.and_then(|values| values.new_number(label.value));
            let (Some(name), Some(value)) = (self.names.get(label.name as usize), value) else {
                return Err(super::reader::beyond(super::series::SECTION, self.next as usize));
            };
            let label = LabelId { name: *name, value };
            match self.labels.get_mut(place) {
                Some(known) => *known = label,
                None => self.labels.push(label),
            }
        }
        self.own_labels.clear();
        self.own_labels.extend_from_slice(own);
        Ok(())
    }
}

/// Merges the dictionaries: every name and value that is left in one of the inputs gets a number.
fn merge_names<S: Source>(inputs: &mut [Input<'_, S>]) -> Result<Vec<MergedName>, InputDamage> {
    let mut texts: Vec<String> = Vec::new();
    for input in inputs.iter() {
        for (name, values) in input.index.names().iter().zip(&input.values) {
            if values.removed().len() < u64::from(name.values) {
                texts.push(name.text.clone());
            }
        }
    }
    texts.sort_unstable();
    texts.dedup();
    let mut names = Vec::with_capacity(texts.len());
    for (number, text) in (0_u32..).zip(texts) {
        let own: Vec<Option<usize>> =
            inputs.iter().map(|input| input.index.find_name(&text).map(|(own, _)| own)).collect();
        for (input, own) in inputs.iter_mut().zip(&own) {
            if let Some(new) = own.and_then(|own| input.names.get_mut(own)) {
                *new = number;
            }
        }
        let mut values = 0_u32;
        let numbering = inputs.iter().zip(&own).map(|(input, own)| {
            let known = own.and_then(|own| input.values.get(own));
            Renumbering::without(known.map(|known| known.removed().clone()).unwrap_or_default())
        });
        let mut numbering: Vec<Renumbering> = numbering.collect();
        each_value(&mut value_sources(inputs, &own)?, |_, found| {
            for (input, _) in found {
                numbering.get_mut(*input).into_iter().for_each(|numbering| numbering.push(values));
            }
            values += 1;
            Ok::<(), InputDamage>(())
        })?;
        for ((input, numbering), own) in inputs.iter_mut().zip(numbering).zip(&own) {
            if let Some(known) = own.and_then(|own| input.values.get_mut(own)) {
                *known = numbering;
            }
        }
        names.push(MergedName { text, values, own });
    }
    Ok(names)
}

/// The values that each input has of a name, its number in each input being `own`.
fn value_sources<'i, S: Source>(
    inputs: &'i [Input<'_, S>],
    own: &[Option<usize>],
) -> Result<Vec<ValueSource<'i, S>>, InputDamage> {
    let mut sources = Vec::new();
    for (number, (input, own)) in inputs.iter().zip(own).enumerate() {
        let name = own.and_then(|own| Some((input.index.names().get(own)?, input.values.get(own)?)));
        if let Some((name, values)) = name {
            let source = ValueSource::new(number, input.index, name, Some(values.removed()));
            sources.push(source.map_err(|source| InputDamage { input: number, source })?);
        }
    }
    Ok(sources)
}

/// Writes the union of the postings at `found` under their new numbers; returns what the guide tells of it.
fn write_set<S: Source>(
    inputs: &[Input<'_, S>],
    found: &[(usize, core::ops::Range<usize>)],
    out: &mut Writer,
) -> Result<SeriesExtent, InputDamage> {
    let mut union = RoaringBitmap::new();
    for (number, place) in found {
        let Some(input) = inputs.get(*number) else { continue };
        let own = input.index.postings(place.clone());
        let own = own.map_err(|source| InputDamage { input: *number, source })?;
        let new = own.iter().filter_map(|series| input.series.new_number(series));
        // Ascending, as the old numbers were.
        union |= RoaringBitmap::from_sorted_iter(new).unwrap_or_default();
    }
    let numbers: Vec<u32> = union.into_iter().collect();
    postings::write(&numbers, out);
    Ok(SeriesExtent::of(&numbers))
}

impl Output {
    /// Bytes that are given away at once.
    const PIECE: usize = 64 * PAGE_BYTES;

    fn position(&self) -> usize {
        self.taken + self.bytes.len()
    }

    fn drain<E>(&mut self, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.bytes.len() < Self::PIECE {
            return Ok(());
        }
        let whole = self.bytes.len() / PAGE_BYTES * PAGE_BYTES;
        let (pages, rest) = self.bytes.as_bytes().split_at_checked(whole).unwrap_or_default();
        self.checksums.extend(pages::checksums(pages));
        sink(pages)?;
        let rest = rest.to_vec();
        self.taken += whole;
        self.bytes.clear();
        self.bytes.bytes(&rest);
        Ok(())
    }

    fn finish<E>(mut self, layout: &Layout, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.checksums.extend(pages::checksums(self.bytes.as_bytes()));
        layout.write(&self.checksums, &mut self.bytes);
        sink(self.bytes.as_bytes())
    }
}
