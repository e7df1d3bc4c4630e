//! Chunks of the head that Prometheus has put to disk: `chunks_head`. Source: Prometheus
//! `tsdb/docs/format/head_chunks.md`.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::crc::crc32c;
use super::finding::Findings;
use super::source::SourceFile;
use crate::fs::Fs;
use std::path::Path;
use std::sync::Arc;
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, Timestamp};

const MAGIC: u32 = 0x0130_bc91;
const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 8;
/// The longest that stands before the data of a chunk: series, times, encoding, length.
const MAX_HEAD_BYTES: usize = 30;
/// Set in the encoding of a chunk of samples that came out of order.
const OUT_OF_ORDER: u8 = 0x80;

/// A chunk of the head.
#[derive(Debug)]
pub(super) struct MappedChunk<'a> {
    pub(super) series: u64,
    pub(super) last: Timestamp,
    pub(super) encoding: u8,
    pub(super) is_out_of_order: bool,
    pub(super) data: &'a [u8],
}

/// Where the next chunk is.
enum Step {
    /// The chunk that was read ends here.
    Next(u64),
    End,
}

/// Calls `visit` with each chunk of the file `path` and says how long the file is. What is damaged is told.
pub(super) fn read(
    fs: &Arc<dyn Fs>,
    path: &Path,
    findings: &mut Findings,
    mut visit: impl FnMut(MappedChunk<'_>) -> Result<(), Corruption>,
) -> u64 {
    let mut file = match SourceFile::open(fs, path, "chunks of the head") {
        Ok(file) => file,
        Err(error) => {
            findings.push(path, format!("{error}; the file was left out"));
            return 0;
        }
    };
    let mut at = match header(&mut file) {
        Ok(()) => HEADER_BYTES,
        Err(damage) => {
            findings.push(path, format!("{damage}; the file was left out"));
            file.len()
        }
    };
    while at < file.len() {
        match chunk(&mut file, at, &mut visit) {
            Ok((Step::Next(next), Ok(()))) => at = next,
            Ok((Step::Next(next), Err(damage))) => {
                findings.push(path, format!("{damage}; the chunk at byte {at} was left out"));
                at = next;
            }
            Ok((Step::End, _)) => break,
            Err(damage) => {
                findings.push(path, format!("{damage}; the file was left out from there on"));
                break;
            }
        }
    }
    file.len()
}

fn header(file: &mut SourceFile) -> Result<(), Corruption> {
    // A crash leaves files without content.
    if file.len() == 0 {
        return Ok(());
    }
    let mut header = Reader::new("chunks of the head", file.bytes(0, 8)?);
    let magic = header.u32("magic")?.swap_bytes();
    let version = header.u8("version")?;
    match (magic, version) {
        (MAGIC, VERSION) => Ok(()),
        // A file that was made and not written.
        (0, 0) => Ok(()),
        (MAGIC, version) => {
            let kind = CorruptionKind::Unknown { field: "format version", value: version.into() };
            Err(file.corruption(4, kind))
        }
        (magic, _) => {
            Err(file.corruption(0, CorruptionKind::Unknown { field: "magic", value: magic.into() }))
        }
    }
}

/// Reads the chunk at `at`. The outer error says that nobody knows where the next one is.
fn chunk(
    file: &mut SourceFile,
    at: u64,
    visit: &mut impl FnMut(MappedChunk<'_>) -> Result<(), Corruption>,
) -> Result<(Step, Result<(), Corruption>), Corruption> {
    let head = file.upto(at, MAX_HEAD_BYTES)?;
    if head.iter().all(|byte| *byte == 0) {
        // Files are made longer than what is in them.
        return Ok((Step::End, Ok(())));
    }
    let mut reader = Reader::new("chunks of the head", head);
    let series = reader.u64("series")?.swap_bytes();
    let (_, last) = (reader.u64("first time")?, reader.u64("last time")?.swap_bytes().cast_signed());
    let encoding = reader.u8("encoding")?;
    let len = reader.varint("length of a chunk")?;
    let head_len = reader.position();
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let before_sum = head_len.saturating_add(len);
    let bytes = file.bytes(at, before_sum.saturating_add(4))?;
    let next = Step::Next(at.saturating_add(bytes.len() as u64));
    let (content, stored) = bytes.split_last_chunk::<4>().unwrap_or((bytes, &[0; 4]));
    let (stored, computed) = (u32::from_be_bytes(*stored), crc32c(content));
    if stored != computed {
        let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
        return Ok((next, Err(file.corruption(at, kind))));
    }
    let data = content.get(head_len..).unwrap_or_default();
    let is_out_of_order = encoding & OUT_OF_ORDER != 0;
    let chunk = MappedChunk { series, last, encoding: encoding & !OUT_OF_ORDER, is_out_of_order, data };
    Ok((next, visit(chunk)))
}
