//! Reading a block: its series one after the other, each with all its samples.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::finding::Findings;
use super::index::{ChunkPlace, Index};
use super::meta::Meta;
use super::segment::Segments;
use super::source::SourceFile;
use super::tombstones::Tombstones;
use super::{chunk, series};
use crate::fs::{Fs, twice};
use crate::names;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::Labels;
use tsdb_core::block::BlockId;
use tsdb_core::sample::SampleColumns;

/// The file of tombstones of a block.
pub(super) const TOMBSTONES: &str = "tombstones";

/// A block on disk, as its directory and its description tell of it.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) id: Option<BlockId>,
    pub(super) path: PathBuf,
    pub(super) meta: Meta,
}

impl Described {
    /// The block in `path`. `None` if there is none, or it is not for us: then `findings` say why.
    pub(super) fn find(fs: &dyn Fs, path: &Path, findings: &mut Findings) -> Option<Self> {
        let id = path.file_name().and_then(|name| name.to_str()).and_then(super::meta::id);
        let file = path.join(names::META);
        let text = match twice(|| fs.read(&file)) {
            Ok(text) => text,
            Err(error) => {
                findings.push(path, format!("no block: {}: {error}; it was left out", names::META));
                return None;
            }
        };
        let meta = Meta::read(&text).unwrap_or_else(|| {
            findings.push(&file, "it describes no block; the block was imported as its index has it");
            Meta::default()
        });
        if meta.resolution_ms != 0 {
            let what = format!(
                "a block that Thanos made coarser, to {} ms: such blocks are not read; it was left out",
                meta.resolution_ms
            );
            findings.push(path, what);
            return None;
        }
        Some(Self { id, path: path.to_owned(), meta })
    }
}

/// A block open for one walk through all its series.
#[derive(Debug)]
pub(super) struct SourceBlock {
    index_path: PathBuf,
    index: Index,
    segments: Segments,
    tombstones: Tombstones,
    /// The series before.
    last: Option<Labels>,
}

impl SourceBlock {
    /// Opens the block in `dir`; `None` if nothing of it can be read: then `findings` say why.
    pub(super) fn open(fs: &Arc<dyn Fs>, dir: &Path, findings: &mut Findings) -> Option<Self> {
        let index_path = dir.join(names::INDEX);
        let file = match SourceFile::open(fs, &index_path, "index") {
            Ok(file) => file,
            Err(error) => {
                findings.push(&index_path, format!("{error}; the block was left out"));
                return None;
            }
        };
        let index = match Index::open(file) {
            Ok(index) => index,
            Err(damage) => {
                findings.push(&index_path, format!("{damage}; the block was left out"));
                return None;
            }
        };
        Some(Self {
            index_path,
            index,
            segments: Segments::new(fs, dir.join(names::CHUNKS_DIR)),
            tombstones: tombstones(&**fs, dir, findings),
            last: None,
        })
    }

    /// Puts the samples of the next series into `columns`, in order of time, and returns its labels, which sort after
    /// those of the series before. What is damaged is left out and told.
    pub(super) fn next(&mut self, columns: &mut SampleColumns, findings: &mut Findings) -> Option<Labels> {
        loop {
            columns.clear();
            let entry = match self.index.next()? {
                Ok(entry) => entry,
                Err(damage) => {
                    findings.push(&self.index_path, format!("{damage}; the series there was left out"));
                    continue;
                }
            };
            if self.last.as_ref().is_some_and(|last| *last >= entry.labels) {
                let what = format!("the series {} is out of order or doubled and was left out", entry.labels);
                findings.push(&self.index_path, what);
                continue;
            }
            for place in &entry.chunks {
                self.read(place, &entry.labels, columns, findings);
            }
            series::tidy(columns);
            self.tombstones.apply(entry.number, columns);
            self.last = Some(entry.labels.clone());
            return Some(entry.labels);
        }
    }

    /// How much of `total` is done, by the place in the index.
    pub(super) fn done(&self, total: u64) -> u64 {
        self.index.done(total)
    }

    fn read(
        &mut self,
        place: &ChunkPlace,
        labels: &Labels,
        columns: &mut SampleColumns,
        findings: &mut Findings,
    ) {
        let before = columns.len();
        let read = self.segments.chunk(place.reference);
        if let Err(damage) = read.and_then(|(encoding, data)| chunk::decode(encoding, data, columns)) {
            columns.truncate(before);
            let what = format!(
                "{damage}; the chunk of {labels} at byte {}, from {} to {} ms, was left out",
                place.reference & u64::from(u32::MAX),
                place.first,
                place.last
            );
            findings.push(&self.segments.path(place.reference), what);
        }
    }
}

fn tombstones(fs: &dyn Fs, dir: &Path, findings: &mut Findings) -> Tombstones {
    let path = dir.join(TOMBSTONES);
    let read = match twice(|| fs.read(&path)) {
        Ok(bytes) => Tombstones::read(&bytes).map_err(|damage| damage.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Tombstones::default(),
        Err(error) => Err(error.to_string()),
    };
    read.unwrap_or_else(|error| {
        findings.push(&path, format!("{error}; what had been deleted was imported"));
        Tombstones::default()
    })
}
