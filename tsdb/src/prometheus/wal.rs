//! The write-ahead log: segments of pages, in which records lie in fragments. Source: Prometheus
//! `tsdb/docs/format/wal.md`.
//!
//! After damage reading goes on with the next page, which no fragment crosses.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::crc::crc32c;
use super::finding::Findings;
use super::source::SourceFile;
use crate::Error;
use crate::fs::Fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::Corruption;
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;

/// Length of a page.
const PAGE_BYTES: u64 = 32 * 1024;
/// Length of what stands before each fragment.
const HEADER_BYTES: usize = 7;
/// The longest record after decompression, in bytes. Those of Prometheus are far below.
const MAX_RECORD_BYTES: u64 = 256 << 20;
/// Snappy makes at most so many bytes of one.
const MAX_SNAPPY_RATIO: usize = 64;
/// What a checkpoint is called, before the number of the last segment that it stands for.
const CHECKPOINT: &str = "checkpoint.";

/// The files of the log in `dir`, in order: those of the newest checkpoint, then the segments behind it. None if there
/// is no log.
pub(super) fn segments(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let numbered = |dir: &Path, behind: Option<u64>| -> Result<Vec<PathBuf>, Error> {
        let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
        let numbers = entries.iter().filter_map(|entry| Some((entry.name.parse::<u64>().ok()?, entry)));
        let mut found: Vec<_> = numbers.filter(|(number, _)| Some(*number) > behind).collect();
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, entry)| dir.join(&entry.name)).collect())
    };
    if !fs.exists(dir).map_err(|e| Error::io("look for", dir, e))? {
        return Ok(Vec::new());
    }
    let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let checkpoints = entries.iter().filter_map(|entry| {
        let number = entry.name.strip_prefix(CHECKPOINT)?.parse::<u64>().ok()?;
        Some((number, entry.name.as_str()))
    });
    let newest = checkpoints.max();
    let mut files = match newest {
        Some((_, name)) => numbered(&dir.join(name), None)?,
        None => Vec::new(),
    };
    files.extend(numbered(dir, newest.map(|(number, _)| number))?);
    Ok(files)
}

/// Reads the records of some segments.
pub(super) struct Records<'f> {
    fs: &'f Arc<dyn Fs>,
    compressed: Vec<u8>,
    record: Vec<u8>,
}

/// A fragment of a record.
struct Fragment {
    kind: u8,
    start: u64,
    len: usize,
}

impl<'f> Records<'f> {
    pub(super) fn new(fs: &'f Arc<dyn Fs>) -> Self {
        Self { fs, compressed: Vec::new(), record: Vec::new() }
    }

    /// Calls `visit` with each record of the segment `path` and says how long the segment is. What is damaged is told,
    /// except for an end that was torn off the `last` segment, the usual trace of a crash.
    pub(super) fn read(
        &mut self,
        path: &Path,
        last: bool,
        findings: &mut Findings,
        mut visit: impl FnMut(&[u8], &mut Findings),
    ) -> u64 {
        let mut file = match SourceFile::open(self.fs, path, "log") {
            Ok(file) => file,
            Err(error) => {
                findings.push(path, format!("{error}; the segment was left out"));
                return 0;
            }
        };
        let mut at = 0;
        // The record so far; `None` while fragments are passed over up to the beginning of the next one.
        let mut open = None;
        while at < file.len() {
            let fragment = match fragment(&mut file, at) {
                Ok(Some(fragment)) => fragment,
                Ok(None) => {
                    at = at.saturating_add(1).next_multiple_of(PAGE_BYTES);
                    continue;
                }
                Err(damage) => {
                    let next = at.saturating_add(1).next_multiple_of(PAGE_BYTES);
                    let is_torn = last && next >= file.len();
                    if !is_torn {
                        findings.push(path, format!("{damage}; the records of the page were left out"));
                    }
                    (at, open) = (next, None);
                    continue;
                }
            };
            at = fragment.start.saturating_add(fragment.len as u64);
            match self.add(&mut file, &fragment, &mut open) {
                Ok(true) => visit(&self.record, findings),
                Ok(false) => {}
                Err(damage) => findings.push(path, format!("{damage}; the record was left out")),
            }
        }
        file.len()
    }

    /// Adds a fragment to the record; says whether that is whole now. `open` is how the open record is compressed.
    fn add(
        &mut self,
        file: &mut SourceFile,
        fragment: &Fragment,
        open: &mut Option<u8>,
    ) -> Result<bool, Corruption> {
        let (part, compression) = (fragment.kind & 7, fragment.kind >> 3);
        match part {
            1 | 2 => self.compressed.clear(),
            3 | 4 if open.is_none() => return Ok(false),
            3 | 4 => {}
            _ => {
                let kind = CorruptionKind::Unknown { field: "type of a fragment", value: part.into() };
                return Err(file.corruption(fragment.start, kind));
            }
        }
        self.compressed.extend_from_slice(file.bytes(fragment.start, fragment.len)?);
        if part == 2 || part == 3 {
            *open = Some(compression);
            return Ok(false);
        }
        *open = None;
        self.unpack(compression).map_err(|kind| file.corruption(fragment.start, kind))?;
        Ok(true)
    }

    fn unpack(&mut self, compression: u8) -> Result<(), CorruptionKind> {
        let failed =
            |error: String| CorruptionKind::Layer { message: format!("it does not unpack: {error}") };
        self.record.clear();
        match compression {
            0 => std::mem::swap(&mut self.record, &mut self.compressed),
            1 => {
                let len = snap::raw::decompress_len(&self.compressed).map_err(|e| failed(e.to_string()))?;
                if len > self.compressed.len().saturating_mul(MAX_SNAPPY_RATIO) {
                    let value = len as u64;
                    return Err(CorruptionKind::Invalid { field: "unpacked length", value });
                }
                self.record.resize(len, 0);
                let unpacked = snap::raw::Decoder::new().decompress(&self.compressed, &mut self.record);
                self.record.truncate(unpacked.map_err(|e| failed(e.to_string()))?);
            }
            2 => {
                let unpacked = unpack_zstd(&self.compressed, &mut self.record);
                unpacked.map_err(|e| failed(e.to_string()))?;
            }
            other => {
                return Err(CorruptionKind::Unknown { field: "compression", value: other.into() });
            }
        }
        Ok(())
    }
}

fn unpack_zstd(compressed: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed)?.take(MAX_RECORD_BYTES);
    decoder.read_to_end(into)?;
    if decoder.limit() == 0 {
        return Err(io::Error::other("the record is too long"));
    }
    Ok(())
}

/// The fragment at `at`; `None` if nothing follows in the page.
fn fragment(file: &mut SourceFile, at: u64) -> Result<Option<Fragment>, Corruption> {
    let page_end = at.saturating_add(1).next_multiple_of(PAGE_BYTES);
    if file.upto(at, 1)?.first() == Some(&0) {
        // The rest of the page is empty, so a record that fills it has one too few bytes to be there.
        return Ok(None);
    }
    let start = at.saturating_add(HEADER_BYTES as u64);
    if start > page_end {
        return Ok(None);
    }
    let mut header = Reader::new("log", file.bytes(at, HEADER_BYTES)?);
    let kind = header.u8("type of a fragment")?;
    let len = header.u16("length of a fragment")?.swap_bytes();
    let stored = header.u32("checksum")?.swap_bytes();
    if start.saturating_add(len.into()) > page_end {
        let kind = CorruptionKind::Invalid { field: "length of a fragment", value: len.into() };
        return Err(file.corruption(at, kind));
    }
    let computed = crc32c(file.bytes(start, len.into())?);
    if stored != computed {
        let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
        return Err(file.corruption(at, kind));
    }
    Ok(Some(Fragment { kind, start, len: len.into() }))
}
