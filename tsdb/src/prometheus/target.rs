//! The data directory into which is imported: blocks are put beside those it has.

use super::block::SourceBlock;
use super::finding::Findings;
use super::import::Imported;
use crate::block::{Block, BlockSpec, BlockWriter};
use crate::blocks::size;
use crate::engine::new_id;
use crate::fs::{DirLock, Fs};
use crate::{Error, SystemClock, import};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::block::BlockId;
use tsdb_core::sample::SampleColumns;
use tsdb_core::time::Clock as _;
use tsdb_core::{Labels, TimeRange, Timestamp};
use ulid::Ulid;
use xxhash_rust::xxh3::Xxh3;

/// Series between two words about progress.
const SERIES_PER_REPORT: u64 = 256;

/// The data directory that is written.
pub(super) struct Target<'a> {
    fs: &'a Arc<dyn Fs>,
    dir: PathBuf,
    _lock: Option<DirLock>,
    /// What the blocks in it were made of.
    pub(super) known: BTreeSet<BlockId>,
    newest_block: Option<BlockId>,
    /// The newest time that is taken, ms.
    newest: Timestamp,
}

impl<'a> Target<'a> {
    pub(super) fn open(fs: &'a Arc<dyn Fs>, dir: &Path) -> Result<Self, Error> {
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
    pub(super) fn copy(
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
        self.finish(writer, imported)
    }

    /// Writes a block of the samples of a head. One that was written before is passed over.
    pub(super) fn write(
        &mut self,
        batch: Vec<(Labels, SampleColumns)>,
        imported: &mut Imported,
    ) -> Result<(), Error> {
        let name = name_of(&batch);
        if self.known.contains(&name) {
            imported.known_blocks += 1;
            return Ok(());
        }
        let spec = self.spec(Some(name));
        let mut writer = BlockWriter::create(&**self.fs, &self.dir, spec)?;
        for (labels, mut columns) in batch {
            self.leave_out_the_future(&mut columns, imported);
            writer.add_samples(&labels, columns.as_slices())?;
        }
        self.finish(writer, imported)
    }

    fn finish(&self, writer: BlockWriter<'_>, imported: &mut Imported) -> Result<(), Error> {
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

/// A name by which the same samples are known again: the time of the newest, and a hash of all of them.
fn name_of(batch: &[(Labels, SampleColumns)]) -> BlockId {
    let mut hash = Xxh3::new();
    let mut newest = 0;
    for (labels, columns) in batch {
        hash.update(&labels.stable_hash().to_le_bytes());
        for (time, value) in columns.timestamps.iter().zip(&columns.values) {
            hash.update(&time.to_le_bytes());
            hash.update(&value.to_bits().to_le_bytes());
        }
        newest = columns.timestamps.last().map_or(newest, |last| newest.max(*last));
    }
    let ms = u64::try_from(newest).unwrap_or(0);
    BlockId(Ulid::from_parts(ms, hash.digest128()).into())
}
