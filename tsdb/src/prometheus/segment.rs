//! The files of a block that hold its chunks. Source: Prometheus `tsdb/docs/format/chunks.md`.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::crc::crc32c;
use super::source::SourceFile;
use crate::fs::Fs;
use crate::names;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;
use tsdb_core::Corruption;
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;

/// The first bytes of a file of chunks.
pub(super) const MAGIC: u32 = 0x85bd_40dd;
/// The version that is read and written.
pub(super) const VERSION: u8 = 1;
/// Length of magic, version and padding.
pub(super) const HEADER_BYTES: usize = 8;
/// The longest length of a chunk as a varint, in bytes.
const MAX_LEN_BYTES: usize = 5;
/// Encoding and checksum.
const AROUND_BYTES: usize = 5;

/// The files of chunks of a block, opened when they are needed.
#[derive(Debug)]
pub(super) struct Segments {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    open: BTreeMap<u64, Result<SourceFile, Corruption>>,
}

impl Segments {
    /// The files in `dir`.
    pub(super) fn new(fs: &Arc<dyn Fs>, dir: PathBuf) -> Self {
        Self { fs: Arc::clone(fs), dir, open: BTreeMap::new() }
    }

    /// The file in which the chunk at `reference` is.
    pub(super) fn path(&self, reference: u64) -> PathBuf {
        self.dir.join(names::numbered((reference >> 32).saturating_add(1)))
    }

    /// Encoding and data of the chunk at `reference`; its checksum holds.
    pub(super) fn chunk(&mut self, reference: u64) -> Result<(u8, &[u8]), Corruption> {
        let path = self.path(reference);
        let segment = match self.open.entry(reference >> 32) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(open(&self.fs, &path)),
        };
        let file = segment.as_mut().map_err(|damage| damage.clone())?;
        let offset = reference & u64::from(u32::MAX);
        if offset < HEADER_BYTES as u64 {
            let kind = CorruptionKind::Invalid { field: "place of a chunk", value: offset };
            return Err(file.corruption(offset, kind));
        }
        let mut reader = Reader::new("chunks", file.upto(offset, MAX_LEN_BYTES)?);
        let len = reader.varint("length of a chunk")?;
        let start = offset.saturating_add(reader.position() as u64);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = file.bytes(start, len.saturating_add(AROUND_BYTES))?;
        let (content, stored) = bytes.split_last_chunk::<4>().unwrap_or((bytes, &[0; 4]));
        let (stored, computed) = (u32::from_be_bytes(*stored), crc32c(content));
        if stored != computed {
            let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
            return Err(file.corruption(start, kind));
        }
        // Again, because the borrow of the first time ends with the error that may be returned.
        let bytes = file.bytes(start, len.saturating_add(1))?;
        let (encoding, data) = bytes.split_first().unwrap_or((&0, &[]));
        Ok((*encoding, data))
    }
}

fn open(fs: &Arc<dyn Fs>, path: &std::path::Path) -> Result<SourceFile, Corruption> {
    let opened = SourceFile::open(fs, path, "chunks").map_err(|error| {
        let kind = CorruptionKind::Unreadable { message: error.to_string() };
        Corruption::new("chunks", 0, kind)
    });
    let mut file = opened?;
    let mut header = Reader::new("chunks", file.bytes(0, HEADER_BYTES)?);
    let magic = header.u32("magic")?.swap_bytes();
    let version = header.u8("version")?;
    let unknown = |field, value| Corruption::new("chunks", 0, CorruptionKind::Unknown { field, value });
    match (magic, version) {
        (MAGIC, VERSION) => Ok(file),
        (MAGIC, version) => Err(unknown("format version", version.into())),
        (magic, _) => Err(unknown("magic", magic.into())),
    }
}
