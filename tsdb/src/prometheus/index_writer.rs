//! Writing the index of a block, section by section. Source: Prometheus `tsdb/docs/format/index.md`.
//!
//! Symbols and postings are held in memory: 4 bytes for each label of each series. The sections of label indices, which
//! nobody reads any more, are empty, as Prometheus leaves them.

use super::crc::crc32c;
use super::index::{ChunkPlace, MAGIC, SERIES_ALIGN, Toc, VERSION};
use super::output::OutputFile;
use crate::Error;
use crate::fs::Fs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tsdb_core::Labels;
use tsdb_core::bytes::Writer;

/// Postings begin at multiples of this, in bytes.
const POSTINGS_ALIGN: u64 = 4;

/// An index that is being written. Takes series in order of their labels.
#[derive(Debug)]
pub(super) struct IndexWriter {
    file: OutputFile,
    toc: Toc,
    symbols: BTreeMap<String, u32>,
    /// Numbers of the series by the symbols of name and value.
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    all: Vec<u32>,
    entry: Writer,
}

impl IndexWriter {
    /// Begins the file `path` for series whose labels have no other names and values than `symbols`.
    pub(super) fn create(fs: &dyn Fs, path: PathBuf, symbols: BTreeSet<&str>) -> Result<Self, Error> {
        let mut file = OutputFile::create(fs, path)?;
        file.write(&MAGIC.to_be_bytes())?;
        file.write(&[VERSION])?;
        let mut toc = Toc { symbols: file.len(), ..Toc::default() };
        let mut table = Writer::new();
        table.bytes(&(symbols.len() as u32).to_be_bytes());
        symbols.iter().for_each(|symbol| table.str(symbol));
        write_section(&mut file, table.as_bytes())?;
        toc.series = file.len();
        let symbols = symbols.into_iter().map(str::to_owned).zip(0..).collect();
        let (postings, all) = (BTreeMap::new(), Vec::new());
        Ok(Self { file, toc, symbols, postings, all, entry: Writer::new() })
    }

    /// Adds a series whose chunks are at `chunks`.
    pub(super) fn add(&mut self, labels: &Labels, chunks: &[ChunkPlace]) -> Result<(), Error> {
        self.file.pad(SERIES_ALIGN)?;
        let number = (self.file.len() / SERIES_ALIGN) as u32;
        self.all.push(number);
        self.entry.clear();
        self.entry.varint(labels.len() as u64);
        for (name, value) in labels.iter() {
            let symbol = |text| self.symbols.get(text).copied().unwrap_or(0);
            let (name, value) = (symbol(name), symbol(value));
            self.entry.varint(name.into());
            self.entry.varint(value.into());
            self.postings.entry((name, value)).or_default().push(number);
        }
        self.entry.varint(chunks.len() as u64);
        let mut before: Option<&ChunkPlace> = None;
        for chunk in chunks {
            match before {
                None => self.entry.zigzag(chunk.first),
                Some(before) => self.entry.varint(chunk.first.abs_diff(before.last)),
            }
            self.entry.varint(chunk.last.abs_diff(chunk.first));
            match before {
                None => self.entry.varint(chunk.reference),
                Some(before) => self.entry.zigzag(chunk.reference.wrapping_sub(before.reference) as i64),
            }
            before = Some(chunk);
        }
        let mut len = Writer::new();
        len.varint(self.entry.len() as u64);
        self.file.write(len.as_bytes())?;
        self.file.write(self.entry.as_bytes())?;
        self.file.write(&crc32c(self.entry.as_bytes()).to_be_bytes())
    }

    /// Writes what comes behind the series. Durable when it returns.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.toc.label_indices = self.file.len();
        self.file.pad(POSTINGS_ALIGN)?;
        self.toc.postings = self.file.len();
        let names: Vec<&str> = self.symbols.keys().map(String::as_str).collect();
        let text = |symbol: u32| names.get(symbol as usize).copied().unwrap_or_default();
        let all = (("", ""), &self.all);
        // Symbols are sorted, so their numbers sort as they do.
        let lists = self.postings.iter().map(|((name, value), list)| ((text(*name), text(*value)), list));
        let mut table = Writer::new();
        table.bytes(&(1 + self.postings.len() as u32).to_be_bytes());
        for ((name, value), list) in std::iter::once(all).chain(lists) {
            self.file.pad(POSTINGS_ALIGN)?;
            table.u8(2);
            table.str(name);
            table.str(value);
            table.varint(self.file.len());
            let mut content = Writer::with_capacity(4 * list.len() + 4);
            content.bytes(&(list.len() as u32).to_be_bytes());
            list.iter().for_each(|number| content.bytes(&number.to_be_bytes()));
            write_section(&mut self.file, content.as_bytes())?;
        }
        self.toc.label_offsets = self.file.len();
        self.toc.postings_offsets = self.file.len();
        write_section(&mut self.file, table.as_bytes())?;
        self.file.write(&self.toc.bytes())?;
        self.file.finish()
    }
}

/// Writes `content` between its length and its checksum.
fn write_section(file: &mut OutputFile, content: &[u8]) -> Result<(), Error> {
    file.write(&(content.len() as u32).to_be_bytes())?;
    file.write(content)?;
    file.write(&crc32c(content).to_be_bytes())
}
