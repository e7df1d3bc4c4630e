//! Importing the blocks of a data directory: each becomes one block of ours, series by series, in bounded memory.

use super::block::{Described, SourceBlock};
use super::finding::{Finding, Findings};
use super::meta;
use crate::block::{Block, BlockSpec, BlockWriter};
use crate::blocks::size;
use crate::engine::new_id;
use crate::fs::{DirLock, Fs};
use crate::verify::{OnProgress, Progress};
use crate::{Error, SystemClock, import, names};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::block::BlockId;
use tsdb_core::sample::SampleColumns;
use tsdb_core::time::Clock as _;
use tsdb_core::{TimeRange, Timestamp};

/// Series between two words about progress.
const SERIES_PER_REPORT: u64 = 256;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The blocks that were written.
    pub blocks: Vec<PathBuf>,
    /// Blocks of the source that had been imported before and were passed over.
    pub known_blocks: u64,
    /// Series, counted anew in each block.
    pub series: u64,
    /// Samples, native histograms included.
    pub samples: u64,
    /// Native histograms among the samples.
    pub histograms: u64,
    /// Samples that were left out because they lie in the future.
    pub ahead: u64,
    /// What could not be read, the first thousand findings.
    pub findings: Vec<Finding>,
    /// How many findings there are besides.
    pub other_findings: u64,
    /// Bytes of what was imported in the source.
    pub source_bytes: u64,
    /// Bytes of the blocks that were written.
    pub block_bytes: u64,
}

/// Imports the data directory `source` of a Prometheus server, or a single block of it, into the data directory
/// `target`, made if there is none, which no database may have open. Nothing in `source` is changed; the server it
/// belongs to should be stopped.
///
/// What is damaged is left out and told in [`Imported::findings`]. Blocks that were imported before are passed over, so
/// an import that was interrupted can be repeated.
///
/// # Errors
/// `source` is no such directory, `target` cannot be opened, or the file system failed; blocks that were finished
/// before stay.
pub fn import(
    fs: &Arc<dyn Fs>,
    source: &Path,
    target: &Path,
    on_progress: &mut OnProgress<'_>,
) -> Result<Imported, Error> {
    let mut findings = Findings::default();
    let mut imported = Imported::default();
    let blocks = find_blocks(&**fs, source, &mut findings)?;
    let mut target = Target::open(fs, target)?;
    let mut progress = Progress { now: String::new(), done: 0, total: 0 };
    let sizes: Vec<u64> = blocks.iter().map(|block| size(&**fs, &block.path).unwrap_or(0)).collect();
    progress.total = sizes.iter().sum();
    for (block, bytes) in blocks.iter().zip(sizes) {
        let before = progress.done;
        progress.now = format!("block {}", block.path.display());
        if block.id.is_some_and(|id| target.known.contains(&id)) {
            imported.known_blocks += 1;
        } else if let Some(mut from) = SourceBlock::open(fs, &block.path, &mut findings) {
            imported.source_bytes += bytes;
            let mut report = |share| {
                progress.done = before + share;
                on_progress(&progress);
            };
            target.copy(&mut from, block.id, bytes, &mut findings, &mut imported, &mut report)?;
        }
        progress.done = before + bytes;
        on_progress(&progress);
    }
    Findings { kept: imported.findings, others: imported.other_findings } = findings;
    Ok(imported)
}

/// The blocks to be imported, in order of their times.
fn find_blocks(fs: &dyn Fs, source: &Path, findings: &mut Findings) -> Result<Vec<Described>, Error> {
    let entries = fs.list(source).map_err(|e| Error::io("list", source, e))?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    if has(names::META) && has(names::INDEX) {
        return Ok(Described::find(fs, source, findings).into_iter().collect());
    }
    let is_block = |name: &str| meta::id(name).is_some();
    let dirs = entries.iter().filter(|entry| entry.is_dir && is_block(&entry.name));
    let mut blocks: Vec<Described> =
        dirs.filter_map(|entry| Described::find(fs, &source.join(&entry.name), findings)).collect();
    let parents: BTreeSet<BlockId> =
        blocks.iter().flat_map(|block| block.meta.parents.iter().copied()).collect();
    // A crash leaves blocks beside the one that was made of them.
    blocks.retain(|block| !block.meta.is_deletable && !block.id.is_some_and(|id| parents.contains(&id)));
    blocks.sort_by_key(|block| (block.meta.min_time, block.id));
    Ok(blocks)
}

/// The data directory that is written.
struct Target<'a> {
    fs: &'a Arc<dyn Fs>,
    dir: PathBuf,
    _lock: Option<DirLock>,
    /// What the blocks in it were made of.
    known: BTreeSet<BlockId>,
    newest_block: Option<BlockId>,
    /// The newest time that is taken, ms.
    newest: Timestamp,
}

impl<'a> Target<'a> {
    fn open(fs: &'a Arc<dyn Fs>, dir: &Path) -> Result<Self, Error> {
        let lock = import::prepare(fs, dir)?;
        let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
        let blocks = entries.iter().filter_map(|entry| Block::parse_dir_name(&entry.name));
        let (mut known, mut newest_block) = (BTreeSet::new(), None);
        for id in blocks {
            newest_block = newest_block.max(Some(id));
            let meta = Block::described(&**fs, &dir.join(Block::dir_name(id)));
            known.extend(meta.into_iter().flat_map(|meta| meta.sources));
        }
        Ok(Self { fs, dir: dir.to_owned(), _lock: lock, known, newest_block, newest: SystemClock.now() })
    }

    /// A block that says it was made of `source`.
    fn spec(&mut self, source: Option<BlockId>) -> BlockSpec {
        let id = new_id(self.newest_block, SystemClock.now());
        self.newest_block = Some(id);
        BlockSpec { sources: vec![source.unwrap_or(id)], ..BlockSpec::first_level(id) }
    }

    /// Copies all series of `from`, `bytes` long, which is the block `id`.
    fn copy(
        &mut self,
        from: &mut SourceBlock,
        id: Option<BlockId>,
        bytes: u64,
        findings: &mut Findings,
        imported: &mut Imported,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        let spec = self.spec(id);
        let mut writer = BlockWriter::create(&**self.fs, &self.dir, spec)?;
        let mut columns = SampleColumns::new();
        while let Some(labels) = from.next(&mut columns, findings) {
            self.leave_out_the_future(&mut columns, imported);
            writer.add_samples(&labels, columns.as_slices())?;
            if writer.series_count().is_multiple_of(SERIES_PER_REPORT) {
                report(from.done(bytes));
            }
        }
        if let Some(written) = writer.finish()? {
            let path = self.dir.join(Block::dir_name(written.id));
            imported.block_bytes += size(&**self.fs, &path).unwrap_or(0);
            imported.blocks.push(path);
            imported.series += written.stats.series;
            imported.samples += written.stats.samples;
            imported.histograms += written.stats.histograms;
        }
        Ok(())
    }

    /// After a sample from the future nothing would be taken until then.
    fn leave_out_the_future(&self, columns: &mut SampleColumns, imported: &mut Imported) {
        if columns.timestamps.last().is_some_and(|last| *last > self.newest)
            && let Some(range) = TimeRange::new(Timestamp::MIN, self.newest)
        {
            let before = columns.len();
            columns.retain_range(range);
            imported.ahead += (before - columns.len()) as u64;
        }
    }
}
