//! Writing a block as Prometheus has them: chunks, index, an empty list of tombstones, a description.

use super::block::TOMBSTONES;
use super::chunk::{Cut, Encoding, Form, encode};
use super::crc::crc32c;
use super::index::ChunkPlace;
use super::index_writer::IndexWriter;
use super::meta::{self, Counts};
use super::output::{OutputFile, write_file};
use super::segment::{HEADER_BYTES, MAGIC, VERSION};
use super::tombstones::Tombstones;
use crate::fs::{Fs, publish_dir};
use crate::{Error, names};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tsdb_core::block::BlockId;
use tsdb_core::bytes::Writer;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Labels, TimeRange};
use ulid::Ulid;

/// The longest file of chunks, in bytes.
const SEGMENT_BYTES: u64 = 512 << 20;
/// What Prometheus calls a block that is being written; it removes such at its start.
const UNFINISHED: &str = ".tmp-for-creation";

/// A block that is being written. Takes series in order of their labels.
pub(super) struct PrometheusBlockWriter<'a> {
    fs: &'a dyn Fs,
    id: BlockId,
    dir: PathBuf,
    temporary: PathBuf,
    index: IndexWriter,
    segment: Option<OutputFile>,
    segments: u64,
    counts: Counts,
    range: Option<TimeRange>,
}

impl<'a> PrometheusBlockWriter<'a> {
    /// Begins the block `id` in the data directory `parent`, for series whose labels have no other names and values
    /// than `symbols`.
    pub(super) fn create(
        fs: &'a dyn Fs,
        parent: &Path,
        id: BlockId,
        symbols: BTreeSet<&str>,
    ) -> Result<Self, Error> {
        let name = Ulid::from(id.0).to_string();
        let dir = parent.join(&name);
        let temporary = parent.join(name + UNFINISHED);
        let chunks = temporary.join(names::CHUNKS_DIR);
        fs.create_dir_all(&chunks).map_err(|e| Error::io("create", &chunks, e))?;
        let index = IndexWriter::create(fs, temporary.join(names::INDEX), symbols)?;
        let counts = Counts::default();
        Ok(Self { fs, id, dir, temporary, index, segment: None, segments: 0, counts, range: None })
    }

    /// Adds the next series. One without samples is left out.
    pub(super) fn add(&mut self, labels: &Labels, columns: &SampleColumns) -> Result<(), Error> {
        let mut places = Vec::new();
        let form = Form::of(columns);
        encode(columns, 0..columns.len(), form, |cut| {
            places.push(ChunkPlace {
                first: cut.range.start(),
                last: cut.range.end(),
                reference: self.write(&cut)?,
            });
            self.range = Some(self.range.map_or(cut.range, |range| range.union(&cut.range)));
            match cut.encoding {
                Encoding::Xor | Encoding::Xor2 => self.counts.numbers += u64::from(cut.samples),
                _ => self.counts.histograms += u64::from(cut.samples),
            }
            Ok::<_, Error>(())
        })?;
        if places.is_empty() {
            return Ok(());
        }
        self.counts.series += 1;
        self.counts.chunks += places.len() as u64;
        self.index.add(labels, &places)
    }

    /// Publishes the block: its directory and how much is in it. `None`, and nothing is published, if it has no series.
    pub(super) fn finish(mut self) -> Result<Option<(PathBuf, Counts)>, Error> {
        let Some(range) = self.range else {
            let removed = self.fs.remove_dir_all(&self.temporary);
            removed.map_err(|e| Error::io("remove", &self.temporary, e))?;
            return Ok(None);
        };
        self.segment.take().map_or(Ok(()), OutputFile::finish)?;
        self.index.finish()?;
        write_file(self.fs, &self.temporary.join(TOMBSTONES), &Tombstones::empty_file())?;
        let meta = meta::render(self.id, range.start(), range.end().saturating_add(1), self.counts);
        write_file(self.fs, &self.temporary.join(names::META), &meta)?;
        publish_dir(self.fs, &self.temporary, &self.dir).map_err(|e| Error::io("publish", &self.dir, e))?;
        Ok(Some((self.dir, self.counts)))
    }

    /// Writes a chunk; returns the reference to it.
    fn write(&mut self, cut: &Cut) -> Result<u64, Error> {
        let mut chunk = Writer::with_capacity(cut.data.len() + 10);
        chunk.varint(cut.data.len() as u64);
        let start = chunk.len();
        chunk.u8(cut.encoding as u8);
        chunk.bytes(&cut.data);
        let sum = crc32c(chunk.as_bytes().get(start..).unwrap_or_default());
        chunk.bytes(&sum.to_be_bytes());
        let has_room = |segment: &OutputFile| segment.len() + chunk.len() as u64 <= SEGMENT_BYTES;
        if !self.segment.as_ref().is_some_and(has_room) {
            self.segment.take().map_or(Ok(()), OutputFile::finish)?;
            self.segments += 1;
        }
        let segment = match &mut self.segment {
            Some(segment) => segment,
            none => none.insert(begin_segment(self.fs, &self.temporary, self.segments)?),
        };
        let reference = (self.segments - 1) << 32 | segment.len();
        segment.write(chunk.as_bytes())?;
        Ok(reference)
    }
}

fn begin_segment(fs: &dyn Fs, dir: &Path, number: u64) -> Result<OutputFile, Error> {
    let mut segment = OutputFile::create(fs, dir.join(names::CHUNKS_DIR).join(names::numbered(number)))?;
    let mut header = [0; HEADER_BYTES];
    let (magic, rest) = header.split_at_mut(4);
    magic.copy_from_slice(&MAGIC.to_be_bytes());
    rest.iter_mut().take(1).for_each(|version| *version = VERSION);
    segment.write(&header)?;
    Ok(segment)
}
